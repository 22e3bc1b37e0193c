"""A sign of life after each cycle, with what is alarming: whoever hears nothing for an hour knows that something is wrong.

Before: alarms.py, expiry.py, ../alerts/channels.py. After: ../source/cycle.py (the last step of `run`).

Rules:
 (1) The webhook gets every cycle (`heartbeat = "cycle"`); people, by application message, the first cycle of a Beijing day and every one in which
     an alarm came or went or a warning of an ending is due. With "changes" the webhook gets those only; "off" sends nothing.
 (2) Counts, codes and days only: no names, no words of messages.
 (3) It is not kept for later: the next cycle tells the newer case. What was told of endings is noted only when a channel took it, so that a
     warning is sent at least once a threshold, and once only where all goes well.
 (4) A channel that does not take it is told of in the summary and changes no exit code: the archive is none the worse.
"""

from __future__ import annotations

import hashlib
from datetime import date
from typing import Any, NamedTuple

import msgspec

from pipeline import clock, hints, status, words
from pipeline.alerts import channels
from pipeline.config import Config
from pipeline.errors import ArchiveError
from pipeline.home import Home
from pipeline.reader import Reader
from pipeline.roles import acting
from pipeline.source.cycle import Cycle, Told
from pipeline.watch import alarms, expiry
from pipeline.watch.alarms import Alarm
from pipeline.watch.expiry import Ending
from pipeline.words import Lang

FOLDER = "watch"
COUNTS = ("landed", "archived", "pending", "withheld", "failed", "control", "duplicate", "findings_high", "pages_waiting", "window_hours_left")


class Noted(msgspec.Struct, frozen=True, kw_only=True):
    """What was told last: keys of alarms, the Beijing day people heard, and of each ending the smallest threshold told."""

    alarms: tuple[str, ...] = ()
    day: str = ""
    warned: dict[str, int] = {}


class Beat(NamedTuple):
    """What is told: an id that is the same for the same beat, when, the counts, the alarms, the endings a warning is due of."""

    id: str
    corp_id: str
    at_ms: int
    counts: dict[str, Any]
    alarms: list[Alarm]
    due: list[Ending]


def beat(cycle: Cycle) -> Told:
    """Tell the case after a cycle; the step of `run`."""
    home, corp_id = cycle.home, cycle.corp_id
    ways = channels.told_by(home, corp_id)
    if home.config.heartbeat.send == "off" or not ways:
        return Told(skipped="no channel wants a heartbeat")
    noted, now = read(home, corp_id), clock.now_ms()
    made = look(home, corp_id, noted, now_ms=now)
    taken, errors = send(home.config, ways, made, noted)
    if taken:
        write(home, corp_id, after(noted, made))
    return Told(told={"sent": taken, "alarms": len(made.alarms)}, code=errors[0] if errors else "")


def look(home: Home, corp_id: str, noted: Noted, *, now_ms: int) -> Beat:
    """Return what is to be told now."""
    with Reader(home, corp_id, access=acting.MACHINE) as reader:
        found = status.gather(reader)
    told = status.alarms_of(home, found, now_ms=now_ms)
    due = expiry.due(expiry.endings(home, found["hold_reviews"]), noted.warned, words.moment(now_ms).date())
    counts = {name: found[name] for name in COUNTS}
    return Beat(hashlib.sha256(f"{corp_id}\0{now_ms}".encode()).hexdigest()[:32], corp_id, now_ms, counts, told, due)


def changed(made: Beat, noted: Noted) -> bool:
    """Whether people want to hear it: a new day, another set of alarms, a warning that is due."""
    keys = tuple(sorted(a.key for a in made.alarms))
    return noted.day != _day(made).isoformat() or keys != noted.alarms or bool(made.due)


def send(config: Config, ways: list[channels.Way], made: Beat, noted: Noted) -> tuple[list[str], list[str]]:
    """Send to each channel that wants it; return who took it and the codes of what failed."""
    taken, errors = [], []
    for way in ways:
        if not (changed(made, noted) or (way.machine and config.heartbeat.send == "cycle")):
            continue
        try:
            way.tell(made.id, body(made), text(made, config.alerts.language))
            taken.append(way.name)
        except ArchiveError as error:
            errors.append(error.code)
    return taken, errors


def after(noted: Noted, made: Beat) -> Noted:
    """Return what was told once this beat was taken."""
    today = _day(made)
    steps = {e.key: step for e in made.due if (step := expiry.step_of(e.days_left(today))) is not None}
    return Noted(alarms=tuple(sorted(a.key for a in made.alarms)), day=today.isoformat(), warned={**noted.warned, **steps})


def body(made: Beat) -> dict[str, Any]:
    """Return what a webhook receives, as JSON."""
    today = _day(made)
    return {
        "version": 1, "kind": "heartbeat", "id": made.id, "corp_id": made.corp_id, "made_at": clock.iso(made.at_ms), "ok": not made.alarms, "counts": made.counts,
        "alarms": [{"code": a.code, "values": a.values, "text": {"zh": alarms.text(a, "zh"), "en": alarms.text(a, "en")}} for a in made.alarms],
        "ending": [{"kind": e.kind, "name": e.name, "day": e.day.isoformat(), "days": e.days_left(today)} for e in made.due],
    }  # fmt: skip


def text(made: Beat, lang: Lang) -> str:
    """Return what a person reads, within what an application message holds."""
    head = words.say("heartbeat.alarms" if made.alarms else "heartbeat.fine", lang, corp=made.corp_id, n=len(made.alarms), at=words.beijing(made.at_ms, lang))
    counts = words.say("heartbeat.counts", lang, **{k: made.counts[k] for k in ("archived", "withheld", "pending", "failed", "findings_high")})
    lines = [head, counts, *(f"! {alarms.text(a, lang)}" for a in made.alarms)]
    while len("\n".join(lines).encode()) > channels.MESSAGE_BYTES:
        lines.pop()
    return "\n".join(lines)


def read(home: Home, corp_id: str) -> Noted:
    """Return what was told last; a missing or damaged note says nothing was."""
    return hints.read(home.path / FOLDER / f"{corp_id}.json", Noted)


def write(home: Home, corp_id: str, noted: Noted) -> None:
    """Keep what was told, durably."""
    hints.write(home.path / FOLDER / f"{corp_id}.json", noted)


def _day(made: Beat) -> date:
    return words.moment(made.at_ms).date()
