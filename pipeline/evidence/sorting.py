"""Lines in order without holding them: sorted in runs that lie sealed on disk, merged when they are read, as often as they are.

Before: spool.py. After: bundle.py (the manifests of a bundle: a line for each of its files, three or four for each message).
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from pathlib import Path

from pipeline.evidence.spool import Spool

RUN = 4_096  # lines of a run
BLOCK = 128  # of which so many are in memory while runs are merged


class Sorted:
    """Lines, read in the order of a key; equal keys do not occur."""

    def __init__(self, folder: Path, key: Callable[[bytes], bytes]) -> None:
        """folder: of the disk that the runs take room on."""
        self._blocks, self._key = Spool(folder, list[bytes]), key
        self._runs = [0]  # where each begins among the blocks, and where the last one ends
        self._new: list[bytes] = []
        self.lines = self.size = 0

    def add(self, line: bytes) -> None:
        """Put a line among the others."""
        self._new.append(line)
        self.lines, self.size = self.lines + 1, self.size + len(line)
        if len(self._new) == RUN:
            self._new.sort(key=self._key)
            for start in range(0, RUN, BLOCK):
                self._blocks.append(self._new[start : start + BLOCK])
            self._runs.append(len(self._blocks))
            self._new = []

    def __iter__(self) -> Iterator[bytes]:
        """Yield all lines so far, in order."""
        runs = [self._run(begin, end) for begin, end in zip(self._runs, self._runs[1:], strict=False)]
        return heapq.merge(*runs, iter(sorted(self._new, key=self._key)), key=self._key)

    def _run(self, begin: int, end: int) -> Iterator[bytes]:
        return (line for n in range(begin, end) for line in self._blocks[n])
