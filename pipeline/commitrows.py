"""The rows a commit writes of its own, and what it reads of earlier ones: records, recalls, prior fates.

Before: settle.py (fates). After: commit.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import repeat
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from pipeline import clock, leaf, schema, settle
from pipeline.deltalog import Snapshot
from pipeline.lake import Lake
from pipeline.settle import Candidate, Key, Prior, Settled
from pipeline.stage import item_variant
from pipeline.stagerows import Columns, extend, spread


class Commit(msgspec.Struct, frozen=True, kw_only=True):
    """What all rows of one commit share. version: of the lake it was planned on; keep_from_ms: from when days of keeping are counted."""

    corp_id: str
    run_id: str
    version: int
    withheld_days: int
    now_ms: int
    keep_from_ms: int
    policy_version: str | None = None


def table(kind: str, rows: list[dict[str, Any]]) -> pa.Table:
    return schema.table(kind, {c.name: list(map(dict.get, rows, repeat(c.name))) for c in schema.kind(kind).columns})


class RecordRow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One row of `records`."""

    origin: str
    seq: int | None
    variant: str
    fate_no: int
    fate: str
    reason: str | None = None
    rule: str | None = None
    step: str | None = None
    code: str | None = None
    detail: str | None = None
    key_version: int | None = None
    key_tried: str | None = None
    scope_ref: str | None = None
    msgid: str | None
    msgid_fp: bytes | None
    content_fp: bytes | None
    commitment: bytes
    nonce: bytes | None
    page: str
    item: int
    dt: int | None = None
    employee_id: str | None = None
    room_id: str | None = None
    duplicate_of: int | None = None
    duplicate_origin: str | None = None
    register_version: int
    event_ref: str | None = None
    policy_version: str | None = None
    attempts: int
    first_seen: int
    settled_at: int
    keep_until: int | None = None
    run_id: str
    leaf: int


def records_table(settled: Sequence[Settled], superseded: Sequence[Prior], at: Commit, first: int) -> pa.Table:
    """Return the rows of kind `records`; leaves are numbered from `first`, superseded imports last."""
    plain: list[tuple[int, Settled]] = []
    other: list[tuple[int, Settled]] = []
    for number, s in enumerate(settled, first):
        (plain if s.fate == "archived" == s.candidate.outline.fate and s.prior is None and s.adopt else other).append((number, s))
    rows = [record_row(s, at, number) for number, s in other]
    rows += [superseded_row(p, settled, at, number) for number, p in enumerate(superseded, first + len(settled))]
    columns: Columns = {name: [] for name in RecordRow.__struct_fields__}
    extend(columns, _plain_columns(plain, at))
    if rows:
        spread(columns, rows)
    return schema.table("records", columns)


def _plain_columns(plain: Sequence[tuple[int, Settled]], at: Commit) -> Columns:
    """Return, column by column, what `record_row` says of records that are archived as they were staged and were not settled before."""
    n, refs, outlines = len(plain), [s.candidate.ref for _, s in plain], [s.candidate.outline for _, s in plain]
    columns: Columns = {name: [None] * n for name in RecordRow.__struct_fields__}
    columns |= {
        "origin": [ref.origin for ref in refs], "seq": [o.seq for o in outlines], "variant": [s.variant for _, s in plain], "fate_no": [0] * n,
        "fate": ["archived"] * n, "reason": [s.reason for _, s in plain], "rule": [o.rule for o in outlines],
        "key_version": [o.key_version for o in outlines], "key_tried": [o.key_tried for o in outlines], "msgid_fp": [o.msgid_fp for o in outlines],
        "content_fp": [o.content_fp for o in outlines], "commitment": [o.commitment for o in outlines], "page": [ref.page for ref in refs],
        "item": [o.item for o in outlines], "dt": [o.dt for o in outlines], "register_version": [at.version] * n, "attempts": [1] * n,
        "first_seen": [at.now_ms] * n, "settled_at": [at.now_ms] * n, "run_id": [at.run_id] * n, "leaf": [number for number, _ in plain],
        "policy_version": [at.policy_version] * n,
    }  # fmt: skip
    return columns


def record_row(s: Settled, at: Commit, number: int) -> RecordRow:
    """Return the row of a settled record; number: of its leaf."""
    o, ref = s.candidate.outline, s.candidate.ref
    nonce, commitment, prior, fate = o.nonce, o.commitment, s.prior, s.fate
    if fate != o.fate or not s.adopt:
        nonce, commitment = _decision_leaf(s, at.corp_id) if fate in ("duplicate", "failed") else (nonce, commitment)
    failed, content_free = fate == "failed", fate not in ("archived", "control")
    return RecordRow(
        origin=ref.origin, seq=o.seq, variant=s.variant, fate_no=prior.fate_no + 1 if prior else 0, fate=fate,
        reason=s.reason, rule=o.rule, step=("commit" if not s.adopt else o.step) if failed else None,
        code=s.code if failed else None, detail=s.detail if failed else None, key_version=o.key_version, key_tried=o.key_tried,
        scope_ref=o.scope_ref if fate in ("pending", "withheld") else None, msgid=o.msgid if fate != "archived" else None,
        msgid_fp=o.msgid_fp, content_fp=o.content_fp if not failed else None, commitment=commitment, nonce=nonce if content_free else None,
        page=ref.page, item=o.item, dt=o.dt, employee_id=o.employee_id if fate in ("withheld", "control") and not o.room_id else None,
        room_id=o.room_id if fate in ("withheld", "control") else None,
        duplicate_of=s.duplicate_of.seq if s.duplicate_of else None, duplicate_origin=s.duplicate_of.origin if s.duplicate_of else None,
        register_version=at.version, event_ref=o.event_ref if fate in ("pending", "withheld") else None,
        policy_version=at.policy_version if fate in ("archived", "pending", "withheld") else None,
        attempts=prior.attempts + 1 if prior else 1,
        first_seen=prior.first_seen_ms if prior and prior.first_seen_ms else at.now_ms, settled_at=at.now_ms,
        keep_until=at.keep_from_ms + at.withheld_days * clock.DAY_MS if fate == "withheld" else None, run_id=at.run_id, leaf=number,
    )  # fmt: skip


