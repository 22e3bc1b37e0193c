"""What may be decided about a finding, checked, and kept for good.

Before: queue.py (which findings there are). After: the view `reviews`, worklist.py.

Rules:
 (1) A decision is one of four: violation, not_violation, escalated, reopened. Rows are only ever added; the newest counts.
 (2) Every decision but `escalated` needs a reason (regulators ask why a hit was dismissed, not only that it was).
 (3) The finding must be there: an id that the archive does not hold is refused, and with it the whole batch.
 (4) A decision hangs on finding_id, which depends on corp, rule and places only: it survives rescans.
 (5) A worklist that comes back once more adds nothing: neither a line that says what stands already (decision, reason, remedy, whoever said it),
     nor one of a workbook that was taken before, byte for byte.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from pipeline import clock, custody, schema
from pipeline.errors import UsageError
from pipeline.home import Home
from pipeline.reader import Reader

DECISIONS = ("violation", "not_violation", "escalated", "reopened")
NEEDS_REASON = ("violation", "not_violation", "reopened")
CLAIMED = "claimed"
CLAIM_MS = 3 * 86_400_000
MOST_CHARACTERS = 4_000


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """One decision of one reviewer about one finding."""

    finding_id: str
    decision: str
    reason: str = ""
    remedy: str = ""


class Refused(msgspec.Struct, frozen=True):
    """A decision that cannot be taken: where it stands (line of a worklist, 1 for a single one; what does not fit there) and the code of the reason."""

    line: int
    finding_id: str
    code: str
    column: str = ""


def check(reader: Reader, decisions: Sequence[tuple[int, Decision]]) -> list[Refused]:
    """Return what is wrong with numbered decisions, one entry each at most (rules 1 to 3)."""
    known = _known(reader, [d.finding_id for _, d in decisions])
    seen: set[str] = set()
    refused = []
    for line, decision in decisions:
        code = _fault(decision, known, seen)
        seen.add(decision.finding_id)
        if code:
            column = "remedy" if code == "TOO_LONG" and len(decision.remedy) > MOST_CHARACTERS else _COLUMNS[code]
            refused.append(Refused(line, decision.finding_id, code, column))
    return refused


def _fault(decision: Decision, known: frozenset[str], seen: set[str]) -> str:
    if decision.finding_id not in known:
        return "FINDING_UNKNOWN"
    if decision.finding_id in seen:
        return "DECIDED_TWICE"
    if not decision.decision:
        return "DECISION_MISSING"
    if decision.decision not in DECISIONS:
        return "DECISION_UNKNOWN"
    if decision.decision in NEEDS_REASON and not decision.reason.strip():
        return "REASON_MISSING"
    return "TOO_LONG" if max(len(decision.reason), len(decision.remedy)) > MOST_CHARACTERS else ""


def _known(reader: Reader, ids: Iterable[str]) -> frozenset[str]:
    found = reader.rows("SELECT DISTINCT finding_id FROM matches_all WHERE list_contains($ids, finding_id)", {"ids": list(ids)})
    return frozenset(r["finding_id"] for r in found)


def standing(reader: Reader, decisions: Iterable[Decision], *, batch: str) -> frozenset[str]:
    """Return the findings of which these decisions say nothing new (rule 5). batch: digest of the workbook they come from."""
    given = {d.finding_id: d for d in decisions}
    rows = reader.rows(_STANDING, {"ids": list(given), "batch": batch})
    return frozenset(r["finding_id"] for r in rows if r["taken"] or (r["decision"], r["reason"] or "", r["remedy"] or "") == _content(given[r["finding_id"]]))


_STANDING = """
SELECT
    finding_id,
    bool_or(coalesce(batch = $batch, FALSE)) AS taken,
    arg_max(decision, decided_at) AS decision,
    arg_max({'reason': reason, 'remedy': remedy}, decided_at).reason AS reason,
    arg_max({'reason': reason, 'remedy': remedy}, decided_at).remedy AS remedy
FROM lake_reviews WHERE decision <> 'claimed' AND list_contains($ids, finding_id) GROUP BY finding_id
"""


def _content(one: Decision) -> tuple[str, str, str]:
    return one.decision, one.reason.strip(), one.remedy.strip()


def keep(home: Home, corp_id: str, decisions: Sequence[Decision], *, batch: str = "", lexicon_version: str = "") -> int:
    """Keep decisions that `check` passed, in one commit; return how many. The reviewer is the actor of this call."""
    return _append(home, corp_id, [_row(d.finding_id, d.decision, d.reason, d.remedy) for d in decisions], batch, lexicon_version)


def claim(home: Home, corp_id: str, finding_ids: Sequence[str]) -> int:
    """Claim findings for the actor of this call: others see that somebody is at it, for three days. Return how many."""
    return _append(home, corp_id, [_row(f, CLAIMED, "", "") for f in finding_ids], "", "")


def _row(finding_id: str, decision: str, reason: str, remedy: str) -> dict[str, Any]:
    return {"finding_id": finding_id, "decision": decision, "reason": reason.strip() or None, "remedy": remedy.strip() or None}


def _append(home: Home, corp_id: str, rows: Sequence[dict[str, Any]], batch: str, lexicon_version: str) -> int:
    from pipeline.room import append

    if rows:
        same = {"reviewer": custody.actor(), "batch": batch or None, "lexicon_version": lexicon_version or None, "decided_at": clock.now_ms()}
        table = schema.table("reviews", {c.name: [{**r, **same}[c.name] for r in rows] for c in schema.kind("reviews").columns})
        append(home, corp_id, [("reviews", table)], what="review")
    return len(rows)


def refuse(refused: Sequence[Refused]) -> None:
    """Raise UsageError with the code of a single decision's fault; nothing when there is none."""
    for one in refused[:1]:
        raise UsageError(one.code, _SENTENCES[one.code], remedy=_REMEDIES.get(one.code, "`liuhen review list` shows the findings"))


_SENTENCES = {
    "FINDING_UNKNOWN": "the archive has no finding of this id",
    "DECIDED_TWICE": "the same finding is decided twice",
    "DECISION_MISSING": "a reason or a remedy, but no decision",
    "DECISION_UNKNOWN": f"expected one of {', '.join(DECISIONS)}",
    "REASON_MISSING": "this decision needs a reason",
    "TOO_LONG": f"expected at most {MOST_CHARACTERS} characters of reason and remedy",
}
# Where in a line of a worklist it stands that does not fit.
_COLUMNS = {
    "FINDING_UNKNOWN": "finding_id", "DECIDED_TWICE": "finding_id", "DECISION_MISSING": "decision", "DECISION_UNKNOWN": "decision", "REASON_MISSING": "reason",
    "TOO_LONG": "reason",
}  # fmt: skip
_REMEDIES = {"REASON_MISSING": "add --reason TEXT: who reads it later must see why", "TOO_LONG": "shorten it"}
