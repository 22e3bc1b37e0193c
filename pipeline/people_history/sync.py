"""One sync of the directory: what callbacks said, seats, members, rooms, customers, handovers, counts; each part committed by itself.

Before: everything of this package. After: the step `directory` of `run` (before `ingest`, so that new members are known when their first
message is judged), the command `directory sync`.

Rules:
 (1) Safe to repeat and to kill: a part that was committed adds nothing when it is seen again; how far the sync got is only a hint.
 (2) Members, seats and counts once a Beijing day, and whom and which rooms the messages name; all customers once a week; between, only whom a
     callback names. At most BUDGET at a time; the next sync goes on behind them.
 (3) A part that the app may not call (48001, 48002) is told and the others go on; a wrong secret or address ends the sync (exit 4); a network
     that fails ends it until next time (exit 3).
 (4) Without a contacts secret there are seats, robots and internal groups alone.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterable, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

import msgspec
import pyarrow as pa

from pipeline import clock, hints
from pipeline.clock import DAY_MS, beijing_day
from pipeline.directory import fold_userid, looks_robot
from pipeline.errors import SourceRefused
from pipeline.home import Home
from pipeline.people_history import counts, customers, kinds, members, rooms, told
from pipeline.people_history.facts import Fact, Key, Seen, changes, current
from pipeline.reader import Reader
from pipeline.roles import acting
from pipeline.room import append
from pipeline.wecom import callback_store as store
from pipeline.wecom import calls, contacts, statistics
from pipeline.wecom.callback_events import Event
from pipeline.wecom.client import Client, Unreachable, Unresolved
from pipeline.wecom.contacts import Customer

BUDGET: Final = 2_000
WEEK_MS: Final = 7 * DAY_MS
MASS_DAYS: Final = 30
WHAT: Final = "directory"
PERMISSION: Final = "WECOM_PERMISSION"
_ALL: Final = "~"  # after every digest
_EPOCH: Final = date(1970, 1, 1)


class Progress(msgspec.Struct, kw_only=True):
    """How far earlier syncs got (milliseconds UTC, 0: never); a hint, lost without harm."""

    members_ms: int = 0
    customers_ms: int = 0
    seats_ms: int = 0
    counts_ms: int = 0
    chats_ms: int = 0
    mass_ms: int = 0
    cursors: dict[str, str] = {}


class Synced(msgspec.Struct, kw_only=True):
    """What a sync added: rows by kind, agreements that came by callback, parts the app may not call, and what is left for the next time."""

    rows: dict[str, int] = msgspec.field(default_factory=dict)
    agreements: int = 0
    refused: list[str] = []
    unreachable: str = ""
    left_over: int = 0
    leavers_doubted: bool = False
    unlicensed: int = 0
    mass_messages: int = 0

    @property
    def exit_code(self) -> int:
        """0, 3 (something is left for the next time), 4 (a part is refused)."""
        return 4 if self.refused else 3 if self.unreachable or self.left_over or self.leavers_doubted else 0


class Chatting(msgspec.Struct, frozen=True):
    """Who and which rooms are in recent messages."""

    people: frozenset[str]
    senders: frozenset[str]
    rooms: frozenset[str]


NOBODY: Final = Chatting(frozenset(), frozenset(), frozenset())


def sync(home: Home, corp_id: str, client: Client, *, now_ms: Callable[[], int] = clock.now_ms, full: bool = False) -> Synced:
    """Do one sync and say what it added. full: as if no sync had been done today. Raises SourceRefused, StorageError, Locked."""
    with home.lock(f"{corp_id}.directory"):
        return _Sync(home, corp_id, client, now_ms, full).run()


class _Sync:
    def __init__(self, home: Home, corp_id: str, client: Client, now_ms: Callable[[], int], full: bool) -> None:
        self.home, self.corp_id, self.client, self.now_ms = home, corp_id, client, now_ms
        self.lake = home.lake(corp_id)
        (corp,) = [c for c in home.config.corp if c.id == corp_id]
        self.has_contacts = bool(corp.contacts_secret)
        self.progress = Progress() if full else _load(home, corp_id)
        self.done = Synced()
        self.budget = BUDGET
        self.cursors: dict[str, str] = {}
        self._read: dict[str, dict[Key, Fact]] = {}

    def run(self) -> Synced:
        """Do the parts in order (rule 3)."""
        self.done.agreements = len(store.drain(self.home, self.corp_id))
        events = store.waiting(self.home, self.corp_id)
        self.told = self._what_was_told([e for _, e in events])
        self.chatting = NOBODY if self._today(self.progress.chats_ms) else chatting(self.home, self.corp_id, since_day=self._since())
        parts: list[tuple[str, Callable[[], None]]] = [("seats", self._seats), ("robots", self._robots)]
        if self.has_contacts:
            parts += [("members", self._members)]
        parts += [("rooms", self._rooms)]
        if self.has_contacts:
            parts += [("customers", self._customers), ("handovers", self._handovers), ("mass", self._mass), ("counts", self._counts)]
        try:
            for name, part in parts:
                self._part(name, part)
            store.settle(self.home, self.corp_id, [path for path, _ in events])
            if self.done.left_over:
                self._reached(cursors=self.cursors)
            elif self.chatting.people:  # an archive that is still empty names nobody: it is looked at again
                self._reached(cursors={}, chats_ms=self.now_ms())
        except Unreachable as error:
            self.done.unreachable = error.code
        return self.done

    def _what_was_told(self, events: Sequence[Event]) -> told.Told:
        """Commit what callbacks say by themselves; what is known is read only where one of them concerns it."""
        meanings = {e.meaning for e in events}
        found = told.read(events, self._known("people") if "member" in meanings else {}, self._known("follows") if "contact" in meanings else {})
        self._add(people=found.people, follows=found.follows)
        return found

    def _part(self, name: str, part: Callable[[], None]) -> None:
        try:
            part()
        except SourceRefused as refused:
            if refused.code != PERMISSION:
                raise
            self.done.refused += [name] if name not in self.done.refused else []

    # -- the parts ----------------------------------------------------------------------------------------------

    def _seats(self) -> None:
        if self._today(self.progress.seats_ms):
            return
        asked_at = self.now_ms()
        found = counts.ask_seats(self.client)
        day = _EPOCH + timedelta(days=beijing_day(asked_at))
        self._append("seats", counts.seat_table(found, day=day, asked_at_ms=asked_at))
        licensed = {fold_userid(userid) for userid, _ in found}
        self.done.unlicensed = len({fold_userid(s) for s in self.chatting.senders} - licensed)
        self._reached(seats_ms=asked_at)

    def _robots(self) -> None:
        seen: dict[Key, Seen] = {}
        for robot_id in sorted(p for p in self.chatting.people if looks_robot(p)):
            known = self._known("people")
            if (robot_id,) not in known and (fold_userid(robot_id),) not in known:  # an employee may be called wbanderson
                with contextlib.suppress(Unresolved):
                    found = calls.robot(self.client, robot_id)
                    seen[(robot_id,)] = Seen(ids=(robot_id,), values=("robot", found.name, None, None, None), since_ms=0)
        if seen:
            self._add(people=changes(self._known("people"), seen, at_ms=self.now_ms(), source="archive"))

    def _members(self) -> None:
        if self._today(self.progress.members_ms) and not self.told.members:
            return
        known, at_ms = self._known("people"), self.now_ms()
        if self._today(self.progress.members_ms):
            firm = members.ask_some(self.client, self.told.members, kinds.departments_of(self._known("departments")))
            rows, believed = members.people_rows(known, firm, at_ms=at_ms)
            self._add(people=rows)
        else:
            also = [p for p in self.chatting.senders if not p.startswith(("wm", "wo", "wb"))]
            firm = members.ask(self.client, known, [*also, *self.told.members], turn=beijing_day(at_ms))
            rows, believed = members.people_rows(known, firm, at_ms=at_ms)
            self._add(people=rows, departments=members.department_rows(self._known("departments"), firm.departments, at_ms=at_ms))
            self._reached(members_ms=at_ms)
        self.done.leavers_doubted = not believed

    def _rooms(self) -> None:
        known = self._known("rooms")
        wanted = {*self.told.rooms, *self.chatting.rooms}
        if self.has_contacts and not self._today(self.progress.chats_ms):
            with contextlib.suppress(Unresolved):
                wanted |= {room for room in contacts.customer_rooms(self.client) if (room,) not in known}
        asked = []
        for room_id in self._turn("rooms", wanted, first=self.told.rooms):
            found = rooms.ask(self.client, room_id) if self.has_contacts else self._internal(room_id)
            asked += [found] if found else []
        if asked:
            room_rows, member_rows = rooms.rows(known, self._known("memberships"), asked, at_ms=self.now_ms())
            self._add(rooms=room_rows, memberships=member_rows)

    def _internal(self, room_id: str) -> tuple[calls.Room, str] | None:
        try:
            return calls.internal_room(self.client, room_id), rooms.INTERNAL
        except Unresolved:
            return None

    def _customers(self) -> None:
        at_ms, weekly = self.now_ms(), self.now_ms() - self.progress.customers_ms >= WEEK_MS
        if weekly:
            users = contacts.follow_users(self.client)
            for first in range(0, len(users), customers.USERS_A_CALL):
                batch = users[first : first + customers.USERS_A_CALL]
                self._customers_seen(list(contacts.customers_of(self.client, batch)), whole_of=batch)
            self._reached(customers_ms=at_ms)
        outsiders = {p for p in self.chatting.people if p.startswith(("wm", "wo"))}
        strangers = {p for p in outsiders if (p,) not in self._known("customers")}
        found: list[Customer] = []
        for external in self._turn("customers", strangers, first=self.told.customers):
            try:
                found.append(contacts.customer(self.client, external))
            except Unresolved:
                continue  # archived and no contact any more: nothing to remember
        if found:
            self._customers_seen(found, whole_of=())

    def _customers_seen(self, found: Sequence[Customer], *, whole_of: Iterable[str]) -> None:
        """Commit what was seen of customers, with how the handovers among them stand: one commit, for a pair that is known is no new one."""
        at_ms, follows = self.now_ms(), self._known("follows")
        new = customers.follow_rows(follows, found, whole_of, at_ms=at_ms)
        pairs = customers.handed_over(follows, new)
        seen = self._standing(pairs) if pairs else {}
        handovers = changes(self._known("handovers"), seen, at_ms=at_ms, source=customers.SOURCE) if seen else ()
        self._add(customers=customers.people_rows(self._known("customers"), found, at_ms=at_ms), follows=new, handovers=handovers)

    def _standing(self, pairs: customers.Pairs) -> dict[Key, Seen]:
        """Return how handovers stand; where the app may not ask, what was seen stands and the part is told."""
        left = [key[0] for key, fact in self._known("people").items() if fact.valid_to_ms is not None]
        try:
            return customers.ask_handovers(self.client, pairs, left)
        except SourceRefused as refused:
            if refused.code != PERMISSION:
                raise
            self.done.refused += ["handovers"] if "handovers" not in self.done.refused else []
            return customers.standing(pairs, {})

    def _handovers(self) -> None:
        if self._today(self.progress.counts_ms):
            return
        known = self._known("handovers")
        # Who was taken over since stays taken over: WeCom lists a customer until then only.
        seen = {key: now for key, now in customers.ask_unassigned(self.client).items() if key not in known}
        waiting = customers.waiting(known)
        asked = self._standing(waiting) if waiting else {}
        seen |= {key: now for key, now in asked.items() if now.values[1] != customers.SEEN}
        self._add(handovers=changes(known, seen, at_ms=self.now_ms(), source=customers.SOURCE))

    def _mass(self) -> None:
        """The firm's mass messages of the last month: not charged to the members who confirmed them."""
        if self._today(self.progress.mass_ms):
            return
        from pipeline.scripts import mass  # its folding tables cost more than a second to load

        asked_at = self.now_ms()
        today = _EPOCH + timedelta(days=beijing_day(asked_at))
        self.done.mass_messages = mass.take(self.home, statistics.mass_messages(self.client, today - timedelta(days=MASS_DAYS - 1), today))
        self._reached(mass_ms=asked_at)

    def _counts(self) -> None:
        if self._today(self.progress.counts_ms):
            return
        asked_at = self.now_ms()
        today = _EPOCH + timedelta(days=beijing_day(asked_at))
        with Reader(self.home, self.corp_id, access=acting.MACHINE) as reader:
            first = reader.rows("SELECT min(dt) AS first FROM messages")[0]["first"]
            last = {r["id"]: r["day"] for r in reader.rows("SELECT lower(employee_id) AS id, max(day) AS day FROM behaviour GROUP BY 1")}
        if first is None:
            return
        wanted = counts.due(last, contacts.follow_users(self.client), today=today, first=first)
        rows = counts.ask_behaviour(self.client, {userid: wanted[userid] for userid in self._turn("counts", wanted)})
        if rows:
            self._append("behaviour", counts.behaviour_table(rows, asked_at_ms=asked_at))
        self._reached(counts_ms=asked_at)

    # -- what is known, and adding to it -------------------------------------------------------------------------

    def _known(self, what: str) -> dict[Key, Fact]:
        """Return what is known of a kind, read once (`customers`: the external people, of whom there may be very many; `people`: the others)."""
        if what not in self._read:
            self._read[what] = current(kinds.read(self.lake, self.lake.snapshot(), what))
        return self._read[what]

    def _add(self, **facts: Iterable[Fact]) -> None:
        """Append facts by kind in one commit; none for no rows."""
        found = {what: rows for what, given in facts.items() if (rows := list(given))}
        if found:
            append(self.home, self.corp_id, [(kinds.kind_of(what), kinds.table(what, rows)) for what, rows in found.items()], what=WHAT)
        for what, rows in found.items():
            kind = kinds.kind_of(what)
            self.done.rows[kind] = self.done.rows.get(kind, 0) + len(rows)
            if what in self._read:
                self._read[what] |= current([*(self._read[what][r.key] for r in rows if r.key in self._read[what]), *rows])

    def _append(self, kind: str, table: pa.Table) -> None:
        append(self.home, self.corp_id, [(kind, table)], what=WHAT)
        self.done.rows[kind] = self.done.rows.get(kind, 0) + table.num_rows

    def _turn(self, part: str, wanted: Iterable[str], *, first: Iterable[str] = ()) -> list[str]:
        """Return whom to ask now: those named by callbacks, then as many as the budget allows after those asked before (in order of a digest)."""
        named = sorted(first)
        order = sorted((hashlib.sha256(w.encode(errors="replace")).hexdigest(), w) for w in {*wanted} - {*named})
        rest = [(digest, w) for digest, w in order if digest > self.progress.cursors.get(part, "")]
        taken = rest[: max(self.budget - len(named), 0)]
        self.budget = max(self.budget - len(named) - len(taken), 0)
        self.done.left_over += len(rest) - len(taken)
        self.cursors[part] = _ALL if len(taken) == len(rest) else taken[-1][0] if taken else self.progress.cursors.get(part, "")
        return [*named, *(w for _, w in taken)]

    # -- how far it got -----------------------------------------------------------------------------------------

    def _today(self, at_ms: int) -> bool:
        return bool(at_ms) and self._day(at_ms) == self._day(self.now_ms())

    @staticmethod
    def _day(at_ms: int) -> int:
        return beijing_day(at_ms)

    def _since(self) -> int:
        """The Beijing day from which on messages are looked at for people and rooms."""
        return self._day(self.progress.chats_ms or self.now_ms() - WEEK_MS) - 1

    def _reached(self, **until: Any) -> None:
        self.progress = msgspec.structs.replace(self.progress, **until)
        hints.write(_path(self.home, self.corp_id), self.progress)


def _path(home: Home, corp_id: str) -> Path:
    return home.path / "source" / f"{corp_id}.directory.json"


def _load(home: Home, corp_id: str) -> Progress:
    return hints.read(_path(home, corp_id), Progress)  # lost: asked once more than needed


def chatting(home: Home, corp_id: str, *, since_day: int) -> Chatting:
    """Return who wrote or was written to, and in which rooms, from a Beijing day on (days since 1970)."""
    people: set[str] = set()
    senders: set[str] = set()
    found: set[str] = set()
    query = "SELECT DISTINCT sender_id, sender_kind, recipient_ids, room_id FROM messages WHERE dt >= $since"
    with Reader(home, corp_id, access=acting.MACHINE) as reader:
        for row in reader.rows(query, {"since": _EPOCH + timedelta(days=since_day)}):
            people |= {p for p in (row["sender_id"], *(row["recipient_ids"] or ())) if p}
            senders |= {row["sender_id"]} if row["sender_kind"] == "employee" and row["sender_id"] else set()
            found |= {row["room_id"]} if row["room_id"] else set()
    return Chatting(frozenset(people), frozenset(senders), frozenset(found))

