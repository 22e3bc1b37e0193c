"""Names of the time beside the ids of an answer: who is meant, without looking it up.

Before: names.py, columns.py, reader.py. After: the commands `audit run`, `review`, `hold list`, `consent list`, and the reports.

Rules:
 (1) Which columns hold ids is said by their names (WHO), or by the audit that made them (meta.yaml, `who`).
 (2) A name is that of the row's own time: of the first column of TIMES that has one (of a day its end), else of the end of the period asked
     for, else of now. Where nobody bore a name at that time, the nearest of another time is told, in tables with a star.
 (3) Names come from what the reader may see (the person's scope), and a customer who refuses in any scope has none: not in this archive's answers.
 (4) Programs get a column of their own behind each column of ids (`employee_id`, `employee_name`); people read `李娜 (lina)` in one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from itertools import chain, islice
from typing import NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.dataset as ds

from pipeline import clock, register, words
from pipeline.audit import Who
from pipeline.columns import Column
from pipeline.names import Names, Person, ms_of
from pipeline.reader import Reader
from pipeline.words import Lang

WHO: Mapping[str, Who] = {
    "employee_id": "employee", "userid": "employee", "from_userid": "employee", "to_userid": "employee", "customer_id": "customer", "external_userid": "customer",
    "sender_id": "person", "before_sender": "person", "after_sender": "person", "recalled_by": "person", "owner_id": "employee", "room_id": "room",
    "conversation_id": "conversation",
}  # fmt: skip
TIMES = (
    "sent_at", "recalled_at", "decided_at", "at", "changed_at", "refused_at", "handed_at", "since", "dt", "day", "finding_day", "last_at", "last_day", "last_change",
    "last_unlicensed", "oldest_day", "recorded_at", "asked_at", "first_day",
)  # fmt: skip
STATUSES = frozenset({"Agree", "Default_Agree", "Disagree"})
FUTURE = timedelta(milliseconds=register.FUTURE_MS)
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
FIRST_ROWS, MORE_ROWS = 1_000, 65_536  # looked up together
_KINDS: Mapping[Who, str | None] = {"employee": "employee", "customer": "external", "person": None}


class _Known(NamedTuple):
    """What is known of the ids of some rows: people, names of rooms (as people by room id), customers who refuse."""

    people: Names
    rooms: Names
    refused: frozenset[str]


def who_of(described: Sequence[Column], declared: Mapping[str, Who]) -> dict[int, Who]:
    """Return whose ids the columns hold, by their place (rule 1)."""
    known = {**WHO, **declared}
    return {at: known[c.name] for at, c in enumerate(described) if c.name in known and c.type == "text"}


def named(
    reader: Reader, described: Sequence[Column], rows: Iterable[Sequence[object]], *, lang: Lang, declared: Mapping[str, Who] | None = None,
    until: date | None = None, merged: bool = False,
) -> tuple[list[Column], Iterator[tuple[object, ...]]]:  # fmt: skip
    """Return columns and rows with names (rules 1 to 4), read as the rows are. declared: of columns that WHO does not know; until: last Beijing day
    asked for; merged: for people, in one column with the id. The reader stays open while the rows are read."""
    whose = who_of(described, declared or {})
    if not whose:
        return list(described), (tuple(row) for row in rows)
    if merged:
        columns = [msgspec.structs.replace(c, whole=True) if at in whose else c for at, c in enumerate(described)]
    else:
        columns = [c for at, one in enumerate(described) for c in ((one, _titled(one, whose[at], lang)) if at in whose else (one,))]
    return columns, _rows(reader, described, iter(rows), whose, until, merged)


def names_of(reader: Reader, who: Who, asked: Iterable[tuple[str, object]]) -> list[str | None]:
    """Return the name of each id at its time (None: now), None where none is known or may be told (rules 2 and 3)."""
    described = [Column("id"), Column("at", "", "timestamp")]
    _, rows = named(reader, described, asked, lang="zh", declared={"id": who})
    return [str(name) if name else None for _, name, _ in rows]


def name_column(column: str) -> str:
    """Return what the column of names behind a column of ids is called."""
    return f"{column.removesuffix('_id')}_name"


def _titled(column: Column, who: Who, lang: Lang) -> Column:
    key = "col.name_of_place" if who in ("room", "conversation") else "col.name_of"
    return Column(name_column(column.name), words.say(key, lang, title=column.title or column.name), "text")


def _rows(
    reader: Reader, described: Sequence[Column], rows: Iterator[Sequence[object]], whose: Mapping[int, Who], until: date | None, merged: bool
) -> Iterator[tuple[object, ...]]:
    names = [c.name for c in described]
    times = [names.index(name) for name in TIMES if name in names]
    otherwise = min(_ms(until), clock.now_ms()) if until else clock.now_ms()
    for size in chain([FIRST_ROWS], iter(lambda: MORE_ROWS, 0)):
        batch = list(islice(rows, size))
        if not batch:
            return
        known = _known(reader, batch, whose)
        for row in batch:
            at_ms = next((found for t in times if row[t] is not None and (found := _ms(row[t]))), otherwise)
            yield tuple(_named_row(row, whose, known, at_ms, merged))


def _named_row(row: Sequence[object], whose: Mapping[int, Who], known: _Known, at_ms: int, merged: bool) -> Iterator[object]:
    for place, value in enumerate(row):
        if place not in whose:
            yield value
            continue
        found = _name(str(value), whose[place], known, at_ms) if value else ()
        if merged:
            yield f"{' / '.join(p.name + '*' * p.other_time for p in found if p.name)} ({value})" if found else value
        else:
            yield value
            yield " / ".join(p.name for p in found if p.name) or None


def _name(value: str, who: Who, known: _Known, at_ms: int) -> tuple[Person, ...]:
    """Return who is meant by an id, each with a name; nobody where no name is known or may be told."""
    if who in ("room", "conversation") and (room := known.rooms.person(value, at_ms)).name:
        found = [room]
    elif who == "room":
        found = []
    elif who == "conversation":
        found = [known.people.person(one, at_ms) for one in value.split("|") if one not in known.refused]
    else:
        found = [known.people.person(value, at_ms, _KINDS[who])] if value not in known.refused else []
    return tuple(p for p in found if p.name)


def _ms(at: object) -> int:
    """Return the time of a row in ms, UTC; of a Beijing day (also as text) its last one."""
    if isinstance(at, str):  # of a row made for people: its day
        at = date.fromisoformat(at[:10]) if _DAY.match(at) else None
    if isinstance(at, date) and not isinstance(at, datetime):
        at = datetime.combine(at, time.max, clock.BEIJING).astimezone(UTC)
    return ms_of(at) or 0


# -- what is known of them ---------------------------------------------------------------------------------------------


def _known(reader: Reader, rows: Sequence[Sequence[object]], whose: Mapping[int, Who]) -> _Known:
    ids = {at: {str(row[at]) for row in rows if row[at]} for at in whose}
    people = {one for at, who in whose.items() if who != "room" for value in ids[at] for one in value.split("|")}
    rooms = {value for at, who in whose.items() if who in ("room", "conversation") for value in ids[at] if "|" not in value}
    return _Known(_people(reader, people), _rooms(reader, rooms), refusing(reader, people))


def _people(reader: Reader, ids: Iterable[str]) -> Names:
    query = (
        "SELECT userid, kind, name, valid_from, valid_to, recorded_at FROM lake_people"
        " WHERE name IS NOT NULL AND lower(userid) IN (SELECT unnest($ids)) ORDER BY recorded_at"
    )
    found = reader.rows(query, {"ids": sorted({i.lower() for i in ids})})
    return Names({(r["kind"], r["userid"].lower() if r["kind"] == "employee" else r["userid"], r["valid_from"]): r for r in found}.values())


def _rooms(reader: Reader, ids: Iterable[str]) -> Names:
    query = (
        "SELECT room_id AS userid, 'room' AS kind, name, valid_from, valid_to, recorded_at FROM lake_rooms"
        " WHERE name IS NOT NULL AND room_id IN (SELECT unnest($ids)) ORDER BY recorded_at"
    )
    found = reader.rows(query, {"ids": sorted(ids)})
    return Names({(r["userid"], r["valid_from"]): r for r in found}.values())


def refusing(reader: Reader, ids: Iterable[str]) -> frozenset[str]:
    """Return which of these customers refuse in some scope, by its newest event, whoever may see that event (rule 3)."""
    files = reader.snapshot.of("consent")
    if not files:
        return frozenset()
    where = ds.field("external_userid").isin(pa.array(sorted(ids), pa.string()))
    columns = ["userid", "room_id", "external_userid", "status", "changed_at", "recorded_at", "batch", "undoes"]
    undone = {r["undoes"] for r in reader.lake.read("consent", files, columns=["undoes"], where=ds.field("undoes").is_valid()).to_pylist()}
    newest: dict[tuple[str, str, str], tuple[tuple[datetime, bool, datetime], str]] = {}
    for row in reader.lake.read("consent", files, columns=columns, where=where).to_pylist():
        if row["undoes"] is not None or row["batch"] in undone or row["status"] not in STATUSES:  # what nobody knows never counts as agreement
            continue
        scope = ((row["userid"] or "").lower(), row["room_id"] or "", row["external_userid"])
        told = row["changed_at"] is not None and row["changed_at"] <= row["recorded_at"] + FUTURE  # a time to come counts from when it was recorded
        order = (row["changed_at"] if told else row["recorded_at"], row["status"] == "Disagree", row["recorded_at"])
        newest[scope] = max(newest.get(scope, (order, row["status"])), (order, row["status"]))
    return frozenset(scope[2] for scope, (_, status) in newest.items() if status == "Disagree")
