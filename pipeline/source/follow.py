"""Following: pull when the doorbell rings and on a timer, until told to stop.

Before: pull.py, doorbell.py. After: `pull --follow`.
What passes (network, busy, a `run` that is pulling just now) is tried again at the next ring or tick; what the source refuses ends it, so that whoever keeps the service
running sees the exit code. A termination signal ends it after the page at hand.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from pipeline.errors import Exit, Locked
from pipeline.source.doorbell import LOOK_S, Doorbell
from pipeline.source.pull import Summary

QUIET_S = 1.0  # at least so long between two pulls, however often it rings


@contextmanager
def until_told() -> Iterator[Callable[[], bool]]:
    """Yield what says whether a termination signal came; the signal no longer ends the process meanwhile."""
    told: list[int] = []

    def take(number: int, _: FrameType | None) -> None:
        told.append(number)

    before = {number: signal.signal(number, take) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield lambda: bool(told)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def pause(seconds: float, stop: Callable[[], bool]) -> None:
    """Sleep, until told to stop."""
    end = time.monotonic() + seconds
    while not stop() and (left := end - time.monotonic()) > 0:
        time.sleep(min(LOOK_S, left))


def follow(pull: Callable[[], Summary], bell: Doorbell, *, poll_s: float, stop: Callable[[], bool], done: Callable[[Summary], None]) -> Summary:
    """Pull again and again; return the last summary: when told to stop, or when the source refuses. Raises Locked where the first pull finds another one."""
    told: Summary | None = None
    while True:
        bell.rang()  # what rings from here on is for the next pull
        try:
            told = pull()
            done(told)
        except Locked:
            if told is None:
                raise
        if told.exit_code == Exit.SOURCE_REFUSED or stop():
            return told
        pause(QUIET_S, stop)  # what rings meanwhile is heard by the next line at once
        bell.wait(max(0.0, poll_s - QUIET_S), stop=stop)
        if stop():
            return told
