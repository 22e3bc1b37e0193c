"""Looks for every masked value in every file of a redacted set, as a reader with a search box would, and as one with time would.

Before: masking.py (the values), bundle.py (the zip), packed.py (reads it). After: the command `export`, which keeps no set in which one is found.

How a value is looked for:
 (1) in the text of each file as it can be taken out: JSON strings, table cells, HTML text and attributes, PDF pages and metadata (pypdf),
     Office files and zips inside, anything else as UTF-8; and in the file's name.
 (2) full-width forms as ASCII (NFKC), case ignored, without white space and unseen characters; numbers also without hyphens and dots.
 (3) letters and digits only where they do not go on before or behind: `lisi` is not in `lisinan`. A value of fewer than five ASCII
     characters would be found in every count and digest: it is looked for in what was said (02-messages.jsonl) alone.
"""

from __future__ import annotations

import csv
import io
import json
import re
import unicodedata
import zipfile
from collections.abc import Iterable, Iterator
from html.parser import HTMLParser
from itertools import chain
from pathlib import PurePosixPath
from typing import IO, Any, BinaryIO

import ahocorasick_rs

from pipeline.errors import UsageError, VerifyFailed
from pipeline.evidence.packed import Entry, Packed

SHORT = 5
_UNSEEN = re.compile(r"[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]+")
_JOINERS = frozenset("-‐‑‒–—―.·・")
_ALNUM = re.compile(r"[0-9a-z]")


def refuse(source: BinaryIO, values: Iterable[str]) -> None:
    """Look a finished set through; raises VerifyFailed REDACTION_LEAK naming the files in which a masked value is found."""
    if found := leaks(source, values):
        named = ", ".join(found[:5]) + (", …" if len(found) > 5 else "")
        remedy = "--mask FILE with the words, or --keep CLASS with a reason; nothing was written"
        raise VerifyFailed("REDACTION_LEAK", f"a masked value is still found in {named}", remedy=remedy)


def leaks(source: BinaryIO, values: Iterable[str]) -> list[str]:
    """Return the files of a zip in which some value is found, sorted; the value is never told."""
    wanted = {squeezed(v) for v in values} - {""}
    long = sorted(v for v in wanted if not (v.isascii() and len(v) < SHORT))
    short = sorted(wanted - set(long))
    looking = _Values(long, short)
    archive = Packed(source)
    return sorted(entry.name for entry in archive if _found(entry, archive, looking))


class _Values:
    """What is looked for: long values in every file, short ones in what was said."""

    def __init__(self, long: list[str], short: list[str]) -> None:
        self.long, self.short = (ahocorasick_rs.AhoCorasick(v) if v else None for v in (long, short))


def _found(entry: Entry, archive: Packed, looking: _Values) -> bool:
    """Whether a value is in a file; files of lines, which may be long, are read line by line."""
    name = entry.name
    if name.endswith((".jsonl", ".csv")):
        lines = io.BufferedReader(_Raw(archive.pieces(entry)))
        return any(_holds(text, looking.long) for text in chain([name], _texts_of_lines(name, lines))) or _said(entry, archive, looking)
    return looking.long is not None and any(_holds(text, looking.long) for text in [name, *texts_of(name, archive.read(entry))])


