"""`verify --archive`: checks an archive by code that shares nothing with what wrote it, from the files of a home and docs/formats.md alone.

Before: the files of a home. After: cli/verify.py.
This module and its verify_*.py import the standard library, pyarrow, numpy, cryptography, stringzilla and pipeline.errors only; a test holds them to it.

Checks, in this order (docs/verify.md says what each proves and what it does not):
 1 log and anchors   2 files the log lists, fetched files   3 files nothing names   4 keyring   5 custody chain   6 commitments   7 counts   8 checkpoints
Nothing is written. An archive that is written to meanwhile is read as of one version; whatever is found while later commits come is
looked for anew, until two versions in a row show it.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from pipeline import (
    verify_anchors,
    verify_files,
    verify_keys,
    verify_ledger,
    verify_log,
    verify_media,
    verify_stamps,
    verify_strays,
    verify_tree,
    verify_work,
)
from pipeline.errors import ArchiveError, UsageError
from pipeline.verify_anchors import Anchors
from pipeline.verify_keys import CustodyFiles, Keys, Unwrap
from pipeline.verify_ledger import RECORD_COLUMNS, Ledger
from pipeline.verify_log import File, Log
from pipeline.verify_parts import Reading
from pipeline.verify_report import CUSTODY, EVIDENCE, FILES, KEYS, LOG, STRAYS, Report
from pipeline.verify_rows import Content

TRIES = 20
# Kinds in the order in which what they hold is needed: ledger, media, LARGE, LATER; kinds that are not named here are read, and nothing more.
LEDGER, LARGE = ("pages", "records", "runs"), ("messages", "sealed")  # LARGE: on every core
LATER = ("pending_sealed", "withheld_sealed", "matches", "recalls")


@dataclass
class _At:
    """One attempt: where, by which keys, and what was found to be missing or unreadable."""

    home: Path
    corp_id: str
    report: Report
    now_ms: int
    keep_sealed: bool
    keys: Keys | None = None
    log: Log | None = None
    anchors: Anchors | None = None
    needed: dict[str, str] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    lost: list[File] = field(default_factory=list)
    ledger: Ledger | None = None
    leaving: set[tuple[str, int | None]] = field(default_factory=set)  # records that are out of view, their rows not gone yet

    @property
    def root(self) -> Path:
        return self.home / "lake" / self.corp_id


def verify_archive(
    home: Path, corp_id: str, *, unwrap: Unwrap | None = None, custody: CustodyFiles | None = None, now_ms: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Return what a verification of one corp of the home found.

    unwrap: opens wrapped keys where the master key is no file. custody: the custody log as it was before this call recorded
    itself. now_ms: what "over" means for days of withheld bytes (default: the clock). progress: takes (files done, files).
    Raises UsageError when there is no such home or corp, or its master key cannot be opened by these means."""
    if not (home / "liuhen.toml").is_file() or not (home / "lake" / corp_id).is_dir():
        raise UsageError("NO_HOME", f"there is no archive of {corp_id} at {home}", remedy="name its home with --home")
    started = time.monotonic()
    before, gone = set[str](), None
    for attempt in range(TRIES):
        report = Report(corp_id)
        at = _At(home, corp_id, report, round(time.time() * 1000) if now_ms is None else now_ms, _keeps_sealed(home, custody))
        try:
            _run(at, unwrap, custody, progress)
        except FileNotFoundError as error:  # it was listed, and gone when it was opened
            if attempt == TRIES - 1 or error.filename == gone:
                raise
            gone = error.filename
            continue
        found = {repr(f) for f in report.findings}
        if found <= before or not _moved_on(at):  # what two passes find on different versions is so
            break
        before = found
    report.seconds = time.monotonic() - started
    report.findings.sort(key=lambda f: f.check)
    return report


def _keeps_sealed(home: Path, custody: CustodyFiles | None) -> bool:
    """Whether sealed bytes were kept all the time, as far as anything says: no setting was ever changed by a command."""
    changed = any(b'"command":"config set"' in s for s in (custody or verify_keys.custody_bytes(home)).segments)
    return bool(verify_keys.settings(home).get("archive", {}).get("keep_sealed", True)) and not changed


