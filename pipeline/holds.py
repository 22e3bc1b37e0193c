"""Legal holds: while one is open, nothing of what it covers is destroyed or removed.

Before: lake.py, register.py (scopes). After: consenting/destroying.py, whatever removes; the command `hold`.

Rules: (1) a hold belongs to a matter and covers a pair, a room, a person in a room, an employee, or a customer; (2) setting and releasing are
rows of their own, the release never erases the hold; (3) one open hold is enough to keep; (4) setting a hold moves the withheld bytes
of what it covers to a key of its own first (`destroying.keep_for`), so that a day's key can end without them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import msgspec

from pipeline import clock, custody
from pipeline.commitrows import table
from pipeline.deltalog import Snapshot
from pipeline.directory import fold_userid
from pipeline.errors import UsageError
from pipeline.home import Home
from pipeline.lake import Lake


class Hold(msgspec.Struct, frozen=True, kw_only=True):
    """One hold. released_at_ms: None while it is open."""

    hold_id: str
    matter: str
    userid: str | None
    room_id: str | None
    external_userid: str | None
    reason: str
    actor: str
    at_ms: int
    released_at_ms: int | None = None

    def covers(self, *, people: Iterable[str | None], room_id: str | None) -> bool:
        """Whether it covers a record of these people in this room (None: a single chat)."""
        names = [p for p in people if p]
        if self.room_id is not None and self.room_id != room_id:
            return False
        if self.userid is not None and fold_userid(self.userid) not in {fold_userid(n) for n in names}:
            return False
        return self.external_userid is None or self.external_userid in names


def all_of(lake: Lake, snapshot: Snapshot) -> list[Hold]:
    """Return every hold, oldest first, released ones included."""
    found: dict[str, Hold] = {}
    for row in sorted(lake.read("holds", snapshot.of("holds")).to_pylist(), key=lambda r: (r["at"], r["phase"] == "release")):
        at = round(row["at"].timestamp() * 1000)
        if row["phase"] == "release" and row["hold_id"] in found:
            found[row["hold_id"]] = msgspec.structs.replace(found[row["hold_id"]], released_at_ms=at)
        elif row["phase"] == "set":
            fields = {name: row[name] for name in ("hold_id", "matter", "userid", "room_id", "external_userid", "reason", "actor")}
            found[row["hold_id"]] = Hold(**fields, at_ms=at)
    return list(found.values())


def open_of(lake: Lake, snapshot: Snapshot) -> list[Hold]:
    """Return the holds that are open."""
    return [h for h in all_of(lake, snapshot) if h.released_at_ms is None]


def place(
    home: Home, corp_id: str, *, matter: str, reason: str, userid: str | None = None, room_id: str | None = None, external_userid: str | None = None
) -> Hold:
    """Set a hold durably and return it; raises UsageError HOLD_SCOPE when it would cover nobody in particular."""
    if not (userid or room_id or external_userid):
        raise UsageError("HOLD_SCOPE", "a hold needs an employee, a room or a customer", remedy="name one with --employee, --room or --customer")
    now = clock.now_ms()
    named = "\0".join([matter, userid or "", room_id or "", external_userid or "", str(now)])
    hold = Hold(
        hold_id=f"h{hashlib.sha256(named.encode()).hexdigest()[:10]}", matter=matter, userid=userid or None, room_id=room_id or None,
        external_userid=external_userid or None, reason=reason, actor=custody.actor(), at_ms=now,
    )  # fmt: skip
    _append(home, corp_id, hold, "set", now)
    return hold


def release(home: Home, corp_id: str, hold_id: str, *, reason: str) -> Hold:
    """Release an open hold; raises UsageError HOLD_UNKNOWN."""
    lake = home.lake(corp_id)
    found = next((h for h in open_of(lake, lake.snapshot()) if h.hold_id == hold_id), None)
    if found is None:
        raise UsageError("HOLD_UNKNOWN", f"there is no open hold {hold_id}", remedy="`liuhen hold list` shows them")
    now = clock.now_ms()
    _append(home, corp_id, msgspec.structs.replace(found, reason=reason, actor=custody.actor()), "release", now)
    return msgspec.structs.replace(found, released_at_ms=now)


def _append(home: Home, corp_id: str, hold: Hold, phase: str, at_ms: int) -> None:
    from pipeline.room import append

    row = {name: getattr(hold, name) for name in ("hold_id", "matter", "userid", "room_id", "external_userid", "reason", "actor")}
    append(home, corp_id, [("holds", table("holds", [{**row, "phase": phase, "at": at_ms}]))], what="hold")
