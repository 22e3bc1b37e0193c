"""Findings that stand in the archive more than once (under several versions of the packs, or suppressed later): few, and looked up once a version.

Before: ../lake.py. After: ../reader.py (the internal view `lake_doubled`, which the view `matches` compares them by).
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from pipeline import schema
from pipeline.lake import Lake, Snapshot

COLUMNS = ("finding_id", "dt", "matched_at", "lexicon_version")


class Doubled(ds.InMemoryDataset):
    """Their rows, found when first asked for. They hold ids and times: what a person may see of a finding is decided where it is shown."""

    def __init__(self, lake: Lake, snapshot: Snapshot) -> None:
        super().__init__(pa.schema([schema.kind("matches").arrow.field(c) for c in COLUMNS]).empty_table())
        self._lake, self._snapshot = lake, snapshot
        self._read: ds.Dataset | None = None

    def scanner(self, **asked: Any) -> Any:
        """Return what DuckDB asks of a dataset: something with `to_reader()`."""
        if self._read is None:
            self._read = ds.dataset(self._rows().cast(self.schema))
        return self._read.scanner(**asked)

    def _rows(self) -> pa.Table:
        files = self._snapshot.of("matches")
        counted = pc.value_counts(self._lake.read("matches", files, columns=["finding_id"])["finding_id"].combine_chunks())
        doubled = counted.field("values").filter(pc.greater(counted.field("counts"), 1))
        if not len(doubled):
            return self.schema.empty_table()
        return self._lake.read("matches", files, columns=list(COLUMNS), where=ds.field("finding_id").isin(doubled))
