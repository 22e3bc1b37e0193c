"""How far our clock is from the source's: what its answer to a bare request says of the time.

Before: wecom/client.py (the verified way to WeCom). After: pull's records. The vendor's library does not show the time of an answer.
"""

from __future__ import annotations

from collections.abc import Callable
from email.utils import parsedate_to_datetime

import httpx

from pipeline import clock
from pipeline.errors import ArchiveError
from pipeline.home import Home
from pipeline.wecom.client import http_client

HALF_A_SECOND_MS = 500  # the header says whole seconds: on average half a one has passed


def offset_ms(home: Home, *, now_ms: Callable[[], int] = clock.now_ms) -> int | None:
    """Return the source's clock minus ours in milliseconds, to about a second; None when it cannot be told (no way there, no verified certificate)."""
    try:
        with http_client(home.config.wecom, home.path) as http:
            before = now_ms()
            date = http.get("/", headers={"Connection": "close"}).headers.get("Date", "")
            return between(date, before_ms=before, after_ms=now_ms())
    except (httpx.HTTPError, ArchiveError, OSError):
        return None


def between(date: str, *, before_ms: int, after_ms: int) -> int | None:
    """Return the offset that a Date header tells, when asked at before_ms and answered at after_ms; None when it tells none."""
    try:
        told_ms = round(parsedate_to_datetime(date).timestamp() * 1000) + HALF_A_SECOND_MS
    except ValueError:
        return None
    return told_ms - (before_ms + after_ms) // 2
