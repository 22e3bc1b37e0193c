"""One alert, a batch of them, and what a person reads of it.

Before: match/lexicon.py (rules' titles). After: queue.py, channels.py.

Without message text unless the configuration says so, and then only the words found (masked as they are in the archive); never a
customer's id or name: who is meant, the reader looks up in the archive.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from pipeline import clock, words
from pipeline.words import Lang

LINES: Final = 10  # of a message a person reads
MESSAGE_BYTES: Final = 2048  # text.content of WeCom's message/send (page 90236)


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """What is told of one finding. dt: Beijing day; employee_name: of that day; words: what was found, when alerts.include_text is set."""

    finding_id: str
    origin: str
    seq: int
    msgid: str
    dt: str
    rule_id: str
    category: str
    severity: str
    title_zh: str
    title_en: str
    employee_id: str | None = None
    employee_name: str | None = None
    words: str | None = None


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """Alerts that are sent together. id: the same however often it is sent; done: channels that took it; tries, last: failed sends so far."""

    id: str
    corp_id: str
    made_ms: int
    alerts: tuple[Alert, ...]
    done: tuple[str, ...] = ()
    tries: int = 0
    last: str = ""
    test: bool = False


def batch_id(corp_id: str, alerts: Sequence[Alert]) -> str:
    """Return the id of a batch: 32 hex digits over the corp and its findings."""
    digest = hashlib.sha256(corp_id.encode())
    for one in sorted(alert.finding_id for alert in alerts):
        digest.update(b"\0" + one.encode())
    return digest.hexdigest()[:32]


def body(batch: Batch) -> dict[str, Any]:
    """Return what a webhook receives, as JSON."""
    return {
        "version": 1, "id": batch.id, "corp_id": batch.corp_id, "made_at": clock.iso(batch.made_ms), "test": batch.test, "count": len(batch.alerts),
        "alerts": [_told(alert) for alert in batch.alerts],
    }  # fmt: skip


def _told(alert: Alert) -> dict[str, Any]:
    told = {k: v for k, v in msgspec.structs.asdict(alert).items() if k not in ("title_zh", "title_en", "words")}
    told["title"] = {"zh": alert.title_zh, "en": alert.title_en}
    return told if alert.words is None else {**told, "words": alert.words}


def text(batch: Batch, lang: Lang) -> str:
    """Return what a person reads: a head, the most frequent of (day, employee, rule), how many more; within MESSAGE_BYTES."""
    if batch.test:
        return words.say("alerts.test.text", lang, id=batch.id)
    groups = Counter((a.dt, " ".join(filter(None, (a.employee_name, a.employee_id))) or "-", a.title_zh if lang == "zh" else a.title_en, a.rule_id) for a in batch.alerts)
    head = words.say("alerts.text.head", lang, n=len(batch.alerts), corp=batch.corp_id)
    foot = words.say("alerts.text.foot", lang, id=batch.id)
    shown = groups.most_common(LINES)
    while True:
        lines = [f"{day} {who} {title} ({rule})" + (f" ×{n}" if n > 1 else "") for (day, who, title, rule), n in shown]
        if rest := len(batch.alerts) - sum(n for _, n in shown):
            lines.append(words.say("alerts.text.more", lang, n=rest))
        told = "\n".join([head, *lines, foot])
        if len(told.encode()) <= MESSAGE_BYTES or not shown:
            return told
        shown = shown[:-1]
