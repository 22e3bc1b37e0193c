"""Commitments: what the log says about a settled record without saying what was in it.

Before: consent.py, matching.py. After: stage.py and commit.py (numbering), later the tree.

    commit = SHA-256( label NUL H(text) H(parties) H(rest) )
    H(g)   = SHA-256( label NUL g NUL SHA-256(nonce g) length_be64 canonical(g) )

Canonical is RFC 8785 JSON of the group's fields (`schemas/leaf.v1.json`). Each group is salted by a value derived one-way from
the nonce: with that salt a group can be opened to a court beside the digests of the others, whose salts it does not give away.
Destroying record and nonce leaves nothing to guess from.
`raw_commitment` covers the JSON as received under a salt of its own. Source: RFC 6962 shape with labels, docs/formats.md.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

import msgspec

from pipeline.digests import sha256_of
from pipeline.records import Gated, Message
from pipeline.schema import leaf_schema

_LABEL = leaf_schema().label.encode() + b"\0"
_encode = msgspec.json.Encoder(order="sorted").encode
JSON_SAFE = 1 << 53


def _prefix(group: str) -> bytes:
    return _LABEL + group.encode() + b"\0"


class _Group(NamedTuple):
    """A group made ready, since every record needs all of them: a struct whose fields are sorted writes JSON that is.

    pick takes the fields out of a dictionary that has them all, in the struct's order."""

    salted: bytes
    prefix: bytes
    pick: Callable[[dict[str, Any]], tuple[Any, ...]]
    struct: Callable[..., msgspec.Struct]


def _group(name: str, fields: Sequence[str]) -> _Group:
    ordered = sorted(fields)
    return _Group(name.encode(), _prefix(name), itemgetter(*ordered), msgspec.defstruct(name, [(f, Any) for f in ordered], gc=False))


_GROUPS = tuple(_group(name, fields) for name, fields in leaf_schema().groups.items())
_TEXT, _PARTIES, _REST = _GROUPS
_ABSENT: dict[str, Any] = {name: None for fields in leaf_schema().groups.values() for name in fields}
# The fields that may be whole numbers; only those can be too large for JSON.
_NUMBERS = ("seq", "sent_at_ms", "captured_at_ms", "key_version")
_RAW = _prefix("raw")
# Its structs are sorted already, and so are the dictionaries it is given (`_media`).
_encode_plain = msgspec.json.Encoder().encode
_join = b"".join


def new_nonce() -> bytes:
    """Return 32 random bytes."""
    return os.urandom(32)


def new_nonces(count: int) -> list[bytes]:
    """Return `count` nonces, asked for at once."""
    drawn = os.urandom(32 * count)
    return [drawn[at : at + 32] for at in range(0, len(drawn), 32)]


def group_digest(nonce: bytes, group: str, canonical: bytes) -> bytes:
    """Return H(group), 32 bytes."""
    return _digest(_prefix(group), nonce + group.encode(), canonical)


def group_digest_from_salt(salt: bytes, group: str, canonical: bytes) -> bytes:
    """Return H(group) from the group's salt alone: what a court can check without the other groups."""
    return sha256_of(_prefix(group) + salt + len(canonical).to_bytes(8) + canonical)


def _digest(prefix: bytes, salted: bytes, canonical: bytes) -> bytes:
    return sha256_of(prefix + sha256_of(salted) + len(canonical).to_bytes(8) + canonical)


def canonical(fields: dict[str, Any]) -> bytes:
    """Return RFC 8785 JSON of a group: keys sorted, no spaces, integers above 2^53 as strings."""
    return _encode({**fields, **_large(fields)})


def _large(fields: dict[str, Any]) -> dict[str, str]:
    return {k: str(v) for k, v in fields.items() if v.__class__ is int and v > JSON_SAFE}


def _safe(value: Any) -> Any:
    return str(value) if isinstance(value, int) and value > JSON_SAFE else value


def commitment(nonce: bytes, fields: dict[str, Any]) -> bytes:
    """Return what the leaf commits to, 32 bytes; fields that are not given are null."""
    told = fields if len(fields) == len(_ABSENT) else {**_ABSENT, **fields}
    if large := _large({name: told[name] for name in _NUMBERS}):
        told = {**told, **large}
    groups = [_digest(prefix, nonce + salted, _encode(struct(*pick(told)))) for salted, prefix, pick, struct in _GROUPS]
    return sha256_of(_LABEL + b"".join(groups))


