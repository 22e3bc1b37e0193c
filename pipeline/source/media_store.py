"""Where fetched files lie: encrypted slice by slice while they arrive, named by a keyed digest of their content, one copy a month.

Before: keyring.py, durable.py. After: media_fetch.py, stores.py (purge), whoever shows a file.

    media/<corp>/<month>/<32 hex>.lhm      a whole file; the name: HMAC of its SHA-256 under the key of names, so that it tells nothing
    media/<corp>/partial/<32 hex>.partial  one that is being fetched; the name: HMAC of which reference it is

    file  = "LHM1", length of the key's name (2 bytes), key's name, nonce[12], AES-256-GCM(key of the unit, the file's own key; bound to the name), frames
    frame = length (4 bytes), last (1 byte), nonce[12], AES-256-GCM(the file's own key, length of index (2 bytes), index, slice; bound to number and last)

`index` is what the source is asked with for the slice that follows: a file that was cut anywhere says by itself how to go on. A cut end is
dropped; a frame that was changed, left out or moved does not open. Unit of the key: `<corp>/media/<month>` (Beijing month of the message).
Original names are shown where they are asked for, and never used here.
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pyarrow.compute as pc
import pyarrow.dataset as ds
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from pipeline import clock, durable
from pipeline.errors import VerifyFailed
from pipeline.home import Home
from pipeline.keyring import NONCE, Keyring
from pipeline.lake import Lake

FOLDER = "media"
PARTIAL = "partial"
MAGIC = b"LHM1"
_FRAME = struct.Struct(">IB")
_LARGEST = 64 * 1024 * 1024


class Reference(NamedTuple):
    """Which file of which message."""

    origin: str
    seq: int
    ref_no: int
    sdkfileid: str


class Slice(NamedTuple):
    """One slice: its bytes, what to ask the following one with, whether it is the last."""

    data: bytes
    following: str
    last: bool


def key_unit(corp_id: str, month: str) -> str:
    """Return the unit whose key protects the files of a month."""
    return f"{corp_id}/media/{month}"


def address(home: Home, corp_id: str, month: str, sha256: str) -> Path:
    """Return where the file with this content (SHA-256, hex) lies."""
    return home.path / FOLDER / corp_id / month / f"{home.keyring.pseudonym('names', corp_id, 'media', sha256).hex()}.lhm"


def partial_path(home: Home, corp_id: str, of: Reference) -> Path:
    """Return where a file lies while it is being fetched."""
    name = home.keyring.pseudonym("names", corp_id, "media-partial", of.origin, str(of.seq), str(of.ref_no), of.sdkfileid).hex()
    return home.path / FOLDER / corp_id / PARTIAL / f"{name}.partial"


def _bound(number: int, last: int) -> bytes:
    return number.to_bytes(8) + bytes([last])


def _head(keyring: Keyring, unit: str) -> tuple[bytes, bytes]:
    """Return a new file's head, and its own key."""
    name, own, nonce = keyring.current(unit), os.urandom(32), os.urandom(NONCE)
    wrapped = AESGCM(keyring.get(name)).encrypt(nonce, own, name.encode())
    return MAGIC + len(name).to_bytes(2) + name.encode() + nonce + wrapped, own


def _open_head(keyring: Keyring, file: Path) -> tuple[int, bytes]:
    """Return where the frames begin, and the file's own key; raises ValueError for what is no such file."""
    with file.open("rb") as at:
        head = at.read(len(MAGIC) + 2)
        if not head.startswith(MAGIC) or len(head) < len(MAGIC) + 2:
            raise ValueError("head")
        size = int.from_bytes(head[len(MAGIC) :])
        name, nonce, wrapped = at.read(size).decode(), at.read(NONCE), at.read(48)
        try:
            return at.tell(), AESGCM(keyring.get(name)).decrypt(nonce, wrapped, name.encode())
        except InvalidTag:
            raise ValueError("head") from None


def key_name(path: Path) -> str:
    """Return the name of the key a file needs, without opening it."""
    with path.open("rb") as at:
        head = at.read(len(MAGIC) + 2)
        return at.read(int.from_bytes(head[len(MAGIC) :])).decode()


def slices(keyring: Keyring, file: Path) -> Iterator[tuple[Slice, int]]:
    """Yield each whole slice and where it ends in the file (bytes); ends at the first that is cut or does not open. Raises ValueError for no head."""
    begin, own = _open_head(keyring, file)
    cipher, number = AESGCM(own), 0
    with file.open("rb") as at:
        at.seek(begin)
        while len(head := at.read(_FRAME.size)) == _FRAME.size:
            size, last = _FRAME.unpack(head)
            if size > _LARGEST or len(box := at.read(size)) != size:
                return
            try:
                plain = cipher.decrypt(box[:NONCE], box[NONCE:], _bound(number, last))
            except InvalidTag:
                return
            number += 1
            long = int.from_bytes(plain[:2])
            yield Slice(plain[2 + long :], plain[2 : 2 + long].decode(), bool(last)), at.tell()
            if last:
                return


