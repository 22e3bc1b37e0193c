"""Verification, checks 2 and 6: files of messages and sealed bytes are read and checked one by one, on every core where there is enough of them.

Before: verify_files.py, verify_parts.py. After: verify.py. Other processes are copies of this one (fork): they share the ledger's memory,
take a file's number, and give back what is left of the file. Nothing of a message travels between processes.
Copies can be begun before this process has time for files itself: what is left when it has, all of them share.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from queue import SimpleQueue
from threading import Thread

import pyarrow as pa

from pipeline import verify_files
from pipeline.verify_keys import Keys
from pipeline.verify_log import File
from pipeline.verify_parts import Part, Reading, merged, sealed
from pipeline.verify_report import Report

ENOUGH_ROWS = 50_000
# So many rows at a time, so that a large file needs no more memory than a small one.
BATCH_ROWS = 32_768
# malloc.h
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
MOST_PROCESSES = 8
# Numbers of files wait in a pipe, which may hold no more than a page (pipe(7), pipe-user-pages-soft); where there are more files, one number stands for several.
_NUMBER_BYTES, _MOST_NUMBERS = 4, 1_024


@dataclass
class Work:
    """What a process needs for a file. reading: None for sealed bytes, and when records could not be read: then messages are not looked into."""

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


Answer = tuple[int, Done | Exception]


def one(work: Work, number: int) -> Done:
    """Check a file."""
    report, needed = Report(work.corp_id), dict[str, str]()
    file, parts = work.files[number], list[Part]()

    def take(table: pa.Table) -> None:
        if file.kind == "sealed":
            parts.append(sealed(table))
        elif work.reading is not None:
            parts.append(work.reading.messages(table))

    readable = verify_files.read(work.root, file, work.keys, report, needed, take, rows=BATCH_ROWS)
    looked_into = file.kind == "sealed" or work.reading is not None
    return Done(readable, merged(parts) if readable and looked_into else None, report, needed)


class Shift:
    """Files that this process and its copies check together. Each takes the number of the next one, the largest first, that nobody has taken."""

    def __init__(self, work: Work, copies: int) -> None:
        self.work = work
        self._order = sorted(range(len(work.files)), key=lambda n: -work.files[n].rows)
        self._step = -(-len(work.files) // _MOST_NUMBERS) or 1
        self._numbers, filled = os.pipe()
        os.write(filled, b"".join(n.to_bytes(_NUMBER_BYTES, "big") for n in range(0, len(work.files), self._step)))
        os.close(filled)
        self._copies: list[tuple[BaseProcess, Connection]] = []
        with suppress(OSError):  # no room for one more process: fewer do it
            for _ in range(copies):
                self._copies.append(self._copy())
        self._answers = [answers for _, answers in self._copies]

    def _copy(self) -> tuple[BaseProcess, Connection]:
        forked = multiprocessing.get_context("fork")
        answers, told = forked.Pipe(duplex=False)
        process = forked.Process(target=self._check_there, args=(told,), daemon=True)
        process.start()
        told.close()
        return process, answers

    def _check_there(self, told: Connection) -> None:
        """Check files in a copy. A thread gives back what came of them: who waits for it may be busy with files of its own."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        _keep_memory()
        waiting: SimpleQueue[Answer | None] = SimpleQueue()
        giving = Thread(target=_give, args=(told, waiting))
        giving.start()
        for number in self._taken():
            waiting.put((number, self._tried(number)))
        waiting.put(None)
        giving.join()

    def _tried(self, number: int) -> Done | Exception:
        try:
            return one(self.work, number)
        except Exception as error:  # raised where it is waited for
            return error

    def _taken(self) -> Iterator[int]:
        """Yield the numbers of files that nobody else has taken. The kernel hands out each once, and a process that is killed holds no lock."""
        while number := os.read(self._numbers, _NUMBER_BYTES):
            first = int.from_bytes(number, "big")
            yield from self._order[first : first + self._step]

    def results(self) -> Iterator[tuple[File, Done]]:
        """Check what is left and yield what came of each file, in their order."""
        known: dict[int, Done | Exception] = {}
        own, at = self._taken(), 0
        while at < len(self.work.files):
            number = next(own, None)
            if number is not None:
                known[number] = self._tried(number)
            elif not self._answers:
                raise RuntimeError("a process that checked files was ended")
            self._receive(known, patient=number is None)
            while at in known:
                done = known.pop(at)
                if isinstance(done, Exception):
                    raise done
                yield self.work.files[at], done
                at += 1

    def _receive(self, known: dict[int, Done | Exception], *, patient: bool) -> None:
        """Take what copies gave back; patient: wait until one did."""
        for answers in wait(self._answers, None if patient else 0):
            assert isinstance(answers, Connection)
            try:
                number, done = answers.recv()
                known[number] = done
            except (EOFError, OSError):  # it is done, or was ended before or while it gave back what came of a file
                self._answers.remove(answers)

    def end(self) -> None:
        """End the copies, whatever they are at."""
        for process, answers in self._copies:
            process.terminate()
            process.join()
            answers.close()
        os.close(self._numbers)


def _give(told: Connection, waiting: SimpleQueue[Answer | None]) -> None:
    for answer in iter(waiting.get, None):
        told.send(answer)


@contextmanager
def begun(work: Work, *, cores: int | None = None, early: bool = False) -> Iterator[Shift]:
    """Begin to check files, in as many copies of this process as there are cores beside its own (early: as half of them, since copies that are begun
    later need theirs), in none where there is little to check."""
    others = min(len(os.sched_getaffinity(0)) if cores is None else cores, len(work.files), MOST_PROCESSES) - 1
    little = cores is None and sum(f.rows for f in work.files) < ENOUGH_ROWS
    shift = Shift(work, 0 if little or others < 1 else -(-others // 2) if early else others)
    try:
        yield shift
    finally:
        shift.end()


def all_of(work: Work, *, cores: int | None = None) -> Iterator[tuple[File, Done]]:
    """Yield what came of each file, in their order."""
    with begun(work, cores=cores) as shift:
        yield from shift.results()


def _keep_memory() -> None:
    """Let this process keep what it freed, since the next file needs as much: memory touched first costs the system a fifth of the work. glibc alone."""
    with suppress(AttributeError, OSError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, 1 << 30)
        mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)
