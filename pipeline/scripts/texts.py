"""An approved text, and the files that bring them: JSON Lines, CSV with a header, YAML (a list).

Before: errors.py, match/fold.py. After: store.py, covering.py.

A refusal is a UsageError that names the line (or entry) and never quotes the text:
SCRIPTS_UNREADABLE  not UTF-8, not the form its ending says, larger than 16 MiB
SCRIPTS_INVALID     a field is missing, unknown or of the wrong form; the end lies before the beginning; a text that is too short
SCRIPTS_TWICE       an id that begins twice on one day with different texts
"""

from __future__ import annotations

import csv
import datetime
import io
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Final, Literal

import msgspec
import yaml

from pipeline.errors import UsageError
from pipeline.match.fold import fold

MAX_BYTES: Final = 16 * 1024 * 1024
# Folded characters. What is shorter would excuse a word wherever it stands; a pack's `allow` is for that.
SHORTEST: Final = 8
COLUMNS: Final = {"编号": "id", "批准人": "approver", "生效": "valid_from", "失效": "valid_to", "正文": "text"}

Filled = Annotated[str, msgspec.Meta(min_length=1)]


class ApprovedText(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may be sent word for word from `valid_from` to `valid_to` (Beijing days, both inclusive; None: no end), and who approved it.

    source: `import`, or `mass` for a mass message of the firm (then `approver` is who made it)."""

    id: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]
    approver: Filled
    valid_from: datetime.date
    valid_to: datetime.date | None = None
    text: Filled
    source: Literal["import", "mass"] = "import"

    @property
    def key(self) -> tuple[str, datetime.date]:
        """What tells versions of a text apart."""
        return self.id, self.valid_from

    def holds_on(self, day: datetime.date) -> bool:
        """Whether it was approved on a Beijing day."""
        return self.valid_from <= day and (self.valid_to is None or day <= self.valid_to)


def read_texts(name: str, data: bytes) -> tuple[ApprovedText, ...]:
    """Return the approved texts in a file called `name`; raises UsageError as listed at the top."""
    if len(data) > MAX_BYTES:
        raise _refused("SCRIPTS_UNREADABLE", name, f"the file is larger than {MAX_BYTES} bytes", "split it")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _refused("SCRIPTS_UNREADABLE", name, f"line {line} is not valid UTF-8", "save the file as UTF-8") from None
    return distinct(_approved(name, number, entry) for number, entry in _entries(name, text))


def distinct(texts: Iterable[ApprovedText]) -> tuple[ApprovedText, ...]:
    """Return the texts, repeated ones once; raises UsageError SCRIPTS_TWICE."""
    found: dict[tuple[str, datetime.date], ApprovedText] = {}
    for text in texts:
        if found.setdefault(text.key, text) != text:
            sentence = f"the approved text {text.id} begins twice on {text.valid_from}, with different content"
            raise UsageError("SCRIPTS_TWICE", sentence, remedy="give the new version another day to begin, or `liuhen scripts remove` the old one first")
    return tuple(found.values())


def _refused(code: str, where: str, what: str, remedy: str) -> UsageError:
    return UsageError(code, f"approved texts {where}: {what}", remedy=remedy)


def _entries(name: str, text: str) -> Iterator[tuple[str, Any]]:
    """Yield where an entry stands (`line 3`) and what it holds."""
    ending = name.rsplit(".", 1)[-1].lower()
    if ending == "jsonl":
        yield from _json_lines(name, text)
    elif ending == "csv":
        rows = csv.DictReader(io.StringIO(text, newline=""), strict=True)
        try:
            yield from ((f"line {rows.line_num}", _cells(row)) for row in rows)
        except csv.Error:
            raise _refused("SCRIPTS_UNREADABLE", name, f"line {rows.line_num} is not valid CSV", "quote fields that hold commas or line ends") from None
    elif ending in ("yaml", "yml"):
        yield from enumerate_entries(name, text)
    else:
        raise _refused("SCRIPTS_UNREADABLE", name, "expected a .jsonl, .csv or .yaml file", "rename or convert it")


def _json_lines(name: str, text: str) -> Iterator[tuple[str, Any]]:
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            try:
                yield f"line {number}", msgspec.json.decode(line.encode())
            except (msgspec.DecodeError, RecursionError):
                raise _refused("SCRIPTS_UNREADABLE", name, f"line {number} is not valid JSON", "one object a line") from None


def _cells(row: dict[str | None, Any]) -> dict[str, Any]:
    """Name columns as the fields; empty cells are absent. More cells than columns is an unknown field."""
    cells = {COLUMNS.get(str(k).strip(), str(k).strip()): v for k, v in row.items()}
    return {k: v for k, v in cells.items() if v not in ("", None)}


def enumerate_entries(name: str, text: str) -> Iterator[tuple[str, Any]]:
    """Yield the entries of a YAML list with their numbers."""
    try:
        found = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        raise _refused("SCRIPTS_UNREADABLE", name, "the file is not valid YAML", "a list of id, approver, valid_from, valid_to, text") from None
    if not isinstance(found, list):
        raise _refused("SCRIPTS_UNREADABLE", name, "expected a list of approved texts", "begin each entry with `- id:`")
    yield from ((f"entry {number}", entry) for number, entry in enumerate(found, 1))


def _approved(name: str, where: str, entry: Any) -> ApprovedText:
    try:
        text = msgspec.convert(entry, ApprovedText)
    except msgspec.ValidationError as error:
        raise _refused("SCRIPTS_INVALID", name, f"{where}: {error}", "fields: id, approver, valid_from, valid_to (may be absent), text") from None
    if text.valid_to is not None and text.valid_to < text.valid_from:
        raise _refused("SCRIPTS_INVALID", name, f"{where}: the last day lies before the first", "correct the days")
    if len(fold(text.text)) < SHORTEST:
        what = f"{where}: the text has fewer than {SHORTEST} characters and would excuse a word wherever it stands"
        raise _refused("SCRIPTS_INVALID", name, what, "give the whole text; for a phrase use `allow` in a pack")
    return text
