"""Care of the log: checkpoints that say what the entries say, entries that end behind them, and nothing of ours that ended with them."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from pipeline import anchors, clock, commit, ingest, landing, logcare, schema
from pipeline.home import Home
from pipeline.logcare import tend
from pipeline.verify import verify_archive
from pipeline.workbench import Workbench
from tests import firm
from tests.firm import CORP, T0, item, message, page, run
from tests.flow.test_compact import seen


def commits(at: Home, count: int) -> None:
    """So many commits of a row each."""
    for n in range(count):
        rows = schema.table("acks", {"what": ["nothing"], "until_leaf": [-1], "reason": [f"r{n}"], "actor": ["a"], "at": [T0]})
        ingest.append(at, CORP, [("acks", rows)], what="test")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive of twelve versions, with rows of most kinds."""
    folder = tmp_path_factory.mktemp("log")
    at = firm.home(folder)
    for n in range(3):
        run(at, page(folder, f"{n}.json", {n * 10 + k: message(n * 10 + k, "保本保息") for k in range(1, 4)}))
    commits(at, 12 - at.lake(CORP).snapshot().version)
    return at.path


@pytest.fixture
def at(template: Path, tmp_path: Path) -> Home:
    return Home(Path(shutil.copytree(template, tmp_path / "home")))


def log(at: Home) -> list[str]:
    """The files of the log: versions of entries, versions of checkpoints with a c."""
    names = sorted(p.name for p in (at.path / "lake" / CORP / "_delta_log").iterdir())
    return [f"{'c' if 'checkpoint' in n else ''}{int(n[:20])}" if n[0] == "0" else n for n in names]


def test_nothing_is_done_before_it_is_due(at: Home) -> None:
    before = log(at)
    assert tend(at, CORP, every=13, keep=0) == logcare.Tended() and log(at) == before


@pytest.mark.slow
def test_the_library_writes_no_checkpoint_of_its_own(at: Home) -> None:
    commits(at, 100)
    assert not [n for n in log(at) if "c" in n]


@pytest.mark.slow
def test_a_checkpoint_is_anchored_and_every_answer_is_the_same_from_it(at: Home) -> None:
    before, lake = seen(at), at.lake(CORP)
    assert tend(at, CORP, every=12) == logcare.Tended(checkpoint=12)
    assert set(log(at)) == {*(str(n) for n in range(13)), "c12", "_last_checkpoint"}
    line = anchors.read(lake.root)[-1]
    made = (lake.root / "_delta_log" / f"{12:020d}.checkpoint.parquet").read_bytes()
    assert (line.version, line.checkpoint, line.checkpoint_sha256) == (12, 12, hashlib.sha256(made).hexdigest())
    assert seen(at) == before and not list((at.path / "staging").glob("*.log"))
    report = verify_archive(at.path, CORP)
    assert report.findings == [] and report.counts["checkpoints"] == 1
    assert tend(at, CORP, every=12) == logcare.Tended()


@pytest.mark.slow
def test_entries_end_behind_a_checkpoint_and_the_archive_goes_on_and_is_verified(at: Home, tmp_path: Path) -> None:
    before, leaf = seen(at), at.lake(CORP).snapshot().next_leaf
    tend(at, CORP, every=12)
    commits(at, 5)
    assert tend(at, CORP, every=5, keep=5) == logcare.Tended(checkpoint=17, ended=12)
    assert set(log(at)) == {*(str(n) for n in range(12, 18)), "c12", "c17", "_last_checkpoint"}
    fresh = Home(at.path)
    assert fresh.lake(CORP).snapshot().next_leaf == leaf
    found = seen(fresh)
    assert {k: v for k, v in found.items() if k != "acks"} == {k: v for k, v in before.items() if k != "acks"}
    assert run(fresh, page(tmp_path, "more.json", {90: message(90)})).summary.archived == 1
    report = verify_archive(at.path, CORP)
    assert report.findings == [] and [n.code for n in report.notes] == ["LOG_CLEANED"]
    assert anchors.read(fresh.lake(CORP).root)[-1].next_leaf == fresh.lake(CORP).snapshot().next_leaf == leaf + 1


