"""The records of a bundle as a table for spreadsheets: the same values as 02-messages.jsonl, as text, and nothing that a sheet would run.

Before: records.py. After: bundle.py. Source: RFC 4180; OWASP, CSV injection.

Rules: (1) UTF-8 with a byte order mark, CRLF, every field quoted; (2) a field that a sheet would take for a formula (begins with = + - @,
their full-width forms, tab, CR, LF) gets an apostrophe before it; (3) lists and objects are JSON. The jsonl is what counts: this is a copy.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pipeline.evidence.records import encode

COLUMNS = (
    "leaf", "origin", "seq", "msgid", "kind", "action", "msgtype", "sent_at_beijing", "sent_at_utc", "conversation_id", "room_id", "direction", "sender_id",
    "sender_name", "sender_seen_as", "sender_kind", "recipient_ids", "text", "recalls_msgid", "original", "recalled_at_ms", "recalled_by", "consent", "consent_source",
    "lawful_basis", "marked", "media",
)  # fmt: skip
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def table(lines: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
    """Yield the table, row by row."""
    yield b"\xef\xbb\xbf" + _row(COLUMNS)
    for line in lines:
        yield _row([cell(line[name]) for name in COLUMNS])


def _row(fields: Iterable[str]) -> bytes:
    return (",".join('"' + f.replace('"', '""') + '"' for f in fields) + "\r\n").encode("utf-8", "replace")


def cell(value: Any) -> str:
    """Return a value as a cell (rules 2 and 3); nothing for None."""
    if value is None:
        return ""
    if isinstance(value, list | dict):
        return encode(value).decode("utf-8", "replace")
    text = str(value)
    return f"'{text}" if isinstance(value, str) and text.startswith(_FORMULA) else text
