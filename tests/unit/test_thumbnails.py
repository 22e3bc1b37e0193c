"""Pictures of strangers made small: what is shown is made anew, and nothing a decoder stumbles over gets further."""

from __future__ import annotations

import base64
import io
import struct
import zlib
from typing import Any

import pytest
from PIL import Image

from pipeline import thumbnails


def encoded(kind: str, size: tuple[int, int] = (400, 100), mode: str = "RGB", **more: Any) -> bytes:
    """A picture with its left half red and its right half blue."""
    picture = Image.new(mode, size, "red" if mode != "P" else 0)
    if mode != "P":
        picture.paste("blue", (size[0] // 2, 0, *size))
    out = io.BytesIO()
    picture.save(out, kind, **more)
    return out.getvalue()


def shown(address: str | None) -> Image.Image:
    assert address is not None and address.startswith("data:image/jpeg;base64,")
    return Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2])))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "BMP"])
def test_a_picture_is_shown_small_and_upright(kind: str) -> None:
    small = shown(thumbnails.thumbnail(encoded(kind)))
    assert (small.format, small.size) == ("JPEG", (240, 60))
    left, right = (small.convert("RGB").getpixel((x, 30)) for x in (20, 220))
    assert isinstance(left, tuple) and isinstance(right, tuple)
    assert left[0] > 200 > 60 > left[2] and right[2] > 200 > 60 > right[0]


def test_a_small_picture_is_not_blown_up_and_a_turned_one_is_turned_back() -> None:
    assert shown(thumbnails.thumbnail(encoded("PNG", (30, 20)))).size == (30, 20)
    turned = Image.Exif()
    turned[0x0112] = 6
    assert shown(thumbnails.thumbnail(encoded("JPEG", exif=turned))).size == (60, 240)


def test_where_it_was_taken_and_by_which_device_is_not_shown() -> None:
    told = Image.Exif()
    told[0x010F], told[0x8825] = "SecretCam", {1: "N", 2: (31.0, 14.0, 0.0)}
    whole = encoded("JPEG", exif=told)
    assert b"SecretCam" in whole
    address = thumbnails.thumbnail(whole)
    assert address is not None
    made = base64.b64decode(address.partition(",")[2])
    assert b"SecretCam" not in made and b"Exif" not in made


def bomb() -> bytes:
    """A PNG of 30,000 by 30,000 pixels in a few bytes."""
    head = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(b"\0" * 1000)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(struct.pack(">I", len(b)) + k + b + struct.pack(">I", zlib.crc32(k + b)) for k, b in chunks)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"), pytest.param(b"hello, no picture", id="no picture"), pytest.param(bomb(), id="a bomb"),
        pytest.param(encoded("PNG")[:120], id="cut"), pytest.param(b"%PDF-1.4 ...", id="a document"), pytest.param(b"<svg xmlns='http://www.w3.org/2000/svg'/>", id="markup"),
        pytest.param(encoded("TIFF"), id="a format that is not shown"), pytest.param(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", id="a program"),
    ],
)  # fmt: skip
def test_what_is_no_harmless_picture_has_no_thumbnail(data: bytes) -> None:
    assert thumbnails.thumbnail(data) is None


@pytest.mark.parametrize("at", range(10, 400, 13))
def test_a_damaged_picture_never_raises(at: int) -> None:
    whole = bytearray(encoded("JPEG"))
    whole[at % len(whole)] ^= 0xFF
    made = thumbnails.thumbnail(bytes(whole))
    assert made is None or made.startswith("data:image/jpeg;base64,")
