"""Opening: what is whole opens, what is not ends as a failure that names the check, and a wrong key is told from a damaged record."""

from __future__ import annotations

import base64
import os
import random
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization as ser
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CBC
from hypothesis import given
from hypothesis import strategies as st

from pipeline import envelope, multibuffer
from pipeline.answers import read_page
from pipeline.enterprise_keys import KeySet, load_private_key, private_der
from pipeline.envelope import KeyInfo, decrypt_data, open_item, open_page, parse_key_info, random_key, strict_base64
from pipeline.errors import FAILURE_CODES, RecordError
from pipeline.records import OpenedItem, OpenedPage, PageRef, SealedItem
from pipeline.saved_files import answer_of
from pipeline.sealing import RandomKey, aes_seal, key_info, seal, seal_item

# -- a record that was sealed once by another program and opened by the vendor's library ------------------------------
# The key was made for this test and protects nothing.

PEM = b"""\
-----BEGIN RSA PRIVATE KEY-----
MIIEowIBAAKCAQEApyOK9I159b7cESXQKlzxnAAMFILxvYVGNkysugN1CAZHVC6K
/JdTtJF+d3tFY+kF+i8n+deciYWPNQz92QnU/fL2qp38EPS9wD51vzft0R/fT3nS
5sySYsYJKDAqUTVCd3ptTIUy2e7yYMKXtvRJm2+lWzlgiJzFBRTw+PNZ/OQYdZ/r
UR5mh30AHu0LHuKU8hDtp5lGyFZnNMWmjNWpkW4B+kgSZhMzdiX1LXTOeFObnI+u
57BDEiCj9LUa70uvzNdQ6iSVA75i/BXhZom5n6RYGE/XERI/WaoJqgWFDVoxdIvG
s74ceQMpinT/M3tZG9NAYPiqeayP5wj2nL0Q4QIDAQABAoIBAAzSjWdb7+aFCSAS
/RM1md7vIqjI2kqWY2posSWnfJPW23kKBbqsJ2KmeNkqGWA5W9kzmJxdHhLE2YA8
lMBRC0ic769A5eTXyd4/ocvqOrH9ASZOlnoDaXBEziYJpULL/w3ofrh3TY0/p35P
NNF3O1W+l8/VqTdsg4bzcis/NtZPpRIm2On0AjhwmuozJxWQBpsCLQ/c1y2S1uv2
fH2FrWMc2+EstnnFeOwD5zkhUBo67F+zgM3Z+cscuy+b2nwWTc/mrC/TGgpKyXm4
e578OUF8PGHjygJVtZtSFR3TSy6ygcNEMBHlZvGsniP854NfV6Ivfv9qQszZ/1oU
vCTBnKMCgYEA0cg1nJdyJh31tTlWXH9G2heNjr5f8epaC5XwBoMmdVNY3WXOAs8v
7lcU3QcyiwGnwFzkkntF011+awoeYVA3PPFMHxCjE5t7WM7RW/jJTkOKjHXoebdo
7vCCWm0RTj7YQzpjG37i7OffUsikO222foaBlotpoOyFpA7cRMAef9MCgYEAy/Y9
FO/IvTPuQwGW2rb5MhcFizkzrX3llwZRjvaf5CuAovqIyyiJiWSCRzhZb4nDgqfx
fGZvkCS5qadeUDF1cylAbYHLv6zWm5gZ6X+UkWRtEVdcagwwbsOU6YilYLym0lhN
0hxmk/qgoubUXN9/Z0F+yHtl1biYG179HmhqL/sCgYEAg/XFy5f0hQepjPLhYVPq
tLvGHvmgDuPU+p65ms8a/QiNyM8GVPwRcYKzrAmgAJLs+/MzEPWcScXxBNIbpCk6
Zgp/ULc9bdMLNyT5yznnH2UbHRn6P75gspT12n3rOeYMUdXDjAM4Kb/92ew+auer
uVFQ6OsPadv+gOGcK18SkGMCgYBoOFrd5+jbRT3qX1WGTRjoz3q1uXT+oeY/Vas3
Mi5hmRkSLpLXvM8KtaEcY17P78VHbimnN3CqZxm35x36PEuXnOyfCEPknZzLxNz4
w4hXAsn4ontGdRQKhUYCTyCyXbOgqB6bzodb9iU/GFRLYKjpSj5Okz9mBf0zf0Y3
04LvIQKBgHOjYAKJdcyybBAEY03eYurhw0gQubmfxgCBSmfxXUVJnTMgd3/G7UxX
pn5wF0KZ5WATN2dDQPjebFShddpe8I2mvfVOEof78IT+cQ6A01QtARASR4RzJdY1
LosIYxjJpG+hxTNMbnawcyTXuwbhHJf+/+9pdFslkF1/q4RIh6X+
-----END RSA PRIVATE KEY-----
"""
SEALED = (
    b'{"seq":31,"msgid":"CAQQluDa4QUY0On2rYSAgAMgzPrShAE=","publickey_ver":2,"encrypt_random_key":"YepD7ACE/vq0ghmM+'
    b"9FD8adRllttEXSUl3QtO5cwL2mXXVBmwoJQXmLmVvTSyNQAvTv9/VorhRumHUqX9zbvM5oDl8BgAQ5XhA0tVYGVnI374sypIC4S1QcWMbMy8Lj"
    b"Gy6jMq+E3T7ydtZ/r7yrOuxj+eFZz2Ac/KQBpCzYvLGoL9DDWYtcViSUGM9/GC3Ti7qmtCEv6d38gq+UjeuQz8w2EDAbxjUaYZfbHpyNI3hJlA"
    b'8dkMD+6XdKgaXFPM/wcwmhkUN8VP+flL+GC60UihdGRX5vGFviujVAfDkIn3mjaXPTrRTQP+JaODm6osWzPIXLyLPRUj953w08cc7rd2A==","'
    b'encrypt_chat_msg":"TFjKrMPLStsd5v0IbN0ivLX9OgxljbFgZrqIEqH9tG4qk0vErTR1rbus4Na4dA47Fon3/XjVoSaxctf3R2z+f5YLsQw'
    b"qS10J5hbX1GSf7QyhXRlPpc9S4JYfiN1GviC/sK+DZDoYQxyjduLy8NAxeLUDRVXVz2zQKQl9nDABg/+cQDws02631oH+Qp8/e7biVmbSgrtxB"
    b"/8Q/c/o2LoslanVxl0cB7IKW6QJnjBTZrq591xs/r7jjeLXu2q00MVs0t9AY5Q6/vGPtJMaC4N71/EQOIXjfncPEqUl616lsNjIn/dQrREsNhj"
    b'oBmv4GHTUUjOTOOBFVQXFgVoQw==XjXJv99h+ZZZ"}'
)
KEY_BLOCK = b"GXQVA+EBY8hYuRDzRkTG3mFcEsRJIMz4Fy+weWePpDYMg0a269FaHJlMVj9lE02Z4tULp906tPwGTLfYQmilSg=="
PLAINTEXT = (
    '{"msgid":"CAQQluDa4QUY0On2rYSAgAMgzPrShAE=","action":"send","from":"ZhangSan","tolist":["wmABC"],'
    '"roomid":"","msgtime":1700000000123,"msgtype":"text","text":{"content":"保本吗？"}}'
).encode()

