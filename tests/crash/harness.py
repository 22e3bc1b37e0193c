"""Kills the program before and after every durable call, or lets such a call fail; the calls are found by tracing an undisturbed run.

The parent imports everything and uses nothing (the lake's library does not survive a fork once used), so that each run is a forked
child that starts warm. A point is (number of the call, before or after it); a new durable call adds a point by itself.
"""

from __future__ import annotations

import functools
import json
import os
import random
import shutil
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from deltalake import DeltaTable

from pipeline import workbench
from pipeline.errors import ArchiveError
from pipeline.lake import Lake
from pipeline.match import lexicon

SAMPLE = int(os.environ.get("LIUHEN_CRASH_SAMPLE", "0"))
PIECE = os.environ.get("LIUHEN_CRASH_POINTS", "")
CALLS = ("fsync", "link", "replace", "unlink")
# Calls that can fail, by name: what `os` has of them, and the writing of the log, which is not Python's.
CAN_FAIL = ("open", "write", "fsync", "link", "replace", "mkdir")
LOG = "log"


class Point(NamedTuple):
    """One place to be killed at: the n-th durable call, and whether it has been made."""

    number: int
    after: bool
    what: str


class Fault(NamedTuple):
    """A storage that fails from the n-th call on that can fail: with this errno, for good (a full disk) or once (a bad moment)."""

    number: int
    errno: int
    for_good: bool
    what: str = ""


