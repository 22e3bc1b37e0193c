"""The command line: one module per group of commands, one place for errors and exit codes (root.py).

Before: ingest.py, reader.py, … After: the operator's shell.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import sys


def main() -> None:
    """Run the command line of `liuhen` and exit with its code."""
    _open_streams()
    from pipeline.cli.root import run

    _end(run(sys.argv[1:]))


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
