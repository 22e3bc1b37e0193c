"""Who bore which name at which time.

Before: nothing. After: transcript.py.
A record keeps ids; a reader needs names, and those of the time: who is called 李娜 today may have been somebody else's account then.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

Row = Mapping[str, Any]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ALWAYS = 2**62


class Person(msgspec.Struct, frozen=True):
    """Somebody: the id as received, what they are, a name (None: unknown), and whether that name is one of another time."""

    id: str
    kind: str = "unknown"
    name: str | None = None
    other_time: bool = False


class _Named(msgspec.Struct, frozen=True):
    """One row of the view `people`, open ends filled in."""

    since_ms: int
    until_ms: int
    recorded_ms: int
    name: str
    kind: str


class Names:
    """The names of people by id; employees without regard to ASCII case, everybody else byte by byte."""

    def __init__(self, people: Iterable[Row]) -> None:
        """people: rows of the view `people` (userid, kind, name, valid_from, valid_to, recorded_at)."""
        self._rows: dict[str, list[_Named]] = {}
        self._people: dict[tuple[str, str, str | None, bool], Person] = {}
        for row in people:
            if row.get("name"):
                self._rows.setdefault(person_key(row["userid"], row.get("kind")), []).append(_named(row))

    def person(self, userid: str, at_ms: int | None, kind: str | None = None) -> Person:
        """Return `userid` with the name valid at `at_ms` (None: the newest), else the nearest of another time.

        kind: what the message says they are; None: as the directory says."""
        rows = self._rows.get(person_key(userid, kind), [])
        if kind is None and not rows:
            rows = self._rows.get(person_key(userid, "employee"), [])
        valid = [row for row in rows if at_ms is None or row.since_ms <= at_ms < row.until_ms]
        best = max(valid, key=lambda row: (row.since_ms, row.recorded_ms), default=None) or _nearest(rows, at_ms or 0)
        key = (userid, kind or (best.kind if best else "unknown"), best.name if best else None, bool(rows) and not valid)
        return self._people.setdefault(key, Person(*key))  # one value for each, however many lines name them


def _named(row: Row) -> _Named:
    since, until = ms_of(row.get("valid_from")), ms_of(row.get("valid_to"))
    return _Named(
        since_ms=-_ALWAYS if since is None else since,
        until_ms=_ALWAYS if until is None else until,
        recorded_ms=ms_of(row.get("recorded_at")) or 0,
        name=row["name"],
        kind=row.get("kind") or "unknown",
    )


def _nearest(rows: Iterable[_Named], at_ms: int) -> _Named | None:
    return min(rows, key=lambda row: min(abs(row.since_ms - at_ms), abs(row.until_ms - at_ms)), default=None)


def seen_name(row: Row) -> str | None:
    """Return what customers saw of a row of the view `people`: of an employee the alias, else the name, and the firm's short name
    (`小张@某证券`); anybody else's name is the one they chose. None: not known."""
    if row["kind"] != "employee":
        return str(row["name"]) if row["name"] else None
    name = row["alias"] or row["name"]
    return f"{name}@{row['short_name']}" if name and row["short_name"] else name


def seen_names(people: Iterable[Row]) -> Names:
    """Return the names of people as customers saw them."""
    return Names({**row, "name": seen_name(row)} for row in people)


def person_key(userid: str, kind: str | None) -> str:
    """Return what two spellings of one person have in common."""
    return "".join(c.lower() if c.isascii() else c for c in userid) if kind == "employee" else userid


def ms_of(at: object) -> int | None:
    """Return milliseconds since 1970 UTC of a datetime (naive: UTC) or of milliseconds; None stays None. Raises TypeError."""
    if at is None or isinstance(at, int):
        return at
    if not isinstance(at, datetime):
        raise TypeError(f"expected a datetime or milliseconds, got {type(at).__name__}")
    return ((at if at.tzinfo else at.replace(tzinfo=UTC)) - _EPOCH) // timedelta(milliseconds=1)
