"""Compaction: rows move from the many files that ingest writes into one file per month and bucket; nothing about them changes.

Before: layout.py, purges.py, generations.py, logcare.py. After: room.py (before a commit that would bring too many files), the command `compact`.

A step is one commit: all files of one kind and month (and lexicon) that ingest wrote, together with the compacted files of the buckets
they touch; or the small files of a kind that is only merged. Rules, each with a test:
 (1) Rows out are rows in: a step that counts otherwise is not committed.
 (2) A step that lost a race looks at the newest version: are all its inputs still there, its files hold what they held and it is committed
     on that version; is one gone (erased from, compacted by another), everything is read and written again. Nothing is sent twice.
 (3) Rows are read in ranges of the leading sort column, never a month at once; a day too large for that is read by groups of buckets,
     and so is a month whose files have too many row groups to be open at once.
 (4) Taken-out files are listed before the commit and unlinked later (purges.py); the hot key of an emptied month gets a new generation.
 (5) Between steps the clock of the budget is read (a monotonic one); what is left is done next time.
 (6) What is only merged is merged in its place (the bytes of a capture day end with the key of that day): where a place has too many small files,
     and where all places of a kind together have too many beyond one each.
"""

from __future__ import annotations

import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import Any, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import durable, generations, layout, logcare, manifests, purges, schema, turns
from pipeline.deltalog import CommitConflict, DataFile, Snapshot
from pipeline.errors import UsageError, VerifyFailed
from pipeline.home import Home
from pipeline.lake import KEY_GONE, Lake
from pipeline.layout import FileReader, FileWriter, Span, buckets_of, is_hot, rows_of

HOT_FILES = 64
SMALL_BYTES = 8 * 1024 * 1024
MERGE_BYTES = 4 * SMALL_BYTES
MERGE_FILES = 512
# What a range of rows takes in memory as Arrow, about; a day of half as much again is still read at once.
RANGE_BYTES = 128 * 1024 * 1024
# Column chunks described by the footers of files that are open at once, read and written: about 1.5 kB each.
OPEN_CHUNKS = 60_000
INGEST_BUDGET_S = 60.0
TRIES = 200
_SAMPLE_ROWS = 512


class Step(NamedTuple):
    """One commit of compaction. bucket: empty where rows go to the buckets of their kind, else the one place in which files are merged."""

    kind: str
    month: str
    lexicon: str
    bucket: str = ""


class Compacted(msgspec.Struct, kw_only=True):
    """What a compaction did: commits, files it took out and put in, rows it moved, files unlinked, steps left for want of time."""

    steps: int = 0
    files_out: int = 0
    files_in: int = 0
    rows: int = 0
    purged: int = 0
    left: int = 0


class _Range(NamedTuple):
    """Rows of a span of the leading column, of some buckets only (None: all)."""

    span: Span
    buckets: frozenset[str] | None


class _Gone(Exception):
    """An input of the step, or a file it wrote, is not there any more: plan anew."""


def run(
    home: Home, corp_id: str, *, budget_s: float = float("inf"), only_due: bool = False, coming: Sequence[DataFile] = (),
    progress: Callable[[str, int, int], None] | None = None,
) -> Compacted:  # fmt: skip
    """Compact a corp, one commit a step, until done or the budget (seconds) is used up; unlink what is due, tend the log; return what was done.

    only_due: no more than keeps hot files at 64 a kind (`due`), `coming` ones counted in.
    Safe to kill and to repeat, beside committers and other compactors."""
    end, told = time.monotonic() + budget_s, Compacted(purged=purges.run(home, corp_id))
    lake = home.lake(corp_id)
    steps = due(lake.snapshot(), coming=coming) if only_due else due(lake.snapshot(), most_hot=0, most_small=1)
    for done, step in enumerate(steps):
        if time.monotonic() >= end:
            told.left = len(steps) - done
            break
        _take(home, lake, step, told)
        if progress is not None:
            progress("compact", done + 1, len(steps))
    logcare.tend(home, corp_id)
    purges.sweep(home, corp_id)
    return told


def after_ingest(home: Home, corp_id: str) -> Compacted:
    """Bring down what an earlier version left above 64 hot files a kind, and unlink what is due; called by ingest after its commits, under its lock."""
    return run(home, corp_id, budget_s=INGEST_BUDGET_S, only_due=True)


# -- what there is to do -----------------------------------------------------------------------------------------


