"""Scans of data files: by Arrow's scanner or, where few rows may be looked for, row group by row group.

Before: nothing. After: lake.py (`Lake.dataset`).
Rules, each with a test:
 (1) A scan is started and waited for without the interpreter lock, and nothing that may need a key is asked while holding it. `Scanner.to_reader` of
     pyarrow 25 starts the scan with that lock, then waits for a lock of Arrow's which a thread holds that asks for a key, and so for the
     interpreter lock: one cold reader in a hundred hung for ever over 1,000 files.
 (2) Where the statistics leave few row groups, these are read one after the other: Arrow's scanner takes 0.4 ms a batch, and one day of ten million
     messages is ninety groups of 2,048 rows.
 (3) The rows are the same and in the same order, whichever way they were read.
 (4) What is kept of row groups for the next question of the same reader is handed out only while their file is there and its key is live, and is bounded in
     bytes.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa
import pyarrow.acero as acero
import pyarrow.compute as pc
import pyarrow.dataset as ds

# More is left to Arrow's scanner: what it costs beside the rows is little then, and it has a thread a core.
MOST_FILES = 64
MOST_ROWS = 1 << 19

# Yields columns of some row groups: path, footer, numbers of the groups, names of the columns.
Read = Callable[[str, Any, Sequence[int], Sequence[str]], Iterator[pa.Table]]
Chosen = list[tuple[Any, list[int]]]


class Kept:
    """Columns of row groups as they were read, by their place, for the next question on the same version (rule 4). most: bytes, others are read each time."""

    def __init__(self, most: int) -> None:
        self.most = self._room = most
        self._columns: dict[Hashable, dict[str, tuple[pa.Field, pa.ChunkedArray]]] = {}

    def table(self, place: Hashable, names: Sequence[str], read: Callable[[list[str]], pa.Table]) -> pa.Table:
        """Return columns of a place: those that are not kept are read, and kept where there is room."""
        known = self._columns.setdefault(place, {})
        found = {n: known[n] for n in names if n in known}
        missing = [n for n in names if n not in found]
        if missing:
            table = read(missing)
            for name in missing:
                found[name] = table.field(name), table[name]
                if 0 < table[name].nbytes <= self._room:
                    self._room -= table[name].nbytes
                    known[name] = found[name]
        return pa.Table.from_arrays([found[n][1] for n in names], schema=pa.schema([found[n][0] for n in names]))


class Files(ds.FileSystemDataset):
    """A dataset of data files of one kind."""

    def __init__(self, fragments: Sequence[Any], declared: pa.Schema, parquet: Any, folder: Any, read: Read) -> None:
        super().__init__(fragments, declared, parquet, folder)
        self._read, self._where, self._whole, self._footers = read, None, self, set[str]()

    def filter(self, expression: pc.Expression) -> Files:
        """Return the rows that meet a condition."""
        some: Files = super().filter(expression)
        some._read, some._where, some._whole = self._read, _both(self._where, expression), self._whole
        return some

    def scanner(self, *, columns: Any = None, filter: pc.Expression | None = None, **more: Any) -> Scan:
        """Return what DuckDB asks of a dataset: something with `to_reader()`."""
        scanner = super().scanner(columns=columns, filter=filter, **more)
        names = self.schema.names if columns is None else columns
        plain = not more and isinstance(names, list | tuple) and len(names) > 0
        return Scan(scanner, lambda: self._direct(list(names), _both(self._where, filter)) if plain else None)

    def _direct(self, names: list[str], where: pc.Expression | None) -> Iterator[pa.RecordBatch] | None:
        """Return the batches of a scan that reads few row groups, None where they are many (rule 2)."""
        chosen = self._whole._few(where)
        return None if chosen is None else self._batches(chosen, names, where)

    def _few(self, where: pc.Expression | None) -> Chosen | None:
        fragments = list(self.get_fragments(where))
        if len(fragments) > MOST_FILES:
            return None
        self._open([f for f in fragments if f.path not in self._footers])
        found: Chosen = []
        rows = 0
        for fragment in fragments:
            # Asked of a fragment of its own, with the same footer: that of the dataset has a lock, which a scan holds while it asks for keys (rule 1).
            own = fragment.subset(filter=ds.scalar(True) if where is None else where, schema=self.schema)
            groups = own.row_groups
            rows += sum(g.num_rows for g in groups)
            if rows > MOST_ROWS:
                return None
            found.append((own, [g.id for g in groups]))
        return found

    def _open(self, fragments: Sequence[Any]) -> None:
        """Read footers, which are kept, on all cores as Arrow's scanner does: the first question waits for them."""
        if fragments:
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                list(pool.map(lambda f: f.ensure_complete_metadata(), fragments))
            self._footers.update(f.path for f in fragments)

    def _batches(self, chosen: Chosen, names: list[str], where: pc.Expression | None) -> Iterator[pa.RecordBatch]:
        read = [*names, *(c for c in _named_in(where, self.schema.names) if c not in names)]
        for fragment, groups in chosen:
            for table in self._read(fragment.path, fragment.metadata, groups, read) if groups else ():
                yield from met(table, where, names).to_batches()


class Scan:
    """A scan that lets go of the interpreter lock while it starts and while it waits (rule 1)."""

    def __init__(self, scanner: ds.Scanner, direct: Callable[[], Iterator[pa.RecordBatch] | None]) -> None:
        self._scanner, self._direct = scanner, direct

    def __getattr__(self, name: str) -> Any:
        return getattr(self._scanner, name)

    def to_batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the rows, in order."""
        found = self._direct()
        yield from self._scanner.to_batches() if found is None else found

    def to_reader(self) -> pa.RecordBatchReader:
        """Return the batches of the scan, in order."""
        return pa.RecordBatchReader.from_batches(self._scanner.projected_schema, self.to_batches())


def met(table: pa.Table, where: pc.Expression | None, names: Sequence[str]) -> pa.Table:
    """Return columns of the rows that meet a condition, in order. Only what the condition names is looked at to tell them, and nothing is copied where all do."""
    if where is None:
        return table.select(names)
    asked = table.select(_named_in(where, table.column_names) or table.column_names[:1])  # a condition may name no column at all
    told = [acero.Declaration("table_source", acero.TableSourceNodeOptions(asked)), acero.Declaration("project", acero.ProjectNodeOptions([where], ["met"]))]
    mask = acero.Declaration.from_sequence(told).to_table(use_threads=False)["met"]
    return table.select(names) if pc.all(mask, skip_nulls=False).as_py() else table.select(names).filter(mask)


def _both(one: pc.Expression | None, two: pc.Expression | None) -> pc.Expression | None:
    return two if one is None else one if two is None else one & two


def _named_in(where: pc.Expression | None, names: Sequence[str]) -> list[str]:
    """Return the columns that a condition names. Arrow tells them in its text alone: a value that reads like a column is only read for nothing."""
    words = set() if where is None else set(re.findall(r"\w+", str(where)))
    return [n for n in names if n in words]
