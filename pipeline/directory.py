"""The directory: who is an employee, a robot or an external person at a time, as a plain value without I/O.

Before: message.py. After: register.py, consent.py.

Rules (interface.md, "People of a message"):
 (1) An id is an employee or a robot only when a row of the directory in force at that time says so. Not proven is external.
 (2) Of the rows of one id the one that began last decides (same begin: the one recorded last; still equal: the external one).
     When that row has ended, earlier ones do not come back: somebody who left is no employee, however his first row was kept.
 (3) Employee userids compare without regard to ASCII case; ids of robots and external people compare byte by byte.
 (4) Prefixes (wm, wo external; wb robot) are a hint. Hints stand in for display alone, and only while the directory
     knows no employee at all; they never prove anything.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from typing import Final, Literal

import msgspec

from pipeline.records import PartyKind

EntryKind = Literal["employee", "robot", "external"]

# Only A-Z: str.lower() would also fold letters outside ASCII (the Kelvin sign to k), which are other ids.
_ASCII_LOWER: Final = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}
_BEGINNING: Final = -(1 << 62)
_END: Final = 1 << 62
_REMEMBERED: Final = 65_536

_Kinds = tuple[PartyKind, PartyKind]
_KindsOverTime = tuple[tuple[int, ...], tuple[_Kinds, ...]]
_SHOWN: Final[tuple[PartyKind, ...]] = ("external", "robot", "employee")
# What the directory says of somebody it does not know, by what is shown: one value for all of them.
_UNKNOWN: Final[dict[PartyKind, _KindsOverTime]] = {shown: ((), (("external", shown),)) for shown in _SHOWN}


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One history row of `people` (schemas/people.v1.json).

    In force from valid_from_ms (None: always) until before valid_to_ms (None: still); milliseconds UTC."""

    userid: str
    kind: EntryKind
    name: str | None = None
    alias: str | None = None
    department: str | None = None
    valid_from_ms: int | None = None
    valid_to_ms: int | None = None
    source: str = "import"
    recorded_at_ms: int = 0
    short_name: str | None = None


def fold_userid(userid: str) -> str:
    """Return an employee userid in ASCII lower case, the form in which employees are compared."""
    return userid.lower() if userid.isascii() else userid.translate(_ASCII_LOWER)


def looks_external(party: str) -> bool:
    """Tell whether the prefix hints at an external contact (wm: WeChat, wo: another firm). Case matters; a hint, never a proof."""
    return party.startswith(("wm", "wo"))


def looks_robot(party: str) -> bool:
    """Tell whether the prefix hints at a robot (wb). A hint, never a proof."""
    return party.startswith("wb")


