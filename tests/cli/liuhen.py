"""Runs the command line as a user's shell does, in a process of its own.

Before: prepared.py, which has the libraries loaded and forks for each command. After: the tests.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 300


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


@cache
def prepared() -> subprocess.Popen[str]:
    """The process that commands are forked from, started when the first one is asked for."""
    started = subprocess.Popen(
        [sys.executable, "-m", "tests.cli.prepared"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
        env={**_inherited(), "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    atexit.register(started.kill)
    return started


def _inherited() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if not k.startswith("LIUHEN_")}


def liuhen(home: Path | None, *words: str, lang: str = "en", cwd: Path | None = None, fresh: bool = False, **environ: str) -> Ended:
    """Run one command and return how it ended; with `fresh` in a new interpreter, which takes seconds longer."""
    at = ["--home", str(home)] if home else []
    ended = _in_new_interpreter if fresh else _forked
    return ended([*at, *words], {**_inherited(), "PYTHONPATH": str(ROOT), "LIUHEN_LANG": lang, **environ}, cwd or ROOT)


def _in_new_interpreter(words: list[str], environ: dict[str, str], cwd: Path) -> Ended:
    command = [sys.executable, "-m", "pipeline.cli", *words]
    ended = subprocess.run(command, capture_output=True, timeout=TIMEOUT_S, check=False, stdin=subprocess.DEVNULL, env=environ, cwd=cwd)
    return Ended(ended.returncode, ended.stdout.decode(), ended.stderr.decode())


def _forked(words: list[str], environ: dict[str, str], cwd: Path) -> Ended:
    server = prepared()
    assert server.stdin is not None and server.stdout is not None
    with tempfile.NamedTemporaryFile() as out, tempfile.NamedTemporaryFile() as err:
        asked = {"words": words, "environ": environ, "cwd": str(cwd), "out": out.name, "err": err.name}
        print(json.dumps(asked), file=server.stdin, flush=True)
        answered, _, _ = select.select([server.stdout], [], [], TIMEOUT_S)
        assert answered, f"the command did not end in {TIMEOUT_S} seconds"
        return Ended(int(server.stdout.readline()), out.read().decode(), err.read().decode())