class Failing:
    """Counts the calls below the home that can fail, and fails as told."""

    def __init__(self, below: Path, fault: Fault | None) -> None:
        self.calls: list[str] = []
        self.below, self.fault = str(below.resolve()), fault

    def wrap(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def failing(*args: Any, **kwargs: Any) -> Any:
            if name == LOG or self._concerns(name, args):
                self._fail_or_pass(name, args)
            return function(*args, **kwargs)

        return failing

    def _fail_or_pass(self, name: str, args: tuple[Any, ...]) -> None:
        number = len(self.calls)
        self.calls.append(f"{name} {_about(args) if name != LOG else ''}".strip())
        fault = self.fault
        if fault is not None and (number >= fault.number if fault.for_good else number == fault.number):
            raise OSError(fault.errno, os.strerror(fault.errno))

    def _concerns(self, name: str, args: tuple[Any, ...]) -> bool:
        """Whether a call touches the home; opening counts only where it writes."""
        if name == "open" and not args[1] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            return False
        at = os.readlink(f"/proc/self/fd/{args[0]}") if isinstance(args[0], int) else os.path.abspath(str(args[0]))
        return at.startswith(self.below)

    def install(self) -> None:
        """Let this process' storage fail from now on."""
        for name in CAN_FAIL:
            setattr(os, name, self.wrap(name, getattr(os, name)))
        DeltaTable.create_write_transaction = self.wrap(LOG, DeltaTable.create_write_transaction)  # type: ignore[method-assign]  # its own calls cannot be reached


class Trace:
    """Counts durable calls and dies at one of them. what: call and the kind of file it was made on."""

    def __init__(self, kill_at: Point | None) -> None:
        self.calls: list[str] = []
        self.kill_at = kill_at

    def wrap(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def traced(*args: Any, **kwargs: Any) -> Any:
            number = len(self.calls)
            self.calls.append(f"{name} {_about(args)}")
            if self.kill_at is not None and self.kill_at.number == number and not self.kill_at.after:
                os.kill(os.getpid(), signal.SIGKILL)
            try:
                return function(*args, **kwargs)
            finally:  # also after one that failed: a name that exists already is how a second copy ends
                if self.kill_at is not None and self.kill_at.number == number and self.kill_at.after:
                    os.kill(os.getpid(), signal.SIGKILL)

        return traced

    def install(self) -> None:
        """Trace this process from now on."""
        for name in CALLS:
            setattr(os, name, self.wrap(name, getattr(os, name)))
        Lake.commit = self.wrap("commit", Lake.commit)  # type: ignore[method-assign]  # what the trace is for


def _about(args: tuple[Any, ...]) -> str:
    path = Path(str(args[-1])) if len(args) > 1 else Path(str(args[0])) if args and not isinstance(args[0], int) else Path("")
    if args and isinstance(args[0], int):
        path = Path(os.readlink(f"/proc/self/fd/{args[0]}"))
    return path.suffix or path.name


@functools.cache
def warm() -> None:
    """Prove and compile the shipped packs in this process, once: children have them from their parent."""
    workbench.compiled_packs(tuple(lexicon.shipped_packs()), (), ())


def child(work: Callable[[], Any], *, kill_at: Point | None = None, trace: bool = False) -> tuple[int, Any]:
    """Run `work` in a forked child; return (signal it died of or 0, what it returned; with trace, (that, its durable calls))."""
    warm()
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        code = 0
        try:
            traced = Trace(kill_at)
            if kill_at is not None or trace:
                traced.install()
            result = work()
            data = json.dumps((result, traced.calls) if trace else result, default=str).encode()
            with os.fdopen(write, "wb") as out:
                out.write(data)
        except BaseException:
            traceback.print_exc(file=sys.stderr)
            code = 1
        sys.stderr.flush()
        os._exit(code)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        data = pipe.read()
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        return os.WTERMSIG(status), None
    if status != 0:
        raise AssertionError("the child failed; its traceback is on stderr")
    return 0, json.loads(data)


def failing(work: Callable[[], Any], *, below: Path, fault: Fault | None = None) -> tuple[list[str], Any]:
    """Run `work` in a child whose storage below `below` fails; return (its calls that can fail, how it ended).

    How: "done", or [exit code, code, sentence] of our own error; [1, type, place] of any other."""
    def attempt() -> Any:
        told = Failing(below, fault)
        told.install()
        try:
            work()
        except ArchiveError as error:
            return told.calls, [int(error.exit_code), error.code, str(error)]
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)
            return told.calls, [1, type(error).__name__, " < ".join(f"{Path(p.filename).name}:{p.lineno}" for p in reversed(place[-6:]))]
        return told.calls, "done"

    _, (calls, ended) = child(attempt)
    return calls, ended


class Undisturbed(NamedTuple):
    """What was prepared; a copy of it over which the work ran to its end; the durable calls it made there, and what was found afterwards."""

    template: Path
    done: Path
    calls: list[str]
    found: Any

    @property
    def points(self) -> list[Point]:
        """Every place to be killed at."""
        return points(self.calls)


def undisturbed(folder: Path, prepare: Callable[[Path], object], work: Callable[[Path], object], found: Callable[[Path], Any]) -> Undisturbed:
    """Prepare a folder, run the work over a copy of it and look, each in a process of its own."""
    template, done = folder / "template", folder / "done"
    template.mkdir()
    child(lambda: prepare(template))
    shutil.copytree(template, done)
    _, (_, calls) = child(lambda: work(done), trace=True)
    assert calls, "no durable call was made: there is no place to be killed at"
    return Undisturbed(template, done, calls, child(lambda: found(done))[1])


def points(calls: list[str]) -> list[Point]:
    """Return every place to be killed at in a run that made these calls."""
    return [Point(n, after, what) for n, what in enumerate(calls) for after in (False, True)]


def sampled(every: list[Point], seed: int, *, share: int = 8) -> list[Point]:
    """Return a sample of points, LIUHEN_CRASH_SAMPLE divided by `share` of them, always the same ones for a seed; all of them where it is not set.

    LIUHEN_CRASH_POINTS=FROM:TO takes those of the points, in order, and no sample: all of them can be run piece by piece."""
    if PIECE:
        low, high = (int(n) for n in PIECE.split(":"))
        return sorted(every)[low:high]
    return random.Random(seed).sample(every, min(max(SAMPLE // share, 1), len(every))) if SAMPLE else every


def each_killed(
    run: Undisturbed, chosen: list[Point], work: Callable[[Path], object], *then: Callable[[Path], Any], say: Callable[[str], None]
) -> Iterator[tuple[str, Any]]:
    """Kill the work at each of these points, over a copy of what was prepared; do `then`, each in a process of its own.

    Yields where it was killed, in words, and what the last of `then` gave: the caller compares."""
    kinds = sorted({c.split(" (")[0][:40] if not c.startswith("commit") else "commit" for c in run.calls})
    say(f"{len(run.points)} kill points, {len(chosen)} taken: {', '.join(kinds)}")
    for point in sorted(chosen):
        yield f"killed {'after' if point.after else 'before'} {point.what} ({point.number})", killed(run.template, point, work, *then)


def killed(template: Path, point: Point, work: Callable[[Path], object], *then: Callable[[Path], Any]) -> Any:
    """Kill `work` at a point, over a copy of the template; do `then`, each in a process of its own, and return what the last one gives."""
    at, answer = template.parent / f"{point.number}-{point.after}", None
    shutil.copytree(template, at)
    died, _ = child(lambda: work(at), kill_at=point)
    assert died == signal.SIGKILL, f"the run ended before {point}"
    for step in then:
        _, answer = child(functools.partial(step, at))
    shutil.rmtree(at)
    return answer
