"""Matters as people read them, and the day on which their holds are looked at again."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from pipeline import clock, holds, words
from pipeline.evidence import matter
from pipeline.home import Home
from pipeline.reader import Reader
from pipeline.watch import expiry
from tests import firm
from tests.cli.inside import Answer
from tests.firm import CORP

NOW_MS = clock.now_ms()
TODAY = words.moment(NOW_MS).date()


@pytest.fixture(autouse=True)
def _still(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock stands still: no midnight comes between what is set and what is counted."""
    monkeypatch.setattr(clock, "now_ms", lambda: NOW_MS)


def opened(at: Home, name: str, *more: str) -> None:
    ended = Answer(at, "--lang", "en", "matter", "open", name, "--title", "投诉", "--customer", "wmA", *more)
    assert ended.code == 0, ended.err


@pytest.fixture
def at(tmp_path: Path) -> Home:
    return firm.home(tmp_path, keys=())


def days(at: Home) -> dict[str, int]:
    """In how many days the holds of each matter are looked at again."""
    with Reader(at, CORP) as reader:
        return {name: (day - TODAY).days for name, day in matter.reviews(at, reader.lake, reader.snapshot).items()}


def test_a_hold_is_looked_at_again_after_a_year_where_no_day_is_given(at: Home) -> None:
    opened(at, "M1")
    opened(at, "M2", "--review-on", (TODAY + timedelta(days=40)).isoformat())
    assert days(at) == {"M1": 365, "M2": 40}
    (at.path / "liuhen.toml").write_text((at.path / "liuhen.toml").read_text().replace("review_days = 365", "review_days = 0"))
    opened(Home(at.path), "M3")
    assert days(Home(at.path)) == {"M1": 365, "M2": 40}  # a day that was set is not moved by the setting


def test_a_matter_without_an_open_hold_is_not_warned_of_and_a_closed_one_with_a_hold_is(at: Home) -> None:
    opened(at, "M1")
    opened(at, "M2")
    first = next(h for h in Answer(at, "hold", "list").rows if h["matter"] == "M1")["hold_id"]
    assert Answer(at, "hold", "release", first, "--reason", "settled").code == 0
    assert Answer(at, "matter", "close", "M2", "--reason", "settled").code == 0
    assert days(at) == {"M2": 365}


def test_a_review_day_that_comes_near_or_passed_is_told_by_hold_list_status_and_the_heartbeat(at: Home) -> None:
    opened(at, "M1", "--review-on", (TODAY + timedelta(days=30)).isoformat())
    opened(at, "M2", "--review-on", (TODAY - timedelta(days=1)).isoformat())
    opened(at, "M3", "--review-on", (TODAY + timedelta(days=61)).isoformat())
    listed = Answer(at, "--lang", "en", "hold", "list")
    assert sorted(r["review_in_days"] for r in listed.rows) == [-1, 30, 61]
    status = json.loads(Answer(at, "status", "--format", "json").out)
    assert [(a["code"], a["values"]["kind"], a["values"]["days"]) for a in status["alarms"] if a["code"] == "expiry"] == [("expiry", "review", -1), ("expiry", "review", 30)]
    assert "M1" not in json.dumps(status), "the name of a matter is not for whoever sees counts"
    due = expiry.due(expiry.endings(at, status["hold_reviews"]), {}, TODAY)
    assert [(e.kind, e.name, e.days_left(TODAY)) for e in due] == [("review", "× 1", -1), ("review", "× 1", 30)]


def test_a_matter_is_shown_as_people_read_and_as_one_object(at: Home) -> None:
    opened(at, "M1", "--review-on", "2027-05-04")
    hold = holds.all_of(at.lake(CORP), at.lake(CORP).snapshot())[0]
    shown = Answer(at, "matter", "show", "M1", "--format", "table").out
    assert "投诉" in shown and "2027-05-04" in shown and hold.hold_id in shown and "{" not in shown
    told = json.loads(Answer(at, "matter", "show", "M1", "--format", "json").out)
    assert (told["matter"], told["review_on"], [h["hold_id"] for h in told["holds"]]) == ("M1", "2027-05-04", [hold.hold_id])
    assert Answer(at, "matter", "show", "M1").rows == [told]


def test_a_matter_proposes_conversations_with_the_names_of_the_time(tmp_path: Path) -> None:
    home = firm.home(tmp_path)
    (tmp_path / "people.jsonl").write_text('{"userid":"zhangsan","kind":"employee","name":"张三"}\n{"userid":"wmA","kind":"external","name":"王红"}\n')
    assert Answer(home, "people", "import", str(tmp_path / "people.jsonl")).code == 0
    firm.run(home, firm.page(tmp_path, "p.json", {1: firm.message(1), 2: firm.message(2, sender="wmA", to=["zhangsan"])}))
    ended = Answer(home, "matter", "open", "M1", "--title", "投诉", "--customer", "wmA")
    assert ended.out.split() == ["wmA|zhangsan", "(王红", "/", "张三)", "2026-11-20", "–", "2026-11-20", "2", "条消息"]
