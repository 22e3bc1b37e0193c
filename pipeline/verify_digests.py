"""Verification, check 6, the digests: SHA-256 of all values of a column at once, sixteen beside each other where the processor can (AVX-512).

Before: nothing. After: verify_columns.py.
stringzilla makes them, a value in 0.05 to 0.8 µs, where hashlib takes 0.4 to 1.1. Some values of every column, drawn
anew each time, are digested by hashlib too; where one differs, hashlib makes them all: a library or processor that errs neither accuses nor acquits.
The verifier in a bundle has hashlib alone.
"""

from __future__ import annotations

import random
from binascii import hexlify
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

import numpy as np
import pyarrow as pa
import stringzilla

Bytes = np.ndarray[Any, np.dtype[np.uint8]]
SIZE = 32
# So many values that states and inputs stay in the processor's caches; and one in so many is made again.
_STEP, _ONE_IN = 512, 256


def sha256_of(values: pa.Array) -> Bytes:
    """Return the SHA-256 of each value of a binary array, (rows, 32); null is like no bytes."""
    made = np.empty((len(values), SIZE), np.uint8)
    for start, piece in _pieces(values):
        part = made[start : start + len(piece)]
        stringzilla.Sha256s(len(piece)).update(piece).digest(out=part)
    some = random.sample(range(len(values)), -(-len(values) // _ONE_IN))
    return made if all(made[n].tobytes() == _by_hashlib(values, n) for n in some) else all_by_hashlib(values)


def all_by_hashlib(values: pa.Array) -> Bytes:
    """Return the same, made one by one."""
    return np.frombuffer(b"".join(_by_hashlib(values, n) for n in range(len(values))), np.uint8).reshape(-1, SIZE)


def _by_hashlib(values: pa.Array, row: int) -> bytes:
    return sha256(values[row].as_buffer() or b"").digest()


def _pieces(values: pa.Array) -> Iterator[tuple[int, Any]]:
    """Yield (first row, some values) without a copy. An array of its own for each: the library does not look at where a slice begins."""
    offsets, data = offsets_of(values), values.buffers()[2] or pa.py_buffer(b"")
    for start in range(0, len(values), _STEP):
        own = offsets[start : start + _STEP + 1]
        yield start, stringzilla.Strs(pa.Array.from_buffers(pa.binary(), len(own) - 1, [None, pa.py_buffer(own), data]))


def offsets_of(values: pa.Array) -> np.ndarray[Any, np.dtype[np.int32]]:
    """Return where the values of a string or binary array begin and end in its buffer, one more than there are."""
    if not len(values):
        return np.zeros(1, np.int32)
    return np.frombuffer(values.buffers()[1], np.int32)[values.offset : values.offset + len(values) + 1]


def letters_of(values: pa.Array) -> Bytes:
    """Return the bytes of all values of a string or binary array, one after the other."""
    offsets, data = offsets_of(values), values.buffers()[2]
    return np.frombuffer(data, np.uint8)[offsets[0] : offsets[-1]] if data is not None else np.zeros(0, np.uint8)


def column_of(rows: Bytes) -> pa.Array:
    """Return rows of equal length, (rows, bytes), as a binary array, without a copy."""
    count, width = rows.shape
    return pa.Array.from_buffers(pa.binary(), count, [None, pa.py_buffer(np.arange(0, (count + 1) * width, width, dtype=np.int32)), pa.py_buffer(rows)])


def rows_of(values: pa.Array, width: int) -> Bytes:
    """Return binary values as (rows, width), where all have that length without a copy; zeros where a value is null or of another length."""
    lengths = np.diff(offsets_of(values))
    right = lengths == width
    if right.all():
        return letters_of(values).reshape(-1, width)
    made = np.zeros((len(values), width), np.uint8)
    if (right | (lengths == 0)).all():
        made[right] = letters_of(values).reshape(-1, width)
    else:
        for n in np.flatnonzero(lengths == width).tolist():
            made[n] = np.frombuffer(values[n].as_buffer(), np.uint8)
    return made


def hex_of(data: Bytes) -> Bytes:
    """Return bytes in lower-case hex; the last axis is twice as long."""
    return np.frombuffer(hexlify(np.ascontiguousarray(data).data), np.uint8).reshape(*data.shape[:-1], 2 * data.shape[-1])