REF = PageRef(corp_id="ww1", page="0" * 64, uri="", size=0, source="file", name="a.json#1", captured_at_ms=0)
RIGHT = rsa.generate_private_key(65537, 2048)
WRONG = rsa.generate_private_key(65537, 2048)
KEYS = KeySet.of({1: RIGHT})



def ways() -> list[str]:
    """The back-ends of this machine; what one without the second does, tests/unit/test_multibuffer.py says."""
    try:
        multibuffer.library()
    except multibuffer.Unavailable:
        return ["one by one"]
    return ["one by one", "eight at once"]


@pytest.fixture(scope="module", params=ways(), autouse=True)
def by(request: pytest.FixtureRequest) -> Iterator[str]:
    """Everything here is so by both back-ends."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "eight at once":
            patch.setattr(envelope, "OpenSslRsa", multibuffer.MultiBufferRsa)
        yield request.param


def sealed(seq: int, text: bytes | None = None, *, version: int = 1, key: rsa.RSAPrivateKey = RIGHT) -> bytes:
    plaintext = text if text is not None else b'{"msgid":"m%d"}' % seq
    return seal_item(plaintext, seq=seq, msgid=f"m{seq}", version=version, public_key=key.public_key())


def with_field(item: bytes, name: bytes, value: bytes) -> bytes:
    begin = item.index(b'"%b":"' % name) + len(name) + 4
    return item[:begin] + value + item[item.index(b'"', begin) :]


def with_damaged_block(item: bytes) -> bytes:
    """A record whose RSA block is another number, so that it opens to noise or not at all."""
    block = base64.b64encode(b"\x01" + bytes(range(255)))
    return with_field(item, b"encrypt_random_key", block)


def raised(padded: bytes) -> bytes:
    """A block that the right key opens to exactly these 256 bytes."""
    assert len(padded) == 256
    numbers = RIGHT.public_key().public_numbers()
    return pow(int.from_bytes(padded, "big"), numbers.e, numbers.n).to_bytes(256, "big")


def opened(*items: bytes, keys: KeySet = KEYS) -> OpenedPage:
    page, malformed = read_page(REF, answer_of(items))
    return open_page(page, malformed, keys=keys)


def outcome(page: OpenedPage) -> dict[int, str]:
    """item → what it opened to, or the code of its failure"""
    return {i.item: i.plaintext.decode() for i in page.items} | {f.failure.item: f.failure.code for f in page.failed}


def test_a_record_sealed_by_another_program_opens() -> None:
    keys = KeySet.of({2: load_private_key(PEM)})
    # openssl rsa -pubout -outform DER | sha256sum
    assert keys.fingerprints == {2: "0cf55139fdead39e"}
    page = opened(SEALED, keys=keys)
    assert page == OpenedPage(REF, (OpenedItem(0, 31, "CAQQluDa4QUY0On2rYSAgAMgzPrShAE=", 2, PLAINTEXT, KEY_BLOCK, SEALED),), ())


def test_a_page_opens_in_order_with_its_bytes() -> None:
    items = [sealed(5), sealed(3), sealed(4)]
    page = opened(*items)
    assert [(i.item, i.seq, i.msgid, i.key_version, i.plaintext, i.sealed) for i in page.items] == [
        (0, 5, "m5", 1, b'{"msgid":"m5"}', items[0]),
        (1, 3, "m3", 1, b'{"msgid":"m3"}', items[1]),
        (2, 4, "m4", 1, b'{"msgid":"m4"}', items[2]),
    ]
    assert page.failed == ()


def test_what_the_page_could_not_read_stays_told_in_its_place() -> None:
    page = opened(sealed(1, version=9), b'{"seq":2}', sealed(3), with_field(sealed(4), b"encrypt_chat_msg", b"QQ=="))
    assert outcome(page) == {0: "KEY_MISSING", 1: "ITEM_MALFORMED", 2: '{"msgid":"m3"}', 3: "ENVELOPE_MALFORMED"}
    failures = [f.failure for f in page.failed]
    assert [(f.item, f.step, f.seq, f.key_version) for f in failures] == [
        (0, "envelope", 1, 9),
        (1, "landing", 2, None),
        (3, "envelope", 4, None),
    ]
    assert page.failed[1].sealed == b'{"seq":2}'


def test_the_two_results_of_reading_a_page_belong_together() -> None:
    page, _ = read_page(REF, answer_of([b"{}"]))
    with pytest.raises(RuntimeError):
        open_page(page, (), keys=KEYS)


# -- wrong key or damaged record ---------------------------------------------------------------------------------------

GOOD = '{"msgid":"m1"}'
PAGES = [
    pytest.param([sealed(1)], {0: GOOD}, id="right key"),
    pytest.param([sealed(1, key=WRONG)], {0: "KEY_WRONG"}, id="wrong key, one record"),
    pytest.param([sealed(n, key=WRONG) for n in range(4)], dict.fromkeys(range(4), "KEY_WRONG"), id="wrong key, all of them"),
    pytest.param([sealed(1), with_damaged_block(sealed(2))], {0: GOOD, 1: "UNDECRYPTABLE"}, id="one damaged beside a good one"),
    pytest.param([with_damaged_block(sealed(2)), sealed(1)], {0: "UNDECRYPTABLE", 1: GOOD}, id="one damaged before a good one"),
    pytest.param([with_damaged_block(sealed(1))], {0: "KEY_WRONG"}, id="one damaged alone: nothing speaks for the key"),
    pytest.param([sealed(1), sealed(2, version=2, key=WRONG)], {0: GOOD, 1: "KEY_MISSING"}, id="another version without a key"),
    pytest.param(
        [sealed(1, b"no JSON"), with_damaged_block(sealed(2))],
        {0: "UNDECRYPTABLE", 1: "UNDECRYPTABLE"},
        id="a random key that opens proves the key",
    ),
]


@pytest.mark.parametrize(("items", "expected"), PAGES)
def test_a_wrong_key_is_told_from_a_damaged_record_by_its_page(items: list[bytes], expected: dict[int, str]) -> None:
    page = opened(*items)
    assert outcome(page) == expected
    assert [f.sealed for f in page.failed] == [items[f.failure.item] for f in page.failed]
    assert all(f.failure.key_version in (1, 2) for f in page.failed)


def test_versions_are_judged_apart() -> None:
    keys = KeySet.of({1: RIGHT, 2: WRONG})
    page = opened(sealed(1), sealed(2, version=2), with_damaged_block(sealed(3)), sealed(4, version=2), keys=keys)
    assert outcome(page) == {0: GOOD, 1: "KEY_WRONG", 2: "UNDECRYPTABLE", 3: "KEY_WRONG"}


def test_a_key_of_another_size_is_a_wrong_key() -> None:
    assert outcome(opened(sealed(1), keys=KeySet.of({1: made(3072)}))) == {0: "KEY_WRONG"}


@cache
def made(bits: int, exponent: int = 65537) -> rsa.RSAPrivateKey:
    """Once: large ones take seconds."""
    return rsa.generate_private_key(exponent, bits)


@pytest.mark.parametrize(
    ("bits", "exponent", "expected"),
    [
        pytest.param(1024, 65537, "KEY_BLOCK_MALFORMED", id="1,024 bits, which `keys add` refuses"),
        pytest.param(2048, 65537, GOOD, id="2,048 bits"),
        pytest.param(2048, 3, GOOD, id="2,048 bits, exponent 3"),
        pytest.param(3072, 65537, GOOD, id="3,072 bits"),
        pytest.param(4096, 65537, GOOD, id="4,096 bits"),
    ],
)
def test_keys_of_every_kind_open_what_was_sealed_for_them(bits: int, exponent: int, expected: str) -> None:
    key = made(bits, exponent)
    assert outcome(opened(sealed(1, key=key), sealed(2, key=WRONG), keys=KeySet.of({1: key, 2: RIGHT})))[0] == expected


def test_a_key_that_lay_under_a_passphrase_opens_as_any_other() -> None:
    pem = RIGHT.private_bytes(ser.Encoding.PEM, ser.PrivateFormat.PKCS8, ser.BestAvailableEncryption(b"words"))
    keys = KeySet({1: private_der(load_private_key(pem, b"words"))})
    assert outcome(opened(sealed(1), keys=keys)) == {0: GOOD}


MODULUS = RIGHT.public_key().public_numbers().n
BLOCKS = [
    pytest.param((0).to_bytes(256, "big"), id="0"),
    pytest.param((1).to_bytes(256, "big"), id="1"),
    pytest.param((MODULUS - 1).to_bytes(256, "big"), id="the largest"),
    pytest.param(MODULUS.to_bytes(256, "big"), id="the modulus"),
    pytest.param(b"\xff" * 256, id="more than the modulus"),
    pytest.param(b"\1" * 384, id="a block of a larger key"),
    pytest.param(raised(b"\0\1" + b"p" * 165 + b"\0" + KEY_BLOCK), id="padding of a signature"),
    pytest.param(raised(b"\0\2" + b"p" * 7 + b"\0" + KEY_BLOCK.ljust(246, b"=")), id="seven bytes of padding"),
    pytest.param(raised(b"\0\2" + b"p" * 254), id="padding without an end"),
    pytest.param(raised(b"\1\2" + b"p" * 165 + b"\0" + KEY_BLOCK), id="no leading zero"),
    pytest.param(RIGHT.public_key().encrypt(b"", PKCS1v15()), id="nothing inside"),
    pytest.param(RIGHT.public_key().encrypt(b"x" * 245, PKCS1v15()), id="as much inside as can be, no base64"),
]


@pytest.mark.parametrize("block", BLOCKS)
def test_what_is_no_random_key_is_damage_beside_good_records_and_a_wrong_key_alone(block: bytes) -> None:
    bad = with_field(sealed(2), b"encrypt_random_key", base64.b64encode(block))
    assert outcome(opened(sealed(1), bad, sealed(3))) == {0: GOOD, 1: "UNDECRYPTABLE", 2: '{"msgid":"m3"}'}
    assert outcome(opened(bad)) == {0: "KEY_WRONG"}


@pytest.mark.parametrize("at", [0, 3, 7, 8, 11])
def test_one_that_does_not_open_disturbs_none_of_the_others(at: int) -> None:
    items = [with_damaged_block(sealed(n)) if n == at else sealed(n) for n in range(12)]
    assert outcome(opened(*items)) == {n: "UNDECRYPTABLE" if n == at else f'{{"msgid":"m{n}"}}' for n in range(12)}


class Noise:
    """A back-end that answers as OpenSSL may for a wrong key: random bytes of any length, or none."""

    def decrypt_many(self, blocks: Sequence[tuple[int, bytes]]) -> list[bytes | None]:
        return [None if n % 5 == 0 else os.urandom(n % 246) for n, _ in enumerate(blocks)]


def test_random_bytes_never_pass_for_a_random_key() -> None:
    one = sealed(1)
    page, malformed = read_page(REF, answer_of([one] * 1_000))
    found = open_page(page, malformed, keys=KEYS, rsa=Noise())
    assert found.items == ()
    assert {f.failure.code for f in found.failed} == {"KEY_WRONG"}


class Counting:
    """The real back-end, with a note of what it was asked."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def decrypt_many(self, blocks: Sequence[tuple[int, bytes]]) -> list[bytes | None]:
        self.asked += [len(block) for _, block in blocks]
        back_end: Any = envelope.OpenSslRsa(KEYS)
        return list(back_end.decrypt_many(blocks))


