"""One row of history, and which rows follow from what was seen now. Pure.

Before: nothing. After: kinds.py (rows of the lake), members.py, rooms.py, customers.py.

Rules:
 (1) Rows are only ever added. Of the rows of one key the one that began last holds; of two with one beginning the one recorded last.
     A row that began later ends the one before it; an end is told by the same row again, with valid_to (directory.py reads it so).
 (2) What is seen is dated by when it was seen, unless the source itself says since when.
 (3) A value that the source does not tell this time (None) stays as it was last known: rights that were taken away change nobody's name.
 (4) Nobody ends by being missing from a list: a list shows what the app may see. Who ends is named by the caller.
 (5) A clock set back makes no row that would hold before the one it follows: it begins a millisecond after it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec

Key = tuple[str, ...]
Values = tuple[Any, ...]
_BEGINNING: Final = -(1 << 62)


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """One row: ids and values as kinds.py names them, in force from valid_from_ms (None: always) until before valid_to_ms (None: still).

    key: by which rows of one thing find each other; ids: the same as received."""

    key: Key
    ids: Key
    values: Values
    valid_from_ms: int | None
    valid_to_ms: int | None = None
    source: str
    recorded_at_ms: int


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What was seen of one key: its ids as received, values (None where not told), and since when the source says they hold (None: not said)."""

    ids: Key
    values: Values
    since_ms: int | None = None


def begin(fact: Fact) -> int:
    """Return when a row begins, as a number that orders."""
    return fact.valid_from_ms if fact.valid_from_ms is not None else _BEGINNING


def current(facts: Iterable[Fact]) -> dict[Key, Fact]:
    """Return the row of each key that holds now (rule 1); one that has ended is still its last word."""
    found: dict[Key, Fact] = {}
    for fact in facts:
        held = found.get(fact.key)
        if held is None or (begin(held), held.recorded_at_ms) <= (begin(fact), fact.recorded_at_ms):
            found[fact.key] = fact
    return found


def changes(known: Mapping[Key, Fact], seen: Mapping[Key, Seen], *, at_ms: int, source: str) -> Iterator[Fact]:
    """Yield the rows that what was seen adds to what is known. Seeing the same again adds none."""
    for key, now in seen.items():
        held = known.get(key)
        if held is None:
            yield Fact(key=key, ids=now.ids, values=now.values, valid_from_ms=_since(now, at_ms), source=source, recorded_at_ms=at_ms)
            continue
        values = tuple(new if new is not None else old for new, old in zip(now.values, held.values, strict=True))
        if held.valid_to_ms is not None:  # came back
            after = max(held.valid_to_ms, begin(held) + 1)
            yield Fact(key=key, ids=now.ids, values=values, valid_from_ms=max(_since(now, at_ms), after), source=source, recorded_at_ms=at_ms)
        elif values != held.values:
            yield Fact(key=key, ids=now.ids, values=values, valid_from_ms=max(at_ms, begin(held) + 1), source=source, recorded_at_ms=at_ms)


def _since(now: Seen, at_ms: int) -> int:
    return at_ms if now.since_ms is None else min(now.since_ms, at_ms)


def endings(known: Mapping[Key, Fact], ended: Mapping[Key, int], *, at_ms: int, source: str) -> Iterator[Fact]:
    """Yield the rows that end what is known: last values as they were, and when (ended: key → milliseconds UTC). Ended ones stay ended."""
    for key, end_ms in ended.items():
        held = known.get(key)
        if held is not None and held.valid_to_ms is None:
            end = max(end_ms, begin(held))
            yield Fact(key=key, ids=held.ids, values=held.values, valid_from_ms=held.valid_from_ms, valid_to_ms=end, source=source, recorded_at_ms=at_ms)
