"""One cycle of everything: the steps as data, run in order, each judged by how it ended.

Before: pull.py, ingest.py, media_fetch.py, and whoever adds a step. After: the command `run`, meant every 15 minutes.

A step is a name and where its function lies; a module that is not there (yet) is left out and said so. A step gets the Cycle and returns
numbers for the summary and an exit code. Rules:
 (1) A step that fails does not keep later ones from their work, except that a full or unreadable storage ends the cycle.
 (2) A step with nothing configured for it (no source, no secret) is skipped and said so; that is no failure.
 (3) The exit code is the most serious of all steps (6, 9, 4, 5, 3).
 (4) One cycle a corp at a time (a lock; exit 7). Every step can be repeated: so can the cycle.
To add a step, put a line into STEPS: name, "package.module:function"; the function takes a Cycle and returns a Step result.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from pipeline import clock
from pipeline.commit import FATES
from pipeline.errors import EXIT_PRECEDENCE, ArchiveError, Exit, Locked, UsageError, VerifyFailed
from pipeline.home import Home
from pipeline.ingest import Ended, new_run_id, silent
from pipeline.ingest import Summary as IngestSummary
from pipeline.source.follow import pause
from pipeline.source.interface import Source
from pipeline.source.pace import Again, untold

Progress = Callable[[str, int, int], None]


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """How a step ended. told: what goes into the summary under the step's name; skipped: why it had nothing to do."""

    told: Any = None
    exit_code: int = 0
    code: str = ""
    skipped: str = ""


class Cycle:
    """What the steps of one cycle share. The source is opened when a step first asks for it."""

    def __init__(
        self, home: Home, corp_id: str, *, open_source: Callable[[Home, str], Source], progress: Progress = silent,
        stop: Callable[[], bool] = lambda: False, again: Again = untold,
    ) -> None:  # fmt: skip
        self.home, self.corp_id, self.progress, self.stop, self.again = home, corp_id, progress, stop, again
        self.run_id = new_run_id()
        self.started_ms = clock.now_ms()
        self.ingested: Ended | None = None
        self._open_source, self._source = open_source, None  # type: tuple[Callable[[Home, str], Source], Source | None]

    def pause(self, seconds: float) -> None:
        """Sleep, until told to stop."""
        pause(seconds, self.stop)

    @property
    def source(self) -> Source:
        """The corp's source; raises UsageError when none is configured."""
        if self._source is None:
            self._source = self._open_source(self.home, self.corp_id)
        return self._source

    def close(self) -> None:
        """Let go of the source."""
        if self._source is not None:
            self._source.close()
            self._source = None


class Step(msgspec.Struct, frozen=True):
    """A step: its name in the summary, and `module:function`."""

    name: str
    function: str


STEPS: tuple[Step, ...] = (
    Step("callbacks", "pipeline.wecom.cycle_steps:drain"),
    Step("pull", "pipeline.source.cycle:pull"),
    Step("directory", "pipeline.people_history.cycle_steps:sync"),
    Step("people", "pipeline.restating.cycle_steps:people"),
    Step("consent_due", "pipeline.consenting.cycle_steps:sync_due"),
    Step("ingest", "pipeline.source.cycle:ingest"),
    Step("consent_new", "pipeline.consenting.cycle_steps:sync_new"),
    Step("reconcile", "pipeline.consenting.cycle_steps:reconcile"),
    Step("media", "pipeline.source.cycle:media"),
    Step("media_sweep", "pipeline.source.cycle:media_sweep"),
    Step("alerts", "pipeline.source.cycle:alerts"),
    Step("checkpoint", "pipeline.evidence.cycle_steps:sign"),
    Step("stamps", "pipeline.evidence.cycle_steps:stamp"),
    Step("summaries", "pipeline.search.cycle_steps:summaries"),
    Step("heartbeat", "pipeline.watch.heartbeat:beat"),
)
# Not configured: nothing to do, not a failure.
UNSET = frozenset({"LIBRARY_NOT_SET", "SECRET_FORM"})


class Summary(IngestSummary, kw_only=True):
    """The last line of `run`: the counts of its ingest add up as those of `ingest`; steps: what each told; failed: step -> code."""

    steps: dict[str, Any] = msgspec.field(default_factory=dict)
    skipped: dict[str, str] = msgspec.field(default_factory=dict)
    stopped: dict[str, str] = msgspec.field(default_factory=dict)


