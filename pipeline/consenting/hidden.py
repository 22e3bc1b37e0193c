"""Out of every view at once: which records are hidden before their rows are moved, as a filter on the data itself.

Before: lake.py. After: reader.py, and whoever reads content out of the lake without it; hiding.py and moving.py write.

The kind `hidden` is empty but for the moments between the commit that restricts records and the one that moves their rows; so the filter
costs nothing. A reader that was opened before looks at the stamp whenever it asks, and opens the newest version when the stamp moved on.
"""

from __future__ import annotations

import os

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from pipeline import clock, durable
from pipeline.deltalog import Snapshot
from pipeline.home import Home
from pipeline.lake import Lake

KINDS = ("messages", "sealed", "matches", "media")


def keys(lake: Lake, snapshot: Snapshot) -> dict[str, list[int]]:
    """Return the hidden records by origin, seqs ascending."""
    files = snapshot.of("hidden")
    if not files:
        return {}
    found: dict[str, set[int]] = {}
    table = lake.read("hidden", files, columns=["origin", "seq"])
    for origin, seq in zip(table["origin"].to_pylist(), table["seq"].to_pylist(), strict=True):
        found.setdefault(origin, set()).add(seq)
    return {origin: sorted(seqs) for origin, seqs in found.items()}


def visible(lake: Lake, snapshot: Snapshot) -> pc.Expression | None:
    """Return the condition that rows of `KINDS` meet when they are not hidden; None when nothing is."""
    condition: pc.Expression | None = None
    for origin, seqs in keys(lake, snapshot).items():
        hidden = (ds.field("origin") == origin) & ds.field("seq").isin(pa.array(seqs, pa.uint64()))
        condition = ~hidden if condition is None else condition & ~hidden
    return condition


def stamp(home: Home, corp_id: str) -> int:
    """Return a number that is another one whenever something went out of view; 0 before the first time.

    The time alone would not do: some file systems tell it by the second. The file is a new one each time."""
    try:
        stat = os.stat(_path(home, corp_id))
        return stat.st_mtime_ns << 64 | stat.st_ino
    except FileNotFoundError:
        return 0


def ring(home: Home, corp_id: str) -> None:
    """Move the stamp on: called after every commit that takes something out of view."""
    durable.replace(home.path / "locks" / f"{corp_id}.hidden", str(clock.now_ms()).encode())


def _path(home: Home, corp_id: str) -> str:
    return str(home.path / "locks" / f"{corp_id}.hidden")
