"""Where in a message a text stands, in original code points, and the words around it.

Before: hits.py (which messages). After: the command `search`, which marks the places.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from pipeline.segments import leftmost

AROUND_CP = 20
MARKS = ("【", "】")


class Place(msgspec.Struct, frozen=True):
    """One occurrence: number and path of the part, code points in it (end exclusive)."""

    part: int
    path: str
    start_cp: int
    end_cp: int


def places(parts: Iterable[Mapping[str, Any]] | None, needle: str) -> list[Place]:
    """Return every occurrence of `needle` in the parts of a message, in order; ones that overlap an earlier one are left out."""
    return [
        Place(number, part["path"] or "", start, start + len(needle))
        for number, part in enumerate(parts or ())
        for start in _starts(part["text"] or "", needle)
    ]  # fmt: skip


def _starts(text: str, needle: str) -> Iterable[int]:
    at = text.find(needle)
    while at >= 0:
        yield at
        at = text.find(needle, at + len(needle))


def excerpt(parts: Sequence[Mapping[str, Any]], found: Sequence[Place]) -> str:
    """Return the words around the first place, with the places of that part inside the excerpt marked; cut ends are shown as ….

    Of places that overlap, the one that starts first is marked, the longest of those."""
    if not found:
        return ""
    found = leftmost(found)
    first = found[0]
    text = parts[first.part]["text"]
    low, high = max(0, first.start_cp - AROUND_CP), min(len(text), first.end_cp + AROUND_CP)
    inside = [p for p in found if p.part == first.part and p.end_cp <= high]
    marked = _marked(text, low, high, inside)
    return ("…" if low else "") + marked + ("…" if high < len(text) else "")


def _marked(text: str, low: int, high: int, inside: Iterable[Place]) -> str:
    pieces, at = [], low
    for place in inside:
        pieces += [text[at : place.start_cp], MARKS[0], text[place.start_cp : place.end_cp], MARKS[1]]
        at = place.end_cp
    return "".join([*pieces, text[at:high]])
