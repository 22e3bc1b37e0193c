"""The columns by which messages are counted, kept once more beside their data file, each in one piece.

Before: index_file.py, ../lake.py, ../stamps.py. After: index.py (makes them), counted.py (reads them), ../stores.py (erasure).

    search/<corp>/<sha256 of the data file>.columns
    LHCO 01 | length of the key's name (2) | its name | salt (16) | length of the head (4) | head | column 0 | column 1 …

A data file has a piece of every column for each 2,048 rows, so that one conversation is soon read; each piece is opened on its own, which takes
longer than what is in it when all messages are counted. Here a column is one Arrow stream. Rules, each with a test:
 (1) Head and columns are AES-256-GCM under a key derived (HKDF-SHA-256) from the data file's own key, the salt and its path: destroying that
     key destroys them.
 (2) Rows are those of the data file, in its order. No words: text, parts and what was received are in the data file alone.
 (3) The head carries the stamp of what it was made from; whatever was changed, cut short or belongs to another file raises Damaged.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from pipeline import durable, schema, stamps
from pipeline.errors import ArchiveError, StorageError
from pipeline.keyring import Keyring
from pipeline.lake import DataFile, Lake, Snapshot
from pipeline.search.index_file import SALT, Damaged
from pipeline.stamps import Stamp

MAKER = "counted columns/2"
MAGIC = b"LHCO\x01"
FOLDER = "search"
SUFFIX = ".columns"
COLUMNS = (
    "origin", "seq", "msgid", "kind", "action", "msgtype", "sent_at", "sender_id", "sender_kind", "recipient_ids", "room_id", "conversation_id", "direction",
    "employee_id", "customer_id", "recalls_msgid", "consent", "captured_at", "dt",
)  # fmt: skip
# Ids of their own: a list of the different ones would be as long.
_UNIQUE = ("msgid", "recalls_msgid")


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """stamp: what it was made from; rows; whole: columns without nulls; names and lengths (bytes) of the columns, in order."""

    stamp: Stamp
    rows: int
    whole: tuple[str, ...]
    names: tuple[str, ...]
    lengths: tuple[int, ...]


def place(home_path: Path, corp_id: str, file: DataFile) -> Path:
    """Return where the columns of a data file lie."""
    return home_path / FOLDER / corp_id / f"{file.sha256}{SUFFIX}"


def of(lake: Lake, file: DataFile) -> pa.Table:
    """Return what is kept of a data file, by reading it."""
    return lake.read("messages", [file], columns=list(COLUMNS))


def sealed(keyring: Keyring, key: str, path: str, stamp: Stamp, table: pa.Table) -> bytes:
    """Return the bytes that are kept. key: name of the data file's key; path: the data file's; table: all of its rows, the columns that are kept."""
    salt = os.urandom(SALT)
    box = AESGCM(_derived(keyring, key, path, salt))
    open_head = MAGIC + len(key).to_bytes(2) + key.encode() + salt
    columns = [box.encrypt(_nonce(n + 1), _packed(table.select([name])), open_head) for n, name in enumerate(table.column_names)]
    whole = tuple(c for c in table.column_names if not table[c].null_count)
    head = Head(stamp=stamp, rows=table.num_rows, whole=whole, names=tuple(table.column_names), lengths=tuple(map(len, columns)))
    closed = box.encrypt(_nonce(0), msgspec.msgpack.encode(head), open_head)
    return b"".join([open_head, len(closed).to_bytes(4), closed, *columns])


class Narrow:
    """Columns that are kept, opened. Raises Damaged (rule 3), FileNotFoundError when there are none, and what the keyring says of a key that is gone."""

    def __init__(self, at: Path, keyring: Keyring, path: str) -> None:
        with open(at, "rb") as file:
            if os.fstat(file.fileno()).st_size == 0:
                raise Damaged
            self._data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        name = 2 + len(MAGIC) + int.from_bytes(self._data[len(MAGIC) : len(MAGIC) + 2])
        self._open_head = self._data[: name + SALT]
        if not self._open_head.startswith(MAGIC) or len(self._open_head) < name + SALT:
            raise Damaged
        self._keyring, self._key = keyring, self._open_head[len(MAGIC) + 2 : name].decode(errors="replace")
        self._box = AESGCM(_derived(keyring, self._key, path, self._open_head[name:]))
        begin = name + SALT + 4
        length = int.from_bytes(self._data[begin - 4 : begin])
        try:
            self.head = msgspec.msgpack.decode(self._opened(0, begin, length), type=Head)
        except msgspec.DecodeError as error:
            raise Damaged from error
        self._begins = np.cumsum([begin + length, *self.head.lengths])
        if int(self._begins[-1]) != len(self._data):  # told at once, not when the last column is asked
            raise Damaged

    def read(self, names: Sequence[str]) -> pa.Table:
        """Return columns, with the types of the schema; raises Damaged, and what the keyring says of a key that was destroyed meanwhile."""
        self._keyring.get(self._key)  # asked every time, as for data files
        return pa.table({name: self._column(name) for name in names})

    def _column(self, name: str) -> pa.ChunkedArray:
        number = self.head.names.index(name)
        packed = self._opened(number + 1, int(self._begins[number]), self.head.lengths[number])
        try:
            column = pa.ipc.open_stream(packed).read_all().column(0)
        except pa.ArrowInvalid as error:
            raise Damaged from error
        if pa.types.is_dictionary(column.type):
            column = pa.chunked_array([c.dictionary_decode() for c in column.chunks], column.type.value_type)
        if len(column) != self.head.rows:
            raise Damaged
        return column.cast(schema.kind("messages").arrow.field(name).type)

    def _opened(self, number: int, begin: int, length: int) -> bytes:
        try:
            return self._box.decrypt(_nonce(number), self._data[begin : begin + length], self._open_head)
        except (InvalidTag, ValueError) as error:
            raise Damaged from error


def read(home_path: Path, lake: Lake, snapshot: Snapshot, file: DataFile) -> Narrow | None:
    """Return what is kept beside a data file, None when nothing is; raises Damaged, also for a stamp or columns that do not fit. A key that is gone
    counts as damage."""
    try:
        with durable.storage("reading what is kept beside the messages"):
            found = Narrow(place(home_path, lake.corp_id, file), lake.keyring, file.path)
    except durable.Vanished:
        return None
    except ArchiveError as error:
        if isinstance(error, StorageError):
            raise
        raise Damaged from error
    if not stamps.fits(found.head.stamp, MAKER, snapshot, [file]) or found.head.rows != file.rows or found.head.names != COLUMNS:
        raise Damaged
    return found


def _packed(column: pa.Table) -> bytes:
    """Return one column as an Arrow stream; what repeats by numbers of the different values."""
    name, values = column.column_names[0], column.column(0).combine_chunks()
    if pa.types.is_string(values.type) and name not in _UNIQUE:
        values = values.dictionary_encode()
    sink = pa.BufferOutputStream()
    batch = pa.record_batch([values], names=[name])
    with pa.ipc.new_stream(sink, batch.schema, options=pa.ipc.IpcWriteOptions(compression=pa.Codec("zstd", compression_level=1))) as stream:
        stream.write_batch(batch)
    return bytes(sink.getvalue())


def _derived(keyring: Keyring, key: str, path: str, salt: bytes) -> bytes:
    return HKDF(hashes.SHA256(), 32, salt, b"liuhen counted columns 1\0" + path.encode()).derive(keyring.get(key))


def _nonce(number: int) -> bytes:
    return number.to_bytes(12)
