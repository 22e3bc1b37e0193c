"""Findings as work: what waits, decisions that are kept and survive, worklists out and back in, samples that can be drawn again."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Mapping
from datetime import date, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import python_calamine
import xlsxwriter

from pipeline import words
from pipeline.errors import UsageError
from pipeline.home import Home
from pipeline.reader import Reader
from pipeline.review import decisions, queue, sample, worklist
from pipeline.review.decisions import Decision
from pipeline.review.queue import Item, Wanted
from tests import firm
from tests.cli.liuhen import liuhen

DAY_MS = 86_400_000


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with two findings of the securities pack; the rest is small talk."""
    folder = tmp_path_factory.mktemp("review")
    at = firm.home(folder)
    said = {
        1: firm.message(1, "这个产品稳赚不赔", at_ms=firm.T0 - 3 * DAY_MS),
        2: firm.message(2, "稳赚不赔，您放心", sender="lisi", at_ms=firm.T0 - 9 * DAY_MS),
        3: firm.message(3, "好的谢谢", sender="wmA", to=["zhangsan"], at_ms=firm.T0 - DAY_MS),
        **{n: firm.message(n, f"今天天气第{n}次不错") for n in range(4, 24)},
    }  # fmt: skip
    firm.run(at, firm.page(folder, "p.json", said))
    return at.path


@pytest.fixture
def archive(made: Path, tmp_path: Path) -> Home:
    """A copy of it for one test."""
    shutil.copytree(made, tmp_path / "home")
    return Home(tmp_path / "home")


def ask(at: Home, **wanted: Any) -> list[Item]:
    with Reader(at, firm.CORP) as reader:
        return queue.items(reader, Wanted(**wanted))


def decide(at: Home, *given: Decision) -> list[decisions.Refused]:
    with Reader(at, firm.CORP) as reader:
        refused = decisions.check(reader, list(enumerate(given, 1)))
    if not refused:
        decisions.keep(at, firm.CORP, given)
    return refused


def promise(at: Home, employee: str = "lisi") -> Item:
    return next(i for i in ask(at, employee=employee) if i.term == "稳赚不赔" and i.party == "employee")


def test_what_waits_comes_gravest_first_then_oldest_with_its_words_marked(archive: Home) -> None:
    items = ask(archive)
    order = [({"high": 0, "medium": 1, "low": 2}[i.severity], i.dt) for i in items]
    assert order == sorted(order)
    assert promise(archive).excerpt == "【稳赚不赔】，您放心"
    assert all(i.decision == "open" for i in items)


