"""The newest messages that hold a text: days newest first, each window of days twice as wide as the one before, until there are enough.

Before: question.py, reader.py. After: places.py, the command `search`.

Rules:
 (1) A hit lies inside one part of a message (a text, a title, a file name), compared code point by code point. No folding: what is
     written is what is found; keyword findings (`matches`) are there for other ways of writing.
 (2) Everything goes through the view `messages`: what is withheld, pending, restricted or removed cannot be found (interface, rule 6).
 (3) Newest first by the time it was sent, else captured; then by seq.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import msgspec

from pipeline.names import Names, Person, ms_of
from pipeline.reader import Reader
from pipeline.search.places import Place, places
from pipeline.search.question import Question

WIDEST_DAYS = 62
_QUERY = """
SELECT origin, seq, msgid, dt, coalesce(sent_at, captured_at) AS moment, sent_at IS NOT NULL AS dated, sender_id, sender_kind, room_id,
    conversation_id, direction, msgtype, recalled_at, parts
FROM messages
WHERE dt BETWEEN $low AND $high AND contains(text, $text) AND len(list_filter(parts, lambda p: contains(p.text, $text))) > 0{filters}
ORDER BY moment DESC, seq DESC LIMIT $limit
"""
FILTERS = {
    "employee": " AND (lower(sender_id) = lower($employee) OR len(list_filter(recipient_ids, lambda r: lower(r) = lower($employee))) > 0)",
    "customer": " AND (sender_id = $customer OR list_contains(recipient_ids, $customer))",
    "room": " AND room_id = $room",
    "msgtype": " AND msgtype = $msgtype",
}


class Hit(msgspec.Struct, frozen=True, kw_only=True):
    """A message that holds the text: who said it (with the name of that time), when (ms, UTC; sent or else captured), where it stands in it."""

    origin: str
    seq: int
    msgid: str | None
    dt: date
    at_ms: int
    dated: bool
    sender: Person
    conversation_id: str
    room_id: str | None
    msgtype: str
    recalled: bool
    parts: list[dict[str, Any]]
    places: list[Place]


def newest(reader: Reader, question: Question) -> tuple[list[Hit], bool]:
    """Return the newest hits, at most `question.limit`, and whether there are more."""
    names = Names(reader.rows("SELECT * FROM people"))
    found: list[Hit] = []
    for low, high in windows(*span(reader, question)):
        found += [_hit(row, names, question.text) for row in _in_window(reader, question, low, high, question.limit + 1 - len(found))]
        if len(found) > question.limit:
            return found[: question.limit], True
    return found, False


def span(reader: Reader, question: Question) -> tuple[date, date]:
    """Return first and last day to look at: what was asked, cut to the months that the archive holds."""
    months = sorted({f.month for f in reader.snapshot.of("messages") if f.month[:4].isdigit()})
    if not months:
        return date.max, date.min
    last = date.fromisoformat(f"{months[-1]}-01") + timedelta(days=31)
    first = date.fromisoformat(f"{months[0]}-01")
    return max(first, question.first_day or first), min(last, question.last_day or last)


def windows(first: date, last: date) -> Iterator[tuple[date, date]]:
    """Yield (low, high) days, newest first, 1, 2, 4 … days wide; together all of first to last, none twice."""
    days, high = 1, last
    while high >= first:
        low = max(first, high - timedelta(days=days - 1))
        yield low, high
        days, high = min(2 * days, WIDEST_DAYS), low - timedelta(days=1)


def filters(question: Question) -> tuple[str, dict[str, Any]]:
    """Return the SQL of the question's filters over the columns of `messages`, and the values it binds."""
    given = {name: value for name in FILTERS if (value := getattr(question, name))}
    return "".join(FILTERS[name] for name in given), given


def _in_window(reader: Reader, question: Question, low: date, high: date, limit: int) -> list[dict[str, Any]]:
    sql, values = filters(question)
    return reader.rows(_QUERY.format(filters=sql), {**values, "text": question.text, "low": low, "high": high, "limit": limit})


def _hit(row: dict[str, Any], names: Names, needle: str) -> Hit:
    at_ms = ms_of(row["moment"]) or 0
    return Hit(
        origin=row["origin"], seq=row["seq"], msgid=row["msgid"], dt=row["dt"], at_ms=at_ms, dated=row["dated"],
        sender=names.person(row["sender_id"] or "", at_ms, row["sender_kind"]), conversation_id=row["conversation_id"], room_id=row["room_id"],
        msgtype=row["msgtype"], recalled=row["recalled_at"] is not None, parts=row["parts"], places=places(row["parts"], needle),
    )  # fmt: skip
