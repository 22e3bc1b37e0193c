"""Scans of data files: a few row groups read one after the other are what Arrow's scanner reads."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pytest

from pipeline import lake as lake_module
from pipeline import scans, schema
from pipeline.deltalog import DataFile
from pipeline.errors import UsageError
from pipeline.lake import Lake
from tests.unit.test_lake import filled, lake

__all__ = ["lake"]
FIRST = date(2026, 11, 1)
DAYS = pa.array([FIRST + timedelta(days=n // 4) for n in range(40)], pa.date32())


def messages(first: int = 0) -> pa.Table:
    """Forty messages of ten days, seqs from `first`, every third with a room."""
    rows = filled("messages", 40)
    for name, values in (
        ("seq", pa.array(range(first, first + 40), pa.uint64())), ("dt", DAYS), ("text", pa.array([f"text {n}" for n in range(40)])),
        ("room_id", pa.array([None if n % 3 else f"wr{n}" for n in range(40)])),
    ):  # fmt: skip
        rows = rows.set_column(rows.schema.get_field_index(name), rows.schema.field(name), values)
    return rows


def two_files(lake: Lake) -> list[DataFile]:
    return [lake.write(messages(first), "messages", month="2026-11", bucket="hot", group_rows=3) for first in (0, 40)]


def on(n: int) -> Any:
    return ds.field("dt") == pa.scalar(FIRST + timedelta(days=n))


CONDITIONS = [
    pytest.param(None, 80, id="everything"),
    pytest.param(on(2), 8, id="one day"),
    pytest.param(on(12), 0, id="a day without rows"),
    pytest.param(ds.field("seq") == pa.scalar(41, pa.uint64()), 1, id="a row of the second file"),
    pytest.param(on(2) & ds.field("room_id").is_valid(), 2, id="a day and a column that is not asked for"),
    pytest.param(ds.field("room_id").is_null(), 52, id="rows without a value"),
    pytest.param(pc.match_substring(ds.field("text"), "text 3"), 22, id="a condition that no statistics know"),
    pytest.param(ds.field("text").isin(pa.array(["seq", "dt"])), 0, id="values that read like columns"),
]


@pytest.mark.slow
@pytest.mark.parametrize("columns", [["seq", "text"], ["parts", "dt", "quotes"], None], ids=["two columns", "nested ones", "all"])
@pytest.mark.parametrize(("where", "rows"), CONDITIONS)
def test_row_groups_are_read_as_arrow_scans_them(lake: Lake, where: Any, rows: int, columns: Sequence[str] | None) -> None:
    dataset = lake.dataset("messages", two_files(lake))
    direct = dataset.scanner(columns=columns, filter=where)
    assert direct._direct() is not None
    read = direct.to_reader().read_all()
    by_arrow = dataset.scanner(columns=columns, filter=where).to_table()
    assert read.num_rows == rows
    assert read.equals(by_arrow) and read.schema.equals(by_arrow.schema)


@pytest.mark.slow
@pytest.mark.parametrize(("where", "rows"), CONDITIONS)
def test_a_filtered_dataset_is_read_as_arrow_scans_it(lake: Lake, where: Any, rows: int) -> None:
    dataset = lake.dataset("messages", two_files(lake)).filter(ds.field("seq") >= pa.scalar(10, pa.uint64()))
    scan = (dataset if where is None else dataset.filter(where)).scanner(columns=["text", "seq"])
    assert scan._direct() is not None
    assert scan.to_reader().read_all().equals(dataset.scanner(columns=["text", "seq"], filter=where).to_table())


@pytest.mark.parametrize("what", [{"MOST_ROWS": 7}, {"MOST_FILES": 1}], ids=["too many rows", "too many files"])
def test_many_rows_are_left_to_arrow(lake: Lake, monkeypatch: pytest.MonkeyPatch, what: dict[str, int]) -> None:
    for name, most in what.items():
        monkeypatch.setattr(scans, name, most)
    scan = lake.dataset("messages", two_files(lake)).scanner(columns=["seq"], filter=on(2))
    assert scan._direct() is None
    assert scan.to_reader().read_all()["seq"].to_pylist() == [8, 9, 10, 11, 48, 49, 50, 51]


@pytest.mark.parametrize("more", [{"columns": []}, {"columns": {"one": ds.field("seq")}}, {"columns": ["seq"], "batch_size": 5}], ids=["none", "worked out", "batches"])
def test_what_is_asked_in_another_way_is_left_to_arrow(lake: Lake, more: dict[str, Any]) -> None:
    scan = lake.dataset("messages", two_files(lake)).scanner(filter=on(2), **more)
    assert scan._direct() is None
    assert sum(batch.num_rows for batch in scan.to_batches()) == 8


def test_only_row_groups_that_may_hold_rows_are_read(lake: Lake) -> None:
    dataset = lake.dataset("messages", two_files(lake))
    assert isinstance(dataset, scans.Files)
    read, inner = list[list[int]](), dataset._read

    def noted(path: str, footer: Any, groups: Sequence[int], names: Sequence[str]) -> Iterator[pa.Table]:
        read.append(list(groups))
        return inner(path, footer, groups, names)

    dataset._read = noted
    assert sum(b.num_rows for b in dataset.scanner(columns=["seq"], filter=on(2)).to_batches()) == 8
    assert read == [[2, 3], [2, 3]]  # rows 6 to 8 and 9 to 11 of each


def test_many_row_groups_of_a_file_are_read_some_at_a_time(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lake_module, "ROWS_AT_ONCE", 7)
    dataset = lake.dataset("messages", two_files(lake))
    assert isinstance(dataset, scans.Files)
    (fragment, groups), _ = dataset._few(None) or []
    tables = list(dataset._read(fragment.path, fragment.metadata, groups, ["seq"]))
    assert [t.num_rows for t in tables] == [6, 6, 6, 6, 6, 6, 4]
    assert pa.concat_tables(tables)["seq"].to_pylist() == list(range(40))


def test_threads_that_ask_one_dataset_at_once_all_get_the_rows(lake: Lake) -> None:
    for _ in range(5):
        dataset = lake.dataset("messages", two_files(lake))
        asked = [dataset.scanner(columns=["seq"], filter=None if n % 2 else on(2)) for n in range(8)]
        with ThreadPoolExecutor(8) as pool:
            rows = list(pool.map(lambda scan: scan.to_reader().read_all().num_rows, asked))
        assert rows == [8, 80] * 4


def test_a_column_that_files_were_written_without_is_null(lake: Lake) -> None:
    file = lake.write(filled("media").drop_columns([schema.kind("media").columns[-1].name]), "media", month="2026-11", bucket="hot")
    scan = lake.dataset("media", [file]).scanner(columns=[schema.kind("media").columns[-1].name, "seq"])
    assert scan._direct() is not None
    read = scan.to_reader().read_all()
    assert (read[0].null_count, read["seq"].to_pylist()) == (3, [7, 7, 7])


def test_a_file_that_is_gone_is_an_error_of_the_storage(lake: Lake) -> None:
    file = lake.write(messages(), "messages", month="2026-11", bucket="hot")
    dataset = lake.dataset("messages", [file])
    assert len(list(dataset.scanner(columns=["seq"], filter=on(2)).to_batches())) > 0
    lake.purge([file])
    with pytest.raises(FileNotFoundError):
        list(dataset.scanner(columns=["seq"], filter=on(2)).to_batches())


@pytest.mark.slow
@pytest.mark.parametrize("what", [{}, {"MOST_ROWS": 7}], ids=["row group by row group", "by Arrow"])
@pytest.mark.parametrize(("where", "rows"), CONDITIONS)
def test_words_that_are_handed_by_number_are_the_same_words(lake: Lake, monkeypatch: pytest.MonkeyPatch, what: dict[str, int], where: Any, rows: int) -> None:
    files = two_files(lake)
    plain = lake.dataset("messages", files).scanner(columns=["seq", "room_id", "msgtype"], filter=where).to_table()
    for name, most in what.items():
        monkeypatch.setattr(scans, name, most)
    read = lake.dataset("messages", files, numbered=["room_id", "msgtype"]).scanner(columns=["seq", "room_id", "msgtype"], filter=where).to_reader().read_all()
    numbered = pa.dictionary(pa.int32(), pa.string())
    assert (read.num_rows, read["room_id"].type, read["msgtype"].type) == (rows, numbered, numbered)
    assert read.cast(plain.schema).equals(plain)


def test_what_is_kept_is_not_read_again_and_is_bounded(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    opened, inner = list[str](), Lake.opened

    def noted(self: Lake, file: DataFile, *more: Any) -> Any:
        opened.append(file.path)
        return inner(self, file, *more)

    monkeypatch.setattr(Lake, "opened", noted)
    files = two_files(lake)
    for keep, again in ((1 << 20, 0), (0, 2), (400, 1)):  # 40 seqs are 320 bytes
        dataset = lake.dataset("messages", files, keep=keep)
        for times in (2, again):
            opened.clear()
            assert dataset.scanner(columns=["seq"]).to_reader().read_all()["seq"].to_pylist() == list(range(80))
            assert len(opened) == times


def test_a_column_that_is_not_kept_yet_is_read_beside_those_that_are(lake: Lake) -> None:
    dataset = lake.dataset("messages", two_files(lake), keep=1 << 20)
    for columns in (["seq"], ["text", "seq"], ["dt", "seq", "text"]):
        scan = dataset.scanner(columns=columns, filter=on(2))
        assert scan.to_reader().read_all().equals(dataset.scanner(columns=columns, filter=on(2)).to_table())
    assert dataset.scanner(columns=["text"], filter=on(2)).to_reader().read_all()["text"].to_pylist() == [f"text {n}" for n in (8, 9, 10, 11)] * 2


def test_what_is_kept_is_not_handed_out_once_its_key_ended_or_its_file_is_gone(lake: Lake) -> None:
    files = two_files(lake)
    dataset = lake.dataset("messages", files, keep=1 << 20)
    assert dataset.scanner(columns=["seq"]).to_reader().read_all().num_rows == 80
    lake.purge(files[:1])
    with pytest.raises(FileNotFoundError):
        list(dataset.scanner(columns=["seq"]).to_batches())
    lake.keyring.destroy("ww1/m/2026-11/hot#0")
    with pytest.raises(UsageError) as told:
        list(tables_of(dataset, files[1]))
    assert told.value.code == "KEY_DESTROYED"


def tables_of(dataset: Any, file: DataFile) -> Iterator[pa.Table]:
    """Return what a dataset yields of all row groups of one file."""
    fragment = next(f for f in dataset.get_fragments() if f.path == file.path)
    yield from dataset._read(fragment.path, fragment.metadata, list(range(fragment.num_row_groups)), ["seq"])


SOME = pa.table({"n": pa.array([1, None, 3]), "word": pa.array(["a", "b", None]), "asked for by nobody": pa.array([True, False, None])})
MET = [
    pytest.param(None, [1, None, 3], id="no condition"),
    pytest.param(ds.scalar(True), [1, None, 3], id="one that names no column"),
    pytest.param(ds.scalar(False), [], id="one that nothing meets"),
    pytest.param(ds.field("n") < 9, [1, 3], id="met or unknown: who knows nothing meets nothing"),
    pytest.param(ds.field("word").is_valid(), [1, None], id="a column that is not asked for"),
    pytest.param((ds.field("n") == 3) | (ds.field("word") == "b"), [None, 3], id="two columns, one of them unknown in each row"),
    pytest.param(ds.field("word").isin(pa.array(["n"])), [], id="a value that reads like a column"),
    pytest.param(ds.field("n").isin(pa.array([1, None, 3])), [1, None, 3], id="met by all"),
]


@pytest.mark.parametrize(("where", "numbers"), MET)
@pytest.mark.parametrize("chunks", [[0, 3], [0, 1, 3], [0, 0, 3]], ids=["one piece", "two pieces", "an empty piece"])
def test_rows_that_meet_a_condition_are_those_that_arrow_leaves(where: Any, numbers: list[int | None], chunks: list[int]) -> None:
    table = pa.concat_tables([SOME.slice(a, b - a) for a, b in itertools.pairwise(chunks)])
    found = scans.met(table, where, ["n"])
    assert found["n"].to_pylist() == numbers
    assert found.column_names == ["n"] and found.equals((table if where is None else table.filter(where)).select(["n"]))


def test_a_table_without_rows_has_none_that_meet_a_condition() -> None:
    assert scans.met(SOME.schema.empty_table(), ds.field("n") == 1, ["word"]).equals(SOME.schema.empty_table().select(["word"]))
