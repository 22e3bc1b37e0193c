"""PDF set in a process of its own, which is replaced when it has set enough: what the typesetter keeps goes with it, so memory stays flat.

Before: render.py, fonts.py. After: views.py, bundle.py. What is set reaches the process through a pipe: nothing stands in arguments, in the
environment or on disk. The same bytes come out as from `render.pdf` in this process.
"""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from types import TracebackType
from typing import Any

from pipeline.errors import ArchiveError, UsageError
from pipeline.evidence.pdf import render
from pipeline.evidence.pdf.fonts import Fonts

ENOUGH = 4_000  # lines after which a process has set enough

_FONTS: Fonts | None = None


class Writer:
    """Sets PDF with these fonts; use it as a context manager."""

    def __init__(self, fonts: Fonts) -> None:
        self.fonts = fonts
        self._pool: ProcessPoolExecutor | None = None
        self._set = 0

    def pdf(self, template: str, data: dict[str, Any], *, at_ms: int) -> bytes:
        """Return a PDF/A-2u; raises as render.pdf does."""
        if self._set >= ENOUGH:
            self.close()
        if self._pool is None:
            self._pool = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"), initializer=_begin, initargs=(self.fonts,))
        self._set += max(len(data.get("lines", ())), 1)
        told = self._pool.submit(_set, template, data, at_ms).result()
        if isinstance(told, bytes):
            return told
        code, message, remedy = told
        raise UsageError(code, message, remedy=remedy)

    def close(self) -> None:
        """End the process."""
        if self._pool is not None:
            self._pool.shutdown()
        self._pool, self._set = None, 0

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _begin(fonts: Fonts) -> None:
    global _FONTS
    _FONTS = fonts


def _set(template: str, data: dict[str, Any], at_ms: int) -> bytes | tuple[str, str, str]:
    """Set one PDF in the other process; an error comes back as its code and words."""
    assert _FONTS is not None
    try:
        return render.pdf(template, data, _FONTS, at_ms=at_ms)
    except ArchiveError as error:
        return error.code, error.message, error.remedy
