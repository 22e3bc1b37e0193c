"""Who is meant: people by a part of a name, alias or remark of any time, by id, by the tail of a phone, by one of the firm's own numbers.

Before: the views `people`, `follows`, `identities`, `messages`. After: the command `customer find`.

Rules:
 (1) Names, aliases, ids and the remarks that followers keep (those of the past too) hold the text anywhere, without regard to case; numbers of
     the firm (customer, policy, account) match whole; a phone matches by its last digits, four at least.
 (2) Whoever was found is told with the names of all times, what each follower called him and when, the numbers linked to him, and with whom he
     talked, first and last day.
 (3) Counts come from the view `messages`: what is withheld or restricted is not counted.
"""

from __future__ import annotations

import re
from datetime import date
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import beside
from pipeline.errors import UsageError
from pipeline.reader import Reader

SHORTEST_TAIL = 4
_FOUND = """
WITH asked AS (SELECT lower($text) AS low, regexp_replace($text, '[^0-9]', '', 'g') AS digits),
hits AS (
    SELECT userid AS id, 'name' AS found_by, name AS value FROM people, asked WHERE contains(lower(name), low)
    UNION SELECT userid, 'alias', alias FROM people, asked WHERE contains(lower(alias), low)
    UNION SELECT external_userid, 'remark', remark FROM follows, asked WHERE contains(lower(remark), low)
    UNION SELECT userid, 'id', userid FROM people, asked WHERE contains(lower(userid), low)
    UNION SELECT external_userid, kind, value FROM identities, asked
        WHERE (kind IN ('customer', 'policy', 'account') AND lower(value) = low) OR (kind = 'name' AND contains(lower(value), low))
           OR (kind = 'phone' AND length(digits) >= $tail AND digits = regexp_replace($text, '[ +-]', '', 'g')
               AND suffix(regexp_replace(value, '[^0-9]', '', 'g'), digits))
    UNION SELECT external_userid, 'id', external_userid FROM identities, asked WHERE contains(lower(external_userid), low)
    {by_id_in_messages}
)
SELECT id, list(DISTINCT found_by ORDER BY found_by) AS found_by FROM hits WHERE id IS NOT NULL GROUP BY id ORDER BY id LIMIT $limit
"""
# Ids are ASCII: what holds anything else is looked for in no message.
_ID = re.compile(r"[A-Za-z0-9_.@-]+")
_BY_ID_IN_MESSAGES = """
    UNION SELECT sender_id, 'id', sender_id FROM (SELECT DISTINCT sender_id FROM messages), asked WHERE contains(lower(sender_id), low)
    UNION SELECT r, 'id', r FROM (SELECT DISTINCT unnest(recipient_ids) AS r FROM messages), asked WHERE contains(lower(r), low)
"""
_BY_ID_OF_FEW = "UNION SELECT id, 'id', id FROM (SELECT unnest($talkers::VARCHAR[]) AS id), asked WHERE contains(lower(id), low)"
FEW = 8  # so many people are looked up one by one, each in the row groups that may hold him
_TALKS = """
WITH parties AS (
    SELECT dt, conversation_id, unnest(list_distinct(list_append(recipient_ids, sender_id))) AS id FROM messages
    WHERE list_contains($ids, sender_id) OR list_has_any(recipient_ids, $ids)
)
SELECT id, count(*) AS messages, min(dt) AS first_day, max(dt) AS last_day, list(DISTINCT conversation_id ORDER BY conversation_id) AS conversations
FROM parties WHERE list_contains($ids, id) GROUP BY id
"""


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """A person: `by` says what the text was found in; names newest first; days are Beijing days, None where nothing was archived.

    remarks: what each follower (userid, with the name of that time) calls him, with valid_from and valid_to, newest first."""

    id: str
    kind: str
    by: list[str]
    names: list[str]
    remarks: list[dict[str, Any]]
    links: list[dict[str, Any]]
    messages: int
    first_day: date | None
    last_day: date | None
    conversations: list[str]


