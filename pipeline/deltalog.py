"""The log of the lake: one Delta table per corp that says which data files are committed. It knows nothing of what is in them.

Before: anchors.py, durable.py, keyring.py. After: lake.py (the files themselves), logcare.py (its checkpoints).

Rules, each with a test:
 (1) Every commit carries the application transaction `head` = n+1 and is sent on the very handle whose snapshot it was planned on:
     of two commits planned on one snapshot one fails with CommitConflict, and its plan is made anew, never sent again.
 (2) Delta makes no fsync: after the commit the log entry is fsynced, then its folder; then it is anchored.
 (3) Statistics in the log hold ids, numbers and times only.
 (4) A version is opened once a process while the folder of its log stays as it was seen; every question looks at the folder.
     A handle that a commit was sent on is never handed out again.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import repeat
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, PostCommitHookProperties, Transaction
from deltalake.exceptions import CommitFailedError, DeltaError
from deltalake.transaction import AddAction, RemoveAction

from pipeline import anchors, durable, schema
from pipeline.clock import now_ms
from pipeline.errors import StorageError, VerifyFailed
from pipeline.keyring import Keyring

PARTITION = ("kind", "month", "bucket", "lexicon")
ANY = "-"
HEAD = "head"
LOG_STATISTICS = ("seq", "leaf", "last_seq")
# The library would write a checkpoint without fsync every hundred commits: power lost there, the log could not be opened. logcare.py writes them.
NO_HOOKS = PostCommitHookProperties(create_checkpoint=False, cleanup_expired_logs=False)
# The log is never cleaned by age: a checkpoint would otherwise drop entries after 30 days.
DELTA_CONFIGURATION: dict[str, str | None] = {
    "delta.logRetentionDuration": "interval 36500 days",
    "delta.enableExpiredLogCleanup": "false",
    # Without this only the first 32 columns of the schema have statistics in the log, and leaf is not among them.
    "delta.dataSkippingStatsColumns": ",".join(LOG_STATISTICS),
}


class CommitConflict(Exception):
    """Another commit landed on the snapshot this one was planned on: plan again."""


class DataFile(msgspec.Struct, frozen=True, kw_only=True):
    """One Parquet file, by its path below the corp's lake folder; `stats` are minima and maxima for the log."""

    path: str
    kind: str
    month: str = ANY
    bucket: str = ANY
    lexicon: str = ANY
    rows: int
    size: int
    stats: dict[str, tuple[int, int]] = {}

    @property
    def sha256(self) -> str:
        """The digest its name carries, hex."""
        return self.path.rsplit("-", 1)[1].removesuffix(".parquet")

    @property
    def partition(self) -> dict[str, str | None]:
        """Its partition values."""
        return {"kind": self.kind, "month": self.month, "bucket": self.bucket, "lexicon": self.lexicon}


class Snapshot:
    """One version of the table: what a plan is made on, and what a reader reads."""

    def __init__(self, table: DeltaTable) -> None:
        self.table = table
        self.version = table.version()
        self.head = table.transaction_version(HEAD) or 0
        self.files: tuple[DataFile, ...] = tuple(_files(table))

    def of(self, kind: str, *, months: Iterable[str] | None = None, buckets: Iterable[str] | None = None) -> list[DataFile]:
        """Return the files of `kind`, only those of `months` and `buckets` where given."""
        keep_months = None if months is None else set(months)
        keep_buckets = None if buckets is None else set(buckets)
        return [
            f for f in self.files
            if f.kind == kind and (keep_months is None or f.month in keep_months) and (keep_buckets is None or f.bucket in keep_buckets)
        ]  # fmt: skip

    def rows(self, kind: str) -> int:
        """Return the number of rows of `kind`, from the log alone."""
        return sum(f.rows for f in self.of(kind))

    @property
    def next_leaf(self) -> int:
        """The number the next leaf gets; raises VerifyFailed when the log does not say it."""
        files = self.of("records")
        if not all("leaf" in f.stats for f in files):
            raise VerifyFailed("LOG_INCOMPLETE", "the log does not state the leaf numbers of a file", remedy="`liuhen verify --archive` says which")
        return max((f.stats["leaf"][1] for f in files), default=-1) + 1


def _files(table: DeltaTable) -> Iterator[DataFile]:
    """Yield the files of a table, column by column: ten thousand of them as rows took as long again as the library takes to open the log."""
    actions = pa.table(table.get_add_actions(flatten=True))
    named = {name: actions[name].to_pylist() for name in actions.column_names}

    def values(name: str) -> Iterable[Any]:
        return named.get(name) or repeat(None, actions.num_rows)  # no file has this statistic

    bounds = zip(*(zip(values(f"min.{k}"), values(f"max.{k}"), strict=True) for k in LOG_STATISTICS), strict=True)
    places = zip(*(values(f"partition.{p}") for p in PARTITION), strict=True)
    for path, size, rows, (kind, month, bucket, lexicon), of_file in zip(
        values("path"), values("size_bytes"), values("num_records"), places, bounds, strict=True
    ):
        stats = {k: found for k, found in zip(LOG_STATISTICS, of_file, strict=True) if found[1] is not None}
        yield DataFile(path=path, kind=kind, month=month, bucket=bucket, lexicon=lexicon, rows=rows or 0, size=size, stats=stats)