def test_no_private_operation_is_spent_on_what_cannot_open() -> None:
    bad = [with_field(sealed(1), b"encrypt_random_key", b"QQ=="), with_field(sealed(1), b"encrypt_chat_msg", b"QQ=="), sealed(1, version=7)]
    page, malformed = read_page(REF, answer_of([*bad, sealed(2)]))
    rsa_used = Counting()
    open_page(page, malformed, keys=KEYS, rsa=rsa_used)
    assert rsa_used.asked == [256]


# -- one record, check by check ----------------------------------------------------------------------------------------

RNG = random.Random(3)
KEY = RandomKey.new(RNG, pre_len=7, end_len=11, s_len=9)
TEXT = b'{"msgid":"m1","msgtype":"text","text":{"content":"hello"}}'
CHAT_MSG = seal(TEXT, KEY, RNG)
# 13 + 32 + 7 characters come before the body, 9 of filler after its first 9.
BODY = 52


def item_of(random_key_field: str, chat_msg: str, *, version: int = 1) -> SealedItem:
    return SealedItem(0, 1, "m1", version, random_key_field, chat_msg, b"{}")


def wrapped(text: bytes) -> str:
    return base64.b64encode(RIGHT.public_key().encrypt(text, PKCS1v15())).decode()


def test_the_record_of_the_table_below_opens() -> None:
    found = open_item(item_of(wrapped(KEY.text), CHAT_MSG.decode()), KEYS)
    assert (found.plaintext, found.key_block, found.sealed) == (TEXT, KEY.text, b"{}")