def raw_commitment(nonce: bytes, raw: bytes) -> str:
    """Return the salted digest of the JSON as received, hex."""
    return sha256_of(_join((_RAW, sha256_of(nonce + b"raw"), raw))).hex()


def content_commitment(gated: Gated, *, corp_id: str, origin: str, captured_at_ms: int, nonce: bytes, fate: str) -> tuple[bytes, bytes | None]:
    """Return (commitment, SHA-256 of the sealed bytes, None of an import) of an archived or control record.

    The same as `commitment` of its `content_fields`, written straight from the record: nearly every record comes this way."""
    message, opened = gated.message, gated.opened
    sealed = sha256_of(opened.sealed) if opened.key_version is not None else None
    if opened.seq > JSON_SAFE or (message.sent_at_ms or 0) > JSON_SAFE:
        fields = content_fields(gated, corp_id=corp_id, origin=origin, captured_at_ms=captured_at_ms, nonce=nonce, fate=fate)
        return commitment(nonce, fields), sealed
    text = _encode_plain(_TEXT.struct(message.parts, message.text))
    parties = _encode_plain(_PARTIES.struct(message.recipient_ids, message.room_id, message.sender_id))
    rest = _encode_plain(
        _REST.struct(
            message.action, captured_at_ms, None, corp_id, fate, opened.key_version, message.kind, _media(message) if message.media else None, message.msgid,
            message.msgtype, origin, raw_commitment(nonce, opened.plaintext), None, None, sealed.hex() if sealed else None, message.sent_at_ms, opened.seq,
        )
    )  # fmt: skip
    of_text = sha256_of(_join((_TEXT.prefix, sha256_of(nonce + b"text"), len(text).to_bytes(8), text)))
    of_parties = sha256_of(_join((_PARTIES.prefix, sha256_of(nonce + b"parties"), len(parties).to_bytes(8), parties)))
    of_rest = sha256_of(_join((_REST.prefix, sha256_of(nonce + b"rest"), len(rest).to_bytes(8), rest)))
    return sha256_of(_join((_LABEL, of_text, of_parties, of_rest))), sealed


def content_fields(gated: Gated, *, corp_id: str, origin: str, captured_at_ms: int, nonce: bytes, fate: str) -> dict[str, Any]:
    """Return the immutable fields of an archived or control record."""
    message, opened = gated.message, gated.opened
    return {
        "text": message.text,
        "parts": message.parts,
        "sender_id": message.sender_id,
        "recipient_ids": message.recipient_ids,
        "room_id": message.room_id,
        "corp_id": corp_id,
        "origin": origin,
        "seq": opened.seq,
        "fate": fate,
        "msgid": message.msgid,
        "kind": message.kind,
        "action": message.action,
        "msgtype": message.msgtype,
        "sent_at_ms": message.sent_at_ms,
        "captured_at_ms": captured_at_ms,
        "key_version": opened.key_version,
        "raw_commitment": raw_commitment(nonce, opened.plaintext),
        "sealed_sha256": sha256_of(opened.sealed).hex() if opened.key_version is not None else None,
        "media": _media(message),
        "reason": None,
        "scope_ref": None,
        "code": None,
    }


def _media(message: Message) -> list[dict[str, Any]] | None:
    if not message.media:
        return None
    # Their names in order: this is written as it stands.
    return [{"declared_md5": m.declared_md5, "declared_size": _safe(m.declared_size), "kind": m.kind} for m in message.media]


def decision_fields(
    *, corp_id: str, origin: str, seq: int | None, msgid: str | None, captured_at_ms: int, key_version: int | None,
    fate: str, reason: str | None, scope_ref: str | None = None, code: str | None = None, sealed: bytes | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Return the fields of a leaf without content: pending, withheld, duplicate (the decision), failed (digest of the sealed bytes)."""
    return {
        "corp_id": corp_id, "origin": origin, "seq": seq, "msgid": msgid, "captured_at_ms": captured_at_ms, "key_version": key_version,
        "fate": fate, "reason": reason, "scope_ref": scope_ref, "code": code, "sealed_sha256": sha256_of(sealed).hex() if sealed else None,
    }  # fmt: skip
