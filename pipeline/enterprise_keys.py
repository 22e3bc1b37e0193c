"""The enterprise's RSA private keys: read from what an officer has, told apart by version, ready in every worker.

Before: the operator's PEM file, home.py (which stores them encrypted). After: envelope.py.

A key is chosen by `publickey_ver` alone (wecom-archive.md 2.2): never try all of them, a wrong key mostly answers with random bytes.
A key is checked in full once, when it is added (some 60 ms); what the home stored is loaded without that check.
No error here tells anything of a key but its kind and size, and no representation shows one.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization as ser
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from pipeline.errors import UsageError

SOURCE_BITS = 2048
LARGER_BITS = (3072, 4096)
FINGERPRINT_HEX = 16
MAX_PEM = 1 << 18

_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]*)-----(.*?)-----END \1-----", re.DOTALL)
_KNOWN_ANSWER = b"liuhen known answer"


# Why a file is refused (code without PRIVATE_KEY_): the sentence, and what to do. {0} is filled in by the caller.
REFUSALS: dict[str, tuple[str, str]] = {
    "NOT_PEM": ("the file holds no private key in PEM (-----BEGIN … PRIVATE KEY-----)", "give the file that openssl genrsa made"),
    "IS_PUBLIC": ("the file holds a public key, expected the private one", "give the file whose public half is in the console"),
    "IS_CERTIFICATE": ("the file holds a certificate, expected a private key", "give the private key that belongs to it"),
    "OPENSSH": ("the file holds a key in the form of OpenSSH, expected PEM", "turn a copy of it into PEM: ssh-keygen -p -m PEM -f COPY"),
    "TWICE": ("the file holds {0} private keys, expected one", "give one file for each version"),
    "PASSPHRASE_MISSING": ("the private key is encrypted and no passphrase came", "name its environment variable with --passphrase-env"),
    "PASSPHRASE_WRONG": (
        "the passphrase does not open the private key",
        "check its environment variable, then whether the file is damaged",
    ),
    "DAMAGED": ("the private key cannot be read: it is damaged or cut", "take the file from its backup"),
    "NOT_RSA": ("the file holds a key of another kind ({0}), expected RSA", "give the key whose public half is in the console"),
    "SIZE": ("the RSA key has {0} bits, expected 2048", "give the key whose public half is in the console"),
    "SELF_TEST": ("the private key does not open what its public half sealed", "take the file from its backup"),
}


def load_private_key(pem: bytes, passphrase: bytes | None = None) -> RSAPrivateKey:
    """Return the RSA private key in PEM bytes: PKCS#1 or PKCS#8, either encrypted or not, also with other blocks or text around it.

    A passphrase for a key that is not encrypted is ignored. Raises UsageError PRIVATE_KEY_… with one of REFUSALS."""
    label, block = _private_block(pem)
    if label == b"OPENSSH PRIVATE KEY":
        raise _refused("OPENSSH")
    encrypted = label == b"ENCRYPTED PRIVATE KEY" or b"Proc-Type: 4,ENCRYPTED" in block
    if encrypted and not passphrase:
        raise _refused("PASSPHRASE_MISSING")
    key = _load(block, passphrase if encrypted else None)
    if not isinstance(key, RSAPrivateKey):
        raise _refused("NOT_RSA", type(key).__name__.removesuffix("PrivateKey"))
    if key.key_size not in (SOURCE_BITS, *LARGER_BITS):
        raise _refused("SIZE", key.key_size)
    return key


def _private_block(pem: bytes) -> tuple[bytes, bytes]:
    """Return the label and the PEM block of the one private key, in proper lines."""
    if len(pem) > MAX_PEM:
        raise _refused("NOT_PEM")
    blocks = _BLOCK.findall(pem.replace(b"\r\n", b"\n").replace(b"\r", b"\n"))
    private = [(label, body) for label, body in blocks if label.endswith(b"PRIVATE KEY")]
    labels = b"\n".join(label for label, _ in blocks)
    if len(private) > 1:
        raise _refused("TWICE", len(private))
    if private:
        label, body = private[0]
        return label, b"-----BEGIN %b-----\n%b\n-----END %b-----\n" % (label, _rewrapped(body), label)
    if b"PUBLIC KEY" in labels:
        raise _refused("IS_PUBLIC")
    raise _refused("IS_CERTIFICATE" if b"CERTIFICATE" in labels else "DAMAGED" if b"PRIVATE KEY" in pem else "NOT_PEM")


def _rewrapped(body: bytes) -> bytes:
    """Break a key that was pasted on one line, or indented, into PEM lines; header lines (`Proc-Type: …`) stay."""
    head, gap, rest = body.strip().rpartition(b"\n\n")
    text = b"".join(rest.split())
    return head + gap + b"\n".join(text[i : i + 64] for i in range(0, len(text), 64))


def _load(block: bytes, passphrase: bytes | None) -> object:
    try:
        return ser.load_pem_private_key(block, passphrase)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # The library's words are not shown. With a wrong passphrase one key in 256 passes for decrypted and is found unreadable only then,
        # so that the two causes cannot be told apart.
        raise _refused("DAMAGED" if passphrase is None else "PASSPHRASE_WRONG") from None


def _refused(cause: str, *values: object) -> UsageError:
    sentence, remedy = REFUSALS[cause]
    return UsageError(f"PRIVATE_KEY_{cause}", sentence.format(*values), remedy=remedy)


def size_warning(key: RSAPrivateKey) -> str | None:
    """Return a sentence for a key larger than the source is known to use, or None."""
    if key.key_size == SOURCE_BITS:
        return None
    return f"the RSA key has {key.key_size} bits; the source is documented to seal with {SOURCE_BITS}: check that this is the right key"


def fingerprint(key: RSAPrivateKey) -> str:
    """Return 16 hexadecimal digits that tell keys apart: the beginning of SHA-256 of the public half (SubjectPublicKeyInfo, DER)."""
    public = key.public_key().public_bytes(ser.Encoding.DER, ser.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(public).hexdigest()[:FINGERPRINT_HEX]


def private_der(key: RSAPrivateKey) -> bytes:
    """Return the private key as unencrypted PKCS#8 DER: for storing under encryption, nothing else."""
    return key.private_bytes(ser.Encoding.DER, ser.PrivateFormat.PKCS8, ser.NoEncryption())


