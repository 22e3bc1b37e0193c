"""SHA-256 of short inputs: the published vectors, the interpreter's library as oracle, and what happens where a processor's own instructions err."""

from __future__ import annotations

import random
import sys
from hashlib import sha256
from pathlib import Path

import pytest
import stringzilla

from pipeline import digests


# NIST, Cryptographic Standards and Guidelines, example values of SHA-256.
@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(b"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", id="nothing"),
        pytest.param(b"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", id="one block"),
        pytest.param(
            b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1", id="the length goes into a second block",
        ),
        pytest.param(b"a" * 1_000_000, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0", id="a million"),
    ],
)  # fmt: skip
def test_digests_are_those_of_the_standard(data: bytes, expected: str) -> None:
    assert digests.sha256_of(data).hex() == expected
    assert digests.by_hashlib(data).hex() == expected


def test_digests_of_every_length_are_those_of_the_interpreter() -> None:
    drawn = random.Random(3).randbytes(1_500)
    assert [digests.sha256_of(drawn[:n]) for n in range(1_500)] == [sha256(drawn[:n]).digest() for n in range(1_500)]


@pytest.mark.skipif(sys.platform != "linux", reason="what the processor can is read as Linux tells it")
def test_the_quick_function_is_used_where_the_processor_has_instructions_for_it() -> None:
    told = set(Path("/proc/cpuinfo").read_text().split())
    assert digests.sha256_of is (stringzilla.sha256 if told & {"sha_ni", "sha2"} else digests.by_hashlib)


@pytest.mark.parametrize(
    ("instructions", "quick"),
    [
        pytest.param(("serial", "westmere", "goldmont", "haswell"), True, id="SHA-NI"), pytest.param(("serial", "neon", "neonsha"), True, id="ARM"),
        pytest.param(("serial", "westmere", "haswell"), False, id="a processor of 2014"), pytest.param((), False, id="nothing known"),
    ],
)  # fmt: skip
def test_without_such_instructions_hashlib_is_used(instructions: tuple[str, ...], quick: bool) -> None:
    assert digests.chosen(instructions) is (stringzilla.sha256 if quick else digests.by_hashlib)


@pytest.mark.parametrize("length", [0, 55, 56, 63, 64, 119, 319, 65_537])
def test_a_function_that_errs_once_is_not_used(length: int) -> None:
    def errs(data: bytes) -> bytes:
        return sha256(data + b"\0" if len(data) == length else data).digest()

    assert digests.proven(errs) is digests.by_hashlib
