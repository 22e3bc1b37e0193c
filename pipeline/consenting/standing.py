"""How the scopes of the register stand: now, or as it was known at a time; contradictions and ages shown, nothing overwritten.

Before: register.py. After: `consent list --states`.

Two times belong to every event: when it took effect and when we learned it. `known_at_ms` leaves out what we learned later (an import that was
undone later counts again); the state shown is the one in force at that time, or now.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from pipeline import clock
from pipeline.columns import Type
from pipeline.consenting import asking
from pipeline.directory import fold_userid
from pipeline.home import Home
from pipeline.register import Event, Register, scope_of
from pipeline.workbench import Workbench

NAMES = ["userid", "room_id", "external_userid", "state", "since", "source", "event_id", "events", "contradictions", "asked_days_ago"]
KINDS: tuple[Type, ...] = ("text", "text", "text", "text", "timestamp", "text", "text", "int", "int", "int")
Row = tuple[object, ...]


def known_at(events: Sequence[Event], known_at_ms: int | None) -> list[Event]:
    """Return the events that were recorded by then; all of them for None."""
    return [e for e in events if known_at_ms is None or e.recorded_at_ms <= known_at_ms]


def contradictions(events: Sequence[Event]) -> int:
    """Return at how many moments events of one scope say different things about the same time."""
    said: dict[int | None, set[str]] = defaultdict(set)
    for event in events:
        if event.changed_at_ms is not None:
            said[event.changed_at_ms // 1000].add(event.status)
    return sum(len(statuses) > 1 for statuses in said.values())


def table(home: Home, corp_id: str, *, employee: str = "", customer: str = "", known_at_ms: int | None = None) -> tuple[list[str], list[Row]]:
    """Return (column names, rows) of every scope that has an event, by scope."""
    snapshot = home.lake(corp_id).snapshot()
    events = known_at(Workbench(home, corp_id, snapshot).events, known_at_ms)
    register, at_ms = Register.of(events, version=snapshot.version), known_at_ms if known_at_ms is not None else clock.now_ms()
    asked = {one.scope.key: one.asked_ms for one in asking.scopes(home, corp_id, snapshot)}
    of_scope: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        if event.undoes is None and customer in ("", event.external_userid) and (not employee or fold_userid(event.userid or "") == fold_userid(employee)):
            of_scope[scope_of(event)].append(event)
    return NAMES, [_row(scope, found, register, at_ms, asked) for scope, found in sorted(of_scope.items())]


def _row(scope: str, found: list[Event], register: Register, at_ms: int, asked: dict[tuple[str, str, str], int | None]) -> Row:
    state, first = register.state_at(scope, at_ms), found[0]
    key = ("", "", first.room_id) if first.room_id is not None else (fold_userid(first.userid or ""), first.external_userid, "")
    last = asked.get(key)
    return (
        first.userid, first.room_id, first.external_userid, state.status, state.since_ms, state.source,
        state.event_id, len(found), contradictions(found), None if last is None else max(0, (clock.now_ms() - last) // clock.DAY_MS),
    )  # fmt: skip
