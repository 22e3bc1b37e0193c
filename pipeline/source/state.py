"""How far a corp's pull got, and when it last had everything the source had.

Before: landing.py, lake.py. After: pull.py, status.

The cursor is the largest of: `last_seq` of landed pages that pull got, of `pages` rows whose source is `pull`, and what the state file says.
The file is written when a pull ends, and at once for a page that another way brought in before (a saved answer with the same bytes is
settled as that, and would not move the cursor). Without the file (lost, an older home) the pages alone say it: less is known of when the
source was last seen, so a gap is told rather than missed. Imports and saved answers never move the cursor.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import pyarrow.compute as pc
import pyarrow.dataset as ds

from pipeline import clock, durable, landing
from pipeline.errors import VerifyFailed
from pipeline.home import Home
from pipeline.source.gaps import Gap

FOLDER = "source"
GONE_ON_MS = 3_600_000


class State(msgspec.Struct, frozen=True, kw_only=True):
    """cursor: seq to go on from; seen_at_ms: when the source last answered from there; caught_up_at_ms: when it last had nothing more;
    code: ours, of what stopped the last pull, empty when nothing did; untold: gaps that the archive could not take when they were found."""

    v: int = 1
    cursor: int = 0
    seen_at_ms: int | None = None
    caught_up_at_ms: int | None = None
    code: str = ""
    untold: tuple[Gap, ...] = ()


def path(home: Home, corp_id: str) -> Path:
    """Where the state of a corp lies."""
    return home.path / FOLDER / f"{corp_id}.json"


def stored(home: Home, corp_id: str) -> State:
    """Return what the file says; a missing or damaged one says nothing."""
    try:
        with durable.storage("reading the state of the source"):
            return msgspec.json.decode(path(home, corp_id).read_bytes(), type=State)
    except (durable.Vanished, msgspec.DecodeError):
        return State()


def store(home: Home, corp_id: str, state: State) -> None:
    """Keep the state durably."""
    durable.make_folder(home.path / FOLDER)
    durable.replace(path(home, corp_id), msgspec.json.encode(state))


def current(home: Home, corp_id: str) -> State:
    """Return the state with the cursor that file, landing and archive together say, and the latest time the source is known to have answered."""
    state = stored(home, corp_id)
    pulled = [(r.last_seq, r.captured_at_ms) for r in landing.waiting(home, corp_id) if r.source == "pull" and r.last_seq is not None]
    try:
        pulled += [settled] if (settled := _settled(home, corp_id)) else []
    except VerifyFailed:
        if not state.cursor:  # a damaged archive keeps nobody from landing pages, as long as it is known where to go on
            raise
    cursor = max([state.cursor, *(seq for seq, _ in pulled)])
    seen = max([state.seen_at_ms or 0, *(at for _, at in pulled)])
    return msgspec.structs.replace(state, cursor=cursor, seen_at_ms=seen or None)


def _settled(home: Home, corp_id: str) -> tuple[int, int] | None:
    """Return the largest last_seq and latest capture of pages that pull got and that are settled."""
    lake = home.lake(corp_id)
    pages = lake.read("pages", lake.snapshot().of("pages"), columns=["last_seq", "captured_at"], where=ds.field("source") == "pull")
    if not pages.num_rows or pages["last_seq"].null_count == pages.num_rows:
        return None
    return pc.max(pages["last_seq"]).as_py(), round(pc.max(pages["captured_at"]).as_py().timestamp() * 1000)


def had_all_ms(state: State, *, now_ms: int, window_days: float) -> int | None:
    """Return since when something may have left the window unseen: when the source last had nothing more; None when nothing was ever pulled.

    While a first pull never got to its end, what it did not get may have been as old as the window is long: then all that left it since
    may be lost, but for an hour, in which a pull is gone on with (a hole of the source's own would be told as a gap)."""
    if state.caught_up_at_ms is not None or state.seen_at_ms is None:
        return state.caught_up_at_ms
    if state.seen_at_ms > now_ms:  # the clock was set back
        return state.seen_at_ms
    return state.seen_at_ms - round(window_days * clock.DAY_MS) + GONE_ON_MS


def hours_left(state: State, *, now_ms: int, window_days: float) -> float | None:
    """Return the hours until what the source had when it was last empty may begin to be lost; None when nothing was ever pulled.

    Never below 0, nor above the window (a clock that was set back). What came after that moment is the oldest that is not here: it leaves the window `window_days` later."""
    since = state.caught_up_at_ms if state.caught_up_at_ms is not None else state.seen_at_ms
    if since is None:
        return None
    return max(0.0, min(window_days * 24, window_days * 24 - (now_ms - since) / 3_600_000))
