"""A result as an Excel workbook: typed cells, no formula, no link, nothing outside memory before the file is written.

Before: columns.py, cells.py, tables.py. After: show.py.

Rules:
 (1) text is written as text, never interpreted; what could be taken for a formula when edited carries Excel's own quote prefix.
 (2) instants are Beijing wall-clock cells, and the header says so; Excel has no time zones.
 (3) numbers of more than 15 digits are text: Excel would round them.
 (4) a cell holds 32,767 UTF-16 units; longer text is cut and says how long it was.
 (5) one sheet of at most 1,048,575 rows; more is refused before anything is written.
 (6) the workbook is built in memory (about 0.5 kB a cell): its temporary files would be plaintext.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from itertools import chain, islice
from types import MappingProxyType
from typing import Any, BinaryIO, NamedTuple

from rich.cells import cell_len

from pipeline import cells, words
from pipeline.columns import Column
from pipeline.errors import UsageError
from pipeline.tables import text_of, title_of
from pipeline.words import Lang

MAX_ROWS = 1_048_575  # below the header
MAX_UNITS = 32_767
_SAMPLE = 500
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")
_DIGITS = 10**15


def write_xlsx(
    sink: BinaryIO, columns: Sequence[Column], rows: Iterable[Sequence[object]], *, lang: Lang, notes: Sequence[str] = (),
    choices: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> int:  # fmt: skip
    """Write the workbook to `sink`; return the number of rows. choices: what may be picked from a list in the columns of these names.

    Raises UsageError EXTRA_MISSING, XLSX_TOO_LARGE."""
    book = _book(sink)
    page = _Sheet(book, columns, lang, words.say("sheet.rows", lang))
    page.fill(rows)
    page.finish(notes)
    page.remark(notes)
    page.offer(choices)
    book.close()
    return page.count


class Sheet(NamedTuple):
    """One sheet of a workbook of several: a name of at most 31 characters without []:*?/\\, its columns and rows; filtered: with a filter row."""

    name: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[object]]
    filtered: bool = True


def write_book(sink: BinaryIO, sheets: Sequence[Sheet], *, lang: Lang, notes: Sequence[str] = ()) -> int:
    """Write a workbook of several sheets, the notes as the header of each printed page; return the rows of all. Raises as `write_xlsx`."""
    book, pages = _book(sink), []
    for one in sheets:
        page = _Sheet(book, one.columns, lang, one.name)
        page.fill(one.rows)
        page.finish(notes, filtered=one.filtered)
        pages.append(page)
    for page in pages[1:]:
        pages[0].seen.update(page.seen)
    pages[0].remark(notes)
    book.close()
    return sum(page.count for page in pages)


def _book(sink: BinaryIO) -> Any:
    try:
        import xlsxwriter
    except ImportError as error:
        remedy = "`make extra NAME=xlsx` in a checkout, else pip install 'liuhen[xlsx]'"
        raise UsageError("EXTRA_MISSING", "xlsx needs the optional package xlsxwriter", remedy=remedy) from error
    return xlsxwriter.Workbook(sink, {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False})


class _Sheet:
    """A sheet of results, its formats, and what the notes must say about it."""

    def __init__(self, book: Any, columns: Sequence[Column], lang: Lang, name: str) -> None:
        self.book, self.columns, self.lang, self.count = book, columns, lang, 0
        self.seen: Counter[str] = Counter()
        self.sheet = book.add_worksheet(name)
        self.text = book.add_format({"valign": "top", "text_wrap": True})
        self.quoted = book.add_format({"valign": "top", "text_wrap": True, "quote_prefix": True})
        self.number = book.add_format({"valign": "top"})
        self.time = book.add_format({"valign": "top", "num_format": "yyyy-mm-dd hh:mm:ss"})
        self.day = book.add_format({"valign": "top", "num_format": "yyyy-mm-dd"})
        head = book.add_format({"bold": True, "bg_color": "#E8EEF4", "border": 1, "border_color": "#B8C4D0", "text_wrap": True})
        for at, column in enumerate(columns):
            self.sheet.write_string(0, at, cells.well_formed(title_of(column, lang))[:255], head)
        self.sheet.freeze_panes(1, 0)

    def fill(self, rows: Iterable[Sequence[object]]) -> None:
        iterator = iter(rows)
        sample = list(islice(iterator, _SAMPLE))
        self.widths(sample)
        for row in chain(sample, iterator):
            self.add(row)

    def widths(self, sample: Sequence[Sequence[object]]) -> None:
        for at, column in enumerate(self.columns):
            shown = [title_of(column, self.lang), *(text_of(row[at], column, self.lang)[:200] for row in sample if row[at] is not None)]
            self.sheet.set_column(at, at, min(max(max(cell_len(line) for text in shown for line in text.split("\n")) + 2, 8), 60))

    def add(self, row: Sequence[object]) -> None:
        self.count += 1
        if self.count > MAX_ROWS:
            expected = f"expected at most {MAX_ROWS:,} rows, what a sheet holds, got more"
            raise UsageError("XLSX_TOO_LARGE", expected, remedy="narrow the question, or use csv or parquet")
        for at, (value, column) in enumerate(zip(row, self.columns, strict=True)):
            if value is not None:
                self._cell(at, value, column)

    def _cell(self, at: int, value: object, column: Column) -> None:
        if isinstance(value, bool):
            self.sheet.write_boolean(self.count, at, value, self.number)
        elif column.words and isinstance(value, str):
            self._text(at, words.label(column.words, value, self.lang))
        elif column.type in ("timestamp", "local") and isinstance(value, int | datetime):
            self._moment(at, value, column)
        elif isinstance(value, date) and not isinstance(value, datetime) and value.year >= 1900:
            self.sheet.write_datetime(self.count, at, datetime(value.year, value.month, value.day), self.day)
        elif isinstance(value, int | float | Decimal) and _exact(value):
            self.sheet.write_number(self.count, at, value, self.number)
        else:
            self.seen["long_number"] += isinstance(value, int | Decimal)
            self._text(at, str(value) if isinstance(value, int | float | Decimal) else text_of(value, column, self.lang))

    def _moment(self, at: int, value: int | datetime, column: Column) -> None:
        instant = column.type == "timestamp" or isinstance(value, int)
        wall = (words.moment(value) if instant else value).replace(tzinfo=None)  # type: ignore[union-attr]  # an int is an instant
        if wall.year < 1900:
            self._text(at, text_of(value, column, self.lang))
            return
        self.seen["time"] += column.type == "timestamp"
        self.sheet.write_datetime(self.count, at, wall, self.time)

    def _text(self, at: int, text: str) -> None:
        text = cells.well_formed(text)
        if len(text) > MAX_UNITS // 2 and _units(text) > MAX_UNITS:
            text = _cut(text, words.say("cell.cut", self.lang, n=len(text)))
            self.seen["cut"] += 1
        self.sheet.write_string(self.count, at, text, self.quoted if text.startswith(_FORMULA) else self.text)

    def offer(self, choices: Mapping[str, Sequence[str]]) -> None:
        for at, column in enumerate(self.columns):
            if column.name in choices and self.count:
                self.sheet.data_validation(1, at, self.count, at, {"validate": "list", "source": list(choices[column.name])})

    def finish(self, notes: Sequence[str], *, filtered: bool = True) -> None:
        if self.columns and filtered:
            self.sheet.autofilter(0, 0, self.count, len(self.columns) - 1)
        self.sheet.set_landscape()
        self.sheet.fit_to_pages(1, 0)
        self.sheet.repeat_rows(0)
        if notes:
            self.sheet.set_header("&C" + notes[0].replace("&", "&&")[:240])

    def remark(self, notes: Sequence[str]) -> None:
        """Add the sheet of notes: those given, and what was seen while writing."""
        facts = [("time", "sheet.note_time"), ("long_number", "sheet.note_numbers"), ("cut", "sheet.note_cut")]
        lines = [*notes, *(words.say(key, self.lang) for fact, key in facts if self.seen[fact])]
        if lines:
            page = self.book.add_worksheet(words.say("sheet.notes", self.lang))
            page.set_column(0, 0, 100)
            for at, line in enumerate(lines):
                page.write_string(at, 0, cells.well_formed(line), self.text)


def _exact(value: int | float | Decimal) -> bool:
    """Whether Excel shows every digit of it: 15 are kept."""
    if isinstance(value, int):
        return abs(value) < _DIGITS
    if isinstance(value, float):
        return value - value == 0
    return value.is_finite() and len(value.as_tuple().digits) <= 15 and abs(value.adjusted()) < 300


def _units(text: str) -> int:
    return len(text) + sum(character > "\uffff" for character in text)


def _cut(text: str, mark: str) -> str:
    room = 2 * (MAX_UNITS - _units(mark))
    return text.encode("utf-16-le")[:room].decode("utf-16-le", "ignore") + mark  # never half a surrogate pair
