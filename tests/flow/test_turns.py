"""A plan that takes longer than the pauses between the commits of others is made all the same."""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline import purges, room, schema, stores, turns
from pipeline.consenting import change
from pipeline.consenting.change import Change
from pipeline.deltalog import Snapshot
from pipeline.errors import VerifyFailed
from pipeline.home import Home
from pipeline.lake import Lake
from tests import firm
from tests.firm import CORP, T0, message

LONG_S = 60.0  # only keeps a test from hanging
SHORT_S = 0.5  # how long a plan looks whether another commit comes first


def ack() -> pa.Table:
    return schema.table("acks", {"what": ["nothing"], "until_leaf": [-1], "reason": ["r"], "actor": ["a"], "at": [T0]})


@contextmanager
def others(at: Home) -> Iterator[list[int]]:
    """Others who commit without end; gives the list of their versions."""
    over, made = threading.Event(), list[int]()

    def work() -> None:
        while not over.is_set():
            made.append(room.append(Home(at.path), CORP, [("acks", ack())], what="others"))

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield made
    finally:
        over.set()
        thread.join(LONG_S)
    assert not thread.is_alive()


def outpaced(lake: Lake, snapshot: Snapshot) -> bool:
    """Wait until another commit came first; whether one did, within the time that others need for many."""
    end = time.monotonic() + SHORT_S
    while time.monotonic() < end:
        if lake.snapshot().version != snapshot.version:
            return True
        time.sleep(0.005)
    return False


def test_a_plan_that_always_loses_is_made_in_its_turn_and_the_others_go_on(tmp_path: Path) -> None:
    at = firm.home(tmp_path)
    lost: list[bool] = []

    def plan(lake: Lake, snapshot: Snapshot, made: Change) -> bool:
        made.write(ack(), "acks")
        lost.append(outpaced(lake, snapshot))
        return True

    with others(at) as made:
        version = change.commit(at, CORP, plan, what="slow")
        assert version is not None
        end = time.monotonic() + LONG_S
        while made[-1] < version and time.monotonic() < end:
            time.sleep(0.01)
        assert made[-1] > version
    assert lost == [True] * turns.LOSSES + [False]


@pytest.mark.slow
def test_an_erasure_beside_others_who_commit_without_end_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at = firm.home(tmp_path)
    firm.run(at, firm.page(tmp_path, "a.json", {n: message(n, at_ms=T0) for n in (1, 2, 3)}))
    real = stores._take_out
    lost: list[bool] = []

    def slowly(home: Home, lake: Lake, snapshot: Snapshot, wanted: frozenset[tuple[str, int]]) -> int:
        lost.append(outpaced(lake, snapshot))
        return real(home, lake, snapshot, wanted)

    monkeypatch.setattr(stores, "_take_out", slowly)
    with others(at):
        stores.purge(at, CORP, {("sealed", 2)})
    assert lost == [True] * turns.LOSSES + [False]
    lake = at.lake(CORP)
    assert sorted(lake.read("messages", lake.snapshot().of("messages"), columns=["seq"])["seq"].to_pylist()) == [1, 3]


def test_what_a_plan_commits_in_its_turn_does_not_wait_for_it(tmp_path: Path) -> None:
    at = firm.home(tmp_path)
    with turns.held(at, CORP), turns.held(at, CORP):
        room.append(at, CORP, [("acks", ack())], what="its own")
    with turns.held(at, CORP):  # given back once, not twice
        pass


def test_a_plan_that_fails_by_itself_is_told_after_so_many_tries_and_gives_its_turn_back(tmp_path: Path) -> None:
    at = firm.home(tmp_path)
    with pytest.raises(VerifyFailed) as told, turns.tries(at, CORP) as tries:
        list(tries)
    assert told.value.code == "COMMIT_STARVED"
    assert free(at)


def free(at: Home) -> bool:
    """Whether nobody has the turn."""
    with open(at.path / "locks" / f"{CORP}.turn.lock", "ab") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def in_its_turn(home: Path, there: Path) -> None:
    with turns.held(Home(home), CORP):
        there.touch()
        time.sleep(LONG_S)


def test_the_turn_of_a_process_that_is_killed_ends_with_it(tmp_path: Path) -> None:
    at = firm.home(tmp_path)
    process = multiprocessing.get_context("spawn").Process(target=in_its_turn, args=(at.path, tmp_path / "there"))
    process.start()
    end = time.monotonic() + LONG_S
    while not (tmp_path / "there").exists() and time.monotonic() < end:
        time.sleep(0.01)
    assert not free(at)
    assert process.pid
    os.kill(process.pid, signal.SIGKILL)
    process.join(LONG_S)
    assert free(at)
    room.append(at, CORP, [("acks", ack())], what="after it")


@pytest.mark.parametrize("times", [pytest.param(1, id="once"), pytest.param(turns.LOSSES + 3, id="in its turn too")])
def test_a_plan_whose_list_an_erasure_takes_between_two_files_is_made_anew(tmp_path: Path, times: int) -> None:
    """The erasure made its commit before, so that no newer version tells of it; the list would be there again, for the second file."""
    at = firm.home(tmp_path)
    tried: list[int] = []
    scan = schema.table(
        "scans", {"scan_month": ["2026-11"], "lexicon_version": ["v"], "read_at": [T0], "scanned": [0], "added": [0], "finished_at": [T0]}
    )  # fmt: skip

    def plan(lake: Lake, snapshot: Snapshot, made: Change) -> bool:
        tried.append(snapshot.version)
        made.write(ack(), "acks")
        if len(tried) <= times:
            purges.run(Home(at.path), CORP, at_once=True)
        made.write(scan, "scans")
        return True

    assert change.commit(at, CORP, plan, what="two files") == tried[0] + 1
    assert tried == [tried[0]] * (times + 1)
    snapshot = at.lake(CORP).snapshot()
    assert (snapshot.rows("acks"), snapshot.rows("scans")) == (1, 1)
