"""How long a stored archive takes to be matched again: a million messages on the cores there are (LIUHEN_BENCH_STORED for another number)."""

from __future__ import annotations

import os
import resource
import time
from pathlib import Path

import pytest

from pipeline.rescan import months
from tests import firm
from tests.bench import lake, meter

ROWS = int(os.environ.get("LIUHEN_BENCH_STORED", "1000000"))
MOST_S = 120  # for a million, on two cores

pytestmark = pytest.mark.bench


def test_rescan_match_of_a_stored_archive(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    at = firm.home(tmp_path)
    lake.make(at, tmp_path / "plain", ROWS)
    begun, used = time.monotonic(), _cpu_s()
    done = months.rescan(at, firm.CORP)
    wall, cpu = time.monotonic() - begun, _cpu_s() - used
    with capfd.disabled():
        print(f"\n{meter.machine()}\n{done.scanned} stored messages matched again in {wall:.0f} s, {cpu:.0f} s of processor time, {cpu / done.scanned * 1e6:.0f} µs each")
    assert done.scanned == ROWS
    assert cpu / 2 < MOST_S * ROWS / 1_000_000


def _cpu_s() -> float:
    return sum(r.ru_utime + r.ru_stime for r in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)))
