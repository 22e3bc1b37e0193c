"""The newest messages that hold a text, verified against the text itself, whatever an index said.

Before: question.py, candidates.py, places.py. After: the command `search`.

Rules, each with a test:
 (1) A hit lies inside one part of a message (a text, a title, a file name), compared code point by code point; with `variants`, after
     folding (variants.py). An index only says where there is no need to look.
 (2) What is withheld, pending or removed is in no message file; what is restricted, or out of the role's scope, is left out before the newest
     are chosen (interface, rule 6).
 (3) Newest first by the time it was sent, else captured; then by seq. Days are Beijing days of the same time.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import date
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from pipeline.consenting import hidden
from pipeline.names import Names, Person, person_key
from pipeline.reader import Reader
from pipeline.roles import scoped
from pipeline.search import grams
from pipeline.search.candidates import Candidate, Files, Seen, days_of, end_ms, files_of, keys_of, moments, newest_first
from pipeline.search.datafile import leaves
from pipeline.search.places import Place
from pipeline.search.question import Question
from pipeline.search.words import Anything, Wanted, wanted

TIMES = ("sent_at", "captured_at", "origin", "seq")
SHOWN = ("msgid", "dt", "sender_id", "sender_kind", "room_id", "conversation_id", "msgtype", "parts", "sent_at")


class Hit(msgspec.Struct, frozen=True, kw_only=True):
    """A message that holds the text: who said it (with the name of that time), when (ms, UTC; sent or else captured), where it stands in it."""

    origin: str
    seq: int
    msgid: str | None
    dt: date
    at_ms: int
    dated: bool
    sender: Person
    conversation_id: str
    room_id: str | None
    msgtype: str
    recalled: bool
    parts: list[dict[str, Any]]
    places: list[Place]


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """An answer: the newest hits, whether there are more, and how the files were looked through (numbers of files)."""

    hits: list[Hit]
    more: bool
    indexed: int
    scanned: int
    damaged: int


class _Place(msgspec.Struct, frozen=True):
    """Where a hit lies, in order of age: time (ms), seq, origin; its row group and row there."""

    at_ms: int
    seq: int
    origin: str
    candidate: Candidate
    row: int


def newest(reader: Reader, question: Question) -> tuple[list[Hit], bool]:
    """Return the newest hits, at most `question.limit`, and whether there are more."""
    found = look(reader, question)
    return found.hits, found.more


def look(reader: Reader, question: Question) -> Found:
    """Return the newest hits, at most `question.limit`; what was compacted away meanwhile is looked for in the newest version."""
    return reader.steady(lambda: _look(reader, question))


def _look(reader: Reader, question: Question) -> Found:
    files, seen, words = files_of(reader), Seen(), wanted(question)
    seen_by = _Seen(reader)
    best = _Best(question.limit + 1)
    for candidate in newest_first(files, question, keys_of(question, words.keys), seen):
        if best.full and best.worst >= end_ms(candidate.last):
            break
        best.take(candidate, *_in_group(files, candidate, question, words, seen_by))
    places = best.newest()
    shown = _hits(reader, files, places[: question.limit], words)
    return Found(hits=shown, more=len(places) > question.limit, indexed=seen.indexed, scanned=seen.scanned, damaged=seen.damaged)


def matching(reader: Reader, question: Question, conversations: Collection[str]) -> set[tuple[str, int]]:
    """Return (origin, seq) of the messages of these conversations that fit all of a question but its text."""
    return reader.steady(lambda: _matching(reader, msgspec.structs.replace(question, text=""), conversations))


def _matching(reader: Reader, question: Question, conversations: Collection[str]) -> set[tuple[str, int]]:
    files, words = files_of(reader), Anything()
    seen_by = _Seen(reader)
    keys = [*keys_of(question, ()), [grams.of_name("conversation", c) for c in conversations]]
    found: set[tuple[str, int]] = set()
    for candidate in newest_first(files, question, keys, Seen()):
        _, _, table = _in_group(files, candidate, question, words, seen_by, "conversation_id")
        if table is not None:
            rows = zip(table["origin"].to_pylist(), table["seq"].to_pylist(), table["conversation_id"].to_pylist(), strict=True)
            found |= {(o, s) for o, s, c in rows if c in conversations}
    return found


# -- the newest of many ----------------------------------------------------------------------------------------------


class _Best:
    """The newest `most` of all that was taken."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._places: list[_Place] = []
        self.worst = 0  # when the last of them was sent, once there are enough

    @property
    def full(self) -> bool:
        """Whether there are `most` of them."""
        return len(self._places) >= self._most

    def take(self, candidate: Candidate, rows: Any, at_ms: Any, table: pa.Table | None) -> None:
        """Add the rows of a group; table: origin and seq of these rows."""
        if table is None or not len(rows):
            return
        if self.full:
            rows_in = np.flatnonzero(at_ms >= self.worst)
        elif len(rows) > self._most:
            rows_in = np.flatnonzero(at_ms >= np.partition(at_ms, -self._most)[-self._most])
        else:
            rows_in = np.arange(len(rows))
        chosen = table.take(pa.array(rows_in))
        keys = zip(at_ms[rows_in].tolist(), chosen["seq"].to_pylist(), chosen["origin"].to_pylist(), rows[rows_in].tolist(), strict=True)
        self._places += [_Place(at, seq, origin, candidate, row) for at, seq, origin, row in keys]
        if len(self._places) > self._most:
            self._places = self.newest()
        if self.full:
            self.worst = min(p.at_ms for p in self._places)

    def newest(self) -> list[_Place]:
        """Return them, newest first."""
        return sorted(self._places, key=lambda p: (p.at_ms, p.seq, p.origin), reverse=True)[: self._most]


