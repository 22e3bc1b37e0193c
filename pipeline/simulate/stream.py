"""The sealed records in the order of seq, and the pages cut from them (wecom-archive.md 1.3).

Before: nothing. After: chat.py, simulator.py.

Rules: (1) seq is exclusive. (2) A seq older than the window begins at the first record inside it, and nothing says so.
(3) A record is there once the clock has reached the moment it arrived. (4) Records of one seq are never parted by a page's end,
or the second would be lost for everybody.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable

import msgspec

DAY_MS = 86_400_000


class Sealed(msgspec.Struct, frozen=True, gc=False):
    """One record: its place, when it arrived, and its JSON as a page carries it."""

    seq: int
    landed_ms: int
    item: bytes


class Stream:
    """All records. Not locked: whoever asks holds the double's lock."""

    def __init__(self, *, window_ms: int = 5 * DAY_MS) -> None:
        self.window_ms = window_ms
        self._seqs: list[int] = []
        self._landed: list[int] = []
        self._items: list[bytes] = []

    def __len__(self) -> int:
        return len(self._items)

    @property
    def last_seq(self) -> int:
        """Return the greatest seq, 0 when there is none."""
        return self._seqs[-1] if self._seqs else 0

    def add(self, records: Iterable[Sealed]) -> None:
        """Append records, seqs not falling; ValueError otherwise. One that arrived before the last counts as arrived with it."""
        for record in records:
            if record.seq < self.last_seq:
                raise ValueError("seqs fall")
            self._seqs.append(record.seq)
            self._landed.append(max(record.landed_ms, self._landed[-1] if self._landed else 0))
            self._items.append(record.item)

    def page(self, seq: int, limit: int, now_ms: int, *, skip: int = 0) -> list[bytes]:
        """Return at most `limit` records behind `seq`, as of `now_ms`; skip: so many records are passed over first."""
        there = bisect_right(self._landed, now_ms)
        start = max(bisect_right(self._seqs, seq), self.first_inside(now_ms)) + skip
        end = min(start + limit, there)
        while start + 1 < end < there and self._seqs[end] == self._seqs[end - 1]:
            end -= 1
        return self._items[start:end]

    def first_inside(self, now_ms: int) -> int:
        """Return the place of the first record that has not left the window."""
        return bisect_left(self._landed, now_ms - self.window_ms)

    def waiting(self, seq: int, now_ms: int) -> int:
        """Return how many records lie behind `seq`."""
        return max(bisect_right(self._landed, now_ms) - max(bisect_right(self._seqs, seq), self.first_inside(now_ms)), 0)
