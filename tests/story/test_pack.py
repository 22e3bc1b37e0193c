"""The month's pack about the story: its letter's numbers typed by hand, a workbook that opens well, a page that is whole in itself."""

from __future__ import annotations

import io
import itertools
import re
import zipfile
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from python_calamine import CalamineWorkbook

from pipeline import audit, columns
from pipeline.home import Home
from pipeline.reader import Reader
from pipeline.reports import gather, period
from pipeline.reports.contents import PACK
from tests.cli.inside import Answer
from tests.firm import CORP

pytestmark = pytest.mark.slow
# What the letter says of November 2026, worked out from tests/story/firm.py.
LETTER = {
    "landed": 24, "archived": 20, "pending": 1, "withheld": 1, "failed": 1, "control": 0, "duplicate": 1, "messages": 19, "conversations": 6,
    "employees who wrote": 3, "recalls": 1, "of which without a sending time": 1, "gaps": 0, "of which nobody has taken note": 0, "failures first met in the period": 1,
    "failures standing now (all times)": 1, "restricted": 0, "pictures and stickers": 1, "voice and call recordings": 0, "videos": 0,
    "files (only their names are read)": 0, "of all, not fetched or not as declared": 0, "findings": 3, "of which high": 3, "decided": 1,
}  # fmt: skip


