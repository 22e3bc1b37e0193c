"""No clock destroys anything: archive time follows a clock that can be right, and stands still, or goes on slowly, under one that cannot."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline import clock, trusted_clock
from pipeline.errors import UsageError
from pipeline.home import Home
from pipeline.trusted_clock import Seen, looked, remembered
from tests import firm
from tests.firm import CORP, message, page, run

MINUTE = 60_000
DAY = 86_400_000
NOON = 1_795_000_000_000


@pytest.mark.parametrize(
    ("times", "archive", "due", "verdict"),
    [
        pytest.param([0], 0, 0, "right", id="the first look believes what it sees"),
        pytest.param([0, 3 * DAY], 3 * DAY, 3 * DAY, "right", id="three days later"),
        pytest.param([0, 5 * DAY], 5 * DAY, 5 * DAY, "right", id="five days later"),
        pytest.param([0, 5 * DAY + 1], 0, 0, "ahead", id="more than five days ahead"),
        pytest.param([0, 365 * DAY], 0, 0, "ahead", id="a year ahead"),
        pytest.param([0, 365 * DAY, 365 * DAY + 9 * MINUTE], 9 * MINUTE, 9 * MINUTE, "ahead", id="a year ahead, nine minutes later"),
        pytest.param([0, 365 * DAY, 730 * DAY], 0, 0, "ahead", id="ahead, and ahead again"),
        pytest.param([0, 365 * DAY, MINUTE], MINUTE, MINUTE, "right", id="ahead, then set right"),
        pytest.param([0, -5 * MINUTE], 0, -5 * MINUTE, "right", id="adjusted by minutes"),
        pytest.param([0, -DAY], 0, -DAY, "behind", id="set back a day"),
        pytest.param([0, -DAY, -DAY + 30 * MINUTE], 0, -DAY + 30 * MINUTE, "behind", id="set back a day, half an hour later"),
        pytest.param([0, -DAY, 2 * MINUTE], 2 * MINUTE, 2 * MINUTE, "right", id="set back, then set right"),
        pytest.param([0, 2 * DAY, MINUTE], 2 * DAY, MINUTE, "behind", id="two days ahead were believed: what is due goes by the clock set right"),
    ],
)
def test_archive_time(times: list[int], archive: int, due: int, verdict: str) -> None:
    seen = remembered(NOON + t for t in times)
    assert seen is not None
    assert (seen.archive_ms - NOON, seen.due_ms - NOON, seen.verdict) == (archive, due, verdict)


def test_no_order_of_looks_makes_more_due_than_the_clock_says_or_than_time_has_passed() -> None:
    """All ways of three looks at five clocks; the oracle: due is never later than the clock, and never jumps by more than five days."""
    clocks = [-400 * DAY, -DAY, 0, 4 * DAY, 400 * DAY]
    for a in clocks:
        for b in clocks:
            for c in clocks:
                before = looked(looked(looked(None, NOON), NOON + a), NOON + b)
                after = looked(before, NOON + c)
                assert after.due_ms <= NOON + c
                assert before.archive_ms <= after.archive_ms <= before.archive_ms + 5 * DAY


@pytest.fixture
def at(tmp_path: Path) -> Home:
    return firm.home(tmp_path)


def set_clock(monkeypatch: pytest.MonkeyPatch, ahead_ms: int) -> None:
    real = firm.T0
    monkeypatch.setattr(clock, "now_ms", lambda: real + ahead_ms)


def test_what_is_remembered_survives_and_minutes_are_not_written_down(at: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = at.path / "custody/clock.seen"
    trusted_clock.confirm(at)
    set_clock(monkeypatch, 0)
    trusted_clock.confirm(at)
    written = memory.read_bytes()
    assert json.loads(written) == {"archive_ms": firm.T0, "machine_ms": firm.T0}
    set_clock(monkeypatch, MINUTE - 1)
    assert trusted_clock.now_ms(at) == firm.T0 + MINUTE - 1 and memory.read_bytes() == written
    set_clock(monkeypatch, 365 * DAY)
    assert trusted_clock.now_ms(at) == firm.T0
    assert json.loads(memory.read_bytes()) == {"archive_ms": firm.T0, "machine_ms": firm.T0 + 365 * DAY}
    assert trusted_clock.look(Home(at.path)).verdict == "ahead"


@pytest.mark.parametrize(
    ("ahead", "code"),
    [pytest.param(365 * DAY, "CLOCK_AHEAD", id="forward a year"), pytest.param(-DAY, "CLOCK_BEHIND", id="back a day")],
)
def test_a_destruction_is_refused_until_the_clock_is_confirmed(at: Home, monkeypatch: pytest.MonkeyPatch, ahead: int, code: str) -> None:
    set_clock(monkeypatch, 0)
    trusted_clock.confirm(at)
    assert trusted_clock.believed_ms(at) == firm.T0
    set_clock(monkeypatch, ahead)
    with pytest.raises(UsageError, match="nothing is destroyed") as told:
        trusted_clock.believed_ms(at)
    assert told.value.code == code
    before = trusted_clock.confirm(at)
    assert (before.archive_ms, before.machine_ms) == (firm.T0, firm.T0 + ahead)
    assert trusted_clock.believed_ms(at) == firm.T0 + ahead


@pytest.mark.parametrize("lost", [pytest.param(None, id="gone"), pytest.param(b'{"archive', id="torn")])
def test_a_lost_memory_is_made_again_from_the_anchors(at: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: bytes | None) -> None:
    run(at, page(tmp_path, "a.json", {1: message(1)}))
    memory, anchored = at.path / "custody/clock.seen", trusted_clock._anchored(at.path / "lake" / CORP)
    trusted_clock.watch(at)
    if lost is None:
        memory.unlink()
    else:
        memory.write_bytes(lost)
    real = clock.now_ms()
    monkeypatch.setattr(clock, "now_ms", lambda: real + 365 * DAY)
    assert trusted_clock.look(at) == Seen(anchored[-1], real + 365 * DAY)


def test_withheld_bytes_that_came_under_a_clock_set_back_are_kept_as_long(at: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = clock.now_ms()
    trusted_clock.confirm(at)
    monkeypatch.setattr(clock, "now_ms", lambda: real - 400 * DAY)
    run(at, page(tmp_path, "a.json", {1: firm.refusal(1, at_ms=firm.T0), 2: message(2, sender="wmA", to=["zhangsan"])}))
    lake = at.lake(CORP)
    (until,) = [r["keep_until"] for r in lake.read("records", lake.snapshot().of("records")).to_pylist() if r["fate"] == "withheld"]
    assert abs(until.timestamp() * 1000 - (real + 15 * DAY)) < 5 * MINUTE
