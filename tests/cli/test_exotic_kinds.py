"""Kinds of values that no view has but a query may make: each is right in every format, or is refused with what to cast."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipeline.home import Home
from tests import firm
from tests.cli.inside import Answer

# What is asked for, what JSON holds, what a table shows; Parquet holds what JSON does.
RIGHT: dict[str, tuple[str, Any, str]] = {
    "bignum": ("'123456789012345678901234567890123456789012345'::BIGNUM", "123456789012345678901234567890123456789012345", "123456789012345678901234567890123456789012345"),
    "a negative bignum": ("'-123456789012345678901234567890'::BIGNUM", "-123456789012345678901234567890", "-123456789012345678901234567890"),
    "uhugeint": ("340282366920938463463374607431768211455::UHUGEINT", "340282366920938463463374607431768211455", "340282366920938463463374607431768211455"),
    "a sum": ("(SELECT sum(range) FROM range(10))", 45, "45"),
    "bits": ("'0101101'::BIT", "0101101", "0101101"),
    "a time with a zone": ("'10:11:12+08:30'::TIMETZ", "10:11:12+08:30", "10:11:12+08:30"),
    "a time of nanoseconds": ("'10:11:12.345678901'::TIME_NS", "10:11:12.345678901", "10:11:12.345678901"),
    "nanoseconds": ("TIMESTAMP_NS '2020-01-01 00:00:00.123456789'", "2020-01-01 00:00:00.123456789", "2020-01-01 00:00:00.123456789"),
    "an interval": ("INTERVAL '1 year 3 days 4 hours'", "1 year 3 days 04:00:00", "1 year 3 days 04:00:00"),
    "a uuid": ("'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::UUID", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
    "a union": ("union_value(num := 2)", "2", "2"),
    "a variant": ("7::VARIANT", "7", "7"),
    "an enum": ("'b'::ENUM('a', 'b')", "b", "b"),
    "an array": ("[1, 2]::INTEGER[2]", [1, 2], "[1,2]"),
    "intervals in an array": ("[INTERVAL '1 day']::INTERVAL[1]", ["1 day"], "1 day"),
    "a list of bignums": ("[1::BIGNUM, NULL]", ["1", None], '["1",null]'),
    "a struct": ("""{'a "b"': '01'::BIT, 'd': 1.50, 'h': [1::BIGNUM]}""", {'a "b"': "01", "d": 1.5, "h": ["1"]}, '{"a \\"b\\"":"01","d":1.50,"h":["1"]}'),
    "a null": ("NULL::BIGNUM", None, ""),
}
# What Parquet has no place for, and text has: what it shows, and the sentence.
NO_PARQUET = {
    "a hugeint of 39 digits": ("(-170141183460469231731687303715884105727)::HUGEINT", "-170141183460469231731687303715884105727", "decimal128"),
    "an infinite day": ("'infinity'::DATE", '"infinity"', "date32"),
    "an instant before all": ("'-infinity'::TIMESTAMPTZ", '"-infinity"', "timestamp"),
    "a year of five digits": ("DATE '10000-01-01'", '"10000-01-01"', "date32"),
    "before our era": ("DATE '0044-03-15 (BC)'", '"-0043-03-15"', "date32"),
}


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return firm.home(tmp_path_factory.mktemp("kinds"))


@pytest.mark.slow
@pytest.mark.parametrize(("asked", "held", "shown"), RIGHT.values(), ids=list(RIGHT))
def test_every_format_has_the_value(empty: Home, tmp_path: Path, asked: str, held: Any, shown: str) -> None:
    def answer(format: str, *more: str) -> str:
        ended = Answer(empty, "sql", f"SELECT {asked} AS v, 5 AS v -- twice", "--format", format, *more)
        assert ended.code == 0, ended.err
        return ended.out

    assert json.loads(answer("json"))[0] == {"v": held, "v_2": 5}
    assert json.loads(answer("jsonl")) == {"v": held, "v_2": 5}
    assert answer("table").splitlines()[-1].removesuffix("5").strip() == shown
    csv = answer("csv").splitlines()[-1]
    told = "" if held is None else json.dumps(held, separators=(",", ":")).replace("1.5,", "1.50,").strip('"')
    assert csv.replace('""', '"').strip('"').removesuffix(",5").strip('"').lstrip("'") == told
    answer("parquet", "-o", str(tmp_path / "v.parquet"))
    (row,) = pq.read_table(tmp_path / "v.parquet").to_pylist()
    assert (json.loads(json.dumps(row["v"], default=float)), row["v_2"]) == (held, 5)
    answer("xlsx", "-o", str(tmp_path / "v.xlsx"))
    texts = zipfile.ZipFile(tmp_path / "v.xlsx").read("xl/sharedStrings.xml").decode().replace("&quot;", '"')
    assert held in (None, 45) or shown in texts


@pytest.mark.parametrize(("asked", "held", "kind"), NO_PARQUET.values(), ids=list(NO_PARQUET))
def test_what_parquet_cannot_hold_is_said_with_what_to_cast(empty: Home, tmp_path: Path, asked: str, held: str, kind: str) -> None:
    assert Answer(empty, "sql", f"SELECT {asked} AS v", "--format", "jsonl").out == f'{{"v":{held}}}\n'
    ended = Answer(empty, "sql", f"SELECT {asked} AS v", "-o", str(tmp_path / "v.parquet"))
    assert ended.code == 2 and "VALUE_DOES_NOT_FIT" in ended.err and kind in ended.err, ended.err
    assert not (tmp_path / "v.parquet").exists()


@pytest.mark.parametrize("format", ["table", "json", "jsonl", "csv"])
def test_an_instant_beyond_all_years_inside_a_list_is_refused_with_what_to_cast(empty: Home, format: str) -> None:
    ended = Answer(empty, "sql", "SELECT ['infinity'::DATE] AS v", "--format", format)
    assert (ended.code, ended.out) == (2, "") and "转为 VARCHAR" in ended.err, ended.err


def test_a_table_shows_instants_beyond_four_digits_whole(empty: Home) -> None:
    out = Answer(empty, "sql", "SELECT TIMESTAMPTZ '12000-01-01 00:00:00+00' AS a, TIMESTAMP '0044-03-15 (BC) 01:02:03' AS b", "--format", "table").out
    assert "12000-01-01 08:00:00" in out and "-0043-03-15 01:02:03" in out


def test_the_order_of_a_query_stays(empty: Home) -> None:
    rows = Answer(empty, "sql", "SELECT range::BIGNUM AS n FROM range(5000) ORDER BY range DESC").rows
    assert [row["n"] for row in rows] == [str(n) for n in range(4999, -1, -1)]
