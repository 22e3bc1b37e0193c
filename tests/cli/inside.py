"""Runs one command line in this very process: for tests that set its clock, or ask much of a small home.

Before: nothing. After: the tests. liuhen.py runs commands as a shell does, in processes of their own.
"""

from __future__ import annotations

import io
import json
from contextlib import redirect_stderr, redirect_stdout
from typing import Any

from pipeline.cli import root
from pipeline.home import Home


class _Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


class Answer:
    """How a command ended: its exit code and what it wrote. screen: stdout is a terminal."""

    def __init__(self, at: Home, *call: str, screen: bool = False) -> None:
        out, err = _Screen() if screen else io.StringIO(), io.StringIO()
        root.CALL.reopen()
        root.CALL.corp_id = None
        with redirect_stdout(out), redirect_stderr(err):
            self.code = root.run(["--home", str(at.path), *call])
        self.out, self.err = out.getvalue(), err.getvalue()

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The rows on stdout (JSON Lines)."""
        return [json.loads(line) for line in self.out.splitlines()]
