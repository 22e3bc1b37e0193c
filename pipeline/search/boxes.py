"""What is kept once more of a data file: a head and any number of parts, each sealed under a key that comes from the data file's own.

Before: ../keyring.py. After: index_file.py (an index), narrow.py (columns).

    magic (5) | length of the key's name (2) | its name | salt (16) | length of the head (4) | head | part 0 | part 1 …

Head and parts are AES-256-GCM under a key derived (HKDF-SHA-256) from the data file's own key, the salt, and the data file's path;
the nonce is the number of the box (the head is 0), the associated data everything before the head. Rules, each with a test:
 (1) Destroying the data file's key destroys what is kept of it: there is no other way to open it.
 (2) Whatever was changed, cut short or belongs to another file raises Damaged, and never answers; so does what is no file that can be read.
 (3) A folder in the place of a file is nobody's: it is told and stays, whatever lies in it.
"""

from __future__ import annotations

import errno
import mmap
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path
from typing import BinaryIO, NamedTuple, TypeVar

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from pipeline import durable
from pipeline.errors import ArchiveError, StorageError
from pipeline.keyring import Keyring

T = TypeVar("T")
SALT = 16
# What the system says of something that is there and is no file of ours: it is worked out anew, and no question fails over it.
_FOREIGN = frozenset({errno.EACCES, errno.EPERM, errno.EISDIR, errno.ELOOP, errno.ENXIO})


class Damaged(Exception):
    """Something kept of a data file was changed, cut short, or belongs to another file."""


class Form(NamedTuple):
    """A kind of file: how it begins (5 bytes), and what its keys are derived for."""

    magic: bytes
    purpose: bytes


def sealed(form: Form, keyring: Keyring, *, key: str, path: str, parts: Iterable[bytes], head: Callable[[tuple[int, ...]], object]) -> bytes:
    """Return the bytes of a file. key: name of the data file's key; path: the data file's; head: what it says, given the lengths of the parts."""
    salt = os.urandom(SALT)
    box = AESGCM(_derived(form, keyring, key, path, salt))
    begin = form.magic + len(key).to_bytes(2) + key.encode() + salt
    closed = [box.encrypt(_nonce(n), part, begin) for n, part in enumerate(parts, 1)]
    first = box.encrypt(_nonce(0), msgspec.msgpack.encode(head(tuple(map(len, closed)))), begin)
    return b"".join([begin, len(first).to_bytes(4), first, *closed])


class Boxes:
    """An opened file. Raises Damaged (rule 2), FileNotFoundError when there is none, and what the keyring says of a key that is gone."""

    def __init__(self, form: Form, at: Path, keyring: Keyring, path: str) -> None:
        with opened(at) as file:
            if os.fstat(file.fileno()).st_size == 0:
                raise Damaged
            self._data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        name = 2 + len(form.magic) + int.from_bytes(self._data[len(form.magic) : len(form.magic) + 2])
        self._begin = self._data[: name + SALT]
        if not self._begin.startswith(form.magic) or len(self._begin) < name + SALT:
            raise Damaged
        self.key = self._begin[len(form.magic) + 2 : name].decode(errors="replace")
        self._box = AESGCM(_derived(form, keyring, self.key, path, self._begin[name:]))
        self._head = name + SALT + 4
        self._places: list[int] = []

    def head(self, kind: type[T], lengths: Callable[[T], Sequence[int]]) -> T:
        """Return the head; with it come the lengths of the parts, which must be all that follows."""
        size = int.from_bytes(self._data[self._head - 4 : self._head])
        try:
            found = msgspec.msgpack.decode(self._opened(0, self._head, size), type=kind)
        except msgspec.DecodeError as error:
            raise Damaged from error
        self._places = list(accumulate(lengths(found), initial=self._head + size))
        if self._places[-1] != len(self._data):  # told at once, not when the last part is asked
            raise Damaged
        return found

    def part(self, n: int) -> bytes:
        """Return part n; `head` comes first."""
        return self._opened(n + 1, self._places[n], self._places[n + 1] - self._places[n])

    def _opened(self, number: int, begin: int, length: int) -> bytes:
        try:
            return self._box.decrypt(_nonce(number), self._data[begin : begin + length], self._begin)
        except (InvalidTag, ValueError) as error:
            raise Damaged from error


def opened(at: Path) -> BinaryIO:
    """Return what is kept at `at`, open to be read; raises FileNotFoundError when nothing is there, Damaged for a folder, a pipe, a link that leads
    round and a file that may not be read."""
    try:
        if not stat.S_ISREG(os.stat(at).st_mode):  # a pipe would be waited for
            raise Damaged
        return open(at, "rb")
    except OSError as error:
        if error.errno in _FOREIGN:
            raise Damaged from error
        raise


def unsealed(at: Path, keyring: Keyring, context: bytes, kind: type[T], damaged: set[str]) -> T | None:
    """Return what a whole box at `at` (Keyring.seal) says; None when there is none, or none that opens: its path is added to `damaged` then."""
    try:
        with judged(), durable.storage("reading what is kept for questions"), opened(at) as file:
            return msgspec.msgpack.decode(keyring.open(file.read(), context=context), type=kind)
    except durable.Vanished:
        return None
    except (Damaged, msgspec.DecodeError, ValueError):
        damaged.add(str(at))
        return None


def clear(at: Path, *, sync_folder: bool = True) -> bool:
    """Take away what lies at `at`; return whether the place is free: a folder stays (rule 3)."""
    if at.is_dir() and not at.is_symlink():
        return False
    durable.remove(at, sync_folder=sync_folder)
    return True


@contextmanager
def judged() -> Iterator[None]:
    """A key that is gone counts as damage; what the storage does stays what it is."""
    try:
        yield
    except StorageError:
        raise
    except ArchiveError as error:
        raise Damaged from error


def _derived(form: Form, keyring: Keyring, key: str, path: str, salt: bytes) -> bytes:
    return HKDF(hashes.SHA256(), 32, salt, form.purpose + b"\0" + path.encode()).derive(keyring.get(key))


def _nonce(number: int) -> bytes:
    return number.to_bytes(12)
