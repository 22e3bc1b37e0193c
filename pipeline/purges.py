"""Files that commits took out of the archive: listed durably before the commit, unlinked ten minutes after it.

Before: deltalog.py, lake.py, manifests.py, generations.py, trusted_clock.py. After: commit.py, compact.py.

Readers go on with the version they opened; who comes later than that opens the newest one (reader.py). Rules, each with a test:
 (1) The list is durable before the commit, so that nothing is forgotten when the process dies; the ten minutes begin with the commit.
 (2) No clock destroys anything: what the newest version names stays, whatever a list or the time says. The commit that took a path out is
     fsynced once more before the path is unlinked.
 (3) A path that a later list names too waits for that one.
 (4) What a killed compaction left (files with its token that no version names, temporary files) goes with its list.
 (5) Time is archive time (trusted_clock.py): a clock that jumped ahead unlinks nothing before ten minutes have passed. A list that lies
     further ahead than that was written before the clock was set back: its ten minutes begin now.
 (6) Files that nothing names (a killed run's, a late worker's) are listed by `sweep` and go a day later, if nothing names them then. Were one
     of a worker that takes longer, its commit is refused and its page is staged again.
 (7) All of this under the lock that a commit holds while it adopts files.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from pipeline import durable, generations, manifests, trusted_clock
from pipeline.deltalog import CommitConflict, DataFile, Snapshot
from pipeline.home import Home
from pipeline.lake import Lake
from pipeline.layout import temporary_name
from pipeline.stage import MANIFEST_SUFFIX

DELAY_MS = 10 * 60 * 1000
SWEEP_DELAY_MS = 24 * 60 * 60 * 1000
SWEPT = 0  # the version of a list that no commit made
SUFFIX = ".json"


class PurgeList(msgspec.Struct, frozen=True, kw_only=True):
    """What one commit takes out, or a sweep found. version: the one it was planned to make, or SWEPT; token, folders: whose names, and where,
    its new files bear."""

    v: int = 1
    version: int
    not_before_ms: int
    paths: tuple[str, ...]
    token: str = ""
    folders: tuple[str, ...] = ()
    delay_ms: int = DELAY_MS


class Noted(NamedTuple):
    """A list and where it lies."""

    path: Path
    listed: PurgeList


def folder(home: Home, corp_id: str) -> Path:
    """Return where the lists of a corp lie."""
    return home.staging(corp_id).with_name(f"{corp_id}.purge")


def note(
    home: Home, corp_id: str, planned: Snapshot, removes: Sequence[DataFile], *, token: str = "", folders: Iterable[str] = (), renewed: bool = False
) -> Noted:
    """Write the list of a commit that is about to be made on `planned`; call `begin` or `forget` after it. renewed: it is there already, and gets longer;
    raises CommitConflict where somebody took it meanwhile, and with it what was written so far."""
    version = planned.version + 1
    path = folder(home, corp_id) / f"purge-{version:020d}-{token or secrets.token_hex(8)}{SUFFIX}"
    paths = tuple(f.path for f in removes)
    noted = Noted(path, PurgeList(version=version, not_before_ms=trusted_clock.now_ms(home) + DELAY_MS, paths=paths, token=token, folders=tuple(sorted(folders))))
    with manifests.files_held(home, corp_id):
        if renewed and not path.exists():
            raise CommitConflict
        durable.make_folder(path.parent)
        _write(noted)
    return noted


def begin(home: Home, corp_id: str, noted: Noted, *, version: int) -> None:
    """Let the ten minutes begin: the commit of this list is durable, as `version`."""
    with manifests.files_held(home, corp_id):
        _write(_from(trusted_clock.now_ms(home), noted, version))


def _from(now_ms: int, noted: Noted, version: int) -> Noted:
    return Noted(noted.path, msgspec.structs.replace(noted.listed, version=version, not_before_ms=now_ms + noted.listed.delay_ms))


def _write(noted: Noted) -> None:
    durable.replace(noted.path, msgspec.json.encode(noted.listed))


def forget(noted: Noted) -> None:
    """Drop the list of a commit that was not made and whose files are gone."""
    durable.remove(noted.path)


def taken(home: Home, corp_id: str, noted: Noted) -> bool:
    """Whether somebody took the list of a commit that is not made yet, and the files with its token: an erasure, or it came due. Waits for whoever is
    at it: files go first, lists last."""
    with manifests.files_held(home, corp_id):
        return not noted.path.exists()


def run(home: Home, corp_id: str, *, at_once: bool = False) -> int:
    """Unlink what is due, then end key generations that nothing needs any more; return how many files went.

    at_once: without waiting (an erasure: no older copy of a file may outlive it); what a sweep found waits its day, it may be of a worker at work."""
    lake = home.lake(corp_id)
    with manifests.files_held(home, corp_id):
        lists, now = _lists(home, corp_id), trusted_clock.now_ms(home)
        if not lists and not generations.months_with_old(lake):
            return 0
        due = [n for n in lists if n.listed.not_before_ms <= now or (at_once and n.listed.version != SWEPT)]
        later = [n for n in lists if n not in due]
        for noted in later:
            if noted.listed.not_before_ms > now + noted.listed.delay_ms:  # rule 5
                _write(_from(now, noted, noted.listed.version))
        # A sweep holds nothing: what it found may have been committed, taken out and listed since, and what nobody names holds no key either.
        waiting = {p for n in later if n.listed.version != SWEPT for p in n.listed.paths}
        staged = staged_files(home, corp_id)
        gone = _unlink(lake, [_without(n.listed, staged) for n in due], waiting) if due else 0
        generations.retire(lake, [*lake.snapshot().files, *staged, *waiting])
        for noted in due:
            durable.remove(noted.path)
    return gone


def sweep(home: Home, corp_id: str) -> int:
    """List the files of the lake's folder that neither the newest version nor a manifest nor a list names; return how many (rule 6)."""
    lake = home.lake(corp_id)
    with manifests.files_held(home, corp_id):
        lists = [n.listed for n in _lists(home, corp_id)]
        there = _files_of_ours(lake)
        known = {f.path for f in (*lake.snapshot().files, *staged_files(home, corp_id))} | {p for listed in lists for p in listed.paths}
        at_work = tuple(t for listed in lists if listed.token for t in (f"{listed.token}-", temporary_name(listed.token)))
        found = sorted(p for p in there - known if not p.rsplit("/", 1)[1].startswith(at_work))
        if found:
            path = folder(home, corp_id) / f"purge-{SWEPT:020d}-{secrets.token_hex(8)}{SUFFIX}"
            due = trusted_clock.now_ms(home) + SWEEP_DELAY_MS
            durable.make_folder(path.parent)
            _write(Noted(path, PurgeList(version=SWEPT, not_before_ms=due, paths=tuple(found), delay_ms=SWEEP_DELAY_MS)))
    return len(found)


