"""Withheld bytes are destroyed unopened: their files go, then their day's key, and with it every copy there is.

Before: resealing.py, holds.py, trusted_clock.py. After: nothing is left but the decision.

Rules: (1) a day's bytes go when the days of every record in them are over, by archive time, never by a clock that jumped; (2) a record under
an open hold stops the clock: it is moved under a key of its own first, with the hold's name, and so the rest of the day can end; (3) the
commit that takes the files out comes before the key: killed in between, the next run ends the key; (4) a hold that ended puts its bytes
back under the days' rule: they go as soon as their days are over; (5) every destruction is recorded in custody, with counts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import answers, holds, manifests, purges, trusted_clock
from pipeline.consenting import change, fates, moving
from pipeline.consenting.change import Change
from pipeline.consenting.fates import Key
from pipeline.consenting.precedence import Cover, outcome
from pipeline.holds import Hold
from pipeline.home import Home
from pipeline.lake import DataFile, Lake, Snapshot
from pipeline.pseudonyms import Pseudonyms
from pipeline.records import PageRef
from pipeline.saved_files import answer_of
from pipeline.workbench import Workbench

KIND = "withheld_sealed"
HELD = "hold-"


class Destroyed(msgspec.Struct, frozen=True, kw_only=True):
    """days: partitions whose bytes and key went; records: whose bytes; held: records that a hold keeps."""

    days: int = 0
    records: int = 0
    held: int = 0


def destroy_due(home: Home, corp_id: str) -> Destroyed:
    """Destroy what is due; the caller holds the commit lock."""
    lake = home.lake(corp_id)
    if not lake.snapshot().of(KIND) and not lake.keyring.names(f"{corp_id}/withheld/"):
        return Destroyed()
    now = trusted_clock.now_ms(home)
    open_holds = holds.open_of(lake, lake.snapshot())
    for hold in open_holds:
        keep_for(home, corp_id, hold)
    gone: dict[str, int] = {}

    def plan(lake: Lake, snapshot: Snapshot, made: Change) -> bool:
        nonlocal gone
        due = [f for files in _by_partition(snapshot).values() if _over(lake, snapshot, files, now, open_holds) for f in files]
        gone = {}
        for file in due:
            gone[file.month] = gone.get(file.month, 0) + file.rows
        made.removes += due
        return bool(due)

    change.commit(home, corp_id, plan, what="destroy withheld")
    if _unused(home, lake):  # of this run, or of one that was killed between its commit and the end of the keys
        purges.run(home, corp_id, at_once=True)
    ended = _end_keys(home, lake)
    if gone or ended:
        told = {"corp": corp_id, "partitions": sorted(gone), "records": sum(gone.values()), "keys": ended}
        home.custody.append(command="destroy withheld", phase="end", params=told, result=f"{sum(gone.values())} records, {len(ended)} keys")
    held = sum(f.rows for f in lake.snapshot().of(KIND) if f.month.startswith(HELD))
    return Destroyed(days=len(gone), records=sum(gone.values()), held=held)


def _by_partition(snapshot: Snapshot) -> dict[str, list[DataFile]]:
    found: dict[str, list[DataFile]] = defaultdict(list)
    for file in snapshot.of(KIND):
        found[file.month].append(file)
    return found


def _over(lake: Lake, snapshot: Snapshot, files: Iterable[DataFile], now_ms: int, open_holds: Iterable[Hold]) -> bool:
    """Whether the days of every record in these files are over, and no open hold owns them."""
    found = list(files)
    cover: Cover = "hold" if found[0].month in {HELD + h.hold_id for h in open_holds} else "none"
    if outcome("refused_before_sending", cover).removal != "destroyed_unopened":
        return False
    keys = {k for f in found for k in _keys_of(lake, f)}
    known = fates.histories(lake, snapshot, keys)
    until = [rows[-1]["keep_until"] for rows in known.values() if rows[-1]["fate"] == "withheld"]
    return all(at is not None and at <= now_ms for at in until)


def _keys_of(lake: Lake, file: DataFile) -> set[Key]:
    table = lake.read(KIND, [file], columns=["origin", "seq"])
    return set(zip(table["origin"].to_pylist(), table["seq"].to_pylist(), strict=True))


def _unused(home: Home, lake: Lake) -> list[str]:
    """Return the keys of partitions that no committed or staged file lies in any more."""
    prefix = f"{lake.corp_id}/withheld/"
    used = {f.month for f in [*lake.snapshot().files, *purges.staged_files(home, lake.corp_id)] if f.kind == KIND}
    return [name for name in lake.keyring.names(prefix) if _month_of(lake, name) not in used]


def _month_of(lake: Lake, name: str) -> str:
    return name.removeprefix(f"{lake.corp_id}/withheld/").rsplit("#", 1)[0]


def _end_keys(home: Home, lake: Lake) -> list[str]:
    """Destroy the unused keys whose files are gone from the disk too; return their names."""
    with manifests.files_held(home, lake.corp_id):
        ended = [name for name in _unused(home, lake) if not _holds_files(lake, _month_of(lake, name))]
        for name in ended:
            lake.keyring.destroy(name)
    return ended


def _holds_files(lake: Lake, month: str) -> bool:
    return any((lake.root / f"kind={KIND}/month={month}").rglob("*.parquet"))


# -- holds -------------------------------------------------------------------------------------------------------------


def keep_for(home: Home, corp_id: str, hold: Hold) -> int:
    """Move the withheld bytes that a hold covers under a key of the hold's own; return how many records."""
    moved = 0

    def plan(lake: Lake, snapshot: Snapshot, made: Change) -> bool:
        nonlocal moved
        kept, moved = [], 0
        for file in snapshot.of(KIND):
            if file.month.startswith(HELD):
                continue
            table = lake.read(KIND, [file])
            covered = _covered(home, corp_id, snapshot, table, hold)
            mask = moving.among(table, covered)
            if covered and pc.any(mask).as_py():
                made.removes.append(file)
                made.write(table.filter(pc.invert(mask)), KIND, month=file.month, bucket=file.bucket)
                kept.append(table.filter(mask))
        if not kept:
            return False
        whole = pa.concat_tables(kept)
        moved = whole.num_rows
        made.write(whole, KIND, month=HELD + hold.hold_id)
        return True

    change.commit(home, corp_id, plan, what="hold")
    return moved


