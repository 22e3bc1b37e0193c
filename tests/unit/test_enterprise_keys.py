"""Private keys: every form an officer may have, one clear sentence for what is none, and nothing of a key shown anywhere."""

from __future__ import annotations

import base64
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import serialization as ser
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from pipeline.enterprise_keys import REFUSALS, KeySet, fingerprint, load_private_key, private_der, self_test, size_warning
from pipeline.errors import UsageError

KEY = rsa.generate_private_key(65537, 2048)
OTHER = rsa.generate_private_key(65537, 2048)
NUMBERS = KEY.private_numbers()
PKCS1, PKCS8 = ser.PrivateFormat.TraditionalOpenSSL, ser.PrivateFormat.PKCS8


def pem(
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey, form: ser.PrivateFormat, passphrase: bytes = b""
) -> bytes:
    encryption = ser.BestAvailableEncryption(passphrase) if passphrase else ser.NoEncryption()
    return key.private_bytes(ser.Encoding.PEM, form, encryption)


def one_line(text: bytes) -> bytes:
    head, *body, tail = text.strip().split(b"\n")
    return head + b"".join(body) + tail


def public_pem(key: rsa.RSAPrivateKey, form: ser.PublicFormat) -> bytes:
    return key.public_key().public_bytes(ser.Encoding.PEM, form)


def signing_request(key: rsa.RSAPrivateKey) -> bytes:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    return x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256()).public_bytes(ser.Encoding.PEM)


PLAIN1, PLAIN8 = pem(KEY, PKCS1), pem(KEY, PKCS8)
LOCKED1, LOCKED8 = pem(KEY, PKCS1, b"secret"), pem(KEY, PKCS8, b"secret")

READABLE = [
    pytest.param(PLAIN1, None, id="PKCS#1"),
    pytest.param(PLAIN8, None, id="PKCS#8"),
    pytest.param(LOCKED1, b"secret", id="PKCS#1 encrypted"),
    pytest.param(LOCKED8, b"secret", id="PKCS#8 encrypted"),
    pytest.param(PLAIN8, b"not needed", id="a passphrase for a key without one"),
    pytest.param(PLAIN1.replace(b"\n", b"\r\n"), None, id="Windows line ends"),
    pytest.param(LOCKED1.replace(b"\n", b"\r\n"), b"secret", id="Windows line ends, encrypted"),
    pytest.param(b"\xef\xbb\xbf" + PLAIN1, None, id="byte order mark"),
    pytest.param(b"\n  \n" + PLAIN1 + b"\n\n", None, id="blank lines"),
    pytest.param(PLAIN1.replace(b"\n", b"\n    "), None, id="indented"),
    pytest.param(one_line(PLAIN1), None, id="pasted on one line"),
    pytest.param(one_line(PLAIN8), None, id="pasted on one line, PKCS#8"),
    pytest.param(b"Bag Attributes\n  localKeyID: 01\n" + PLAIN8, None, id="text before it, as from a .p12"),
    pytest.param(public_pem(KEY, ser.PublicFormat.SubjectPublicKeyInfo) + PLAIN1, None, id="a public key before it"),
    pytest.param(PLAIN1 + signing_request(OTHER), None, id="another block after it"),
]


@pytest.mark.parametrize(("data", "passphrase"), READABLE)
def test_a_private_key_is_read_in_every_usual_form(data: bytes, passphrase: bytes | None) -> None:
    assert load_private_key(data, passphrase).private_numbers() == NUMBERS


def wrong_character(text: bytes) -> bytes:
    return text[:300] + (b"A" if text[300:301] != b"A" else b"B") + text[301:]