def _files_of_ours(lake: Lake) -> set[str]:
    """Return the files below the lake that have names of ours: data, finished or not, and what the library left of a log entry it was writing."""
    found = [p for pattern in ("kind=*/**/*.parquet", "kind=*/**/.*.part", "_delta_log/*.json#*") for p in lake.root.glob(pattern)]
    return {str(p.relative_to(lake.root)) for p in found}


def _without(listed: PurgeList, staged: Iterable[DataFile]) -> PurgeList:
    """Return a list without what a manifest names by now, if a sweep made it."""
    named = {f.path for f in staged} if listed.version == SWEPT else frozenset[str]()
    return msgspec.structs.replace(listed, paths=tuple(p for p in listed.paths if p not in named))


def staged_files(home: Home, corp_id: str) -> list[DataFile]:
    """Return the files of all manifests that wait (whole or not: whoever discards one holds the lock we hold)."""
    found = map(manifests.load, home.staging(corp_id).glob(f"*{MANIFEST_SUFFIX}"))
    return [f for m in found if m is not None for f in m.files]


def _unlink(lake: Lake, due: Sequence[PurgeList], waiting: set[str]) -> int:
    _sync(lake, due)
    snapshot = lake.snapshot()
    kept = {f.path for f in snapshot.files} | waiting
    listed = {p for found in due for p in found.paths} - kept
    generations.advance(lake, snapshot, listed)
    left = {p for found in due for p in _left_by(lake, found)} - kept
    there = [p for p in sorted(listed | left) if (lake.root / p).exists()]
    for path in there:
        durable.remove(lake.root / path, sync_folder=False)
    for at in sorted({(lake.root / p).parent for p in there}):
        durable.fsync_folder(at)
    return len(there)


def _sync(lake: Lake, due: Sequence[PurgeList]) -> None:
    """Fsync the log entries of the lists' commits: a run killed right after its commit may not have (rule 2)."""
    for version in sorted({found.version for found in due}):
        if (entry := lake.root / "_delta_log" / f"{version:020d}.json").exists():
            durable.fsync_file(entry)
    lake.sync_newest()


def _left_by(lake: Lake, listed: PurgeList) -> list[str]:
    """Return the paths of files, finished or not, that bear the token of a list."""
    if not listed.token:
        return []
    patterns = (f"{listed.token}-*.parquet", temporary_name(listed.token))
    found = [p for f in listed.folders for pattern in patterns for p in (lake.root / f).glob(pattern)]
    return [str(p.relative_to(lake.root)) for p in found]


def _lists(home: Home, corp_id: str) -> list[Noted]:
    at = folder(home, corp_id)
    if not at.is_dir():
        return []
    durable.sweep_temporary(at)
    return [Noted(p, listed) for p in sorted(at.glob(f"purge-*{SUFFIX}")) if (listed := _load(p)) is not None]


def _load(path: Path) -> PurgeList | None:
    """Return a list, or None when it is not whole (it is never half-written by us) or gone."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=PurgeList)
    except (msgspec.DecodeError, FileNotFoundError):
        return None
