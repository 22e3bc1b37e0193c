"""`consent sync`: WeCom is asked about every scope that chats, oftener about those that are active, new or changed.

Before: wecom/calls.py (batches of 100 pairs, one room a call, limits), register.py. After: reconcile.py; the view `consent_scopes`.

Rules:
 (1) Scopes: pairs and rooms of archived messages, of register events, and of records that wait (opened to see whom they name, nothing kept).
 (2) Due: never asked; else asked longer ago than `sync_active_hours` and active (chatted or changed within three days); else longer ago than
     `sync_hours`. A scope that has not chatted for 35 days and is not pending is not asked again: nothing of it comes.
 (3) What was answered is stored in one commit every 20 calls, events and times together: a sync that is cut off goes on where it was.
 (4) An answer without a time that says what holds already is no news; every other one is an event, unknown statuses too.
 (5) A batch that WeCom refuses because of one id is halved until that id stands alone: it is noted with its code and asked again with the others' turn.
 (6) There is no callback for a refusal: how long ago a scope was asked is stored for each, shown, and warned about (`stale`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import date, timedelta
from typing import Any, Literal, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from pipeline import clock, lakerows
from pipeline.commitrows import table
from pipeline.consenting import change, fates, resealing
from pipeline.consenting.change import Change
from pipeline.deltalog import Snapshot
from pipeline.directory import fold_userid, looks_external
from pipeline.home import Home
from pipeline.lake import Lake
from pipeline.register import DEFAULT_AGREE, MEANING, Event, Register, scope_of
from pipeline.wecom import calls
from pipeline.wecom.client import Client, Unreachable, Unresolved
from pipeline.workbench import Workbench

HOUR_MS = 3_600_000
ACTIVE_DAYS, CHATTING_DAYS = 3, 35
CALLS_A_COMMIT = 20
MOST_FILES = 16
PAIRS = 100
Which = Literal["due", "new"]


class Scope(NamedTuple):
    """What can be asked about: a pair, or a room with everybody external in it. userid as received first."""

    userid: str
    external: str
    room: str

    @property
    def key(self) -> tuple[str, str, str]:
        """How scopes are compared."""
        return (fold_userid(self.userid), self.external, self.room)


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What is known about when a scope chats and was asked. Beijing days since 1970; times in ms, None: never."""

    scope: Scope
    last_day: int | None = None
    changed_ms: int | None = None
    asked_ms: int | None = None
    waits: bool = False


class Synced(msgspec.Struct, kw_only=True):
    """What a sync did. unknown: new events whose status nobody knows; left: due scopes it did not come to; stale: scopes that chat and were not asked for
    `stale_days`; cut: why it stopped."""

    pairs: int = 0
    rooms: int = 0
    events: int = 0
    unknown: int = 0
    failed: int = 0
    left: int = 0
    stale: int = 0
    cut: str = ""


# -- what is due (pure) ------------------------------------------------------------------------------------------------


def due(seen: Iterable[Seen], *, now_ms: int, hours: int, active_hours: int) -> list[Scope]:
    """Return the scopes to be asked now (rule 2): never asked first, then those asked longest ago."""
    today = clock.beijing_day(now_ms)
    found = []
    for one in seen:
        active = (one.last_day is not None and today - one.last_day <= ACTIVE_DAYS) or (
            one.changed_ms is not None and now_ms - one.changed_ms <= ACTIVE_DAYS * clock.DAY_MS
        )
        every = active_hours if active or one.waits else hours
        if one.asked_ms is None or (now_ms - one.asked_ms >= every * HOUR_MS and chats(one, today)):
            found.append(one)
    return [one.scope for one in sorted(found, key=lambda o: (o.asked_ms is not None, o.asked_ms or 0, o.scope))]


def chats(one: Seen, today: int) -> bool:
    """Whether anything of the scope may still come or waits."""
    return one.waits or (one.last_day is not None and today - one.last_day <= CHATTING_DAYS)


def stale(seen: Iterable[Seen], *, now_ms: int, days: int) -> list[Scope]:
    """Return the scopes that chat and of which nobody has asked for `days` days."""
    today = clock.beijing_day(now_ms)
    return [o.scope for o in seen if chats(o, today) and (o.asked_ms is None or now_ms - o.asked_ms > days * clock.DAY_MS)]


# -- which scopes there are --------------------------------------------------------------------------------------------


