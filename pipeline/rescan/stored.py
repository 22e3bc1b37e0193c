"""Rows of messages → turns → findings → rows of matches. What lies in the archive is read as ingest saw it: clear text where it was masked.

Before: ../lake.py, ../match/, begins.py. After: follow.py, months.py, preview.py.

Findings carry the masked text, as at ingest. Messages without a time of sending are matched by themselves and belong to no conversation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from pipeline import pii, schema
from pipeline.consenting import hidden
from pipeline.deltalog import DataFile, Snapshot
from pipeline.lake import Lake
from pipeline.match.context import Across, Span, Turn, across, finding_key
from pipeline.match.judge import Approved
from pipeline.match.lexicon import Lexicon
from pipeline.match.matching import Examined, examine_all
from pipeline.records import Decision, Finding, Message, Part, Quote
from pipeline.rescan.begins import BEGINS

COLUMNS = (
    "origin", "seq", "msgid", "kind", "action", "msgtype", "sent_at", "sender_id", "sender_kind", "recipient_ids", "room_id", "conversation_id",
    "direction", "employee_id", "customer_id", "parts", "parts_clear", "quotes", "recalls_msgid", "consent", "captured_at", "dt",
)  # fmt: skip
NOTHING = Examined()
SLICE = 4_096  # rows turned into objects at once


class Stored(NamedTuple):
    """One message as it is stored, and its masked parts. turn.at_ms is None-free: messages without a time are not in a conversation (`timed`)."""

    turn: Turn
    conversation_id: str
    dt: Any
    masked: tuple[str, ...]
    timed: bool
    begins: bool = True  # whether a rule with a context could begin in it (begins.py)
    found: Examined = Examined()


class Row(NamedTuple):
    """A finding ready to be stored: with its places, the message it belongs to, and what stands there, masked."""

    stored: Stored
    finding: Finding
    spans: tuple[Span, ...]
    matched_text: str


def read(lake: Lake, snapshot: Snapshot, files: Sequence[DataFile], where: pc.Expression | None = None) -> pa.Table:
    """Return the rows of message files that are in view and meet `where`, with the columns that matching needs, in order of conversation, time, seq."""
    visible = hidden.visible(lake, snapshot)
    if visible is not None:
        where = visible if where is None else where & visible
    table = lake.read("messages", files, columns=list(COLUMNS), where=where)
    return table.sort_by([(name, "ascending") for name in ("conversation_id", "sent_at", "seq", "origin")])


def conversations(
    table: pa.Table, lexicon: Lexicon, approved: Approved | None, *, alone: bool = True, known: Callable[[Stored], Stored] = lambda stored: stored
) -> Iterator[list[Stored]]:
    """Yield the conversations of a table that `read` gave, each in order and examined; messages without a time come last in theirs.

    Not alone, only messages are examined in which a rule with a context could begin. known: what is known of a message by now, before it is examined."""
    table = table.combine_chunks()
    current: list[Stored] = []
    for at in range(0, table.num_rows, SLICE):
        for one in _examined([known(s) for s in _stored(table.slice(at, SLICE))], lexicon, approved, alone):
            if current and current[0].conversation_id != one.conversation_id:
                yield current
                current = []
            current.append(one)
    if current:
        yield current


def _stored(table: pa.Table) -> Iterator[Stored]:
    columns = {name: _values(table[name].combine_chunks()) for name in table.column_names}
    names = list(columns)
    for values in zip(*columns.values(), strict=True):
        yield _one(dict(zip(names, values, strict=True)))


def _values(column: pa.Array) -> list[Any]:
    """Return a column as Python values: times as milliseconds, structs in lists as tuples. `to_pylist` takes microseconds for days and structs."""
    if pa.types.is_timestamp(column.type):
        return column.cast(pa.timestamp("ms", "UTC")).cast(pa.int64()).to_pylist()  # type: ignore[no-any-return]
    if pa.types.is_date(column.type):
        days = column.dictionary_encode()
        values = days.dictionary.to_pylist()
        return [None if at is None else values[at] for at in days.indices.to_pylist()]
    if not pa.types.is_list(column.type) or not pa.types.is_struct(column.type.value_type):
        return column.to_pylist()  # type: ignore[no-any-return]
    ends = column.offsets.to_pylist()
    held = column.values.slice(ends[0], ends[-1] - ends[0])  # of a slice, `values` are those of the whole
    flat = list(zip(*[field.to_pylist() for field in held.flatten()], strict=True))
    ends = [end - ends[0] for end in ends]
    return [flat[a:b] if valid else None for a, b, valid in zip(ends[:-1], ends[1:], column.is_valid().to_pylist(), strict=True)]


def _examined(slice_: Sequence[Stored], lexicon: Lexicon, approved: Approved | None, alone: bool) -> list[Stored]:
    """What each message by itself shows: many are searched at once, whatever conversation they belong to."""
    wanted = [n for n, stored in enumerate(slice_) if alone or stored.begins]
    found = examine_all([(slice_[n].turn.message, slice_[n].turn.decision) for n in wanted], lexicon, approved)
    by_number = dict(zip(wanted, found, strict=True))
    return [stored._replace(found=by_number.get(n, NOTHING)) for n, stored in enumerate(slice_)]


def _one(row: dict[str, Any]) -> Stored:
    clear = row["parts_clear"] if row["parts_clear"] is not None else row["parts"]
    sent_ms: int | None = row["sent_at"]
    message = Message(
        msgid=row["msgid"], kind=row["kind"], action=row["action"] or "", msgtype=row["msgtype"] or "", sender_id=row["sender_id"],
        recipient_ids=tuple(row["recipient_ids"] or ()), room_id=row["room_id"], sent_at_ms=sent_ms, text="",
        parts=tuple([Part(path, text) for path, text in clear or ()]), quotes=tuple([Quote(*quote) for quote in row["quotes"] or ()]),
        recalls_msgid=row["recalls_msgid"],
    )  # fmt: skip
    decision = Decision(
        fate="archived", consent=row["consent"], source="", rule="", reason="", lawful_basis=(), sender_kind=row["sender_kind"],
        direction=row["direction"], employee_id=row["employee_id"], customer_id=row["customer_id"],
    )  # fmt: skip
    turn = Turn(row["captured_at"] if sent_ms is None else sent_ms, row["seq"], row["origin"], message, decision)
    masked = tuple([text for _, text in row["parts"] or ()])
    return Stored(turn, row["conversation_id"], row["dt"], masked, sent_ms is not None, row.get(BEGINS, True))


# -- matching -----------------------------------------------------------------------------------------------------------


def matched(
    conversation: Sequence[Stored], lexicon: Lexicon, approved: Approved | None, *, as_of_ms: int, alone: bool = True
) -> Iterator[Row]:
    """Yield the findings of one conversation, as `conversations` gives it: of each message by itself when `alone`, then over several."""
    if alone:
        for stored in conversation:
            for finding in stored.found.findings:
                span = Span(stored.turn.message.msgid, finding.part, finding.start_cp, finding.end_cp)
                yield Row(stored, finding, (span,), stored.masked[finding.part][finding.start_cp : finding.end_cp])
    timed = [(s, s.turn._replace(anchors=s.found.anchors)) for s in conversation if s.timed]
    for one in across([turn for _, turn in timed], lexicon, as_of_ms=as_of_ms, approved=approved):
        text = _masked_text([s for s, _ in timed], one)
        yield Row(timed[one.turn][0], one.finding, one.spans, _hidden(text, one.finding, lexicon))


def _hidden(text: str, finding: Finding, lexicon: Lexicon) -> str:
    """The text of personal data written over several messages: neither of them by itself was worth masking. Their term is their kind."""
    kinds = next(rule.pii for rule in lexicon.rules if rule.id == finding.rule_id)
    kind = next((kind for kind in kinds if kind == finding.term and kind != "digits"), None)
    return text if kind is None else pii.mask(text, [pii.Pii(0, len(text), kind)])


def _masked_text(conversation: Sequence[Stored], one: Across) -> str:
    """What stands at the places, masked: all pieces of a term that was written over several messages, else the finding's own place."""
    if one.finding.via != "split":
        masked = conversation[one.turn].masked
        return masked[one.finding.part][one.finding.start_cp : one.finding.end_cp] if one.finding.part < len(masked) else ""
    by_id = {s.turn.message.msgid: s.masked for s in conversation}
    return "".join(by_id[span.msgid][span.part][span.start_cp : span.end_cp] for span in one.spans)


