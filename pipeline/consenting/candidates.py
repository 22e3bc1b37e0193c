"""Which archived rows a consent event may concern, read as cheaply as the lake allows.

Before: lake.py, register.py. After: hiding.py.

Rules: (1) only scopes in which something speaks against keeping are looked at, and only days from the first such moment on; (2) a row of
a single chat is named by its conversation, which holds every id as received; a row of a room by its room and, where the sender decides,
its sender; (3) recalls in those conversations are read too: they follow their original; (4) a file is read whole only when one of its
conversations names somebody or a room that is looked for: in a compacted archive that is one file a month.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from functools import reduce
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from pipeline import clock
from pipeline.deltalog import DataFile, Snapshot
from pipeline.lake import Lake
from pipeline.records import Message
from pipeline.register import Event, Register, scope_of

COLUMNS = (
    "origin", "seq", "msgid", "kind", "sender_id", "recipient_ids", "room_id", "conversation_id", "sent_at", "captured_at", "dt", "recalls_msgid",
    "consent_source",
)  # fmt: skip
_FEW = 8
SPEAKS_AGAINST = ("refused", "pending")


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What to look for: people of single chats, (room, person) of rooms, and the first Beijing day (None: all), as days since 1970."""

    people: frozenset[str]
    rooms: frozenset[str]
    persons: frozenset[str]
    first_day: int | None

    @property
    def nothing(self) -> bool:
        """Whether there is nothing to look for."""
        return not self.people and not self.rooms


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """What of an archived row a second judgement needs. day: Beijing day, since 1970."""

    origin: str
    seq: int
    msgid: str
    kind: str
    sender_id: str | None
    recipient_ids: tuple[str, ...]
    room_id: str | None
    conversation_id: str
    sent_at_ms: int | None
    captured_at_ms: int
    day: int
    recalls_msgid: str | None
    consent_source: str

    @property
    def at_ms(self) -> int:
        """When it counts as sent."""
        return self.sent_at_ms if self.sent_at_ms is not None else self.captured_at_ms

    @property
    def month(self) -> str:
        """The month its rows lie in."""
        return clock.month_of_day(self.day)

    def stub(self) -> Message:
        """Return what the gate looks at."""
        return Message(
            msgid=self.msgid, kind="message", action="", msgtype="", sender_id=self.sender_id, recipient_ids=self.recipient_ids, room_id=self.room_id,
            sent_at_ms=self.sent_at_ms, text="", parts=(), recalls_msgid=None,
        )  # fmt: skip


def scopes_of(fresh: Iterable[Event], every: Sequence[Event]) -> dict[str, Event]:
    """Return the scopes that these events touch, each with one event that names its people; an undone import touches all of its lines."""
    found: dict[str, Event] = {}
    undone = set()
    for event in fresh:
        if event.undoes is not None:
            undone.add(event.undoes)
        else:
            found[scope_of(event)] = event
    if undone:
        found.update((scope_of(e), e) for e in every if e.batch in undone and e.undoes is None)
    return found


def asked(touched: dict[str, Event], register: Register, *, from_the_beginning: bool = False) -> Asked:
    """Return what to look for among archived rows (rule 1). from_the_beginning: also what was sent before the first refusal (withdrawal)."""
    people, rooms, persons, first = set(), set(), set(), []
    for scope, event in touched.items():
        against = [s.since_ms for s in register.timeline(scope) if s.status in SPEAKS_AGAINST]
        if not against:
            continue
        first.append(None if from_the_beginning else min((at for at in against if at is not None), default=None) if None not in against else None)
        if event.room_id is not None:
            rooms.add(event.room_id)
            persons.add(event.external_userid)
        else:
            people.add(event.external_userid)
    days = [clock.beijing_day(at) for at in first if at is not None]
    return Asked(
        people=frozenset(people), rooms=frozenset(rooms), persons=frozenset(persons), first_day=min(days) if days and None not in first else None
    )


