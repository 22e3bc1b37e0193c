"""Decisions of officers about pending records: keep, or treat as refused.

Before: resealing.py. After: the command `consent decide`, which records who, which and why.
An officer cannot keep what a refusal covers: a wrong refusal is undone in the register, not decided away. In `single` mode the owner decides.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from pipeline.commit import new_run_id
from pipeline.consenting import resealing
from pipeline.home import Home
from pipeline.records import Decision

Row = dict[str, Any]


class Decided(msgspec.Struct, frozen=True):
    """decided: records that went where the officer said, recalls of them included; refused: those a refusal covers, which stay."""

    decided: int
    refused: int


def decide(home: Home, corp_id: str, verdict: Literal["keep", "withhold"], *, msgids: frozenset[str] = frozenset(), scope_ref: str = "", reason: str = "") -> Decided:
    """Decide pending records by msgid, by scope, or by why they wait (`breaker`, `policy`, `unknown_status`); the caller holds the commit lock."""
    refused: set[int] = set()

    def wanted(row: Row) -> bool:
        return row["rule"] == "7" or row["msgid"] in msgids or (scope_ref != "" and row["scope_ref"] == scope_ref) or (reason != "" and row["reason"] == reason)

    def judge(decision: Decision, row: Row) -> Decision | None:
        if verdict == "withhold":
            return msgspec.structs.replace(decision, fate="withheld", reason="officer_withhold", consent="unknown", source="officer:withhold")
        if decision.fate == "withheld" and decision.rule == "3":
            refused.add(row["seq"])
            return None
        return msgspec.structs.replace(decision, fate="archived", reason="officer_keep", source="officer:keep")

    went = resealing.decide_again(home, corp_id, new_run_id(), "pending", wanted, judge)
    return Decided(went.get("archived", 0) + went.get("withheld", 0), len(refused))
