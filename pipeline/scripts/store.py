"""The approved texts of a home: one encrypted file, replaced whole.

Before: texts.py, ../home.py. After: covering.py, mass.py, `liuhen scripts`.

Rules:
 (1) A text is never changed: an id that begins again on the same day with other words is refused. A new version begins on its own day,
     and the old one keeps judging what was sent in its time.
 (2) What was removed stays in the findings it suppressed: they name it.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

from pipeline import durable
from pipeline.errors import UsageError
from pipeline.home import Home
from pipeline.scripts.texts import ApprovedText, distinct

FILE: Final = "lexicon/approved.texts"
CONTEXT: Final = b"approved/texts"


def _path(home: Home) -> Path:
    return home.path / FILE


def load(home: Home) -> tuple[ApprovedText, ...]:
    """Return the approved texts of a home by id and first day."""
    path = _path(home)
    if not path.exists():
        return ()
    box = home.keyring.open(path.read_bytes(), context=CONTEXT)
    return msgspec.msgpack.decode(box, type=tuple[ApprovedText, ...])


def add(home: Home, texts: Iterable[ApprovedText]) -> int:
    """Add texts; return how many were new. Raises UsageError SCRIPTS_TWICE."""
    known = load(home)
    merged = distinct((*known, *texts))
    if len(merged) > len(known):
        _store(home, merged)
    return len(merged) - len(known)


def remove(home: Home, text_id: str) -> int:
    """Remove every version of a text; return how many there were. Raises UsageError SCRIPT_UNKNOWN."""
    known = load(home)
    rest = tuple(text for text in known if text.id != text_id)
    if len(rest) == len(known):
        raise UsageError("SCRIPT_UNKNOWN", f"this home has no approved text {text_id}", remedy="`liuhen scripts list`")
    _store(home, rest)
    return len(known) - len(rest)


def _store(home: Home, texts: Iterable[ApprovedText]) -> None:
    ordered = sorted(texts, key=lambda text: text.key)
    durable.replace(_path(home), home.keyring.seal("lexicon", msgspec.msgpack.encode(ordered), context=CONTEXT))
