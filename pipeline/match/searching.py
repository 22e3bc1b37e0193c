"""At which levels something is hit in a text, and where: what nearly all texts end with.

Before: fold.py, levels.py, pinyin.py, lexicon.py. After: screen.py (many texts at once), harvest.py (what the hits are worth).

A level is a way to compare: the folded text; digits for digit words; variants; characters repeated; as written; sounds; expressions;
personal data. Each is tried only in texts that can differ there, and has a map back to the text as written, made on a hit only.
A hit of a level that the folded text has at the same place already is left out.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from operator import itemgetter
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline import pii
from pipeline.match import levels, pinyin
from pipeline.match.fold import ALL, as_written
from pipeline.match.judge import Words
from pipeline.match.levels import Mapped
from pipeline.match.lexicon import SPOKEN, TERM, TRIGGER, Group, Search

_QUOTES = re.compile("[“「『‘\"]")
WINDOW = 1 << 17  # folded code points searched at once: bounds the memory that a text full of hits can take

Level = Literal["base", "digits", "variants", "repeats", "doubles", "written", "sounds", "patterns", "pii"]
Hit = tuple[int, int, int]  # pattern number, start, end
Hits = Iterable[Hit]
Expressed = tuple[int, Iterable[tuple[int, int]]]  # number of an expression, and where it matches in the folded text


class Found(NamedTuple):
    """What a level shows: the automaton's hits, or the expressions that match."""

    level: Level
    search: Search | None = None
    hits: Hits = ()
    expressions: Sequence[Expressed] = ()


class Base(NamedTuple):
    """A folded text, and for each of its code points where it came from."""

    text: str
    origins: Sequence[int]


class Seen(NamedTuple):
    """What is known of a text from searching it with others: its base, the hits there, the expressions that match, at which levels else there is something."""

    base: Base
    hits: list[Hit]
    expressions: list[Expressed]
    levels: Collection[Level]


class Ground:
    """One part of a message under one group's folding: the text as written, and its maps, made when they are asked for."""

    __slots__ = ("_base", "_mapped", "_plain", "_words", "group", "part", "quotable", "text")

    def __init__(self, part: int, text: str, group: Group, base: Base | None = None) -> None:
        self.part, self.text, self.group = part, text, group
        self._base = base
        self._mapped: Mapped | None = None
        self._words: Words | None = None
        self._plain: Words | None = None
        self.quotable = _QUOTES.search(text) is not None

    @property
    def base(self) -> Mapped:
        """The folded text, mapped."""
        if self._mapped is None:
            self._mapped = Mapped(self._base.text, self._base.origins) if self._base else levels.base_map(self.text, self.group.folding)
        return self._mapped

    @property
    def words(self) -> Words:
        """The part as the group folds it."""
        if self._words is None:
            self._words = Words(self.text, self.base.text, self.base.starts)
        return self._words

    @property
    def plain(self) -> Words:
        """The part after all folds, as phrases that excuse are compared."""
        if self._plain is None:
            self._plain = self.words if self.group.folding is ALL else Words(self.text, *ALL.fold_map(self.text))
        return self._plain

    def level(self, name: Level) -> Mapped:
        """Return the map of a level of this part."""
        if name == "variants":
            return levels.variants_map(self.text, self.group.folding)
        if name == "repeats":
            return levels.once_map(self.base)
        if name == "written":
            return Mapped(as_written(self.text), range(len(self.text)))
        return pinyin.sound_map(self.base) if name == "sounds" else self.base


def search(group: Group, text: str) -> list[Found]:
    """Return what is hit in a text, level by level."""
    loose = group.folding.chars(text)
    folded = group.folding.drop(loose)
    found: list[Found] = []
    triggered = False
    expressions: list[Expressed] = []
    if group.main is not None:
        there, hits = _hits(group.main, folded)
        kinds = group.kinds[there]
        triggered = bool((kinds & TRIGGER).any())
        if (kinds & TERM).any():
            found.append(Found("base", group.main, hits))
        if group.pattern_set is not None:
            words = group.spoken[there[kinds & SPOKEN != 0]]
            expressions = group.pattern_set.found(group.pattern_set.possible(words, np.zeros_like(words))[1], folded)
    found += _digits(group, folded)
    if group.variants and (triggered or levels.variants_possible(loose)):
        found += _variants(group, loose)
    found += _repeats(group, folded)
    found += _written(group, text)
    found += _sounds(group, folded)
    if expressions:
        found.append(Found("patterns", expressions=expressions))
    return found + _pii(group, text)


