"""Master keys: what wraps the keyring's one root key. A file, a hardware token (PKCS#11), or a key service (AWS KMS and what speaks its language).

Before: durable.py. After: master_token.py and master_service.py (the kinds that need an extra), keyring.py (which asks once a process), home.py.

The setting `keys.master` says which; it never holds a secret:
    file:PATH                                                     32 random bytes in base64, 0600; relative to the home
    pkcs11:token=LABEL;object=LABEL?module-path=FILE&pin-source=env:NAME      (RFC 7512; pin-source=file:PATH likewise)
    kms:KEY?region=NAME&endpoint=URL                              KEY: id, ARN or alias; what is not given comes from the environment
Rules: (1) what was wrapped under one name opens under no other. (2) A token's key must not be extractable. (3) A PIN is read from the
environment or from a file of 0600, used, and never stored, shown or logged. (4) Every refusal is one sentence with a code of its own.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from base64 import b64decode, b64encode
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from pipeline import durable
from pipeline.errors import UsageError, VerifyFailed

NONCE = 12
KEY_BYTES = 32


class MasterKey(Protocol):
    """What wraps keys. `id`: scheme and 16 hex digits that tell two master keys apart; not a secret."""

    id: str

    def wrap(self, key: bytes, name: str) -> bytes:
        """Return `key` wrapped, bound to `name`."""

    def unwrap(self, wrapped: bytes, name: str) -> bytes:
        """Return the key; raises VerifyFailed KEYRING_MASTER_MISMATCH when it was not wrapped by this master key under `name`."""


class Setting(msgspec.Struct, frozen=True):
    """A parsed `keys.master`. rest: path or key; path, query: the attributes before and after `?`, decoded."""

    scheme: str
    rest: str
    path: Mapping[str, str] = {}
    query: Mapping[str, str] = {}


_ATTRIBUTES = {"file": ((), ()), "pkcs11": (("token", "object"), ("module-path", "pin-source")), "kms": ((), ("region", "endpoint"))}
_NEEDED = {"file": (), "pkcs11": ("token", "object", "module-path", "pin-source"), "kms": ()}
_FORMS = "file:PATH, pkcs11:token=…;object=…?module-path=…&pin-source=env:NAME, or kms:KEY?region=…"


def parse(setting: str) -> Setting:
    """Return the parsed setting; raises UsageError MASTER_KEY_UNKNOWN (form), MASTER_PIN_IN_SETTING (a PIN stands in it)."""
    scheme, _, rest = setting.partition(":")
    if "pin-value" in setting:
        raise UsageError("MASTER_PIN_IN_SETTING", "keys.master holds a PIN: expected where to find it", remedy="use pin-source=env:NAME or pin-source=file:PATH")
    if scheme not in _ATTRIBUTES or not rest:
        raise UsageError("MASTER_KEY_UNKNOWN", f"keys.master is not a master key that liuhen knows: expected {_FORMS}", remedy="set it to one of these")
    if scheme == "file":
        return Setting(scheme, rest)
    before, _, after = rest.partition("?")
    parsed = Setting(scheme, unquote(before), _pairs(before, ";") if scheme == "pkcs11" else {}, _pairs(after, "&"))
    _check(parsed)
    return parsed


def _pairs(text: str, separator: str) -> dict[str, str]:
    parts = [part.partition("=") for part in text.split(separator) if part]
    return {name: unquote(value) for name, _, value in parts}


def _check(setting: Setting) -> None:
    before, after = _ATTRIBUTES[setting.scheme]
    odd = sorted((set(setting.path) - set(before)) | (set(setting.query) - set(after)))
    given = {**setting.path, **setting.query}
    absent = [name for name in _NEEDED[setting.scheme] if not given.get(name)]
    if odd or absent or not setting.rest:
        what = f"has an unknown attribute {odd[0]!r}" if odd else f"lacks {absent[0]}" if absent else "names no key"
        raise UsageError("MASTER_KEY_UNKNOWN", f"keys.master {what}: expected {_FORMS}", remedy="mend it")


def open_master(setting: str, base: Path) -> MasterKey:
    """Return the master key that `setting` names (paths relative to `base`); tokens and services are not asked before they are needed."""
    parsed = parse(setting)
    if parsed.scheme == "file":
        return FileMaster(base / parsed.rest)
    if parsed.scheme == "pkcs11":
        from pipeline.master_token import TokenMaster

        return TokenMaster(parsed, base)
    from pipeline.master_service import ServiceMaster

    return ServiceMaster(parsed)


def make_master(setting: str, base: Path) -> None:
    """Make the master key that `setting` names where there is none yet; raises UsageError MASTER_KEY_ELSEWHERE for a key service."""
    parsed = parse(setting)
    if parsed.scheme == "file":
        FileMaster.create(base / parsed.rest)
    elif parsed.scheme == "pkcs11":
        from pipeline.master_token import TokenMaster

        TokenMaster(parsed, base).create()
    else:
        raise UsageError("MASTER_KEY_ELSEWHERE", "a key service makes its keys itself", remedy="make the key there, then leave --make-key out")


def mismatch() -> VerifyFailed:
    """The error for something that this master key did not wrap, or not under this name."""
    return VerifyFailed(
        "KEYRING_MASTER_MISMATCH",
        "the keyring was not wrapped by this master key, or was changed",
        remedy="restore the master key and the keyring from the same backup",
    )


def seal(key: bytes, data: bytes, name: str) -> bytes:
    """Return nonce and AES-256-GCM of `data` with `name` as associated data."""
    nonce = os.urandom(NONCE)
    return nonce + AESGCM(key).encrypt(nonce, data, name.encode())


def unseal(key: bytes, box: bytes, name: str) -> bytes:
    """Return what `seal` was given; raises VerifyFailed KEYRING_MASTER_MISMATCH."""
    try:
        return AESGCM(key).decrypt(box[:NONCE], box[NONCE:], name.encode())
    except (InvalidTag, ValueError) as error:
        raise mismatch() from error


# -- a file -----------------------------------------------------------------------------------------------------


class FileMaster:
    """A master key in a file of 32 random bytes in base64, readable by its owner only (0600)."""

    def __init__(self, path: Path) -> None:
        self._key = _read_master(path)
        self.id = "file:" + hashlib.sha256(b"liuhen-master\0" + self._key).hexdigest()[:16]

    @staticmethod
    def create(path: Path) -> None:
        """Make a new master key file; an existing one stays."""
        durable.make_folder(path.parent)
        durable.write_once(path, b64encode(secrets.token_bytes(KEY_BYTES)) + b"\n")

    def wrap(self, key: bytes, name: str) -> bytes:
        """See MasterKey."""
        return seal(self._key, key, name)

    def unwrap(self, wrapped: bytes, name: str) -> bytes:
        """See MasterKey."""
        return unseal(self._key, wrapped, name)


def read_secret(path: Path, *, what: str, missing: str, exposed: str, advice: str) -> bytes:
    """Return the bytes of a secret file of the operator's; raises UsageError with code `missing` or `exposed` (others can read it)."""
    try:
        mode = path.stat().st_mode
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError(missing, f"{what} {path.name} is missing", remedy=advice) from None
    except OSError as error:
        raise durable.storage_error(error, f"reading {what}") from error
    if mode & 0o077:
        raise UsageError(
            exposed,
            f"{what} {path.name} can be read by others: expected mode 0600, got {mode & 0o777:04o}",
            remedy=f"chmod 600 {path.name}, and consider whether it was copied",
        )
    return data


