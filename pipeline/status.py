"""How the archive stands: counts that add up, what is left over, what nobody has looked at, and what to do about it.

Before: reader.py, left_over.py. After: the command `status`. Gathering is apart from showing.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pipeline import clock, left_over, words
from pipeline.landing import waiting
from pipeline.reader import Reader
from pipeline.source import gaps, state
from pipeline.words import Lang

FATES = ("archived", "pending", "withheld", "failed", "control", "duplicate")
STATES = ("active", "restricted", "removed")


def gather(reader: Reader) -> dict[str, Any]:
    """Return one flat record of counts: `landed` is the sum of the six fates, `archived` of active, restricted and removed."""
    (counts,) = reader.rows("SELECT * FROM counts")
    (last,) = reader.rows("SELECT max(finished_at) AS last_run_at, arg_max(exit_code, finished_at) AS last_exit_code FROM runs")
    (more,) = reader.rows(
        "SELECT (SELECT count(*) FROM matches) AS findings, (SELECT count(*) FROM matches WHERE severity = 'high') AS findings_high,"
        " (SELECT count(*) FROM consent) AS consent_events, (SELECT count(*) FROM people) AS people,"
        " (SELECT count(*) FROM media WHERE status = 'pending') AS media_pending, (SELECT max(last_seq) FROM pulls) AS last_seq"
    )
    left = left_over.unacknowledged(reader.home, reader.corp_id)
    return {
        **counts,
        **more,
        "pages": reader.snapshot.rows("pages"),
        "pages_waiting": sum(1 for _ in waiting(reader.home, reader.corp_id)),
        "unacknowledged_failed": left["failed"],
        "unacknowledged_pending": left["pending"],
        **_pulled(reader),
        "waiting_for_key": left_over.waiting_by_key(reader.home, reader.corp_id),
        "keys": [k.version for k in reader.home.enterprise_keys(reader.corp_id) if not k.retired],
        "mode": "single",
        **last,
    }


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


def render(found: dict[str, Any], lang: Lang) -> str:
    """Return the one screen for a person."""
    lines = [words.say("status.title", lang, corp=found["corp_id"]), words.say("mode.single", lang), ""]
    lines += [*_sum(found, "landed", FATES, lang), "", *_sum(found, "archived", STATES, lang), ""]
    for name in ("pages", "findings", "findings_high", "consent_events", "people", "media_pending"):
        lines.append(f"  {words.say(f'status.{name}', lang)}  {found[name]:,}")
    if found["last_run_at"] is not None:
        lines.append(f"  {words.say('status.run', lang)}  {words.beijing(found['last_run_at'], lang)}  exit {found['last_exit_code']}")
    if found["window_hours_left"] is not None:
        lines.append(f"  {words.say('status.window', lang, hours=found['window_hours_left'])}")
    alarms = _alarms(found, lang)
    return "\n".join([*lines, "", *(alarms or [words.say("status.no_alarm", lang)])])


def _sum(found: dict[str, Any], total: str, parts: tuple[str, ...], lang: Lang) -> list[str]:
    head = f"  {words.say(f'status.{total}', lang)}  {found[total]:,}"
    return [head, *(f"    {words.label('fate', p, lang)}  {found[p]:,}" for p in parts)]


def _alarms(found: dict[str, Any], lang: Lang) -> list[str]:
    alarms = [words.say("status.key", lang, version=v, n=n) for v, n in sorted(found["waiting_for_key"].items())]
    if found["unacknowledged_failed"]:
        alarms.append(words.say("status.failed", lang, n=found["unacknowledged_failed"]))
    if found["unacknowledged_pending"]:
        alarms.append(words.say("status.pending", lang, n=found["unacknowledged_pending"]))
    if found["unacknowledged_gaps"]:
        alarms.append(words.say("status.gaps", lang, n=found["unacknowledged_gaps"]))
    if found["pull_stopped_by"]:
        alarms.append(words.say(f"source.{found['pull_stopped_by']}", lang))
    if found["pages_waiting"]:
        alarms.append(words.say("status.waiting", lang, n=found["pages_waiting"]))
    if not found["people"]:
        alarms.append(words.say("status.no_people", lang))
    if not found["keys"]:
        alarms.append(words.say("status.no_keys", lang))
    return [f"! {a}" for a in alarms]
