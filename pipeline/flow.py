"""The diagram: the way of a page through the pipeline, and the only Beam graph.

    landing ─► envelope ─► message ─► consent ─► matching ─► stage ─► (commit.py makes it visible)

One element is one page by reference; inside a fused stage page objects pass from step to step, so the engine costs
microseconds a page. Step label = module = metric prefix = failure step. At least once is enough: what a step stages is
invisible until the committer settles it, once.
The rules live in the modules the steps name; none of those imports Beam. Any runner: `--runner R -- BEAM OPTIONS`.
"""

from __future__ import annotations

import io
import logging
import os
import pickle
import re
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any

import apache_beam as beam
from apache_beam import coders
from apache_beam.coders.typecoders import registry
from apache_beam.metrics.metric import Metrics
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.pvalue import PCollection
from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiRunner
from apache_beam.runners.runner import PipelineRunner
from apache_beam.transforms.environments import SubprocessSDKEnvironment
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue

from pipeline.errors import ArchiveError, StorageError, UsageError, VerifyFailed
from pipeline.records import MatchedPage, PageRef
from pipeline.stage import Builder
from pipeline.workbench import Settings, Workbench, open_workbench

# Named because the default runner is another one where the internet is open.
RUNNER = "FnApiRunner"
# These work in this process: what stops them is a step, not that they are not there.
_HERE = frozenset({RUNNER, "DirectRunner", "SwitchingDirectRunner", "BundleBasedDirectRunner"})
MOST_WORKERS = 256
# Below this, starting worker processes costs more than the second core brings.
RECORDS_WORTH_PROCESSES = 20_000

# How an error of ours looks as the text in which it comes from another process, and the kinds that keep their exit code then.
TOLD = re.compile(r"pipeline\.(?:errors|durable)\.(\w+): (.+?)(?: \[while running [^]]*\])?$")
CROSSES: dict[str, type[ArchiveError]] = {"StorageError": StorageError, "Vanished": StorageError, "VerifyFailed": VerifyFailed, "UsageError": UsageError}


def build(pipeline: beam.Pipeline, pages: Sequence[PageRef], settings: Settings, *, spread: bool) -> PCollection[str]:
    """Wire the steps in record order; the result is the manifests' names. spread: over processes; one alone is spared a second stage, and the sorting between."""
    refs = pipeline | "pages" >> beam.Create(pages, reshuffle=False)  # `spread` does it
    manifests: PCollection[str] = (
        (refs | "spread" >> beam.Reshuffle() if spread else refs)
        | "landing" >> beam.ParDo(Step(settings, Workbench.landing)).with_output_types(Page)
        | "envelope" >> beam.ParDo(Step(settings, Workbench.envelope)).with_output_types(Page)
        | "message" >> beam.ParDo(Step(settings, Workbench.message)).with_output_types(Page)
        | "consent" >> beam.ParDo(Step(settings, Workbench.consent)).with_output_types(Page)
        | "matching" >> beam.ParDo(Step(settings, Workbench.matching)).with_output_types(Page)
        | "stage" >> beam.ParDo(Stage(settings))
    )
    return manifests


class Page:
    """Names what steps hand on, so that Beam uses PageCoder for it."""


class PageCoder(coders.Coder):
    """How a page would cross to another process; inside a fused stage it never does.

    Beam asks the coder for the size of elements it samples, and its own way is to pickle the whole page for that, at every step."""

    def encode(self, value: Any) -> bytes:
        return pickle.dumps(value, protocol=5)

    def decode(self, encoded: bytes) -> Any:
        return pickle.loads(encoded)

    def estimate_size(self, value: Any) -> int:
        return 1

    def is_deterministic(self) -> bool:
        return False


registry.register_coder(Page, PageCoder)


class Step(beam.DoFn):
    """One pure step as a Beam transform."""

    def __init__(self, settings: Settings, function: Callable[[Workbench, Any], Any]) -> None:
        self._settings = settings
        self._function = function
        self._pages = Metrics.counter(function.__name__, "pages")

    def process(self, element: Any) -> Iterator[Any]:
        """Yield the page after this step."""
        self._pages.inc()
        yield _guarded(self._function.__name__, self._function, open_workbench(self._settings), element)


class Stage(beam.DoFn):
    """Gathers matched pages and writes them as few durable files; what is left is written when the bundle ends."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._builder: Builder | None = None

    def start_bundle(self) -> None:
        """Begin with nothing gathered: a retried bundle must not see what a failed one left."""
        self._builder = open_workbench(self._settings).builder()

    def process(self, page: MatchedPage) -> Iterator[str]:
        """Gather one page; yield a manifest's name when it was time to write."""
        assert self._builder is not None
        _guarded("stage", Builder.add, self._builder, page)
        if self._builder.full:
            yield from self._flush()

    def finish_bundle(self) -> Iterator[WindowedValue]:
        """Write what is left."""
        for name in self._flush():
            yield WindowedValue(name, GlobalWindow().max_timestamp(), (GlobalWindow(),))

    def _flush(self) -> Iterator[str]:
        assert self._builder is not None
        manifest = _guarded("stage", Builder.flush, self._builder)
        if manifest is not None:
            yield manifest.name


