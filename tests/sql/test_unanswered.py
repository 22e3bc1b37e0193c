"""The audit `unanswered` reads rows as they pass by in order: it answers as a plain loop over sorted messages does, for few rows and for so many
that DuckDB sorts and scans them with several threads."""

from __future__ import annotations

import json
import random
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from statistics import median
from typing import Any, NamedTuple

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import audit

from .conftest import Archive

BEGIN = datetime(2026, 3, 2, 1, tzinfo=UTC)  # nine in Beijing
ASKED = audit.find("unanswered")


class Said(NamedTuple):
    """A message of a single chat. minutes: after BEGIN, None when unknown; whose: how the employee is written."""

    talk: int
    inbound: bool
    minutes: float | None
    whose: str
    kind: str = "message"
    room: str | None = None


def plainly(said: list[Said], days: tuple[date, date], hours: int) -> list[tuple[Any, ...]]:
    """Return the rows of the audit: conversation by conversation, message by message. The place of a message in the list is its seq.

    A turn counts on the day on which it began; who spoke before it, and who after, is seen as many days beyond the period as the limit takes."""
    beyond = timedelta(days=-(-hours // 24))
    first = days[0] - beyond if days[0] > date(1970, 1, 1) else days[0]
    last = days[1] + beyond if days[1] < date(9999, 12, 31) else days[1]
    talks, waits, names, untimed = defaultdict(list), defaultdict(list), defaultdict(set), Counter[str]()
    for seq, one in enumerate(said):
        if one.kind == "message" and one.room is None and first <= day_of(one) <= last:
            if one.minutes is None:
                untimed[one.whose.lower()] += days[0] <= day_of(one) <= days[1]
            else:
                talks[one.talk].append((sent(one), seq, one))
    for rows in talks.values():
        rows.sort()
        for n, (at, _, one) in enumerate(rows):
            if one.inbound and days[0] <= day_of(one) <= days[1] and (n == 0 or not rows[n - 1][2].inbound):
                answers = [later for later, _, other in rows[n + 1 :] if not other.inbound]
                answer = at if n and rows[n - 1][0] == at else answers[0] if answers else None
                waits[one.whose.lower()].append(whole(answer) - whole(at) if answer is not None and answer - at <= timedelta(hours=hours) else None)
                names[one.whose.lower()].add(one.whose)
    found = []
    for who, waited in waits.items():
        good = [w for w in waited if w is not None]
        found.append((min(names[who]), len(waited), len(good), len(waited) - len(good), float(median(good)) if good else None, untimed[who]))
    return sorted(found, key=lambda row: (-row[3], -row[1], row[0].lower()))


def sent(one: Said) -> datetime:
    return BEGIN + timedelta(milliseconds=round((one.minutes or 0) * 60_000))


def day_of(one: Said) -> date:
    return (sent(one) + timedelta(hours=8)).date()


def whole(at: datetime) -> int:
    return int(at.timestamp()) // 60


def asked(said: list[Said], days: tuple[date, date], hours: int) -> list[tuple[Any, ...]]:
    """Return the rows as the audit tells them, of the same messages in any order."""
    numbered = list(enumerate(said))
    random.Random(len(said)).shuffle(numbered)
    with Archive().with_views().connection as connection:
        connection.register("given", table(numbered))
        connection.execute("INSERT INTO messages BY NAME FROM given")
        return audit.run(connection, ASKED, {"from_day": days[0], "to_day": days[1], "hours": hours})[1]


def table(numbered: list[tuple[int, Said]]) -> pa.Table:
    rows = [one for _, one in numbered]
    return pa.table({
        "seq": pa.array([seq for seq, _ in numbered], pa.uint64()), "kind": [r.kind for r in rows], "room_id": pa.array([r.room for r in rows], pa.string()),
        "conversation_id": [r.room or f"e{r.talk % 3}|wm{r.talk}" for r in rows], "direction": ["inbound" if r.inbound else "outbound" for r in rows],
        "sender_id": [f"wm{r.talk}" if r.inbound else r.whose for r in rows], "recipient_ids": [[r.whose] if r.inbound else [f"wm{r.talk}"] for r in rows],
        "sent_at": pa.array([None if r.minutes is None else sent(r) for r in rows], pa.timestamp("ms", "UTC")), "dt": [day_of(r) for r in rows],
    })  # fmt: skip


MESSAGES = st.builds(
    Said,
    talk=st.integers(0, 4), inbound=st.booleans(), minutes=st.none() | st.sampled_from([0, 0.01, 0.5, 1, 1.999, 2, 60, 119.5, 120, 121, 1_440, 2_000]),
    whose=st.sampled_from(["emp1", "Emp1", "emp2"]), kind=st.sampled_from(["message"] * 5 + ["recall"]), room=st.sampled_from([None] * 5 + ["wr1"]),
)  # fmt: skip
DAYS = st.sampled_from([(date(1970, 1, 1), date(9999, 12, 31)), (date(2026, 3, 2), date(2026, 3, 2)), (date(2026, 3, 3), date(2026, 3, 3)), (date(2026, 3, 3), date(2026, 3, 9))])


@pytest.mark.slow
@given(st.lists(MESSAGES, max_size=24), DAYS, st.sampled_from([0, 1, 2, 24, 25]))
def test_it_answers_as_a_loop_over_sorted_messages(said: list[Said], days: tuple[date, date], hours: int) -> None:
    assert asked(said, days, hours) == plainly(said, days, hours)


@pytest.mark.slow
def test_so_do_many_messages_of_several_threads() -> None:
    dice = random.Random(5)
    said = [Said(dice.randrange(5_000), dice.random() < 0.5, dice.randrange(2_000_000) / 100, f"emp{dice.randrange(40)}") for _ in range(150_000)]
    assert asked(said, (date(1970, 1, 1), date(9999, 12, 31)), 24) == plainly(said, (date(1970, 1, 1), date(9999, 12, 31)), 24)


def test_it_is_planned_as_rows_that_pass_by_and_no_window_that_sorts() -> None:
    """Windows that sort for themselves take twice as long, and hold all rows: said here by the plan, for no test is timed."""
    with Archive().with_views().connection as connection:
        connection.register("given", table([(1, Said(0, True, 0, "emp1")), (2, Said(0, False, 5, "emp1"))]))  # of an empty table nothing is planned
        connection.execute("INSERT INTO messages BY NAME FROM given")
        told = connection.execute("EXPLAIN (FORMAT json) " + ASKED.sql, audit.bind(ASKED, {"from": "2026-03-01", "to": "2026-03-31"})).fetchall()[0][1]
    operators = Counter(operators_of(json.loads(told)))
    # Conversations by number; who spoke before; who spoke next.
    assert operators["STREAMING_WINDOW"] == 3 and operators["WINDOW"] == 0
    assert operators["ORDER_BY"] == 2  # what is said, and the answer


def operators_of(plan: list[dict[str, Any]]) -> Iterator[str]:
    """Yield the names of the operators of a plan."""
    for one in plan:
        yield one["name"].strip()
        yield from operators_of(one["children"])
