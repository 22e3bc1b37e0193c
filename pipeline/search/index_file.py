"""The index of one data file: for every key the row groups that hold it, sealed block by block under the key of the data file.

Before: grams.py, boxes.py, ../stamps.py. After: index.py (makes them), candidates.py (asks them).
Boxes (boxes.py) that begin with LHIX 01, one part a block. Rules, each with a test, beside those of boxes:
 (1) The head carries the stamp of what the index was made from (stamps.py), judged whenever it is opened.
 (2) A block is 4,096 keys: 8 planes of bytes of their differences, then the planes of their bitmaps (one bit a row group), zstd.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa

from pipeline import durable
from pipeline.keyring import Keyring
from pipeline.search import boxes
from pipeline.search.boxes import Boxes, Form
from pipeline.search.grams import Keys
from pipeline.stamps import Stamp

FORM = Form(b"LHIX\x01", b"liuhen search index 1")
BLOCK_KEYS = 4_096
_ZSTD = 3


class Group(msgspec.Struct, frozen=True, array_like=True):
    """One row group: rows, its first and last day (days since 1970)."""

    rows: int
    first: int
    last: int


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """stamp: what it was made from; firsts: the first key of each block; counts, lengths: keys and bytes of each block."""

    stamp: Stamp
    groups: tuple[Group, ...]
    firsts: tuple[int, ...]
    counts: tuple[int, ...]
    lengths: tuple[int, ...]

    @property
    def width(self) -> int:
        """Bytes of a bitmap."""
        return -(-len(self.groups) // 8)


def sealed(keyring: Keyring, key: str, path: str, stamp: Stamp, groups: Iterable[Group], keys: Keys, bitmaps: np.ndarray) -> bytes:
    """Return the bytes of an index. key: name of the data file's key; path: the data file's; keys ascending; bitmaps: uint8, a row a key."""
    begins = range(0, len(keys), BLOCK_KEYS)

    def head(lengths: tuple[int, ...]) -> Head:
        firsts, counts = (int(keys[at]) for at in begins), (min(BLOCK_KEYS, len(keys) - at) for at in begins)
        return Head(stamp=stamp, groups=tuple(groups), firsts=tuple(firsts), counts=tuple(counts), lengths=lengths)

    blocks = (_packed(keys[at : at + BLOCK_KEYS], bitmaps[at : at + BLOCK_KEYS]) for at in begins)
    return boxes.sealed(FORM, keyring, key=key, path=path, parts=blocks, head=head)


class Index:
    """An opened index. Raises what Boxes raises."""

    def __init__(self, at: Path, keyring: Keyring, path: str) -> None:
        self._boxes = Boxes(FORM, at, keyring, path)
        self.key = self._boxes.key
        self.head = self._boxes.head(Head, lambda head: head.lengths)
        self._firsts = np.array(self.head.firsts, np.uint64)
        self._blocks: dict[int, tuple[Keys, np.ndarray]] = {}

    def groups_of(self, key: int) -> int:
        """Return the row groups that hold `key`, as bits: group n is bit n."""
        block = int(np.searchsorted(self._firsts, np.uint64(key), side="right")) - 1
        if block < 0:
            return 0
        keys, bitmaps = self._block(block)
        at = int(np.searchsorted(keys, np.uint64(key)))
        return int.from_bytes(bitmaps[at].tobytes(), "little") if at < len(keys) and keys[at] == key else 0

    @property
    def every(self) -> int:
        """All row groups, as bits."""
        return (1 << len(self.head.groups)) - 1

    def _block(self, n: int) -> tuple[Keys, np.ndarray]:
        if n not in self._blocks:
            self._blocks[n] = self._read(n)
        return self._blocks[n]

    def _read(self, n: int) -> tuple[Keys, np.ndarray]:
        return _unpacked(self._boxes.part(n), self.head.counts[n], self.head.width)


def read(at: Path, keyring: Keyring, path: str) -> Index | None:
    """Open the index at `at` of the data file `path`; None when there is none. Raises Damaged; a key that is gone counts as damage."""
    try:
        with boxes.judged(), durable.storage("reading the search index"):
            return Index(at, keyring, path)
    except durable.Vanished:
        return None


def _packed(keys: Keys, bitmaps: np.ndarray) -> bytes:
    steps = np.diff(keys, prepend=np.uint64(0))
    planes = steps.view(np.uint8).reshape(-1, 8).T
    data = planes.tobytes() + np.ascontiguousarray(bitmaps.T).tobytes()
    return bytes(pa.Codec("zstd", compression_level=_ZSTD).compress(data, asbytes=True))


def _unpacked(packed: bytes, count: int, width: int) -> tuple[Keys, np.ndarray]:
    data = np.frombuffer(pa.Codec("zstd").decompress(packed, count * (8 + width), asbytes=True), np.uint8)
    steps = np.ascontiguousarray(data[: 8 * count].reshape(8, count).T).view(np.uint64).ravel()
    return np.cumsum(steps), np.ascontiguousarray(data[8 * count :].reshape(width, count).T)
