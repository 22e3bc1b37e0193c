"""Commands about what is left over: ack.

Before: root.py. After: left_over.py.
"""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.cli.root import CALL, a_reason, app, recorded, say, t


@app.command(help=t("usage.ack"))
def ack(
    item: Annotated[str, typer.Argument(help=t("usage.ack.item"), metavar="ITEM")],
    reason: Annotated[str, typer.Option("--reason", help=t("usage.ack.reason"), callback=a_reason)],
) -> None:
    """Acknowledge what is left over."""
    from pipeline import left_over
    from pipeline.source import gaps

    corp = CALL.corp
    with recorded("ack", corp=corp, item=item, reason=reason):
        covered = (gaps if gaps.is_gap(item) else left_over).acknowledge(CALL.home, corp, item, reason)
        say(t("ack.done", n=covered, item=item))
