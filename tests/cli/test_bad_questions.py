"""Questions that go wrong end well: each says what was expected, what came, and what to do; nothing is half done."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from pipeline import audit, sentences, words
from pipeline.cli import root
from pipeline.errors import UsageError
from pipeline.home import Home
from pipeline.reader import Reader
from tests import firm
from tests.cli.inside import Answer


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home into which nothing ever came."""
    return firm.home(tmp_path_factory.mktemp("empty"))


@pytest.fixture(scope="module")
def reader(empty: Home) -> Iterator[Reader]:
    with Reader(empty, firm.CORP) as opened:
        yield opened


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """An archive with a question, an answer, a promise and a recall in it."""
    at = tmp_path_factory.mktemp("lived")
    home = firm.home(at)
    said = {1: firm.message(1, "保本吗", sender="wmA", to=["zhangsan"]), 2: firm.message(2, "保本保息，稳赚"), 3: firm.recall(3, "m2"), 9: firm.message(9, to=["wmB"])}
    firm.run(home, firm.page(at, "page.json", said))
    with Reader(home, firm.CORP) as opened:
        yield opened


@pytest.mark.parametrize(
    ("call", "code", "said"),
    [
        pytest.param(["audit", "run", "coverge"], 2, "是否要用 coverage", id="an unknown audit names the nearest"),
        pytest.param(["audit", "run", "天气"], 2, "liuhen audit list", id="nothing near: where the list is"),
        pytest.param(["audit", "run", "findings", "-p", "by=shoe"], 2, "须为 rule、category", id="a choice that is none"),
        pytest.param(["audit", "run", "findings", "-p", "form=2026-01-01"], 2, "是否要用 from", id="a slip in a parameter"),
        pytest.param(["audit", "run", "findings", "-p", "from=2026-02-30"], 2, "须为北京时间的日期", id="no day"),
        pytest.param(["audit", "run", "findings", "-p", "from=2026-02-02", "-p", "to=2026-02-01"], 2, "把起止两天对调", id="days the wrong way round"),
        pytest.param(["audit", "run", "findings", "-p", "by"], 2, "KEY=VALUE", id="no value"),
        pytest.param(["audit", "pack", "--month", "2026-13", "-o", "x"], 2, "月份应如 2026-11", id="no month"),
        pytest.param(["sql", "COPY (SELECT 1) TO '/tmp/x'"], 2, "SELECT", id="SQL that writes"),
        pytest.param(["sql", "ATTACH '/tmp/x'"], 2, "SELECT", id="SQL that attaches"),
        pytest.param(["sql", "SET memory_limit = '1GB'"], 2, "SELECT", id="SQL that sets"),
        pytest.param(["sql", "SELECT 1; SELECT 2"], 2, "一次只问一个问题", id="two statements"),
        pytest.param(["sql", "SELECT * FROM read_csv('/etc/passwd')"], 2, "SQL_FORBIDDEN", id="SQL that reads files"),
        pytest.param(["conversation", "wmA|nobody"], 2, "没有这个会话", id="a conversation that is not there"),
        pytest.param(["review", "list", "--severity", "grave"], 2, "级别应为 low、medium、high 之一", id="a severity that is none"),
        pytest.param(["review", "list", "--state", "grave"], 2, "waiting", id="a state that is none"),
        pytest.param(["review", "list", "--limit", "0"], 2, "--limit", id="no finding"),
        pytest.param(["review", "list", "--limit", "1000000000000"], 2, "--limit", id="too many findings"),
        pytest.param(["review", "claim", "天气"], 2, "FINDING_UNKNOWN", id="an id of no finding"),
        pytest.param(["customer", "find", "x", "--limit", "-1"], 2, "--limit", id="less than no customer"),
        pytest.param(["customer", "find", "x", "--limit", "9" * 25], 2, "--limit", id="more customers than there are numbers for"),
        pytest.param(["search", "x", "--limit", "0"], 2, "SEARCH_LIMIT", id="no hit"),
        pytest.param(["search", "x", "--limit", "9" * 25], 2, "SEARCH_LIMIT", id="too many hits"),
        pytest.param(["customer", "find", " "], 2, "要查找的内容为空", id="nobody asked for"),
    ],
)
def test_a_wrong_question_is_refused_in_words(empty: Home, call: list[str], code: int, said: str) -> None:
    ended = Answer(empty, *call)
    assert ended.code == code
    assert said in ended.err
    assert ended.out == ""


