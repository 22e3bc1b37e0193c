"""The lake: one Delta table per corp as the log of what is committed, over encrypted Parquet files of our own.

Before: schema.py, keyring.py, durable.py, scans.py. After: stage.py (writes files), commit.py (commits them), reader.py (asks).

Rules, each with a test:
 (1) Files are written once, under a unique name that ends in the SHA-256 of their bytes, encrypted (Parquet Modular Encryption,
     AES_GCM_V1, 256 bit), fsynced before anything names them. A file in the folder that no commit names is invisible.
 (2) Every commit carries the application transaction `head` = n+1 and is sent on the very handle whose snapshot it was planned on:
     of two commits planned on one snapshot one fails with CommitConflict, and its plan is made anew, never sent again.
 (3) Delta checks neither missing files nor repeats and makes no fsync: `commit` checks size and digest of what it adds,
     and fsyncs data, then commits, then fsyncs the log entry and its folder.
 (4) Nothing is ever vacuumed; only paths that a commit removed are unlinked, later, by `purge`.
 (5) Statistics in the log and in files hold ids, numbers and times only.
 (6) A version is opened once a process while the folder of its log stays as it was seen; every question looks at the folder.
     A handle that a commit was sent on is never handed out again.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import secrets
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, timedelta
from functools import cache
from io import BytesIO
from itertools import repeat
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.fs as pafs
import pyarrow.parquet as pq
import pyarrow.parquet.encryption as pe
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from deltalake import CommitProperties, DeltaTable, PostCommitHookProperties, Transaction
from deltalake.exceptions import CommitFailedError, DeltaError
from deltalake.transaction import AddAction, RemoveAction

from pipeline import anchors, durable, filekeys, scans, schema
from pipeline.clock import now_ms
from pipeline.errors import StorageError, VerifyFailed
from pipeline.keyring import NONCE, Keyring

# Arrow's own allocator gives memory back after every file and takes it anew for the next: touching it again costs more than the writing.
pa.set_memory_pool(pa.system_memory_pool())
PARTITION = ("kind", "month", "bucket", "lexicon")
ANY = "-"
HOT = "hot"  # the bucket of what ingest writes, until compaction moves it
HEAD = "head"
KEY_GONE = "FILE_KEY_GONE"  # what `Lake.check` says of a file whose key ended before it was committed: its rows are written again, under the next key
OPENED_KEYS = 16_384
LOG_STATISTICS = ("seq", "leaf", "last_seq")
HOT_GROUP_ROWS = 20_480
ROWS_AT_ONCE = 32_768  # read before they are handed on
CIPHERTEXT = ("envelope", "key_block")  # columns
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


class _Kms(pe.KmsClient):
    """Wraps Parquet's data keys with keys of our keyring, by name."""

    def __init__(self, keyring: Keyring) -> None:
        super().__init__()
        self._keyring = keyring
        self._opened: dict[tuple[bytes, str], bytes] = {}

    def wrap_key(self, key_bytes: bytes, master_key_identifier: str) -> bytes:
        nonce = os.urandom(NONCE)
        return b64encode(nonce + AESGCM(self._keyring.get(master_key_identifier)).encrypt(nonce, bytes(key_bytes), master_key_identifier.encode()))

    def unwrap_key(self, wrapped_key: bytes, master_key_identifier: str) -> bytes:
        key = self._keyring.get(master_key_identifier)  # asked every time: one that was destroyed opens nothing any more
        found = self._opened.get((wrapped_key, master_key_identifier))
        if found is None:  # Parquet asks for the same key eight times a column and row group
            box = b64decode(wrapped_key)
            found = AESGCM(key).decrypt(box[:NONCE], box[NONCE:], master_key_identifier.encode())
            if len(self._opened) >= OPENED_KEYS:
                self._opened.clear()
            self._opened[wrapped_key, master_key_identifier] = found
        return found


@cache
def _leaf_paths(kind: str) -> tuple[str, ...]:
    """Parquet's own paths of all leaf columns of `kind`: with column keys, one that is not listed would lie in clear."""
    sink = BytesIO()
    pq.write_table(schema.kind(kind).arrow.empty_table(), sink)
    sink.seek(0)
    described = pq.ParquetFile(sink).schema
    return tuple(described.column(i).path for i in range(len(described)))


