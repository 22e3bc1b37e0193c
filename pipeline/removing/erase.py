"""A customer's records removed: on request (erasure), because their time is over (retention), or because they are restricted. Two persons each time.

Before: subject.py, precedence.py, approvals/. After: take_out.py; the commands `erase`, `retention remove`, `restricted remove`.

Rules: (1) the precedence table decides record by record; (2) one record under a hold refuses the whole: who asked must know, and the hold
decides first; (3) on an erasure request what a statutory period covers becomes restricted instead of removed; (4) what is approved is what is
done: the same counts to the last row, else it is asked anew.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from pipeline.approvals import store as approvals
from pipeline.commit import new_run_id
from pipeline.consenting import change, fates, hiding, moving
from pipeline.consenting.candidates import Stored
from pipeline.consenting.change import Change
from pipeline.consenting.hiding import Hidden
from pipeline.consenting.judging import Move
from pipeline.consenting.precedence import Occasion, outcome
from pipeline.deltalog import Snapshot
from pipeline.errors import NotAllowed
from pipeline.holds import Hold
from pipeline.home import Home
from pipeline.lake import Lake
from pipeline.register import pair_scope, room_scope
from pipeline.removing import subject, take_out
from pipeline.removing.subject import Statutory, Subject
from pipeline.removing.take_out import Removal
from pipeline.retention import due


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What would be done. counts: rows of each store that would go, `restricted_now`: records that would be restricted; held: records under
    a hold, and the matters of those holds."""

    occasion: Occasion
    customer: str
    archived: tuple[Stored, ...]
    restricted: tuple[Stored, ...]
    unopened: dict[fates.Key, subject.Row]
    to_restrict: tuple[Stored, ...]
    counts: dict[str, int]
    held: int = 0
    matters: tuple[str, ...] = ()

    @property
    def nothing(self) -> bool:
        """Whether there is nothing to do."""
        return not any(self.counts.values())


def of_request(home: Home, corp_id: str, customer: str) -> Plan:
    """Return what an erasure request of a customer would do."""
    found = subject.find(home, corp_id, customer)
    everything = [*found.archived, *found.restricted]
    statutory = due.statutory_of(home, corp_id, customer, everything, due.today(home))
    return _plan(home, corp_id, "erasure_request", found, found.archived, found.restricted, statutory, whole=True)


def of_retention(home: Home, corp_id: str, customer: str) -> Plan:
    """Return what of a customer's records would go because its time is over."""
    from pipeline.retention import store

    found, today, standing = subject.find(home, corp_id, customer), due.today(home), store.standing(home, corp_id)
    everything = [*found.archived, *found.restricted]
    over = {(r.origin, r.seq) for r in due.is_due(standing, customer, everything, today)}
    archived = [r for r in found.archived if (r.origin, r.seq) in over]
    restricted = [r for r in found.restricted if (r.origin, r.seq) in over]
    return _plan(home, corp_id, "retention_due", found, archived, restricted, lambda _: False, whole=False)


def of_restricted(home: Home, corp_id: str, customer: str, chosen: Sequence[Stored]) -> Plan:
    """Return what the removal of restricted records would do. customer: who is named in the request, or empty."""
    statutory = due.statutory_of(home, corp_id, customer, list(chosen), due.today(home)) if customer else _of_anybody(home, corp_id, chosen)
    nobody = Subject(customer=customer, archived=(), restricted=(), waiting={}, directory={})
    return _plan(home, corp_id, "late_refusal", nobody, (), chosen, statutory, whole=False)


def _of_anybody(home: Home, corp_id: str, chosen: Sequence[Stored]) -> Statutory:
    """Records named one by one: each is asked about every person in it."""
    today = due.today(home)

    def covered(record: Stored) -> bool:
        people = {p for p in (record.sender_id, *record.recipient_ids) if p}
        return any(due.statutory_of(home, corp_id, p, list(chosen), today)(record) for p in people)

    return covered


def _plan(
    home: Home, corp_id: str, occasion: Occasion, found: Subject, archived: Sequence[Stored], restricted: Sequence[Stored], statutory: Statutory, *, whole: bool
) -> Plan:
    lake = home.lake(corp_id)
    snapshot, open_holds = lake.snapshot(), subject.open_holds(home, corp_id)
    went = {(r.origin, r.seq): outcome(occasion, subject.cover_of(r, open_holds, statutory)) for r in (*archived, *restricted)}
    go = [r for r in archived if went[r.origin, r.seq].removal == "two_persons"]
    go_restricted = [r for r in restricted if went[r.origin, r.seq].removal == "two_persons"]
    to_restrict = [r for r in archived if went[r.origin, r.seq].state == "restricted"]
    held_by = _holding(found.customer, open_holds, (*archived, *restricted), found.waiting if whole else {})
    keys = {(r.origin, r.seq) for r in (*go, *go_restricted)} | (set(found.waiting) if whole else set())
    counts = {
        "records": len(keys), **take_out.counted(home, lake, snapshot, keys), "restricted_now": len(to_restrict),
        "kept_restricted": len(restricted) - len(go_restricted), **(found.directory if whole and not to_restrict else {}),
    }  # fmt: skip
    return Plan(
        occasion=occasion, customer=found.customer, archived=tuple(go), restricted=tuple(go_restricted), unopened=found.waiting if whole else {},
        to_restrict=tuple(to_restrict), counts={k: n for k, n in counts.items() if n}, held=_held(held_by),
        matters=tuple(sorted({h.matter for h, _ in held_by})),
    )  # fmt: skip


