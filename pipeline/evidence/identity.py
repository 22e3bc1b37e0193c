"""Who the accounts of a bundle were, as of each time: inside the firm, and as the customer saw them; what these people agreed to and were told.

Before: records.py, the views people, follows, identities, consent, notices. After: bundle.py, report.py. Sources: evidence.md, section 1 (6);
WeCom's `user/get` (alias, external_profile.external_corp_name), `externalcontact/get` (name, follow_user[].remark).

Rules (names.py, `seen_name`, for the first):
 (1) a customer sees an employee's alias where there is one, else the name, behind it the firm's short name. Whether a firm lets the alias be
     seen is a setting that no interface tells: the name and the alias both stand beside what is derived from them.
 (2) a customer's name is the one that he chose himself; the remark is what a member calls him: inside the firm only, he never sees it.
 (3) nothing is guessed: an account that nobody describes says `nothing`; an employee's is found in whatever case the directory spells the id.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from pipeline.evidence.records import Told, plain
from pipeline.names import Row, person_key, seen_name
from pipeline.reader import Reader


class Named(msgspec.Struct, frozen=True):
    """The ids of people and rooms that the records of a bundle name, as received, sorted."""

    ids: list[str]
    rooms: list[str]


def named(told: Iterable[Told]) -> Named:
    """Return whom and which rooms records name."""
    ids, rooms = set[str](), set[str]()
    for one in told:
        ids.update(i for i in (one.line["sender_id"], one.line["recalled_by"], *one.line["recipient_ids"]) if i)
        rooms.update({one.line["room_id"]} - {None})
    return Named(sorted(ids), sorted(rooms))


def accounts(reader: Reader, about: Named) -> Iterator[dict[str, Any]]:
    """Yield who the ids were: every row of the directory, told apart by who saw it, every remark, every number of the firm that is linked to them."""
    ids, known = {"ids": about.ids}, set[str]()
    query = f"SELECT * FROM people WHERE {_OF.format('userid')} OR (kind = 'employee' AND lower(userid) IN (SELECT unnest($lower))) ORDER BY userid, valid_from NULLS FIRST, name"
    for row in reader.rows(query, {**ids, "lower": _lower(about)}):
        known.add(person_key(row["userid"], row["kind"]))
        yield {"id": row["userid"], "says": "directory", **_without(row, "userid"), "customer_saw": _customer_saw(row), "inside_firm": _inside(row)}
    query = f"SELECT * FROM follows WHERE {_OF.format('external_userid')} AND remark <> '' ORDER BY external_userid, userid, valid_from NULLS FIRST, remark"
    for row in reader.rows(query, ids):
        told = _without(row, "external_userid", "userid", "remark", "add_way")
        yield {"id": row["external_userid"], "says": "remark", "by": row["userid"], **told, "customer_saw": None, "inside_firm": {"remark": row["remark"]}}
    for row in reader.rows(f"SELECT * FROM identities WHERE {_OF.format('external_userid')} ORDER BY external_userid, kind, value", ids):
        yield {"id": row["external_userid"], "says": "identity", **_without(row, "external_userid")}
    yield from ({"id": i, "says": "nothing"} for i in about.ids if not known & {i, person_key(i, "employee")})


_OF = "{} IN (SELECT unnest($ids))"


def _customer_saw(row: Row) -> dict[str, Any] | None:
    """Rules 1 and 2; None where nothing was there to be seen."""
    if seen_name(row) is None:
        return None
    if row["kind"] != "employee":
        return {"name": row["name"]}
    return {"name": row["alias"] or row["name"], "from": "alias" if row["alias"] else "name", "firm": row["short_name"]}


def _inside(row: Row) -> dict[str, Any] | None:
    return {"name": row["name"], "department": row["department"]} if row["kind"] == "employee" else None


def _without(row: Row, *names: str) -> dict[str, Any]:
    return {k: plain(v) for k, v in row.items() if k not in ("corp_id", *names)}


def consent_events(reader: Reader, about: Named) -> list[dict[str, Any]]:
    """Return every consent event of the pairs and rooms in a bundle, oldest first."""
    query = (
        "SELECT * FROM consent WHERE lower(external_userid) IN (SELECT unnest($people)) AND"
        " (lower(userid) IN (SELECT unnest($people)) OR room_id IN (SELECT unnest($rooms)))"
        " ORDER BY changed_at, recorded_at, external_userid, userid, room_id"
    )
    return [_without(r) for r in reader.rows(query, {"people": _lower(about), "rooms": about.rooms})]


def notices(reader: Reader, about: Named) -> list[dict[str, Any]]:
    """Return what the people of a bundle were told, by digest, oldest first: greetings and cards, employees' notices, every version of the text."""
    query = (
        "SELECT * FROM notices AS n WHERE (external_userid IS NULL OR lower(external_userid) IN (SELECT unnest($people)))"
        " AND (userid IS NULL OR lower(userid) IN (SELECT unnest($people))) ORDER BY n.at NULLS FIRST, recorded_at, notice_id"
    )
    return [_without(r) for r in reader.rows(query, {"people": _lower(about)})]


def _lower(about: Named) -> list[str]:
    return sorted({i.lower() for i in about.ids})