def key_unit(corp_id: str, kind: str, month: str, bucket: str) -> str:
    """Return the name of the unit whose key protects such a file (generation comes from the keyring)."""
    unit = schema.kind(kind).key_unit
    if unit == "month":
        return f"{corp_id}/m/{month}/{bucket}"
    return f"{corp_id}/base" if unit == "base" else f"{corp_id}/{unit.split('-')[0]}/{month}"


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


class Lake:
    """The lake of one corp below `root`. Objects are cheap; make one per process."""

    def __init__(self, root: Path, corp_id: str, keyring: Keyring) -> None:
        self.root = root
        self.corp_id = corp_id
        self.keyring = keyring
        self._factory = pe.CryptoFactory(lambda _: _Kms(keyring))
        self._connection = pe.KmsConnectionConfig()

    # -- the log ------------------------------------------------------------------------------------------------

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
        return max((self.root / "_delta_log").glob("[0-9]*.json"), default=None)

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
        """Return the newest version; the one that was opened last when nothing in the folder of the log changed since (rule 6).

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

    def commit(self, planned: Snapshot, adds: Sequence[DataFile], removes: Sequence[DataFile], *, what: str) -> int:
        """Make `adds` visible and `removes` invisible at once; return the new version.

        Raises CommitConflict when `planned` is no longer the newest state, VerifyFailed when an added file is not there as written.
        `what` is stored in the log: a word of ours, never an id."""
        for file in adds:
            self.check(file)
        for folder in sorted({(self.root / f.path).parent for f in adds}):
            with durable.storage("writing the lake"):
                durable.fsync_folder(folder)
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

    def purge(self, files: Iterable[DataFile]) -> None:
        """Unlink files that a commit removed (or that never were committed)."""
        for file in files:
            durable.remove(self.root / file.path)

    def discard(self, files: Iterable[DataFile]) -> None:
        """Unlink files written for a commit that did not come about; never one that the newest version names.

        A commit may fail after its entry is in the log (its fsync, its anchor): then what it added is there, and stays."""
        named = {f.path for f in self.snapshot().files}
        self.purge([f for f in files if f.path not in named])

    # -- files --------------------------------------------------------------------------------------------------

    def write(
        self, table: pa.Table, kind: str, *, month: str = ANY, bucket: str = ANY, lexicon: str = ANY, group_rows: int = HOT_GROUP_ROWS,
        token: str = "",
    ) -> DataFile:  # fmt: skip
        """Write `table` as one durable, still invisible file of `kind`, sorted as its schema says. token: 16 hex digits its name begins with."""
        declared = schema.kind(kind)
        table = _sorted(table, declared.order)
        sink = pa.BufferOutputStream()
        pq.write_table(
            table, sink, **_compression(kind, bucket), row_group_size=group_rows, use_dictionary=_dictionary_columns(kind),
            write_statistics=list(declared.statistics), encryption_properties=self._encryption(kind, month, bucket), store_schema=False,
        )  # fmt: skip
        data = sink.getvalue()
        digest = hashlib.sha256(data).hexdigest()
        partition = f"kind={kind}/month={month}/bucket={bucket}/lexicon={lexicon}"
        path = f"{partition}/{token or secrets.token_hex(8)}-{digest}.parquet"
        durable.make_folder(self.root / partition)
        durable.write_once(self.root / path, memoryview(data), token=token)
        return DataFile(path=path, kind=kind, month=month, bucket=bucket, lexicon=lexicon, rows=table.num_rows, size=len(data), stats=_log_statistics(table))

    def _encryption(self, kind: str, month: str, bucket: str) -> object:
        unit = key_unit(self.corp_id, kind, month, bucket)
        first = self.keyring.current(unit)
        second = schema.kind(kind).second_key
        if not second:
            keys: dict[str, object] = {"uniform_encryption": True}
        else:
            paths = _leaf_paths(kind)
            clear = [p for p in paths if p.split(".")[0] in second]
            keys = {"column_keys": {first: [p for p in paths if p not in clear], self.keyring.current(f"{unit}!2"): clear}}
        configuration = pe.EncryptionConfiguration(
            footer_key=first, double_wrapping=False, data_key_length_bits=256, encryption_algorithm="AES_GCM_V1", **keys
        )
        return self._factory.file_encryption_properties(self._connection, configuration)

    def check(self, file: DataFile) -> None:
        """Raise VerifyFailed unless the file is there with its size and digest and its key is live, StorageError when it cannot be read."""
        try:
            with durable.storage("reading the lake"):
                data = (self.root / file.path).read_bytes()
        except durable.Vanished as error:
            raise VerifyFailed("FILE_MISSING", f"a file of kind {file.kind} that was staged is missing", remedy="run the same command again") from error
        if len(data) != file.size or hashlib.sha256(data).hexdigest() != file.sha256:
            raise VerifyFailed("FILE_CHANGED", f"a file of kind {file.kind} is not what was written", remedy="check the disk; restore the file from its backup")
        key = filekeys.in_bytes(data)
        if key is None or key not in self.keyring.names(key):  # a worker that missed a new generation: committed, its rows could not be read
            raise VerifyFailed(KEY_GONE, f"the key of a file of kind {file.kind} is not in the keyring any more", remedy="run the same command again")

    def dataset(
        self, kind: str, files: Sequence[DataFile], groups: Mapping[str, Sequence[int]] | None = None, whole: Mapping[str, Sequence[str]] | None = None
    ) -> ds.Dataset:
        """Return a decrypting dataset over `files` (all of `kind`). groups: of each path the row groups to read, None for all; whole: of some paths
        columns known to hold no null, so that whoever asks for nulls does not open them."""
        declared = schema.kind(kind).arrow
        if not files:
            return ds.dataset(declared.empty_table())
        options = ds.ParquetFragmentScanOptions(decryption_config=ds.ParquetDecryptionConfig(self._factory, self._connection, _decryption()))
        months = "dt" in declared.names
        parquet = ds.ParquetFileFormat(default_fragment_scan_options=options)
        folder = pafs.SubTreeFileSystem(str(self.root), pafs.LocalFileSystem())
        fragments = [
            parquet.make_fragment(
                f.path, folder, _holds(f.month if months else ANY, (whole or {}).get(f.path, ())), row_groups=None if groups is None else list(groups[f.path])
            )
            for f in files
        ]  # fmt: skip
        return scans.Files(fragments, declared, parquet, folder, self._groups(kind, files))

    def _groups(self, kind: str, files: Sequence[DataFile]) -> scans.Read:
        """Return what yields columns of some row groups of these files, about ROWS_AT_ONCE at a time."""
        by_path = {f.path: f for f in files}

        def tables(path: str, footer: Any, groups: Sequence[int], columns: Sequence[str]) -> Iterator[pa.Table]:
            at_once = max(1, ROWS_AT_ONCE // max(1, *(footer.row_group(n).num_rows for n in groups)))
            with self.opened(by_path[path], footer) as opened:
                for start in range(0, len(groups), at_once):
                    some = opened.read_row_groups(groups[start : start + at_once], columns=list(columns), use_threads=False)
                    yield as_declared(some, kind, columns)

        return tables

    def read(self, kind: str, files: Sequence[DataFile], *, columns: list[str] | None = None, where: pc.Expression | None = None) -> pa.Table:
        """Return the rows of `files` as a table; a file that was changed or whose key is gone raises VerifyFailed or UsageError."""
        if not files:
            empty = schema.kind(kind).arrow.empty_table()
            return empty.select(columns) if columns else empty
        with reading(kind):
            if where is None and len(files) == 1:  # without a scan, which takes twice as long
                with self.opened(files[0]) as opened:
                    return as_declared(opened.read(columns=columns, use_threads=False), kind, columns)
            return self.dataset(kind, files).to_table(columns=columns, filter=where)

    def opened(self, file: DataFile, footer: Any = None) -> Any:
        """Return a pyarrow ParquetFile, to be closed and for one thread; footer: its `metadata`, if it was open before. Raises what `reading` tells of."""
        properties = self._factory.file_decryption_properties(self._connection, _decryption())
        return pq.ParquetFile(self.root / file.path, metadata=footer, decryption_properties=properties, pre_buffer=False)


@contextmanager
def reading(kind: str) -> Iterator[None]:
    """Tell errors of reading data files as errors of ours: of the storage, or VerifyFailed FILE_DAMAGED."""
    try:
        yield
    except OSError as error:
        if error.errno:
            raise durable.storage_error(error, "reading the lake") from error
        raise VerifyFailed("FILE_DAMAGED", f"a file of kind {kind} was changed after it was written", remedy="restore it from its backup") from error


def as_declared(table: pa.Table, kind: str, columns: Sequence[str] | None = None) -> pa.Table:
    """Return the columns asked for (None: all) with the types declared; a column that the file was written without is null, as in a scan."""
    declared = schema.kind(kind).arrow
    wanted = declared if columns is None else pa.schema([declared.field(c) for c in columns])
    if table.schema.equals(wanted):
        return table
    there = set(table.column_names)
    return pa.Table.from_arrays([table[f.name].cast(f.type) if f.name in there else pa.nulls(table.num_rows, f.type) for f in wanted], schema=wanted)


def _decryption() -> pe.DecryptionConfiguration:
    return pe.DecryptionConfiguration(cache_lifetime=timedelta(minutes=10))


def _holds(month: str, whole: Sequence[str]) -> pc.Expression:
    """What is known of every row of a file: days of its month, and columns without nulls."""
    known = _month_holds(month)
    for column in whole:
        known = known & ds.field(column).is_valid()
    return known


def _month_holds(month: str) -> pc.Expression:
    """What the partition value guarantees of `dt`, so that files of other months are not opened."""
    if month == ANY or not month[:4].isdigit():
        return ds.scalar(True)
    first = date.fromisoformat(f"{month}-01")
    after = date(first.year + first.month // 12, first.month % 12 + 1, 1)
    return (ds.field("dt") >= pa.scalar(first)) & (ds.field("dt") < pa.scalar(after))


def _whole_entry(path: Path) -> bool:
    """Whether a log entry is a whole one: lines of JSON, the last one ended or parseable. One that somebody else just set aside needs nothing more."""
    try:
        lines = path.read_bytes().splitlines()
        return bool(lines) and all(isinstance(json.loads(line), dict) for line in lines)
    except FileNotFoundError:
        return True
    except ValueError:
        return False


def _sorted(table: pa.Table, order: Sequence[str]) -> pa.Table:
    """Return the rows in `order`; the table itself when they are."""
    places = pc.sort_indices(table, sort_keys=[(c, "ascending") for c in order])
    return table if places.equals(pa.array(range(table.num_rows), pa.uint64())) else table.take(places)


def _add(file: DataFile, at_ms: int) -> AddAction:
    stats = {
        "numRecords": file.rows,
        "minValues": {k: low for k, (low, _) in file.stats.items()},
        "maxValues": {k: high for k, (_, high) in file.stats.items()},
        "nullCount": {},
    }
    return AddAction(path=file.path, size=file.size, partition_values=file.partition, modification_time=at_ms, data_change=True, stats=json.dumps(stats))


def _log_statistics(table: pa.Table) -> dict[str, tuple[int, int]]:
    found = {}
    for name in LOG_STATISTICS:
        if name in table.column_names and table.num_rows > table[name].null_count:
            low_high = pc.min_max(table[name]).as_py()
            found[name] = (low_high["min"], low_high["max"])
    return found


@cache
def _dictionary_columns(kind: str) -> list[str]:
    """Columns whose values repeat (ids, words of ours); text, digests and nonces do not."""
    unique = {"text", "raw", "text_clear", "msgid", "event_id", "finding_id", "sdkfileid"}
    return [c.name for c in schema.kind(kind).columns if c.type == "string" and c.name not in unique]


@cache
def _compression(kind: str, bucket: str) -> dict[str, Any]:
    """How the columns of a file are compressed. Ciphertext in base64 gives back a quarter for most of the time that writing takes: compaction does that."""
    codecs = {path: "none" if bucket == HOT and path in CIPHERTEXT else "zstd" for path in _leaf_paths(kind)}
    return {"compression": codecs, "compression_level": {path: 1 for path, codec in codecs.items() if codec == "zstd"}}


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
