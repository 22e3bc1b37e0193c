"""The layout of compacted files: which bucket a row belongs to, where row groups end, and a writer that takes its rows in pieces.

Before: lake.py, schema.py. After: compact.py.

Rules (docs/adr/0010-compaction.md):
 (1) A bucket is one hex digit, the first of the SHA-256 of: the room; else the id of the pair that begins with wm or wo (the smaller of
     two); else the whole conversation. It is worked out from `conversation_id` alone, so that all kinds agree.
 (2) `matches` are few: one bucket `one`. Rows that could not be opened stay in bucket `x`.
 (3) No row group is longer than GROUP_ROWS says. In kinds sorted by day a day that does not fit into what is left of a group begins one
     of its own, so a day is read without more than one group of others; days of few rows share a group (one each would double the bytes).
 (4) A file is written under a temporary name, fsynced, and only then gets its name, which ends in the SHA-256 of its bytes. The caller
     fsyncs the folder (every commit does).
 (5) Messages lie by conversation, so that zstd alone makes ids that repeat smaller than a dictionary per row group does, in less time; digests and
     nonces, which nothing makes smaller, lie uncompressed, their lengths apart. Other kinds keep their dictionaries.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache, lru_cache, reduce
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline import durable, schema
from pipeline.deltalog import DataFile
from pipeline.lake import HOT, HOT_GROUP_ROWS, Lake, _dictionary_columns, _leaf_paths, _log_statistics, as_declared, reading

BUCKETS = tuple("0123456789abcdef")
ONE = "one"
# Rows of a row group: few enough that one conversation of one day is a small read (messages), many enough that small rows do not drown in pages.
GROUP_ROWS = {"messages": 2_048, "sealed": 2_048, "media": 8_192, "matches": 8_192}
DAY = "dt"
SORTED_BY_CONVERSATION = "messages"
NOISE = ("nonce", "content_fp", "sealed_sha256")
# Rows that are read at once where all of a file are wanted, in row groups as compaction writes them.
GROUPS_READ = 2
_READ = 1 << 20


def buckets_of(kind: str) -> tuple[str, ...]:
    """Return the buckets that compacted files of `kind` lie in; none for kinds that are only merged."""
    if schema.kind(kind).key_unit != "month":
        return ()
    return (ONE,) if kind == "matches" else BUCKETS


@lru_cache(maxsize=1 << 16)
def bucket_of(conversation_id: str) -> str:
    """Return the bucket of a conversation (rule 1)."""
    people = conversation_id.split("|")
    outside = min((p for p in people if p.startswith(("wm", "wo"))), default="")
    return hashlib.sha256((outside or conversation_id).encode("utf-8", "surrogatepass")).hexdigest()[0]


def bucket_numbers(kind: str, conversations: pa.Array) -> pa.Array:
    """Return the place of each row's bucket in `buckets_of(kind)` (int8); a row without a conversation counts as the empty one."""
    if buckets_of(kind) == (ONE,):
        return pa.repeat(pa.scalar(0, pa.int8()), len(conversations))
    coded = pc.fill_null(conversations, "").dictionary_encode()
    return pa.array([int(bucket_of(c), 16) for c in coded.dictionary.to_pylist()], pa.int8()).take(coded.indices)


def cuts(kind: str, table: pa.Table) -> Iterator[tuple[int, int]]:
    """Yield (offset, rows) of the row groups of a sorted table (rule 3)."""
    most = GROUP_ROWS.get(kind, HOT_GROUP_ROWS)
    by_day = schema.kind(kind).order[0] == DAY and table.num_rows
    start = done = 0
    for end in [*(runs(table[DAY])[1] if by_day else ()), table.num_rows]:
        if end - start > most and done > start:  # the days before it fill a group of their own
            yield start, done - start
            start = done
        while end - start > most:
            yield start, most
            start += most
        done = end
    if done > start:
        yield start, done - start


