"""Files of saved GetChatData answers, as pages: streamed, whatever their size, and the same pages every time.

Before: the operator's files. After: landing.py, and answers.py, which reads a page.

Rules:
 (1) `.json` is one answer: one page, the file's bytes.
 (2) `.jsonl` is one answer or one chatdata item a line. An answer is a page; items that follow each other are put into answers of
     1,000 items or 16 MiB, each item's bytes as they are.
 (3) `.gz` and `.zst` of either. The first bytes decide whether a file is compressed, not its name.
 (4) What is not JSON becomes a page too, so that it is counted and told: a line that looks like a record alone, other lines together.
 (5) A file that ends in the middle: what is whole is kept, then comes one broken page.
 (6) A line, or a whole `.json`, above 64 MiB is cut there and is a broken page; the file goes on after it.
 (7) Opened messages are refused: a page is landed as it is, and what lies in the landing must be sealed.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

import msgspec
import zstandard

from pipeline import durable
from pipeline.answers import PLAIN_HEAD
from pipeline.errors import UsageError
from pipeline.hostile_json import too_deep
from pipeline.outline import SPACE, UNREADABLE

MAX_PAGE = 64 << 20
ITEMS_A_PAGE = 1_000
GATHERED_BYTES = 16 << 20
BOM = b"\xef\xbb\xbf"
KINDS = (".jsonl", ".json")
COMPRESSED = (".gz", ".zst")

_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
# How many compressed bytes are undone at once: the worst of each format makes 4 and 16 MiB of them.
_GZIP_STEP, _ZSTD_STEP, _PLAIN_STEP = 4 << 10, 512, 1 << 20

Sort = Literal["answer", "item", "opened", "broken", "debris", "blank"]


class RawPage(msgspec.Struct, frozen=True):
    """One page's bytes, and what to call it before the operator: the file's name without its folder, `#`, the page's number from 1."""

    name: str
    data: bytes


class _Line(msgspec.Struct):
    errcode: msgspec.Raw = msgspec.Raw()
    chatdata: msgspec.Raw = msgspec.Raw()
    encrypt_chat_msg: msgspec.Raw = msgspec.Raw()
    message: msgspec.Raw = msgspec.Raw()
    msgtype: msgspec.Raw = msgspec.Raw()
    action: msgspec.Raw = msgspec.Raw()


class _Piece(NamedTuple):
    """A line (or a whole `.json`); not whole when the file ended in it or it was too long."""

    data: bytes
    whole: bool


class _CutShort(Exception):
    """The compressed stream ended in the middle or is damaged."""


class _Inflater(Protocol):
    """What zlib and zstandard have in common."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, /) -> bytes: ...


_line = msgspec.json.Decoder(_Line).decode


def pages_from_file(path: Path) -> Iterator[RawPage]:
    """Yield the pages of a saved file, or of all such files of a folder (by name; folders in it are left alone).

    Raises UsageError with one sentence, before the first page: FILE_MISSING, FILE_KIND (unknown ending), FILE_EMPTY, FOLDER_EMPTY; on the
    way: OPENED_MESSAGES, FILE_EMPTY for a file of blanks. StorageError when reading fails.
    """
    with durable.storage(f"reading {path.name}"):
        files = _files_of(path)
    return (page for file in files for page in _pages(file))


def _files_of(path: Path) -> list[Path]:
    if path.is_dir():
        files = sorted(p for p in path.iterdir() if p.is_file() and _kind_of(p) and not p.name.startswith("."))
        if not files:
            raise UsageError("FOLDER_EMPTY", f"the folder {path.name}/ holds no saved answers", remedy=_ENDINGS)
    else:
        files = [path]
    for file in files:
        _check(file)
    return files


_ENDINGS = "expected files that end in .json, .jsonl, or one of these with .gz or .zst after it"


def _check(file: Path) -> None:
    if not file.is_file():
        raise UsageError("FILE_MISSING", f"there is no file {file.name}", remedy="check the path")
    if not _kind_of(file):
        raise UsageError("FILE_KIND", f"{file.name} has an ending that says nothing about what it holds", remedy=_ENDINGS)
    if file.stat().st_size == 0:
        raise _empty(file)


def _empty(file: Path) -> UsageError:
    return UsageError("FILE_EMPTY", f"{file.name} is empty", remedy="check whether it was saved completely")


def _kind_of(file: Path) -> str:
    """Return `.json`, `.jsonl`, or nothing for another ending."""
    name = file.name.lower()
    name = next((name.removesuffix(s) for s in COMPRESSED if name.endswith(s)), name)
    return next((kind for kind in KINDS if name.endswith(kind)), "")


def _pages(file: Path) -> Iterator[RawPage]:
    # A name that is no valid Unicode is shown with replacement characters: it is stored, and must be storable.
    name = file.name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    make = _lines_into_pages if _kind_of(file) == ".jsonl" else _one_answer
    number = 0
    for number, data in enumerate(make(_chunks(file), name), 1):
        yield RawPage(f"{name}#{number}", data)
    if number == 0:
        raise _empty(file)


# -- into pages ---------------------------------------------------------------------------------------------------


def _one_answer(chunks: Iterable[bytes], name: str) -> Iterator[bytes]:
    for piece in _pieces(chunks, separator=None):
        sort = _sort_of(piece.data.removeprefix(BOM).strip(SPACE), whole=piece.whole)
        if sort == "opened":
            raise _opened(name, 1)
        if sort != "blank":
            yield piece.data
        if not piece.whole:
            if sort not in ("broken", "debris"):
                yield _cut_after(piece.data)
            return


def _lines_into_pages(chunks: Iterable[bytes], name: str) -> Iterator[bytes]:
    held = _Held()
    last = b""
    for number, piece in enumerate(_pieces(chunks, separator=b"\n"), 1):
        line = piece.data.removeprefix(BOM if number == 1 else b"").strip(SPACE)
        sort = _sort_of(line, whole=piece.whole)
        if sort == "opened":
            raise _opened(name, number)
        for page in held.add(line, sort):
            yield (last := page)
        if not piece.whole:
            for page in held.rest():
                yield (last := page)
            if sort != "broken":
                yield _cut_after(last)
    yield from held.rest()


class _Held:
    """Lines that wait for their neighbours: items for other items, debris for other debris."""

    def __init__(self) -> None:
        self._lines: list[bytes] = []
        self._size = 0
        self._sort: Sort = "blank"

    def add(self, line: bytes, sort: Sort) -> Iterator[bytes]:
        """Take one line in; yield the pages that are complete by that."""
        if sort == "blank":
            return
        full = len(self._lines) == ITEMS_A_PAGE or self._size + len(line) > GATHERED_BYTES
        if full or sort != self._sort:
            yield from self.rest()
        if sort in ("item", "debris"):
            self._lines.append(line)
            self._size += len(line)
            self._sort = sort
        else:
            yield line

    def rest(self) -> Iterator[bytes]:
        """Yield what is held as one page, if anything is."""
        if self._lines:
            page = b"\n".join(self._lines) if self._sort == "debris" else answer_of(self._lines)
            self._lines, self._size, self._sort = [], 0, "blank"
            yield page


def answer_of(items: Iterable[bytes]) -> bytes:
    """Return a GetChatData answer that holds the items' bytes as they are."""
    return b'{"errcode":0,"errmsg":"ok","chatdata":[' + b",".join(items) + b"]}"


