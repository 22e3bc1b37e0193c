"""Sealing has the form that envelope-format describes, is repeatable where asked, and media open with plain AES."""

from __future__ import annotations

import base64
import json
import random

import pytest
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES128
from cryptography.hazmat.primitives.ciphers.modes import ECB

from pipeline.sealing import RandomKey, key_info, sdkfileid, seal, seal_item, seal_media, varint

PRIVATE = rsa.generate_private_key(65537, 2048)


def test_a_sealed_message_has_its_parts_in_their_places() -> None:
    key = RandomKey.new(random.Random(1), pre_len=5, end_len=12, s_len=9)
    text = seal(b"x" * 20, key)
    # IV and two blocks are 48 bytes, so the body has 64 characters.
    assert len(text) == 13 + 32 + 5 + 9 + 64 + 12
    assert text[13:45] == key.k0
    assert len(base64.b64decode(text[50:59] + text[68:123], validate=True)) == 48
    assert text.isascii()


def test_the_random_key_has_the_usual_88_characters() -> None:
    assert {len(RandomKey.new().text) for _ in range(20)} == {88}


def test_lengths_are_drawn_within_their_bounds() -> None:
    drawn = [RandomKey.new(random.Random(n)) for n in range(300)]
    assert {k.pre_len for k in drawn} == set(range(17))
    assert {k.end_len for k in drawn} == set(range(17))
    assert {k.s_len for k in drawn} == set(range(1, 17))


def test_the_same_seed_gives_the_same_filler_and_another_seed_another() -> None:
    def one(seed: int) -> bytes:
        rng = random.Random(seed)
        return seal(b"{}", RandomKey.new(rng), rng)

    assert one(1) == one(1)
    assert one(1) != one(2)
    key = RandomKey.new()
    assert seal(b"{}", key) != seal(b"{}", key)


def test_an_item_has_the_fields_of_the_source_in_its_order() -> None:
    raw = seal_item(b"{}", seq=9007199254740993, msgid='a/"b', version=3, public_key=PRIVATE.public_key())
    item = json.loads(raw)
    assert list(item) == ["seq", "msgid", "publickey_ver", "encrypt_random_key", "encrypt_chat_msg"]
    assert (item["seq"], item["msgid"], item["publickey_ver"]) == (9007199254740993, 'a/"b', 3)
    assert len(item["encrypt_random_key"]) == 344
    assert len(PRIVATE.decrypt(base64.b64decode(item["encrypt_random_key"]), padding.PKCS1v15())) == 88
    assert b" " not in raw


def test_an_item_of_the_same_seed_differs_in_its_rsa_block_alone() -> None:
    def one() -> dict[str, object]:
        found: dict[str, object] = json.loads(
            seal_item(b"{}", seq=1, msgid="m", version=1, public_key=PRIVATE.public_key(), rng=random.Random(5))
        )
        return found

    first, second = one(), one()
    assert {name for name in first if first[name] != second[name]} == {"encrypt_random_key"}


KEY_INFOS = [
    pytest.param((b"k1", 5, 12, 9), b"\x0a\x02k1\x10\x05\x18\x0c\x20\x09", id="small numbers"),
    pytest.param((b"", 300, 0, 1), b"\x0a\x00\x10\xac\x02\x18\x00\x20\x01", id="a number of two bytes"),
    pytest.param((b"k", -1, 0, 1), b"\x0a\x01k\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x18\x00\x20\x01", id="a negative number"),
]


@pytest.mark.parametrize(("values", "expected"), KEY_INFOS)
def test_a_key_info_is_protobuf(values: tuple[bytes, int, int, int], expected: bytes) -> None:
    assert key_info(*values) == expected


@pytest.mark.parametrize(("value", "expected"), [(0, b"\0"), (127, b"\x7f"), (128, b"\x80\x01"), (16384, b"\x80\x80\x01")])
def test_a_varint_has_seven_bits_a_byte(value: int, expected: bytes) -> None:
    assert varint(value) == expected


@pytest.mark.parametrize(("size", "sealed_size"), [(0, 16), (15, 16), (16, 32), (524_288, 524_304)])
def test_media_are_padded_and_open_block_by_block(size: int, sealed_size: int) -> None:
    data, aeskey = random.Random(size).randbytes(size), bytes(range(16))
    sealed = seal_media(data, aeskey)
    assert len(sealed) == sealed_size
    decryptor = Cipher(AES128(aeskey), ECB()).decryptor()
    padded = decryptor.update(sealed) + decryptor.finalize()
    assert padded == data + bytes([sealed_size - size]) * (sealed_size - size)


def test_an_sdkfileid_is_protobuf_in_base64() -> None:
    found = sdkfileid("FILE", "AUTH", bytes(range(16)))
    assert base64.b64decode(found, validate=True) == b"\x0a\x04FILE\x12\x04AUTH\x1a\x20000102030405060708090a0b0c0d0e0f"
