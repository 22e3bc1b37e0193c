"""Archived records that a refusal covers go out of every view, in one small commit.

Before: candidates.py, judging.py, fates.py. After: moving.py, which moves their rows under keys of their own.
The commit holds the later fates and the list of hidden records, no content: it is as large as what it hides, however large the archive.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import msgspec

from pipeline import clock, consent, layout
from pipeline.commitrows import table
from pipeline.consenting import candidates, change, fates, hidden, judging
from pipeline.consenting.candidates import Stored
from pipeline.consenting.change import Change
from pipeline.consenting.fates import Fated, Key
from pipeline.consenting.judging import Move, Rules
from pipeline.deltalog import Snapshot
from pipeline.home import Home
from pipeline.lake import Lake
from pipeline.pseudonyms import Pseudonyms
from pipeline.register import Event
from pipeline.workbench import Workbench


class Hidden(msgspec.Struct, frozen=True):
    """A record to be hidden, and why."""

    row: Stored
    move: Move

    @property
    def key(self) -> Key:
        """Its identity."""
        return (self.row.origin, self.row.seq)


def hide(home: Home, corp_id: str, run_id: str, fresh: Sequence[Event], rules: Rules) -> int:
    """Restrict, in one commit, what these events now cover; return how many records went out of view."""
    return hide_found(home, corp_id, run_id, lambda bench: judged(home, bench, fresh, rules))


def hide_found(home: Home, corp_id: str, run_id: str, find: Callable[[Workbench], list[Hidden]]) -> int:
    """Restrict, in one commit, what `find` finds on its snapshot; return how many records went out of view."""
    done = 0

    def plan(lake: Lake, snapshot: Snapshot, made: Change) -> bool:
        nonlocal done
        found = find(Workbench(home, corp_id, snapshot))
        done = len(found)
        if found:
            write(home, made, found, run_id)
        return bool(found)

    if change.commit(home, corp_id, plan, what="restrict") is not None:
        hidden.ring(home, corp_id)
    return done


def judged(home: Home, bench: Workbench, fresh: Sequence[Event], rules: Rules) -> list[Hidden]:
    """Return the archived records that these events take out of view, recalls of them included."""
    lake, snapshot = home.lake(bench.corp_id), bench.snapshot
    touched = candidates.scopes_of(fresh, bench.events if any(e.undoes for e in fresh) else ())
    what = candidates.asked(touched, bench.register, from_the_beginning=rules.withdrawal == "restrict")
    rows = candidates.rows(lake, snapshot, what, sender_decides=bench.policy.room == "sender")
    gone = {(origin, seq) for origin, seqs in hidden.keys(lake, snapshot).items() for seq in seqs}
    there = [r for r in rows if (r.origin, r.seq) not in gone]
    found = [Hidden(r, m) for r in there if r.kind == "message" and (m := _move(r, bench, rules)) is not None]
    return found + _recalls(there, found)


def _move(row: Stored, bench: Workbench, rules: Rules) -> Move | None:
    decision = consent.decide(row.stub(), captured_at_ms=row.captured_at_ms, register=bench.register, directory=bench.directory, policy=bench.policy)
    return judging.of_archived(decision, row.consent_source, row.at_ms, bench.register, rules)


def _recalls(rows: Iterable[Stored], found: Sequence[Hidden]) -> list[Hidden]:
    """Return the recalls of what is hidden (rule 7 of the gate)."""
    originals = {h.row.msgid: h.move for h in found}
    return [Hidden(r, msgspec.structs.replace(originals[r.recalls_msgid], rule="7")) for r in rows if r.kind == "recall" and r.recalls_msgid in originals]


def write(home: Home, made: Change, found: Sequence[Hidden], run_id: str) -> None:
    """Put the later fates and the list of hidden records into a commit."""
    lake, snapshot = made.lake, made.snapshot
    names = Pseudonyms(home, lake.corp_id)
    fated = [
        Fated(
            key=h.key, fate="restricted", reason=h.move.reason, rule=h.move.rule, scope_ref=names.scope_ref(h.move.scope), msgid=h.row.msgid,
            event_ref=names.event_ref(h.move.event_id), captured_at_ms=h.row.captured_at_ms,
        )
        for h in found
    ]
    known = fates.histories(lake, snapshot, {h.key for h in found})
    policy = Workbench(home, lake.corp_id, snapshot).policy.version
    rows = fates.later_rows(fated, known, corp_id=lake.corp_id, snapshot=snapshot, now_ms=clock.now_ms(), run_id=run_id, policy_version=policy)
    made.write(rows, "records")
    places = [
        {"origin": h.row.origin, "seq": h.row.seq, "row_month": h.row.month, "row_bucket": layout.bucket_of(h.row.conversation_id)} for h in found
    ]
    made.write(table("hidden", places), "hidden")