def rows_table(corp_id: str, rows: Iterable[Row], version: str, found_ms: int) -> pa.Table | None:
    """Return findings as rows of kind `matches`, or None when there are none."""
    columns: dict[str, list[Any]] = {c.name: [] for c in schema.kind("matches").columns}
    for row in rows:
        turn, finding = row.stored.turn, row.finding
        values = {
            "finding_id": finding_key(corp_id, finding.rule_id, row.spans), "origin": turn.origin, "seq": turn.seq, "msgid": turn.message.msgid,
            "conversation_id": row.stored.conversation_id, "dt": row.stored.dt, "sent_at": turn.message.sent_at_ms, "sender_id": turn.message.sender_id,
            "employee_id": turn.decision.employee_id, "customer_id": turn.decision.customer_id, "direction": turn.decision.direction,
            "rule_id": finding.rule_id, "category": finding.category, "severity": finding.severity, "party": finding.party, "term": finding.term,
            "matched_text": row.matched_text, "part": finding.part, "start_cp": finding.start_cp, "end_cp": finding.end_cp,
            "spans": [span._asdict() for span in row.spans], "via": finding.via, "suppressed_by": finding.suppressed_by,
            "lexicon_version": version, "matched_at": found_ms,
        }  # fmt: skip
        for name, value in values.items():
            columns[name].append(value)
    return schema.table("matches", columns) if columns["finding_id"] else None


def known(lake: Lake, files: Sequence[DataFile], where: pc.Expression | None = None) -> set[tuple[str, str | None]]:
    """Return (finding_id, suppressed_by) of the findings in files of `matches`."""
    table = lake.read("matches", files, columns=["finding_id", "suppressed_by"], where=where)
    return set(zip(table["finding_id"].to_pylist(), table["suppressed_by"].to_pylist(), strict=True))


def fresh(corp_id: str, rows: Iterable[Row], there: set[tuple[str, str | None]]) -> list[Row]:
    """Return the rows that are not stored yet, each once."""
    seen = set(there)
    found = []
    for row in rows:
        key = finding_key(corp_id, row.finding.rule_id, row.spans), row.finding.suppressed_by
        if key not in seen:
            seen.add(key)
            found.append(row)
    return found


def ms_of(value: datetime) -> int:
    """Return a time as milliseconds since 1970 UTC."""
    return round(value.timestamp() * 1000)


__all__ = ["Row", "Stored", "conversations", "fresh", "known", "matched", "ms_of", "read", "rows_table"]
