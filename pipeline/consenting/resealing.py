"""Pending and withheld records that are decided anew: opened again, walked through the gate, and laid where they belong now.

Before: judging.py, workbench.py (the same steps as ingest), stage.py (rows). After: reconcile.py, officers.py.

Rules: (1) only the gate's own decision, or an officer's made through `consent.with_decision`, makes a record archived; (2) a recall follows
its original as it stands after this step; (3) a record that does not open now stays where it is; (4) one commit adds the rows of its new
fate and takes its sealed bytes out of where they lay; (5) page, item and capture of a record stay what they were.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from typing import Any, Literal

import msgspec
import pyarrow as pa
import pyarrow.dataset as ds

from pipeline import answers, clock, consent, rewriting, settle, trusted_clock
from pipeline.commitrows import table as rows_table
from pipeline.consenting import change, fates, judging
from pipeline.consenting.change import Change
from pipeline.consenting.fates import Fated, Key
from pipeline.consenting.judging import Move, Rules
from pipeline.deltalog import DataFile, Snapshot
from pipeline.home import Home
from pipeline.lake import Lake
from pipeline.records import Decision, Gated, GatedPage, OpenedItem, OpenedPage, PageRef
from pipeline.saved_files import answer_of
from pipeline.stage import Builder, Outline
from pipeline.workbench import Workbench

Held = Literal["pending", "withheld"]
Row = dict[str, Any]
# (the gate's decision now, the record's newest row) → what becomes of it, None: it stays
Judge = Callable[[Decision, Row], Decision | None]


def decide_again(home: Home, corp_id: str, run_id: str, kind: Held, wanted: Callable[[Row], bool], judge: Judge) -> dict[str, int]:
    """Judge the `kind` records again whose newest row of `records` is `wanted`; return how many went where, by fate."""
    went: dict[str, int] = {}

    def plan(lake: Lake, snapshot: Snapshot, made: Change) -> bool:
        nonlocal went
        chosen = waiting(lake, snapshot, kind, wanted)
        if not chosen:
            went = {}
            return False
        went = _planned(home, Workbench(home, corp_id, snapshot), kind, chosen, judge, run_id, made)
        return bool(went)

    change.commit(home, corp_id, plan, what=f"decide {kind}")
    return went


def waiting(lake: Lake, snapshot: Snapshot, kind: Held, wanted: Callable[[Row], bool]) -> dict[Key, list[Row]]:
    """Return the history of every record whose fate is `kind` now and whose newest row is wanted."""
    files = snapshot.of("records")
    seen = lake.read("records", files, columns=["origin", "seq"], where=(ds.field("fate") == kind) & ds.field("seq").is_valid())
    keys = set(zip(seen["origin"].to_pylist(), seen["seq"].to_pylist(), strict=True))
    known = fates.histories(lake, snapshot, keys)
    return {key: rows for key, rows in known.items() if rows[-1]["fate"] == kind and wanted(rows[-1])}


def by_register(rules: Rules, now_ms: int) -> dict[Held, Judge]:
    """Return how pending and withheld records are judged by the register, the policy and the days that have passed."""

    def pending(decision: Decision, last: Row) -> Decision | None:
        return _moved(decision, judging.of_pending(last["reason"], last["settled_at"], decision, rules, now_ms))

    def withheld(decision: Decision, last: Row) -> Decision | None:
        return _moved(decision, judging.of_withheld(last["rule"], last["reason"], decision))

    return {"pending": pending, "withheld": withheld}


def _moved(decision: Decision, move: Move | None) -> Decision | None:
    if move is None or move.fate == "restricted":
        return None
    return msgspec.structs.replace(decision, fate=move.fate, reason=move.reason, rule=move.rule)


# -- the plan of one commit --------------------------------------------------------------------------------------------


def _planned(
    home: Home, bench: Workbench, kind: Held, chosen: dict[Key, list[Row]], judge: Judge, run_id: str, made: Change
) -> dict[str, int]:
    lake, builder = home.lake(bench.corp_id), bench.builder()
    sealed = f"{kind}_sealed"
    rows = [r for f in bench.snapshot.of(sealed) for r in sealed_rows(lake, f, chosen)]
    pages = {page.ref.page: page for page in judged_pages(bench, rows)}
    decided = _decided(pages.values(), chosen, judge)
    recalls = _recalls_of(lake, bench, builder, pages.values(), decided, chosen)
    for page in pages.values():
        items = tuple(consent.with_decision(g, d) for g in page.items if (d := (decided | recalls).get(_key(page, g))) is not None)
        if items:
            builder.add(bench.matching(msgspec.structs.replace(page, items=items)))
    outlines = [(builder_page.ref, o) for builder_page in builder.pages for o in builder.outlines[builder_page.ref.page]]
    if not outlines:
        return {}
    for name, month, bucket, rows_of_kind in builder.tables():
        made.write(rows_of_kind, name, month=month, bucket=bucket, lexicon=builder.lexicon_version if name == "matches" else "-")
    _take_out(lake, bench.snapshot, sealed, {(ref.origin, o.seq) for ref, o in outlines if o.seq is not None}, made)
    _write_rows(home, bench, outlines, chosen, made, run_id)
    went: dict[str, int] = defaultdict(int)
    for _, outline in outlines:
        went[outline.fate] += 1
    return dict(went)


def sealed_rows(lake: Lake, file: DataFile, chosen: Iterable[Key]) -> list[Row]:
    """Return the rows of these records in a file of sealed bytes (times in ms); none of a file whose key was destroyed."""
    if not set(lake.keyring.names(f"{lake.corp_id}/{file.kind.split('_')[0]}/{file.month}#")):
        return []  # its day's key was destroyed
    table = lake.read(file.kind, [file])
    return fates.in_ms(table.filter(rewriting.among(table, chosen))).to_pylist()  # type: ignore[no-any-return]


def judged_pages(bench: Workbench, rows: Iterable[Row]) -> Iterable[GatedPage]:
    """Open and judge sealed rows, page by page as they came (rule 5); what does not open is left out (rule 3)."""
    ordered = sorted(rows, key=lambda r: (r["origin"], r["page"], r["captured_at"], r["item"]))
    for (origin, page, captured), found in groupby(ordered, key=lambda r: (r["origin"], r["page"], r["captured_at"])):
        held = list(found)
        ref = PageRef(
            corp_id=bench.corp_id, page=page, uri="", size=0, source="plain" if origin == "imported" else "file", name="", captured_at_ms=captured,
            records=len(held),
        )  # fmt: skip
        opened = _opened_import(ref, held) if origin == "imported" else _opened(bench, ref, held)
        gated = bench.consent(bench.message(opened))
        yield msgspec.structs.replace(gated, failed=())


def _opened_import(ref: PageRef, held: Sequence[Row]) -> OpenedPage:
    items = [
        OpenedItem(item=r["item"], seq=r["seq"], msgid="", key_version=None, plaintext=r["envelope"], key_block=b"", sealed=r["envelope"]) for r in held
    ]
    return OpenedPage(ref, tuple(items))


def _opened(bench: Workbench, ref: PageRef, held: Sequence[Row]) -> OpenedPage:
    page, _ = answers.read_page(ref, answer_of([r["envelope"] for r in held]))
    item_of = {r["seq"]: r["item"] for r in held}
    page = msgspec.structs.replace(page, items=tuple(msgspec.structs.replace(i, item=item_of[i.seq]) for i in page.items))
    opened = bench.envelope((page, ()))
    return msgspec.structs.replace(opened, failed=())


def _key(page: GatedPage, gated: Gated) -> Key:
    return (page.ref.origin, gated.opened.seq)


def _decided(pages: Iterable[GatedPage], chosen: dict[Key, list[Row]], judge: Judge) -> dict[Key, Decision]:
    """Return the decision of every message that goes somewhere else."""
    found = {}
    for page in pages:
        for gated in page.items:
            key = _key(page, gated)
            if gated.message.kind == "message" and key in chosen and (decision := judge(gated.decision, chosen[key][-1])) is not None:
                found[key] = decision
    return found


def _recalls_of(
    lake: Lake, bench: Workbench, builder: Builder, pages: Iterable[GatedPage], decided: dict[Key, Decision], chosen: dict[Key, list[Row]]
) -> dict[Key, Decision]:
    """Return the decisions of recalls whose original stands elsewhere now (rule 2)."""
    recalls = [(p, g) for p in pages for g in p.items if g.message.kind == "recall" and g.message.recalls_msgid and _key(p, g) in chosen]
    if not recalls:
        return {}
    originals = {_fp(builder, str(g.message.recalls_msgid)): g.message.recalls_msgid for _, g in recalls}
    where = ds.field("msgid_fp").isin(pa.array(sorted(originals), pa.binary()))
    fate_of: dict[str | None, str] = {}
    newest: dict[str | None, int] = {}
    for row in lake.read("records", bench.snapshot.of("records"), columns=["origin", "seq", "fate_no", "fate", "msgid_fp"], where=where).to_pylist():
        msgid = originals[row["msgid_fp"]]
        if row["fate"] in settle.OPENED and row["fate_no"] >= newest.get(msgid, -1):
            now = decided.get((row["origin"], row["seq"]))
            newest[msgid], fate_of[msgid] = row["fate_no"], now.fate if now is not None else row["fate"]
    found = {}
    for page, gated in recalls:
        key = _key(page, gated)
        decision = consent.recall_decision(gated.decision, fate_of.get(gated.message.recalls_msgid))  # type: ignore[arg-type]  # a fate
        if decision.fate != chosen[key][-1]["fate"]:
            found[key] = decision
    return found


def _fp(builder: Builder, msgid: str) -> bytes:
    return builder.fingerprint("msgid", msgid.encode("utf-8", "surrogatepass"))


def _take_out(lake: Lake, snapshot: Snapshot, kind: str, keys: set[Key], made: Change) -> None:
    for file in snapshot.of(kind):
        if not lake.keyring.names(f"{lake.corp_id}/{kind.split('_')[0]}/{file.month}#"):
            continue
        made.without(file, keys)


def _write_rows(
    home: Home, bench: Workbench, outlines: Sequence[tuple[PageRef, Outline]], chosen: dict[Key, list[Row]], made: Change, run_id: str
) -> None:
    now = clock.now_ms()
    keep_until = trusted_clock.latest_ms(home) + bench.policy.withheld_days * clock.DAY_MS
    fated = []
    for ref, o in outlines:
        archived, withheld = o.fate == "archived", o.fate == "withheld"
        fated.append(Fated(
            key=(ref.origin, o.seq or 0), fate=o.fate, reason=o.reason, rule=o.rule, scope_ref=o.scope_ref, event_ref=o.event_ref, msgid=o.msgid,
            captured_at_ms=ref.captured_at_ms,
            employee_id=o.employee_id if withheld and not o.room_id else None, room_id=o.room_id if withheld else None,
            keep_until_ms=keep_until if withheld else None, commitment=o.commitment, nonce=None if archived else o.nonce,
        ))  # fmt: skip
    rows = fates.later_rows(fated, chosen, corp_id=bench.corp_id, snapshot=bench.snapshot, now_ms=now, run_id=run_id, policy_version=bench.policy.version)
    made.write(rows, "records")
    recalls = [
        {"original_msgid": o.recalls_msgid, "recall_msgid": o.msgid, "origin": ref.origin, "seq": o.seq, "recalled_at": o.sent_at_ms,
         "recalled_by": o.sender_id, "dt": o.dt}
        for ref, o in outlines if o.fate == "archived" and o.recalls_msgid
    ]  # fmt: skip
    if recalls:
        made.write(rows_table("recalls", recalls), "recalls")
