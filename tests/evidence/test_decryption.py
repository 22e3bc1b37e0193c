"""With the padded RSA block anybody opens the sealed bytes by the public key alone; both verifiers do, and name what does not fit."""

from __future__ import annotations

import importlib
import json
import os
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CBC

from pipeline.errors import UsageError
from pipeline.evidence import decryption
from pipeline.home import Home
from tests import firm
from tests.evidence import case
from tests.evidence.bag import Files, edit, refused_by_both, unzipped, verdicts, zipped

script: Any = importlib.import_module("pipeline.evidence.bundled.verify")  # for strangers: without annotations


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return case.home(tmp_path_factory.mktemp("decryption"))


@pytest.fixture(scope="module")
def proved(archive: Home) -> bytes:
    return case.export(archive, prove=True)[0]


def test_by_default_nothing_is_given_away(archive: Home) -> None:
    assert not [n for n in unzipped(case.export(archive)[0]) if n.startswith("data/decryption/")]


def test_both_verifiers_open_the_sealed_bytes_without_the_private_key(proved: bytes, tmp_path: Path) -> None:
    files = unzipped(proved)
    assert sum(n.startswith("data/decryption/0") for n in files) == 10
    ours, (code, words) = verdicts(tmp_path, proved)
    assert (ours, code) == ("", 0), words


def test_a_proof_is_the_padded_block_and_nothing_of_the_key(proved: bytes) -> None:
    files = unzipped(proved)
    numbers = firm.private_key(1).public_key().public_numbers()
    assert json.loads(files["data/decryption/key-000001.json"]) == {"version": 1, "n": f"{numbers.n:x}", "e": 65537}
    one = json.loads(files["data/decryption/000000000000.json"])
    assert set(one) == {"leaf", "key_version", "block"}
    sealed = b64decode(json.loads(files["data/raw/000000000000.envelope.json"])["encrypt_random_key"])
    assert pow(int(one["block"], 16), 65537, numbers.n) == int.from_bytes(sealed, "big")
    secret = firm.private_key(1).private_numbers()
    everything = b"".join(files.values())
    assert not any(f"{n:x}".encode() in everything for n in (secret.d, secret.p, secret.q))


PROOF, KEY = "data/decryption/000000000000.json", "data/decryption/key-000001.json"


def _other_block(files: Files) -> None:
    edit(files, PROOF, lambda p: p.update(block=json.loads(files["data/decryption/000000000001.json"])["block"]))


def _other_modulus(files: Files) -> None:
    edit(files, KEY, lambda k: k.update(n=f"{int(k['n'], 16) + 2:x}"))


def _huge_modulus(files: Files) -> None:
    edit(files, KEY, lambda k: k.update(n="f" * 2_000_001))


def _huge_exponent(files: Files) -> None:
    edit(files, KEY, lambda k: k.update(e=2**60 + 1))


def _missing(files: Files) -> None:
    del files[PROOF]


def _of_no_record(files: Files) -> None:
    files["data/decryption/000000000099.json"] = files[PROOF]


def _other_version(files: Files) -> None:
    edit(files, PROOF, lambda p: p.update(key_version=2))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("damage", "named"),
    [
        pytest.param(_other_block, "record 0: the proof of decryption does not open", id="the block of another record"),
        pytest.param(_other_modulus, "does not open", id="another public key"),
        pytest.param(_huge_modulus, "key-000001.json is no RSA key", id="a modulus that would take for ever"),
        pytest.param(_huge_exponent, "key-000001.json is no RSA key", id="an exponent that would take for ever"),
        pytest.param(_missing, "000000000000.json", id="one proof left out"),
        pytest.param(_of_no_record, "000000000099.json", id="a proof of no record"),
        pytest.param(_other_version, "under another key", id="another key version"),
    ],
)
def test_both_verifiers_name_what_was_changed(proved: bytes, tmp_path: Path, damage: Any, named: str) -> None:
    files = unzipped(proved)
    damage(files)
    refused_by_both(tmp_path, zipped(files), named)


def test_without_the_private_key_no_proof_is_promised() -> None:
    from pipeline.enterprise_keys import KeySet

    with pytest.raises(UsageError) as told:
        decryption.public_numbers([7], KeySet.of({1: firm.private_key(1)}))
    assert told.value.code == "KEY_MISSING"


def test_the_verifiers_own_aes_is_that_of_the_standard() -> None:
    key, block = bytes(range(32)), bytes.fromhex("00112233445566778899aabbccddeeff")  # FIPS 197, C.3
    iv = bytes(a ^ b for a, b in zip(block, b"\x10" * 16, strict=True))  # makes the plaintext one block of padding, which is taken off
    assert script.aes_cbc(iv + bytes.fromhex("8ea2b7ca516745bfeafc49904b496089"), key) == b""


@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 500])
def test_the_verifiers_own_aes_opens_what_openssl_sealed(size: int) -> None:
    key, iv, plain = os.urandom(32), os.urandom(16), os.urandom(size)
    sealer = Cipher(AES256(key), CBC(iv)).encryptor()
    sealed = iv + sealer.update(plain + bytes([16 - size % 16]) * (16 - size % 16)) + sealer.finalize()
    assert script.aes_cbc(sealed, key) == plain
