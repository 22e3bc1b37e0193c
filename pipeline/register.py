"""The consent register: which decision of a customer is in force for a scope at a time, as a plain value without I/O.

Before: directory.py, consent_events.py. After: consent.py.

Two instants belong to every event: its *effective time* says which of two decisions is the later one, its *start* says
from when it holds. The state at t is the effectively latest decision among those that have started at t.
Rules (interface.md, "Consent", 1, 2 and 4):
 (1) The effective time is the event's own time. A millisecond time holds exactly. A time in seconds holds, for a refusal or
     an unknown status, from the start of its second, inclusive; for an agreement from the start of the next second.
     When a millisecond record of the platform names the same change of the same scope within the second that another
     source names, the record stands for both.
 (2) At equal effective times a refusal wins, then an unknown status. An agreement in seconds also loses against a refusal or
     an unknown status that names the same second: nobody knows which of the two came last.
 (3) Refusals and unknown statuses reach back to their time. Agreements do so only as platform records (stream, api) with
     a time of their own; those of callbacks, imports and officers hold from when they were recorded, and not at all when
     a refusal came in between.
 (4) Without a usable time: a refusal holds from the first contact, whatever was known before it was recorded; an unknown
     status from the first contact where nothing else is known, and again from when it was recorded; an agreement from then.
 (5) A time more than 10 minutes after recorded_at is not believed: the event counts from recorded_at.
 (6) Any status but Agree, Default_Agree and Disagree makes the scope pending until a later known status.
 (7) A repeat (same event_id) changes nothing. An undone import keeps its rows in the history and out of the judgement.
A time that names a day alone (flag `day_only`) holds a refusal from that day's start, against everything else of that day,
and an agreement from the start of the next day (Beijing days).
No rule looks at the order in which events arrive.
"""

from __future__ import annotations

import hashlib
import sys
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import Any, Final, Literal, Protocol, get_args

import msgspec

from pipeline.directory import fold_userid
from pipeline.errors import UsageError

EventSource = Literal["stream", "api", "callback", "import", "officer"]
Precision = Literal["ms", "s"]
Status = Literal["agree", "default_agree", "refused", "pending", "silent"]

AGREE: Final = "Agree"
DISAGREE: Final = "Disagree"
DEFAULT_AGREE: Final = "Default_Agree"
FUTURE_MS: Final = 600_000
ALWAYS_MS: Final = -(1 << 62)
DAY_MS: Final = 86_400_000

