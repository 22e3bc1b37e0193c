"""What ends when: the archive service, seats, certificates; holds to be looked at again; and which warnings are due.

Before: ../config.py. After: alarms.py, heartbeat.py.

Rules:
 (1) Days are those of the configuration ([expiry]), Beijing days; WeCom's calls tell none. The certificate of wecom.ca_file is read itself.
 (2) A warning is due at 60, 30 and 7 days, and when the day has passed. Each is sent once (heartbeat.py keeps which); `status` shows
     what ends within 60 days for as long as it does. A new day in the configuration begins anew.
 (3) The review days of holds are warned of in the same way, by their day and how many matters it is of, never by a matter's name.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from types import MappingProxyType
from typing import Final

import msgspec
from cryptography import x509

from pipeline import words
from pipeline.config import Expiry
from pipeline.home import Home

STEPS: Final = (60, 30, 7, 0)


class Ending(msgspec.Struct, frozen=True):
    """Something that ends: kind (`service`, `seats`, `certificate`, `review`), the certificate's name (of reviews: how many), its last Beijing day."""

    kind: str
    name: str
    day: date

    @property
    def key(self) -> str:
        """What a warning is remembered by: the day belongs to it."""
        return f"{self.kind}:{self.name}:{self.day}"

    def days_left(self, today: date) -> int:
        """Days until it ends: 0 on its last day, below 0 afterwards."""
        return (self.day - today).days


def endings(home: Home, reviews: Mapping[str, int] = MappingProxyType({})) -> list[Ending]:
    """Return what is known to end, soonest first. reviews: Beijing day (ISO) → how many matters have their holds looked at again then."""
    settings = home.config.expiry
    found = [*configured(settings), *_certificate(home.path, home.config.wecom.ca_file), *(Ending("review", f"× {n}", date.fromisoformat(day)) for day, n in reviews.items())]
    return sorted(found, key=lambda e: (e.day, e.kind, e.name))


def configured(settings: Expiry) -> list[Ending]:
    """Return the days of the configuration; `config.parse` has checked them."""
    plain = [Ending(kind, "", date.fromisoformat(day)) for kind, day in (("service", settings.service), ("seats", settings.seats)) if day]
    return [*plain, *(Ending("certificate", name, date.fromisoformat(day)) for name, day in sorted(settings.certificates.items()))]


def _certificate(home: Path, file: str) -> list[Ending]:
    """Return the day on which the first certificate of wecom.ca_file to end does; none when there is no such file, or it is none (`doctor` says so)."""
    try:
        found = x509.load_pem_x509_certificates((home / file).read_bytes()) if file else []
    except (OSError, ValueError):
        return []
    ends = [words.moment(one.not_valid_after_utc).date() for one in found]
    return [Ending("certificate", "wecom.ca_file", min(ends))] if ends else []


def step_of(left: int) -> int | None:
    """Return which warning `left` days are under: 60, 30, 7, 0 (passed), None when it is further off."""
    return min((step for step in STEPS if (left < 0 if step == 0 else left <= step)), default=None)


def due(found: list[Ending], warned: Mapping[str, int], today: date) -> list[Ending]:
    """Return what a warning is due of: a step that was not told of it yet (rule 2). warned: key → the smallest step told."""
    steps = [(ending, step_of(ending.days_left(today))) for ending in found]
    return [ending for ending, step in steps if step is not None and step < warned.get(ending.key, STEPS[0] + 1)]
