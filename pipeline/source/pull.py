"""Pull: everything the source holds of a corp, page by page into the landing, each durable before the next is asked for.

Before: asking.py, gaps.py, state.py. After: landing.py; ingest takes it from there.

Rules, each with a test:
 (1) A page is landed as received before the next call; the next seq is the largest that landed (exclusive, at most 1,000 records).
 (2) Pages are asked for until an empty one; a short one is no end.
 (3) A page that brings nothing beyond the seq asked with is kept and does not move the cursor; three pages in a row that do not end the pull.
 (4) A page that jumps more than ten million ahead (before its first record or inside) is kept as a saved answer, which does not move the
     cursor, and the same question is asked again: only the same jump twice is believed.
 (5) A jump that the window explains is a gap (gaps.py), committed before its page is landed.
 (6) One pull a corp at a time (a lock, courtesy); two that run all the same land the same bytes under the same name.
 (7) Nothing here opens a record. Records without any usable seq are kept as a saved answer, and end the pull.
 (8) A damaged archive keeps no page from being landed, for the window runs on: exit 6, and a gap found meanwhile is told when it is mended.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Literal

import msgspec
import pyarrow.dataset as ds

from pipeline import clock, durable, landing
from pipeline.errors import EXIT_PRECEDENCE, Exit, VerifyFailed
from pipeline.home import Home
from pipeline.records import PageRef
from pipeline.source import gaps, metrics, state
from pipeline.source.asking import Answer, Asker, Stopped
from pipeline.source.gaps import Gap
from pipeline.source.interface import Sleep, Source
from pipeline.source.pace import Again, Pace, untold
from pipeline.source.state import State

FAR = 10_000_000
STUCK = 3
Progress = Callable[[str, int, int], None]


class Summary(msgspec.Struct, kw_only=True):
    """The last line of `pull` on stdout. records: those with a sequence number; without_seq: entries of the pages that bear none, which
    `ingest` counts as failed. complete: the source had nothing more; code: what stopped it; hours_left: of the window."""

    run_id: str
    pages: int = 0
    records: int = 0
    without_seq: int = 0
    bytes: int = 0
    calls: int = 0
    cursor: int = 0
    gaps: int = 0
    complete: bool = False
    hours_left: float | None = None
    code: str = ""
    hint: str = ""
    exit_code: int = 0


class Pull:
    """One pull of one corp. now_ms: the clock; offset_ms: the source's clock minus ours, None when it cannot be told."""

    def __init__(
        self, home: Home, corp_id: str, source: Source, *, run_id: str, now_ms: Callable[[], int] = clock.now_ms, sleep: Sleep = time.sleep,
        pace: Pace | None = None, offset_ms: int | None = None, progress: Progress | None = None, stop: Callable[[], bool] = lambda: False,
        again: Again = untold,
    ) -> None:  # fmt: skip
        self.home, self.corp_id, self.source = home, corp_id, source
        self._now_ms, self._offset_ms, self._progress, self._stop = now_ms, offset_ms, progress, stop
        settings = home.config.source
        self._window_days, self._alarm_hours = settings.window_days, settings.window_alarm_hours
        self.asker = Asker(source, pace or Pace(settings.calls_per_minute, sleep=sleep), sleep=sleep, again=again, stop=stop)
        self.told = Summary(run_id=run_id)
        self.state = State()
        self._since: int | None = None
        self._foreign: frozenset[str] = frozenset()
        self._stuck = 0
        self._damaged = False
        self._doubted: tuple[int, int, int] | None = None

    def run(self) -> Summary:
        """Pull until the source has nothing more; return the summary. Raises Locked, StorageError, VerifyFailed."""
        with self.home.lock(f"{self.corp_id}.pull"):
            durable.make_folder(self.home.landing(self.corp_id))
            durable.sweep_temporary(self.home.landing(self.corp_id))
            self.state = state.current(self.home, self.corp_id)
            self._since = state.had_all_ms(self.state, now_ms=self._now_ms(), window_days=self._window_days)
            self._foreign = self._brought_otherwise()
            self._tell_late()
            refused = False
            try:
                while not self._stop() and self._next():
                    pass
            except Stopped as stopped:
                self.told.code, self.told.hint, refused = stopped.code, stopped.hint, stopped.refused
            return self._end(refused)

    # -- one page -----------------------------------------------------------------------------------------------------

    def _next(self) -> bool:
        """Ask once and keep what comes; return whether there may be more."""
        asked = self.state.cursor
        answer, unreadable = self.asker.page(asked)
        if unreadable is not None:
            self._set_aside(asked, unreadable, answer)
        if not answer.seqs:
            if _records_in(answer):
                self._land(answer, asked, self._now_ms(), "file")
                raise Stopped("SOURCE_ANSWER_UNREADABLE", refused=False)
            self.told.complete = True
            return False
        self._keep(answer, self.state.cursor)
        return True

    def _set_aside(self, asked: int, unreadable: int, answer: Answer) -> None:
        """Rule 3 of gaps.py: the record is told, and the cursor is behind it for good."""
        now = self._now_ms()
        first = min((s for s in answer.seqs if s > unreadable), default=None)
        gap = Gap(after_seq=asked, before_seq=first or unreadable + 1, from_at_ms=self._since or now, to_at_ms=now, cause="unreadable")
        self._gap(gap)
        self._move(unreadable)
        self._save()

    def _keep(self, answer: Answer, asked: int) -> None:
        now, new = self._now_ms(), [s for s in answer.seqs if s > asked]
        doubtful = bool(new) and _jumps(asked, new) and not self._asked_twice(answer)
        if new and not doubtful and (gap := gaps.between(self._since, requested=asked, first_seq=min(new), now_ms=now, window_days=self._window_days)):
            self._gap(gap)
        ref = self._land(answer, asked, now, "file" if doubtful else "pull")
        self._since = now
        self._stuck = 0 if new and not doubtful else self._stuck + 1
        if self._stuck >= STUCK:
            raise Stopped("SOURCE_REPEATS", refused=True)
        if new and not doubtful:
            self._move(max(new), now)
            if ref.source != "pull" or ref.page in self._foreign:
                self._note(ref, asked, answer)
                self._save()

    def _note(self, ref: PageRef, asked: int, answer: Answer) -> None:
        """Keep how a page was pulled that a saved answer had brought before: the archive keeps one row a page, the custody log every call."""
        params = {
            "page": ref.page, "requested_seq": asked, "answer_code": answer.errcode, "library": self.source.library, "clock_offset_ms": self._offset_ms,
        }  # fmt: skip
        self.home.custody.append(command="pull", phase="page", params=params, result="had already", run_id=self.told.run_id)

    def _asked_twice(self, answer: Answer) -> bool:
        """Rule 4: whether the source gives the same jump a second time."""
        shape = (min(answer.seqs), max(answer.seqs), len(answer.seqs))
        same, self._doubted = shape == self._doubted, shape
        return same

    def _land(self, answer: Answer, asked: int, now: int, source: Literal["pull", "file"]) -> PageRef:
        pulled = landing.Pulled(requested_seq=asked, answer_code=answer.errcode, library=self.source.library, clock_offset_ms=self._offset_ms)
        ref = landing.put(
            self.home, self.corp_id, answer.data, source=source, name=f"pull-{asked}", captured_at_ms=now, pulled=pulled, counted=answer.counted
        )  # fmt: skip
        self.told.pages += 1
        self.told.records += len(answer.seqs)
        self.told.without_seq += answer.without_seq
        self.told.bytes += len(answer.data)
        if self._progress:
            self._progress("pull", self.told.records, 0)
        return ref

    def _gap(self, gap: Gap) -> None:
        """Tell a gap in the archive; one that is damaged is told later (rule 8)."""
        self.told.gaps += 1
        try:
            gaps.keep(self.home, self.corp_id, gap, run_id=self.told.run_id)
        except VerifyFailed:
            self._damaged = True
            self.state = msgspec.structs.replace(self.state, untold=(*self.state.untold, gap))
            self._save()

    def _tell_late(self) -> None:
        late = self.state.untold
        self.state = msgspec.structs.replace(self.state, untold=())
        for gap in late:
            self._gap(gap)
        if late and not self._damaged:
            self._save()

    # -- the cursor ---------------------------------------------------------------------------------------------------

    def _move(self, seq: int, seen_at_ms: int | None = None) -> None:
        self.state = msgspec.structs.replace(self.state, cursor=max(self.state.cursor, seq), seen_at_ms=seen_at_ms or self.state.seen_at_ms)

    def _save(self) -> None:
        state.store(self.home, self.corp_id, self.state)

    def _brought_otherwise(self) -> frozenset[str]:
        """Return the settled pages beyond the cursor that were no pull's: pulled again they would not move it."""
        lake = self.home.lake(self.corp_id)
        where = (ds.field("source") != "pull") & (ds.field("last_seq") > self.state.cursor)
        try:
            found = lake.read("pages", lake.snapshot().of("pages"), columns=["page"], where=where)
        except VerifyFailed:
            self._damaged = True
            return frozenset()
        return frozenset(found["page"].to_pylist())

    # -- the end ------------------------------------------------------------------------------------------------------

    def _end(self, refused: bool) -> Summary:
        now = self._now_ms()
        seen = now if self.told.pages or self.told.complete else self.state.seen_at_ms
        caught_up = now if self.told.complete else self.state.caught_up_at_ms
        self.state = msgspec.structs.replace(self.state, seen_at_ms=seen, caught_up_at_ms=caught_up, code=self.told.code)
        self._save()
        self.told.calls, self.told.cursor = self.asker.calls, self.state.cursor
        self.told.hours_left = state.hours_left(self.state, now_ms=now, window_days=self._window_days)
        unknown = len(self.state.untold) if self._damaged else len(gaps.unacknowledged(self.home, self.corp_id))
        closing = not self.told.complete and self.told.hours_left is not None and self.told.hours_left < self._alarm_hours
        codes = {Exit.SOURCE_REFUSED} if refused else set()
        codes |= {Exit.VERIFY_FAILED} if self._damaged else set()
        codes |= {Exit.GAP} if unknown or closing else set()
        codes |= {Exit.LEFT_OVER} if self.told.code else set()
        self.told.exit_code = next((int(c) for c in EXIT_PRECEDENCE if c in codes), 0)
        metrics.write(self.home)
        return self.told


def _jumps(asked: int, new: Sequence[int]) -> bool:
    """Whether sequence numbers leave out more than FAR: before the first (unless nothing was ever pulled) or in between."""
    found = sorted(new)
    return (asked > 0 and found[0] - asked > FAR) or any(high - low > FAR for low, high in pairwise(found))


def _records_in(answer: Answer) -> bool:
    """Whether an answer without a single usable sequence number has records all the same."""
    return b'"encrypt_chat_msg"' in answer.data