def test_a_version_that_is_opened_between_its_questions_adds_nothing_to_the_queue(archive: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Something went out of view, or files were compacted away, right before each question: the reader opens anew, and looks at all there is."""
    told, read = ask(archive, employee="lisi"), []
    assert [i.employee_id for i in told] == ["lisi"]
    rows = Reader.rows

    def anew(self: Reader, query: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        self._stamp = -1
        read.append(rows(self, query, parameters))
        return read[-1]

    monkeypatch.setattr(Reader, "rows", anew)
    assert ask(archive, employee="lisi") == told
    assert [len(found) for found in read] == [1, 1, 1]  # no words but those of the finding


def test_a_decided_finding_leaves_the_queue_and_a_reopened_one_comes_back(archive: Home) -> None:
    one = promise(archive).finding_id
    assert not decide(archive, Decision(finding_id=one, decision="not_violation", reason="转述客户原话"))
    assert one not in {i.finding_id for i in ask(archive)}
    assert [(i.decision, i.reason) for i in ask(archive, state="not_violation")] == [("not_violation", "转述客户原话")]
    assert not decide(archive, Decision(finding_id=one, decision="reopened", reason="客户投诉"))
    assert one in {i.finding_id for i in ask(archive)}
    assert [r["decision"] for r in firm.rows(archive, "SELECT decision FROM reviews ORDER BY decided_at")] == ["not_violation", "reopened"]


@pytest.mark.slow
def test_a_decision_survives_a_rescan_under_other_packs(archive: Home) -> None:
    one = promise(archive)
    assert not decide(archive, Decision(finding_id=one.finding_id, decision="violation", reason="承诺保本", remedy="约谈"))
    before = firm.values(archive, "select distinct lexicon_version from matches")
    (archive.path.parent / "more.txt").write_text("天气第5次\n", "utf-8")
    added = liuhen(archive.path, "lexicon", "add", str(archive.path.parent / "more.txt"), "--id", "more", "--category", "C01", "--severity", "low")
    assert added.code == 0, added.err
    assert liuhen(archive.path, "rescan").code == 0
    assert firm.values(archive, "select distinct lexicon_version from matches") != before
    assert one.finding_id not in {i.finding_id for i in ask(archive)}
    assert [(i.finding_id, i.reason) for i in ask(archive, state="violation")] == [(one.finding_id, "承诺保本")]


def test_an_escalated_finding_waits_for_somebody_else(archive: Home) -> None:
    one = promise(archive).finding_id
    assert not decide(archive, Decision(finding_id=one, decision="escalated"))
    assert {i.finding_id: i.decision for i in ask(archive)}[one] == "escalated"


def test_a_claim_is_seen_by_others_and_is_no_decision(archive: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    one = promise(archive).finding_id
    decisions.claim(archive, firm.CORP, [one])
    found = next(i for i in ask(archive) if i.finding_id == one)
    assert found.claimed_by and found.decision == "open"
    assert firm.rows(archive, "SELECT * FROM reviews") == []
    monkeypatch.setattr(queue, "CLAIM_MS", -DAY_MS)  # as if three days had gone by
    assert next(i for i in ask(archive) if i.finding_id == one).claimed_by is None


@pytest.mark.parametrize(
    ("change", "code"),
    [
        pytest.param({"finding_id": "no such"}, "FINDING_UNKNOWN", id="no such finding"),
        pytest.param({"decision": "fine"}, "DECISION_UNKNOWN", id="no such decision"),
        pytest.param({"reason": "  "}, "REASON_MISSING", id="a blank reason"),
        pytest.param({"decision": ""}, "DECISION_MISSING", id="why, but not what"),
        pytest.param({"remedy": "长" * 4001}, "TOO_LONG", id="a remedy without end"),
    ],
)
def test_a_decision_that_does_not_fit_is_refused(archive: Home, change: dict[str, str], code: str) -> None:
    good = {"finding_id": promise(archive).finding_id, "decision": "violation", "reason": "r"}
    assert [r.code for r in decide(archive, Decision(**{**good, **change}))] == [code]
    assert firm.rows(archive, "SELECT * FROM reviews") == []


def workbook(items: list[Item]) -> bytes:
    sink = BytesIO()
    worklist.write(sink, items, lang="zh", notes=["DEMO"])
    return sink.getvalue()


def filled(data: bytes, fill: Callable[[list[list[Any]]], None]) -> bytes:
    """The workbook as somebody's Excel would save it after `fill` changed its cells."""
    rows = [list(r) for r in worklist._rows(data)]
    fill(rows)
    sink = BytesIO()
    book = xlsxwriter.Workbook(sink, {"in_memory": True})
    page = book.add_worksheet()
    for n, row in enumerate(rows):
        for m, cell in enumerate(row):
            page.write(n, m, cell)
    book.close()
    return sink.getvalue()


def test_a_worklist_comes_back_with_decisions_in_either_language(archive: Home) -> None:
    items = ask(archive)
    assert len(items) >= 2

    def fill(rows: list[list[Any]]) -> None:
        rows[1][1], rows[1][2] = "违规", "承诺收益"
        rows[2][1], rows[2][2], rows[2][3] = "Not a violation", "quoted", "talked to him"

    read, digest, _ = worklist.read(filled(workbook(items), fill))
    assert read == [
        (2, Decision(finding_id=items[0].finding_id, decision="violation", reason="承诺收益")),
        (3, Decision(finding_id=items[1].finding_id, decision="not_violation", reason="quoted", remedy="talked to him")),
    ]  # fmt: skip
    assert len(digest) == 64


@pytest.mark.parametrize(("lang", "title", "said"), [("zh", "命中编号", "首行与“命中编号”列请勿改动"), ("en", "finding", "leave the first row and the column finding")])
def test_a_worklist_names_the_column_to_leave_by_the_title_it_has(archive: Home, lang: str, title: str, said: str) -> None:
    file = archive.path.parent / "work.xlsx"
    assert liuhen(archive.path, "review", "export", "-o", str(file), lang=lang).code == 0
    results, notes = _sheets(file)
    assert results[0][0] == title
    assert any(said in str(cell) for row in notes for cell in row)


def _sheets(file: Path) -> list[list[list[Any]]]:
    book = python_calamine.CalamineWorkbook.from_path(file)
    return [book.get_sheet_by_name(name).to_python() for name in book.sheet_names]


def test_a_worklist_that_was_only_looked_at_decides_nothing(archive: Home) -> None:
    assert worklist.read(workbook(ask(archive)))[0] == []


def _nonsense(rows: list[list[Any]]) -> None:
    rows[1][1], rows[1][2] = "差不多", "x"
    rows[2][0], rows[2][1], rows[2][2] = rows[1][0], "违规", "x"
    rows.append(["ffff", "违规", "x", ""])


def test_a_worklist_edited_into_nonsense_is_refused_line_by_line(archive: Home) -> None:
    read, _, letters = worklist.read(filled(workbook(ask(archive)), _nonsense))
    assert letters == {"finding_id": "A", "decision": "B", "reason": "C", "remedy": "D"}
    with Reader(archive, firm.CORP) as reader:
        refused = decisions.check(reader, read)
    last = len(ask(archive)) + 2
    assert [(r.line, r.column, r.code) for r in refused] == [(2, "decision", "DECISION_UNKNOWN"), (3, "finding_id", "DECIDED_TWICE"), (last, "finding_id", "FINDING_UNKNOWN")]


def _took(home: Path, data: bytes, *, code: int = 0) -> str:
    """What `review import` says of a workbook."""
    (home.parent / "back.xlsx").write_bytes(data)
    ended = liuhen(home, "review", "import", str(home.parent / "back.xlsx"))
    assert ended.code == code, ended.err
    return ended.err


@pytest.mark.slow
def test_a_worklist_taken_twice_is_kept_once_and_the_second_time_says_so(archive: Home) -> None:
    def fill(rows: list[list[Any]]) -> None:
        rows[1][1], rows[1][2] = "违规", "承诺收益"
        rows[2][1], rows[2][2] = "不违规", "转述"

    data = filled(workbook(ask(archive)), fill)
    first = ask(archive)[0].finding_id
    assert "2 decisions kept" in _took(archive.path, data) and "already" not in _took(archive.path, filled(workbook([]), lambda rows: None))
    assert "0 decisions kept\n2 more were there already" in _took(archive.path, data)
    again = filled(data, lambda rows: rows.append(rows.pop(1)))  # other bytes, the same said
    assert "0 decisions kept" in _took(archive.path, again)
    assert not decide(archive, Decision(finding_id=first, decision="reopened", reason="客户投诉"))
    assert "0 decisions kept" in _took(archive.path, data)  # an old workbook does not undo what came since
    said = firm.rows(archive, "SELECT decision FROM reviews ORDER BY decided_at, decision")
    assert [r["decision"] for r in said] == ["not_violation", "violation", "reopened"]


@pytest.mark.slow
def test_a_worklist_taken_by_two_at_the_same_time_is_kept_once(archive: Home) -> None:
    """Who looked up what is there already must not have it kept by another one meanwhile: the second one is told to come again."""
    data = filled(workbook(ask(archive)), _violation)
    with archive.lock(f"{firm.CORP}.review"):
        _took(archive.path, data, code=7)
    assert firm.values(archive, "SELECT count(*) FROM reviews") == [0]
    assert "1 decision kept" in _took(archive.path, data) and "0 decisions kept" in _took(archive.path, data)
    assert firm.values(archive, "SELECT count(*) FROM reviews") == [1]


def _violation(rows: list[list[Any]]) -> None:
    rows[1][1], rows[1][2] = "违规", "承诺收益"


def test_a_reopened_finding_goes_out_without_the_reason_it_was_reopened_for(archive: Home) -> None:
    assert not decide(archive, Decision(finding_id=ask(archive)[0].finding_id, decision="reopened", reason="客户投诉"))
    assert worklist.read(workbook(ask(archive)))[0] == []


def test_a_line_that_does_not_fit_is_named_with_row_and_column_and_nothing_is_taken(archive: Home) -> None:
    def fill(rows: list[list[Any]]) -> None:
        rows[1][1], rows[1][2] = "违规", "承诺收益"
        rows[2][3] = "约谈"

    told = _took(archive.path, filled(workbook(ask(archive)), fill), code=2)
    assert "line 3, column B (decision): a reason or a remedy, but no decision" in told
    assert firm.rows(archive, "SELECT * FROM reviews") == []


@pytest.mark.parametrize(
    ("data", "code"),
    [
        pytest.param(b"", "WORKLIST_UNREADABLE", id="empty"),
        pytest.param(b"finding_id,decision\n", "WORKLIST_UNREADABLE", id="csv"),
        pytest.param(b"PK\x03\x04" + bytes(50), "WORKLIST_UNREADABLE", id="a broken zip"),
    ],
)
def test_what_is_no_workbook_is_refused(data: bytes, code: str) -> None:
    with pytest.raises(UsageError) as told:
        worklist.read(data)
    assert told.value.code == code


def test_a_workbook_without_its_first_row_is_refused(archive: Home) -> None:
    with pytest.raises(UsageError) as told:
        worklist.read(filled(workbook(ask(archive)), lambda rows: rows.__delitem__(0)))
    assert told.value.code == "WORKLIST_COLUMNS"


def test_every_refusal_has_words_in_both_languages() -> None:
    for code in decisions._SENTENCES:
        assert {words.say(f"review.refused.{code}", "zh"), words.say(f"review.refused.{code}", "en")}


def drawn(reader: Reader, seed: str, count: int = 5, **more: Any) -> list[int]:
    day = date(2026, 11, 20)
    return [r["seq"] for r in sample.draw(reader, seed=seed, count=count, low=day - timedelta(30), high=day + timedelta(1), **more)]


def test_a_sample_is_drawn_again_by_its_seed_and_holds_no_finding(archive: Home) -> None:
    with Reader(archive, firm.CORP) as reader:
        once = drawn(reader, "2026-11")
        assert once == drawn(reader, "2026-11") and len(once) == 5
        assert once != drawn(reader, "2026-12")
        assert set(drawn(reader, "all", 1_000)) == set(range(3, 24))


@pytest.mark.slow
@pytest.mark.parametrize("risk", [pytest.param(False, id="at random"), pytest.param(True, id="by risk")])
def test_a_sample_is_what_the_lots_of_all_messages_without_findings_say(archive: Home, risk: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample, "SPARE", 0)  # so that a message with a finding is drawn, and another one looked for
    with Reader(archive, firm.CORP) as reader:
        said = reader.rows("SELECT origin, seq, msgid, dt, sender_id, conversation_id, direction, text FROM messages WHERE seq BETWEEN 3 AND 23")
        risky = {r["employee_id"].lower() for r in reader.rows("SELECT employee_id FROM matches WHERE party = 'employee'")}
        assert len(said) == 21 and risky == {"lisi", "zhangsan"}
        for n in range(12):
            lots = []
            for row in said:
                weight = 4 if risk and row["direction"] == "outbound" and row["sender_id"] in risky else 1
                digits = hashlib.sha256(f"s{n}|{row['origin']}|{row['seq']}".encode()).hexdigest()[:13]
                lots.append((((int(digits, 16) + 1) / (2**52 + 1)) ** (1 / weight), {**row, "weight": weight}))
            wanted = [row for _, row in sorted(lots, key=lambda one: -one[0])]
            for count in (1, 5):
                found = sample.draw(reader, seed=f"s{n}", count=count, low=date(2026, 1, 1), high=date(2027, 1, 1), risk=risk)
                assert found == wanted[:count]


@pytest.mark.slow
def test_a_sample_by_risk_prefers_employees_with_findings(archive: Home, tmp_path: Path) -> None:
    quiet = {n: firm.message(n, f"闲聊{n}", sender="wangwu") for n in range(100, 120)}
    firm.run(archive, firm.page(tmp_path, "q.json", quiet))
    with Reader(archive, firm.CORP) as reader:
        seeds = [f"s{n}" for n in range(25)]
        risky = sum(seq < 100 for s in seeds for seq in drawn(reader, s, 4, risk=True))
        plain = sum(seq < 100 for s in seeds for seq in drawn(reader, s, 4))
    assert risky > 1.3 * plain  # four to one against one to one: 80 and 50 of 100 on average


def test_a_workbook_with_a_cell_far_away_is_refused_before_it_fills_the_memory() -> None:
    sink = BytesIO()
    with xlsxwriter.Workbook(sink) as book:
        sheet = book.add_worksheet()
        sheet.write(0, 0, "finding_id")
        sheet.write(1_048_575, 16_383, "x")
    with pytest.raises(UsageError) as told:
        worklist.read(sink.getvalue())
    assert told.value.code == "WORKLIST_UNREADABLE"


@pytest.mark.parametrize("asked", [("list", "--limit", "-5"), ("sample", "--seed", "s", "--count", "-1"), ("sample", "--seed", "s", "--count", "1" + "0" * 20)])
def test_a_number_that_makes_no_sense_is_a_usage_error(made: Path, asked: tuple[str, ...]) -> None:
    assert liuhen(made, "review", *asked).code == 2
