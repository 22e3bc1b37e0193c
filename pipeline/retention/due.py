"""What is due by customer, as of a day.

Before: profiles.py, store.py, reader.py. After: the command `retention`, removing/erase.py.
What others wrote in a room is kept as long as anybody's in it; rooms as a whole are not counted here.
"""

from __future__ import annotations

from datetime import date
from typing import Any

import msgspec

from pipeline import clock, trusted_clock
from pipeline.consenting.candidates import Stored
from pipeline.home import Home
from pipeline.reader import Reader
from pipeline.removing.subject import Statutory
from pipeline.retention import store
from pipeline.retention.profiles import Sort, keep_until, statutory
from pipeline.retention.store import Standing

_DAYS = """
SELECT customer_id AS customer, CASE WHEN customer_id IS NULL THEN 'internal' ELSE 'customers' END AS sort, dt, count(*) AS n
FROM lake_messages WHERE customer_id IS NOT NULL OR direction = 'internal' GROUP BY ALL ORDER BY ALL
"""


class Due(msgspec.Struct, frozen=True, kw_only=True):
    """What there is of a customer (empty: colleagues among themselves). due: records whose time is over; keep_until: of the last of the others, None: without end."""

    customer: str
    records: int
    first_day: date
    last_day: date
    due: int
    keep_until: date | None


def today(home: Home) -> date:
    """Return the Beijing day by the clock that destruction goes by."""
    return clock.date_of_day(clock.beijing_day(trusted_clock.now_ms(home)))


def due(reader: Reader, on: date) -> list[Due]:
    """Return what there is and what is due, by customer, most due first."""
    found = store.standing(reader.home, reader.corp_id)
    by_customer: dict[tuple[str, Sort], list[dict[str, Any]]] = {}
    for row in reader.rows(_DAYS):
        by_customer.setdefault((row["customer"] or "", row["sort"]), []).append(row)
    return sorted((_due(c, sort, rows, found, on) for (c, sort), rows in by_customer.items()), key=lambda d: (-d.due, d.customer))


def _due(customer: str, sort: Sort, rows: list[dict[str, Any]], found: Standing, on: date) -> Due:
    last = max(r["dt"] for r in rows)
    ends = [(keep_until(found.settings, sort, customer=customer, day=r["dt"], last_day=last, events=found.events), r["n"]) for r in rows]
    kept = [end for end, _ in ends if end is None or end > on]
    return Due(
        customer=customer, records=sum(n for _, n in ends), first_day=min(r["dt"] for r in rows), last_day=last,
        due=sum(n for end, n in ends if end is not None and end <= on), keep_until=None if None in kept or not kept else max(e for e in kept if e),
    )  # fmt: skip


def is_due(found: Standing, customer: str, records: list[Stored], on: date) -> list[Stored]:
    """Return the records of a customer whose time is over."""
    last = max((clock.date_of_day(r.day) for r in records), default=on)

    def end(record: Stored) -> date | None:
        return keep_until(found.settings, "customers", customer=customer, day=clock.date_of_day(record.day), last_day=last, events=found.events)

    return [r for r in records if (e := end(r)) is not None and e <= on]


def statutory_of(home: Home, corp_id: str, customer: str, records: list[Stored], on: date) -> Statutory:
    """Return whether a confirmed statutory period still covers a record of the customer."""
    found = store.standing(home, corp_id)
    last = max((clock.date_of_day(r.day) for r in records), default=on)

    def covered(record: Stored) -> bool:
        return statutory(found.settings, customer=customer, day=clock.date_of_day(record.day), last_day=last, events=found.events, today=on)

    return covered
