"""Verification, check 6, the arithmetic: commitments from the definition in docs/formats.md, section 9, with the standard library alone.

Before: nothing. After: verify_rows.py. A million records pass here: the groups are written straight into canonical JSON, keys in order.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterable, Mapping
from hashlib import sha256
from json.encoder import encode_basestring
from typing import Any

LABEL = b"liuhen-record-v1\0"
JSON_SAFE = 1 << 53
_TEXT, _PARTIES, _REST = (LABEL + group + b"\0" for group in (b"text", b"parties", b"rest"))
_RAW = LABEL + b"raw\0"
# RFC 8785 order of the group "rest".
REST = (
    "action", "captured_at_ms", "code", "corp_id", "fate", "key_version", "kind", "media", "msgid", "msgtype", "origin", "raw_commitment", "reason",
    "scope_ref", "sealed_sha256", "sent_at_ms", "seq",
)  # fmt: skip


def text_of(value: str | None) -> str:
    """Return a string, or null, as canonical JSON: only what must be escaped is (RFC 8785)."""
    return "null" if value is None else encode_basestring(value)


def number(value: int | None) -> str:
    """Return an integer, or null, as canonical JSON: above 2^53 as a string."""
    return "null" if value is None else str(value) if value <= JSON_SAFE else f'"{value}"'


def texts(values: Iterable[str]) -> str:
    """Return a list of strings as canonical JSON."""
    return "[" + ",".join(map(encode_basestring, values)) + "]"


def parts_of(parts: Iterable[Mapping[str, str]] | None) -> str:
    """Return [{"path","text"}] as canonical JSON."""
    if parts is None:
        return "null"
    return "[" + ",".join([f'{{"path":{encode_basestring(p["path"])},"text":{encode_basestring(p["text"])}}}' for p in parts]) + "]"


def media_of(rows: Iterable[Mapping[str, Any]] | None) -> str:
    """Return [{"declared_md5","declared_size","kind"}] as canonical JSON, null when there is none."""
    told = [
        f'{{"declared_md5":{text_of(r["declared_md5"])},"declared_size":{number(r["declared_size"])},"kind":{text_of(r["kind"])}}}' for r in rows or ()
    ]
    return "[" + ",".join(told) + "]" if told else "null"


NO_TEXT = '{"parts":null,"text":null}'
NO_PARTIES = '{"recipient_ids":null,"room_id":null,"sender_id":null}'


def rest(**values: str) -> str:
    """Return the group "rest" from values that are canonical JSON already; what is not given is null."""
    return "{" + ",".join([f'"{name}":{values.get(name, "null")}' for name in REST]) + "}"


def commitment(nonce: bytes, text: str, parties: str, rest_: str) -> bytes:
    """Return what the leaf commits to, from its three groups as canonical JSON."""
    return sha256(
        LABEL + _digest(_TEXT, nonce, b"text", text) + _digest(_PARTIES, nonce, b"parties", parties) + _digest(_REST, nonce, b"rest", rest_)
    ).digest()


def _digest(prefix: bytes, nonce: bytes, group: bytes, canonical: str) -> bytes:
    data = canonical.encode("utf-8", "surrogatepass")
    return sha256(prefix + sha256(nonce + group).digest() + len(data).to_bytes(8, "big") + data).digest()


def raw_commitment(nonce: bytes, raw: bytes) -> str:
    """Return the salted digest of the JSON as received, hex."""
    return sha256(_RAW + sha256(nonce + b"raw").digest() + raw).hexdigest()


def decision(nonce: bytes, *, text: str = NO_TEXT, parties: str = NO_PARTIES, **values: str) -> bytes:
    """Return the commitment of a leaf without content."""
    return commitment(nonce, text, parties, rest(**values))


def pseudonym(key: bytes, *parts: str) -> bytes:
    """Return the keyed name of `parts`, 16 bytes (docs/formats.md, section 3)."""
    data = [p.encode("utf-8", "surrogatepass") for p in parts]
    return hmac.digest(key, b"".join(len(d).to_bytes(4, "big") + d for d in data), "sha256")[:16]


# -- control records: small enough to be read again ------------------------------------------------------------------

_ENVELOPE = {"msgid", "action", "from", "tolist", "roomid", "msgtime", "msgtype", "voiceid", "voipid", "time", "user"}
_HIDDEN = {"sdkfileid", "md5sum", "fileext", "image_url", "picurl", "type", "msg_type", "msgtime"}
_MACHINE_ENDS = ("id", "ids", "md5", "token", "key", "secret")


class Exotic(Exception):
    """A control record with a body that only the product's own reader can walk: not checked."""


def control_groups(plaintext: bytes, captured_at_ms: int) -> tuple[str, str, dict[str, str]]:
    """Return text, parties and the fields of rest that come from the message of a control record; raises Exotic."""
    try:
        document = json.loads(plaintext)
    except (ValueError, RecursionError):
        raise Exotic from None
    if not isinstance(document, dict):
        raise Exotic
    keys = sorted((k for k in document if k not in _ENVELOPE), key=lambda k: k not in (document.get("msgtype"), "info"))
    parts = [p for k in keys for p in _walk(document[k], k, k)]
    sender, recipients = _id(document.get("from")), _ids(document.get("tolist"))
    time = document.get("msgtime", document.get("time")) if document.get("msgtime") is not None else document.get("time")
    parties = f'{{"recipient_ids":{texts(recipients)},"room_id":{text_of(_id(document.get("roomid")))},"sender_id":{text_of(sender)}}}'
    text = f'{{"parts":{parts_of(parts)},"text":{text_of(chr(10).join(p["text"] for p in parts))}}}'
    fields = {
        "action": text_of(_text(document.get("action"))), "msgtype": text_of(_text(document.get("msgtype"))), "kind": '"control"',
        "sent_at_ms": number(_sent(time, captured_at_ms)),
    }  # fmt: skip
    return text, parties, fields


def _walk(value: Any, path: str, key: str) -> list[dict[str, str]]:
    if isinstance(value, str):
        machine = key in _HIDDEN or (key.lower().endswith(_MACHINE_ENDS) and all("!" <= c <= "~" for c in value))
        return [] if machine or not value else [{"path": path, "text": value}]
    if isinstance(value, dict):
        if "sdkfileid" in value or len(path) > 60:
            raise Exotic
        return [p for k, v in value.items() for p in _walk(v, f"{path}.{k}", k)]
    if isinstance(value, list) and value:
        raise Exotic
    return []


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _id(value: Any) -> str | None:
    if isinstance(value, str):
        return value or None
    return str(value) if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 10**64 else None


def _ids(value: Any) -> list[str]:
    return [k for v in (value if isinstance(value, list) else [value]) if (k := _id(v)) is not None]


def _sent(value: Any, captured_at_ms: int) -> int | None:
    """A time as the source writes it, in ms: below 10^11 it was seconds; before 2011 or more than a day after the capture it is none."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or value == 0:
        return None
    ms = value * 1000 if value < 100_000_000_000 else value
    return ms if 1_293_840_000_000 <= ms <= min(253_402_300_799_999, captured_at_ms + 86_400_000) else None
