"""A Merkle tree over the leaves of a corp's log: roots, proofs that a leaf is in it, proofs that a later tree only adds.

Before: commit.py (numbers the leaves). After: checkpoint.py, bundle.py, check.py. Source: RFC 6962 section 2.1, RFC 9162 section 2.1.

    leaf(n) = SHA-256( 0x00 || n as 8 bytes, big-endian || commitment of leaf n )
    node    = SHA-256( 0x01 || left || right )

SM3 (GB/T 32905-2016) takes the place of SHA-256 in the second tree that a firm may ask for; the commitments are the same.
The number is part of the leaf: a record that was moved is not in the tree. A commitment has a label of its own (leaf.py), so that no
record can pose as a node. Hashes of full subtrees of 256 and of 65,536 leaves are kept at hand (`Tree`), so that a proof from ten
million leaves hashes less than a thousand nodes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from hashlib import sha256

EMPTY = sha256(b"").digest()
SIZE = 32
Digest = Callable[[bytes], bytes]
# Levels at which hashes of full subtrees are kept: 2^8 and 2^16 leaves.
STEP = 8
NEAR = 4_096


def sha256_of(data: bytes) -> bytes:
    """Return the SHA-256, 32 bytes."""
    return sha256(data).digest()


def sm3_of(data: bytes) -> bytes:
    """Return the SM3, 32 bytes; raises ValueError where this Python's OpenSSL does not offer it."""
    return hashlib.new("sm3", data).digest()


def leaf_hash(number: int, commitment: bytes, digest: Digest = sha256_of) -> bytes:
    """Return the hash of a leaf, 32 bytes."""
    return digest(b"\0" + number.to_bytes(8, "big") + commitment)


def node(left: bytes, right: bytes, digest: Digest = sha256_of) -> bytes:
    """Return the hash of two subtrees, 32 bytes."""
    return digest(b"\1" + left + right)


def split(size: int) -> int:
    """Return the largest power of two below `size` (at least 2): how many leaves lie left of the root (RFC 6962, 2.1)."""
    return 1 << (size - 1).bit_length() - 1


