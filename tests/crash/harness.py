"""Kills the program before and after every durable call, found by tracing an undisturbed run.

The parent imports everything and uses nothing (the lake's library does not survive a fork once used), so that each run is a forked
child that starts warm. A point is (number of the call, before or after it); a new durable call adds a point by itself.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.lake import Lake

CALLS = ("fsync", "link", "replace", "unlink")


class Point(NamedTuple):
    """One place to be killed at: the n-th durable call, and whether it has been made."""

    number: int
    after: bool
    what: str


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
            result = function(*args, **kwargs)
            if self.kill_at is not None and self.kill_at.number == number and self.kill_at.after:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

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


def child(work: Callable[[], Any], *, kill_at: Point | None = None, trace: bool = False) -> tuple[int, Any]:
    """Run `work` in a forked child; return (signal it died of or 0, what it returned; with trace, (that, its durable calls))."""
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


def points(calls: list[str]) -> list[Point]:
    """Return every place to be killed at in a run that made these calls."""
    return [Point(n, after, what) for n, what in enumerate(calls) for after in (False, True)]