# A folder of the log as the file system knows it: of each file name, inode, size, times of its last change (content, and anything) in ns.
_Sight = tuple[tuple[str, int, int, int, int], ...]
_OPENED: dict[Path, tuple[_Sight, Snapshot]] = {}
_ENTRY = re.compile(r"[0-9]{20}\.json")


def _seen(log: Path) -> _Sight:
    """Return how a folder of the log looks; empty when there is none."""
    try:
        with os.scandir(log) as found:
            files = [(e.name, e.stat()) for e in found]
    except FileNotFoundError:  # none, or a file that another process just renamed or removed: nothing to go by
        return ()
    return tuple(sorted((name, s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns) for name, s in files))

class Log:
    """The log of the lake below `root`. keyring: its serial and digest are anchored with each entry; whoever only reads needs no file of it."""

    def __init__(self, root: Path, keyring: Keyring) -> None:
        self.root = root
        self.keyring = keyring

    def create(self) -> None:
        """Make the empty table; an existing one stays."""
        durable.make_folder(self.root)
        if DeltaTable.is_deltatable(str(self.root)):
            return
        try:
            DeltaTable.create(str(self.root), schema=schema.delta_schema(), partition_by=list(PARTITION), configuration=DELTA_CONFIGURATION)
        except (DeltaError, OSError) as error:
            raise _log_error(error) from error
        self._sync_log(0)

    def mend_log(self) -> bool:
        """Set aside an empty or torn last log entry; return whether there was one. Whoever opens the lake next does it.

        Only a power loss before the entry was fsynced leaves one (a live committer's appears whole, under its name): nothing that it settled,
        or took out, has been unlinked, so it is done again. Raises VerifyFailed LOG_DAMAGED for an entry that was durable once (it is
        anchored): that is damage, nothing to be set aside; StorageError where it cannot be."""
        last = self._last_entry()
        if last is None or _whole_entry(last):
            return False
        with self._mending():
            return self._set_aside()

    @contextmanager
    def _mending(self) -> Iterator[None]:
        """One at a time: a second one would set aside what was committed after the first."""
        with durable.storage("mending the log of the lake"):
            handle = os.open(self.root / "_delta_log", os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def _set_aside(self) -> bool:
        last = self._last_entry()
        if last is None or _whole_entry(last):
            return False
        if any(a.version == int(last.stem) for a in anchors.read(self.root)):
            raise VerifyFailed("LOG_DAMAGED", "the last entry of the log was whole once and is damaged now", remedy="restore it from its backup; `liuhen verify --archive`")
        with durable.storage("mending the log of the lake"):
            os.replace(last, last.with_name(f"{last.name}.torn-{now_ms()}"))
            durable.fsync_folder(last.parent)
        return True

    def _last_entry(self) -> Path | None:
        log = self.root / "_delta_log"
        with suppress(OSError):  # none, or none of ours: opening it says so
            if last := max((name for name in os.listdir(log) if name.endswith(".json") and "0" <= name[0] <= "9"), default=""):
                return log / last
        return None

    def snapshot(self) -> Snapshot:
        """Return the newest version, after mending the log's end where power loss tore it.

        Raises VerifyFailed LAKE_UNREADABLE when the log is missing or damaged, LOG_DAMAGED when its end is, LOG_TORN when that cannot be mended here."""
        try:
            self.mend_log()
        except StorageError as error:
            if error.code not in ("STORAGE_READ_ONLY", "STORAGE_DENIED"):
                raise
            raise VerifyFailed("LOG_TORN", "the last entry of the log was not written whole (power loss)", remedy="run any command as the user who may write there") from error
        with _reading_log():
            return self._newest()

    def _newest(self) -> Snapshot:
        """Return the newest version; the one that was opened last when nothing in the folder of the log changed since (rule 4).

        Opening takes 4 ms for the smallest log, looking at the folder a twentieth of that; an ingest asks twenty times."""
        seen = _seen(self.root / "_delta_log")  # before it is opened: what comes meanwhile is another sight
        kept = _OPENED.get(self.root)
        if kept is not None and kept[0] == seen:
            return kept[1]
        _OPENED.clear()  # one is enough: a run asks for one corp at a time
        found = Snapshot(DeltaTable(str(self.root)))
        if f"{found.version:020d}.json" == max((name for name, *_ in seen if _ENTRY.fullmatch(name)), default=""):
            _OPENED[self.root] = seen, found
        return found

    def snapshot_at(self, version: int) -> Snapshot:
        """Return one earlier version (or the newest), for workers that must all see the same."""
        with _reading_log():
            return Snapshot(DeltaTable(str(self.root), version=version))

    def write_entry(self, planned: Snapshot, adds: Sequence[DataFile], removes: Sequence[DataFile], *, what: str) -> int:
        """Make `adds`, whose files are durable, visible and `removes` invisible at once; return the new version, which is durable and anchored.

        Raises CommitConflict when `planned` is no longer the newest state. `what` is stored in the log: a word of ours, never an id."""
        at = now_ms()
        actions: list[AddAction | RemoveAction] = [_add(f, at) for f in adds]
        actions += [RemoveAction(f.path, True, at, f.size, f.partition) for f in removes]
        _OPENED.pop(self.root, None)
        properties = CommitProperties(custom_metadata={"liuhen": what}, app_transactions=[Transaction(HEAD, planned.head + 1)])
        try:
            planned.table.create_write_transaction(
                actions, "append", planned.table.schema(), list(PARTITION), commit_properties=properties, post_commithook_properties=NO_HOOKS
            )
        except CommitFailedError as error:
            raise CommitConflict from error
        except (DeltaError, OSError) as error:
            raise _log_error(error) from error
        except BaseException as error:
            if not _panicked(error):
                raise
            raise _log_error(error) from error
        version = planned.version + 1
        self._sync_log(version)
        anchors.catch_up(self.root, version, self.keyring.path)
        return version

    def _sync_log(self, version: int) -> None:
        folder = self.root / "_delta_log"
        with durable.storage("writing the log of the lake"):
            durable.fsync_file(folder / f"{version:020d}.json")
            durable.fsync_folder(folder)

    def sync_newest(self) -> None:
        """Fsync the newest log entries once more: a run killed right after its commit may not have."""
        folder = self.root / "_delta_log"
        with durable.storage("writing the log of the lake"):
            for entry in sorted(folder.glob("*.json"))[-3:]:
                durable.fsync_file(entry)
            durable.fsync_folder(folder)


def _whole_entry(path: Path) -> bool:
    """Whether a log entry is a whole one: lines of JSON, the last one ended or parseable. One that somebody else just set aside needs nothing more."""
    try:
        lines = path.read_bytes().splitlines()
        return bool(lines) and all(isinstance(json.loads(line), dict) for line in lines)
    except FileNotFoundError:
        return True
    except ValueError:
        return False


def _add(file: DataFile, at_ms: int) -> AddAction:
    stats = {
        "numRecords": file.rows,
        "minValues": {k: low for k, (low, _) in file.stats.items()},
        "maxValues": {k: high for k, (_, high) in file.stats.items()},
        "nullCount": {},
    }
    return AddAction(path=file.path, size=file.size, partition_values=file.partition, modification_time=at_ms, data_change=True, stats=json.dumps(stats))


_STORAGE_MARKS = (
    ("No space left", "STORAGE_FULL", "the disk is full"),
    ("Read-only file system", "STORAGE_READ_ONLY", "the file system is read-only"),
    ("Permission denied", "STORAGE_DENIED", "permission denied"),
    ("Too many open files", "STORAGE_HANDLES", "no file handles are left"),
)


@contextmanager
def _reading_log() -> Iterator[None]:
    """Tell what the library says of the log as errors of ours: of the storage, or that the log is damaged."""
    try:
        yield
    except OSError as error:
        raise durable.storage_error(error, "reading the lake") from error
    except DeltaError as error:
        raise _storage_error(error, "reading") or VerifyFailed(
            "LAKE_UNREADABLE", "the log of the lake is missing or damaged", remedy="`liuhen verify --archive` says where"
        ) from error
    except BaseException as error:  # the library panics where it gets no handle, and that is no Exception
        told = _storage_error(error, "reading") if _panicked(error) else None
        if told is None:
            raise
        raise told from error


def _panicked(error: BaseException) -> bool:
    return type(error).__name__ == "PanicException"


def _storage_error(error: BaseException, doing: str) -> StorageError | None:
    """Return the StorageError that the library's words mean, None when they mean none."""
    for mark, code, sentence in _STORAGE_MARKS:
        if mark in str(error):
            return StorageError(code, f"{doing} the log of the lake: {sentence}", remedy="mend it and run the same command again")
    return None


def _log_error(error: BaseException) -> StorageError:
    return _storage_error(error, "writing") or StorageError(
        "STORAGE_UNREACHABLE", "the log of the lake could not be written", remedy="check the storage and run the same command again"
    )
