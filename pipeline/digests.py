"""SHA-256 of short inputs, without what hashlib does around it.

Before: nothing. After: leaf.py, pseudonyms.py.

Forty bytes are one block for the processor's own instructions, 0.05 µs; hashlib makes two objects for it, 0.4 µs. A record needs fourteen such
digests. stringzilla makes the digest alone (docs/adr/0023-digests.md). What it says goes into leaves, which nobody can mend later, so it proves itself
first: where one digest is not the interpreter's, the interpreter makes them all. The verifications, which must not share a mistake, compare with hashlib.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from hashlib import sha256

import stringzilla

Digest = Callable[[bytes], bytes]
# Every length of the first five blocks, so every way to fill the last one (FIPS 180-4, section 5.1.1), and some that are longer.
_TRIED = (*range(320), 1_000, 4_096, 65_537)

# SHA-NI on x86, its like on ARM.
_FOR_SHA256 = frozenset({"goldmont", "neonsha"})


def by_hashlib(data: bytes) -> bytes:
    """Return the SHA-256 of `data`, 32 bytes, made by the interpreter's library."""
    return sha256(data).digest()


def proven(quick: Digest, slow: Digest = by_hashlib) -> Digest:
    """Return `quick` where it says what `slow` says for inputs of every shape, else `slow`."""
    pattern = bytes(n * n % 251 for n in range(max(_TRIED)))
    return quick if all(quick(pattern[:length]) == slow(pattern[:length]) for length in _TRIED) else slow


def chosen(instructions: Iterable[str]) -> Digest:
    """Return the function to use with these instructions of the processor, by the library's names: without those for SHA-256 hashlib is quicker."""
    return proven(stringzilla.sha256) if _FOR_SHA256 & set(instructions) else by_hashlib


# What is long, or comes seldom, is no faster here: hashlib's digest of a page lets other threads work meanwhile.
sha256_of: Digest = chosen(stringzilla.__capabilities__)
