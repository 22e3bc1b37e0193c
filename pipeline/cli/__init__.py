"""The command line: one module per group of commands, one place for errors and exit codes (root.py).

Before: ingest.py, reader.py, … After: the operator's shell.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import os
import sys

# Container objects made before the first collection of garbage: starting makes some hundred thousand and leaves none of them behind, so that looking
# for garbage among them seven hundred at a time takes a tenth of the time to start.
STARTING = 500_000
_THRESHOLDS = gc.get_threshold()


def main() -> None:
    """Run the command line of `liuhen` and exit with its code."""
    gc.set_threshold(STARTING)
    _open_streams()
    from pipeline.cli.root import run

    _end(run(sys.argv[1:]))


def started() -> None:
    """Collect garbage as Python does by itself from here on; what starting made stays and is looked through no more. Without `main`, nothing."""
    if gc.get_threshold()[0] == STARTING:
        gc.freeze()
        gc.set_threshold(*_THRESHOLDS)


def _open_streams() -> None:
    """Open the null device where the caller closed a standard stream (`>&-`): else the next file opened, maybe the custody log, has its number,
    and Python has no stream to write to."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number: this one
    sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 (until the process ends)
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115


def _end(code: int) -> None:
    """End the process at once, with everything told and every handler run.

    A question that had enough (LIMIT) leaves Arrow opening files it will not read; for their keys it asks Python. Once the interpreter is
    going, the thread that asks is ended inside Arrow's pool, and the end of that pool waits for it for ever."""
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # who read it has gone
            stream.flush()
    os._exit(code)