def _covered(home: Home, corp_id: str, snapshot: Snapshot, table: pa.Table, hold: Hold) -> set[Key]:
    """Return the withheld records of a file that the hold covers: by their scope's name where the hold names one, else by whom they name."""
    names = Pseudonyms(home, corp_id)
    rows = fates.in_ms(table).to_pylist()
    if hold.external_userid and (hold.userid or hold.room_id) and not (hold.userid and hold.room_id):
        from pipeline.register import pair_scope, room_scope

        scope = pair_scope(hold.userid, hold.external_userid) if hold.userid else room_scope(str(hold.room_id), hold.external_userid)
        by_scope = {(r["origin"], r["seq"]) for r in rows if r["scope_ref"] == names.scope_ref(scope)}
        if by_scope:
            return by_scope
    return _by_people(home, corp_id, snapshot, rows, hold)


def _by_people(home: Home, corp_id: str, snapshot: Snapshot, rows: list[dict[str, Any]], hold: Hold) -> set[Key]:
    """Open the envelopes to see whom they name, in memory, and nothing of what they say is kept."""
    bench, found = Workbench(home, corp_id, snapshot), set()
    ref = PageRef(corp_id=corp_id, page="", uri="", size=0, source="file", name="", captured_at_ms=0)
    sealed = [r for r in rows if r["origin"] == "sealed"]
    page, _ = answers.read_page(ref, answer_of([r["envelope"] for r in sealed]))
    for item in bench.message(bench.envelope((page, ()))).items:
        if hold.covers(people=(item.message.sender_id, *item.message.recipient_ids), room_id=item.message.room_id):
            found.add(("sealed", item.opened.seq))
    return found
