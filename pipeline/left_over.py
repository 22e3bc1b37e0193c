"""What is left over: records that failed or wait, which of them nobody has acknowledged, and which keys they wait for.

Before: lake.py. After: ingest.py (exit code 3), `status`, `keys list`, `ack`.
An acknowledgement covers what was settled before it, by leaf number; what comes later alarms again.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import clock, custody, schema
from pipeline.errors import UsageError
from pipeline.home import Home
from pipeline.search import rest

LEFT = ("failed", "pending")
WAITS_FOR_KEY = ("KEY_MISSING", "KEY_WRONG")


class LeftOver(msgspec.Struct, frozen=True):
    """One record that failed or is pending, as it stands now."""

    fate: str
    code: str | None
    key_version: int | None
    leaf: int


def current(home: Home, corp_id: str, rows: pa.Table | None = None) -> list[LeftOver]:
    """Return every record whose newest fate is failed or pending. rows: what `rest.rows_of` returned, where it was asked already."""
    lake = home.lake(corp_id)
    rows = rest.newest(rest.rows_of(home.path, lake, lake.snapshot()) if rows is None else rows)  # what was left over once is not simply archived
    left = rows.filter(pc.is_in(rows["fate"], value_set=pa.array(LEFT)))
    return [LeftOver(*row) for row in zip(*(left[c].to_pylist() for c in ("fate", "code", "key_version", "leaf")), strict=True)]


def waiting_by_key(home: Home, corp_id: str, left: list[LeftOver] | None = None) -> dict[int, int]:
    """Return how many sealed records wait for the private key of each version. left: what `current` returned, where it was asked already."""
    found = current(home, corp_id) if left is None else left
    return dict(Counter(r.key_version for r in found if r.code in WAITS_FOR_KEY and r.key_version is not None))


def unacknowledged(home: Home, corp_id: str, left: list[LeftOver] | None = None) -> Counter[str]:
    """Return how many records are left over that no acknowledgement covers, by fate. left: as for `waiting_by_key`."""
    until = {r["what"]: r["until_leaf"] for r in acknowledgements(home, corp_id)}
    found = current(home, corp_id) if left is None else left
    return Counter(r.fate for r in found if r.leaf > until.get(r.fate, -1))


def acknowledgements(home: Home, corp_id: str) -> list[dict[str, Any]]:
    """Return all acknowledgements, oldest first."""
    lake = home.lake(corp_id)
    return sorted(lake.read("acks", lake.snapshot().of("acks")).to_pylist(), key=lambda r: (r["until_leaf"], r["at"]))


def acknowledge(home: Home, corp_id: str, item: str, reason: str) -> int:
    """Acknowledge all that is left over now under `item` (failed or pending); return how many records that covers."""
    from pipeline.room import append

    if item not in LEFT:
        raise UsageError("ACK_UNKNOWN", f"expected one of {', '.join(LEFT)}, got {item}", remedy="`liuhen status` shows what is left over")
    found = [r for r in current(home, corp_id) if r.fate == item]
    if found:
        row = {"what": item, "until_leaf": max(r.leaf for r in found), "reason": reason, "actor": custody.actor(), "at": clock.now_ms()}
        append(home, corp_id, [("acks", schema.table("acks", {k: [v] for k, v in row.items()}))], what="ack")
    return len(found)
