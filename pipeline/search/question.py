"""What a search looks for, and where: checked once, then never again.

Before: the command `search`. After: hits.py, uninspected.py.
"""

from __future__ import annotations

from datetime import date, datetime

import msgspec

from pipeline.errors import UsageError

MOST_CHARACTERS = 1_000
MOST_HITS = 100_000


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """A search. Days are Beijing days, both inclusive; None or an empty word leaves that filter out.

    variants: folded forms count too (variants.py); by_sound: and what sounds alike.
    `employee` compares without regard to ASCII case, `customer` and `room` byte by byte (interface, SQL views)."""

    text: str
    first_day: date | None = None
    last_day: date | None = None
    employee: str = ""
    customer: str = ""
    room: str = ""
    msgtype: str = ""
    limit: int = 50
    variants: bool = False
    by_sound: bool = False


def ask(
    text: str, *, first: str = "", last: str = "", employee: str = "", customer: str = "", room: str = "", msgtype: str = "", limit: int = 50,
    variants: bool = False, by_sound: bool = False,
) -> Question:  # fmt: skip
    """Return the question typed by a person; raises UsageError SEARCH_TEXT, DAY_INVALID, SEARCH_LIMIT."""
    if not 0 < len(text) <= MOST_CHARACTERS:
        raise UsageError("SEARCH_TEXT", f"expected 1 to {MOST_CHARACTERS} characters to look for, got {len(text)}", remedy="shorten it")
    if not 0 < limit <= MOST_HITS:
        raise UsageError("SEARCH_LIMIT", f"expected a limit of 1 to {MOST_HITS}, got {limit}", remedy="for example --limit 50")
    days = day(first), day(last)
    if days[0] and days[1] and days[0] > days[1]:
        raise UsageError("DAY_INVALID", f"--from ({days[0]}) is later than --to ({days[1]})", remedy="exchange the two days")
    return Question(
        text=text, first_day=days[0], last_day=days[1], employee=employee, customer=customer, room=room, msgtype=msgtype, limit=limit, variants=variants,
        by_sound=by_sound,
    )


def day(text: str) -> date | None:
    """Return a Beijing day typed by a person, None for an empty one; raises UsageError DAY_INVALID."""
    try:
        return datetime.strptime(text, "%Y-%m-%d").date() if text else None
    except ValueError:
        raise UsageError("DAY_INVALID", "expected a Beijing day such as 2026-06-15", remedy="for example --from 2026-11-01") from None
