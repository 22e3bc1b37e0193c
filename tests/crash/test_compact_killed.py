"""Killed at any durable call of a compaction and run again, the archive is what an undisturbed one makes, and nothing is left behind.

What is run is the compaction, then the unlinking of what it took out without the ten minutes' wait, and the end of the old keys.
"""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path
from typing import Any

import apache_beam  # noqa: F401  # the parent is warm: children do not import it each
import pytest

from tests import firm
from tests.crash import harness
from tests.crash.harness import Point
from tests.crash.test_ingest_killed import state
from tests.firm import CORP, T0, item, message, recall, refusal

pytestmark = pytest.mark.crash
SAMPLE = int(os.environ.get("LIUHEN_CRASH_SAMPLE", "0"))


def prepare(folder: Path) -> None:
    """Three ingests of two months; a recall, a refusal, findings, a record without its key."""
    at = firm.home(folder)
    for n in range(3):
        first, ms = n * 10, T0 - (40 if n == 0 else 2 - n) * 86_400_000
        told = {first + k: message(first + k, "保本保息", sender=f"e{k % 2}", to=[f"wm{k % 3}"], at_ms=ms + k * 1000) for k in range(1, 7)}
        told[first + 4] = {**recall(first + 4, f"m{first + 1}", sender="e1", to=["wm1"]), "msgtime": ms + 4000}
        told[first + 5] = refusal(first + 5, "wm2", "e0", at_ms=ms + 1500)
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


def test_killed_at_any_durable_call_and_run_again_the_compacted_archive_is_the_same(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for version in (1, 2):
        firm.private_key(version)
    template = tmp_path / "template"
    template.mkdir()
    harness.child(lambda: prepare(template))
    _, before = harness.child(lambda: state(template))
    done = tmp_path / "done"
    shutil.copytree(template, done)
    _, (_, calls) = harness.child(lambda: work(done), trace=True)
    _, expected = harness.child(lambda: found(done))
    assert {k: v for k, v in expected.items() if k in before} == before, "an undisturbed compaction changes nothing that can be asked"
    assert expected["left behind"] == [] and expected["lists"] == [] and expected["missing"] == []
    assert not [f for f in expected["files"] if f[2] == "hot"] and len(expected["hot keys"]) == 4
    points = harness.points(calls)
    chosen = random.Random(11).sample(points, min(SAMPLE, len(points))) if SAMPLE else points
    with capfd.disabled():
        print(f"\n{len(points)} kill points, {len(chosen)} taken: " + ", ".join(sorted(set(calls))))
    for point in sorted(chosen):
        assert killed_and_run_again(tmp_path, template, point) == expected, f"killed {'after' if point.after else 'before'} {point.what} ({point.number})"


def killed_and_run_again(folder: Path, template: Path, point: Point) -> Any:
    at = folder / f"{point.number}-{point.after}"
    shutil.copytree(template, at)
    died, _ = harness.child(lambda: work(at), kill_at=point)
    assert died == 9, f"the run ended before {point}"
    _, between = harness.child(lambda: state(at))
    assert between["missing"] == [] and between["messages"], f"the archive is not whole after {point}"
    harness.child(lambda: work(at))
    _, after = harness.child(lambda: found(at))
    shutil.rmtree(at)
    return after