@pytest.mark.parametrize("asked", audit.load_audits(), ids=lambda a: a.name)
def test_a_quote_in_a_parameter_is_a_quote(reader: Reader, asked: audit.Audit) -> None:
    given = {p.name: "x' OR '1'='1'; DROP VIEW messages; --" for p in asked.meta.parameters if p.type == "text"}
    found = reader.arrow(asked.sql, audit.bind(asked, given))
    # coverage has its total, the letter its numbers, all of them nought
    assert found.num_rows == {"coverage": 1, "monthly-pack": 27}.get(asked.name, 0), "an empty archive has rows"
    assert asked.name != "monthly-pack" or set(found["value"].to_pylist()) <= {0, None}
    assert reader.rows("SELECT count(*) AS n FROM messages") == [{"n": 0}]


BAD: tuple[str, ...] = ("", " ", "0", "-1", "1", "9" * 18, "9" * 40, "1e3", "NaN", "1.5", "天气", "(", "2026-02-30", "2026-13-01", "0000-01-01", "0001-01-01")
BAD += ("9999-12-31", "10000-01-01", "x" * 50_000)


@pytest.mark.slow
@pytest.mark.parametrize("asked", [a for a in audit.load_audits() if a.meta.parameters], ids=lambda a: a.name)
def test_every_value_of_every_parameter_is_answered_or_refused_by_its_name(lived: Reader, asked: audit.Audit) -> None:
    needed = {p.name: "x" for p in asked.meta.parameters if p.default is msgspec.UNSET}
    for p in asked.meta.parameters:
        for value in BAD:
            try:
                lived.answer(asked, audit.bind(asked, needed | {p.name: value}))
            except UsageError as error:
                assert (error.code, p.type == "text" and bool(value.strip())) == ("AUDIT_PARAM_INVALID", False), (p.name, value[:50], str(error))
                assert error.message.startswith((*(other.name for other in asked.meta.parameters), "from (")) and sentences.in_chinese(error.message), error.message
                assert error.remedy and sentences.in_chinese(error.remedy), error.remedy


@pytest.mark.parametrize("value", ["0", "-1", "999999999999"])
def test_hours_that_are_none_are_told_with_their_span(empty: Home, value: str) -> None:
    ended = Answer(empty, "audit", "run", "unanswered", "-p", f"hours={value}")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == f"错误 AUDIT_PARAM_INVALID：hours 须为 1–876000 的整数，实为 {value}\n处理：超过几小时算未回复\n"


def test_an_audit_shows_what_its_parameters_take(empty: Home) -> None:
    shown = Answer(empty, "audit", "show", "off-hours").out
    assert "-p first_hour=…  白天从几点开始（北京时间） [0–23]" in shown


@pytest.mark.parametrize(
    ("call", "code"),
    [
        pytest.param(["conversation", "zhangsan|wmA"], "CONVERSATION_UNKNOWN", id="the pair the wrong way round"),
        pytest.param(["conversation", "wmA|zhangsan", "--around", "m9"], "MSGID_UNKNOWN", id="a message of another conversation"),
        pytest.param(["conversation", "wmA|zhangsan", "--around", "M2"], "MSGID_UNKNOWN", id="an id in other letters"),
    ],
)
def test_what_is_not_of_a_conversation_is_told(lived: Reader, call: list[str], code: str) -> None:
    ended = Answer(lived.home, *call)
    assert (ended.code, ended.out) == (2, "") and code in ended.err, ended.err


def test_an_empty_archive_says_so_and_is_no_error(empty: Home) -> None:
    ended = Answer(empty, "audit", "run", "findings", "--format", "table")
    assert (ended.code, words.say("table.none", root.LANG) in ended.err) == (0, True)
    assert Answer(empty, "status", "--format", "json").code == 0


def test_a_report_of_an_empty_archive_holds_noughts(empty: Home, tmp_path: Path) -> None:
    ended = Answer(empty, "audit", "pack", "--month", "2026-03", "-o", str(tmp_path / "march"))
    assert ended.code == 0, ended.err
    page = (tmp_path / "march.html").read_text()
    assert page.count(words.say("pack.nothing", "zh")) >= 28 and "<svg" not in page
    assert (tmp_path / "march.xlsx").stat().st_size > 10_000


def test_ten_million_rows_stop_after_a_thousand_on_a_screen_with_a_sentence(empty: Home) -> None:
    ended = Answer(empty, "sql", "SELECT range AS n FROM range(10000000)", "--format", "table", screen=True)
    assert ended.code == 0, ended.err
    assert len(ended.out.splitlines()) == 1_002
    assert "9,999,000" in ended.err


def test_every_other_way_gives_all_rows(empty: Home) -> None:
    assert len(Answer(empty, "sql", "SELECT range AS n FROM range(1500)", "--format", "jsonl").rows) == 1_500
