"""The archive worked out anew by the directory of now; a step of `run` after the directory was synced, and after `people import`.

Before: whose.py, rows.py, findings.py, consenting/. After: every reader.

Order, and why a crash anywhere is harmless: (1) what turns out to need consent and is refused is hidden and moved; (2) restricted records come back that no
refusal covers any more; (3) pending and withheld ones are decided again; (4) month by month, rows and findings of archived messages are rewritten, one
commit a month; (5) the note. Each finds what is left to do by itself, and the note comes last: killed anywhere, the same again ends the same.

What cannot be worked out anew, and why:
- withheld bytes that were destroyed: nothing is left of them;
- `employee_id` of withheld and pending records in `records`: their people are known to the sealed bytes alone;
- columns of records that stay restricted, until they come back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import msgspec

from pipeline import clock, trusted_clock
from pipeline.commit import new_run_id
from pipeline.consenting import change, hiding, judging, moving, reconcile, resealing
from pipeline.consenting.change import Change
from pipeline.consenting.hiding import Hidden
from pipeline.deltalog import DataFile, Snapshot
from pipeline.directory import fold_userid
from pipeline.errors import Locked
from pipeline.home import Home
from pipeline.lake import Lake
from pipeline.layout import is_hot
from pipeline.pseudonyms import Pseudonyms
from pipeline.register import pair_scope, room_scope
from pipeline.restating import findings, rows
from pipeline.restating import whose as notes
from pipeline.restating.rows import Judged
from pipeline.restating.whose import EVERYBODY, Note, Whose
from pipeline.workbench import Workbench

Row = dict[str, Any]
Progress = Callable[[str, int, int], None]


class Restated(msgspec.Struct, kw_only=True):
    """What was worked out anew: people of another kind (-1: everybody), rows rewritten, months, and records by where they went."""

    run_id: str
    people: int = 0
    rows: int = 0
    months: int = 0
    restricted: int = 0
    restored: int = 0
    archived: int = 0
    withheld: int = 0


def run(home: Home, corp_id: str, *, progress: Progress | None = None) -> Restated:
    """Work one corp out anew; the caller holds its commit lock. Safe to repeat and to kill."""
    done, note = Restated(run_id=new_run_id()), notes.noted(home, corp_id)
    lake = home.lake(corp_id)
    snapshot = lake.snapshot()
    who = notes.whose(lake, snapshot, note, Workbench(home, corp_id, snapshot).directory)
    done.people = -1 if who.everybody else len(who.written)
    if not who.nobody and snapshot.rows("records"):
        _consent(home, corp_id, who, done)
    months = _months(lake, lake.snapshot(), who, note)
    for n, month in enumerate(months):
        if progress:
            progress("people", n, len(months))
        _month(home, corp_id, month, who if month in _since(who, months) else notes.NOBODY, note, done)
    found = Note(people=tuple(f.path for f in snapshot.of("people")), version=note.version if who.nobody and note.version >= 0 else snapshot.version, hot=_hot(lake.snapshot()))
    if found != note:
        notes.note(home, corp_id, found)
    return done


def run_if_free(home: Home, corp_id: str, *, progress: Progress | None = None) -> Restated | None:
    """Work one corp out anew now; None when another run holds the commit lock: the next `run` does it."""
    try:
        with home.lock(f"{corp_id}.commit"):
            return run(home, corp_id, progress=progress)
    except Locked:
        return None


def _since(who: Whose, months: Iterable[str]) -> list[str]:
    """Return the months in which somebody's kind may be another one now."""
    first = None if who.since_ms is None else clock.month_of_day(clock.beijing_day(who.since_ms))
    return [] if who.nobody else [m for m in months if first is None or m >= first]


def _hot(snapshot: Snapshot) -> tuple[str, ...]:
    return tuple(sorted(f.path for f in snapshot.of("messages") if is_hot(f)))


def _fresh(files: Iterable[DataFile], note: Note) -> list[DataFile]:
    """Return the files that ingest, or a return from elsewhere, wrote since the note."""
    return [f for f in files if is_hot(f) and f.path not in note.hot]


def _months(lake: Lake, snapshot: Snapshot, who: Whose, note: Note) -> list[str]:
    """Return the months to be looked through: of people whose kind changed, and those with rows that were judged by an older directory."""
    months = sorted({f.month for f in snapshot.of("messages")})
    late = rows.judged_before(lake, _fresh(snapshot.of("messages"), note), note.version)
    return sorted({*_since(who, months), *(f.month for f in late)})


# -- consent -----------------------------------------------------------------------------------------------------------