class Partial:
    """A file that is being fetched. bytes: fetched so far; index: what to ask with next; complete: the last slice is here."""

    def __init__(self, home: Home, corp_id: str, month: str, of: Reference) -> None:
        self.path = partial_path(home, corp_id, of)
        self._home, self._corp_id, self._month = home, corp_id, month
        self._handle: int | None = None
        self._begin()
        if self.path.exists() and not self._resume():
            self.drop()

    def _begin(self) -> None:
        self.sha256, self.md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
        self.bytes, self.number, self.index, self.complete = 0, 0, "", False

    def _take(self, data: bytes, index: str, last: bool) -> None:
        self.sha256.update(data)
        self.md5.update(data)
        self.bytes += len(data)
        self.number += 1
        self.index, self.complete = index, last

    def _resume(self) -> bool:
        """Read what is there, drop a cut end; return whether it can be gone on with."""
        try:
            with durable.storage("reading a file that is being fetched"):
                whole, self._own = _open_head(self._home.keyring, self.path)
                for found, end in slices(self._home.keyring, self.path):
                    self._take(*found)
                    whole = end
        except ValueError:
            return False
        with durable.storage("writing a file that is being fetched"):
            self._handle = os.open(self.path, os.O_WRONLY | os.O_APPEND)
            os.ftruncate(self._handle, whole)
        return True

    def add(self, data: bytes, index: str, last: bool) -> None:
        """Keep one slice durably."""
        if self._handle is None:
            self._create()
        nonce = os.urandom(NONCE)
        plain = len(index.encode()).to_bytes(2) + index.encode() + data
        box = nonce + AESGCM(self._own).encrypt(nonce, plain, _bound(self.number, int(last)))
        assert self._handle is not None
        durable.append(self._handle, _FRAME.pack(len(box), int(last)) + box, what="a file that is being fetched")
        self._take(data, index, last)

    def _create(self) -> None:
        durable.make_folder(self.path.parent)
        head, self._own = _head(self._home.keyring, key_unit(self._corp_id, self._month))
        with durable.storage("writing a file that is being fetched"):
            self._handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        durable.append(self._handle, head, what="a file that is being fetched")
        durable.fsync_folder(self.path.parent)

    def keep(self) -> str:
        """Give the whole file its name; return its SHA-256 (hex). The partial stays until `drop`: what it was is told by nothing else yet."""
        digest = self.sha256.hexdigest()
        name = address(self._home, self._corp_id, self._month, digest)
        durable.make_folder(name.parent)
        durable.give_name(self.path, name)
        self.close()
        return digest

    def close(self) -> None:
        """Let go of the file; it can be gone on with later."""
        handle, self._handle = self._handle, None
        if handle is not None:
            os.close(handle)

    def drop(self) -> None:
        """Forget what was fetched."""
        self.close()
        with suppress(durable.Vanished):
            durable.remove(self.path)
        self._begin()


def sweep(home: Home, corp_id: str, wanted: Iterable[Reference]) -> int:
    """Remove partials of files that nobody waits for (told before a run was killed, or out of view by now); return how many."""
    there = list((home.path / FOLDER / corp_id / PARTIAL).glob("*.partial"))
    if there:
        kept = {partial_path(home, corp_id, of) for of in wanted}
        there = [path for path in there if path not in kept]
    for path in there:
        durable.remove(path)
    return len(there)


def read(home: Home, corp_id: str, month: str, sha256: str) -> Iterator[bytes]:
    """Yield the content of a stored file; raises VerifyFailed MEDIA_DAMAGED when it is not whole, MEDIA_GONE when it is not there."""
    path = address(home, corp_id, month, sha256)
    if not path.exists():
        raise VerifyFailed("MEDIA_GONE", "a fetched file is not in the store", remedy="restore it from its backup")
    digest, whole = hashlib.sha256(), False
    try:
        with durable.storage("reading a fetched file"):
            for found, _ in slices(home.keyring, path):
                whole = found.last
                digest.update(found.data)
                yield found.data
    except ValueError:
        whole = False
    if not whole or digest.hexdigest() != sha256:
        raise VerifyFailed("MEDIA_DAMAGED", "a fetched file was changed or cut after it was stored", remedy="restore it from its backup")


def purge(home: Home, corp_id: str, keys: Collection[tuple[str, int]]) -> int:
    """Remove the files that `going` tells; return how many. Must come before the rows that name them are taken out of the lake."""
    paths = going(home, corp_id, keys)
    for path in paths:
        durable.remove(path)
    return len(paths)


def going(home: Home, corp_id: str, keys: Collection[tuple[str, int]]) -> list[Path]:
    """Return the files of the records, except those that other records share, and what of them is being fetched. Restricted records have files like
    others: those that share one keep it, too."""
    gone, kept, partials = set[tuple[str, str]](), set[tuple[str, str]](), set[Reference]()
    for row in _rows(home.lake(corp_id)):
        ours = (row["origin"], row["seq"]) in keys
        if ours:
            partials.add(Reference(row["origin"], row["seq"], row["ref_no"], row["sdkfileid"]))
        if row["sha256"]:
            (gone if ours else kept).add((clock.month_of_day(row["day"]), row["sha256"]))
    paths = [address(home, corp_id, month, sha256) for month, sha256 in gone - kept]
    return [p for p in [*paths, *(partial_path(home, corp_id, of) for of in partials)] if p.exists()]


def _rows(lake: Lake) -> Iterator[dict[str, Any]]:
    """Yield what names files: rows of kind `media`, and those that were moved to the restricted. day: since 1970."""
    snapshot = lake.snapshot()
    rows = lake.read("media", snapshot.of("media"), columns=["origin", "seq", "ref_no", "sdkfileid", "sha256", "dt"])
    yield from (rows.append_column("day", pc.cast(rows["dt"], "int32")) if rows.num_rows else rows).to_pylist()
    moved = lake.read("restricted", snapshot.of("restricted"), columns=["body"], where=ds.field("row_kind") == "media")
    for body in moved["body"].to_pylist():
        row = msgspec.msgpack.decode(body)
        yield {**row, "day": row["dt"]}