def info(data: bytes) -> str:
    return wrapped(aes_seal(data, KEY.k0, RNG))


WHOLE = wrapped(KEY.text)
NOT_BASE64 = "encrypt_random_key is not base64"
NO_BODY = "encrypt_chat_msg does not hold a body where its lengths say"
NO_RANDOM_KEY = "the private key of version 1 opens no record of this page"
NO_INFO = "the random key does not open with the key inside encrypt_chat_msg"
NO_JSON = "what the envelope holds is no JSON object"
SEALED_TEXT = CHAT_MSG.decode()
REFUSED = [
    pytest.param(item_of(WHOLE, SEALED_TEXT, version=2), "KEY_MISSING", "there is no private key of version 2", id="0 no key"),
    pytest.param(
        item_of("", SEALED_TEXT), "KEY_BLOCK_MALFORMED", "encrypt_random_key holds 0 bytes, expected one RSA block of 256", id="1 empty"
    ),
    pytest.param(
        item_of(WHOLE[:-4], SEALED_TEXT),
        "KEY_BLOCK_MALFORMED",
        "encrypt_random_key holds 255 bytes, expected one RSA block of 256",
        id="1 cut",
    ),
    pytest.param(item_of(WHOLE[:-1], SEALED_TEXT), "KEY_BLOCK_MALFORMED", NOT_BASE64, id="1 padding short"),
    pytest.param(item_of(WHOLE + "\n", SEALED_TEXT), "KEY_BLOCK_MALFORMED", NOT_BASE64, id="1 line end"),
    pytest.param(item_of("-" + WHOLE[1:], SEALED_TEXT), "KEY_BLOCK_MALFORMED", NOT_BASE64, id="1 base64 for addresses"),
    pytest.param(item_of("字" + WHOLE[1:], SEALED_TEXT), "KEY_BLOCK_MALFORMED", NOT_BASE64, id="1 not ASCII"),
    pytest.param(
        item_of("A" * 9000, SEALED_TEXT), "KEY_BLOCK_MALFORMED", "encrypt_random_key has 9000 characters, expected 344", id="1 long"
    ),
    pytest.param(item_of(WHOLE, ""), "ENVELOPE_MALFORMED", "encrypt_chat_msg has 0 characters, expected at least 90", id="2 empty"),
    pytest.param(item_of(WHOLE, "A" * 89), "ENVELOPE_MALFORMED", "encrypt_chat_msg has 89 characters, expected at least 90", id="2 short"),
    pytest.param(
        item_of(WHOLE, "A" * 89 + "字"), "ENVELOPE_MALFORMED", "encrypt_chat_msg holds characters that are not ASCII", id="2 not ASCII"
    ),
    pytest.param(item_of(wrapped(b"no random key"), SEALED_TEXT), "KEY_WRONG", NO_RANDOM_KEY, id="3 short"),
    pytest.param(item_of(wrapped(b"?" * 88), SEALED_TEXT), "KEY_WRONG", NO_RANDOM_KEY, id="3 not base64"),
    pytest.param(item_of(wrapped(b"A" * 88), SEALED_TEXT), "KEY_WRONG", NO_RANDOM_KEY, id="3 no whole blocks"),
    pytest.param(item_of(wrapped(KEY.text + b"\n"), SEALED_TEXT), "KEY_WRONG", NO_RANDOM_KEY, id="3 line end"),
    pytest.param(item_of(wrapped(RandomKey.new(RNG).text), SEALED_TEXT), "UNDECRYPTABLE", NO_INFO, id="4 key of another message"),
    pytest.param(item_of(WHOLE, "x" * 90), "UNDECRYPTABLE", NO_INFO, id="4 k0 changed"),
    pytest.param(item_of(info(b"\xff\xff\xff"), SEALED_TEXT), "UNDECRYPTABLE", NO_INFO, id="4 no protobuf"),
    pytest.param(item_of(info(key_info(KEY.k1, 7, 11, 0)), SEALED_TEXT), "UNDECRYPTABLE", NO_INFO, id="4 s_len 0"),
    pytest.param(item_of(info(key_info(KEY.k1, -1, 11, 9)), SEALED_TEXT), "UNDECRYPTABLE", NO_INFO, id="4 pre_len negative"),
    pytest.param(item_of(info(key_info(b"", 7, 11, 9)), SEALED_TEXT), "UNDECRYPTABLE", NO_INFO, id="4 no k1"),
    pytest.param(item_of(info(key_info(KEY.k1, 999, 11, 9)), SEALED_TEXT), "ENVELOPE_MALFORMED", NO_BODY, id="5 pre_len too large"),
    pytest.param(item_of(info(key_info(KEY.k1, 7, 2**31 - 1, 9)), SEALED_TEXT), "ENVELOPE_MALFORMED", NO_BODY, id="5 end_len too large"),
    pytest.param(item_of(info(key_info(KEY.k1, 7, 11, 2**30)), SEALED_TEXT), "ENVELOPE_MALFORMED", NO_BODY, id="5 s_len too large"),
    pytest.param(item_of(WHOLE, SEALED_TEXT[:-1]), "ENVELOPE_MALFORMED", NO_BODY, id="6 one short"),
    pytest.param(item_of(WHOLE, SEALED_TEXT[:BODY] + "!" + SEALED_TEXT[BODY + 1 :]), "ENVELOPE_MALFORMED", NO_BODY, id="6 no base64"),
    pytest.param(
        item_of(info(key_info(KEY.k1, 7, 11 + 4, 9)), SEALED_TEXT),
        "ENVELOPE_MALFORMED",
        "the body of encrypt_chat_msg is not made of whole AES blocks",
        id="6 no whole blocks",
    ),
    pytest.param(
        item_of(info(key_info(b"k" * 32, 7, 11, 9)), SEALED_TEXT),
        "UNDECRYPTABLE",
        "the body of encrypt_chat_msg does not open with the key of its random key",
        id="7 another k1",
    ),
    pytest.param(item_of(WHOLE, seal(b"", KEY, RNG).decode()), "UNDECRYPTABLE", NO_JSON, id="8 nothing"),
    pytest.param(item_of(WHOLE, seal(b" \n", KEY, RNG).decode()), "UNDECRYPTABLE", NO_JSON, id="8 blanks"),
    pytest.param(item_of(WHOLE, seal(b'["x"]', KEY, RNG).decode()), "UNDECRYPTABLE", NO_JSON, id="8 a list"),
    pytest.param(item_of(WHOLE, seal(b"\x8f\x11", KEY, RNG).decode()), "UNDECRYPTABLE", NO_JSON, id="8 noise"),
]


