"""The index of one data file: for every key the row groups that hold it, sealed block by block under the key of the data file.

Before: grams.py, ../filekeys.py, ../keyring.py, ../stamps.py. After: index.py (makes them), candidates.py (asks them).

    LHIX 01 | length of the key's name (2) | its name | salt (16) | length of the head (4) | head | block 0 | block 1 …

Head and blocks are AES-256-GCM under a key derived (HKDF-SHA-256) from the data file's own key, the salt, and the data file's path;
the nonce is the number of the box (the head is 0), the associated data everything before the head. Rules, each with a test:
 (1) Destroying the data file's key destroys its index: there is no other way to open it.
 (2) The head carries the stamp of what the index was made from (stamps.py), judged whenever it is opened.
 (3) Whatever was changed, cut short or belongs to another file raises Damaged, and never answers.
 (4) A block is 4,096 keys: 8 planes of bytes of their differences, then the planes of their bitmaps (one bit a row group), zstd.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterable
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from pipeline import durable
from pipeline.errors import ArchiveError, StorageError
from pipeline.keyring import Keyring
from pipeline.search.grams import Keys
from pipeline.stamps import Stamp

MAGIC = b"LHIX\x01"
SALT = 16
BLOCK_KEYS = 4_096
_ZSTD = 3


class Damaged(Exception):
    """An index that was changed, cut short, or belongs to another file."""


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
    salt = os.urandom(SALT)
    box = AESGCM(_derived(keyring, key, path, salt))
    begins = range(0, len(keys), BLOCK_KEYS)
    open_head = MAGIC + len(key).to_bytes(2) + key.encode() + salt
    blocks = [
        box.encrypt(_nonce(n + 1), _packed(keys[at : at + BLOCK_KEYS], bitmaps[at : at + BLOCK_KEYS]), open_head) for n, at in enumerate(begins)
    ]  # fmt: skip
    head = Head(
        stamp=stamp, groups=tuple(groups), firsts=tuple(int(keys[at]) for at in begins),
        counts=tuple(min(BLOCK_KEYS, len(keys) - at) for at in begins), lengths=tuple(map(len, blocks)),
    )  # fmt: skip
    closed = box.encrypt(_nonce(0), msgspec.msgpack.encode(head), open_head)
    return b"".join([open_head, len(closed).to_bytes(4), closed, *blocks])


class Index:
    """An opened index. Raises Damaged (rule 3), FileNotFoundError when there is none, and what the keyring says of a key that is gone."""

    def __init__(self, at: Path, keyring: Keyring, path: str) -> None:
        with open(at, "rb") as file:
            if os.fstat(file.fileno()).st_size == 0:
                raise Damaged
            self._data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        name = 2 + len(MAGIC) + int.from_bytes(self._data[len(MAGIC) : len(MAGIC) + 2])
        self._open_head = self._data[: name + SALT]
        if not self._open_head.startswith(MAGIC) or len(self._open_head) < name + SALT:
            raise Damaged
        self.key = self._open_head[len(MAGIC) + 2 : name].decode(errors="replace")
        self._box = AESGCM(_derived(keyring, self.key, path, self._open_head[name:]))
        begin = name + SALT + 4
        length = int.from_bytes(self._data[begin - 4 : begin])
        try:
            self.head = msgspec.msgpack.decode(self._opened(0, begin, length), type=Head)
        except msgspec.DecodeError as error:
            raise Damaged from error
        self._begins = np.cumsum([begin + length, *self.head.lengths])
        if int(self._begins[-1]) != len(self._data):  # told at once, not when the last block is asked
            raise Damaged
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
        packed = self._opened(n + 1, int(self._begins[n]), self.head.lengths[n])
        return _unpacked(packed, self.head.counts[n], self.head.width)

    def _opened(self, number: int, begin: int, length: int) -> bytes:
        data = self._data[begin : begin + length]
        try:
            return self._box.decrypt(_nonce(number), data, self._open_head)
        except (InvalidTag, ValueError) as error:
            raise Damaged from error


def read(at: Path, keyring: Keyring, path: str) -> Index | None:
    """Open the index at `at` of the data file `path`; None when there is none. Raises Damaged; a key that is gone counts as damage."""
    try:
        with durable.storage("reading the search index"):
            return Index(at, keyring, path)
    except durable.Vanished:
        return None
    except ArchiveError as error:
        if isinstance(error, StorageError):
            raise
        raise Damaged from error


def _derived(keyring: Keyring, key: str, path: str, salt: bytes) -> bytes:
    return HKDF(hashes.SHA256(), 32, salt, b"liuhen search index 1\0" + path.encode()).derive(keyring.get(key))


def _nonce(number: int) -> bytes:
    return number.to_bytes(12)


def _packed(keys: Keys, bitmaps: np.ndarray) -> bytes:
    steps = np.diff(keys, prepend=np.uint64(0))
    planes = steps.view(np.uint8).reshape(-1, 8).T
    data = planes.tobytes() + np.ascontiguousarray(bitmaps.T).tobytes()
    return bytes(pa.Codec("zstd", compression_level=_ZSTD).compress(data, asbytes=True))


def _unpacked(packed: bytes, count: int, width: int) -> tuple[Keys, np.ndarray]:
    data = np.frombuffer(pa.Codec("zstd").decompress(packed, count * (8 + width), asbytes=True), np.uint8)
    steps = np.ascontiguousarray(data[: 8 * count].reshape(8, count).T).view(np.uint64).ravel()
    return np.cumsum(steps), np.ascontiguousarray(data[8 * count :].reshape(width, count).T)
