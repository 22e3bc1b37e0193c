"""The double's own clock: the host's, moved forward on demand, so that eight days pass in a moment.

Before: pipeline/clock.py. After: everything here that needs the time.
"""

from __future__ import annotations

from collections.abc import Callable

from pipeline.clock import now_ms


class Timepiece:
    """Milliseconds since 1970 UTC. `skew_ms` moves only what answers say about the time, `advance` the time itself."""

    def __init__(self, host: Callable[[], int] = now_ms) -> None:
        self._host = host
        self._ahead_ms = 0
        self.skew_ms = 0

    def now(self) -> int:
        """Return the double's time."""
        return self._host() + self._ahead_ms

    def shown(self) -> int:
        """Return the time that answers claim (header Date)."""
        return self.now() + self.skew_ms

    def advance(self, by_ms: int) -> None:
        """Let time pass; a negative value sets the clock back."""
        self._ahead_ms += by_ms
