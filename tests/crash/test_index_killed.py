"""Killed at any durable call of making the search index and run again: the same answers at every moment, and the index an undisturbed run leaves."""

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
WORDS = ("保本", "𠮷", "🧧", "没有")


def small() -> None:
    """Small files have indexes too."""
    from pipeline.search import index, rest

    index.LEAST_ROWS = rest.LEAST_ROWS = 1


def prepare(folder: Path) -> None:
    """Indexes of files that compaction took out, one that was cut short, and files that have none."""
    from pipeline import compact
    from pipeline.search import index

    small()
    at = firm.home(folder)
    firm.run(at, firm.page(folder, "a.json", {n: message(n, f"保本{'𠮷🧧'[n % 2]}{n}", to=[f"wm{n % 3}"], at_ms=T0 - n * 86_400_000) for n in range(1, 60, 5)}))
    index.build(at, CORP)
    compact.run(at, CORP)
    index.build(at, CORP)
    cut = min((at.path / "search" / CORP).glob("*.index"))
    cut.write_bytes(cut.read_bytes()[:-1])
    firm.run(at, firm.page(folder, "b.json", {100: message(100, "保本🧧")}))


def work(folder: Path) -> None:
    from pipeline.home import Home
    from pipeline.search import index

    small()
    index.build(Home(folder / "home"), CORP)


def answers(folder: Path) -> list[list[int]]:
    from pipeline.home import Home
    from pipeline.reader import Reader
    from pipeline.search import hits
    from pipeline.search.question import Question

    small()
    with Reader(Home(folder / "home"), CORP) as reader:
        return [[h.seq for h in hits.look(reader, Question(text=word)).hits] for word in WORDS]


def found(folder: Path) -> dict[str, Any]:
    """What a search answers, what lies there, and whether all of it can be believed."""
    from pipeline.home import Home
    from pipeline.search import index

    small()
    at = Home(folder / "home")
    lake = at.lake(CORP)
    snapshot = lake.snapshot()
    fit = [index.read(at.path, lake, snapshot, f) is not None for f in index.wanted(snapshot)]
    return {"answers": answers(folder), "files": sorted(p.name for p in (at.path / "search" / CORP).iterdir()), "fit": fit}


def again(folder: Path) -> dict[str, Any]:
    """What a search answers as it was left, then everything once it was run again."""
    left = answers(folder)
    work(folder)
    return {**found(folder), "before it was run again": left}


def test_killed_anywhere_an_index_is_whole_or_not_there(tmp_path: Path, say: Callable[[str], None]) -> None:
    for version in (1, 2):
        firm.private_key(version)
    run = harness.undisturbed(tmp_path, prepare, work, found)
    assert all(run.found["fit"]) and len(run.found["fit"]) > 2
    assert [len(a) for a in run.found["answers"]] == [13, 6, 7, 0]
    expected = {**run.found, "before it was run again": run.found["answers"]}
    for where, after in harness.each_killed(run, harness.sampled(run.points, 5), work, again, say=say):
        assert after == expected, where
