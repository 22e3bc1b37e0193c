"""The columns by which messages are counted, kept once more beside their data file, each in one piece.

Before: boxes.py, ../lake.py, ../stamps.py. After: index.py (makes them), counted.py (reads them), ../stores.py (erasure).

    search/<corp>/<sha256 of the data file>.columns     boxes (boxes.py) that begin with LHCO 01, one part a column

A data file has a piece of every column for each 2,048 rows, so that one conversation is soon read; each piece is opened on its own, which takes
longer than what is in it when all messages are counted. Here a column is one Arrow stream. Rules, each with a test, beside those of boxes:
 (1) Rows are those of the data file, in its order. No words: text, parts and what was received are in the data file alone; of the text only its
     length and a short digest are kept (FORMS).
 (2) The head carries the stamp of what it was made from, judged whenever it is opened. One that does not fit is passed by and no damage: nobody
     but this program can write it.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import durable, schema, stamps
from pipeline.deltalog import DataFile, Snapshot
from pipeline.keyring import Keyring
from pipeline.lake import Lake
from pipeline.search import boxes
from pipeline.search.boxes import Boxes, Damaged, Form
from pipeline.stamps import Stamp

MAKER = "counted columns/3"
FORM = Form(b"LHCO\x01", b"liuhen counted columns 1")
FOLDER = "search"
SUFFIX = ".columns"
COLUMNS = (
    "origin", "seq", "msgid", "kind", "action", "msgtype", "sent_at", "sender_id", "sender_kind", "recipient_ids", "room_id", "conversation_id", "direction",
    "employee_id", "customer_id", "recalls_msgid", "consent", "captured_at", "dt",
)  # fmt: skip
# Ids of their own: a list of the different ones would be as long.
_UNIQUE = ("msgid", "recalls_msgid")
IDS = ("sender_id", "room_id", "conversation_id", "employee_id", "customer_id")
_BY_NUMBER = pa.dictionary(pa.int32(), pa.string())
# Of the text, how many characters (code points) it has, and its CRC-32: what was said several times is told apart without reading words.
FORMS = pa.schema([("text_characters", pa.int32()), ("text_form", pa.uint32())])
KEPT = (*COLUMNS, *FORMS.names)


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


def by_number(field: pa.Field) -> pa.Field:
    """Return a column of messages as audits are handed it: ids by numbers of the different ones, others as they are.

    Words of ours (kinds, types) are handed as words: they are short, and DuckDB leaves conditions on numbered ones to itself instead of to the scan.
    Lists too: DuckDB 2.0's `list_has_any` misses words in lists of numbers."""
    return field.with_type(_BY_NUMBER) if field.name in IDS else field


def _as_kept(field: pa.Field) -> pa.Field:
    """Return a column of messages as it is kept: words that repeat by numbers of the different ones, in lists too."""
    if field.name in _UNIQUE:
        return field
    if pa.types.is_list(field.type):
        return field.with_type(pa.list_(field.type.value_field.with_type(_BY_NUMBER)))
    return field.with_type(_BY_NUMBER) if pa.types.is_string(field.type) else field


def of(lake: Lake, file: DataFile) -> pa.Table:
    """Return what is kept of a data file, by reading it."""
    read = lake.read("messages", [file], columns=[*COLUMNS, "text"])
    return formed(read, FORMS.names).drop_columns(["text"])


def formed(messages: pa.Table, names: Sequence[str]) -> pa.Table:
    """Return messages, and of their text what columns of FORMS tell."""
    for name in names:
        text = messages["text"]
        told = pc.utf8_length(text) if name == "text_characters" else _crc32(text)
        messages = messages.append_column(FORMS.field(name), told)
    return messages


def _crc32(text: pa.ChunkedArray) -> pa.Array:
    return pa.array([None if t is None else zlib.crc32(t) for t in text.cast(pa.binary()).to_pylist()], pa.uint32())


def sealed(keyring: Keyring, key: str, path: str, stamp: Stamp, table: pa.Table) -> bytes:
    """Return the bytes that are kept. key: name of the data file's key; path: the data file's; table: all of its rows, the columns that are kept."""
    whole, names = tuple(c for c in COLUMNS if not table[c].null_count), tuple(table.column_names)
    return boxes.sealed(
        FORM, keyring, key=key, path=path, parts=(_packed(table.select([name])) for name in names),
        head=lambda lengths: Head(stamp=stamp, rows=table.num_rows, whole=whole, names=names, lengths=lengths),
    )  # fmt: skip


