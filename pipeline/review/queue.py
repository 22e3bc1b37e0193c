"""What waits for a decision, gravest first, then oldest; and how old it is.

Before: reader.py, the views `matches` and `reviews`. After: the command `review list`, worklist.py.

A finding waits when nobody decided about it, or when it was reopened since. One that was escalated waits for somebody else.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import msgspec

from pipeline import clock
from pipeline.reader import Reader
from pipeline.review.decisions import CLAIM_MS
from pipeline.search.places import Place, excerpt

STATES = ("waiting", "open", "escalated", "violation", "not_violation", "all")
_FOUND = """
WITH newest AS (
    SELECT finding_id, arg_max({'decision': decision, 'reviewer': reviewer, 'reason': reason, 'remedy': remedy, 'moment': decided_at}, decided_at) AS of
    FROM reviews GROUP BY finding_id
), claims AS (
    SELECT finding_id, arg_max(reviewer, decided_at) AS claimed_by FROM lake_reviews
    WHERE decision = 'claimed' AND decided_at >= $claimed_since GROUP BY finding_id
), found AS (
    SELECT
        m.finding_id, m.severity, m.category, m.rule_id, m.term, m.dt, date_diff('day', m.dt, $today) AS age_days, m.employee_id, m.customer_id,
        m.party, m.conversation_id, m.origin, m.seq, m.msgid, m.part, m.start_cp, m.end_cp,
        CASE WHEN n.of IS NULL OR n.of.decision = 'reopened' THEN 'open' ELSE n.of.decision END AS decision,
        n.of.reviewer AS reviewer, n.of.reason AS reason, n.of.remedy AS remedy, n.of.moment AS decided_at,
        CASE WHEN n.of IS NULL OR n.of.decision IN ('reopened', 'escalated') THEN c.claimed_by END AS claimed_by
    FROM matches AS m LEFT JOIN newest AS n USING (finding_id) LEFT JOIN claims AS c USING (finding_id)
)
"""
_ORDER = "ORDER BY CASE severity WHEN 'high' THEN 0 WHEN 'medium' THEN 1 ELSE 2 END, dt, seq, part, start_cp, finding_id"
# Three questions, each of what the one before chose: asked at once, all that is known of all findings and the words of all messages would be read for it.
_WHICH = f"""{_FOUND} SELECT finding_id, dt, seq FROM found
WHERE ($state = 'all' OR decision = $state OR ($state = 'waiting' AND decision IN ('open', 'escalated')))
    AND ($severity IS NULL OR severity = $severity) AND ($category IS NULL OR category = $category)
    AND ($employee IS NULL OR lower(employee_id) = lower($employee))
    AND ($from_day IS NULL OR dt >= $from_day) AND ($to_day IS NULL OR dt <= $to_day)
{_ORDER} LIMIT $limit
"""
# They say themselves what they ask for: a newer version that a reader opens between two questions is looked at whole (reader.py, rule 5).
_ROWS = f"{_FOUND} SELECT * FROM found WHERE finding_id IN (SELECT unnest($ids)) {_ORDER}"
_TEXTS = "SELECT origin, seq, parts FROM messages WHERE dt BETWEEN $first AND $last AND seq IN (SELECT unnest($seqs))"


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """A finding and where it stands: `decision` is open while nobody decided; `excerpt` marks the place with 【】."""

    finding_id: str
    severity: str
    category: str
    rule_id: str
    term: str
    dt: date
    age_days: int
    employee_id: str | None
    customer_id: str | None
    party: str
    conversation_id: str
    msgid: str | None
    excerpt: str
    decision: str
    claimed_by: str | None
    reviewer: str | None
    reason: str | None
    remedy: str | None


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which findings: None leaves a filter out; days are Beijing days, both inclusive."""

    state: str = "waiting"
    severity: str | None = None
    category: str | None = None
    employee: str | None = None
    from_day: date | None = None
    to_day: date | None = None
    limit: int = 1_000


def items(reader: Reader, wanted: Wanted) -> list[Item]:
    """Return the findings, gravest first, then oldest."""
    now = clock.now_ms()
    at = {"today": _instant(now).astimezone(clock.BEIJING).date(), "claimed_since": _instant(now - CLAIM_MS)}
    which = reader.rows(_WHICH, {**msgspec.structs.asdict(wanted), **at})
    if not which:
        return []
    days = [row["dt"] for row in which]
    first, last = min(days), max(days)
    ids, seqs = [row["finding_id"] for row in which], {row["seq"] for row in which}
    with reader.of_findings(ids, first, last):
        rows = reader.rows(_ROWS, {**at, "ids": ids})
    with reader.of_records(seqs, set(days)):
        parts = {(row["origin"], row["seq"]): row["parts"] for row in reader.rows(_TEXTS, {"first": first, "last": last, "seqs": sorted(seqs)})}
    return [_item(row, parts.get((row["origin"], row["seq"]))) for row in rows]


def _instant(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, UTC)


def _item(row: dict[str, Any], parts: list[dict[str, Any]] | None) -> Item:
    text = parts[row["part"]]["text"] if parts and row["part"] < len(parts) else ""
    marked = excerpt([{"text": text}], [Place(0, "", row["start_cp"], row["end_cp"])]) if text else ""
    return Item(excerpt=marked, **{k: row[k] for k in Item.__struct_fields__ if k != "excerpt"})
