"""One ingest: land what was given, re-open what waited for a key, stage through the pipeline, commit, sum up.

Before: answers.py, importing.py (files), landing.py (queue). After: commit.py; the summary line of `ingest`.
Safe to repeat and to kill anywhere: a page leaves the landing only after its commit is durable; a run that finds only
settled pages changes nothing and says 0.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from pathlib import Path
from threading import Event, Thread
from typing import Any, TypeVar

import msgspec
import pyarrow as pa
import pyarrow.dataset as ds

from pipeline import clock, commit, compact, custody, durable, importing, landing, manifests, multibuffer, saved_files, schema
from pipeline.commit import FATES, Run
from pipeline.commit import new_run_id as new_run_id
from pipeline.errors import EXIT_PRECEDENCE, Exit
from pipeline.home import Home
from pipeline.left_over import unacknowledged
from pipeline.match import history
from pipeline.records import PageRef
from pipeline.rescan import follow
from pipeline.room import append as append
from pipeline.stage import MANIFEST_SUFFIX, UNOPENED
from pipeline.workbench import Settings, Workbench, packs_of
from pipeline.worker import calm

# What one pipeline takes: worker processes start anew for each, and what it staged is committed after it.
RECORDS_A_PIPELINE, PAGES_A_PIPELINE = 200_000, 10_000
REOPEN_RECORDS_A_PAGE = 1_000
TRAILING_RUNS = 10
RETRYABLE = ("KEY_MISSING", "KEY_WRONG", "UNDECRYPTABLE")
# errcodes of the source that mean: secret, address or licence refused (wecom-archive.md 2.3).
REFUSALS = frozenset({301042, 301052, 301053, 40001, 40013, 40014, 41001, 42001, 48001, 48002, 60020})

T = TypeVar("T")
Progress = Callable[[str, int, int], None]


class Summary(msgspec.Struct, kw_only=True):
    """The last line of `ingest` on stdout: landed is the sum of the six fates."""

    run_id: str
    landed: int = 0
    archived: int = 0
    pending: int = 0
    withheld: int = 0
    failed: int = 0
    control: int = 0
    duplicate: int = 0
    reopened: int = 0
    pages: int = 0
    exit_code: int = 0


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """How a run ended: its summary, versions whose records wait for a key, whether the breaker stopped it, and how many findings of how many
    messages are counted and not kept."""

    summary: Summary
    waiting_for_key: dict[int, int]
    refused: tuple[str, ...]
    breaker: bool
    beyond: int
    crowded: int


def silent(what: str, done: int, total: int) -> None:
    """A progress that shows nothing."""


def run(
    home: Home, corp_id: str, *, sources: Sequence[Path] = (), plain: Sequence[Path] = (), workers: int | None = None, runner: str | None = None,
    beam_options: Sequence[str] = (), command: str = "ingest", progress: Progress = silent,
) -> Ended:
    """Do one ingest of one corp under its commit lock; raises Locked, StorageError, UsageError."""
    from pipeline.consenting import reconcile as late  # loaded by a run alone, not by what reads

    multibuffer.demand(home.config.ingest.rsa)
    with home.lock(f"{corp_id}.commit"), calm():
        started = clock.now_ms()
        lake = home.lake(corp_id)
        at = commit.Run(run_id=new_run_id(), trailing=_trailing(home, corp_id))
        for folder in (home.landing(corp_id), home.staging(corp_id)):
            durable.sweep_temporary(folder)
        pages_before = lake.snapshot().rows("pages")
        land(home, corp_id, sources, plain, progress)
        if runner or beam_options:
            from pipeline import flow  # Beam takes seconds to load

            flow.check(runner=runner, beam_options=beam_options)
        _discard_stale(home, corp_id)
        commit.commit_all(home, corp_id, at)
        reopen(home, corp_id)
        waiting = list(landing.waiting(home, corp_id))
        total = sum(p.records for p in waiting)
        for chunk in _portions(waiting):
            _stage(home, corp_id, chunk, workers, runner, beam_options, progress, total)
            commit.commit_all(home, corp_id, at)
            progress("commit", at.landed, total)
        manifests.sweep_outlines(home, corp_id)
        late.hide_now(home, corp_id)  # what a refusal of this run covers is out of view before the run ends
        summary = _summary(at, lake.snapshot().rows("pages") - pages_before, unacknowledged(home, corp_id).total())
        if summary.pages or summary.landed:
            _write_run(home, corp_id, at, started, command, summary.exit_code)
        follow.follow(home, corp_id, looked=at.looked)
        compact.after_ingest(home, corp_id)
        refused = tuple(sorted(at.source_errcodes))
        return Ended(summary=summary, waiting_for_key=dict(at.waiting_for_key), refused=refused, breaker=at.breaker, beyond=at.beyond.total(), crowded=len(at.beyond))


# -- landing -----------------------------------------------------------------------------------------------------


def land(home: Home, corp_id: str, sources: Sequence[Path], plain: Sequence[Path], progress: Progress) -> int:
    """Land all pages of the given files that are not settled or landed yet; return how many were new."""
    lake, snapshot = home.lake(corp_id), home.lake(corp_id).snapshot()
    settled = set(lake.read("pages", snapshot.of("pages"), columns=["page"])["page"].to_pylist())
    known = settled | {p.name.split("-", 1)[1].removesuffix(landing.SUFFIX) for p in home.landing(corp_id).glob(f"*{landing.SUFFIX}")}
    new = 0
    for path in sources:
        for raw in saved_files.pages_from_file(path):
            if (page := hashlib.sha256(raw.data).hexdigest()) not in known:
                landing.put(home, corp_id, raw.data, page=page, source="file", name=raw.name, captured_at_ms=clock.now_ms(), sync_folder=False)
                known.add(page)
                new += 1
            progress("land", new, 0)
    for path in plain:
        for name, records in importing.pages(path):
            seqs = [r.seq for r in records if r.seq is not None]
            body = importing.encode(records)
            if landing.import_page_id(home, corp_id, body) not in settled:
                landing.put_import(home, corp_id, body, name=name, captured_at_ms=clock.now_ms(), seqs=seqs, records=len(records))
                new += 1
            progress("land", new, 0)
    durable.fsync_folder(home.landing(corp_id))
    return new


def reopen(home: Home, corp_id: str) -> int:
    """Land the sealed bytes of failed records once more whose key version now has a key that was not tried yet; return how many."""
    lake = home.lake(corp_id)
    snapshot = lake.snapshot()
    fingerprints = Workbench(home, corp_id, snapshot).keys.fingerprints
    if not fingerprints:
        return 0
    wanted = [
        r for r in _failed_now(home, corp_id)
        if r["code"] in RETRYABLE and r["key_version"] in fingerprints and r["key_tried"] != fingerprints[r["key_version"]]
    ]  # fmt: skip
    seqs = pa.array(sorted(r["seq"] for r in wanted if r["seq"] is not None), pa.uint64())
    where = ds.field("seq").isin(seqs) & (ds.field("variant") == "")
    table = lake.read("sealed", snapshot.of("sealed", buckets=[UNOPENED]), columns=["seq", "envelope", "captured_at"], where=where)
    rows = sorted(table.to_pylist(), key=lambda r: (r["captured_at"], r["seq"]))
    # Another key makes another page: the same records may be tried under several keys.
    tried = "+".join(sorted(fingerprints.values()))
    for captured, found in groupby(rows, key=lambda r: r["captured_at"]):
        for chunk in _chunks(list(found), REOPEN_RECORDS_A_PAGE):
            data = f'{{"errcode":0,"errmsg":"reopened {tried}","chatdata":['.encode() + b",".join(r["envelope"] for r in chunk) + b"]}"
            landing.put(home, corp_id, data, source="reopen", name="reopened", captured_at_ms=round(captured.timestamp() * 1000))
    return len(rows)


def _failed_now(home: Home, corp_id: str) -> list[dict[str, Any]]:
    """Return the newest rows of records whose fate is failed and that could be retried."""
    lake = home.lake(corp_id)
    files = lake.snapshot().of("records")
    failed = lake.read("records", files, columns=["origin", "seq"], where=ds.field("code").isin(list(RETRYABLE)) & (ds.field("origin") == "sealed"))
    seqs = pa.array(sorted(set(failed["seq"].drop_null().to_pylist())), pa.uint64())
    columns = ["seq", "variant", "fate_no", "fate", "code", "key_version", "key_tried"]
    newest: dict[int, dict[str, Any]] = {}
    where = ds.field("seq").isin(seqs) & (ds.field("origin") == "sealed") & (ds.field("variant") == "")
    for row in lake.read("records", files, columns=columns, where=where).to_pylist():
        if row["seq"] not in newest or newest[row["seq"]]["fate_no"] < row["fate_no"]:
            newest[row["seq"]] = row
    return [r for r in newest.values() if r["fate"] == "failed"]


# -- staging -----------------------------------------------------------------------------------------------------


def _stage(
    home: Home, corp_id: str, pages: Sequence[PageRef], workers: int | None, runner: str | None, beam_options: Sequence[str], progress: Progress, total: int
) -> None:
    from pipeline import flow  # importing Beam costs a second: only a run that has work pays it

    settings = Settings(
        home=str(home.path.resolve()), corp_id=corp_id, version=home.lake(corp_id).snapshot().version, key_state=_key_state(home, corp_id),
        packs=packs_of(home).version,
    )  # fmt: skip
    done = Event()
    watcher = Thread(target=_watch, args=(home, corp_id, done, progress, total), daemon=True)
    watcher.start()
    try:
        count = home.config.ingest.workers if workers is None else workers
        flow.run(pages, settings, workers=count, runner=runner, beam_options=beam_options)
    finally:
        done.set()
        watcher.join()


def _watch(home: Home, corp_id: str, done: Event, progress: Progress, total: int) -> None:
    """Show what has been staged so far, from the manifests that appear."""
    seen: dict[Path, int] = {}
    while not done.wait(0.5):
        for path in home.staging(corp_id).glob(f"*{MANIFEST_SUFFIX}"):
            if path not in seen and (manifest := manifests.load(path)) is not None:
                seen[path] = sum(p.ref.records for p in manifest.pages)
        progress("stage", sum(seen.values()), total)


def _portions(pages: Sequence[PageRef]) -> Iterable[Sequence[PageRef]]:
    """Yield the pages in order, as many at once as one pipeline takes: by their records, since pages may be small."""
    begun = records = 0
    for at, page in enumerate(pages):
        if at > begun and (records + page.records > RECORDS_A_PIPELINE or at - begun >= PAGES_A_PIPELINE):
            yield pages[begun:at]
            begun, records = at, 0
        records += page.records
    if begun < len(pages):
        yield pages[begun:]


def _key_state(home: Home, corp_id: str) -> str:
    """Return a word that changes when the enterprise keys, the packs or the configuration of the home change."""
    keys = [(k.version, k.fingerprint, k.retired) for k in home.enterprise_keys(corp_id)]
    packs = sorted((p.name, p.stat().st_mtime_ns) for p in (home.path / "lexicon").iterdir() if p.suffix in (".pack", ".texts"))
    return repr((keys, packs, home.config.consent, home.config.ingest, home.config.lexicon, home.config.source))


def _discard_stale(home: Home, corp_id: str) -> None:
    """Discard manifests an earlier, killed run staged under other packs or another policy: their pages are staged again."""
    bench = Workbench(home, corp_id, home.lake(corp_id).snapshot())
    stale = [
        (path, m) for path, m in manifests.staged(home, corp_id)
        if (m.lexicon_version, m.policy_version) != (bench.lexicon_version, bench.policy.version)
    ]  # fmt: skip
    if stale:
        manifests.discard(home, corp_id, stale)


def _chunks(items: Sequence[T], size: int) -> Iterable[Sequence[T]]:
    return (items[i : i + size] for i in range(0, len(items), size))


# -- the end of a run --------------------------------------------------------------------------------------------


def _summary(at: Run, pages: int, left_over: int) -> Summary:
    codes = {Exit.LEFT_OVER} if left_over or at.breaker else set()
    if any(_errcode(detail) in REFUSALS for detail in at.source_errcodes):
        codes.add(Exit.SOURCE_REFUSED)
    exit_code = next((int(c) for c in EXIT_PRECEDENCE if c in codes), 0)
    return Summary(
        run_id=at.run_id, landed=at.landed, reopened=at.reopened, pages=pages, exit_code=exit_code, **{f: at.counts[f] for f in FATES}
    )


def _errcode(detail: str) -> int:
    digits = "".join(c if c.isdigit() else " " for c in detail).split()
    return int(digits[0]) if digits else 0


def _trailing(home: Home, corp_id: str) -> tuple[tuple[int, int], ...]:
    """Return (withheld, landed) of the newest runs that settled something, for the breaker."""
    lake = home.lake(corp_id)
    table = lake.read("runs", lake.snapshot().of("runs"), columns=["phase", "started_at", "withheld", "landed"], where=ds.field("landed") > 0)
    rows = sorted(table.to_pylist(), key=lambda r: r["started_at"])[-TRAILING_RUNS:]
    return tuple((r["withheld"], r["landed"]) for r in rows)


def _write_run(home: Home, corp_id: str, at: Run, started_ms: int, command: str, exit_code: int) -> None:
    lake, now = home.lake(corp_id), clock.now_ms()
    bench = Workbench(home, corp_id, lake.snapshot())
    history.keep(home, bench.packs, bench.lexicon_version, bench.approved)
    common = {"run_id": at.run_id, "command": command, "actor": custody.actor(), "started_at": started_ms}
    counts: dict[str, Any] = {"landed": at.landed, "reopened": at.reopened, **{f: at.counts[f] for f in FATES}}
    rows = [
        {**common, "phase": "start"},
        {
            **common, **counts, "phase": "end", "finished_at": now, "exit_code": exit_code, "lexicon_version": bench.lexicon_version,
            "register_version": bench.snapshot.version, "rsa": ", ".join(sorted(at.rsa)) or None,
        },
    ]  # fmt: skip
    append(home, corp_id, [("runs", schema.table("runs", {c.name: [r.get(c.name) for r in rows] for c in schema.kind("runs").columns}))], what="run")
