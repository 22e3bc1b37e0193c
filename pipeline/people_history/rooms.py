"""Rooms and who was in them: what WeCom says now → rows of `rooms` and `memberships`.

Before: facts.py, wecom/calls.py, wecom/contacts.py. After: sync.py.

Rules: (1) a room is asked as a customer group first; one that is none (90501) is asked as an internal group. (2) An answer lists all
members: who is not in it any more has left by now. (3) A room that neither call knows (born on the customers' side, 40050) has no row.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from pipeline.people_history.facts import Fact, Key, Seen, changes, endings
from pipeline.wecom import calls, contacts
from pipeline.wecom.calls import Room
from pipeline.wecom.client import Client, Unresolved

CUSTOMERS: Final = "contacts"
INTERNAL: Final = "archive"


def ask(client: Client, room_id: str) -> tuple[Room, str] | None:
    """Return a room and which call knew it, None when neither does."""
    try:
        return contacts.customer_room(client, room_id), CUSTOMERS
    except Unresolved as unresolved:
        if unresolved.action != "other_call":
            return None
    try:
        return calls.internal_room(client, room_id), INTERNAL
    except Unresolved:
        return None


def rows(rooms: Mapping[Key, Fact], members: Mapping[Key, Fact], asked: Iterable[tuple[Room, str]], *, at_ms: int) -> tuple[list[Fact], list[Fact]]:
    """Return the new rows of `rooms` and of `memberships`. rooms, members: what is known."""
    of_room: dict[str, dict[Key, Fact]] = {}
    for key, fact in members.items():
        of_room.setdefault(key[0], {})[key] = fact
    room_rows: list[Fact] = []
    member_rows: list[Fact] = []
    for room, source in asked:
        values = (room.name, room.owner_id, "yes" if source == INTERNAL else "no")
        seen: dict[Key, Seen] = {(room.room_id,): Seen(ids=(room.room_id,), values=values)}
        room_rows += changes(rooms, seen, at_ms=at_ms, source=source)
        there: dict[Key, Seen] = {(room.room_id, m.id): Seen(ids=(room.room_id, m.id), values=(), since_ms=m.joined_ms) for m in room.members}
        known = of_room.get(room.room_id, {})
        gone = {key: at_ms for key in known if key not in there} if there else {}
        member_rows += [*changes(known, there, at_ms=at_ms, source=source), *endings(known, gone, at_ms=at_ms, source=source)]
    return room_rows, member_rows
