"""Signed notes: text that anybody can read, with lines that say who signed it.

Before: nothing. After: checkpoint.py, check.py. Source: C2SP signed-note.

    TEXT                      lines, the last one ended
    (empty line)
    — NAME BASE64             4 bytes of key hash and 64 bytes of Ed25519 signature over TEXT

key hash = first 4 bytes of SHA-256( NAME LF 0x01 || public key ). A public key is told as `NAME+hex key hash+base64(0x01 || public key)`.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from hashlib import sha256
from typing import Protocol

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization as ser
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

ED25519 = b"\x01"


class Signer(Protocol):
    """What signs: a key of the keyring, or one that never leaves its token."""

    def public_key(self) -> Ed25519PublicKey:
        """Return the public half."""

    def sign(self, data: bytes, /) -> bytes:
        """Return 64 bytes of Ed25519 signature."""


_NAME = re.compile(r"[^\s+]{1,100}")
_SIGNATURE = re.compile(r"— ([^\s+]{1,100}) ([A-Za-z0-9+/]+=*)\n")


class Key(msgspec.Struct, frozen=True):
    """A public key by name; `public`: 32 bytes."""

    name: str
    public: bytes

    @property
    def hash(self) -> bytes:
        """The 4 bytes by which a signature names its key."""
        return sha256(self.name.encode() + b"\n" + ED25519 + self.public).digest()[:4]

    def __str__(self) -> str:
        return f"{self.name}+{self.hash.hex()}+{b64encode(ED25519 + self.public).decode()}"


def key_of(name: str, private: Signer) -> Key:
    """Return the public half under `name`; raises ValueError for a name that a note cannot carry."""
    if not _NAME.fullmatch(name):
        raise ValueError("a key's name holds neither spaces nor +")
    return Key(name, private.public_key().public_bytes(ser.Encoding.Raw, ser.PublicFormat.Raw))


def parse_key(text: str) -> Key:
    """Return the key that such a line tells; raises ValueError when it is none."""
    name, _, rest = text.strip().partition("+")
    told, _, encoded = rest.partition("+")
    data = b64decode(encoded, validate=True)
    key = Key(name, data[1:])
    if not _NAME.fullmatch(name) or data[:1] != ED25519 or len(data) != 33 or key.hash.hex() != told:
        raise ValueError("not a public key of a note")
    return key


def sign(text: str, name: str, private: Signer) -> str:
    """Return the note: the text and one signature; raises ValueError for a text that does not end its last line or holds an empty one."""
    if not text.endswith("\n") or "\n\n" in text:
        raise ValueError("a note's text is lines, none of them empty")
    key = key_of(name, private)
    return f"{text}\n— {name} {b64encode(key.hash + private.sign(text.encode())).decode()}\n"


def opened(note: str, key: Key) -> str | None:
    """Return the text of a note that `key` signed, else None."""
    text, empty, signatures = note.rpartition("\n\n")
    text += "\n"
    if not empty or "".join(m[0] for m in _SIGNATURE.finditer(signatures)) != signatures:
        return None
    for found in _SIGNATURE.finditer(signatures):
        data = b64decode(found[2])
        if found[1] == key.name and data[:4] == key.hash and _verified(key, data[4:], text.encode()):
            return text
    return None


def _verified(key: Key, signature: bytes, text: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(key.public).verify(signature, text)
    except InvalidSignature:
        return False
    return True
