"""A process of its own for the vendor library, which ends its process on some input.

    python vendor_child.py LIBRARY < cases > answers

cases: key length, key, message length, message (lengths four bytes, big-endian; no NUL inside), one after the other.
answers: return code (signed, four bytes), length, plaintext; each written out before the next case is begun, so that the caller
knows which case ended the process. The library prints to stdout: that goes to stderr, the answers to what stdout was.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from collections.abc import Iterator
from typing import BinaryIO


class Slice(ctypes.Structure):
    """The library's Slice_t."""

    _fields_ = (("buf", ctypes.c_void_p), ("len", ctypes.c_int))


def load(path: str) -> ctypes.CDLL:
    """Return the library with the three functions we call declared."""
    library = ctypes.CDLL(path)
    library.NewSlice.restype = ctypes.POINTER(Slice)
    library.FreeSlice.argtypes = [ctypes.POINTER(Slice)]
    library.FreeSlice.restype = None
    library.DecryptData.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.POINTER(Slice)]
    return library


def decrypt(library: ctypes.CDLL, key: bytes, message: bytes) -> tuple[int, bytes]:
    """Return DecryptData's code and plaintext; a new Slice for each call, since a used one keeps stale content."""
    found = library.NewSlice()
    try:
        code = library.DecryptData(key, message, found)
        return code, ctypes.string_at(found.contents.buf, found.contents.len) if code == 0 else b""
    finally:
        library.FreeSlice(found)


def cases(stream: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    """Yield (key, message) until the stream ends."""
    while len(head := stream.read(4)) == 4:
        key = stream.read(*struct.unpack(">I", head))
        yield key, stream.read(*struct.unpack(">I", stream.read(4)))


def main() -> None:
    """Answer every case on what stdout was."""
    answers = os.dup(1)
    os.dup2(2, 1)
    library = load(sys.argv[1])
    for key, message in cases(sys.stdin.buffer):
        code, plaintext = decrypt(library, key, message)
        with os.fdopen(os.dup(answers), "wb") as out:
            out.write(struct.pack(">iI", code, len(plaintext)) + plaintext)


if __name__ == "__main__":
    main()
