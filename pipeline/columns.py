"""What a result is: titled, typed columns and rows of plain Python values; and Arrow results read as such.

Before: words.py. After: tables.py, sheets.py, show.py and every command that returns rows.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Literal

import msgspec

from pipeline import words
from pipeline.errors import UsageError
from pipeline.words import Lang

# text; whole number; float; exact decimal; truth; instant (int of ms since 1970 UTC, or datetime; naive = UTC);
# wall-clock time without a zone; day; list, struct or map; bytes (shown as hex).
Type = Literal["text", "int", "float", "decimal", "bool", "timestamp", "local", "date", "json", "bytes"]
NUMBERS = frozenset({"int", "float", "decimal"})
_BATCH_ROWS = 4096


class Column(msgspec.Struct, frozen=True):
    """One column. name: for programs; title: for people; words: the group of the catalogue that its values are words of
    (people see the word, programs the value); arrow: the Arrow type it came as, kept for Parquet; whole: never cut in a table."""

    name: str
    title: str = ""
    type: Type = "text"
    words: str = ""
    arrow: Any = None
    whole: bool = False


# Columns of our own views and lists whose values are words of the catalogue: by name, or by view (or command) and name.
_WORDS = {
    "severity": "severity", "party": "party", "via": "via", "direction": "direction", "sender_kind": "sender_kind", "fate": "fate",
    "consent": "consent", "consent_source": "consent_source", "category": "category", "origin": "origin", "msgtype": "msgtype", "decision": "decision", "dt_basis": "dt_basis",
    "kind": "kind", "action": "action", "step": "step", "cause": "gap_cause", "precision": "precision", "mode": "role_mode", "rsa": "rsa", "reason": "explain.reason",
    "consent.status": "consent_status", "consent.source": "consent_origin",
    "consent states.state": "scope_status", "consent states.source": "consent_origin", "media.kind": "msgtype", "media.status": "media_status",
    "keys list.state": "key_state", "keyring list.state": "keyring_state", "retention show.start": "retention_event",
}  # fmt: skip


def column(name: str, kind: Type, lang: Lang, *, view: str = "", arrow: Any = None) -> Column:
    """Return a column with its title, its values' words included when `view` names one of our views."""
    group = _WORDS.get(f"{view}.{name}", _WORDS.get(name, "")) if view and kind == "text" else ""
    return Column(name, words.title(name, lang, view=view), kind, group, arrow)


def titled(columns: Sequence[Column], titles: Mapping[str, str]) -> list[Column]:
    """Return the columns under the titles given for some of them by name."""
    return [msgspec.structs.replace(c, title=titles.get(c.name, c.title)) for c in columns]


def worded(columns: Sequence[Column], groups: Mapping[str, str]) -> list[Column]:
    """Return the columns whose values are words of the groups given for some of them by name."""
    return [msgspec.structs.replace(c, words=groups.get(c.name, c.words)) for c in columns]


def unique_names(columns: Sequence[Column]) -> list[Column]:
    """Return the columns with names told apart (`n`, `n_2`): a JSON object and a Parquet file hold each name once."""
    seen: Counter[str] = Counter()
    taken = {one.name for one in columns}
    result = []
    for one in columns:
        seen[one.name] += 1
        name = one.name
        while seen[one.name] > 1 and name in taken:
            name = f"{one.name}_{seen[one.name]}"
            seen[one.name] += name in taken
        taken.add(name)
        result.append(msgspec.structs.replace(one, name=name))
    return result


def rows_from_arrow(source: Any, *, lang: Lang, view: str = "") -> tuple[list[Column], Iterator[tuple[object, ...]]]:
    """Return columns and rows of a pyarrow Table, RecordBatch or RecordBatchReader, read batch by batch.

    Instants beyond the years 1 to 9999 come as text."""
    columns = [column(field.name, arrow_type(field.type), lang, view=view, arrow=field.type) for field in source.schema]
    return columns, _rows(source)