def _guarded(step: str, function: Callable[..., Any], *args: Any) -> Any:
    """Call a step; an error that is not ours is told without its text, which may quote the record (runners log errors)."""
    try:
        return function(*args)
    except ArchiveError as error:
        raise error from None  # the words of its cause may quote the record
    except Exception as error:
        at = error.__traceback__
        while at is not None and at.tb_next is not None:
            at = at.tb_next
        place = f"{os.path.basename(at.tb_frame.f_code.co_filename)}:{at.tb_lineno}" if at else "?"
        raise ArchiveError("STEP_FAILED", f"step {step} stopped with {type(error).__name__} at {place}", remedy="report it with this line") from None


def _processes(workers: int, records: int) -> int:
    """Return how many processes a pipeline gets where the operator says nothing to Beam."""
    return 1 if not workers and records < RECORDS_WORTH_PROCESSES else workers or os.cpu_count() or 1


def engine(*, workers: int, records: int, runner: str | None, beam_options: Sequence[str]) -> tuple[PipelineRunner | None, PipelineOptions]:
    """Return the pinned in-process runner with our choice of processes, or what the operator asked for (then the options name it)."""
    if runner not in (None, RUNNER):
        return None, PipelineOptions([f"--runner={runner}", *beam_options])
    count = _processes(workers, records)
    if beam_options or count == 1:
        return FnApiRunner(), PipelineOptions(["--direct_num_workers=1", *beam_options])
    command = f"{shlex.quote(sys.executable)} -m pipeline.worker"
    environment = SubprocessSDKEnvironment.from_command_string(command)
    return FnApiRunner(default_environment=environment), PipelineOptions([f"--direct_num_workers={count}"])


def check(*, runner: str | None, beam_options: Sequence[str]) -> None:
    """Raise UsageError RUNNER_UNKNOWN or RUNNER_OPTION for a runner, or options, that cannot be used, whether anything waits or not."""
    logging.getLogger("apache_beam").setLevel(logging.CRITICAL)
    with _usable_options():
        chosen, options = engine(workers=0, records=0, runner=runner, beam_options=beam_options)
        told = options.get_all_options()  # what cannot be read ends the process, else only when the pipeline runs
        beam.Pipeline(runner=chosen, options=options)
    if not 0 <= (count := int(told["direct_num_workers"])) <= MOST_WORKERS:
        raise UsageError("RUNNER_OPTION", f"--direct_num_workers is {count}, expected a whole number 0–{MOST_WORKERS}", remedy="check what follows --")
    if any(word.partition("=")[0] == "--runner" for word in beam_options):
        raise UsageError("RUNNER_OPTION", "--runner stands behind --, where it is not looked at", remedy="`liuhen ingest --runner R -- BEAM OPTIONS`")


def run(pages: Sequence[PageRef], settings: Settings, *, workers: int = 0, runner: str | None = None, beam_options: Sequence[str] = ()) -> None:
    """Stage `pages`; returns when every one of them has a manifest. Errors of a step come out as ArchiveError."""
    # Beam logs the error that it raises, with its whole traceback; we tell it once, in one sentence.
    logging.getLogger("apache_beam").setLevel(logging.CRITICAL)
    with _usable_options():
        records = sum(p.records for p in pages)
        chosen, options = engine(workers=workers, records=records, runner=runner, beam_options=beam_options)
        pipeline = beam.Pipeline(runner=chosen, options=options)
    try:
        build(pipeline, pages, settings, spread=bool(runner or beam_options or _processes(workers, records) > 1))
        _started(pipeline, runner).wait_until_finish()
    except ArchiveError:
        raise
    except Exception as error:
        raise _unwrapped(error) from None


def _started(pipeline: beam.Pipeline, runner: str | None) -> Any:
    """Return the pipeline's run. Raises UsageError RUNNER_UNAVAILABLE where a runner outside of this process cannot take it."""
    try:
        return pipeline.run()
    except Exception as error:
        if runner is None or runner in _HERE or isinstance(told := _unwrapped(error), StorageError) or told.code == "STEP_FAILED":
            raise
        sentence = f"{runner} cannot be used from here ({type(error).__name__}): it needs a service or packages of its own"
        raise UsageError("RUNNER_UNAVAILABLE", sentence, remedy="set up what Beam asks for this runner; without --runner the work is done in this process") from None


@contextmanager
def _usable_options() -> Iterator[None]:
    """Beam prints a page and ends the process, or raises whatever it likes, over options it does not know."""
    try:
        with redirect_stderr(io.StringIO()), redirect_stdout(io.StringIO()):  # --help prints to the one, what is wrong to the other
            yield
    except (SystemExit, ValueError, TypeError, AttributeError, ImportError) as error:
        sentence = "the runner or one of its options is not known to Beam, or one that it needs is missing"
        raise UsageError("RUNNER_UNKNOWN", sentence, remedy="check --runner and what follows --") from error


def _unwrapped(error: Exception) -> ArchiveError:
    """Beam re-raises a worker's error with its own words around it, or as text from another process."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ArchiveError):
            return cause
        cause = cause.__cause__ or cause.__context__
    for line in reversed(str(error).splitlines()):
        if told := TOLD.search(line):
            return CROSSES.get(told[1], ArchiveError)("STEP_FAILED", told[2])
    return ArchiveError("RUNNER_FAILED", f"the runner stopped with {type(error).__name__}", remedy="run again; with --workers 1 to see the step")
