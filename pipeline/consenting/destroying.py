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

from pipeline import holds, manifests, purges, rewriting, trusted_clock
from pipeline.consenting import change, fates, resealing
from pipeline.consenting.change import Change
from pipeline.consenting.fates import Key
from pipeline.consenting.precedence import Cover, outcome
from pipeline.deltalog import DataFile, Snapshot
from pipeline.directory import fold_userid
from pipeline.holds import Hold
from pipeline.home import Home
from pipeline.lake import Lake
from pipeline.pseudonyms import Pseudonyms
from pipeline.register import pair_scope, room_scope
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
        gone = {}
        if holds.open_of(lake, snapshot) != open_holds:
            return False  # a hold was set or released meanwhile: its bytes are put under its own key first, by the next run
        due = [f for files in _by_partition(snapshot).values() if _over(lake, snapshot, files, now, open_holds) for f in files]
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
        others = {HELD + h.hold_id for h in holds.open_of(lake, snapshot)}
        for file in snapshot.of(KIND):
            if file.month in others:
                continue  # kept already; what a hold kept that ended since may be this one's too
            table = lake.read(KIND, [file])
            covered = _covered(home, corp_id, snapshot, table, hold)
            mask = rewriting.among(table, covered)
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
    """Return the withheld records of a file that the hold covers: by their scope's name where that says it, else by whom they name."""
    names, found, rest = Pseudonyms(home, corp_id), set(), []
    scope = _scope_of(hold)
    ref = names.scope_ref(scope) if scope is not None else None
    rows = fates.in_ms(table).to_pylist()
    known = fates.histories(home.lake(corp_id), snapshot, {(r["origin"], r["seq"]) for r in rows})
    for row in rows:
        key = (row["origin"], row["seq"])
        if ref is not None and row["scope_ref"] == ref:
            found.add(key)
        elif key not in known or _may_cover(hold, known[key][-1]):
            rest.append(row)
    return found | _by_people(home, corp_id, snapshot, rest, hold)


def _scope_of(hold: Hold) -> str | None:
    """Return the scope that a hold names as a whole: a pair, or a person in a room; None for every other one."""
    if not hold.external_userid or bool(hold.userid) == bool(hold.room_id):
        return None
    return pair_scope(hold.userid, hold.external_userid) if hold.userid else room_scope(str(hold.room_id), hold.external_userid)


def _may_cover(hold: Hold, last: dict[str, Any]) -> bool:
    """Whether what is known of an unopened record leaves it open that the hold covers it: its room, or the employee of its pair."""
    if hold.room_id is not None and last["room_id"] != hold.room_id:
        return False
    if _scope_of(hold) is not None and last["room_id"] is None:
        return False  # a single chat is told by its scope
    return hold.userid is None or last["employee_id"] is None or fold_userid(last["employee_id"]) == fold_userid(hold.userid)


def _by_people(home: Home, corp_id: str, snapshot: Snapshot, rows: list[dict[str, Any]], hold: Hold) -> set[Key]:
    """Open the envelopes, imports too, to see whom they name, in memory, and nothing of what they say is kept. What does not open is held."""
    covered, elsewhere = set[Key](), set[Key]()
    for page in resealing.judged_pages(Workbench(home, corp_id, snapshot), rows):
        for item in page.items:
            held = hold.covers(people=(item.message.sender_id, *item.message.recipient_ids), room_id=item.message.room_id)
            (covered if held else elsewhere).add((page.ref.origin, item.opened.seq))
    return covered | ({(r["origin"], r["seq"]) for r in rows} - elsewhere)
