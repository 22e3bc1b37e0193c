"""How a text is recognised in a row group of texts: exactly, or (variants.py) as it sounds or looks when folded.

Before: grams.py, places.py, question.py. After: hits.py.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.search import grams
from pipeline.search.places import Place, places
from pipeline.search.question import Question

# From so many hits in a row group on, asking every text is cheaper than going from hit to hit.
MANY = 200
# Between the parts of a message in `text`: a text that holds it may be found across two parts, and is looked for part by part.
JOINT = "\n"


class Wanted(Protocol):
    """What is looked for. keys: of each list a row group with a hit holds one; by_part: whether `rows` may name too many."""

    keys: list[list[int]]
    by_part: bool

    def rows(self, texts: pa.Array) -> Any:
        """Return the numbers of the texts that hold it, ascending (int64)."""

    def places(self, parts: Iterable[Mapping[str, Any]] | None) -> list[Place]:
        """Return where it stands in the parts of a message."""


class Exact:
    """A text, compared code point by code point."""

    def __init__(self, text: str) -> None:
        self._text, self._bytes = text, text.encode("utf-8", grams.SURROGATES)
        self.keys = [[key] for key in grams.of_needle(text)]
        self.by_part = JOINT in text

    def rows(self, texts: pa.Array) -> Any:
        """See Wanted."""
        data, offsets = grams.bytes_of(texts), grams.offsets_of(texts)
        ends = (offsets[1:] - offsets[0]).tolist()
        found: list[int] = []
        at = data.find(self._bytes)
        while at >= 0:
            row = bisect_right(ends, at)
            if at + len(self._bytes) <= ends[row]:
                found.append(row)
                at = data.find(self._bytes, ends[row])
            else:  # it begins in one message and ends in another
                at = data.find(self._bytes, at + 1)
            if len(found) == MANY:
                return np.flatnonzero(np.asarray(pc.match_substring(texts, self._text)))
        return np.array(found, np.int64)

    def places(self, parts: Iterable[Mapping[str, Any]] | None) -> list[Place]:
        """See Wanted."""
        return places(parts, self._text)


class Anything:
    """Whatever the text: every message."""

    def __init__(self) -> None:
        self.keys: list[list[int]] = []
        self.by_part = False

    def rows(self, texts: pa.Array) -> Any:
        """See Wanted."""
        return np.arange(len(texts))

    def places(self, parts: Iterable[Mapping[str, Any]] | None) -> list[Place]:
        """See Wanted."""
        return []


def wanted(question: Question) -> Wanted:
    """Return how a question's text is recognised."""
    if question.variants or question.by_sound:
        from pipeline.search.variants import Folded

        return Folded(question.text, by_sound=question.by_sound)
    return Exact(question.text)
