"""A data file of the lake read row group by row group, which DuckDB's datasets cannot be asked for as cheaply.

Before: ../lake.py. After: index.py, hits.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from functools import lru_cache
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import durable, schema
from pipeline.deltalog import DataFile
from pipeline.errors import VerifyFailed
from pipeline.lake import Lake, as_declared

EPOCH = date(1970, 1, 1).toordinal()
DAY = "dt"


class Opened:
    """A data file that is open. One thread at a time."""

    def __init__(self, lake: Lake, file: DataFile) -> None:
        """Raises Vanished when it is gone, VerifyFailed when it was changed, and what the keyring says of its key."""
        decryption = lake.decryption()
        self._kind, self._keyring = file.kind, lake.keyring
        with durable.storage("reading the lake"):
            self._file: Any = self._told(lambda: pq.ParquetFile(lake.root / file.path, decryption_properties=decryption, memory_map=True, pre_buffer=False))
        self.groups: int = self._file.num_row_groups
        self.rows = [self._file.metadata.row_group(n).num_rows for n in range(self.groups)]
        paths = [self._file.schema.column(n).path for n in range(len(self._file.schema))]
        self._day = paths.index(DAY) if DAY in paths else None
        self._there = {path.split(".")[0] for path in paths}

    def read(self, group: int, columns: list[str]) -> pa.Table:
        """Return columns (by leaf path) of one row group, with the types of the schema."""
        table: pa.Table = self._told(lambda: self._file.read_row_group(group, columns=columns, use_threads=False))
        return table

    def several(self, groups: Sequence[int], columns: list[str]) -> pa.Table:
        """Return columns (by leaf path) of some row groups at once, with the types of the schema: sooner than group by group."""
        table: pa.Table = self._told(lambda: self._file.read_row_groups(list(groups), columns=columns, use_threads=False))
        return table

    def declared(self, groups: Sequence[int], names: list[str]) -> pa.Table:
        """Return columns (one at least, by name) of some row groups as their kind declares them; those that the file was written without are null."""
        there = tuple(n for n in names if n in self._there)
        if not there:
            wanted = pa.schema([schema.kind(self._kind).arrow.field(n) for n in names])
            return pa.table([pa.nulls(sum(self.rows[n] for n in groups), field.type) for field in wanted], schema=wanted)
        return as_declared(self.several(groups, leaves(self._kind, there)), self._kind, names)

    def days(self, group: int) -> tuple[int, int] | None:
        """Return first and last day (since 1970) of a row group by its statistics, None when they do not say."""
        columns = self._file.metadata.row_group(group)
        if self._day is None:
            return None
        said = columns.column(self._day).statistics
        return (said.min.toordinal() - EPOCH, said.max.toordinal() - EPOCH) if said is not None and said.has_min_max else None

    def _told(self, work: Any) -> Any:
        try:
            with self._keyring.one_use():  # each column of a row group asks for its key six times
                return work()
        except OSError as error:
            if error.errno:
                raise durable.storage_error(error, "reading the lake") from error
            raise VerifyFailed("FILE_DAMAGED", f"a file of kind {self._kind} was changed after it was written", remedy="restore it from its backup") from error


@lru_cache
def leaves(kind: str, names: tuple[str, ...]) -> list[str]:
    """Return the leaf paths of columns of `kind`, as Parquet calls them."""
    from pipeline.lake import _leaf_paths

    known = {c.name for c in schema.kind(kind).columns}
    if unknown := set(names) - known:
        raise KeyError(f"{kind} has no column {sorted(unknown)}")
    return [p for p in _leaf_paths(kind) if p.split(".")[0] in names]