def runs(column: pa.ChunkedArray) -> tuple[list[Any], list[int]]:
    """Return the values of the runs of a sorted column, and where each of them ends."""
    found = pc.run_end_encode(column.combine_chunks())
    return found.values.to_pylist(), found.run_ends.to_pylist()


class FileWriter:
    """Writes one file of a kind, piece by piece; rows come sorted, a piece never shares a row group with the next.

    token: 16 hex digits the file's name begins with; its temporary name holds it too."""

    def __init__(self, lake: Lake, kind: str, *, month: str, bucket: str, lexicon: str, token: str) -> None:
        self.partition = f"kind={kind}/month={month}/bucket={bucket}/lexicon={lexicon}"
        self._place = {"kind": kind, "month": month, "bucket": bucket, "lexicon": lexicon}
        self._lake, self._kind, self._token = lake, kind, token
        self._folder: Path = lake.root / self.partition
        self._temporary = self._folder / temporary_name(token)
        self._rows = 0
        self._stats: dict[str, tuple[int, int]] = {}
        self._digest, self._written, self._digested = hashlib.sha256(), 0, 0  # the last two: bytes
        durable.make_folder(self._folder)
        with durable.storage("writing the lake"):
            os.close(os.open(self._temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            self._sink = pa.OSFile(str(self._temporary), "wb")
            self._writer: Any = pq.ParquetWriter(
                self._sink, schema.kind(kind).arrow, **_encoding(kind), store_schema=False,
                write_statistics=list(schema.kind(kind).statistics), encryption_properties=lake.encryption(kind, month, bucket),
            )  # fmt: skip

    def write(self, table: pa.Table) -> None:
        """Append sorted rows as row groups of their own."""
        with durable.storage("writing the lake"):
            for offset, rows in cuts(self._kind, table):
                self._writer.write_table(table.slice(offset, rows), row_group_size=rows)
            self._written = self._sink.tell()
        self._rows += table.num_rows
        for name, (low, high) in _log_statistics(table).items():
            at = self._stats.get(name, (low, high))
            self._stats[name] = (min(at[0], low), max(at[1], high))

    def catch_up(self) -> None:
        """Take what `write` has handed to the file into its digest. One other thread may call it while this one writes; it has ended before `close`."""
        with durable.storage("writing the lake"), open(self._temporary, "rb", buffering=0) as file:
            file.seek(self._digested)
            while self._digested < self._written and (piece := file.read(min(_READ, self._written - self._digested))):
                self._digest.update(piece)
                self._digested += len(piece)

    def close(self) -> DataFile:
        """Return the file, its content durable under its name, still invisible."""
        with durable.storage("writing the lake"):
            self._writer.close()
            self._sink.close()
            durable.fsync_file(self._temporary)
            self._written = self._temporary.stat().st_size
            self.catch_up()
            path = f"{self.partition}/{self._token}-{self._digest.hexdigest()}.parquet"
            os.replace(self._temporary, self._lake.root / path)
        return DataFile(path=path, rows=self._rows, size=self._written, stats=self._stats, **self._place)

    def abandon(self) -> None:
        """Forget what was written."""
        with suppress(OSError, pa.ArrowException):
            self._writer.close()
        with suppress(OSError):
            self._sink.close()
        durable.remove(self._temporary, sync_folder=False)


class Span(NamedTuple):
    """Values above `low` and up to `high` (None: unbounded; nulls are in the last)."""

    low: Any
    high: Any

    def holds(self, column: pa.ChunkedArray) -> pa.ChunkedArray:
        """Return which values lie in it, unless it holds all."""
        bounds = [compare(column, pa.scalar(end, column.type)) for compare, end in ((pc.greater, self.low), (pc.less_equal, self.high)) if end is not None]
        return pc.fill_null(reduce(pc.and_, bounds), self.high is None)

    def meets(self, said: Any) -> bool:
        """Return whether a row group may have values in it, by the statistics of the column (None: there are none)."""
        if said is None or not said.has_min_max or (self.high is None and said.null_count != 0):
            return True
        return (self.low is None or said.max > self.low) and (self.high is None or said.min <= self.high)


class FileReader:
    """Reads one file piece by piece, in half of the time that a scan takes. It is open only meanwhile; its footer is kept. For one thread."""

    def __init__(self, lake: Lake, file: DataFile) -> None:
        self._lake, self._file, self._footer = lake, file, None
        self._places: dict[str, int] = {}  # of columns: asked once, since it means decrypting what the footer holds of each

    def tables(self, column: str, span: Span) -> Iterator[pa.Table]:
        """Yield the rows whose values of a column lie in the span, row group by row group; those of the whole file a few thousand at a time, wherever row
        groups end: every column is then followed through the file, instead of being looked up in each of them.

        Raises Vanished and what the keyring says of the key; VerifyFailed FILE_DAMAGED."""
        with reading(self._file.kind), self._lake.opened(self._file, self._footer) as opened:
            self._footer = footer = opened.metadata
            if span == (None, None):
                yield from self._through(opened)
                return
            if column not in self._places:
                self._places[column] = _place(footer, column)
            place = self._places[column]
            for number in range(footer.num_row_groups):
                if not span.meets(footer.row_group(number).column(place).statistics):
                    continue
                table = as_declared(opened.read_row_group(number, use_threads=False), self._file.kind)
                yield table.filter(span.holds(table[column]))

    def _through(self, opened: Any) -> Iterator[pa.Table]:
        """Yield all rows, GROUPS_READ row groups' worth at a time; each such reading is one use of the keyring."""
        batches = opened.iter_batches(batch_size=GROUPS_READ * GROUP_ROWS.get(self._file.kind, HOT_GROUP_ROWS), use_threads=False)
        while True:
            with self._lake.keyring.one_use():
                batch = next(batches, None)
            if batch is None:
                return
            yield as_declared(pa.Table.from_batches([batch]), self._file.kind)


def _place(footer: Any, column: str) -> int:
    """Return which of a file's leaf columns this is. `footer.schema` would tell too, but the two then hold each other until the collector comes:
    25 MB for the files of a month."""
    if not footer.num_row_groups:
        return 0
    group = footer.row_group(0)
    return [group.column(n).path_in_schema for n in range(footer.num_columns)].index(column)


@cache
def _encoding(kind: str) -> dict[str, Any]:
    """How the columns of a kind are encoded and compressed (rule 5)."""
    noise = [c.name for c in schema.kind(kind).columns if kind == SORTED_BY_CONVERSATION and c.name in NOISE]
    return {
        "use_dictionary": [] if kind == SORTED_BY_CONVERSATION else _dictionary_columns(kind),
        "compression": {path: "none" if path in noise else "zstd" for path in _leaf_paths(kind)},
        "column_encoding": dict.fromkeys(noise, "DELTA_LENGTH_BYTE_ARRAY") or None,
    }


@contextmanager
def one_pool() -> Iterator[None]:
    """Let sorting and writing take memory where Arrow's scanner takes it, whatever is set: two pools hold a tenth more between them, and the many small
    pieces that row groups are made of take a twelfth more time from the system's."""
    before = pa.default_memory_pool()
    if "mimalloc" in pa.supported_memory_backends():
        pa.set_memory_pool(pa.mimalloc_memory_pool())
    try:
        yield
    finally:
        pa.default_memory_pool().release_unused()
        pa.set_memory_pool(before)


def temporary_name(token: str) -> str:
    """Return the name under which the files of a token are written."""
    return f".{token}.part"


def hot_unit(corp_id: str, month: str) -> str:
    """Return the key unit of the files that ingest writes for a month."""
    return f"{corp_id}/m/{month}/{HOT}"


def is_hot(file: DataFile) -> bool:
    """Whether ingest wrote the file and compaction has not moved its rows."""
    return file.bucket == HOT and schema.kind(file.kind).key_unit == "month"


def rows_of(files: Iterable[DataFile]) -> int:
    """Return the number of rows of several files, from the log."""
    return sum(f.rows for f in files)
