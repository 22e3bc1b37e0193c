"""Personal data in many texts at once: the few that can hold any are looked through, the others told apart by their characters alone.

Before: pii.py, match/arrays.py. After: match/screen.py.

A text can hold some only when it has eleven digits in a row, words among them, or three ASCII characters in a row and three digits in a
row, a sign or a firm's own pattern: what `pii.find` asks first, asked here of all texts in one pass over an array of code points.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cache
from typing import Final

import numpy as np

from pipeline import pii
from pipeline.match.arrays import Classes, Folds, Joined, Mask, joined
from pipeline.pii import Kind

_VISIBLE, _DIGIT, _WORDED, _SIGN = 1, 2, 4, 8
_FEW: Final = 16  # texts: so few are sooner looked through one by one
_LONGEST: Final = 4_096  # code points: a longer text is looked through by itself
_ANY: Final = "0" * 11  # stands for a text that is always looked through


@cache
def _classes() -> Classes:
    return Classes(_bits_of)


def _bits_of(char: str) -> int:
    plain = char.translate(pii.WIDE)
    return (
        _VISIBLE * ("!" <= char <= "~" or "！" <= char <= "～" or plain in "0123456789")
        | _DIGIT * (plain in "0123456789")
        | _WORDED * (char in "0123456789" or ord(char) in pii.DIGIT_WORDS)
        | _SIGN * bool(pii.OTHER_SIGN.match(char))
    )


def suspects(texts: Sequence[str], *, policies: bool = False) -> list[int]:
    """Return the numbers of the texts that `pii.find` has to look through, ascending: in the others it finds nothing."""
    if len(texts) < _FEW:
        return list(range(len(texts)))
    return possible(joined([text if len(text) <= _LONGEST else _ANY for text in texts]), policies=policies)


def possible(page: Joined, *, policies: bool = False, kinds: Collection[Kind] | None = None) -> list[int]:
    """Return the numbers of the texts that can hold personal data (of `kinds`, when given), ascending. policies: whether the firm has patterns of its own."""
    bits = _classes().of(page.codes)
    visible = set(page.owners(np.flatnonzero(_runs_of_three(bits & _VISIBLE != 0))))
    numbers = set(page.owners(_long_runs(bits & _WORDED != 0, 11)))
    if kinds is not None and set(kinds) == {"secret"}:
        return sorted((visible | numbers) & _beside_secrets(page))
    if kinds is not None and "digits" in kinds:
        many = np.bincount(page.owners(np.flatnonzero(bits & (_DIGIT | _WORDED))), minlength=1)
        numbers |= set(np.flatnonzero(many >= pii.LEAST_DIGITS).tolist())
    if policies:
        return sorted(visible | numbers)
    signs = set(page.owners(np.flatnonzero(bits & _SIGN))) | set(page.owners(np.flatnonzero(_runs_of_three(bits & _DIGIT != 0))))
    return sorted(visible & signs | numbers)


def _beside_secrets(page: Joined) -> set[int]:
    """The texts with a word that a secret stands beside."""
    text, places = _plain().of(page).text(), []
    for word in pii.SECRET_WORDS:
        at = text.find(word)
        while at >= 0:
            places.append(at)
            at = text.find(word, at + 1)
    return set(page.owners(places))


@cache
def _plain() -> Folds:
    """Wide characters as narrow, letters small, one for one."""
    return Folds(lambda code: small if len(small := chr(code).translate(pii.WIDE).casefold()) == 1 else chr(code))


def _runs_of_three(mask: Mask) -> Mask:
    found: Mask = mask[2:] & mask[1:-1] & mask[:-2]
    return found


def _long_runs(mask: Mask, least: int) -> list[int]:
    """Where runs of at least so many begin."""
    edges = np.flatnonzero(np.diff(mask, prepend=False, append=False))
    first, last = edges[::2], edges[1::2]
    found: list[int] = first[last - first >= least].tolist()
    return found
