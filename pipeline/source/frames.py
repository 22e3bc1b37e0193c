"""Frames between us and the child that runs the vendor's library: a list of byte fields, each with its length.

Before: the standard library alone (the child imports this and nothing else of ours). After: child.py, vendor.py.

    frame  = number of fields (1 byte), then of each field: length (8 bytes, big-endian), bytes
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence

MOST_FIELDS = 16
MOST_BYTES = 512 * 1024 * 1024


class Ended(Exception):
    """The other side is gone, or speaks something else."""


def send(to: socket.socket, fields: Sequence[bytes]) -> None:
    """Send one frame; raises Ended, TimeoutError."""
    head = bytes([len(fields)]) + b"".join(struct.pack(">Q", len(f)) for f in fields)
    try:
        to.sendall(head + b"".join(fields))
    except (BrokenPipeError, ConnectionResetError) as error:
        raise Ended from error


def receive(at: socket.socket) -> list[bytes]:
    """Return the next frame's fields; raises Ended, TimeoutError."""
    count = _exactly(at, 1)[0]
    sizes = struct.unpack(f">{count}Q", _exactly(at, 8 * count))
    if count > MOST_FIELDS or sum(sizes) > MOST_BYTES:
        raise Ended
    return [_exactly(at, size) for size in sizes]


def _exactly(at: socket.socket, size: int) -> bytes:
    found = bytearray(size)
    view = memoryview(found)
    while view:
        try:
            got = at.recv_into(view)
        except ConnectionResetError as error:
            raise Ended from error
        if not got:
            raise Ended
        view = view[got:]
    return bytes(found)
