"""The demo: a made-up firm, end to end, by the very commands a user runs.

Before: root.py. After: demo/generate.py, and the command line itself.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.output import progress
from pipeline.cli.root import CALL, DEFAULT_HOME, LANG, app, err, say, t
from pipeline.clock import BEIJING
from pipeline.errors import Exit, UsageError

DEMO_HOME = "liuhen-demo"
MARK = "DEMO"


@app.command(help=t("usage.demo"))
def demo(
    messages: Annotated[int, typer.Option("--messages", help=t("usage.demo.messages"), min=500, max=5_000_000)] = 20_000,
    seed: Annotated[int, typer.Option("--seed", help=t("usage.demo.seed"))] = 1,
) -> None:
    """Make a made-up firm and ask it questions."""
    from pipeline.demo import generate

    home = Path(DEMO_HOME) if str(CALL.home_path) == DEFAULT_HOME else CALL.home_path
    _clear(home)
    source = home / "source"
    source.mkdir(parents=True, mode=0o700)
    (home / MARK).write_text(t("demo.banner") + "\n", encoding="utf-8")
    say(t("demo.banner"))
    say(t("demo.generating", n=messages, folder=source))
    with progress() as shown:
        truth = generate.generate(
            source, messages=messages, seed=seed, end_day=datetime.now(BEIJING).date(), progress=lambda done, total: shown("generate", done, total)
        )
    _walk(home / "home", source, truth)
    say(t("demo.next", home=home / "home"))


def _clear(home: Path) -> None:
    """Remove an earlier demo; refuse a folder that is not one."""
    if home.exists() and any(home.iterdir()):
        if not (home / MARK).is_file():
            raise UsageError("DEMO_FOLDER", f"{home} exists and is not a demo", remedy="name another folder with --home")
        shutil.rmtree(home)


def _walk(home: Path, source: Path, truth: object) -> None:
    from pipeline.demo import generate

    for words in generate.commands(source, truth):  # type: ignore[arg-type]  # the Truth of the same module
        _command(home, words)


def _command(home: Path, words: list[str]) -> None:
    """Run one command of ours as a user would, showing the line first."""
    shown = " ".join(["liuhen", "--home", str(home), *(f'"{w}"' if " " in w or "*" in w else w for w in words)])
    err.print(f"\n$ {shown}", style="bold", markup=False)
    sys.stdout.flush()
    passphrase = {"LIUHEN_DEMO_PASSPHRASE": "demo"}
    ended = subprocess.run([sys.executable, "-m", "pipeline.cli", "--home", str(home), "--lang", LANG, *words], env={**os.environ, **passphrase}, check=False)
    if ended.returncode not in (Exit.DONE, Exit.LEFT_OVER):
        raise typer.Exit(ended.returncode)
