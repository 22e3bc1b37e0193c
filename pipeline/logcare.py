"""Care of the lake's log: checkpoints that are durable before anybody reads them, and the end of entries that a checkpoint stands for.

Before: deltalog.py, lake.py, anchors.py, manifests.py. After: compact.py.

Rules, each with a test:
 (1) A checkpoint is written when EVERY entries have come since the last one. The library writes it, without fsync, in a folder of its own; there
     it is read again and must say what the entries say; only then it gets its name in the log, durably.
 (2) Its digest is anchored, and entries end only behind an anchored checkpoint that is as it was anchored: the anchors keep version, head,
     leaves and digest of every entry that ended. Nothing of ours lies only in an entry: what a commit did is in `records`, `pages`, `runs`.
 (3) The newest KEEP entries stay, and all from the oldest version on that a waiting manifest was staged on: a commit looks back to it.
 (4) Entries end oldest first, so that what is left is always a checkpoint and all entries after it. No clock is asked.
All of it under the lock of the files: whoever is killed leaves a whole log, and the next run goes on.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import msgspec
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from pipeline import anchors, durable, manifests
from pipeline.deltalog import DataFile, Snapshot
from pipeline.errors import VerifyFailed
from pipeline.home import Home
from pipeline.lake import Lake
from pipeline.stage import MANIFEST_SUFFIX

EVERY = 100
KEEP = 1_000
CHECKPOINT = ".checkpoint.parquet"
LAST = "_last_checkpoint"


class Tended(msgspec.Struct, frozen=True, kw_only=True):
    """What was done: the version of a new checkpoint (None: none was due), log files that ended."""

    checkpoint: int | None = None
    ended: int = 0


def tend(home: Home, corp_id: str, *, every: int | None = None, keep: int = KEEP) -> Tended:
    """Write a checkpoint when one is due, then end what is not needed any more; return what was done. Safe to kill and to repeat."""
    lake = home.lake(corp_id)
    with manifests.files_held(home, corp_id):
        durable.sweep_temporary(_log(lake))
        snapshot = lake.snapshot()
        due = snapshot.version - max(_checkpoints(lake), default=0) >= (EVERY if every is None else every)
        if due:
            _checkpoint(home, lake, snapshot)
        return Tended(checkpoint=snapshot.version if due else None, ended=_end(home, lake, snapshot.version - keep))


# -- a checkpoint ----------------------------------------------------------------------------------------------------


def _checkpoint(home: Home, lake: Lake, snapshot: Snapshot) -> None:
    lake.sync_newest()
    scratch = home.staging(lake.corp_id).with_name(f"{lake.corp_id}.log")
    shutil.rmtree(scratch, ignore_errors=True)
    with durable.storage("writing a checkpoint of the log"):
        try:
            made, pointer = _made(lake, snapshot, scratch)
            durable.write_once(_log(lake) / made.name, made.read_bytes())
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    _anchor(lake, snapshot.version)
    durable.replace(_log(lake) / LAST, pointer)


def _made(lake: Lake, snapshot: Snapshot, scratch: Path) -> tuple[Path, bytes]:
    """Return a checkpoint of `snapshot` made in `scratch`, and the pointer to it; raises VerifyFailed LOG_CHECKPOINT when it says something else."""
    log = scratch / "_delta_log"
    log.mkdir(parents=True)
    base = max((v for v in _checkpoints(lake) if v <= snapshot.version), default=-1)
    names = [_entry(lake, v).name for v in range(max(base, 0), snapshot.version + 1)]
    for name in [*names, *([f"{base:020d}{CHECKPOINT}"] if base >= 0 else [])]:
        shutil.copyfile(_log(lake) / name, log / name)
    try:
        DeltaTable(str(scratch), version=snapshot.version).create_checkpoint()
        for path in log.glob("*.json"):
            if path.stem != f"{snapshot.version:020d}":
                path.unlink()
        found = Snapshot(DeltaTable(str(scratch)))
    except DeltaError as error:
        raise VerifyFailed("LOG_CHECKPOINT", "a checkpoint of the log could not be made", remedy="`liuhen verify --archive` says where the log is damaged") from error
    if (found.version, found.head, _by_path(found)) != (snapshot.version, snapshot.head, _by_path(snapshot)):
        raise VerifyFailed("LOG_CHECKPOINT", "a checkpoint of the log says something else than its entries", remedy="report it; nothing was changed")
    return log / f"{snapshot.version:020d}{CHECKPOINT}", (log / LAST).read_bytes()


def _by_path(snapshot: Snapshot) -> dict[str, DataFile]:
    return {f.path: f for f in snapshot.files}


def _anchor(lake: Lake, version: int) -> None:
    anchors.checkpoint(lake.root, version, hashlib.sha256(_checkpoint_path(lake, version).read_bytes()).hexdigest())


# -- the end of entries ----------------------------------------------------------------------------------------------


def _end(home: Home, lake: Lake, newest: int) -> int:
    """Unlink entries before the newest sound checkpoint up to version `newest`, and the checkpoints before it; return how many files."""
    oldest = min([newest, *_staged_on(home, lake.corp_id)])
    if oldest < 0 or not (candidates := [v for v in _checkpoints(lake) if v <= oldest]):
        return 0
    anchored = {(a.checkpoint, a.checkpoint_sha256) for a in anchors.read(lake.root) if a.checkpoint_sha256}
    base = next((v for v in sorted(candidates, reverse=True) if (v, hashlib.sha256(_checkpoint_path(lake, v).read_bytes()).hexdigest()) in anchored), None)
    gone = [p for v, p in sorted(_versions(lake)) if base is not None and v < base]
    for path in gone:
        durable.remove(path, sync_folder=False)
    if gone:
        durable.fsync_folder(_log(lake))
    return len(gone)


def _staged_on(home: Home, corp_id: str) -> list[int]:
    """Return the versions that the pages of waiting manifests were judged by."""
    found = [manifests.load(p) for p in home.staging(corp_id).glob(f"*{MANIFEST_SUFFIX}")]
    return [page.register_version for m in found if m is not None for page in m.pages]


def _log(lake: Lake) -> Path:
    return lake.root / "_delta_log"


def _entry(lake: Lake, version: int) -> Path:
    return _log(lake) / f"{version:020d}.json"


def _checkpoint_path(lake: Lake, version: int) -> Path:
    return _log(lake) / f"{version:020d}{CHECKPOINT}"


def _checkpoints(lake: Lake) -> list[int]:
    return [int(p.name[:20]) for p in _log(lake).glob(f"{'[0-9]' * 20}{CHECKPOINT}")]


def _versions(lake: Lake) -> list[tuple[int, Path]]:
    """Return (version, path) of all entries and checkpoints."""
    return [(int(p.name[:20]), p) for end in (".json", CHECKPOINT) for p in _log(lake).glob(f"{'[0-9]' * 20}{end}")]
