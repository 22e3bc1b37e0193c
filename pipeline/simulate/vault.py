"""Sealed files behind their ids, range by range: nothing is stored, a range is made when it is asked for (envelope-format.md 4).

Before: demo/media.py. After: chat.py, client.py.
"""

from __future__ import annotations

import base64
import re

import msgspec
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES128
from cryptography.hazmat.primitives.ciphers.modes import ECB

from pipeline.demo import media

RANGE = 524_288
BLOCK = 16
_HEADER = re.compile(r"bytes=(\d{1,15})-(\d{1,15})\Z")


class FileId(msgspec.Struct, frozen=True):
    """What an sdkfileid holds: `fileid` and `authkey` are sent, `aeskey` (16 bytes) stays with who has the message."""

    fileid: str
    authkey: str
    aeskey: bytes


def opened(sdkfileid: str) -> FileId:
    """Return what an sdkfileid holds; ValueError when it is none."""
    raw, values, at = base64.b64decode(sdkfileid, validate=True), [], 0
    for number in (1, 2, 3):
        if raw[at : at + 1] != bytes((number << 3 | 2,)) or at + 1 >= len(raw) or raw[at + 1] > 127:
            raise ValueError("not an sdkfileid")
        end = at + 2 + raw[at + 1]
        values.append(raw[at + 2 : end].decode("ascii"))
        at = end
    return FileId(values[0], values[1], bytes.fromhex(values[2]))


def asked_range(header: str) -> tuple[int, int]:
    """Return the first and last byte (inclusive) that a Range header names; ValueError for another form."""
    found = _HEADER.match(header.strip())
    if not found or int(found[1]) > int(found[2]):
        raise ValueError("not a range")
    return int(found[1]), int(found[2])


def sealed_size(size: int) -> int:
    """Return the size of a file once it is padded."""
    return size + BLOCK - size % BLOCK


class Vault:
    """Which files there are. Not locked: whoever asks holds the double's lock."""

    def __init__(self) -> None:
        self._files: dict[tuple[str, str], tuple[bytes, int]] = {}

    def __len__(self) -> int:
        return len(self._files)

    def add(self, sdkfileid: str, landed_ms: int) -> None:
        """Take in a file that a message names; it leaves the window with its message."""
        known = opened(sdkfileid)
        self._files[known.fileid, known.authkey] = (known.aeskey, landed_ms)

    def landed(self, fileid: str, authkey: str) -> int | None:
        """Return when the file's message arrived, None for a file nobody was told of."""
        found = self._files.get((fileid, authkey))
        return found[1] if found else None

    def piece(self, fileid: str, authkey: str, first: int, last: int, *, spoil: bool = False) -> tuple[bytes, int]:
        """Return sealed bytes `first` to `last` (inclusive, cut at the end, at most 512 KiB) and the sealed size; spoil: one byte of the
        file is another one. first is a multiple of the block size. KeyError for an unknown file, ValueError for a range beyond its end."""
        aeskey, _ = self._files[fileid, authkey]
        size = media.size_of(fileid)
        total = sealed_size(size)
        end = min(last + 1, first + RANGE, total)
        if first >= total or first % BLOCK:
            raise ValueError("range beyond the end")
        data = bytearray(media.part(fileid, first, end))
        if spoil and data:
            data[len(data) // 2] ^= 1
        if end == total:
            data += bytes((total - size,)) * (total - size)
        encryptor = Cipher(AES128(aeskey), ECB()).encryptor()
        whole = len(data) // BLOCK * BLOCK
        return encryptor.update(bytes(data[:whole])) + encryptor.finalize(), total
