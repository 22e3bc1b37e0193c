"""A master key on a hardware token (PKCS#11): a non-extractable AES-256 key, used through python-pkcs11 (the extra `hsm`).

Before: masters.py. After: keyring.py.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.errors import ArchiveError, StorageError, UsageError
from pipeline.masters import KEY_BYTES, NONCE, Setting, imported, mismatch, read_pin, seal, unseal

_LIBRARIES: dict[str, int] = {}  # module path -> the process that initialised it: a forked child must do so itself (PKCS#11 2.40, 5.4)
_GCM, _KEY_WRAP = b"G", b"W"


class TokenMaster:
    """An AES-256 key that never leaves its token. It protects a fresh AES-256-GCM key, which seals the data with the name as associated data:
    by AES-GCM where the token offers it, else by AES key wrap (RFC 3394). The session lasts for one call."""

    def __init__(self, setting: Setting, base: Path) -> None:
        self._token, self._object = setting.path["token"], setting.path["object"]
        self._module, self._pin_source, self._base = setting.query["module-path"], setting.query["pin-source"], base
        self.id = "pkcs11:" + hashlib.sha256(b"\0".join([b"liuhen-master", self._token.encode(), self._object.encode()])).hexdigest()[:16]

    def create(self) -> None:
        """Make the key on the token, not extractable; an existing one stays."""
        p11 = imported("pkcs11", extra="hsm")
        kept = (p11.Attribute.ENCRYPT, p11.Attribute.DECRYPT, p11.Attribute.WRAP, p11.Attribute.UNWRAP, p11.Attribute.SENSITIVE, p11.Attribute.PRIVATE)
        with self.session(writable=True) as session:
            if not self._keys(session):
                template = {**dict.fromkeys(kept, True), p11.Attribute.EXTRACTABLE: False}
                session.generate_key(p11.KeyType.AES, 256, label=self._object, store=True, template=template)

    def wrap(self, key: bytes, name: str) -> bytes:
        """See MasterKey."""
        inner = secrets.token_bytes(KEY_BYTES)
        with self.session() as session:
            protected = self._protect(session, inner)
        return protected[:1] + len(protected[1:]).to_bytes(2) + protected[1:] + seal(inner, key, name)

    def unwrap(self, wrapped: bytes, name: str) -> bytes:
        """See MasterKey."""
        size = int.from_bytes(wrapped[1:3])
        with self.session() as session:
            inner = self._reveal(session, wrapped[:1], wrapped[3 : 3 + size])
        return unseal(inner, wrapped[3 + size :], name)

    def _protect(self, session: Any, inner: bytes) -> bytes:
        p11 = imported("pkcs11", extra="hsm")
        key = self._key(session)
        if self._offers_gcm(session):
            nonce = os.urandom(NONCE)
            return _GCM + nonce + bytes(key.encrypt(inner, mechanism=p11.Mechanism.AES_GCM, mechanism_param=p11.GCMParams(nonce, b"", 128)))
        return _KEY_WRAP + bytes(key.wrap_key(_session_key(session, inner), mechanism=p11.Mechanism.AES_KEY_WRAP))

    def _reveal(self, session: Any, how: bytes, protected: bytes) -> bytes:
        p11 = imported("pkcs11", extra="hsm")
        key = self._key(session)
        lasting = (p11.DeviceError, p11.DeviceRemoved, p11.DeviceMemory, p11.TokenNotPresent, p11.SessionClosed)
        try:
            if how == _GCM:
                params = p11.GCMParams(protected[:NONCE], b"", 128)
                inner = bytes(key.decrypt(protected[NONCE:], mechanism=p11.Mechanism.AES_GCM, mechanism_param=params))
            elif how == _KEY_WRAP:
                template = {p11.Attribute.EXTRACTABLE: True, p11.Attribute.SENSITIVE: False}
                opened = key.unwrap_key(
                    p11.ObjectClass.SECRET_KEY, p11.KeyType.AES, protected, mechanism=p11.Mechanism.AES_KEY_WRAP, store=False, template=template
                )
                inner = bytes(opened[p11.Attribute.VALUE])
            else:
                raise mismatch()
        except lasting:
            raise
        except p11.PKCS11Error as error:  # a wrong tag is GeneralError here, EncryptedDataInvalid there
            raise mismatch() from error
        if len(inner) != KEY_BYTES:
            raise mismatch()
        return inner

    def _offers_gcm(self, session: Any) -> bool:
        p11 = imported("pkcs11", extra="hsm")
        return p11.Mechanism.AES_GCM in session.token.slot.get_mechanisms()

    def _keys(self, session: Any) -> list[Any]:
        p11 = imported("pkcs11", extra="hsm")  # a search is read to its end: one that is left open outlives its session
        return list(session.get_objects({p11.Attribute.CLASS: p11.ObjectClass.SECRET_KEY, p11.Attribute.LABEL: self._object}))

    def _key(self, session: Any) -> Any:
        p11 = imported("pkcs11", extra="hsm")
        found = self._keys(session)
        if len(found) != 1:
            raise p11.MultipleObjectsReturned if found else p11.NoSuchKey
        key = found[0]
        if key[p11.Attribute.EXTRACTABLE] or key.key_type != p11.KeyType.AES or key[p11.Attribute.VALUE_LEN] != KEY_BYTES:
            raise UsageError(
                "MASTER_KEY_UNFIT", "the key on the token is not a non-extractable AES key of 256 bits", remedy="make one that is (--make-key) and name it"
            )
        return key

    @contextmanager
    def session(self, *, writable: bool = False) -> Iterator[Any]:
        p11 = imported("pkcs11", extra="hsm")
        pin = read_pin(self._pin_source, self._base)
        try:
            token = _library(p11, str(self._base / self._module)).get_token(token_label=self._token)
            with token.open(rw=writable, user_pin=pin) as session:
                yield session
        except p11.PKCS11Error as error:
            raise _token_error(p11, error) from error


def _session_key(session: Any, value: bytes) -> Any:
    p11 = imported("pkcs11", extra="hsm")
    return session.create_object(
        {
            p11.Attribute.CLASS: p11.ObjectClass.SECRET_KEY, p11.Attribute.KEY_TYPE: p11.KeyType.AES, p11.Attribute.VALUE: value,
            p11.Attribute.TOKEN: False, p11.Attribute.EXTRACTABLE: True, p11.Attribute.SENSITIVE: False,
        }
    )  # fmt: skip


def _library(p11: Any, module: str) -> Any:
    library = p11.lib(module)
    if _LIBRARIES.setdefault(module, os.getpid()) != os.getpid():
        library.reinitialize()
        _LIBRARIES[module] = os.getpid()
    return library


def _token_error(p11: Any, error: Exception) -> ArchiveError:
    table: tuple[tuple[tuple[Any, ...], ArchiveError], ...] = (
        ((p11.PinIncorrect, p11.PinInvalid, p11.PinLenRange), UsageError(
            "MASTER_PIN_REFUSED", "the token refused the PIN", remedy="check it before trying again: a token locks itself after a few wrong ones")),
        ((p11.PinLocked, p11.PinExpired, p11.UserPinNotInitialized), UsageError(
            "MASTER_PIN_LOCKED", "the PIN of the token is locked, expired or was never set", remedy="the token's security officer resets it")),
        ((p11.NoSuchToken, p11.TokenNotPresent, p11.TokenNotRecognised, p11.DeviceRemoved), UsageError(
            "MASTER_TOKEN_MISSING", "no token of this label is there", remedy="plug it in, or check token= in keys.master")),
        ((p11.NoSuchKey,), UsageError(
            "MASTER_KEY_MISSING", "the token holds no secret key of this label", remedy="check object= in keys.master; `--make-key` makes a new one")),
        ((p11.MultipleTokensReturned, p11.MultipleObjectsReturned), UsageError(
            "MASTER_KEY_AMBIGUOUS", "several tokens or keys have this label", remedy="give the right one a label of its own")),
        ((p11.MechanismInvalid, p11.FunctionNotSupported, p11.KeyNotWrappable), UsageError(
            "MASTER_KEY_UNFIT", "the token offers neither AES-GCM nor AES key wrap with this key", remedy="use another key or token")),
    )  # fmt: skip
    if type(error) is p11.PKCS11Error:
        return UsageError("MASTER_MODULE_MISSING", "the PKCS#11 module cannot be loaded", remedy="check module-path in keys.master")
    found = next((told for kinds, told in table if isinstance(error, kinds)), None)
    return found or StorageError(
        "MASTER_UNREACHABLE", f"the token did not answer ({type(error).__name__})", remedy="check the token and run the same command again"
    )
