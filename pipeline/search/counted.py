"""The messages as DuckDB scans them: columns that are kept beside a data file come from there, the others from the data file itself.

Before: narrow.py, ../lake.py. After: ../reader.py, which registers it in the place of the files alone.

Rules, each with a test:
 (1) A scan returns what the data files return: a file whose columns are not kept, or are damaged, is read itself.
 (2) Where the condition of a scan rests on kept columns alone, only row groups in which a row meets it are read for the other columns.
 (3) One file after the other: what is in memory at once are the asked columns of one; where few row groups are looked into, of AT_ONCE files and one.
 (4) When and by whom a message was recalled is told as the view `lake_messages_recalled` tells it, and looked up only for what asks it: a join in
     the view is made whatever is asked, and reads the id of every message for it.
 (5) Ids are handed to DuckDB by numbers of the different ones of a file, where the messages are made so (`numbered`, for audits): it groups and folds
     them as often as they are different. Conditions on them are then its own, and read all rows; whoever narrows the scan by rules of his own
     (roles/scoped.py) is given words.
"""

from __future__ import annotations

import itertools
import re
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from pipeline import scans, schema
from pipeline.deltalog import DataFile, Snapshot
from pipeline.lake import Lake
from pipeline.search import narrow
from pipeline.search.boxes import Damaged
from pipeline.search.datafile import Opened
from pipeline.search.narrow import Narrow

RECALLED = pa.schema([("recalled_at", pa.timestamp("ms", "UTC")), ("recalled_by", pa.string())])
BY = "msgid"
AT_ONCE = 2  # data files: footers and columns are opened outside of the interpreter lock
ADDED = (*RECALLED.names, *narrow.FORMS.names)


