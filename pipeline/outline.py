"""The structure of JSON text without recursion: what lies between the commas, and what repeats.

Before: hostile_json.py (how deep it nests). After: answers.py, saved_files.py, where the text may be cut, damaged or hostile.

Only strings, brackets and commas are looked at, so that whole parts can be told from broken ones; whether a part is valid JSON
is for msgspec to say. Time is linear in the size whatever the bytes are; the caller's stack never matters, so the same bytes
always give the same answer.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import NamedTuple

import msgspec

# More members than any object of an answer has; above it two names are not compared any more.
MAX_MEMBERS = 1_000
SPACE = b" \t\r\n"
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_QUOTE, _COMMA = ord('"'), ord(",")
# A string (also one that never ends), or what gives JSON its structure. Possessive: no way back, so linear on any input.
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)|[\[\]{},]', re.DOTALL)
_NAME = re.compile(rb'[ \t\r\n]*+("[^"\\]*+(?:\\.[^"\\]*+)*+")[ \t\r\n]*+:[ \t\r\n]*+', re.DOTALL)
_text = msgspec.json.Decoder(str).decode


class Children(NamedTuple):
    """What lies between the commas of a list or object: [start, end) of each whole child, spaces included.

    end: just after the closing bracket, or -1 when the data ends first; rest: where what is no whole child begins.
    over: there were more children than the limit; those after it are not in `spans`, and end is -1."""

    spans: list[tuple[int, int]]
    end: int
    rest: int
    over: bool = False


def children(data: bytes, at: int, limit: int) -> Children:
    """Return at most `limit` children of the container that opens at `data[at]`.

    In data that ends early a child counts as whole once its own bracket closed; a number or string before the end may be a part."""
    spans: list[tuple[int, int]] = []
    depth, start, closed = 0, at + 1, -1
    for token in _TOKEN.finditer(data, at):
        place = token.start()
        sign = data[place]
        if sign == _QUOTE:
            continue
        if sign in b"[{":
            depth += 1
            continue
        if sign != _COMMA:
            depth -= 1
            if depth == 1:
                closed = place + 1
        if (sign == _COMMA and depth == 1) or depth == 0:
            if depth == 0 and not spans and not data[start:place].strip(SPACE):
                return Children(spans, place + 1, place)
            if len(spans) == limit:
                return Children(spans, -1, start, over=True)
            spans.append((start, place))
            start = place + 1
            if depth == 0:
                return Children(spans, place + 1, place)
    if closed > start and len(spans) < limit:
        spans.append((start, closed))
        start = closed
    return Children(spans, -1, start)


def value_of(name: str, data: bytes, start: int, end: int) -> int | None:
    """Return where the value of the member in [start, end) begins, if the member has this name (escapes undone)."""
    found = _NAME.match(data, start, end)
    return found.end() if found and text(found[1]) == name else None


def repeated(data: bytes, names: Collection[str]) -> str | None:
    """Return the first of `names` that occurs twice at the top of a valid JSON object with at most MAX_MEMBERS members."""
    seen: set[str] = set()
    for start, end in children(data, len(data) - len(data.lstrip(SPACE)), MAX_MEMBERS).spans:
        found = _NAME.match(data, start, end)
        name = text(found[1]) if found else None
        if name in seen:
            return name
        if name in names and name is not None:
            seen.add(name)
    return None


def too_many_members(data: bytes) -> bool:
    """Say whether a JSON object has more than MAX_MEMBERS members."""
    return data.count(b",") >= MAX_MEMBERS and children(data, len(data) - len(data.lstrip(SPACE)), MAX_MEMBERS).over


def text(token: bytes) -> str | None:
    """Return the string a JSON token is, or None when it is no valid one."""
    try:
        return _text(token)
    except UNREADABLE:
        return None