@pytest.mark.parametrize(("item", "code", "detail"), REFUSED)
def test_a_damaged_record_is_refused_by_the_check_it_fails(item: SealedItem, code: str, detail: str) -> None:
    with pytest.raises(RecordError) as error:
        open_item(item, KEYS)
    assert (error.value.code, error.value.detail) == (code, detail)
    assert FAILURE_CODES[code][0] == "envelope"
    # Nothing of what was being opened hangs on the error that a log might print.
    assert error.value.__cause__ is None
    assert error.value.__suppress_context__ or error.value.__context__ is None


@pytest.mark.parametrize("text", [b"{", b"{}", b' \r\n\t{"a":1}', b'{"\xff":1}'], ids=["a bracket", "empty", "blanks before", "no UTF-8"])
def test_what_begins_as_an_object_is_for_the_next_step_to_judge(text: bytes) -> None:
    assert open_item(item_of(WHOLE, seal(text, KEY, RNG).decode()), KEYS).plaintext == text


def test_filler_may_be_anything() -> None:
    strange = "?" * 13 + SEALED_TEXT[13:45] + "?" * 7 + SEALED_TEXT[52:61] + "?" * 9 + SEALED_TEXT[70:-11] + "?" * 11
    assert open_item(item_of(WHOLE, strange), KEYS).plaintext == TEXT


