"""A conversation's lines as rows for programs and spreadsheets: one row a line, gaps and held records among them.

Before: transcript.py, conversation.py (the words of a line). After: `conversation --format`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pipeline import conversation
from pipeline.columns import Column, column
from pipeline.transcript import DayLine, Line, MessageLine, RecallLine
from pipeline.words import Lang

NAMES = (
    "line", "sent_at", "sender_id", "sender_name", "sender_kind", "msgtype", "text", "files", "findings", "recalled_at", "recalled_by", "note", "msgid", "origin", "seq",
)  # fmt: skip
_TYPES = {"sent_at": "timestamp", "recalled_at": "timestamp", "files": "json", "findings": "json", "seq": "int"}


def columns(lang: Lang) -> list[Column]:
    """Return the columns of the rows, titled; times are milliseconds since 1970 UTC."""
    return [column(name, _TYPES.get(name, "text"), lang, view="messages") for name in NAMES]  # type: ignore[arg-type]  # only types of columns.Type stand there


def rows_of(lines: Iterable[Line], lang: Lang) -> list[tuple[object, ...]]:
    """Return a row for every line but the headings of days. line: message, recall, gap, held or more; note: what stands in place of words."""
    told = [_row(line, lang) for line in lines if not isinstance(line, DayLine)]
    return [tuple(row.get(name) for name in NAMES) for row in told]


def _row(line: Line, lang: Lang) -> dict[str, Any]:
    kind = type(line).__name__.removesuffix("Line").lower()
    match line:
        case MessageLine():
            return {"line": kind, **_message(line, lang)}
        case RecallLine():
            who = {"sender_id": line.by.id, "sender_name": line.by.name, "sender_kind": line.by.kind}
            return {
                "line": kind, "sent_at": line.at_ms, **who, "msgtype": "revoke", "note": conversation.recall_text(line, lang), "msgid": line.msgid, "origin": line.origin,
                "seq": line.seq,
            }  # fmt: skip
    return {"line": kind, "note": conversation.note_text(line, lang)}


def _message(line: MessageLine, lang: Lang) -> dict[str, Any]:
    recalled = line.recalled
    text = "\n".join("".join(segment.text for segment in block.segments) for block in line.blocks)
    files = [{"kind": m.kind, "name": m.file_name, "status": m.status, "size": m.size, "sha256": m.sha256} for m in line.media]
    marks = [
        {"finding_id": m.finding_id, "rule_id": m.rule_id, "category": m.category, "severity": m.severity, "party": m.party, "matched_text": m.matched_text}
        for m in line.marks
    ]
    return {
        "sent_at": line.at_ms, "sender_id": line.sender.id, "sender_name": line.sender.name, "sender_kind": line.sender.kind, "msgtype": line.msgtype, "text": text or None,
        "files": files or None, "findings": marks or None, "recalled_at": recalled.at_ms if recalled else None,
        "recalled_by": recalled.by.id if recalled and recalled.by else None, "note": conversation.type_text(line, lang) or None, "msgid": line.msgid,
        "origin": line.origin, "seq": line.seq,
    }  # fmt: skip
