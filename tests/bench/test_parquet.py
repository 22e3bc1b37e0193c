"""What encryption costs: the archive's files beside the same tables in plain Parquet, written and read in turn.

The plain files take the same columns, compression and row groups; they are written to memory and to nowhere else, the archive's are
durable (fsync) and have their digest taken.
"""

from __future__ import annotations

import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import landing, schema
from pipeline.deltalog import DataFile
from pipeline.ingest import land, silent
from pipeline.lake import Lake
from pipeline.workbench import Settings, open_workbench
from tests import firm
from tests.bench import meter, workload

MESSAGES = 20_000
ROUNDS = 3

pytestmark = pytest.mark.bench


def test_lake_files_beside_plain_parquet(tmp_path: Path) -> None:
    tables, lake = gathered(tmp_path)
    print(f"\n{meter.machine()}\nCPU µs a row, best of {ROUNDS} rounds in turn")
    for kind, month, bucket, table in tables:
        if table.num_rows < MESSAGES // 2:
            continue
        best = {"write": [9e9, 9e9], "read": [9e9, 9e9]}
        for _ in range(ROUNDS):
            for column, (written, read) in enumerate((plain(table, kind), ours(lake, table, kind, month, bucket))):
                best["write"][column], best["read"][column] = min(best["write"][column], written), min(best["read"][column], read)
        for what, (bare, archive) in best.items():
            print(f"  {kind:10s}{what:7s} plain {bare / table.num_rows * 1e6:6.2f}   archive {archive / table.num_rows * 1e6:6.2f}   {archive / bare:5.2f} x")


def gathered(folder: Path) -> tuple[list[tuple[str, str, str, pa.Table]], Lake]:
    """Return the tables of one flush, as staging makes them."""
    work, home = workload.make(folder / "sealed", MESSAGES), workload.home(folder)
    land(home, firm.CORP, sorted(work.pages.iterdir()), [], silent)
    lake = home.lake(firm.CORP)
    bench = open_workbench(Settings(home=str(home.path), corp_id=firm.CORP, version=lake.snapshot().version, key_state="lake"))
    builder = bench.builder()
    for ref in landing.waiting(home, firm.CORP):
        builder.add(bench.walk(bench.landing(ref)))
    return builder.tables(), lake


def plain(table: pa.Table, kind: str) -> tuple[float, float]:
    """Return CPU seconds to write and to read plain Parquet."""
    begun = time.process_time()
    sink = pa.BufferOutputStream()
    pq.write_table(table.sort_by([(c, "ascending") for c in schema.kind(kind).order]), sink, compression="zstd", row_group_size=20_480)
    written = time.process_time()
    assert pq.read_table(pa.BufferReader(sink.getvalue())).num_rows == table.num_rows
    return written - begun, time.process_time() - written


def ours(lake: Lake, table: pa.Table, kind: str, month: str, bucket: str) -> tuple[float, float]:
    """Return CPU seconds to write and to read a file of the archive."""
    begun = time.process_time()
    file: DataFile = lake.write(table, kind, month=month, bucket=bucket)
    written = time.process_time()
    assert lake.read(kind, [file]).num_rows == table.num_rows
    return written - begun, time.process_time() - written