MEANING: Final[dict[str, Status]] = {AGREE: "agree", DEFAULT_AGREE: "default_agree", DISAGREE: "refused"}
_RANK: Final[dict[Status, int]] = {"silent": 0, "default_agree": 1, "agree": 2, "pending": 3, "refused": 4}
_PLATFORM: Final = ("stream", "api")
SOURCES: Final[dict[str, EventSource]] = {source: source for source in get_args(EventSource)}
_SOURCE_ORDER: Final = {source: order for order, source in enumerate(SOURCES)}
_OVERLAY_LIMIT: Final = 4096
_REMEMBERED: Final = 65_536


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One row of `consent` (schemas/consent.v1.json): a pair (userid set) or a room (room_id set) and what its external person decided.

    Times in milliseconds UTC; changed_at_ms is None when the source gave no usable one. status as received.
    flag: no_time, future, msgtime_used, day_only. A row with `undoes` set takes the import of that batch out of judgement."""

    event_id: str
    userid: str | None
    room_id: str | None
    external_userid: str
    status: str
    changed_at_ms: int | None
    precision: Precision
    source: EventSource
    recorded_at_ms: int
    source_msgid: str | None = None
    flag: str | None = None
    batch: str | None = None
    document_digest: str | None = None
    undoes: str | None = None


class State(msgspec.Struct, frozen=True, gc=False):
    """What holds in a scope: status, the event and source it rests on (None in silence), and since when (None: from the first contact)."""

    status: Status
    event_id: str | None = None
    source: EventSource | None = None
    since_ms: int | None = None


SILENT: Final = State("silent")


class Row(msgspec.Struct, frozen=True, gc=False):
    """What of an event the judgement needs. unit_ms: 1, 1000 or a day."""

    event_id: str
    status: Status
    source: EventSource
    changed_ms: int | None
    unit_ms: int
    recorded_ms: int
    batch: str | None


_SILENCE: Final[tuple[tuple[int, ...], tuple[State, ...]]] = ((), (SILENT,))
_Rows = dict[str, tuple[Row, ...]]


class Rows(Protocol):
    """What a register is based on: the rows of each scope, in memory or mapped from a file (consenting/register_file.py)."""

    def get(self, scope: str, /) -> tuple[Row, ...] | None:
        """Return the rows of a scope."""
        ...

    def __iter__(self) -> Iterator[str]: ...

    def __len__(self) -> int: ...


_Timeline = tuple[tuple[int, ...], tuple[State, ...]]


# --- scopes and events ---


def pair_scope(userid: str, external_userid: str) -> str:
    """Return the key of a pair: the employee in any ASCII case, the external id byte by byte. Lengths keep two pairs from colliding."""
    folded = userid.lower() if userid.isascii() else fold_userid(userid)  # asked for every pair: a call saved
    return f"p{len(folded)}:{folded}{external_userid}"


def room_scope(room_id: str, external_userid: str) -> str:
    """Return the key of one external person in a room; never equal to that of a pair or of another room."""
    return f"r{len(room_id)}:{room_id}{external_userid}"


def scope_of(event: Event) -> str:
    """Return the scope that an event speaks of; an event with `undoes` speaks of none of its own (use `Register.touched`)."""
    if event.room_id is not None:
        return room_scope(event.room_id, event.external_userid)
    return pair_scope(event.userid or "", event.external_userid)


def new_event(
    *,
    source: EventSource,
    status: str,
    external_userid: str,
    recorded_at_ms: int,
    userid: str | None = None,
    room_id: str | None = None,
    changed_at_ms: int | None = None,
    precision: Precision = "ms",
    flag: str | None = None,
    source_msgid: str | None = None,
    batch: str | None = None,
    document_digest: str | None = None,
) -> Event:
    """Return an event with its event_id and flag; raises UsageError CONSENT_SCOPE unless exactly one of userid and room_id is given.

    The id covers source and content, not batch nor recorded_at: a repeat has the same one. Only an answer, callback or decision
    without a time is told apart by when it was recorded, since nothing else says which of two such is newer."""
    if (userid is None) == (room_id is None) or not external_userid:
        raise UsageError("CONSENT_SCOPE", "a consent event needs exactly one of userid and room_id, and an external_userid")
    if changed_at_ms is None:
        flag = "no_time"
    elif changed_at_ms > recorded_at_ms + FUTURE_MS:
        flag = "future"
    timed = changed_at_ms is not None or source in ("stream", "import")
    content = (
        source, fold_userid(userid) if userid is not None else None, room_id, external_userid, status, changed_at_ms, precision,
        source_msgid, document_digest, flag == "day_only", None if timed else recorded_at_ms,
    )  # fmt: skip
    return Event(
        event_id=_digest(content),
        userid=userid,
        room_id=room_id,
        external_userid=external_userid,
        status=status,
        changed_at_ms=changed_at_ms,
        precision=precision,
        source=source,
        recorded_at_ms=recorded_at_ms,
        source_msgid=source_msgid,
        flag=flag,
        batch=batch,
        document_digest=document_digest,
    )


def undo_event(batch: str, *, recorded_at_ms: int) -> Event:
    """Return the row that takes the import `batch` out of judgement; it names no scope (external_userid is empty)."""
    return Event(
        event_id=_digest(("undo", batch)),
        userid=None,
        room_id=None,
        external_userid="",
        status="Undo",
        changed_at_ms=None,
        precision="ms",
        source="officer",
        recorded_at_ms=recorded_at_ms,
        undoes=batch,
    )


def _digest(content: object) -> str:
    return hashlib.sha256(msgspec.json.encode(content)).hexdigest()[:32]


# --- the register ---


class Register:
    """The consent events of one corp, by scope. Immutable: `with_events` returns another register that shares what did not change."""

    __slots__ = ("_base", "_lengths", "_recent", "_timelines", "_undone", "decided", "version")

    def __init__(self, base: Rows, recent: _Rows, undone: frozenset[str], version: int, lengths: frozenset[int]) -> None:
        self._base = base
        self._recent = recent
        self._undone = undone
        self._lengths = lengths  # of the employee ids of pairs
        self.version = version
        self._timelines: dict[str, _Timeline] = {}
        # What the gate remembers of decisions under this register (consent.py); dies with it.
        self.decided: dict[tuple[int, int], Any] = {}

    @classmethod
    def of(cls, events: Iterable[Event], *, version: int) -> Register:
        """Return the register that these events make, in whatever order they come."""
        return cls({}, {}, frozenset(), version, frozenset()).with_events(events, version)

    def with_events(self, events: Iterable[Event], version: int) -> Register:
        """Return a register that also knows these events; those it knew already change nothing. Costs what changed, not what is known."""
        touched: _Rows = {}
        undone, lengths = set(self._undone), set(self._lengths)
        for event in events:
            if event.undoes is not None:
                undone.add(event.undoes)
                continue
            scope = scope_of(event)
            rows, row = touched.get(scope) or self._rows(scope), _row(event)
            if event.room_id is None:
                lengths.add(len(event.userid or ""))
            if row not in rows:
                touched[scope] = (*rows, row)
        base, recent = self._base, {**self._recent, **touched}
        if isinstance(base, dict) and len(recent) > max(_OVERLAY_LIMIT, len(base) // 8):
            base, recent = {**base, **recent}, {}
        return Register(base, recent, frozenset(undone), version, frozenset(lengths))

    def may_employ(self, party: str) -> bool:
        """Whether the employee of some pair has an id as long as this one; where none has, no pair with it as employee has an event."""
        return len(party) in self._lengths

    def state_at(self, scope: str, at_ms: int) -> State:
        """Return what holds in the scope at at_ms (milliseconds UTC); silence for a scope without events."""
        timeline = self._timelines.get(scope) or self._remember(scope)
        return timeline[1][bisect_right(timeline[0], at_ms)]

    def span_at(self, scope: str, at_ms: int) -> tuple[int, int]:
        """Return from when to when (exclusive, ms) the state at at_ms holds."""
        starts = (self._timelines.get(scope) or self._remember(scope))[0]
        at = bisect_right(starts, at_ms)
        return starts[at - 1] if at else ALWAYS_MS, starts[at] if at < len(starts) else -ALWAYS_MS

    def state_while(self, scope: str, at_ms: int) -> tuple[State, int, int]:
        """Return the state at at_ms, and from when to when (exclusive, ms) it holds. Nothing is remembered: whoever asks remembers the answer."""
        starts, states = self._timelines.get(scope) or _timeline(self._rows(scope), self._undone)
        at = bisect_right(starts, at_ms)
        return states[at], starts[at - 1] if at else ALWAYS_MS, starts[at] if at < len(starts) else -ALWAYS_MS

    def timeline(self, scope: str) -> tuple[State, ...]:
        """Return every state of the scope in order of time, each with its since_ms; empty when no event counts."""
        return _timeline(self._rows(scope), self._undone)[1][1:]

    def touched(self, events: Iterable[Event]) -> frozenset[str]:
        """Return the scopes whose state may differ once these events are known, those of imports that they undo included."""
        new = self.new_events(events)
        batches = {event.undoes for event in new if event.undoes is not None}
        scopes = {scope_of(event) for event in new if event.undoes is None}
        if batches:
            scopes.update(scope for scope in self.scopes() if any(row.batch in batches for row in self._rows(scope)))
        return frozenset(scopes)

    def new_events(self, events: Iterable[Event]) -> tuple[Event, ...]:
        """Return those events that are no repeat of one that counts, each once (the one recorded first).

        A repeat that was recorded earlier is news; so is a line of an undone import when it comes in another batch."""
        found: dict[str, Event] = {}
        for event in events:
            again = found.get(event.event_id)
            if not self._knows(event) and (again is None or event.recorded_at_ms < again.recorded_at_ms):
                found[event.event_id] = event
        return tuple(found.values())

    def scopes(self) -> Iterator[str]:
        """Yield every scope that has an event, undone or not, once."""
        yield from self._base
        yield from (scope for scope in self._recent if scope not in self._base)

    def __len__(self) -> int:
        """How many scopes have an event."""
        return len(self._base) + sum(1 for scope in self._recent if self._base.get(scope) is None)

    def __reduce__(self) -> tuple[type[Register], tuple[object, ...]]:
        """Travel to workers without the remembered timelines: they are cheap to make again."""
        return Register, (self._base, self._recent, self._undone, self.version, self._lengths)

    def _knows(self, event: Event) -> bool:
        if event.undoes is not None:
            return event.undoes in self._undone
        counted = [row for row in self._rows(scope_of(event)) if row.batch not in self._undone]
        return event.batch in self._undone or any(
            row.event_id == event.event_id and row.recorded_ms <= event.recorded_at_ms for row in counted
        )

    def _rows(self, scope: str) -> tuple[Row, ...]:
        return self._recent.get(scope) or self._base.get(scope) or ()

    def _remember(self, scope: str) -> _Timeline:
        if len(self._timelines) >= _REMEMBERED:
            self._timelines.clear()
        timeline = self._timelines[scope] = _timeline(self._rows(scope), self._undone)
        return timeline


def _row(event: Event) -> Row:
    unit_ms = DAY_MS if event.flag == "day_only" else 1000 if event.precision == "s" else 1
    batch = sys.intern(event.batch) if event.batch is not None else None
    # Status and source out of the dictionaries, not the event's own strings: a million rows share them.
    status = MEANING.get(event.status, "pending")
    return Row(event.event_id, status, SOURCES[event.source], event.changed_at_ms, unit_ms, event.recorded_at_ms, batch)


# --- judgement of one scope ---


def _timeline(rows: tuple[Row, ...], undone: frozenset[str]) -> _Timeline:
    """Return the starts in ascending order and, before the first and from each of them on, the state that holds."""
    if not rows:
        return _SILENCE
    if len(rows) == 1 and rows[0].batch not in undone and len(spans := _spans(rows[0])) == 1:  # nearly every scope
        (start_ms, _, row), = spans
        return (start_ms,), (SILENT, _state(row, start_ms))
    counted = _first_recorded(row for row in rows if row.batch not in undone)
    found = [span for row in counted if not _stands_back(row, counted) for span in _spans(row)]
    found.sort(key=_span_order)
    starts: list[int] = []
    states = [SILENT]
    latest: tuple[int, int] = (ALWAYS_MS, -1)
    for start_ms, effective_ms, row in found:
        if (effective_ms, _RANK[row.status]) > latest:
            latest = effective_ms, _RANK[row.status]
            starts.append(start_ms)
            states.append(_state(row, start_ms))
    return tuple(starts), tuple(states)


def _state(row: Row, start_ms: int) -> State:
    return State(row.status, row.event_id, row.source, start_ms if start_ms != ALWAYS_MS else None)


def _first_recorded(rows: Iterable[Row]) -> list[Row]:
    """Drop repeats: of the rows of one event the one recorded first counts (rule 7)."""
    first: dict[str, Row] = {}
    for row in rows:
        known = first.get(row.event_id)
        if known is None or row.recorded_ms < known.recorded_ms:
            first[row.event_id] = row
    return list(first.values())


def _spans(row: Row) -> tuple[tuple[int, int, Row], ...]:
    """Return (start, effective time, row) of an event; two of them for an unknown status without a time (rules 1, 3, 4, 5)."""
    recorded, changed = row.recorded_ms, row.changed_ms
    if changed is not None and changed > recorded + FUTURE_MS:
        return ((recorded, recorded, row),)
    if row.status in ("agree", "default_agree"):
        if changed is None:
            return ((recorded, recorded, row),)
        effective = changed if row.unit_ms == 1 else changed + row.unit_ms
        return ((effective if row.source in _PLATFORM else max(effective, recorded), effective, row),)
    if changed is not None:
        return ((changed, changed + DAY_MS - 1 if row.unit_ms == DAY_MS else changed, row),)
    if row.status == "refused":
        return ((ALWAYS_MS, recorded, row),)
    return (ALWAYS_MS, ALWAYS_MS, row), (recorded, recorded, row)


def _span_order(span: tuple[int, int, Row]) -> tuple[int, int, int, int, str]:
    """Order by start; within a start by effective time and rank, so that the last one stands; then the platform's own records first."""
    start_ms, effective_ms, row = span
    return start_ms, effective_ms, _RANK[row.status], _SOURCE_ORDER[row.source], row.event_id


def _stands_back(row: Row, rows: list[Row]) -> bool:
    """Tell whether an event in seconds is told by a millisecond record (rule 1) or loses the tie of its second (rule 2)."""
    if row.unit_ms != 1000 or not _believed(row) or len(rows) == 1:
        return False
    return any(_tells_the_same(other, row) or _outranks_in_second(other, row) for other in rows if _believed(other))


def _believed(row: Row) -> bool:
    return row.changed_ms is not None and row.changed_ms <= row.recorded_ms + FUTURE_MS


def _tells_the_same(record: Row, row: Row) -> bool:
    second = row.changed_ms or 0
    return (
        record.unit_ms == 1
        and record.source in _PLATFORM
        and record.source != row.source
        and record.status == row.status
        and second <= (record.changed_ms or 0) < second + 1000
    )


def _outranks_in_second(other: Row, row: Row) -> bool:
    return (
        row.status in ("agree", "default_agree")
        and other.status in ("refused", "pending")
        and other.unit_ms == 1000
        and other.changed_ms == row.changed_ms
    )
