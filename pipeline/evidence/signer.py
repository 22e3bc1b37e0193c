"""Who signs a corp's checkpoints: a key of the keyring, or an Ed25519 key on a hardware token (PKCS#11), which never leaves it.

Before: keyring.py, master_token.py (sessions, errors). After: checkpoint.py.

The setting `evidence.signing_key` says which: empty for the keyring, else
    pkcs11:token=LABEL;object=LABEL?module-path=FILE&pin-source=env:NAME
Rules: (1) a log has one key for good: checkpoints under another one are refused, not continued. (2) The token's private key must be neither
extractable nor readable; what a checkpoint is checked with is its public half, in `log.vkey`.
"""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization as ser
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from pipeline import durable
from pipeline.errors import UsageError, VerifyFailed
from pipeline.evidence import note
from pipeline.home import Home

KEY_UNIT = "checkpoint"
_POINT = b"\x04\x20"  # DER: an OCTET STRING of 32 bytes (PKCS#11 3.0, CKA_EC_POINT)


def signing_key(home: Home, corp_id: str) -> note.Signer:
    """Return what signs this corp's checkpoints; a key of the keyring is made when first asked for, never renewed.

    Raises UsageError EVIDENCE_KEY_UNFIT and those of master_token.py."""
    setting = home.config.evidence.signing_key
    if setting:
        return TokenSigner(setting, home.path)
    return _own(home, corp_id)


def _own(home: Home, corp_id: str) -> note.Signer:
    """Return the keyring's key for a corp's checkpoints, made when first asked for."""
    unit = f"{corp_id}/{KEY_UNIT}"
    names = home.keyring.names(f"{unit}#")
    return Ed25519PrivateKey.from_private_bytes(home.keyring.get(names[0] if names else home.keyring.current(unit)))


def key_of(signer: note.Signer, corp_id: str) -> note.Key:
    """Return the public half of a signer, under the name of the corp's log."""
    raw = signer.public_key().public_bytes(ser.Encoding.Raw, ser.PublicFormat.Raw)
    return note.Key(f"liuhen/{corp_id}/{sha256(raw).hexdigest()[:16]}", raw)


def public_key(home: Home, corp_id: str) -> note.Key:
    """Return the key that this corp's checkpoints are checked with. Raises VerifyFailed CHECKPOINT_DAMAGED, CHECKPOINT_KEY_CHANGED.

    Where a token signs, the public half lies in `log.vkey`, so that reading needs no token."""
    path = home.path / "evidence" / corp_id / "log.vkey"
    if not home.config.evidence.signing_key:
        key = key_of(signing_key(home, corp_id), corp_id)
        if (told := _told(path)) is not None and told != key:
            raise key_changed()
        return key
    return _told(path) or key_of(signing_key(home, corp_id), corp_id)


def _told(path: Path) -> note.Key | None:
    with durable.storage("reading the log's public key"):
        if not path.exists():
            return None
        text = path.read_bytes().decode("utf-8", "replace")
    try:
        return note.parse_key(text)
    except ValueError as error:
        raise VerifyFailed("CHECKPOINT_DAMAGED", "evidence/…/log.vkey is no public key", remedy="restore evidence/ from its backup") from error


def key_changed() -> VerifyFailed:
    """The error for a log that another key signed before."""
    return VerifyFailed(
        "CHECKPOINT_KEY_CHANGED",
        "the checkpoints of this log were signed by another key than the one configured",
        remedy="set evidence.signing_key back to what signed them",
    )


def check_setting(home: Home, setting: str) -> None:
    """Raise UsageError or VerifyFailed where `evidence.signing_key` cannot be this: no key on a token, or another than signed a log that has begun.

    The token is asked only where a log has begun."""
    signer = TokenSigner(setting, home.path) if setting else None
    for corp in home.config.corp:
        told = _told(home.path / "evidence" / corp.id / "log.vkey")
        if told is not None and key_of(signer or _own(home, corp.id), corp.id) != told:
            raise key_changed()


class TokenSigner:
    """An Ed25519 key on a token; a session lasts for one call."""

    def __init__(self, setting: str, base: Path) -> None:
        from pipeline import masters
        from pipeline.master_token import TokenMaster

        parsed = masters.parse(setting)
        if parsed.scheme != "pkcs11":
            raise UsageError("MASTER_KEY_UNKNOWN", "evidence.signing_key is neither empty nor pkcs11:…", remedy="mend it in liuhen.toml")
        self._object, self._token = parsed.path["object"], TokenMaster(parsed, base)

    def public_key(self) -> Ed25519PublicKey:
        """See note.Signer."""
        p11 = self._module()
        with self._token.session() as session:
            point = bytes(self._found(session, p11.ObjectClass.PUBLIC_KEY)[p11.Attribute.EC_POINT])
        return Ed25519PublicKey.from_public_bytes(point.removeprefix(_POINT) if len(point) == 34 else point)

    def sign(self, data: bytes, /) -> bytes:
        """See note.Signer."""
        p11 = self._module()
        with self._token.session() as session:
            key = self._found(session, p11.ObjectClass.PRIVATE_KEY)
            if key[p11.Attribute.EXTRACTABLE] or not key[p11.Attribute.SENSITIVE]:
                raise UsageError("EVIDENCE_KEY_UNFIT", "the signing key can be taken out of its token", remedy="make one that cannot, and name it")
            return bytes(key.sign(data, mechanism=p11.Mechanism.EDDSA))

    def _found(self, session: Any, kind: Any) -> Any:
        p11 = self._module()
        found = list(session.get_objects({p11.Attribute.CLASS: kind, p11.Attribute.LABEL: self._object}))
        if len(found) != 1 or found[0].key_type != p11.KeyType.EC_EDWARDS:
            raise UsageError("EVIDENCE_KEY_UNFIT", "the token does not hold exactly one Ed25519 key pair of this label", remedy="check object= in evidence.signing_key")
        return found[0]

    @staticmethod
    def _module() -> Any:
        from pipeline.masters import imported

        return imported("pkcs11", extra="hsm")
