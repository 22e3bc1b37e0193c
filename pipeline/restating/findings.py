"""Findings of messages whose people are known by now: by whom they are, and whether their rules are about such words at all.

Before: rows.py, rescan/. After: restate.py.

Rules:
 (1) Findings of every version carry the message's direction, employee and customer of now, and its sender as party; `quoted` stays.
 (2) A rule that is about one side looks again: under the current packs the conversations of these messages are matched as a rescan does. What is
     found and was not is added. What is found no more stays and says so: `suppressed_by` = `directory`; it counts again when it is found again.
 (3) Findings under earlier packs cannot be made again: rule 1 alone.
"""

from __future__ import annotations

import calendar
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.consenting.change import Change
from pipeline.match.context import finding_key
from pipeline.rescan import months, stored
from pipeline.restating.rows import Judged
from pipeline.stage import HOT
from pipeline.workbench import Workbench

BY_DIRECTORY = "directory"
_BUCKETS = "0123456789abcdef"
Key = tuple[str, int]


def restate(bench: Workbench, month: str, changed: Mapping[Key, Judged], made: Change, *, now_ms: int) -> None:
    """Plan the findings of these messages of one month anew, in the commit that rewrites their rows."""
    heard = {key: j for key, j in changed.items() if j.said_by_another}
    found = list(_found(bench, month, heard, now_ms)) if heard else []
    holding = {finding_key(bench.corp_id, row.finding.rule_id, row.spans): row.finding.suppressed_by for row in found}
    there: set[str] = set()
    for file in bench.snapshot.of("matches", months=[month]):
        table = made.lake.read("matches", [file])
        current = file.lexicon == bench.lexicon_version
        there |= set(table["finding_id"].to_pylist()) if current else set()
        anew = _anew(table, changed, heard, holding if current else None)
        if anew is not None:
            made.instead(file, anew)
    _add(bench, month, [row for row in found if finding_key(bench.corp_id, row.finding.rule_id, row.spans) not in there], made, now_ms)


def _anew(table: pa.Table, changed: Mapping[Key, Judged], heard: Mapping[Key, Judged], holding: dict[str, str | None] | None) -> pa.Table | None:
    """Return the findings of a file as they are to be, None where none of them is concerned. holding: what is found now, None under earlier packs."""
    names = {j.row.msgid for j in heard.values()}
    columns: dict[str, list[Any]] = {n: table[n].to_pylist() for n in ("employee_id", "customer_id", "direction", "party", "suppressed_by")}
    touched = False
    for n, (origin, seq, finding, spans) in enumerate(zip(*(table[c].to_pylist() for c in ("origin", "seq", "finding_id", "spans")), strict=True)):
        judged = changed.get((origin, seq))
        if judged is not None:
            touched = True
            for name in ("employee_id", "customer_id", "direction"):
                columns[name][n] = getattr(judged.decision, name)
            columns["party"][n] = "quoted" if columns["party"][n] == "quoted" else judged.decision.sender_kind
        if holding is not None and ((origin, seq) in heard or any(s["msgid"] in names for s in spans)):
            by = columns["suppressed_by"][n]
            now = holding.get(finding, BY_DIRECTORY if by is None else by)
            touched |= now != by
            columns["suppressed_by"][n] = now
    if not touched:
        return None
    for name, values in columns.items():
        at = table.column_names.index(name)
        table = table.set_column(at, table.schema.field(at), pa.array(values, table.schema.field(at).type))
    return table


def _found(bench: Workbench, month: str, heard: Mapping[Key, Judged], now_ms: int) -> Iterator[stored.Row]:
    """Yield what is found now in the conversations of these messages: of themselves, and of several messages together."""
    wanted = pa.array(sorted({j.row.conversation_id for j in heard.values()}), pa.string())
    names = {j.row.msgid for j in heard.values()}
    for share in _shares(bench, month, now_ms):
        table = months.read_share(bench.home.lake(bench.corp_id), bench.snapshot, share, bench.packs)
        table = table.filter(pc.is_in(table["conversation_id"], value_set=wanted))
        for conversation in stored.conversations(table, bench.packs, bench.approved, known=lambda s: _as_of_now(s, heard)):
            for row in months.found_in(conversation, share, bench.packs, bench.approved):
                if any(span.msgid in names for span in row.spans):
                    yield row


def _as_of_now(one: stored.Stored, heard: Mapping[Key, Judged]) -> stored.Stored:
    judged = heard.get((one.turn.origin, one.turn.seq))
    return one if judged is None else one._replace(turn=one.turn._replace(decision=judged.decision))


def _shares(bench: Workbench, month: str, now_ms: int) -> Iterator[months.Share]:
    """Yield the month in as many shares as memory asks for."""
    year, number = int(month[:4]), int(month[5:])
    size = sum(f.rows for f in bench.snapshot.of("messages", months=[month]))
    for buckets in [""] if size <= months.ROWS_A_SHARE else list(_BUCKETS):
        yield months.Share(
            home=str(bench.home.path), corp_id=bench.corp_id, version=bench.snapshot.version, month=month, first=date(year, number, 1),
            last=date(year, number, calendar.monthrange(year, number)[1]), as_of_ms=now_ms, buckets=buckets,
        )  # fmt: skip


def _add(bench: Workbench, month: str, found: list[stored.Row], made: Change, now_ms: int) -> None:
    table = stored.rows_table(bench.corp_id, stored.fresh(bench.corp_id, found, set()), bench.lexicon_version, now_ms)
    if table is not None:
        made.write(table, "matches", month=month, bucket=HOT, lexicon=bench.lexicon_version)
