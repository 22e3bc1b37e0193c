"""The variant tables of `keywords/tables/`: look-alikes, homophones, code words, emoji, split characters, digit words.

Before: ../resources.py. After: levels.py.

A table is data with a day of review. A key of one character is replaced wherever it stands, a longer one as a whole word; both are
written as they are after folding. What a table brings is listed in docs/lexicon.md with its measured precision.
"""

from __future__ import annotations

import hashlib
from functools import cache
from typing import Any, Literal, NamedTuple

import yaml

from pipeline.match.fold import ALL
from pipeline.resources import data_folder

Table = Literal["lookalikes", "homophones", "codewords", "emoji", "splits", "pinyin"]
WORD_TABLES: tuple[Table, ...] = ("lookalikes", "homophones", "codewords", "emoji", "splits")
# One bit each, so that a place can say which tables it needed.
BITS: dict[str, int] = {name: 1 << number for number, name in enumerate((*WORD_TABLES, "pinyin"))}


class Replacements(NamedTuple):
    """What to put for a character or a word, each with the bit of its table."""

    chars: dict[str, tuple[str, int]]
    words: dict[str, tuple[str, int]]


@cache
def entries(name: str) -> dict[str, str]:
    """Return the entries of table `name`, as it stands in the file."""
    value: Any = yaml.safe_load((data_folder("keywords") / "tables" / f"{name}.yaml").read_text("utf-8"))
    return {str(key): str(meant) for key, meant in value["entries"].items()}


@cache
def replacements() -> Replacements:
    """Return all word tables as one; keys and values folded."""
    chars: dict[str, tuple[str, int]] = {}
    words: dict[str, tuple[str, int]] = {}
    for name in WORD_TABLES:
        for key, meant in entries(name).items():
            folded = ALL.chars(key)
            (chars if len(folded) == 1 else words)[folded] = (ALL.fold(meant), BITS[name])
    return Replacements(chars, words)


@cache
def digits() -> dict[int, str]:
    """Return the digit words, for `str.translate`."""
    return {ord(ALL.chars(word)): digit for word, digit in entries("digits").items()}


@cache
def tables_digest() -> str:
    """Return the sha256 (hex) of all tables: part of the lexicon's version."""
    return hashlib.sha256(repr([(name, sorted(entries(name).items())) for name in (*WORD_TABLES, "digits")]).encode()).hexdigest()