REFUSED = [
    pytest.param(b"", None, "NOT_PEM", id="nothing"),
    pytest.param(b"hello", None, "NOT_PEM", id="text"),
    pytest.param(private_der(KEY), None, "NOT_PEM", id="DER"),
    pytest.param(b"x" * 300_000 + PLAIN1, None, "NOT_PEM", id="far too large"),
    pytest.param(PLAIN1[:600], None, "DAMAGED", id="cut"),
    pytest.param(wrong_character(PLAIN1), None, "DAMAGED", id="one character changed"),
    pytest.param(PLAIN1.replace(b"RSA PRIVATE", b"EC PRIVATE"), None, "DAMAGED", id="another label"),
    pytest.param(public_pem(KEY, ser.PublicFormat.SubjectPublicKeyInfo), None, "IS_PUBLIC", id="public key"),
    pytest.param(public_pem(KEY, ser.PublicFormat.PKCS1), None, "IS_PUBLIC", id="public key, PKCS#1"),
    pytest.param(signing_request(KEY), None, "IS_CERTIFICATE", id="signing request"),
    pytest.param(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", None, "IS_CERTIFICATE", id="certificate"),
    pytest.param(pem(KEY, ser.PrivateFormat.OpenSSH), None, "OPENSSH", id="OpenSSH"),
    pytest.param(PLAIN1 + PLAIN8, None, "TWICE", id="two keys"),
    pytest.param(LOCKED1, None, "PASSPHRASE_MISSING", id="PKCS#1 without its passphrase"),
    pytest.param(LOCKED8, None, "PASSPHRASE_MISSING", id="PKCS#8 without its passphrase"),
    pytest.param(LOCKED8, b"", "PASSPHRASE_MISSING", id="PKCS#8 with an empty passphrase"),
    pytest.param(LOCKED1, b"Secret", "PASSPHRASE_WRONG", id="PKCS#1 with a wrong passphrase"),
    pytest.param(LOCKED8, b"Secret", "PASSPHRASE_WRONG", id="PKCS#8 with a wrong passphrase"),
    pytest.param(pem(ec.generate_private_key(ec.SECP256R1()), PKCS1), None, "NOT_RSA", id="elliptic curve"),
    pytest.param(pem(ed25519.Ed25519PrivateKey.generate(), PKCS8), None, "NOT_RSA", id="Ed25519"),
    pytest.param(pem(rsa.generate_private_key(65537, 1024), PKCS1), None, "SIZE", id="1024 bits"),
    pytest.param(pem(rsa.generate_private_key(65537, 2056), PKCS1), None, "SIZE", id="2056 bits"),
]


@pytest.mark.parametrize(("data", "passphrase", "cause"), REFUSED)
def test_what_is_no_usable_private_key_is_refused_in_one_sentence(data: bytes, passphrase: bytes | None, cause: str) -> None:
    with pytest.raises(UsageError) as error:
        load_private_key(data, passphrase)
    assert error.value.code == f"PRIVATE_KEY_{cause}"
    assert str(error.value).count("\n") == 0
    # No words of the library, which might quote what it was given.
    assert error.value.__cause__ is None
    assert error.value.__suppress_context__ or error.value.__context__ is None


def test_every_refusal_can_happen() -> None:
    assert {p.values[2] for p in REFUSED} | {"SELF_TEST"} == set(REFUSALS)


SENTENCES = [
    pytest.param(
        b"x", "the file holds no private key in PEM (-----BEGIN … PRIVATE KEY-----); give the file that openssl genrsa made", id="text"
    ),
    pytest.param(
        public_pem(KEY, ser.PublicFormat.PKCS1),
        "the file holds a public key, expected the private one; give the file whose public half is in the console",
        id="public",
    ),
    pytest.param(
        pem(rsa.generate_private_key(65537, 1024), PKCS1),
        "the RSA key has 1024 bits, expected 2048; give the key whose public half is in the console",
        id="size",
    ),
    pytest.param(
        pem(ec.generate_private_key(ec.SECP256R1()), PKCS8),
        "the file holds a key of another kind (EC), expected RSA; give the key whose public half is in the console",
        id="kind",
    ),
    pytest.param(PLAIN1 + PLAIN1, "the file holds 2 private keys, expected one; give one file for each version", id="two"),
]


@pytest.mark.parametrize(("data", "sentence"), SENTENCES)
def test_the_sentence_says_what_was_found_and_what_to_do(data: bytes, sentence: str) -> None:
    with pytest.raises(UsageError) as error:
        load_private_key(data, None)
    assert str(error.value) == sentence


@pytest.mark.slow
@pytest.mark.parametrize("bits", [3072, 4096])
def test_a_larger_key_is_taken_with_a_warning(bits: int) -> None:
    key = load_private_key(pem(rsa.generate_private_key(65537, bits), PKCS8), None)
    warning = size_warning(key)
    assert warning is not None
    assert warning.startswith(f"the RSA key has {bits} bits")


def test_a_key_of_the_usual_size_has_no_warning() -> None:
    assert size_warning(KEY) is None


def test_the_fingerprint_is_that_of_the_key_not_of_the_file() -> None:
    assert fingerprint(load_private_key(PLAIN1)) == fingerprint(load_private_key(LOCKED8, b"secret"))
    assert fingerprint(OTHER) != fingerprint(KEY)
    assert len(fingerprint(KEY)) == 16
    int(fingerprint(KEY), 16)


def test_a_key_that_opens_what_its_public_half_sealed_passes_the_self_test() -> None:
    self_test(KEY)


def test_a_key_whose_halves_do_not_belong_together_fails_the_self_test() -> None:
    public = rsa.RSAPublicNumbers(e=17, n=NUMBERS.public_numbers.n)
    parts = {name: getattr(NUMBERS, name) for name in ("p", "q", "d", "dmp1", "dmq1", "iqmp")}
    spoilt = rsa.RSAPrivateNumbers(**parts, public_numbers=public).private_key(unsafe_skip_rsa_key_validation=True)
    with pytest.raises(UsageError) as error:
        self_test(spoilt)
    assert error.value.code == "PRIVATE_KEY_SELF_TEST"


def test_a_key_set_gives_keys_by_version() -> None:
    keys = KeySet.from_der({2: private_der(OTHER), 1: private_der(KEY)})
    assert list(keys) == [1, 2]
    assert keys[1].private_numbers() == NUMBERS
    assert keys.fingerprints == {1: fingerprint(KEY), 2: fingerprint(OTHER)}
    assert (1 in keys, 3 in keys, len(keys), len(KeySet.from_der({}))) == (True, False, 2, 0)
    assert keys == KeySet.of({1: KEY, 2: OTHER})
    assert keys != KeySet.of({1: OTHER, 2: KEY})


def test_a_key_set_reaches_another_process(tmp_path: Path) -> None:
    sent = tmp_path / "keys"
    sent.write_bytes(pickle.dumps(KeySet.of({7: KEY})))
    code = "import pickle, sys; keys = pickle.load(open(sys.argv[1], 'rb')); print(keys[7].key_size, dict(keys.fingerprints))"
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code, str(sent)], capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": str(root)}
    )
    assert done.stdout == f"2048 {{7: '{fingerprint(KEY)}'}}\n"