def _consent(home: Home, corp_id: str, who: Whose, done: Restated) -> None:
    rules = reconcile.rules_of(home)

    def refused(bench: Workbench) -> list[Hidden]:
        every = bench.snapshot.of("messages")
        files = [f for f in every if f.month in _since(who, {f.month for f in every})]
        there = [j for j in rows.judged(bench, files, who) if j.flips]
        moves = [(j, judging.of_archived(j.decision, j.row.consent_source, j.row.at_ms, bench.register, rules)) for j in there if j.row.kind == "message"]
        return [Hidden(j.row, move) for j, move in moves if move is not None]

    done.restricted = hiding.hide_found(home, corp_id, done.run_id, refused)
    moving.move(home, corp_id)
    done.restored = moving.restore(home, corp_id, done.run_id, lambda _: True, rules)
    _held(home, corp_id, who, done)


def _held(home: Home, corp_id: str, who: Whose, done: Restated) -> None:
    """Decide pending and withheld records again. Withheld bytes are opened only where their scope is one of people who are all proven by now."""
    judges = resealing.by_register(reconcile.rules_of(home), trusted_clock.now_ms(home))
    went = resealing.decide_again(home, corp_id, done.run_id, "pending", lambda _: True, judges["pending"])
    done.archived, done.withheld = went.get("archived", 0), went.get("withheld", 0)
    lake = home.lake(corp_id)
    held = [history[-1] for history in resealing.waiting(lake, lake.snapshot(), "withheld", lambda _: True).values()]
    refs = _proven_refs(home, corp_id, who, Workbench(home, corp_id, lake.snapshot()), held) if held else set()
    if refs:
        went = resealing.decide_again(home, corp_id, done.run_id, "withheld", lambda row: row["scope_ref"] in refs or row["rule"] == "7", judges["withheld"])
        done.archived += went.get("archived", 0)


def _proven_refs(home: Home, corp_id: str, who: Whose, bench: Workbench, held: Sequence[Row]) -> set[str]:
    """Return which scopes of withheld records ask nobody any more: pairs of proven people, and proven senders in a room."""
    names, wanted = Pseudonyms(home, corp_id), {row["scope_ref"] for row in held}
    return {ref for scope in _scopes(who, bench.directory.proven(), held) if (ref := names.scope_ref(scope)) in wanted and ref is not None}


def _scopes(who: Whose, proven: Sequence[str], held: Sequence[Row]) -> Iterator[str]:
    """Yield the scopes that somebody who is proven by now may have been asked for, in both orders, ids as the directory writes them or in lower case."""
    fresh = [p for p in proven if who.names(p)]
    known = {row["employee_id"] for row in held if not row["room_id"]}
    # Where the record says which of the two looked like an employee, only his pairs are tried.
    firsts = proven if None in known else sorted(known)
    for a in firsts:
        for b in proven if who.names(a) else fresh:
            yield from (pair_scope(a, b), pair_scope(b, a), pair_scope(a, fold_userid(b)), pair_scope(b, fold_userid(a)))
    for room in sorted({row["room_id"] for row in held if row["room_id"]}):
        yield from (room_scope(room, p) for p in fresh)


# -- archived rows -----------------------------------------------------------------------------------------------------


def _month(home: Home, corp_id: str, month: str, who: Whose, note: Note, done: Restated) -> None:
    """Rewrite what of a month says something else now, in one commit."""
    count = 0

    def plan(lake: Lake, snapshot: Snapshot, made: Change) -> bool:
        nonlocal count
        bench = Workbench(home, corp_id, snapshot)
        changed = {j.key: j for j in _changed(bench, month, who, note)}
        count = len(changed)
        if changed:
            _rewrite(bench, month, changed, made)
        return bool(changed)

    if change.commit(home, corp_id, plan, what="people") is not None:
        done.rows += count
        done.months += 1


def _changed(bench: Workbench, month: str, who: Whose, note: Note) -> Iterator[Judged]:
    files = bench.snapshot.of("messages", months=[month])
    if not who.nobody:
        yield from rows.judged(bench, files, who)
    late = rows.judged_before(bench.home.lake(bench.corp_id), _fresh(files, note), note.version)
    yield from rows.judged(bench, late, EVERYBODY)


def _rewrite(bench: Workbench, month: str, changed: dict[tuple[str, int], Judged], made: Change) -> None:
    columns = {key: j.columns(bench.policy.version, bench.snapshot.version) for key, j in changed.items()}
    for file, table in rows.holding(made.lake, bench.snapshot.of("messages", months=[month]), set(changed)):
        made.instead(file, rows.rewritten(table, columns))
    findings.restate(bench, month, changed, made, now_ms=clock.now_ms())
