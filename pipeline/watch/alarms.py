"""What of the case is alarming, in order of urgency.

Before: ../status.py (gathers), expiry.py. After: `status`, heartbeat.py. Pure: nothing is asked here.

    window     the source keeps messages only for days, and few hours are left      stopped   the source refused: secret, address, licence
    silent     for hours no run settled anything or found the source empty          key       records wait for a private key
    breaker    a run would have withheld far more than usual                        gaps      messages may be missing
    failed     records that could not be read                                       pending   records wait for a decision
    unknown    scopes have a status that nobody knows: their records wait or are restricted
    stale      scopes chat whose consent nobody asked about for days                expiry    something ends within 60 days
    waiting    pages are not settled                                                no_people there is no directory
    no_keys    there is no private key
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any, Final

import msgspec

from pipeline import words
from pipeline.watch.expiry import Ending, step_of
from pipeline.words import Lang

ORDER: Final = ("window", "stopped", "silent", "key", "breaker", "gaps", "failed", "pending", "unknown", "stale", "expiry", "waiting", "no_people", "no_keys")


class Alarm(msgspec.Struct, frozen=True):
    """One alarm: its code (of ORDER), and the values its words take. `what`: tells two of one code apart."""

    code: str
    values: dict[str, Any] = {}
    what: str = ""

    @property
    def key(self) -> str:
        """What it is told apart by, whatever its numbers are."""
        return f"{self.code}:{self.what}" if self.what else self.code


def of(found: dict[str, Any], endings: list[Ending], *, now_ms: int, alarm_hours: float, silent_hours: float) -> list[Alarm]:
    """Return the alarms of what `status.gather` found. alarm_hours: of the window; silent_hours: without a run, 0 for never."""
    alarms = [Alarm("key", {"version": v, "n": n}, str(v)) for v, n in sorted(found["waiting_for_key"].items())]
    hours = found["window_hours_left"]
    if hours is not None and hours <= alarm_hours:
        alarms.append(Alarm("window", {"hours": hours}))
    if found["pull_stopped_by"]:
        alarms.append(Alarm("stopped", {"code": found["pull_stopped_by"]}, found["pull_stopped_by"]))
    # A cycle that finds nothing settles nothing and leaves no run; that the source had nothing more is kept by its pull.
    ended = [at for at in (found["last_run_at"], found["pull_complete_at"]) if at is not None]
    idle = _hours_since(max(ended), now_ms) if ended else None
    if idle is not None and silent_hours and idle >= silent_hours:
        alarms.append(Alarm("silent", {"hours": idle}))
    alarms += [Alarm(code, {"n": found[name]}) for code, name in _COUNTED if found[name]]
    if found["stale_scopes"]:
        alarms.append(Alarm("stale", {"n": found["stale_scopes"], "never": found["stale_never_asked"], "days": found["stale_oldest_days"]}))
    alarms += [Alarm(code) for code, name in (("no_people", "people"), ("no_keys", "keys")) if not found[name]]
    alarms += _ending(endings, words.moment(now_ms).date())
    return sorted(alarms, key=lambda a: (ORDER.index(a.code), a.what))


_COUNTED: Final = (
    ("breaker", "pending_breaker"), ("gaps", "unacknowledged_gaps"), ("failed", "unacknowledged_failed"), ("pending", "unacknowledged_pending"), ("waiting", "pages_waiting"),
    ("unknown", "unknown_statuses"),
)  # fmt: skip


def _hours_since(at: datetime | None, now_ms: int) -> float | None:
    return None if at is None else (datetime.fromtimestamp(now_ms / 1000, UTC) - at).total_seconds() / 3600


def _ending(endings: list[Ending], today: date) -> list[Alarm]:
    near = [(e, e.days_left(today)) for e in endings if step_of(e.days_left(today)) is not None]
    return [Alarm("expiry", {"kind": e.kind, "name": e.name, "day": e.day.isoformat(), "days": left}, f"{e.kind}:{e.name}") for e, left in near]


def text(alarm: Alarm, lang: Lang) -> str:
    """Return an alarm in words, with what to do."""
    values = dict(alarm.values)
    match alarm.code:
        case "window":
            return words.say("status.window_closing", lang, **values)
        case "stopped":
            code = values["code"]
            known = f"source.{code}.do" in words.catalogue()
            parts = [words.say(f"source.{code}", lang), words.say(f"source.{code}.do", lang)] if known else [words.label("error", code, lang)]
            return words.say("list.join", lang).join(parts)
        case "stale" if values["never"] == values["n"]:
            return words.say("status.stale_never", lang, n=values["n"])
        case "expiry":
            what = " ".join(filter(None, (words.say(f"status.expiry.{values['kind']}", lang), values["name"])))
            reviewed = "review_" if values["kind"] == "review" else ""
            key = f"status.{reviewed}expired" if values["days"] < 0 else f"status.{reviewed}expires"
            return words.say(key, lang, what=what, day=values["day"], days=values["days"])
    return words.say(f"status.{alarm.code}", lang, **values)
