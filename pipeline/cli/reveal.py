"""The command reveal: the clear words of one message, for a stated purpose.

Before: root.py. After: reveal.py.
"""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.cli.output import Format, OutputFile, emit, format_option, output_option
from pipeline.cli.root import CALL, app, recorded, t
from pipeline.errors import UsageError


@app.command(help=t("usage.reveal"))
def reveal(
    msgid: Annotated[str, typer.Argument(help=t("usage.reveal.msgid"), metavar="MSGID")],
    purpose: Annotated[str, typer.Option("--purpose", help=t("usage.reveal.purpose"))],
    format: Format = format_option,
    output: OutputFile = output_option,
) -> None:
    """Show what is masked in one message."""
    from pipeline import reveal as module

    corp = CALL.corp
    if not purpose.strip():
        raise UsageError("PURPOSE_NEEDED", "a purpose is needed to see what is masked", remedy="say why with --purpose")
    with recorded("reveal", purpose=purpose, corp=corp, msgid=msgid):
        rows = [(r.origin, r.seq, path, masked, clear) for r in module.reveal(CALL.home, corp, msgid) for path, masked, clear in r.parts]
        emit(["origin", "seq", "path", "text", "text_clear"], rows, format=format, output=output)
