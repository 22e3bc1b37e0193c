"""What is alarming, what ends soon, and when a warning is due: tables with near misses."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pipeline import config
from pipeline.config import Corp, Expiry
from pipeline.errors import UsageError
from pipeline.simulate import certificate
from pipeline.watch import alarms, expiry
from pipeline.watch.expiry import Ending
from tests import firm

NOW = datetime(2026, 11, 20, 2, tzinfo=UTC)
NOW_MS = round(NOW.timestamp() * 1000)
FINE: dict[str, Any] = {
    "waiting_for_key": {}, "window_hours_left": 100.0, "pull_stopped_by": "", "last_run_at": NOW - timedelta(minutes=15), "pull_complete_at": None, "pending_breaker": 0,
    "unacknowledged_gaps": 0, "unacknowledged_failed": 0, "unacknowledged_pending": 0, "pages_waiting": 0, "people": 5, "keys": [1],
    "stale_scopes": 0, "stale_never_asked": 0, "stale_oldest_days": 0, "unknown_statuses": 0,
}  # fmt: skip


def codes(found: dict[str, Any], *endings: Ending, silent_hours: float = 2.0) -> list[str]:
    return [a.key for a in alarms.of({**FINE, **found}, list(endings), now_ms=NOW_MS, alarm_hours=24, silent_hours=silent_hours)]


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param({}, [], id="nothing"),
        pytest.param({"window_hours_left": 24.0}, ["window"], id="the window closes"),
        pytest.param({"window_hours_left": 24.1}, [], id="it does not yet"),
        pytest.param({"window_hours_left": None, "last_run_at": None}, [], id="nothing was ever pulled or run"),
        pytest.param({"waiting_for_key": {3: 7, 2: 1}}, ["key:2", "key:3"], id="two keys are unknown"),
        pytest.param({"pull_stopped_by": "SOURCE_LICENCE"}, ["stopped:SOURCE_LICENCE"], id="the licence"),
        pytest.param({"pull_stopped_by": "SOURCE_ADDRESS"}, ["stopped:SOURCE_ADDRESS"], id="the address"),
        pytest.param({"pending_breaker": 201}, ["breaker"], id="the breaker"),
        pytest.param({"unknown_statuses": 2}, ["unknown"], id="statuses that nobody knows"),
        pytest.param({"stale_scopes": 3, "stale_never_asked": 1, "stale_oldest_days": 40}, ["stale"], id="nobody asked for long"),
        pytest.param({"last_run_at": NOW - timedelta(hours=2)}, ["silent"], id="no run for two hours"),
        pytest.param({"last_run_at": NOW - timedelta(minutes=119)}, [], id="nearly two hours"),
        pytest.param({"last_run_at": NOW - timedelta(days=2), "pull_complete_at": NOW - timedelta(minutes=15)}, [], id="a week-end: each cycle finds nothing new"),
        pytest.param({"last_run_at": NOW - timedelta(days=2), "pull_complete_at": NOW - timedelta(hours=3)}, ["silent"], id="a week-end, and the cycles have stopped"),
        pytest.param({"last_run_at": None, "pull_complete_at": NOW - timedelta(hours=3)}, ["silent"], id="nothing ever came, and the cycles have stopped"),
        pytest.param({"unacknowledged_failed": 1, "window_hours_left": 1.0, "people": 0, "keys": []}, ["window", "failed", "no_people", "no_keys"], id="the urgent first"),
    ],
)  # fmt: skip
def test_what_is_alarming_is_told_and_nothing_else(found: dict[str, Any], expected: list[str]) -> None:
    assert codes(found) == expected


def test_silence_is_no_alarm_where_nobody_asked_for_it() -> None:
    assert codes({"last_run_at": NOW - timedelta(days=9)}, silent_hours=0) == []


@pytest.mark.parametrize("code", [*alarms.ORDER])
def test_every_alarm_has_words_in_both_languages(code: str) -> None:
    values = {"version": 2, "n": 3, "never": 1, "hours": 1.5, "code": "SOURCE_ADDRESS", "kind": "seats", "name": "", "day": "2026-12-01", "days": 11}
    one = alarms.Alarm(code, values)
    assert alarms.text(one, "zh") != alarms.text(one, "en") != ""


def test_of_scopes_that_were_never_asked_about_no_age_is_told() -> None:
    never, some = (alarms.text(alarms.Alarm("stale", {"n": 4, "never": n, "days": days}), "zh") for n, days in ((4, 0), (3, 20)))
    assert never.startswith("4 个仍在聊天的范围从未查询同意状态：") and "最久" not in never
    assert "其中 3 个从未查询，其余最久 20 天" in some


@pytest.mark.parametrize(
    ("left", "step"),
    [(61, None), (60, 60), (31, 60), (30, 30), (8, 30), (7, 7), (0, 7), (-1, 0), (-400, 0)],
)  # fmt: skip
def test_an_ending_is_warned_of_in_steps(left: int, step: int | None) -> None:
    assert expiry.step_of(left) == step


def test_each_step_is_warned_of_once_and_a_new_day_begins_anew() -> None:
    today, seats = date(2026, 11, 20), Ending("seats", "", date(2026, 12, 10))
    warned: dict[str, int] = {}
    told = []
    for day in range(25):
        at = today + timedelta(days=day)
        if expiry.due([seats], warned, at):
            told.append(at)
            warned[seats.key] = expiry.step_of(seats.days_left(at)) or 0
    assert told == [date(2026, 11, 20), date(2026, 12, 3), date(2026, 12, 11)]
    assert expiry.due([Ending("seats", "", date(2026, 12, 31))], warned, today)


def test_what_ends_comes_from_the_configuration_and_from_the_certificate_itself(tmp_path: Path) -> None:
    at = firm.home(tmp_path, settings={"expiry.seats": '"2027-01-31"', "expiry.certificates": '{"反向代理" = "2027-01-15"}', "wecom.ca_file": '"ca.pem"'})
    (at.path / "ca.pem").write_bytes(certificate.made()[0])
    found = expiry.endings(at)
    [made] = [e for e in found if e.name == "wecom.ca_file"]
    assert [(e.kind, e.name, e.day) for e in found if e != made] == [("certificate", "反向代理", date(2027, 1, 15)), ("seats", "", date(2027, 1, 31))]
    assert made.days_left(datetime.now(UTC).date()) in (certificate.LIFE_DAYS, certificate.LIFE_DAYS + 1)


@pytest.mark.parametrize("day", ["31.12.2026", "2026-02-30", "soon"])
def test_an_ending_that_is_no_day_is_refused_with_its_name(day: str) -> None:
    with pytest.raises(UsageError, match=r"expiry\.service is no day"):
        config.parse(config.render([Corp(id="ww1")], demo=False).replace('service = ""', f'service = "{day}"'))


def test_a_new_home_knows_of_no_ending() -> None:
    made = config.parse(config.render([Corp(id="ww1")], demo=False))
    assert made.expiry == Expiry() and expiry.configured(made.expiry) == []
