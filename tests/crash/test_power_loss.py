"""Power lost at any durable call: what was not fsynced is gone, and the same command again makes the undisturbed archive."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import firm
from tests.crash import harness, powerloss
from tests.crash.powerloss import Journal
from tests.crash.test_ingest_killed import ingest, prepare_first, prepare_late_key, source, state

pytestmark = pytest.mark.crash
SAMPLE = int(os.environ.get("LIUHEN_CRASH_SAMPLE", "0"))


def journalled(at: Path, kill_at: int | None) -> tuple[int, list[list[Any]]]:
    """Ingest in a child that notes its durable calls and dies at one of them."""
    notes, grave = at.parent / f"{at.name}.journal", at.parent / f"{at.name}.grave"
    grave.mkdir()

    def work() -> None:
        Journal(at, notes, grave, kill_at).install()
        ingest(at)

    died, _ = harness.child(work)
    return died, powerloss.read(notes)


def clear(at: Path) -> None:
    shutil.rmtree(at)
    shutil.rmtree(at.parent / f"{at.name}.grave")
    (at.parent / f"{at.name}.journal").unlink()


@pytest.mark.parametrize("prepare", [prepare_first, prepare_late_key], ids=["ingest", "late key"])
def test_what_was_not_fsynced_may_go_and_the_archive_is_the_same(tmp_path: Path, prepare: Any, say: Callable[[str], None]) -> None:
    for version in (1, 2):
        firm.private_key(version)
    template = tmp_path / "template"
    template.mkdir()
    source(template)
    harness.child(lambda: prepare(template))
    undisturbed = tmp_path / "undisturbed"
    shutil.copytree(template, undisturbed)
    _, calls = journalled(undisturbed, None)
    _, expected = harness.child(lambda: state(undisturbed))
    points = list(range(len(calls)))
    chosen = sorted(random.Random(3).sample(points, min(max(SAMPLE // 8, 1), len(points)))) if SAMPLE else points
    # The calls around a commit are where a torn log entry can come about: they are always taken.
    logs = [n for n, c in enumerate(calls) if "_delta_log" in c[1]]
    chosen = sorted({*chosen, *logs, *(n + 1 for n in logs if n + 1 < len(calls))}) if not SAMPLE else sorted({*chosen, *logs[:4]})
    say(f"power loss: {len(points)} points, {len(chosen)} taken")
    for n, point in enumerate(chosen):
        at = tmp_path / f"at-{point}"
        shutil.copytree(template, at)
        died, noted = journalled(at, point)
        assert died == 9
        torn = ("missing", "empty", "half")[n % 3]
        powerloss.lose(at, template, noted, torn=torn)  # type: ignore[arg-type]  # one of the three
        harness.child(lambda at=at: ingest(at))  # type: ignore[misc]  # bound now
        _, found = harness.child(lambda at=at: state(at))  # type: ignore[misc]  # bound now
        assert found == expected, f"another archive after power was lost at call {point}: {calls[point][:2]}, log {torn}"
        clear(at)


def test_data_is_fsynced_before_the_commit_and_the_log_before_anything_is_unlinked(tmp_path: Path) -> None:
    firm.private_key(1)
    firm.private_key(2)
    at = tmp_path / "at"
    at.mkdir()
    source(at)
    harness.child(lambda: prepare_first(at))
    _, calls = journalled(at, None)
    first_log = next(n for n, c in enumerate(calls) if c[0] == "fsync" and c[1].endswith("00000000000000000001.json"))
    folder = next(n for n, c in enumerate(calls) if n > first_log and c[0] == "fsync" and c[1].endswith("_delta_log"))
    pages = [n for n, c in enumerate(calls) if c[0] == "unlink" and c[1].endswith(".page")]
    data = [n for n, c in enumerate(calls) if c[0] == "link" and c[2].endswith(".parquet")]
    synced = {os.path.dirname(c[1]) for n, c in enumerate(calls) if c[0] == "fsync" and n < first_log} | {c[1] for n, c in enumerate(calls) if c[0] == "fsync" and n < first_log}
    before = [n for n in data if n < first_log]
    assert before and all(os.path.dirname(calls[n][2]) in synced for n in before)
    assert pages and min(pages) > folder > first_log > max(before)