def search_again(group: Group, text: str, seen: Seen) -> list[Found]:
    """Return what `search` does, of a text that was searched with others."""
    folded, wanted = seen.base.text, seen.levels
    found = [Found("base", group.main, seen.hits)] if seen.hits else []
    found += _digits(group, folded) if "digits" in wanted else []
    found += _variants(group, group.folding.chars(text)) if "variants" in wanted else []
    found += _repeats(group, folded) if "repeats" in wanted else []
    found += _written(group, text) if "written" in wanted else []
    found += _sounds(group, folded) if "sounds" in wanted else []
    found += [Found("patterns", expressions=seen.expressions)] if seen.expressions else []
    return found + (_pii(group, text) if "pii" in wanted else [])


def _digits(group: Group, folded: str) -> Iterator[Found]:
    if group.digits and group.main is not None and levels.digits_possible(folded):
        digits = levels.with_digits(folded)
        if hits := _listed(group.main, digits):
            yield Found("digits", group.main, (hit for hit in hits if folded[hit[1] : hit[2]] != digits[hit[1] : hit[2]]))


def _variants(group: Group, loose: str) -> Iterator[Found]:
    if group.main is not None and (hits := _listed(group.main, levels.with_variants(loose, group.folding))):
        yield Found("variants", group.main, hits)


def _repeats(group: Group, folded: str) -> Iterator[Found]:
    if group.repeats and levels.repeats_possible(folded):
        once = levels.without_repeats(folded)
        if group.main is not None and (hits := _listed(group.main, once)):
            yield Found("repeats", group.main, hits)
        if group.doubles is not None and (hits := _listed(group.doubles, once)):
            yield Found("doubles", group.doubles, hits)


def _written(group: Group, text: str) -> Iterator[Found]:
    if group.written is not None and (hits := _listed(group.written, as_written(text))):
        yield Found("written", group.written, hits)


def _sounds(group: Group, folded: str) -> Iterator[Found]:
    if group.sounds is not None and (hits := _listed(group.sounds, pinyin.sound(folded))):
        yield Found("sounds", group.sounds, hits)


def _pii(group: Group, text: str) -> list[Found]:
    return [Found("pii")] if group.pii and pii.places(text, group.pii) else []


# -- hits ---------------------------------------------------------------------------------------------------------------


def hits_in(search: Search, text: str) -> list[Hit]:
    """Return every hit of terms in a text of ordinary length."""
    found: list[Hit] = search.automaton.find_matches_as_indexes(text, overlapping=True)
    return [hit for hit in found if search.entries[hit[0]]]


def _listed(search: Search, text: str) -> Hits:
    """Each hit of a term in `text`; an empty list when there is none in a text of ordinary length."""
    if len(text) <= WINDOW:
        return hits_in(search, text)
    return (hit for hit in _by_window(search, text) if search.entries[hit[0]])


def _hits(search: Search, text: str) -> tuple[NDArray[np.int64], Hits]:
    """Which patterns stand in `text`, words beside the terms too, and each hit of a term."""
    if len(text) <= WINDOW:
        found: list[Hit] = search.automaton.find_matches_as_indexes(text, overlapping=True)
        return np.array([pattern for pattern, _, _ in found], np.int64), [hit for hit in found if search.entries[hit[0]]]
    there: set[int] = set()
    for _, found in _windows(search, text):
        there.update(map(itemgetter(0), found))
    return np.array(sorted(there), np.int64), _listed(search, text) if any(search.entries[pattern] for pattern in there) else ()


def _by_window(search: Search, text: str) -> Iterator[Hit]:
    for at, found in _windows(search, text):
        for pattern, start, end in found:
            if start < WINDOW:
                yield pattern, start + at, end + at


def _windows(search: Search, text: str) -> Iterator[tuple[int, list[Hit]]]:
    """Yield what stands in each window of a long text, and where the window begins; hits that begin behind its end are found again in the next."""
    for at in range(0, len(text), WINDOW):
        yield at, search.automaton.find_matches_as_indexes(text[at : at + WINDOW + search.longest - 1], overlapping=True)
