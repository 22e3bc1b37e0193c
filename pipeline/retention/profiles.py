"""Retention profiles, and until when they keep a record. Plain values; no I/O but the table of profiles.

Before: schemas/retention.yaml (regulation.md, sections 7 and 8). After: store.py, due.py, removing/subject.py.

Rules:
 (1) A record is kept until the latest day that any set profile of its sort says; where a profile's start event is not known, without end.
 (2) A profile that nobody confirmed keeps, and makes nothing due. One whose article was read (V) is confirmed by being set with a name.
 (3) Years may be longer than the profile's, never shorter than its floor.
 (4) A confirmed statutory profile whose time runs makes that an erasure is refused (PIPL 47, second paragraph).
 (5) No profile set: nothing is ever due.
 (6) While a dispute with a customer is open nothing of the customer is due; a profile with `after_dispute` keeps so many years after its end.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from functools import cache
from typing import Literal

import msgspec
import yaml

from pipeline.errors import UsageError
from pipeline.resources import data_folder
from pipeline.roles.table import Words

Sort = Literal["customers", "internal"]


class Profile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One profile. floor: years below which nobody may go, 0: none; start: message, last_message or an event of a customer; after_dispute: years."""

    id: str
    years: int
    floor: int
    of: Sort
    start: str
    status: Literal["V", "S", "U", "design"]
    statutory: bool
    basis: Words
    after_dispute: int = 0


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """A profile as the firm set it. confirmed_by: who vouches for it, empty: nobody yet."""

    profile: str
    years: int
    confirmed_by: str
    actor: str
    at_ms: int


# (customer, event) → the day it happened
Events = Mapping[tuple[str, str], date]


@cache
def profiles() -> Mapping[str, Profile]:
    """Return the profiles by id."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    found = msgspec.convert(yaml.load((data_folder("schemas") / "retention.yaml").read_text("utf-8"), Loader=loader), tuple[Profile, ...])
    return {p.id: p for p in found}


def profile(name: str) -> Profile:
    """Return one profile; raises UsageError PROFILE_UNKNOWN."""
    if name not in profiles():
        raise UsageError("PROFILE_UNKNOWN", "there is no such retention profile", remedy=f"one of {', '.join(profiles())}")
    return profiles()[name]


def checked_years(found: Profile, years: int | None) -> int:
    """Return the years to set (rule 3); raises UsageError RETENTION_FLOOR."""
    chosen = found.years if years is None else years
    if chosen < found.floor or chosen < 1:
        least = max(found.floor, 1)
        raise UsageError("RETENTION_FLOOR", f"expected at least {least} years for {found.id}, got {chosen}", remedy="the law does not allow less")
    return chosen


def until(setting: Setting, *, customer: str, day: date, last_day: date, events: Events) -> date | None:
    """Return until when (exclusive) one profile keeps a record of that day, None: without end (rules 1 and 6)."""
    found = profiles()[setting.profile]
    began = {"message": day, "last_message": last_day}.get(found.start) or events.get((customer, found.start))
    if began is None or (customer, "dispute_opened") in events:
        return None
    end, closed = _years_after(max(began, day), setting.years), events.get((customer, "dispute_closed"))
    return end if closed is None or not found.after_dispute else max(end, _years_after(closed, found.after_dispute))


def _years_after(day: date, years: int) -> date:
    try:
        return day.replace(year=day.year + years)
    except ValueError:  # 29 February
        return date(day.year + years, 3, 1)


def keep_until(settings: Sequence[Setting], sort: Sort, *, customer: str, day: date, last_day: date, events: Events) -> date | None:
    """Return until when a record is kept, None: without end (rules 1, 2 and 5)."""
    own = [s for s in settings if profiles()[s.profile].of == sort]
    ends = [until(s, customer=customer, day=day, last_day=last_day, events=events) for s in own if s.confirmed_by]
    known = [e for e in ends if e is not None]
    return max(known) if own and len(known) == len(own) else None


def statutory(settings: Iterable[Setting], *, customer: str, day: date, last_day: date, events: Events, today: date) -> bool:
    """Whether a confirmed statutory period runs over a record (rule 4)."""
    for setting in settings:
        found = profiles()[setting.profile]
        if found.statutory and found.of == "customers" and setting.confirmed_by:
            end = until(setting, customer=customer, day=day, last_day=last_day, events=events)
            if end is None or today < end:
                return True
    return False
