"""Which of many regular expressions match a text: by the words each of them needs, then by RE2.

Before: nothing. After: lexicon.py, matching.py.

RE2's own set of expressions builds states for whatever mixture of them a text could still become; with some hundred that have gaps,
Chinese text costs it 17 µs a character. Nearly every expression needs certain words, though: one search for all of these tells which
expressions are possible at all, for most texts none.

1. An expression is read into what it must hold, group by group: of each group of words at least one (`(?:肯定|一定).{0,2}赚` needs 肯定 or
   一定, and 赚). Groups whose words all have two characters or more are used; single characters only where an expression has nothing longer.
   Only the rarest group of each is searched for: the one with the longest words; the others are looked for where it stands.
2. An expression whose groups cannot be told (flags, wide classes, nothing but gaps) is always tried.
3. What is possible is then searched for by RE2. The answer is that of RE2 alone; only the order of work differs.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from typing import Any, Final

from ahocorasick_rs import AhoCorasick

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import re._constants as c  # type: ignore[import-not-found]  # the standard library has no stubs for it
    import re._parser as parser  # type: ignore[import-not-found]

LARGEST: Final = 256  # words in a group: a larger one is taken for a wide class
WINDOW: Final = 1 << 17
# Characters that stand in a tenth of all messages or more: no word to begin with.
COMMON: Final = frozenset("的了我你您是不在有这那个一就都也说要来去给和人好么多吗呢吧们到会可以上下没能看看想什怎为他她它把还得过很时后钱年月日天点")
Group = frozenset[str]


class Expressions:
    """Compiled RE2 expressions that are searched for together. `Match` returns the numbers of those that match, ascending, or None."""

    def __init__(self, listed: Sequence[str], compiled: Sequence[Any]) -> None:
        self._compiled = tuple(compiled)
        self._always: list[int] = []
        self._others: list[tuple[Group, ...]] = []  # by expression: the groups it needs beside the one that is searched for
        words: dict[str, list[int]] = {}
        for number, pattern in enumerate(listed):
            groups = needs(pattern)
            rarest = max(groups, key=_rarity, default=frozenset[str]())
            self._others.append(tuple(group for group in groups if group != rarest))
            if not groups:
                self._always.append(number)
            for word in rarest:
                words.setdefault(word, []).append(number)
        self._owners = tuple(tuple(owners) for owners in words.values())
        self._automaton = AhoCorasick(list(words)) if words else None
        self._longest = max(map(len, words), default=0)

    def Match(self, text: str) -> list[int] | None:
        """Return the numbers of the expressions that are found in `text`, or None when there is none."""
        found = [number for number in self._possible(text) if self._compiled[number].search(text)]
        return found or None

    def _possible(self, text: str) -> list[int]:
        """The numbers of the expressions whose words are there."""
        if self._automaton is None:
            return self._always
        there = self._words_in(text)
        if not there:
            return self._always
        begun = {number for word in there for number in self._owners[word]}
        possible = (number for number in begun if all(any(word in text for word in group) for group in self._others[number]))
        return sorted([*self._always, *possible])

    def _words_in(self, text: str) -> set[int]:
        """The numbers of the words that stand in `text`; long texts window by window, so that their hits need not lie in memory at once."""
        assert self._automaton is not None
        if len(text) <= WINDOW:
            return {word for word, _, _ in self._automaton.find_matches_as_indexes(text, overlapping=True)}
        there: set[int] = set()
        for at in range(0, len(text), WINDOW):
            some = text[at : at + WINDOW + self._longest]
            there |= {word for word, _, _ in self._automaton.find_matches_as_indexes(some, overlapping=True)}
        return there


def _rarity(group: Group) -> tuple[int, int, int]:
    """How seldom a text holds one of the words: by the shortest, by how many are characters of every other sentence, by how many there are."""
    return min(map(len, group)), -sum(len(word) == 1 and word in COMMON for word in group), -len(group)


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