class Directory:
    """The people of one corp over time. Immutable; build it with `Directory.of`."""

    __slots__ = ("_employees", "_kinds", "_others")

    def __init__(self, employees: dict[str, tuple[Entry, ...]], others: dict[str, tuple[Entry, ...]]) -> None:
        self._employees = employees
        self._others = others
        self._kinds: dict[str, _KindsOverTime] = {}

    @classmethod
    def of(cls, entries: Iterable[Entry]) -> Directory:
        """Return the directory that these history rows make, in whatever order they come."""
        employees: dict[str, list[Entry]] = {}
        others: dict[str, list[Entry]] = {}
        for entry in entries:
            if entry.kind == "employee":
                employees.setdefault(fold_userid(entry.userid), []).append(entry)
            else:
                others.setdefault(entry.userid, []).append(entry)
        return cls(_ordered(employees), _ordered(others))

    @property
    def is_empty(self) -> bool:
        """True while no employee was ever recorded: then nobody is proven and hints stand in for display."""
        return not self._employees

    def entry_at(self, party: str | None, at_ms: int) -> Entry | None:
        """Return the row in force for this id at at_ms (rules 2 and 3), None when there is none."""
        if not party:
            return None
        employee = _in_force(self._employees.get(fold_userid(party), ()), at_ms)
        other = _in_force(self._others.get(party, ()), at_ms) if self._others else None
        if employee is None or other is None:
            return _unless_ended(employee or other, at_ms)
        return _unless_ended(max(employee, other, key=_precedence), at_ms)

    def kinds_at(self, party: str | None, at_ms: int) -> tuple[PartyKind, PartyKind]:
        """Return (kind_at, display_kind) at once."""
        if not party:
            return "unknown", "unknown"
        known = self._kinds.get(party) or self._remember(party)
        return known[1][bisect_right(known[0], at_ms)]

    def span_at(self, party: str | None, at_ms: int) -> tuple[int, int]:
        """Return from when to when (exclusive, ms) the kinds of this id at at_ms hold."""
        if not party:
            return _BEGINNING, _END
        bounds = (self._kinds.get(party) or self._remember(party))[0]
        at = bisect_right(bounds, at_ms)
        return bounds[at - 1] if at else _BEGINNING, bounds[at] if at < len(bounds) else _END

    def kinds_while(self, party: str, at_ms: int) -> tuple[_Kinds, int, int]:
        """Return the kinds of this id at at_ms (as `kinds_at`), and from when to when (exclusive, ms) they hold."""
        bounds, kinds = self._kinds.get(party) or self._remember(party)
        if not bounds:
            return kinds[0], _BEGINNING, _END
        at = bisect_right(bounds, at_ms)
        return kinds[at], bounds[at - 1] if at else _BEGINNING, bounds[at] if at < len(bounds) else _END

    def kinds_over_time(self, party: str) -> _KindsOverTime:
        """Return (bounds in ms, kinds before the first and from each bound on) of this id."""
        return self._kinds.get(party) or self._remember(party)

    def proven(self) -> list[str]:
        """Return every id, as it was recorded, that was an employee or a robot at some time."""
        rows = (row for people in (self._employees, self._others) for found in people.values() for row in found)
        return sorted({row.userid for row in rows if row.kind != "external"})

    def kind_at(self, party: str | None, at_ms: int) -> PartyKind:
        """Return employee or robot when proven at at_ms, unknown for a missing id, external for everybody else (rule 1)."""
        return self.kinds_at(party, at_ms)[0]

    def display_kind(self, party: str | None, at_ms: int) -> PartyKind:
        """Return what to show: kind_at, or the prefix hint while the directory is empty (rule 4). Never use it to decide consent."""
        return self.kinds_at(party, at_ms)[1]

    def name_at(self, party: str | None, at_ms: int) -> str | None:
        """Return the name this id had at at_ms, None when unknown."""
        entry = self.entry_at(party, at_ms)
        return entry.name if entry is not None else None

    def department_at(self, party: str | None, at_ms: int) -> str | None:
        """Return the department this id had at at_ms, None when unknown."""
        entry = self.entry_at(party, at_ms)
        return entry.department if entry is not None else None

    def __reduce__(self) -> tuple[type[Directory], tuple[object, ...]]:
        """Travel to workers without what was remembered."""
        return Directory, (self._employees, self._others)

    def _remember(self, party: str) -> _KindsOverTime:
        """Work out the kinds of one id for all times: they change only where a row begins or ends."""
        employees, others = self._employees.get(fold_userid(party), ()), self._others.get(party, ())
        if not employees and not others and len(self._kinds) < _REMEMBERED:  # nearly everybody: a customer of whom the directory says nothing
            unknown = self._kinds[party] = _UNKNOWN["external" if self._employees else _hint(party)]
            return unknown
        rows = (*employees, *others)
        bounds = sorted({bound for row in rows for bound in (row.valid_from_ms, row.valid_to_ms) if bound is not None})
        if len(self._kinds) >= _REMEMBERED:
            self._kinds.clear()
        known = self._kinds[party] = tuple(bounds), tuple([self._kinds_of(party, at_ms) for at_ms in (_BEGINNING, *bounds)])
        return known

    def _kinds_of(self, party: str, at_ms: int) -> _Kinds:
        entry = self.entry_at(party, at_ms)
        if entry is not None:
            return entry.kind, entry.kind
        return "external", _hint(party) if self.is_empty else "external"


def _hint(party: str) -> PartyKind:
    if looks_external(party):
        return "external"
    return "robot" if looks_robot(party) else "employee"


def _precedence(entry: Entry) -> tuple[int, int, bool, int, str, str, str]:
    """Order rows of one id: began last, recorded last, external before proven, ended before open; the rest only makes the order total."""
    begin = entry.valid_from_ms if entry.valid_from_ms is not None else _BEGINNING
    end = entry.valid_to_ms if entry.valid_to_ms is not None else _END
    return begin, entry.recorded_at_ms, entry.kind == "external", -end, entry.kind, entry.name or "", entry.department or ""


def _ordered(people: dict[str, list[Entry]]) -> dict[str, tuple[Entry, ...]]:
    return {key: tuple(sorted(rows, key=_precedence, reverse=True)) for key, rows in people.items()}


def _in_force(rows: tuple[Entry, ...], at_ms: int) -> Entry | None:
    """Return the row that began last at at_ms; it may have ended since."""
    for entry in rows:
        if entry.valid_from_ms is None or entry.valid_from_ms <= at_ms:
            return entry
    return None


def _unless_ended(entry: Entry | None, at_ms: int) -> Entry | None:
    return entry if entry is not None and (entry.valid_to_ms is None or at_ms < entry.valid_to_ms) else None
