"""The rows of a file again, but for some: what erasing, moving, restating and renewing keys do to files of the lake.

Before: lake.py, layout.py. After: commit.py, consenting/change.py (what a commit plans), removing/take_out.py.

Rules, each with a test:
 (1) A compacted file is written again in constant memory: while the caller's thread writes (encodes, compresses, encrypts), one more reads
     (decrypts, decodes) what comes next, and digests what was written. Durable calls are made by the caller's thread alone; the other one has ended when the call ends, however
     it ends, so no fork meets it. It alone asks the keyring meanwhile.
 (2) Its row groups end where they would if all rows were written at once (layout.py, rule 3).
 (3) Rows that stay are counted before and after; a file that has others is not handed on.
 (4) Every other file is small: it is read and written whole.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pyarrow as pa
import pyarrow.compute as pc

from pipeline import layout, schema
from pipeline.deltalog import DataFile
from pipeline.errors import VerifyFailed
from pipeline.lake import Lake
from pipeline.layout import FileReader, FileWriter, Span

# What is read before it is handed on: a few row groups, so that neither thread waits for the other long, nor takes much memory.
GROUPS_AT_ONCE = 4

Key = tuple[str, int | None]


def among(rows: pa.Table, keys: Iterable[Key]) -> pa.ChunkedArray:
    """Return which rows belong to these records (origin, seq)."""
    by_origin: dict[str, list[int | None]] = defaultdict(list)
    for origin, seq in keys:
        by_origin[origin].append(seq)
    mask = pa.chunked_array([pa.repeat(pa.scalar(False), rows.num_rows)])
    for origin, seqs in by_origin.items():
        own = pc.and_(pc.equal(rows["origin"], origin), pc.is_in(rows["seq"], value_set=pa.array(seqs, pa.uint64())))
        mask = pc.or_(mask, pc.fill_null(own, False))
    return mask


def found(lake: Lake, file: DataFile, keys: Collection[Key]) -> pa.ChunkedArray | None:
    """Return which rows of a file belong to these records, None when none does: two columns are read, or nothing. Raises what Lake.read raises."""
    low, high = file.stats.get("seq", (0, 1 << 63))
    if not any(seq is not None and low <= seq <= high for _, seq in keys):
        return None
    mask = among(lake.read(file.kind, [file], columns=["origin", "seq"]), keys)
    return mask if pc.any(mask).as_py() else None


def count(mask: pa.ChunkedArray | None) -> int:
    """Return how many rows a mask tells; None: none."""
    return 0 if mask is None else int(pc.sum(mask).as_py() or 0)


def in_layout(file: DataFile) -> bool:
    """Whether compaction wrote the file, with the row groups of its kind."""
    return not layout.is_hot(file) and file.bucket in layout.buckets_of(file.kind)


def again(lake: Lake, file: DataFile, gone: pa.ChunkedArray | None = None, *, token: str, taken: list[pa.Table] | None = None) -> DataFile | None:
    """Write the rows of a file as a new one, durable and still invisible, but for those that `gone` tells (None: all of them); return it, None when no
    row stays. taken: gets the rows that do not stay. token: 16 hex digits its name begins with.

    Raises what reading and writing raise, with nothing left of the new file; VerifyFailed ROWS_LOST when other rows came out than stay (rule 3)."""
    stay, kept = file.rows - count(gone), _kept(lake, file, gone, taken)
    if not stay:
        _read_out(kept, file)
        return None
    written = put(lake, file, _in_pieces(file.kind, kept) if in_layout(file) else kept, token=token)
    if written.rows != stay:
        lake.purge([written])
        raise _lost(file, stay, written.rows)
    return written


def put(lake: Lake, file: DataFile, rows: Generator[pa.Table, None, None], *, token: str) -> DataFile:
    """Write sorted rows, at least one, in place of a file as what it was: a compacted one with the row groups of its kind, any other small (rule 4)."""
    with closing(rows):
        if not in_layout(file):
            return lake.write(_whole(file.kind, rows), file.kind, month=file.month, bucket=file.bucket, lexicon=file.lexicon, token=token)
        with layout.one_pool():
            writer = FileWriter(lake, file.kind, month=file.month, bucket=file.bucket, lexicon=file.lexicon, token=token)
            try:
                with closing(ahead(_digested(writer, rows))) as pieces:
                    for piece in pieces:
                        writer.write(piece)
                return writer.close()
            except BaseException:
                writer.abandon()
                raise


def _digested(writer: FileWriter, rows: Generator[pa.Table, None, None]) -> Generator[pa.Table, None, None]:
    """Yield the rows; before more of them are made, what was written of those before is taken into the file's digest."""
    for piece in rows:
        yield piece
        writer.catch_up()


def ahead(items: Generator[pa.Table, None, None]) -> Generator[pa.Table, None, None]:
    """Yield the items, each made by another thread while the one before is used. What making them raises is raised here.

    Used up, closed or failed, it leaves no thread: the item that is being made is waited for, and no other is begun."""
    with closing(items), ThreadPoolExecutor(1, thread_name_prefix="ahead") as pool:
        coming = pool.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = pool.submit(next, items, None)
            yield item


def _kept(lake: Lake, file: DataFile, gone: pa.ChunkedArray | None, taken: list[pa.Table] | None) -> Generator[pa.Table, None, None]:
    """Yield the rows that stay, row group by row group; `taken` gets the others."""
    at = 0
    for table in FileReader(lake, file).tables(schema.kind(file.kind).order[0], Span(None, None)):
        mask, at = None if gone is None else gone.slice(at, table.num_rows), at + table.num_rows
        if not count(mask):
            yield table
            continue
        yield table.filter(pc.invert(mask))
        if taken is not None:
            taken.append(table.filter(mask))


def _in_pieces(kind: str, tables: Iterable[pa.Table]) -> Generator[pa.Table, None, None]:
    """Yield sorted rows in pieces that end where row groups of all of them would end (rule 2): what the last one may still get is kept for the next.
    A piece lies in one: a row group of two pieces, as all are after a row that goes, takes the writing thread longer than this one."""
    most = GROUPS_AT_ONCE * layout.GROUP_ROWS[kind]
    held = _whole(kind, ())
    for table in tables:
        held = pa.concat_tables([held, table])
        if held.num_rows < most:
            continue
        *_, (last, _) = layout.cuts(kind, held)
        yield held.slice(0, last).combine_chunks()
        held = held.slice(last)
    if held.num_rows:
        yield held.combine_chunks()


def _whole(kind: str, tables: Iterable[pa.Table]) -> pa.Table:
    return pa.concat_tables([schema.kind(kind).arrow.empty_table(), *tables])


def _read_out(kept: Iterable[pa.Table], file: DataFile) -> None:
    """Read a file of which no row stays, for the sake of what is taken."""
    if rows := sum(t.num_rows for t in kept):
        raise _lost(file, 0, rows)


def _lost(file: DataFile, stay: int, came: int) -> VerifyFailed:
    return VerifyFailed("ROWS_LOST", f"{stay} rows of kind {file.kind} went in, {came} came out", remedy="report it; nothing was changed")
