"""The rows of a file again, but for some: what stays, where row groups end, and that no thread and no file is left behind, however it ends."""

from __future__ import annotations

import errno
import hashlib
import os
import random
import threading
from collections.abc import Callable, Generator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipeline import layout, rewriting
from pipeline.deltalog import DataFile
from pipeline.errors import StorageError, UsageError, VerifyFailed
from pipeline.keyring import Keyring
from pipeline.lake import Lake, key_unit
from tests.unit.test_lake import MARK, filled, lake

__all__ = ["lake"]
TOKEN = "0" * 16
ROWS = 120
A_GROUP = 8


@pytest.fixture(autouse=True)
def short_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(layout.GROUP_ROWS, "messages", A_GROUP)


def numbered(kind: str, seqs: list[int], days: list[int] | None = None) -> pa.Table:
    """Rows with these seqs, all of one day unless told."""
    table = filled(kind, len(seqs))
    for name, values in (("seq", seqs), ("dt", days or [20_000] * len(seqs))):
        if name in table.column_names:
            at = table.schema.get_field_index(name)
            table = table.set_column(at, table.schema.field(at), pa.array(values, table.schema.field(at).type))
    return table


def written(lake: Lake, table: pa.Table, bucket: str = "3") -> DataFile:
    """A file as compaction (or, hot, an ingest) writes it."""
    if bucket == "hot":
        return lake.write(table, "messages", month="2026-11", bucket=bucket)
    writer = layout.FileWriter(lake, "messages", month="2026-11", bucket=bucket, lexicon="-", token="f" * 16)
    writer.write(table)
    return writer.close()


def groups(lake: Lake, file: DataFile) -> list[int]:
    """How many rows each row group of a file has."""
    with lake.opened(file) as opened:
        return [opened.metadata.row_group(n).num_rows for n in range(opened.metadata.num_row_groups)]


def reading_threads() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name.startswith("ahead")]


def files_of(lake: Lake) -> list[str]:
    return sorted(p.name for p in lake.root.rglob("*") if p.suffix in (".parquet", ".part"))


@pytest.mark.parametrize(
    ("keys", "rows"),
    [
        pytest.param({(MARK, 9)}, [], id="no such seq"),
        pytest.param({("sealed", 7)}, [], id="the seq of another origin"),
        pytest.param({(MARK, 7)}, [0], id="one"),
        pytest.param({(MARK, 8), ("sealed", 7)}, [1], id="one of two keys"),
        pytest.param({(MARK, 7), (MARK, 8)}, [0, 1], id="all"),
        pytest.param({(MARK, None)}, [], id="no number, which no row has"),
        pytest.param(set(), [], id="nothing asked"),
    ],
)
def test_rows_are_found_by_origin_and_seq(lake: Lake, keys: set[tuple[str, int | None]], rows: list[int]) -> None:
    file = written(lake, numbered("messages", [7, 8]))
    mask = rewriting.found(lake, file, keys)
    assert ([] if mask is None else [n for n, own in enumerate(mask.to_pylist()) if own]) == rows
    assert rewriting.count(mask) == len(rows)


