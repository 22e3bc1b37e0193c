"""Secrets, and the tokens given out for them (wecom-archive.md 5).

Before: exchange.py. After: routes.py.

Rules: (1) one token a secret; the same one is given again until it ends. (2) A token opens only the calls of its own secret.
(3) 40013 wrong corp, 40001 wrong secret, 41001 no token, 40014 unknown token, 42001 ended token, 48002 the other secret's call.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Literal

import msgspec

from pipeline.simulate.exchange import Refused

Holder = Literal["archive", "contacts"]
LIFE_S = 7200


class _Token(msgspec.Struct):
    holder: Holder
    ends_ms: int


class Tokens:
    """All tokens of one corp. Their text follows from the seed."""

    def __init__(self, corp_id: str, secrets: dict[Holder, str], *, seed: int, life_s: int = LIFE_S) -> None:
        self._corp_id = corp_id
        self._secrets = secrets
        self._seed = seed
        self._life_s = life_s
        self._given: dict[str, _Token] = {}
        self._current: dict[Holder, str] = {}

    def issue(self, corp_id: str, secret: str, now_ms: int) -> tuple[str, int]:
        """Return the token of this secret and the seconds it lasts; raises Refused 40013, 40001."""
        if corp_id != self._corp_id:
            raise Refused(40013)
        holder = next((h for h, known in self._secrets.items() if hmac.compare_digest(known.encode(), secret.encode())), None)
        if holder is None:
            raise Refused(40001)
        text = self._current.get(holder, "")
        if not text or self._given[text].ends_ms <= now_ms:
            text = self._current[holder] = self._next(holder)
            self._given[text] = _Token(holder, now_ms + self._life_s * 1000)
        return text, (self._given[text].ends_ms - now_ms) // 1000

    def check(self, token: str, holder: Holder, now_ms: int) -> None:
        """Raise Refused 41001, 40014, 42001 or 48002 unless this token opens calls of `holder`."""
        if not token:
            raise Refused(41001)
        found = self._given.get(token)
        if found is None:
            raise Refused(40014)
        if found.ends_ms <= now_ms:
            raise Refused(42001)
        if found.holder != holder:
            raise Refused(48002)

    def expire(self, *, forget: bool = False) -> None:
        """End all tokens at once (42001); forget: they were never given out (40014)."""
        for token in self._given.values():
            token.ends_ms = 0
        self._current.clear()
        if forget:
            self._given = {f"{text}~": token for text, token in self._given.items()}

    def _next(self, holder: Holder) -> str:
        return hashlib.sha512(f"{self._seed}/{holder}/{len(self._given)}".encode()).hexdigest()