def find(reader: Reader, text: str, *, limit: int = 100) -> list[Found]:
    """Return who may be meant, whoever talked most first; raises UsageError CUSTOMER_TEXT for an empty text."""
    if not text.strip():
        raise UsageError("CUSTOMER_TEXT", "expected a name, an id, a number or the tail of a phone, got nothing", remedy="for example `liuhen customer find 王`")
    asked = {"text": text.strip(), "tail": SHORTEST_TAIL, "limit": limit}
    maybe = _maybe(reader, text.strip())
    if len(maybe) > FEW:
        talks, rows = {}, reader.rows(_FOUND.replace("{by_id_in_messages}", _BY_ID_IN_MESSAGES), asked)
    else:  # whoever is in a message that may be seen, talks there: what is hidden tells of nobody
        talks = _talks(reader, maybe)
        rows = reader.rows(_FOUND.replace("{by_id_in_messages}", _BY_ID_OF_FEW), {**asked, "talkers": list(talks)})
    ids = [r["id"] for r in rows]
    talks |= _talks(reader, [i for i in ids if len(maybe) > FEW or i not in maybe])
    people, links, remarks = _people(reader, ids), _links(reader, ids), _remarks(reader, ids)
    found = [_found(r, people.get(r["id"], []), links.get(r["id"], []), remarks.get(r["id"], []), talks.get(r["id"], {})) for r in rows]
    return sorted(found, key=lambda f: (-f.messages, f.id))


def _maybe(reader: Reader, text: str) -> list[str]:
    """Return the ids in messages, of those too that the reader may not see, that may hold a text; letters beyond ASCII have cases of their own, so
    that an id with one always may."""
    if not _ID.fullmatch(text):
        return []
    low = text.lower()

    def may(ids: pa.Array) -> pa.Array:
        return pc.or_(pc.match_substring(pc.ascii_lower(ids), low), pc.invert(pc.string_is_ascii(ids)))

    return sorted(reader.steady(lambda: reader.messages().different("sender_id", may) | reader.messages().different("recipient_ids", may)))


def _talks(reader: Reader, ids: list[str]) -> dict[str, dict[str, Any]]:
    """Return how much each of these people talked, by id."""
    if len(ids) > FEW:
        return {r["id"]: r for r in reader.rows(_TALKS, {"ids": ids})}
    found: dict[str, dict[str, Any]] = {}
    for one in ids:
        with reader.of_person(one):
            found |= {r["id"]: r for r in reader.rows(_TALKS, {"ids": [one]})}
    return found


def _people(reader: Reader, ids: list[str]) -> dict[str, list[dict[str, Any]]]:
    by_id: dict[str, list[dict[str, Any]]] = {}
    for row in reader.rows("SELECT * FROM people WHERE list_contains($ids, userid) ORDER BY valid_from DESC NULLS LAST", {"ids": ids}):
        by_id.setdefault(row["userid"], []).append(row)
    return by_id


def _links(reader: Reader, ids: list[str]) -> dict[str, list[dict[str, Any]]]:
    by_id: dict[str, list[dict[str, Any]]] = {}
    query = "SELECT external_userid, kind, value, source, confidence FROM identities WHERE list_contains($ids, external_userid) ORDER BY ALL"
    for row in reader.rows(query, {"ids": ids}):
        by_id.setdefault(row.pop("external_userid"), []).append(row)
    return by_id


def _remarks(reader: Reader, ids: list[str]) -> dict[str, list[dict[str, Any]]]:
    by_id: dict[str, list[dict[str, Any]]] = {}
    query = (
        "SELECT external_userid, userid, remark, valid_from, valid_to FROM follows WHERE list_contains($ids, external_userid) AND remark <> ''"
        " ORDER BY external_userid, valid_from DESC NULLS LAST, lower(userid)"
    )
    rows = reader.rows(query, {"ids": ids})
    names = beside.names_of(reader, "employee", [(row["userid"], row["valid_from"] or row["valid_to"]) for row in rows])
    for row, name in zip(rows, names, strict=True):
        by_id.setdefault(row["external_userid"], []).append({k: {**row, "name": name}[k] for k in ("remark", "userid", "name", "valid_from", "valid_to")})
    return by_id


def _found(
    row: dict[str, Any], people: list[dict[str, Any]], links: list[dict[str, Any]], remarks: list[dict[str, Any]], talks: dict[str, Any]
) -> Found:
    return Found(
        id=row["id"], by=row["found_by"], kind=people[0]["kind"] if people else "unknown",
        names=list(dict.fromkeys(n for p in people for n in (p["name"], p["alias"]) if n)), remarks=remarks, links=links,
        messages=talks.get("messages", 0), first_day=talks.get("first_day"), last_day=talks.get("last_day"), conversations=talks.get("conversations", []),
    )  # fmt: skip
