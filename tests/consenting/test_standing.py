"""How scopes stand: two times to every event, contradictions shown and never overwritten, as it was known at a time."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.consenting import standing
from pipeline.home import Home
from tests.cli.liuhen import liuhen
from tests.consenting.test_reconcile import disagree, told, undone
from tests.firm import CORP, T0, home


@pytest.fixture
def archive(tmp_path: Path) -> Home:
    """wmA refuses in one file; a later one says of the same second that he agrees; of wmB nobody contradicts himself."""
    at = home(tmp_path, keys=())
    told(at, disagree("wmA", T0), disagree("wmB", T0), recorded_ms=T0 + 100_000, batch="b1")
    told(at, disagree("wmA", T0, status="Agree"), recorded_ms=T0 + 150_000, batch="b2")
    return at


def rows(at: Home, known_at_ms: int | None = None) -> dict[str, tuple[object, object, object]]:
    names, found = standing.table(at, CORP, known_at_ms=known_at_ms)
    told_of = [dict(zip(names, row, strict=True)) for row in found]
    return {str(r["external_userid"]): (r["state"], r["events"], r["contradictions"]) for r in told_of}


def test_a_contradiction_is_counted_and_both_events_stay(archive: Home) -> None:
    assert rows(archive)["wmA"][1:] == (2, 1)
    assert rows(archive)["wmB"] == ("refused", 1, 0)


def test_people_read_how_a_scope_stands_in_words_and_since_when_in_beijing_time(archive: Home) -> None:
    table = liuhen(archive.path, "consent", "list", "--states", "--customer", "wmB", "--format", "table", lang="zh").out
    assert "不同意" in table and "上次查询距今（天）" in table
    assert "refused" not in table and "asked_days_ago" not in table and "T00:" not in table


@pytest.mark.parametrize(
    ("known_at_ms", "expected"),
    [
        pytest.param(T0 + 99_999, {}, id="before anything was recorded"),
        pytest.param(T0 + 100_000, {"wmA": ("refused", 1, 0), "wmB": ("refused", 1, 0)}, id="the first file"),
    ],
)
def test_what_was_known_at_a_time_leaves_out_what_came_later(archive: Home, known_at_ms: int, expected: dict[str, tuple[object, ...]]) -> None:
    assert rows(archive, known_at_ms) == expected


def test_an_import_that_was_undone_later_counts_again_at_a_time_before(archive: Home) -> None:
    undone(archive, "b1")
    assert rows(archive, T0 + 120_000)["wmB"][0] == "refused" != rows(archive)["wmB"][0]
