"""People go on talking: some messages a minute, for as long as the double runs (`liuhen simulate --per-minute`).

Before: simulator.py. After: `liuhen simulate`.
"""

from __future__ import annotations

import threading

from pipeline.simulate.simulator import Simulator

TICK_S = 1.0


class Live:
    """A thread that lets the corp talk; `close` ends it."""

    def __init__(self, double: Simulator, per_minute: float, *, tick_s: float = TICK_S) -> None:
        self._double = double
        self._a_tick = per_minute / 60 * tick_s
        self._tick_s = tick_s
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="live", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        due = 0.0
        while not self._ended.wait(self._tick_s):
            due += self._a_tick
            if due >= 1:
                self._double.grow(int(due))
                due -= int(due)

    def close(self) -> None:
        """Let nobody talk any more."""
        self._ended.set()
        self._thread.join()
