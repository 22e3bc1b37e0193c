"""Fold a text to the form in which terms are compared, and lead every place in it back to the text as written.

Before: ../resources.py. After: levels.py, lexicon.py, matching.py.

Folds, in order. The first five look at one code point at a time and are applied until nothing changes; the last looks at neighbours.

1. invisible   zero-width, bidirectional, variation-selector and tag characters, combining marks: dropped
2. width       full-width, half-width, styled and compatibility forms: their plain form (Unicode NFKC)
3. enclosed    circled, parenthesised, squared letters and digits: the letter or digit alone
4. case        upper to lower (Unicode case folding)
5. simplified  traditional to simplified Chinese, by character (OpenCC t2s; where the simplified form depends on the word, one form)
6. separators  spaces, punctuation, symbols inside a clause between two Chinese characters, or between one and a letter or digit: dropped

A `Folding` is a choice of them: packs may do without some. Folds that only some texts need (digit words, repeated characters,
variants, pinyin) lie in levels.py and start from what this module made. Offsets are code points.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Callable, Sequence
from functools import cache
from itertools import groupby

import opencc

# Zero-width, BOM, soft hyphen, bidi controls, fillers, variation selectors, tags. Inclusive ranges.
INVISIBLE = (
    (0x00AD, 0x00AD), (0x034F, 0x034F), (0x061C, 0x061C), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F), (0x200B, 0x200F),
    (0x202A, 0x202E), (0x2060, 0x206F), (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF), (0xE0000, 0xE01EF),
)  # fmt: skip
# Diacritics, strike-through, enclosing keycaps: put over a letter they change how it looks, not what it says.
MARKS = ((0x0300, 0x036F), (0x0483, 0x0489), (0x1AB0, 0x1AFF), (0x1DC0, 0x1DFF), (0x20D0, 0x20FF), (0xFE20, 0xFE2F))
# Blocks whose characters are a letter, digit or ideograph in a ring, box or brackets.
ENCLOSED = ((0x2460, 0x24FF), (0x2776, 0x2793), (0x3200, 0x32FF), (0x1F100, 0x1F1AF))
# Negative circled and negative squared capitals have no compatibility form of their own.
NEGATIVE_CAPITALS = (0x1F150, 0x1F170)
HAN = ((0x3005, 0x3007), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x323AF))
# A traditional character whose simplified form depends on the word (帳戶 账户, 跟著 跟着, 反覆 反复): both become one.
WORD_DEPENDENT = {
    "帐": "账", "著": "着", "覆": "复", "妳": "你", "瞭": "了", "藉": "借",
    "祇": "只", "衹": "只", "衞": "卫", "敍": "叙", "枱": "台", "粧": "妆",
}  # fmt: skip
# Marks that end a clause; they are never dropped, so a term is never put together across them.
CLAUSE_MARKS = ",;:!?。、，；：！？\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"
# Marks that carry the meaning of the number beside them.
KEPT_MARKS = "%‰‱"
_SURROGATE = re.compile("[\ud800-\udfff]")
_PUNCTUATION = ((0x20, 0x2FFF), (0x3000, 0x303F), (0xFE10, 0xFFEF))
# Emoji and pictographs: one range, since a character class with many ranges beyond U+FFFF is eight times slower.
_PICTOGRAPHS = (0x1F000, 0x1FAFF)


def _inside(code_point: int, ranges: Sequence[tuple[int, int]]) -> bool:
    return any(first <= code_point <= last for first, last in ranges)


def _invisible(char: str) -> str:
    return "" if _inside(ord(char), INVISIBLE) else char


def _width(char: str) -> str:
    bare = "".join(c for c in unicodedata.normalize("NFKD", char) if not _inside(ord(c), MARKS))
    return unicodedata.normalize("NFKC", bare)


def _enclosed(char: str) -> str:
    code_point = ord(char)
    if not _inside(code_point, ENCLOSED):
        return char
    for first in NEGATIVE_CAPITALS:
        if first <= code_point < first + 26:
            return chr(ord("a") + code_point - first)
    plain = unicodedata.normalize("NFKC", char)
    if plain == char:
        number = unicodedata.numeric(char, None)
        return char if number is None else str(int(number))
    return plain.strip("().,〔〕") or char


@cache
def _simplified_table() -> dict[str, str]:
    """Traditional → simplified, single characters, from OpenCC's table (one conversion of all ideographs, about 50 ms)."""
    chars = [chr(code_point) for first, last in HAN for code_point in range(first, last + 1)]
    simplified = opencc.OpenCC("t2s").convert("\n".join(chars)).split("\n")
    changed = {char: plain for char, plain in zip(chars, simplified, strict=True) if plain != char}
    return changed | WORD_DEPENDENT


def _simplified(char: str) -> str:
    return _simplified_table().get(char, char)


CHAR_FOLDS: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("invisible", _invisible),
    ("enclosed", _enclosed),
    ("width", _width),
    ("case", str.casefold),
    ("simplified", _simplified),
)


def _fold_char(char: str, folds: Sequence[Callable[[str], str]]) -> str:
    """Fold one code point until no fold changes it; a lone surrogate becomes the replacement character."""
    if unicodedata.category(char) == "Cs":
        return "\N{REPLACEMENT CHARACTER}"
    text, before = char, ""
    while text != before:
        before = text
        for fold_one in folds:
            text = "".join(map(fold_one, text))
    return text


