"""A result as a table on a terminal: aligned by cells, cut to the width, harmless whatever the text holds.

Before: columns.py, cells.py. After: show.py.

Rules:
 (1) every value is one line; unseen characters and line breaks are shown (cells.py), long text ends in `…`.
 (2) numbers, times and days are never cut: text gives way first. Ids, codes and remedies are never cut either: they go on in the next line of
     their cell, since half an id names nobody and half a remedy helps nobody; and no line ends inside an id, so that it can be copied.
 (3) when there are more columns than the width can hold, every row becomes a list of `title  value` lines.
 (4) the numbers of a column have their points under one another: all of them have as many digits after it, those of
     floating-point numbers six at most.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from itertools import islice

from rich.cells import cell_len

from pipeline import cells, words
from pipeline.columns import NUMBERS, Column, json_bytes, plain
from pipeline.words import Lang

_GAP = "  "
_LEAST = 8  # cells a text column gives way to
_LEAST_WHOLE = 16  # cells of a column that is folded
_LONGEST_ID = 64  # characters: a longer one (no id of ours) is folded itself
_ID = re.compile(r"[0-9A-Za-z_@.-]+")  # a pair may part at its bar
# Columns whose values are folded into several lines, never cut (rule 2).
_WHOLE = re.compile(
    r"(?:.*_)?(?:id|ids|userid|msgid|ref|digest|sha256|code|page|seq|batch|matter|audit|remedy|fix|do|to_do_zh|to_do_en|conversations|links|by|why|setting|file|question"
    r"|result|request|parameters|counts|said|remarks|actor|reviewer|scope|who|sender|of|holds|profile|start|root|key|title|basis|text_clear)"
)
_MOST_DIGITS, _SMALLEST, _LARGEST = 6, Decimal("1e-6"), Decimal("1e15")
_READ = 4096  # code points of a value that are looked at at all


def title_of(column: Column, lang: Lang) -> str:
    """Return the title people read; instants say that they are Beijing time."""
    own = cells.one_line(column.title or column.name)
    return f"{own} ({words.say('time.beijing', lang)})" if column.type == "timestamp" else own


def kept_whole(column: Column) -> bool:
    """Whether the values of a column are never cut (rule 2)."""
    return column.whole or _WHOLE.fullmatch(column.name) is not None


def cell_text(value: object, column: Column, lang: Lang) -> str:
    """Return one value as one harmless line."""
    if value is None:
        return ""
    if column.type == "bool":
        return words.say("value.true" if value else "value.false", lang)
    if column.words and isinstance(value, str):
        return cells.one_line(words.label(column.words, value, lang)[:_READ])
    return cells.one_line(text_of(value, column, lang)[:_READ])


_SECONDS = re.compile(r"(?<=:\d\d)\.\d+([+-][\d:]+)?\Z|(?<=:\d\d)[+-][\d:]+\Z")  # what follows them: a part of a second, a zone


def text_of(value: object, column: Column, lang: Lang) -> str:
    """Return a value as text for people, not yet made harmless: instants as Beijing time to the second, lists joined."""
    shown = plain(value, column.type)
    if isinstance(shown, str):
        return _SECONDS.sub("", shown).replace("T", " ") if column.type in ("timestamp", "local") else shown
    if isinstance(shown, list) and all(isinstance(item, str) for item in shown):
        return words.say("list.join", lang).join(shown)
    return "" if shown is None else json_bytes(shown).decode()


def table_lines(columns: Sequence[Column], rows: Iterable[Sequence[object]], *, sample: int, width: int, lang: Lang) -> Iterator[str]:
    """Yield the lines of the table; column widths are those of the first `sample` rows, fitted into `width` cells."""
    iterator = iter(rows)
    seen = list(islice(iterator, sample))
    digits = [_digits([row[at] for row in seen]) if column.type in ("float", "decimal") else None for at, column in enumerate(columns)]
    first = [_texts(row, columns, digits, lang) for row in seen]
    titles = [title_of(column, lang) for column in columns]
    natural = [max(cell_len(title), *(cell_len(row[at]) for row in first), 1) for at, title in enumerate(titles)]
    least = [max(_LEAST_WHOLE, *(_longest_id(row[at]) for row in first), 0) if kept_whole(column) else _LEAST for at, column in enumerate(columns)]
    widths = _fitted(natural, columns, least, width)
    rest = (_texts(row, columns, digits, lang) for row in iterator)
    if widths is None:
        yield from _lists(columns, titles, _both(first, rest), width, lang)
        return
    right = [column.type in NUMBERS for column in columns]
    whole = [kept_whole(column) for column in columns]
    yield _line(titles, widths, right)
    yield _GAP.join("─" * size for size in widths)
    for row in _both(first, rest):
        yield from _folded(row, widths, right, whole)


def facts(pairs: Iterable[tuple[str, str]]) -> list[str]:
    """Return `title  value` lines of a single thing, values under one another and whole."""
    known = [(cells.one_line(title), cells.one_line(value)) for title, value in pairs]
    width = max((cell_len(title) for title, _ in known), default=1)
    return [f"{cells.fit(title, width)}{_GAP}{value}" for title, value in known]


def _texts(row: Sequence[object], columns: Sequence[Column], digits: Sequence[int | None], lang: Lang) -> list[str]:
    return [
        cell_text(value, column, lang) if after is None or not _broken(value) else f"{value:.{after}f}"
        for value, column, after in zip(row, columns, digits, strict=True)
    ]  # fmt: skip


def _broken(value: object) -> bool:
    """Whether a value is a number that is shown with as many digits as its column; what would be written with an exponent stays as it is."""
    if not isinstance(value, int | float | Decimal):
        return False
    size = abs(Decimal(value))
    return size.is_finite() and (not size or _SMALLEST <= size < _LARGEST)


def _digits(values: Iterable[object]) -> int | None:
    """Return how many digits after the point the numbers of a column are shown with (rule 4); None where there are none."""
    return max((_digits_of(value) for value in values if _broken(value)), default=None)


def _digits_of(value: object) -> int:
    exponent = Decimal(str(value)).normalize().as_tuple().exponent
    after = max(-exponent, 0) if isinstance(exponent, int) else 0
    return after if isinstance(value, Decimal) else min(after, _MOST_DIGITS)


def _both(first: Iterable[list[str]], rest: Iterable[list[str]]) -> Iterator[list[str]]:
    yield from first
    yield from rest


def _longest_id(text: str) -> int:
    """Return the length of the longest of what may be ids in a text."""
    return max((len(found) for found in _ID.findall(text) if len(found) <= _LONGEST_ID), default=0)


def _fitted(natural: Sequence[int], columns: Sequence[Column], least: Sequence[int], width: int) -> list[int] | None:
    """Return widths that fit, text columns cut to one common cap; None when even the least does not fit (rule 3). least: what a column gives way to."""
    free = [column.type in ("text", "json", "bytes") for column in columns]
    room = width - len(_GAP) * (len(columns) - 1)

    def capped(cap: int) -> list[int]:
        return [min(size, max(cap, low)) if gives_way else size for size, gives_way, low in zip(natural, free, least, strict=True)]

    fits = [cap for cap in range(_LEAST, max([*natural, _LEAST]) + 1) if sum(capped(cap)) <= room]
    if not fits:
        return None
    widths = capped(fits[-1])
    cut = [at for at, size in enumerate(natural) if size > widths[at]]
    widest = max(cut, key=lambda at: natural[at], default=None)
    if widest is not None:
        widths[widest] += min(room - sum(widths), natural[widest] - widths[widest])  # what the common cap left over
    return widths


def _line(texts: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    return _GAP.join(cells.fit(text, size, right=side) for text, size, side in zip(texts, widths, right, strict=True)).rstrip()


def _folded(texts: Sequence[str], widths: Sequence[int], right: Sequence[bool], whole: Sequence[bool]) -> Iterator[str]:
    """Yield the lines of one row: cells that may not be cut go on in further lines, the others stand in the first."""
    parts = [cells.wrapped(text, size, together=_ID) if kept and cell_len(text) > size else [text] for text, size, kept in zip(texts, widths, whole, strict=True)]
    for at in range(max((len(part) for part in parts), default=1)):
        yield _line([part[at] if at < len(part) else "" for part in parts], widths, right)


def _lists(columns: Sequence[Column], titles: Sequence[str], rows: Iterable[list[str]], width: int, lang: Lang) -> Iterator[str]:
    label = max(cell_len(title) for title in titles)
    room = max(width - label - len(_GAP), 20)
    for number, row in enumerate(rows, start=1):
        heading = f"── {words.say('table.row', lang, n=number)} "
        yield heading + "─" * max(width - cell_len(heading), 3)
        for column, title, text in zip(columns, titles, row, strict=True):
            lines = cells.wrapped(text, room, together=_ID) if kept_whole(column) else [cells.fit(text, room)]
            for at, line in enumerate(lines):
                yield f"{cells.fit('' if at else title, label)}{_GAP}{line.rstrip()}".rstrip()
