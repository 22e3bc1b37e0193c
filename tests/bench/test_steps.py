"""Where the CPU goes: the same walk as in a run, in one process, with a clock on every step.

LIUHEN_BENCH_STEPS (default 40,000 messages) sets the size. Nothing is asserted but that every message was settled.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ParamSpec, TypeVar

import pytest

from pipeline import commit, envelope, ingest, landing
from pipeline.workbench import Settings, Workbench, open_workbench
from tests import firm
from tests.bench import meter, workload
from tests.bench.workload import Workload

MESSAGES = int(os.environ.get("LIUHEN_BENCH_STEPS", "40000"))

pytestmark = pytest.mark.bench
P = ParamSpec("P")
R = TypeVar("R")


class Clock:
    """CPU seconds by step."""

    def __init__(self) -> None:
        self.spent: Counter[str] = Counter()

    def on(self, step: str, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call, and add what it took to `step`."""
        begun = time.process_time()
        try:
            return call(*args, **kwargs)
        finally:
            self.spent[step] += time.process_time() - begun  # type: ignore[assignment]  # a Counter counts seconds as well


class ClockedRsa:
    """The RSA of a run as installed, told apart from the rest of the envelope."""

    def __init__(self, rsa: envelope.Rsa, clock: Clock) -> None:
        self._rsa, self._clock = rsa, clock

    def decrypt_many(self, blocks: Sequence[tuple[int, bytes]]) -> list[bytes | None]:
        """See envelope.Rsa."""
        return self._clock.on("RSA", self._rsa.decrypt_many, blocks)


def test_steps_of_one_process(tmp_path: Path) -> None:
    work, home = workload.make(tmp_path / "sealed", MESSAGES), workload.home(tmp_path)
    version = home.lake(firm.CORP).snapshot().version
    bench = open_workbench(Settings(home=str(home.path), corp_id=firm.CORP, version=version, key_state="bench"))
    warm = (bench.rsa, bench.register, bench.directory, bench.packs, bench.policy)  # opened before the clock starts
    assert all(part is not None for part in warm)
    clock, run = Clock(), commit.Run(run_id="bench")
    clock.on("land (split, check, fsync)", ingest.land, home, firm.CORP, sorted(work.pages.iterdir()), [], ingest.silent)
    walk(bench, clock, work)
    clock.on("commit", commit.commit_all, home, firm.CORP, run)
    assert run.landed == work.messages
    show(clock, work)


def walk(bench: Workbench, clock: Clock, work: Workload) -> None:
    """Take every landed page to staged files."""
    builder, rsa = bench.builder(), ClockedRsa(bench.rsa, clock)
    for ref in list(landing.waiting(bench.home, bench.corp_id)):
        page, malformed = clock.on("landing (read)", landing.read, bench.home, ref)
        opened = clock.on("envelope with RSA", envelope.open_page, page, malformed, keys=bench.keys, rsa=rsa)
        parsed = clock.on("message", bench.message, opened)
        gated = clock.on("consent", bench.consent, parsed)
        matched = clock.on("matching", bench.matching, gated)
        clock.on("stage: commitments, masking, rows", builder.add, matched)
        if builder.full:
            clock.on("stage: Arrow, Parquet, fsync", builder.flush)
    clock.on("stage: Arrow, Parquet, fsync", builder.flush)


def show(clock: Clock, work: Workload) -> None:
    """Print microseconds a message by step."""
    spent = dict(clock.spent)
    spent["envelope without RSA"] = spent.pop("envelope with RSA") - spent["RSA"]
    whole = sum(spent.values())
    print(f"\n{meter.machine()}\n{work.messages} messages, one process; CPU µs a message")
    for step, seconds in spent.items():
        print(f"  {step:36s}{seconds / work.messages * 1e6:8.1f}{seconds / whole:8.1%}")
    print(f"  {'all but RSA':36s}{(whole - spent['RSA']) / work.messages * 1e6:8.1f}   ratio of RSA {spent['RSA'] / whole:.3f}")
