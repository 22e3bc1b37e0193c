"""Keyed names of ids and fingerprints of content, made the quick way: what is the same for every record is put together once.

Before: keyring.py, whose `pseudonym` says what they are. After: stage.py, commit.py, whoever looks for a person or a scope.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from pipeline.digests import sha256_of
from pipeline.home import Home
from pipeline.keyring import Keyring

_NAMES = "names"
_HMAC_BLOCK = 64  # bytes; RFC 2104 with SHA-256
_HEX_DIGITS = 64
_FEW = 20


class Pseudonyms:
    """Keyed names of ids, remembered: the same few people and scopes come again and again."""

    def __init__(self, home: Home, corp_id: str) -> None:
        keyed = {what: Keyed(home.keyring, corp_id, what) for what in ("person", "scope", "event")}

        @lru_cache(maxsize=100_000)
        def named(what: str, value: str) -> bytes:
            return keyed[what].name(value.encode("utf-8", "surrogatepass"))

        @lru_cache(maxsize=4_096)
        def subjects(people: tuple[str | None, ...], scopes: tuple[str, ...]) -> list[bytes]:
            return sorted({named("person", p) for p in people if p} | {named("scope", s) for s in scopes})

        self.of: Callable[[str, str], bytes] = named
        self._few: Callable[[tuple[str | None, ...], tuple[str, ...]], list[bytes]] = subjects
        self._many: Callable[[tuple[str | None, ...], tuple[str, ...]], list[bytes]] = subjects.__wrapped__

    def scope_ref(self, scope: str | None) -> str | None:
        """Return the pseudonym of a scope, hex."""
        return self.of("scope", scope).hex() if scope else None

    def event_ref(self, event_id: str | None) -> str | None:
        """Return the pseudonym of a consent event, hex: its id is a plain digest over ids and would outlive an erasure."""
        return self.of("event", event_id).hex() if event_id else None

    def subjects(self, people: tuple[str | None, ...], scopes: tuple[str, ...]) -> list[bytes]:
        """Return the pseudonyms of people and scopes, sorted, each once; not to be changed. Those of large rooms are not remembered."""
        return self._few(people, scopes) if len(people) <= _FEW else self._many(people, scopes)


class Keyed:
    """`Keyring.pseudonym` for one kind of thing."""

    def __init__(self, keyring: Keyring, corp_id: str, what: str) -> None:
        key = keyring.get(keyring.first(_NAMES)).ljust(_HMAC_BLOCK, b"\0")
        self._inner = bytes(b ^ 0x36 for b in key) + b"".join(len(p).to_bytes(4) + p for p in (corp_id.encode(), what.encode()))
        self._outer = bytes(b ^ 0x5C for b in key)
        # A fingerprint's name is that of 64 hexadecimal digits.
        self._digest = self._inner + _HEX_DIGITS.to_bytes(4)

    def name(self, value: bytes) -> bytes:
        """Return the 16 bytes that stand for `value`."""
        return sha256_of(self._outer + sha256_of(self._inner + len(value).to_bytes(4) + value))[:16]

    def fingerprint(self, data: bytes) -> bytes:
        """Return the 16 bytes that stand for the SHA-256 of `data`."""
        return sha256_of(self._outer + sha256_of(self._digest + sha256_of(data).hex().encode()))[:16]
