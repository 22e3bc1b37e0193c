"""Findings that stand in the archive more than once (under several versions of the packs, or suppressed later): few, and looked up once a version.

Before: ../lake.py, ../stamps.py. After: ../reader.py (the internal view `lake_doubled`, which the view `matches` compares them by), index.py (keeps them).

    search/<corp>/findings.doubled    a box: stamp, then the rows as an Arrow stream

A box is believed when it opens and its stamp fits the files of findings; otherwise the findings are looked through. An erasure takes it away.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from pipeline import durable, schema, stamps
from pipeline.deltalog import Snapshot
from pipeline.lake import Lake
from pipeline.search import boxes
from pipeline.stamps import Stamp

MAKER = "findings that stand several times/1"
FOLDER, NAME = "search", "findings.doubled"
LEAST_ROWS = 20_000
COLUMNS = ("finding_id", "dt", "matched_at", "lexicon_version")


class _Box(msgspec.Struct, frozen=True):
    stamp: Stamp
    rows: bytes


def columns() -> pa.Schema:
    """Return the columns of the rows."""
    return pa.schema([schema.kind("matches").arrow.field(c) for c in COLUMNS])


def place(home_path: Path, corp_id: str) -> Path:
    """Return where the rows are kept."""
    return home_path / FOLDER / corp_id / NAME


def unit(corp_id: str) -> str:
    """Return the unit of the key that what is kept of findings and records lies under."""
    return f"{corp_id}/search"


def build(home_path: Path, lake: Lake, snapshot: Snapshot) -> bool:
    """Keep the rows where there are many findings and what is kept does not fit; return whether that was done. Caller holds `<corp>.search`."""
    few = snapshot.rows("matches") < LEAST_ROWS
    if not few and kept(home_path, lake, snapshot) is not None:
        return False
    if not boxes.clear(place(home_path, lake.corp_id)) or few:
        return False
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, columns()) as stream:
        stream.write_table(looked_up(lake, snapshot))
    box = _Box(stamps.stamp(MAKER, snapshot, snapshot.of("matches")), sink.getvalue().to_pybytes())
    durable.replace(place(home_path, lake.corp_id), lake.keyring.seal(unit(lake.corp_id), msgspec.msgpack.encode(box), context=NAME.encode()))
    return True


def kept(home_path: Path, lake: Lake, snapshot: Snapshot, damaged: set[str] | None = None) -> pa.Table | None:
    """Return the rows that are kept; None when there are none that can be believed. damaged: takes the path of what cannot be opened."""
    box = boxes.unsealed(place(home_path, lake.corp_id), lake.keyring, NAME.encode(), _Box, set() if damaged is None else damaged)
    if box is None or not stamps.fits(box.stamp, MAKER, snapshot, snapshot.of("matches")):
        return None
    return pa.ipc.open_stream(box.rows).read_all()


def looked_up(lake: Lake, snapshot: Snapshot) -> pa.Table:
    """Return the rows, by reading the ids of all findings."""
    files = snapshot.of("matches")
    counted = pc.value_counts(lake.read("matches", files, columns=["finding_id"])["finding_id"].combine_chunks())
    doubled = counted.field("values").filter(pc.greater(counted.field("counts"), 1))
    if not len(doubled):
        return columns().empty_table()
    return lake.read("matches", files, columns=list(COLUMNS), where=ds.field("finding_id").isin(doubled)).cast(columns())


class Doubled(ds.InMemoryDataset):
    """Their rows, found when first asked for. They hold ids and times: what a person may see of a finding is decided where it is shown."""

    def __init__(self, home_path: Path, lake: Lake, snapshot: Snapshot, damaged: set[str] | None = None) -> None:
        super().__init__(columns().empty_table())
        self._home, self._lake, self._snapshot, self._damaged = home_path, lake, snapshot, damaged
        self._read: ds.Dataset | None = None

    def scanner(self, **asked: Any) -> Any:
        """Return what DuckDB asks of a dataset: something with `to_reader()`."""
        if self._read is None:
            found = kept(self._home, self._lake, self._snapshot, self._damaged)
            self._read = ds.dataset(looked_up(self._lake, self._snapshot) if found is None else found)
        return self._read.scanner(**asked)
