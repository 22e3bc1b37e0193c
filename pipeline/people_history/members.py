"""Members and departments: what WeCom says now → rows of `people` and `departments`.

Before: facts.py, wecom/contacts.py. After: sync.py.

Rules:
 (1) A member whom the lists do not show is asked for alone: 60111 or status 5 is a leaver, whose row ends with the last known values; out of
     range (60011) is no news. Nobody leaves because a list is short.
 (2) More than a fifth of the known members leaving at once (and more than 20) is not believed: nobody ends, and the sync says so.
 (3) The first time a member is seen, two rows are written: employee since always, without a name, and the name since now. What people are
     reaches back, since an id of the firm's own is never a customer's; what they were called does not (docs/adr).
 (4) A member's department is the path of the main one below the top, so that two departments of one name differ.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import msgspec

from pipeline.people_history.facts import Fact, Key, Seen, changes, endings
from pipeline.people_history.kinds import key_of
from pipeline.wecom import contacts
from pipeline.wecom.client import Client, Unresolved
from pipeline.wecom.contacts import Colleague, Department

SOURCE: Final = "contacts"
ABSENT_A_SYNC: Final = 500
BELIEVED_AT_ONCE: Final = 20
BELIEVED_SHARE: Final = 5


class Firm(msgspec.Struct, frozen=True):
    """What the calls said: members by key, departments, and who has left."""

    members: dict[Key, Colleague]
    departments: tuple[Department, ...]
    left: tuple[Key, ...]


def ask(client: Client, known: Mapping[Key, Fact], also: Iterable[str], *, turn: int) -> Firm:
    """Return the firm as the calls tell it. also: ids that chat or have a seat; turn: which of very many absent ones are asked this time."""
    found = tuple(contacts.departments(client))
    members: dict[Key, Colleague] = {}
    for department in found:
        for one in _listed(client, department):
            members[_key(one.userid)] = one
    open_ones = [fact.ids[0] for fact in known.values() if fact.valid_to_ms is None and fact.values[0] == "employee"]
    absent = sorted({_key(userid): userid for userid in (*open_ones, *also) if _key(userid) not in members}.items())
    alone = ask_some(client, [userid for _, userid in _share(absent, turn)], found)
    members |= alone.members
    gone = [key for key, one in members.items() if one.left]
    return Firm({key: one for key, one in members.items() if not one.left}, found, (*alone.left, *gone))


def ask_some(client: Client, userids: Iterable[str], departments: Sequence[Department]) -> Firm:
    """Return what WeCom says about a few members, with departments known before."""
    members: dict[Key, Colleague] = {}
    left: list[Key] = []
    for userid in sorted(userids):
        try:
            one = contacts.member(client, userid)
        except Unresolved as unresolved:
            left += [_key(userid)] if unresolved.action == "left" else []
            continue
        members[_key(userid)] = one
    gone = [key for key, one in members.items() if one.left]
    return Firm({key: one for key, one in members.items() if not one.left}, tuple(departments), (*left, *gone))


def _listed(client: Client, department: Department) -> Sequence[Colleague]:
    try:
        return contacts.department_members(client, department.id)
    except Unresolved:  # out of range: its members are asked for one by one
        return ()


def _share(absent: Sequence[tuple[Key, str]], turn: int) -> Sequence[tuple[Key, str]]:
    if len(absent) <= ABSENT_A_SYNC:
        return absent
    first = turn * ABSENT_A_SYNC % len(absent)
    return [*absent[first:], *absent[:first]][:ABSENT_A_SYNC]


def _key(userid: str) -> Key:
    return key_of("people", [userid], employee=True)


def people_rows(known: Mapping[Key, Fact], firm: Firm, *, at_ms: int) -> tuple[list[Fact], bool]:
    """Return the new rows of `people`, and whether leavers were believed (rule 2)."""
    paths = department_paths(firm.departments)
    seen = {key: _seen(one, paths) for key, one in firm.members.items()}
    rows = [*_before(known, seen, at_ms), *changes(known, seen, at_ms=at_ms, source=SOURCE)]
    leaving = {key: at_ms for key in firm.left if key in known and known[key].valid_to_ms is None}
    staff = sum(fact.values[0] == "employee" and fact.valid_to_ms is None for fact in known.values())
    believed = len(leaving) <= max(BELIEVED_AT_ONCE, staff // BELIEVED_SHARE)
    return [*rows, *(endings(known, leaving, at_ms=at_ms, source=SOURCE) if believed else ())], believed


def _seen(one: Colleague, paths: Mapping[int, str]) -> Seen:
    department = paths.get(one.main_department, str(one.main_department)) if one.main_department is not None else None
    return Seen(ids=(one.userid,), values=("employee", one.name, one.alias, department, one.short_name))


def _before(known: Mapping[Key, Fact], seen: Mapping[Key, Seen], at_ms: int) -> Iterator[Fact]:
    """Yield what reaches back for those never seen before (rule 3)."""
    for key, now in seen.items():
        if key not in known:
            yield Fact(key=key, ids=now.ids, values=(now.values[0], *(None,) * (len(now.values) - 1)), valid_from_ms=None, source=SOURCE, recorded_at_ms=at_ms)


def department_paths(departments: Iterable[Department]) -> dict[int, str]:
    """Return the path of each department below the top, `上海分公司/理财部`; the top is called by its own name."""
    by_id = {d.id: d for d in departments}

    def path(ident: int) -> str:
        names: list[str] = []
        at, met = by_id.get(ident), set[int]()
        while at is not None and at.id not in met:  # a circle ends
            met.add(at.id)
            if at.parent_id in by_id or not names:
                names.append(at.name or str(at.id))
            at = by_id.get(at.parent_id) if at.parent_id is not None else None
        return "/".join(reversed(names))

    return {ident: path(ident) for ident in by_id}


def department_rows(known: Mapping[Key, Fact], departments: Sequence[Department], *, at_ms: int) -> list[Fact]:
    """Return the new rows of `departments`. One that is missing ends only when the top is there: then the app sees the whole tree."""
    seen: dict[Key, Seen] = {
        (str(d.id),): Seen(ids=(str(d.id),), values=(d.name, str(d.parent_id) if d.parent_id else None)) for d in departments
    }  # fmt: skip
    whole = any(d.id == contacts.ROOT_DEPARTMENT for d in departments)
    gone = {key: at_ms for key in known if key not in seen} if whole else {}
    return [*changes(known, seen, at_ms=at_ms, source=SOURCE), *endings(known, gone, at_ms=at_ms, source=SOURCE)]
