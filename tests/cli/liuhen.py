"""Runs the command line as a user's shell does, in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[2]


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def summary(self) -> dict[str, Any]:
        """The last line of stdout as JSON."""
        found: dict[str, Any] = json.loads(self.out.splitlines()[-1])
        return found

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The rows on stdout (JSON Lines)."""
        return [json.loads(line) for line in self.out.splitlines()]


def liuhen(home: Path | None, *words: str, lang: str = "en", cwd: Path | None = None, **environ: str) -> Ended:
    """Run one command and return how it ended."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("LIUHEN_")}
    at = ["--home", str(home)] if home else []
    ended = subprocess.run(
        [sys.executable, "-m", "pipeline.cli", *at, *words], capture_output=True, timeout=300, check=False, stdin=subprocess.DEVNULL,
        env={**inherited, "PYTHONPATH": str(ROOT), "LIUHEN_LANG": lang, **environ}, cwd=cwd or ROOT,
    )  # fmt: skip
    return Ended(ended.returncode, ended.stdout.decode(), ended.stderr.decode())
