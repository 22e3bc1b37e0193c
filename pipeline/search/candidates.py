"""Which row groups may hold what is looked for, newest first: told by the indexes, by the months of files that have none.

Before: index.py, datafile.py, question.py. After: hits.py.

Rules: (1) a group that is left out cannot hold a hit: it lacks a key that every hit has, or lies in other days; (2) an index that is missing,
damaged or of something else answers nothing: every group of its file is a candidate, and the answer says that there was such a file;
(3) months that the newest hits do not reach are not opened.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import layout
from pipeline.clock import DAY_MS
from pipeline.deltalog import DataFile, Snapshot
from pipeline.search import grams, index
from pipeline.search.boxes import Damaged
from pipeline.search.datafile import EPOCH, Opened
from pipeline.search.index_file import Group, Index
from pipeline.search.question import Question

if TYPE_CHECKING:
    from pipeline.reader import Reader

BEIJING_MS = 8 * 3_600_000
LONG_AGO, FAR_AHEAD = -1_000_000, 10_000_000


class Candidate(NamedTuple):
    """A row group to look into: its file, its number, and its last day (since 1970)."""

    file: DataFile
    group: int
    last: int


class Seen:
    """What a search met on its way: files asked by index, files read without one, indexes that were damaged."""

    def __init__(self) -> None:
        self.indexed, self.scanned, self.damaged = 0, 0, 0


class Files:
    """The message files of one version, opened as they are needed. Kept with the reader for its next question."""

    def __init__(self, reader: Reader) -> None:
        self._home, self._lake = reader.home.path, reader.lake
        self.snapshot: Snapshot = reader.snapshot
        self._data: dict[str, Opened] = {}
        self._indexes: dict[str, Index | None] = {}

    def data(self, file: DataFile) -> Opened:
        """Return an open data file."""
        if file.path not in self._data:
            self._data[file.path] = Opened(self._lake, file)
        return self._data[file.path]

    def index(self, file: DataFile, seen: Seen) -> Index | None:
        """Return the index of a file; None when there is none that can be believed. A damaged one is taken away."""
        if file.path not in self._indexes:
            try:
                self._indexes[file.path] = index.read(self._home, self._lake, self.snapshot, file)
            except Damaged:
                self.damaged(file, seen)
        return self._indexes[file.path]

    def known(self, path: str) -> bool:
        """Whether a file has an index that answered so far."""
        return self._indexes.get(path) is not None

    def damaged(self, file: DataFile, seen: Seen) -> None:
        """Note that a file's index cannot be used."""
        index.refuse_damage(self._home, self._lake, file)
        self._indexes[file.path] = None
        seen.damaged += 1


def files_of(reader: Reader) -> Files:
    """Return the opened files that the reader keeps for its version."""
    kept: Any = reader.kept.get("search")
    if kept is None or kept.snapshot is not reader.snapshot:
        kept = reader.kept["search"] = Files(reader)
    return kept  # type: ignore[no-any-return]


def days_of(question: Question) -> tuple[int, int]:
    """Return first and last day of a question, since 1970."""
    return (
        question.first_day.toordinal() - EPOCH if question.first_day else LONG_AGO, question.last_day.toordinal() - EPOCH if question.last_day else FAR_AHEAD,
    )  # fmt: skip


def end_ms(day: int) -> int:
    """Return the end of a day (since 1970) in Beijing, milliseconds since 1970 UTC."""
    return (day + 1) * DAY_MS - BEIJING_MS


def keys_of(question: Question, texts: Sequence[Sequence[int]]) -> list[list[int]]:
    """Return the keys of a question: of each list a hit's group holds at least one. texts: those of the words."""
    named = [("person", question.employee), ("person", question.customer), ("conversation", question.room), ("type", question.msgtype)]
    return [*([grams.of_name(what, name)] for what, name in named if name), *map(list, texts)]


def newest_first(files: Files, question: Question, keys: Sequence[Sequence[int]], seen: Seen) -> Iterator[Candidate]:
    """Yield the candidates of a question, those with the latest last day first."""
    first, last = days_of(question)
    heap: list[tuple[int, int, int, DataFile]] = []  # minus the last day, number (whole files: -1), path told by order
    for order, file in enumerate(files.snapshot.of("messages")):
        begins, ends = days_of_month(file.month)
        if file.rows and ends >= first and begins <= last:
            heap.append((-ends, -1, order, file))
    heapq.heapify(heap)
    while heap:
        day, number, order, file = heapq.heappop(heap)
        if number >= 0:
            yield Candidate(file, number, -day)
            continue
        for n, group in _groups(files, file, keys, seen):
            if group.last >= first and group.first <= last:
                heapq.heappush(heap, (-group.last, n, order, file))


def findings_of_conversation(reader: Reader, conversation_id: str, messages: Mapping[str, Sequence[int]]) -> dict[str, list[int]]:
    """Return the row groups of findings of a conversation, ascending, by the path of their file: one column is read to tell, of days of its messages.

    messages: the row groups that may hold these. A finding has the day of its message."""
    files, found = files_of(reader), {}
    spans, months = _spans(files, messages), {f.month for f in files.snapshot.of("messages") if f.path in messages}
    for file in files.snapshot.of("matches", months=months):
        data = files.data(file)
        some = [n for n in range(data.groups) if (days := data.days(n)) is None or any(days[0] <= last and first <= days[1] for first, last in spans)]
        held = [n for n in some if pc.any(pc.equal(data.read(n, ["conversation_id"])["conversation_id"], conversation_id)).as_py()]
        found.update({file.path: held} if held else {})
    return found