def test_a_changed_character_ends_as_a_refusal_or_as_other_bytes_never_as_another_error() -> None:
    same = 0
    for at in range(len(CHAT_MSG)):
        changed = CHAT_MSG[:at] + (b"A" if CHAT_MSG[at : at + 1] != b"A" else b"B") + CHAT_MSG[at + 1 :]
        try:
            same += decrypt_data(KEY.text, changed) == TEXT
        except RecordError as error:
            assert error.code in ("UNDECRYPTABLE", "ENVELOPE_MALFORMED")
    # Only filler may change without a trace: 13 + 7 + 9 + 11 characters.
    assert same == 40


# -- the parts ----------------------------------------------------------------------------------------------------------


@given(st.binary(max_size=300), st.integers(0, 60), st.integers(0, 60), st.integers(1, 44), st.integers())
def test_what_is_sealed_opens(text: bytes, pre_len: int, end_len: int, s_len: int, seed: int) -> None:
    rng = random.Random(seed)
    key = RandomKey.new(rng, pre_len=pre_len, end_len=end_len, s_len=s_len)
    assert random_key(key.text) == key.text
    assert decrypt_data(key.text, seal(text, key, rng)) == text


@given(st.binary(max_size=40) | st.binary(max_size=40).map(base64.b64encode) | st.text("AQgwB+/=\n-", max_size=12).map(str.encode))
def test_base64_is_taken_exactly_as_an_encoder_writes_it(text: bytes) -> None:
    try:
        raw = base64.b64decode(text, validate=True)
        canonical = base64.b64encode(raw) == text
    except ValueError:
        raw, canonical = b"", False
    try:
        assert (strict_base64(text), canonical) == (raw, True)
    except ValueError:
        assert not canonical


