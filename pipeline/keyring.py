"""The keyring: key-encryption keys by unit and generation, under one root key, which one master key wraps.

Before: keyring_file.py, masters.py. After: lake.py (files), custody.py (parameters), stage.py (outlines), home.py (enterprise keys), keybackup.py.

A key's name is `<unit>#<generation>`, e.g. `ww1/m/2026-11/hot#0`, `ww1/withheld/2026-11-22#0`, `ww1/base#0`; `…!2` is the
second key of the same unit (raw and clear PII). Destroying a key makes every copy of what it wrapped unreadable.
Rules, each with a test:
 (1) The file holds wrapped keys only: each under the root key with its name as associated data, the root key under the master
     (docs/formats.md). The master is asked at most once a process; rotation renews the root and re-wraps this file, nothing else.
 (2) A change is made under a lock and replaces the file whole; a key is durable before anything is written under it.
 (3) A generation is used once: the number of a destroyed key never comes back.
 (4) A change by another process is seen at the next use: a key destroyed there is gone here too. `one_use` says what is one.
 (5) The witness, elsewhere in the home, states the serial of the newest key set and the names destroyed: written after the keyring,
     read before it, so that an old keyring put back is noticed and a destroyed key does not return with a backup.
 (6) A home that exists has a keyring: where the file is gone, with or without its witness, nothing is made in its place in silence.
 (7) Pseudonyms are made by the first key of their unit, for good (ADR 0004): one that is lost is an error, never another name.
"""

from __future__ import annotations

import hmac
import os
import secrets
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from pipeline import durable
from pipeline import keyring_file as kf
from pipeline.clock import iso, now_ms
from pipeline.errors import UsageError, VerifyFailed
from pipeline.keyring_file import VERSION, Entry, KeyMaterial, KeyringFile, Material, Witness, Wrapping
from pipeline.masters import KEY_BYTES as KEY_BYTES
from pipeline.masters import NONCE as NONCE
from pipeline.masters import FileMaster as FileMaster
from pipeline.masters import MasterKey as MasterKey

FIXED = ("names",)
_LOOKED = threading.local()  # .by: the keyring whose file this thread has looked at for what it is about


class KeyInfo(msgspec.Struct, frozen=True):
    """One key without itself. backed_up: whether the newest backup holds it."""

    name: str
    created_ms: int
    newest: bool
    backed_up: bool


def unit_of(name: str) -> str:
    """Return the unit of a key's name."""
    return name.rsplit("#", 1)[0]


def generation_of(name: str) -> int:
    """Return the generation of a key's name."""
    return int(name.rsplit("#", 1)[1])


