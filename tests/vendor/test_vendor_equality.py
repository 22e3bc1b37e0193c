"""Ours and the vendor's DecryptData, side by side: the same plaintext, or a refusal whose reason is on a list.

Every random key goes through RSA before it comes to ours, by each back-end that this machine has: OpenSSL, and eight operations at once.

Needs the vendor's Linux x86-64 library: LIUHEN_VENDOR_LIB names the file (the PyPI wheel `pywecomarchive` 0.1.0 carries one).
Where we refuse and the library opens, the reason is one of:
 - a message that is cut inside filler behind its body (the library does not miss it);
 - a character that is no base64 in the random key or the body (the library takes it for 0), or base64 that no encoder writes;
 - lengths in SdkKeyInfo that are negative or above 2^31 - 1 (the library cuts them to 32 bits), or groups in the protobuf;
 - an empty k1 (the library uses a key of zeros);
 - a plaintext that does not begin as a JSON object (`open_page`, not `decrypt_data`).
"""

from __future__ import annotations

import base64
import os
import random
import struct
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from pipeline import multibuffer
from pipeline.enterprise_keys import KeySet
from pipeline.envelope import OpenSslRsa, Rsa, decrypt_data, random_key
from pipeline.errors import RecordError
from pipeline.sealing import ALPHABET, RandomKey, aes_seal, key_info, seal, seal_item, varint

LIBRARY = os.environ.get("LIUHEN_VENDOR_LIB", "")
ABORTS = -1

pytestmark = [pytest.mark.vendor, pytest.mark.skipif(not LIBRARY, reason="LIUHEN_VENDOR_LIB does not name the vendor library")]

Case = tuple[bytes, bytes]


