"""How fast the archive is compacted, committed to and asked, and how large it is, beside pyarrow alone on the same tables in the same run.

LIUHEN_BENCH_ROWS (default 1,000,000; ten million for the figures of the documentation) sets the size; LIUHEN_BENCH_LAKE a folder in which the
archive is kept from run to run, as it was made and as it was compacted last. Asserted are ratios, bytes and memory; seconds depend on the machine
and are printed. CPU seconds are compared: pyarrow alone may use both cores at once where we do not.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests import firm
from tests.bench import lake, meter

ROWS = int(os.environ.get("LIUHEN_BENCH_ROWS", "1000000"))
KEPT = os.environ.get("LIUHEN_BENCH_LAKE", "")
ACTIVE_FILES = 8_000
SPEED_BAR = 0.5
BYTES_BAR = 1.1
MOST_MB = 600

pytestmark = pytest.mark.bench


class Made(NamedTuple):
    """The archive as ingest leaves it, the same messages as plain files, and where the compacted archive is kept."""

    home: Path
    plain: Path
    compacted: Path

    def compact(self) -> tuple[tuple[dict[str, Any], int], tuple[dict[str, Any], int]]:
        """Compact a copy; return what was told of messages and of sealed bytes."""
        shutil.rmtree(self.compacted, ignore_errors=True)
        home = lake.linked(self.home, self.compacted / "home")
        of_messages, of_sealed = told("compaction", home, "messages"), told("compaction", home, "sealed")
        (self.compacted / "made.json").write_text(json.dumps({"rows": ROWS}))
        return of_messages, of_sealed


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Made once (once a folder and size, where LIUHEN_BENCH_LAKE names one)."""
    folder = Path(KEPT) if KEPT else tmp_path_factory.mktemp("lake")
    hot = folder / "hot"
    if _rows(hot) != ROWS:
        shutil.rmtree(hot, ignore_errors=True)
        shutil.rmtree(folder / "compacted", ignore_errors=True)
        hot.mkdir(parents=True)
        lake.make(firm.home(hot), hot / "plain", ROWS)
        (hot / "made.json").write_text(json.dumps({"rows": ROWS}))
    return Made(hot / "home", hot / "plain", folder / "compacted")


@pytest.fixture(scope="module")
def compacted(made: Made) -> Path:
    """The home of the compacted archive."""
    if _rows(made.compacted) != ROWS:
        made.compact()
    return made.compacted / "home"


def _rows(folder: Path) -> int:
    path = folder / "made.json"
    return int(json.loads(path.read_text())["rows"]) if path.exists() else 0


def told(arm: str, *arguments: object) -> tuple[dict[str, Any], int]:
    """Run an arm in a process of its own; return what it said and its peak memory in MB."""
    used = meter.run("tests.bench.lake", arm, *map(str, arguments))
    return json.loads(used.said), max(used.peaks_mb, default=0)


def files_mb(home: Path, kind: str) -> float:
    """Return the bytes of a kind on disk, as the log says, in MB."""
    from pipeline.home import Home

    return sum(f.size for f in Home(home).lake(firm.CORP).snapshot().of(kind)) / 1e6


def test_lake_compaction_is_at_least_half_as_fast_as_pyarrow_alone(made: Made, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    plain, plain_mb = told("plain", made.plain, tmp_path)
    (ours, mb), (sealed, sealed_mb) = made.compact()
    home = made.compacted / "home"
    size, sealed_size = files_mb(home, "messages"), files_mb(home, "sealed")
    bytes_ratio = size * 1e6 / plain["bytes"]
    with capfd.disabled():
        print(f"\n{meter.machine()}\n{ROWS:,} rows; seconds of CPU / on the clock")
        print(f"  pyarrow alone: read, sort, write  {plain['cpu']:7.1f} / {plain['wall']:7.1f}   {plain['bytes'] / 1e6:,.0f} MB, peak {plain_mb} MB")
        print(f"  compaction of messages            {ours['cpu']:7.1f} / {ours['wall']:7.1f}   {size:,.0f} MB, peak {mb} MB, {ours['files']} files")
        print(f"  compaction of sealed bytes        {sealed['cpu']:7.1f} / {sealed['wall']:7.1f}   {sealed_size:,.0f} MB, peak {sealed_mb} MB, {sealed['rows']:,} rows")
        print(f"  speed: {plain['cpu'] / ours['cpu']:.2f} by CPU, {plain['wall'] / ours['wall']:.2f} by the clock; bytes: {bytes_ratio:.3f} times plain zstd")
    assert ours["rows"] == plain["rows"] == ROWS
    assert plain["cpu"] / ours["cpu"] >= SPEED_BAR
    assert bytes_ratio <= BYTES_BAR
    assert max(mb, sealed_mb) <= MOST_MB


def test_lake_questions_and_one_bucket_written_again(compacted: Path, capfd: pytest.CaptureFixture[str]) -> None:
    told("indexing", compacted)
    asked, _ = told("questions", compacted)
    again, _ = told("rewriting", compacted)
    with capfd.disabled():
        print(f"\n  load {os.getloadavg()[0]:.1f}; ms on the clock / of CPU / the first time on the clock")
        for name, one in asked.items():
            print(f"  {name:<34}{one['seconds'] * 1000:8.0f} / {one['cpu'] * 1000:5.0f} / {one['first'] * 1000:5.0f}   {one['rows']:,} rows")
        print(f"  one month-bucket written again    {again['wall']:8.2f} s, {again['cpu']:.2f} of CPU   {again['rows']:,} rows, {again['bytes'] / 1e6:,.0f} MB")
    assert asked["day"]["rows"] == asked["day, sql"]["rows"] > 0
    assert asked["conversation"]["rows"] == asked["conversation, own files"]["rows"] > 0
    assert asked["day, search"]["rows"] == min(50, asked["day"]["rows"])


def test_lake_commits_with_many_active_files(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    few, _ = told("committing", firm.home(tmp_path / "few").path, 100)
    many, _ = told("committing", firm.home(tmp_path / "many").path, ACTIVE_FILES)
    with capfd.disabled():
        print(f"\n  load {os.getloadavg()[0]:.1f}; ms on the clock / of CPU")
        for at in (few, many):
            opened, committed = (" / ".join(f"{at[f'{what} {how}'] * 1000:.1f}" for how in ("wall", "cpu")) for what in ("open", "commit"))
            print(f"  {at['files']:>6,} active files: open {opened}, commit {committed}")
    assert many["files"] > ACTIVE_FILES
