"""A home: the folder that holds the configuration and everything the product writes.

Before: config.py, keyring.py, custody.py, lake.py. After: every command and every worker (which open it by its path).

    liuhen.toml        configuration               keys/master.key, keys/keyring.json, keys/enterprise/   keys
    landing/<corp>/    pages, still sealed          staging/<corp>/   manifests and outlines not yet committed
    lake/<corp>/       the archive                  custody/          who did what        lexicon/  the firm's own packs, encrypted
    callbacks/<corp>/  events of the platform, encrypted, until they are taken over
    source/            how far pull got, doorbells   media/<corp>/      fetched files, encrypted   metrics/   numbers for monitoring
    locks/             courtesy locks
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pipeline import config, durable, masters
from pipeline.clock import now_ms
from pipeline.config import Config, Corp
from pipeline.custody import Custody
from pipeline.enterprise_keys import KeySet, fingerprint, load_private_key, private_der, self_test, size_warning
from pipeline.errors import Locked, UsageError
from pipeline.keyring import FileMaster, Keyring
from pipeline.keyring_file import WITNESS
from pipeline.lake import Lake

if TYPE_CHECKING:
    from pipeline.match.packfile import PackSource

FOLDERS = (
    "keys", "keys/enterprise", "landing", "staging", "lake", "anchors", "custody", "evidence", "lexicon", "matching",
    "alerts", "approvals", "callbacks", "source", "media", "metrics", "register", "retention", "search", "locks",
)  # fmt: skip


class StoredKey(msgspec.Struct, frozen=True, kw_only=True):
    """One enterprise private key in the home. `der`: PKCS#8, lies encrypted; fingerprint: of its public half."""

    version: int
    fingerprint: str
    added_ms: int
    retired: bool = False
    warning: str = ""
    der: bytes