def self_test(key: RSAPrivateKey) -> None:
    """Seal a known text with the public half and open it again; raises UsageError PRIVATE_KEY_SELF_TEST when another comes out."""
    sealed = key.public_key().encrypt(_KNOWN_ANSWER, padding.PKCS1v15())
    try:
        opened = key.decrypt(sealed, padding.PKCS1v15())
    except ValueError:
        opened = b""
    if opened != _KNOWN_ANSWER:
        raise _refused("SELF_TEST")


def _load_unchecked(der: bytes) -> RSAPrivateKey:
    key = ser.load_der_private_key(der, None, unsafe_skip_rsa_key_validation=True)
    if not isinstance(key, RSAPrivateKey):
        raise TypeError("a stored enterprise key is no RSA key")
    return key


class KeySet(Mapping[int, RSAPrivateKey]):
    """The private keys of one corp by version: frozen, loaded, and sent to another process as DER.

    Pickled it holds the keys in clear: send it between processes of one machine only, never into a file or another's job server."""

    __slots__ = ("_ders", "_keys", "fingerprints")

    def __init__(self, ders: Mapping[int, bytes]) -> None:
        self._ders = dict(ders)
        self._keys = {version: _load_unchecked(der) for version, der in sorted(ders.items())}
        # version → fingerprint of the key that was tried, for failures
        self.fingerprints: Mapping[int, str] = MappingProxyType({v: fingerprint(k) for v, k in self._keys.items()})

    @classmethod
    def from_der(cls, ders: Mapping[int, bytes]) -> KeySet:
        """Return the key set of PKCS#8 DER bytes that were made by `private_der` from checked keys."""
        return cls(ders)

    @classmethod
    def of(cls, keys: Mapping[int, RSAPrivateKey]) -> KeySet:
        """Return the key set of keys that are loaded already."""
        return cls({version: private_der(key) for version, key in keys.items()})

    def __getitem__(self, version: int) -> RSAPrivateKey:
        return self._keys[version]

    def __contains__(self, version: object) -> bool:
        return version in self._keys  # asked for every record; Mapping's own way is to try and to catch

    def __iter__(self) -> Iterator[int]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, KeySet) and self.fingerprints == other.fingerprints

    def __hash__(self) -> int:
        return hash(tuple(self.fingerprints.items()))

    def __repr__(self) -> str:
        return f"KeySet({dict(self.fingerprints)})"

    def __reduce__(self) -> tuple[Callable[[Mapping[int, bytes]], KeySet], tuple[dict[int, bytes]]]:
        return KeySet, (self._ders,)
