"""The cycle: steps in order, one failure does not stop the others, the most serious exit code, one at a time; the doorbell and following."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from pipeline.errors import Locked, SourceRefused, StorageError, UsageError
from pipeline.home import Home
from pipeline.source import cycle, doorbell, follow, offset
from pipeline.source.cycle import STEPS, Cycle, Step, Told, run
from pipeline.source.doorbell import Doorbell
from pipeline.source.pull import Summary
from tests import firm
from tests.source.fake import Fake, sealed


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """An empty home."""
    return firm.home(tmp_path, keys=())


CALLED: list[str] = []


def good(_: Cycle) -> Told:
    CALLED.append("good")
    return Told(told={"n": 1})


def left(_: Cycle) -> Told:
    CALLED.append("left")
    return Told(exit_code=3)


def refused(_: Cycle) -> Told:
    raise SourceRefused("SOURCE_SECRET", "no")


def unset(_: Cycle) -> Told:
    raise UsageError("LIBRARY_NOT_SET", "no vendor's library is configured")


def full(_: Cycle) -> Told:
    raise StorageError("STORAGE_FULL", "full")


def steps(*names: str) -> list[Step]:
    CALLED.clear()
    return [Step(n, f"tests.source.test_cycle:{n}") for n in names]


def of(home: Home) -> Cycle:
    return Cycle(home, firm.CORP, open_source=lambda *_: Fake())


def test_a_step_that_fails_does_not_stop_the_others_and_the_worst_code_counts(home: Home) -> None:
    told = run(of(home), steps=steps("left", "refused", "unset", "absent", "good"))
    assert (CALLED, told.exit_code) == (["left", "good"], 4)
    assert (told.steps, told.stopped) == ({"good": {"n": 1}}, {"refused": "SOURCE_SECRET"})
    assert told.skipped == {"unset": "no vendor's library is configured", "absent": "not part of this version"}


def test_a_full_disk_ends_the_cycle(home: Home) -> None:
    with pytest.raises(StorageError):
        run(of(home), steps=steps("good", "full", "left"))
    assert CALLED == ["good"]


def test_a_second_cycle_is_refused(home: Home) -> None:
    with home.lock(f"{firm.CORP}.run"), pytest.raises(Locked):
        run(of(home), steps=steps("good"))
    assert CALLED == []


def test_the_steps_are_those_of_the_interface_in_its_order() -> None:
    names = [s.name for s in STEPS]
    promised = ["pull", "consent_due", "ingest", "consent_new", "reconcile", "media", "checkpoint", "summaries"]
    assert [n for n in names if n in promised] == promised


def test_every_step_is_there() -> None:
    assert [s.name for s in STEPS if cycle.function_of(s) is None] == []


def test_a_module_that_breaks_is_not_taken_for_one_that_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> object:
        raise ModuleNotFoundError("no", name="something_else")

    monkeypatch.setattr(importlib, "import_module", broken)
    with pytest.raises(ModuleNotFoundError):
        cycle.function_of(STEPS[0])


def test_a_cycle_pulls_and_ingests_and_its_counts_add_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offset, "offset_ms", lambda _: -3)
    at, source = firm.home(tmp_path), Fake(sealed(1, 2, 3))
    own = [s for s in STEPS if s.name in ("pull", "ingest", "media")]
    told = run(Cycle(at, firm.CORP, open_source=lambda *_: source), steps=own)
    assert (told.landed, told.archived, told.pages, told.exit_code, source.closed) == (3, 3, 1, 0, True)
    assert (told.steps["pull"].records, told.skipped) == (3, {"media": "no file waits"})
    assert firm.values(at, "select clock_offset_ms from pulls") == [-3]
    again = run(Cycle(at, firm.CORP, open_source=lambda *_: Fake(sealed(1, 2, 3))), steps=own)
    assert (again.landed, again.exit_code) == (0, 0)


# --- the doorbell ---


def test_a_ring_is_heard_once_and_several_are_one(tmp_path: Path) -> None:
    bell = Doorbell(tmp_path, "ww1")
    assert not bell.rang()
    doorbell.ring(tmp_path, "ww1")
    doorbell.ring(tmp_path, "ww2")
    assert (bell.rang(), bell.rang()) == (True, False)


def test_a_ring_before_the_wait_ends_it_at_once(tmp_path: Path) -> None:
    bell, slept = Doorbell(tmp_path, "ww1"), list[float]()
    doorbell.ring(tmp_path, "ww1")
    assert bell.wait(60, sleep=slept.append) and slept == []


def test_without_a_ring_the_timer_ends_the_wait(tmp_path: Path) -> None:
    assert not Doorbell(tmp_path, "ww1").wait(0.01)
    assert not Doorbell(tmp_path, "ww1").wait(60, stop=lambda: True)


def test_following_pulls_until_it_is_told_to_stop_or_the_source_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "QUIET_S", 0.0)
    pulls: list[int] = []

    def pull() -> Summary:
        pulls.append(1)
        return Summary(run_id="r", exit_code={1: 0, 2: 3, 3: 5, 4: 4}[len(pulls)])

    told = follow.follow(pull, Doorbell(tmp_path, "ww1"), poll_s=0.0, stop=lambda: False, done=lambda _: None)
    assert (told.exit_code, len(pulls)) == (4, 4)
    pulls.clear()
    told = follow.follow(pull, Doorbell(tmp_path, "ww1"), poll_s=60, stop=lambda: len(pulls) == 1, done=lambda _: None)
    assert (told.exit_code, len(pulls)) == (0, 1)


def test_a_follower_waits_while_a_run_pulls_and_a_second_follower_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "QUIET_S", 0.0)
    ends: list[Summary | Locked] = [Summary(run_id="first"), Locked("LOCKED", "another run holds the lock"), Summary(run_id="last", exit_code=4)]

    def pull() -> Summary:
        ended = ends.pop(0)
        if isinstance(ended, Locked):
            raise ended
        return ended

    assert follow.follow(pull, Doorbell(tmp_path, "ww1"), poll_s=0.0, stop=lambda: False, done=lambda _: None).run_id == "last"
    ends[:] = [Locked("LOCKED", "another run holds the lock")]
    with pytest.raises(Locked):
        follow.follow(pull, Doorbell(tmp_path, "ww1"), poll_s=0.0, stop=lambda: False, done=lambda _: None)