class _Table(dict[int, str]):
    """The table for `str.translate`: filled as code points are met, at most one entry for each."""

    def __init__(self, folds: Sequence[Callable[[str], str]]) -> None:
        super().__init__()
        self._folds = folds

    def __missing__(self, code_point: int) -> str:
        folded = self[code_point] = _fold_char(chr(code_point), self._folds)
        return folded


def _is_separator(char: str) -> bool:
    kind = unicodedata.category(char)
    return kind[0] in "PSZ" and char not in CLAUSE_MARKS and char not in KEPT_MARKS


def _char_class(ranges: Sequence[tuple[int, int]]) -> str:
    return "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in ranges)


@cache
def _separator_class() -> str:
    points = [p for first, last in _PUNCTUATION for p in range(first, last + 1) if _is_separator(chr(p))]
    runs = [[p for _, p in run] for _, run in groupby(enumerate(points), lambda pair: pair[1] - pair[0])]
    return _char_class([(0x09, 0x09), *((run[0], run[-1]) for run in runs), _PICTOGRAPHS])


@cache
def _separator() -> re.Pattern[str]:
    return re.compile(f"[{_separator_class()}]")


@cache
def _separators() -> re.Pattern[str]:
    """A run of separators to drop: Chinese on one side, Chinese or a letter or digit on the other."""
    mark, han, word = _separator().pattern, f"[{_char_class(HAN)}]", r"[^\W_]"
    return re.compile(f"{mark}(?:(?<={han}{mark}){mark}*(?={word})|(?<={word}{mark}){mark}*(?={han}))")


@cache
def _word() -> re.Pattern[str]:
    return re.compile(r"[^\W_]")


def character_classes(char: str) -> tuple[bool, bool, bool]:
    """Return what a character is when separators fall: one of them, a letter or digit, Chinese."""
    return _separator().match(char) is not None, _word().match(char) is not None, _inside(ord(char), HAN)


SEPARATORS = "separators"
FOLDS = (*(name for name, _ in CHAR_FOLDS), SEPARATORS)


class Folding:
    """Some of the folds above, in their order; one object for each choice."""

    def __init__(self, names: frozenset[str]) -> None:
        self.names = names
        self.table = _Table([fold_one for name, fold_one in CHAR_FOLDS if name in names])

    def chars(self, text: str) -> str:
        """Return `text` after folds 1-5 only: separators stay."""
        return text.translate(self.table)

    def drop(self, loose: str) -> str:
        """Return `loose` (which went through `chars`) without the separators inside its clauses."""
        return _separators().sub("", loose) if SEPARATORS in self.names else loose

    def fold(self, text: str) -> str:
        """Return `text` folded; folding twice gives the same as folding once."""
        return self.drop(text.translate(self.table))

    def fold_map(self, text: str) -> tuple[str, list[int]]:
        """Return `fold(text)` and, for each code point of it, the index of the code point of `text` it came from."""
        loose, origins = self.chars_map(text)
        kept = self.kept(loose)
        return "".join(map(loose.__getitem__, kept)), list(map(origins.__getitem__, kept))

    def chars_map(self, text: str) -> tuple[str, list[int]]:
        """Return `chars(text)` and, for each code point of it, the index of the code point of `text` it came from."""
        table = self.table
        pieces = [table[ord(char)] for char in text]
        loose = "".join(pieces)
        return loose, list(range(len(text))) if len(loose) == len(text) and all(pieces) else [i for i, piece in enumerate(pieces) for _ in piece]

    def kept(self, loose: str) -> list[int] | range:
        """Return the indices of the code points of `loose` that `drop` leaves."""
        if SEPARATORS not in self.names:
            return range(len(loose))
        found = [run.span() for run in _separators().finditer(loose)]
        if not found:
            return range(len(loose))
        kept: list[int] = []
        at = 0
        for start, end in found:
            kept += range(at, start)
            at = end
        return kept + list(range(at, len(loose)))


@cache
def folding(names: frozenset[str]) -> Folding:
    """Return the folding that does the folds of `names`."""
    return Folding(names)


ALL = folding(frozenset(FOLDS))
_TABLE = ALL.table
fold_chars = ALL.chars
fold = ALL.fold
fold_map = ALL.fold_map


def drop_separators(text: str) -> str:
    """Return `text` (already through `fold_chars`) without the separators inside its clauses."""
    return _separators().sub("", text)


def as_written(text: str) -> str:
    """Return `text` itself, lone surrogates replaced one for one (no automaton takes them)."""
    return text if text.isascii() or not _SURROGATE.search(text) else _SURROGATE.sub("\N{REPLACEMENT CHARACTER}", text)


def has_firm_edges(term: str) -> bool:
    """Whether each occurrence of `term` as written is also one after folding.

    It is not when the term begins or ends with a character that folding can drop: its neighbours in the text then decide.
    """
    if not term:
        return False
    first, last = _TABLE[ord(term[0])], _TABLE[ord(term[-1])]
    return bool(first and last) and not (_separator().match(first[0]) or _separator().match(last[-1]))


@cache
def fold_digest() -> str:
    """Return the sha256 (hex) of everything folding depends on: Unicode version, tables, order."""
    parts = (
        unicodedata.unidata_version, [name for name, _ in CHAR_FOLDS], INVISIBLE, MARKS, ENCLOSED, NEGATIVE_CAPITALS, HAN,
        sorted(_simplified_table().items()), _separators().pattern, CLAUSE_MARKS, KEPT_MARKS,
    )  # fmt: skip
    return hashlib.sha256(repr(parts).encode("utf-8", "backslashreplace")).hexdigest()
