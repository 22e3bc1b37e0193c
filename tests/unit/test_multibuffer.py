"""Several RSA operations at once answer what one after the other answers, and machines that cannot go on with OpenSSL."""

from __future__ import annotations

import ctypes
import random
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15

from pipeline import multibuffer, words
from pipeline.doctor import keys as doctor_keys
from pipeline.enterprise_keys import KeySet
from pipeline.envelope import OpenSslRsa
from pipeline.multibuffer import MultiBufferRsa, Unavailable, unpadded
from pipeline.workbench import Workbench
from tests import firm
from tests.firm import message, page, run

KEYS = KeySet.of({
    1: rsa.generate_private_key(65537, 2048), 2: rsa.generate_private_key(65537, 2048),
    3: rsa.generate_private_key(65537, 3072), 4: rsa.generate_private_key(3, 2048),
})  # fmt: skip
MODULUS = KEYS[1].public_key().public_numbers().n


def can() -> str:
    """What keeps this machine from doing several at once; empty when nothing does."""
    try:
        multibuffer.library()
    except Unavailable as error:
        return str(error)
    return ""


def sealed(version: int, text: bytes) -> tuple[int, bytes]:
    return version, KEYS[version].public_key().encrypt(text, PKCS1v15())


# Both ways to do it, or the one that this machine has: there the other must say why not, and OpenSSL takes its place (the last two tests).
WAYS = [pytest.param(OpenSslRsa, id="one by one"), *([] if can() else [pytest.param(MultiBufferRsa, id="eight at once")])]


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 40])
@pytest.mark.parametrize("way", WAYS)
def test_blocks_of_all_keys_open_in_their_order(way: Any, count: int) -> None:
    texts = [b"%03d" % n * 29 for n in range(count)]
    versions = [random.Random(n).choice([1, 1, 1, 2, 3, 4]) for n in range(count)]
    assert way(KEYS).decrypt_many([sealed(v, t) for v, t in zip(versions, texts, strict=True)]) == texts


@pytest.mark.parametrize(
    "block",
    [
        pytest.param(MODULUS.to_bytes(256, "big"), id="the modulus itself"),
        pytest.param(b"\xff" * 256, id="more than the modulus"),
        pytest.param(b"", id="nothing"),
        pytest.param(b"\1" * 255, id="a byte too few"),
        pytest.param(b"\1" * 257, id="a byte too many"),
    ],
)
@pytest.mark.parametrize("way", WAYS)
def test_what_is_no_ciphertext_of_the_key_opens_to_nothing_and_disturbs_no_other(way: Any, block: bytes) -> None:
    good = sealed(1, b"good")
    assert way(KEYS).decrypt_many([good, (1, block), good]) == [b"good", None, b"good"]


@pytest.mark.parametrize("number", [0, 1, MODULUS - 1, 1 << 2000], ids=["0", "1", "the largest", "2^2000"])
def test_numbers_without_padding_open_to_nothing(number: int) -> None:
    if not can():
        assert MultiBufferRsa(KEYS).decrypt_many([(1, number.to_bytes(256, "big"))]) == [None]
    assert unpadded(pow(number, KEYS[1].private_numbers().d, MODULUS).to_bytes(256, "big")) is None


@pytest.mark.parametrize(
    ("block", "text"),
    [
        pytest.param(b"\0\2" + b"p" * 8 + b"\0text", b"text", id="eight bytes of padding"),
        pytest.param(b"\0\2" + b"p" * 7 + b"\0text", None, id="seven"),
        pytest.param(b"\0\2" + b"p" * 8 + b"\0", b"", id="padding and nothing after it"),
        pytest.param(b"\0\2" + b"p" * 9, None, id="no end"),
        pytest.param(b"\0\1" + b"p" * 8 + b"\0text", None, id="type 1, which signs"),
        pytest.param(b"\1\2" + b"p" * 8 + b"\0text", None, id="no leading zero"),
        pytest.param(b"\0\2" + b"p" * 8 + b"\0a\0b", b"a\0b", id="a zero in the text"),
    ],
)
def test_padding_is_taken_off_by_rfc_8017(block: bytes, text: bytes | None) -> None:
    assert unpadded(block) == text


def test_a_processor_that_errs_is_seen_and_the_record_is_opened_by_openssl(monkeypatch: pytest.MonkeyPatch) -> None:
    if why := can():
        pytest.skip(f"not on this machine: {why}; the next tests say what it does")
    right = multibuffer.library().mbx_rsa_private_crt_mb8

    def wrong(given: Any, got: Any, *rest: Any) -> int:
        said = int(right(given, got, *rest))
        ctypes.memset(got[2], 0x55, 3)  # lane 2, as a fault in one prime would
        return said

    ways = MultiBufferRsa(KEYS)
    monkeypatch.setattr(multibuffer.library(), "mbx_rsa_private_crt_mb8", wrong)
    texts = [b"%d" % n for n in range(8)]
    opened = list(ways._lanes[1].private([sealed(1, t)[1] for t in texts]))
    assert [n for n, block in enumerate(opened) if block is None] == [2]
    assert ways.decrypt_many([sealed(1, t) for t in texts]) == texts


def test_entries_of_a_library_are_taken_out_by_name_and_nothing_else(tmp_path: Path) -> None:
    path = Path(sys.prefix) / "lib" / multibuffer.LIBRARY
    if not path.is_file():
        pytest.skip("pyproject.toml installs the library on x86_64 alone")
    image = path.read_bytes()
    made = multibuffer.without_needed(image, multibuffer.UNUSED)
    assert len(made) == len(image) and made != image
    assert multibuffer.without_needed(made, multibuffer.UNUSED) == made
    assert multibuffer.without_needed(image, frozenset()) == image


@pytest.mark.parametrize("why", ["not_installed", "processor", "loading", "self_test"])
def test_where_it_is_not_possible_openssl_opens_and_the_doctor_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, why: str) -> None:
    def refuse() -> Any:
        raise Unavailable(why)

    monkeypatch.setattr(multibuffer, "library", refuse)
    home = firm.home(tmp_path, settings={"ingest.rsa": "multi-buffer"})
    bench = Workbench(home, firm.CORP, home.lake(firm.CORP).snapshot())
    assert isinstance(bench.rsa, OpenSslRsa)
    found = doctor_keys.look_rsa(home)
    assert (found.state, found.outcome) == ("warning", why)
    assert words.catalogue()[f"doctor.rsa.{why}"]["zh"] and words.catalogue()[f"doctor.rsa.{why}.fix"]["zh"]


@pytest.mark.parametrize("asked", ["openssl", "multi-buffer"])
def test_an_archive_is_the_same_by_both_ways(tmp_path: Path, asked: str) -> None:
    home = firm.home(tmp_path, settings={"ingest.rsa": asked})
    run(home, page(tmp_path, "a.json", {n: message(n, f"第 {n} 条") for n in range(1, 12)}))
    bench = Workbench(home, firm.CORP, home.lake(firm.CORP).snapshot())
    assert isinstance(bench.rsa, MultiBufferRsa if asked == "multi-buffer" and not can() else OpenSslRsa)
    texts = home.lake(firm.CORP).read("messages", home.lake(firm.CORP).snapshot().of("messages"), columns=["seq", "text"]).sort_by("seq")["text"].to_pylist()
    assert texts == [f"第 {n} 条" for n in range(1, 12)]
    assert doctor_keys.look_rsa(home).state == ("ok" if asked == "openssl" or not can() else "warning")
