"""Killed at any durable call of a compaction and run again, the archive is what an undisturbed one makes, and nothing is left behind.

What is run is the compaction, then the unlinking of what it took out without the ten minutes' wait, and the end of the old keys.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import apache_beam  # noqa: F401  # the parent is warm: children do not import it each
import pytest

from tests import firm
from tests.crash import harness
from tests.crash.test_ingest_killed import state
from tests.firm import CORP, T0, item, message, recall, refusal

pytestmark = pytest.mark.crash


def prepare(folder: Path) -> None:
    """Two ingests of one month; two conversations, a recall, a refusal, findings, a record without its key."""
    at = firm.home(folder)
    for n in range(2):
        first, ms = n * 10, T0 - (2 - n) * 86_400_000
        told = {
            first + 1: message(first + 1, "保本保息", at_ms=ms), first + 2: {**recall(first + 2, f"m{first + 1}"), "msgtime": ms + 2000},
            first + 3: refusal(first + 3, "wmB", "e0", at_ms=ms + 1500), first + 4: message(first + 4, sender="e0", to=["wmB"], at_ms=ms + 4000),
            first + 5: message(first + 5, to=["wmA", "lisi"], room="wrROOM", at_ms=ms), first + 6: message(first + 6),
        }  # fmt: skip
        items = [item(k, m, version=2 if k % 10 == 6 else 1) for k, m in told.items()]
        firm.run(at, firm.page(folder, f"{n}.json", items))


def work(folder: Path) -> None:
    """What is killed, and run again."""
    from pipeline import compact, purges
    from pipeline.home import Home

    at = Home(folder / "home")
    compact.run(at, CORP)
    purges.run(at, CORP, at_once=True)


def found(folder: Path) -> dict[str, Any]:
    """What readers see, where it lies, under which keys, and what is left behind."""
    from pipeline import purges
    from pipeline.home import Home

    at = Home(folder / "home")
    lake = at.lake(CORP)
    files = lake.snapshot().files
    on_disk = {str(p.relative_to(lake.root)) for p in lake.root.rglob("*") if p.is_file() and "_delta_log" not in p.parts}
    for file in files:
        lake.check(file)
    return {
        **state(folder), "files": sorted((f.kind, f.month, f.bucket, f.rows) for f in files), "hot keys": [n for n in at.keyring.names() if "/hot" in n],
        "left behind": sorted(on_disk - {f.path for f in files}), "lists": [p.name for p in purges.folder(at, CORP).iterdir()],
    }  # fmt: skip


def test_killed_at_any_durable_call_and_run_again_the_compacted_archive_is_the_same(tmp_path: Path, say: Callable[[str], None]) -> None:
    for version in (1, 2):
        firm.private_key(version)
    run = harness.undisturbed(tmp_path, prepare, work, found)
    _, before = harness.child(lambda: state(run.template))
    assert {k: v for k, v in run.found.items() if k in before} == before, "an undisturbed compaction changes nothing that can be asked"
    assert run.found["left behind"] == [] and run.found["lists"] == [] and run.found["missing"] == []
    assert not [f for f in run.found["files"] if f[2] == "hot"] and len(run.found["hot keys"]) == 2
    for where, after in harness.each_killed(run, harness.sampled(run.points, 11), work, again, say=say):
        assert after == run.found, where


def again(folder: Path) -> dict[str, Any]:
    """Look at what the killed run left, run it again, and look once more."""
    between = state(folder)
    assert between["missing"] == [] and between["messages"], f"the archive is not whole after {folder.name}"
    work(folder)
    return found(folder)
