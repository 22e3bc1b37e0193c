"""The files of a zip without its directory in memory: of each, 16 bytes; its entry is read again where it is asked for.

Before: a zip by anybody's hand. After: check_files.py, redaction/leaks.py. Source: APPNOTE.TXT 6.3.10, sections 4.3.7, 4.3.12, 4.3.14 to 4.3.16, 4.5.3.
Why not zipfile: it keeps a kilobyte for every file, and a bundle has three for each message.

Rules: (1) what is not whole, lies beyond its directory, or is not what its directory says (length, CRC-32) is a BadZip, whatever was read of it
before; (2) stored and deflated files alone, unpacked piece by piece; (3) bytes before the zip and behind its end are passed over, as by others,
but told by `fault`; (4) what two readers could read in two ways is refused: ends that say different things of one directory, and by `fault` files
that lie over each other, heads that say something else than the directory, extra fields that name a file otherwise (0x7075, 4.6.9) or tell its sizes
twice, bytes that belong to no file of it.
"""

from __future__ import annotations

import struct
import zlib
from array import array
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from itertools import pairwise
from secrets import token_bytes
from typing import BinaryIO, NamedTuple

import numpy as np

PIECE = 1 << 20
STORED, DEFLATED = 0, 8
_NEWEST = 63  # version of the format, times ten
_UNUSABLE = 1 << 0 | 1 << 5 | 1 << 6 | 1 << 13  # encrypted, patched, strongly encrypted, masked
_UTF8 = 1 << 11
_BEHIND = 1 << 3  # CRC-32 and sizes stand behind the bytes
_LOCAL = struct.Struct("<4s5H3L2H")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_FIND64 = struct.Struct("<4sLQL")
_SEE_EXTRA = 0xFFFFFFFF
_OTHER_NAME = 0x7075  # an extra field of Info-ZIP: some readers show this name
_LONGEST = 0xFFFF  # of a name, an extra field, a comment
_ONES = (0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF)  # "see the far end", of each number of the near one
_COUNTS = 1 << 16  # after as many files some packers begin again at 0, and write no far end
_OTHERWISE = "its ends say different things of its directory"
_NEAR = 256  # bytes in which an entry of ours lies, and what stands before a file


class BadZip(Exception):
    """It is not whole; the words say what is not."""


class Entry(NamedTuple):
    """One file as the directory has it. place: of this entry; begin: of the file, both in bytes from the beginning; kind: of a Unix file, 0 for none."""

    name: str
    written: bytes
    flags: int
    way: int
    checksum: int
    packed: int
    size: int
    kind: int
    begin: int
    place: int
    length: int

    @property
    def folder(self) -> bool:
        """Whether it is a folder, of which nothing is told but its name (deflated, nothing is two bytes)."""
        return self.name.endswith("/") and not self.size and self.packed <= 2


