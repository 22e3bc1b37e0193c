"""What a time stamp of a checkpoint proves, checked with rfc3161-client (the extra `stamps`).

Before: nothing. After: stamps.py (when one comes), check.py (in a bundle). Source: RFC 3161; evidence.md, section 5.

Rules: (1) it is over the note's bytes, by SHA-256, SHA-384 or SHA-512; (2) it answers the request beside it: its nonce; (3) it is signed by a
certificate made for time stamps alone, whose chain leads to a root that is given, and was valid **at the time of the stamp**: a chain that
expired since still holds; (4) the certificates inside a token are never roots.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes

from pipeline.errors import UsageError

ALLOWED = {"2.16.840.1.101.3.4.2.1": "sha256", "2.16.840.1.101.3.4.2.2": "sha384", "2.16.840.1.101.3.4.2.3": "sha512"}


class NotAStamp(Exception):
    """A token that does not prove the time of a note; says why."""


class Stamp(msgspec.Struct, frozen=True, kw_only=True):
    """What a stamp says: when (ms, UTC, by the authority), under which policy, and SHA-256 of the roots it was checked with (hex)."""

    at_ms: int
    policy: str
    serial: int
    roots: tuple[str, ...]


def library() -> Any:
    """Return rfc3161_client; raises UsageError STAMP_EXTRA_MISSING."""
    try:
        import rfc3161_client
    except ImportError:
        remedy = "`make extra NAME=stamps` in a checkout, else pip install 'liuhen[stamps]'"
        raise UsageError("STAMP_EXTRA_MISSING", "time stamps need the extra 'stamps'", remedy=remedy) from None
    return rfc3161_client


def certificates(pem: bytes) -> list[x509.Certificate]:
    """Return the certificates of a PEM file; raises ValueError when there is none."""
    return x509.load_pem_x509_certificates(pem)


def checked(note: bytes, response: bytes, roots: Sequence[x509.Certificate], *, request: bytes | None) -> Stamp:
    """Return what a stamp of a note says; raises NotAStamp, UsageError STAMP_EXTRA_MISSING."""
    client = library()
    try:
        found = client.decode_timestamp_response(response)
        if found.status != 0:
            raise NotAStamp(f"the authority refused (status {found.status})")
        info = found.tst_info
        algorithm = ALLOWED.get(info.message_imprint.hash_algorithm.dotted_string)
        if algorithm is None:
            raise NotAStamp("a digest that is not allowed")
        if info.message_imprint.message != hashlib.new(algorithm, note).digest():
            raise NotAStamp("it is over something else")
        builder = client.VerifierBuilder() if request is None else client.VerifierBuilder.from_request(_request(request))
        for root in dict.fromkeys(roots):
            builder = builder.add_root_certificate(root)
        builder.build().verify_message(found, note)
        return Stamp(
            at_ms=round(info.gen_time.timestamp() * 1000), policy=info.policy.dotted_string if info.policy else "", serial=int(info.serial_number),
            roots=tuple(sorted(r.fingerprint(hashes.SHA256()).hex() for r in roots)),
        )  # fmt: skip
    except (client.VerificationError, ValueError, TypeError, x509.InvalidVersion, UnsupportedAlgorithm) as error:
        raise NotAStamp(str(error) or type(error).__name__) from error


def _request(data: bytes) -> Any:
    from rfc3161_client._rust import parse_timestamp_request

    return parse_timestamp_request(data)
