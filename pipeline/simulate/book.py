"""The truth about every record, a line each in `records.jsonl`, written before the record is sealed.

Before: demo/story.py, demo/media.py. After: simulator.py; whoever compares an archive with it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import msgspec

from pipeline.demo import media
from pipeline.demo.story import Record
from pipeline.demo.truth import files_in


class File(msgspec.Struct, frozen=True, kw_only=True):
    """One file that a message names. sha256 and size are of the file as it is."""

    kind: str
    sdkfileid: str
    sha256: str
    size: int


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One record. msgid: of the envelope; sha256: of the opened bytes; order: 1 for the second of two with one seq; times in ms.

    code: the failure that it must end in, "" for none (the late key's KEY_MISSING included; POISON: one of the envelope's); live: it came
    while the double ran."""

    seq: int
    order: int
    msgid: str
    type: str
    sender: str
    tolist: tuple[str, ...]
    room_id: str
    sent_ms: int
    landed_ms: int
    key_version: int
    sha256: str
    code: str
    fate: str
    fate_later: str
    live: bool
    files: tuple[File, ...]


def line(record: Record, landed_ms: int, *, live: bool = False) -> Line:
    """Return the truth about one record."""
    draft = record.draft
    return Line(
        seq=record.seq, order=record.order, msgid=record.msgid, type="switch" if draft.role == "switch" else draft.body.msgtype,
        sender=draft.sender, tolist=draft.tolist, room_id=draft.room_id, sent_ms=draft.sent_ms, landed_ms=landed_ms,
        key_version=record.key_version, sha256=hashlib.sha256(record.plaintext).hexdigest(), code=record.code, fate=record.fate,
        fate_later=record.fate_later, live=live, files=tuple(_file(kind, fileid) for kind, fileid in files_in(draft.body.fields)),
    )  # fmt: skip


def _file(kind: str, sdkfileid: str) -> File:
    inner = media.inner_id(sdkfileid)
    return File(kind=kind, sdkfileid=sdkfileid, sha256=_digest(inner), size=media.size_of(inner))


def _digest(inner: str) -> str:
    digest = hashlib.sha256()
    for start in range(0, media.size_of(inner), media.STEP):
        digest.update(media.part(inner, start, start + media.STEP))
    return digest.hexdigest()


def append(path: Path, lines: Iterable[Line]) -> None:
    """Add lines to the book."""
    with path.open("ab") as handle:
        handle.writelines(msgspec.json.encode(line) + b"\n" for line in lines)


def read(path: Path) -> list[Line]:
    """Return all lines."""
    return [msgspec.json.decode(line, type=Line) for line in path.read_bytes().splitlines()]