def _spans(files: Files, groups: Mapping[str, Sequence[int]]) -> set[tuple[int, int]]:
    """Return first and last day (since 1970) of row groups of messages."""
    found: set[tuple[int, int]] = set()
    for file in (f for f in files.snapshot.of("messages") if f.path in groups):
        known = files.index(file, Seen())
        described = _described(files.data(file)) if known is None else known.head.groups
        found.update((described[n].first, described[n].last) for n in groups[file.path])
    return found


def groups_of_conversation(reader: Reader, conversation_id: str) -> dict[str, list[int]]:
    """Return the row groups that may hold messages of a conversation, ascending, by the path of their file."""
    own = layout.bucket_of(conversation_id)
    found: dict[str, list[int]] = {}
    for candidate in newest_first(files_of(reader), Question(text="", room=conversation_id), [[grams.of_name("conversation", conversation_id)]], Seen()):
        if candidate.file.bucket == own or candidate.file.bucket not in layout.BUCKETS:
            found.setdefault(candidate.file.path, []).append(candidate.group)
    return {path: sorted(groups) for path, groups in found.items()}


def groups_of_days(reader: Reader, days: Collection[date]) -> dict[str, list[int]]:
    """Return the row groups that may hold messages of some Beijing days, ascending, by the path of their file."""
    files, found = files_of(reader), {}
    wanted = sorted(day.toordinal() - EPOCH for day in days)
    for file in files.snapshot.of("messages"):
        if file.rows and _holds_one(*days_of_month(file.month), wanted):
            held = [n for n, group in _groups(files, file, [], Seen()) if _holds_one(group.first, group.last, wanted)]
            found.update({file.path: held} if held else {})
    return found


def _holds_one(first: int, last: int, days: Sequence[int]) -> bool:
    """Whether one of some ascending days lies between two."""
    at = bisect_left(days, first)
    return at < len(days) and days[at] <= last


def groups_of_conversations(reader: Reader, ids: Collection[str]) -> dict[str, list[int]]:
    """Return the row groups that may hold messages of some conversations, ascending, by the path of their file."""
    found: dict[str, set[int]] = {}
    for conversation_id in ids:
        for path, groups in groups_of_conversation(reader, conversation_id).items():
            found.setdefault(path, set()).update(groups)
    return {path: sorted(groups) for path, groups in found.items()}


def groups_of_person(reader: Reader, person: str) -> dict[str, list[int]]:
    """Return the row groups that may hold messages somebody sent or received, ascending, by the path of their file."""
    found: dict[str, list[int]] = {}
    for candidate in newest_first(files_of(reader), Question(text=""), [[grams.of_name("person", person)]], Seen()):
        found.setdefault(candidate.file.path, []).append(candidate.group)
    return {path: sorted(groups) for path, groups in found.items()}


def rows_holding(reader: Reader, words: Sequence[str]) -> dict[str, Any]:
    """Return, by the path of each file that has an index, which of its rows lie in row groups that may hold one of the words: an array of bools."""
    files = files_of(reader)
    indexed = {f.path: found for f in files.snapshot.of("messages") if (found := files.index(f, Seen())) is not None}
    rows = {path: np.zeros(sum(g.rows for g in found.head.groups), bool) for path, found in indexed.items()}
    begins = {path: np.cumsum([0, *(g.rows for g in found.head.groups)]) for path, found in indexed.items()}
    for word in words:
        for candidate in newest_first(files, Question(text=""), [[key] for key in grams.of_needle(word)], Seen()):
            if (path := candidate.file.path) in rows:
                rows[path][begins[path][candidate.group] : begins[path][candidate.group + 1]] = True
    return {path: held for path, held in rows.items() if files.known(path)}  # not those whose index was found to be damaged meanwhile


def days_of_month(month: str) -> tuple[int, int]:
    """Return first and last day (since 1970) that a file of this month may hold; everything for one without a month."""
    if not month[:4].isdigit():
        return LONG_AGO, FAR_AHEAD
    year, number = int(month[:4]), int(month[5:7])
    return date(year, number, 1).toordinal() - EPOCH, date(year + number // 12, number % 12 + 1, 1).toordinal() - EPOCH - 1


def _groups(files: Files, file: DataFile, keys: Sequence[Sequence[int]], seen: Seen) -> list[tuple[int, Group]]:
    found = files.index(file, seen)
    if found is not None:
        try:
            held = index.groups_in(_held(found, keys))
            seen.indexed += 1
            return [(n, found.head.groups[n]) for n in held]
        except Damaged:
            files.damaged(file, seen)
    seen.scanned += 1
    return list(enumerate(_described(files.data(file))))


def _held(found: Index, keys: Sequence[Sequence[int]]) -> int:
    bits = found.every
    for any_of in keys:
        one = 0
        for key in any_of:
            one |= found.groups_of(key)
        bits &= one
        if not bits:
            break
    return bits


def _described(data: Opened) -> list[Group]:
    """Return the row groups of a file without index; what its statistics do not say is any day."""
    return [Group(rows, *(data.days(n) or (LONG_AGO, FAR_AHEAD))) for n, rows in enumerate(data.rows)]


def moments(table: pa.Table) -> Any:
    """Return when each message was sent, or else captured, milliseconds since 1970 UTC."""
    return np.asarray(pc.coalesce(table["sent_at"], table["captured_at"]).cast(pa.int64())) // 1000
