"""The committer: the only thing that makes anything visible, and the one that says who was first.

Before: stage.py (manifests), settle.py (fates). After: the lake as readers see it.

Order, and why a crash anywhere is harmless (docs/formats.md, "Commit order"):
 (a) open the table: version, head, number of leaves;          (b) drop pages that are settled, split off settled records;
 (c) merge the batch's own consent events and judge again what they touch; (d) fates: who was first, duplicates, conflicts, recalls;
 (e) number leaves, write records, pages, consent, recalls, fsync;         (f) check that every staged file is there, size and digest;
 (g) one commit with head = n+1 on that very handle; lost to another one: everything from (a) again, never sent twice;
 (h) fsync the log entry; only then unlink landing pages, outlines, manifests and staged files that were not adopted.
     Files that the commit took out were listed before it and go ten minutes later (purges.py).
A page is skipped whole when it is settled; before its files are unlinked the newest log entries are fsynced once more.
"""

from __future__ import annotations

import secrets
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.dataset as ds

from pipeline import (
    clock,
    commitrows,
    compact,
    consent,
    durable,
    manifests,
    newest_ids,
    purges,
    rewriting,
    room,
    settle,
    trusted_clock,
    turns,
)
from pipeline.commitrows import Commit
from pipeline.consent import ConsentPolicy
from pipeline.deltalog import CommitConflict, DataFile, Snapshot
from pipeline.directory import Directory
from pipeline.home import Home
from pipeline.lake import Lake
from pipeline.lakerows import consent_table
from pipeline.looked import Looked
from pipeline.records import Decision, Gated, GatedPage, Message, OpenedPage, PageRef, SealedPage
from pipeline.register import Event
from pipeline.settle import Candidate, Prior, Settled, Verdict
from pipeline.stage import HOT, UNOPENED, Builder, Manifest, Outline, StagedPage, read_outline
from pipeline.workbench import Workbench

PAGES_A_COMMIT = 50
RECORDS_A_COMMIT = 20_000  # their outlines and rows are in memory at once
GATED = ("archived", "pending", "withheld")
FATES = ("archived", "pending", "withheld", "failed", "control", "duplicate")


def new_run_id() -> str:
    """Return a time-ordered id."""
    return f"{clock.iso(clock.now_ms()).replace(':', '').replace('.', '')}-{secrets.token_hex(3)}"


class Run(msgspec.Struct, kw_only=True):
    """What a run has done so far: counts by fate, and what the breaker compares with."""

    run_id: str
    trailing: tuple[tuple[int, int], ...] = ()
    counts: Counter[str] = msgspec.field(default_factory=Counter)
    reopened: int = 0
    waiting_for_key: Counter[int] = msgspec.field(default_factory=Counter)
    breaker: bool = False
    source_errcodes: set[str] = msgspec.field(default_factory=set)
    looked: Looked = msgspec.field(default_factory=Looked)
    beyond: Counter[str] = msgspec.field(default_factory=Counter)  # findings that are counted and not kept, by msgid
    rsa: set[str] = msgspec.field(default_factory=set)  # what did the private operations (multibuffer.chosen)

    @property
    def landed(self) -> int:
        """Records this run settled."""
        return sum(self.counts[f] for f in FATES)


def commit_all(home: Home, corp_id: str, run: Run) -> None:
    """Commit every manifest that waits, up to about 50 pages or 20,000 records a commit."""
    waiting = manifests.staged(home, corp_id)
    # A refusal in a later page reaches back over earlier ones: it is known before the first of them becomes visible.
    ahead = [e for _, m in waiting if m.has_events for e in _events_of(home, m)]
    for batch in _batches(waiting):
        commit_batch(home, corp_id, batch, run, ahead)


Batch = Sequence[tuple[Path, Manifest]]


