"""A report as one workbook: the letter first, what the columns mean, then a sheet an audit.

Before: gather.py, letter.py, ../sheets.py. After: `liuhen audit pack`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from pipeline import words
from pipeline.columns import Column
from pipeline.reports import letter
from pipeline.reports.gather import Contents
from pipeline.sheets import Sheet, write_book

Line = tuple[object, ...]


def write(sink: BinaryIO, contents: Contents) -> int:
    """Write the workbook; return how many rows all audits have. Raises UsageError EXTRA_MISSING, XLSX_TOO_LARGE."""
    sheets = [
        Sheet(words.say("pack.sheet.letter", "zh"), _letter_columns(), list(_letter(contents)), filtered=False),
        Sheet(words.say("pack.sheet.columns", "zh"), _meaning_columns(), list(_meanings(contents))),
        *(Sheet(section.entry.sheet, section.columns, section.rows) for section in contents.sections),
    ]
    notes = [words.say("demo.banner", "zh")] if contents.demo else []
    return write_book(sink, sheets, lang="zh", notes=notes) - len(sheets[0].rows) - len(sheets[1].rows)


def _letter_columns() -> list[Column]:
    titles = (("part", "部分 · part"), ("what", "项目"), ("what_en", "item"), ("value", "数值 · value"))
    return [Column(name, title, "text") for name, title in titles]


def _letter(contents: Contents) -> Iterator[Line]:
    title = words.say("pack.title", "zh")
    yield (title, None, words.say("pack.title", "en"), None)
    for zh, en in letter.remarks(contents):
        yield (None, zh, en, None)
    for fact in letter.head(contents):
        yield (None, fact.zh, fact.en, fact.value)
    for number, part in enumerate(letter.parts(contents), 1):
        yield (f"{number}. {part.zh} · {part.en}", part.note_zh, part.note_en, None)
        for fact in part.facts:
            yield (None, fact.zh, fact.en, fact.value)
    yield (None, letter.said("limits", "zh"), letter.said("limits", "en"), None)
    yield (words.say("pack.enclosures", "zh"), None, words.say("pack.enclosures", "en"), None)
    for sheet, zh, en, n in letter.enclosures(contents):
        yield (sheet, zh, en, n)
    for key in ("made_by", "checked_by", "date"):
        yield (None, letter.said(key, "zh"), letter.said(key, "en"), "")


def _meaning_columns() -> list[Column]:
    titles = (("sheet", "工作表 · sheet"), ("column", "列 · column"), ("zh", "含义"), ("en", "meaning"))
    return [Column(name, title, "text") for name, title in titles]


def _meanings(contents: Contents) -> Iterator[Line]:
    for section in contents.sections:
        for column in section.asked.meta.columns:
            yield (section.entry.sheet, f"{column.title.zh} · {column.title.en}", column.meaning.zh, column.meaning.en)
