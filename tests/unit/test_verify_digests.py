"""Digests of whole columns, as the verification makes them: hashlib as oracle, any part of a column, and a library that errs."""

from __future__ import annotations

import random
from hashlib import sha256
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import stringzilla

from pipeline import verify_columns, verify_digests, verify_leaf

LENGTHS = (*range(150), 1_071, 70_000)


def drawn(lengths: tuple[int, ...]) -> list[bytes]:
    """Bytes of these lengths."""
    source = random.Random(5)
    return [source.randbytes(n) for n in lengths]


@pytest.mark.parametrize("rows", [0, 1, 511, 512, 513, 1_500])
def test_columns_of_any_length_have_the_digests_of_hashlib(rows: int) -> None:
    values = (drawn(LENGTHS) * 10)[:rows]
    assert [d.tobytes() for d in verify_digests.sha256_of(pa.array(values, pa.binary()))] == [sha256(v).digest() for v in values]


@pytest.mark.parametrize("start", [0, 1, 2, 3, 4])
def test_digests_are_those_of_the_part_of_a_column_that_is_asked_for(start: int) -> None:
    values = [b"abc", b"", None, b"d", b"efgh"]
    made = verify_digests.sha256_of(pa.array(values, pa.binary()).slice(start, 3))
    assert [d.tobytes() for d in made] == [sha256(v or b"").digest() for v in values[start : start + 3]]


@pytest.mark.parametrize("start", range(7))
@pytest.mark.parametrize("rows", [0, 1, 4])
def test_a_part_with_nulls_is_read_from_where_it_begins(start: int, rows: int) -> None:
    own = [None, b"abc", None, b"xyz", b"", None, b"12", b"mno", None, b"pqr"]
    part, expected = pa.array(own, pa.binary()).slice(start, rows), own[start : start + rows]
    assert [d.tobytes() for d in verify_digests.sha256_of(part)] == [sha256(v or b"").digest() for v in expected]
    assert verify_digests.letters_of(part).tobytes() == b"".join(v or b"" for v in expected)
    assert [r.tobytes() for r in verify_digests.rows_of(part, 3)] == [v if v is not None and len(v) == 3 else b"\0\0\0" for v in expected]
    assert verify_columns.hexed(part).to_pylist() == [None if v is None else v.hex() for v in expected]


def test_a_library_that_errs_is_found_out_and_hashlib_makes_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    class Errs:
        def __init__(self, lanes: int) -> None:
            pass

        def update(self, values: object) -> Errs:
            return self

        def digest(self, out: Any) -> None:
            out[:] = 7

    values = drawn(LENGTHS)
    monkeypatch.setattr(stringzilla, "Sha256s", Errs)
    assert [d.tobytes() for d in verify_digests.sha256_of(pa.array(values, pa.binary()))] == [sha256(v).digest() for v in values]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param([b"ab", b"cd"], [b"ab", b"cd"], id="all of that length"),
        pytest.param([b"ab", None, b"", b"cd"], [b"ab", b"\0\0", b"\0\0", b"cd"], id="null and empty are zeros"),
        pytest.param([b"a", b"cd", b"efg", None], [b"\0\0", b"cd", b"\0\0", b"\0\0"], id="others are zeros"),
        pytest.param([b"a", b"", b"efg"], [b"\0\0", b"\0\0", b"\0\0"], id="none of that length"),
        pytest.param([], [], id="no rows"),
    ],
)
@pytest.mark.parametrize("skipped", [0, 2])
def test_values_of_one_length_become_rows(values: list[bytes | None], expected: list[bytes], skipped: int) -> None:
    column = pa.array([b"xy", b"skipped"][:skipped] + values, pa.binary()).slice(skipped)
    assert [r.tobytes() for r in verify_digests.rows_of(column, 2)] == expected
    assert verify_columns.same(column, np.array([list(e) for e in expected], np.uint8).reshape(-1, 2)).tolist() == [v in expected for v in values]


def test_rows_become_a_column_and_hex() -> None:
    rows = np.array([[0, 255], [10, 16]], np.uint8)
    assert verify_digests.column_of(rows).to_pylist() == [b"\x00\xff", b"\x0a\x10"]
    assert [r.tobytes() for r in verify_digests.hex_of(rows)] == [b"00ff", b"0a10"]


def test_declared_files_are_told_in_order_each_record_once() -> None:
    rows = [
        {"seq": 9, "ref_no": 1, "kind": "file", "declared_md5": 'odd "md5"', "declared_size": 2**53 + 1},
        {"seq": 9, "ref_no": 0, "kind": "image", "declared_md5": None, "declared_size": None},
        {"seq": 2, "ref_no": 0, "kind": "voice", "declared_md5": "d4", "declared_size": 7},
    ]
    schema = pa.schema([("seq", pa.uint64()), ("ref_no", pa.int32()), ("kind", pa.string()), ("declared_md5", pa.string()), ("declared_size", pa.int64())])
    seqs, told = verify_columns.files(pa.Table.from_pylist(rows, schema))
    assert seqs.tolist() == [2, 9]
    assert told.to_pylist() == [verify_leaf.media_of([rows[2]]), verify_leaf.media_of([rows[1], rows[0]])]
    assert told[0].as_py() == '[{"declared_md5":"d4","declared_size":7,"kind":"voice"}]'
