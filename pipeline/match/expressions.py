"""Which of many regular expressions match a text: by the words each of them needs, then by RE2.

Before: nothing. After: lexicon.py, matching.py.

RE2's own set of expressions builds states for whatever mixture of them a text could still become; with some hundred that have gaps,
Chinese text costs it 17 µs a character. Nearly every expression needs certain words, though: one search for all of these tells which
expressions are possible at all, for most texts none.

1. An expression is read into what it must hold, group by group: of each group of words at least one (`(?:肯定|一定).{0,2}赚` needs 肯定 or
   一定, and 赚). Groups whose words all have two characters or more are used; single characters only where an expression has nothing longer.
   The words of all groups are searched for with the terms, in one pass; an expression is possible where each of its groups is met.
2. An expression whose groups cannot be told (flags, wide classes, nothing but gaps) is always tried.
3. What is possible is then searched for by RE2. The answer is that of RE2 alone; only the order of work differs.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import re._constants as c  # type: ignore[import-not-found]  # the standard library has no stubs for it
    import re._parser as parser  # type: ignore[import-not-found]

LARGEST: Final = 256  # words in a group: a larger one is taken for a wide class
Group = frozenset[str]


class Expressions:
    """Compiled RE2 expressions that are searched for together. words: what whoever holds this searches for beside the terms.

    always: the numbers of the expressions that are tried on every text."""

    def __init__(self, listed: Sequence[str], compiled: Sequence[Any]) -> None:
        self._compiled = tuple(compiled)
        needed = [needs(pattern) for pattern in listed]
        self.always = [number for number, groups in enumerate(needed) if not groups]
        groups = [(number, group) for number, found in enumerate(needed) for group in found]
        holders: dict[str, list[int]] = {}
        for at, (_, group) in enumerate(groups):
            for word in sorted(group):
                holders.setdefault(word, []).append(at)
        self.words = tuple(holders)
        self._sizes = np.array([len(held) for held in holders.values()], np.int64)
        self._firsts = np.cumsum(self._sizes) - self._sizes
        self._groups = np.array([at for held in holders.values() for at in held], np.int64)  # of word n: [firsts[n], firsts[n] + sizes[n])
        self._expressions = np.array([number for number, _ in groups], np.int64)  # by group, ascending
        self._counts = np.array([len(found) for found in needed], np.int64)  # groups by expression

    def possible(self, words: NDArray[np.int64], texts: NDArray[np.int64]) -> tuple[list[int], list[int]]:
        """Return (texts, expressions): which expressions have a word of each of their groups in which text.

        words, texts: the numbers of the words that were met, and in which text each; in any order, repeated or not."""
        if not len(words):
            return [], []
        sizes = self._sizes[words]
        behind = np.arange(int(sizes.sum())) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        groups = self._groups[np.repeat(self._firsts[words], sizes) + behind]
        met = np.unique(np.repeat(texts, sizes) * len(self._expressions) + groups)
        owners, groups = np.divmod(met, len(self._expressions))
        expressions = self._expressions[groups]
        first = np.flatnonzero(np.diff(owners * len(self._counts) + expressions, prepend=-1))
        whole = first[np.diff(first, append=len(met)) == self._counts[expressions[first]]]
        return owners[whole].tolist(), expressions[whole].tolist()

    def matching(self, numbers: Iterable[int], text: str) -> list[int]:
        """Return which of the expressions (and of those that are always tried) are found in `text`, ascending."""
        tried = sorted({*self.always, *numbers})
        raw = text.encode() if tried else b""  # RE2 works on bytes: else each search would turn its places into those of the string
        return [number for number in tried if self._compiled[number].search(raw)]


    def found(self, numbers: Iterable[int], text: str) -> list[tuple[int, Iterable[tuple[int, int]]]]:
        """Return what `matching` does with where each matches; in a text of ordinary length RE2 is asked once for both."""
        if len(text) > SHORT:
            return [(number, spans(self._compiled[number], text)) for number in self.matching(numbers, text)]
        tried = sorted({*self.always, *numbers}) if self.always else sorted(numbers)
        raw = text.encode() if tried else b""
        return [(number, places) for number in tried if (places := list(_spans_of(self._compiled[number], raw)))]


SHORT: Final = 4_096  # code points


def spans(compiled: Any, text: str) -> Iterator[tuple[int, int]]:
    """Yield where `compiled` matches in `text`, from left to right, empty matches left out."""
    if len(text) > SHORT:  # what RE2's binding counts once for all matches
        yield from (match.span() for match in compiled.finditer(text) if match.end() > match.start())
        return
    yield from _spans_of(compiled, text.encode())


def _spans_of(compiled: Any, raw: bytes) -> Iterator[tuple[int, int]]:
    for match in compiled.finditer(raw):
        start, end = match.span()
        if start < end:
            first = len(raw[:start].decode())
            yield first, first + len(raw[start:end].decode())


# --- what an expression needs -------------------------------------------------------------------------------------


def needs(pattern: str) -> tuple[Group, ...]:
    """Return groups of words, of each of which one must stand in whatever `pattern` matches; empty when that cannot be told."""
    try:
        tree = parser.parse(pattern)
    except Exception:  # RE2's syntax is not quite Python's: then RE2 alone decides
        return ()
    if tree.state.flags & ~c.SRE_FLAG_UNICODE:
        return ()
    groups = [group for group in _of_sequence(tree) if "" not in group]
    long = [group for group in groups if min(map(len, group)) >= 2]
    return tuple(dict.fromkeys(long or groups))


def _of_sequence(tree: Iterable[Any]) -> list[Group]:
    """The groups of a sequence: what stands side by side is joined while its words can be counted."""
    groups: list[Group] = []
    run: Group = frozenset([""])
    for node in tree:
        words = _words(node)
        joined = _joined(run, words) if words is not None else None
        if joined is not None:
            run = joined
            continue
        groups.append(run)
        run = words if words is not None else frozenset([""])
        groups += [] if words is not None else _of_node(node)
    return [*groups, run]


def _joined(left: Group, right: Group) -> Group | None:
    return frozenset(a + b for a in left for b in right) if len(left) * len(right) <= LARGEST else None


def _of_node(node: Any) -> list[Group]:
    """The groups of a node whose words cannot be counted."""
    kind, value = node
    if kind is c.SUBPATTERN:
        return _of_sequence(value[3])
    if kind in (c.MAX_REPEAT, c.MIN_REPEAT) and value[0] > 0:
        return _of_sequence(value[2])
    if kind is c.BRANCH:
        best = [_best(_of_sequence(branch)) for branch in value[1]]
        union = frozenset(word for group in best if group for word in group)
        return [union] if all(best) and len(union) <= LARGEST else []
    return []


def _best(groups: Iterable[Group]) -> Group | None:
    """The group whose shortest word is longest."""
    return max((group for group in groups if "" not in group), key=lambda group: min(map(len, group)), default=None)


def _words(node: Any) -> Group | None:
    """All words that a node matches, or None when there are too many to count."""
    kind, value = node
    if kind is c.LITERAL:
        return frozenset([chr(value)])
    if kind is c.IN and all(what is c.LITERAL for what, _ in value):
        return frozenset(chr(code) for _, code in value)
    if kind is c.SUBPATTERN and not value[1] and not value[2]:
        return _words_of_sequence(value[3])
    if kind is c.BRANCH:
        branches = [_words_of_sequence(branch) for branch in value[1]]
        union = frozenset(word for words in branches if words is not None for word in words)
        return union if all(words is not None for words in branches) and len(union) <= LARGEST else None
    if kind in (c.MAX_REPEAT, c.MIN_REPEAT) and value[0] in (0, 1) and value[1] == 1:
        words = _words_of_sequence(value[2])
        return words if words is None or value[0] else words | {""}
    return frozenset([""]) if kind is c.AT else None


def _words_of_sequence(tree: Iterable[Any]) -> Group | None:
    words: Group | None = frozenset([""])
    for node in tree:
        more = _words(node)
        words = _joined(words, more) if words is not None and more is not None else None
    return words
