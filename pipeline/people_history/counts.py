"""Seats of a day and WeCom's own counts: rows of `seats` and `behaviour`.

Before: wecom/calls.py, wecom/statistics.py. After: sync.py; the views seat_coverage and behaviour hold them against the archive.

Rules: (1) once a Beijing day, each edition by itself; a day on which nobody had a seat has one row with an empty userid, so that it is told from
a day on which nobody asked. (2) Counts of a day are asked from the next day on, and once more RECOUNT_DAYS later: WeCom may correct them.
(3) Never further back than WeCom keeps (180 days), nor before the member's first day in the archive.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from typing import Any, Final

import pyarrow as pa

from pipeline import schema
from pipeline.wecom import calls, statistics
from pipeline.wecom.calls import EDITIONS
from pipeline.wecom.client import Client, Unresolved
from pipeline.wecom.statistics import DAYS_A_CALL, DAYS_BACK, Behaviour

RECOUNT_DAYS: Final = 3
_EPOCH: Final = date(1970, 1, 1)


def ask_seats(client: Client) -> list[tuple[str, int]]:
    """Return (member, edition) of every seat in force."""
    return [(userid, edition) for edition in EDITIONS for userid in dict.fromkeys(calls.permit_users(client, edition))]


def seat_table(seats: Iterable[tuple[str, int]], *, day: date, asked_at_ms: int) -> pa.Table:
    """Return a day's seats as rows (rule 1)."""
    found = list(seats) or [("", 0)]
    columns: dict[str, list[Any]] = {
        "day": [(day - _EPOCH).days] * len(found), "userid": [s[0] for s in found], "edition": [s[1] for s in found], "asked_at": [asked_at_ms] * len(found),
    }  # fmt: skip
    return schema.table("seats", columns)


def due(last: Mapping[str, date], userids: Iterable[str], *, today: date, first: date) -> dict[str, tuple[date, date]]:
    """Return the days to ask for of each member, at most DAYS_A_CALL, oldest first (rules 2 and 3). last: newest day known of a member, by key."""
    yesterday, oldest = today - timedelta(days=1), max(first, today - timedelta(days=DAYS_BACK))
    found = {}
    for userid in userids:
        known = last.get(userid.lower())
        begin = oldest if known is None else max(oldest, known - timedelta(days=RECOUNT_DAYS - 1))
        if begin <= yesterday and known != yesterday:
            found[userid] = (begin, min(yesterday, begin + timedelta(days=DAYS_A_CALL - 1)))
    return found


def ask_behaviour(client: Client, wanted: Mapping[str, tuple[date, date]]) -> list[Behaviour]:
    """Return what WeCom counted; a member it does not count has no rows."""
    found: list[Behaviour] = []
    for userid, (begin, end) in wanted.items():
        try:
            found += statistics.behaviour(client, userid, begin, end)
        except Unresolved:
            continue
    return found


def behaviour_table(rows: Iterable[Behaviour], *, asked_at_ms: int) -> pa.Table:
    """Return counts as rows."""
    found = list(rows)
    columns: dict[str, list[Any]] = {
        "day": [(b.day - _EPOCH).days for b in found], "userid": [b.userid for b in found], "chats": [b.chats for b in found],
        "messages": [b.messages for b in found], "asked_at": [asked_at_ms] * len(found),
    }  # fmt: skip
    return schema.table("behaviour", columns)
