"""Killed at any durable call of a sweep of fetched files that nothing names, and run again: they are gone, the others are there, the archive verifies."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import apache_beam  # noqa: F401  # the parent is warm: children do not import it each
import pytest

from tests import firm
from tests.crash import harness
from tests.firm import CORP
from tests.source.test_media import MONTH, Files, fetch, image

pytestmark = pytest.mark.crash
CONTENTS = {"f1": b"hello, files", "f2": b"the same", "f3": b"a third one", "f4": b"the same"}
DAY_MS = 24 * 3_600_000


def later(days: float) -> None:
    """What the clock says in this process from now on."""
    from pipeline import clock

    real = clock.now_ms
    clock.now_ms = lambda: real() + round(days * DAY_MS)


def prepare(folder: Path) -> None:
    """Rows of f1, f2 and f3 are gone, f4 has the content of f2; seen a day ago, and f5 is whole and not told."""
    from pipeline import stores
    from pipeline.source import media_sweep
    from pipeline.source.media_store import Partial, Reference

    at = firm.home(folder)
    firm.run(at, firm.page(folder, "a.json", {n: image(n, f"f{n}") for n in (1, 2, 3, 4)}))
    fetch(at, Files(CONTENTS))
    firm.run(at, firm.page(folder, "b.json", {5: image(5, "f5")}))
    partial = Partial(at, CORP, MONTH, Reference("sealed", 5, 0, "f5"))
    partial.add(b"of the fifth", "", True)
    partial.keep()
    stores._purge_lake(at, CORP, {("sealed", 1), ("sealed", 2), ("sealed", 3)})
    media_sweep.run(at, CORP)


def work(folder: Path) -> None:
    """The look of a day later, then a fetch."""
    from pipeline.home import Home
    from pipeline.source import media_fetch, media_sweep

    media_fetch.BATCH_S = float("inf")
    later(1.1)
    at = Home(folder / "home")
    media_sweep.run(at, CORP)
    fetch(at, Files({}))


def found(folder: Path) -> dict[str, Any]:
    """Which contents are there, and what a verification and the custody log say."""
    import hashlib

    from pipeline import clock
    from pipeline.home import Home
    from pipeline.source import media_store
    from pipeline.verify import verify_archive

    later(1.1)
    at = Home(folder / "home")
    contents = {*CONTENTS.values(), b"of the fifth"}
    there = [d for d in sorted(contents) if media_store.address(at, CORP, MONTH, hashlib.sha256(d).hexdigest()).exists()]
    report = verify_archive(at.path, CORP, now_ms=clock.now_ms())
    swept = [e for e in at.custody.entries() if e.command == "media sweep"]
    return {
        "there": [d.decode() for d in there], "findings": sorted({f.code for f in report.findings}), "files": report.counts["fetched files"],
        "media": firm.values(at, "SELECT seq, status FROM media ORDER BY seq"), "recorded first": swept[0].phase, "left": [p.name for p in at.path.rglob("*.partial")],
    }  # fmt: skip


def test_killed_at_any_durable_call_of_a_sweep_and_run_again_no_named_file_is_lost(tmp_path: Path, say: Callable[[str], None]) -> None:
    firm.private_key(1)
    run = harness.undisturbed(tmp_path, prepare, work, found)
    assert run.found["there"] == ["of the fifth", "the same"] and run.found["left"] == [] and run.found["recorded first"] == "start"
    assert run.found["media"] == [(4, "unverifiable"), (5, "unverifiable")] or run.found["media"] == [[4, "unverifiable"], [5, "unverifiable"]]
    assert run.found["findings"] == ["ROW_MISSING"]  # nobody recorded the removal of the rows
    for where, after in harness.each_killed(run, harness.sampled(run.points, 7, share=8), work, work, found, say=say):
        assert after == run.found, where
