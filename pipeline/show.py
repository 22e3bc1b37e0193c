"""Results in every format, on the terminal or in a file: what was asked is shown, nothing is asked here.

Before: columns.py, tables.py, sheets.py. After: every command that returns rows.

Rules:
 (1) on a terminal the default is `table`, otherwise `jsonl`; parquet and xlsx do not go to a terminal.
 (2) a table on a terminal reads at most 1,000 rows and says that there are more; every other way writes all of them.
 (3) json and jsonl: UTF-8; instants ISO 8601 with +08:00, days ISO, decimals and integers with every digit, lists and structs as JSON.
     On a terminal, characters that a terminal would obey or not show are written as \\u and four hex digits (the same JSON).
 (4) csv: RFC 4180, text quoted, NULL empty and unquoted, UTF-8 with a byte order mark in a file (Excel needs it). A text that a
     spreadsheet would take for a formula (begins with = + - @, their full-width forms, tab, CR, LF) gets a leading apostrophe.
     Who needs the text byte for byte takes jsonl or parquet.
 (5) a file is written beside its final name, readable by its owner only, made durable, then renamed; a failure leaves the old one.
     Only a regular file is ever replaced.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import stat
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Literal, TextIO

import msgspec

from pipeline import durable, words
from pipeline.columns import Column, json_bytes, plain, rows_from_arrow, unique_names
from pipeline.errors import UsageError
from pipeline.sheets import write_xlsx
from pipeline.tables import table_lines
from pipeline.words import Lang

__all__ = ["Column", "Format", "default_format", "replacing", "rows_from_arrow", "write_rows"]

Format = Literal["table", "json", "jsonl", "csv", "parquet", "xlsx"]
Rows = Iterable[Sequence[object]]
TABLE_ROWS = 1000
_PARQUET_ROWS = 16_384


def default_format(isatty: bool) -> Format:
    """Return the format when none was asked for (rule 1)."""
    return "table" if isatty else "jsonl"


def write_rows(
    columns: Sequence[Column],
    rows: Rows,
    *,
    format: Format,
    output: Path | None = None,
    lang: Lang = "zh",
    stream: TextIO | None = None,
    messages: TextIO | None = None,
    terminal_width: int | None = None,
    total: int | None = None,
    notes: Sequence[str] = (),
) -> int:
    """Write a result; return how many rows were written.

    output: file, else `stream` (standard output); messages: where remarks go (standard error); total: rows there are, if known;
    notes: what must stand on it (DEMO, single mode): above a table, on a sheet of its own, in Parquet's metadata, else in `messages`.
    Raises UsageError OUTPUT_NEEDED, OUTPUT_NOT_A_FILE, OUTPUT_FOLDER, EXTRA_MISSING, XLSX_TOO_LARGE, VALUE_DOES_NOT_FIT; StorageError.
    """
    columns = unique_names(columns)
    stream, messages = stream or sys.stdout, messages or sys.stderr
    terminal = output is None and stream.isatty()
    if terminal and format in ("parquet", "xlsx"):
        raise UsageError("OUTPUT_NEEDED", f"{format} cannot be shown on a terminal", remedy="name a file with -o FILE")
    if format in ("json", "jsonl", "csv"):
        for note in notes:
            print(note, file=messages)
    said = _Said(lang, tuple(notes), messages)
    write = _writer(format, said, terminal=terminal, file=output is not None, width=terminal_width, total=total)
    if output is not None:
        with replacing(output) as sink:
            return write(sink, columns, rows)
    return _to_stream(stream, format, columns, rows, write)


_Write = Callable[[BinaryIO, Sequence[Column], Rows], int]


class _Said(msgspec.Struct, frozen=True):
    """What is said around the rows, in which language, and where remarks go."""

    lang: Lang
    notes: tuple[str, ...]
    messages: TextIO


def _writer(format: Format, said: _Said, *, terminal: bool, file: bool, width: int | None, total: int | None) -> _Write:
    match format:
        case "json":
            return lambda sink, columns, rows: _write_json(sink, columns, rows, escape=terminal)
        case "jsonl":
            return lambda sink, columns, rows: _write_jsonl(sink, columns, rows, escape=terminal)
        case "csv":
            return lambda sink, columns, rows: _write_csv(sink, columns, rows, mark=file, escape=terminal)
        case "parquet":
            return lambda sink, columns, rows: _write_parquet(sink, columns, rows, said.notes)
        case "xlsx":
            return lambda sink, columns, rows: write_xlsx(sink, columns, rows, lang=said.lang, notes=said.notes)
        case "table":
            size = width or (shutil.get_terminal_size((120, 24)).columns if terminal else 100_000 if file else 120)
            most = TABLE_ROWS if not file else None
            return lambda sink, columns, rows: _write_table(sink, columns, rows, said, width=size, most=most, total=total)


def _to_stream(stream: TextIO, format: Format, columns: Sequence[Column], rows: Rows, write: _Write) -> int:
    buffer: BinaryIO | None = getattr(stream, "buffer", None)
    if buffer is not None and format not in ("xlsx", "table"):
        stream.flush()
        count = write(buffer, columns, rows)
        buffer.flush()
        return count
    whole = BytesIO()  # a workbook needs a file it can go back in; a table may need the terminal's own encoding
    count = write(whole, columns, rows)
    if format == "xlsx" and buffer is not None:
        buffer.write(whole.getvalue())
    else:
        encoding = stream.encoding or "utf-8"
        stream.write(whole.getvalue().decode("utf-8").encode(encoding, "replace").decode(encoding))
    stream.flush()
    return count


# ---- the formats


def _write_table(
    sink: BinaryIO, columns: Sequence[Column], rows: Rows, said: _Said, *, width: int, most: int | None, total: int | None
) -> int:
    iterator = iter(rows)
    counted = _Counted(iterator if most is None else islice(iterator, most))
    for note in said.notes:
        sink.write(f"{note}\n".encode())
    for line in table_lines(columns, counted, sample=TABLE_ROWS, width=width, lang=said.lang):
        sink.write(line.encode("utf-8", "replace") + b"\n")
    if counted.count == 0:
        print(words.say("table.none", said.lang), file=said.messages)
    if most is not None and next(iterator, None) is not None:
        print(_more(counted.count, total, said.lang), file=said.messages)
    return counted.count


def _more(shown: int, total: int | None, lang: Lang) -> str:
    if total is None:
        return words.say("table.more_unknown", lang, shown=shown)
    return words.say("table.more", lang, shown=shown, n=total - shown)


def _objects(columns: Sequence[Column], rows: Rows, *, escape: bool) -> Iterator[bytes]:
    names = [one.name for one in columns]
    kinds = [one.type for one in columns]
    for row in rows:
        text = json_bytes(dict(zip(names, map(plain, row, kinds), strict=True)))
        yield _escaped(text.decode()).encode() if escape else text


# Everything JSON leaves as it is and a terminal would obey, reorder or hide; only ever inside strings, where \u and four hex digits say the same.
_ACTIVE = re.compile("[\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")


def _escaped(text: str) -> str:
    return _ACTIVE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _write_jsonl(sink: BinaryIO, columns: Sequence[Column], rows: Rows, *, escape: bool) -> int:
    count = 0
    for text in _objects(columns, rows, escape=escape):
        sink.write(text + b"\n")
        count += 1
    return count


def _write_json(sink: BinaryIO, columns: Sequence[Column], rows: Rows, *, escape: bool) -> int:
    count = 0
    for text in _objects(columns, rows, escape=escape):
        sink.write((b",\n " if count else b"[\n ") + text)
        count += 1
    sink.write(b"\n]\n" if count else b"[]\n")
    return count


_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠", "\t", "\r", "\n")


def _quoted(text: str, *, escape: bool) -> str:
    text = f"'{text}" if text.startswith(_FORMULA) else text
    if escape:
        text = _ACTIVE.sub("\ufffd", re.sub("[\x00-\x08\x0b-\x1f]", "\ufffd", text))
    return '"' + text.replace('"', '""') + '"'


def _csv_cell(value: object, column: Column, *, escape: bool) -> str:
    shown = plain(value, column.type)
    match shown:
        case None:
            return ""
        case bool():
            return "true" if shown else "false"
        case str():
            return _quoted(shown, escape=escape) if column.type not in ("timestamp", "local", "date") else shown
        case list() | dict():
            return _quoted(json_bytes(shown).decode(), escape=escape)
    return json_bytes(shown).decode()


def _write_csv(sink: BinaryIO, columns: Sequence[Column], rows: Rows, *, mark: bool, escape: bool) -> int:
    sink.write(b"\xef\xbb\xbf" if mark else b"")
    sink.write((",".join(_quoted(one.name, escape=escape) for one in columns) + "\r\n").encode("utf-8", "replace"))
    count = 0
    for row in rows:
        line = ",".join(_csv_cell(value, one, escape=escape) for value, one in zip(row, columns, strict=True))
        sink.write((line + "\r\n").encode("utf-8", "replace"))
        count += 1
    return count


def _parquet_type(column: Column) -> Any:
    import pyarrow as pa

    if column.arrow is not None:
        return column.arrow
    numbers = {"int": pa.int64(), "float": pa.float64(), "decimal": pa.decimal128(38, 9), "bool": pa.bool_(), "bytes": pa.binary()}
    times = {"timestamp": pa.timestamp("us", "UTC"), "local": pa.timestamp("us"), "date": pa.date32()}
    return {**numbers, **times}.get(column.type, pa.string())


def _parquet_value(value: object, column: Column) -> object:
    if value is None or (column.arrow is not None and column.type != "timestamp"):
        return value
    if column.type == "timestamp" and not isinstance(value, str):
        return words.moment(value).astimezone(UTC)  # type: ignore[arg-type]  # the column's type promises int or datetime
    if column.type == "json":
        return json_bytes(plain(value, "json")).decode()
    return value if column.type != "text" else plain(value, "text")


def _write_parquet(sink: BinaryIO, columns: Sequence[Column], rows: Rows, notes: Sequence[str]) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    metadata = {"liuhen.notes": msgspec.json.encode(list(notes))} if notes else None
    schema = pa.schema([pa.field(one.name, _parquet_type(one)) for one in columns], metadata=metadata)
    iterator, count = iter(rows), 0
    with pq.ParquetWriter(pa.PythonFile(sink, mode="w"), schema, compression="zstd") as writer:
        while part := list(islice(iterator, _PARQUET_ROWS)):
            arrays = [_array([row[at] for row in part], one) for at, one in enumerate(columns)]
            writer.write_batch(pa.record_batch(arrays, schema=schema))
            count += len(part)
    return count


def _array(values: Sequence[object], column: Column) -> Any:
    import pyarrow as pa

    try:
        return pa.array([_parquet_value(value, column) for value in values], type=_parquet_type(column))
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError, TypeError) as error:
        expected = f"expected values of type {_parquet_type(column)} in a column, got another one"
        raise UsageError("VALUE_DOES_NOT_FIT", expected, remedy="cast the column, or use jsonl") from error


class _Counted:
    """Rows, counted as they go by."""

    def __init__(self, rows: Rows) -> None:
        self._rows, self.count = rows, 0

    def __iter__(self) -> Iterator[Sequence[object]]:
        for row in self._rows:
            self.count += 1
            yield row


# ---- the file


@contextmanager
def replacing(output: Path) -> Iterator[BinaryIO]:
    """Open a file that takes the name `output` only when the block ends well (rule 5).

    Raises UsageError OUTPUT_NOT_A_FILE, OUTPUT_FOLDER; StorageError when the disk is full or fails."""
    _check_target(output)
    temporary = output.with_name(f".{secrets.token_hex(8)}.part")
    try:
        handle = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise _target_error(error) from error
    try:
        with os.fdopen(handle, "w+b") as sink:
            yield sink
            sink.flush()
            os.fsync(sink.fileno())
        os.replace(temporary, output)
        durable.fsync_folder(output.parent)
    except BaseException as error:
        with suppress(OSError):
            os.unlink(temporary)
        if isinstance(error, OSError):
            raise durable.storage_error(error, "writing the output file") from error
        raise


def _check_target(output: Path) -> None:
    try:
        mode = os.lstat(output).st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise _target_error(error) from error
    if not stat.S_ISREG(mode):
        expected = "expected a regular file or a free name for the output, got something else"
        raise UsageError("OUTPUT_NOT_A_FILE", expected, remedy="name another file with -o")


def _target_error(error: OSError) -> Exception:
    if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.ENAMETOOLONG):
        expected = "expected a folder that exists and can be written for the output, got another"
        return UsageError("OUTPUT_FOLDER", expected, remedy="make the folder, or name another file with -o")
    return durable.storage_error(error, "writing the output file")
