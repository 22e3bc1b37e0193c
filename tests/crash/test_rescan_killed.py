"""Killed at any durable call of a rescan and run again: every month is as before or done, and the end is what an undisturbed one makes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import apache_beam  # noqa: F401  # the parent is warm: children do not import it each
import pytest

from tests import firm
from tests.crash import harness
from tests.firm import CORP, T0, message

pytestmark = pytest.mark.crash
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
    run = harness.undisturbed(tmp_path, prepare, work, found)
    _, before = harness.child(lambda: found(run.template))
    assert before["words"] == [] and len(run.found["words"]) == 2
    for where, after in harness.each_killed(run, harness.sampled(run.points, 7), work, again, say=say):
        between = after.pop("between")
        assert set(between["words"]) <= set(run.found["words"]), f"something else is visible, {where}"
        assert after == run.found, where


def again(folder: Path) -> dict[str, Any]:
    """Look at what the killed run left, run it again, and look once more."""
    between = found(folder)
    work(folder)
    return {**found(folder), "between": between}
