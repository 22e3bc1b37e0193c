"""The keyring's file and its witness: what they hold, how they are read, written and told from changed ones.

Before: masters.py, durable.py. After: keyring.py (who may change them), keybackup.py. docs/formats.md, section 3, describes both.
"""

from __future__ import annotations

import fcntl
import hmac
import os
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from pipeline import durable
from pipeline.errors import UsageError, VerifyFailed
from pipeline.masters import MasterKey, mismatch, seal, unseal

VERSION = 2
WITNESS = "custody/keyring.seen"  # below a home: not beside the keyring, with which it would be put back


class KeyMaterial(msgspec.Struct, frozen=True):
    """One key in clear, never printed. since: serial of the key set that it came with."""

    key: bytes
    created_ms: int
    since: int

    def __repr__(self) -> str:
        return "KeyMaterial(…)"


class Material(msgspec.Struct, frozen=True, kw_only=True):
    """A whole keyring in clear, independent of any master key: what a backup holds. serial: number of the key set."""

    version: int = VERSION
    id: str
    serial: int
    made_ms: int
    keys: dict[str, KeyMaterial]
    destroyed: dict[str, int] = {}
    lost: list[str] = []


class Witness(msgspec.Struct, frozen=True):
    """What is known of the newest key set beside the keyring itself."""

    keyring: str
    serial: int
    destroyed: dict[str, int]


class Wrapping(msgspec.Struct, frozen=True):
    """The root key under one master key (its id); base64."""

    master: str
    wrapped: str


class Entry(msgspec.Struct, frozen=True):
    """One key under the root key; base64. since: see KeyMaterial."""

    wrapped: str
    created_ms: int
    since: int


class _Version(msgspec.Struct):
    version: int


class KeyringFile(msgspec.Struct, frozen=True, kw_only=True):
    """A keyring, wrapped. serial: one more with every key made or destroyed; roots: two while a rotation is under way;
    destroyed: name -> when, ms; lost: names that a restored backup lacked; backup: serial that the newest backup holds; mac: hex."""

    version: int
    id: str
    serial: int = 0
    roots: tuple[Wrapping, ...] = ()
    keys: dict[str, Entry] = {}
    destroyed: dict[str, int] = {}
    lost: list[str] = []
    backup: int = 0
    mac: str = ""


def read_witness(path: Path | None) -> Witness | None:
    """Return what the witness says, None where there is none; raises VerifyFailed KEYRING_WITNESS_DAMAGED."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Witness) if path else None
    except FileNotFoundError:
        return None
    except OSError as error:
        raise durable.storage_error(error, "reading the keyring's witness") from error
    except msgspec.DecodeError as error:
        raise VerifyFailed("KEYRING_WITNESS_DAMAGED", f"{WITNESS} is not readable", remedy="restore it from the newest backup of the home") from error


def stamp_of(stat: os.stat_result) -> tuple[int, int, int]:
    """Return what tells a keyring file from its successors: two of them may come within one tick of the file system's clock, and the second one
    take the number of the file before both; but it says more."""
    return stat.st_ino, stat.st_mtime_ns, stat.st_size


def read_file(path: Path) -> tuple[KeyringFile, tuple[int, int, int]] | None:
    """Return what a keyring file holds, still wrapped, and what tells it from its successors; None where there is no file."""
    try:
        with open(path, "rb") as handle:
            stat, data = os.fstat(handle.fileno()), handle.read()
        version = msgspec.json.decode(data, type=_Version).version
        if version != VERSION:
            raise UsageError("KEYRING_VERSION", f"the keyring has format {version}, expected {VERSION}", remedy="use the version of liuhen that wrote it")
        return msgspec.json.decode(data, type=KeyringFile), stamp_of(stat)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise durable.storage_error(error, "reading the keyring") from error
    except msgspec.DecodeError as error:
        raise VerifyFailed("KEYRING_DAMAGED", "the keyring file is not readable", remedy="restore it from its backup (`liuhen keyring restore`)") from error


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of the keyring at `path`, waiting for it."""
    with durable.storage("locking the keyring"), open(path.with_suffix(".lock"), "ab") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def wrap_root(master: MasterKey, root: bytes, keyring: str) -> Wrapping:
    """Return the root key of the keyring with this id under a master key, tried out: what cannot be opened again is refused."""
    wrapped, name = master.wrap(root, f"keyring/{keyring}"), f"keyring/{keyring}"
    if master.unwrap(wrapped, name) != root:
        raise mismatch()
    return Wrapping(master.id, b64encode(wrapped).decode())


def unwrap_root(master: MasterKey, wrapping: Wrapping, keyring: str) -> bytes:
    """Return the root key; raises VerifyFailed KEYRING_MASTER_MISMATCH."""
    return master.unwrap(_bytes(wrapping.wrapped), f"keyring/{keyring}")


def wrap_key(root: bytes, name: str, one: KeyMaterial) -> Entry:
    """Return a key under the root key, bound to its name."""
    return Entry(b64encode(seal(root, one.key, name)).decode(), one.created_ms, one.since)


def unwrap_key(root: bytes, name: str, entry: Entry) -> KeyMaterial:
    """Return a key in clear; raises VerifyFailed KEYRING_MASTER_MISMATCH."""
    return KeyMaterial(unseal(root, _bytes(entry.wrapped), name), entry.created_ms, entry.since)


def _bytes(text: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except ValueError as error:
        raise mismatch() from error


def mac_of(file: KeyringFile, root: bytes) -> str:
    """Return the MAC of a keyring file (hex): HMAC-SHA-256 over its compact JSON with `mac` empty, key derived from the root key."""
    key = hmac.digest(root, b"liuhen-keyring-mac", "sha256")
    return hmac.digest(key, msgspec.json.encode(msgspec.structs.replace(file, mac="")), "sha256").hex()


def write(path: Path, file: KeyringFile, root: bytes) -> None:
    """Replace the keyring file durably, its MAC renewed."""
    durable.replace(path, msgspec.json.format(msgspec.json.encode(msgspec.structs.replace(file, mac=mac_of(file, root))), indent=1))


def testify(witness: Path | None, file: KeyringFile) -> None:
    """Write the witness of `file` durably, unless it says the same already."""
    now = Witness(file.id, file.serial, file.destroyed)
    if witness is not None and read_witness(witness) != now:
        durable.make_folder(witness.parent)
        durable.replace(witness, msgspec.json.encode(now))
