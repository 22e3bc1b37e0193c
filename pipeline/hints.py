"""Hints: how far a step came, what was told last. One that is lost or damaged costs work done once more, and nothing else.

Before: durable.py. After: whoever begins where it stopped (rescan/follow.py, restating/whose.py, people_history/sync.py, watch/heartbeat.py).
Plain JSON, so free of content: numbers, times, names of files and codes. What must not be lost is no hint.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import msgspec

from pipeline import durable

T = TypeVar("T")


def read(path: Path, kind: type[T]) -> T:
    """Return the hint in a file; `kind()`, which says that nothing is known, when there is none that can be read."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.DecodeError):
        return kind()


def write(path: Path, hint: object) -> None:
    """Keep a hint, durably, in the place of the one before."""
    durable.make_folder(path.parent)
    durable.replace(path, msgspec.json.encode(hint))
