"""How fast the archive is compacted, committed to and asked, and how large it is, beside pyarrow alone on the same tables in the same run.

LIUHEN_BENCH_ROWS (default 1,000,000; ten million for the figures of the documentation) sets the size. Asserted are ratios, bytes and
memory; seconds depend on the machine and are printed. CPU seconds are compared: pyarrow alone may use both cores at once where we do not.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests import firm
from tests.bench import lake, meter

ROWS = int(os.environ.get("LIUHEN_BENCH_ROWS", "1000000"))
ACTIVE_FILES = 8_000
SPEED_BAR = 0.5
BYTES_BAR = 1.1
MOST_MB = 600

pytestmark = pytest.mark.bench


class Made(NamedTuple):
    """The archive, and the same messages as plain files."""

    home: Path
    plain: Path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Made once; the measurements follow each other in the order of this file."""
    folder = tmp_path_factory.mktemp("lake")
    home = firm.home(folder)
    lake.make(home, folder / "plain", ROWS)
    return Made(home.path, folder / "plain")


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
    ours, mb = told("compaction", made.home, "messages")
    sealed, sealed_mb = told("compaction", made.home, "sealed")
    size, sealed_size = files_mb(made.home, "messages"), files_mb(made.home, "sealed")
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


def test_lake_questions_and_one_bucket_written_again(made: Made, capfd: pytest.CaptureFixture[str]) -> None:
    asked, _ = told("questions", made.home)
    again, _ = told("rewriting", made.home)
    with capfd.disabled():
        print()
        for name, answer in asked.items():
            print(f"  {name:<34}{answer['seconds'] * 1000:8.0f} ms  {answer['rows']:,} rows")
        print(f"  one month-bucket written again    {again['wall']:8.2f} s   {again['rows']:,} rows, {again['bytes'] / 1e6:,.0f} MB")
    assert asked["day"]["rows"] and asked["conversation"]["rows"] == asked["conversation, own files"]["rows"] > 0


def test_lake_commits_with_many_active_files(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    few, _ = told("committing", firm.home(tmp_path / "few").path, 100)
    many, _ = told("committing", firm.home(tmp_path / "many").path, ACTIVE_FILES)
    with capfd.disabled():
        print()
        for at in (few, many):
            print(f"  {at['files']:>6,} active files: open {at['open'] * 1000:6.1f} ms, commit {at['commit'] * 1000:6.1f} ms")
    assert many["files"] > ACTIVE_FILES
