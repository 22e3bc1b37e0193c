"""Gaps: where the source may have lost messages before they were pulled; how many, by employee; who has taken note.

Before: state.py. After: pull.py, status, `ack`.

The source says nothing when a cursor is older than its window: it goes on with the first message it still has (wecom-archive.md 1.3).
Sequence numbers may have holes of their own, so a hole alone is no gap. Rules:
 (1) `window`: the first seq is beyond the next one, and the source was last emptied longer ago than the window is long.
 (2) `clock`: the same, and our clock was set back by more than ten minutes since: how long ago that was cannot be told.
 (3) `unreadable`: one record that the library cannot hand out (found by halving the request).
 (4) Before the first page ever, nothing is known to be missing. A first pull that did not get to its end is gone on with within an hour;
     later, a jump is a gap (state.had_all_ms).
 (5) The row is committed before the page that shows it is landed: killed in between, the next pull finds the gap again (the newest counts).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from pipeline import clock, custody, schema
from pipeline.errors import UsageError
from pipeline.home import Home

CLOCK_SLACK_MS = 10 * 60_000
ESTIMATE_DAYS = 28
PREFIX = "gap:"


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """What may be missing: after `after_seq`, before `before_seq`, from_at_ms to to_at_ms."""

    after_seq: int
    before_seq: int | None
    from_at_ms: int
    to_at_ms: int
    cause: str


def between(since_ms: int | None, *, requested: int, first_seq: int, now_ms: int, window_days: float) -> Gap | None:
    """Return the gap that a page beginning with `first_seq` shows when asked for what comes after `requested`, None when it shows none.

    since_ms: when everything the source had was here last (None: never)."""
    if requested == 0 or since_ms is None or first_seq <= requested + 1:
        return None
    window_ms = round(window_days * clock.DAY_MS)
    if since_ms > now_ms + CLOCK_SLACK_MS:
        return Gap(after_seq=requested, before_seq=first_seq, from_at_ms=now_ms, to_at_ms=since_ms, cause="clock")
    if now_ms - since_ms <= window_ms:
        return None
    return Gap(after_seq=requested, before_seq=first_seq, from_at_ms=since_ms, to_at_ms=now_ms - window_ms, cause="window")


def estimate(counts: Mapping[str, int], *, days: float, lost_ms: int) -> dict[str, int]:
    """Return the messages that may be missing by employee: their mean a day over `days`, times the time lost; rounded, none left out."""
    return {who: round(n / days * lost_ms / clock.DAY_MS) for who, n in sorted(counts.items()) if n}


def keep(home: Home, corp_id: str, gap: Gap, *, run_id: str) -> None:
    """Commit the row of a gap; the estimate is of the weeks before it."""
    from pipeline.room import append

    days, counts = _sent(home, corp_id, gap.from_at_ms)
    told = estimate(counts, days=days, lost_ms=max(0, gap.to_at_ms - gap.from_at_ms)) if gap.cause != "unreadable" else {}
    row = {
        "after_seq": gap.after_seq, "before_seq": gap.before_seq, "from_at": gap.from_at_ms, "to_at": gap.to_at_ms, "cause": gap.cause,
        "estimate": msgspec.json.encode(told).decode() if told else None, "run_id": run_id, "detected_at": clock.now_ms(),
    }  # fmt: skip
    append(home, corp_id, [("gaps", schema.table("gaps", {k: [v] for k, v in row.items()}))], what="gap")


def _sent(home: Home, corp_id: str, before_ms: int) -> tuple[float, dict[str, int]]:
    """Return (days looked at, messages by employee) of the weeks before a time; only days since the first message count."""
    lake, since = home.lake(corp_id), before_ms - ESTIMATE_DAYS * clock.DAY_MS
    low, high = clock.beijing_day(since), clock.beijing_day(before_ms)
    files = lake.snapshot().of("messages", months={clock.month_of_day(day) for day in range(low, high + 1)})
    first, last = (pa.scalar(day, pa.date32()) for day in (low, high))
    where = (ds.field("dt") >= first) & (ds.field("dt") <= last) & (ds.field("sender_kind") == "employee") & (ds.field("origin") == "sealed")
    found = lake.read("messages", files, columns=["sender_id", "dt"], where=where)
    if not found.num_rows:
        return 1.0, {}
    days = high - pc.min(found["dt"]).cast(pa.int32()).as_py() + 1
    grouped = found.group_by("sender_id").aggregate([("dt", "count")])
    return float(days), dict(zip(grouped["sender_id"].to_pylist(), grouped["dt_count"].to_pylist(), strict=True))


def known(home: Home, corp_id: str) -> list[dict[str, Any]]:
    """Return the newest row of every gap, lowest first; `acknowledged` says whether somebody has taken note of it."""
    lake = home.lake(corp_id)
    snapshot = lake.snapshot()
    newest: dict[int, dict[str, Any]] = {}
    for row in lake.read("gaps", snapshot.of("gaps")).to_pylist():
        if row["after_seq"] not in newest or newest[row["after_seq"]]["detected_at"] <= row["detected_at"]:
            newest[row["after_seq"]] = row
    acks = {r["what"]: r["at"] for r in sorted(lake.read("acks", snapshot.of("acks")).to_pylist(), key=lambda r: r["at"])}
    return [
        {**row, "acknowledged": (at := acks.get(f"{PREFIX}{after}")) is not None and at >= row["detected_at"]}
        for after, row in sorted(newest.items())
    ]


def unacknowledged(home: Home, corp_id: str) -> list[dict[str, Any]]:
    """Return the gaps nobody has taken note of."""
    return [g for g in known(home, corp_id) if not g["acknowledged"]]


def is_gap(item: str) -> bool:
    """Tell whether `ack ITEM` means gaps: `gaps` (all of them) or `gap:AFTER_SEQ`."""
    return item == "gaps" or item.startswith(PREFIX)


def acknowledge(home: Home, corp_id: str, item: str, reason: str) -> int:
    """Take note of one gap or of all; return of how many. Raises UsageError ACK_UNKNOWN for one that is not there."""
    from pipeline.room import append

    found = [g["after_seq"] for g in known(home, corp_id) if item == "gaps" or item == f"{PREFIX}{g['after_seq']}"]
    if not found and item != "gaps":
        raise UsageError("ACK_UNKNOWN", "there is no such gap", remedy="`liuhen sql \"select * from gaps\"` lists them")
    rows: dict[str, list[object]] = {
        "what": [f"{PREFIX}{after}" for after in found], "until_leaf": [-1] * len(found), "reason": [reason] * len(found),
        "actor": [custody.actor()] * len(found), "at": [clock.now_ms()] * len(found),
    }  # fmt: skip
    if found:
        append(home, corp_id, [("acks", schema.table("acks", rows))], what="ack")
    return len(found)
