"""Arrow schemas, built from the data in `schemas/`: the only place where a column is declared.

Before: resources.py. After: lake.py, stage.py, commit.py, leaf.py.

A kind's file says its columns, its row order, which columns carry statistics (ids, times, numbers: never text),
which lie under the second key, and by what unit its encryption key is chosen (`key_unit`).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import accumulate
from operator import attrgetter
from typing import Any, Literal

import msgspec
import pyarrow as pa

from pipeline.resources import data_folder

KeyUnit = Literal["base", "month", "withheld-day", "pending-month", "restricted-month"]

PART = pa.struct([pa.field("path", pa.string()), pa.field("text", pa.string())])
QUOTE = pa.struct([pa.field("part", pa.int32()), pa.field("start_cp", pa.int32()), pa.field("end_cp", pa.int32())])
SPAN = pa.struct([pa.field("msgid", pa.string()), *QUOTE])
# Times have millisecond grain; the Arrow type is microseconds because that is what Delta and DuckDB call a timestamp.
TYPES: dict[str, pa.DataType] = {
    "string": pa.string(),
    "binary": pa.binary(),
    "uint64": pa.uint64(),
    "int64": pa.int64(),
    "int32": pa.int32(),
    "timestamp_ms": pa.timestamp("us", "UTC"),
    "date": pa.date32(),
    "list<string>": pa.list_(pa.string()),
    "list<binary>": pa.list_(pa.binary()),
    "list<part>": pa.list_(PART),
    "list<quote>": pa.list_(QUOTE),
    "list<span>": pa.list_(SPAN),
}
# Unsigned integers do not exist in Delta; seq stays below 2^63, so the declared type loses nothing.
DELTA_TYPES = {"uint64": pa.int64()}


class Column(msgspec.Struct, frozen=True):
    """One column of a kind; `null` says whether it may be absent."""

    name: str
    type: str
    null: bool
    doc: str


class Kind(msgspec.Struct, frozen=True):
    """One table of the lake, as `schemas/<kind>.v1.json` declares it."""

    kind: str
    version: int
    doc: str
    key_unit: KeyUnit
    order: tuple[str, ...]
    statistics: tuple[str, ...]
    second_key: tuple[str, ...]
    columns: tuple[Column, ...]

    @property
    def arrow(self) -> pa.Schema:
        """The Arrow schema of this kind's files."""
        return _arrow(self.kind)


KINDS = (
    "pages", "records", "messages", "sealed", "withheld_sealed", "pending_sealed",
    "matches", "scans", "recalls", "consent", "media", "runs", "acks", "gaps", "reviews", "matters",
    "people", "rooms", "memberships", "departments", "follows", "handovers", "seats", "behaviour", "identities",
    "hidden", "restricted", "reconciles", "holds", "consent_asks", "notices",
)  # fmt: skip


@cache
def kind(name: str) -> Kind:
    """Return the declaration of kind `name`; raises KeyError for a kind that is not declared."""
    if name not in KINDS:
        raise KeyError(name)
    return msgspec.json.decode((data_folder("schemas") / f"{name}.v1.json").read_bytes(), type=Kind)


@cache
def _arrow(name: str) -> pa.Schema:
    return pa.schema([pa.field(c.name, TYPES[c.type], nullable=c.null) for c in kind(name).columns])


@cache
def delta_schema() -> pa.Schema:
    """The union of all kinds plus the partition columns, as the Delta log declares it (every column nullable)."""
    fields = {p: pa.field(p, pa.string()) for p in ("kind", "month", "bucket", "lexicon")}
    for name in KINDS:
        for c in kind(name).columns:
            fields.setdefault(c.name, pa.field(c.name, DELTA_TYPES.get(c.type, TYPES[c.type])))
    return pa.schema(list(fields.values()))


class LeafSchema(msgspec.Struct, frozen=True):
    """What a leaf commits to: label, and the fields of each group (`schemas/leaf.v1.json`)."""

    label: str
    doc: str
    groups: dict[str, tuple[str, ...]]


@cache
def leaf_schema() -> LeafSchema:
    """Return the immutable leaf fields, version 1."""
    return msgspec.json.decode((data_folder("schemas") / "leaf.v1.json").read_bytes(), type=LeafSchema)


def table(name: str, columns: dict[str, list[object]]) -> pa.Table:
    """Return an Arrow table of kind `name` from column lists (times as milliseconds since 1970 UTC, dates as days).

    A column that is not given is null throughout; one that may not be null then fails in Arrow, which is a bug here."""
    rows = len(next(iter(columns.values())))
    schema = kind(name).arrow
    arrays = [pa.nulls(rows, f.type) if (values := columns.get(f.name)) is None else _array(values, f.type) for f in schema]
    unknown = set(columns) - set(schema.names)
    if unknown:
        raise KeyError(f"{name} has no column {sorted(unknown)}")
    return pa.Table.from_arrays(arrays, schema=schema)


def _array(values: Sequence[Any], wanted: pa.DataType) -> pa.Array:
    """Return `pa.array(values, wanted)`, with times in milliseconds; the usual shapes of texts and lists the quick way."""
    if pa.types.is_timestamp(wanted):
        return pa.array(values, pa.timestamp("ms", "UTC")).cast(wanted)
    if pa.types.is_string(wanted) and isinstance(next(iter(values), None), bytes):
        return pa.array(values, pa.binary()).cast(wanted)  # checks that it is UTF-8, all of it at once
    if pa.types.is_list(wanted):
        items = _items([v for some in values if some for v in some], wanted.value_type)
        if items is not None:
            ends = pa.array([0, *accumulate([len(some) if some else 0 for some in values])], pa.int32())
            absent = pa.array([some is None for some in values]) if None in values else None
            return pa.ListArray.from_arrays(ends, items, type=wanted, mask=absent)
    return pa.array(values, wanted)


def _items(flat: list[Any], wanted: pa.DataType) -> pa.Array | None:
    """Return what lists hold, one after the other; None for structs that come as dictionaries or tuples."""
    if not pa.types.is_struct(wanted):
        return pa.array(flat, wanted)
    if not all(isinstance(v, msgspec.Struct) for v in flat):
        return None
    return pa.StructArray.from_arrays([pa.array(list(map(attrgetter(f.name), flat)), f.type) for f in wanted], fields=list(wanted))