class _Seen:
    """Which messages the person who asks may see, and are in view (rule 2)."""

    def __init__(self, reader: Reader) -> None:
        self._hidden = hidden.visible(reader.lake, reader.snapshot)
        self._scope = reader.view.scope
        self.columns = () if self._scope.everything else scoped.PEOPLE

    def mask(self, table: pa.Table) -> Any:
        """Return it for each row of a table."""
        keep = np.ones(table.num_rows, bool)
        if self._hidden is not None:
            numbered = table.append_column("row", pa.array(np.arange(table.num_rows)))
            keep[:] = False
            keep[np.asarray(numbered.filter(self._hidden)["row"])] = True
        for batch in table.combine_chunks().to_batches() if self.columns else ():
            keep &= _bools(scoped.seen(self._scope, batch))
        return keep


# -- one row group ---------------------------------------------------------------------------------------------------


def _in_group(
    files: Files, candidate: Candidate, question: Question, words: Wanted, seen_by: _Seen, *more: str
) -> tuple[Any, Any, pa.Table | None]:
    """Return the rows of a group that are hits, when they were sent (ms), and their origin and seq (and what is asked for)."""
    data = files.data(candidate.file)
    rows = words.rows(data.read(candidate.group, ["text"])["text"].combine_chunks())
    if not len(rows):
        return rows, rows, None
    names = tuple(dict.fromkeys((*TIMES, *more, *_filter_columns(question), *seen_by.columns, *(("parts",) if words.by_part else ()))))
    table = data.read(candidate.group, leaves("messages", names)).take(pa.array(rows))
    at = moments(table)
    keep = _asked(table, at, question, words)
    keep &= seen_by.mask(table)
    kept = np.flatnonzero(keep)
    return rows[kept], at[kept], table.select(["origin", "seq", *more]).take(pa.array(kept))


def _filter_columns(question: Question) -> list[str]:
    people = ["sender_id", "recipient_ids"] if question.employee or question.customer else []
    return [*people, *(["room_id"] if question.room else []), *(["msgtype"] if question.msgtype else [])]


def _asked(table: pa.Table, at_ms: Any, question: Question, words: Wanted) -> Any:
    first, last = days_of(question)
    keep = (at_ms >= end_ms(first - 1)) & (at_ms < end_ms(last))
    if question.employee:
        keep &= _with_person(table, question.employee, fold=True)
    if question.customer:
        keep &= _with_person(table, question.customer, fold=False)
    for column, value in (("room_id", question.room), ("msgtype", question.msgtype)):
        if value:
            keep &= _bools(pc.equal(table[column], value))
    if words.by_part:
        keep &= np.array([bool(words.places(parts)) for parts in table["parts"].to_pylist()], bool)
    return keep


