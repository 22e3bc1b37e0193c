"""The command approve: what waits for a second person, and what that person says.

Before: root.py. After: approvals/.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pipeline import clock, columns, words
from pipeline.cli.output import Format, OutputFile, emit, format_option, output_option
from pipeline.cli.root import CALL, LANG, app, recorded, say, t
from pipeline.errors import UsageError

if TYPE_CHECKING:
    from pipeline.approvals.store import Standing

COLUMNS = ("request", "action", "state", "asked_by", "asked_at", "expires_at", "said", "reason", "parameters", "counts")
KINDS: tuple[columns.Type, ...] = ("text",) * 8 + ("json", "json")


@app.command(help=t("usage.approve"))
def approve(
    what: Annotated[str, typer.Argument(help=t("usage.approve.what"), metavar="list|ID|show|refuse")],
    request: Annotated[str, typer.Argument(help=t("usage.approve.id"), metavar="ID")] = "",
    reason: Annotated[str, typer.Option("--reason", help=t("usage.approve.reason"), metavar="TEXT")] = "",
    format: Format = format_option,
    output: OutputFile = output_option,
) -> None:
    """Show what waits for a second person, or say yes or no."""
    from pipeline.approvals import store

    corp, unreadable = CALL.corp, []
    with recorded("approve", corp=corp, what=what, request=request) as told:
        match what, request:
            case "list", "":
                found, unreadable = store.shown(CALL.home, corp), store.shown_unreadable(CALL.home, corp)
            case "show", str() if request:
                found = [store.shown_one(CALL.home, corp, request)]
            case "refuse", str() if request:
                if not reason.strip():
                    raise UsageError("REASON_MISSING", "a refusal needs a reason", remedy="add --reason TEXT: who reads it later must see why")
                found = [store.say(CALL.home, corp, request, "refuse", reason=reason)]
            case _, "" if what not in ("show", "refuse"):
                found = [store.say(CALL.home, corp, what, "approve", reason=reason)]
            case _:
                raise UsageError("APPROVE_WHAT", "expected list, ID, show ID or refuse ID", remedy="for example `liuhen approve list`")
        told["result"] = found[0].state if request or what != "list" else f"{len(found)} requests"
        damaged = [(u.id, None, t("approval.damaged"), *(None,) * (len(COLUMNS) - 3)) for u in unreadable]
        emit(COLUMNS, [*(_row(s) for s in found), *damaged], format=format, output=output, kinds=KINDS)
    if any(s.request.mode == "single" for s in found):
        say(t("mode.single"))


def _row(standing: Standing) -> tuple[object, ...]:
    from pipeline.roles.table import said as said_role

    r = standing.request
    said = "\n".join(f"{t('approval.' + s.decision)} {s.by} ({said_role([s.role], LANG)}) {words.beijing(s.at_ms, LANG)}" for s in standing.said)
    return (
        r.id, r.action, t(f"approval.{standing.state}"), r.by, clock.iso(r.at_ms), clock.iso(r.expires_ms), said, r.reason, r.params,
        dict(r.counts),
    )  # fmt: skip
