"""Rows of the lake ↔ facts: which columns of each kind of history are its key, which its values.

Before: facts.py, schemas/. After: members.py, rooms.py, customers.py, sync.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import pyarrow as pa
import pyarrow.dataset as ds

from pipeline import schema
from pipeline.deltalog import Snapshot
from pipeline.directory import fold_userid
from pipeline.lake import Lake
from pipeline.people_history.facts import Fact, Key
from pipeline.wecom.contacts import Department

CUSTOMERS: Final = "customers"
# kind → (ids, values).
COLUMNS: Final[dict[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "people": (("userid",), ("kind", "name", "alias", "department", "short_name")),
    "rooms": (("room_id",), ("name", "owner_id", "internal")),
    "memberships": (("room_id", "member_id"), ()),
    "departments": (("department_id",), ("name", "parent_id")),
    "follows": (("external_userid", "userid"), ("remark", "add_way")),
    "handovers": (("external_userid", "from_userid"), ("to_userid", "state")),
}


def key_of(kind: str, values: Sequence[str], *, employee: bool = False) -> Key:
    """Return the key by which rows of one thing find each other: employees without regard to ASCII case."""
    if kind == "people":
        return (fold_userid(values[0]),) if employee else tuple(values)
    if kind in ("follows", "handovers"):
        return values[0], fold_userid(values[1])
    return tuple(values)


def kind_of(what: str) -> str:
    """Return the kind of the lake in which something lies."""
    return "people" if what == CUSTOMERS else what


def read(lake: Lake, snapshot: Snapshot, what: str) -> list[Fact]:
    """Return all rows of a kind of history; of `people` those of customers (`customers`) or all others (`people`)."""
    kind = kind_of(what)
    ids, values = COLUMNS[kind]
    where = None if kind != "people" else ds.field("kind") == "external" if what == CUSTOMERS else ds.field("kind") != "external"
    rows = lake.read(kind, snapshot.of(kind), where=where).to_pylist()
    return [
        Fact(
            key=key_of(kind, [row[k] for k in ids], employee=row.get("kind") == "employee"), ids=tuple(row[k] for k in ids), values=tuple(row[v] for v in values),
            valid_from_ms=_ms(row["valid_from"]), valid_to_ms=_ms(row["valid_to"]), source=row["source"], recorded_at_ms=_ms(row["recorded_at"]) or 0,
        )
        for row in rows
    ]  # fmt: skip


def departments_of(known: Mapping[Key, Fact]) -> list[Department]:
    """Return the departments that are known and have not ended."""
    return [
        Department(int(f.ids[0]), f.values[0], int(f.values[1]) if f.values[1] else None)
        for f in known.values() if f.valid_to_ms is None and f.ids[0].isdigit()
    ]  # fmt: skip


def table(what: str, facts: Iterable[Fact]) -> pa.Table:
    """Return facts as rows of the kind."""
    kind = kind_of(what)
    ids, values = COLUMNS[kind]
    found = list(facts)
    columns: dict[str, list[Any]] = {name: [f.ids[i] for f in found] for i, name in enumerate(ids)}
    columns |= {name: [f.values[i] for f in found] for i, name in enumerate(values)}
    columns |= {"valid_from": [f.valid_from_ms for f in found], "valid_to": [f.valid_to_ms for f in found]}
    columns |= {"source": [f.source for f in found], "recorded_at": [f.recorded_at_ms for f in found]}
    return schema.table(kind, columns)


def _ms(value: datetime | None) -> int | None:
    return None if value is None else round(value.timestamp() * 1000)