def due(snapshot: Snapshot, *, most_hot: int | None = None, most_small: int | None = None, coming: Sequence[DataFile] = ()) -> tuple[Step, ...]:
    """Return the steps that bring every kind down to `most_hot` hot files and every merged one to `most_small` small files, largest gain first.

    None: HOT_FILES. coming: files that a commit is about to add; they are counted, and not moved.
    A month that is compacted for one kind is compacted for all of them, so that its hot key can end."""
    bound = HOT_FILES if most_hot is None else most_hot
    hot = [f for f in snapshot.files if is_hot(f)]
    count = Counter(f.kind for f in (*hot, *filter(is_hot, coming)))
    months = Counter(f.month for f in hot if count[f.kind] > bound)
    steps = Counter(Step(f.kind, f.month, f.lexicon) for f in hot if f.month in months)
    ordered = sorted(steps, key=lambda s: (-months[s.month], s.month, -steps[s], s))
    return (*ordered, *_merges(snapshot, HOT_FILES if most_small is None else most_small, coming))


def _merges(snapshot: Snapshot, most: int, coming: Sequence[DataFile]) -> list[Step]:
    here = _small(snapshot.files)
    there, spare = here + _small(coming), Counter[str]()  # spare: files of a kind beyond one a place, which merging can bring down
    for step, n in there.items():
        spare[step.kind] += n - 1
    return sorted(s for s, n in there.items() if here[s] > 1 and (n > most or spare[s.kind] > most))


def _small(files: Iterable[DataFile]) -> Counter[Step]:
    return Counter(Step(f.kind, f.month, f.lexicon, f.bucket) for f in files if _is_small(f))


def counted(files: Iterable[DataFile]) -> Counter[Step]:
    """Return how many files count against the bound: hot ones by kind alone, small ones of merged kinds by their place."""
    return Counter(
        Step(f.kind, "", "") if is_hot(f) else Step(f.kind, f.month, f.lexicon, f.bucket) for f in files if is_hot(f) or _is_small(f)
    )


def _is_small(file: DataFile) -> bool:
    """Whether a file of a kind without buckets, or of a bucket that compaction leaves alone, is small enough to be merged with others."""
    return file.size < SMALL_BYTES and not is_hot(file) and file.bucket not in buckets_of(file.kind)


def inputs(lake: Lake, there: Iterable[DataFile], step: Step) -> list[DataFile]:
    """Return the files that a step takes out of those that are `there`; none when there is nothing to do."""
    files = [f for f in there if (f.kind, f.month, f.lexicon) == (step.kind, step.month, step.lexicon)]
    if step.bucket:
        return _some(sorted((f for f in files if f.bucket == step.bucket and _is_small(f)), key=lambda f: f.size))
    hot = [f for f in files if is_hot(f)]
    touched = _buckets_in(lake, step.kind, hot)
    return [*hot, *(f for f in files if f.bucket in touched)] if hot else []


def _some(small: Sequence[DataFile]) -> list[DataFile]:
    """Return as many files, the smallest first, as may be held in memory at once."""
    taken, size = [], 0
    for file in small[:MERGE_FILES]:
        size += file.size
        if size > MERGE_BYTES:
            break
        taken.append(file)
    return taken if len(taken) > 1 else []


def _buckets_in(lake: Lake, kind: str, hot: Sequence[DataFile]) -> set[str]:
    """Return the buckets that rows of these files belong to, read no further than until all of them are met."""
    buckets = buckets_of(kind)
    if buckets == (layout.ONE,) or not hot:
        return set(buckets) if hot else set()
    found: set[str] = set()
    for file in hot:  # one by one: the ids of a month are a quarter of the memory that compaction may take
        for chunk in lake.read(kind, [file], columns=["conversation_id"])["conversation_id"].chunks:
            found.update(buckets[n] for n in pc.unique(layout.bucket_numbers(kind, chunk)).to_pylist())
        if len(found) == len(buckets):
            break
    return found


# -- one step ----------------------------------------------------------------------------------------------------


def _take(home: Home, lake: Lake, step: Step, told: Compacted) -> None:
    """Do one step, planned anew as often as others come first."""
    for _ in range(TRIES):
        snapshot = lake.snapshot()
        try:
            gone = inputs(lake, snapshot.files, step)
            if not gone:
                return
            adds = _rewrite(home, lake, snapshot, step, gone)
        except (_Gone, durable.Vanished, UsageError, VerifyFailed) as error:
            if not isinstance(error, _Gone) and _place(snapshot, step) <= _place(lake.snapshot(), step):
                raise  # nobody took an input away: it is damaged
            continue  # an erasure, or another compaction, took inputs away meanwhile, and their key with them
        told.steps += 1
        told.files_out, told.files_in, told.rows = told.files_out + len(gone), told.files_in + len(adds), told.rows + rows_of(gone)
        return
    raise VerifyFailed("COMMIT_STARVED", f"{TRIES} commits in a row lost to others", remedy="stop the other writers and run again")


def _place(snapshot: Snapshot, step: Step) -> set[str]:
    """Return the paths of the files that lie where a step takes its inputs."""
    return {f.path for f in snapshot.files if (f.kind, f.month, f.lexicon) == (step.kind, step.month, step.lexicon)}


