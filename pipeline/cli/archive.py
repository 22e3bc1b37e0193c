"""The command that fills the archive: ingest.

Before: root.py. After: ingest.py.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from pipeline.cli.output import progress, tell_counts
from pipeline.cli.root import CALL, app, recorded, say, t
from pipeline.errors import Exit, UsageError


@app.command(help=t("usage.ingest"))
def ingest(
    source: Annotated[list[Path] | None, typer.Option("--from", help=t("usage.ingest.from"), metavar="PATH")] = None,
    plain: Annotated[list[Path] | None, typer.Option("--plain", help=t("usage.ingest.plain"), metavar="FILE")] = None,
    workers: Annotated[int | None, typer.Option("--workers", help=t("usage.ingest.workers"), metavar="N", min=1, max=256)] = None,
    runner: Annotated[str, typer.Option("--runner", help=t("usage.ingest.runner"), metavar="R")] = "",
    more: Annotated[list[Path] | None, typer.Argument(help=t("usage.ingest.more"), metavar="PATH", show_default=False)] = None,
) -> None:
    """Land, open, gate, match, store."""
    from pipeline import ingest as work

    sources, plains = list(source or []), list(plain or [])
    if more:
        if bool(sources) == bool(plains):
            raise UsageError("USAGE", "files without --from or --plain in front of them", remedy="`liuhen ingest --from PATH…` or `liuhen ingest --plain FILE…`")
        (sources or plains).extend(more)
    corp = CALL.corp
    with recorded("ingest", corp=corp, workers=workers, runner=runner or None, files=len(sources) + len(plains)) as told:
        with progress() as shown:
            ended = work.run(
                CALL.home, corp, sources=sources, plain=plains, workers=workers, runner=runner or None, beam_options=CALL.after_dashes, progress=shown
            )
        told["run_id"], told["result"] = ended.summary.run_id, f"exit {ended.summary.exit_code}"
        for version, count in sorted(ended.waiting_for_key.items()):
            say(t("ingest.waiting_for_key", version=version, count=count))
        for detail in ended.refused:
            say(t("ingest.source_errcode", detail=detail))
        if ended.breaker:
            say(t("ingest.breaker"))
        if ended.beyond:
            say(t("ingest.beyond", beyond=ended.beyond, messages=ended.crowded))
        tell_counts(ended.summary)
        if ended.summary.exit_code == Exit.LEFT_OVER:
            new = ended.summary.failed + ended.summary.pending
            say(t("ingest.left_over", failed=ended.summary.failed, pending=ended.summary.pending) if new else t("ingest.left_over_before"))
        sys.stderr.flush()
        print(msgspec.json.encode(ended.summary).decode(), flush=True)
        if ended.summary.exit_code:
            raise typer.Exit(ended.summary.exit_code)
