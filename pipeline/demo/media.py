"""Made-up files behind the file ids of the demonstration: whoever has the id can make the file again, so nothing is stored.

Before: firm.py, pipeline/sealing.py. After: messages.py; a source double that serves media can ask `content`.

A file id is base64 of protobuf {1: file id, 2: authkey, 3: aeskey in hex} (envelope-format.md, section 4); the file id inside is
`demo/<kind>/<size>/<salt>`, all that `content` needs.
"""

from __future__ import annotations

import base64
import hashlib
import random

import msgspec

from pipeline.errors import UsageError
from pipeline.sealing import sdkfileid

_MAGIC = {
    "image": b"\xff\xd8\xff\xe0\x00\x10JFIF\x00",
    "voice": b"#!AMR\n",
    "emotion": b"GIF89a",
    "video": b"\x00\x00\x00\x18ftypmp42",
    "file": b"%PDF-1.7\n",
}
_SIZES = {
    "image": (8_000, 60_000),
    "voice": (900, 9_000),
    "emotion": (2_000, 20_000),
    "video": (60_000, 200_000),
    "file": (4_000, 80_000),
}
_LARGE = 700_001  # more than one range of 524,288 bytes
_LIMIT = 1 << 33
STEP = 1 << 20


class MediaFile(msgspec.Struct, frozen=True):
    """One file: its id as messages carry it, its size in bytes and its MD5 in hex."""

    sdkfileid: str
    size: int
    md5: str


def new_file(rng: random.Random, kind: str, *, large: bool = False, size: int | None = None) -> MediaFile:
    """Return a new file of this kind (image, voice, emotion, video, anything else is a document), of `size` bytes where it is given."""
    if size is None:
        size = _LARGE if large else rng.randint(*_SIZES.get(kind, _SIZES["file"]))
    inner = f"demo/{kind}/{size}/{rng.getrandbits(48):012x}"
    digest = hashlib.md5(usedforsecurity=False)
    for start in range(0, size, STEP):
        digest.update(part(inner, start, start + STEP))
    return MediaFile(renewed(rng, inner), size, digest.hexdigest())


def renewed(rng: random.Random, inner: str) -> str:
    """Return another id for the same file, as a message that is sent again carries one."""
    return sdkfileid(inner, f"demo{rng.getrandbits(64):016x}", rng.randbytes(16))


def inner_id(fileid: str) -> str:
    """Return what names the file inside an id; raises UsageError DEMO_FILE_UNKNOWN for an id that is not of the demonstration."""
    try:
        raw = base64.b64decode(fileid, validate=True)
        inner = raw[2 : 2 + raw[1]].decode("ascii")
    except (ValueError, IndexError):
        inner = ""
    if _parts_of(inner) is None:
        raise UsageError("DEMO_FILE_UNKNOWN", "the file id is not one of the demonstration", remedy="ask for files of demo messages only")
    return inner


def _parts_of(inner: str) -> tuple[str, int] | None:
    """Return (kind, size) that an inner id tells, or None when it is not ours."""
    parts = inner.split("/")
    if len(parts) != 4 or parts[0] != "demo" or not (parts[2].isdecimal() and len(parts[2]) < 12 and int(parts[2]) <= _LIMIT):
        return None
    return parts[1], int(parts[2])


def size_of(inner: str) -> int:
    """Return the size in bytes of the file that an inner id names; raises UsageError DEMO_FILE_UNKNOWN."""
    parts = _parts_of(inner)
    if parts is None:
        raise UsageError("DEMO_FILE_UNKNOWN", "the file id is not one of the demonstration", remedy="ask for files of demo messages only")
    return parts[1]


def content(fileid: str) -> bytes:
    """Return the file's bytes; they have the size and MD5 that the message declares. Raises UsageError DEMO_FILE_UNKNOWN."""
    inner = inner_id(fileid)
    return part(inner, 0, size_of(inner))


def part(inner: str, start: int, end: int) -> bytes:
    """Return bytes `start` to `end` (exclusive, cut at the file's end) of the file that an inner id names, without making the rest of it."""
    kind, size = _parts_of(inner) or ("file", 0)
    magic, block = _MAGIC.get(kind, _MAGIC["file"]), hashlib.sha256(inner.encode()).digest()
    end = min(end, size)
    begin = max(start, len(magic))
    offset = (begin - len(magic)) % len(block)
    count = max(end - begin, 0)
    return magic[start:end] + (block * ((offset + count) // len(block) + 1))[offset : offset + count]
