"""Verification, check 6, many rows at once: columns of `messages` → their groups as canonical JSON → commitments.

Before: verify_leaf.py (the same for single rows; its definitions hold). After: verify_rows.py.
JSON is joined column by column in Arrow, so that each row costs its digests and little else. Only strings that need an escape (RFC 8785) are
looked at one by one. A test holds both ways against each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import verify_leaf as leaf

_TEXT, _PARTIES, _REST = (leaf.LABEL + group + b"\0" for group in (b"text", b"parties", b"rest"))
_RAW = leaf.LABEL + b"raw\0"
_BLOCK = 64  # bytes of SHA-256's block (RFC 2104)


def flat(column: Any) -> Any:
    """Return one array of a column."""
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def join(*pieces: Any) -> Any:
    """Return the pieces (arrays or strings) joined row by row; null where one is."""
    return pc.binary_join_element_wise(*pieces, "")


def quoted(column: Any) -> Any:
    """Return strings, or null, as canonical JSON."""
    values = flat(column)
    made = join('"', values, '"')
    rows = odd(values)
    if len(rows):
        mask = np.zeros(len(values), bool)
        mask[rows] = True
        made = pc.replace_with_mask(made, pa.array(mask), pa.array([leaf.text_of(v) for v in values.take(pa.array(rows)).to_pylist()], made.type))
    return pc.fill_null(made, "null")


def odd(values: Any) -> np.ndarray[Any, Any]:
    """Return the rows of a string array that need an escape: quotation mark, backslash, below U+0020. In UTF-8 no other character has such bytes."""
    data = values.buffers()[2]
    if not len(values) or data is None:
        return np.zeros(0, np.int64)
    offsets = np.frombuffer(values.buffers()[1], np.int32)[values.offset : values.offset + len(values) + 1]
    first, letters = offsets[0], np.frombuffer(data, np.uint8)[offsets[0] : offsets[-1]]
    places = np.flatnonzero((letters < 0x20) | (letters == 0x22) | (letters == 0x5C))
    return np.unique(np.searchsorted(offsets, places + first, "right") - 1)


def hexed(column: Any) -> Any:
    """Return bytes, or null, as lower-case hex."""
    values = flat(column).cast(pa.binary())
    lengths = pc.fill_null(pc.binary_length(values), 0).to_numpy(zero_copy_only=False).astype(np.int64)
    offsets = np.concatenate([[0], np.cumsum(2 * lengths)]).astype(np.int32)
    letters = b"".join(values.drop_null().to_pylist()).hex().encode()
    made = pa.StringArray.from_buffers(len(values), pa.py_buffer(offsets), pa.py_buffer(letters))
    return pc.if_else(pc.is_valid(values), made, None)


def numbers(column: Any) -> Any:
    """Return integers, or null, as canonical JSON: above 2^53 as a string."""
    values = flat(column)
    made = values.cast(pa.string())
    large = pc.fill_null(pc.greater(values, pa.scalar(leaf.JSON_SAFE, values.type)), False) if values.type.bit_width == 64 else None
    if large is not None and pc.any(large).as_py():
        made = pc.if_else(large, join('"', made, '"'), made)
    return pc.fill_null(made, "null")


def listed(column: Any, items: Any) -> Any:
    """Return lists, or null, as canonical JSON, from their items (all of them, flattened) as canonical JSON."""
    values = flat(column)
    lengths = pc.fill_null(pc.list_value_length(values), 0).to_numpy(zero_copy_only=False)
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32())
    made = join("[", pc.binary_join(pa.ListArray.from_arrays(offsets, items), ","), "]")
    return pc.if_else(pc.is_null(values), "null", made)


def texts(column: Any) -> Any:
    """Return lists of strings as canonical JSON."""
    return listed(column, quoted(pc.list_flatten(flat(column))))


def parts(column: Any) -> Any:
    """Return lists of {path, text} as canonical JSON."""
    items = pc.list_flatten(flat(column))
    return listed(column, join('{"path":', quoted(pc.struct_field(items, "path")), ',"text":', quoted(pc.struct_field(items, "text")), "}"))


@dataclass
class Groups:
    """The three groups of each row as canonical JSON; `rest` in two pieces, around the digest of the JSON as received."""

    text: list[bytes]
    parties: list[bytes]
    before: list[bytes]
    after: list[bytes]


def groups(rows: pa.Table, *, corp_id: str, origin: str, captured: Any, key_version: Any, media: Sequence[str] | None) -> Groups:
    """Return the groups of archived messages. captured, key_version: of their pages and records; media: canonical JSON, None when no row has any."""
    told, clear = parts(rows["parts"]), pc.is_valid(flat(rows["parts_clear"]))
    if pc.any(clear).as_py():
        told = pc.replace_with_mask(told, clear, parts(flat(rows["parts_clear"]).filter(clear)))
    sent = pc.divide(flat(rows["sent_at"]).cast(pa.int64()), 1000)
    text = join('{"parts":', told, ',"text":', quoted(pc.coalesce(flat(rows["text_clear"]), flat(rows["text"]))), "}")
    parties = join('{"recipient_ids":', texts(rows["recipient_ids"]), ',"room_id":', quoted(rows["room_id"]), ',"sender_id":', quoted(rows["sender_id"]), "}")
    before = join(
        '{"action":', quoted(rows["action"]), ',"captured_at_ms":', numbers(captured), ',"code":null,"corp_id":' + leaf.text_of(corp_id)
        + ',"fate":"archived","key_version":', numbers(key_version), ',"kind":', quoted(rows["kind"]), ',"media":',
        "null" if media is None else pa.array(media, pa.string()), ',"msgid":', quoted(rows["msgid"]), ',"msgtype":', quoted(rows["msgtype"]),
        ',"origin":' + leaf.text_of(origin) + ',"raw_commitment":"',
    )  # fmt: skip
    after = join(
        '","reason":null,"scope_ref":null,"sealed_sha256":', quoted(hexed(rows["sealed_sha256"])), ',"sent_at_ms":', numbers(sent), ',"seq":', numbers(rows["seq"]), "}"
    )
    return Groups(*(flat(c).cast(pa.binary()).to_pylist() for c in (text, parties, before, after)))


def commitments(nonces: Sequence[bytes], raws: Sequence[bytes], told: Groups) -> list[bytes]:
    """Return what each leaf commits to."""
    label, text_, parties_, rest_, raw_, digest = leaf.LABEL, _TEXT, _PARTIES, _REST, _RAW, sha256
    made = []
    for nonce, raw, text, parties_of, before, after in zip(nonces, raws, told.text, told.parties, told.before, told.after, strict=True):
        rest = before + digest(raw_ + digest(nonce + b"raw").digest() + raw).hexdigest().encode() + after
        made.append(digest(
            label
            + digest(text_ + digest(nonce + b"text").digest() + len(text).to_bytes(8, "big") + text).digest()
            + digest(parties_ + digest(nonce + b"parties").digest() + len(parties_of).to_bytes(8, "big") + parties_of).digest()
            + digest(rest_ + digest(nonce + b"rest").digest() + len(rest).to_bytes(8, "big") + rest).digest()
        ).digest())  # fmt: skip
    return made


def fingerprints(key: bytes, corp_id: str, msgids: Sequence[bytes]) -> list[bytes]:
    """Return the keyed fingerprints of message ids, 16 bytes each (docs/formats.md, section 3): HMAC-SHA-256 with its two states kept."""
    block = (key if len(key) <= _BLOCK else sha256(key).digest()).ljust(_BLOCK, b"\0")
    prefix = b"".join(len(p).to_bytes(4, "big") + p for p in (corp_id.encode(), b"msgid")) + (64).to_bytes(4, "big")
    inner, outer = sha256(bytes(b ^ 0x36 for b in block) + prefix), sha256(bytes(b ^ 0x5C for b in block))
    made = []
    for msgid in msgids:
        first, second = inner.copy(), outer.copy()
        first.update(sha256(msgid).hexdigest().encode())
        second.update(first.digest())
        made.append(second.digest()[:16])
    return made


def digests(column: pa.ChunkedArray) -> list[bytes]:
    """Return the SHA-256 of each value of a binary column, from the memory it lies in: sealed bytes need no copy. Null is like no bytes."""
    made: list[bytes] = []
    for values in column.chunks:
        if len(values):
            offsets = np.frombuffer(values.buffers()[1], np.int32)[values.offset : values.offset + len(values) + 1].tolist()
            memory = memoryview(values.buffers()[2] or b"")
            made += [sha256(memory[start:end]).digest() for start, end in pairwise(offsets)]
    return made


