"""Results in every format: what stands in the file is what was in the row, and strangers' text is inert wherever a person looks."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import stat
import sys
import unicodedata
import zipfile
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.cells import cell_len

from pipeline import cells, sheets
from pipeline.cli.output import described
from pipeline.columns import Column, column, unique_names
from pipeline.errors import StorageError, UsageError
from pipeline.show import Format, default_format, replacing, rows_from_arrow, write_rows

AT = datetime(2026, 11, 22, 1, 30, 5, 123000, tzinfo=UTC)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Pipe:
    """Standard output that is no terminal and cannot go back, as a pipe cannot."""

    def __init__(self) -> None:
        reading, writing = os.pipe()
        self.reading = os.fdopen(reading, "rb")
        self.text = io.TextIOWrapper(io.BufferedWriter(io.FileIO(writing, "w")), encoding="utf-8")

    def read(self) -> bytes:
        self.text.close()
        with self.reading:
            return self.reading.read()


def shown(columns: Sequence[Column], rows: Sequence[Sequence[object]], *, format: Format = "table", width: int = 80) -> str:
    stream = Terminal()
    write_rows(columns, rows, format=format, lang="zh", stream=stream, messages=io.StringIO(), terminal_width=width)
    return stream.getvalue()


def written(path: Path, columns: Sequence[Column], rows: Sequence[Sequence[object]], format: Format) -> bytes:
    count = write_rows(columns, rows, format=format, output=path, lang="zh", messages=io.StringIO())
    assert count == len(rows)
    return path.read_bytes()


# ---- cells: one value fit to look at


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("\x1b[31m红", "⟨U+001B⟩[31m红", id="terminal escape"),
        pytest.param("\x9b31m", "⟨U+009B⟩31m", id="one-character escape"),
        pytest.param("a\x00b\x07\x7f", "a⟨U+0000⟩b⟨U+0007⟩⟨U+007F⟩", id="control characters"),
        pytest.param("价\u202e格", "价⟨U+202E⟩格", id="bidi override"),
        pytest.param("\u2066a\u2069\u200f", "⟨U+2066⟩a⟨U+2069⟩⟨U+200F⟩", id="bidi isolate and mark"),
        pytest.param("保\u200b本", "保⟨U+200B⟩本", id="zero-width space hides a word"),
        pytest.param("保\u200d本", "保⟨U+200D⟩本", id="joiner between characters"),
        pytest.param("保\ufe0f本", "保⟨U+FE0F⟩本", id="selector after a character"),
        pytest.param("👨\u200d👩\u200d👧 ❤\ufe0f", "👨\u200d👩\u200d👧 ❤\ufe0f", id="joiner and selector inside emoji stay"),
        pytest.param("一\r\n二\n三\r四", "一⏎二⏎三⏎四", id="line breaks"),
        pytest.param("一\t二", "一 二", id="tab"),
        pytest.param("a\u2028b\u2029c", "a⟨U+2028⟩b⟨U+2029⟩c", id="line and paragraph separators"),
        pytest.param("\ud83d", "⟨U+D83D⟩", id="half a surrogate pair"),
        pytest.param("plain 中文 ａ，。", "plain 中文 ａ，。", id="nothing to do"),
    ],
)
def test_what_cannot_be_seen_is_shown(text: str, expected: str) -> None:
    assert cells.one_line(text) == expected


def test_no_character_that_unicode_calls_control_format_or_separator_gets_through() -> None:
    dangerous = {chr(n) for n in range(sys.maxunicode + 1) if unicodedata.category(chr(n)) in ("Cc", "Cf", "Cs", "Zl", "Zp")}
    assert {c for c in dangerous if c in cells.one_line(f"a{c}b")} == set()


@pytest.mark.parametrize(
    ("text", "width", "expected"),
    [
        pytest.param("保本保息", 8, "保本保息", id="just fits"),
        pytest.param("保本保息", 10, "保本保息  ", id="padded by cells, not characters"),
        pytest.param("保本保息", 7, "保本保…", id="cut between characters"),
        pytest.param("保本保息", 6, "保本… ", id="a character that would stand half is left out"),
        pytest.param("👨\u200d👩\u200d👧ab", 3, "👨\u200d👩\u200d👧…", id="an emoji is not torn"),
        pytest.param("", 2, "  ", id="empty"),
        pytest.param("x" * 100_000, 4, "xxx…", id="very long"),
    ],
)
def test_a_text_is_fitted_to_its_cells(text: str, width: int, expected: str) -> None:
    assert cells.fit(text, width) == expected


@given(st.text(alphabet=st.sampled_from("ab保本👨👩❤\u200d\ufe0f\u202e\u0301ａ "), max_size=30), st.integers(1, 20))
def test_a_fitted_line_has_exactly_its_width(text: str, width: int) -> None:
    assert cell_len(cells.fit(cells.one_line(text), width)) == width


@given(st.text(alphabet=st.sampled_from("ab保本👨👩❤\u200d\ufe0f\n "), max_size=40), st.integers(2, 12))
def test_wrapping_drops_nothing(text: str, width: int) -> None:
    text = cells.visible(text)
    lines = cells.wrapped(text, width)
    assert "".join(lines) == text.replace("\n", "")
    assert all(cell_len(line) <= width for line in lines)


@pytest.mark.parametrize(
    ("text", "width", "lines"),
    [
        pytest.param("said by employee · literal", 20, ["said by employee · ", "literal"], id="behind a space"),
        pytest.param("ab cdefghijklmnop", 10, ["ab cdefghi", "jklmnop"], id="a space too early leaves half a line empty"),
        pytest.param("保本保息保本", 8, ["保本保息", "保本"], id="no space"),
        pytest.param("abcdefgh ij", 9, ["abcdefgh ", "ij"], id="the space ends the line"),
    ],
)
def test_a_line_ends_behind_a_word_where_one_ends_late_in_it(text: str, width: int, lines: list[str]) -> None:
    assert cells.wrapped(text, width) == lines


# ---- table

PEOPLE = [Column("name", "姓名"), Column("n", "条数", "int"), Column("at", "时间", "timestamp")]


def test_a_table_is_aligned_by_cells_numbers_to_the_right() -> None:
    assert shown(PEOPLE, [("李娜", 5, AT), ("Bob 😀", 12345, None)]).splitlines() == [
        "姓名     条数  时间 (北京时间)",
        "──────  ─────  ───────────────────",
        "李娜        5  2026-11-22 09:30:05",
        "Bob 😀  12345",
    ]


def test_long_text_gives_way_and_numbers_and_times_do_not() -> None:
    lines = shown(PEOPLE, [("很长的姓名" * 20, 10**17, AT)], width=60).splitlines()
    assert lines[2] == "很长的姓名很长的姓…  100000000000000000  2026-11-22 09:30:05"
    assert cell_len(lines[2]) <= 60


def test_ids_and_remedies_go_on_in_the_next_line_and_are_never_cut() -> None:
    columns = [Column("conversation_id", "会话"), Column("fix", "处理"), Column("n", "条数", "int"), Column("excerpt", "原文")]
    row = ("wmDEMOudMk_uvwh88qJO5oPFujKGvs2t|zhoushiding", "把本机的公网地址加入可信 IP，再运行 liuhen doctor", 3, "很长的原文" * 20)
    lines = shown(columns, [row], width=70).splitlines()
    assert all(cell_len(line) <= 70 for line in lines)
    first, second = (sum(cell_len(part) for part in lines[1].split("  ")[:n]) + 2 * n for n in (1, 2))
    assert "".join(line[: first - 2].rstrip() for line in lines[2:]) == row[0]
    assert "".join(lines[2:]).count("…") == 1  # the excerpt alone gave way
    assert all(any(piece in line for line in lines[2:]) for piece in ("可信", "doctor"))
    assert second > first


CUSTOMER = "wmDEMOudMk_uvwh88qJO5oPFujKGvs2t"


@pytest.mark.parametrize("width", [60, 80, 120, 160])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("external_userid", CUSTOMER, id="an id"),
        pytest.param("remarks", f"王姐 (zhangsan)⏎房主王 ({CUSTOMER} – 2026-06-01)", id="an id among words"),
        pytest.param("parameters", {"customer": CUSTOMER, "purpose": "request of the customer"}, id="an id in parameters"),
        pytest.param("said", f"批准 {CUSTOMER} (approver) 2026-11-20 18:00:00", id="who said it"),
        pytest.param("conversation_id", f"{CUSTOMER}|zhoushiding", id="a pair"),
    ],
)
def test_no_line_ends_inside_an_id(name: str, value: object, width: int) -> None:
    columns = [Column("action", "动作"), Column(name, "谁", "json" if isinstance(value, dict) else "text"), Column("reason", "理由"), Column("n", "数", "int")]
    lines = shown(columns, [("erase", value, "客户来函要求删除" * 9, 3)] * 2, width=width).splitlines()
    assert sum(CUSTOMER in line for line in lines) == 2
    assert all(cell_len(line) <= width for line in lines)


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        pytest.param("甲乙丙 wmAB12 丁", ["甲乙丙 ", "wmAB12 ", "丁"], id="an id begins a line of its own"),
        pytest.param("wmAB12wmAB12x", ["wmAB12wm", "AB12x"], id="one longer than a line"),
        pytest.param("(wmAB12)", ["(wmAB12)"], id="a whole line"),
        pytest.param("甲乙丙丁戊", ["甲乙丙丁", "戊"], id="Chinese runs on"),
        pytest.param("甲乙丙丁？", ["甲乙丙", "丁？"], id="no line begins with a closing mark"),
        pytest.param("甲乙丙（丁）", ["甲乙丙", "（丁）"], id="no line ends with an opening mark"),
        pytest.param("陈甲乙 (ab12)", ["陈甲乙 ", "(ab12)"], id="brackets stay with an id"),
        pytest.param("甲 (wmAB123)", ["甲 (", "wmAB123)"], id="an id that fits without its bracket alone"),
        pytest.param("agreed b default", ["agreed b", "default"], id="a space with no room goes"),
        pytest.param("talk all, one", ["talk ", "all, one"], id="a comma stays with its word"),
        pytest.param("甲？？？？？", ["甲？？？", "？？"], id="more marks than a line holds"),
        pytest.param("", [""], id="nothing"),
    ],
)
def test_a_text_is_folded_around_ids(text: str, lines: list[str]) -> None:
    assert cells.wrapped(text, 8, together=re.compile("[0-9A-Za-z]+")) == lines


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        pytest.param([91.5], "float", id="hours left"), pytest.param([91, 0.5, None], "float", id="whole and broken numbers"), pytest.param([1, None], "int", id="whole numbers"),
        pytest.param([True, None], "bool", id="truths"), pytest.param([True, 1.5], "text", id="a truth is no number"), pytest.param([None], "text", id="nothing known"),
        pytest.param([["a"], {}], "json", id="lists and objects"),
    ],
)  # fmt: skip
def test_a_column_of_our_own_making_has_the_type_of_its_values(values: list[object], kind: str) -> None:
    assert [c.type for c in described(["x"], [(v,) for v in values])] == [kind]


def test_ids_are_whole_in_lists_too() -> None:
    columns = [Column(f"c{n}", f"第{n}列") for n in range(11)] + [Column("msgid", "消息")]
    text = shown(columns, [(*("x" * 90 for _ in range(11)), "m" * 150)], width=60)
    assert "".join(text.split()).count("m") == 150 and text.count("…") == 11


def test_a_hostile_text_cannot_leave_its_cell() -> None:
    hostile = "\x1b]0;title\x07\x1b[2J\n\r假的第二行\u202e"
    lines = shown([Column("text", "内容")], [(hostile,), ("b",)], width=100).splitlines()
    assert len(lines) == 4
    assert lines[2] == "⟨U+001B⟩]0;title⟨U+0007⟩⟨U+001B⟩[2J⏎⏎假的第二行⟨U+202E⟩"


def test_a_column_title_from_sql_is_harmless_too() -> None:
    assert "\x1b" not in shown([Column("\x1b[31m")], [("a",)])


@pytest.mark.parametrize(
    ("kind", "values", "lines"),
    [
        pytest.param("float", [12.5, 0.25, -3, None, 100.0], [" 12.50", "  0.25", " -3.00", "", "100.00"], id="halves and whole ones"),
        pytest.param("float", [1 / 3, 2.0], ["0.333333", "2.000000"], id="six digits are enough"),
        pytest.param("float", [2.0, 10.0], [" 2", "10"], id="whole ones alone"),
        pytest.param("float", [1e-9, 0.5, 1e300], ["1e-9", "0.5", "1e300"], id="what has an exponent stays as it is"),
        pytest.param("float", [float("nan"), 0.5], ["", "0.5"], id="no number"),
        pytest.param("decimal", [Decimal("0.12345678"), Decimal("1.50")], ["0.12345678", "1.50000000"], id="a decimal keeps every digit"),
        pytest.param("int", [1, 10], [" 1", "10"], id="whole numbers are left alone"),
    ],
)
def test_the_points_of_numbers_stand_under_one_another(kind: Any, values: list[object], lines: list[str]) -> None:
    told = shown([Column("n", "数", kind), Column("end", "末")], [(v, "|") for v in values]).splitlines()[2:]
    assert told == [f"{line.strip():>{max(map(len, lines))}}  |" for line in lines]


def test_more_columns_than_fit_become_lists() -> None:
    columns = [Column(f"c{n}", f"第{n}列") for n in range(12)]
    text = shown(columns, [tuple(f"value {n}" for n in range(12))], width=60)
    assert text.splitlines()[0].startswith("── 第 1 行 ──")
    assert "第11列  value 11" in text.splitlines()


def test_words_of_the_catalogue_are_shown_to_people_and_values_to_programs() -> None:
    columns = [column("severity", "text", "zh", view="matches")]
    assert shown(columns, [("high",)]).splitlines()[2] == "高"
    assert shown(columns, [("high",)], format="jsonl") == '{"severity":"high"}\n'
    assert shown([column("severity", "text", "zh")], [("high",)]).splitlines()[2] == "high"  # somebody's own SQL


def test_lists_truth_and_bytes_read_well() -> None:
    columns = [Column("to", "接收人", "json"), Column("ok", "是否", "bool"), Column("h", "摘要", "bytes"), Column("s", "结构", "json")]
    assert shown(columns, [(["a", "b"], True, b"\x01\xff", {"n": 1})]).splitlines()[2] == 'a、b    是    01ff  {"n":1}'


def endless() -> Iterator[tuple[int]]:
    n = 0
    while True:
        yield (n,)
        n += 1


def test_a_table_on_a_terminal_reads_a_thousand_rows_and_says_there_are_more() -> None:
    stream, messages = Terminal(), io.StringIO()
    assert write_rows([Column("n", "n", "int")], endless(), format="table", lang="zh", stream=stream, messages=messages) == 1000
    assert len(stream.getvalue().splitlines()) == 1002
    assert messages.getvalue() == "只显示前 1,000 行，还有更多；用 -o 文件 或 --format jsonl 取全部\n"


def test_a_table_says_how_many_more_when_that_is_known_and_nothing_when_there_are_none() -> None:
    messages = io.StringIO()
    rows = [(n,) for n in range(1000)]
    write_rows([Column("n", "n", "int")], [*rows, (0,)], format="table", lang="en", stream=Terminal(), messages=messages, total=10_000_000)
    assert messages.getvalue() == "the first 1,000 rows are shown, 9,999,000 more; use -o FILE or --format jsonl for all\n"
    messages = io.StringIO()
    write_rows([Column("n", "n", "int")], rows, format="table", lang="en", stream=Terminal(), messages=messages)
    assert messages.getvalue() == ""


def test_a_table_in_a_file_holds_every_row(tmp_path: Path) -> None:
    text = written(tmp_path / "t.txt", [Column("n", "n", "int")], [(n,) for n in range(1500)], "table").decode()
    assert len(text.splitlines()) == 1502


def test_an_empty_result_says_so() -> None:
    messages = io.StringIO()
    assert write_rows(PEOPLE, [], format="table", lang="zh", stream=Terminal(), messages=messages) == 0
    assert messages.getvalue() == "没有符合的记录\n"


def test_notes_stand_above_a_table_and_beside_data() -> None:
    stream, messages = Terminal(), io.StringIO()
    write_rows([Column("n")], [("x",)], format="table", lang="zh", stream=stream, messages=messages, notes=["演示 DEMO"])
    assert stream.getvalue().splitlines()[0] == "演示 DEMO"
    stream = Terminal()
    write_rows([Column("n")], [("x",)], format="jsonl", lang="zh", stream=stream, messages=messages, notes=["演示 DEMO"])
    assert (stream.getvalue(), messages.getvalue()) == ('{"n":"x"}\n', "演示 DEMO\n")


def test_the_default_is_a_table_on_a_terminal_and_jsonl_elsewhere() -> None:
    assert (default_format(True), default_format(False)) == ("table", "jsonl")


# ---- json and jsonl

TYPED = [
    Column("text"), Column("n", "", "int"), Column("f", "", "float"), Column("d", "", "decimal"), Column("ok", "", "bool"),
    Column("at", "", "timestamp"), Column("wall", "", "local"), Column("dt", "", "date"), Column("parts", "", "json"),
    Column("h", "", "bytes"),
]  # fmt: skip
ROW = (
    "中文 \"x\" 😀\n", 2**63 + 1, 0.1, Decimal("12.3400"), True,
    AT, datetime(2026, 1, 2, 3, 4, 5), date(2026, 11, 22), [{"path": "text.content", "text": "保本", "at": AT, "d": Decimal("1.10")}],
    b"\x00\xff",
)  # fmt: skip
ROW_JSON = (
    '{"text":"中文 \\"x\\" 😀\\n","n":9223372036854775809,"f":0.1,"d":12.3400,"ok":true,"at":"2026-11-22T09:30:05.123+08:00",'
    '"wall":"2026-01-02T03:04:05.000","dt":"2026-11-22",'
    '"parts":[{"path":"text.content","text":"保本","at":"2026-11-22T09:30:05.123+08:00","d":1.10}],"h":"00ff"}'
)


def test_every_type_is_written_as_json_holds_it(tmp_path: Path) -> None:
    assert written(tmp_path / "a.jsonl", TYPED, [ROW], "jsonl").decode() == ROW_JSON + "\n"
    assert written(tmp_path / "a.json", TYPED, [ROW, ROW], "json").decode() == f"[\n {ROW_JSON},\n {ROW_JSON}\n]\n"


def test_an_empty_result_is_an_empty_array_and_no_line(tmp_path: Path) -> None:
    assert written(tmp_path / "a.json", TYPED, [], "json") == b"[]\n"
    assert written(tmp_path / "a.jsonl", TYPED, [], "jsonl") == b""


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        pytest.param(10**40, "int", "1" + "0" * 40, id="an integer of any size"),
        pytest.param(-(2**53) - 1, "int", "-9007199254740993", id="beyond what a double holds"),
        pytest.param(float("nan"), "float", "null", id="not a number"),
        pytest.param(float("inf"), "float", "null", id="infinite"),
        pytest.param(Decimal("NaN"), "decimal", "null", id="decimal not a number"),
        pytest.param(1_795_311_005_123, "timestamp", '"2026-11-22T09:30:05.123+08:00"', id="milliseconds"),
        pytest.param("20000-01-01 00:00:00", "timestamp", '"20000-01-01 00:00:00"', id="an instant Python has no datetime for"),
        pytest.param(None, "text", "null", id="NULL"),
        pytest.param("\ud800x", "text", '"\ufffdx"', id="half a surrogate pair"),
        pytest.param(["\ud800", {"a": None}], "json", '["\ufffd",{"a":null}]', id="the same inside a list"),
        pytest.param(7, "text", '"7"', id="what is no text in a text column"),
    ],
)
def test_awkward_values_are_still_json(tmp_path: Path, value: object, kind: str, expected: str) -> None:
    columns = [Column("v", "", kind)]  # type: ignore[arg-type]  # the table's strings are the types
    assert written(tmp_path / "a.jsonl", columns, [(value,)], "jsonl").decode() == f'{{"v":{expected}}}\n'


def test_columns_of_one_name_are_told_apart() -> None:
    names = [one.name for one in unique_names([Column("n"), Column("n"), Column("n_2"), Column("n")])]
    assert names[0] == "n" and names[2] == "n_2" and len(set(names)) == 4
    assert json.loads(shown([Column("n"), Column("n")], [("a", "b")], format="jsonl")) == {"n": "a", "n_2": "b"}


def test_json_on_a_terminal_says_the_same_in_characters_a_terminal_does_not_obey() -> None:
    text = "\x1b[31m\x9b2J\u202e保\u200b本"
    line = shown([Column("text")], [(text,)], format="jsonl")
    assert line == '{"text":"\\u001b[31m\\u009b2J\\u202e保\\u200b本"}\n'
    assert json.loads(line) == {"text": text}


@given(st.text(), st.integers(), st.lists(st.text(), max_size=3))
def test_what_is_written_as_json_is_read_back_the_same(text: str, number: int, texts: list[str]) -> None:
    stream = io.StringIO()
    columns = [Column("t"), Column("n", "", "int"), Column("l", "", "json")]
    write_rows(columns, [(text, number, texts)], format="jsonl", stream=stream, messages=io.StringIO())
    assert json.loads(stream.getvalue()) == {"t": text, "n": number, "l": texts}


def test_results_go_down_a_pipe_as_utf8() -> None:
    pipe = Pipe()
    write_rows([Column("t")], [("中😀",)], format="jsonl", stream=pipe.text, messages=io.StringIO())
    assert pipe.read() == '{"t":"中😀"}\n'.encode()


# ---- csv


def test_csv_in_a_file_is_what_excel_and_rfc_4180_want(tmp_path: Path) -> None:
    columns = [Column("text"), Column("n", "", "int"), Column("at", "", "timestamp"), Column("ok", "", "bool"), Column("l", "", "json")]
    rows = [('说 "好"\n二', -5, AT, False, ["a"]), (None, None, None, None, None), ("", 0, None, True, [])]
    assert written(tmp_path / "a.csv", columns, rows, "csv").decode().split("\r\n") == [
        '\ufeff"text","n","at","ok","l"',
        '"说 ""好""\n二",-5,2026-11-22T09:30:05.123+08:00,false,"[""a""]"',
        ",,,,",
        '"",0,,true,"[]"',
        "",
    ]


def test_csv_down_a_pipe_has_no_byte_order_mark() -> None:
    pipe = Pipe()
    write_rows([Column("t")], [("中",)], format="csv", stream=pipe.text, messages=io.StringIO())
    assert pipe.read() == '"t"\r\n"中"\r\n'.encode()


@pytest.mark.parametrize("lead", ["=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"])
def test_a_text_that_a_spreadsheet_would_calculate_is_defused(tmp_path: Path, lead: str) -> None:
    text = lead + "cmd|' /C calc'!A0"
    columns = [Column(text), Column("n", "", "int")]
    written(tmp_path / "a.csv", columns, [(text, -5)], "csv")
    with (tmp_path / "a.csv").open(encoding="utf-8-sig", newline="") as file:
        head, row = csv.reader(file)
    assert (head[0], row) == ("'" + text, ["'" + text, "-5"])


@pytest.mark.parametrize("text", ["a=1", " =1", "'=1", "1-2", "保本"])
def test_a_text_that_is_no_formula_is_left_alone(text: str) -> None:
    assert shown([Column("t")], [(text,)], format="csv") == f'"t"\r\n"{text}"\r\n'


@given(st.lists(st.tuples(st.text(), st.text()), min_size=1, max_size=5))
@example([('"', ',"\r\n')])
def test_a_reader_of_csv_gets_every_text_back(rows: list[tuple[str, str]]) -> None:
    stream = io.StringIO(newline="")
    write_rows([Column("a"), Column("b")], rows, format="csv", stream=stream, messages=io.StringIO())
    read = list(csv.reader(io.StringIO(stream.getvalue(), newline="")))[1:]
    formulas = "=+-@＝＋－＠\t\r\n"
    assert read == [[f"'{text}" if text and text[0] in formulas else text for text in row] for row in rows]


def test_csv_on_a_terminal_holds_no_escape() -> None:
    assert shown([Column("t")], [("a\x1b[31m\u202e\nb",)], format="csv") == '"t"\r\n"a\ufffd[31m\ufffd\nb"\r\n'


# ---- parquet and arrow


def test_parquet_keeps_the_types(tmp_path: Path) -> None:
    row = ("保本", 2**62, 0.5, Decimal("12.34"), True, AT, datetime(2026, 1, 2), date(2026, 11, 22), [{"a": 1}], b"\x00")
    written(tmp_path / "a.parquet", TYPED, [row, (None,) * 10], "parquet")
    table = pq.read_table(tmp_path / "a.parquet")
    assert [str(field.type) for field in table.schema] == [
        "string", "int64", "double", "decimal128(38, 9)", "bool", "timestamp[us, tz=UTC]", "timestamp[us]", "date32[day]", "string",
        "binary",
    ]  # fmt: skip
    first = table.to_pylist()[0]
    assert first["at"] == AT and first["parts"] == '[{"a":1}]' and first["d"] == Decimal("12.34")
    assert set(table.to_pylist()[1].values()) == {None}


def test_an_arrow_result_passes_through_to_parquet_as_it_was(tmp_path: Path) -> None:
    part = pa.struct([("path", pa.string()), ("text", pa.string())])
    table = pa.table(
        {
            "seq": pa.array([1, 2**63], pa.uint64()),
            "sent_at": pa.array([1_795_311_005_123, None], pa.timestamp("ms", "UTC")),
            "parts": pa.array([[{"path": "text.content", "text": "保本"}], []], pa.list_(part)),
            "raw": pa.array([b"\x00", None], pa.binary()),
        }
    )
    columns, rows = rows_from_arrow(table, lang="zh", view="messages")
    assert [(one.name, one.title, one.type) for one in columns] == [
        ("seq", "序号", "int"), ("sent_at", "发送时间", "timestamp"), ("parts", "内容（分段）", "json"), ("raw", "原始 JSON", "bytes"),
    ]  # fmt: skip
    write_rows(columns, rows, format="parquet", output=tmp_path / "a.parquet", notes=["演示 DEMO"])
    back = pq.read_table(tmp_path / "a.parquet")
    assert back.schema.metadata[b"liuhen.notes"] == '["演示 DEMO"]'.encode()
    assert back.to_pylist() == table.to_pylist()
    assert back.schema.field("parts").type == table.schema.field("parts").type


@pytest.mark.parametrize(
    "source",
    [
        pytest.param(lambda table: table, id="table"),
        pytest.param(lambda table: table.to_batches()[0], id="batch"),
        pytest.param(lambda table: table.to_reader(), id="reader"),
    ],
)
def test_rows_come_from_anything_arrow(source: object) -> None:
    table = pa.table({"a": pa.array(["x", None]), "b": pa.array([1, 2], pa.int32())})
    columns, rows = rows_from_arrow(source(table), lang="zh")  # type: ignore[operator]  # one of the three above
    assert [one.name for one in columns] == ["a", "b"]
    assert list(rows) == [("x", 1), (None, 2)]


def test_instants_that_python_cannot_hold_are_text() -> None:
    nanoseconds = pa.array([1_795_311_005_123_456_789], pa.timestamp("ns", "UTC"))
    far = pa.table({"at": pa.array([2**60], pa.timestamp("ms", "UTC")), "ns": nanoseconds})
    columns, rows = rows_from_arrow(far, lang="zh")
    [(at, ns)] = rows
    assert [one.type for one in columns] == ["timestamp", "timestamp"]
    assert isinstance(at, str)
    assert ns == datetime(2026, 11, 22, 1, 30, 5, 123456, tzinfo=UTC)


def test_a_value_that_does_not_fit_its_column_is_refused_without_naming_it(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^expected values of type int64 in a column, got another one; cast the column") as caught:
        write_rows([Column("n", "", "int")], [(2**70,)], format="parquet", output=tmp_path / "a.parquet")
    assert caught.value.code == "VALUE_DOES_NOT_FIT"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("format", ["parquet", "xlsx"])
def test_binary_formats_do_not_go_to_a_terminal_but_do_go_down_a_pipe(format: Format) -> None:
    with pytest.raises(UsageError, match=f"^{format} cannot be shown on a terminal; name a file with -o FILE$"):
        write_rows([Column("t")], [("a",)], format=format, stream=Terminal())
    pipe = Pipe()
    write_rows([Column("t")], [("a",)], format=format, stream=pipe.text)
    data = pipe.read()
    if format == "parquet":
        assert pq.read_table(io.BytesIO(data)).to_pylist() == [{"t": "a"}]
    else:
        assert workbook(data).cells["A2"] == ("s", "a")


# ---- xlsx, read back without any library of the writer's

NS = {"m": "http://schemas.openxmlformats.org/spreadsheetml/2006/main"}


class Book:
    """The first sheet of a workbook: cells by address as (kind, value), its XML, and all parts of the package."""

    def __init__(self, data: bytes) -> None:
        with zipfile.ZipFile(io.BytesIO(data)) as package:
            self.parts = {name: package.read(name) for name in package.namelist()}
        shared = [
            "".join(node.text or "" for node in item.iter(f"{{{NS['m']}}}t"))
            for item in ElementTree.fromstring(self.parts.get("xl/sharedStrings.xml", b"<x/>"))
        ]
        self.sheet = self.parts["xl/worksheets/sheet1.xml"].decode()
        self.cells: dict[str, tuple[str, object]] = {}
        for cell in ElementTree.fromstring(self.sheet).iter(f"{{{NS['m']}}}c"):
            kind, value = cell.get("t", "n"), cell.findtext("m:v", None, NS)
            if value is not None:
                self.cells[cell.get("r", "")] = (kind, shared[int(value)] if kind == "s" else float(value))


def workbook(data: bytes) -> Book:
    return Book(data)


def test_a_workbook_has_typed_cells_a_frozen_head_and_a_filter(tmp_path: Path) -> None:
    columns = [
        Column("sent_at", "发送时间", "timestamp"), Column("dt", "日期", "date"), Column("n", "条数", "int"),
        Column("ok", "是否", "bool"), Column("d", "金额", "decimal"), column("severity", "text", "zh", view="matches"),
    ]  # fmt: skip
    rows = [(AT, date(2026, 11, 22), 42, True, Decimal("1.5"), "high"), (None,) * 6]
    book = workbook(written(tmp_path / "a.xlsx", columns, rows, "xlsx"))
    assert [book.cells[f"{letter}1"][1] for letter in "ABCDEF"] == ["发送时间 (北京时间)", "日期", "条数", "是否", "金额", "严重程度"]
    kind, value = book.cells["A2"]
    assert kind == "n" and value == pytest.approx(46348 + (9 * 3600 + 30 * 60 + 5.123) / 86400, abs=1e-9)  # day 46348 is 2026-11-22
    assert [book.cells[f"{letter}2"] for letter in "BCDEF"] == [("n", 46348.0), ("n", 42.0), ("b", 1.0), ("n", 1.5), ("s", "高")]
    assert "A3" not in book.cells
    assert 'state="frozen"' in book.sheet and '<autoFilter ref="A1:F3"/>' in book.sheet
    assert "时间列为北京时间" in book.parts["xl/sharedStrings.xml"].decode()


HOSTILE = ["=1+1", "+1", "-1", "@SUM(A1)", "{=1}", "＝1+1", "http://evil.example/", "mailto:a@b.c", "javascript:alert(1)"]
HOSTILE += ["internal:Sheet1!A1", "external:c:\\a.xlsx", "123", "1e5"]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_workbook_holds_text_as_text_whatever_it_looks_like(tmp_path: Path, text: str) -> None:
    book = workbook(written(tmp_path / "a.xlsx", [Column(text, text)], [(text,)], "xlsx"))
    assert book.cells == {"A1": ("s", text), "A2": ("s", text)}
    everything = b"".join(book.parts.values()).decode()
    assert "<f>" not in everything and "<f " not in everything
    assert "<hyperlink" not in everything and "relationships/hyperlink" not in everything


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        pytest.param(999_999_999_999_999, "int", ("n", 999_999_999_999_999.0), id="15 digits are a number"),
        pytest.param(10**15, "int", ("s", "1000000000000000"), id="16 digits are text"),
        pytest.param(-(2**63), "int", ("s", "-9223372036854775808"), id="a negative long number"),
        pytest.param(Decimal("1234567890.1234567"), "decimal", ("s", "1234567890.1234567"), id="a decimal of 17 digits"),
        pytest.param(float("nan"), "float", ("s", "nan"), id="not a number"),
        pytest.param(True, "int", ("b", 1.0), id="truth is no number"),
        pytest.param(datetime(1800, 1, 1, tzinfo=UTC), "timestamp", ("s", "1800-01-01 08:00:00"), id="before Excel's first day"),
        pytest.param(["a", "b"], "json", ("s", "a、b"), id="list of texts"),
        pytest.param({"a": [1]}, "json", ("s", '{"a":[1]}'), id="struct"),
        pytest.param("\x01\x1b_x0041_", "text", ("s", "_x0001__x001B__x005F_x0041_"), id="control characters, as the format escapes them"),
        pytest.param("\ud800\uffff", "text", ("s", "\ufffd\ufffd"), id="what no XML may hold"),
    ],
)
def test_a_workbook_loses_nothing_of_awkward_values(tmp_path: Path, value: object, kind: str, expected: tuple[str, object]) -> None:
    columns = [Column("v", "v", kind)]  # type: ignore[arg-type]  # the table's strings are the types
    assert workbook(written(tmp_path / "a.xlsx", columns, [(value,)], "xlsx")).cells["A2"] == expected


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        pytest.param("字" * 32_767, False, id="just fits"),
        pytest.param("字" * 32_768, True, id="one too many"),
        pytest.param("😀" * 16_383, False, id="an emoji counts twice"),
        pytest.param("😀" * 16_384, True, id="an emoji counts twice, one too many"),
    ],
)
def test_a_text_longer_than_a_cell_is_cut_and_says_so(tmp_path: Path, text: str, cut: bool) -> None:
    book = workbook(written(tmp_path / "a.xlsx", [Column("t")], [(text,)], "xlsx"))
    kept = str(book.cells["A2"][1])
    assert len(kept.encode("utf-16-le")) // 2 <= 32_767
    assert (kept == text) is not cut
    assert kept.endswith(f"…（已截断，原文共 {len(text):,} 个字符）") is cut


def test_more_rows_than_a_sheet_holds_are_refused_and_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheets, "MAX_ROWS", 3)  # a million rows take a minute; the boundary is the same
    assert len(workbook(written(tmp_path / "a.xlsx", [Column("n", "n", "int")], [(n,) for n in range(3)], "xlsx")).cells) == 4
    with pytest.raises(UsageError, match=r"^expected at most 3 rows, what a sheet holds, got more; narrow the question") as caught:
        write_rows([Column("n", "n", "int")], endless(), format="xlsx", output=tmp_path / "b.xlsx")
    assert caught.value.code == "XLSX_TOO_LARGE"
    assert [path.name for path in tmp_path.iterdir()] == ["a.xlsx"]


def test_the_sheet_limit_is_that_of_excel() -> None:
    assert sheets.MAX_ROWS == 1_048_576 - 1


def test_xlsx_without_its_package_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xlsxwriter", None)  # what Python itself leaves for a package that cannot be imported
    with pytest.raises(UsageError, match=r"pip install 'liuhen\[xlsx\]'") as caught:
        write_rows([Column("t")], [("a",)], format="xlsx", output=tmp_path / "a.xlsx")
    assert caught.value.code == "EXTRA_MISSING"
    assert list(tmp_path.iterdir()) == []


def test_no_temporary_file_holds_the_result_while_a_workbook_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", "/nonexistent")
    monkeypatch.setattr("tempfile.tempdir", "/nonexistent")
    assert workbook(written(tmp_path / "a.xlsx", [Column("t")], [("a",)], "xlsx")).cells["A2"] == ("s", "a")


def test_notes_have_a_sheet_of_their_own(tmp_path: Path) -> None:
    write_rows([Column("t")], [("a",)], format="xlsx", output=tmp_path / "a.xlsx", notes=["演示 DEMO & 单人模式"])
    book = workbook((tmp_path / "a.xlsx").read_bytes())
    assert "xl/worksheets/sheet2.xml" in book.parts
    assert "演示 DEMO &amp;&amp; 单人模式" in book.sheet  # on every printed page


# ---- the file


@pytest.mark.parametrize("format", ["table", "json", "jsonl", "csv", "parquet", "xlsx"])
def test_a_file_is_its_owners_alone_and_replaces_the_old_one_whole(tmp_path: Path, format: Format) -> None:
    target = tmp_path / "out"
    target.write_text("old")
    target.chmod(0o644)
    write_rows([Column("t")], [("a",)], format=format, output=target, messages=io.StringIO())
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert target.read_bytes() != b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def failing() -> Iterator[tuple[str]]:
    yield ("a",)
    raise RuntimeError("the source broke off")


@pytest.mark.parametrize("format", ["table", "json", "jsonl", "csv", "parquet", "xlsx"])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path, format: Format) -> None:
    target = tmp_path / "out"
    target.write_text("old")
    with pytest.raises(RuntimeError, match="the source broke off"):
        write_rows([Column("t")], failing(), format=format, output=target, messages=io.StringIO())
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_only_a_regular_file_is_ever_replaced(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to("real")
    os.mkfifo(tmp_path / "fifo")
    for name in ("folder", "link", "fifo"):
        with pytest.raises(UsageError, match=r"^expected a regular file or a free name") as caught:
            write_rows([Column("t")], [("a",)], format="jsonl", output=tmp_path / name)
        assert caught.value.code == "OUTPUT_NOT_A_FILE"
    assert (tmp_path / "real").read_text() == "old"
    assert (tmp_path / "link").is_symlink()


def test_a_folder_that_is_missing_is_the_callers_mistake(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^expected a folder that exists") as caught:
        write_rows([Column("t")], [("a",)], format="jsonl", output=tmp_path / "none" / "a.jsonl")
    assert caught.value.code == "OUTPUT_FOLDER"


def test_a_full_disk_is_a_storage_error(tmp_path: Path) -> None:
    expected = pytest.raises(StorageError, match=r"^writing the output file: the disk is full")
    with expected as caught, replacing(tmp_path / "a"), open("/dev/full", "wb", buffering=0) as full:
        full.write(b"x")
    assert caught.value.code == "STORAGE_FULL"
    assert list(tmp_path.iterdir()) == []