def _rewrite(home: Home, lake: Lake, snapshot: Snapshot, step: Step, gone: Sequence[DataFile]) -> list[DataFile]:
    """Write the rows of `gone` anew and commit that; return the new files. Raises _Gone when somebody else took one of them."""
    token = secrets.token_hex(8)
    noted = purges.note(home, lake.corp_id, snapshot, gone, token=token, folders=folders([step]))
    written: list[DataFile] = []
    try:
        written += write(lake, step, gone, token)
        version = _commit(home, lake, snapshot, written, gone)
    except (_Gone, durable.Vanished, UsageError, VerifyFailed) as error:
        lake.discard(written)
        taken = purges.taken(home, lake.corp_id, noted)  # with what was written so far; the version may be the same: an erasure commits first
        if not isinstance(error, durable.Vanished):  # else it may have been committed, and the list is needed
            purges.forget(noted)
        if taken or (not isinstance(error, _Gone) and error.code == KEY_GONE):
            raise _Gone from error
        raise
    purges.begin(home, lake.corp_id, noted, version=version)
    generations.advance(lake, lake.snapshot(), [f.path for f in gone])
    return written


def folders(steps: Iterable[Step]) -> set[str]:
    """Return the folders, below the lake, that the new files of the steps lie in."""
    return {
        f"kind={s.kind}/month={s.month}/bucket={bucket}/lexicon={s.lexicon}"
        for s in steps for bucket in ((s.bucket,) if s.bucket else buckets_of(s.kind))
    }  # fmt: skip


def _commit(home: Home, lake: Lake, snapshot: Snapshot, adds: Sequence[DataFile], removes: Sequence[DataFile]) -> int:
    """Commit on the newest version on which all inputs are still there (rule 2); return the new version."""
    wanted = {f.path for f in removes}
    for _ in range(TRIES):
        try:
            with turns.held(home, lake.corp_id), manifests.files_held(home, lake.corp_id):
                if not all((lake.root / f.path).exists() for f in adds):
                    raise _Gone
                version: int = lake.commit(snapshot, adds, removes, what="compact")
                return version
        except CommitConflict:
            snapshot = lake.snapshot()
            if not wanted <= {f.path for f in snapshot.files}:
                raise _Gone from None
    raise VerifyFailed("COMMIT_STARVED", f"{TRIES} commits in a row lost to others", remedy="stop the other writers and run again")


# -- rows --------------------------------------------------------------------------------------------------------


def write(lake: Lake, step: Step, gone: Sequence[DataFile], token: str) -> list[DataFile]:
    """Write the rows of `gone`, sorted, into one file a bucket; return the files. Raises VerifyFailed ROWS_LOST when they hold other rows (rule 1)."""
    written: list[DataFile] = []
    try:
        with layout.one_pool():
            for group in _groups(step, gone):
                _write_some(lake, step, gone, group, token, written)
        if rows_of(written) != rows_of(gone):
            raise VerifyFailed("ROWS_LOST", f"{rows_of(gone)} rows of kind {step.kind} went in, {rows_of(written)} came out", remedy="report it; nothing was changed")
    except BaseException:
        lake.discard(written)  # an erasure may have taken the list that names them: nobody else would unlink them before a day has passed
        raise
    return written


