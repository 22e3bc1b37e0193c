"""Indexes of the lake's message files: made where they are missing, taken away where their data file is gone.

Before: index_file.py, ../lake.py. After: cycle_steps.py (each cycle), candidates.py (asks them), ../stores.py (erasure).

    search/<corp>/<sha256 of the data file>.index     and beside it .columns (narrow.py), made and removed with it

Rules, each with a test:
 (1) One index a data file, made from that file alone, under that file's key: a data file that was written anew has none until one is made.
 (2) Files of few rows have none: reading them is as fast.
 (3) An index is written whole under a temporary name, then named (durable.py). Killed anywhere: it is there or it is not.
 (4) What belongs to no file of the newest version is removed: by every build, and at once by an erasure.
 (5) The newest months come first; a build with a budget goes on where it stopped.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa

from pipeline import durable, filekeys, stamps
from pipeline.deltalog import DataFile, Snapshot
from pipeline.errors import ArchiveError, StorageError, VerifyFailed
from pipeline.home import Home
from pipeline.lake import Lake
from pipeline.search import boxes, doubled, grams, index_file, narrow, rest
from pipeline.search.boxes import Damaged
from pipeline.search.datafile import Opened
from pipeline.search.grams import Keys
from pipeline.search.index_file import Group, Index

MAKER = "search index/1"
FOLDER = "search"
SUFFIX = ".index"
LEAST_ROWS = 2_048
COLUMNS = ["text", "dt", "conversation_id", "sender_id", "recipient_ids.list.element", "msgtype"]
_GROUP_BITS = 20


class Built(msgspec.Struct, kw_only=True):
    """What a build did: indexes made and removed, messages read, files left for want of time; all: indexes there are now; blocked: in whose
    places lies what is no file."""

    made: int = 0
    removed: int = 0
    messages: int = 0
    left: int = 0
    all: int = 0
    blocked: int = 0


def place(home_path: Path, corp_id: str, file: DataFile) -> Path:
    """Return where the index of a data file lies."""
    return home_path / FOLDER / corp_id / f"{file.sha256}{SUFFIX}"


def wanted(snapshot: Snapshot) -> list[DataFile]:
    """Return the files that should have an index, the newest month first (rules 2, 5)."""
    files = [f for f in snapshot.of("messages") if f.rows >= LEAST_ROWS and f.rows >> _GROUP_BITS < 1 << _GROUP_BITS]
    return sorted(files, key=lambda f: (f.month, f.rows), reverse=True)


def build(
    home: Home, corp_id: str, *, budget_s: float = float("inf"), again: bool = False, progress: Callable[[str, int, int], None] | None = None
) -> Built:
    """Make what is missing, remove what belongs to nothing; return what was done. again: every index anew, whatever is there.

    One builder at a time (a lock); beside committers: a file that goes meanwhile is passed over."""
    told = Built()
    with home.lock(f"{corp_id}.search"):
        lake = home.lake(corp_id)
        snapshot = lake.snapshot()
        folder = home.path / FOLDER / corp_id
        durable.make_folder(folder)
        durable.sweep_temporary(folder)
        files = wanted(snapshot)
        rest.build(home, corp_id)
        doubled.build(home.path, lake, snapshot)
        told.removed = sweep(home, corp_id, [] if again else files)
        missing = [f for f in files if not _is_there(home, lake, snapshot, f)]
        end = time.monotonic() + budget_s
        for done, file in enumerate(missing):
            if time.monotonic() >= end:
                told.left = len(missing) - done
                break
            if _make(home, lake, snapshot, file):
                told.made, told.messages = told.made + 1, told.messages + file.rows
            if progress is not None:
                progress("index", done + 1, len(missing))
        kept = [p for p in folder.iterdir() if not p.is_dir()]
        told.all, told.blocked = sum(p.suffix == SUFFIX for p in kept), len(list(folder.iterdir())) - len(kept)
    return told


def sweep(home: Home, corp_id: str, files: Iterable[DataFile]) -> int:
    """Remove the indexes that belong to none of `files`; return how many (rule 4)."""
    folder = home.path / FOLDER / corp_id
    known = {f.sha256 for f in files}
    old = [p for p in sorted(folder.glob("*")) if p.suffix in (SUFFIX, narrow.SUFFIX) and p.stem not in known]
    gone = [p for p in old if boxes.clear(p, sync_folder=False)]
    if gone:
        durable.fsync_folder(folder)
    return sum(p.suffix == SUFFIX for p in gone)


def purge(home: Home, corp_id: str, keys: object) -> int:
    """Remove the indexes of files that an erasure took out, and all that is kept of records and findings (stores.py calls it after the lake was
    rewritten); return how many indexes."""
    if not (home.path / FOLDER / corp_id).is_dir():
        return 0
    lake = home.lake(corp_id)
    rest.purge(home.path, lake)
    return sweep(home, corp_id, wanted(lake.snapshot()))


def read(home_path: Path, lake: Lake, snapshot: Snapshot, file: DataFile) -> Index | None:
    """Return the index of a file, None when there is none; raises Damaged for one that does not open or whose stamp does not fit."""
    found = index_file.read(place(home_path, lake.corp_id, file), lake.keyring, file.path)
    if found is not None and not stamps.fits(found.head.stamp, MAKER, snapshot, [file]):
        raise Damaged
    return found


def _is_there(home: Home, lake: Lake, snapshot: Snapshot, file: DataFile) -> bool:
    """Whether a file has an index and columns that open and fit; what does not is removed. A folder in the place of one counts as it: see `blocked`."""
    return all([_opens(read, place, home, lake, snapshot, file), _opens(narrow.read, narrow.place, home, lake, snapshot, file)])


def _opens(
    read: Callable[[Path, Lake, Snapshot, DataFile], object], at: Callable[[Path, str, DataFile], Path], home: Home, lake: Lake, snapshot: Snapshot, file: DataFile
) -> bool:
    try:
        return read(home.path, lake, snapshot, file) is not None
    except Damaged:
        return not boxes.clear(at(home.path, lake.corp_id, file))


def _make(home: Home, lake: Lake, snapshot: Snapshot, file: DataFile) -> bool:
    try:
        key = filekeys.of(lake.root / file.path)
        if key is None:
            return False
        groups, keys, bitmaps = index_of(Opened(lake, file))
        sealed = index_file.sealed(lake.keyring, key, file.path, stamps.stamp(MAKER, snapshot, [file]), groups, keys, bitmaps)
        columns = narrow.sealed(lake.keyring, key, file.path, stamps.stamp(narrow.MAKER, snapshot, [file]), narrow.of(lake, file))
    except (durable.Vanished, ArchiveError):
        if (lake.root / file.path).exists():
            raise
        return False
    for at, data in ((place(home.path, lake.corp_id, file), sealed), (narrow.place(home.path, lake.corp_id, file), columns)):
        if not at.is_dir():
            durable.replace(at, data)
    return True


def index_of(data: Opened) -> tuple[list[Group], Keys, np.ndarray]:
    """Return the row groups of a data file, its keys ascending, and for each a bitmap of the groups that hold it."""
    groups, found = [], []
    for number in range(data.groups):
        table = data.read(number, COLUMNS)
        days = np.asarray(table["dt"].cast(pa.int32()))
        groups.append(Group(table.num_rows, int(days.min()), int(days.max())))
        found.append((keys_of(table) << np.uint64(_GROUP_BITS)) | np.uint64(number))
    return groups, *_bitmaps(np.sort(np.concatenate(found)), -(-len(groups) // 8))


def keys_of(table: pa.Table) -> Keys:
    """Return the keys of one row group."""
    texts = table["text"].combine_chunks()
    names = [
        grams.of_names("conversation", table["conversation_id"].to_pylist()), grams.of_names("type", table["msgtype"].to_pylist()),
        grams.of_names("person", [*table["sender_id"].to_pylist(), *table["recipient_ids"].combine_chunks().flatten().to_pylist()]),
    ]  # fmt: skip
    return grams.once(np.concatenate([grams.of_texts(texts), *names]))


def _bitmaps(pairs: Keys, width: int) -> tuple[Keys, np.ndarray]:
    """Return the keys of (key << _GROUP_BITS | group), ascending, and their bitmaps."""
    keys, number = pairs >> np.uint64(_GROUP_BITS), (pairs & np.uint64((1 << _GROUP_BITS) - 1)).astype(np.int64)
    begins = np.concatenate([[True], keys[1:] != keys[:-1]])
    row = np.cumsum(begins) - 1
    byte = row * width + (number >> 3)
    starts = np.flatnonzero(np.concatenate([[True], byte[1:] != byte[:-1]]))
    bitmaps = np.zeros((int(row[-1]) + 1) * width, np.uint8)
    bitmaps[byte[starts]] = np.add.reduceat((1 << (number & 7)).astype(np.uint8), starts)  # each bit once: adding is or
    return keys[begins], bitmaps.reshape(-1, width)


def groups_in(bits: int) -> Sequence[int]:
    """Return the numbers of the row groups that are set in `bits`."""
    return [n for n, bit in enumerate(reversed(bin(bits)[2:])) if bit == "1"]


def refuse_damage(home_path: Path, lake: Lake, file: DataFile) -> None:
    """Take a damaged index away, so that the next build makes it anew. A storage that cannot be written keeps it: it answers nothing all the same."""
    try:
        durable.remove(place(home_path, lake.corp_id, file))
    except (StorageError, VerifyFailed):
        return