class Messages(ds.InMemoryDataset):
    """The messages of some files of a snapshot, with columns more: of their recall (rule 4), and of their text (narrow.FORMS).

    groups: of each path the row groups to look into, None for all; damaged: takes the paths of kept columns that cannot be believed; numbered: rule 5."""

    def __init__(
        self, home_path: Path, lake: Lake, snapshot: Snapshot, files: Sequence[DataFile], groups: Mapping[str, Sequence[int]] | None = None,
        where: pc.Expression | None = None, damaged: set[str] | None = None, *, numbered: bool = False,
    ) -> None:  # fmt: skip
        declared = [*schema.kind("messages").arrow, *RECALLED, *narrow.FORMS]
        super().__init__(pa.schema(map(narrow.by_number, declared) if numbered else declared).empty_table())
        self._numbered = numbered
        self._home, self._lake, self._snapshot, self._groups, self._where = home_path, lake, snapshot, groups, where
        self._files = {f.path: f for f in files}
        self._all = lake.dataset("messages", files, groups)
        self._known: ds.Dataset | None = None  # the same, once what is kept was asked which columns have no nulls
        self._narrow: dict[str, Narrow | None] = {}
        self._open: dict[str, Opened] = {}
        self._locks: dict[str, Lock] = {}  # an open file is for one thread at a time
        self._damaged: set[str] = set() if damaged is None else damaged
        self._alone: tuple[list[str], ds.Dataset] = ([], self._all)
        self._recalls: list[pa.Table] = []  # read once: one, or none yet
        self._rows: Mapping[str, Any] = {}

    def filter(self, expression: pc.Expression) -> Messages:
        """Return the messages that meet a condition."""
        return self.only(expression)

    def only(self, where: pc.Expression | None, rows: Mapping[str, Any] | None = None, *, numbered: bool | None = None) -> Messages:
        """Return the messages that meet a condition. rows: by path, bools: others of this file need not be looked at, whatever is asked; numbered:
        rule 5, None for as they are."""
        files = list(self._files.values())
        by_number, both = self._numbered if numbered is None else numbered, _both(self._where, where)
        some = Messages(self._home, self._lake, self._snapshot, files, self._groups, both, self._damaged, numbered=by_number)
        some._all, some._known, some._narrow, some._recalls = self._all, self._known, self._narrow, self._recalls  # what was read of the files
        some._open, some._locks = self._open, self._locks
        some._rows = self._rows if rows is None else rows
        return some

    def in_groups(self, groups: Mapping[str, Sequence[int]]) -> Messages:
        """Return the messages in some row groups of some files alone, by path."""
        some = Messages(self._home, self._lake, self._snapshot, [self._files[p] for p in groups], groups, self._where, self._damaged, numbered=self._numbered)
        some._open, some._locks, some._recalls = self._open, self._locks, self._recalls
        return some

    def get_fragments(self, filter: pc.Expression | None = None) -> Iterator[Any]:
        """Return the data files, those alone that may hold rows that meet a condition, by their month and by what has no nulls in them."""
        if not self._files:
            return iter(())
        if filter is None or _named_in(filter, ADDED):  # the files have no such columns
            return iter(self._all.get_fragments())
        if self._known is None:
            whole = {f.path: kept.head.whole for f in self._files.values() if (kept := self._opened(f))}
            self._known = self._all = self._lake.dataset("messages", list(self._files.values()), self._groups, whole) if whole else self._all
        return iter(self._known.get_fragments(filter))

    def scanner(self, *, columns: Sequence[str] | None = None, filter: pc.Expression | None = None, **_: Any) -> Scan:
        """Return what DuckDB asks of a dataset: something with `to_reader()`."""
        return Scan(self, list(self.schema.names if columns is None else columns), _both(self._where, filter))

    def may_hold(self, name: str, values: pa.Array, where: pc.Expression | None = None) -> dict[str, Any]:
        """Return, by the path of each file beside which columns are kept, which rows may hold one of some values in a column: an array of bools.

        where: files that hold no row that meets it are left out."""
        found: dict[str, Any] = {}
        for file in [self._files[fragment.path] for fragment in self.get_fragments(where)]:
            try:
                if kept := self._opened(file):
                    found[file.path] = kept.may_hold(name, values)
            except Damaged:
                self._not_believed(file)
        return found

    def different(self, name: str, keep: Callable[[pa.Array], pa.Array] | None = None) -> set[str]:
        """Return the different values of a kept column of words (or of lists of them) in all of these files, whatever a condition leaves out. keep: tells
        of values which of them are asked for."""
        found: set[str] = set()
        for file in self._files.values():
            kept = self._opened(file)
            try:
                values = None if kept is None else kept.different(name)
            except Damaged:
                self._not_believed(file)
                values = None
            if values is None:  # rule 1
                groups = None if self._groups is None else {file.path: self._groups[file.path]}
                values = narrow.unique(self._lake.dataset("messages", [file], groups).to_table(columns=[name])[name])
            found.update((values if keep is None else values.filter(keep(values))).to_pylist())
        return found

    def batches(self, columns: list[str], where: pc.Expression | None) -> Iterator[pa.RecordBatch]:
        """Yield the rows that meet a condition, file after file; last those of the files beside which nothing is kept."""
        asked = list(dict.fromkeys([*columns, *_named_in(where, self.schema.names)]))
        late = [c for c in asked if c in RECALLED.names]
        stored = [c for c in asked if c not in late]
        if late and BY not in stored and (self._recalled().num_rows or not stored):  # ids are long, and looked at for recalls alone
            stored.append(BY)
        wide = [c for c in stored if c not in narrow.KEPT]
        alone = []
        for fragment in self.get_fragments(where):
            rows = np.flatnonzero(self._rows[fragment.path]) if fragment.path in self._rows else None
            found = self._kept(fragment, [c for c in stored if c in narrow.KEPT], rows) if len(wide) < len(stored) else None
            if found is None:
                alone.append(fragment.path)
            else:
                found = self._told(found, late)
                numbers = np.arange(found.num_rows) if rows is None else rows
                met = self._joined(fragment, found, numbers, wide, where).select(columns) if wide else scans.met(found, where, columns)
                yield from met.to_batches()
        if alone:
            yield from self._read(alone, columns, stored, late, where)

    def _read(self, paths: list[str], columns: list[str], stored: list[str], late: list[str], where: pc.Expression | None) -> Iterator[pa.RecordBatch]:
        """Yield rows of data files, as they are."""
        if self._alone[0] != paths:
            groups = None if self._groups is None else {p: self._groups[p] for p in paths}
            self._alone = paths, self._all if len(paths) == len(self._files) else self._lake.dataset("messages", [self._files[p] for p in paths], groups)
        forms = [c for c in stored if c in narrow.FORMS.names]
        read = list(dict.fromkeys([*(c for c in stored if c not in forms), *(["text"] if forms else [])]))
        on_added = bool(_named_in(where, ADDED))
        types = pa.schema([self.schema.field(c) for c in columns])
        by_group = self._groups is not None and bool(read)
        tables = self._in_groups(paths, read) if by_group else map(pa.Table.from_batches, self._scanned(read, None if on_added else where))
        for table in tables:
            told = self._told(narrow.formed(table, forms), late)
            met = scans.met(told, where if on_added or by_group else None, columns)
            yield from (met if met.schema.equals(types) else met.cast(types)).to_batches()

    def _scanned(self, read: list[str], where: pc.Expression | None) -> Iterator[list[pa.RecordBatch]]:
        """Yield what a scan of the data files finds that are read themselves."""
        for batch in self._alone[1].scanner(columns=read, filter=where).to_batches():
            yield [batch]

    def _in_groups(self, paths: list[str], names: list[str]) -> Generator[pa.Table, None, None]:
        """Yield columns of the row groups that are looked into, file by file: from the open files in half of the time of a scan, which opens them anew. One
        file is read while another is opened (rule 3): a cold question opens twenty."""
        asked = [(path, groups) for path in paths if (groups := (self._groups or {})[path])]

        def read(path: str, groups: Sequence[int]) -> pa.Table:
            with self._data(path) as data:
                return data.declared(groups, names)

        if len(asked) < 2:
            yield from itertools.starmap(read, asked)
            return
        with ThreadPoolExecutor(AT_ONCE) as pool:
            ahead = deque[Future[pa.Table]]()
            for one in asked:
                ahead.append(pool.submit(read, *one))
                if len(ahead) > AT_ONCE:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()

    def _joined(self, fragment: Any, found: pa.Table, rows: Any, wide: list[str], where: pc.Expression | None) -> pa.Table:
        """Return the rows of a file that meet a condition, from kept columns and others. rows: their numbers in the file."""
        early = where is not None and not _named_in(where, wide)
        if early:  # rule 2
            found = found.append_column("", pa.array(rows))
            found = scans.met(found, where, found.column_names)
            rows = np.asarray(found[""])
            found = found.drop_columns([""])
        others = self._others(fragment, rows, wide)
        for name in wide:
            found = found.append_column(name, others[name])
        return found if early else scans.met(found, where, found.column_names)

    def _others(self, fragment: Any, rows: Any, wide: list[str]) -> pa.Table:
        """Return columns of some rows (ascending), from the row groups of the data file that hold them."""
        if not len(rows):
            return pa.schema([self.schema.field(c) for c in wide]).empty_table()
        begins = np.cumsum([0, *(g.num_rows for g in fragment.row_groups)])
        group_of = np.searchsorted(begins, rows, side="right") - 1
        groups = np.unique(group_of)
        read = self._groups_of(fragment, groups.tolist(), wide)
        if read.num_rows == len(rows):
            return read
        starts = np.cumsum([0, *(begins[groups + 1] - begins[groups])])[:-1]
        return read.take(pa.array(rows - begins[group_of] + starts[np.searchsorted(groups, group_of)]))

    def _groups_of(self, fragment: Any, groups: list[int], wide: list[str]) -> pa.Table:
        """Return columns of whole row groups. Words are read group by group from the open file: half of the time that a scan of a dataset takes for them."""
        if not all(pa.types.is_string(self.schema.field(c).type) for c in wide):
            return fragment.subset(row_group_ids=groups).to_table(schema=self._all.schema, columns=wide)
        with self._data(fragment.path) as data:
            return data.several(groups, wide).select(wide)

    @contextmanager
    def _data(self, path: str) -> Iterator[Opened]:
        """Hand out a data file, opened once, to one thread at a time: one query may scan the messages twice at the same time."""
        with self._locks.setdefault(path, Lock()):
            if path not in self._open:
                self._open[path] = Opened(self._lake, self._files[path])
            yield self._open[path]

    def _kept(self, fragment: Any, columns: list[str], rows: Any) -> pa.Table | None:
        """Return columns of some rows of a file (all where it is None), None when they are not kept or not to be believed (rule 1)."""
        file = self._files[fragment.path]
        kept = self._opened(file)
        try:
            return None if kept is None else kept.read(columns, rows, numbered=self._numbered)
        except Damaged:
            self._not_believed(file)
            return None

    def _opened(self, file: DataFile) -> Narrow | None:
        """Return what is kept of a file, opened once; of some row groups alone nothing is kept."""
        if file.path not in self._narrow:
            try:
                self._narrow[file.path] = None if self._groups is not None else narrow.read(self._home, self._lake, self._snapshot, file)
            except Damaged:
                self._not_believed(file)
        return self._narrow[file.path]

    def _not_believed(self, file: DataFile) -> None:
        """Read the file itself from here on, and note that what is kept of it is damaged."""
        self._narrow[file.path] = None
        self._damaged.add(str(narrow.place(self._home, self._lake.corp_id, file)))

    def _told(self, found: pa.Table, late: list[str]) -> pa.Table:
        """Return messages with what is known of their recalls (rule 4)."""
        if not late:
            return found
        known = self._recalled()
        if not known.num_rows:
            for name in late:
                found = found.append_column(RECALLED.field(name), pa.nulls(found.num_rows, RECALLED.field(name).type))
            return found
        at = pc.index_in(found[BY], value_set=known[BY].combine_chunks())
        for name in late:
            found = found.append_column(RECALLED.field(name), known[name].combine_chunks().take(at))
        return found

    def _recalled(self) -> pa.Table:
        """Return what is known of all recalls, read once."""
        if not self._recalls:
            self._recalls.append(recalls(self._lake, self._snapshot))
        return self._recalls[0]