def _cut_after(page: bytes) -> bytes:
    """Return a broken page that stands for what is missing after `page`: never the same twice, so that none passes for known."""
    return b'{"errcode":0,"errmsg":"ok","cut_after":"' + hashlib.sha256(page).hexdigest().encode() + b'","chatdata":['


def _sort_of(line: bytes, *, whole: bool) -> Sort:
    """Tell what a line is: JSON objects by their names; what is no JSON by whether it begins as a record in one line does.

    What begins as the source begins its answers is one, or broken: a whole line of either becomes a page just so, and need not be read for that."""
    if not line:
        return "blank"
    if whole and line.startswith(PLAIN_HEAD):
        return "answer"
    try:
        found = None if too_deep(line) else _line(line)
    except UNREADABLE:
        found = None
    if found is None:
        return "broken" if line.startswith(b"{") and b'"' in line else "debris"
    if bytes(found.errcode) or bytes(found.chatdata):
        return "answer"
    if not bytes(found.encrypt_chat_msg) and (bytes(found.message) or bytes(found.msgtype) or bytes(found.action)):
        return "opened"
    return "item"


def _opened(name: str, line: int) -> UsageError:
    sentence = f"line {line} of {name} is a message that is already opened"
    return UsageError("OPENED_MESSAGES", sentence, remedy="take the file in with `liuhen ingest --plain FILE`")


# -- bytes ----------------------------------------------------------------------------------------------------------


def _pieces(chunks: Iterable[bytes], *, separator: bytes | None) -> Iterator[_Piece]:
    """Yield what lies between separators (all there is without one), cut at MAX_PAGE; one at the end of a file cut short is never whole."""
    held = bytearray()
    whole = True
    try:
        for chunk in chunks:
            *ended, begun = chunk.split(separator) if separator else (chunk,)
            for part in ended:
                held += part[: MAX_PAGE - len(held) + 1]
                yield _piece(held)
                held.clear()
            held += begun[: MAX_PAGE - len(held) + 1]
    except _CutShort:
        whole = False
    if held or not whole:
        yield _piece(held, whole=whole)


def _piece(held: bytearray, *, whole: bool = True) -> _Piece:
    return _Piece(bytes(held[:MAX_PAGE]), whole and len(held) <= MAX_PAGE)


def _chunks(file: Path) -> Iterator[bytes]:
    """Yield the file's bytes, decompressed when its first bytes say so; raises _CutShort where a compressed file breaks off."""
    with durable.storage(f"reading {file.name}"), file.open("rb") as handle:
        magic = handle.read(4)
        handle.seek(0)
        if magic.startswith(_GZIP):
            yield from _inflated(iter(lambda: handle.read(_GZIP_STEP), b""), lambda: zlib.decompressobj(zlib.MAX_WBITS | 16))
        elif magic == _ZSTD:
            yield from _inflated(iter(lambda: handle.read(_ZSTD_STEP), b""), zstandard.ZstdDecompressor().decompressobj)
        else:
            yield from iter(lambda: handle.read(_PLAIN_STEP), b"")


def _inflated(chunks: Iterable[bytes], new: Callable[[], _Inflater]) -> Iterator[bytes]:
    """Yield what the chunks were before compression, one compressed stream after the other (both formats allow that)."""
    stream, begun = new(), False
    for chunk in chunks:
        # Padding with zeros after a stream is common on tapes and block devices.
        while chunk := chunk if begun else chunk.lstrip(b"\0"):
            try:
                yield stream.decompress(chunk)
            except (zlib.error, zstandard.ZstdError) as error:
                raise _CutShort from error
            begun, chunk = not stream.eof, stream.unused_data
            if begun:
                break
            stream = new()
    if begun:
        raise _CutShort
