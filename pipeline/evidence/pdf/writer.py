"""PDF set in a process of its own, which is replaced when it has set enough: what the typesetter keeps goes with it, so memory stays flat.

Before: render.py, fonts.py. After: views.py, bundle.py. What is set reaches the process through a pipe: nothing stands in arguments, in the
environment or on disk. The same bytes come out as from `render.pdf` in this process. Why no pool: the threads with which it sends and receives
leave memory of their own behind in this process, more with each part.
"""

from __future__ import annotations

import multiprocessing
import pickle
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from types import TracebackType
from typing import Any

from pipeline.errors import ArchiveError, UsageError
from pipeline.evidence.pdf import render
from pipeline.evidence.pdf.fonts import Fonts

ENOUGH = 4_000  # lines after which a process has set enough


class Writer:
    """Sets PDF with these fonts; use it as a context manager."""

    def __init__(self, fonts: Fonts) -> None:
        self.fonts = fonts
        self._running: tuple[SpawnProcess, Connection] | None = None
        self._set = 0

    def pdf(self, template: str, data: dict[str, Any], *, at_ms: int) -> bytes:
        """Return a PDF/A-2u; raises as render.pdf does, and PDF_FAILED when the process ends before it is set."""
        if self._set >= ENOUGH:
            self.close()
        self._set += max(len(data.get("lines", ())), 1)
        ends = self._begun()
        try:
            ends.send_bytes(pickle.dumps((template, data, at_ms)))  # not `send`: where it fails, Python 3.13 complains of its buffer
            told: bytes | tuple[str, str, str] = ends.recv()
        except (EOFError, OSError):
            self.close()
            raise UsageError("PDF_FAILED", "the PDF could not be made", remedy="report it; --no-pdf makes the bundle without") from None
        if isinstance(told, bytes):
            return told
        code, message, remedy = told
        raise UsageError(code, message, remedy=remedy)

    def _begun(self) -> Connection:
        """Return this process's end of the pipe to the one that sets; begin that one where there is none."""
        if self._running is None:
            context = multiprocessing.get_context("spawn")
            here, there = context.Pipe()
            process = context.Process(target=_set_all, args=(self.fonts, there))
            process.start()
            there.close()  # so that its end is seen here
            self._running = process, here
        return self._running[1]

    def close(self) -> None:
        """End the process."""
        if self._running is not None:
            process, here = self._running
            here.close()
            process.join()
            process.close()
        self._running, self._set = None, 0

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _set_all(fonts: Fonts, there: Connection) -> None:
    """Set what comes through the pipe, one after another, until its other end is closed."""
    while True:
        try:
            template, data, at_ms = there.recv()
        except EOFError:
            return
        there.send(_set(template, data, fonts, at_ms))


def _set(template: str, data: dict[str, Any], fonts: Fonts, at_ms: int) -> bytes | tuple[str, str, str]:
    """Set one PDF; an error comes back as its code and words."""
    try:
        return render.pdf(template, data, fonts, at_ms=at_ms)
    except ArchiveError as error:
        return error.code, error.message, error.remedy
