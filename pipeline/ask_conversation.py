"""Asks for everything a conversation consists of: messages, findings, files, gaps, people, and what stays unopened.

Before: reader.py. After: transcript.py (order), conversation.py (words and page).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipeline import __version__, clock, custody, transcript
from pipeline.conversation import Meta
from pipeline.errors import UsageError
from pipeline.pseudonyms import Pseudonyms
from pipeline.reader import Reader
from pipeline.register import pair_scope
from pipeline.transcript import Line

# What a line is made of: each column more of a row group is opened on its own.
MESSAGE = (
    "origin", "seq", "msgid", "kind", "msgtype", "sent_at", "captured_at", "dt", "sender_id", "sender_kind", "recipient_ids", "room_id", "direction", "consent",
    "text", "parts", "quotes", "recalls_msgid", "recalled_at", "recalled_by",
)  # fmt: skip
FINDING = (
    "finding_id", "msgid", "rule_id", "category", "severity", "party", "term", "matched_text", "via", "suppressed_by", "part", "start_cp", "end_cp", "spans",
)  # fmt: skip


def gather(reader: Reader, conversation_id: str, *, around: str | None, demo: bool) -> tuple[list[Line], Meta]:
    """Return the lines of a conversation (a window of them with `around`) and what the page says of itself; raises UsageError CONVERSATION_UNKNOWN."""
    with reader.about(conversation_id):
        return _gathered(reader, conversation_id, around=around, demo=demo)


def _gathered(reader: Reader, conversation_id: str, *, around: str | None, demo: bool) -> tuple[list[Line], Meta]:
    named = {"id": conversation_id}
    messages = reader.rows(f"SELECT {', '.join(MESSAGE)} FROM lake_messages_recalled WHERE conversation_id = $id", named)
    held = _held(reader, conversation_id)
    if not messages and not held:
        raise UsageError(
            "CONVERSATION_UNKNOWN", "the archive has no such conversation", remedy="an id is a room, or the sorted pair of ids joined by |; audits name them"
        )
    media = reader.rows("SELECT * FROM media WHERE msgid IN (SELECT unnest($msgids))", {"msgids": [m["msgid"] for m in messages] or [""]})
    lines = transcript.lines_of(
        messages,
        findings=reader.rows(f"SELECT {', '.join(FINDING)} FROM matches WHERE conversation_id = $id", named),
        media=media,
        gaps=reader.rows("SELECT * FROM gaps"),
        held=held,
        people=_named(reader, messages),
    )
    meta = _meta(reader, conversation_id, messages, demo)
    return (transcript.around(lines, around) if around else lines), meta


def _named(reader: Reader, messages: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return who everybody a message names was."""
    named = {p for m in messages for p in (m["sender_id"], m["recalled_by"], *(m["recipient_ids"] or ())) if p}
    with reader.of_people({p.lower() for p in named}):
        return reader.rows("SELECT * FROM people")


def _held(reader: Reader, conversation_id: str) -> list[dict[str, Any]]:
    """Return withheld and pending records of the conversation's scopes: where they stand, nothing of what they say."""
    people = conversation_id.split("|")
    names = Pseudonyms(reader.home, reader.corp_id)
    scopes = [names.scope_ref(s) for s in (pair_scope(*people), pair_scope(*reversed(people)))] if len(people) == 2 else []
    return reader.rows(
        "SELECT seq, origin, fate FROM lake_rest_records WHERE fate IN ('withheld', 'pending', 'restricted') AND (room_id = $id OR list_contains($scopes, scope_ref))",
        {"id": conversation_id, "scopes": scopes},
    )


def _meta(reader: Reader, conversation_id: str, messages: Sequence[dict[str, Any]], demo: bool) -> Meta:
    corp = next(c for c in reader.home.config.corp if c.id == reader.corp_id)
    days = [m["dt"] for m in messages]
    if "unopened" not in reader.kept:  # of the archive, not of the conversation: asked once a version
        (reader.kept["unopened"],) = reader.rows("SELECT (SELECT count(*) FROM failures) AS unopened, (SELECT count(*) FROM restricted) AS restricted")
    unopened: dict[str, int] = reader.kept["unopened"]
    return Meta(
        corp_id=reader.corp_id, corp_name=corp.name, conversation_id=conversation_id, room=any(m["room_id"] for m in messages),
        from_day=min(days, default=None), to_day=max(days, default=None), made_at_ms=clock.now_ms(), actor=custody.actor(), demo=demo, single_mode=reader.access.mode == "single",
        stand=f"{reader.snapshot.version}", uninspected={k: n for k, n in unopened.items() if n},
        program=f"liuhen {__version__}",
    )  # fmt: skip
