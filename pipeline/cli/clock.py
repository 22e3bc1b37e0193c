"""The command that shows, and confirms, the clock that destruction by time goes by: clock.

Before: root.py. After: trusted_clock.py of the pipeline.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer

from pipeline import words
from pipeline.cli.root import CALL, LANG, app, recorded, say, t


@app.command(help=t("usage.clock"))
def clock(
    confirm: Annotated[bool, typer.Option("--confirm", help=t("usage.clock.confirm"))] = False,
) -> None:
    """Show whether the machine's clock is believed; with --confirm, believe it."""
    from pipeline import trusted_clock
    from pipeline.clock import iso

    with recorded("clock", confirm=confirm) as told:
        seen = trusted_clock.confirm(CALL.home) if confirm else trusted_clock.look(CALL.home)
        told["result"] = "confirmed" if confirm else seen.verdict
        machine, archive = words.beijing(seen.machine_ms, LANG), words.beijing(seen.archive_ms, LANG)
        say(t(f"clock.{seen.verdict}" if not confirm else "clock.confirmed", machine=machine, archive=archive))
        answer = {"machine": iso(seen.machine_ms), "archive": iso(seen.archive_ms), "verdict": seen.verdict, "confirmed": confirm}
        print(msgspec.json.encode(answer).decode(), flush=True)