def _decision_leaf(s: Settled, corp_id: str) -> tuple[bytes, bytes]:
    o, ref, nonce = s.candidate.outline, s.candidate.ref, leaf.new_nonce()
    fields = leaf.decision_fields(
        corp_id=corp_id, origin=ref.origin, seq=o.seq, msgid=o.msgid, captured_at_ms=ref.captured_at_ms, key_version=o.key_version,
        fate=s.fate, reason=s.reason, code=s.code,
    )  # fmt: skip
    return nonce, leaf.commitment(nonce, fields)


def original_of(prior: Prior, settled: Sequence[Settled]) -> Settled:
    """Return the sealed record of the batch that outranks an import."""
    return next(s for s in settled if s.candidate.outline.msgid_fp == prior.msgid_fp and s.key[0] == "sealed")


def superseded_row(prior: Prior, settled: Sequence[Settled], at: Commit, number: int) -> RecordRow:
    """Return the row of an import that its sealed original outranks; number: of its leaf."""
    by = original_of(prior, settled)
    nonce = leaf.new_nonce()
    fields = leaf.decision_fields(
        corp_id=at.corp_id, origin=prior.origin, seq=prior.seq, msgid=prior.msgid, captured_at_ms=by.candidate.ref.captured_at_ms,
        key_version=None, fate="duplicate", reason="outranked by its sealed original",
    )  # fmt: skip
    return RecordRow(
        origin=prior.origin, seq=prior.seq, variant=prior.variant, fate_no=prior.fate_no + 1, fate="duplicate",
        reason="outranked by its sealed original", msgid=prior.msgid, msgid_fp=prior.msgid_fp, content_fp=prior.content_fp,
        commitment=leaf.commitment(nonce, fields), nonce=nonce, page=by.candidate.ref.page, item=by.candidate.outline.item,
        duplicate_of=by.key[1], duplicate_origin="sealed", register_version=at.version, attempts=prior.attempts,
        first_seen=prior.first_seen_ms, settled_at=at.now_ms, run_id=at.run_id, leaf=number,
    )  # fmt: skip


def recall_row(s: Settled) -> dict[str, Any]:
    o = s.candidate.outline
    return {
        "original_msgid": o.recalls_msgid, "recall_msgid": o.msgid, "origin": s.candidate.ref.origin, "seq": o.seq,
        "recalled_at": o.sent_at_ms, "recalled_by": o.sender_id, "dt": o.dt,
    }  # fmt: skip


PRIOR_COLUMNS = ["origin", "seq", "variant", "fate_no", "fate", "code", "msgid", "msgid_fp", "content_fp", "key_tried", "attempts", "first_seen"]


def priors(
    lake: Lake, snapshot: Snapshot, candidates: Sequence[Candidate], fingerprint: Callable[[str], bytes]
) -> tuple[dict[Key, Prior], dict[bytes, Prior]]:
    """Return what is settled already for the seqs and msgids of the candidates."""
    files = snapshot.of("records")
    if not files:
        return {}, {}
    seqs = {c.outline.seq for c in candidates if c.outline.seq is not None}
    prints = {c.outline.msgid_fp for c in candidates if c.outline.msgid_fp} | {fingerprint(c.outline.recalls_msgid) for c in candidates if c.outline.recalls_msgid}
    places = {item_variant(c.ref.page, c.outline.item) for c in candidates if c.outline.seq is None}
    where = ds.field("msgid_fp").isin(pa.array(sorted(prints), pa.binary()))
    if seqs:
        low, high = (pc.scalar(pa.scalar(s, pa.uint64())) for s in (min(seqs), max(seqs)))
        in_range = (ds.field("seq") >= low) & (ds.field("seq") <= high)  # prunes by statistics; isin alone does not
        where = where | (in_range & ds.field("seq").isin(pa.array(sorted(seqs), pa.uint64())))
    if places:
        where = where | ds.field("variant").isin(sorted(places))
    newest: dict[Key, Prior] = {}
    for row in lake.read("records", files, columns=PRIOR_COLUMNS, where=where).to_pylist():
        first_seen = row.pop("first_seen")
        prior = Prior(**row, first_seen_ms=round(first_seen.timestamp() * 1000))
        if prior.key not in newest or newest[prior.key].fate_no < prior.fate_no:
            newest[prior.key] = prior
    msgids = {p.msgid_fp: p for p in newest.values() if p.msgid_fp is not None and p.fate in settle.OPENED}
    return newest, msgids
