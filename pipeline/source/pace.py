"""How fast calls are made: slowly at first, faster while all goes well, never above the limit; slower when the source says so.

Before: config.py. After: pull.py, media_fetch.py. The documented ceiling of GetChatData is 4,000 calls a minute (600 before 2026), of
GetMediaData 25,000 (wecom-archive.md 1.3, 1.5); whether it counts a corp or a secret is not known, so it is kept for both:
config.py takes no higher setting.
"""

from __future__ import annotations

import time
from collections.abc import Callable

SLOW_START = 8  # calls at a quarter of the rate
PAUSE_S = 60.0


class Pace:
    """Spaces calls evenly: `wait` before each. per_minute: calls a minute at most; clock in seconds, monotonic."""

    def __init__(self, per_minute: int, *, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep) -> None:
        self.per_minute = per_minute
        self._clock, self._sleep = clock, sleep
        self._next = 0.0
        self._made = 0

    def wait(self) -> None:
        """Wait until the next call may be made."""
        now = self._clock()
        if now < self._next:
            self._sleep(self._next - now)
        gap = 60.0 / self.per_minute * (4 if self._made < SLOW_START else 1)
        self._next = max(self._next, now) + gap
        self._made += 1

    def slower(self) -> None:
        """The source says it is too fast: pause a minute, then half the rate, from a slow start."""
        self._sleep(PAUSE_S)
        self.per_minute = max(1, self.per_minute // 2)
        self._made = 0


# Told before a call is made again: our word for why, how often it was tried, how often it will be in all, and the pause (seconds).
Again = Callable[[str, int, int, float], None]


def untold(code: str, tried: int, tries: int, pause_s: float) -> None:
    """Tell nobody."""


def backoff(tried: int) -> float:
    """Return the seconds to pause after the n-th failed try: 1, 2, 4 … at most 60."""
    return float(min(60, 2 ** max(0, tried - 1)))
