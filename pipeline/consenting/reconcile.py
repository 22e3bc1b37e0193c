"""`consent reconcile`: stored records are brought in line with what is known about consent now; a step of `run`.

Before: hiding.py, moving.py, resealing.py, destroying.py. After: the summary; every reader.

Order, and why a crash anywhere is harmless: (1) hide what a refusal covers (one small commit, visible at once); (2) move the rows; (3) bring
back what no refusal covers any more; (4) decide pending and withheld records again; (5) note up to which events this was done; (6) destroy
withheld bytes whose days are over. Each step is one commit that finds what is left to do by itself; the note comes after all of them, so a
killed run is done again from its beginning and finds done what is done.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from pipeline import clock, lakerows, trusted_clock
from pipeline.commit import new_run_id
from pipeline.commitrows import table
from pipeline.consenting import candidates, change, destroying, hiding, moving, resealing
from pipeline.consenting.change import Change
from pipeline.consenting.judging import Rules
from pipeline.deltalog import Snapshot
from pipeline.home import Home
from pipeline.lake import Lake
from pipeline.register import Event
from pipeline.workbench import Workbench

Row = dict[str, Any]


class Reconciled(msgspec.Struct, kw_only=True):
    """What a reconciliation did: events taken into account, records by where they went, days of withheld bytes destroyed or kept by a hold."""

    run_id: str
    events: int = 0
    restricted: int = 0
    moved: int = 0
    restored: int = 0
    pending_archived: int = 0
    pending_withheld: int = 0
    withheld_archived: int = 0
    withheld_pending: int = 0
    destroyed: int = 0
    held: int = 0


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """What there is to take into account: events nobody reconciled yet, files they were read from, whether the policy is another one."""

    fresh: tuple[Event, ...]
    files: tuple[str, ...]
    policy_version: str
    policy_changed: bool


def rules_of(home: Home) -> Rules:
    """Return the firm's choices that are not the gate's."""
    consent = home.config.consent
    return Rules(withdrawal=consent.withdrawal, pending_days=consent.pending_days)


def run(home: Home, corp_id: str) -> Reconciled:
    """Reconcile one corp; the caller holds its commit lock. Safe to repeat and to kill."""
    from pipeline.removing import take_out

    take_out.finish(home, corp_id)  # a removal that was killed comes first: its records are not to be moved anywhere else
    done = Reconciled(run_id=new_run_id())
    rules, known = rules_of(home), _known(home, corp_id)
    done.events = len(known.fresh)
    if known.fresh:
        done.restricted = hiding.hide(home, corp_id, done.run_id, known.fresh, rules)
    done.moved = moving.move(home, corp_id)
    refs, subjects = _touched(home, corp_id, known.fresh)
    if refs:
        done.restored = moving.restore(home, corp_id, done.run_id, _concerned(refs, subjects), rules)
    _decide_again(home, corp_id, done, rules, known, refs)
    if known.fresh or known.policy_changed:
        _note(home, corp_id, known, done.run_id)
    gone = destroying.destroy_due(home, corp_id)
    done.destroyed, done.held = gone.days, gone.held
    return done


def hide_now(home: Home, corp_id: str) -> int:
    """Take out of view what newly known events cover, and nothing else; called by whoever stored such events. Return how many records."""
    known = _known(home, corp_id)
    return hiding.hide(home, corp_id, new_run_id(), known.fresh, rules_of(home)) if known.fresh else 0


def _known(home: Home, corp_id: str) -> Known:
    lake = home.lake(corp_id)
    snapshot = lake.snapshot()
    notes = sorted(lake.read("reconciles", snapshot.of("reconciles")).to_pylist(), key=lambda r: r["at"])
    before = set(notes[-1]["consent_files"]) if notes else set()
    files, policy = snapshot.of("consent"), Workbench(home, corp_id, snapshot).policy.version
    return Known(
        fresh=tuple(lakerows.events_in(lake, [f for f in files if f.path not in before])), files=tuple(f.path for f in files),
        policy_version=policy, policy_changed=bool(notes) and notes[-1]["policy_version"] != policy,
    )  # fmt: skip


def _touched(home: Home, corp_id: str, fresh: Sequence[Event]) -> tuple[set[str], set[bytes]]:
    if not fresh:
        return set(), set()
    every = Workbench(home, corp_id, home.lake(corp_id).snapshot()).events if any(e.undoes for e in fresh) else ()
    return moving.scope_refs(home, corp_id, candidates.scopes_of(fresh, every))


def _concerned(refs: set[str], subjects: set[bytes]) -> Callable[[Row], bool]:
    def concerned(row: Row) -> bool:
        return row["scope_ref"] in refs or not subjects.isdisjoint(row["subjects"])

    return concerned


def _decide_again(home: Home, corp_id: str, done: Reconciled, rules: Rules, known: Known, refs: set[str]) -> None:
    now = trusted_clock.now_ms(home)
    expires = now - rules.pending_days * clock.DAY_MS

    def by_scope(row: Row) -> bool:
        return row["scope_ref"] in refs or (bool(refs) and row["rule"] == "7")

    def pending(row: Row) -> bool:
        return by_scope(row) or known.policy_changed or (rules.pending_days > 0 and row["reason"] != "breaker" and row["settled_at"] <= expires)

    judges = resealing.by_register(rules, now)
    went = resealing.decide_again(home, corp_id, done.run_id, "pending", pending, judges["pending"])
    done.pending_archived, done.pending_withheld = went.get("archived", 0), went.get("withheld", 0)
    if refs:
        went = resealing.decide_again(home, corp_id, done.run_id, "withheld", by_scope, judges["withheld"])
        done.withheld_archived, done.withheld_pending = went.get("archived", 0), went.get("pending", 0)


def _note(home: Home, corp_id: str, known: Known, run_id: str) -> None:
    """Note up to which events the archive was reconciled; earlier notes are of no more use."""

    def plan(lake: Lake, snapshot: Snapshot, made: Change) -> bool:
        row = {
            "consent_files": list(known.files), "policy_version": known.policy_version, "register_version": snapshot.version, "at": clock.now_ms(),
            "run_id": run_id,
        }  # fmt: skip
        made.write(table("reconciles", [row]), "reconciles")
        made.removes += snapshot.of("reconciles")
        return True

    change.commit(home, corp_id, plan, what="reconcile")