def test_nothing_shown_of_a_key_set_is_secret() -> None:
    shown = f"{KeySet.of({1: KEY})!r} {KeySet.of({1: KEY})}"
    assert shown == f"KeySet({{1: '{fingerprint(KEY)}'}}) KeySet({{1: '{fingerprint(KEY)}'}})"


def test_a_key_set_cannot_be_changed() -> None:
    keys = KeySet.of({1: KEY})
    with pytest.raises(TypeError):
        keys[2] = OTHER  # type: ignore[index]  # that it has no such method is what is tested
    with pytest.raises(TypeError):
        keys.fingerprints[1] = "x"  # type: ignore[index]  # the same


@pytest.mark.fixtures
@pytest.mark.skipif("LIUHEN_FIXTURES" not in os.environ, reason="LIUHEN_FIXTURES does not name the folder of public test data")
def test_a_published_key_opens_its_published_vector_in_every_layout() -> None:
    vector = json.loads((Path(os.environ["LIUHEN_FIXTURES"]) / "callbacks" / "rsa_vector.json").read_text())
    derived = vector["derived"]
    for text in (vector["private_key_pem_oneline"], derived["pkcs1_pem"], derived["pkcs8_pem"], f"\n {derived['pkcs8_pem']} \n"):
        key = load_private_key(text.encode(), None)
        assert key.decrypt(base64.b64decode(vector["cipher_b64"]), padding.PKCS1v15()) == vector["plain"].encode()