def _rows(source: Any) -> Iterator[tuple[object, ...]]:
    batches = source.to_batches() if hasattr(source, "to_batches") else [source] if hasattr(source, "num_rows") else source
    for batch in batches:
        for start in range(0, batch.num_rows, _BATCH_ROWS):
            part = batch.slice(start, _BATCH_ROWS)
            yield from zip(*(_values(array) for array in part.columns), strict=True)


def _values(array: Any) -> list[object]:
    import pyarrow as pa

    if pa.types.is_timestamp(array.type) and array.type.unit == "ns":
        array = array.cast(pa.timestamp("us", array.type.tz), safe=False)  # Python has no nanoseconds
    try:
        values: list[object] = array.to_pylist()
    except (ValueError, OverflowError):
        values = _beyond(array)
    return values


def _beyond(array: Any) -> list[object]:
    """Return days or instants beyond Python's years as text. Raises UsageError VALUE_DOES_NOT_FIT for such inside of a list, struct or map."""
    import pyarrow as pa

    if pa.types.is_nested(array.type):
        expected = "expected days and times of the years 1 to 9999 inside of a list or struct, got others"
        raise UsageError("VALUE_DOES_NOT_FIT", expected, remedy="cast the column to VARCHAR")
    days = pa.types.is_date32(array.type)
    most = 2**31 - 1 if days else 2**63 - 1  # how DuckDB keeps infinity
    numbers, told = array.cast(pa.int32() if days else pa.int64()).to_pylist(), array.cast(pa.string()).to_pylist()
    return [{most: "infinity", -most: "-infinity"}.get(number, text) for number, text in zip(numbers, told, strict=True)]


def arrow_type(kind: Any) -> Type:
    """Return our type for an Arrow type; what has none of its own is text."""
    from pyarrow import types

    if types.is_dictionary(kind):
        return arrow_type(kind.value_type)
    if types.is_timestamp(kind):
        return "timestamp" if kind.tz else "local"
    tests: tuple[tuple[Type, tuple[Callable[[Any], bool], ...]], ...] = (
        ("int", (types.is_integer,)),
        ("float", (types.is_floating,)),
        ("decimal", (types.is_decimal,)),
        ("bool", (types.is_boolean,)),
        ("date", (types.is_date,)),
        ("json", (types.is_nested,)),
        ("bytes", (types.is_binary, types.is_large_binary, types.is_fixed_size_binary, types.is_binary_view)),
    )
    return next((ours for ours, checks in tests if any(check(kind) for check in checks)), "text")


def plain(value: object, kind: Type) -> object:
    """Return a value as JSON holds it: instants ISO 8601 with +08:00, days ISO, bytes hex, what is not a number None."""
    if value is None:
        return None
    if kind == "timestamp" and isinstance(value, int | datetime):
        return words.iso(value)
    if kind == "text" and not isinstance(value, str):
        return str(nested(value))
    return nested(value)


def nested(value: object) -> object:
    """Return `plain` of a value of unknown type, lists and structs included; aware datetimes are instants, naive ones wall-clock."""
    match value:
        case str() | bool() | int() | None:
            return value
        case float():
            return value if value - value == 0 else None  # not a number, infinite
        case Decimal():
            return value if value.is_finite() else None
        case datetime():
            return words.iso(value) if value.tzinfo else words.iso_text(value)
        case date() | time():
            return value.isoformat()
        case timedelta():
            return str(value)
        case bytes() | bytearray() | memoryview():
            return bytes(value).hex()
        case Mapping():
            return {str(key): nested(item) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [nested(item) for item in value]
    return str(value)


_ENCODER = msgspec.json.Encoder(decimal_format="number")


def json_bytes(value: object) -> bytes:
    """Return compact UTF-8 JSON of a value that went through `plain`; decimals and integers keep every digit."""
    try:
        return _ENCODER.encode(value)
    except UnicodeEncodeError:  # a lone surrogate: no UTF-8 can hold it
        return _ENCODER.encode(_without_surrogates(value))


def _without_surrogates(value: object) -> object:
    match value:
        case str():
            return re.sub("[\ud800-\udfff]", "\ufffd", value)
        case dict():
            return {_without_surrogates(key): _without_surrogates(item) for key, item in value.items()}
        case list():
            return [_without_surrogates(item) for item in value]
    return value
