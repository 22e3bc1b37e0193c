"""Archived messages of certain people, and what the gate says of them by the directory of now.

Before: whose.py, consent.py. After: findings.py, restate.py.

Rules (interface.md, "People of a message"; D4: the gate alone decides):
 (1) sender_kind, direction, employee_id, customer_id are what the gate says now.
 (2) Consent columns change only where the rule does that looks at who is proven (everybody in it: `not_required`; the sender in a room): then all of
     them are the gate's of now. What was judged by a decision of the customer stays as it was judged: late news is reconcile's business.
 (3) What turns out to need consent, and is refused, is restricted at once (judging.py, rule 1), and never destroyed. What is silent stays in view as `unknown`:
     the firm's policy moves nothing that was archived (judging.py, rule 2).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from pipeline import consent
from pipeline.consenting import candidates, hidden
from pipeline.consenting.candidates import Stored
from pipeline.deltalog import DataFile
from pipeline.lake import Lake
from pipeline.records import Decision
from pipeline.restating.whose import Whose
from pipeline.workbench import Workbench

NOT_REQUIRED = "not_required"
PARTIES = ("sender_kind", "direction", "employee_id", "customer_id")
COLUMNS = (*candidates.COLUMNS, *PARTIES, "consent", "consent_rule")
# Rules of the gate that ask who is proven before they ask anybody.
BY_WHO_IS_PROVEN = ("1", "6")


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """An archived row and the gate's decision of now. old: its columns as they are stored."""

    row: Stored
    decision: Decision
    old: dict[str, Any]

    @property
    def key(self) -> tuple[str, int]:
        """Its identity."""
        return self.row.origin, self.row.seq

    @property
    def flips(self) -> bool:
        """Whether consent is decided by another rule for who is proven (rule 2)."""
        required = bool(self.old["consent"] == NOT_REQUIRED) != (self.decision.consent == NOT_REQUIRED)
        rules = {self.old["consent_rule"], self.decision.rule}
        return required or (len(rules) == 2 and not rules.isdisjoint(BY_WHO_IS_PROVEN))

    @property
    def said_by_another(self) -> bool:
        """Whether rules that are about one side look at it differently now."""
        return (self.old["sender_kind"], self.old["direction"]) != (self.decision.sender_kind, self.decision.direction)

    @property
    def differs(self) -> bool:
        """Whether anything of the row is to be written anew."""
        return self.flips or tuple(self.old[name] for name in PARTIES) != tuple(getattr(self.decision, name) for name in PARTIES)

    def columns(self, policy_version: str, register_version: int) -> dict[str, Any]:
        """Return the columns that change, with their values (rules 1 and 2)."""
        found: dict[str, Any] = {name: getattr(self.decision, name) for name in PARTIES}
        if self.flips:
            d = self.decision
            found |= {"consent": d.consent, "consent_source": d.source, "consent_rule": d.rule, "consent_event": d.event_id, "lawful_basis": list(d.lawful_basis)}
            found |= {"policy_version": policy_version, "register_version": register_version}
        return found


def judged(bench: Workbench, files: Sequence[DataFile], whose: Whose) -> Iterator[Judged]:
    """Yield the rows in view of these people of which the gate says something else now."""
    lake = bench.home.lake(bench.corp_id)
    where = hidden.visible(lake, bench.snapshot)
    if not files:
        return
    for batch in lake.dataset("messages", files).scanner(columns=list(COLUMNS), filter=where).to_batches():
        mask = _mask(batch, whose)
        if pc.any(mask).as_py():
            yield from _judged(bench, batch.filter(mask))


def _judged(bench: Workbench, batch: pa.RecordBatch) -> Iterator[Judged]:
    for old in candidates.plain(batch):
        row = candidates.stored(old)
        decision = consent.decide(row.stub(), captured_at_ms=row.captured_at_ms, register=bench.register, directory=bench.directory, policy=bench.policy)
        if row.kind == "recall":
            decision = msgspec.structs.replace(decision, rule="7")
        found = Judged(row=row, decision=decision, old=old)
        if found.differs:
            yield found


def _mask(batch: pa.RecordBatch, whose: Whose) -> pa.Array:
    if whose.everybody:
        return pa.array([True] * batch.num_rows)
    sent = _among(batch["sender_id"], whose)
    received = _among(pc.list_flatten(batch["recipient_ids"]), whose)
    parents = pc.list_parent_indices(batch["recipient_ids"]).filter(received)
    return pc.or_(sent, pc.is_in(pa.array(range(batch.num_rows), pa.int64()), value_set=pc.unique(parents).cast(pa.int64())))


def _among(ids: pa.Array, whose: Whose) -> pa.Array:
    written = pc.is_in(ids, value_set=pa.array(sorted(whose.written), pa.string()))
    return pc.or_(written, pc.is_in(pc.ascii_lower(ids), value_set=pa.array(sorted(whose.folded), pa.string())))


def judged_before(lake: Lake, files: Sequence[DataFile], version: int) -> list[DataFile]:
    """Return the files with a row that was judged before a version of the lake."""
    found = []
    for file in files:
        lowest = pc.min(lake.read("messages", [file], columns=["register_version"])["register_version"]).as_py()
        found += [file] if lowest is not None and lowest < version else []
    return found


def rewritten(table: pa.Table, changes: dict[tuple[str, int], dict[str, Any]]) -> pa.Table:
    """Return the rows of a file with some columns of some records changed."""
    keys = list(zip(table["origin"].to_pylist(), table["seq"].to_pylist(), strict=True))
    for name in sorted({name for columns in changes.values() for name in columns}):
        at = table.column_names.index(name)
        values = [changes[key][name] if key in changes and name in changes[key] else old for key, old in zip(keys, table[name].to_pylist(), strict=True)]
        table = table.set_column(at, table.schema.field(at), pa.array(values, table.schema.field(at).type))
    return table


def holding(lake: Lake, files: Sequence[DataFile], keys: set[tuple[str, int]]) -> Iterator[tuple[DataFile, pa.Table]]:
    """Yield the files that hold rows of these records, with all of their rows."""
    seqs = pa.array(sorted({seq for _, seq in keys}), pa.uint64())
    for file in files:
        there = lake.read(file.kind, [file], columns=["origin", "seq"], where=ds.field("seq").isin(seqs))
        if keys & set(zip(there["origin"].to_pylist(), there["seq"].to_pylist(), strict=True)):
            yield file, lake.read(file.kind, [file])
