"""A port of this machine for tests that must name it before anybody listens there, or while nobody does."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def kept() -> Iterator[int]:
    """Give a port at which nobody listens, and which the system gives to nobody else meanwhile; a server may still be bound to it by its number.

    Such a server asks for an address in use (SO_REUSEADDR), as those of http.server do: Linux allows that where neither listens yet."""
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        yield int(holder.getsockname()[1])
