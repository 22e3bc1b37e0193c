"""A zip of stored files, written piece by piece: byte for byte what `zipfile` writes, its directory sealed on disk until the end.

Before: spool.py. After: bundle.py. Source: APPNOTE.TXT 6.3.10, sections 4.3.7, 4.3.12, 4.3.14 to 4.3.16, 4.5.3. Why not zipfile: it keeps
about a kilobyte for every file until the end, and a bundle has three for each message. Names are ASCII; all files bear one time.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from pipeline.evidence.spool import Spool

_DATE = (1 << 5) | 1  # 1980-01-01, 00:00
_MODE = 0o100644 << 16
SMALL = (1 << 31) - 1  # bytes of a file whose head says its size in the old way
_LIMIT, _MOST_FILES, _SEE_EXTRA = SMALL, (1 << 16) - 1, 0xFFFFFFFF
_BLOCK = 1 << 16  # bytes of the directory in memory
_PLAIN, _ZIP64, _UNIX = 20, 45, 3
_LOCAL = struct.Struct("<4s5H3L2H")
_CENTRAL = struct.Struct("<4s4B4HL2L5H2L")
_END64 = struct.Struct("<4sQ2H2L4Q")
_FIND64 = struct.Struct("<4sLQL")
_END = struct.Struct("<4s4H2LH")


class StoredZip:
    """A zip on a seekable file; call `end` when all files are in."""

    def __init__(self, sink: BinaryIO, folder: Path) -> None:
        """folder: of the disk that the directory takes room on until the end."""
        self._sink = sink
        self._at = sink.tell()
        self._directory, self._entries = Spool(folder, bytes), bytearray()
        self._files = 0

    def add(self, name: str, pieces: Iterable[bytes], *, large: bool) -> None:
        """Add a file. large: its size is not known to fit into 31 bits."""
        shown, begin = name.encode("ascii"), self._at
        self._write(self._head(shown, 0, 0, large))
        checksum = size = 0
        for piece in pieces:
            self._write(piece)
            checksum, size = zlib.crc32(piece, checksum), size + len(piece)
        self._sink.seek(begin)
        self._sink.write(self._head(shown, checksum, size, large))
        self._sink.seek(self._at)
        self._entries += self._entry(shown, checksum, size, begin, large)
        self._files += 1
        if len(self._entries) >= _BLOCK:
            self._keep()

    def _keep(self) -> None:
        self._directory.append(bytes(self._entries))
        self._entries.clear()

    def _write(self, data: bytes) -> None:
        self._sink.write(data)
        self._at += len(data)

    @staticmethod
    def _head(name: bytes, checksum: int, size: int, large: bool) -> bytes:
        extra = struct.pack("<2H2Q", 1, 16, size, size) if large else b""
        told = _SEE_EXTRA if large else size
        return _LOCAL.pack(b"PK\3\4", _ZIP64 if large else _PLAIN, 0, 0, 0, _DATE, checksum, told, told, len(name), len(extra)) + name + extra

    @staticmethod
    def _entry(name: bytes, checksum: int, size: int, begin: int, large: bool) -> bytes:
        numbers = ([size, size] if size > _LIMIT else []) + ([begin] if begin > _LIMIT else [])
        extra = struct.pack(f"<2H{len(numbers)}Q", 1, 8 * len(numbers), *numbers) if numbers else b""
        version = _ZIP64 if large or numbers else _PLAIN
        told, at = _SEE_EXTRA if size > _LIMIT else size, _SEE_EXTRA if begin > _LIMIT else begin
        head = _CENTRAL.pack(b"PK\1\2", version, _UNIX, version, 0, 0, 0, 0, _DATE, checksum, told, told, len(name), len(extra), 0, 0, 0, _MODE, at)
        return head + name + extra

    def end(self) -> None:
        """Write the directory."""
        begin, files = self._at, self._files
        self._keep()
        for entries in self._directory:
            self._write(entries)
        size = self._at - begin
        if files > _MOST_FILES or begin > _LIMIT or size > _LIMIT:
            at = self._at
            self._write(_END64.pack(b"PK\6\6", 44, _ZIP64, _ZIP64, 0, 0, files, files, size, begin) + _FIND64.pack(b"PK\6\7", 0, at, 1))
        files, size, begin = min(files, 0xFFFF), min(size, _SEE_EXTRA), min(begin, _SEE_EXTRA)
        self._write(_END.pack(b"PK\5\6", 0, 0, files, files, size, begin, 0))
