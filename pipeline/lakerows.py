"""From rows of the lake to the plain values the pure steps take, and back: register events, directory entries.

Before: lake.py. After: workbench.py, commit.py, the commands that change register or directory.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds

from pipeline import schema
from pipeline.deltalog import DataFile, Snapshot
from pipeline.directory import Directory, Entry
from pipeline.lake import Lake
from pipeline.register import Event


def _ms(value: datetime | None) -> int | None:
    return None if value is None else round(value.timestamp() * 1000)


def events_of(lake: Lake, snapshot: Snapshot) -> list[Event]:
    """Return all events of the consent register."""
    return events_in(lake, snapshot.of("consent"))


def events_in(lake: Lake, files: Sequence[DataFile]) -> list[Event]:
    """Return the events that lie in some files of the register."""
    rows = lake.read("consent", files).to_pylist()
    return [
        Event(
            event_id=r["event_id"], userid=r["userid"], room_id=r["room_id"], external_userid=r["external_userid"], status=r["status"],
            changed_at_ms=_ms(r["changed_at"]), precision=r["precision"], source=r["source"], source_msgid=r["source_msgid"],
            recorded_at_ms=_ms(r["recorded_at"]) or 0, flag=r["flag"], batch=r["batch"], document_digest=r["document_digest"], undoes=r["undoes"],
        )
        for r in rows
    ]  # fmt: skip


def directory_of(lake: Lake, snapshot: Snapshot) -> Directory:
    """Return the directory of people. Customers whom WeCom names are left out: they prove nothing, and there may be a million of them."""
    return directory_in(lake, snapshot.of("people"))


def directory_in(lake: Lake, files: Sequence[DataFile]) -> Directory:
    """Return the directory that some files of `people` make."""
    named = (ds.field("kind") == "external") & (ds.field("source") == "contacts")
    rows = lake.read("people", files, where=~named).to_pylist()
    return Directory.of(
        Entry(
            userid=r["userid"], kind=r["kind"], name=r["name"], alias=r["alias"], department=r["department"], valid_from_ms=_ms(r["valid_from"]),
            valid_to_ms=_ms(r["valid_to"]), source=r["source"], recorded_at_ms=_ms(r["recorded_at"]) or 0,
        )
        for r in rows
    )  # fmt: skip


# Columns whose values carry their unit in their name.
_WITH_UNIT = {name: f"{name}_ms" for name in ("changed_at", "recorded_at", "valid_from", "valid_to")}


def _columns(kind: str, values: Iterable[object]) -> pa.Table:
    found = list(values)
    columns: dict[str, list[Any]] = {c.name: [getattr(v, _WITH_UNIT.get(c.name, c.name)) for v in found] for c in schema.kind(kind).columns}
    return schema.table(kind, columns)


def consent_table(events: Iterable[Event]) -> pa.Table:
    """Return register events as rows of kind `consent`."""
    return _columns("consent", events)


def people_table(entries: Iterable[Entry]) -> pa.Table:
    """Return directory entries as rows of kind `people`."""
    return _columns("people", entries)
