"""Access tokens: one for each secret, kept in memory, fetched anew before they end or when WeCom says they no longer count.

Before: client.py asks. After: client.py uses. (Page 91039: 7,200 seconds as a rule, do not fetch often, may be revoked early.)
A token is never written anywhere, and no error or log names it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

# Fetched anew this much before the end, so that none ends between two calls.
MARGIN_S: Final = 300.0


class Token(msgspec.Struct, frozen=True):
    """One token and when (monotonic seconds) it is fetched anew."""

    value: str
    until_s: float

    def __repr__(self) -> str:
        return "Token(…)"


class Tokens:
    """The tokens of one corp by the name of their secret."""

    def __init__(self, fetch: Callable[[str], tuple[str, int]], *, monotonic: Callable[[], float]) -> None:
        """fetch: name of the secret → (token, seconds it is good for)."""
        self._fetch = fetch
        self._monotonic = monotonic
        self._kept: dict[str, Token] = {}

    def get(self, secret: str) -> str:
        """Return the token of this secret, fetched when there is none that is still good."""
        kept = self._kept.get(secret)
        if kept is None or self._monotonic() >= kept.until_s:
            value, expires_in_s = self._fetch(secret)
            # A token that ends within the margin is used for half its life rather than fetched for every call.
            kept = self._kept[secret] = Token(value, self._monotonic() + max(expires_in_s - MARGIN_S, expires_in_s / 2))
        return kept.value

    def drop(self, secret: str, value: str) -> None:
        """Forget a token that WeCom refused; one that was fetched meanwhile stays."""
        kept = self._kept.get(secret)
        if kept is not None and kept.value == value:
            del self._kept[secret]
