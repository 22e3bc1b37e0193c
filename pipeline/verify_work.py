"""Verification, checks 2 and 6: files of messages and sealed bytes are read and checked one by one, on every core where there is enough of them.

Before: verify_files.py, verify_parts.py. After: verify.py. Other processes are copies of this one (fork): they share the ledger's memory,
take a file's number, and give back what is left of the file. Nothing of a message travels between processes.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from pipeline import verify_files
from pipeline.verify_keys import Keys
from pipeline.verify_log import File
from pipeline.verify_parts import Part, Reading, merged
from pipeline.verify_report import Report

ENOUGH_ROWS = 100_000
# So many rows at a time, so that a large file needs no more memory than a small one.
BATCH_ROWS = 32_768
# malloc.h
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
MOST_PROCESSES = 8


@dataclass
class Work:
    """What a process needs for a file. reading: None when records could not be read: then files are checked, and no more."""

    root: Path
    files: Sequence[File]
    keys: Keys | None
    reading: Reading | None
    corp_id: str


@dataclass
class Done:
    """What came of one file: whether it could be read, its part, and what to add to report and needed keys."""

    readable: bool
    part: Part | None
    report: Report
    needed: dict[str, str]


_WORK: Work | None = None


def one(work: Work, number: int) -> Done:
    """Check a file."""
    report, needed = Report(work.corp_id), dict[str, str]()
    file, parts = work.files[number], list[Part]()

    def take(table: pa.Table) -> None:
        if work.reading is not None:
            parts.append(work.reading.messages(table) if file.kind == "messages" else work.reading.sealed(table))

    readable = verify_files.read(work.root, file, work.keys, report, needed, take, rows=BATCH_ROWS)
    return Done(readable, merged(parts) if readable and work.reading is not None else None, report, needed)


def _keep_memory() -> None:
    """Let this process keep what it freed, since the next file needs as much: memory touched first costs the system a fifth of the work. glibc alone."""
    with suppress(AttributeError, OSError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, 1 << 30)
        mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)


def _one_there(number: int) -> Done:
    assert _WORK is not None
    return one(_WORK, number)


def all_of(work: Work, *, cores: int | None = None) -> Iterator[tuple[File, Done]]:
    """Yield what came of each file, in their order."""
    global _WORK
    processes = min(len(os.sched_getaffinity(0)) if cores is None else cores, len(work.files), MOST_PROCESSES)
    if processes < 2 or (cores is None and sum(f.rows for f in work.files) < ENOUGH_ROWS):
        yield from ((file, one(work, n)) for n, file in enumerate(work.files))
        return
    _WORK = work
    try:
        with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("fork"), initializer=_keep_memory) as pool:
            yield from zip(work.files, pool.map(_one_there, range(len(work.files))), strict=True)
    finally:
        _WORK = None
