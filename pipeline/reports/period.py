"""A month or days, as people write them, into the first and last Beijing day.

Before: ../words.py. After: gather.py.
"""

from __future__ import annotations

import calendar
import re
from datetime import date

import msgspec

from pipeline import words
from pipeline.errors import UsageError


class Period(msgspec.Struct, frozen=True):
    """Beijing days, both inclusive. name: what files and titles call it."""

    first: date
    last: date
    name: str

    def over(self, now_ms: int) -> bool:
        """Whether its last day has ended."""
        return self.last < words.moment(now_ms).date()


def month(text: str) -> Period:
    """Return a month from `2026-11`; raises UsageError MONTH_INVALID."""
    found = re.fullmatch(r"(\d{4})-(\d{2})", text)
    if not found or not (1 <= int(found[2]) <= 12 and int(found[1]) >= 1970):
        raise UsageError("MONTH_INVALID", "expected a month such as 2026-11, got another value", remedy="for example `--month 2026-11`")
    year, number = int(found[1]), int(found[2])
    return Period(date(year, number, 1), date(year, number, calendar.monthrange(year, number)[1]), text)


def days(first: date | None, last: date | None, *, now_ms: int) -> Period:
    """Return the days from `first` to `last`; left out: the month of the other, the current month so far. Raises UsageError DAY_INVALID."""
    last = last or words.moment(now_ms).date()
    first = first or last.replace(day=1)
    if first > last:
        raise UsageError("DAY_INVALID", f"--from ({first}) is later than --to ({last})", remedy="exchange the two days")
    return Period(first, last, f"{first} – {last}")
