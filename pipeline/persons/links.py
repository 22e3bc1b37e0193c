"""Lines that link an external id to one of the firm's own numbers.

Before: the operator's file (CSV with a header, or JSON Lines). After: kind `identities`, find.py.

A line is `{"external_userid":…,"kind":"customer|policy|account|phone|name","value":…,"source":…,"confidence":"proven|stated|guessed",
"valid_from":…,"valid_to":…}`; the first three are needed. Times as in a directory file (people_import.py).
A file is taken whole or not at all: every line that does not fit is named.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator, Mapping
from io import StringIO
from typing import Any

import msgspec
import pyarrow as pa

from pipeline import clock, schema
from pipeline.errors import UsageError
from pipeline.people_import import read_moment

KINDS = ("customer", "policy", "account", "phone", "name")
CONFIDENCES = ("proven", "stated", "guessed")
FIELDS = ("external_userid", "kind", "value", "source", "confidence", "valid_from", "valid_to")
MOST_CHARACTERS = 200


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """One link; times in ms, UTC, None: open."""

    external_userid: str
    kind: str
    value: str
    source: str
    confidence: str
    valid_from_ms: int | None
    valid_to_ms: int | None


class Refused(msgspec.Struct, frozen=True):
    """A line that does not fit, and the code of the reason (`identity.refused.*`)."""

    line: int
    code: str


def read(data: bytes) -> tuple[list[Link], list[Refused]]:
    """Return the links of a file and what is wrong with its other lines; raises UsageError IDENTITY_FILE for what is neither CSV with these columns nor JSON Lines."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UsageError("IDENTITY_FILE", "the file is not UTF-8 text", remedy="save it as CSV (UTF-8) or JSON Lines") from None
    links: list[Link] = []
    refused: list[Refused] = []
    try:
        for number, fields in _lines(text):
            made = _link(fields)
            if isinstance(made, Link):
                links.append(made)
            else:
                refused.append(Refused(number, made))
    except csv.Error:  # its text may quote the file
        raise UsageError("IDENTITY_FILE", "the file cannot be read as CSV", remedy="save it as CSV (UTF-8) or JSON Lines") from None
    return links, refused


def _lines(text: str) -> Iterator[tuple[int, Mapping[str, Any] | None]]:
    """Yield (line number, its fields), None for a line that is not what the file began as."""
    if text.lstrip().startswith("{"):
        for number, line in enumerate(text.splitlines(), 1):
            if line.strip():
                yield number, _object(line)
        return
    rows = csv.DictReader(StringIO(text))
    if not {*FIELDS[:3]} <= {*(rows.fieldnames or ())}:
        raise UsageError("IDENTITY_FILE", f"expected the columns {', '.join(FIELDS[:3])} in the first line", remedy="see `liuhen identity import --help`")
    for row in rows:
        yield rows.line_num, None if None in row else row


def _object(line: str) -> Mapping[str, Any] | None:
    try:
        return msgspec.json.decode(line, type=dict[str, str | int | None])
    except msgspec.DecodeError:
        return None


def _link(fields: Mapping[str, Any] | None) -> Link | str:
    """Return the link, or the code of what is wrong."""
    if fields is None:
        return "LINE"
    given = {name: str(fields.get(name) or "").strip() for name in FIELDS}
    if not given["external_userid"] or not given["value"]:
        return "EMPTY"
    if max(len(v) for v in given.values()) > MOST_CHARACTERS:
        return "TOO_LONG"
    if given["kind"] not in KINDS:
        return "KIND"
    if (given["confidence"] or "stated") not in CONFIDENCES:
        return "CONFIDENCE"
    try:
        since, until = read_moment(fields.get("valid_from")), read_moment(fields.get("valid_to"))
    except ValueError:
        return "TIME"
    if since is not None and until is not None and since >= until:
        return "TIME"
    return Link(
        external_userid=given["external_userid"], kind=given["kind"], value=given["value"], source=given["source"] or "import",
        confidence=given["confidence"] or "stated", valid_from_ms=since, valid_to_ms=until,
    )  # fmt: skip


def table(links: list[Link], data: bytes) -> pa.Table:
    """Return the rows of kind `identities` for a file's links."""
    same = {"document": hashlib.sha256(data).hexdigest(), "recorded_at": clock.now_ms()}
    rows = [
        {**msgspec.structs.asdict(link), "valid_from": link.valid_from_ms, "valid_to": link.valid_to_ms, **same} for link in links
    ]  # fmt: skip
    return schema.table("identities", {c.name: [r[c.name] for r in rows] for c in schema.kind("identities").columns})