def function_of(step: Step) -> Callable[[Cycle], Told] | None:
    """Return the step's function, None when its module or function is not there."""
    module, _, name = step.function.partition(":")
    try:
        found: Callable[[Cycle], Told] | None = getattr(importlib.import_module(module), name, None)
        return found
    except ModuleNotFoundError as error:
        if error.name is None or not module.startswith(error.name):
            raise
        return None


def run(cycle: Cycle, *, steps: Sequence[Step] = STEPS) -> Summary:
    """Do all steps under the cycle's lock; return the summary. Raises Locked, and StorageError or VerifyFailed of the step that met it."""
    told, codes = Summary(run_id=cycle.run_id), set[int]()
    with cycle.home.lock(f"{cycle.corp_id}.run"):
        try:
            for step in steps:
                if cycle.stop():
                    break
                ended = _one(cycle, step)
                _add(told, step, ended)
                codes.add(ended.exit_code)
        finally:
            cycle.close()
    if cycle.ingested is not None:
        for name in (*FATES, "landed", "reopened", "pages"):
            setattr(told, name, getattr(cycle.ingested.summary, name))
    told.exit_code = next((int(c) for c in EXIT_PRECEDENCE if int(c) in codes), max(codes - {0}, default=0))
    return told


def _one(cycle: Cycle, step: Step) -> Told:
    function = function_of(step)
    if function is None:
        return Told(skipped="not part of this version")
    try:
        return function(cycle)
    except Locked as error:
        return Told(code=error.code, skipped=error.message)
    except UsageError as error:
        if error.code in UNSET:
            return Told(skipped=error.message)
        return Told(exit_code=int(error.exit_code), code=error.code)
    except ArchiveError as error:
        if error.exit_code in (Exit.STORAGE, Exit.VERIFY_FAILED):  # rule 1
            raise
        return Told(exit_code=int(error.exit_code), code=error.code)


def _add(told: Summary, step: Step, ended: Told) -> None:
    if ended.told is not None:
        told.steps[step.name] = ended.told
    if ended.skipped:
        told.skipped[step.name] = ended.skipped
    if ended.code:
        told.stopped[step.name] = ended.code


# -- steps of our own ----------------------------------------------------------------------------------------------


def pull(cycle: Cycle) -> Told:
    """Everything the source holds, into the landing."""
    from pipeline.source.offset import offset_ms
    from pipeline.source.pull import Pull

    source, off = cycle.source, offset_ms(cycle.home)
    told = Pull(cycle.home, cycle.corp_id, source, run_id=cycle.run_id, offset_ms=off, progress=cycle.progress, stop=cycle.stop, again=cycle.again, sleep=cycle.pause).run()
    return Told(told=told, exit_code=told.exit_code, code=told.code)


def ingest(cycle: Cycle) -> Told:
    """What landed, into the archive."""
    from pipeline import ingest as work

    cycle.ingested = work.run(cycle.home, cycle.corp_id, command="run", progress=cycle.progress)
    return Told(exit_code=cycle.ingested.summary.exit_code)


def media(cycle: Cycle) -> Told:
    """Files of archived messages."""
    from pipeline.source.media_fetch import Fetch, waiting
    from pipeline.source.media_store import sweep

    if not waiting(cycle.home, cycle.corp_id, 1):
        sweep(cycle.home, cycle.corp_id, ())
        return Told(skipped="no file waits")
    told = Fetch(cycle.home, cycle.corp_id, cycle.source, progress=cycle.progress, stop=cycle.stop, again=cycle.again, sleep=cycle.pause).run()
    return Told(told=told, exit_code=told.exit_code, code=told.code)


def media_sweep(cycle: Cycle) -> Told:
    """Fetched files that no row names any more; rows that cannot be read keep all of them, and no other step from its work."""
    from pipeline.durable import Vanished
    from pipeline.source import media_sweep as sweeping

    try:
        told = sweeping.run(cycle.home, cycle.corp_id)
    except Vanished:
        told = None  # read while others tidied up: the next cycle looks again
    except VerifyFailed as error:
        return Told(exit_code=int(error.exit_code), code=error.code)
    return Told(told=told) if told is not None and told != sweeping.Swept() else Told()


def alerts(cycle: Cycle) -> Told:
    """Serious findings, told at once where somebody wants to be told."""
    from pipeline.alerts import step

    told = step.run(cycle.home, cycle.corp_id)
    return Told(told=told._asdict(), exit_code=int(Exit.LEFT_OVER) if told.waiting else 0, code=told.errors[0] if told.errors else "")