def _run(at: _At, unwrap: Unwrap | None, custody: CustodyFiles | None, progress: Callable[[int, int], None] | None) -> None:
    with _going_on(at, LOG):  # before the anchors: what is anchored was in the log before it, never the other way round
        at.log = verify_log.read(at.root, at.report)
    with _going_on(at, LOG):
        at.anchors = verify_anchors.read(at.home, at.corp_id, at.report)
    with _going_on(at, LOG):
        _check_anchors(at)
    with _going_on(at, KEYS):
        at.keys = verify_keys.read(at.home, at.report, unwrap, anchors=at.anchors)
    if at.log is not None:
        with _going_on(at, FILES):
            _check_content(at, at.log, progress)
        if at.keys is not None:
            with _going_on(at, FILES):
                verify_media.check(at.home, at.corp_id, at.log, at.keys, at.report, at.needed, leaving=at.leaving, progress=progress)
    with _going_on(at, STRAYS):
        verify_strays.check_lake(at.root, at.log, at.keys, at.report)
        verify_strays.check_landing(at.home, at.corp_id, at.report)
        verify_strays.check_staging(at.home, at.corp_id, at.keys, at.report)
        verify_strays.check_purges(at.home, at.corp_id, at.report)
        verify_strays.check_sealed(at.home, at.corp_id, at.report)
        verify_strays.check_home(at.home, at.report)
    if at.keys is not None:
        with _going_on(at, KEYS):
            verify_keys.check_boxes(at.home, at.corp_id, at.keys, at.report)
            verify_keys.check_age(at.keys, at.anchors, at.needed, at.report)
    entries = custody if custody is not None else verify_keys.custody_bytes(at.home)
    with _going_on(at, CUSTODY):
        verify_keys.check_custody(entries, at.keys, at.anchors, at.report)
    with _going_on(at, EVIDENCE):
        secret = at.keys.plain.get(f"{at.corp_id}/checkpoint#0") if at.keys else None
        readable = at.ledger is not None and "records" not in at.broken
        token = bool(verify_keys.settings(at.home).get("evidence", {}).get("signing_key"))
        leaves = at.ledger.commitments() if at.ledger and readable else None
        verify_tree.check(at.home, at.corp_id, leaves, secret, entries.segments, at.report, token=token)
        verify_stamps.check(at.home, at.corp_id, at.report)


@contextmanager
def _going_on(at: _At, check: int) -> Iterator[None]:
    """Damage of a kind nobody thought of is a finding too, and the other checks go on."""
    try:
        yield
    except (ArchiveError, OSError):
        raise
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        at.report.find(check, "CHECK_STOPPED", type=type(error).__name__, place=f"{Path(place.filename).name}:{place.lineno}")


def _check_anchors(at: _At) -> None:
    """Entries that came between reading the log and its anchors are no older log: the log is read again then, once."""
    if at.log is None:
        verify_anchors.check(None, at.anchors, at.report)
        return
    newest = max((a["version"] for a in at.anchors.lines), default=-1) if at.anchors else -1
    if newest > at.log.version and (at.root / "_delta_log" / f"{newest:020d}.json").exists():
        at.report.findings.clear()
        at.report.notes.clear()
        at.log = verify_log.read(at.root, at.report) or at.log
        at.anchors = verify_anchors.read(at.home, at.corp_id, at.report)
    verify_anchors.check(at.log, at.anchors, at.report)


def _moved_on(at: _At) -> bool:
    """Whether what was found may come from commits that came meanwhile: files that they took away, leaves beyond the log that was read."""
    if at.log is None or not at.report.findings:
        return False
    again = verify_log.read(at.root, Report(at.corp_id))
    return again is not None and again.version > at.log.version


