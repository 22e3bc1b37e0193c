"""What the firm set about retention, and which events of customers it told: sealed, append-only.

Before: profiles.py, keyring.py. After: due.py, the command `retention`.
`retention/<corp>/<time>-<random>.event`: one box each, under the key `retention`, bound to its own name. The newest of a profile, or of a
customer's event, counts.
"""

from __future__ import annotations

import secrets
from collections import defaultdict
from datetime import date
from pathlib import Path
from typing import Literal

import msgspec

from pipeline import clock, custody, durable
from pipeline.home import Home
from pipeline.retention.profiles import Setting, checked_years, profile

UNIT = "retention"
EVENTS = ("contract_terminated", "account_closed", "engagement_ended", "relationship_ended", "product_ended", "dispute_opened", "dispute_closed")


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was set or told."""

    what: Literal["set", "unset", "event"]
    actor: str
    at_ms: int
    profile: str = ""
    years: int = 0
    confirmed_by: str = ""
    reason: str = ""
    customer: str = ""
    event: str = ""
    on: date | None = None


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """What counts now: profiles that are set, the day of each event by (customer, event), and the sources of disputes that are open, by customer.

    A dispute is told apart by its source; `dispute_opened` is an event of a customer as long as one is open, `dispute_closed` the last day on which one ended."""

    settings: tuple[Setting, ...]
    events: dict[tuple[str, str], date]
    disputes: dict[str, tuple[str, ...]] = {}


def put(home: Home, corp_id: str, name: str, *, years: int | None, confirmed_by: str) -> Told:
    """Set a profile; raises UsageError PROFILE_UNKNOWN, RETENTION_FLOOR."""
    found = profile(name)
    told = Told(what="set", actor=custody.actor(), at_ms=clock.now_ms(), profile=name, years=checked_years(found, years), confirmed_by=confirmed_by.strip())
    return _append(home, corp_id, told)


def drop(home: Home, corp_id: str, name: str, *, reason: str) -> Told:
    """Let a profile count no more; raises UsageError PROFILE_UNKNOWN."""
    profile(name)
    return _append(home, corp_id, Told(what="unset", actor=custody.actor(), at_ms=clock.now_ms(), profile=name, reason=reason))


def tell(home: Home, corp_id: str, *, customer: str, event: str, on: date, source: str) -> Told:
    """Tell the day of a customer's event, from which a period runs."""
    return _append(home, corp_id, Told(what="event", actor=custody.actor(), at_ms=clock.now_ms(), customer=customer, event=event, on=on, reason=source))


def standing(home: Home, corp_id: str) -> Standing:
    """Return what counts now."""
    settings: dict[str, Setting] = {}
    events: dict[tuple[str, str], date] = {}
    open_ones: dict[str, dict[str, date]] = defaultdict(dict)
    for told in all_of(home, corp_id):
        if told.what == "set":
            settings[told.profile] = Setting(profile=told.profile, years=told.years, confirmed_by=told.confirmed_by, actor=told.actor, at_ms=told.at_ms)
        elif told.what == "unset":
            settings.pop(told.profile, None)
        elif told.event == "dispute_opened" and told.on is not None:
            open_ones[told.customer][told.reason] = told.on
        elif told.event == "dispute_closed" and told.on is not None:
            open_ones[told.customer].pop(told.reason, None)
            events[told.customer, told.event] = max(told.on, events.get((told.customer, told.event), told.on))
        elif told.on is not None:
            events[told.customer, told.event] = told.on
    for customer, since in open_ones.items():
        if since:
            events[customer, "dispute_opened"] = min(since.values())
    return Standing(settings=tuple(settings.values()), events=events, disputes={c: tuple(sorted(since)) for c, since in open_ones.items() if since})


def all_of(home: Home, corp_id: str) -> list[Told]:
    """Return everything that was set or told, oldest first."""
    found = []
    for path in sorted(_folder(home, corp_id).glob("*.event")):
        with durable.storage("reading retention"):
            box = path.read_bytes()
        found.append(msgspec.json.decode(home.keyring.open(box, context=_context(corp_id, path.name)), type=Told))
    return sorted(found, key=lambda t: t.at_ms)


def _append(home: Home, corp_id: str, told: Told) -> Told:
    durable.make_folder(_folder(home, corp_id))
    name = f"{told.at_ms:015d}-{secrets.token_hex(4)}.event"
    durable.write_once(_folder(home, corp_id) / name, home.keyring.seal(UNIT, msgspec.json.encode(told), context=_context(corp_id, name)))
    return told


def _folder(home: Home, corp_id: str) -> Path:
    return home.path / "retention" / corp_id


def _context(corp_id: str, name: str) -> bytes:
    return f"retention/{corp_id}/{name}".encode()