def _groups(step: Step, inputs: Sequence[DataFile]) -> list[frozenset[str]]:
    """Return the buckets in groups whose files may be open at once (rule 3)."""
    if step.bucket:
        return [frozenset([step.bucket])]
    buckets = buckets_of(step.kind)
    row_groups = (rows_of(inputs) + sum(f.rows for f in inputs if not is_hot(f))) // layout.GROUP_ROWS[step.kind]
    count = min(len(buckets), 1 + row_groups * len(schema.kind(step.kind).columns) // OPEN_CHUNKS)
    return [frozenset(buckets[n::count]) for n in range(count)]


def _write_some(lake: Lake, step: Step, inputs: Sequence[DataFile], group: frozenset[str], token: str, written: list[DataFile]) -> None:
    """Write the rows of a group of buckets; `written` gets each file as soon as it has its name."""
    writers: dict[str, FileWriter] = {}
    files = [f for f in inputs if is_hot(f) or f.bucket in group]
    try:
        readers = [FileReader(lake, f) for f in files]  # for all ranges: what is read of the files' footers is kept with them
        for wanted in _ranges(lake, step, files, group):
            for bucket, rows in _sorted(readers, step, wanted):
                if bucket not in writers:
                    writers[bucket] = FileWriter(lake, step.kind, month=step.month, bucket=bucket, lexicon=step.lexicon, token=token)
                writers[bucket].write(rows)
            pa.default_memory_pool().release_unused()
        for writer in writers.values():
            written.append(writer.close())
    except BaseException:
        for writer in writers.values():
            writer.abandon()
        raise


def _ranges(lake: Lake, step: Step, inputs: Sequence[DataFile], group: frozenset[str]) -> list[_Range]:
    """Cut the rows into ranges of about RANGE_BYTES (rule 3). What is merged was chosen small enough to be one range."""
    wanted = None if step.bucket or len(group) == len(buckets_of(step.kind)) else group
    if step.bucket or rows_of(inputs) <= (most := _rows_a_range(lake, step.kind, inputs)):
        return [_Range(Span(None, None), wanted)]
    lead = schema.kind(step.kind).order[0]
    read = [lake.read(step.kind, [f], columns=[lead])[lead] for f in inputs]  # one by one: a scan's threads keep what they took
    values = pc.drop_null(pa.chunked_array(chain.from_iterable(c.chunks for c in read)).combine_chunks())
    values = values.take(pc.array_sort_indices(values))
    most = most * len(buckets_of(step.kind)) // len(group)  # the rows of other buckets are not kept
    found = list(_cut(values, _ends(values, most), most, sorted(group), wanted))
    pa.default_memory_pool().release_unused()
    return found


def _ends(values: pa.Array, most: int) -> Iterator[Any]:
    """Yield the last value of each range, None for the last one: as many whole values as fit into `most` rows, at least one."""
    start = 0
    while start + most < len(values):
        next_one = values[start + most]
        below = pc.sum(pc.less(values, next_one)).as_py()
        if below > start:  # it begins a range of its own
            start = below
            yield values[below - 1].as_py()
            continue
        start = pc.sum(pc.less_equal(values, next_one)).as_py()
        if start < len(values):
            yield next_one.as_py()
    yield None


def _cut(values: pa.Array, ends: Iterable[Any], most: int, buckets: Sequence[str], wanted: frozenset[str] | None) -> Iterator[_Range]:
    low, before = None, 0
    for high in ends:
        upto = len(values) if high is None else pc.sum(pc.less_equal(values, pa.scalar(high, values.type))).as_py()
        parts = min(len(buckets), -(-2 * (upto - before) // (3 * most)))
        for part in range(parts):
            yield _Range(Span(low, high), frozenset(buckets[part::parts]) if parts > 1 else wanted)
        low, before = high, upto


def _rows_a_range(lake: Lake, kind: str, inputs: Sequence[DataFile]) -> int:
    first = next((t for f in inputs for t in FileReader(lake, f).tables(schema.kind(kind).order[0], Span(None, None)) if t.num_rows), None)
    sample = (first or schema.kind(kind).arrow.empty_table()).slice(0, _SAMPLE_ROWS)
    rows: int = RANGE_BYTES * max(1, sample.num_rows) // max(1, sample.nbytes)
    return max(_SAMPLE_ROWS, rows)


def _sorted(readers: Sequence[FileReader], step: Step, wanted: _Range) -> Iterator[tuple[str, pa.Table]]:
    """Yield (bucket, its rows of the range, sorted)."""
    order = schema.kind(step.kind).order
    if step.bucket:
        yield step.bucket, _sort(pa.concat_tables(t for r in readers for t in r.tables(order[0], wanted.span)), order)
        return
    rows, numbers = _read(readers, step.kind, wanted)
    for number, bucket in enumerate(buckets_of(step.kind)):
        chosen = rows.filter(pc.equal(numbers, pa.scalar(number, pa.int8())))
        if chosen.num_rows:
            yield bucket, _sort(chosen, order)


def _sort(table: pa.Table, order: Sequence[str]) -> pa.Table:
    return table.sort_by([(c, "ascending") for c in order]) if table.num_rows > 1 else table


def _read(readers: Sequence[FileReader], kind: str, wanted: _Range) -> tuple[pa.Table, pa.ChunkedArray]:
    """Return the rows of a range, and the number of each row's bucket."""
    rows, found = [schema.kind(kind).arrow.empty_table()], []
    kept = pa.array([n for n, b in enumerate(buckets_of(kind)) if wanted.buckets is None or b in wanted.buckets], pa.int8())
    for table in (t for r in readers for t in r.tables(schema.kind(kind).order[0], wanted.span)):
        numbers = layout.bucket_numbers(kind, table["conversation_id"].combine_chunks())
        mask = pc.is_in(numbers, kept)
        rows.append(table if wanted.buckets is None else table.filter(mask))
        found.append(numbers if wanted.buckets is None else numbers.filter(mask))
    # What decrypting and decoding took is given back before the writers take theirs: half of the peak otherwise.
    pa.default_memory_pool().release_unused()
    return pa.concat_tables(rows), pa.chunked_array(found, pa.int8())
