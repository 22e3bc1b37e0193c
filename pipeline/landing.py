"""The landing: pages as they came, write-once, until a durable commit has settled all their records.

Before: answers.py (saved answers), the source. After: envelope.py.
The landing is the queue: what lies here is not settled yet, or its settling was not yet durable.

One file a page, `<first seq, 20 digits>-<sha256>.page`: one header line of ours (how it came), then the bytes as received.
Sealed pages are ciphertext by nature. Opened imports are never landed: they lie in staging, encrypted under the home's key.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from pipeline import answers, durable
from pipeline.answers import Counted
from pipeline.errors import UsageError, VerifyFailed
from pipeline.home import Home
from pipeline.records import PageRef, PageSource, SealedPage, Unopened

SUFFIX = ".page"
IMPORT_KEY_UNIT = "import"


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """The first line of a landed file."""

    v: int = 1
    source: PageSource
    name: str
    captured_at_ms: int
    first_seq: int | None
    last_seq: int | None
    records: int
    requested_seq: int | None = None
    answer_code: int | None = None
    library: str | None = None
    clock_offset_ms: int | None = None


class Pulled(msgspec.Struct, frozen=True, kw_only=True):
    """How a page was pulled: the seq asked with, the errcode inside, the library's sha256 (None without one), the source's clock minus ours."""

    requested_seq: int | None = None
    answer_code: int | None = None
    library: str | None = None
    clock_offset_ms: int | None = None


def put(
    home: Home, corp_id: str, data: bytes, *, source: PageSource, name: str, captured_at_ms: int, pulled: Pulled | None = None, sync_folder: bool = True,
    page: str = "", counted: Counted | None = None,
) -> PageRef:
    """Land one sealed page durably and return its reference; the same bytes land once.

    page: the sha256 (hex) of `data`, counted: what it holds (`answers.count_plain`), where the caller knows.
    With sync_folder=False the caller fsyncs the landing folder once for many pages, before anything relies on them."""
    page = page or hashlib.sha256(data).hexdigest()
    header = _header(counted or _count(data), source=source, name=name, captured_at_ms=captured_at_ms, pulled=pulled or Pulled())
    path = home.landing(corp_id) / _file_name(header, page)
    made = durable.write_once(path, msgspec.json.encode(header) + b"\n" + data, sync_folder=sync_folder)
    return _reference(corp_id, path, header if made else header_of(path), page, len(data))


def import_page_id(home: Home, corp_id: str, data: bytes) -> str:
    """Return the identity of an opened page: keyed, since a plain digest of readable text can be guessed from."""
    return home.keyring.pseudonym("names", corp_id, "import", hashlib.sha256(data).hexdigest()).hex()


def put_import(home: Home, corp_id: str, data: bytes, *, name: str, captured_at_ms: int, seqs: list[int], records: int) -> PageRef:
    """Keep one page of opened messages, encrypted, in staging; `data` is what `read` gives back."""
    page = import_page_id(home, corp_id, data)
    header = Header(
        source="plain", name=name, captured_at_ms=captured_at_ms, first_seq=min(seqs, default=None), last_seq=max(seqs, default=None), records=records
    )
    path = home.staging(corp_id) / _file_name(header, page)
    box = home.keyring.seal(IMPORT_KEY_UNIT, data, context=f"import/{corp_id}/{page}".encode())
    durable.write_once(path, msgspec.json.encode(header) + b"\n" + box)
    return _reference(corp_id, path, header_of(path), page, len(data))


def _count(data: bytes) -> Counted:
    """Return what a page holds: by one decoding where it is as the source writes it, else by reading it."""
    bare = PageRef(corp_id="", page="", uri="", size=len(data), source="file", name="", captured_at_ms=0)
    return answers.count_plain(data) or answers.count(answers.read_page(bare, data)[0])


def _header(counted: Counted, *, source: PageSource, name: str, captured_at_ms: int, pulled: Pulled) -> Header:
    return Header(
        source=source, name=name, captured_at_ms=captured_at_ms, first_seq=min(counted.seqs, default=None), last_seq=max(counted.seqs, default=None),
        records=counted.records, **msgspec.structs.asdict(pulled),
    )  # fmt: skip


def _file_name(header: Header, page: str) -> str:
    return f"{header.first_seq or 0:020d}-{page}{SUFFIX}"


def _reference(corp_id: str, path: Path, header: Header, page: str, size: int) -> PageRef:
    return PageRef(
        corp_id=corp_id, page=page, uri=str(path), size=size, source=header.source, name=header.name, captured_at_ms=header.captured_at_ms,
        first_seq=header.first_seq, last_seq=header.last_seq, requested_seq=header.requested_seq, records=header.records,
        answer_code=header.answer_code, library=header.library, clock_offset_ms=header.clock_offset_ms,
    )  # fmt: skip


def pulled_of(ref: PageRef) -> Pulled:
    """Return how a page was pulled."""
    return Pulled(requested_seq=ref.requested_seq, answer_code=ref.answer_code, library=ref.library, clock_offset_ms=ref.clock_offset_ms)


def header_of(path: Path) -> Header:
    """Return the header line of a landed file; raises VerifyFailed PAGE_DAMAGED."""
    with durable.storage("reading the landing"), open(path, "rb") as handle:
        line = handle.readline(1 << 16)
    try:
        return msgspec.json.decode(line, type=Header)
    except msgspec.DecodeError as error:
        raise VerifyFailed("PAGE_DAMAGED", f"the landed page {path.name} was changed on disk", remedy="restore it, or pull the range again") from error


def waiting(home: Home, corp_id: str) -> Iterator[PageRef]:
    """Yield all pages that wait for their commit, lowest first seq first; one that a commit settles meanwhile is passed by."""
    for path in sorted([*home.landing(corp_id).glob(f"*{SUFFIX}"), *home.staging(corp_id).glob(f"*{SUFFIX}")], key=lambda p: p.name):
        try:
            with durable.storage("reading the landing"), path.open("rb") as handle:
                size = os.fstat(handle.fileno()).st_size - len(handle.readline(1 << 16))
            header = header_of(path)
        except durable.Vanished:
            continue
        yield _reference(corp_id, path, header, path.name.split("-", 1)[1].removesuffix(SUFFIX), size)


def body(home: Home, ref: PageRef) -> bytes:
    """Return the page's bytes as received, checked against its name; raises VerifyFailed PAGE_DAMAGED, StorageError."""
    with durable.storage("reading the landing"):
        _, _, data = Path(ref.uri).read_bytes().partition(b"\n")
    if ref.source == "plain":
        return home.keyring.open(data, context=f"import/{ref.corp_id}/{ref.page}".encode())
    if hashlib.sha256(data).hexdigest() != ref.page:
        raise VerifyFailed("PAGE_DAMAGED", f"the landed page {ref.name} was changed on disk", remedy="restore it, or pull the range again")
    return data


def read(home: Home, ref: PageRef) -> tuple[SealedPage, tuple[Unopened, ...]]:
    """Read a landed sealed page: its whole records, and what of it cannot be read."""
    if ref.source == "plain":
        raise UsageError("PAGE_IS_PLAIN", "an opened import is not a sealed page", remedy="read it with importing.py")
    return answers.read_page(ref, body(home, ref))
