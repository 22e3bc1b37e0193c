"""The keyring: key-encryption keys by unit and generation, wrapped by one master key.

Before: durable.py. After: lake.py (files), custody.py (parameters), stage.py (outlines), home.py (enterprise keys).

A key's name is `<unit>#<generation>`, e.g. `ww1/m/2026-11/hot#0`, `ww1/withheld/2026-11-22#0`, `ww1/base#0`; `…!2` is the
second key of the same unit (raw and clear PII). Destroying a key makes every copy of what it wrapped unreadable.
The file holds wrapped keys only: AES-256-GCM under the master key with the name as associated data (docs/formats.md).
Changes are made under a lock and replaced whole; a key is durable before anything is written under it.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import os
import secrets
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from pipeline import durable
from pipeline.clock import now_ms
from pipeline.errors import UsageError, VerifyFailed

NONCE = 12
KEY_BYTES = 32


class MasterKey(Protocol):
    """What wraps the keyring's keys: a file here; a PKCS#11 token or a key service fits the same shape."""

    id: str

    def wrap(self, key: bytes, name: str) -> bytes:
        """Return `key` wrapped, bound to `name`."""

    def unwrap(self, wrapped: bytes, name: str) -> bytes:
        """Return the key; raises VerifyFailed when it was not wrapped by this master key under `name`."""


class FileMaster:
    """A master key in a file of 32 random bytes in base64, readable by its owner only (0600)."""

    def __init__(self, path: Path) -> None:
        self._aead = AESGCM(_read_master(path))
        self.id = "file:" + hashlib.sha256(b"liuhen-master\0" + _read_master(path)).hexdigest()[:16]

    @staticmethod
    def create(path: Path) -> None:
        """Make a new master key file; an existing one stays."""
        durable.write_once(path, b64encode(secrets.token_bytes(KEY_BYTES)) + b"\n")

    def wrap(self, key: bytes, name: str) -> bytes:
        """See MasterKey."""
        nonce = os.urandom(NONCE)
        return nonce + self._aead.encrypt(nonce, key, name.encode())

    def unwrap(self, wrapped: bytes, name: str) -> bytes:
        """See MasterKey."""
        try:
            return self._aead.decrypt(wrapped[:NONCE], wrapped[NONCE:], name.encode())
        except InvalidTag as error:
            raise VerifyFailed(
                "KEYRING_MASTER_MISMATCH",
                "the keyring was not wrapped by this master key, or was changed",
                remedy="restore the master key and the keyring from the same backup",
            ) from error


def _read_master(path: Path) -> bytes:
    try:
        mode = path.stat().st_mode
        text = path.read_bytes()
    except FileNotFoundError:
        raise UsageError(
            "MASTER_KEY_MISSING", f"the master key file {path.name} is missing", remedy="restore it from its backup; without it nothing can be read"
        ) from None
    except OSError as error:
        raise durable.storage_error(error, "reading the master key") from error
    if mode & 0o077:
        raise UsageError(
            "MASTER_KEY_EXPOSED",
            f"the master key file {path.name} can be read by others: expected mode 0600, got {mode & 0o777:04o}",
            remedy=f"chmod 600 {path.name}, and consider whether it was copied",
        )
    try:
        key = b64decode(text.strip(), validate=True)
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise UsageError(
            "MASTER_KEY_MALFORMED", f"the master key file {path.name} does not hold 32 bytes in base64", remedy="restore it from its backup"
        )
    return key


class _Entry(msgspec.Struct):
    wrapped: str
    created_ms: int


class _File(msgspec.Struct):
    version: int
    master: str
    keys: dict[str, _Entry]


