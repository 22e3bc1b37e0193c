"""Named records out of every store for good, and the keys of their older copies with them.

Before: stores.py, consenting/fates.py, generations.py. After: erase.py, restricted.py, retention/.

In this order; each step can be repeated, and a killed removal is finished by the next call of `finish`:
 (1) the list of what goes, sealed, durable (`approvals/<corp>/<id>.removal`): ids only; then the approval is used up;
 (2) one commit: their new fates, and their numbers in `hidden`, so that no reader sees them from here on;
 (3) the units of their files get a next key generation; every store gives the records up (stores.py);
 (4) what is left of those units under the old generation is written again under the new one, older copies are unlinked at once, the old
     generation is destroyed: whoever kept a copy of a file cannot read it;
 (5) `hidden` is emptied of them, the list goes, the custody log says how many.
Where a customer is erased, the names, remarks and numbers of the directory go with the records, and the sealed parameters of custody entries
that name the customer; the entries themselves stay, and so does the approval.
The rows of `records` stay: they are what makes that nothing removed returns by another pull, an import or a restored backup.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import clock, commitrows, durable, filekeys, layout, manifests, purges, rewriting, stores
from pipeline.approvals import store as approvals
from pipeline.commit import new_run_id
from pipeline.consenting import change, fates, hidden
from pipeline.consenting.candidates import Stored
from pipeline.consenting.change import Change
from pipeline.consenting.fates import Fated, Key
from pipeline.deltalog import DataFile, Snapshot
from pipeline.home import Home
from pipeline.keyring import generation_of
from pipeline.lake import Lake, key_unit
from pipeline.source import media_store

UNIT = "approvals"
CONTENT = stores.LAKE_KINDS


class Going(msgspec.Struct, frozen=True, kw_only=True):
    """One record that goes: its place for `hidden` (empty when it lies with the restricted or unopened), and its fate from now on."""

    origin: str
    seq: int
    msgid: str | None
    captured_at_ms: int
    fate: str = "removed"
    month: str = ""
    bucket: str = ""
    scope_ref: str | None = None

    @property
    def key(self) -> Key:
        """Its identity."""
        return (self.origin, self.seq)


class Removal(msgspec.Struct, frozen=True, kw_only=True):
    """What goes, why (a reason of `records`), under which request; directory: a customer whose rows of the directory go too; units: whose
    keys end, and their generation before (None until they were looked for: once the rows are gone nothing tells any more)."""

    request: str
    reason: str
    going: tuple[Going, ...]
    directory: str = ""
    units: dict[str, int] | None = None


def going_of(record: Stored, *, active: bool) -> Going:
    """Return an archived or (active: False) restricted record as one that goes."""
    place = {"month": record.month, "bucket": layout.bucket_of(record.conversation_id)} if active else {}
    return Going(origin=record.origin, seq=record.seq, msgid=record.msgid, captured_at_ms=record.captured_at_ms, **place)


def unopened_of(key: Key, row: dict[str, Any]) -> Going:
    """Return a pending or withheld record as one whose bytes go unopened: it is withheld, and its days are over."""
    return Going(origin=key[0], seq=key[1], msgid=row["msgid"], captured_at_ms=row["captured_at"], fate="withheld", scope_ref=row["scope_ref"])


def begin(home: Home, corp_id: str, removal: Removal) -> dict[str, int]:
    """Take the records out; return how many rows each store lost. The caller holds the commit lock of the corp."""
    durable.make_folder(_path(home, corp_id, removal.request).parent)
    _write(home, corp_id, removal)
    return _do(home, corp_id, removal)


def _write(home: Home, corp_id: str, removal: Removal) -> None:
    box = home.keyring.seal(UNIT, msgspec.msgpack.encode(removal), context=_context(corp_id, removal.request))
    durable.replace(_path(home, corp_id, removal.request), box)


def finish(home: Home, corp_id: str) -> int:
    """Finish removals that were killed; return how many. The caller holds the commit lock."""
    waiting = sorted((home.path / "approvals" / corp_id).glob("*.removal"))
    for path in waiting:
        with durable.storage("reading a removal"):
            box = path.read_bytes()
        _do(home, corp_id, msgspec.msgpack.decode(home.keyring.open(box, context=_context(corp_id, path.stem)), type=Removal))
    return len(waiting)


def _path(home: Home, corp_id: str, request: str) -> Path:
    return home.path / "approvals" / corp_id / f"{request}.removal"


def _context(corp_id: str, request: str) -> bytes:
    return f"approvals/{corp_id}/{request}.removal".encode()


def _do(home: Home, corp_id: str, removal: Removal) -> dict[str, int]:
    keys = frozenset(g.key for g in removal.going)
    approvals.spend(home, corp_id, approvals.find(home, corp_id, removal.request), again=True)
    _settle(home, corp_id, removal)
    if removal.units is None:
        removal = msgspec.structs.replace(removal, units=_units(home.lake(corp_id), keys))
        _write(home, corp_id, removal)
    units = removal.units or {}
    _next_keys(home.lake(corp_id), units)
    lost = stores.purge(home, corp_id, keys)
    if removal.directory:
        lost |= _out_of_directory(home, corp_id, removal.directory)
        lost["custody"] = home.custody.forget(lambda params: removal.directory in msgspec.json.encode(params).decode())
    _renew(home, corp_id, units)
    _unhide(home, corp_id, keys)
    told = {"corp": corp_id, "request": removal.request, "reason": removal.reason, "records": len(keys), "lost": lost}
    home.custody.append(command="removal", phase="end", params=told, result=f"{len(keys)} records")
    durable.remove(_path(home, corp_id, removal.request))
    return lost


# -- (2) out of view, with their new fates ------------------------------------------------------------------------------------


def _settle(home: Home, corp_id: str, removal: Removal) -> None:
    run_id = new_run_id()

    def plan(lake: Lake, snapshot: Snapshot, made: Change) -> bool:
        known = fates.histories(lake, snapshot, {g.key for g in removal.going})
        # A removal that was killed after this commit finds its fates settled already.
        fresh = [g for g in removal.going if g.key in known and (known[g.key][-1]["fate"], known[g.key][-1]["reason"]) != (g.fate, removal.reason)]
        now = clock.now_ms()
        fated = [_fated(g, known[g.key][-1], removal.reason, now) for g in fresh]
        made.write(fates.later_rows(fated, known, corp_id=corp_id, snapshot=snapshot, now_ms=now, run_id=run_id), "records")
        places = [{"origin": g.origin, "seq": g.seq, "row_month": g.month, "row_bucket": g.bucket} for g in fresh if g.month]
        if places:
            made.write(commitrows.table("hidden", places), "hidden")
        return bool(fresh)

    if change.commit(home, corp_id, plan, what="remove") is not None:
        hidden.ring(home, corp_id)


def _fated(going: Going, last: dict[str, Any], reason: str, now_ms: int) -> Fated:
    unopened = going.fate == "withheld"
    return Fated(
        key=going.key, fate=going.fate, reason=reason, rule=last["rule"], scope_ref=going.scope_ref, event_ref=last["event_ref"], msgid=going.msgid,
        captured_at_ms=going.captured_at_ms,
        employee_id=last["employee_id"] if unopened else None, room_id=last["room_id"] if unopened else None, keep_until_ms=now_ms if unopened else None,
    )  # fmt: skip


def _unhide(home: Home, corp_id: str, keys: Collection[Key]) -> None:
    def plan(lake: Lake, snapshot: Snapshot, made: Change) -> bool:
        files = snapshot.of("hidden")
        for file in files:
            made.without(file, keys)
        return bool(made.removes)

    change.commit(home, corp_id, plan, what="remove")


# -- (3), (4) keys ------------------------------------------------------------------------------------------------------------


def _units(lake: Lake, keys: Collection[Key]) -> dict[str, int]:
    """Return the units that hold rows of these records, with the generation of their keys."""
    units = {unit_of(lake, f) for kind in CONTENT for f in lake.snapshot().of(kind) if rewriting.found(lake, f, keys) is not None}
    return {unit: generation_of(lake.keyring.current(unit)) for unit in sorted(units)}


def _next_keys(lake: Lake, units: Mapping[str, int]) -> None:
    """Make the next generation of every unit, unless that was done before; the second key first, as in generations.py."""
    for unit, before in units.items():
        for name in [f"{unit}!2", unit] if lake.keyring.names(f"{unit}!2#") else [unit]:
            lake.keyring.reach(name, before + 1)


def unit_of(lake: Lake, file: DataFile) -> str:
    """Return the unit whose key protects a file."""
    return key_unit(lake.corp_id, file.kind, file.month, file.bucket)


def _renew(home: Home, corp_id: str, units: Collection[str]) -> None:
    """Write what lies under an older generation of these units again, unlink the older copies, destroy the older generations."""

    def old(lake: Lake, file: DataFile) -> bool:
        unit = unit_of(lake, file)
        return unit in units and filekeys.of(lake.root / file.path) != lake.keyring.current(unit)

    def plan(lake: Lake, snapshot: Snapshot, made: Change) -> bool:
        for file in [f for f in snapshot.files if old(lake, f)]:
            made.again(file)
        return bool(made.removes)

    change.commit(home, corp_id, plan, what="renew keys")
    purges.run(home, corp_id, at_once=True)
    lake = home.lake(corp_id)
    with manifests.files_held(home, corp_id):
        used = {filekeys.of(lake.root / f.path) for f in [*lake.snapshot().files, *purges.staged_files(home, corp_id)]}
        for unit in units:
            _destroy_old(lake, unit, used)


def _destroy_old(lake: Lake, unit: str, used: Collection[str | None]) -> None:
    newest = generation_of(lake.keyring.current(unit))
    held = [generation_of(n) for n in used if n is not None and n.rpartition("#")[0] == unit]
    first = min([newest, *held])
    for name in [n for suffix in ("", "!2") for n in lake.keyring.names(f"{unit}{suffix}#") if generation_of(n) < first]:
        lake.keyring.destroy(name)


# -- the directory --------------------------------------------------------------------------------------------------------------


def _out_of_directory(home: Home, corp_id: str, customer: str) -> dict[str, int]:
    """Take the customer's names, remarks and numbers out; consent and notices stay, they prove what was lawful."""
    from pipeline.removing.subject import DIRECTORY

    lost: dict[str, int] = {}

    def plan(lake: Lake, snapshot: Snapshot, made: Change) -> bool:
        lost.clear()
        for kind, column in DIRECTORY.items():
            for file in snapshot.of(kind):
                table = lake.read(kind, [file])
                own = pc.fill_null(pc.equal(table[column], customer), False)
                if pc.any(own).as_py():
                    made.removes.append(file)
                    made.write(table.filter(pc.invert(own)), kind, month=file.month, bucket=file.bucket)
                    lost[kind] = lost.get(kind, 0) + pc.sum(own.cast(pa.int64())).as_py()
        return bool(made.removes)

    change.commit(home, corp_id, plan, what="remove")
    return dict(lost)


def counted(home: Home, lake: Lake, snapshot: Snapshot, keys: Collection[Key]) -> dict[str, int]:
    """Return how many rows of each kind belong to these records; of `media` how many fetched files go, for that is what will be told."""
    kinds = [kind for kind in CONTENT if kind != "media"]
    counts = {kind: sum(rewriting.count(rewriting.found(lake, file, keys)) for file in snapshot.of(kind)) for kind in kinds}
    counts["media"] = len(media_store.going(home, lake.corp_id, keys))
    return {kind: n for kind, n in counts.items() if n}
