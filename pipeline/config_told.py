"""A setting that does not fit, in words: which, what was expected, what came.

Before: config.py, whose structs say what fits. After: config.py, which refuses the file with the sentence.
The library that checks says only that a value does not fit; what would fit is read from the type of the setting. What came is repeated where a
choice or a number was expected and not where a text was, since that may be a secret in the wrong place.
"""

from __future__ import annotations

import re
from typing import Any

from msgspec import inspect

from pipeline.errors import UsageError

_PLACE = re.compile(r" - at `\$(?P<place>[^`]*)`\Z")
_STEP = re.compile(r"(\w+)|\[(\d+)\]")
_LONGEST = 40


def refusal(problem: str, values: Any, config: type) -> UsageError | None:
    """Return the refusal of a setting that does not fit; None where it is not found, or a group of settings is what does not fit.

    problem: as msgspec tells it; values: the parsed file; config: the struct that it does not fit."""
    found = _PLACE.search(problem)
    place = found["place"].removesuffix("[...]") if found else ""  # of a table the key is not told
    steps = [name or int(n) for name, n in _STEP.findall(place)] if "..." not in place else []
    try:
        kind, value = _at(inspect.type_info(config), values, steps)
    except (KeyError, IndexError, TypeError):
        return None
    return _refused(_named(steps, values), kind, repr(value)[:_LONGEST]) if steps else None


def _at(kind: Any, value: Any, steps: list[str | int]) -> tuple[Any, Any]:
    """Return what is expected and what stands at a place; raises KeyError, IndexError or TypeError where there is nothing."""
    for step in steps:
        if isinstance(kind, inspect.StructType):
            kind = {f.encode_name: f.type for f in kind.fields}[str(step)]
        elif isinstance(kind, inspect.VarTupleType):
            kind = kind.item_type
        else:
            raise KeyError(step)
        value = value[step]
    return kind, value


def _named(steps: list[str | int], values: Any) -> str:
    """Return a setting's name as `config set` takes it: of a corp by its id, of a list without the place in it."""
    if steps[:1] == ["corp"] and len(steps) > 2 and isinstance(steps[1], int):
        steps = ["corp", str(values["corp"][steps[1]].get("id", steps[1])), *steps[2:]]
    return ".".join(str(step) for step in steps if isinstance(step, str))


def _refused(setting: str, kind: Any, came: str) -> UsageError | None:
    what_to_do = "give another value with `liuhen config set`, or in liuhen.toml"
    match kind:
        case inspect.LiteralType():
            choices = ", ".join(str(one) for one in kind.values)
            return UsageError("CONFIG_INVALID", f"liuhen.toml: {setting} is {came}, expected one of {choices}", remedy=what_to_do)
        case inspect.BoolType():
            return UsageError("CONFIG_INVALID", f"liuhen.toml: {setting} is {came}, expected true or false", remedy=what_to_do)
        case inspect.IntType():
            return UsageError("CONFIG_INVALID", f"liuhen.toml: {setting} is {came}, expected a whole number {_span(kind)}", remedy=what_to_do)
        case inspect.FloatType():
            return UsageError("CONFIG_INVALID", f"liuhen.toml: {setting} is {came}, expected a number {_span(kind)}", remedy=what_to_do)
        case inspect.StrType():
            return UsageError("CONFIG_INVALID", f"liuhen.toml: {setting} is not a text in quotes, as it must be", remedy=what_to_do)
        case inspect.VarTupleType() if not isinstance(kind.item_type, inspect.StructType):
            return UsageError("CONFIG_INVALID", f"liuhen.toml: {setting} is not a list such as {_list(kind)}, as it must be", remedy=what_to_do)
        case inspect.DictType():
            return UsageError("CONFIG_INVALID", f"liuhen.toml: {setting} is not a table such as {_table()}, as it must be", remedy=what_to_do)
    return None


def _span(kind: Any) -> str:
    """Return the numbers that fit, as a help shows them: `0–256`, `>0–30`, `≥0`."""
    if kind.le is None:
        return f"≥{kind.ge:g}"
    return f">{kind.gt:g}–{kind.le:g}" if kind.gt is not None else f"{kind.ge:g}–{kind.le:g}"


def _table() -> str:
    return '{ "a" = "2027-01-15" }'


def _list(kind: Any) -> str:
    some = kind.item_type.values[:2] if isinstance(kind.item_type, inspect.LiteralType) else ("a", "b")
    return "[" + ", ".join(f'"{one}"' for one in some) + "]"
