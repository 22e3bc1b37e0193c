"""Findings of committed rows that nobody was told of become a batch.

Before: queue.py, ../reader.py. After: step.py.

Rules:
 (1) Only what counts is told: the view `matches` (current packs, not suppressed, not restricted), of the severities configured.
 (2) A look takes in messages of the last `max_age_days` days and everything since the last look's first day, so that alerts that did not
     run for a while are made up for. Older messages (a rescan, an import of an old archive) raise none.
 (3) A finding is told once: by its finding_id, which survives rescans.
"""

from __future__ import annotations

import datetime
from typing import Any, Final

import msgspec

from pipeline import beside, clock
from pipeline.alerts.alert import Alert, Batch, batch_id
from pipeline.alerts.queue import Queue, Told
from pipeline.config import Alerts
from pipeline.home import Home
from pipeline.match.lexicon import Lexicon
from pipeline.match.packfile import Title
from pipeline.reader import Reader
from pipeline.roles import acting
from pipeline.workbench import Workbench

LARGEST: Final = 1_000  # alerts in one batch
_QUERY: Final = (
    "SELECT finding_id, origin, seq, msgid, dt::VARCHAR AS dt, rule_id, category, severity, employee_id, matched_text FROM matches"
    " WHERE dt >= $first AND list_contains($severities, severity) ORDER BY dt, seq, origin, rule_id, finding_id"
)


def gather(home: Home, corp_id: str, queue: Queue, *, now_ms: int) -> list[Batch]:
    """Queue what was found since; return the new batches. They are on disk, and noted as told, when this returns."""
    settings, told = home.config.alerts, queue.told()
    first = first_day(settings, told, now_ms)
    fresh = [alert for alert in found(home, corp_id, settings, first) if alert.finding_id not in told.findings]
    batches = [_batch(corp_id, fresh[at : at + LARGEST], now_ms) for at in range(0, len(fresh), LARGEST)]
    for batch in batches:
        queue.put(batch)
    kept = {**told.findings, **{alert.finding_id: alert.dt for alert in fresh}}
    noted = Told(findings={f: day for f, day in kept.items() if day >= first.isoformat()}, looked_from=(_today(now_ms) - _age(settings)).isoformat())
    queue.note(noted)
    return batches


def first_day(settings: Alerts, told: Told, now_ms: int) -> datetime.date:
    """Return the first Beijing day that a look takes in (rule 2)."""
    first = _today(now_ms) - _age(settings)
    return min(first, datetime.date.fromisoformat(told.looked_from)) if told.looked_from else first


def found(home: Home, corp_id: str, settings: Alerts, first: datetime.date) -> list[Alert]:
    """Return the findings that count, of messages from `first` on, oldest first."""
    months = months_between(first, _today(clock.now_ms()))
    with Reader(home, corp_id, months=months, access=acting.MACHINE) as reader:
        rows = reader.rows(_QUERY, {"first": first, "severities": list(settings.severities)})
        titles = _titles(Workbench(home, corp_id, reader.snapshot).packs)
        names = beside.names_of(reader, "employee", [(row["employee_id"] or "", row["dt"]) for row in rows])
    return [_alert({**row, "employee_name": name}, titles, settings.include_text) for row, name in zip(rows, names, strict=True)]


def months_between(first: datetime.date, last: datetime.date) -> list[str]:
    """Return the months (`YYYY-MM`) that two days and what lies between them fall in."""
    count = (last.year - first.year) * 12 + last.month - first.month + 1
    return [f"{first.year + (first.month - 1 + n) // 12}-{(first.month - 1 + n) % 12 + 1:02}" for n in range(count)]


def _alert(row: dict[str, Any], titles: dict[str, Title], include_text: bool) -> Alert:
    title = titles.get(row["rule_id"], Title(row["rule_id"], row["rule_id"]))
    words = row.pop("matched_text")
    return msgspec.convert({**row, "title_zh": title.zh, "title_en": title.en, "words": words if include_text else None}, Alert)


def _titles(lexicon: Lexicon) -> dict[str, Title]:
    return {rule.id: rule.title for rule in lexicon.rules}


def _batch(corp_id: str, alerts: list[Alert], now_ms: int) -> Batch:
    return Batch(id=batch_id(corp_id, alerts), corp_id=corp_id, made_ms=now_ms, alerts=tuple(alerts))


def _age(settings: Alerts) -> datetime.timedelta:
    return datetime.timedelta(days=settings.max_age_days)


def _today(now_ms: int) -> datetime.date:
    return datetime.date(1970, 1, 1) + datetime.timedelta(days=clock.beijing_day(now_ms))
