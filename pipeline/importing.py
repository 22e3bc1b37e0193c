"""Opened messages from another archive (`ingest --plain`): a sequence space of their own, encrypted at once.

Before: the operator's files. After: landing.py (`put_import`), message.py.
A line is `{"seq":n,"message":{…}}` or a bare message; a bare one gets a sequence number from its msgid, so that the same
message always gets the same number. Lines that are neither stay as failures with their bytes kept.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
import zstandard

from pipeline import durable
from pipeline.errors import Failure, UsageError
from pipeline.records import OpenedItem, OpenedPage, PageRef, Unopened

LINES_A_PAGE = 1_000
BARE_SEQ_BASE = 1 << 62
SEQ_LIMIT = 1 << 63
CHUNK = 1 << 20


class _Line(msgspec.Struct, frozen=True):
    seq: int
    message: msgspec.Raw


class _Bare(msgspec.Struct, frozen=True):
    msgid: str


class PlainRecord(msgspec.Struct, frozen=True, array_like=True):
    """One line: seq is None where it could not be read; data is the message JSON, or the whole line then."""

    seq: int | None
    code: str
    data: bytes


def read_line(line: bytes) -> PlainRecord:
    """Read one line of a `--plain` file."""
    try:
        found = msgspec.json.decode(line, type=_Line)
        if not 0 <= found.seq < SEQ_LIMIT:
            return PlainRecord(None, "SEQ_RANGE", line)
        return PlainRecord(found.seq, "", bytes(found.message))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    try:
        msgid = msgspec.json.decode(line, type=_Bare).msgid
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return PlainRecord(None, "ITEM_MALFORMED", line)
    digest = hashlib.sha256(msgid.encode("utf-8", "surrogatepass")).digest()
    return PlainRecord(BARE_SEQ_BASE | int.from_bytes(digest[:8]) >> 2, "", line)


def _chunks(path: Path) -> Iterator[bytes]:
    """Yield what the file holds, unpacked; raises UsageError INPUT_DAMAGED where a packed one is cut or damaged."""
    with durable.storage("reading the file to import"), path.open("rb") as handle:
        try:
            if path.suffix == ".gz":
                with gzip.open(handle, "rb") as unpacked:
                    yield from iter(lambda: unpacked.read(CHUNK), b"")
            elif path.suffix == ".zst":
                yield from _zstd(iter(lambda: handle.read(CHUNK), b""))
            else:
                yield from iter(lambda: handle.read(CHUNK), b"")
        except (EOFError, zlib.error, gzip.BadGzipFile, zstandard.ZstdError) as error:
            raise UsageError("INPUT_DAMAGED", f"the packed file {path.name} is cut or damaged", remedy="take it from its source again") from error


def _zstd(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Unpack frame after frame (a file may hold several); a last frame without its end is an EOFError."""
    stream = None
    for chunk in chunks:
        while chunk:
            stream = stream or zstandard.ZstdDecompressor().decompressobj()
            yield stream.decompress(chunk)
            chunk, stream = (stream.unused_data, None) if stream.eof else (b"", stream)
    if stream is not None:
        raise EOFError


def pages(path: Path) -> Iterator[tuple[str, list[PlainRecord]]]:
    """Yield (name, records) pages of up to 1,000 lines; raises UsageError when the file is missing or cut."""
    if not path.is_file():
        raise UsageError("INPUT_MISSING", f"there is no file {path}", remedy="check --plain")
    batch: list[PlainRecord] = []
    number = 0
    for line in _lines(_chunks(path)):
        batch.append(read_line(line))
        if len(batch) == LINES_A_PAGE:
            yield f"{path.name}#{number}", batch
            batch, number = [], number + 1
    if batch:
        yield f"{path.name}#{number}", batch


def _lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        yield from (line.strip() for line in whole if line.strip())
    if rest.strip():
        yield rest.strip()


def encode(records: list[PlainRecord]) -> bytes:
    """Return the page body that `opened_page` reads."""
    return msgspec.msgpack.encode(records)


def opened_page(ref: PageRef, body: bytes) -> OpenedPage:
    """Return an import's page as if it had been opened: no key, no sealed bytes."""
    items, failed = [], []
    for n, record in enumerate(msgspec.msgpack.decode(body, type=list[PlainRecord])):
        if record.seq is None:
            detail = "expected a message or {\"seq\":…,\"message\":{…}} with 0 <= seq < 2^63"
            failed.append(Unopened(Failure(step="landing", code=record.code, detail=detail, item=n), record.data))
        else:
            items.append(OpenedItem(item=n, seq=record.seq, msgid="", key_version=None, plaintext=record.data, key_block=b"", sealed=record.data))
    return OpenedPage(ref, tuple(items), tuple(failed))
