"""Opening a sealed record: the enterprise's RSA key, then the two AES layers of the envelope.

Before: answers.py, enterprise_keys.py. After: message.py (UTF-8, JSON, and the msgid inside equal to the one outside).

    random key       = RSA PKCS#1 v1.5 (private key of publickey_ver, base64 of encrypt_random_key)
                       = base64( IV0[16], AES-256-CBC(k0, IV0, SdkKeyInfo) )
    encrypt_chat_msg = filler[13] k0[32] filler[pre_len] B[:s_len] filler[s_len] B[s_len:] filler[end_len]
    B                = base64( IV1[16], AES-256-CBC(k1, IV1, message) )
    SdkKeyInfo       = protobuf { string k1 = 1; int32 pre_len = 2; int32 end_len = 3; int32 s_len = 4 }

Checks, in order; the first that fails names the failure:
 (0) there is a private key of publickey_ver: KEY_MISSING.
 (1) encrypt_random_key is strict base64 of one RSA block: KEY_BLOCK_MALFORMED.
 (2) encrypt_chat_msg is ASCII and long enough for its fixed parts: ENVELOPE_MALFORMED.
 (3) the RSA block opens to short strict base64 of whole AES blocks: else the key is wrong, or the block damaged (below).
 (4) the random key opens under k0 to an SdkKeyInfo: UNDECRYPTABLE.
 (5) the lengths in it fit encrypt_chat_msg: ENVELOPE_MALFORMED.
 (6) B is strict base64 of whole AES blocks: ENVELOPE_MALFORMED.
 (7) B opens under k1 with right padding: UNDECRYPTABLE.
 (8) what came out is not empty and begins as a JSON object: UNDECRYPTABLE.

A wrong private key mostly raises nothing: OpenSSL answers bad padding with random bytes (implicit rejection). Random bytes pass (3) with a
chance below 4^-44, so a version is *proved* in a page by any record that passes (3). A record that fails there is UNDECRYPTABLE when its
version is proved in the same page, else KEY_WRONG, as are all others of that version: the page shows nothing in the key's favour.

There is no MAC: a changed character in the middle of B opens to garbage. (8), message.py and the msgid catch all but a change inside the
text that keeps it JSON. The vendor's base64 takes unknown characters for 0 and its lengths may be negative; both are refused here.
Keys are their first 32 bytes, filled with zeros, as the vendor does. No error here says anything of what was opened.
"""

from __future__ import annotations

import re
from binascii import b2a_base64
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import msgspec
from cryptography.hazmat.bindings._rust import openssl as _rust
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CBC

from pipeline.enterprise_keys import KeySet
from pipeline.errors import Failure, RecordError
from pipeline.records import OpenedItem, OpenedPage, SealedItem, SealedPage, Unopened

STEP = "envelope"
# Failures that another key may heal: they name the version.
KEY_REASONS = ("KEY_MISSING", "KEY_WRONG", "UNDECRYPTABLE")
HEAD = 13  # filler before k0
KEY = 32  # characters of k0; bytes of an AES key
BLOCK = 16
RSA_BYTES = (256, 384, 512)
# base64 of IV and one AES block; base64 that one RSA-2048 block can hold is shorter than 248, larger keys are no reason for more
RANDOM_KEY_CHARS = range(44, 513, 4)
# 13 filler, k0, and a body of IV and one AES block; s_len is at least 1
MIN_CHAT_MSG = HEAD + KEY + 44 + 1
_base64 = msgspec.json.Decoder(bytes).decode
_PKCS1 = PKCS1v15()
# SdkKeyInfo as the source writes it: each field once, in order, lengths below 128.
_PLAIN_KEY_INFO = re.compile(rb"\x0a([\x01-\x7f])(.{1,127})\x10([\x00-\x7f])\x18([\x00-\x7f])\x20([\x00-\x7f])", re.DOTALL)
_JSON_SPACE = b" \t\r\n"


class KeyInfo(NamedTuple):
    """What the random key holds: the message's key, and how much filler lies where in encrypt_chat_msg (characters)."""

    k1: bytes
    pre_len: int
    end_len: int
    s_len: int


class Rsa(Protocol):
    """What does the private operations; a back-end that does several at once fits the same shape."""

    def decrypt_many(self, blocks: Sequence[tuple[int, bytes]]) -> list[bytes | None]:
        """Return, for each (key version, ciphertext), what PKCS#1 v1.5 unpadding leaves; None where it fails for certain.

        Bytes are no proof of the right key: a back-end may answer bad padding with random ones."""


class OpenSslRsa:
    """One private operation after the other, on `cryptography`; the interpreter's lock is released meanwhile."""

    def __init__(self, keys: KeySet) -> None:
        self._keys = keys

    def decrypt_many(self, blocks: Sequence[tuple[int, bytes]]) -> list[bytes | None]:
        """See Rsa."""
        return [self._decrypt(version, block) for version, block in blocks]

    def _decrypt(self, version: int, block: bytes) -> bytes | None:
        try:
            return self._keys[version].decrypt(block, _PKCS1)
        except ValueError:
            return None


