"""Sealing: the inverse of envelope.py, for a made-up firm, for `simulate` and for tests. Nothing real is ever sealed here.

Before: demo, tests. After: saved_files.py, landing.py (what this makes is read like the source's own).

The form is that of envelope.py; media: PKCS#7 over the whole file, AES-128-ECB, ranges of 524,288 bytes are cut from the ciphertext,
`sdkfileid` = base64(protobuf { string fileid = 1; string authkey = 2; string aeskey = 3 }), aeskey as 32 hexadecimal digits.
With a `random.Random` given, everything but the RSA padding is the same for the same seed; without one the system's randomness is used.
"""

from __future__ import annotations

import random
from base64 import b64encode
from collections.abc import Mapping

import msgspec
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES128, AES256
from cryptography.hazmat.primitives.ciphers.modes import CBC, ECB

from pipeline.envelope import BLOCK, HEAD, KEY

ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
LONGEST_FILLER = 16
_SYSTEM = random.SystemRandom()


class RandomKey(msgspec.Struct, frozen=True, kw_only=True):
    """One message's key. `text` is what RSA carries; k0, which unlocks it, travels inside encrypt_chat_msg.

    pre_len, end_len, s_len: characters of filler before, after and inside the body (s_len at least 1)."""

    k0: bytes
    k1: bytes
    pre_len: int
    end_len: int
    s_len: int
    text: bytes

    @classmethod
    def new(
        cls, rng: random.Random | None = None, *, pre_len: int | None = None, end_len: int | None = None, s_len: int | None = None
    ) -> RandomKey:
        """Return a fresh key; lengths that are not given are drawn."""
        rng = rng or _SYSTEM
        k0, k1 = _filler(rng, KEY), _filler(rng, KEY)
        pre_len = rng.randint(0, LONGEST_FILLER) if pre_len is None else pre_len
        end_len = rng.randint(0, LONGEST_FILLER) if end_len is None else end_len
        s_len = rng.randint(1, LONGEST_FILLER) if s_len is None else s_len
        text = aes_seal(key_info(k1, pre_len, end_len, s_len), k0, rng)
        return cls(k0=k0, k1=k1, pre_len=pre_len, end_len=end_len, s_len=s_len, text=text)


def seal(plaintext: bytes, key: RandomKey, rng: random.Random | None = None) -> bytes:
    """Return `encrypt_chat_msg` (ASCII) for the message's bytes; opened by `key.text`."""
    rng = rng or _SYSTEM
    body = aes_seal(plaintext, key.k1, rng)
    parts = (_filler(rng, HEAD), key.k0, _filler(rng, key.pre_len), body[: key.s_len], _filler(rng, key.s_len), body[key.s_len :])
    return b"".join(parts) + _filler(rng, key.end_len)


def seal_item(
    plaintext: bytes,
    *,
    seq: int,
    msgid: str,
    version: int,
    public_key: RSAPublicKey,
    rng: random.Random | None = None,
    key: RandomKey | None = None,
) -> bytes:
    """Return one chatdata item as JSON bytes, in the source's order of fields and without spaces."""
    key = key or RandomKey.new(rng)
    return msgspec.json.encode(
        {
            "seq": seq,
            "msgid": msgid,
            "publickey_ver": version,
            "encrypt_random_key": b64encode(public_key.encrypt(key.text, PKCS1v15())).decode(),
            "encrypt_chat_msg": seal(plaintext, key, rng).decode(),
        }
    )


def seal_media(data: bytes, aeskey: bytes) -> bytes:
    """Return a file as the source stores it; aeskey: 16 bytes."""
    encryptor = Cipher(AES128(aeskey), ECB()).encryptor()  # the source's own choice of mode
    return encryptor.update(_padded(data)) + encryptor.finalize()


def sdkfileid(fileid: str, authkey: str, aeskey: bytes) -> str:
    """Return the sdkfileid under which a file that was sealed with `aeskey` (16 bytes) is asked for."""
    fields = (fileid.encode(), authkey.encode(), aeskey.hex().encode())
    return b64encode(b"".join(_string_field(number, value) for number, value in enumerate(fields, 1))).decode()


def key_info(k1: bytes, pre_len: int, end_len: int, s_len: int) -> bytes:
    """Return SdkKeyInfo as protobuf; negative lengths as the ten bytes that an int32 takes."""
    lengths: Mapping[int, int] = {2: pre_len, 3: end_len, 4: s_len}
    return _string_field(1, k1) + b"".join(varint(number << 3) + varint(value) for number, value in lengths.items())


def varint(value: int) -> bytes:
    """Return a protobuf varint (64 bits, two's complement)."""
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out) + bytes((value,))


def _string_field(number: int, value: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(value)) + value


def _filler(rng: random.Random, length: int) -> bytes:
    return bytes(rng.choices(ALPHABET, k=length))


def _padded(data: bytes) -> bytes:
    count = BLOCK - len(data) % BLOCK
    return data + bytes((count,)) * count


def aes_seal(plaintext: bytes, key: bytes, rng: random.Random) -> bytes:
    """Return base64 of a drawn IV and `plaintext` under AES-256-CBC with PKCS#7 padding."""
    iv = rng.randbytes(BLOCK)
    encryptor = Cipher(AES256(key[:KEY].ljust(KEY, b"\0")), CBC(iv)).encryptor()
    return b64encode(iv + encryptor.update(_padded(plaintext)) + encryptor.finalize())