@pytest.fixture(scope="module")
def pack(story: Home, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder the pack was written to."""
    folder = tmp_path_factory.mktemp("pack")
    ended = Answer(story, "audit", "pack", "--month", "2026-11", "-o", str(folder / "november"))
    assert ended.code == 0, ended.err
    return folder


@pytest.fixture(scope="module")
def book(pack: Path) -> Any:
    return CalamineWorkbook.from_path(str(pack / "november.xlsx"))


def test_the_letter_comes_first_and_its_numbers_are_those_of_the_story(book: Any) -> None:
    assert book.sheet_names[:2] == ["说明函", "列说明"]
    rows = book.get_sheet_by_index(0).to_python()
    told = {row[2]: row[3] for row in rows if isinstance(row[3], int | float | str) and row[3] != ""}
    said = {name: told[name] for name in LETTER}
    assert {name: int(float(value)) for name, value in said.items()} == LETTER


def test_every_audit_of_the_pack_has_its_sheet_with_all_rows(book: Any) -> None:
    assert book.sheet_names[2 : 2 + len(PACK)] == [entry.sheet for entry in PACK]
    days = book.get_sheet_by_name("消息量-按日").to_python()
    assert days[0][:2] == ["分组 · group", "消息数 · messages"]
    assert [(row[0], int(row[1])) for row in days[1:4]] == [("2026-11-02", 3), ("2026-11-03", 1), ("2026-11-04", 1)]
    [handed] = book.get_sheet_by_name("客户交接").to_python()[1:]
    assert (handed[0].isoformat()[:10], handed[1:7], int(handed[11])) == ("2026-11-16", ["wmA", "陈一", "zhangsan", "张三", "lisi", "李四"], 1)  # a time cell, Beijing time


def test_a_report_asks_its_audits_the_short_way_and_gets_the_answers_of_the_long_one(story: Home) -> None:
    month, filled = period.month("2026-11"), 0
    with Reader(story, CORP) as reader:
        for section in gather.gather(reader, month).sections:
            given = {"from": "2026-11-01", "to": "2026-11-30", **section.entry.given}
            values = audit.bind(section.asked, {name: given[name] for name in given if name in {p.name for p in section.asked.meta.parameters}})
            described, rows = columns.rows_from_arrow(reader.arrow(section.asked.sql, values), lang="zh", view="messages")
            at = [[one.name for one in section.columns].index(c.name) for c in described]
            assert [tuple(row[n] for n in at) for row in section.rows] == [tuple(row) for row in rows], section.entry
            filled += bool(section.rows)
    assert filled > 15


def test_people_have_the_name_of_the_time_beside_their_id_and_who_refuses_has_none(pack: Path, book: Any, story: Home) -> None:
    told = [row for sheet in book.sheet_names[2:] for row in book.get_sheet_by_name(sheet).to_python()]
    beside = {(a, b) for row in told for a, b in itertools.pairwise(row)}
    assert {("zhangsan", "张三"), ("lisi", "李四"), ("wmA", "陈一")} <= beside
    text = (pack / "november.html").read_text()
    assert "lisi 李四" in text and "周四" not in text + str(told)  # wmR refused lisi before he wrote
    listed = Answer(story, "consent", "list").rows
    assert {(r["external_userid"], r["external_userid_name"]) for r in listed} == {("wmB", "赵二"), ("wmR", None), ("wmP", "吴五")}


def test_a_workbook_has_no_formula_a_frozen_head_and_filters(pack: Path) -> None:
    with zipfile.ZipFile(pack / "november.xlsx") as packed:
        sheets = [packed.read(name).decode() for name in packed.namelist() if re.fullmatch(r"xl/worksheets/sheet\d+\.xml", name)]
        assert not any(name.startswith("xl/externalLinks") for name in packed.namelist())
    assert len(sheets) >= len(PACK) + 2
    assert not any("<f>" in sheet or "<f " in sheet or "<hyperlink" in sheet for sheet in sheets)
    assert all('state="frozen"' in sheet for sheet in sheets[: len(PACK) + 2])
    assert sum("<autoFilter" in sheet for sheet in sheets) == len(PACK) + 1  # the letter has none


class Page(HTMLParser):
    """What a page holds that could ask for something, its text, and the order of its headings."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.asks: list[str] = []
        self.tags: list[str] = []
        self.policy = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append(tag)
        self.asks += [value or "" for name, value in attrs if name in ("src", "href", "action", "xlink:href", "poster") and not (value or "").startswith("#")]
        if given.get("http-equiv") == "Content-Security-Policy":
            self.policy = given.get("content") or ""


def test_the_page_is_whole_in_itself(pack: Path) -> None:
    text = (pack / "november.html").read_text()
    page = Page(text)
    assert page.asks == [] and not {"script", "iframe", "object", "link", "form", "img"} & set(page.tags)
    assert "url(" not in text and "@import" not in text and "http://" not in text and "https://" not in text
    assert page.policy == "default-src 'none'; style-src 'unsafe-inline'"


def test_the_page_begins_with_the_letter_and_draws_months_departments_and_employees(pack: Path) -> None:
    text = (pack / "november.html").read_text()
    drawn = ["<h3>各月消息量", "<h3>本期各部门命中", "<h3>本期各员工命中"]
    heads = ["<h1>会话存档情况说明函", "5. 未经关键词检查的内容", "<div>编制", *drawn, "<h2>附件：审计结果", "<h2>1. 完整性对账"]
    places = [text.index(head) for head in heads]
    assert places == sorted(places)
    assert "Coverage letter of the chat archive" in text
    labels = re.findall(r'<text [^>]*class="">([^<]*)</text>', text)
    assert {"2026-11", "海淀支行", "朝阳支行", "张三 zhangsan", "李四 lisi"} <= set(labels)
    assert "我不想被存档" not in text and "请问利率多少" not in text


def test_the_pack_is_recorded_with_the_digests_of_both_files(story: Home, pack: Path) -> None:
    import hashlib

    ends = [e for e in story.custody.entries() if e.command == "audit pack" and e.phase == "end"]
    assert ends[-1].result.split() == [hashlib.sha256((pack / f"november.{kind}").read_bytes()).hexdigest() for kind in ("xlsx", "html")]


def test_a_report_of_days_is_the_same_page_without_the_workbook(story: Home, tmp_path: Path) -> None:
    ended = Answer(story, "audit", "report", "--from", "2026-11-01", "--to", "2026-11-12", "-o", str(tmp_path / "r.html"))
    assert ended.code == 0, ended.err
    text = (tmp_path / "r.html").read_text()
    assert "2026-11-01 – 2026-11-12" in text and "客户交接及其后" in text
    assert io.StringIO(text).readline() == "<!DOCTYPE html>\n"
