"""Compare by sound: texts and terms as syllables without tones, one code point a syllable.

Before: fold.py (folded texts). After: lexicon.py, matching.py.

1. A Chinese character is its most common reading (pypinyin); readings that depend on the word are not told apart.
2. A run of Latin letters is syllables when all of it can be read so, longest syllables first (wenzhuan, wen zhuan); spaces between
   syllables fall, as between Chinese characters. Other runs stay letters.
3. What sounds alike counts only when (a) it is not the term itself, and (b) it holds Latin syllables, or at least half of its characters
   are the term's own, in their places (宝本宝息 for 保本保息; 报本暴戏 is not).
Terms of three syllables and more; shorter ones only where a rule lists them. Off unless a rule asks for it: see docs/lexicon.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache, lru_cache

from pipeline.match.levels import Mapped

LEAST = 3  # syllables
FIRST = 0xE000  # private use: the code point of syllable number 0
LONGEST_RUN = 48  # letters that are tried as syllables
_PRIVATE = re.compile("[\ue000-\uf8ff]")
_LATIN = re.compile("[a-z]+")
_LATIN_SPACED = re.compile(r"(?<=[\ue000-\ue3ff])[ ·.'’_-]+(?=[\ue000-\ue3ff])")


@cache
def _readings() -> dict[int, str]:
    """Return character → syllable without tone (ü is v), from pypinyin."""
    from pypinyin.constants import PINYIN_DICT, Style
    from pypinyin.style import convert

    found = {}
    for code_point, readings in PINYIN_DICT.items():
        syllable = convert(readings.split(",")[0], Style.NORMAL, strict=False)
        if syllable.isascii() and syllable.isalpha():
            found[code_point] = syllable
    return found


@cache
def _numbers() -> dict[str, str]:
    """Return syllable → its code point; one-letter syllables and those that are English words are no syllables of a Latin run."""
    return {syllable: chr(FIRST + number) for number, syllable in enumerate(sorted(set(_readings().values())))}


@cache
def _table() -> dict[int, str]:
    numbers = _numbers()
    return {code_point: numbers[syllable] for code_point, syllable in _readings().items()}


def characters() -> dict[int, str]:
    """Return code point → the code point of its syllable, of every character whose sound is known."""
    return _table()


def syllables() -> dict[str, str]:
    """Return syllable in Latin letters → its code point."""
    return _numbers()


@cache
def _longest() -> int:
    return max(map(len, _numbers()))


def syllables_of(run: str) -> list[int] | None:
    """Return the lengths of the syllables a run of Latin letters consists of, longest first, or None when it does not."""
    lengths = _syllables_of(run) if 2 <= len(run) <= LONGEST_RUN else None
    return None if lengths is None else list(lengths)


@lru_cache(maxsize=4_096)  # the same few words again and again
def _syllables_of(run: str) -> tuple[int, ...] | None:
    numbers, longest = _numbers(), _longest()
    # best[i]: the length of the first syllable when the rest from i can be read, the longest that works
    best: list[int | None] = [None] * len(run) + [0]
    for at in range(len(run) - 1, -1, -1):
        for length in range(min(longest, len(run) - at), 0, -1):
            if best[at + length] is not None and run[at : at + length] in numbers and (length > 1 or run[at] in "ae"):
                best[at] = length
                break
    if best[0] is None:
        return None
    lengths, at = [], 0
    while at < len(run):
        taken = best[at]
        assert taken
        lengths.append(taken)
        at += taken
    return tuple(lengths)


def _latin(run: re.Match[str]) -> str:
    lengths = syllables_of(run.group())
    if lengths is None:
        return run.group()
    return "".join(_numbers()[syllable] for syllable in _cut(run.group(), lengths))


def _cut(run: str, lengths: list[int]) -> Iterator[str]:
    at = 0
    for length in lengths:
        yield run[at : at + length]
        at += length


def sound(folded: str) -> str:
    """Return a folded text with one code point for each syllable."""
    text = _PRIVATE.sub("\N{REPLACEMENT CHARACTER}", folded) if _PRIVATE.search(folded) else folded
    text = text.translate(_table())
    if _LATIN.search(text) is None:
        return text
    return _LATIN_SPACED.sub("", _LATIN.sub(_latin, text))


def sound_map(base: Mapped) -> Mapped:
    """Return `sound` of a folded text, mapped; bits: 1 for a Latin syllable, else 0."""
    numbers, table = _numbers(), _table()
    text = _PRIVATE.sub("\N{REPLACEMENT CHARACTER}", base.text)
    pieces: list[tuple[str, int, int, int]] = []  # code point, start, end, whether Latin; places in the folded text
    at = 0
    for run in _LATIN.finditer(text):
        lengths = syllables_of(run.group())
        if lengths is None:
            continue
        pieces += [(table.get(ord(text[i]), text[i]), i, i + 1, 0) for i in range(at, run.start())]
        at = run.start()
        for length in lengths:
            pieces.append((numbers[text[at : at + length]], at, at + length, 1))
            at += length
    pieces += [(table.get(ord(text[i]), text[i]), i, i + 1, 0) for i in range(at, len(text))]
    joined = "".join(piece[0] for piece in pieces)
    gone = {i for run in _LATIN_SPACED.finditer(joined) for i in range(*run.span())} if _LATIN.search(text) else set()
    kept = [piece for i, piece in enumerate(pieces) if i not in gone]
    return Mapped(
        "".join(piece[0] for piece in kept), [base.starts[piece[1]] for piece in kept], [base.end(piece[2] - 1) for piece in kept],
        [piece[3] for piece in kept],
    )  # fmt: skip


def sounds_like(written: str, term: str, latin: bool) -> bool:
    """Whether a place (folded text `written`) that sounds like folded `term` counts: rule 3 at the top."""
    if written == term:
        return False
    if latin:
        return True
    return len(written) == len(term) and 2 * sum(a == b for a, b in zip(written, term, strict=True)) >= len(term)


def all_syllables(sounded: str) -> bool:
    """Whether a text that went through `sound` consists of syllables only."""
    return all(FIRST <= ord(char) <= FIRST + 0x3FF for char in sounded)