@pytest.mark.slow
@pytest.mark.parametrize("bucket", ["3", "hot"])
@pytest.mark.parametrize(
    "gone",
    [
        pytest.param([], id="none"), pytest.param([1], id="the first"), pytest.param([ROWS], id="the last"), pytest.param(range(9, 17), id="a row group"),
        pytest.param(range(1, ROWS + 1, 3), id="every third"), pytest.param(range(2, ROWS + 1), id="all but one"), pytest.param(range(1, ROWS + 1), id="all"),
    ],
)  # fmt: skip
def test_what_stays_is_what_was_there_without_what_goes(lake: Lake, bucket: str, gone: list[int]) -> None:
    file = written(lake, numbered("messages", list(range(1, ROWS + 1))), bucket)
    taken: list[pa.Table] = []
    mask = rewriting.found(lake, file, {(MARK, seq) for seq in gone})
    new = rewriting.again(lake, file, mask, token=TOKEN, taken=taken)
    stay = [seq for seq in range(1, ROWS + 1) if seq not in gone]
    assert [seq for table in taken for seq in table["seq"].to_pylist()] == list(gone)
    if not stay:
        assert new is None and files_of(lake) == [Path(file.path).name]
        return
    assert new is not None and (new.rows, new.month, new.bucket, new.stats["seq"]) == (len(stay), "2026-11", bucket, (stay[0], stay[-1]))
    assert lake.read("messages", [new]).equals(numbered("messages", stay))
    assert groups(lake, new) == ([len(stay)] if bucket == "hot" else [*[A_GROUP] * (len(stay) // A_GROUP), *filter(None, [len(stay) % A_GROUP])])
    assert Path(new.path).name.startswith(f"{TOKEN}-")


@pytest.mark.parametrize("seed", range(20))
def test_row_groups_end_where_they_would_if_all_rows_were_written_at_once(seed: int) -> None:
    rng = random.Random(seed)
    days = [day for day in range(30) for _ in range(rng.choice([0, 1, 3, 7, 8, 9, 15, 40]))] or [1]
    whole, at, tables = numbered("messages", list(range(len(days))), days), 0, []
    while at < len(days):
        tables.append(whole.slice(at, rng.randint(1, 2 * A_GROUP)))
        at += tables[-1].num_rows
    pieces = list(rewriting._in_pieces("messages", tables))
    assert pa.concat_tables(pieces).equals(whole)
    assert {piece["seq"].num_chunks for piece in pieces} == {1}
    ends, before = [], 0
    for piece in pieces:
        ends += [before + offset + rows for offset, rows in layout.cuts("messages", piece)]
        before += piece.num_rows
    assert ends == [offset + rows for offset, rows in layout.cuts("messages", whole)]


def test_one_thread_reads_a_little_ahead_and_the_callers_own_writes(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    file = written(lake, numbered("messages", list(range(1, ROWS + 1))))
    own, read, behind = threading.current_thread(), [0], [0]
    tables, write, fsync, replace = layout.FileReader.tables, layout.FileWriter.write, os.fsync, os.replace

    def reading(reader: layout.FileReader, *args: Any) -> Generator[pa.Table, None, None]:
        for table in tables(reader, *args):
            assert threading.current_thread() is not own
            read[0] += table.num_rows
            yield table

    def writing(writer: layout.FileWriter, rows: pa.Table) -> None:
        write(writer, rows)
        behind[0] = max(behind[0], read[0] - writer._rows)

    def by_own(real: Callable[..., None]) -> Callable[..., None]:
        def called(*args: Any) -> None:
            assert threading.current_thread() is own
            real(*args)

        return called

    monkeypatch.setattr(layout.FileReader, "tables", reading)
    monkeypatch.setattr(layout.FileWriter, "write", writing)
    monkeypatch.setattr(os, "fsync", by_own(fsync))
    monkeypatch.setattr(os, "replace", by_own(replace))
    assert rewriting.again(lake, file, token=TOKEN) is not None
    assert read == [ROWS] and behind[0] <= 2 * rewriting.GROUPS_AT_ONCE * A_GROUP
    assert not reading_threads()


def test_what_is_written_is_digested_meanwhile_by_the_thread_that_reads(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    file = written(lake, numbered("messages", list(range(1, ROWS + 1))))
    close, left = layout.FileWriter.close, []

    def closing(writer: layout.FileWriter) -> DataFile:
        left.append((writer._digested > 0, writer._digested <= writer._written))
        return close(writer)

    monkeypatch.setattr(layout.FileWriter, "close", closing)
    new = rewriting.again(lake, file, token=TOKEN)
    assert new is not None and left == [(True, True)]
    data = (lake.root / new.path).read_bytes()
    assert (new.sha256, new.size) == (hashlib.sha256(data).hexdigest(), len(data))


def cut_off(lake: Lake, file: DataFile, _: pytest.MonkeyPatch) -> None:
    """The middle of the file is overwritten."""
    with open(lake.root / file.path, "r+b") as data:
        data.seek(file.size // 2)
        data.write(bytes(64))


def disk_full(_: Lake, __: DataFile, monkeypatch: pytest.MonkeyPatch) -> None:
    _fails(monkeypatch, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))


def interrupted(_: Lake, __: DataFile, monkeypatch: pytest.MonkeyPatch) -> None:
    _fails(monkeypatch, KeyboardInterrupt())


def interrupted_while_waiting(_: Lake, __: DataFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller's thread is interrupted where it waits for the reading one, the second time."""
    result, left = Future.result, [2]

    def waiting(coming: Future[Any], timeout: float | None = None) -> Any:
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt
        return result(coming, timeout)

    monkeypatch.setattr(Future, "result", waiting)


def key_destroyed(lake: Lake, file: DataFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process destroys the key of the file after the second piece of it has been read."""
    tables, other = layout.FileReader.tables, Keyring(lake.keyring.path, lake.keyring._master)

    def reading(reader: layout.FileReader, *args: Any) -> Generator[pa.Table, None, None]:
        for n, table in enumerate(tables(reader, *args)):
            if n == 1:
                other.destroy(other.current(key_unit(lake.corp_id, file.kind, file.month, file.bucket)))
            yield table

    monkeypatch.setattr(layout.FileReader, "tables", reading)


def row_group_lost(_: Lake, __: DataFile, monkeypatch: pytest.MonkeyPatch) -> None:
    tables = layout.FileReader.tables
    monkeypatch.setattr(layout.FileReader, "tables", lambda reader, *args: (t for n, t in enumerate(tables(reader, *args)) if n != 5))


def _fails(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Let the third row group not be written."""
    write = layout.FileWriter.write

    class Failing:
        def __init__(self, real: Any) -> None:
            self.real, self.left = real, 3

        def write_table(self, *args: Any, **named: Any) -> None:
            self.left -= 1
            if not self.left:
                raise error
            self.real.write_table(*args, **named)

        def close(self) -> None:
            self.real.close()

    def failing(writer: layout.FileWriter, rows: pa.Table) -> None:
        writer._writer = writer._writer if isinstance(writer._writer, Failing) else Failing(writer._writer)
        write(writer, rows)

    monkeypatch.setattr(layout.FileWriter, "write", failing)


@pytest.mark.parametrize(
    ("spoil", "error", "code"),
    [
        pytest.param(cut_off, VerifyFailed, "FILE_DAMAGED", id="the file is damaged"),
        pytest.param(disk_full, StorageError, "STORAGE_FULL", id="the disk is full"),
        pytest.param(interrupted, KeyboardInterrupt, "", id="interrupted while it writes"),
        pytest.param(interrupted_while_waiting, KeyboardInterrupt, "", id="interrupted while it waits"),
        pytest.param(key_destroyed, UsageError, "KEY_DESTROYED", id="its key is destroyed meanwhile"),
        pytest.param(row_group_lost, VerifyFailed, "ROWS_LOST", id="a row group is left out"),
    ],
)
def test_what_fails_leaves_no_thread_and_no_file(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, spoil: Callable[[Lake, DataFile, pytest.MonkeyPatch], None], error: type[BaseException], code: str
) -> None:
    file = written(lake, numbered("messages", list(range(1, ROWS + 1))))
    spoil(lake, file, monkeypatch)
    with pytest.raises(error) as told:
        rewriting.again(lake, file, token=TOKEN)
    assert getattr(told.value, "code", "") == code
    assert not reading_threads()
    assert files_of(lake) == [Path(file.path).name]