class _Raw(io.RawIOBase):
    """Pieces of bytes as a file that is read from its beginning."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._rest = pieces, memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._rest = memoryview(piece)
        count = min(len(buffer), len(self._rest))
        buffer[:count], self._rest = self._rest[:count], self._rest[count:]
        return count


def _texts_of_lines(name: str, lines: IO[bytes]) -> Iterator[str]:
    if name.endswith(".csv"):
        return (cell for row in csv.reader(io.TextIOWrapper(lines, "utf-8-sig", "replace", newline="")) for cell in row)
    return (text for line in lines for text in _strings(json.loads(line)))


def _said(entry: Entry, archive: Packed, looking: _Values) -> bool:
    if looking.short is None or not entry.name.endswith("02-messages.jsonl"):
        return False
    records = map(json.loads, io.BufferedReader(_Raw(archive.pieces(entry))))
    return any(_holds(text, looking.short) for r in records for text in (r["text"] or "", *(p["text"] or "" for p in r["parts"] or ())))


def _holds(text: str, machine: ahocorasick_rs.AhoCorasick | None) -> bool:
    if machine is None:
        return False
    plain = _UNSEEN.sub("", unicodedata.normalize("NFKC", text).casefold())
    at = [n for n, c in enumerate(plain) if not c.isspace() and not _between(plain, n)]
    found = machine.find_matches_as_indexes("".join([plain[n] for n in at]), overlapping=True)
    return any(_alone(plain, at[start], at[end - 1] + 1) for _, start, end in found)


def _between(text: str, at: int) -> bool:
    """Whether a hyphen or dot stands between two digits, perhaps with spaces around."""
    if text[at] not in _JOINERS:
        return False
    return text[:at].rstrip()[-1:].isdigit() and text[at + 1 :].lstrip()[:1].isdigit()


def _alone(text: str, start: int, end: int) -> bool:
    """Whether what was found begins and ends as a word of its own, in the text as it stands."""
    before = start > 0 and _ALNUM.match(text[start]) and _ALNUM.match(text[start - 1])
    behind = end < len(text) and _ALNUM.match(text[end - 1]) and _ALNUM.match(text[end])
    return not (before or behind)


def squeezed(text: str) -> str:
    """Return a value as rule (2) compares it."""
    plain = _UNSEEN.sub("", unicodedata.normalize("NFKC", text).casefold())
    return "".join(c for n, c in enumerate(plain) if not c.isspace() and not _between(plain, n))


def texts_of(name: str, data: bytes) -> Iterator[str]:
    """Yield the pieces of text of a file (rule 1)."""
    ending = PurePosixPath(name).suffix.lower()
    if ending in (".json", ".jsonl"):
        for line in data.splitlines() if ending == ".jsonl" else [data]:
            yield from _strings(json.loads(line))
    elif ending == ".csv":
        yield from (cell for row in csv.reader(io.StringIO(data.decode("utf-8-sig", "replace"))) for cell in row)
    elif ending in (".html", ".htm", ".xml", ".rels"):
        yield from _markup(data.decode("utf-8", "replace"))
    elif data.startswith(b"%PDF"):
        yield from _pdf(data)
    elif data.startswith(b"PK\x03\x04"):
        with zipfile.ZipFile(io.BytesIO(data)) as inner:
            for entry in inner.namelist():
                yield entry
                yield from texts_of(entry, inner.read(entry))
    else:
        yield from data.decode("utf-8", "replace").splitlines()


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, one in value.items():
            yield key
            yield from _strings(one)
    elif isinstance(value, list):
        for one in value:
            yield from _strings(one)
    elif isinstance(value, int | float):
        yield str(value)


class _Markup(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.texts: list[str] = []

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def handle_comment(self, data: str) -> None:
        self.texts.append(data)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.texts += [value for _, value in attrs if value]


def _markup(text: str) -> Iterator[str]:
    parser = _Markup()
    parser.feed(text)
    parser.close()
    yield from parser.texts
    yield "".join(t for t in parser.texts if t.strip())  # what stands in pieces of markup


def _pdf(data: bytes) -> Iterator[str]:
    try:
        import pypdf
    except ImportError as error:
        remedy = "`make extra NAME=pdf` in a checkout, else pip install 'liuhen[pdf]'"
        raise UsageError("EXTRA_MISSING", "looking through a PDF needs the optional package pypdf", remedy=remedy) from error
    document = pypdf.PdfReader(io.BytesIO(data))
    for page in document.pages:
        yield page.extract_text()
    yield from (str(v) for v in (document.metadata or {}).values())
    if document.xmp_metadata is not None:
        yield from _markup(document.xmp_metadata.stream.get_data().decode("utf-8", "replace"))