class Keyring:
    """All keys of a home. Cheap to open; keys are unwrapped when first asked for and kept in memory."""

    def __init__(self, path: Path, master: MasterKey) -> None:
        self.path = path
        self._master = master
        self._plain: dict[str, bytes] = {}
        self._file = _File(1, master.id, {})
        self._reload()

    def _reload(self) -> None:
        if not self.path.exists():
            return
        try:
            self._file = msgspec.json.decode(self.path.read_bytes(), type=_File)
        except msgspec.DecodeError as error:
            raise VerifyFailed("KEYRING_DAMAGED", "the keyring file is not readable", remedy="restore it from its backup") from error
        if self._file.master != self._master.id:
            raise VerifyFailed(
                "KEYRING_MASTER_MISMATCH", "the keyring belongs to another master key", remedy="restore master key and keyring from the same backup"
            )

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with durable.storage("locking the keyring"), open(self.path.with_suffix(".lock"), "ab") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            self._reload()
            yield

    def _store(self) -> None:
        durable.replace(self.path, msgspec.json.format(msgspec.json.encode(self._file), indent=1))

    def names(self, prefix: str = "") -> list[str]:
        """Return the names of the live keys that begin with `prefix`, sorted."""
        self._reload()
        return sorted(n for n in self._file.keys if n.startswith(prefix))

    def get(self, name: str) -> bytes:
        """Return the 32 bytes of key `name`; raises UsageError KEY_DESTROYED when there is none (it was destroyed, or never made)."""
        if name not in self._plain:
            if name not in self._file.keys:
                self._reload()
            entry = self._file.keys.get(name)
            if entry is None:
                raise UsageError("KEY_DESTROYED", f"the key {name} is not in the keyring", remedy="it was destroyed, or the keyring is older than the archive")
            self._plain[name] = self._master.unwrap(b64decode(entry.wrapped), name)
        return self._plain[name]

    def current(self, unit: str) -> str:
        """Return the name of the unit's newest key, making generation 0 durably when there is none."""
        found = self._newest(unit)
        if found is not None:
            return found
        with self._locked():
            found = self._newest(unit)
            return found if found is not None else self._add(f"{unit}#0")

    def next_generation(self, unit: str) -> str:
        """Make and return a new key of `unit`; the older generations stay until `destroy`."""
        with self._locked():
            newest = self._newest(unit)
            return self._add(f"{unit}#{int(newest.rsplit('#', 1)[1]) + 1 if newest else 0}")

    def destroy(self, name: str) -> None:
        """Forget key `name` durably: nothing written under it can be read again. An absent one is fine."""
        with self._locked():
            if self._file.keys.pop(name, None) is not None:
                self._store()
        self._plain.pop(name, None)

    def _newest(self, unit: str) -> str | None:
        generations = [int(n.rsplit("#", 1)[1]) for n in self._file.keys if n.rsplit("#", 1)[0] == unit]
        return f"{unit}#{max(generations)}" if generations else None

    def _add(self, name: str) -> str:
        key = secrets.token_bytes(KEY_BYTES)
        self._file.keys[name] = _Entry(b64encode(self._master.wrap(key, name)).decode(), now_ms())
        self._store()
        self._plain[name] = key
        return name

    def seal(self, unit: str, data: bytes, *, context: bytes) -> bytes:
        """Return `data` encrypted under the unit's newest key: name length, name, nonce, AES-256-GCM bound to `context`."""
        name = self.current(unit)
        nonce = os.urandom(NONCE)
        head = len(name).to_bytes(2) + name.encode()
        return head + nonce + AESGCM(self.get(name)).encrypt(nonce, data, context)

    def open(self, box: bytes, *, context: bytes) -> bytes:
        """Return what `seal` was given; raises VerifyFailed BOX_DAMAGED when box or context differ."""
        size = int.from_bytes(box[:2])
        name, rest = box[2 : 2 + size].decode(errors="replace"), box[2 + size :]
        try:
            return AESGCM(self.get(name)).decrypt(rest[:NONCE], rest[NONCE:], context)
        except (InvalidTag, ValueError) as error:
            raise VerifyFailed("BOX_DAMAGED", "an encrypted file was changed or belongs elsewhere", remedy="restore it from its backup") from error

    def pseudonym(self, unit: str, *parts: str) -> bytes:
        """Return a keyed 16-byte name for `parts` (HMAC-SHA-256): the same for the same parts, meaningless without the key."""
        data = [part.encode("utf-8", "surrogatepass") for part in parts]
        message = b"".join(len(d).to_bytes(4) + d for d in data)
        return hmac.digest(self.get(self.current(unit)), message, "sha256")[:16]
