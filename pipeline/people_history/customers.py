"""Customers, who serves them, and handovers: what WeCom says now → rows of `people` (external), `follows`, `handovers`.

Before: facts.py, wecom/contacts.py. After: sync.py.

Rules: (1) the list of a member's customers is whole: a pair that is not in it any more has ended by now. (2) A pair that an administrator
made (add_way 202) after another one of the same customer is a handover: WeCom is asked how it stands, and where it does not say, the state
is `seen`; one that waits for the customer is asked about again every day. (3) Customers of members who left and whom nobody took over yet
are `unassigned`. (4) History is not passed on with a customer: the successor is a new pair with a consent of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from pipeline.people_history.facts import Fact, Key, Seen, begin, changes, endings
from pipeline.people_history.kinds import key_of
from pipeline.wecom import contacts
from pipeline.wecom.client import Client, Unresolved
from pipeline.wecom.contacts import Customer

SOURCE: Final = "contacts"
ASSIGNED: Final = 202
WAITING: Final = "waiting"
SEEN: Final = "seen"
USERS_A_CALL: Final = 100
Pairs = Mapping[tuple[str, str], Mapping[str, int]]  # (from, to) → customers and when (milliseconds UTC)


def people_rows(known: Mapping[Key, Fact], customers: Iterable[Customer], *, at_ms: int) -> list[Fact]:
    """Return the new rows of `people`; the department of somebody of another firm is that firm."""
    seen: dict[Key, Seen] = {(c.external_userid,): Seen(ids=(c.external_userid,), values=("external", c.name, None, c.corp_name, None)) for c in customers}
    return list(changes(known, seen, at_ms=at_ms, source=SOURCE))


def follow_rows(known: Mapping[Key, Fact], customers: Iterable[Customer], whole_of: Iterable[str], *, at_ms: int) -> list[Fact]:
    """Return the new rows of `follows`. whole_of: the members whose list came whole."""
    seen = {
        key_of("follows", [c.external_userid, f.userid]): Seen(ids=(c.external_userid, f.userid), values=(f.remark, f.add_way), since_ms=f.since_ms)
        for c in customers for f in c.follows
    }  # fmt: skip
    whole = {key_of("people", [userid], employee=True)[0] for userid in whole_of}
    gone = {key: at_ms for key in known if key[1] in whole and key not in seen}
    return [*changes(known, seen, at_ms=at_ms, source=SOURCE), *endings(known, gone, at_ms=at_ms, source=SOURCE)]


def handed_over(known: Mapping[Key, Fact], new: Sequence[Fact]) -> dict[tuple[str, str], dict[str, int]]:
    """Return (from, to) → customers and when, of new pairs that an administrator made after another one of the same customer (rule 2)."""
    assigned = [f for f in new if f.values[1] == ASSIGNED and f.valid_to_ms is None and f.key not in known]
    customers, before = {f.ids[0] for f in assigned}, dict[str, list[Fact]]()
    for fact in known.values():
        if fact.ids[0] in customers:
            before.setdefault(fact.ids[0], []).append(fact)
    found: dict[tuple[str, str], dict[str, int]] = {}
    for fact in assigned:
        others = [f for f in before.get(fact.ids[0], ()) if f.key != fact.key and begin(f) <= begin(fact)]
        if others:
            last = max(others, key=begin)
            found.setdefault((last.ids[1], fact.ids[1]), {})[fact.ids[0]] = begin(fact)
    return found


def ask_handovers(client: Client, pairs: Pairs, left: Iterable[str]) -> dict[Key, Seen]:
    """Return how these handovers stand, by (customer, from). left: keys of members who left."""
    gone, seen = set(left), dict[Key, Seen]()
    for (giver, taker), customers in pairs.items():
        told: dict[str, tuple[str, int | None]] = {}
        try:
            resigned = key_of("people", [giver], employee=True)[0] in gone
            told = {h.external_userid: (h.state, h.at_ms) for h in contacts.handovers(client, giver, taker, resigned=resigned)}
        except Unresolved:
            pass  # WeCom does not tell: what was seen stands
        seen |= standing({(giver, taker): customers}, told)
    return seen


def standing(pairs: Pairs, told: Mapping[str, tuple[str, int | None]]) -> dict[Key, Seen]:
    """Return what is known of handovers by (customer, from). told: (state, milliseconds UTC) by customer; where it says nothing, the state is `seen`."""
    found = dict[Key, Seen]()
    for (giver, taker), customers in pairs.items():
        for customer, at_ms in customers.items():
            state, done_ms = told.get(customer, (SEEN, None))
            found[key_of("handovers", [customer, giver])] = Seen(ids=(customer, giver), values=(taker, state), since_ms=done_ms or at_ms)
    return found


def waiting(known: Mapping[Key, Fact]) -> dict[tuple[str, str], dict[str, int]]:
    """Return (from, to) → customers and since when, of handovers that wait for the customer."""
    found: dict[tuple[str, str], dict[str, int]] = {}
    for fact in known.values():
        taker, state = fact.values
        if state == WAITING and taker:
            found.setdefault((fact.ids[1], taker), {})[fact.ids[0]] = begin(fact)
    return found


def ask_unassigned(client: Client) -> dict[Key, Seen]:
    """Return the customers of leavers whom nobody took over, by (customer, from)."""
    return {
        key_of("handovers", [customer, giver]): Seen(ids=(customer, giver), values=(None, "unassigned"), since_ms=at_ms)
        for giver, customer, at_ms in contacts.unassigned(client)
    }  # fmt: skip
