"""Whether a stored record is where its judgement puts it, and where it goes if not. Pure.

Before: consent.py (the decision under the present register). After: hiding.py, moving.py, resealing.py.

Rules (interface.md, "Consent" 2 to 6):
 (1) An archived record that a refusal covers becomes restricted (`refused`). One whose scope has an unknown status becomes restricted
     too (`unknown_status`): the same record would wait, sealed, had the status come first; it is back as soon as the status is known.
 (2) Policy moves nothing that was archived: a changed `default` judges what comes, not what is there.
 (3) Withdrawal now of an earlier consent (`withdrawal = "restrict"`): what was sent before a later refusal of its scope becomes restricted
     (`withdrawn`). With "keep" it stays: the withdrawal does not undo what was lawful before it (PIPL 15).
 (4) A restricted record whose refusal does not count any more (an undone import, a later platform record) is archived again. One that
     was restricted by hand stays: its reason is none of these three.
 (5) A pending record goes where its judgement is known: archived, or withheld by a refusal. What the breaker holds back waits for an officer
     as long as it is still refused. After `pending_days` it is withheld (`pending_expired`), never before an officer looked at what the breaker holds.
 (6) A withheld record whose refusal does not count any more is archived while its bytes are there; what policy alone withheld stays
     until an event decides.
 (7) What an officer decided to keep (`officer:keep`) is moved by a refusal alone.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from pipeline.clock import DAY_MS
from pipeline.consenting.precedence import outcome
from pipeline.records import Decision
from pipeline.register import Register, State

BY_REGISTER = ("refused", "unknown_status", "withdrawn")
OFFICER = "officer:"


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """What the firm chose beside the gate's policy. pending_days: 0 waits for a decision without end."""

    withdrawal: Literal["keep", "restrict"] = "keep"
    pending_days: int = 0


class Move(msgspec.Struct, frozen=True):
    """Where a record goes: its new fate, why, by which rule of the gate, the scope that decided, and the event it rests on."""

    fate: Literal["archived", "restricted", "withheld", "pending"]
    reason: str
    rule: str
    scope: str | None
    event_id: str | None = None


def of_archived(decision: Decision, consent_source: str, at_ms: int, register: Register, rules: Rules) -> Move | None:
    """Return what takes an archived record out of view, None when nothing does. at_ms: when it counts as sent."""
    if decision.fate == "withheld" and decision.rule == "3" and outcome("late_refusal", "none").state == "restricted":
        return Move("restricted", "refused", "3", decision.scope, decision.event_id)
    if decision.fate == "pending" and decision.rule == "2" and not consent_source.startswith(OFFICER):
        return Move("restricted", "unknown_status", "2", decision.scope, decision.event_id)
    if outcome("withdrawal", "none", withdrawal=rules.withdrawal).state == "restricted" and decision.rule not in ("1", "6"):
        for scope in decision.scopes:
            withdrawn = refusal_after(register, scope, at_ms)
            if withdrawn is not None:
                return Move("restricted", "withdrawn", "3", scope, withdrawn.event_id)
    return None


def refusal_after(register: Register, scope: str, at_ms: int) -> State | None:
    """Return the first refusal of the scope after at_ms, None when there is none."""
    return next((s for s in register.timeline(scope) if s.status == "refused" and s.since_ms is not None and s.since_ms > at_ms), None)


def of_restricted(reason: str | None, decision: Decision, consent_source: str, at_ms: int, register: Register, rules: Rules) -> Move | None:
    """Return the move that brings a restricted record back, None when it stays."""
    if reason not in BY_REGISTER:
        return None
    if of_archived(decision, consent_source, at_ms, register, rules) is not None:
        return None
    return Move("archived", "no_refusal_counts", decision.rule, decision.scope)


def of_pending(reason: str | None, since_ms: int, decision: Decision, rules: Rules, now_ms: int) -> Move | None:
    """Return where a pending record goes, None while it waits."""
    if decision.fate == "archived":
        return Move("archived", decision.reason, decision.rule, decision.scope)
    if decision.fate == "withheld" and decision.rule == "3" and reason != "breaker":
        return Move("withheld", "refused", "3", decision.scope)
    if rules.pending_days and reason != "breaker" and since_ms + rules.pending_days * DAY_MS <= now_ms:
        return Move("withheld", "pending_expired", decision.rule, decision.scope)
    return None


def of_withheld(rule: str | None, reason: str | None, decision: Decision) -> Move | None:
    """Return where a withheld record goes whose bytes are still there, None when it stays withheld."""
    if reason in ("pending_expired", "officer_withhold"):
        return None
    if decision.fate == "archived" and not (rule == "5" and decision.rule == "5"):
        return Move("archived", decision.reason, decision.rule, decision.scope)
    if decision.fate == "pending" and decision.rule == "2":
        return Move("pending", decision.reason, decision.rule, decision.scope)
    return None