class Home:
    """An opened home. Raises UsageError when there is none, or its configuration or master key is not usable."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.damaged: set[str] = set()  # paths of what is kept for questions and could not be believed: the files themselves were read
        self.config: Config = config.parse(config.read(path / "liuhen.toml"))

    @classmethod
    def create(cls, path: Path, corps: list[Corp], *, demo: bool = False) -> Home:
        """Make a home with its keys and an empty archive per corp; refuses a folder that already is one."""
        text = config.render(corps, demo=demo)
        if (path / "liuhen.toml").exists():
            raise UsageError("HOME_EXISTS", f"there is a liuhen home at {path} already", remedy="use it, or name another with --home")
        for folder in FOLDERS:
            durable.make_folder(path / folder)
        FileMaster.create(path / "keys" / "master.key")
        # The configuration comes last: a home that was killed half-way is made again by the same command.
        staged = config.parse(text)
        keyring = _keyring(path, staged)
        for corp in staged.corp:
            for folder in ("landing", "staging"):
                durable.make_folder(path / folder / corp.id)
            Lake(path / "lake" / corp.id, corp.id, keyring).create()
        for unit in ("custody", "names"):
            keyring.current(unit)
        durable.write_once(path / "liuhen.toml", text.encode())
        return cls(path)

    @cached_property
    def keyring(self) -> Keyring:
        """The keyring, opened with the configured master key."""
        return _keyring(self.path, self.config, exists=True)

    @cached_property
    def custody(self) -> Custody:
        """The custody log."""
        return Custody(self.path / "custody", self.keyring)

    def corp(self, corp_id: str | None) -> str:
        """Return the corp meant: `corp_id`, or the only one; raises UsageError CORP_NEEDED or CORP_UNKNOWN."""
        known = [c.id for c in self.config.corp]
        if corp_id is None:
            if len(known) > 1:
                raise UsageError("CORP_NEEDED", f"this home has {len(known)} corps", remedy=f"name one with --corp: {', '.join(known)}")
            return known[0]
        if corp_id not in known:
            raise UsageError("CORP_UNKNOWN", f"this home has no corp {corp_id}", remedy=f"one of: {', '.join(known)}")
        return corp_id

    def lake(self, corp_id: str) -> Lake:
        """The archive of one corp."""
        return Lake(self.path / "lake" / corp_id, corp_id, self.keyring)

    def landing(self, corp_id: str) -> Path:
        """Where pages wait, sealed."""
        return self.path / "landing" / corp_id

    def staging(self, corp_id: str) -> Path:
        """Where manifests wait to be committed."""
        return self.path / "staging" / corp_id

    # -- enterprise keys ----------------------------------------------------------------------------------------

    def add_key(self, corp_id: str, version: int, pem: bytes, passphrase: bytes | None) -> StoredKey:
        """Store a private key for (corp, version), encrypted; another key under the same version replaces it, the old one stays beside it."""
        key = load_private_key(pem, passphrase)
        self_test(key)
        stored = StoredKey(version=version, fingerprint=fingerprint(key), added_ms=now_ms(), der=private_der(key), warning=size_warning(key) or "")
        old = [k for k in self.enterprise_keys(corp_id) if k.version != version]
        if any(k.fingerprint == stored.fingerprint for k in old):
            raise UsageError("KEY_VERSION_TWICE", "this private key is already stored under another version", remedy="check which version it belongs to")
        self._store_keys(corp_id, [*old, stored])
        return stored

    def enterprise_keys(self, corp_id: str) -> list[StoredKey]:
        """Return the stored private keys of a corp by version."""
        path = self._keys_path(corp_id)
        if not path.exists():
            return []
        box = self.keyring.open(path.read_bytes(), context=f"enterprise/{corp_id}".encode())
        return sorted(msgspec.msgpack.decode(box, type=list[StoredKey]), key=lambda k: k.version)

    def key_set(self, corp_id: str) -> KeySet:
        """Return the private keys of a corp, loaded, by version."""
        return KeySet.from_der({k.version: k.der for k in self.enterprise_keys(corp_id) if not k.retired})

    def retire_key(self, corp_id: str, version: int) -> None:
        """Stop using a version (its key stays stored, encrypted)."""
        keys = self.enterprise_keys(corp_id)
        if version not in [k.version for k in keys]:
            raise UsageError("KEY_VERSION_UNKNOWN", f"no private key of version {version} is stored", remedy="`liuhen keys list`")
        self._store_keys(corp_id, [msgspec.structs.replace(k, retired=True) if k.version == version else k for k in keys])

    def _keys_path(self, corp_id: str) -> Path:
        return self.path / "keys" / "enterprise" / f"{corp_id}.keys"

    def _store_keys(self, corp_id: str, keys: list[StoredKey]) -> None:
        box = self.keyring.seal("enterprise", msgspec.msgpack.encode(keys), context=f"enterprise/{corp_id}".encode())
        durable.replace(self._keys_path(corp_id), box)

    # -- the firm's own packs -----------------------------------------------------------------------------------

    def own_packs(self) -> list[PackSource]:
        """Return the packs added to this home, decrypted."""
        from pipeline.match.packfile import PackSource  # and all that reads packs: most commands need none

        found = []
        for path in sorted((self.path / "lexicon").glob("*.pack")):
            found.append(msgspec.msgpack.decode(self.keyring.open(path.read_bytes(), context=f"pack/{path.stem}".encode()), type=PackSource))
        return found

    def store_pack(self, pack_id: str, pack: PackSource) -> None:
        """Store a pack encrypted under `pack_id` (a file name of ours: letters, digits, -, _)."""
        box = self.keyring.seal("lexicon", msgspec.msgpack.encode(pack), context=f"pack/{pack_id}".encode())
        durable.replace(self.path / "lexicon" / f"{pack_id}.pack", box)

    def remove_pack(self, pack_id: str) -> None:
        """Remove a pack of this home; raises UsageError PACK_UNKNOWN."""
        path = self.path / "lexicon" / f"{pack_id}.pack"
        if not path.exists():
            raise UsageError("PACK_UNKNOWN", f"this home has no pack {pack_id}", remedy="`liuhen lexicon list`")
        durable.remove(path)

    # -- locks --------------------------------------------------------------------------------------------------

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Hold a courtesy lock for one cycle; raises Locked (exit 7) when another process holds it."""
        path = self.path / "locks" / f"{name}.lock"
        with durable.storage("taking a lock"):
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Locked("LOCKED", "another run is at work on this corp", remedy="wait until it is done; `liuhen status` shows it") from None
            yield
        finally:
            os.close(handle)


def _keyring(path: Path, settings: Config, *, exists: bool = False) -> Keyring:
    return Keyring(path / "keys" / "keyring.json", masters.open_master(settings.keys.master, path), witness=path / WITNESS, exists=exists)