class Narrow:
    """Columns that are kept, opened. Raises what Boxes raises."""

    def __init__(self, at: Path, keyring: Keyring, path: str) -> None:
        self._keyring = keyring
        self._boxes = Boxes(FORM, at, keyring, path)
        self.head = self._boxes.head(Head, lambda head: head.lengths)

    def read(self, names: Sequence[str], rows: Any = None, *, numbered: bool = False) -> pa.Table:
        """Return columns, with the types of the schema (numbered: of `by_number`); raises Damaged, and what the keyring says of a key that was destroyed
        meanwhile.

        rows: the numbers of those that are asked, ascending; all where it is None."""
        self._keyring.get(self._boxes.key)  # asked every time, as for data files
        declared = pa.schema([*schema.kind("messages").arrow, *FORMS])
        fields = [by_number(declared.field(name)) if numbered else declared.field(name) for name in names]
        return pa.Table.from_arrays([self._column(field, rows) for field in fields], names=list(names))

    def may_hold(self, name: str, values: pa.Array) -> Any:
        """Return, for every row, whether a column holds one of some values, or nothing: an array of bools; raises what `read` raises. Words that are
        kept by numbers are compared as often as they are different."""
        self._keyring.get(self._boxes.key)
        if not len(values) and name in self.head.whole:  # no row holds nothing
            return np.zeros(self.head.rows, bool)
        held = [_is_among(chunk, values) for chunk in self._stored(name).chunks]
        return np.concatenate([np.asarray(h) for h in held]) if held else np.zeros(0, bool)

    def different(self, name: str) -> pa.Array:
        """Return the different values of a column of words, or of the words of its lists; raises what `read` raises. No row is looked at where the
        values are kept by numbers of the different ones."""
        self._keyring.get(self._boxes.key)
        stream = self._stream(name)
        numbered = _numbered(stream.schema.field(0).type)
        return unique(pa.chunked_array([self._batch(stream).column(0)]) if numbered else self._stored(name))

    def _column(self, field: pa.Field, rows: Any) -> pa.ChunkedArray:
        column = self._stored(field.name)
        if rows is not None:
            column = column.take(pa.array(rows, pa.int64()))  # numbers of words, where words repeat: sooner than the words
        return column if column.type == field.type else column.cast(field.type)

    def _stored(self, name: str) -> pa.ChunkedArray:
        stream, rows = self._stream(name), 0
        batches: list[pa.RecordBatch] = []
        while rows < self.head.rows or not batches:
            batches.append(self._batch(stream))
            rows += batches[-1].num_rows
        if rows != self.head.rows:
            raise Damaged
        return pa.chunked_array([batch.column(0) for batch in batches])

    def _stream(self, name: str) -> Any:
        try:
            return pa.ipc.open_stream(self._boxes.part(self.head.names.index(name)))
        except pa.ArrowInvalid as error:
            raise Damaged from error

    def _batch(self, stream: Any) -> pa.RecordBatch:
        try:
            return stream.read_next_batch()
        except (pa.ArrowInvalid, StopIteration) as error:
            raise Damaged from error


def read(home_path: Path, lake: Lake, snapshot: Snapshot, file: DataFile) -> Narrow | None:
    """Return what is kept beside a data file, None when nothing is, or what an earlier release kept, or one that runs beside this at a later version
    (rule 2: its stamp does not fit); raises Damaged, also for rows and columns that do not fit. A key that is gone counts as damage."""
    try:
        with boxes.judged(), durable.storage("reading what is kept beside the messages"):
            found = Narrow(place(home_path, lake.corp_id, file), lake.keyring, file.path)
    except durable.Vanished:
        return None
    if not stamps.fits(found.head.stamp, MAKER, snapshot, [file]):
        return None
    if found.head.rows != file.rows or found.head.names != KEPT:
        raise Damaged
    return found


def _is_among(chunk: pa.Array, values: pa.Array) -> pa.Array:
    """Return for each row whether it holds one of some values, or nothing."""
    if not pa.types.is_dictionary(chunk.type):
        return pc.or_(pc.is_in(chunk, value_set=values), pc.is_null(chunk))
    return pc.fill_null(pc.is_in(chunk.dictionary, value_set=values).take(chunk.indices), True)


def _numbered(kind: pa.DataType) -> bool:
    """Whether words of this type, or those of its lists, are numbers of the different ones."""
    return bool(pa.types.is_dictionary(kind.value_type if pa.types.is_list(kind) else kind))


def unique(column: pa.ChunkedArray) -> pa.Array:
    """Return the different values of a column of words, those of its lists where it holds lists, without null."""
    if pa.types.is_list(column.type):
        column = pa.chunked_array([pc.list_flatten(c) for c in column.chunks], column.type.value_type)  # flattened whole, one without rows has no values
    if pa.types.is_dictionary(column.type):
        column = pa.chunked_array([c.dictionary for c in column.chunks], column.type.value_type)
    return pc.unique(column).drop_null()


def _packed(column: pa.Table) -> bytes:
    """Return one column as an Arrow stream; what repeats by numbers of the different values."""
    name, values = column.column_names[0], column.column(0).combine_chunks()
    values = values.cast(_as_kept(column.schema.field(0)).type)
    sink = pa.BufferOutputStream()
    batch = pa.record_batch([values], names=[name])
    with pa.ipc.new_stream(sink, batch.schema, options=pa.ipc.IpcWriteOptions(compression=pa.Codec("zstd", compression_level=1))) as stream:
        if _numbered(values.type):
            stream.write_batch(batch.slice(0, 0))  # brings the different values: who asks for them alone reads no further
        stream.write_batch(batch)
    return bytes(sink.getvalue())