# (key block, encrypt_chat_msg) -> the message's bytes; raises RecordError: `decrypt_data`, or the vendor's library (source/native.py).
Decrypt = Callable[[bytes, bytes], bytes]


def open_page(
    page: SealedPage, malformed: tuple[Unopened, ...], *, keys: KeySet, rsa: Rsa | None = None, decrypt: Decrypt | None = None
) -> OpenedPage:
    """Return the page with its records opened, and those that stay sealed with their reasons; both in item order.

    page, malformed: the two results of `answers.read_page`. rsa: what does the private operations (default OpenSSL with `keys`).
    decrypt: what opens the envelope once its random key is known (default `decrypt_data`).
    """
    if tuple(m.failure for m in malformed) != page.failures:
        raise RuntimeError("open_page wants both results of one read_page")
    failed = list(malformed)
    ready: list[SealedItem] = []
    blocks: list[tuple[int, bytes]] = []
    for item in page.items:
        try:
            blocks.append((item.key_version, _rsa_block(item, keys)))
        except RecordError as error:
            failed.append(_unopened(item, error))
        else:
            ready.append(item)
    key_blocks = [random_key(block) for block in (rsa or OpenSslRsa(keys)).decrypt_many(blocks)]
    proved = frozenset(item.key_version for item, key_block in zip(ready, key_blocks, strict=True) if key_block is not None)
    opened: list[OpenedItem] = []
    for item, key_block in zip(ready, key_blocks, strict=True):
        try:
            opened.append(_opened(item, key_block, proved, decrypt or decrypt_data))
        except RecordError as error:
            failed.append(_unopened(item, error))
    return OpenedPage(page.ref, tuple(opened), tuple(sorted(failed, key=lambda f: f.failure.item)))


def open_item(item: SealedItem, keys: KeySet) -> OpenedItem:
    """Return one record opened; raises RecordError with the code of the check that failed (KEY_WRONG for (3): nothing else is known)."""
    (block,) = OpenSslRsa(keys).decrypt_many([(item.key_version, _rsa_block(item, keys))])
    return _opened(item, random_key(block), frozenset(), decrypt_data)


def _opened(item: SealedItem, key_block: bytes | None, proved: frozenset[int], decrypt: Decrypt) -> OpenedItem:
    if key_block is None and item.key_version in proved:
        raise RecordError("UNDECRYPTABLE", "encrypt_random_key does not open, though the private key opens others of its page")
    if key_block is None:
        raise RecordError("KEY_WRONG", f"the private key of version {item.key_version} opens no record of this page")
    plaintext = decrypt(key_block, item.chat_msg.encode("ascii"))
    # (8)
    if not plaintext.startswith(b"{") and not plaintext.lstrip(_JSON_SPACE).startswith(b"{"):
        raise RecordError("UNDECRYPTABLE", "what the envelope holds is no JSON object")
    return OpenedItem(item.item, item.seq, item.msgid, item.key_version, plaintext, key_block, item.raw)


def _unopened(item: SealedItem, error: RecordError) -> Unopened:
    version = item.key_version if error.code in KEY_REASONS else None
    failure = Failure(step=STEP, code=error.code, detail=error.detail, item=item.item, seq=item.seq, msgid=item.msgid, key_version=version)
    return Unopened(failure, item.raw)


def _rsa_block(item: SealedItem, keys: KeySet) -> bytes:
    """Return what to give to RSA, after all that can be checked before: (0), (1), (2)."""
    # (0)
    if item.key_version not in keys:
        raise RecordError("KEY_MISSING", f"there is no private key of version {item.key_version}")
    # (1)
    if len(item.random_key) > 4 * RSA_BYTES[-1]:
        raise RecordError("KEY_BLOCK_MALFORMED", f"encrypt_random_key has {len(item.random_key)} characters, expected 344")
    try:
        block = strict_base64(item.random_key.encode("ascii"))
    except ValueError:
        raise RecordError("KEY_BLOCK_MALFORMED", "encrypt_random_key is not base64") from None
    if len(block) not in RSA_BYTES:
        raise RecordError("KEY_BLOCK_MALFORMED", f"encrypt_random_key holds {len(block)} bytes, expected one RSA block of 256")
    # (2)
    if not item.chat_msg.isascii():
        raise RecordError("ENVELOPE_MALFORMED", "encrypt_chat_msg holds characters that are not ASCII")
    if len(item.chat_msg) < MIN_CHAT_MSG:
        raise RecordError("ENVELOPE_MALFORMED", f"encrypt_chat_msg has {len(item.chat_msg)} characters, expected at least {MIN_CHAT_MSG}")
    return block


def random_key(block: bytes | None) -> bytes | None:
    """Return what RSA left if it can be a random key, else None: check (3)."""
    if block is None or len(block) not in RANDOM_KEY_CHARS:
        return None
    try:
        raw = strict_base64(block)
    except ValueError:
        return None
    return block if len(raw) % BLOCK == 0 else None


