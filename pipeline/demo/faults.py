"""Broken records: what a damaged or odd record of each failure code looks like, before sealing or after it.

Before: story.py (which record is broken how). After: generate.py (sealing).

The codes and their meaning are those of pipeline/errors.py. KEY_MISSING comes from a key that is held back, SEQ_CONFLICT and
MSGID_CONFLICT from a second record, PAGE_CUT and SOURCE_ERRCODE from pages: they are not made here.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec

# In the order in which a demonstration uses them; a large one uses each several times.
IN_PLAINTEXT = ("MSGID_MISMATCH", "MESSAGE_NOT_JSON", "MESSAGE_NOT_UTF8", "MESSAGE_TOO_DEEP", "MESSAGE_MALFORMED")
IN_ITEM = ("ITEM_MALFORMED", "SEQ_RANGE", "KEY_BLOCK_MALFORMED", "ENVELOPE_MALFORMED", "UNDECRYPTABLE")
RECORD_FAULTS = (*IN_PLAINTEXT, *IN_ITEM)
TOO_DEEP = 70  # more than 64 levels
_KEY_PLACE = 20  # a character of the key inside encrypt_chat_msg


def plaintext(message: dict[str, Any], fault: str) -> bytes:
    """Return the message JSON, with the fault in it where it belongs there."""
    data = msgspec.json.encode(message)
    match fault:
        case "MESSAGE_NOT_JSON":
            return data[: len(data) // 2]
        case "MESSAGE_NOT_UTF8":
            return data.decode().encode("gb18030")
        case "MESSAGE_TOO_DEEP":
            return data[:-1] + b',"more":' + b"[" * TOO_DEEP + b"]" * TOO_DEEP + b"}"
        case "MESSAGE_MALFORMED":
            return msgspec.json.encode({name: value for name, value in message.items() if name != "msgid"})
    return data


def fits(message: dict[str, Any], fault: str) -> bool:
    """Return whether this message can carry the fault: other bytes than UTF-8 need words that are not ASCII."""
    if fault != "MESSAGE_NOT_UTF8":
        return True
    try:
        plaintext(message, fault).decode()
    except UnicodeDecodeError:
        return True
    return False


def item(sealed: bytes, fault: str) -> bytes:
    """Return the sealed record's JSON, with the fault in it where it belongs there."""
    if fault not in IN_ITEM:
        return sealed
    fields: dict[str, Any] = json.loads(sealed)
    match fault:
        case "ITEM_MALFORMED":
            del fields["encrypt_random_key"]
        case "SEQ_RANGE":
            fields["seq"] += 2**63
        case "KEY_BLOCK_MALFORMED":
            fields["encrypt_random_key"] = fields["encrypt_random_key"][:-4]
        case "ENVELOPE_MALFORMED":
            fields["encrypt_chat_msg"] = fields["encrypt_chat_msg"][:44]
        case "UNDECRYPTABLE":
            fields["encrypt_chat_msg"] = _with_other_character(fields["encrypt_chat_msg"], _KEY_PLACE)
    return msgspec.json.encode(fields)


def _with_other_character(text: str, at: int) -> str:
    return text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :]
