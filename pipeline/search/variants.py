"""Other ways of writing the same words: folded as keywords are (match/fold.py) and put right by the variant tables (match/tables.py).

Before: words.py. After: hits.py.

Rules, each with a test:
 (1) What is found exactly is found with variants too.
 (2) Text and words are compared after folding (traditional, full width, case, marks in between), and once more with look-alikes, split characters,
     homophones, code words and emoji put right. Places are those of the text as written.
 (3) An index helps here too: every character of the folded words comes from one of the characters that fold to it.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.match import fold, levels, tables
from pipeline.search.places import Place, places
from pipeline.segments import leftmost

_LAST_CODE = 0x110000


class Folded:
    """A text in any of its ways of writing (see words.Wanted)."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._folded = fold.fold(text)
        self._meant = levels.with_variants(fold.fold_chars(text), fold.ALL)
        self.by_part = True
        self.keys = [sorted(_written(char)) for char in dict.fromkeys(self._meant)] if self._folded and self._meant else [[ord(c)] for c in text]

    def rows(self, texts: pa.Array) -> Any:
        """Return the numbers of the texts that hold it, ascending (int64)."""
        return np.array([n for n, text in enumerate(texts.to_pylist()) if self._in(text)], np.int64)

    def _in(self, text: str) -> bool:
        if self._text in text:
            return True
        if not self._folded:
            return False
        loose = fold.fold_chars(text)
        return self._folded in fold.drop_separators(loose) or (bool(self._meant) and self._meant in levels.with_variants(loose, fold.ALL))

    def places(self, parts: Iterable[Mapping[str, Any]] | None) -> list[Place]:
        """Return where it stands in the parts of a message, as written; of two that overlap the first."""
        found = places(parts, self._text)
        for number, part in enumerate(parts or ()):
            found += [Place(number, part["path"] or "", start, end) for start, end in self._folded_places(part["text"] or "")]
        return leftmost(found)

    def _folded_places(self, text: str) -> Iterator[tuple[int, int]]:
        for needle, mapped in ((self._folded, levels.base_map(text, fold.ALL)), (self._meant, levels.variants_map(text, fold.ALL))):
            at = mapped.text.find(needle) if needle else -1
            while at >= 0:
                yield mapped.place(at, at + len(needle))
                at = mapped.text.find(needle, at + len(needle))


def _written(char: str) -> set[int]:
    """Return the code points of which a text has at least one when its folded form, variants put right, has `char` (rule 3)."""
    found = set(_sources().get(char, ())) | {ord(char)}
    listed = tables.replacements()
    for key, (meant, _) in [*listed.chars.items(), *listed.words.items()]:
        if char in meant:
            found |= set(_sources().get(key[0], ())) | {ord(key[0])}
    return found


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