@pytest.mark.parametrize("text", [b"QQ==", b"QUI=", b"QUJD", b"//79", b"AAAA" * 30, b"gA==", b"//8="])
def test_base64_of_an_encoder_is_taken(text: bytes) -> None:
    assert base64.b64encode(strict_base64(text)) == text


@pytest.mark.parametrize("length", [0, 1, 15, 16, 31, 32, 40])
@pytest.mark.parametrize("blocks", [0, 1, 2, 40])
def test_aes_opens_as_the_library_says_whatever_the_length_of_key_and_text(length: int, blocks: int) -> None:
    rng = random.Random(length * 100 + blocks)
    key, iv, plain = rng.randbytes(length), rng.randbytes(16), rng.randbytes(16 * blocks + 3)
    sealed = Cipher(AES256((key[:32] + bytes(32))[:32]), CBC(iv)).encryptor().update(plain + b"\x0d" * 13)
    assert envelope._aes_open(iv + sealed, key) == plain


@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 33])
def test_what_is_no_iv_and_whole_blocks_never_reaches_aes(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(envelope, "_decryptor", None)
    with pytest.raises(ValueError, match="blocks"):
        envelope._aes_open(bytes(size), bytes(32))


NO_BASE64 = [
    b"QR==",
    b"QUJ=",
    b"Qh==",
    b"//9=",
    b"QQ=",
    b"QQ",
    b"QQ==\n",
    b"QQ==QQ==",
    b"=QQ=",
    b"====",
    b"A===",
    b"Q Q=",
    b"_-AA",
    b"QQ\n==",
]


@pytest.mark.parametrize("text", NO_BASE64)
def test_base64_that_no_encoder_writes_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError):
        strict_base64(text)


