"""The command reveal: the clear words of one message, for a stated purpose.

Before: root.py. After: reveal.py.
"""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline import columns
from pipeline.cli.output import Format, OutputFile, described, emit_named, format_option, output_option
from pipeline.cli.root import CALL, app, recorded, t
from pipeline.errors import UsageError

NAMES = ("origin", "seq", "sent_at", "sender_id", "conversation_id", "path", "text", "text_clear")
TYPES: tuple[columns.Type, ...] = ("text", "int", "timestamp", "text", "text", "text", "text", "text")


@app.command(help=t("usage.reveal"))
def reveal(
    msgid: Annotated[str, typer.Argument(help=t("usage.reveal.msgid"), metavar="MSGID")],
    purpose: Annotated[str, typer.Option("--purpose", help=t("usage.reveal.purpose"))],
    format: Format = format_option,
    output: OutputFile = output_option,
) -> None:
    """Show what is masked in one message."""
    from pipeline import reveal as module
    from pipeline.reader import Reader

    corp = CALL.corp
    if not purpose.strip():
        raise UsageError("PURPOSE_NEEDED", "a purpose is needed to see what is masked", remedy="say why with --purpose")
    with recorded("reveal", purpose=purpose, corp=corp, msgid=msgid), Reader(CALL.home, corp) as reader:
        rows = [
            (r.origin, r.seq, r.sent_at, r.sender_id, r.conversation_id, path, masked, clear)
            for r in module.reveal(reader, msgid) for path, masked, clear in r.parts
        ]  # fmt: skip
        emit_named(reader, described(NAMES, rows, TYPES, view="messages"), rows, format=format, output=output, total=len(rows))
