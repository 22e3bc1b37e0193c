"""Restricted rows lie under keys of their own: they are moved there out of the archive's files, and back when no refusal counts any more.

Before: hiding.py (they are out of view already), rewriting.py. After: reader.py finds nothing of them in any file it opens.

Rules: (1) one commit takes every row of the hidden records out of messages, sealed, matches and media, puts it into `restricted`, and empties
`hidden`; (2) only files of the months and buckets of these records are rewritten; (3) a row comes back column by column as it was;
(4) a row is one MessagePack object, times in microseconds since 1970 UTC, days since 1970.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from pipeline import clock, consent, layout, rewriting, schema
from pipeline.commitrows import table as rows_table
from pipeline.consenting import candidates, change, fates, hidden, judging
from pipeline.consenting.candidates import Stored
from pipeline.consenting.change import Change
from pipeline.consenting.fates import Fated, Key
from pipeline.consenting.judging import Rules
from pipeline.deltalog import DataFile, Snapshot
from pipeline.errors import VerifyFailed
from pipeline.home import Home
from pipeline.lake import Lake
from pipeline.pseudonyms import Pseudonyms
from pipeline.stage import HOT
from pipeline.workbench import Workbench

KINDS = hidden.KINDS
Row = dict[str, Any]


# -- out of the archive's files ----------------------------------------------------------------------------------------


def move(home: Home, corp_id: str) -> int:
    """Move the rows of all hidden records; return how many records those were."""
    moved = 0

    def plan(lake: Lake, snapshot: Snapshot, made: Change) -> bool:
        nonlocal moved
        places = lake.read("hidden", snapshot.of("hidden")).to_pylist()
        moved = len(places)
        if places:
            _moving(lake, snapshot, places, made)
        return bool(places)

    if home.lake(corp_id).snapshot().of("hidden"):
        hidden.ring(home, corp_id)  # a run killed right after the commit that hid them may not have
        change.commit(home, corp_id, plan, what="move restricted")
        hidden.ring(home, corp_id)
    return moved


def _moving(lake: Lake, snapshot: Snapshot, places: Sequence[Row], made: Change) -> None:
    wanted: dict[str, set[str]] = defaultdict(set)
    for place in places:
        wanted[place["row_month"]].add(place["row_bucket"])
    keys = {(p["origin"], p["seq"]) for p in places}
    known = fates.histories(lake, snapshot, keys)
    refs = {key: rows[-1]["scope_ref"] for key, rows in known.items()}
    taken: dict[str, list[Row]] = defaultdict(list)
    for file in _files(snapshot, wanted):
        for row in _take_out(file, keys, made):
            taken[file.month].append(_boxed(file, row))
    _name(taken, refs)
    for month, rows in sorted(taken.items()):
        made.write(rows_table("restricted", rows), "restricted", month=month)
    made.removes += snapshot.of("hidden")


def _files(snapshot: Snapshot, wanted: dict[str, set[str]]) -> Iterable[DataFile]:
    """Return the files that may hold rows of these months and buckets (rule 2)."""
    for file in snapshot.files:
        if file.kind in KINDS and file.month in wanted and (file.bucket in (HOT, layout.ONE) or file.bucket in wanted[file.month]):
            yield file


def _take_out(file: DataFile, keys: set[Key], made: Change) -> list[Row]:
    """Return the rows of these records in a file, and plan the file without them; a file that has none stays."""
    taken: list[pa.Table] = []
    made.without(file, keys, taken)
    return [row for rows in taken for row in _plain(rows)]


def _plain(rows: pa.Table) -> list[Row]:
    """Return rows with numbers for times and days (rule 4)."""
    for at, field in enumerate(rows.schema):
        if pa.types.is_timestamp(field.type):
            rows = rows.set_column(at, field.name, rows[field.name].cast(pa.int64()))
        elif pa.types.is_date(field.type):
            rows = rows.set_column(at, field.name, rows[field.name].cast(pa.int32()))
    return rows.to_pylist()  # type: ignore[no-any-return]


def _boxed(file: DataFile, row: Row) -> Row:
    at = row.get("captured_at") or row.get("matched_at") or row.get("recorded_at") or 0
    return {
        "origin": row["origin"], "seq": row["seq"], "row_kind": file.kind, "row_month": file.month, "row_lexicon": file.lexicon,
        "subjects": row.get("subjects", []), "captured_at": at // 1000, "body": msgspec.msgpack.encode(row),
    }  # fmt: skip


def _name(taken: dict[str, list[Row]], refs: dict[Key, str | None]) -> None:
    """Give every row of a record the scope that decided."""
    for rows in taken.values():
        for row in rows:
            row["scope_ref"] = refs.get((row["origin"], row["seq"]))


# -- and back ----------------------------------------------------------------------------------------------------------


def restore(home: Home, corp_id: str, run_id: str, wanted: Callable[[Row], bool], rules: Rules) -> int:
    """Bring back what is restricted by the register and no refusal covers any more; return how many records.

    wanted: which rows of `restricted` (scope_ref, subjects) may be concerned."""
    restored = 0

    def plan(lake: Lake, snapshot: Snapshot, made: Change) -> bool:
        nonlocal restored
        stored = _stored(lake, snapshot, wanted)
        back = _judged(home, lake, Workbench(home, corp_id, snapshot), stored, rules)
        restored = len(back)
        if back:
            _restoring(lake, snapshot, back, run_id, made)
        return bool(back)

    change.commit(home, corp_id, plan, what="restore")
    return restored


def _stored(lake: Lake, snapshot: Snapshot, wanted: Callable[[Row], bool]) -> list[Stored]:
    """Return the restricted messages that may be concerned."""
    files = snapshot.of("restricted")
    found = lake.read("restricted", files, where=ds.field("row_kind") == "messages").to_pylist() if files else []
    return [candidates.stored_of(msgspec.msgpack.decode(r["body"])) for r in found if wanted(r)]


def _judged(home: Home, lake: Lake, bench: Workbench, stored: Sequence[Stored], rules: Rules) -> dict[Key, Fated]:
    known = fates.histories(lake, bench.snapshot, {(r.origin, r.seq) for r in stored})
    back: dict[Key, Fated] = {}
    originals: set[str] = set()
    for row in sorted(stored, key=lambda r: r.kind == "recall"):
        key = (row.origin, row.seq)
        last = known[key][-1]
        if last["fate"] != "restricted":
            continue
        if row.kind == "recall":
            comes = last["reason"] in judging.BY_REGISTER and row.recalls_msgid in originals
        else:
            decision = consent.decide(
                row.stub(), captured_at_ms=row.captured_at_ms, register=bench.register, directory=bench.directory, policy=bench.policy
            )
            comes = judging.of_restricted(last["reason"], decision, row.consent_source, row.at_ms, bench.register, rules) is not None
            originals |= {row.msgid} if comes else set()
        if comes:
            rule = next(r["rule"] for r in reversed(known[key]) if r["fate"] == "archived")
            back[key] = Fated(
                key=key, fate="archived", reason="no_refusal_counts", rule=rule, scope_ref=None, msgid=None, captured_at_ms=row.captured_at_ms
            )
    return back


def _restoring(lake: Lake, snapshot: Snapshot, back: dict[Key, Fated], run_id: str, made: Change) -> None:
    known = fates.histories(lake, snapshot, back)
    returning: dict[tuple[str, str, str], list[Row]] = defaultdict(list)
    for file in snapshot.of("restricted"):
        whole = lake.read("restricted", [file])
        mask = rewriting.among(whole, back)
        if not pc.any(mask).as_py():
            continue
        made.removes.append(file)
        made.write(whole.filter(pc.invert(mask)), "restricted", month=file.month)
        for row in whole.filter(mask).to_pylist():
            returning[row["row_kind"], row["row_month"], row["row_lexicon"]].append(msgspec.msgpack.decode(row["body"]))
    for (kind, month, lexicon), rows in sorted(returning.items()):
        made.write(unboxed(kind, rows), kind, month=month, bucket=HOT, lexicon=lexicon)
    made.write(
        fates.later_rows(list(back.values()), known, corp_id=lake.corp_id, snapshot=snapshot, now_ms=clock.now_ms(), run_id=run_id), "records"
    )


def unboxed(kind: str, rows: Sequence[Row]) -> pa.Table:
    """Return rows of a kind as they were before they were moved (rule 3); raises VerifyFailed when a row does not fit its kind."""
    arrow = schema.kind(kind).arrow
    columns = []
    for field in arrow:
        plain = pa.int64() if pa.types.is_timestamp(field.type) else pa.int32() if pa.types.is_date(field.type) else field.type
        columns.append(pa.array([r.get(field.name) for r in rows], plain).cast(field.type))
    made = pa.Table.from_arrays(columns, schema=arrow)
    if any(made[f.name].null_count for f in arrow if not f.nullable):
        raise VerifyFailed("RESTRICTED_ROW", f"a restricted row of kind {kind} lacks a column", remedy="`liuhen verify --archive`")
    return made


def scope_refs(home: Home, corp_id: str, scopes: Iterable[str]) -> tuple[set[str], set[bytes]]:
    """Return the pseudonyms of scopes, as `scope_ref` (hex) and as `subjects` hold them."""
    names = Pseudonyms(home, corp_id)
    found = {names.of("scope", s) for s in scopes}
    return {b.hex() for b in found}, found
