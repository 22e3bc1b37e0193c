"""The clear words of one message whose personal data are masked.

Before: reader.py, lake.py. After: `liuhen reveal`.

Rules:
 (1) One message a call, by msgid, and only one that the views show: what is restricted, erased or withheld stays so.
 (2) The clear values lie in columns of their own under the second key (docs/formats.md); nothing else reads them for showing.
 (3) Each call needs a purpose; the custody log holds it, with the message it was about (`liuhen reveal` writes it before anything is read).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
import pyarrow.compute as pc

from pipeline.errors import UsageError
from pipeline.reader import Reader

COLUMNS = ("text", "parts", "text_clear", "parts_clear")


class Revealed(msgspec.Struct, frozen=True, kw_only=True):
    """A message's words, masked and clear, and who said them; equal where nothing was masked. parts: (path, masked, clear)."""

    origin: str
    seq: int
    msgid: str
    sent_at: datetime | None
    sender_id: str | None
    conversation_id: str
    text: str
    clear: str
    parts: tuple[tuple[str, str, str], ...]


def reveal(reader: Reader, msgid: str) -> list[Revealed]:
    """Return the records of that msgid (a sealed one and an import can share it); raises UsageError MSGID_UNKNOWN when no view shows it."""
    query = "SELECT origin, seq, sent_at, sender_id, conversation_id, strftime(dt, '%Y-%m') AS month FROM messages WHERE msgid = $msgid ORDER BY origin, seq"
    shown = reader.rows(query, {"msgid": msgid})
    if not shown:
        raise UsageError("MSGID_UNKNOWN", "no message that the views show has this msgid", remedy="compare it with `liuhen sql \"SELECT msgid FROM messages\"`")
    return [_revealed(reader, row, msgid) for row in shown]


def _revealed(reader: Reader, row: dict[str, Any], msgid: str) -> Revealed:
    files = reader.snapshot.of("messages", months=[row["month"]])
    here = (pc.field("origin") == row["origin"]) & (pc.field("seq") == row["seq"])
    (found,) = reader.lake.dataset("messages", files).to_table(columns=list(COLUMNS), filter=here).to_pylist()
    parts = found["parts"] or []
    clear = found["parts_clear"] or parts
    return Revealed(
        origin=row["origin"], seq=row["seq"], msgid=msgid, sent_at=row["sent_at"], sender_id=row["sender_id"], conversation_id=row["conversation_id"],
        text=found["text"], clear=found["text"] if found["text_clear"] is None else found["text_clear"],
        parts=tuple((m["path"], m["text"], c["text"]) for m, c in zip(parts, clear, strict=True)),
    )  # fmt: skip
