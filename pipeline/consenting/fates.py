"""Rows of `records` for fates that follow an earlier one: a record that was settled is settled again, never rewritten.

Before: commitrows.py, leaf.py. After: hiding.py, moving.py, resealing.py.

Rules: (1) the row of a later fate keeps page and item of the record and says `step = "reconcile"`, so that page counts stay those of
the commit that settled the page; (2) a leaf without content commits to the decision, one that brings an archived record back commits
to what it committed to before; (3) leaves are numbered on from the snapshot.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from pipeline import commitrows, leaf, schema
from pipeline.deltalog import Snapshot
from pipeline.lake import Lake

STEP = "reconcile"
Key = tuple[str, int]
Row = dict[str, Any]


class Fated(msgspec.Struct, frozen=True, kw_only=True):
    """A fate to be written. msgid: clear, for fates without content; commitment: given where the content is there again."""

    key: Key
    fate: str
    reason: str | None
    rule: str | None
    scope_ref: str | None
    event_ref: str | None = None
    msgid: str | None
    captured_at_ms: int
    employee_id: str | None = None
    room_id: str | None = None
    keep_until_ms: int | None = None
    commitment: bytes | None = None
    nonce: bytes | None = None


def histories(lake: Lake, snapshot: Snapshot, keys: Collection[Key]) -> dict[Key, list[Row]]:
    """Return all rows of these records, the first fate first (times in ms since 1970 UTC)."""
    if not keys:
        return {}
    wanted = set(keys)
    seqs = sorted({seq for _, seq in wanted})
    low, high = (pc.scalar(pa.scalar(s, pa.uint64())) for s in (seqs[0], seqs[-1]))
    near = (ds.field("seq") >= low) & (ds.field("seq") <= high) & (ds.field("variant") == "")
    files = [f for f in snapshot.of("records") if _meets(f.stats.get("seq"), seqs)]
    table = lake.read("records", files, where=near & ds.field("seq").isin(pa.array(seqs, pa.uint64())))
    found: dict[Key, list[Row]] = {}
    for row in in_ms(table).to_pylist():
        if (key := (row["origin"], row["seq"])) in wanted:
            found.setdefault(key, []).append(row)
    return {key: sorted(rows, key=lambda r: r["fate_no"]) for key, rows in found.items()}


def _meets(span: tuple[int, int] | None, seqs: Sequence[int]) -> bool:
    return span is None or (span[0] <= seqs[-1] and span[1] >= seqs[0])


def in_ms(table: pa.Table) -> pa.Table:
    """Return rows with times as milliseconds and days as numbers since 1970."""
    for at, field in enumerate(table.schema):
        if pa.types.is_timestamp(field.type):
            table = table.set_column(at, field.name, pc.divide(table[field.name].cast(pa.int64()), 1000))
        elif pa.types.is_date(field.type):
            table = table.set_column(at, field.name, table[field.name].cast(pa.int32()))
    return table


def later_rows(
    fated: Sequence[Fated], known: dict[Key, list[Row]], *, corp_id: str, snapshot: Snapshot, now_ms: int, run_id: str, policy_version: str | None = None
) -> pa.Table:
    """Return the rows of `records` that give these records their new fates. policy_version: that judged them, None: the one of before stands."""
    rows = [_later(one, known[one.key], corp_id) for one in fated]
    for n, row in enumerate(rows):
        row |= {"leaf": snapshot.next_leaf + n, "register_version": snapshot.version, "settled_at": now_ms, "run_id": run_id}
        row["policy_version"] = policy_version or row["policy_version"]
    return commitrows.table("records", rows)


def _later(one: Fated, history: list[Row], corp_id: str) -> Row:
    last = history[-1]
    nonce, commitment = one.nonce, one.commitment
    if commitment is None and one.fate == "archived":
        commitment = next(r["commitment"] for r in reversed(history) if r["fate"] == "archived")
    elif commitment is None:
        nonce = leaf.new_nonce()
        fields = leaf.decision_fields(
            corp_id=corp_id, origin=one.key[0], seq=one.key[1], msgid=one.msgid, captured_at_ms=one.captured_at_ms, key_version=last["key_version"],
            fate=one.fate, reason=one.reason, scope_ref=one.scope_ref,
        )  # fmt: skip
        commitment = leaf.commitment(nonce, fields)
    archived = one.fate == "archived"
    kept = ("origin", "seq", "variant", "key_version", "key_tried", "msgid_fp", "content_fp", "page", "item", "dt", "attempts", "first_seen", "policy_version")
    return {c.name: None for c in schema.kind("records").columns} | {name: last[name] for name in kept} | {
        "fate_no": last["fate_no"] + 1, "fate": one.fate, "reason": one.reason, "rule": one.rule, "step": STEP, "scope_ref": None if archived else one.scope_ref,
        "event_ref": None if archived else one.event_ref,
        "msgid": None if archived else one.msgid, "commitment": commitment, "nonce": None if archived else nonce,
        "employee_id": one.employee_id, "room_id": one.room_id, "keep_until": one.keep_until_ms,
    }  # fmt: skip