def test_what_ended_is_in_the_anchors(at: Home) -> None:
    root = at.lake(CORP).root
    entries = {v: (root / "_delta_log" / f"{v:020d}.json").read_bytes() for v in range(13)}
    tend(at, CORP, every=12, keep=0)
    assert set(log(at)) == {"c12", "12", "_last_checkpoint"}
    known = {a.version: a for a in anchors.read(root)}
    for version, data in entries.items():
        heads = [json.loads(line)["txn"]["version"] for line in data.splitlines() if b'"txn"' in line]
        assert known[version].entry_sha256 == hashlib.sha256(data).hexdigest() and [known[version].head] == (heads or [0])


def test_without_anchors_the_next_leaf_comes_from_the_checkpoint(at: Home) -> None:
    lake = at.lake(CORP)
    leaf = lake.snapshot().next_leaf
    tend(at, CORP, every=12, keep=0)
    anchors.path_of(lake.root).unlink()
    commits(at, 1)
    assert [(a.version, a.next_leaf) for a in anchors.read(lake.root)] == [(12, leaf), (13, leaf)]


@pytest.mark.slow
def test_entries_stay_that_a_waiting_manifest_looks_back_to(at: Home) -> None:
    bench = Workbench(at, CORP, at.lake(CORP).snapshot())
    ref = landing.put(at, CORP, firm.answer([item(990, message(990))]), source="file", name="a", captured_at_ms=clock.now_ms())
    builder = bench.builder()
    builder.add(bench.walk(bench.landing(ref)))
    assert builder.flush() is not None
    commits(at, 5)
    tend(at, CORP, every=1, keep=0)
    assert not [n for n in range(13) if str(n) not in log(at)]
    commit.commit_all(at, CORP, commit.Run(run_id="late"))
    commits(at, 1)
    assert tend(at, CORP, every=1, keep=0).ended > 12
    assert firm.values(at, "select seq from messages where seq = 990") == [990]


def test_nothing_ends_behind_a_checkpoint_that_is_not_as_it_was_anchored(at: Home) -> None:
    tend(at, CORP, every=12)
    path = at.lake(CORP).root / "_delta_log" / f"{12:020d}.checkpoint.parquet"
    data = path.read_bytes()
    path.write_bytes(data[:50] + bytes([data[50] ^ 1]) + data[51:])
    assert tend(at, CORP, keep=0) == logcare.Tended() and len(log(at)) == 15


def test_a_checkpoint_that_was_changed_after_its_entries_ended_is_found(at: Home) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    tend(at, CORP, every=12, keep=0)
    path = at.lake(CORP).root / "_delta_log" / f"{12:020d}.checkpoint.parquet"
    rows = pq.read_table(path)
    adding = next(n for n, add in enumerate(rows["add"].to_pylist()) if add and add["path"] and "acks" in add["path"])
    pq.write_table(pa.concat_tables([rows.slice(0, adding), rows.slice(adding + 1)]), path)
    assert "CHECKPOINT_CHANGED" in [f.code for f in verify_archive(at.path, CORP).findings]


@pytest.mark.slow
def test_a_compaction_tends_the_log(at: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline import compact

    monkeypatch.setattr(logcare, "EVERY", 5)
    compact.run(at, CORP)
    assert [n for n in log(at) if n.startswith("c")]


def test_beside_committers_a_checkpoint_is_of_the_version_it_says(at: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit that comes between the look and the checkpoint: neither is lost, and the anchors stay in order."""
    real = logcare._made

    def slow(*args: Any) -> Any:
        commits(at, 1)
        return real(*args)

    monkeypatch.setattr(logcare, "_made", slow)
    assert tend(at, CORP, every=12).checkpoint == 12
    report = verify_archive(at.path, CORP)
    assert report.findings == [] and at.lake(CORP).snapshot().version == 13
