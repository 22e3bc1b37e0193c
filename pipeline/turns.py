"""Whose turn it is to commit: a plan that lost its race again and again goes before all others once.

Before: durable.py. After: room.py and compact.py (every commit waits), commit.py, stores.py, consenting/change.py (whose plans take seconds).

Of two commits planned on one snapshot one fails (deltalog.py). An erasure that writes a month anew plans for seconds and so loses to every
batch of fetched files that is told meanwhile: while they come without end, it would never be done.

Rules, each with a test:
 (1) From the LOSSES-th loss on a plan is made while nobody else can commit: it loses to nobody.
 (2) The turn comes before the lock of the files: whoever holds that one never waits for a turn.
 (3) What a plan commits on its way (room is made, keys are renewed) does not wait for its own turn.
 (4) The turn of a process that dies ends with it.
"""

from __future__ import annotations

import fcntl
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from pipeline import durable
from pipeline.errors import VerifyFailed
from pipeline.home import Home

LOSSES = 5
TRIES = 200


class _Mine(threading.local):
    """The turns that this thread has, by the file that is locked."""

    def __init__(self) -> None:
        self.paths = set[Path]()


_MINE = _Mine()


@contextmanager
def held(home: Home, corp_id: str) -> Iterator[None]:
    """Wait for, and hold, the turn of a corp; at once where this thread has it already. Raises StorageError."""
    lock = home.path / "locks" / f"{corp_id}.turn.lock"
    if lock in _MINE.paths:
        yield
        return
    with durable.storage("taking a lock"):
        handle = open(lock, "ab")  # noqa: SIM115  # closed below: what the caller does is no taking of a lock
    with handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        _MINE.paths.add(lock)
        try:
            yield
        finally:
            _MINE.paths.discard(lock)


@contextmanager
def tries(home: Home, corp_id: str) -> Iterator[Iterator[int]]:
    """Give the tries of one plan, TRIES at most; what is left of the loop over them is the end of its turn, if it took one (rule 1).

    After the last of them raises VerifyFailed COMMIT_STARVED: with rule 1 only where plans fail by themselves."""
    with ExitStack() as stack:
        yield _tries(home, corp_id, stack)


def _tries(home: Home, corp_id: str, stack: ExitStack) -> Iterator[int]:
    for lost in range(TRIES):
        if lost == LOSSES:
            stack.enter_context(held(home, corp_id))
        yield lost
    raise VerifyFailed("COMMIT_STARVED", f"{TRIES} commits in a row lost to others", remedy="stop the other writers and run again")
