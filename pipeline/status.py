"""How the archive stands: counts that add up, what is left over, what nobody has looked at, and what to do about it.

Before: reader.py, left_over.py, watch/. After: the command `status`, watch/heartbeat.py. Gathering is apart from showing.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from itertools import zip_longest
from typing import Any

from rich.cells import cell_len

from pipeline import cells, clock, left_over, words
from pipeline.consenting import ages
from pipeline.evidence import matter
from pipeline.home import Home
from pipeline.landing import waiting
from pipeline.reader import Reader
from pipeline.roles import acting
from pipeline.search import rest
from pipeline.source import gaps, state
from pipeline.watch import alarms, expiry
from pipeline.watch.alarms import Alarm
from pipeline.words import Lang

FATES = ("archived", "pending", "withheld", "failed", "control", "duplicate")
STATES = ("active", "restricted", "removed")


def gather(reader: Reader) -> dict[str, Any]:
    """Return one flat record of counts: `landed` is the sum of the six fates, `archived` of active, restricted and removed."""
    rows = rest.rows_of(reader.home.path, reader.lake, reader.snapshot)
    counts = {"corp_id": reader.corp_id, **rest.counts(rows, reader.snapshot.rows("records"))}
    (last,) = reader.rows(
        "SELECT max(finished_at) AS last_run_at, arg_max(exit_code, finished_at) AS last_exit_code, arg_max(rsa, finished_at) AS rsa FROM runs"
    )
    (more,) = reader.rows(
        "SELECT found.*, (SELECT count(*) FROM consent) AS consent_events, (SELECT count(*) FROM people) AS people,"
        " (SELECT count(*) FROM media WHERE status = 'pending') AS media_pending, (SELECT max(last_seq) FROM pulls) AS last_seq,"
        " (SELECT count(*) FROM pending WHERE reason = 'breaker') AS pending_breaker,"
        " (SELECT count(*) FROM lake_pages WHERE source IN ('pull', 'file', 'plain')) AS pages"  # received: what is opened again later has rows too
        " FROM (SELECT count(*) AS findings, count(*) FILTER (severity = 'high') AS findings_high FROM matches) AS found"
    )
    over = left_over.current(reader.home, reader.corp_id, rows)
    left = left_over.unacknowledged(reader.home, reader.corp_id, over)
    return {
        **counts,
        **more,
        "pages_waiting": sum(1 for _ in waiting(reader.home, reader.corp_id)),
        "unacknowledged_failed": left["failed"],
        "unacknowledged_pending": left["pending"],
        **_pulled(reader),
        **_aged(reader),
        "waiting_for_key": left_over.waiting_by_key(reader.home, reader.corp_id, over),
        "keys": [k.version for k in reader.home.enterprise_keys(reader.corp_id) if not k.retired],
        "hold_reviews": _reviews(reader),
        "mode": acting.current(reader.home.path).mode,
        **last,
    }


def _reviews(reader: Reader) -> dict[str, int]:
    """Return on which Beijing days (ISO) the holds of how many matters are looked at again."""
    days = matter.reviews(reader.home, reader.lake, reader.snapshot).values()
    return dict(sorted(Counter(day.isoformat() for day in days).items()))


def _pulled(reader: Reader) -> dict[str, Any]:
    """Return how far the source was pulled, and what may have been lost."""
    at = state.current(reader.home, reader.corp_id)
    return {
        "pull_cursor": at.cursor,
        "pull_complete_at": None if at.caught_up_at_ms is None else datetime.fromtimestamp(at.caught_up_at_ms / 1000, UTC),
        "pull_stopped_by": at.code,
        "window_hours_left": state.hours_left(at, now_ms=clock.now_ms(), window_days=reader.home.config.source.window_days),
        "gaps": len(gaps.known(reader.home, reader.corp_id)),
        "unacknowledged_gaps": len(gaps.unacknowledged(reader.home, reader.corp_id)),
    }


def _aged(reader: Reader) -> dict[str, int]:
    """Return how many scopes chat whose consent nobody asked about for `consent.stale_days`, and how many have a status that nobody knows."""
    found = ages.stale(reader, now_ms=clock.now_ms(), days=reader.home.config.consent.stale_days)
    return {"stale_scopes": found.n, "stale_never_asked": found.never, "stale_oldest_days": found.oldest, "unknown_statuses": ages.unknown(reader)}


def alarms_of(home: Home, found: dict[str, Any], *, now_ms: int) -> list[Alarm]:
    """Return what is alarming in what `gather` found. Nobody runs a home without a source every quarter of an hour: there silence is no alarm."""
    source, silent = home.config.source, home.config.heartbeat.silent_hours
    hours = silent if source.library else 0.0
    return alarms.of(found, expiry.endings(home, found["hold_reviews"]), now_ms=now_ms, alarm_hours=source.window_alarm_hours, silent_hours=hours)


def told(home: Home, found: dict[str, Any]) -> dict[str, Any]:
    """Return the counts with their alarms and what ends, as programs want them."""
    today = words.moment(clock.now_ms()).date()
    ends = [{"kind": e.kind, "name": e.name, "day": e.day.isoformat(), "days": e.days_left(today)} for e in expiry.endings(home, found["hold_reviews"])]
    alarming = [{"code": a.code, "values": a.values} for a in alarms_of(home, found, now_ms=clock.now_ms())]
    return {**found, "alarms": alarming, "endings": ends}


def render(home: Home, found: dict[str, Any], lang: Lang) -> str:
    """Return the one screen for a person: counts that add up, then when things happened, then what is alarming."""
    mode = words.say("mode.single", lang) if found["mode"] == "single" else words.say("status.roles", lang)
    counts = _columns(_sum(found, "landed", FATES, lang), _sum(found, "archived", STATES, lang))
    more = [(words.say(f"status.{name}", lang), f"{found[name]:,}") for name in ("pages", "findings", "findings_high", "consent_events", "people", "media_pending")]
    ringing = [f"! {alarms.text(a, lang)}" for a in alarms_of(home, found, now_ms=clock.now_ms())]
    title = words.say("status.title", lang, corp=found["corp_id"])
    return "\n".join([title, mode, "", *counts, "", *_aligned(more), "", *_times(home, found, lang), "", *(ringing or [words.say("status.no_alarm", lang)])])


def _times(home: Home, found: dict[str, Any], lang: Lang) -> list[str]:
    lines = []
    if found["last_run_at"] is not None:
        ended = words.say("status.exit", lang, at=words.beijing(found["last_run_at"], lang), code=found["last_exit_code"])
        lines.append((words.say("status.run", lang), ended))
    if found["rsa"] is not None:
        lines.append((words.say("doctor.rsa", lang), words.label("rsa", found["rsa"], lang)))
    if found["pull_complete_at"] is not None:
        lines.append((words.say("status.pulled", lang), words.beijing(found["pull_complete_at"], lang)))
    if found["window_hours_left"] is not None:
        lines.append((words.say("status.left", lang), words.say("status.window", lang, hours=found["window_hours_left"])))
    today = words.moment(clock.now_ms()).date()
    for ending in expiry.endings(home, found["hold_reviews"]):
        what = " ".join(filter(None, (words.say(f"status.expiry.{ending.kind}", lang), ending.name)))
        lines.append((what, words.say("status.until", lang, day=ending.day, days=ending.days_left(today))))
    return _aligned(lines, right=False)


def _sum(found: dict[str, Any], total: str, parts: tuple[str, ...], lang: Lang) -> list[tuple[str, str]]:
    return [(words.say(f"status.{total}", lang), f"{found[total]:,}"), *((f"  {words.label('fate', p, lang)}", f"{found[p]:,}") for p in parts)]


def _columns(left: list[tuple[str, str]], right: list[tuple[str, str]]) -> list[str]:
    """Return two blocks side by side, each aligned."""
    first, second = _aligned(left), _aligned(right)
    width = max(cell_len(line) for line in first) + 6
    return [(cells.fit(a, width) + b).rstrip() for a, b in zip_longest(first, second, fillvalue="")]


def _aligned(lines: list[tuple[str, str]], *, right: bool = True) -> list[str]:
    """Return `name  value` lines, values under one another."""
    names, values = max((cell_len(n) for n, _ in lines), default=1), max((cell_len(v) for _, v in lines), default=1)
    return [f"  {cells.fit(name, names)}  {cells.fit(value, values, right=right)}".rstrip() for name, value in lines]
