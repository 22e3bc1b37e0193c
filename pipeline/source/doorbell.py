"""The doorbell: the callback server says that there is something to pull, and a follower that waits hears it.

Before: home.py. After: `pull --follow`; the callback server rings. A ring is a touched file: it survives a restart of either side, and
several rings before the next look are one. Nothing in it says what was sent.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from pipeline import durable

FOLDER = "source"
LOOK_S = 0.25


def _path(home: Path, corp_id: str) -> Path:
    return home / FOLDER / f"{corp_id}.bell"


def ring(home: Path, corp_id: str) -> None:
    """Ring for a corp; never blocks, never raises for a full disk: the timer pulls anyhow."""
    with suppress(OSError):
        path = _path(home, corp_id)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            os.utime(handle)
        finally:
            os.close(handle)


class Doorbell:
    """Hears rings since it was last asked (or made)."""

    def __init__(self, home: Path, corp_id: str) -> None:
        self._file = _path(home, corp_id)
        self._heard = self._stamp()

    def _stamp(self) -> int:
        try:
            return self._file.stat().st_mtime_ns
        except FileNotFoundError:
            return 0
        except OSError as error:
            raise durable.storage_error(error, "listening to the doorbell") from error

    def rang(self) -> bool:
        """Return whether it rang since the last time; that ring is then over."""
        stamp = self._stamp()
        new, self._heard = stamp != self._heard, stamp
        return new

    def wait(self, timeout_s: float, *, stop: Callable[[], bool] = lambda: False, sleep: Callable[[float], None] = time.sleep) -> bool:
        """Wait for a ring, at most `timeout_s` seconds, or until `stop`; return whether it rang."""
        end = time.monotonic() + timeout_s
        while not stop():
            if self.rang():
                return True
            left = end - time.monotonic()
            if left <= 0:
                return False
            sleep(min(LOOK_S, left))
        return False