class Packed:
    """A zip on a seekable file. Raises BadZip, here and wherever it reads."""

    def __init__(self, source: BinaryIO) -> None:
        self._source, self._key = source, token_bytes(16)
        self._size = source.seek(0, 2)
        # Where the directory begins and ends, and how many bytes stand before the zip.
        self._begin, self._end, self._before, told = self._directory()
        keys, places = array("Q"), array("Q")
        for entry in self:
            keys.append(self._digest(entry.name))
            places.append(entry.place)
        if told not in (len(keys), len(keys) % _COUNTS):
            raise BadZip(f"its end counts {told} files, its directory {len(keys)}")
        order = np.argsort(np.frombuffer(keys, np.uint64), kind="stable")
        self._keys, self._places = np.frombuffer(keys, np.uint64)[order], np.frombuffer(places, np.uint64)[order]

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[Entry]:
        """Yield the entries in the order of the directory."""
        place = self._begin
        while place < self._end:
            data, at = self._read(place, min(PIECE, self._end - place)), 0
            # What begins here but may not end here is read with the next piece.
            while at < len(data) and (place + len(data) == self._end or len(data) - at >= _CENTRAL.size + 3 * _LONGEST):
                entry = self._entry(data, at, place + at)
                yield entry
                at += entry.length
            if not at:
                raise BadZip("its directory is cut")  # it became shorter while it was read
            place += at

    def find(self, name: str) -> tuple[int, Entry] | None:
        """Return (place among all files, from 0; the entry) of the first file of this name; None when there is none."""
        key = np.uint64(self._digest(name))
        at = int(np.searchsorted(self._keys, key))
        while at < len(self._keys) and self._keys[at] == key:
            entry = self._entry_at(int(self._places[at]))
            if entry.name == name:
                return at, entry
            at += 1
        return None

    def twice(self) -> str | None:
        """Return the name of a file that is there twice; None when there is none."""
        alike = np.flatnonzero(self._keys[1:] == self._keys[:-1]).tolist()
        for at in alike:
            entries = [self._entry_at(int(place)) for place in self._places[at : at + 3]]  # a third one is by chance alone
            names = sorted(entry.name for entry in entries if not entry.folder)
            if again := [one for one, other in pairwise(names) if one == other]:
                return again[0]
        return None

    def fault(self) -> str:
        """Return what another reader would read otherwise (rule 4), "" when nothing: every byte belongs to one file, the directory or its end."""
        begins, ends, lasts = array("Q"), array("Q", [0]), array("Q", [0])
        odd = ""
        for entry in self:
            last, said = self._ends(entry)
            begins.append(entry.begin)
            ends.append(last)
            lasts.append(last + said)
            odd = odd or (f"the head of {entry.name} says something else than the directory" if said < 0 else "")
        begins.append(self._begin)
        # With both in order: apart exactly when as many have ended as have begun before, wherever one begins.
        begun = np.sort(np.frombuffer(begins, np.uint64))
        if (np.sort(np.frombuffer(ends, np.uint64)) > begun).any():
            return "two of its files lie over each other: no bundle's do"
        if odd:
            return odd
        whole = bool((np.sort(np.frombuffer(lasts, np.uint64)) == begun).all()) and self._last == self._size
        return "" if whole else "it holds bytes that are no file of its directory: no bundle does"

    def _ends(self, entry: Entry) -> tuple[int, int]:
        """Return (where the bytes of a file end, bytes of what its packer told behind them; -1 where its head says something else)."""
        head = self._read(entry.begin, _NEAR)
        if len(head) < _LOCAL.size:
            return entry.begin + _LOCAL.size + entry.packed, -1
        signature, _, flags, way, _, _, checksum, packed, size, named, more = _LOCAL.unpack_from(head)
        if len(head) < _LOCAL.size + named + more:
            head = self._read(entry.begin, _LOCAL.size + named + more)
        start = _LOCAL.size + named
        last = entry.begin + start + more + entry.packed
        if _two_ways(head[start : start + more]):
            return last, -1
        size, packed = _large(head[start : start + more], size, packed)
        right, told = (entry.checksum, entry.packed, entry.size), (checksum, packed, size)
        same = (signature, flags, way, head[_LOCAL.size : start]) == (b"PK\3\4", entry.flags, entry.way, entry.written)
        if not flags & _BEHIND:
            return last, 0 if same and told == right else -1
        # The numbers stand behind the bytes; before them zeros, or the same (4.3.9, 4.4.4).
        return last, self._behind(last, right) if same and all(n in (0, m) for n, m in zip(told, right, strict=True)) else -1

    def _behind(self, place: int, right: tuple[int, int, int]) -> int:
        """Return how long it is what the packer of a file told behind its bytes (4.3.9: with or without signature, in 32 or 64 bits); -1 for none."""
        found = self._read(place, 24)
        forms = [mark + struct.pack(form, *right) for form in ("<L2Q", "<3L") for mark in (b"PK\7\x08", b"") if form == "<L2Q" or max(right) < 1 << 32]
        return max((len(form) for form in forms if found.startswith(form)), default=-1)

    def pieces(self, entry: Entry) -> Iterator[bytes]:
        """Yield the bytes of a file, a piece at a time (rule 1)."""
        near = self._read(entry.begin, _NEAR + min(entry.packed, PIECE))
        if len(near) < _LOCAL.size:
            raise BadZip(f"{entry.name} begins behind its end")
        signature, *_, named, extra = _LOCAL.unpack_from(near)
        start = _LOCAL.size + named + extra
        if signature != b"PK\3\4" or near[_LOCAL.size : _LOCAL.size + named] != entry.written or entry.flags & _UNUSABLE or entry.way not in (STORED, DEFLATED):
            raise BadZip(f"{entry.name} is not where the directory says, or cannot be read")
        packed: Iterable[bytes] = [near[start : start + entry.packed]] if start + entry.packed <= len(near) else self._far(entry.begin + start, entry.packed)
        size = checksum = 0
        for piece in _inflated(packed, entry.packed) if entry.way == DEFLATED else packed:
            size, checksum = size + len(piece), zlib.crc32(piece, checksum)
            if size > entry.size:
                break
            yield piece
        if (size, checksum) != (entry.size, entry.checksum):
            raise BadZip(f"bad CRC-32 or length of {entry.name}")

    def read(self, entry: Entry) -> bytes:
        """Return the bytes of a file, whole."""
        return b"".join(self.pieces(entry))

    # -- reading

    def _read(self, place: int, size: int) -> bytes:
        try:
            self._source.seek(place)
            return self._source.read(size)
        except OSError as error:
            raise BadZip(str(error)) from None

    def _far(self, begin: int, size: int) -> Iterator[bytes]:
        return (self._read(at, min(PIECE, begin + size - at)) for at in range(begin, begin + size, PIECE))

    def _digest(self, name: str) -> int:
        """Return what stands for a name: under a key drawn here, so that nobody can make many names alike."""
        return int.from_bytes(blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8, key=self._key).digest())

    def _directory(self) -> tuple[int, int, int, int]:
        """Return (where the directory begins, where it ends, bytes before the zip, files that its end counts)."""
        begin = max(self._size - _END.size - _LONGEST, 0)
        tail = self._read(begin, _END.size + _LONGEST)
        at = tail.rfind(b"PK\5\6", 0, max(len(tail) - _END.size + 4, 0))
        if at < 0:
            raise BadZip("it has no directory")
        end = begin + at
        *told_here, comment = _END.unpack_from(tail, at)[1:]
        told: tuple[int, ...] = tuple(told_here)
        self._last = end + _END.size + comment
        far = end - _FIND64.size - _END64.size
        if far >= 0 and self._read(far + _END64.size, 4) == b"PK\6\7":
            end, told = far, self._far_end(far, told)
        disk, first, here, count, size, offset = told
        if not 0 <= offset <= end - size:
            raise BadZip("its directory is not where it says")
        if disk or first or here != count:
            raise BadZip(_OTHERWISE)
        return end - size, end, end - size - offset, count

    def _far_end(self, place: int, near: tuple[int, ...]) -> tuple[int, ...]:
        """Return the numbers of the end in 64 bits; each is that of the near end, where it is not all ones (4.4.1.4)."""
        data = self._read(place, _END64.size + _FIND64.size)
        signature, length, _, _, *told = _END64.unpack_from(data)
        _, _, found, _ = _FIND64.unpack_from(data, _END64.size)
        if signature != b"PK\6\6":
            raise BadZip("its directory is not where it says")
        alike = all(n in (m, ones) for n, m, ones in zip(near, told, _ONES, strict=True))
        if not alike or length != _END64.size - 12 or found != told[-2] + told[-1]:
            raise BadZip(_OTHERWISE)
        return tuple(told)

    def _entry_at(self, place: int) -> Entry:
        data = self._read(place, min(_NEAR, self._end - place))
        if len(data) < _CENTRAL.size:
            raise BadZip("its directory is cut")
        length = _CENTRAL.size + sum(struct.unpack_from("<3H", data, 28))
        return self._entry(data if length <= len(data) else self._read(place, length), 0, place)

    def _entry(self, data: bytes, at: int, place: int) -> Entry:
        if at + _CENTRAL.size > len(data):
            raise BadZip("its directory is cut")
        signature, _, version, flags, way, _, _, checksum, packed, size, named, extra, comment, _, _, kind, begin = _CENTRAL.unpack_from(data, at)
        length = _CENTRAL.size + named + extra + comment
        if signature != b"PK\1\2" or at + length > len(data) or version & 0xFF > _NEWEST:
            raise BadZip("its directory is broken")
        start = at + _CENTRAL.size
        written, more = data[start : start + named], data[start + named : start + named + extra]
        size, packed, begin = _large(more, size, packed, begin)
        if min(size, packed, begin) < 0 or self._before + begin + packed > self._end:
            raise BadZip("its directory names what lies behind it")
        name = written.decode("utf-8" if flags & _UTF8 else "cp437", "backslashreplace")
        if _two_ways(more):
            raise BadZip(f"an extra field of {name} can be read in two ways")
        return Entry(name, written, flags, way, checksum, packed, size, kind >> 28, begin + self._before, place, length)