def vendor(cases: list[Case]) -> list[tuple[int, bytes]]:
    """Run DecryptData on every case; one that ends the process answers ABORTS, and the rest goes to a new process."""
    found: list[tuple[int, bytes]] = []
    child = [sys.executable, str(Path(__file__).with_name("vendor_child.py")), LIBRARY]
    while len(found) < len(cases):
        asked = b"".join(struct.pack(">I", len(part)) + part for case in cases[len(found) :] for part in case)
        done = subprocess.run(child, input=asked, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
        answered = list(answers(done.stdout))
        assert answered or done.returncode < 0, f"the child ended with {done.returncode} and no answer"
        found += answered
        if done.returncode < 0:
            found.append((ABORTS, b""))
    return found


def answers(stream: bytes) -> list[tuple[int, bytes]]:
    found, at = [], 0
    while at < len(stream):
        code, size = struct.unpack_from(">iI", stream, at)
        found.append((code, stream[at + 8 : at + 8 + size]))
        at += 8 + size
    return found


PRIVATE = rsa.generate_private_key(65537, 2048)
KEYS = KeySet.of({1: PRIVATE})
WAYS: tuple[Rsa, ...] = (OpenSslRsa(KEYS),)
with suppress(multibuffer.Unavailable):
    WAYS += (multibuffer.MultiBufferRsa(KEYS),)


def after_rsa(keys: Iterable[bytes]) -> list[bytes]:
    """Seal each and open it by every back-end: both must answer the same."""
    blocks = [(1, PRIVATE.public_key().encrypt(key, padding.PKCS1v15())) for key in keys]
    first, *others = [way.decrypt_many(blocks) for way in WAYS]
    assert all(other == first for other in others)
    return [key for key in first if key is not None]


def ours(key: bytes, message: bytes) -> bytes | str:
    """Return what we open, or the code of our refusal."""
    (key,) = after_rsa([key])
    return opened_by_us(key, message)


def opened_by_us(key: bytes, message: bytes) -> bytes | str:
    """The same, of a random key that came through RSA."""
    if random_key(key) is None:
        return "NO_RANDOM_KEY"
    try:
        return decrypt_data(key, message)
    except RecordError as error:
        return error.code


def test_the_library_opens_what_we_seal() -> None:
    rng = random.Random(20261122)
    texts = [
        b"{}",
        b"x",
        b"",
        '{"content":"你好"}'.encode(),
        bytes(range(1, 256)),
        rng.randbytes(15),
        rng.randbytes(16),
        rng.randbytes(200_000),
    ]
    shapes = [(0, 0, 1), (1, 0, 2), (16, 16, 16), (0, 200, 30), (40, 5, 22), (3, 3, 3), (9, 0, 1), (0, 0, 44)]
    keys = [RandomKey.new(rng, pre_len=pre, end_len=end, s_len=s) for pre, end, s in shapes]
    cases = [(key.text, seal(text, key, rng)) for key, text in zip(keys, texts, strict=True)]
    assert vendor(cases) == [(0, text) for text in texts]
    assert [ours(*case) for case in cases] == texts


def test_the_library_opens_a_whole_item_after_rsa() -> None:
    item = seal_item(b'{"msgid":"m1","msgtype":"text"}', seq=7, msgid="m1", version=1, public_key=PRIVATE.public_key())
    fields = dict(part.split(b":", 1) for part in item.strip(b"{}").replace(b'"', b"").split(b","))
    block = base64.b64decode(fields[b"encrypt_random_key"])
    for way in WAYS:
        (key,) = way.decrypt_many([(1, block)])
        assert key is not None
        assert vendor([(key, fields[b"encrypt_chat_msg"])]) == [(0, b'{"msgid":"m1","msgtype":"text"}')]


RNG = random.Random(11)
TEXT = b'{"msgid":"1","content":"hello world"}'
KEY = RandomKey.new(RNG, pre_len=7, end_len=11, s_len=9)
SEALED = seal(TEXT, KEY, RNG)
# 13 + 32 + 7 + 9 + 9 characters come before the second piece of the body.
MIDDLE = 80


def with_info(info: bytes) -> Case:
    return aes_seal(info, KEY.k0, RNG), SEALED


def changed(text: bytes, at: int, to: bytes) -> bytes:
    assert text[at : at + 1] != to
    return text[:at] + to + text[at + 1 :]


MALFORMED = [
    pytest.param((KEY.text, SEALED), 0, TEXT, id="nothing"),
    pytest.param((b"", SEALED), 10008, "NO_RANDOM_KEY", id="key empty"),
    pytest.param((b"!!!! not base64 " * 5, SEALED), 10008, "NO_RANDOM_KEY", id="key not base64"),
    pytest.param((KEY.text[:-4], SEALED), 10008, "NO_RANDOM_KEY", id="key cut by four"),
    pytest.param((KEY.text.rstrip(b"="), SEALED), 10008, "NO_RANDOM_KEY", id="key without its padding"),
    pytest.param((KEY.text + b"\n", SEALED), 10008, "NO_RANDOM_KEY", id="key with a line end"),
    pytest.param((b"====", SEALED), ABORTS, "NO_RANDOM_KEY", id="key of padding alone"),
    pytest.param((RandomKey.new(RNG).text, SEALED), 10008, "UNDECRYPTABLE", id="key of another message"),
    pytest.param((KEY.text, b""), ABORTS, "ENVELOPE_MALFORMED", id="message empty"),
    pytest.param((KEY.text, SEALED[:12]), ABORTS, "ENVELOPE_MALFORMED", id="message of 12"),
    pytest.param((KEY.text, SEALED[:44]), 10008, "ENVELOPE_MALFORMED", id="message of 44"),
    pytest.param((KEY.text, SEALED[:45]), 10005, "ENVELOPE_MALFORMED", id="message of 45"),
    pytest.param((KEY.text, SEALED[:60]), ABORTS, "ENVELOPE_MALFORMED", id="message of 60"),
    pytest.param((KEY.text, SEALED[:-1]), 10006, "ENVELOPE_MALFORMED", id="message short of one"),
    pytest.param((KEY.text, SEALED + b"AAAA"), 10006, "ENVELOPE_MALFORMED", id="message longer by four"),
    pytest.param((KEY.text, b"?" * 13 + SEALED[13:]), 0, TEXT, id="first filler changed"),
    pytest.param((KEY.text, SEALED[:13] + b"?" * 32 + SEALED[45:]), 10008, "UNDECRYPTABLE", id="k0 changed"),
    pytest.param((KEY.text, changed(SEALED, MIDDLE, b"!")), 0, "ENVELOPE_MALFORMED", id="no base64 in the body: ours is strict"),
    pytest.param(with_info(b"\xff\xff\xff"), 10005, "UNDECRYPTABLE", id="info is no protobuf"),
    pytest.param(with_info(b""), 10005, "UNDECRYPTABLE", id="info empty"),
    pytest.param(with_info(key_info(KEY.k1, 7, 11, 0)), 10005, "UNDECRYPTABLE", id="s_len of none"),
    pytest.param(with_info(key_info(KEY.k1, 7, 11, -9)), 10005, "UNDECRYPTABLE", id="s_len negative"),
    pytest.param(with_info(key_info(KEY.k1, 999, 11, 9)), 10005, "ENVELOPE_MALFORMED", id="pre_len too large"),
    pytest.param(with_info(key_info(KEY.k1, 7, 999, 9)), 10005, "ENVELOPE_MALFORMED", id="end_len too large"),
    pytest.param(with_info(key_info(KEY.k1, len(SEALED) - 50, 0, 9)), ABORTS, "ENVELOPE_MALFORMED", id="s_len past the end"),
    pytest.param(with_info(key_info(KEY.k1, 7 + 2**32, 11, 9)), 0, "UNDECRYPTABLE", id="pre_len above 32 bits: ours is strict"),
    pytest.param(with_info(key_info(KEY.k1, 7, 11, 9) + b"\x28\x05"), 0, TEXT, id="an unknown number in the info"),
    pytest.param(with_info(key_info(KEY.k1, 7, 11, 9) + b"\x32\x01a"), 0, TEXT, id="an unknown string in the info"),
    pytest.param(with_info(key_info(KEY.k1, 7, 11, 9) + b"\x4b\x4c"), 0, "UNDECRYPTABLE", id="a group in the info: ours is strict"),
    pytest.param(with_info(key_info(KEY.k1 + b"more", 7, 11, 9)), 0, TEXT, id="k1 longer than 32"),
    pytest.param(with_info(key_info(b"k" * 32, 7, 11, 9)), 10006, "UNDECRYPTABLE", id="another k1"),
    pytest.param(with_info(key_info(b"", 7, 11, 9)), 10006, "UNDECRYPTABLE", id="k1 empty"),
]


@pytest.mark.parametrize(("case", "code", "opened_or_refusal"), MALFORMED)
def test_each_kind_of_damage_ends_as_the_table_says(case: Case, code: int, opened_or_refusal: bytes | str) -> None:
    ((answered, plaintext),) = vendor([case])
    assert (answered, ours(*case)) == (code, opened_or_refusal)
    if isinstance(opened_or_refusal, bytes):
        assert plaintext == opened_or_refusal


def is_strict(text: bytes) -> bool:
    try:
        return base64.b64encode(base64.b64decode(text, validate=True)) == text
    except ValueError:
        return False


def body_of(message: bytes, key: RandomKey) -> bytes:
    begin = 45 + key.pre_len
    return message[begin : begin + key.s_len] + message[begin + 2 * key.s_len : len(message) - key.end_len]


ODD_LENGTHS = (-1, -45, -46, 1 << 31, 1 << 40)


def fuzzed(rng: random.Random) -> tuple[str, bool, Case]:
    """Return the kind of damage, whether our strictness explains a refusal that the library does not share, and the case."""
    key = RandomKey.new(
        rng, pre_len=rng.choice((0, 1, 5, 40, 200)), end_len=rng.choice((0, 1, 5, 40, 200)), s_len=rng.choice((1, 2, 8, 30, 44))
    )
    message, text = bytearray(seal(rng.randbytes(rng.randrange(200)), key, rng)), bytearray(key.text)
    kind = rng.choice(("none", "message", "key", "cut", "longer", "info"))
    strange = False
    if kind == "message":
        message[rng.randrange(len(message))] = rng.randrange(1, 128)
    elif kind == "key":
        text[rng.randrange(len(text))] = rng.choice([rng.randrange(1, 128), rng.choice(ALPHABET)])
    elif kind == "cut":
        del message[rng.randrange(len(message)) :]
    elif kind == "longer":
        at = rng.randrange(len(message))
        message[at:at] = bytes(rng.randrange(1, 128) for _ in range(rng.randrange(1, 9)))
    elif kind == "info":
        pre = rng.choice((key.pre_len, key.pre_len, key.pre_len + (1 << 32), *ODD_LENGTHS))
        end = rng.choice((key.end_len, key.end_len, key.end_len + (1 << 32), *ODD_LENGTHS))
        s = rng.choice((key.s_len, key.s_len, key.s_len + (1 << 32), 0, 1 << 30))
        parts = [b"\x0a\x20" + key.k1, b"\x10" + varint(pre), b"\x18" + varint(end), b"\x20" + varint(s)]
        extra = [b"\x28\x05", b"\x32\x01a", b"\x3d1234", b"\x41" + b"1" * 8, b"\x4b\x4c", b"\x12\x00", rng.randbytes(2)]
        parts += rng.sample(extra, rng.randrange(4))
        rng.shuffle(parts)
        text = bytearray(aes_seal(b"".join(parts), key.k0, rng))
        strange = not (0 <= pre < 2**31 and 0 <= end < 2**31 and 0 < s < 2**31) or b"\x4b\x4c" in parts or extra[-1] in parts
    cut_in_filler = len(message) < 45 + key.pre_len + 2 * key.s_len + key.end_len
    explained = strange or cut_in_filler or not is_strict(bytes(text)) or not is_strict(body_of(bytes(message), key))
    return kind, explained, (bytes(text), bytes(message))


def test_on_damaged_records_ours_opens_nothing_that_the_library_does_not() -> None:
    rng = random.Random(20261122)
    drawn = [fuzzed(rng) for _ in range(2_000)]
    results = vendor([case for _, _, case in drawn])
    seen: Counter[str] = Counter()
    keys = after_rsa(case[0] for _, _, case in drawn)
    for (kind, explained, case), (code, plaintext), key in zip(drawn, results, keys, strict=True):
        mine = opened_by_us(key, case[1])
        if isinstance(mine, bytes):
            assert (code, plaintext) == (0, mine), kind
        elif code == 0:
            assert explained, (kind, mine, case)
        seen[
            "opened by both" if isinstance(mine, bytes) else "ours is strict" if code == 0 else "aborts" if code == ABORTS else "refused"
        ] += 1
    # The draw reaches every outcome, or the comparison would say nothing.
    assert min(seen[outcome] for outcome in ("opened by both", "ours is strict", "aborts", "refused")) >= 10, seen
