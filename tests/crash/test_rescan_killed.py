"""Killed at any durable call of a rescan and run again: every month is as before or done, and the end is what an undisturbed one makes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apache_beam  # noqa: F401  # the parent is warm: children do not import it each
import pytest

from tests import firm
from tests.crash import harness
from tests.firm import CORP, T0, message

pytestmark = pytest.mark.crash
SAMPLE = int(os.environ.get("LIUHEN_CRASH_SAMPLE", "0"))
WORDS = "select dt, msgid from matches where rule_id = 'words' order by all"
EVERY = "select finding_id, rule_id, lexicon_version, suppressed_by from matches_all order by all"


def prepare(folder: Path) -> None:
    """Two months, then a pack that nobody had when they were ingested."""
    from pipeline.match.packfile import ListOptions, PackSource

    at = firm.home(folder)
    told = {n: message(n, "保本保息，小蜜蜂计划", at_ms=T0 - n * 20 * 86_400_000) for n in (1, 2)}
    firm.run(at, firm.page(folder, "a.json", told))
    at.store_pack("words", PackSource("words", "小蜜蜂计划".encode(), "txt", ListOptions(id="words", category="X1", severity="high")))


def work(folder: Path) -> None:
    """What is killed, and run again."""
    from pipeline.home import Home
    from pipeline.rescan import months

    months.rescan(Home(folder / "home"), CORP, workers=1)


def found(folder: Path) -> dict[str, Any]:
    """What readers see, and that every committed file is whole."""
    from pipeline.home import Home

    at = Home(folder / "home")
    lake = at.lake(CORP)
    for file in lake.snapshot().files:
        lake.check(file)
    return {"words": [str(row) for row in firm.values(at, WORDS)], "every": [str(row) for row in firm.values(at, EVERY)]}


def test_killed_at_any_durable_call_and_run_again_the_findings_are_the_same(tmp_path: Path, say: Callable[[str], None]) -> None:
    firm.private_key(1)
    template, done = tmp_path / "template", tmp_path / "done"
    template.mkdir()
    harness.child(lambda: prepare(template))
    _, before = harness.child(lambda: found(template))
    shutil.copytree(template, done)
    _, (_, calls) = harness.child(lambda: work(done), trace=True)
    _, expected = harness.child(lambda: found(done))
    assert before["words"] == [] and len(expected["words"]) == 2
    points = harness.points(calls)
    chosen = harness.sampled(points, SAMPLE and max(SAMPLE // 8, 1), 7)
    say(f"{len(points)} kill points, {len(chosen)} taken")
    for point in sorted(chosen):
        at = tmp_path / f"{point.number}-{point.after}"
        shutil.copytree(template, at)
        died, _ = harness.child(lambda at=at: work(at), kill_at=point)  # type: ignore[misc]
        assert died == 9, f"the run ended before {point}"
        _, between = harness.child(lambda at=at: found(at))  # type: ignore[misc]
        assert set(between["words"]) <= set(expected["words"]), f"something else is visible after {point}"
        _, _ = harness.child(lambda at=at: work(at))  # type: ignore[misc]
        _, after = harness.child(lambda at=at: found(at))  # type: ignore[misc]
        assert after == expected, f"killed {'after' if point.after else 'before'} {point.what} ({point.number})"
        shutil.rmtree(at)
