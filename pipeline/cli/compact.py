"""The command that tidies the archive's files up: compact.

Before: root.py. After: compact.py of the pipeline.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer

from pipeline.cli.output import progress
from pipeline.cli.root import CALL, app, recorded, say, t


@app.command(help=t("usage.compact"))
def compact(
    budget: Annotated[float | None, typer.Option("--budget", help=t("usage.compact.budget"), min=0, metavar="SECONDS", show_default=False)] = None,
) -> None:
    """Move rows into one file per month and bucket."""
    from pipeline import compact as work

    corp = CALL.corp
    with recorded("compact", corp=corp, budget=budget) as told:
        with progress() as shown, CALL.home.lock(f"{corp}.commit"):
            done = work.run(CALL.home, corp, budget_s=float("inf") if budget is None else budget, progress=shown)
        told["result"] = f"{done.steps} steps"
        say(t("compact.done", steps=done.steps, files_in=done.files_in, files_out=done.files_out))
        if done.left:
            say(t("compact.left", n=done.left))
        print(msgspec.json.encode(done).decode(), flush=True)