def _with_person(table: pa.Table, person: str, *, fold: bool) -> Any:
    """Return for each row whether `person` sent or received it; fold: without regard to ASCII case."""
    wanted_id = "".join(c.lower() if c.isascii() else c for c in person) if fold else person
    recipients = table["recipient_ids"].combine_chunks()
    senders, others = table["sender_id"], recipients.flatten()
    if fold:
        senders, others = pc.ascii_lower(senders), pc.ascii_lower(others)
    found = _bools(pc.equal(senders, wanted_id))
    found[np.asarray(pc.list_parent_indices(recipients))[_bools(pc.equal(others, wanted_id))]] = True
    return found


def _bools(array: pa.Array) -> Any:
    return np.array(pc.fill_null(array, False).to_numpy(zero_copy_only=False), bool)


# -- what is shown ---------------------------------------------------------------------------------------------------


def _hits(reader: Reader, files: Files, places: Sequence[_Place], words: Wanted) -> list[Hit]:
    rows = {(p.candidate.file.path, p.candidate.group, p.row): row for p, row in _read(files, places)}
    recalled = _recalled(reader, {r["msgid"] for r in rows.values()})
    names = _names(reader, {r["sender_id"] for r in rows.values()})
    return [_hit(p, rows[p.candidate.file.path, p.candidate.group, p.row], names, recalled, words) for p in places]


def _recalled(reader: Reader, msgids: Collection[str | None]) -> set[str]:
    """Return which of the messages were recalled at a known time."""
    files = reader.snapshot.of("recalls")
    if not files or not msgids:
        return set()
    where = ds.field("recalled_at").is_valid() & ds.field("original_msgid").isin(pa.array(sorted(m for m in msgids if m is not None), pa.string()))
    return set(reader.lake.read("recalls", files, columns=["original_msgid"], where=where)["original_msgid"].to_pylist())


def _names(reader: Reader, people: Collection[str | None]) -> Names:
    """Return the names of some people, as the view `people` has them: of two rows of one time the one that was recorded later."""
    files = reader.snapshot.of("people")
    if not files or not people:
        return Names([])
    where = pc.utf8_lower(ds.field("userid")).isin(pa.array(sorted({p.lower() for p in people if p}), pa.string()))
    rows = reader.lake.read("people", files, columns=["userid", "kind", "name", "valid_from", "valid_to", "recorded_at"], where=where).to_pylist()
    newest = {(person_key(r["userid"], r["kind"]), r["valid_from"]): r for r in sorted(rows, key=lambda r: r["recorded_at"])}
    return Names(newest.values())


def _read(files: Files, places: Sequence[_Place]) -> Iterator[tuple[_Place, Mapping[str, Any]]]:
    groups: dict[tuple[str, int], list[_Place]] = {}
    for place in places:
        groups.setdefault((place.candidate.file.path, place.candidate.group), []).append(place)
    for of_group in groups.values():
        at = of_group[0].candidate
        table = files.data(at.file).read(at.group, leaves("messages", SHOWN)).take(pa.array([p.row for p in of_group]))
        yield from zip(of_group, table.to_pylist(), strict=True)


def _hit(place: _Place, row: Mapping[str, Any], names: Names, recalled: set[str], words: Wanted) -> Hit:
    return Hit(
        origin=place.origin, seq=place.seq, msgid=row["msgid"], dt=row["dt"], at_ms=place.at_ms, dated=row["sent_at"] is not None,
        sender=names.person(row["sender_id"] or "", place.at_ms, row["sender_kind"]), conversation_id=row["conversation_id"], room_id=row["room_id"],
        msgtype=row["msgtype"], recalled=row["msgid"] in recalled, parts=row["parts"], places=words.places(row["parts"]),
    )  # fmt: skip