def _read_master(path: Path) -> bytes:
    advice = "restore it from its backup; without it nothing can be read (a backup of the keyring helps: `liuhen keyring restore`)"
    text = read_secret(path, what="the master key file", missing="MASTER_KEY_MISSING", exposed="MASTER_KEY_EXPOSED", advice=advice)
    try:
        key = b64decode(text.strip(), validate=True)
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise UsageError(
            "MASTER_KEY_MALFORMED", f"the master key file {path.name} does not hold 32 bytes in base64", remedy="restore it from its backup"
        )
    return key


def read_pin(source: str, base: Path) -> str:
    """Return the PIN from `env:NAME` or `file:PATH`; raises UsageError MASTER_PIN_MISSING, MASTER_PIN_EXPOSED, MASTER_KEY_UNKNOWN."""
    scheme, _, rest = source.partition(":")
    if scheme == "env":
        pin = os.environ.get(rest, "")
    elif scheme == "file":
        advice = "write the PIN into it, mode 0600"
        pin = read_secret(base / rest, what="the PIN file", missing="MASTER_PIN_MISSING", exposed="MASTER_PIN_EXPOSED", advice=advice).decode().strip("\r\n")
    else:
        raise UsageError("MASTER_KEY_UNKNOWN", "pin-source of keys.master is neither env:NAME nor file:PATH", remedy="mend it")
    if not pin:
        raise UsageError("MASTER_PIN_MISSING", f"the PIN of the token is empty: expected it in {scheme}:{rest}", remedy="set it and run the same command again")
    return pin


def imported(name: str, *, extra: str) -> Any:
    """Return a module of an optional extra; raises UsageError MASTER_EXTRA_MISSING."""
    try:
        return import_module(name)
    except ImportError:
        remedy = f"`make extra NAME={extra}` in a checkout, else pip install 'liuhen[{extra}]'"
        raise UsageError("MASTER_EXTRA_MISSING", f"this kind of master key needs the extra {extra!r}", remedy=remedy) from None