class Keyring:
    """All keys of a home. Cheap to open; the master is asked when a key is first needed, keys are kept in memory."""

    def __init__(self, path: Path, master: MasterKey, *, witness: Path | None = None, exists: bool = False) -> None:
        """exists: whether there must be one (rule 6); raises VerifyFailed KEYRING_MISSING."""
        self.path = path
        self._master, self._witness, self._exists = master, witness, exists
        self._plain: dict[str, bytes] = {}
        self._root: tuple[Wrapping | None, bytes] = (None, b"")  # the wrapping it came from, the root key
        self._checked = ""  # the MAC of the file that was found right
        self._opening = threading.Lock()
        self._stamp = (0, 0, 0)
        self._take(KeyringFile(version=VERSION, id=secrets.token_hex(8)))
        self._reload()

    # -- the file ---------------------------------------------------------------------------------------------------

    def _reload(self) -> None:
        seen = kf.read_witness(self._witness)  # before the keyring: it may only be older (rule 5)
        found = kf.read_file(self.path)
        if found is None:
            if seen is not None or self._file.serial or self._exists:
                raise VerifyFailed("KEYRING_MISSING", f"the keyring {self.path.name} is missing", remedy="restore it from its backup (`liuhen keyring restore`)")
            return
        file, stamp = found
        self._fits(file, seen)
        self._take(file)
        self._stamp = stamp

    def _take(self, file: KeyringFile) -> None:
        latest: dict[str, str] = {}
        for name in sorted(file.keys, key=generation_of):
            latest[unit_of(name)] = name
        self._file, self._latest = file, latest
        for name in self._plain.copy():  # at once: other threads of a scan add keys meanwhile
            if name not in file.keys:
                self._plain.pop(name, None)

    def _fits(self, file: KeyringFile, seen: Witness | None) -> None:
        if self._master.id not in [root.master for root in file.roots]:
            raise VerifyFailed(
                "KEYRING_MASTER_MISMATCH", "the keyring belongs to another master key",
                remedy="if it was rotated just now, run the same command again; else set keys.master back, or restore master key and keyring from the same backup",
            )  # fmt: skip
        if seen is not None and seen.keyring != file.id:
            raise VerifyFailed("KEYRING_FOREIGN", "the keyring belongs to another home", remedy="restore the keyring of this one")
        if seen is not None and seen.serial > file.serial:
            raise VerifyFailed(
                "KEYRING_OLD", f"an old keyring was put back: it has state {file.serial}, this home has seen {seen.serial}",
                remedy="put the newest one back, or move this one away and run `liuhen keyring restore` with the newest backup",
            )  # fmt: skip

    @contextmanager
    def one_use(self) -> Iterator[None]:
        """Look at the file here, and not again for what this thread asks for within: some rows of a file ask for a few hundred keys."""
        self._refresh()
        _LOOKED.by = self
        try:
            yield
        finally:
            _LOOKED.by = None

    def _refresh(self) -> None:
        if getattr(_LOOKED, "by", None) is self:
            return
        try:
            stat = os.stat(self.path)
            if kf.stamp_of(stat) == self._stamp:
                return
        except FileNotFoundError:
            pass
        except OSError as error:
            raise durable.storage_error(error, "reading the keyring") from error
        self._reload()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with kf.locked(self.path):
            self._reload()
            seen = kf.read_witness(self._witness)
            if self._file.serial and (seen is None or seen.serial < self._file.serial):
                kf.testify(self._witness, self._file)  # killed between the two, or the witness was lost
            yield

    def _store(self, file: KeyringFile, root: bytes) -> None:
        """Replace the file; memory follows only when it is durable."""
        kf.write(self.path, file, root)
        self._root = (next(one for one in file.roots if one.master == self._master.id), root)
        self._reload()
        kf.testify(self._witness, self._file)

    # -- the root key -----------------------------------------------------------------------------------------------

    def _root_key(self) -> bytes:
        """Return the root key, asking the master once; the file is what was written under it, or VerifyFailed."""
        with self._opening:
            file = self._file
            wrapping = next(one for one in file.roots if one.master == self._master.id)
            if self._root[0] != wrapping:
                self._root = (wrapping, kf.unwrap_root(self._master, wrapping, file.id))
            if self._checked != file.mac or not file.mac:
                if not hmac.compare_digest(kf.mac_of(file, self._root[1]), file.mac):
                    raise VerifyFailed("KEYRING_CHANGED", "the keyring was changed after it was written", remedy="restore it from its backup")
                self._checked = file.mac
            return self._root[1]

    def rotate(self, master: MasterKey, switch: Callable[[], None]) -> None:
        """Move the keyring under `master`; `switch` makes the configuration name it. Killed anywhere, the configured master key opens it.

        (a) the root key is wrapped by both masters, (b) the configuration is switched, (c) a new root key is wrapped by the new master
        alone and all keys re-wrapped under it: who has the old master key and a file of before learns nothing of keys made later."""
        with self._locked():
            root = self._root_key()
            file = self._file
            others = tuple(one for one in file.roots if one.master != master.id)
            self._store(msgspec.structs.replace(file, roots=(*others, kf.wrap_root(master, root, file.id))), root)
            switch()
            self._master = master
            fresh = secrets.token_bytes(KEY_BYTES)
            keys = {name: kf.wrap_key(fresh, name, kf.unwrap_key(root, name, entry)) for name, entry in file.keys.items()}
            self._store(msgspec.structs.replace(file, roots=(kf.wrap_root(master, fresh, file.id),), keys=keys), fresh)

    # -- keys -------------------------------------------------------------------------------------------------------

    def names(self, prefix: str = "") -> list[str]:
        """Return the names of the live keys that begin with `prefix`, sorted."""
        self._refresh()
        return sorted(n for n in self._file.keys if n.startswith(prefix))

    def infos(self) -> list[KeyInfo]:
        """Return what there is to know about every live key, by name."""
        self._refresh()
        file = self._file
        return [KeyInfo(n, e.created_ms, self._latest[unit_of(n)] == n, e.since <= file.backup) for n, e in sorted(file.keys.items())]

    @property
    def unfinished(self) -> bool:
        """Whether a rotation was cut short: another master key still opens the keyring."""
        return len(self._file.roots) > 1

    @property
    def serial(self) -> int:
        """The number of the key set: one more whenever a key is made or destroyed."""
        return self._file.serial

    def get(self, name: str) -> bytes:
        """Return the 32 bytes of key `name`; raises UsageError KEY_DESTROYED, VerifyFailed KEY_LOST or KEY_UNKNOWN when there is none."""
        self._refresh()
        key = self._plain.get(name) if name in self._file.keys else None  # another thread may have put it there after it was destroyed
        if key is None:
            key = self._plain[name] = self._open_entry(name)
        return key

    def _open_entry(self, name: str) -> bytes:
        entry = self._file.keys.get(name)
        if entry is None:
            if self._file.roots:
                self._root_key()  # a keyring that was changed is told first
            self._refuse(name)
        return kf.unwrap_key(self._root_key(), name, entry).key

    def _refuse(self, name: str) -> NoReturn:
        what = f"the key {name} is not in the keyring"
        if name in self._file.destroyed:
            raise UsageError("KEY_DESTROYED", f"{what}: it was destroyed at {iso(self._file.destroyed[name])}", remedy="what it protected is gone for good")
        if name in self._file.lost:
            raise VerifyFailed("KEY_LOST", f"{what}: it was made after the backup that the keyring was restored from", remedy="restore a newer backup")
        raise VerifyFailed("KEY_UNKNOWN", f"{what}: the keyring is older than the archive, or of another home", remedy="restore the newest keyring")

    def current(self, unit: str) -> str:
        """Return the name of the unit's newest key, making one durably when there is none."""
        self._refresh()
        found = self._latest.get(unit)
        if found is not None:
            return found
        with self._locked():
            return self._latest.get(unit) or self._add(unit)

    def next_generation(self, unit: str) -> str:
        """Make and return a new key of `unit`; the older generations stay until `destroy`. Raises UsageError KEY_FIXED for what names people."""
        if unit in FIXED:
            raise UsageError("KEY_FIXED", f"the key {unit} names people and messages and has one generation", remedy="rotate the master key instead")
        with self._locked():
            return self._add(unit)

    def reach(self, unit: str, generation: int) -> None:
        """Make keys of `unit` until its newest one has at least this generation. Looked up and made under one lock: of two callers who want the same
        one, the second makes nothing."""
        with self._locked():
            while (newest := self._latest.get(unit)) is None or generation_of(newest) < generation:
                self._add(unit)

    def destroy(self, name: str) -> None:
        """Forget key `name` durably: nothing written under it can be read again, here or in any copy. An absent one is fine."""
        with self._locked():
            keys = dict(self._file.keys)
            if keys.pop(name, None) is not None:
                destroyed = {**self._file.destroyed, name: now_ms()}
                self._store(msgspec.structs.replace(self._file, serial=self._file.serial + 1, keys=keys, destroyed=destroyed), self._root_key())
        self._plain.pop(name, None)

    def _add(self, unit: str) -> str:
        file = self._file
        used = [generation_of(n) for known in (file.keys, file.destroyed, file.lost) for n in known if unit_of(n) == unit]
        name = f"{unit}#{max(used, default=-1) + 1}"
        root = self._root_key() if file.roots else secrets.token_bytes(KEY_BYTES)
        roots = file.roots or (kf.wrap_root(self._master, root, file.id),)
        entry = kf.wrap_key(root, name, KeyMaterial(secrets.token_bytes(KEY_BYTES), now_ms(), file.serial + 1))
        self._store(msgspec.structs.replace(file, serial=file.serial + 1, roots=roots, keys={**file.keys, name: entry}), root)
        return name

    # -- the whole --------------------------------------------------------------------------------------------------

    def material(self) -> Material:
        """Return everything in clear, for a backup; never write it anywhere unencrypted."""
        with self._locked():
            file = self._file
            root = self._root_key() if file.roots else b""
            keys = {name: kf.unwrap_key(root, name, entry) for name, entry in file.keys.items()}
            return Material(id=file.id, serial=file.serial, made_ms=now_ms(), keys=keys, destroyed=file.destroyed, lost=file.lost)

    def backed_up(self, serial: int) -> None:
        """Note that there is a backup of the key set `serial`."""
        with self._locked():
            self._store(msgspec.structs.replace(self._file, backup=max(serial, self._file.backup)), self._root_key())

    # -- boxes and pseudonyms ---------------------------------------------------------------------------------------

    def seal(self, unit: str, data: bytes, *, context: bytes) -> bytes:
        """Return `data` encrypted under the unit's newest key: name length, name, nonce, AES-256-GCM bound to `context`."""
        name = self.current(unit)
        nonce = os.urandom(NONCE)
        head = len(name).to_bytes(2) + name.encode()
        return head + nonce + AESGCM(self.get(name)).encrypt(nonce, data, context)

    def open(self, box: bytes, *, context: bytes) -> bytes:
        """Return what `seal` was given; raises VerifyFailed BOX_DAMAGED when box or context differ."""
        name = key_of_box(box)
        rest = box[2 + int.from_bytes(box[:2]) :]
        try:
            return AESGCM(self.get(name)).decrypt(rest[:NONCE], rest[NONCE:], context)
        except (InvalidTag, ValueError) as error:
            raise VerifyFailed("BOX_DAMAGED", "an encrypted file was changed or belongs elsewhere", remedy="restore it from its backup") from error

    def pseudonym(self, unit: str, *parts: str) -> bytes:
        """Return a keyed 16-byte name for `parts` (HMAC-SHA-256): the same for the same parts, meaningless without the key."""
        data = [part.encode("utf-8", "surrogatepass") for part in parts]
        message = b"".join(len(d).to_bytes(4) + d for d in data)
        return hmac.digest(self.get(self.first(unit)), message, "sha256")[:16]

    def first(self, unit: str) -> str:
        """Return the name of the unit's first key, made durably when the unit never had one (rule 7); `get` says when it is gone."""
        self.current(unit)
        return f"{unit}#0"


class Held(Keyring):
    """The keys of a backup, in memory only: opens what they open, changes nothing. asked: names that somebody wanted."""

    def __init__(self, material: Material) -> None:
        self.asked: set[str] = set()
        self._plain = {name: one.key for name, one in material.keys.items()}
        keys = {name: Entry("", one.created_ms, one.since) for name, one in material.keys.items()}
        self._take(KeyringFile(version=VERSION, id=material.id, serial=material.serial, keys=keys, destroyed=material.destroyed, lost=material.lost))

    def absent(self, names: Iterable[str]) -> list[str]:
        """Return those of `names` that are not held and were not destroyed on purpose, sorted."""
        return sorted(n for n in names if n not in self._file.keys and n not in self._file.destroyed)

    def get(self, name: str) -> bytes:
        """See Keyring; remembers what was asked for."""
        self.asked.add(name)
        return super().get(name)

    def _refresh(self) -> None:
        return

    def _locked(self) -> NoReturn:
        raise UsageError("KEYRING_HELD", "the keys of a backup cannot be changed", remedy="restore the backup first")


def key_of_box(box: bytes) -> str:
    """Return the name of the key that a box was sealed under."""
    return box[2 : 2 + int.from_bytes(box[:2])].decode(errors="replace")
