"""What callbacks said about people and rooms: rows that need no call, and what to ask soon. Pure.

Before: wecom/callback_events.py, facts.py. After: sync.py.

Rules: (1) delete_user ends a member at the event's time, with the last known values: before WeCom answers 60111. (2) update_user tells what
changed, nothing else; NewUserID ends the old id and begins the new one with the old one's values. (3) del_follow_user and
del_external_contact end a pair. (4) Everything else is a reason to ask: members, customers, rooms. (5) Departments are asked daily anyhow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from pipeline.people_history.facts import Fact, Key, Seen, changes, current, endings
from pipeline.people_history.kinds import key_of
from pipeline.wecom.callback_events import Event

SOURCE: Final = "callback"


class Told(msgspec.Struct, frozen=True):
    """Rows by kind, and whom to ask."""

    people: tuple[Fact, ...]
    follows: tuple[Fact, ...]
    members: frozenset[str]
    customers: frozenset[str]
    rooms: frozenset[str]


def read(events: Sequence[Event], people: Mapping[Key, Fact], follows: Mapping[Key, Fact]) -> Told:
    """Return what events (oldest first) say, given what is known."""
    person_rows: list[Fact] = []
    follow_rows: list[Fact] = []
    held, pairs = dict(people), dict(follows)
    ask: dict[str, set[str]] = {"member": set(), "contact": set(), "room": set()}
    for event in events:
        about = {"member": event.new_userid or event.userid, "contact": event.external_userid, "room": event.room_id}.get(event.meaning)
        if about and event.change != "delete_user":
            ask[event.meaning].add(about)
        new = list(_member(event, held))
        person_rows += new
        held = {**held, **current(new)}
        ended = list(_pair(event, pairs))
        follow_rows += ended
        pairs = {**pairs, **current(ended)}
    return Told(tuple(person_rows), tuple(follow_rows), frozenset(ask["member"]), frozenset(ask["contact"]), frozenset(ask["room"]))


def _member(event: Event, held: Mapping[Key, Fact]) -> list[Fact]:
    if event.meaning != "member" or not event.userid:
        return []
    key, at_ms = key_of("people", [event.userid], employee=True), event.at_ms or event.received_ms
    if event.change == "delete_user":
        return list(endings(held, {key: at_ms}, at_ms=event.received_ms, source=SOURCE))
    if event.change != "update_user" or key not in held:
        return []  # a new member is asked for: the event does not name the department
    before = held[key]
    values = ("employee", event.name, event.alias, None, None)
    if not event.new_userid or key_of("people", [event.new_userid], employee=True) == key:
        return list(changes(held, {key: Seen(ids=before.ids, values=values)}, at_ms=at_ms, source=SOURCE))
    renamed = tuple(new if new is not None else old for new, old in zip(values, before.values, strict=True))
    seen = {key_of("people", [event.new_userid], employee=True): Seen(ids=(event.new_userid,), values=renamed)}
    return [*changes(held, seen, at_ms=at_ms, source=SOURCE), *endings(held, {key: at_ms}, at_ms=event.received_ms, source=SOURCE)]


def _pair(event: Event, pairs: Mapping[Key, Fact]) -> list[Fact]:
    if event.change not in ("del_follow_user", "del_external_contact") or not event.userid or not event.external_userid:
        return []
    key = key_of("follows", [event.external_userid, event.userid])
    return list(endings(pairs, {key: event.at_ms or event.received_ms}, at_ms=event.received_ms, source=SOURCE))
