"""Overlapping places in a text turned into pieces that follow one another.

Before: nothing. After: transcript.py, search/places.py.
Findings overlap (保本 inside 保本保息) and quotes lie across them; a page can only show one piece after the other.
The matcher gives every finding; what is marked in a text is chosen here (`leftmost`), and which others lie under each mark (`under`).
All positions are code points, end exclusive, as the archive stores them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Protocol, TypeVar

import msgspec


class Placed(Protocol):
    """What stands at code points [start_cp, end_cp) of part number `part`."""

    @property
    def part(self) -> int: ...
    @property
    def start_cp(self) -> int: ...
    @property
    def end_cp(self) -> int: ...


P = TypeVar("P", bound=Placed)


def leftmost(found: Iterable[P], *, longest: bool = True) -> list[P]:
    """Return a choice of `found` that does not overlap, for showing: part by part, the one that starts first wins.

    Of several that start at one place the longest is taken when `longest`, else the one that comes first in `found`."""
    ranked = sorted(enumerate(found), key=lambda pair: (pair[1].part, pair[1].start_cp, -pair[1].end_cp if longest else 0, pair[0]))
    chosen: list[P] = []
    for _, one in ranked:
        if not chosen or chosen[-1].part < one.part or chosen[-1].end_cp <= one.start_cp:
            chosen.append(one)
    return chosen


def under(found: Iterable[P]) -> list[tuple[P, list[P]]]:
    """Return the longest leftmost of `found`, each with all that it was chosen over and itself, in order of place."""
    ordered = sorted(found, key=lambda one: (one.part, one.start_cp, -one.end_cp))
    groups: list[tuple[P, list[P]]] = []
    marked = iter(leftmost(ordered))
    for one in ordered:
        if not groups or groups[-1][0].part < one.part or groups[-1][0].end_cp <= one.start_cp:
            groups.append((next(marked), []))
        groups[-1][1].append(one)
    return groups


QUOTE = 0  # the number that stands for "somebody else's words"; findings count from 1


class Span(msgspec.Struct, frozen=True):
    """A place [start_cp, end_cp) and the number of what covers it: a finding's, or QUOTE."""

    start_cp: int
    end_cp: int
    number: int


class Segment(msgspec.Struct, frozen=True):
    """A piece of text, the numbers of the findings that cover all of it (ascending), and whether it is quoted."""

    text: str
    marks: tuple[int, ...] = ()
    quoted: bool = False


def segments(text: str, spans: Iterable[Span]) -> tuple[Segment, ...]:
    """Return `text` cut at every border of a span; together the pieces are the text, neighbours differ in what covers them.

    What lies outside the text is left out: a finding of another rendition must not tear a page."""
    clipped = [Span(max(span.start_cp, 0), min(span.end_cp, len(text)), span.number) for span in spans]
    inside = [span for span in clipped if span.start_cp < span.end_cp]
    borders = sorted({0, len(text), *(span.start_cp for span in inside), *(span.end_cp for span in inside)})
    starting, ending = _by_border(inside)
    open_now: Counter[int] = Counter()
    pieces: list[Segment] = []
    for start, end in pairwise(borders):
        open_now.update(starting.get(start, ()))
        open_now.subtract(ending.get(start, ()))
        covering = sorted(number for number, count in open_now.items() if count > 0)
        _add(pieces, Segment(text[start:end], tuple(n for n in covering if n != QUOTE), QUOTE in covering))
    return tuple(pieces)


def _by_border(spans: Sequence[Span]) -> tuple[dict[int, list[int]], dict[int, list[int]]]:
    starting: dict[int, list[int]] = {}
    ending: dict[int, list[int]] = {}
    for span in spans:
        starting.setdefault(span.start_cp, []).append(span.number)
        ending.setdefault(span.end_cp, []).append(span.number)
    return starting, ending


def _add(pieces: list[Segment], piece: Segment) -> None:
    """Append, or join to the last when the same covers both (two spans of one finding that touch)."""
    if pieces and (pieces[-1].marks, pieces[-1].quoted) == (piece.marks, piece.quoted):
        pieces[-1] = Segment(pieces[-1].text + piece.text, piece.marks, piece.quoted)
    else:
        pieces.append(piece)
