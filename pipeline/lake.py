"""The lake of one corp: encrypted Parquet files of our own, and which of them are committed, as its log says.

Before: schema.py, keyring.py, scans.py, deltalog.py (the log). After: stage.py (writes files), commit.py (commits them), reader.py (asks).

Rules, each with a test:
 (1) Files are written once, under a unique name that ends in the SHA-256 of their bytes, encrypted (Parquet Modular Encryption,
     AES_GCM_V1, 256 bit), fsynced before anything names them. A file in the folder that no commit names is invisible.
 (2) Delta checks neither missing files nor repeats: `commit` checks size and digest of what it adds, fsyncs their folders, then adds them to the log.
 (3) Nothing is ever vacuumed; only paths that a commit removed are unlinked, later, by `purge`.
 (4) Statistics in files hold ids, numbers and times only.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import date, timedelta
from functools import cache, partial
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.fs as pafs
import pyarrow.parquet as pq
import pyarrow.parquet.encryption as pe
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from pipeline import durable, filekeys, scans, schema
from pipeline.deltalog import ANY, LOG_STATISTICS, DataFile, Log, Snapshot
from pipeline.errors import VerifyFailed
from pipeline.keyring import NONCE, Keyring

# Arrow's own allocator gives memory back after every file and takes it anew for the next: touching it again costs more than the writing.
pa.set_memory_pool(pa.system_memory_pool())
HOT = "hot"  # the bucket of what ingest writes, until compaction moves it
KEY_GONE = "FILE_KEY_GONE"  # what `Lake.check` says of a file whose key ended before it was committed: its rows are written again, under the next key
OPENED_KEYS = 16_384
HOT_GROUP_ROWS = 20_480
ROWS_AT_ONCE = 32_768  # read before they are handed on
CIPHERTEXT = ("envelope", "key_block")  # columns


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


class Lake(Log):
    """The lake of one corp below `root`: its log, and the files that are written, read and unlinked. Objects are cheap; make one per process."""

    def __init__(self, root: Path, corp_id: str, keyring: Keyring) -> None:
        super().__init__(root, keyring)
        self.corp_id = corp_id
        self._factory = pe.CryptoFactory(lambda _: _Kms(keyring))
        self._connection = pe.KmsConnectionConfig()

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
            write_statistics=list(declared.statistics), encryption_properties=self.encryption(kind, month, bucket), store_schema=False,
        )  # fmt: skip
        data = sink.getvalue()
        digest = hashlib.sha256(data).hexdigest()
        partition = f"kind={kind}/month={month}/bucket={bucket}/lexicon={lexicon}"
        path = f"{partition}/{token or secrets.token_hex(8)}-{digest}.parquet"
        durable.make_folder(self.root / partition)
        durable.write_once(self.root / path, memoryview(data), token=token)
        return DataFile(path=path, kind=kind, month=month, bucket=bucket, lexicon=lexicon, rows=table.num_rows, size=len(data), stats=_log_statistics(table))

    def encryption(self, kind: str, month: str, bucket: str) -> object:
        """Return by which keys a file of that place is written (pyarrow's encryption properties)."""
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

    def commit(self, planned: Snapshot, adds: Sequence[DataFile], removes: Sequence[DataFile], *, what: str) -> int:
        """Make `adds` visible and `removes` invisible at once; return the new version.

        Raises CommitConflict when `planned` is no longer the newest state, VerifyFailed when an added file is not there as written.
        `what` is stored in the log: a word of ours, never an id."""
        for file in adds:
            self.check(file)
        for folder in sorted({(self.root / f.path).parent for f in adds}):
            with durable.storage("writing the lake"):
                durable.fsync_folder(folder)
        return self.write_entry(planned, adds, removes, what=what)

    def purge(self, files: Iterable[DataFile]) -> None:
        """Unlink files that a commit removed (or that never were committed)."""
        for file in files:
            durable.remove(self.root / file.path)

    def discard(self, files: Iterable[DataFile]) -> None:
        """Unlink files written for a commit that did not come about; never one that the newest version names.

        A commit may fail after its entry is in the log (its fsync, its anchor): then what it added is there, and stays."""
        named = {f.path for f in self.snapshot().files}
        self.purge([f for f in files if f.path not in named])

    def dataset(
        self, kind: str, files: Sequence[DataFile], groups: Mapping[str, Sequence[int]] | None = None, whole: Mapping[str, Sequence[str]] | None = None,
        *, numbered: Sequence[str] = (), keep: int = 0,
    ) -> ds.Dataset:  # fmt: skip
        """Return a decrypting dataset over `files` (all of `kind`). groups: of each path the row groups to read, None for all; whole: of some paths
        columns known to hold no null, so that whoever asks for nulls does not open them; numbered: columns of few different words, handed by numbers
        of these, which takes half of the time; keep: bytes of what was read that the dataset may hold for the next question (scans.py, rule 4)."""
        declared = by_number(schema.kind(kind).arrow, numbered)
        if not files:
            return ds.dataset(declared.empty_table())
        options = ds.ParquetFragmentScanOptions(decryption_config=ds.ParquetDecryptionConfig(self._factory, self._connection, _decryption()))
        months = "dt" in declared.names
        parquet = ds.ParquetFileFormat(read_options=ds.ParquetReadOptions(dictionary_columns=set(numbered)), default_fragment_scan_options=options)
        folder = pafs.SubTreeFileSystem(str(self.root), pafs.LocalFileSystem())
        fragments = [
            parquet.make_fragment(
                f.path, folder, _holds(f.month if months else ANY, (whole or {}).get(f.path, ())), row_groups=None if groups is None else list(groups[f.path])
            )
            for f in files
        ]  # fmt: skip
        return scans.Files(fragments, declared, parquet, folder, self._groups(declared, files, numbered, scans.Kept(keep)))

    def _groups(self, declared: pa.Schema, files: Sequence[DataFile], numbered: Sequence[str], kept: scans.Kept) -> scans.Read:
        """Return what yields columns of some row groups of these files, about ROWS_AT_ONCE at a time."""
        by_path = {f.path: f for f in files}

        def tables(path: str, footer: Any, groups: Sequence[int], columns: Sequence[str]) -> Iterator[pa.Table]:
            at_once = max(1, ROWS_AT_ONCE // max(1, *(footer.row_group(n).num_rows for n in groups)))
            with ExitStack() as files_open:
                opened = cache(lambda: files_open.enter_context(self.opened(by_path[path], footer, numbered)))

                def read(some: Sequence[int], names: list[str]) -> pa.Table:
                    found = opened().read_row_groups(some, columns=names, use_threads=False)
                    return _fitted(found, pa.schema([declared.field(n) for n in names]))

                if kept.most and (key := filekeys.of(self.root / path)):
                    self.keyring.get(key)  # asked every time, also for what is kept
                elif kept.most:
                    opened()  # raises what reading it raises
                for start in range(0, len(groups), at_once):
                    some = tuple(groups[start : start + at_once])
                    yield kept.table((path, some), columns, partial(read, some))

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

    def opened(self, file: DataFile, footer: Any = None, numbered: Sequence[str] = ()) -> Any:
        """Return a pyarrow ParquetFile, to be closed and for one thread; footer: its `metadata`, if it was open before; numbered: as in `dataset`. Raises
        what `reading` tells of."""
        return pq.ParquetFile(
            self.root / file.path, metadata=footer, decryption_properties=self.decryption(), pre_buffer=False, read_dictionary=list(numbered) or None
        )  # fmt: skip

    def decryption(self) -> object:
        """Return what opens its files (pyarrow's decryption properties), by keys asked of the keyring when a file is opened."""
        return self._factory.file_decryption_properties(self._connection, _decryption())


@contextmanager
def reading(kind: str) -> Iterator[None]:
    """Tell errors of reading data files as errors of ours: of the storage, or VerifyFailed FILE_DAMAGED."""
    try:
        yield
    except OSError as error:
        if error.errno:
            raise durable.storage_error(error, "reading the lake") from error
        raise VerifyFailed("FILE_DAMAGED", f"a file of kind {kind} was changed after it was written", remedy="restore it from its backup") from error
    except pa.ArrowInvalid as error:  # of a scan, where the file has not even the form of one
        raise VerifyFailed("FILE_DAMAGED", f"a file of kind {kind} was changed after it was written", remedy="restore it from its backup") from error


def as_declared(table: pa.Table, kind: str, columns: Sequence[str] | None = None) -> pa.Table:
    """Return the columns asked for (None: all) with the types declared; a column that the file was written without is null, as in a scan."""
    declared = schema.kind(kind).arrow
    return _fitted(table, declared if columns is None else pa.schema([declared.field(c) for c in columns]))


def _fitted(table: pa.Table, wanted: pa.Schema) -> pa.Table:
    if table.schema.equals(wanted):
        return table
    there = set(table.column_names)
    return pa.Table.from_arrays([table[f.name].cast(f.type) if f.name in there else pa.nulls(table.num_rows, f.type) for f in wanted], schema=wanted)


def by_number(declared: pa.Schema, names: Sequence[str]) -> pa.Schema:
    """Return a schema with some columns of words by numbers of the different ones."""
    return pa.schema([field.with_type(pa.dictionary(pa.int32(), pa.string())) if field.name in names else field for field in declared])


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


def _sorted(table: pa.Table, order: Sequence[str]) -> pa.Table:
    """Return the rows in `order`; the table itself when they are."""
    places = pc.sort_indices(table, sort_keys=[(c, "ascending") for c in order])
    return table if places.equals(pa.array(range(table.num_rows), pa.uint64())) else table.take(places)


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
