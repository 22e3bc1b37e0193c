"""Folds that only some texts need: digit words, repeated characters, variants. Each starts from what fold.py made.

Before: fold.py, tables.py. After: lexicon.py, matching.py. Pinyin lies in pinyin.py.

1. digits     一三八, 壹叁捌, 幺 become digits; looked for only in texts that hold a digit word
2. repeats    a letter or Chinese character written several times counts once (保保本本); digits never (100 is not 1000). A term that
              itself repeats one (天天涨) needs at least as many in the text: 今天涨 is not it. The place is the shortest that holds the term.
3. variants   characters of the tables, then separators again, then whole words. A place counts only when it holds something replaced,
              so that it does not depend on what stands elsewhere in the text.

Each level tells cheaply whether a text can differ at all (`…_possible`); only then is it made, and only on a hit with its map.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator, Sequence
from functools import cache
from operator import eq
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.match.fold import Folding
from pipeline.match.tables import digits, replacements

LONG = 1 << 16  # code points
MANY = 512  # code points from which arrays are quicker than a loop


class Mapped(NamedTuple):
    """A text at some level. For its code point i: starts[i], ends[i] are where it came from in the text as written (end exclusive;
    None: each code point came from one), bits[i] the tables that made it (0: none)."""

    text: str
    starts: Sequence[int]
    ends: Sequence[int] | None = None
    bits: Sequence[int] | None = None

    def place(self, start: int, end: int) -> tuple[int, int]:
        """Return the code points of the original that [start, end) stands for."""
        return self.starts[start], self.end(end - 1)

    def end(self, at: int) -> int:
        """Return where in the original code point `at` ends."""
        return self.starts[at] + 1 if self.ends is None else self.ends[at]

    def tables(self, start: int, end: int) -> int:
        """Return the bits of the tables that [start, end) needed."""
        found = 0
        for bit in self.bits[start:end] if self.bits else ():
            found |= bit
        return found

    def cuts(self, start: int, end: int) -> bool:
        """Whether [start, end) begins or ends inside what a table put in: half of a code word's meaning is nobody's word."""
        return self._inside(start) or self._inside(end)

    def _inside(self, at: int) -> bool:
        if not self.bits or not 0 < at < len(self.starts) or not self.bits[at]:
            return False
        return self.starts[at - 1] == self.starts[at] and self.end(at - 1) == self.end(at)


def base_map(text: str, folding: Folding) -> Mapped:
    """Return `text` folded, mapped."""
    folded, origins = folding.fold_map(text)
    if len(text) > LONG and len(folded) == len(text) and all(map(eq, origins, range(len(text)))):
        return Mapped(folded, range(len(text)))  # a text of ten million characters full of hits keeps no list of as many numbers
    return Mapped(folded, origins)


# -- 1. digits ----------------------------------------------------------------------------------------------------------


_digit_word = re.compile("[" + "".join(map(chr, digits())) + "]").search


def digits_possible(folded: str) -> bool:
    """Whether a folded text holds a digit word."""
    return _digit_word(folded) is not None


def with_digits(folded: str) -> str:
    """Return a folded text with digits for digit words; places stay."""
    return folded.translate(digits())


# -- 2. repeats ---------------------------------------------------------------------------------------------------------

_RUN = re.compile(r"([^\W\d_])\1+")
_twice = re.compile(r"([^\W\d_])\1").search


def repeats_possible(folded: str) -> bool:
    """Whether a folded text holds a letter or character twice in a row."""
    return _twice(folded) is not None


def without_repeats(folded: str) -> str:
    """Return a folded text with one of each run."""
    if len(folded) > MANY:
        codes, again = _repeated(folded)
        return codes[~again].tobytes().decode("utf-32-le", "surrogatepass")
    return _RUN.sub(_first_of_run, folded)


def _first_of_run(run: re.Match[str]) -> str:
    return run[1]


def _repeated(folded: str) -> tuple[NDArray[np.uint32], NDArray[np.bool_]]:
    """Return the code points of a text, and of each whether it repeats the letter before it."""
    codes = np.frombuffer(folded.encode("utf-32-le", "surrogatepass"), np.dtype("<u4"))
    again = np.zeros(len(codes), np.bool_)
    again[1:] = codes[1:] == codes[:-1]
    twice = np.unique(codes[again])
    letters = twice[[_twice(chr(code) * 2) is not None for code in twice.tolist()]] if len(twice) else twice
    again &= np.isin(codes, letters)
    return codes, again


def runs(folded: str) -> tuple[tuple[int, int], ...]:
    """Return, for each code point of `without_repeats(folded)`, where its run lies: (first, last + 1)."""
    return tuple(_runs(folded))


def once_map(base: Mapped) -> Mapped:
    """Return the map of `without_repeats` such that a place is the shortest stretch: from the last of a run to the first of another.

    text is empty, since nobody reads it; bits are 1 where a run of several lies."""
    if len(base.text) > MANY and base.ends is None:
        return _once_map_of_many(base)
    starts, ends, several = array("q"), array("q"), bytearray()
    for first, last in _runs(base.text):
        starts.append(base.starts[last - 1])
        ends.append(base.end(first))
        several.append(last - first > 1)
    return Mapped("", starts, ends, several)


def _once_map_of_many(base: Mapped) -> Mapped:
    """`once_map` of a long text: a hundredth of the time."""
    _, again = _repeated(base.text)
    first = np.flatnonzero(~again)
    last = np.append(first[1:], len(again))
    places = np.fromiter(base.starts, np.int64, len(again)) if not isinstance(base.starts, range) else np.arange(len(again))
    return Mapped("", _array(places[last - 1]), _array(places[first] + 1), bytearray((last - first > 1).tobytes()))


def _array(numbers: NDArray[np.int64]) -> array[int]:
    found = array("q")
    found.frombytes(numbers.astype(np.int64).tobytes())
    return found


def _runs(folded: str) -> Iterator[tuple[int, int]]:
    at = 0
    for run in _RUN.finditer(folded):
        yield from ((i, i + 1) for i in range(at, run.start()))
        yield run.span()
        at = run.end()
    yield from ((i, i + 1) for i in range(at, len(folded)))


# -- 3. variants --------------------------------------------------------------------------------------------------------


@cache
def _listed_char() -> re.Pattern[str]:
    """Any character of the tables. Pictographs are one range: a class with many beyond U+FFFF is eight times slower."""
    chars = [c for c in replacements().chars if ord(c) < 0x10000]
    return re.compile("[" + re.escape("".join(chars)) + "\U0001f000-\U0001faff]")


@cache
def _char_table() -> dict[int, str]:
    return {ord(char): meant for char, (meant, _) in replacements().chars.items()}


@cache
def _listed_word() -> re.Pattern[str]:
    return re.compile("|".join(sorted(map(re.escape, replacements().words), key=len, reverse=True)))


def is_listed(char: str) -> bool:
    """Whether a character (after the character folds) is one of the tables."""
    return char in replacements().chars


def variants_possible(loose: str) -> bool:
    """Whether a text after the character folds holds a character of the tables; whole words are told by the automaton."""
    return _listed_char().search(loose) is not None


def with_variants(loose: str, folding: Folding) -> str:
    """Return a text (after the character folds) with what its variants mean."""
    words = replacements().words
    return _listed_word().sub(lambda word: words[word.group()][0], folding.drop(loose.translate(_char_table())))


def variants_map(text: str, folding: Folding) -> Mapped:
    """Return `with_variants` of the text as written, mapped."""
    loose, origins = folding.chars_map(text)
    chars = replacements().chars
    pieces = [chars.get(char, (char, 0)) for char in loose]
    mapped = "".join(piece for piece, _ in pieces)
    where = [(origin, bit) for origin, (piece, bit) in zip(origins, pieces, strict=True) for _ in piece]
    kept = folding.kept(mapped)
    joined = "".join(mapped[i] for i in kept)
    return _with_words(joined, [where[i] for i in kept])


def _with_words(joined: str, where: list[tuple[int, int]]) -> Mapped:
    texts: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    bits: list[int] = []

    def keep(first: int, last: int) -> None:
        texts.append(joined[first:last])
        starts.extend(origin for origin, _ in where[first:last])
        ends.extend(origin + 1 for origin, _ in where[first:last])
        bits.extend(bit for _, bit in where[first:last])

    at = 0
    for word in _listed_word().finditer(joined):
        keep(at, word.start())
        meant, bit = replacements().words[word.group()]
        for _, other in where[word.start() : word.end()]:
            bit |= other
        texts.append(meant)
        starts.extend([where[word.start()][0]] * len(meant))
        ends.extend([where[word.end() - 1][0] + 1] * len(meant))
        bits.extend([bit] * len(meant))
        at = word.end()
    keep(at, len(joined))
    return Mapped("".join(texts), starts, ends, bits)