def _check_content(at: _At, log: Log, progress: Callable[[int, int], None] | None) -> None:
    """Read every file. Other cores begin with sealed bytes, which need nothing else; this one reads ledger and media; messages are for all of them,
    for this one when it has read what is left. What came of it is told in the order of `LEDGER`, media, `LARGE`, `LATER`, whoever was first."""
    done = 0

    def step() -> None:
        nonlocal done
        done += 1
        if progress:
            progress(done, len(log.active))

    with verify_work.begun(_work(at, log, "sealed", None), early=True) as sealed:
        small: dict[str, list[pa.Table]] = {k: [] for k in LEDGER}
        for kind, table in _tables(at, log, LEDGER, step):
            small[kind].append(table.select(list(RECORD_COLUMNS)) if kind == "records" else table)
        at.ledger = ledger = Ledger(small.pop("records"), small["pages"], at.report)
        content = Content(ledger, at.keys.plain.get("names#0") if at.keys else None, at.broken, at.report)
        for _, table in _tables(at, log, ("media",), step):
            _take(content, "media", table)
        reading = None if at.broken & {"pages", "records"} else content.reading()
        with verify_work.begun(_work(at, log, "messages", reading)) as messages:
            if not at.broken & set(LEDGER) and at.keys is not None:
                verify_ledger.check(ledger, small["runs"], _leaves_expected(at, log), at.report)
            later = replace(at, report=Report(at.corp_id), needed={}, lost=[])
            for kind, table in _tables(later, log, (*LATER, *sorted({f.kind for f in log.active.values()} - {*LEDGER, "media", *LARGE, *LATER})), step):
                _take(content, kind, table)
            for shift in (messages, sealed):
                _check_large(at, shift, content if reading is not None else None, step)
            _add(at, later.report, later.needed)
            at.lost += later.lost
    _forget_destroyed(at, ledger)
    at.leaving |= content.leaving
    if at.keys is not None and log.whole and not at.broken & {"pages", "records"}:
        content.finish(keep_sealed=at.keep_sealed, now_ms=at.now_ms)


def _tables(at: _At, log: Log, kinds: Iterable[str], step: Callable[[], None]) -> Iterator[tuple[str, pa.Table]]:
    """Yield (kind, rows) of every file of these kinds that is as it must be; the others are lost."""
    for kind in kinds:
        for file in sorted(log.of(kind), key=lambda f: f.path):
            table = verify_files.check(at.root, file, at.keys, at.report, at.needed)
            step()
            if table is None:
                at.broken.add(kind)
                at.lost.append(file)
            else:
                yield kind, table


def _work(at: _At, log: Log, kind: str, reading: Reading | None) -> verify_work.Work:
    return verify_work.Work(at.root, sorted(log.of(kind), key=lambda f: f.path), at.keys, reading, at.corp_id)


def _check_large(at: _At, shift: verify_work.Shift, content: Content | None, step: Callable[[], None]) -> None:
    for file, done in shift.results():
        _add(at, done.report, done.needed)
        step()
        if not done.readable:
            at.broken.add(file.kind)
            at.lost.append(file)
        elif done.part is not None and content is not None:
            content.take(file.kind, done.part)


def _add(at: _At, report: Report, needed: dict[str, str]) -> None:
    at.report.add(report)
    for name, concerned in needed.items():
        at.needed[name] = f"{at.needed[name]}; {concerned}" if name in at.needed else concerned


def _leaves_expected(at: _At, log: Log) -> int:
    return int(at.anchors.last["next_leaf"]) if at.anchors and at.anchors.last else log.leaves.get(log.version, 0)


def _take(content: Content, kind: str, table: pa.Table) -> None:
    takers: dict[str, Callable[[pa.Table], None]] = {
        "media": content.take_media, "matches": content.take_matches,
        "recalls": content.take_recalls, "pending_sealed": lambda t: content.take_held("pending_sealed", t),
        "withheld_sealed": lambda t: content.take_held("withheld_sealed", t), "hidden": content.take_hidden,
    }  # fmt: skip
    if kind in takers and not content.broken & {"pages", "records"}:
        takers[kind](table)


def _forget_destroyed(at: _At, ledger: Ledger) -> None:
    """Keys of withheld or pending bytes may be gone: destroyed on record, or, withheld, when all their records' days are over."""
    for name in [n for n in at.needed if n.startswith((f"{at.corp_id}/withheld/", f"{at.corp_id}/pending/"))]:
        on_record = at.keys is not None and name in at.keys.destroyed
        if on_record or ("/withheld/" in name and _over(name.rsplit("#", 1)[0].rsplit("/", 1)[1], at, ledger)):
            at.report.note(FILES, "KEY_DESTROYED", at.needed.pop(name), key=name)


def _over(day: str, at: _At, ledger: Ledger) -> bool:
    withheld = ledger.of("withheld")
    ranges = [f.stats["seq"] for f in at.lost if f.kind == "withheld_sealed" and f.month == day and "seq" in f.stats]
    if withheld is None or not ranges:
        return False
    own = [pc.and_(pc.greater_equal(withheld["seq"], low), pc.less_equal(withheld["seq"], high)) for low, high in ranges]
    until = [t for mask in own for t in withheld.filter(mask)["keep_until"].cast(pa.int64()).to_pylist()]
    return all(t is not None and t // 1000 <= at.now_ms for t in until)
