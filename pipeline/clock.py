"""The one clock, so that tests can set it: milliseconds since 1970 UTC, and Beijing days.

Before: nothing. After: whoever needs the time.
"""

from __future__ import annotations

import time
from datetime import UTC, date, datetime, timedelta, timezone

BEIJING = timezone(timedelta(hours=8), "Asia/Shanghai")
DAY_MS = 86_400_000
_OFFSET_MS = 8 * 3_600_000


def now_ms() -> int:
    """Return the present in milliseconds since 1970 UTC."""
    return time.time_ns() // 1_000_000


def beijing_day(at_ms: int) -> int:
    """Return the Beijing day of `at_ms` as days since 1970-01-01 (what Arrow's date32 holds)."""
    return (at_ms + _OFFSET_MS) // DAY_MS


def date_of_day(day: int) -> date:
    """Return the date of a day counted from 1970-01-01."""
    return date(1970, 1, 1) + timedelta(days=day)


def month_of_day(day: int) -> str:
    """Return `YYYY-MM` of a day counted from 1970-01-01."""
    return (date(1970, 1, 1) + timedelta(days=day)).strftime("%Y-%m")


def iso(at_ms: int) -> str:
    """Return `at_ms` as ISO 8601 in UTC with milliseconds."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
