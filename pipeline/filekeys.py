"""By which key of the keyring a file of the lake is encrypted, read from the clear head of its encrypted footer.

Before: nothing. After: lake.py (refuses a file whose key is gone), generations.py.

A file ends in: what names the footer key (clear), the footer (encrypted), the length of both (4 bytes, little-endian), `PARE`
(Parquet Modular Encryption, 5.1). The name is ours, e.g. `ww1/m/2026-11/hot#0`; the data key beside it is wrapped.
"""

from __future__ import annotations

import re
from pathlib import Path

MAGIC = b"PARE"
TAIL = 8
_NAME = re.compile(rb'"masterKeyID":"([^"\\]{1,300})"')
_HEAD = 4_096


def in_bytes(data: bytes) -> str | None:
    """Return the name of the footer key of a whole file; None when it is not a file of ours."""
    if len(data) < TAIL or data[-4:] != MAGIC:
        return None
    length = int.from_bytes(data[-TAIL:-4], "little")
    start = len(data) - TAIL - length
    found = _NAME.search(data[start : start + _HEAD]) if start >= 0 else None
    return found[1].decode() if found else None


def of(path: Path) -> str | None:
    """Return the name of the footer key of a file; None when it is not there or not a file of ours."""
    try:
        with open(path, "rb") as file:
            size = file.seek(0, 2)
            if size < TAIL:
                return None
            file.seek(size - TAIL)
            tail = file.read(TAIL)
            start = size - TAIL - int.from_bytes(tail[:4], "little")
            if tail[4:] != MAGIC or start < 0:
                return None
            file.seek(start)
            found = _NAME.search(file.read(_HEAD))
    except FileNotFoundError:
        return None
    return found[1].decode() if found else None

