"""Which of many texts can have a hit at all: those that cannot, nearly all of chat text, are passed over together.

Before: arrays.py, searching.py, expressions.py, ../pii_many.py. After: matching.py, which looks at each of the others by itself.

The texts of a page are folded and searched as one. A text is named when matching it by itself would find something at any level; naming
one too many costs time, missing one would cost a finding. Texts of more than LONGEST code points are always named.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain
from typing import Final

import numpy as np
from ahocorasick_rs import AhoCorasick

from pipeline import pii_many
from pipeline.match import arrays, levels, pinyin
from pipeline.match.arrays import HAN, SEPARATOR, WORD, Bits, Classes, Folds, Joined, Places
from pipeline.match.expressions import Expressions
from pipeline.match.fold import ALL, SEPARATORS, Folding, character_classes
from pipeline.match.lexicon import SECRET, SPOKEN, TERM, TRIGGER, Entry, Group, Search
from pipeline.match.searching import Base, Expressed, Hit, Level, Seen, hits_in

LONGEST: Final = 4_096  # code points of a text that is searched together with others
SHARE: Final = 1 << 17  # code points searched at once
LETTER, LISTED, DIGIT_WORD, LATIN = 8, 16, 32, 64


def suspects(groups: Sequence[Group], texts: Sequence[str]) -> Iterator[tuple[int, list[Seen | None]]]:
    """Yield the number of each text in which something may be found, ascending, with what each group of packs knows of it; None: nothing, since it is long."""
    lengths = arrays.lengths_of(texts)
    found: dict[int, list[Seen | None]] = {number: [None] * len(groups) for number in np.flatnonzero(lengths > LONGEST).tolist()}
    for numbers in _shares(lengths):
        page = arrays.joined([texts[number] for number in numbers])
        for which, group in enumerate(groups):
            for at, seen in _seen(group, page):
                found.setdefault(numbers[at], [_NOTHING] * len(groups))[which] = seen
    return ((number, found[number]) for number in sorted(found))


_NOTHING: Final = Seen(Base("", ()), [], [], ())


def _shares(lengths: Places) -> Iterator[list[int]]:
    """The numbers of the texts that are searched together, so many that they make up a share."""
    numbers = np.flatnonzero((lengths > 0) & (lengths <= LONGEST))
    share_of = np.cumsum(lengths[numbers]) // SHARE
    for share in np.split(numbers, np.flatnonzero(np.diff(share_of)) + 1):
        if len(share):
            yield share.tolist()


@dataclass(frozen=True, slots=True)
class _Folded:
    """A page under one folding: after the single characters, without separators, and that as text."""

    loose: Joined
    loose_bits: Bits
    codes: Joined
    bits: Bits
    text: str
    bounds: list[int]
    one_for_one: list[bool]  # whether nothing fell out of a text and nothing became several

    def of(self, number: int) -> str:
        """Text `number`, folded."""
        return self.text[self.bounds[number] : self.bounds[number + 1] - 1]

    def base(self, number: int) -> Base:
        """Text `number`, folded, and where its code points came from."""
        first, last = self.bounds[number], self.bounds[number + 1] - 1
        text = self.text[first:last]
        if self.one_for_one[number]:
            return Base(text, range(last - first))
        return Base(text, (self.codes.origins[first:last] - self.codes.starts[number]).tolist())


@dataclass(slots=True)
class _Known:
    """What is found out about the texts of a page: hits by text, expressions that match, and who has something at a level."""

    hits: defaultdict[int, list[Hit]]
    expressions: dict[int, list[Expressed]]
    levels: dict[int, set[Level]]

    def at(self, level: Level, numbers: Iterable[int]) -> None:
        """Note that texts have something at a level."""
        for number in numbers:
            self.levels.setdefault(number, set()).add(level)


def _seen(group: Group, page: Joined) -> Iterator[tuple[int, Seen | None]]:
    """Yield what a group knows of each text of a page in which something may be found; None for one that must be folded by itself."""
    folded = _fold(page, group.folding)
    for number in _odd(folded):
        yield number, None
    known = _Known(defaultdict(list), {}, {})
    if group.main is not None:
        known.at("variants", _in_main(group, group.main, folded, known))
        known.at("digits", _in_digits(group, group.main, folded))
    if group.repeats:
        known.at("repeats", _in_repeats(group, folded, known))
    if group.written is not None:
        known.at("written", _hit(group.written, page, _without_surrogates(page).text()))
    if group.sounds is not None:
        known.at("sounds", _in_sounds(group.sounds, folded))
    if group.pii and not group.secrets:
        known.at("pii", pii_many.possible(page, kinds=group.pii.keys()))
    for number in {*known.hits, *known.expressions, *known.levels} - _odd(folded):
        yield number, Seen(folded.base(number), known.hits.get(number, []), known.expressions.get(number, []), known.levels.get(number, ()))


# -- folded -----------------------------------------------------------------------------------------------------------


def _fold(page: Joined, folding: Folding) -> _Folded:
    loose = _folds(folding).of(page)
    bits = _classes().of(loose.codes)
    stays = arrays.kept(bits) if SEPARATORS in folding.names else None
    codes, own = (loose, bits) if stays is None else (loose.only(stays), bits[stays])
    bounds = codes.bounds()
    return _Folded(loose, bits, codes, own, codes.text(), bounds, _one_for_one(page, codes, bounds))


def _one_for_one(page: Joined, codes: Joined, bounds: list[int]) -> list[bool]:
    same = np.diff(bounds) == np.diff(page.starts, append=len(page.codes))
    same[codes.owners_of(np.flatnonzero(np.diff(codes.origins) == 0))] = False
    told: list[bool] = same.tolist()
    return told


def _odd(folded: _Folded) -> set[int]:
    """The texts with a pictograph that is a digit too: for packs that do not fold those, it depends on the neighbours which of the two it is."""
    both = folded.loose_bits & (SEPARATOR | WORD) == SEPARATOR | WORD
    return set(arrays.holding(folded.loose, both)) if both.any() else set()


@cache
def _folds(folding: Folding) -> Folds:
    return Folds(folding.table.__getitem__)


@cache
def _classes() -> Classes:
    return Classes(_bits_of)


def _bits_of(char: str) -> int:
    separator, word, han = character_classes(char)
    return (
        SEPARATOR * separator
        | WORD * word
        | HAN * han
        | LETTER * levels.repeats_possible(char + char)
        | LISTED * levels.is_listed(char)
        | DIGIT_WORD * levels.digits_possible(char)
        | LATIN * ("a" <= char <= "z")
    )


def _without_surrogates(page: Joined) -> Joined:
    broken = (page.codes >= 0xD800) & (page.codes <= 0xDFFF)
    return page._replace(codes=np.where(broken, np.uint32(0xFFFD), page.codes)) if broken.any() else page


# -- searched ---------------------------------------------------------------------------------------------------------


def _hit(search: Search, page: Joined, text: str) -> set[int]:
    """The texts in which a term of `search` stands."""
    places = [start for pattern, start, _ in search.automaton.find_matches_as_indexes(text, overlapping=True) if search.entries[pattern]]
    return set(page.owners(places))


def _in_main(group: Group, main: Search, folded: _Folded, known: _Known) -> set[int]:
    """Note the hits of each text and the expressions that match; return the texts with a term in variants."""
    found = main.automaton.find_matches_as_indexes(folded.text, overlapping=True)
    hits = np.fromiter(chain.from_iterable(found), np.int64, 3 * len(found)).reshape(-1, 3)
    owners = folded.codes.owners_of(hits[:, 1])
    kinds = group.kinds[hits[:, 0]]
    terms = np.flatnonzero(kinds & TERM)
    for at, owner in zip(terms.tolist(), owners[terms].tolist(), strict=True):
        (pattern, start, end), first = found[at], folded.bounds[owner]
        known.hits[owner].append((pattern, start - first, end - first))
    if group.secrets:
        known.at("pii", owners[kinds & SECRET != 0].tolist())
    if group.pattern_set is not None:
        spoken = kinds & SPOKEN != 0
        _express(group.pattern_set, folded, known, group.spoken[hits[spoken, 0]], owners[spoken])
    if not group.variants:
        return set()
    varied = {*owners[kinds & TRIGGER != 0].tolist(), *arrays.holding(folded.loose, folded.loose_bits & LISTED != 0)}
    return _in_variants(group, main, folded, sorted(varied))


def _express(expressions: Expressions, folded: _Folded, known: _Known, words: Places, owners: Places) -> None:
    """Note the expressions that match in each text."""
    possible: defaultdict[int, list[int]] = defaultdict(list)
    for owner, number in zip(*expressions.possible(words, owners), strict=True):
        possible[owner].append(number)
    for owner in range(len(folded.bounds) - 1) if expressions.always else possible:
        if matching := expressions.found(possible.get(owner, ()), folded.of(owner)):
            known.expressions[owner] = matching


def _in_variants(group: Group, main: Search, folded: _Folded, numbers: Sequence[int]) -> set[int]:
    text, bounds = (folded.loose.text(), folded.loose.bounds()) if numbers else ("", [])
    return {n for n in numbers if hits_in(main, levels.with_variants(text[bounds[n] : bounds[n + 1] - 1], group.folding))}


def _in_digits(group: Group, main: Search, folded: _Folded) -> set[int]:
    if not group.digits or not (folded.bits & DIGIT_WORD).any():
        return set()
    return _hit(main, folded.codes, levels.with_digits(folded.text))


def _in_repeats(group: Group, folded: _Folded, known: _Known) -> set[int]:
    """The texts with more hits once repeated characters are written once; a hit that they do not touch is there before and after."""
    again = arrays.repeated(folded.codes.codes, folded.bits & LETTER != 0)
    holders = arrays.holding(folded.codes, again)
    if not holders:
        return set()
    mine = np.zeros(len(folded.bounds), np.bool_)
    mine[holders] = True
    once = folded.codes.only(np.repeat(mine[:-1], np.diff(folded.bounds)) & ~again)
    text = once.text()
    named = _hit(group.doubles, once, text) if group.doubles is not None else set()
    if group.main is not None:
        hits = hits_in(group.main, text)
        counts = Counter(zip(once.owners([start for _, start, _ in hits]), [pattern for pattern, _, _ in hits], strict=True))
        for (owner, pattern), count in counts.items():
            if owner not in named and count > sum(hit[0] == pattern for hit in known.hits.get(owner, ())):
                named.add(owner)
    return named


def _in_sounds(sounds: Search, folded: _Folded) -> set[int]:
    """The texts that sound like a term and are not written as it is; Latin letters are read as syllables text by text."""
    latin = arrays.holding(folded.codes, folded.bits & LATIN != 0)
    named = {number for number in latin if _any(sounds.automaton, pinyin.sound(folded.of(number)))}
    hits = hits_in(sounds, _sound_table().of(folded.codes).text())
    for (pattern, start, end), owner in zip(hits, folded.codes.owners([start for _, start, _ in hits]), strict=True):
        if owner not in named and _sounds_like(sounds.entries[pattern], folded.text[start:end]):
            named.add(owner)
    return named


def _sounds_like(entries: Iterable[Entry], written: str) -> bool:
    return any(pinyin.sounds_like(written, ALL.fold(term), latin=False) for entry in entries for term in entry.terms)


@cache
def _sound_table() -> Folds:
    return Folds(lambda code: pinyin.sound(chr(code)))


def _any(automaton: AhoCorasick, text: str) -> bool:
    return bool(automaton.find_matches_as_indexes(text))
