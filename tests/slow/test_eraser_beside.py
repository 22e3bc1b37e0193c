"""An eraser beside two committers, a compactor and readers, in processes of their own, without any lock: nothing lost, nothing twice, and what
was erased never returns; the eraser takes records out as an erasure will, through the registry of stores.
"""

from __future__ import annotations

import multiprocessing
import traceback
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier, Event
from pathlib import Path
from typing import Any

import pytest

from pipeline import clock, commit, compact, landing, purges, stores
from pipeline.home import Home
from pipeline.reader import Reader
from pipeline.workbench import Workbench
from tests import firm
from tests.firm import CORP, item, message
from tests.slow.test_compact_beside import compactor, started
from tests.slow.test_two_committers import A_PAGE, PAGES, TIMEOUT_S, committer, round_of, stage

pytestmark = pytest.mark.slow
ROUNDS = 2
# By hand: of the 121 records of a round these are erased while their round is being committed; 7 is withheld, 61 a recall, 90 failed.
ERASED = (1, 2, 5, 7, 13, 61, 77, 90, 100, 121)
SEALED_KINDS = ("messages", "sealed", "matches", "withheld_sealed", "pending_sealed")


def eraser(home: str, rounds: int, barrier: Barrier, told: Queue[Any]) -> None:
    """Take records out, one by one, while their round is committed."""
    for number in range(rounds):
        barrier.wait(TIMEOUT_S)
        try:
            for n in ERASED:
                stores.purge(Home(Path(home)), CORP, {("sealed", number * 1_000 + n)})
            told.put("erased")
        except BaseException:
            told.put(traceback.format_exc())
        barrier.wait(TIMEOUT_S)


def reading(home: str, over: Event, told: Queue[Any]) -> None:
    """Ask again and again: no message twice, and no erased one of an earlier look back again."""
    asked, gone, seen = 0, set[int](), set[int]()
    try:
        while not over.is_set():
            with Reader(Home(Path(home)), CORP) as reader:
                for _ in range(3):
                    found = [r["seq"] for r in reader.rows("SELECT seq FROM messages")]
                    assert len(found) == len(set(found)), "a message twice"
                    asked += 1
            now = set(found)
            assert not gone & now, f"back again: {sorted(gone & now)}"
            gone |= seen - now
            seen |= now
        assert {g % 1_000 for g in gone} <= set(ERASED), f"lost: {sorted(gone)}"
        told.put(asked)
    except BaseException:
        told.put(traceback.format_exc())


def test_an_eraser_beside_committers_a_compactor_and_readers(tmp_path: Path) -> None:
    at = firm.home(tmp_path)
    spawn = multiprocessing.get_context("spawn")
    over, said, told, looked = spawn.Event(), spawn.Queue(), spawn.Queue(), spawn.Queue()
    barrier: Barrier = spawn.Barrier(4)
    rounds = [spawn.Process(target=committer, args=(str(at.path), ROUNDS, compact.HOT_FILES, barrier, told)) for _ in range(2)]
    rounds.append(spawn.Process(target=eraser, args=(str(at.path), ROUNDS, barrier, told)))
    endless = [spawn.Process(target=compactor, args=(str(at.path), over, said)), spawn.Process(target=reading, args=(str(at.path), over, looked))]
    with started([*rounds, *endless]):
        for number in range(ROUNDS):
            stage(at, round_of(number))
            barrier.wait(TIMEOUT_S)
            barrier.wait(TIMEOUT_S)
            ended = [told.get(timeout=TIMEOUT_S) for _ in rounds]
            assert not [e for e in ended if isinstance(e, str) and e != "erased"], "\n".join(map(str, ended))
            check_erased(at, number)
        over.set()
        ends = [said.get(timeout=TIMEOUT_S), looked.get(timeout=TIMEOUT_S)]
    assert not [e for e in ends if isinstance(e, str)], "\n".join(map(str, ends))
    # Pages that were landed again without the erased records are still to be staged.
    firm.run(at)
    compact.run(at, CORP)
    purges.run(at, CORP, at_once=True)
    check_all(at)


