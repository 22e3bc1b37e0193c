"""What every source offers, whoever speaks to it: the vendor's library in its child process, the double's plain client in tests.

Before: errors.py. After: vendor.py (the real one), pull.py, media_fetch.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import msgspec

# Our own codes beside the vendor's 10000 to 10011: a call that did not come back in time, a process that ended in it.
TIMED_OUT = -1
CHILD_DIED = -2
LIMIT = 1_000  # records a page at most (wecom-archive.md 1.3)
FIRST_INDEX = ""
RANGE_BYTES = 524_288  # a slice of a file at most (wecom-archive.md 1.5)


class Chunk(msgspec.Struct, frozen=True):
    """One slice of an opened file: its bytes, what to ask with for the next one, and whether it was the last."""

    data: bytes
    next_index: str
    finished: bool


class VendorError(Exception):
    """A call gave nothing. code: the vendor's return code, or TIMED_OUT, CHILD_DIED; told: an errcode the library printed (None: none)."""

    def __init__(self, code: int, call: str, *, told: int | None = None) -> None:
        super().__init__(f"{call} ended with {code}")
        self.code = code
        self.call = call
        self.told = told


class Source(Protocol):
    """One corp's source. Used by one thread at a time."""

    @property
    def library(self) -> str | None:
        """SHA-256 (hex) of the library that speaks, None where there is none."""

    def chat_data(self, seq: int, limit: int) -> bytes:
        """Return the answer for records after `seq` (exclusive), byte for byte; an errcode inside it raises nothing. Raises VendorError."""

    def media(self, sdkfileid: str, index: str) -> Chunk:
        """Return one slice; `index` is FIRST_INDEX or a Chunk's next_index. Raises VendorError."""

    def renew(self) -> None:
        """Forget handle and token; the next call makes new ones."""

    def close(self) -> None:
        """Let go of everything."""


Sleep = Callable[[float], None]
