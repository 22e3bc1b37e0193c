"""Search finds exactly what Python's `in` finds, newest first, and says what it did not look into."""

from __future__ import annotations

import random
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import UsageError
from pipeline.home import Home
from pipeline.reader import Reader
from pipeline.search import hits, places, uninspected
from pipeline.search.question import Question, ask
from tests import firm

DAY_MS = 86_400_000
TEXTS = [
    "这款产品保本保息，放心", "不承诺保本", "加我私人微信 wx_138", "红包🧧发您了", "𠮷野家见", "ＡＢＣ保本", "保保本本", "a.cn/x9 100%_off", "的", "“保本”二字不能说",
    "收益8%'; --", "第二天再说保本",
]  # fmt: skip
WORDS = ["保本", "收益", "的", "是", "我", "🧧", "𠮷", "vip", "，", "100%", "😀", "a"]


def talk(n: int, text: str, **more: Any) -> dict[str, Any]:
    return firm.message(n, text, at_ms=firm.T0 - (len(TEXTS) - n) * 11 * DAY_MS, **more)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Home:
    folder = tmp_path_factory.mktemp("search")
    at = firm.home(folder)
    said = {n: talk(n, text, sender="ZhangSan" if n % 2 else "lisi", to=["wmA"] if n < 6 else ["wmB"]) for n, text in enumerate(TEXTS, 1)}
    dice = random.Random(20261122)
    said |= {100 + n: firm.message(100 + n, "".join(dice.choices(WORDS, k=dice.randint(1, 9)))) for n in range(60)}
    said[200] = firm.message(200, sender="wmA", to=["zhangsan"], msgtype="file", at_ms=firm.T0 - 5 * DAY_MS)
    said[200] |= {"file": {"md5sum": "0" * 32, "filename": "保本说明.pdf", "fileext": "pdf", "filesize": 9, "sdkfileid": "f"}}
    said[201] = firm.message(201, "房间里说保本", room="wrR", to=["wmA", "wmC"], at_ms=firm.T0 - 6 * DAY_MS)
    said[202] = firm.message(202, "秘密保本", sender="wmX", to=["zhangsan"])
    said[90] = firm.refusal(90, "wmX", "zhangsan", at_ms=firm.T0 - 90 * DAY_MS)
    firm.run(at, firm.page(folder, "p.json", said))
    return at


@pytest.fixture(scope="module")
def reader(archive: Home) -> Any:
    with Reader(archive, firm.CORP) as opened:
        yield opened


def found(reader: Reader, text: str, **more: Any) -> list[int]:
    return [h.seq for h in hits.newest(reader, Question(text=text, limit=10_000, **more))[0]]


@pytest.mark.parametrize(
    ("text", "more", "seqs"),
    [
        pytest.param("保本保息", {}, [1], id="a phrase"),
        pytest.param("不承诺保本", {}, [2], id="a whole text"),
        pytest.param("𠮷", {"first_day": date(2026, 1, 1), "last_day": date(2026, 10, 20)}, [5], id="one character beyond the basic plane"),
        pytest.param("🧧发", {}, [4], id="emoji"),
        pytest.param("ABC", {}, [], id="nothing is folded"),
        pytest.param("%_off", {}, [8], id="no wildcards"),
        pytest.param("'; --", {}, [11], id="a quote"),
        pytest.param("说明.pdf", {}, [200], id="a file name"),
        pytest.param("保本", {"room": "wrR"}, [201], id="in a room"),
        pytest.param("保本", {"customer": "wmA", "last_day": date(2026, 8, 10)}, [2, 1], id="a customer, until a day"),
        pytest.param("保本", {"employee": "zhangsan", "last_day": date(2026, 11, 1)}, [7, 1], id="an employee in another case"),
        pytest.param("保本", {"msgtype": "file"}, [200], id="a type"),
        pytest.param("秘密", {}, [], id="what was withheld"),
    ],
)
def test_what_is_written_is_what_is_found(reader: Reader, text: str, more: dict[str, Any], seqs: list[int]) -> None:
    assert found(reader, text, **more) == seqs


def test_random_substrings_are_found_where_python_finds_them(reader: Reader) -> None:
    rows = reader.rows("SELECT seq, parts, coalesce(sent_at, captured_at) AS moment FROM messages ORDER BY moment DESC, seq DESC")
    dice = random.Random(7)
    for _ in range(40):
        text = dice.choice([p["text"] for r in rows for p in r["parts"] if p["text"]])
        start = dice.randrange(len(text))
        needle = text[start : start + dice.randint(1, 6)]
        assert found(reader, needle) == [r["seq"] for r in rows if any(needle in p["text"] for p in r["parts"])], needle


def test_the_newest_are_shown_and_it_is_said_that_there_are_more(reader: Reader) -> None:
    few, more = hits.newest(reader, Question(text="保本", limit=3))
    every, none = hits.newest(reader, Question(text="保本", limit=10_000))
    assert more and not none
    assert [h.seq for h in few] == [h.seq for h in every][:3]
    assert [h.at_ms for h in every] == sorted((h.at_ms for h in every), reverse=True)


def test_places_are_code_points_of_their_part_and_the_excerpt_marks_them() -> None:
    parts = [{"path": "title", "text": "无"}, {"path": "content", "text": "𠮷保本，保本🧧" + "尾" * 30}]
    at = places.places(parts, "保本")
    assert [(p.part, p.start_cp, p.end_cp) for p in at] == [(1, 1, 3), (1, 4, 6)]
    assert places.excerpt(parts, at) == "𠮷【保本】，【保本】🧧" + "尾" * 16 + "…"
    over = [places.Place(0, "text.content", 1, 3), places.Place(0, "text.content", 2, 5), places.Place(0, "text.content", 1, 2)]
    assert places.excerpt([{"text": "说保本保息"}], over) == "说【保本】保息"  # of places that overlap the leftmost longest


def test_an_answer_ends_with_what_was_not_looked_into(reader: Reader) -> None:
    assert uninspected.count(reader, Question(text="x")).by_word == {"files": 1, "withheld": 1}
    assert uninspected.count(reader, Question(text="x", room="wrR")).by_word == {"withheld": 1}


@pytest.mark.parametrize(
    ("given", "code"),
    [
        pytest.param({"text": ""}, "SEARCH_TEXT", id="nothing to look for"),
        pytest.param({"text": "长" * 1001}, "SEARCH_TEXT", id="too long"),
        pytest.param({"text": "a", "first": "2026-13-01"}, "DAY_INVALID", id="no such month"),
        pytest.param({"text": "a", "first": "2026-11-02", "last": "2026-11-01"}, "DAY_INVALID", id="days exchanged"),
        pytest.param({"text": "a", "limit": 0}, "SEARCH_LIMIT", id="no limit"),
    ],
)
def test_a_question_that_cannot_be_asked_says_so(given: dict[str, Any], code: str) -> None:
    with pytest.raises(UsageError) as told:
        ask(**given)
    assert told.value.code == code


def test_an_empty_archive_answers(tmp_path: Path) -> None:
    at = firm.home(tmp_path)
    with Reader(at, firm.CORP) as reader:
        assert hits.newest(reader, Question(text="保本")) == ([], False)
        assert uninspected.count(reader, Question(text="保本")).nothing