def scopes(home: Home, corp_id: str, snapshot: Snapshot) -> list[Seen]:
    """Return every scope there is, with what is known about when it chats and was asked (rule 1)."""
    lake, bench = home.lake(corp_id), Workbench(home, corp_id, snapshot)
    asked = _asked(lake, snapshot)
    since = None if not asked else clock.beijing_day(clock.now_ms()) - CHATTING_DAYS
    last = _chatting(lake, snapshot, since)
    changed: dict[tuple[str, str, str], tuple[Scope, int]] = {}
    for event in bench.events:
        scope = _scope_of(event)
        if scope is not None and (scope.key not in changed or changed[scope.key][1] < event.recorded_at_ms):
            changed[scope.key] = (scope, event.recorded_at_ms)
    waiting = _waiting(home, bench)
    every = {**{k: s for k, (s, _) in asked.items()}, **{k: s for k, (s, _) in changed.items()}, **{k: s for k, (s, _) in last.items()}, **waiting}
    return [
        Seen(
            scope=scope, last_day=last[k][1] if k in last else None, changed_ms=changed[k][1] if k in changed else None,
            asked_ms=asked[k][1] if k in asked else None, waits=k in waiting,
        )
        for k, scope in every.items()
    ]  # fmt: skip


def _asked(lake: Lake, snapshot: Snapshot) -> dict[tuple[str, str, str], tuple[Scope, int]]:
    found: dict[tuple[str, str, str], tuple[Scope, int]] = {}
    columns = ["userid", "room_id", "external_userid", "asked_at"]
    for row in fates.in_ms(lake.read("consent_asks", snapshot.of("consent_asks"), columns=columns)).to_pylist():
        if row["room_id"] is not None and row["external_userid"] is not None:
            continue  # a person of a room: the room as a whole has a row of its own
        scope = Scope(row["userid"] or "", row["external_userid"] or "", row["room_id"] or "")
        if scope.key not in found or found[scope.key][1] < row["asked_at"]:
            found[scope.key] = (scope, row["asked_at"])
    return found


def _chatting(lake: Lake, snapshot: Snapshot, since_day: int | None) -> dict[tuple[str, str, str], tuple[Scope, int]]:
    """Return pairs and rooms of archived messages with the last day on which they chatted."""
    month = None if since_day is None else clock.month_of_day(since_day)
    files = [f for f in snapshot.of("messages") if month is None or f.month >= month]
    if not files:
        return {}
    where = ds.field("customer_id").is_valid()
    if since_day is not None:
        where = where & (ds.field("dt") >= pa.scalar(date(1970, 1, 1) + timedelta(days=since_day)))
    found: dict[tuple[str, str, str], tuple[Scope, int]] = {}
    for batch in lake.dataset("messages", files).scanner(columns=["employee_id", "customer_id", "room_id", "dt"], filter=where).to_batches():
        rows = pa.Table.from_batches([batch])
        grouped = rows.set_column(3, "dt", rows["dt"].cast(pa.int32())).group_by(["employee_id", "customer_id", "room_id"]).aggregate([("dt", "max")])
        for row in grouped.to_pylist():
            scope = Scope("", "", row["room_id"]) if row["room_id"] else Scope(row["employee_id"] or "", row["customer_id"], "")
            if (scope.room or scope.userid) and (scope.key not in found or found[scope.key][1] < row["dt_max"]):
                found[scope.key] = (scope, row["dt_max"])
    return found


def _scope_of(event: Event) -> Scope | None:
    if event.undoes is not None:
        return None
    return Scope("", "", event.room_id) if event.room_id is not None else Scope(event.userid or "", event.external_userid, "")


def _waiting(home: Home, bench: Workbench) -> dict[tuple[str, str, str], Scope]:
    """Return the scopes of pending records: one record of every scope is opened to see whom it names."""
    lake, snapshot = home.lake(bench.corp_id), bench.snapshot
    if not snapshot.of("pending_sealed"):
        return {}
    first: dict[str, tuple[str, int]] = {}
    for file in snapshot.of("pending_sealed"):
        rows = lake.read("pending_sealed", [file], columns=["origin", "seq", "scope_ref"]).to_pylist()
        for row in rows:
            if row["scope_ref"] is not None:
                first.setdefault(row["scope_ref"], (row["origin"], row["seq"]))
    chosen: dict[tuple[str, int], list[dict[str, Any]]] = {key: [] for key in first.values()}
    rows = [r for f in snapshot.of("pending_sealed") for r in resealing.sealed_rows(lake, f, chosen)]
    found: dict[tuple[str, str, str], Scope] = {}
    for page in resealing.judged_pages(bench, rows):
        for item in page.items:
            scope = _scope_of_message(item.message.room_id, item.decision.employee_id, item.decision.customer_id)
            if scope is not None:
                found[scope.key] = scope
    return found


def _scope_of_message(room_id: str | None, employee: str | None, customer: str | None) -> Scope | None:
    if room_id:
        return Scope("", "", room_id)
    return Scope(employee, customer, "") if employee and customer and not looks_external(employee) else None


# -- asking ------------------------------------------------------------------------------------------------------------