def recalls(lake: Lake, snapshot: Snapshot) -> pa.Table:
    """Return the recall of every message that was recalled: msgid, recalled_at, recalled_by. The earliest counts; those without a time come last."""
    read = lake.read("recalls", snapshot.of("recalls"), columns=["original_msgid", "recalled_at", "recalled_by", "seq"])
    read = read.filter(pc.is_valid(read["original_msgid"])).sort_by([("recalled_at", "ascending"), ("seq", "ascending")])
    at = pa.array(np.arange(read.num_rows))
    first = pa.table({BY: read["original_msgid"], "at": at}).group_by(BY).aggregate([("at", "min")])
    chosen = read.take(first["at_min"])
    return pa.table({BY: first[BY], **{f.name: chosen[f.name].cast(f.type) for f in RECALLED}})


class Scan:
    """A scan of the messages."""

    def __init__(self, messages: Messages, columns: list[str], where: pc.Expression | None) -> None:
        self._messages, self._columns, self._where = messages, columns, where
        self.projected_schema = pa.schema([messages.schema.field(c) for c in columns])

    def to_batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the rows."""
        return self._messages.batches(self._columns, self._where)

    def to_reader(self) -> pa.RecordBatchReader:
        """Return the batches of the scan, in order."""
        return pa.RecordBatchReader.from_batches(self.projected_schema, self.to_batches())


def _both(one: pc.Expression | None, two: pc.Expression | None) -> pc.Expression | None:
    return two if one is None else one if two is None else one & two


def _named_in(where: pc.Expression | None, names: Sequence[str]) -> list[str]:
    """Return the columns that a condition names. Arrow tells them in its text alone: a value that reads like a column is only read for nothing."""
    words = set() if where is None else set(re.findall(r"\w+", str(where)))
    return [n for n in names if n in words]