PADDINGS = [
    pytest.param(b"\x01", True, id="one"),
    pytest.param(b"\x02\x02", True, id="two"),
    pytest.param(b"\x10" * 16, True, id="a whole block"),
    pytest.param(b"\x00", False, id="zero"),
    pytest.param(b"\x11" * 17, False, id="more than a block"),
    pytest.param(b"\x01\x02", False, id="two, one wrong"),
    pytest.param(b"\x0f" + b"\x10" * 15, False, id="a whole block, the first wrong"),
]


@pytest.mark.parametrize(("padding", "right"), PADDINGS)
def test_padding_is_checked_to_its_last_byte(padding: bytes, right: bool) -> None:
    key = RandomKey.new(RNG, pre_len=0, end_len=0, s_len=1)
    text = b"{" * (32 - len(padding))
    encryptor = Cipher(AES256(key.k1), CBC(bytes(16))).encryptor()
    body = base64.b64encode(bytes(16) + encryptor.update(text + padding) + encryptor.finalize())
    chat_msg = b"f" * 13 + key.k0 + body[:1] + b"f" + body[1:]
    if right:
        assert decrypt_data(key.text, chat_msg) == text
        return
    with pytest.raises(RecordError) as error:
        decrypt_data(key.text, chat_msg)
    assert error.value.code == "UNDECRYPTABLE"


KEY_INFOS = [
    pytest.param(b"\x0a\x02k1\x10\x05\x18\x0c\x20\x09", KeyInfo(b"k1", 5, 12, 9), id="all four"),
    pytest.param(b"\x20\x09\x18\x0c\x10\x05\x0a\x02k1", KeyInfo(b"k1", 5, 12, 9), id="in another order"),
    pytest.param(b"\x0a\x02k1\x20\x09", KeyInfo(b"k1", 0, 0, 9), id="zeros left out, as protobuf 3 does"),
    pytest.param(b"\x0a\x02k1\x10\xac\x02\x20\x01", KeyInfo(b"k1", 300, 0, 1), id="a number of two bytes"),
    pytest.param(b"\x0a\x02k1\x10\xff\xff\xff\xff\x07\x20\x01", KeyInfo(b"k1", 2**31 - 1, 0, 1), id="the largest length"),
    pytest.param(b"\x0a\x02k0\x0a\x02k1\x20\x08\x20\x09", KeyInfo(b"k1", 0, 0, 9), id="the last of two counts"),
    pytest.param(b"\x0a\x02k1\x20\x09\x28\x05\x32\x01a\x3d1234\x4112345678", KeyInfo(b"k1", 0, 0, 9), id="unknown fields of every kind"),
    pytest.param(b"\x12\x00\x0a\x02k1\x20\x09", KeyInfo(b"k1", 0, 0, 9), id="a known number of another kind"),
]


@pytest.mark.parametrize(("data", "expected"), KEY_INFOS)
def test_a_key_info_is_read(data: bytes, expected: KeyInfo) -> None:
    assert parse_key_info(data) == expected


NO_KEY_INFOS = [
    pytest.param(b"", id="nothing"),
    pytest.param(b"\x20\x09", id="no k1"),
    pytest.param(b"\x0a\x00\x20\x09", id="k1 empty"),
    pytest.param(b"\x0a\x02k1", id="no s_len"),
    pytest.param(b"\x0a\x02k1\x20\x00", id="s_len 0"),
    pytest.param(b"\x0a\x02k1\x20\x80\x80\x80\x80\x08", id="s_len 2^31"),
    pytest.param(b"\x0a\x02k1\x20\x09\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", id="pre_len -1"),
    pytest.param(b"\x0a\x03k1", id="a string cut"),
    pytest.param(b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xffk1", id="a number of more than ten bytes"),
    pytest.param(b"\x0a\x02k1\x20\x89", id="a number cut"),
    pytest.param(b"\x0a\x02k1\x20\x09\x3d123", id="four bytes cut"),
    pytest.param(b"\x0a\x02k1\x20\x09\x4b\x4c", id="a group"),
    pytest.param(b"\x0a\x02k1\x20\x09\x00\x00", id="field number 0"),
]


@pytest.mark.parametrize("data", NO_KEY_INFOS)
def test_what_is_no_key_info_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError):
        parse_key_info(data)


@given(st.binary(max_size=80))
def test_any_bytes_are_a_key_info_or_a_value_error(data: bytes) -> None:
    try:
        found = parse_key_info(data)
    except ValueError:
        return
    assert found.k1 in data
    assert 0 < found.s_len < 2**31
