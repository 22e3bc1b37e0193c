"""What is gathered for a bundle, on disk while it is written: sealed, without a name, readable by this process alone.

Before: nothing. After: records.py, completeness.py, redaction/masking.py; bundle.py reads it record by record, as often as it needs.

Why not asked of the archive again: what goes out of view meanwhile would be in one file of a bundle and not in another. Why not kept in
memory: a bundle may hold years. Each item is a box of its own (AES-256-GCM) under a key that exists in this process's memory only; the file
has no name (O_TMPFILE, or unlinked at once), so that a process that is killed leaves nothing that anybody could open.
"""

from __future__ import annotations

import os
import tempfile
import weakref
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar, overload

import msgspec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from pipeline import durable

T = TypeVar("T")
_BUFFER = 1 << 20


class Spool(Sequence[T], Generic[T]):
    """Items in the order in which they came; `spool[n]` and iterating decode them anew. Raises StorageError when the disk is full."""

    def __init__(self, folder: Path, kind: type[T]) -> None:
        """folder: of the disk that it takes room on; kind: what an item is, for msgspec."""
        with durable.storage("keeping what a bundle is made of"):
            self._file: Any = tempfile.TemporaryFile(dir=folder, buffering=_BUFFER)  # noqa: SIM115 (it ends with this object)
        weakref.finalize(self, self._file.close)
        self._cipher = AESGCM(AESGCM.generate_key(256))
        self._encode, self._decode = msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder(kind).decode
        self._ends = array("Q", [0])
        self._dirty = False

    def append(self, item: T) -> None:
        """Put an item behind the others."""
        box = self._cipher.encrypt(self._nonce(len(self)), self._encode(item), None)
        with durable.storage("keeping what a bundle is made of"):
            self._file.write(box)
        self._ends.append(self._ends[-1] + len(box))
        self._dirty = True

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, at: int) -> T: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[T]: ...
    def __getitem__(self, at: int | slice) -> T | Sequence[T]:
        if isinstance(at, slice):
            return [self[n] for n in range(*at.indices(len(self)))]
        number = at + len(self) if at < 0 else at
        if not 0 <= number < len(self):
            raise IndexError(at)
        begin, end = self._ends[number], self._ends[number + 1]
        with durable.storage("keeping what a bundle is made of"):
            if self._dirty:
                self._file.flush()
                self._dirty = False
            box = os.pread(self._file.fileno(), end - begin, begin)
        return self._decode(self._cipher.decrypt(self._nonce(number), box, None))

    def __iter__(self) -> Iterator[T]:
        return (self[n] for n in range(len(self)))

    @staticmethod
    def _nonce(number: int) -> bytes:
        return number.to_bytes(12)  # each number once under a key that is drawn anew