def _holding(customer: str, open_holds: Sequence[Hold], records: Sequence[Stored], waiting: dict[fates.Key, subject.Row]) -> list[tuple[Hold, set[fates.Key]]]:
    """Return the holds that cover any of the records, each with those it covers."""
    found = []
    for hold in open_holds:
        keys = {(r.origin, r.seq) for r in records if hold.covers(people=(r.sender_id, *r.recipient_ids), room_id=r.room_id)}
        keys |= {key for key, row in waiting.items() if subject.held_unopened(customer, row, [hold])}
        if keys:
            found.append((hold, keys))
    return found


def _held(holding: Sequence[tuple[Hold, set[fates.Key]]]) -> int:
    """Return how many records any hold covers: one that two of them cover is one."""
    return len(set().union(*(keys for _, keys in holding)))


def refuse_held(plan: Plan) -> None:
    """Raise NotAllowed REMOVAL_HELD when a hold covers any of it (rule 2)."""
    if plan.held:
        named = ", ".join(plan.matters)
        remedy = "tell whoever asked why (PIPL 50); `liuhen hold release` (or `retention event dispute_closed`) comes first, if the matter allows it"
        raise NotAllowed("REMOVAL_HELD", f"a hold covers {plan.held} of these records (matter {named})", remedy=remedy)


def do(home: Home, corp_id: str, plan: Plan, *, action: str, params: dict[str, str], reason: str, approval: str) -> dict[str, int]:
    """Do what was approved; return how many rows each store lost. The caller holds the commit lock.

    Raises NotAllowed REMOVAL_HELD, APPROVAL_… (the first call asks for the approval)."""
    refuse_held(plan)
    approved = approvals.two_persons(
        home, corp_id, action=action, params=params, counts=plan.counts, reason=reason, approval=approval, always=True, spend_now=False
    )
    assert approved is not None
    records = (*plan.archived, *plan.restricted)
    since = _holding(plan.customer, subject.open_holds(home, corp_id), records, plan.unopened)  # a hold that was set since the plan was made counts too
    refuse_held(msgspec.structs.replace(plan, held=_held(since), matters=tuple(sorted({h.matter for h, _ in since}))))
    lost: dict[str, int] = {}
    if plan.to_restrict:
        lost["restricted_now"] = _restrict(home, corp_id, plan)
    going = [take_out.going_of(r, active=True) for r in plan.archived] + [take_out.going_of(r, active=False) for r in plan.restricted]
    going += [take_out.unopened_of(key, row) for key, row in plan.unopened.items()]
    whole = plan.occasion == "erasure_request" and not plan.to_restrict
    if going or whole:
        removal = Removal(request=approved.request.id, reason=plan.occasion, going=tuple(going), directory=plan.customer if whole else "")
        return lost | take_out.begin(home, corp_id, removal)
    approvals.spend(home, corp_id, approved)
    return lost


def _restrict(home: Home, corp_id: str, plan: Plan) -> int:
    """Take out of view what must be kept and may be used for nothing else (rule 3), and move it under the keys of the restricted."""
    run_id = new_run_id()

    def planned(lake: Lake, snapshot: Snapshot, made: Change) -> bool:
        known = fates.histories(lake, snapshot, {(r.origin, r.seq) for r in plan.to_restrict})
        rows = [r for r in plan.to_restrict if known[r.origin, r.seq][-1]["fate"] == "archived"]
        if rows:
            hiding.write(home, made, [Hidden(r, Move("restricted", plan.occasion, "6", _scope(plan.customer, r))) for r in rows], run_id)
        return bool(rows)

    if change.commit(home, corp_id, planned, what="restrict") is not None:
        from pipeline.consenting import hidden

        hidden.ring(home, corp_id)
    return moving.move(home, corp_id)


def _scope(customer: str, record: Stored) -> str:
    if record.room_id is not None:
        return room_scope(record.room_id, customer)
    return pair_scope(next((p for p in (record.sender_id, *record.recipient_ids) if p and p != customer), ""), customer)