class _Portion:
    """What was answered since the last commit."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.asks: list[dict[str, Any]] = []
        self.calls = 0

    def note(self, scope: Scope, at_ms: int, *, external: str | None = None, status: str | None = None, code: str | None = None) -> None:
        """Note that a scope was asked."""
        self.asks.append({
            "userid": scope.userid or None, "room_id": scope.room or None, "external_userid": external or scope.external or None, "asked_at": at_ms,
            "status": status, "code": code,
        })  # fmt: skip


def sync(home: Home, corp_id: str, client: Client, *, which: Which = "due", progress: Callable[[str, int, int], None] | None = None) -> Synced:
    """Ask about the scopes that are due (or only those never asked); what came is durable every 20 calls. Raises SourceRefused, what came before is kept."""
    lake, consent = home.lake(corp_id), home.config.consent
    snapshot = lake.snapshot()
    seen, now = scopes(home, corp_id, snapshot), clock.now_ms()
    todo = due(seen, now_ms=now, hours=consent.sync_hours, active_hours=consent.sync_active_hours)
    if which == "new":
        never = {o.scope for o in seen if o.asked_ms is None}
        todo = [s for s in todo if s in never]
    told, register, portion = Synced(), Workbench(home, corp_id, snapshot).register, _Portion()
    done = 0
    try:
        for batch in _batches(todo):
            _ask(client, batch, portion, told)
            done += len(batch)
            if progress is not None:
                progress("sync", done, len(todo))
            if portion.calls >= CALLS_A_COMMIT:
                register = _store(home, corp_id, portion, register, told)
                portion = _Portion()
    except Unreachable as error:
        told.cut = error.code
    finally:
        _store(home, corp_id, portion, register, told)
        told.left = len(todo) - done
    told.stale = len(stale(scopes(home, corp_id, lake.snapshot()), now_ms=clock.now_ms(), days=consent.stale_days))
    return told


def _batches(todo: Sequence[Scope]) -> Iterable[list[Scope]]:
    """Yield calls in the order of what is due: up to 100 pairs, or one room."""
    pairs: list[Scope] = []
    for scope in todo:
        if scope.room:
            yield [scope]
            continue
        pairs.append(scope)
        if len(pairs) == PAIRS:
            yield pairs
            pairs = []
    if pairs:
        yield pairs


def _ask(client: Client, batch: list[Scope], portion: _Portion, told: Synced) -> None:
    """Ask one batch; one that is refused because of an id is halved (rule 5)."""
    portion.calls += 1
    try:
        found = (
            calls.check_room_agree(client, batch[0].room) if batch[0].room else calls.check_single_agree(client, [(s.userid, s.external) for s in batch])
        )
    except Unresolved as error:
        if len(batch) > 1:
            half = len(batch) // 2
            _ask(client, batch[:half], portion, told)
            _ask(client, batch[half:], portion, told)
            return
        portion.note(batch[0], clock.now_ms(), code=str(error.errcode))
        told.failed += 1
        return
    portion.events.extend(calls.events_of(found))
    said = {(fold_userid(a.userid or ""), a.external_userid): a for a in found}
    for scope in batch:
        answer = said.get((fold_userid(scope.userid), scope.external))
        portion.note(scope, clock.now_ms(), status=answer.status if answer is not None and not scope.room else None)
        for one in found if scope.room else ():
            portion.note(scope, one.asked_at_ms, external=one.external_userid, status=one.status)
    told.rooms, told.pairs = told.rooms + (1 if batch[0].room else 0), told.pairs + (0 if batch[0].room else len(batch))


def _store(home: Home, corp_id: str, portion: _Portion, register: Register, told: Synced) -> Register:
    """Make what was answered durable in one commit (rule 3); return the register that knows it."""
    if not portion.asks:
        return register
    fresh = news(register, portion.events)

    def plan(lake: Lake, snapshot: Snapshot, made: Change) -> bool:
        if fresh:
            made.write(lakerows.consent_table(fresh), "consent")
        asks = table("consent_asks", portion.asks)
        before = snapshot.of("consent_asks")
        if len(before) >= MOST_FILES:
            asks = _newest(pa.concat_tables([lake.read("consent_asks", before), asks]))
            made.removes += before
        made.write(asks, "consent_asks")
        return True

    change.commit(home, corp_id, plan, what="consent sync")
    told.events += len(fresh)
    told.unknown += sum(e.status not in MEANING for e in fresh)
    return register.with_events(fresh, register.version)


def news(register: Register, events: Sequence[Event]) -> list[Event]:
    """Return the events that say something new (rule 4)."""
    held = {"Agree": "agree", "Disagree": "refused", DEFAULT_AGREE: "default_agree"}
    found = []
    for event in register.new_events(events):
        states = register.timeline(scope_of(event))
        same = bool(states) and states[-1].status == held.get(event.status, "pending")
        if event.changed_at_ms is not None or not same:
            found.append(event)
    return found


def _newest(asks: pa.Table) -> pa.Table:
    """Keep the newest row of every scope."""
    order = pc.sort_indices(asks, sort_keys=[("asked_at", "descending")])
    rows = asks.take(order)
    kept, seen = [], set()
    for at, row in enumerate(rows.select(["userid", "room_id", "external_userid"]).to_pylist()):
        key = (fold_userid(row["userid"] or ""), row["room_id"], row["external_userid"])
        if key not in seen:
            seen.add(key)
            kept.append(at)
    return rows.take(pa.array(kept))
