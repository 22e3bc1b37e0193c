"""Verification, check 7: the counts. What `records`, `pages` and `runs` say must be one story (interface: landed = the sum of six fates).

Before: verify_files.py. After: verify_rows.py.

 (1) Leaves are numbered 0 to n-1, each once, n being what the anchors say.
 (2) A record (origin, seq, variant) has its fates numbered from 0, each once; nothing but the highest counts.
 (3) Every record names a page that is settled; a page is settled once.
 (4) A page's leaves, first leaf and counts by fate are those of its records; they add up.
 (5) A run's counts are those of the records it settled; they add up.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.verify_columns import flat
from pipeline.verify_digests import SIZE, Bytes, rows_of
from pipeline.verify_report import COUNTS, Report, ranges, records

FATES = ("archived", "pending", "withheld", "failed", "control", "duplicate")
OUTRANKED = "outranked by its sealed original"
# What a reconciliation says of its rows: they keep the page of the record, whose counts are those of the commit that settled it.
LATER = "reconcile"
RECORD_COLUMNS = (
    "origin", "seq", "variant", "fate_no", "fate", "reason", "step", "code", "key_version", "scope_ref", "msgid", "msgid_fp", "content_fp", "leaf",
    "commitment", "nonce", "page", "duplicate_of", "keep_until", "run_id",
)  # fmt: skip
Key = tuple[str, int | None, str]


class Ledger:
    """All rows of `records`, split into those that count (`current`) and earlier fates (`older`), and when each page was captured."""

    def __init__(self, record_tables: list[pa.Table], page_tables: list[pa.Table], report: Report) -> None:
        self.report = report
        picked = [t.select(list(RECORD_COLUMNS)) for t in record_tables]
        self.records: pa.Table | None = _encoded(pa.concat_tables(picked)).combine_chunks() if picked else None
        self.pages: list[dict[str, Any]] = [r for t in page_tables for r in t.to_pylist()]
        self.captured = {p["page"]: round(p["captured_at"].timestamp() * 1000) for p in self.pages}
        self.current, self.older = self._split()

    def commitments(self) -> Iterator[Bytes]:
        """Yield the commitments of all leaves, in the order of their numbers, (some, 32); zeros for one of another length."""
        if self.records is not None:
            for batch in self.records.select(["leaf", "commitment"]).sort_by("leaf").to_batches(max_chunksize=65_536):
                yield rows_of(batch["commitment"], SIZE)

    def _split(self) -> tuple[pa.Table | None, pa.Table | None]:
        found = self.records
        if found is None:
            return None, None
        again = found.filter(pc.greater(found["fate_no"], 0))
        touched = {_key(r) for r in again.select(["origin", "seq", "variant"]).to_pylist()}
        if not touched:
            return found, found.slice(0, 0)
        newest: dict[Key, tuple[int, int]] = {}
        all_leaves: list[int] = []
        maybe = found.filter(pc.or_kleene(pc.is_in(found["seq"], value_set=again["seq"].unique()), pc.is_null(found["seq"])))
        for row in maybe.select(["origin", "seq", "variant", "fate_no", "leaf"]).to_pylist():
            key = _key(row)
            if key in touched:
                all_leaves.append(row["leaf"])
                newest[key] = max(newest.get(key, (-1, -1)), (row["fate_no"], row["leaf"]))
        old = pa.array(set(all_leaves) - {leaf for _, leaf in newest.values()}, pa.int64())
        is_old = pc.is_in(found["leaf"], value_set=old)
        return found.filter(pc.invert(is_old)), found.filter(is_old)

    def of(self, fate: str, columns: Iterable[str] = RECORD_COLUMNS) -> pa.Table | None:
        """The rows that count of one fate, of these columns."""
        return None if self.current is None else self.current.select(list(columns)).filter(pc.equal(self.current["fate"], fate))


def _encoded(found: pa.Table) -> pa.Table:
    """Return the records with names of pages and runs, which come a thousand times each, as numbers into a list of them (Arrow's dictionaries)."""
    for name in ("page", "run_id"):
        found = found.set_column(found.column_names.index(name), name, found[name].dictionary_encode())
    return found


def _key(row: dict[str, Any]) -> Key:
    return (row["origin"], row["seq"], row["variant"])


def check(ledger: Ledger, run_tables: list[pa.Table], expected_leaves: int | None, report: Report) -> None:
    """Check (1) to (5). expected_leaves: what the newest anchor (else the log) says; None when nothing does."""
    if ledger.records is None:
        if expected_leaves:
            report.find(COUNTS, "LEAF_MISSING", leaves=ranges(range(expected_leaves)))
        return
    report.counts["leaves"] = ledger.records.num_rows
    _leaves(ledger.records, expected_leaves, report)
    _fates(ledger.records, report)
    _pages(ledger, report)
    _runs(ledger.records, run_tables, report)
    if ledger.current is not None:
        for fate in ledger.current["fate"].value_counts().to_pylist():
            report.counts[f"fate {fate['values']}"] = fate["counts"]
        report.counts["records"] = ledger.current.num_rows


def _leaves(found: pa.Table, expected: int | None, report: Report) -> None:
    leaves = found["leaf"]
    ordered = np.sort(pc.fill_null(leaves, -1).to_numpy())
    if len(ordered) == max(ordered[-1] + 1, expected or 0) and np.array_equal(ordered, np.arange(len(ordered))):
        return
    count = max(pc.max(leaves).as_py() + 1, expected or 0)
    distinct = pc.count_distinct(leaves).as_py()
    if distinct < found.num_rows:
        counted = leaves.value_counts()
        twice = pc.struct_field(counted, "values").filter(pc.greater(pc.struct_field(counted, "counts"), 1))
        rows = found.filter(pc.is_in(leaves, value_set=twice))
        report.find(COUNTS, "LEAF_TWICE", _told(rows), leaves=ranges(twice.to_pylist()))
    if distinct < count or pc.min(leaves).as_py() < 0:
        report.find(COUNTS, "LEAF_MISSING", leaves=ranges(set(range(count)) - set(leaves.to_pylist())))


def _told(rows: pa.Table) -> str:
    return records(zip(rows["origin"].to_pylist(), rows["seq"].to_pylist(), strict=True))


def _not_alone(found: pa.Table) -> np.ndarray[Any, Any]:
    """Return which rows are not the first fate of a seq that comes once, which is whole by itself: grouping every row costs ten times as much."""
    seqs = pc.fill_null(found["seq"], 0).to_numpy()
    ordered = np.sort(seqs)
    again = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    some: np.ndarray[Any, Any] = (found["fate_no"].to_numpy() != 0) | (np.isin(seqs, again) if len(again) else False)
    return some


def _fates(found: pa.Table, report: Report) -> None:
    again = found.select(["origin", "seq", "variant", "fate_no"]).filter(pa.array(_not_alone(found)))
    grouped = again.group_by(["origin", "seq", "variant"], use_threads=False).aggregate(
        [("fate_no", "count"), ("fate_no", "max"), ("fate_no", "min"), ("fate_no", "count_distinct")]
    )
    whole = pc.and_(
        pc.equal(grouped["fate_no_count"], grouped["fate_no_count_distinct"]),
        pc.and_(pc.equal(grouped["fate_no_min"], 0), pc.equal(grouped["fate_no_count"], pc.add(grouped["fate_no_max"].cast(pa.int64()), 1))),
    )
    wrong = grouped.filter(pc.invert(whole))
    if wrong.num_rows:
        report.find(COUNTS, "FATES_BROKEN", _told(wrong))


def _pages(ledger: Ledger, report: Report) -> None:
    found = ledger.records
    assert found is not None
    names = [p["page"] for p in ledger.pages]
    report.counts["pages"] = sum(p["source"] != "reopen" for p in ledger.pages)  # a re-opening takes bytes of pages that are counted
    known = set(names)
    if twice := [p for p, n in Counter(names).items() if n > 1]:
        report.find(COUNTS, "PAGE_TWICE", "; ".join(_page(p) for p in ledger.pages if p["page"] in twice), pages=len(twice))
    pages = flat(found["page"])
    there = pa.array([n in known for n in pages.dictionary.to_pylist()], pa.bool_()).take(pages.indices)
    orphans = found.select(["origin", "seq", "page"]).filter(pc.invert(pc.fill_null(there, False)))
    if orphans.num_rows:
        report.find(COUNTS, "PAGE_MISSING", _told(orphans), pages=len(set(orphans["page"].to_pylist())))
    settled = pc.invert(pc.fill_null(pc.equal(found["step"], LATER), False))
    counted: dict[str, Counter[str]] = defaultdict(Counter)
    first: dict[str, int] = {}
    for name, row in _by(found, "page", settled):
        counted[name][row["fate"]] = row["leaf_count"]
        first[name] = min(first.get(name, row["leaf_min"]), row["leaf_min"])
    for page in ledger.pages:
        told = Counter({f: page[f] for f in FATES if page[f]})
        same = told == counted[page["page"]] and page["leaves"] == sum(told.values())
        if not same or (page["leaves"] and first.get(page["page"]) != page["first_leaf"]):
            report.find(COUNTS, "PAGE_COUNTS", _page(page), stated=page["leaves"], found=sum(counted[page["page"]].values()))


def _by(found: pa.Table, name: str, which: pa.ChunkedArray) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (name of page or run, {fate, leaf_count, leaf_min}) of the records that `which` tells. Grouping numbers takes a third of grouping names."""
    names = flat(found[name])
    table = pa.table({"name": names.indices, "fate": found["fate"], "leaf": found["leaf"]}).filter(pc.and_(which, pc.is_valid(found[name])))
    for row in table.group_by(["name", "fate"], use_threads=False).aggregate([("leaf", "count"), ("leaf", "min")]).to_pylist():
        yield names.dictionary[row["name"]].as_py(), row


def _page(page: dict[str, Any]) -> str:
    return f"seq {page['first_seq']}-{page['last_seq']}" if page["first_seq"] is not None else f"leaf {page['first_leaf']}"


def _runs(found: pa.Table, tables: list[pa.Table], report: Report) -> None:
    """An import that was outranked is settled again by the page that brought its original, and counted by nobody's run."""
    own = pc.invert(pc.and_(pc.greater(found["fate_no"], 0), pc.fill_null(pc.equal(found["reason"], OUTRANKED), False)))
    counted: dict[str, Counter[str]] = defaultdict(Counter)
    for name, row in _by(found, "run_id", own):
        counted[name][row["fate"]] = row["leaf_count"]
    for run in (r for t in tables for r in t.to_pylist()):
        if run["phase"] == "end" and run["landed"] is not None:
            told = Counter({f: run[f] for f in FATES if run[f]})
            report.counts["runs"] += 1
            if told != counted[run["run_id"]] or run["landed"] != sum(told.values()):
                report.find(COUNTS, "RUN_COUNTS", run=str(run["run_id"])[:64], stated=run["landed"], found=sum(counted[run["run_id"]].values()))
