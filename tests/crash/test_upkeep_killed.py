"""Killed at any durable call of an erasure from all stores, or of the care of the log, and run again: the undisturbed archive, verified, nothing left."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import apache_beam  # noqa: F401  # the parent is warm: children do not import it each
import pytest

from tests import firm
from tests.crash import harness
from tests.crash.test_compact_killed import prepare
from tests.crash.test_ingest_killed import left_behind, state
from tests.firm import CORP, item, message

pytestmark = pytest.mark.crash
# By hand, of what `prepare` archives: a message with findings, a message in a room; of what waits: one of two.
ERASED = {("sealed", 1), ("sealed", 15), ("sealed", 60)}


def with_a_page_that_waits(folder: Path) -> None:
    from pipeline import clock, landing
    from pipeline.home import Home

    prepare(folder)
    body = firm.answer([item(60, message(60, "等着")), item(61, message(61, "也等着"))])
    landing.put(Home(folder / "home"), CORP, body, source="file", name="waits", captured_at_ms=clock.now_ms())


def erase(folder: Path) -> None:
    """Take records out of every store, as an erasure does."""
    from pipeline import stores
    from pipeline.home import Home

    stores.purge(Home(folder / "home"), CORP, ERASED)


def tend(folder: Path) -> None:
    """Write a checkpoint and end the entries behind it."""
    from pipeline import logcare
    from pipeline.home import Home

    logcare.tend(Home(folder / "home"), CORP, every=3, keep=0)


def found(folder: Path) -> dict[str, Any]:
    """What readers see, what waits, what a verification finds, what is left behind a day later."""
    from pipeline.home import Home
    from pipeline.landing import body, waiting
    from pipeline.verify import verify_archive

    seen = {k: v for k, v in state(folder).items() if k != "waiting"}
    home = Home(folder / "home")
    pages = sorted(body(home, ref).count(b'"seq"') for ref in waiting(home, CORP))
    findings = [f.code for f in verify_archive(home.path, CORP).findings if f.code != "ROW_MISSING"]  # nobody recorded the erasure
    firm.run(home)
    return {**seen, "records a page": pages, "findings": findings, "left behind": left_behind(folder)}


@pytest.mark.parametrize(("prepared", "work"), [(with_a_page_that_waits, erase), (prepare, tend)], ids=["erasure", "log"])
def test_killed_at_any_durable_call_and_run_again(
    tmp_path: Path, prepared: Callable[[Path], None], work: Callable[[Path], None], say: Callable[[str], None]
) -> None:
    for version in (1, 2):
        firm.private_key(version)
    run = harness.undisturbed(tmp_path, prepared, work, found)
    assert run.found["findings"] == [] and run.found["left behind"] == []
    if work is erase:
        assert not any("'seq': '1'," in row or "'seq': '15'," in row for row in map(str, run.found["messages"])) and run.found["records a page"] == [1]
    for where, after in harness.each_killed(run, harness.sampled(run.points, 5), work, work, found, say=say):
        assert after == run.found, where
