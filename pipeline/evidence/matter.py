"""Matters: what exports, holds and openings belong to.

Before: lake.py. After: holds.py, bundle.py, the command `matter`.
A matter is a word that people chose (`2026-0142`), opened with a title and a reason, closed with a reason; both are rows that stay.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, timedelta
from typing import TYPE_CHECKING

import msgspec

from pipeline import clock, custody, holds, schema, words
from pipeline.errors import UsageError
from pipeline.home import Home

if TYPE_CHECKING:
    from pipeline.deltalog import Snapshot
    from pipeline.lake import Lake
    from pipeline.reader import Reader

_NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,63}")


class Matter(msgspec.Struct, frozen=True, kw_only=True):
    """One matter; times in ms, UTC; closed_at_ms: None while it is open. review_on: Beijing day (ISO) on which its hold is looked at
    again, by [matters] review_days where none was given; None: never."""

    matter: str
    title: str
    reason: str
    actor: str
    at_ms: int
    review_on: str | None
    closed_at_ms: int | None = None


def all_of(home: Home, corp_id: str) -> list[Matter]:
    """Return every matter, oldest first, closed ones included."""
    lake = home.lake(corp_id)
    return _all_of(home, lake, lake.snapshot())


def _all_of(home: Home, lake: Lake, snapshot: Snapshot) -> list[Matter]:
    found: dict[str, Matter] = {}
    for row in sorted(lake.read("matters", snapshot.of("matters")).to_pylist(), key=lambda r: r["at"]):
        at = round(row["at"].timestamp() * 1000)
        if row["phase"] == "open":
            fields = {k: row[k] for k in ("matter", "title", "reason", "actor")}
            day = review_day(home, date.fromisoformat(row["review_on"]) if row["review_on"] else None, at_ms=at)
            found[row["matter"]] = Matter(**fields, at_ms=at, review_on=day.isoformat() if day else None)
        elif row["matter"] in found:
            found[row["matter"]] = msgspec.structs.replace(found[row["matter"]], closed_at_ms=at)
    return list(found.values())


def find(home: Home, corp_id: str, name: str) -> Matter:
    """Return a matter; raises UsageError MATTER_UNKNOWN."""
    for matter in all_of(home, corp_id):
        if matter.matter == name:
            return matter
    raise UsageError("MATTER_UNKNOWN", "there is no matter of this name", remedy="`liuhen matter list` shows them; `liuhen matter open NAME --title …` opens one")


def open_of(home: Home, corp_id: str, name: str) -> Matter:
    """Return an open matter; raises UsageError MATTER_UNKNOWN, MATTER_CLOSED."""
    matter = find(home, corp_id, name)
    if matter.closed_at_ms is not None:
        raise UsageError("MATTER_CLOSED", f"the matter {name} was closed", remedy="open a new one")
    return matter


def begin(home: Home, corp_id: str, name: str, *, title: str, reason: str, review_on: str | None) -> None:
    """Open a matter; raises UsageError MATTER_NAME, MATTER_TITLE, MATTER_REASON, MATTER_TAKEN."""
    if not _NAME.fullmatch(name):
        raise UsageError("MATTER_NAME", "a matter's name is 1 to 64 letters, digits, dots, dashes", remedy="for example 2026-0142")
    if not title.strip():
        raise UsageError("MATTER_TITLE", "a matter needs a title", remedy="say what it is about with --title")
    _need_reason(reason)
    if any(m.matter == name for m in all_of(home, corp_id)):
        raise UsageError("MATTER_TAKEN", f"there is a matter {name} already", remedy="`liuhen matter show` tells it; choose another name")
    _append(home, corp_id, name, "open", title, reason, review_on)


def end(home: Home, corp_id: str, name: str, *, reason: str) -> None:
    """Close an open matter; its holds are released one by one, by whoever decides so."""
    open_of(home, corp_id, name)
    _need_reason(reason)
    _append(home, corp_id, name, "close", None, reason, None)


def review_day(home: Home, given: date | None, *, at_ms: int) -> date | None:
    """Return the Beijing day on which the holds of a matter opened at `at_ms` are looked at again: the one given, else by [matters] review_days."""
    days = home.config.matters.review_days
    return given or (words.moment(at_ms).date() + timedelta(days=days) if days else None)


def reviews(home: Home, lake: Lake, snapshot: Snapshot) -> dict[str, date]:
    """Return, for each matter with an open hold, the day on which its holds are looked at again. Closing a matter releases none of them."""
    held = {h.matter for h in holds.open_of(lake, snapshot)} if snapshot.of("holds") else set()
    known = _all_of(home, lake, snapshot) if held else []
    return {m.matter: date.fromisoformat(m.review_on) for m in known if m.matter in held and m.review_on}


def _need_reason(reason: str) -> None:
    if not reason.strip():
        raise UsageError("MATTER_REASON", "expected a reason, got an empty one", remedy="say why with --reason")


def unknown(reader: Reader, about: Mapping[str, str]) -> list[str]:
    """Return which of `customer`, `employee`, `room` name nobody that messages or the directory know; a hold on them still holds what comes."""
    return [what for what, value in about.items() if value and not reader.rows(_KNOWN[what], {"id": value})]


_PERSON = (
    "SELECT 1 FROM people WHERE {same}(userid) = {same}($id) UNION ALL SELECT 1 FROM messages WHERE {same}(sender_id) = {same}($id)"
    " OR len(list_filter(recipient_ids, lambda r: {same}(r) = {same}($id))) > 0 LIMIT 1"
)
_KNOWN = {
    "customer": _PERSON.format(same=""), "employee": _PERSON.format(same="lower"),
    "room": "SELECT 1 FROM messages WHERE room_id = $id UNION ALL SELECT 1 FROM rooms WHERE room_id = $id LIMIT 1",
}  # fmt: skip


def _append(home: Home, corp_id: str, name: str, phase: str, title: str | None, reason: str, review_on: str | None) -> None:
    from pipeline.ingest import append

    row = {"matter": name, "phase": phase, "title": title, "reason": reason, "review_on": review_on, "actor": custody.actor(), "at": clock.now_ms()}
    append(home, corp_id, [("matters", schema.table("matters", {k: [v] for k, v in row.items()}))], what="matter")
