"""How many calls a minute WeCom allows, per call, and the pace that keeps to it.

Before: nothing. After: client.py.
Documented: pages 91614 (1,000), 91782 (2,500 and 1,500), 92951 (2,000). For the others no figure was found: they go slowly.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final

WINDOW_S: Final = 60.0
UNKNOWN_A_MINUTE: Final = 300
A_MINUTE: Final[Mapping[str, int]] = {
    "msgaudit/get_permit_user_list": 1_000,
    "msgaudit/check_single_agree": 2_500,
    "msgaudit/check_room_agree": 1_500,
    "msgaudit/groupchat/get": 2_000,
    "gettoken": 60,
}
PAIRS_A_CALL: Final = 100


class Pace:
    """Never more calls of one path than allowed in any sixty seconds; the caller waits."""

    def __init__(
        self, *, unknown: int = UNKNOWN_A_MINUTE, monotonic: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        """unknown: calls a minute where no figure is documented."""
        self._unknown = unknown
        self._monotonic = monotonic
        self._sleep = sleep
        self._calls: dict[str, deque[float]] = {}

    def take(self, path: str) -> None:
        """Return when the next call of `path` may be made, and count it."""
        limit = A_MINUTE.get(path, self._unknown)
        calls = self._calls.setdefault(path, deque(maxlen=limit))
        now = self._monotonic()
        if len(calls) == limit and (wait := calls[0] + WINDOW_S - now) > 0:
            self._sleep(wait)
            now = self._monotonic()
        calls.append(now)