def _large(extra: bytes, *told: int) -> tuple[int, ...]:
    """Return numbers of an entry, those that do not fit into 32 bits from its extra field (4.5.3)."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, at)
        at += 4
        if kind == 1:
            numbers = iter(struct.unpack_from(f"<{min(length, len(extra) - at) // 8}Q", extra, at))
            told = tuple(next(numbers, -1) if n == _SEE_EXTRA else n for n in told)
        at += length
    return told


def _two_ways(extra: bytes) -> bool:
    """Return whether readers could take something else from an extra field: another name (4.6.9), one of two pairs of sizes, what lies behind it."""
    at, kinds = 0, list[int]()
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, at)
        kinds.append(kind)
        at += 4 + length
    return at > len(extra) or _OTHER_NAME in kinds or kinds.count(1) > 1


def _inflated(packed: Iterable[bytes], size: int | None = None) -> Iterator[bytes]:
    """Yield what was deflated, in pieces no larger than PIECE (rule 2). size: of it all, where nothing may follow; raises BadZip."""
    unpacking = zlib.decompressobj(-zlib.MAX_WBITS)
    read = 0
    try:
        for piece in packed:
            rest, read = piece, read + len(piece)
            while rest:
                yield unpacking.decompress(rest, PIECE)
                rest = unpacking.unconsumed_tail
            if unpacking.eof:
                break  # what follows would only be kept in memory
        yield unpacking.flush()
        if size is not None and (not unpacking.eof or read - len(unpacking.unused_data) != size):
            raise BadZip("what is packed ends before its bytes do, or does not end")
    except zlib.error as error:
        raise BadZip(str(error)) from None
