"""Commands about legal holds: hold set, list, release.

Before: root.py. After: holds.py, consenting/destroying.py.
"""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline import clock, columns, words
from pipeline.cli.output import Format, OutputFile, described, emit_named, format_option, output_option
from pipeline.cli.root import CALL, a_reason, app, recorded, say, t

if TYPE_CHECKING:
    from pipeline.holds import Hold

HOLD = ("hold_id", "matter", "userid", "room_id", "external_userid", "reason", "actor", "at", "review_on", "review_in_days", "released_at")
HOLD_KINDS: tuple[columns.Type, ...] = (*("text",) * 7, "timestamp", "text", "int", "timestamp")
hold_app = typer.Typer(help=t("usage.hold"), no_args_is_help=True)
app.add_typer(hold_app, name="hold")


@hold_app.command("set", help=t("usage.hold.set"))
def hold_set(
    matter: Annotated[str, typer.Option("--matter", help=t("usage.hold.matter"))],
    reason: Annotated[str, typer.Option("--reason", help=t("usage.hold.reason"), callback=a_reason)],
    employee: Annotated[str, typer.Option("--employee", help=t("usage.employee"))] = "",
    customer: Annotated[str, typer.Option("--customer", help=t("usage.customer"))] = "",
    room: Annotated[str, typer.Option("--room", help=t("usage.hold.room"))] = "",
) -> None:
    """Set a hold."""
    from pipeline import holds
    from pipeline.consenting import destroying
    from pipeline.evidence import matter as matters

    corp = CALL.corp
    matters.open_of(CALL.home, corp, matter)
    params = {"matter": matter, "reason": reason, "employee": employee, "customer": customer, "room": room}
    with recorded("hold set", corp=corp, **params) as told:
        made = holds.place(CALL.home, corp, matter=matter, reason=reason, userid=employee or None, room_id=room or None, external_userid=customer or None)
        told["result"] = made.hold_id
        moved = destroying.keep_for(CALL.home, corp, made)
        say(t("hold.set.done", id=made.hold_id, n=moved))


@hold_app.command("list", help=t("usage.hold.list"))
def hold_list(format: Format = format_option, output: OutputFile = output_option) -> None:
    """Show the holds."""
    from pipeline import holds
    from pipeline.evidence import matter as matters
    from pipeline.reader import Reader
    from pipeline.watch.expiry import STEPS

    corp = CALL.corp
    with recorded("hold list", corp=corp):
        review_on = {m.matter: m.review_on for m in matters.all_of(CALL.home, corp)}
        lake = CALL.home.lake(corp)
        found = holds.all_of(lake, lake.snapshot())
        rows = [row(h, review_on.get(h.matter)) for h in found]
        with Reader(CALL.home, corp) as reader:
            emit_named(reader, described(HOLD, rows, HOLD_KINDS), rows, format=format, output=output, total=len(rows))
    near = [h for h in found if (left := days_to_review(h, review_on.get(h.matter))) is not None and left <= STEPS[0]]
    if near:
        say(t("hold.reviews_due", n=len(near), days=STEPS[0]))


def row(hold: Hold, review_on: str | None) -> tuple[object, ...]:
    """Return a hold as a row under HOLD."""
    released = words.moment(hold.released_at_ms) if hold.released_at_ms is not None else None
    return (
        hold.hold_id, hold.matter, hold.userid, hold.room_id, hold.external_userid, hold.reason, hold.actor, words.moment(hold.at_ms), review_on,
        days_to_review(hold, review_on), released,
    )  # fmt: skip


def days_to_review(hold: Hold, review_on: str | None) -> int | None:
    """Return in how many days an open hold is to be looked at again, below 0 when that is past; None for a released one, or without a day."""
    if review_on is None or hold.released_at_ms is not None:
        return None
    return (date.fromisoformat(review_on) - words.moment(clock.now_ms()).date()).days


@hold_app.command("release", help=t("usage.hold.release"))
def hold_release(
    hold_id: Annotated[str, typer.Argument(help=t("usage.hold.id"), metavar="ID")],
    reason: Annotated[str, typer.Option("--reason", help=t("usage.hold.reason"), callback=a_reason)],
) -> None:
    """Release a hold."""
    from pipeline import holds

    corp = CALL.corp
    with recorded("hold release", corp=corp, id=hold_id, reason=reason):
        holds.release(CALL.home, corp, hold_id, reason=reason)
        say(t("hold.release.done", id=hold_id))
