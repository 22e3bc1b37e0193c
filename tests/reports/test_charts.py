"""Bars: their lengths are their numbers, nothing is left out unsaid, and whatever they are called cannot act."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from xml.etree import ElementTree

import pytest

from pipeline.errors import UsageError
from pipeline.reports import charts, period
from pipeline.reports.charts import Bar

SVG = "http://www.w3.org/2000/svg"
NOON = round(datetime(2026, 11, 20, 4, tzinfo=UTC).timestamp() * 1000)


def rects(drawing: str) -> list[dict[str, str]]:
    return [r.attrib for r in ElementTree.fromstring(drawing).iter("rect")]


def texts(drawing: str) -> list[str]:
    return [t.text or "" for t in ElementTree.fromstring(drawing).iter("text")]


def test_lying_bars_are_as_long_as_their_numbers_and_say_them() -> None:
    drawing = charts.lying([Bar("甲", (("high", 30), ("low", 10))), Bar("乙", (("high", 20), ("low", 0)))], label="图")
    high, low, other = rects(drawing)
    assert float(low["x"]) == pytest.approx(float(high["x"]) + float(high["width"]), abs=0.2)
    assert float(high["width"]) == pytest.approx(3 * float(low["width"]), rel=0.01)
    assert float(other["width"]) == pytest.approx(2 * float(low["width"]), rel=0.01)
    assert texts(drawing) == ["甲", "40", "乙", "20"]


def test_standing_bars_rise_from_one_floor_and_noughts_are_drawn() -> None:
    drawing = charts.standing([Bar("2026-09", (("high", 1), ("low", 3))), Bar("2026-10", (("high", 0), ("low", 0))), Bar("2026-11", (("high", 2), ("low", 0)))], label="图")
    low, high, later = rects(drawing)
    bottoms = [float(r["y"]) + float(r["height"]) for r in (low, later)]
    assert bottoms[0] == pytest.approx(bottoms[1], abs=0.2) == pytest.approx(166, abs=0.2)
    assert float(high["y"]) + float(high["height"]) == pytest.approx(float(low["y"]), abs=0.2)
    assert texts(drawing) == ["4", "2026-09", "0", "2026-10", "2", "2026-11"]


def test_what_does_not_fit_is_summed_up_and_counted() -> None:
    bars = [Bar(f"e{n:02}", (("high", n), ("low", 1))) for n in range(1, 21)]
    short = charts.shortened(bars, others="其余", most=5)
    assert [b.name for b in short] == ["e20", "e19", "e18", "e17", "其余 (16)"]
    assert short[-1].parts == (("high", sum(range(1, 17))), ("low", 16))
    assert sum(b.total for b in short) == sum(b.total for b in bars)


@pytest.mark.parametrize("name", ['<script>alert(1)</script>"', "a&b", "甲\u202e乙\x1b[31m", "=1+1", "很" * 500])
def test_a_name_is_text_and_nothing_else(name: str) -> None:
    for drawing in (charts.lying([Bar(name, (("high", 1),))], label=name), charts.standing([Bar(name, (("high", 1),))], label="图")):
        tags = {element.tag for element in ElementTree.fromstring(drawing).iter()}
        assert tags <= {"svg", "rect", "title", "text", "line"}
        assert not re.search(r"[\x00-\x1f\u202e]", "".join(texts(charts.lying([Bar(name, (("high", 1),))], label=""))))


def test_nothing_to_draw_is_no_drawing() -> None:
    assert charts.lying([], label="图") == charts.standing([], label="图") == ""


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        pytest.param("2026-11", date(2026, 11, 1), date(2026, 11, 30), id="thirty days"), pytest.param("2024-02", date(2024, 2, 1), date(2024, 2, 29), id="a leap day"),
        pytest.param("2026-12", date(2026, 12, 1), date(2026, 12, 31), id="the last of a year"),
    ],
)  # fmt: skip
def test_a_month_has_its_first_and_last_day(text: str, first: date, last: date) -> None:
    assert period.month(text) == period.Period(first, last, text)


@pytest.mark.parametrize("text", ["2026-13", "2026-00", "2026-1", "11-2026", "", "2026-11-01", "0000-01"])
def test_what_is_no_month_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="expected a month"):
        period.month(text)


def test_days_left_out_are_those_of_the_month_so_far() -> None:
    assert period.days(None, None, now_ms=NOON) == period.Period(date(2026, 11, 1), date(2026, 11, 20), "2026-11-01 – 2026-11-20")
    assert period.days(None, date(2026, 3, 5), now_ms=NOON).first == date(2026, 3, 1)
    with pytest.raises(UsageError, match="later than"):
        period.days(date(2026, 3, 6), date(2026, 3, 5), now_ms=NOON)


@pytest.mark.parametrize(("last", "over"), [(date(2026, 11, 19), True), (date(2026, 11, 20), False)])
def test_a_period_is_over_when_its_last_day_is(last: date, over: bool) -> None:
    assert period.Period(date(2026, 11, 1), last, "").over(NOON) is over