class Tree:
    """The tree over `hashes`: leaf hashes in order, 32 bytes each, one after another (bytes or a memory map).

    `blocks`: hashes of full subtrees of 256 leaves that are known already, from the first on. Nothing is copied; what is not known is
    computed when asked for, and full subtrees of 2^8 and 2^16 leaves are kept. before: how many leaves stand before that of record 0 (1 in an
    epoch, see epochs.py)."""

    def __init__(self, hashes: bytes | memoryview, blocks: bytes = b"", *, before: int = 0, digest: Digest = sha256_of) -> None:
        self._leaves, self.before, self._digest = memoryview(hashes), before, digest
        if len(self._leaves) % SIZE:
            raise ValueError("leaf hashes are not 32 bytes each")
        self.size = len(self._leaves) // SIZE
        self._near: dict[tuple[int, int], bytes] = {}  # those asked for last: paths of neighbours share nearly all of theirs
        self._kept: dict[tuple[int, int], bytes] = {
            (n << STEP, 1 << STEP): blocks[n * SIZE : (n + 1) * SIZE] for n in range(min(len(blocks) // SIZE, self.size >> STEP))
        }

    def blocks(self) -> bytes:
        """Return the hashes of all full subtrees of 256 leaves, one after another."""
        return b"".join(self._subtree(n << STEP, 1 << STEP) for n in range(self.size >> STEP))

    def leaves(self) -> bytes:
        """Return the leaf hashes, one after another."""
        return bytes(self._leaves)

    def leaf(self, number: int) -> bytes:
        """Return the hash of leaf `number`."""
        return bytes(self._leaves[number * SIZE : (number + 1) * SIZE])

    def root(self, size: int | None = None) -> bytes:
        """Return the root over the first `size` leaves (all of them)."""
        wanted = self._checked(self.size if size is None else size)
        return self._subtree(0, wanted) if wanted else self._digest(b"")

    def inclusion(self, number: int, size: int | None = None) -> list[bytes]:
        """Return the audit path of leaf `number` in the tree of the first `size` leaves, lowest first (RFC 6962, 2.1.1)."""
        size = self._checked(self.size if size is None else size)
        if not 0 <= number < size:
            raise ValueError("no such leaf in a tree of this size")
        return self._path(number, 0, size)

    def consistency(self, old: int, new: int | None = None) -> list[bytes]:
        """Return the proof that the tree of `old` leaves is the beginning of the one of `new` leaves (RFC 6962, 2.1.2)."""
        new = self._checked(self.size if new is None else new)
        if not 0 <= old <= new:
            raise ValueError("the older tree is larger")
        return self._proof(old, 0, new, whole=True) if 0 < old < new else []

    def _checked(self, size: int) -> int:
        if not 0 <= size <= self.size:
            raise ValueError("the tree does not have so many leaves")
        return size

    def _subtree(self, start: int, size: int) -> bytes:
        """The hash over leaves start to start + size; start is a multiple of the power of two at or above size."""
        if size == 1:
            return self.leaf(start)
        kept = self._kept if size in (1 << STEP, 1 << 2 * STEP) else self._near
        if found := kept.get((start, size)):
            return found
        left = split(size)
        made = self._digest(b"\1" + self._subtree(start, left) + self._subtree(start + left, size - left))
        if len(self._near) >= NEAR:
            self._near.clear()
        kept[start, size] = made
        return made

    def _path(self, number: int, start: int, size: int) -> list[bytes]:
        if size == 1:
            return []
        left = split(size)
        if number - start < left:
            return [*self._path(number, start, left), self._subtree(start + left, size - left)]
        return [*self._path(number, start + left, size - left), self._subtree(start, left)]

    def _proof(self, old: int, start: int, size: int, *, whole: bool) -> list[bytes]:
        if old == size:
            return [] if whole else [self._subtree(start, size)]
        left = split(size)
        if old <= left:
            return [*self._proof(old, start, left, whole=whole), self._subtree(start + left, size - left)]
        return [*self._proof(old - left, start + left, size - left, whole=False), self._subtree(start, left)]


def root_of_inclusion(number: int, size: int, leaf: bytes, path: Sequence[bytes], digest: Digest = sha256_of) -> bytes | None:
    """Return the root that a path leads to, None when it cannot belong to this leaf and size (RFC 9162, 2.1.3.2)."""
    if not 0 <= number < size:
        return None
    index, last, made = number, size - 1, leaf
    for sibling in path:
        if last == 0:
            return None
        if index & 1 or index == last:
            made = node(sibling, made, digest)
            while not index & 1 and index:
                index, last = index >> 1, last >> 1
        else:
            made = node(made, sibling, digest)
        index, last = index >> 1, last >> 1
    return made if last == 0 else None


def consistent(old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> bool:
    """Return whether the proof shows that the newer tree begins with the older one (RFC 9162, 2.1.4.2)."""
    if old == new or old == 0:
        return not proof and (old_root == new_root if old == new else old_root == EMPTY)
    if not 0 < old < new or not proof:
        return False
    index, last = old - 1, new - 1
    while index & 1:
        index, last = index >> 1, last >> 1
    steps = list(proof) if index else [old_root, *proof]
    first = second = steps[0]
    for sibling in steps[1:]:
        if last == 0:
            return False
        if index & 1 or index == last:
            first, second = node(sibling, first), node(sibling, second)
            while not index & 1 and index:
                index, last = index >> 1, last >> 1
        else:
            second = node(second, sibling)
        index, last = index >> 1, last >> 1
    return last == 0 and first == old_root and second == new_root


class Frontier:
    """The root of a tree that grows leaf by leaf, without the leaves: the hashes of the full subtrees on its right edge, largest first."""

    def __init__(self, digest: Digest = sha256_of) -> None:
        self.size, self._digest, self._peaks = 0, digest, list[bytes]()

    def add(self, leaf: bytes) -> None:
        """Add the hash of the next leaf."""
        made, carry = leaf, self.size
        while carry & 1:
            made, carry = node(self._peaks.pop(), made, self._digest), carry >> 1
        self._peaks.append(made)
        self.size += 1

    def root(self) -> bytes:
        """Return the root over the leaves so far."""
        if not self._peaks:
            return self._digest(b"")
        made = self._peaks[-1]
        for left in reversed(self._peaks[:-1]):
            made = node(left, made, self._digest)
        return made
