"""The command that serves a WeCom double on loopback.

Before: root.py. After: pipeline/simulate/.
It needs no home: it writes a folder of its own, marked DEMO, with the truth, the keys and the secrets of its made-up corp.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import threading
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from pipeline.cli.output import progress
from pipeline.cli.root import app, say, t
from pipeline.clock import BEIJING
from pipeline.errors import UsageError

FOLDER = "liuhen-simulated"
MARK = "DEMO"


@app.command(help=t("usage.simulate"))
def simulate(
    port: Annotated[int, typer.Option("--port", help=t("usage.simulate.port"), min=0, max=65_535)] = 8480,
    messages: Annotated[int, typer.Option("--messages", help=t("usage.simulate.messages"), min=500, max=1_000_000)] = 5_000,
    seed: Annotated[int, typer.Option("--seed", help=t("usage.demo.seed"))] = 1,
    folder: Annotated[Path, typer.Option("--output", "-o", help=t("usage.simulate.folder"), metavar="DIR")] = Path(FOLDER),
    window_days: Annotated[float, typer.Option("--window-days", help=t("usage.simulate.window_days"), min=0.01, max=365)] = 5.0,
    per_minute: Annotated[float, typer.Option("--per-minute", help=t("usage.simulate.per_minute"), min=0, max=600_000)] = 0.0,
    callback: Annotated[str, typer.Option("--callback", help=t("usage.simulate.callback"), metavar="URL")] = "",
) -> None:
    """Serve a made-up WeCom until it is ended."""
    from pipeline.simulate.callbacks import checked_url
    from pipeline.simulate.live import Live
    from pipeline.simulate.server import serving
    from pipeline.simulate.simulator import Setting, Simulator

    yesterday = datetime.now(BEIJING).date() - timedelta(days=1)
    callback = checked_url(callback)
    _own_folder(folder)
    setting = Setting(folder=folder, end_day=yesterday, messages=messages, seed=seed, window_days=window_days, callback_url=callback)
    say(t("demo.banner"))
    with progress() as shown:
        double = Simulator(setting, progress=lambda done, total: shown("generate", done, total))
    ended = _ending()  # before anybody is told that it serves
    with serving(double, port=port) as server, contextlib.ExitStack() as stack:
        (folder / "ca.pem").write_bytes(server.ca)
        say(t("simulate.serving", base=server.base, folder=folder, corp=setting.corp_id, secret=folder.absolute() / "secrets" / "archive"))
        print(msgspec.json.encode({"demo": True, "base": server.base, "proxy": server.base, "corp_id": setting.corp_id, "folder": str(folder)}).decode(), flush=True)
        if per_minute:
            stack.callback(Live(double, per_minute).close)
        with contextlib.suppress(KeyboardInterrupt):
            # Not one long wait: a signal that comes just before it is handled only when it ends.
            while not ended.wait(1):
                pass


def _own_folder(folder: Path) -> None:
    """Make the folder, in place of one of an earlier double; refuse any other that holds something."""
    if folder.exists() and any(folder.iterdir()):
        if not (folder / MARK).is_file():
            raise UsageError("DEMO_FOLDER", f"{folder} exists and is not a demo", remedy="name another folder with -o")
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    (folder / MARK).write_text(t("demo.banner") + "\n", encoding="utf-8")


def _ending() -> threading.Event:
    """Return what is set by the signal that ends a service."""
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda number, frame: ended.set())
    return ended