def check_erased(at: Home, number: int) -> None:
    """Nothing that was erased is anywhere, committed or waiting."""
    lake, snapshot = at.lake(CORP), at.lake(CORP).snapshot()
    wanted = {number * 1_000 + n for n in ERASED}
    for kind in SEALED_KINDS:
        found = set(lake.read(kind, snapshot.of(kind), columns=["seq"])["seq"].to_pylist())
        assert not found & wanted, (kind, sorted(found & wanted))


def check_all(at: Home) -> None:
    lake, snapshot = at.lake(CORP), at.lake(CORP).snapshot()
    for number in range(ROUNDS):
        check_erased(at, number)
    kept = {r * 1_000 + n for r in range(ROUNDS) for n in range(1, PAGES * A_PAGE + 2)} - {r * 1_000 + n for r in range(ROUNDS) for n in ERASED}
    records = lake.read("records", snapshot.of("records"), columns=["leaf", "seq", "fate"]).to_pylist()
    seqs = [r["seq"] for r in records]
    assert len(seqs) == len(set(seqs)) and kept <= set(seqs), "every record that was not erased is settled, once"
    assert sorted(r["leaf"] for r in records) == list(range(len(records)))
    told = firm.values(at, "select seq from messages")
    archived = {r["seq"] for r in records if r["fate"] == "archived"}
    assert len(told) == len(set(told)) == ARCHIVED_LEFT_A_ROUND * ROUNDS and set(told) == archived & kept
    for file in snapshot.files:
        lake.check(file)
    on_disk = {str(p.relative_to(lake.root)) for p in lake.root.rglob("*") if p.is_file() and "_delta_log" not in p.parts}
    assert on_disk == {f.path for f in snapshot.files}
    assert not list(at.landing(CORP).iterdir()) and not list(at.staging(CORP).iterdir())


# By hand: a round archives 115; erased are 1, 2, 5, 13, 77, 100, 121 of them.
ARCHIVED_LEFT_A_ROUND = 108


def test_a_worker_that_stages_a_page_after_an_erasure_took_it_brings_nothing_back(tmp_path: Path) -> None:
    at = firm.home(tmp_path)
    bench = Workbench(at, CORP, at.lake(CORP).snapshot())
    ref = landing.put(at, CORP, firm.answer([item(n, message(n)) for n in (1, 2, 3)]), source="file", name="a", captured_at_ms=clock.now_ms())
    walked = bench.walk(bench.landing(ref))  # the worker has read the page
    stores.purge(at, CORP, {("sealed", 2)})
    builder = bench.builder()
    builder.add(walked)
    assert builder.flush() is not None
    run = commit.Run(run_id="zombie")
    commit.commit_all(at, CORP, run)
    assert run.landed == 0 and not list(at.staging(CORP).iterdir())
    firm.run(at)
    assert firm.values(at, "select seq from messages order by seq") == [1, 3]


def test_a_commit_that_was_planned_before_an_erasure_is_planned_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The committer holds copies of its own of rows that it must not adopt as staged: nothing but the fence stops it."""
    at = firm.home(tmp_path)
    stage(at, [[item(n, message(n)) for n in (1, 2)], [item(n, message(n)) for n in (2, 3)]])
    real = commit.Plan.make
    todo = [{("sealed", 3)}]

    def make(self: commit.Plan) -> None:
        real(self)
        if todo:
            stores.purge(at, CORP, todo.pop())

    monkeypatch.setattr(commit.Plan, "make", make)
    commit.commit_all(at, CORP, commit.Run(run_id="raced"))
    assert not todo
    check = at.lake(CORP)
    assert 3 not in check.read("messages", check.snapshot().of("messages"))["seq"].to_pylist()
    firm.run(at)
    assert firm.values(at, "select seq from messages order by seq") == [1, 2]
