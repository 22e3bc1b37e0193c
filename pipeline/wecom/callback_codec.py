"""The official scheme of callbacks: signature, AES, XML. Pure; the clock is handed in.

Before: nothing. After: callback_server.py. (Page 90968 and the official sample code; vectors in tests/wecom.)

Rules, in the order in which they are asked; each refusal has one of these words as `reason`:
 `size`       a body larger than 1 MiB is not read;
 `xml`        the envelope is XML without any DOCTYPE or entity, at most 8 deep, with an Encrypt element;
 `parameter`  msg_signature, timestamp, nonce and what is encrypted are there;
 `signature`  sha1 hex of the sorted parts, compared in constant time, lower case as WeCom sends it;
 `stale`      the signed timestamp is not further than max_age_s from our clock, so that a recorded callback cannot be played later;
 `base64`     what is encrypted is strict base64, without line ends;
 `decrypt`    AES-256-CBC (first 16 bytes of the key as IV), padding of 1 to 32 equal bytes, 16 random bytes, length, message;
 `receiveid`  what follows the message is our corp id.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any, Final
from xml.parsers import expat

import msgspec
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from pipeline.errors import UsageError

LARGEST: Final = 1 << 20
DEEPEST: Final = 8
BLOCK: Final = 16
PADDED_TO: Final = 32
HEAD: Final = 20
AES_KEY_CHARS: Final = 43


class Refused(Exception):
    """A callback that is not taken; `reason` is one of the words above. Nothing of the callback is in it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Keys(msgspec.Struct, frozen=True):
    """Token, AES key (32 bytes) and corp id of one corp's callbacks."""

    token: str
    aes_key: bytes
    receiveid: str

    def __repr__(self) -> str:
        return "Keys(…)"


class Element(msgspec.Struct, frozen=True):
    """The children of the root of an XML: fields hold text by name, lists the texts of the Item children of one."""

    fields: Mapping[str, str]
    lists: Mapping[str, tuple[str, ...]]


def keys(token: str, encoding_aes_key: str, receiveid: str) -> Keys:
    """Return the keys as the console shows them; raises UsageError CALLBACK_KEY for an EncodingAESKey that is none."""
    try:
        aes_key = b64decode(f"{encoding_aes_key}=", validate=True) if len(encoding_aes_key) == AES_KEY_CHARS else b""
    except (binascii.Error, ValueError):
        aes_key = b""
    if len(aes_key) != 32 or not token:
        raise UsageError("CALLBACK_KEY", "expected a Token and an EncodingAESKey of 43 characters as the console shows them", remedy="copy both again")
    return Keys(token, aes_key, receiveid)


# --- what comes in ---


def check_echo(query: Mapping[str, str], *, keys: Keys, now_s: float, max_age_s: float) -> bytes:
    """Return the plaintext that answers the URL check (GET); raises Refused."""
    return _opened(query, query.get("echostr", ""), keys=keys, now_s=now_s, max_age_s=max_age_s)


def open_event(query: Mapping[str, str], body: bytes, *, keys: Keys, now_s: float, max_age_s: float) -> bytes:
    """Return the plaintext of an event (POST); raises Refused."""
    if len(body) > LARGEST:
        raise Refused("size")
    envelope = read_xml(body)
    if "Encrypt" not in envelope.fields:
        raise Refused("xml")
    return _opened(query, envelope.fields["Encrypt"], keys=keys, now_s=now_s, max_age_s=max_age_s)


def _opened(query: Mapping[str, str], encrypted: str, *, keys: Keys, now_s: float, max_age_s: float) -> bytes:
    given, timestamp, nonce = (query.get(name, "") for name in ("msg_signature", "timestamp", "nonce"))
    if not (given and timestamp and nonce and encrypted):
        raise Refused("parameter")
    if not hmac.compare_digest(given.encode(errors="replace"), signature(keys.token, timestamp, nonce, encrypted).encode()):
        raise Refused("signature")
    if not timestamp.isascii() or not timestamp.isdigit() or len(timestamp) > 12 or abs(now_s - int(timestamp)) > max_age_s:
        raise Refused("stale")
    return unseal(encrypted, keys=keys)


