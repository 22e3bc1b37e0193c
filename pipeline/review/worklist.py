"""A workbook of findings goes out with empty columns for decision, reason and remedy, and comes back filled in.

Before: queue.py. After: decisions.py.

Rules:
 (1) What comes back is taken whole or not at all: every line that does not fit is named with its line number and why.
 (2) Only finding_id, decision, reason and remedy are read. What else was changed in the workbook changes nothing.
 (3) A line without decision, reason and remedy is left open; one that says why but not what does not fit. Decisions are accepted in the words
     of either language.
 (4) Text is written as text (sheets.py); a finding's id is the first column, so that sorting and filtering in Excel do no harm.
"""

from __future__ import annotations

import hashlib
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from io import BytesIO
from typing import Any, BinaryIO, NamedTuple, get_args

import msgspec

from pipeline import beside, columns, words
from pipeline.errors import UsageError
from pipeline.reader import Reader
from pipeline.review.decisions import DECISIONS, Decision
from pipeline.review.queue import Item
from pipeline.sheets import write_xlsx
from pipeline.words import Lang

READ = ("finding_id", "decision", "reason", "remedy")
WRITTEN = ("finding_id", "decision", "reason", "remedy", "severity", "category", "term", "excerpt", "dt", "age_days", "employee_id", "customer_id",
           "party", "conversation_id", "msgid", "rule_id", "claimed_by")  # fmt: skip
MOST_BYTES = 64 * 1024 * 1024
MOST_UNPACKED_BYTES = 512 * 1024 * 1024
MOST_CELLS = 20_000_000  # the library makes a cell of every place between the first and the last
_PLACE = re.compile(rb"""\br\s*=\s*["']([A-Z]{0,3})([0-9]{1,7})["']""")


def write(sink: BinaryIO, items: Sequence[Item], *, lang: Lang, notes: Sequence[str], reader: Reader | None = None) -> int:
    """Write a workbook of findings; return how many. The columns to fill in come empty unless something was decided before.

    reader: who knows the names of people, so that they stand behind their ids (beside.py)."""
    described = [columns.column(name, _TYPES.get(name, "text"), lang, view="matches") for name in WRITTEN]
    described = [c if c.name != "decision" else columns.Column(c.name, c.title, c.type) for c in described]
    choices = {"decision": [words.label("decision", d, lang) for d in DECISIONS]}
    rows: Iterable[Sequence[object]] = [_cells(i, lang) for i in items]
    if reader is not None:
        described, rows = beside.named(reader, described, rows, lang=lang)
    return write_xlsx(sink, described, rows, lang=lang, notes=[*notes, words.say("review.worklist_note", lang)], choices=choices)


_TYPES: dict[str, columns.Type] = {"dt": "date", "age_days": "int"}


def _cells(item: Item, lang: Lang) -> list[object]:
    values: dict[str, Any] = msgspec.structs.asdict(item)
    values["decision"] = None if item.decision == "open" else words.label("decision", item.decision, lang)
    if item.decision == "open":  # why it was reopened is nobody's reason for what is decided now
        values["reason"] = values["remedy"] = None
    return [values[name] for name in WRITTEN]


class Filled(NamedTuple):
    """What a workbook says: decisions with the line each stands on, the digest of its bytes, the letter of each column that is read."""

    decisions: list[tuple[int, Decision]]
    digest: str
    letters: dict[str, str]


def read(data: bytes) -> Filled:
    """Return what a workbook says.

    Raises UsageError WORKLIST_UNREADABLE for what is no workbook, WORKLIST_COLUMNS when a needed column is missing or there twice."""
    rows = _rows(data)
    titles = [str(cell).strip() for cell in next(rows, [])]
    at = {name: _column(titles, name) for name in READ}
    found = []
    for line, row in enumerate(rows, 2):
        cells = {name: str(row[n]).strip() if n < len(row) and row[n] is not None else "" for name, n in at.items()}
        if cells["decision"] or cells["reason"] or cells["remedy"]:
            found.append((line, Decision(**{**cells, "decision": _decision(cells["decision"])})))
    return Filled(found, hashlib.sha256(data).hexdigest(), {name: _letter(n) for name, n in at.items()})


def _letter(number: int) -> str:
    """Return what a spreadsheet calls the column of this number, counted from 0: A to Z, then AA."""
    return (_letter(number // 26 - 1) if number >= 26 else "") + chr(ord("A") + number % 26)


def _rows(data: bytes) -> Iterator[list[Any]]:
    try:
        from python_calamine import CalamineError, CalamineWorkbook
    except ImportError as error:
        remedy = "`make extra NAME=xlsx` in a checkout, else pip install 'liuhen[xlsx]'"
        raise UsageError("EXTRA_MISSING", "reading xlsx needs the optional package python-calamine", remedy=remedy) from error
    if len(data) > MOST_BYTES:
        raise UsageError("WORKLIST_UNREADABLE", f"expected a workbook of at most {MOST_BYTES:,} bytes, got {len(data):,}", remedy="send it back in parts")
    try:
        if not _fits(data):
            raise UsageError("WORKLIST_UNREADABLE", "the workbook is larger unpacked than a worklist can be", remedy="send back what was exported")
        return iter(CalamineWorkbook.from_filelike(BytesIO(data)).get_sheet_by_index(0).to_python(skip_empty_area=False))
    # What zipfile and the reader raise on files that only look like workbooks; NotImplementedError, RuntimeError: packed or encrypted in a way it does not know.
    except (CalamineError, zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError, EOFError, ValueError, IndexError, OSError) as error:
        raise UsageError("WORKLIST_UNREADABLE", "this is not a workbook that can be read", remedy="save it as .xlsx and try again") from error


def _fits(data: bytes) -> bool:
    """Return whether the sheets of a workbook span few enough cells to be read; raises BadZipFile and the like for what is no xlsx."""
    with zipfile.ZipFile(BytesIO(data)) as packed:
        if sum(entry.file_size for entry in packed.infolist()) > MOST_UNPACKED_BYTES:
            return False
        return all(_cells_spanned(packed.read(name)) <= MOST_CELLS for name in packed.namelist() if name.startswith("xl/worksheets/"))


def _cells_spanned(sheet: bytes) -> int:
    rows, across = 1, 1
    for place in _PLACE.finditer(sheet):
        number = 0
        for letter in place[1]:
            number = number * 26 + letter - 64
        rows, across = max(rows, int(place[2])), max(across, number)
    return rows * across


def _column(titles: Sequence[str], name: str) -> int:
    accepted = {name, *(words.title(name, lang, view="matches") for lang in get_args(words.Lang))}
    found = [n for n, title in enumerate(titles) if title in accepted]
    if len(found) != 1:
        expected = f"expected one column {name} in the first row, got {len(found)}"
        raise UsageError("WORKLIST_COLUMNS", expected, remedy="keep the first row as `liuhen review export` wrote it")
    return found[0]


def _decision(text: str) -> str:
    """Return the decision a word of either language means, or the word itself, which no rule will accept."""
    for name in DECISIONS:
        if text.casefold() in {name, *(words.label("decision", name, lang).casefold() for lang in get_args(words.Lang))}:
            return name
    return text
