"""`--lexicon OLD`: a report made while older packs were in force comes out as it did."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline import earlier_packs
from pipeline.errors import UsageError
from pipeline.match.packfile import ListOptions, PackSource
from pipeline.reader import Reader
from pipeline.rescan import months
from tests import firm
from tests.cli.liuhen import liuhen
from tests.firm import CORP, home, message, page, run

from .conftest import Archive

DAY = "2026-03-0{}"
# finding, packs it was found under, when (March, day)
FOUND = [("early", "old", 1), ("early", "new", 5), ("only-old", "old", 1), ("only-new", "new", 5), ("after", "new", 6), ("again", "old", 8)]


def matched(archive: Archive, scans: list[tuple[str, int]]) -> Archive:
    """Fill the lake with FOUND, and with rescans of March (packs, day)."""
    archive.with_lake()
    for finding, version, day in FOUND:
        row = {"finding_id": finding, "origin": "sealed", "seq": 1, "dt": "2026-03-01", "lexicon_version": version, "matched_at": f"2026-03-0{day} 12:00:00+08:00"}
        archive.insert("lake_matches", row)
    for version, day in scans:
        read, done = f"2026-03-0{day} 11:00:00+08:00", f"2026-03-0{day} 12:30:00+08:00"
        archive.insert("lake_scans", {"scan_month": "2026-03", "lexicon_version": version, "read_at": read, "finished_at": done})
    return archive


def counted(archive: Archive) -> list[str]:
    return [row[0] for row in archive.ask("SELECT finding_id FROM matches ORDER BY 1")]


def test_the_packs_in_force_decide_without_the_option(archive: Archive) -> None:
    assert counted(matched(archive, [("new", 5)])) == ["after", "again", "early", "only-new"]


def test_old_packs_show_what_had_been_found_when_they_were_last_in_force(archive: Archive) -> None:
    matched(archive, [("new", 5)])
    archive.connection.execute("DELETE FROM lake_matches WHERE finding_id = 'again'")
    earlier_packs.use(archive.connection, "old")
    assert counted(archive) == ["early", "only-old"]


def test_packs_that_came_back_are_in_force_until_they_end_again(archive: Archive) -> None:
    matched(archive, [("new", 5)])
    earlier_packs.use(archive.connection, "old")
    assert counted(archive) == ["after", "again", "early", "only-new"]


def test_packs_that_nothing_was_matched_under_are_refused_with_where_to_look(archive: Archive) -> None:
    matched(archive, [])
    with pytest.raises(UsageError) as refused:
        earlier_packs.use(archive.connection, "o'ld")
    assert refused.value.code == "LEXICON_VERSION_UNKNOWN" and "matches_all" in str(refused.value)


@pytest.mark.slow
def test_a_report_of_last_month_comes_out_as_it_did_after_new_packs(tmp_path: Path) -> None:
    at = home(tmp_path)
    run(at, page(tmp_path, "a.json", {1: message(1, "这款保本保息"), 2: message(2, "小蜜蜂计划，保本保息")}))
    [old] = {row["v"] for row in firm.rows(at, "SELECT DISTINCT lexicon_version AS v FROM matches_all")}
    asked = ["audit", "run", "findings", "-p", "by=category"]
    before = liuhen(at.path, *asked)
    assert [(r["value"], r["findings"]) for r in before.rows] == [("C01", 2)]
    at.store_pack("words", PackSource("words", "小蜜蜂计划".encode(), "txt", ListOptions(id="words", category="X1", severity="high")))
    months.rescan(at, CORP, workers=1)
    assert [(r["value"], r["findings"]) for r in liuhen(at.path, *asked).rows] == [("C01", 2), ("X1", 1)]
    again = liuhen(at.path, *asked, "--lexicon", old)
    assert again.rows == before.rows
    assert liuhen(at.path, *asked, "--lexicon", "none").code == 2
    with Reader(at, CORP, lexicon=old) as reader:
        assert reader.rows("SELECT count(*) AS n FROM matches") == [{"n": 2}]
