"""Fold many texts at once: all of them as one array of code points, looked up in tables that fill as characters are met.

Before: fold.py, levels.py. After: screen.py.

What comes out is what fold.py and levels.py make of each text by itself, at a tenth of the time. Texts are joined by line ends, which no
fold drops, joins with or looks beyond, so that nothing depends on the neighbours. A code point keeps where it came from (`origins`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.uint32]
Places = NDArray[np.int64]
Bits = NDArray[np.uint8]
Mask = NDArray[np.bool_]

SIZE = 0x110000
_UNKNOWN = 255
SEPARATOR, WORD, HAN = 1, 2, 4  # classes that `kept` tells apart; others are the caller's


class Joined(NamedTuple):
    """Texts as one array, a line end after each. origins: where each code point stood in the texts as written, joined; starts: where each text began there."""

    codes: Codes
    origins: Places
    starts: Places

    def only(self, kept: Mask) -> Joined:
        """Return what is left when code points are taken out."""
        return Joined(self.codes[kept], self.origins[kept], self.starts)

    def text(self) -> str:
        """Return the code points as a string."""
        return self.codes.tobytes().decode("utf-32-le", "surrogatepass")

    def bounds(self) -> list[int]:
        """Return where each text begins here, and the end of the last: text i lies in [i, i + 1), its line end included."""
        return [*np.searchsorted(self.origins, self.starts).tolist(), len(self.codes)]

    def owners(self, places: Places | Sequence[int]) -> list[int]:
        """Return the numbers of the texts that places of this array belong to."""
        found: list[int] = self.owners_of(np.asarray(places, np.int64)).tolist()
        return found

    def owners_of(self, places: Places) -> Places:
        """Return the same as an array."""
        return np.searchsorted(self.starts, self.origins[places], side="right") - 1


def lengths_of(texts: Sequence[str]) -> Places:
    """Return how many code points each text has."""
    return np.fromiter(map(len, texts), np.int64, len(texts))


def joined(texts: Sequence[str]) -> Joined:
    """Return texts as one array, as written."""
    codes = np.frombuffer("\n".join([*texts, ""]).encode("utf-32-le", "surrogatepass"), np.dtype("<u4"))
    lengths = lengths_of(texts) + 1
    return Joined(codes, np.arange(len(codes)), np.cumsum(lengths) - lengths)


class Folds:
    """A fold of single code points (to none, one or several), as a table."""

    def __init__(self, fold_one: Callable[[int], str]) -> None:
        self._fold_one = fold_one
        self._first = np.zeros(SIZE, np.uint32)
        self._length = np.full(SIZE, _UNKNOWN, np.uint8)
        self._several: dict[int, Codes] = {}

    def of(self, page: Joined) -> Joined:
        """Return `page` folded."""
        lengths = self._length[page.codes]
        if (unknown := lengths == _UNKNOWN).any():
            self._learn(page.codes[unknown])
            lengths = self._length[page.codes]
        firsts = self._first[page.codes]
        if (lengths == 1).all():
            return page._replace(codes=firsts)
        codes, origins = np.repeat(firsts, lengths), np.repeat(page.origins, lengths)
        several = np.flatnonzero(lengths > 1)
        if len(several):
            ends = np.cumsum(lengths, dtype=np.int64)
            for end, code in zip(ends[several].tolist(), page.codes[several].tolist(), strict=True):
                folded = self._several[code]
                codes[end - len(folded) : end] = folded
        return Joined(codes, origins, page.starts)

    def _learn(self, codes: Codes) -> None:
        for code in np.unique(codes).tolist():
            folded = np.array([ord(char) for char in self._fold_one(code)], np.uint32)
            self._length[code] = len(folded)
            if len(folded):
                self._first[code] = folded[0]
            if len(folded) > 1:
                self._several[code] = folded


class Classes:
    """Which classes a code point belongs to, one bit each (at most seven), as a table."""

    def __init__(self, bits_of: Callable[[str], int]) -> None:
        self._bits_of = bits_of
        self._bits = np.full(SIZE, _UNKNOWN, np.uint8)

    def of(self, codes: Codes) -> Bits:
        """Return the bits of each code point."""
        bits: Bits = self._bits[codes]
        if (unknown := bits == _UNKNOWN).any():
            for code in np.unique(codes[unknown]).tolist():
                self._bits[code] = self._bits_of(chr(code))
            bits = self._bits[codes]
        return bits


def kept(bits: Bits) -> Mask | None:
    """Return which code points stay when separators inside clauses fall (fold.py, fold 6), or None when all of them do."""
    marks = bits & (SEPARATOR | WORD) == SEPARATOR
    if not marks.any():
        return None
    edges = np.flatnonzero(np.diff(marks, prepend=False, append=False))
    first, last = edges[::2], edges[1::2]
    inside = (first > 0) & (last < len(bits))
    before, after = bits[first - 1], bits[np.minimum(last, len(bits) - 1)]
    fall = inside & (((before & HAN) != 0) & ((after & WORD) != 0) | ((before & WORD) != 0) & ((after & HAN) != 0))
    if not fall.any():
        return None
    change = np.zeros(len(bits) + 1, np.int8)
    change[first[fall]], change[last[fall]] = 1, -1
    stays: Mask = np.cumsum(change[:-1], dtype=np.int8) == 0
    return stays


def repeated(codes: Codes, letters: Mask) -> Mask:
    """Return which code points repeat the letter before them."""
    found: Mask = np.zeros(len(codes), np.bool_)
    found[1:] = (codes[1:] == codes[:-1]) & letters[1:]
    return found


def holding(page: Joined, mask: Mask) -> list[int]:
    """Return the numbers of the texts that hold a marked code point, ascending."""
    return sorted(set(page.owners(np.flatnonzero(mask))))