def signature(token: str, timestamp: str, nonce: str, encrypted: str) -> str:
    """Return the msg_signature of the parts."""
    return hashlib.sha1("".join(sorted((token, timestamp, nonce, encrypted))).encode(errors="replace"), usedforsecurity=False).hexdigest()


def unseal(encrypted: str, *, keys: Keys) -> bytes:
    """Return the message in base64 of AES-256-CBC; raises Refused base64, decrypt, receiveid."""
    try:
        sealed = b64decode(encrypted, validate=True)
    except (binascii.Error, ValueError):
        raise Refused("base64") from None
    if not sealed or len(sealed) % BLOCK:
        raise Refused("decrypt")
    decryptor = _cipher(keys).decryptor()
    plain = decryptor.update(sealed) + decryptor.finalize()
    padding = plain[-1]
    if not 1 <= padding <= PADDED_TO or plain[-padding:] != bytes([padding]) * padding:
        raise Refused("decrypt")
    plain = plain[:-padding]
    size = int.from_bytes(plain[16:HEAD]) if len(plain) >= HEAD else -1
    if not 0 <= size <= len(plain) - HEAD:
        raise Refused("decrypt")
    if plain[HEAD + size :] != keys.receiveid.encode():
        raise Refused("receiveid")
    return plain[HEAD : HEAD + size]


def seal(message: bytes, *, keys: Keys, filler: bytes) -> str:
    """Return the inverse of `unseal`; filler: 16 random bytes."""
    plain = filler + len(message).to_bytes(4) + message + keys.receiveid.encode()
    padding = PADDED_TO - len(plain) % PADDED_TO
    encryptor = _cipher(keys).encryptor()
    return b64encode(encryptor.update(plain + bytes([padding]) * padding) + encryptor.finalize()).decode()


def _cipher(keys: Keys) -> Cipher[modes.CBC]:
    return Cipher(algorithms.AES(keys.aes_key), modes.CBC(keys.aes_key[:BLOCK]))


# --- XML without entities ---


def read_xml(data: bytes) -> Element:
    """Return the children of the root. Raises Refused xml for what is no XML, has a DOCTYPE, an entity, or nests deeper than DEEPEST."""
    reader = _Reader()
    try:
        reader.parser.Parse(data, True)
    except (expat.ExpatError, ValueError, UnicodeDecodeError, LookupError):
        raise Refused("xml") from None
    return Element(reader.fields, {name: tuple(items) for name, items in reader.lists.items()})


class _Reader:
    """Collects text at depth 2 (children of the root) and of Item elements at depth 3. An expat handler that raises ends the parsing."""

    def __init__(self) -> None:
        self.fields: dict[str, str] = {}
        self.lists: dict[str, list[str]] = {}
        self._path: list[str] = []
        self._text: list[str] = []
        self.parser = expat.ParserCreate()
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._text.append
        # A DOCTYPE is where entities are declared: without one there is nothing to expand but the five of XML itself.
        self.parser.StartDoctypeDeclHandler = self._refuse
        self.parser.EntityDeclHandler = self._refuse
        self.parser.ExternalEntityRefHandler = self._refuse

    def _refuse(self, *_: Any) -> int:
        raise Refused("xml")

    def _start(self, name: str, _: dict[str, str]) -> None:
        self._path.append(name)
        self._text.clear()
        if len(self._path) > DEEPEST:
            raise Refused("xml")

    def _end(self, name: str) -> None:
        text = "".join(self._text).strip()
        self._text.clear()
        if len(self._path) == 2:
            self.fields.setdefault(name, text)
        elif len(self._path) == 3 and name == "Item":
            self.lists.setdefault(self._path[1], []).append(text)
        self._path.pop()
