"""What a bundle holds, what it does not hold, and why: counts that a stranger can add up, and the decisions behind what is missing.

Before: scope.py, records.py. After: bundle.py. Source: evidence.md, section 9.

Nothing is dropped in silence: what was withheld, waits, failed or was restricted in these conversations stands in `held`, each with its leaf
and the proof of the decision; what cannot be attributed to a conversation (failed, pending, gaps) is counted for the whole archive.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from pipeline.evidence.checkpoint import Checkpoint
from pipeline.evidence.proving import Prover
from pipeline.evidence.records import Told, opening, plain
from pipeline.evidence.scope import Scope
from pipeline.evidence.spool import Spool
from pipeline.names import ms_of
from pipeline.pseudonyms import Pseudonyms
from pipeline.reader import Reader
from pipeline.register import pair_scope

_HELD = """
SELECT r.leaf, r.commitment, r.nonce, r.origin, r.seq, r.msgid, r.fate, r.reason, r.rule, r.code, r.dt, r.scope_ref, r.key_version, p.captured_at
FROM lake_current_records AS r
LEFT JOIN lake_pages AS p ON p.page = r.page
WHERE r.leaf < $size AND r.fate IN ('withheld', 'pending', 'restricted', 'removed')
    AND (list_contains($rooms, r.room_id) OR list_contains($scopes, r.scope_ref))
ORDER BY r.leaf
"""
# As of the checkpoint; but what was restricted or removed since is so today, and stays out.
_TOTALS = """
WITH newest AS (
    SELECT fate FROM lake_records WHERE leaf < $size OR fate IN ('restricted', 'removed')
    QUALIFY row_number() OVER (PARTITION BY origin, seq, variant, CASE WHEN seq IS NULL THEN page END ORDER BY fate_no DESC) = 1
)
SELECT count(*) FILTER (fate = 'failed') AS failed, count(*) FILTER (fate = 'pending') AS pending, count(*) FILTER (fate = 'withheld') AS withheld,
    count(*) FILTER (fate = 'restricted') AS restricted FROM newest
"""
_FATES = "SELECT fate, count(*) AS n FROM lake_records WHERE leaf < $size GROUP BY fate ORDER BY fate"


def held(reader: Reader, scope: Scope, prover: Prover) -> Spool[dict[str, Any]]:
    """Return the records of these conversations whose words are not in the bundle: where they stand, why, and the proof of the decision."""
    names = Pseudonyms(reader.home, reader.corp_id)
    pairs = [c.split("|") for c in scope.conversations if c.count("|") == 1]
    scopes = [names.scope_ref(s) for a, b in pairs for s in (pair_scope(a, b), pair_scope(b, a))]
    rows = reader.rows(_HELD, {"size": prover.point.records, "rooms": list(scope.conversations), "scopes": scopes})
    spool = Spool(reader.home.path, dict[str, Any])
    for row in rows:
        spool.append(_held(row, reader.corp_id, prover))
    return spool


def _held(row: dict[str, Any], corp_id: str, prover: Prover) -> dict[str, Any]:
    told = {k: plain(row[k]) for k in ("leaf", "origin", "seq", "msgid", "fate", "reason", "rule", "code", "dt")}
    fields = {
        "corp_id": corp_id, "origin": row["origin"], "seq": row["seq"], "fate": row["fate"], "msgid": row["msgid"], "key_version": row["key_version"],
        "captured_at_ms": ms_of(row["captured_at"]), "reason": row["reason"], "scope_ref": row["scope_ref"], "code": row["code"], "sealed_sha256": None,
    }  # fmt: skip
    provable = row["nonce"] is not None and row["fate"] in ("withheld", "pending")
    return {**told, "proof": opening(row["nonce"], fields, row["leaf"], row["commitment"], prover) if provable else None}


def coverage(reader: Reader, scope: Scope, told: Sequence[Told], kept_back: Sequence[dict[str, Any]], point: Checkpoint) -> dict[str, Any]:
    """Return what completeness/coverage.json says."""
    counted, media = _counted(told)
    (totals,) = reader.rows(_TOTALS, {"size": point.records})
    size = point.records
    return {
        "asked": scope.asked, "first_day": plain(scope.first_day), "last_day": plain(scope.last_day), "leaves": size,
        "first_leaf": told[0].leaf if told else None, "last_leaf": told[-1].leaf if told else None,
        "records": len(told), "marked": counted["marked"], "held": len(kept_back),
        "conversations": [{"conversation_id": c, "in_bundle": counted["in", c], **around} for c, around in _around(reader, scope, size).items()],
        "recalled": counted["recalled"], "imported": counted["imported"], "media": dict(sorted(media.items())),
        "whole_archive": {**totals, "fates": {r["fate"]: r["n"] for r in reader.rows(_FATES, {"size": size})}, "gaps": _gaps(reader)},
    }  # fmt: skip


def _counted(told: Iterable[Told]) -> tuple[Counter[Any], Counter[str]]:
    """Return how many records are marked, recalled, imported and in each conversation ("in", id); and files by state."""
    counted, media = Counter[Any](), Counter[str]()
    for line in (t.line for t in told):
        counted["in", line["conversation_id"]] += 1
        counted["marked"] += line["marked"]
        counted["recalled"] += line["recalled_at_ms"] is not None
        counted["imported"] += line["origin"] == "imported"
        media.update(m["status"] for m in line["media"])
    return counted, media


def _around(reader: Reader, scope: Scope, size: int) -> dict[str, dict[str, Any]]:
    """Return how many records of each conversation are archived, lie before and after the days asked for, and its first and last day."""
    rows = reader.rows(
        "SELECT m.conversation_id, count(*) AS archived, count(*) FILTER (m.dt < $first) AS before, count(*) FILTER (m.dt > $last) AS after,"
        " min(m.dt) AS first_day, max(m.dt) AS last_day FROM messages AS m WHERE m.conversation_id IN (SELECT unnest($ids)) AND (m.origin, m.seq) IN"
        " (SELECT (origin, seq) FROM lake_records WHERE fate = 'archived' AND leaf < $size) GROUP BY m.conversation_id",
        {"ids": list(scope.conversations), "first": scope.first_day, "last": scope.last_day, "size": size},
    )
    none = {"archived": 0, "before": 0, "after": 0, "first_day": None, "last_day": None}
    found = {r["conversation_id"]: {k: plain(r[k]) for k in none} for r in rows}
    return {conversation_id: found.get(conversation_id, none) for conversation_id in scope.conversations}


def _gaps(reader: Reader) -> list[dict[str, Any]]:
    return [{k: plain(v) for k, v in r.items() if k != "corp_id"} for r in reader.rows("SELECT * FROM gaps ORDER BY after_seq")]
