"""Kinds of values that Arrow carries wrongly, as bytes, or not at all into a file: a query's columns of these kinds come as text.

Before: nothing. After: reader.py (users' own SQL).

BIGNUM and BIT came as the bytes DuckDB keeps them in, UHUGEINT as a signed number, TIME WITH TIME ZONE without its zone, TIME_NS and TIMESTAMP_NS cut to
microseconds, INTERVAL as three numbers; UNION and VARIANT fit in no Parquet file. As text each is what DuckDB shows of it. Inside lists, structs and maps likewise.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

UNCARRIED: Final = frozenset({"bignum", "bit", "interval", "time with time zone", "time_ns", "timestamp_ns", "uhugeint", "union", "variant"})


def fitting(query: str, names: Sequence[str], kinds: Sequence[Any]) -> str:
    """Return the query with every column in a kind that Arrow carries; the same text where all are. kinds: as DuckDB tells them."""
    wanted = [carried(kind) for kind in kinds]
    if wanted == [str(kind) for kind in kinds]:
        return query
    cast = ", ".join(f'CAST(c{at} AS {kind}) AS "{_quoted(name)}"' for at, (name, kind) in enumerate(zip(names, wanted, strict=True)))
    return f"SELECT {cast} FROM (\n{query}\n) AS asked({', '.join(f'c{at}' for at in range(len(names)))})"  # a query may end with a comment


def carried(kind: Any) -> str:
    """Return the name of a kind, VARCHAR in place of what Arrow does not carry, also inside of it."""
    if kind.id in UNCARRIED:
        return "VARCHAR"
    if kind.id not in ("list", "array", "struct", "map"):
        return str(kind)
    inner = [carried(child) for name, child in kind.children if name != "size"]
    if inner == [str(child) for name, child in kind.children if name != "size"]:
        return str(kind)
    match kind.id:
        case "list":
            return f"{inner[0]}[]"
        case "array":
            return f"{inner[0]}[{kind.children[1][1]}]"
        case "map":
            return f"MAP({inner[0]}, {inner[1]})"
    return "STRUCT(" + ", ".join(f'"{_quoted(name)}" {one}' for (name, _), one in zip(kind.children, inner, strict=True)) + ")"


def _quoted(name: str) -> str:
    return name.replace('"', '""')