def decrypt_data(key_block: bytes, chat_msg: bytes) -> bytes:
    """Return the message's bytes, as the vendor's DecryptData does: checks (2) and (4) to (7). Raises RecordError.

    key_block: what RSA left (ASCII); chat_msg: `encrypt_chat_msg` (ASCII)."""
    # (2)
    if len(chat_msg) < MIN_CHAT_MSG:
        raise RecordError("ENVELOPE_MALFORMED", f"encrypt_chat_msg has {len(chat_msg)} characters, expected at least {MIN_CHAT_MSG}")
    # (4)
    try:
        info = parse_key_info(_aes_open(strict_base64(key_block), chat_msg[HEAD : HEAD + KEY]))
    except ValueError:
        raise RecordError("UNDECRYPTABLE", "the random key does not open with the key inside encrypt_chat_msg") from None
    # (5), (6)
    try:
        body = strict_base64(_body(chat_msg, info))
    except ValueError:
        raise RecordError("ENVELOPE_MALFORMED", "encrypt_chat_msg does not hold a body where its lengths say") from None
    if len(body) < 2 * BLOCK or len(body) % BLOCK:
        raise RecordError("ENVELOPE_MALFORMED", "the body of encrypt_chat_msg is not made of whole AES blocks")
    # (7)
    try:
        return _aes_open(body, info.k1)
    except ValueError:
        raise RecordError("UNDECRYPTABLE", "the body of encrypt_chat_msg does not open with the key of its random key") from None


def _body(chat_msg: bytes, info: KeyInfo) -> bytes:
    """Return the body without the filler before, inside and after it; ValueError when the lengths do not fit."""
    begin, end = HEAD + KEY + info.pre_len, len(chat_msg) - info.end_len
    inside = begin + info.s_len
    if inside + info.s_len > end:
        raise ValueError("lengths")
    return chat_msg[begin:inside] + chat_msg[inside + info.s_len : end]


def strict_base64(text: bytes) -> bytes:
    """Return what `text` encodes; raises ValueError for anything that an encoder does not write (RFC 4648 section 4, with padding).

    Written again it must be the same: that is what strict means here, and msgspec decodes twice as fast as the standard library."""
    try:
        found = _base64(b'"%b"' % text)
    except msgspec.DecodeError:
        raise ValueError("base64") from None
    if b2a_base64(found, newline=False) != text:
        raise ValueError("base64")
    return found


def _aes_open(sealed: bytes, key: bytes) -> bytes:
    """Return the plaintext of IV and AES-256-CBC blocks; ValueError when they are no whole blocks or the PKCS#7 padding is wrong."""
    if len(sealed) % BLOCK or len(sealed) < 2 * BLOCK:
        raise ValueError("blocks")
    # Of whole blocks `update` keeps nothing back, so there is nothing to finalize.
    padded = _decryptor(AES256(key[:KEY].ljust(KEY, b"\0")), CBC(sealed[:BLOCK])).update(sealed[BLOCK:])
    if not 1 <= (count := padded[-1]) <= BLOCK or not padded.endswith(bytes((count,)) * count):
        raise ValueError("padding")
    return padded[:-count]


def _public_decryptor(algorithm: AES256, mode: CBC) -> CipherContext:
    return Cipher(algorithm, mode).decryptor()


# What `Cipher(…).decryptor()` ends in. The checks on the way there look at what AES256 and CBC have looked at; left out, they save as much as AES takes.
_decryptor: Callable[[AES256, CBC], CipherContext] = getattr(getattr(_rust, "ciphers", None), "create_decryption_ctx", _public_decryptor)


def parse_key_info(data: bytes) -> KeyInfo:
    """Return the SdkKeyInfo in protobuf bytes; unknown fields are skipped, the last of repeated ones counts.

    Raises ValueError when it is none, k1 is empty, s_len is 0, or a length is negative or above 2^31 - 1."""
    if (plain := _PLAIN_KEY_INFO.fullmatch(data)) is not None and len(plain[2]) == plain[1][0] and plain[5][0]:
        return KeyInfo(plain[2], plain[3][0], plain[4][0], plain[5][0])
    k1, lengths, at = b"", {0x10: 0, 0x18: 0, 0x20: 0}, 0
    while at < len(data):
        tag, at = _varint(data, at)
        wire = tag & 7
        if tag < 8 or wire not in (0, 1, 2, 5):
            raise ValueError("tag")
        if wire == 0:
            value, at = _varint(data, at)
            if tag in lengths:
                lengths[tag] = value
            continue
        size = 8 if wire == 1 else 4
        if wire == 2:
            size, at = _varint(data, at)
        if at + size > len(data):
            raise ValueError("cut")
        if tag == 0x0A:
            k1 = data[at : at + size]
        at += size
    if not k1 or not lengths[0x20] or max(lengths.values()) >= 2**31:
        raise ValueError("fields")
    return KeyInfo(k1, *lengths.values())


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Return the number at `at` and where it ends."""
    value = 0
    for shift in range(0, 64, 7):
        if at >= len(data):
            break
        value |= (data[at] & 0x7F) << shift
        at += 1
        if data[at - 1] < 0x80:
            return value, at
    raise ValueError("varint")
