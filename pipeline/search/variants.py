"""Other ways of writing the same words: folded as keywords are (match/fold.py) and put right by the variant tables (match/tables.py).

Before: words.py. After: hits.py.

Rules, each with a test:
 (1) What is found exactly is found with variants too.
 (2) Text and words are compared after folding (traditional, full width, case, marks in between), and once more with look-alikes, split characters,
     homophones, code words and emoji put right; with digits for digit words (一三八); and with what is written several times (保保本本) taken once,
     as long as the text repeats what the words repeat. Places are those of the text as written.
 (3) By sound, on request: words of two syllables and more, as pinyin or by other characters of the same sound; of these at least half must be
     the words' own, in their places (match/pinyin.py, rule 3).
 (4) An index helps here too: every character of the folded words comes from one of the characters that fold to it, or sound like it.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.match import fold, levels, pinyin, tables
from pipeline.search.places import Place, places
from pipeline.segments import leftmost

_LAST_CODE = 0x110000
LEAST_SYLLABLES = 2


class Folded:
    """A text in any of its ways of writing (see words.Wanted). by_sound: other characters of the same sound count too."""

    def __init__(self, text: str, *, by_sound: bool = False) -> None:
        self._text = text
        self._folded = fold.fold(text)
        self._meant = levels.with_variants(fold.fold_chars(text), fold.ALL)
        self._digits = levels.with_digits(self._folded)
        forms = ((levels.without_repeats(form), form) for form in (self._folded, self._digits))
        self._once = {once: tuple(last - first for first, last in levels.runs(form)) for once, form in forms if len(once) > 1}
        self._sound = _sound(self._folded) if by_sound else ""
        self.by_part = True
        self.keys = self._keys() if self._folded and self._meant else [[ord(c)] for c in text]

    def _keys(self) -> list[list[int]]:
        """Return, for each character, the code points of which a hit holds one (rule 4)."""
        if not self._sound:
            return [sorted(_written(char)) for char in dict.fromkeys(self._meant)]
        if self._meant != self._folded:  # two ways of writing with characters of their own: whatever is there is looked at
            return []
        spans = pinyin.sound_map(levels.base_map(self._folded, fold.ALL))
        same = {char: {code for one in self._folded[spans.starts[n] : spans.end(n)] for code in _written(one)} for n, char in enumerate(spans.text)}
        return [sorted(codes | _sounding(char)) for char, codes in same.items()]

    def rows(self, texts: pa.Array) -> Any:
        """Return the numbers of the texts that hold it, ascending (int64)."""
        return np.array([n for n, text in enumerate(texts.to_pylist()) if self._in(text)], np.int64)

    def _in(self, text: str) -> bool:
        if self._text in text:
            return True
        if not self._folded:
            return False
        loose = fold.fold_chars(text)
        base = fold.drop_separators(loose)
        if self._folded in base or (bool(self._meant) and self._meant in levels.with_variants(loose, fold.ALL)):
            return True
        digits = levels.with_digits(base) if levels.digits_possible(base) else base
        if self._digits in digits or any(once in levels.without_repeats(form) for form in dict.fromkeys((base, digits)) for once in self._once):
            return True
        return bool(self._sound) and self._sound in pinyin.sound(base)

    def places(self, parts: Iterable[Mapping[str, Any]] | None) -> list[Place]:
        """Return where it stands in the parts of a message, as written; of two that overlap the first."""
        found = places(parts, self._text)
        for number, part in enumerate(parts or ()):
            found += [Place(number, part["path"] or "", start, end) for start, end in self._folded_places(part["text"] or "")]
        return leftmost(found)

    def _folded_places(self, text: str) -> Iterator[tuple[int, int]]:
        base = levels.base_map(text, fold.ALL)
        digits = base._replace(text=levels.with_digits(base.text))
        for needle, mapped in ((self._folded, base), (self._meant, levels.variants_map(text, fold.ALL)), (self._digits, digits)):
            yield from (mapped.place(at, at + len(needle)) for at in _starts(mapped.text, needle))
        for mapped in (base, digits):
            yield from self._repeated(mapped)
        if self._sound:
            yield from self._sounding_places(text, pinyin.sound_map(base))

    def _repeated(self, mapped: levels.Mapped) -> Iterator[tuple[int, int]]:
        """Yield the shortest stretches that hold the words, where characters are written several times."""
        there = levels.runs(mapped.text)
        for once, needed in self._once.items():
            for at in _starts(levels.without_repeats(mapped.text), once):
                here = there[at : at + len(once)]
                if all(last - first >= n for (first, last), n in zip(here, needed, strict=True)):
                    yield mapped.place(here[0][1] - needed[0], here[-1][0] + needed[-1])

    def _sounding_places(self, text: str, sounds: levels.Mapped) -> Iterator[tuple[int, int]]:
        latin = not all(ord(char) > 0x7F for char in self._folded)
        for at in _starts(sounds.text, self._sound):
            start, end = sounds.place(at, at + len(self._sound))
            if pinyin.sounds_like(fold.fold(text[start:end]), self._folded, latin or bool(sounds.tables(at, at + len(self._sound)))):
                yield start, end


def _starts(text: str, needle: str) -> Iterator[int]:
    at = text.find(needle) if needle else -1
    while at >= 0:
        yield at
        at = text.find(needle, at + len(needle))


def _sound(folded: str) -> str:
    """Return how folded words sound, empty where they are not all syllables, or too few (rule 3)."""
    found = pinyin.sound(folded)
    return found if len(found) >= LEAST_SYLLABLES and pinyin.all_syllables(found) else ""


@cache
def _sounding(syllable: str) -> frozenset[int]:
    """Return the code points of which a text has at least one where this syllable stands: characters of that sound and its first letter, as written."""
    chars = [chr(code) for code, sound in pinyin.characters().items() if sound == syllable]
    letters = [name[0] for name, sound in pinyin.syllables().items() if sound == syllable]
    return frozenset(code for char in (*chars, *letters) for code in (ord(char), *_sources().get(char, ())))


def _written(char: str) -> set[int]:
    """Return the code points of which a text has at least one when its folded form, variants put right, has `char` or its digit (rule 4)."""
    listed = tables.replacements()
    begins = {key[0] for key, (meant, _) in [*listed.chars.items(), *listed.words.items()] if any(one in meant for one in _same_digit(char))}
    every = {one for begin in (char, *begins) for one in _same_digit(begin)}
    return {code for one in every for code in (ord(one), *_sources().get(one, ()))}


def _same_digit(char: str) -> set[str]:
    """Return the digit, and all words for it, where the character is one of them; else the character."""
    digit = levels.with_digits(char)
    return {char, digit, *(chr(code) for code, meant in tables.digits().items() if meant == digit)}


@cache
def _sources() -> dict[str, list[int]]:
    """Return, for each folded character, the code points whose fold holds it and that are not it."""
    found: dict[str, list[int]] = {}
    for code in range(_LAST_CODE):
        char = chr(code)
        if _may_fold(char):
            for folded in fold.fold_chars(char):
                if folded != char:
                    found.setdefault(folded, []).append(code)
    return found


def _may_fold(char: str) -> bool:
    if char.isascii():
        return char.isupper()
    return unicodedata.normalize("NFKD", char) != char or char.casefold() != char or char in fold._simplified_table() or unicodedata.category(char) in ("So", "No", "Cs")
