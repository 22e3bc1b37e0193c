"""The demo: a made-up firm behind a double of WeCom, end to end, by the very commands a user runs.

Before: root.py. After: simulate/, demo/generate.py, and the command line itself.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.output import progress
from pipeline.cli.root import CALL, DEFAULT_HOME, LANG, app, err, say, t
from pipeline.clock import BEIJING
from pipeline.errors import Exit, UsageError

if TYPE_CHECKING:
    from pipeline.demo.truth import Truth

DEMO_HOME = "liuhen-demo"
MARK = "DEMO"
LINES_SHOWN = 32


@app.command(help=t("usage.demo"))
def demo(
    messages: Annotated[int, typer.Option("--messages", help=t("usage.demo.messages"), min=500, max=1_000_000)] = 20_000,
    seed: Annotated[int, typer.Option("--seed", help=t("usage.demo.seed"))] = 1,
) -> None:
    """Make a made-up firm and ask it questions."""
    from pipeline.demo import generate
    from pipeline.simulate.server import serving
    from pipeline.simulate.simulator import Setting, Simulator

    home = Path(DEMO_HOME) if str(CALL.home_path) == DEFAULT_HOME else CALL.home_path
    _clear(home)
    source = home / "source"
    source.mkdir(parents=True, mode=0o700)
    (home / MARK).write_text(t("demo.banner") + "\n", encoding="utf-8")
    say(t("demo.banner"))
    say(t("demo.generating", n=messages, folder=source))
    yesterday = datetime.now(BEIJING).date() - timedelta(days=1)
    with progress() as shown:
        setting = Setting(folder=source, messages=messages, seed=seed, end_day=yesterday)
        double = Simulator(setting, progress=lambda done, total: shown("generate", done, total))
    with serving(double) as server:
        for words in generate.commands(source, double.truth, address=server.base):
            _command(home / "home", words, double.truth)
    say(t("demo.next", home=home / "home"))


def _clear(home: Path) -> None:
    """Remove an earlier demo; refuse a folder that is not one."""
    if home.exists() and any(home.iterdir()):
        if not (home / MARK).is_file():
            raise UsageError("DEMO_FOLDER", f"{home} exists and is not a demo", remedy="name another folder with --home")
        shutil.rmtree(home)


def _command(home: Path, words: list[str], truth: Truth) -> None:
    """Run one command of ours as a user would, showing the line first."""
    from pipeline.demo import generate

    err.print("\n$ " + shlex.join(["liuhen", "--home", str(home), *words]), style="bold", markup=False)
    sys.stdout.flush()
    passphrase = next((k.passphrase for k in truth.keys if k.passphrase), None)
    secret = {generate.PASSPHRASE_VARIABLE: passphrase} if passphrase else {}
    asks = words[0] in ("audit", "sql", "status", "conversation")
    table = {"conversation": ["--text"]}.get(words[0], ["--format", "table"] if asks else [])
    ended = subprocess.run(
        [sys.executable, "-m", "pipeline.cli", "--home", str(home), "--lang", LANG, *words, *table], env={**os.environ, **secret}, check=False,
        stdout=subprocess.PIPE if asks else None, encoding="utf-8",
    )  # fmt: skip
    if asks:
        _print_beginning(ended.stdout)
    if ended.returncode not in (Exit.DONE, Exit.LEFT_OVER):
        raise typer.Exit(ended.returncode)


def _print_beginning(text: str) -> None:
    """Print the first lines of an answer; the command itself, shown above, prints all of them."""
    lines = text.splitlines()
    print("\n".join(lines[:LINES_SHOWN]), flush=True)
    if len(lines) > LINES_SHOWN:
        print(t("demo.more", n=len(lines) - LINES_SHOWN), flush=True)
