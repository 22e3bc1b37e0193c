"""Which messages a person sees: by the department of that time, never himself or his line manager, never his predecessors by default.

Before: actors.py, directory.py. After: scoped.py, which says the same of whole batches.

Rules (a message's people are its own sender and recipients, never today's members):
 (1) Bound to departments: a message is seen when an employee among its people belonged, when it was sent (else captured), to one of them
     or to one below. Who moves takes nothing along: what was said before stays with the old department. An employee whose
     department of that time is not known is in none.
 (2) A single chat in which the person himself or his line manager took part is not seen, nor what either wrote in a room.
 (3) A customer whom the person took over: what the customer and a predecessor were party to, and the person was not, is not seen, unless
     actors.toml says `predecessors = true`.
 (4) Findings, files and decisions are seen when their message is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from pipeline.directory import fold_userid
from pipeline.roles.actors import Actor


class Spell(msgspec.Struct, frozen=True):
    """An employee (folded) in the scope's departments, from when (inclusive) to when (exclusive), ms UTC; None: always, still."""

    employee: str
    from_ms: int | None
    to_ms: int | None

    def holds(self, at_ms: int) -> bool:
        """Whether it holds at that moment."""
        return (self.from_ms is None or self.from_ms <= at_ms) and (self.to_ms is None or at_ms < self.to_ms)


class RowScope(msgspec.Struct, frozen=True, kw_only=True):
    """What one person sees. spells: None when departments do not bound it; never: folded userids; own: his userid, folded; taken_over:
    customer → predecessors (folded)."""

    spells: tuple[Spell, ...] | None = None
    never: frozenset[str] = frozenset()
    own: str = ""
    taken_over: Mapping[str, frozenset[str]] = {}

    @property
    def everything(self) -> bool:
        """Whether nothing is hidden."""
        return self.spells is None and not self.never and not self.taken_over

    def sees(self, people: Sequence[str], *, room: bool, at_ms: int) -> bool:
        """Whether a message of these people (the sender first) is seen: the rules one by one, slow and plain."""
        folded = {fold_userid(p) for p in people}
        if self.spells is not None and not any(s.employee in folded and s.holds(at_ms) for s in self.spells):  # 1
            return False
        concerned = {fold_userid(p) for p in people[:1]} if room else folded
        if concerned & self.never:  # 2
            return False
        return self.own in folded or not any(before & folded for customer, before in self.taken_over.items() if customer in people)  # 3


def below(department: str | None, departments: Iterable[str]) -> bool:
    """Whether a path (`上海分公司/理财部`) is one of the departments or below one."""
    path = (department or "").strip("/")
    return bool(path) and any(path == d.strip("/") or path.startswith(f"{d.strip('/')}/") for d in departments)


def scope_of(person: Actor | None, people: Iterable[Mapping[str, object]], handovers: Iterable[Mapping[str, object]]) -> RowScope:
    """Return the scope of a person (None: everything). people, handovers: rows of those views, times as ms."""
    if person is None:
        return RowScope()
    own = fold_userid(person.employee)
    return RowScope(
        spells=_spells(person.departments, people) if person.departments else None,
        never=frozenset(fold_userid(u) for u in (person.employee, person.manager) if u), own=own,
        taken_over=_taken_over(own, handovers) if own and not person.predecessors else {},
    )  # fmt: skip


def _spells(departments: Sequence[str], people: Iterable[Mapping[str, object]]) -> tuple[Spell, ...]:
    there = [p for p in people if p["kind"] == "employee" and below(_text(p["department"]), departments)]
    found = {Spell(fold_userid(str(p["userid"])), _ms(p["valid_from"]), _ms(p["valid_to"])) for p in there}
    return tuple(sorted(found, key=lambda s: (s.employee, s.from_ms or 0, s.to_ms or 0)))


def _taken_over(own: str, handovers: Iterable[Mapping[str, object]]) -> dict[str, frozenset[str]]:
    """Return whom the person took which customers over from, and whom those had taken them over from."""
    came_from: dict[str, dict[str, set[str]]] = {}
    for row in handovers:
        giver, taker = fold_userid(str(row["from_userid"] or "")), fold_userid(str(row["to_userid"] or ""))
        if giver and taker:
            came_from.setdefault(str(row["external_userid"]), {}).setdefault(taker, set()).add(giver)
    return {customer: before for customer, chain in came_from.items() if (before := _before(own, chain))}


def _before(own: str, chain: Mapping[str, set[str]]) -> frozenset[str]:
    found, asked = set[str](), [own]
    while asked:
        new = chain.get(asked.pop(), set()) - found
        found |= new
        asked += new
    return frozenset(found - {own})


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _ms(value: object) -> int | None:
    from pipeline.names import ms_of

    return value if isinstance(value, int) or value is None else ms_of(value)
