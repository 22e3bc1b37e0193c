"""Fetched files that no row names any more: seen at one look, removed at one a day later, if nothing names them then either.

Before: media_store.py, trusted_clock.py, hints.py. After: the step `media_sweep` of `run`.

They are left by removals of earlier versions, by rows that went otherwise, by a kill between. Rules, each with a test:
 (1) A file is named by any row, of any state, of kind `media` or among the restricted (holds keep rows, and rows their files); by a staged row; by
     what is being fetched: that has a second name until its row is committed. Nobody fetches meanwhile (the lock of `media fetch`).
 (2) It must be unnamed at two looks that are a day apart in archive time, so that readers of an earlier version are long done. No jump of a clock
     makes a day; archive time that the operator set back, and a record of the first look that is lost, begin it anew.
 (3) In doubt nothing goes: rows or a log that cannot be read raise before anything is removed; a log whose end was torn begins the day anew.
 (4) Only what opens to the very content that its name was made of goes: of a damaged file, or under another key of names, nobody can tell who names it.
 (5) Custody has a line before the first file goes and one after the last, with counts and no name. Killed anywhere, the next look finishes it.
Only the corp's own folder is looked at.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from pipeline import clock, durable, hints, trusted_clock
from pipeline.deltalog import DataFile
from pipeline.errors import UsageError, VerifyFailed
from pipeline.home import Home
from pipeline.lake import Lake
from pipeline.purges import SWEEP_DELAY_MS, staged_files
from pipeline.source import media_store

COMMAND = "media sweep"


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """The last look: when (ms of archive time), and what no row named then (`<month>/<name>`)."""

    at_ms: int = 0
    unnamed: tuple[str, ...] = ()


class Swept(msgspec.Struct, frozen=True, kw_only=True):
    """What a look did: files removed; files that no row names and that stay, for a day or because they do not open."""

    swept: int = 0
    unnamed: int = 0


def run(home: Home, corp_id: str) -> Swept | None:
    """Look for files that nothing names, and remove those that nothing named a day ago either; None when the last look is less than a day old.

    Raises Locked while files are fetched; VerifyFailed, UsageError, StorageError where rows cannot be read (Vanished: somebody tidied up meanwhile)."""
    if not _is_due(home, corp_id):
        return None
    with home.lock(f"{corp_id}.media"):
        if not _is_due(home, corp_id):  # somebody else looked meanwhile
            return None
        before, now_ms = _last(home, corp_id), trusted_clock.watch(home).archive_ms
        if home.lake(corp_id).mend_log() or _set_back(before, now_ms):
            before = Look()
        unnamed = _unnamed(home, corp_id)
        due = [path for path in unnamed if _told(path) in before.unnamed and _is_what_its_name_says(home, corp_id, path)]
        _remove(home, corp_id, due)
        left = tuple(_told(path) for path in unnamed if path not in due)
        hints.write(_path(home, corp_id), Look(at_ms=now_ms, unnamed=left))
    return Swept(swept=len(due), unnamed=len(left))


def _is_due(home: Home, corp_id: str) -> bool:
    """Whether a day has passed since the last look, by archive time and by the machine's clock; or the operator set archive time back."""
    before, seen = _last(home, corp_id), trusted_clock.watch(home)
    return seen.due_ms >= before.at_ms + SWEEP_DELAY_MS or _set_back(before, seen.archive_ms)


def _set_back(before: Look, archive_ms: int) -> bool:
    """Whether the operator set archive time back since: its memory alone lags by moments."""
    return archive_ms < before.at_ms - trusted_clock.BACK_MS


def _path(home: Home, corp_id: str) -> Path:
    return home.path / "source" / f"{corp_id}.unnamed_media.json"


def _last(home: Home, corp_id: str) -> Look:
    return hints.read(_path(home, corp_id), Look)


def _told(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


def _unnamed(home: Home, corp_id: str) -> list[Path]:
    """Return the whole files of the corp that nothing names, in order (rule 1)."""
    there = sorted((home.path / media_store.FOLDER / corp_id).glob("*/*.lhm"))
    if not there:
        return []
    named = {media_store.address(home, corp_id, month, sha256) for month, sha256 in _named(home, corp_id)}
    return [path for path in there if path not in named and path.stat().st_nlink == 1]


def _named(home: Home, corp_id: str) -> set[tuple[str, str]]:
    """Return (month, SHA-256) of all that rows name."""
    lake = home.lake(corp_id)
    staged = staged_files(home, corp_id)  # before the version is looked at: what is committed in between is in that
    files = [*lake.snapshot().files, *staged]
    return {(clock.month_of_day(day), sha256) for day, sha256 in (*_of_media(lake, files), *_of_restricted(lake, files))}


def _of_media(lake: Lake, files: Iterable[DataFile]) -> Iterator[tuple[int, str]]:
    rows = lake.read("media", [f for f in files if f.kind == "media"], columns=["dt", "sha256"], where=ds.field("sha256").is_valid())
    pairs = pa.table({"day": pc.cast(rows["dt"], pa.int32()), "sha256": rows["sha256"]}).group_by(["day", "sha256"]).aggregate([])
    yield from zip(pairs["day"].to_pylist(), pairs["sha256"].to_pylist(), strict=True)


def _of_restricted(lake: Lake, files: Iterable[DataFile]) -> Iterator[tuple[int, str]]:
    moved = lake.read("restricted", [f for f in files if f.kind == "restricted"], columns=["body"], where=ds.field("row_kind") == "media")
    for body in moved["body"].to_pylist():
        row = msgspec.msgpack.decode(body)
        if row["sha256"]:
            yield row["dt"], row["sha256"]


def _is_what_its_name_says(home: Home, corp_id: str, path: Path) -> bool:
    """Whether the file opens from end to end to the content that its name was made of (rule 4)."""
    digest, whole = hashlib.sha256(), False
    try:
        with durable.storage("reading a fetched file"):
            for found, _ in media_store.slices(home.keyring, path):
                digest.update(found.data)
                whole = found.last
    except (ValueError, UsageError, VerifyFailed):  # keys that are gone, too
        return False
    return whole and path == media_store.address(home, corp_id, path.parent.name, digest.hexdigest())


def _remove(home: Home, corp_id: str, due: list[Path]) -> None:
    if not due:
        return
    told = {"corp": corp_id, "files": len(due)}
    home.custody.append(command=COMMAND, phase="start", params=told)
    for path in due:
        durable.remove(path)
    home.custody.append(command=COMMAND, phase="end", params=told, result=f"{len(due)} files")