def _batches(waiting: Batch) -> Iterator[Batch]:
    """Cut what waits, in order, into what is committed at once: by pages, by records, and by files, which leave half of the room to the commit's own."""
    begun = pages = records = 0
    for at, (_, manifest) in enumerate(waiting):
        if at > begun and room.too_many((), _files(waiting[begun : at + 1]), most=compact.HOT_FILES // 2):
            yield waiting[begun:at]
            begun, pages, records = at, 0, 0
        pages, records = pages + len(manifest.pages), records + sum(page.ref.records for page in manifest.pages)
        if pages >= PAGES_A_COMMIT or records >= RECORDS_A_COMMIT:
            yield waiting[begun : at + 1]
            begun, pages, records = at + 1, 0, 0
    if begun < len(waiting):
        yield waiting[begun:]


def _files(batch: Batch) -> list[DataFile]:
    return [f for _, m in batch for f in m.files]


def _events_of(home: Home, manifest: Manifest) -> list[Event]:
    """Return the consent events of a manifest; one that another committer tidied up meanwhile has them in the register already."""
    try:
        return [e for rows in read_outline(home, manifest).values() for o in rows for e in o.events]
    except durable.Vanished:
        return []


def commit_batch(home: Home, corp_id: str, batch: Batch, run: Run, ahead: Sequence[Event] = ()) -> None:
    """Settle the pages of `batch` in one commit (none when all of them are settled), then tidy up after it.

    ahead: consent events of pages that wait behind the batch; they are judged by, and stored with their own pages."""
    lake = home.lake(corp_id)
    with turns.tries(home, corp_id) as tries:
        for _ in tries:
            snapshot = lake.snapshot()  # (a)
            if room.make(home, lake, snapshot, _files(batch)):
                snapshot = lake.snapshot()
            plan, noted = Plan(home, lake, snapshot, [m for _, m in batch], run, ahead), None
            if not plan.pages:
                lake.sync_newest()
                break
            try:
                plan.make()  # (b)-(e)
                noted = purges.note(home, corp_id, snapshot, plan.removes) if plan.removes else None
                version = room.commit(home, lake, snapshot, plan.adds, plan.removes, what="settle")  # (f)-(h)
            except CommitConflict:
                lake.discard(plan.written)
                if noted is not None:
                    purges.forget(noted)
                continue
            except room.FAILURES as error:
                # Somebody else tidied up a manifest or a page of the batch meanwhile, or its files were damaged: those pages are staged again.
                lake.discard(plan.written)
                others = plan.lost_a_page() or room.outrun(home, lake, snapshot, error, noted)
                if noted is not None:
                    purges.forget(noted)
                damaged = [(path, m) for path, m in batch if not path.exists() or not manifests.whole(home, m)]
                if not damaged and not others:
                    raise
                manifests.discard(home, corp_id, damaged)
                batch = [found for found in batch if found not in damaged]
                continue
            if noted is not None:
                purges.begin(home, corp_id, noted, version=version)
            plan.tally()
            break
    _tidy(home, corp_id, batch)


def _tidy(home: Home, corp_id: str, batch: Batch) -> None:
    """Unlink what a durable commit has settled: landing pages first, then manifests with what of them was not adopted."""
    for _, manifest in batch:
        for page in manifest.pages:
            durable.remove(Path(page.ref.uri), sync_folder=False)
    for folder in (home.landing(corp_id), home.staging(corp_id)):
        durable.fsync_folder(folder)
    manifests.discard(home, corp_id, batch)


class Plan:
    """One commit, planned on one snapshot. `written` are files this plan made, to be unlinked when it loses."""

    def __init__(self, home: Home, lake: Lake, snapshot: Snapshot, staged: Sequence[Manifest], run: Run, ahead: Sequence[Event] = ()) -> None:
        self.home, self.lake, self.snapshot, self.run, self.ahead = home, lake, snapshot, run, ahead
        self.corp_id = lake.corp_id
        self.adds: list[DataFile] = []
        self.removes: list[DataFile] = []
        self.written: list[DataFile] = []
        self.settled: tuple[Settled, ...] = ()
        self.superseded: tuple[Prior, ...] = ()
        self._again: newest_ids.Again = {}
        self.bench = Workbench(home, self.corp_id, snapshot)
        self._since: dict[int, set[str] | None] = {}
        self.broke = False
        done = _settled_pages(lake, snapshot, [p.ref.page for m in staged for p in m.pages])
        self.pages: dict[str, StagedPage] = {}
        self.manifest_of: dict[str, Manifest] = {}
        for manifest in staged:
            for page in manifest.pages:
                # (b); a page that is gone and not settled was taken away (an erasure): a worker that had read it before staged it in vain.
                if page.ref.page not in done and page.ref.page not in self.pages and Path(page.ref.uri).exists():
                    self.pages[page.ref.page] = page
                    self.manifest_of[page.ref.page] = manifest

    def make(self) -> None:
        """Decide everything and write the files of this commit."""
        outlines: dict[str, list[Outline]] = {}
        for manifest in _distinct(self.manifest_of.values()):
            for page, rows in read_outline(self.home, manifest).items():
                if self.manifest_of.get(page) is manifest:
                    outlines[page] = rows
        events = self._events(outlines)  # (c)
        known = self._merged([*events, *self.ahead])
        again = self._changed(outlines, {e.external_userid for e in known})
        self._verdict(outlines, again)  # (d)
        self._adopt(outlines, again)
        self._write_own(events)  # (e)

    def lost_a_page(self) -> bool:
        """Whether a page of the plan was taken away since (an erasure)."""
        return not all(Path(page.ref.uri).exists() for page in self.pages.values())

    # -- (c) the register ---------------------------------------------------------------------------------------

    def _events(self, outlines: dict[str, list[Outline]]) -> tuple[Event, ...]:
        """Return the consent events that the batch's own records bring and the register does not know."""
        found = [e for rows in outlines.values() for o in rows if o.events for e in o.events]
        return self.bench.register.new_events(found) if found else ()

    def _merged(self, events: Sequence[Event]) -> tuple[Event, ...]:
        """Merge events into the register that this commit judges by; return those that it did not know. Most commits have none."""
        known = self.bench.register.new_events(events) if events else ()
        if known:
            self.bench.register = self.bench.register.with_events(known, version=self.snapshot.version)
        return known

    def _changed(self, outlines: dict[str, list[Outline]], touched: set[str]) -> dict[tuple[str, int], Decision]:
        """Return, by (page, item), the new decision of records whose old one no longer holds under the merged register."""
        changed: dict[tuple[str, int], Decision] = {}
        for page, rows in outlines.items():
            staged_page = self.pages[page]
            since = self._people_since(staged_page.register_version)
            people = None if since is None else since | touched
            for outline in rows if people is None or people else ():
                gated = outline.fate in GATED and outline.kind == "message"
                if gated and (people is None or not people.isdisjoint((outline.sender_id, *outline.recipient_ids))):
                    decision = self._decide(staged_page.ref, outline)
                    if _differs(decision, outline):
                        changed[page, outline.item] = decision
        return changed

    def _people_since(self, version: int) -> set[str] | None:
        """Return the external people with register events committed after `version` of the lake; None for everybody (an import was undone)."""
        if version not in self._since:
            self._since[version] = set() if version == self.snapshot.version else self._read_people_since(version)
        return self._since[version]

    def _read_people_since(self, version: int) -> set[str] | None:
        old = {f.path for f in self.lake.snapshot_at(version).of("consent")}
        fresh = [f for f in self.snapshot.of("consent") if f.path not in old]
        found = self.lake.read("consent", fresh, columns=["external_userid", "undoes"])
        return set(found["external_userid"].to_pylist()) if found["undoes"].null_count == found.num_rows else None

    def _decide(self, ref: PageRef, outline: Outline) -> Decision:
        return consent.decide(
            _stub(outline), captured_at_ms=ref.captured_at_ms, register=self.bench.register, directory=self.directory, policy=self.policy
        )

    @property
    def directory(self) -> Directory:
        """The directory of the snapshot."""
        return self.bench.directory

    @property
    def policy(self) -> ConsentPolicy:
        """The consent policy."""
        return self.bench.policy

    # -- (d) fates ----------------------------------------------------------------------------------------------

    def _verdict(self, outlines: dict[str, list[Outline]], again: dict[tuple[str, int], Decision]) -> None:
        """Let settle.py say who was first and what becomes of each record; the breaker may still hold back what would be withheld."""
        candidates = []
        for page, rows in outlines.items():
            for outline in rows:
                decision = again.get((page, outline.item))
                candidates.append(Candidate(self.pages[page].ref, _redecided(outline, decision, self.bench) if decision else outline))
        seqs, msgids = commitrows.priors(self.lake, self.snapshot, candidates, self._msgid_fp)
        verdict: Verdict = settle.judge(candidates, seqs=seqs, msgids=msgids, fingerprint=self._msgid_fp)
        self.settled, self.superseded = verdict.settled, verdict.superseded
        self._again = newest_ids.again(candidates, self.settled, seqs)
        withheld = self.run.counts["withheld"] + sum(s.fate == "withheld" for s in self.settled)
        if consent.breaker_trips(withheld, self.run.landed + len(self.settled), self.run.trailing):
            self.settled = settle.break_off(self.settled)
            self.broke = True

    def _msgid_fp(self, msgid: str) -> bytes:
        return self._builder.fingerprint("msgid", msgid.encode("utf-8", "surrogatepass"))

    @property
    def _builder(self) -> Builder:
        if "_kept_builder" not in self.__dict__:
            self._kept_builder = self.bench.builder()
        return self._kept_builder

    # -- (e) files ----------------------------------------------------------------------------------------------

    def _adopt(self, outlines: dict[str, list[Outline]], again: dict[tuple[str, int], Decision]) -> None:
        """Adopt staged files; rewrite those with rows that do not count; walk records again whose fate is another now."""
        rewalk: dict[str, dict[int, Settled]] = defaultdict(dict)
        adopted = Counter([s.candidate.ref.page for s in self.settled if s.adopt and s.fate == s.candidate.outline.fate]) if not again else Counter()
        for manifest in _distinct(self.manifest_of.values()):
            mine = {p.ref.page: outlines[p.ref.page] for p in manifest.pages if self.manifest_of.get(p.ref.page) is manifest}
            if not again and len(mine) == len(manifest.pages) and all(adopted[page] == len(rows) for page, rows in mine.items()):
                self.adds += manifest.files
                continue
            as_staged = self._as_staged(mine, again, rewalk)
            for file in manifest.files:
                self._keep_rows(file, as_staged)
        self._walk_again(rewalk, again)
        self._take_out()
        self._renew_ids()

    def _renew_ids(self) -> None:
        """Ask for the files of records that came again by their newest id."""
        found = newest_ids.brought(self.lake, (f for m in _distinct(self.manifest_of.values()) for f in m.files), self._again)
        if not found:
            return
        gone = {f.path for f in self.removes}
        media = [f for f in (*self.snapshot.of("media"), *self.adds) if f.kind == "media" and f.path not in gone]
        earlier = newest_ids.earlier_duplicates(self.lake, self.snapshot.of("records"), (self._again[seq] for seq in found))
        rows = newest_ids.states(self.lake, media, found, self._again, earlier, now_ms=clock.now_ms())
        for month in sorted({f"{row['dt']:%Y-%m}" for row in rows}):
            self._write(commitrows.table("media", [r for r in rows if f"{r['dt']:%Y-%m}" == month]), "media", month=month, bucket=HOT)

    def _as_staged(
        self, outlines: dict[str, list[Outline]], again: dict[tuple[str, int], Decision], rewalk: dict[str, dict[int, Settled]]
    ) -> set[tuple[int | None, str | None]]:
        """Return (seq, msgid) of the records whose staged rows count, and add to `rewalk` those whose fate is another now."""
        fates = {(s.candidate.ref.page, s.candidate.outline.item): s for s in self.settled}
        found = set()
        for page, rows in outlines.items():
            for outline in rows:
                settled = fates.get((page, outline.item))
                if settled is not None and settled.adopt and settled.fate == outline.fate and (page, outline.item) not in again:
                    found.add((outline.seq, outline.msgid))
                elif settled is not None and settled.fate != "duplicate":
                    rewalk[page][outline.item] = settled
        return found

    def _keep_rows(self, file: DataFile, wanted: set[tuple[int | None, str | None]]) -> None:
        """Add a staged file, or a copy of it with only the wanted rows (none wanted: no file)."""
        table = self.lake.read(file.kind, [file])
        mask = [row in wanted for row in zip(table["seq"].to_pylist(), table["msgid"].to_pylist(), strict=True)]
        if all(mask):
            self.adds.append(file)
        elif any(mask):
            self._write(table.filter(pa.array(mask)), file.kind, month=file.month, bucket=file.bucket, lexicon=file.lexicon)

    def _write(self, table: pa.Table, kind: str, *, month: str = "-", bucket: str = "-", lexicon: str = "-") -> None:
        file = self.lake.write(table, kind, month=month, bucket=bucket, lexicon=lexicon)
        self.written.append(file)
        self.adds.append(file)

    def _walk_again(self, rewalk: dict[str, dict[int, Settled]], again: dict[tuple[str, int], Decision]) -> None:
        """Take records from their landing pages through the steps again, now with the fate that was settled."""
        if not rewalk:
            return
        builder = self._builder
        for page, wanted in rewalk.items():
            ref = self.pages[page].ref
            failing = {i: s for i, s in wanted.items() if s.fate == "failed"}
            gated = self._gate_again(ref, {i: s for i, s in wanted.items() if s.fate != "failed"}, again)
            builder.add(self.bench.matching(gated))
            self._keep_failing(ref, failing)
        files = builder.write_files()
        fresh = {(page, o.item): o for page, rows in builder.outlines.items() for o in rows}
        self.written += files
        self.adds += files
        self.settled = tuple(_with_outline(s, fresh.get((s.candidate.ref.page, s.candidate.outline.item))) for s in self.settled)

    def _landed(self, ref: PageRef, items: Iterable[int]) -> SealedPage | OpenedPage:
        """Return a landing page with only some of its whole records."""
        wanted = set(items)
        landed = self.bench.landing(ref)
        if isinstance(landed, OpenedPage):
            return OpenedPage(ref, tuple(i for i in landed.items if i.item in wanted))
        return SealedPage(ref, tuple(i for i in landed[0].items if i.item in wanted))

    def _gate_again(self, ref: PageRef, wanted: dict[int, Settled], again: dict[tuple[str, int], Decision]) -> GatedPage:
        page = self._landed(ref, wanted)
        opened = page if isinstance(page, OpenedPage) else self.bench.envelope((page, ()))
        gated = self.bench.consent(self.bench.message(msgspec.structs.replace(opened, failed=())))
        return msgspec.structs.replace(gated, items=tuple(self._with_fate(g, wanted[g.opened.item]) for g in gated.items), failed=())

    def _with_fate(self, gated: Gated, settled: Settled) -> Gated:
        """Give a record the fate the committer settled (recalls follow, the breaker waits): the gate itself makes the new value."""
        if gated.message.kind == "recall":
            return consent.with_decision(gated, consent.recall_decision(gated.decision, settled.fate))  # type: ignore[arg-type]  # a fate by settle.py
        if gated.decision.fate == "withheld" and settled.fate == "pending":
            return consent.with_decision(gated, consent.held_by_breaker(gated.decision))
        return gated

    def _keep_failing(self, ref: PageRef, failing: dict[int, Settled]) -> None:
        """Keep the sealed bytes of records that fail only now, by what is settled (conflicts)."""
        if not failing:
            return
        builder = self._builder
        page = self._landed(ref, failing)
        month = clock.month_of_day(clock.beijing_day(ref.captured_at_ms))
        for item in page.items:
            settled = failing[item.item]
            held = settled.candidate.outline.fate in ("withheld", "pending")
            if held:
                continue
            raw = item.sealed if isinstance(page, OpenedPage) else item.raw  # type: ignore[union-attr]  # by the kind of page
            columns = builder.rows["sealed", month, UNOPENED]
            values = {
                "origin": ref.origin, "seq": item.seq, "variant": settled.variant, "msgid": settled.candidate.outline.msgid, "key_version": item.key_version,
                "envelope": raw, "key_block": None, "plaintext": None, "nonce": None, "captured_at": ref.captured_at_ms, "page": ref.page, "conversation_id": None,
            }  # fmt: skip
            for name, value in values.items():
                columns[name].append(value)

    def _take_out(self) -> None:
        """Take superseded imports and re-opened sealed bytes out of the files they lie in."""
        gone = {(p.origin, p.seq) for p in self.superseded}
        for kind in ("messages", "matches", "media", "sealed", "pending_sealed", "withheld_sealed", "restricted"):
            self._take_rows(kind, gone, bucket=None)
        reopened = {(s.key[0], s.key[1]) for s in self.settled if s.prior is not None and not s.variant}
        self._take_rows("sealed", reopened, bucket=UNOPENED)

    def _take_rows(self, kind: str, gone: set[tuple[str, int | None]], *, bucket: str | None) -> None:
        if not gone:
            return
        for file in self.snapshot.of(kind, buckets=None if bucket is None else [bucket]):
            rows = rewriting.found(self.lake, file, gone)
            if rows is None:
                continue
            self.removes.append(file)
            written = rewriting.again(self.lake, file, rows, token=secrets.token_hex(8))
            self.written += [written] if written is not None else []
            self.adds += [written] if written is not None else []

    def _write_own(self, events: Sequence[Event]) -> None:
        now = clock.now_ms()
        at = Commit(
            corp_id=self.corp_id, run_id=self.run.run_id, version=self.snapshot.version, withheld_days=self.policy.withheld_days, now_ms=now,
            keep_from_ms=trusted_clock.latest_ms(self.home), policy_version=self.policy.version,
        )  # fmt: skip
        first = self.snapshot.next_leaf
        if self.settled or self.superseded:
            self._write(commitrows.records_table(self.settled, self.superseded, at, first), "records")
        self._write(commitrows.table("pages", self._page_rows(first, now)), "pages")
        if events:
            self._write(consent_table(events), "consent")
        recalls = [commitrows.recall_row(s) for s in self.settled if s.fate == "archived" and s.candidate.outline.recalls_msgid]
        if recalls:
            self._write(commitrows.table("recalls", recalls), "recalls")

    def _page_rows(self, first: int, now: int) -> list[dict[str, Any]]:
        settled = [s.candidate.ref.page for s in self.settled]
        # The row of a superseded import belongs to the page of its original.
        superseded = [commitrows.original_of(p, self.settled).candidate.ref.page for p in self.superseded]
        counts = Counter(zip([*settled, *superseded], [*[s.fate for s in self.settled], *["duplicate"] * len(superseded)], strict=True))
        lowest = dict(reversed([(page, leaf) for leaf, page in enumerate([*settled, *superseded], first)]))
        found = []
        for page, at in self.pages.items():
            fates = {f: counts[page, f] for f in FATES}
            found.append({
                "page": page, "source": at.ref.source, "name": at.ref.name, "first_seq": at.ref.first_seq, "last_seq": at.ref.last_seq,
                "requested_seq": at.ref.requested_seq, "answer_code": at.ref.answer_code,
                "library": at.ref.library, "clock_offset_ms": at.ref.clock_offset_ms, "records": at.ref.records, "size": at.ref.size, "captured_at": at.ref.captured_at_ms,
                "committed_at": now, "register_version": self.snapshot.version, "lexicon_version": self.manifest_of[page].lexicon_version,
                "first_leaf": lowest.get(page, first), "leaves": sum(fates.values()), "run_id": self.run.run_id, **fates,
            })  # fmt: skip
        return found

    def tally(self) -> None:
        """Add what became visible to the run's counts."""
        self.run.counts.update([s.fate for s in self.settled])
        self.run.reopened += sum([s.prior is not None for s in self.settled])
        for s in self.settled:
            outline = s.candidate.outline
            if outline.beyond and s.fate == "archived":
                self.run.beyond[outline.msgid or ""] += outline.beyond
            if s.fate != "failed":
                continue
            if s.code in ("KEY_MISSING", "KEY_WRONG"):
                self.run.waiting_for_key[outline.key_version or 0] += 1
            if s.code == "SOURCE_ERRCODE" and s.detail:
                self.run.source_errcodes.add(s.detail)
        self.run.breaker |= self.broke
        self.run.rsa.update(m.rsa for m in self.manifest_of.values() if m.rsa)
        self._remember()

    def _remember(self) -> None:
        """Tell the step over several messages what was searched just now, so that it need not search it again."""
        if any(m.lexicon_version != self.bench.lexicon_version for m in self.manifest_of.values()):
            return
        looked = self.run.looked.under(self.bench.lexicon_version)
        for s in self.settled:
            outline = s.candidate.outline
            if s.fate == "archived" and outline.begins is not None and outline.seq is not None:
                looked.add(s.candidate.ref.origin, outline.seq, outline.begins)


# -- small helpers -----------------------------------------------------------------------------------------------


def _stub(outline: Outline) -> Message:
    """Return what the gate looks at of a staged record: people, room, time, kind."""
    return Message(
        msgid=outline.msgid or "", kind=outline.kind, action="", msgtype="", sender_id=outline.sender_id, recipient_ids=outline.recipient_ids,  # type: ignore[arg-type]  # written from a Message
        room_id=outline.room_id, sent_at_ms=outline.sent_at_ms, text="", parts=(), recalls_msgid=outline.recalls_msgid,
    )  # fmt: skip


def _differs(decision: Decision, outline: Outline) -> bool:
    return decision.fate != outline.fate or (decision.consent, decision.source, decision.event_id) != (outline.consent, outline.consent_source, outline.consent_event)


def _redecided(outline: Outline, decision: Decision, bench: Workbench) -> Outline:
    names, held = bench.builder().names, decision.fate in ("pending", "withheld")
    return msgspec.structs.replace(
        outline, fate=decision.fate, reason=decision.reason, rule=decision.rule, scope_ref=names.scope_ref(decision.scope),
        event_ref=names.event_ref(decision.event_id) if held else None,
    )  # fmt: skip


def _with_outline(s: Settled, fresh: Outline | None) -> Settled:
    if fresh is None:
        return s
    candidate = Candidate(s.candidate.ref, msgspec.structs.replace(fresh, kind=s.candidate.outline.kind))
    return msgspec.structs.replace(s, candidate=candidate, adopt=True, reason=fresh.reason)


def _distinct(found: Iterable[Manifest]) -> list[Manifest]:
    return list({id(m): m for m in found}.values())


def _settled_pages(lake: Lake, snapshot: Snapshot, pages: list[str]) -> set[str]:
    found = lake.read("pages", snapshot.of("pages"), columns=["page"], where=ds.field("page").isin(pa.array(pages, pa.string())))
    return set(found["page"].to_pylist())