def rows(lake: Lake, snapshot: Snapshot, what: Asked, *, sender_decides: bool) -> list[Stored]:
    """Return the archived rows that may be concerned, in no order; rows that are hidden already among them."""
    if what.nothing:
        return []
    first = None if what.first_day is None else date(1970, 1, 1) + timedelta(days=what.first_day)
    month = None if what.first_day is None else clock.month_of_day(what.first_day)
    files = [f for f in snapshot.of("messages") if month is None or f.month >= month]
    if not files:
        return []
    dataset = lake.dataset("messages", [f for f in files if _names_them(lake, f, what)])
    where = None if first is None else ds.field("dt") >= pa.scalar(first)
    found: list[Stored] = []
    for batch in dataset.scanner(columns=list(COLUMNS), filter=where, use_threads=True).to_batches():
        mask = _mask(batch, what, sender_decides)
        if pc.any(mask).as_py():
            found.extend(map(stored, plain(batch.filter(mask))))
    return found


def _names_them(lake: Lake, file: DataFile, what: Asked) -> bool:
    """Whether a conversation of the file names one of the people or rooms (rule 4). A room's conversation is the room."""
    rooms = pa.array(sorted(what.rooms), pa.string())
    for batch in lake.dataset("messages", [file]).scanner(columns=["conversation_id"]).to_batches():
        told = batch["conversation_id"].unique()
        if pc.any(pc.is_in(told, value_set=rooms)).as_py() or pc.any(_among(told, what.people)).as_py():
            return True
    return False


def _mask(batch: pa.RecordBatch, what: Asked, sender_decides: bool) -> pa.Array:
    in_room = pc.is_valid(batch["room_id"])
    mask = pc.and_(pc.invert(in_room), _among(batch["conversation_id"], what.people))
    if what.rooms:
        there = pc.is_in(batch["room_id"], value_set=pa.array(sorted(what.rooms), pa.string()))
        if sender_decides:
            by_them = pc.is_in(batch["sender_id"], value_set=pa.array(sorted(what.persons), pa.string()))
            there = pc.and_(there, pc.or_(by_them, pc.equal(batch["kind"], "recall")))
        mask = pc.or_(mask, there)
    return pc.fill_null(mask, False)


def _among(conversations: pa.Array, people: frozenset[str]) -> pa.Array:
    """Whether one of the people is named by the conversation of a single chat (ids joined by |)."""
    if not people:
        return pa.array([False] * len(conversations))
    coded = conversations.dictionary_encode()
    names = coded.dictionary.filter(_near(coded.dictionary, people))
    named = [c for c in names.to_pylist() if not people.isdisjoint(c.split("|"))]
    return pc.is_in(coded.dictionary, value_set=pa.array(named, pa.string())).take(coded.indices)


def _near(conversations: pa.Array, people: frozenset[str]) -> pa.Array:
    """Return in which conversations the id of one of the people stands somewhere; of many people: all. To look is quicker than to take apart."""
    if len(people) > _FEW:
        return pa.array([True] * len(conversations))
    return reduce(pc.or_, [pc.match_substring(conversations, p) for p in people])


def plain(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    """Return rows with times in ms and days since 1970."""
    table = pa.Table.from_batches([batch])
    for name in ("sent_at", "captured_at"):
        table = table.set_column(table.column_names.index(name), name, pc.divide(table[name].cast(pa.int64()), 1000))
    return table.set_column(table.column_names.index("dt"), "dt", table["dt"].cast(pa.int32())).to_pylist()  # type: ignore[no-any-return]


def stored(row: dict[str, Any]) -> Stored:
    """Return what a second judgement needs of a row that `plain` gave."""
    return Stored(
        origin=row["origin"], seq=row["seq"], msgid=row["msgid"], kind=row["kind"], sender_id=row["sender_id"], recipient_ids=tuple(row["recipient_ids"]),
        room_id=row["room_id"], conversation_id=row["conversation_id"], sent_at_ms=row["sent_at"], captured_at_ms=row["captured_at"], day=row["dt"],
        recalls_msgid=row["recalls_msgid"], consent_source=row["consent_source"],
    )  # fmt: skip


def stored_of(row: dict[str, Any]) -> Stored:
    """Return the same from a restricted row's own columns (times in microseconds, see moving.py)."""
    in_ms = {**row, "sent_at": None if row["sent_at"] is None else row["sent_at"] // 1000, "captured_at": row["captured_at"] // 1000}
    return stored(in_ms)
