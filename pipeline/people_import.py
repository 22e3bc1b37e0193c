"""Lines of a directory file: who was employee or robot, when.

Before: the operator's file. After: directory.py.
A line is `{"userid":…,"kind":"employee|robot|external","name":…,"alias":…,"department":…,"valid_from":…,"valid_to":…}`; only userid
is needed. Times are ISO 8601 (without a zone: Beijing) or seconds or milliseconds since 1970; absent ends are open.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Literal, cast

import msgspec

from pipeline.clock import BEIJING
from pipeline.consent_events import read_time
from pipeline.directory import Entry
from pipeline.errors import UsageError

KINDS = ("employee", "robot", "external")


class _Person(msgspec.Struct, frozen=True):
    userid: str
    kind: str = "employee"
    name: str | None = None
    alias: str | None = None
    department: str | None = None
    valid_from: str | int | None = None
    valid_to: str | int | None = None


def read_people(lines: Iterable[bytes], *, recorded_at_ms: int) -> list[Entry]:
    """Return the entries; raises UsageError PEOPLE_LINE naming the first line that is not one (nothing is imported then)."""
    return [_entry(line, number, recorded_at_ms) for number, line in enumerate(lines, 1) if line.strip()]


def _entry(line: bytes, number: int, recorded_at_ms: int) -> Entry:
    try:
        person = msgspec.json.decode(line, type=_Person)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _refused(number, 'expected {"userid":…,"kind":"employee|robot|external",…}') from error
    if not person.userid or person.kind not in KINDS:
        raise _refused(number, f"expected a userid and a kind of {', '.join(KINDS)}")
    return Entry(
        userid=person.userid, kind=cast("Literal['employee', 'robot', 'external']", person.kind), name=person.name, alias=person.alias, department=person.department,
        valid_from_ms=_ms(person.valid_from, number), valid_to_ms=_ms(person.valid_to, number), source="import", recorded_at_ms=recorded_at_ms,
    )  # fmt: skip


def _ms(value: str | int | None, number: int) -> int | None:
    try:
        return read_moment(value)
    except ValueError as error:
        raise _refused(number, str(error)) from None


def read_moment(value: str | int | None) -> int | None:
    """Return ms since 1970 UTC of a time in an import file, None for an absent one; raises ValueError with a sentence that quotes nothing."""
    if value is None or value == "":
        return None
    if isinstance(value, int):
        read = read_time(value)
        if read is None:
            raise ValueError("a time is neither seconds nor milliseconds since 1970")
        return read[0]
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        raise ValueError("a time is not ISO 8601, such as 2026-11-22 or 2026-11-22T09:00:00+08:00") from None
    return round((at if at.tzinfo else at.replace(tzinfo=BEIJING)).timestamp() * 1000)


def _refused(number: int, why: str) -> UsageError:
    return UsageError("PEOPLE_LINE", f"line {number} of the directory: {why}", remedy="mend the line; nothing was imported")
