"""Verification, check 6, many rows at once: columns of `messages` → their groups as canonical JSON → commitments.

Before: verify_digests.py, verify_leaf.py (the same for single rows; its definitions hold). After: verify_rows.py.
JSON is joined and digested column by column, so that no row is looked at by itself. Only strings that need an escape (RFC 8785) are
looked at one by one. A test holds both ways against each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import verify_digests
from pipeline import verify_leaf as leaf
from pipeline.verify_digests import Bytes, column_of

_TEXT, _PARTIES, _REST = (leaf.LABEL + group + b"\0" for group in (b"text", b"parties", b"rest"))
_RAW = leaf.LABEL + b"raw\0"
_BLOCK, _NONCE = 64, 32  # bytes of SHA-256's block (RFC 2104), and of a nonce


def flat(column: Any) -> Any:
    """Return one array of a column; a piece that is the only one is not copied."""
    if not isinstance(column, pa.ChunkedArray):
        return column
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def join(*pieces: Any) -> Any:
    """Return the pieces (arrays or strings) joined row by row; null where one is."""
    return pc.binary_join_element_wise(*pieces, "")


# What a text is made of, row by row: strings that are the same in every row, and arrays. Joined once, together with what is digested before it.
Pieces = tuple[Any, ...]


def quoted(column: Any) -> Any:
    """Return strings, or null, as canonical JSON."""
    pieces = pieces_of(column)
    return pieces[0] if len(pieces) == 1 else join(*pieces)


def pieces_of(column: Any) -> Pieces:
    """Return strings, or null, as canonical JSON, not joined yet where there is no null."""
    values = escaped(flat(column))
    pieces = '"', values, '"'
    return (pc.fill_null(join(*pieces), "null"),) if values.null_count else pieces


def escaped(values: Any) -> Any:
    """Return strings as they stand between quotation marks in canonical JSON."""
    rows = odd(values)
    if not len(rows):
        return values
    mask = np.zeros(len(values), bool)
    mask[rows] = True
    return pc.replace_with_mask(values, pa.array(mask), pa.array([leaf.text_of(v)[1:-1] for v in values.take(pa.array(rows)).to_pylist()], values.type))


def odd(values: Any) -> np.ndarray[Any, Any]:
    """Return the rows of a string array that need an escape: quotation mark, backslash, below U+0020. In UTF-8 no other character has such bytes."""
    offsets, letters = verify_digests.offsets_of(values), verify_digests.letters_of(values)
    told = letters.tobytes()  # most columns have none of them, which bytes tell in a third of the time
    if not len(letters) or (letters.min() >= 0x20 and b'"' not in told and b"\\" not in told):
        return np.zeros(0, np.int64)
    places = np.flatnonzero((letters < 0x20) | (letters == 0x22) | (letters == 0x5C))
    return np.unique(np.searchsorted(offsets, places + offsets[0], "right") - 1)


def hexed(column: Any) -> Any:
    """Return bytes, or null, as lower-case hex."""
    values = flat(column).cast(pa.binary())
    offsets = 2 * (verify_digests.offsets_of(values) - verify_digests.offsets_of(values)[0])
    letters = verify_digests.hex_of(verify_digests.letters_of(values))
    made = pa.StringArray.from_buffers(len(values), pa.py_buffer(offsets), pa.py_buffer(letters))
    return pc.if_else(pc.is_valid(values), made, None) if values.null_count else made


def numbers(column: Any) -> Any:
    """Return integers, or null, as canonical JSON: above 2^53 as a string."""
    values = flat(column)
    made = values.cast(pa.string())
    large = pc.fill_null(pc.greater(values, pa.scalar(leaf.JSON_SAFE, values.type)), False) if values.type.bit_width == 64 else None
    if large is not None and pc.any(large).as_py():
        made = pc.if_else(large, join('"', made, '"'), made)
    return pc.fill_null(made, "null")


def listed(column: Any, items: Any) -> Pieces:
    """Return lists, or null, as canonical JSON, from their items (all of them, flattened) as canonical JSON."""
    values = flat(column)
    lengths = pc.fill_null(pc.list_value_length(values), 0).to_numpy(zero_copy_only=False)
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32())
    pieces = "[", pc.binary_join(pa.ListArray.from_arrays(offsets, items), ","), "]"
    return (pc.if_else(pc.is_null(values), "null", join(*pieces)),) if values.null_count else pieces


def texts(column: Any) -> Pieces:
    """Return lists of strings as canonical JSON."""
    return listed(column, quoted(pc.list_flatten(flat(column))))


def parts(column: Any) -> Pieces:
    """Return lists of {path, text} as canonical JSON."""
    items = pc.list_flatten(flat(column))
    return listed(column, join('{"path":', *pieces_of(pc.struct_field(items, "path")), ',"text":', *pieces_of(pc.struct_field(items, "text")), "}"))


def files(rows: Any) -> tuple[np.ndarray[Any, Any], Any]:
    """Return (seqs ascending, each once; the files of each as canonical JSON) of rows of `media` of one origin."""
    ordered = rows.combine_chunks().sort_by([("seq", "ascending"), ("ref_no", "ascending")])
    seqs, firsts = np.unique(flat(pc.fill_null(ordered["seq"], 0)).to_numpy(zero_copy_only=False).astype(np.uint64), return_index=True)
    items = join(
        '{"declared_md5":', *pieces_of(ordered["declared_md5"]), ',"declared_size":', numbers(ordered["declared_size"]), ',"kind":', *pieces_of(ordered["kind"]), "}"
    )  # fmt: skip
    offsets = pa.array(np.append(firsts, len(items)), pa.int32())
    return seqs, join("[", pc.binary_join(pa.ListArray.from_arrays(offsets, items), ","), "]")


@dataclass
class Groups:
    """The three groups of each row as canonical JSON; `rest` in two parts, around the digest of the JSON as received."""

    text: Pieces
    parties: Pieces
    before: Pieces
    after: Pieces


def groups(rows: pa.Table, *, corp_id: str, origin: str, captured: Any, key_version: Any, media: Any) -> Groups:
    """Return the groups of archived messages. captured, key_version: of their pages and records; media: canonical JSON (a string array), null for a row that has none."""
    told, clear = parts(rows["parts"]), pc.is_valid(flat(rows["parts_clear"]))
    if pc.any(clear).as_py():
        told = (pc.replace_with_mask(join(*told), clear, join(*parts(flat(rows["parts_clear"]).filter(clear)))),)
    said, known = flat(rows["text"]), flat(rows["text_clear"])
    said = said if known.null_count == len(known) else pc.coalesce(known, said)
    sent = pc.divide(flat(rows["sent_at"]).cast(pa.int64()), 1000)
    text = ('{"parts":', *told, ',"text":', *pieces_of(said), "}")
    parties = (
        '{"recipient_ids":', *texts(rows["recipient_ids"]), ',"room_id":', *pieces_of(rows["room_id"]), ',"sender_id":', *pieces_of(rows["sender_id"]), "}"
    )  # fmt: skip
    before = (
        '{"action":', *pieces_of(rows["action"]), ',"captured_at_ms":', numbers(captured), ',"code":null,"corp_id":' + leaf.text_of(corp_id)
        + ',"fate":"archived","key_version":', numbers(key_version), ',"kind":', *pieces_of(rows["kind"]), ',"media":',
        pc.fill_null(media, "null"), ',"msgid":', *pieces_of(rows["msgid"]), ',"msgtype":', *pieces_of(rows["msgtype"]),
        ',"origin":' + leaf.text_of(origin) + ',"raw_commitment":"',
    )  # fmt: skip
    after = ('","reason":null,"scope_ref":null,"sealed_sha256":', *pieces_of(hexed(rows["sealed_sha256"])), ',"sent_at_ms":', numbers(sent), ',"seq":', numbers(rows["seq"]), "}")
    return Groups(text, parties, before, after)


def commitments(nonces: Any, raws: Any, told: Groups) -> Bytes:
    """Return what each leaf commits to, (rows, 32). nonces, raws: binary arrays, null being like no bytes."""
    raws = pc.fill_null(raws, b"")
    drawn = verify_digests.rows_of(nonces, _NONCE)
    raw = verify_digests.sha256_of(_joined(_told(_RAW, _salts(drawn, b"raw")), raws))
    rest = (*told.before, column_of(verify_digests.hex_of(raw)), *told.after)
    digests = [_group(label, drawn, group, data) for label, group, data in ((_TEXT, b"text", told.text), (_PARTIES, b"parties", told.parties), (_REST, b"rest", rest))]
    made = verify_digests.sha256_of(_told(leaf.LABEL, *digests))
    for n in np.flatnonzero(np.diff(verify_digests.offsets_of(nonces)) != _NONCE).tolist():
        made[n] = np.frombuffer(_one(nonces[n].as_py() or b"", raws[n].as_py(), told, n), np.uint8)
    return made


def _one(nonce: bytes, raw: bytes, told: Groups, row: int) -> bytes:
    text, parties_of, before, after = (
        "".join(p if isinstance(p, str) else p[row].as_py() for p in pieces) for pieces in (told.text, told.parties, told.before, told.after)
    )
    return leaf.commitment(nonce, text, parties_of, before + leaf.raw_commitment(nonce, raw) + after)


def _salts(nonces: Bytes, group: bytes) -> Bytes:
    return verify_digests.sha256_of(column_of(np.hstack([nonces, _everywhere(group, len(nonces))])))


def _group(label: bytes, nonces: Bytes, group: bytes, data: Pieces) -> Bytes:
    """Return the digest of a group, row by row; data: its canonical JSON."""
    lengths = sum(len(p.encode()) if isinstance(p, str) else np.diff(verify_digests.offsets_of(p)) for p in data)
    told = np.asarray(lengths).astype(">u8").view(np.uint8).reshape(-1, 8)
    return verify_digests.sha256_of(_joined(_told(label, _salts(nonces, group), told), *data))


def _joined(*pieces: Any) -> Any:
    """Return the pieces joined row by row as bytes; null where one is."""
    told: list[Any] = []
    for piece in pieces:
        if not isinstance(piece, str):
            told.append(piece.cast(pa.binary()))
        elif told and isinstance(told[-1], bytes):
            told[-1] += piece.encode()  # every piece costs every row
        else:
            told.append(piece.encode())
    return pc.binary_join_element_wise(*told, b"")


def _told(label: bytes, *pieces: Bytes) -> Any:
    """Return a label and pieces of equal length as one binary array."""
    return column_of(np.hstack([_everywhere(label, len(pieces[0])), *pieces]))


def _everywhere(value: bytes, rows: int) -> Bytes:
    return np.broadcast_to(np.frombuffer(value, np.uint8), (rows, len(value)))


def fingerprints(key: bytes, corp_id: str, msgids: Any) -> Bytes:
    """Return the keyed fingerprints of message ids (a binary array), (rows, 16): HMAC-SHA-256 (docs/formats.md, section 3)."""
    block = (key if len(key) <= _BLOCK else sha256(key).digest()).ljust(_BLOCK, b"\0")
    prefix = b"".join(len(p).to_bytes(4, "big") + p for p in (corp_id.encode(), b"msgid")) + (64).to_bytes(4, "big")
    named = verify_digests.hex_of(verify_digests.sha256_of(msgids))
    inner = verify_digests.sha256_of(_told(bytes(b ^ 0x36 for b in block) + prefix, named))
    return verify_digests.sha256_of(_told(bytes(b ^ 0x5C for b in block), inner))[:, :16]


def same(column: Any, rows: Bytes) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return whether each value of a binary column is that row."""
    values = flat(column)
    long = np.diff(verify_digests.offsets_of(values)) == rows.shape[1]
    unit = np.uint64 if rows.shape[1] % 8 == 0 else np.uint8  # eight bytes at once where they come in eights
    words = (np.ascontiguousarray(r).view(unit) for r in (verify_digests.rows_of(values, rows.shape[1]), rows))
    equal: np.ndarray[Any, np.dtype[np.bool_]] = long & np.equal(*words).all(axis=1)
    return equal


def digests(column: pa.ChunkedArray) -> Bytes:
    """Return the SHA-256 of each value of a binary column, (rows, 32), from the memory it lies in: sealed bytes need no copy. Null is like no bytes."""
    made = [verify_digests.sha256_of(values) for values in column.chunks]
    return np.concatenate(made) if made else np.zeros((0, verify_digests.SIZE), np.uint8)
