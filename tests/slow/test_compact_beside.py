"""Compaction beside committers and beside itself, in processes of their own; and the demonstration, compacted, asked everything.

The lock of a corp is courtesy; here everybody goes without it.
"""

from __future__ import annotations

import multiprocessing
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier, Event
from pathlib import Path
from typing import Any

import pytest

from pipeline import compact, purges
from pipeline.demo import generate
from pipeline.home import Home
from pipeline.reader import Reader
from tests import firm
from tests.cli.liuhen import liuhen
from tests.flow.test_compact import AUDITS, everything, named, on_disk
from tests.slow.test_two_committers import A_ROUND, TIMEOUT_S, check_whole, committer, round_of, stage

pytestmark = pytest.mark.slow
ROUNDS = 3


def compactor(home: str, over: Event, told: Queue[Any]) -> None:
    """Compact again and again until told to stop, and once more after that."""
    total = compact.Compacted()
    try:
        last = False
        while not last:
            last = over.is_set()
            done = compact.run(Home(Path(home)), firm.CORP)
            total = compact.Compacted(steps=total.steps + done.steps, rows=total.rows + done.rows)
        told.put(total.steps)
    except BaseException:
        told.put(traceback.format_exc())


@contextmanager
def started(processes: list[Any]) -> Iterator[None]:
    """Start processes, and leave none behind."""
    for process in processes:
        process.start()
    try:
        yield
    finally:
        for process in processes:
            process.join(10)
            if process.is_alive():
                process.kill()
                process.join()


def test_two_compactors_beside_a_committer_lose_nothing_and_make_nothing_twice(tmp_path: Path) -> None:
    at = firm.home(tmp_path)
    spawn = multiprocessing.get_context("spawn")
    over, said, told = spawn.Event(), spawn.Queue(), spawn.Queue()
    barrier: Barrier = spawn.Barrier(2)
    compactors = [spawn.Process(target=compactor, args=(str(at.path), over, said)) for _ in range(2)]
    with started([*compactors, spawn.Process(target=committer, args=(str(at.path), ROUNDS, compact.HOT_FILES, barrier, told))]):
        for number in range(ROUNDS):
            stage(at, round_of(number))
            barrier.wait(TIMEOUT_S)
            barrier.wait(TIMEOUT_S)
            counted = told.get(timeout=TIMEOUT_S)
            assert not isinstance(counted, str), counted
            with Reader(at, firm.CORP) as reader:  # a reader in between sees each message once
                seen = A_ROUND["archived"] * (number + 1)
                assert reader.rows("SELECT count(*) AS n, count(DISTINCT seq) AS d FROM messages") == [{"n": seen, "d": seen}]
        over.set()
        steps = [said.get(timeout=TIMEOUT_S) for _ in compactors]
    assert not [s for s in steps if isinstance(s, str)], "\n".join(map(str, steps))
    assert sum(steps) > ROUNDS
    compact.run(at, firm.CORP)
    purges.run(at, firm.CORP, at_once=True)
    check_whole(at, ROUNDS)
    assert not [f for f in at.lake(firm.CORP).snapshot().files if f.bucket == "hot"]


def test_the_demonstration_answers_the_same_after_compaction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, home = tmp_path / "source", tmp_path / "home"
    source.mkdir()
    truth = generate.generate(source, messages=1_000, seed=3, end_day=date(2026, 11, 20))
    passphrase: dict[str, Any] = {generate.PASSPHRASE_VARIABLE: generate.PASSPHRASE}
    for words in generate.commands(source, truth):
        assert liuhen(home, *words, **passphrase).code in (0, 3), words
    at = Home(home)
    corp = at.corp(None)
    lake = at.lake(corp)
    with Reader(at, corp) as reader:
        customer = reader.rows("SELECT customer_id AS c FROM lake_messages WHERE customer_id IS NOT NULL GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 1")
        employee = reader.rows("SELECT employee_id AS e FROM matches WHERE employee_id IS NOT NULL GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 1")
    monkeypatch.setitem(AUDITS, "customer-conversations", {"customer": customer[0]["c"]})
    monkeypatch.setitem(AUDITS, "findings-of-employee", {"employee": employee[0]["e"]})
    before, files = everything(at, corp), named(lake)
    assert all(before[f"audit {name}"] for name in ("coverage", "customer-conversations", "findings-by-category", "findings-of-employee", "consent-by-employee"))
    ended = liuhen(home, "compact")
    assert ended.code == 0 and ended.summary["steps"] and not ended.summary["left"]
    assert everything(at, corp) == before
    assert named(lake) != files and not [f for f in lake.snapshot().files if f.bucket == "hot"]
    assert purges.run(at, corp, at_once=True) and on_disk(lake) == named(lake)
    assert everything(at, corp) == before
    assert liuhen(home, "compact", "--budget", "0").summary == {"steps": 0, "files_out": 0, "files_in": 0, "rows": 0, "purged": 0, "left": 0}
