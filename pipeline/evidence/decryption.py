"""Proof of decryption: what shows to anybody, without the private key, that sealed bytes open to these words.

Before: enterprise_keys.py, sealed records. After: bundle.py; check.py and bundled/verify.py check it. Only on request, recorded in custody.

    c = encrypt_random_key (base64 of one RSA block)          P = c^d mod n, the padded block: 00 02 PS 00 R (RFC 8017, 7.2.1)
    anybody:  P^e mod n = c, and R opens encrypt_chat_msg (envelope.py) to the bytes in raw/LEAF.plain.json

What it proves: whoever holds the private key of n opened these sealed bytes to these words; no other words open from them.
What it does not: that WeCom sealed them (anybody with the public key can seal), or that n is the firm's key: compare n with what the
firm registered with WeCom. It gives away nothing of the private key: each R opens one message only.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterable
from typing import Any

import msgspec

from pipeline.enterprise_keys import KeySet
from pipeline.errors import UsageError


def public_numbers(versions: Iterable[int], keys: KeySet) -> dict[int, tuple[int, int]]:
    """Return (modulus, exponent) of these key versions; raises UsageError KEY_MISSING."""
    wanted = sorted(set(versions))
    if absent := [v for v in wanted if v not in keys]:
        raise UsageError("KEY_MISSING", f"there is no private key of version {absent[0]}", remedy="`liuhen keys add`, or export without --prove-decryption")
    numbers = {v: keys[v].public_key().public_numbers() for v in wanted}
    return {v: (n.n, n.e) for v, n in numbers.items()}


def proof(leaf: int, envelope: bytes, keys: KeySet) -> dict[str, Any]:
    """Return the proof of one record: its key version and the padded block, hex. envelope: the record as it lay in the page."""
    item = msgspec.json.decode(envelope, type=dict[str, Any])
    version = int(item["publickey_ver"])
    private = keys[version].private_numbers()
    c, p, q = int.from_bytes(b64decode(item["encrypt_random_key"])), private.p, private.q
    in_p, in_q = pow(c % p, private.dmp1, p), pow(c % q, private.dmq1, q)  # RFC 8017, 5.1.2 (2b): the Chinese remainder form
    block = in_q + q * ((in_p - in_q) * private.iqmp % p)
    size = (private.public_numbers.n.bit_length() + 7) // 8
    return {"leaf": leaf, "key_version": version, "block": block.to_bytes(size).hex()}
