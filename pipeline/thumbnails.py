"""Fetched pictures made small, to stand on a page as `data:` addresses.

Before: source/media_store.py, transcript.py. After: conversation.py (the page), the command `conversation --html`.

Rules:
 (1) Pictures are strangers' bytes: only well-known formats are tried, none above LARGEST bytes or MOST_PIXELS, and whatever a decoder stumbles
     over leaves the page without a thumbnail, never without its line.
 (2) What is shown is made anew (JPEG, at most SIDE pixels a side): nothing of the original file but its pixels gets onto the page, no place, no device.
 (3) Only files that were fetched are opened; a page bears MOST of them at the most.
"""

from __future__ import annotations

import base64
import io
import warnings
from collections.abc import Iterable
from typing import Final

from PIL import Image, ImageOps

from pipeline import words
from pipeline.errors import ArchiveError
from pipeline.home import Home
from pipeline.source import media_store
from pipeline.transcript import Line, MessageLine

SIDE: Final = 240
LARGEST: Final = 20 * 1024 * 1024
MOST_PIXELS: Final = 60_000_000
MOST: Final = 300
FORMATS: Final = ("JPEG", "PNG", "GIF", "WEBP", "BMP")
KINDS: Final = frozenset({"image", "emotion"})
FETCHED: Final = frozenset({"verified", "unverifiable"})


def of_lines(home: Home, corp_id: str, lines: Iterable[Line]) -> dict[str, str]:
    """Return SHA-256 → data address of the fetched pictures of a conversation's lines."""
    found: dict[str, str] = {}
    for line in lines:
        at = (line.at_ms if line.at_ms is not None else line.captured_ms) if isinstance(line, MessageLine) else None
        for item in line.media if isinstance(line, MessageLine) and at is not None else ():
            wanted = item.kind in KINDS and item.status in FETCHED and item.sha256 and item.sha256 not in found
            if wanted and len(found) < MOST and (made := _read(home, corp_id, f"{words.moment(at or 0):%Y-%m}", item.sha256 or "")):
                found[item.sha256 or ""] = made
    return found


def _read(home: Home, corp_id: str, month: str, sha256: str) -> str | None:
    data = bytearray()
    try:
        for piece in media_store.read(home, corp_id, month, sha256):
            data += piece
            if len(data) > LARGEST:
                return None
    except ArchiveError:  # gone or damaged: `verify --archive` says so
        return None
    return thumbnail(bytes(data))


def thumbnail(data: bytes) -> str | None:
    """Return `data:image/jpeg;base64,…` of a picture, at most SIDE pixels a side; None for what cannot or should not be read (rule 1)."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with Image.open(io.BytesIO(data), formats=FORMATS) as opened:
                if opened.width * opened.height > MOST_PIXELS:
                    return None
                opened.draft("RGB", (SIDE * 2, SIDE * 2))
                small = _small(opened)
    except Exception:  # decoders raise whatever hostile bytes lead them to; there is nothing to tell them apart by
        return None
    made = io.BytesIO()
    small.save(made, "JPEG", quality=78)
    return "data:image/jpeg;base64," + base64.b64encode(made.getvalue()).decode()


def _small(opened: Image.Image) -> Image.Image:
    """Return the picture upright, small, on white."""
    upright = ImageOps.exif_transpose(opened).convert("RGBA")
    upright.thumbnail((SIDE, SIDE))
    ground = Image.new("RGB", upright.size, "white")
    ground.paste(upright, mask=upright.getchannel("A"))
    return ground
