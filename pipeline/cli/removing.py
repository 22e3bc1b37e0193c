"""Commands that remove or open what is restricted: erase, restricted open, restricted remove.

Before: root.py. After: removing/.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pipeline import columns
from pipeline.cli.output import Format, OutputFile, described, emit_named, format_option, output_option
from pipeline.cli.root import CALL, app, recorded, say, t

if TYPE_CHECKING:
    from pipeline.removing.erase import Plan

restricted_app = typer.Typer(help=t("usage.restricted"), no_args_is_help=True)
app.add_typer(restricted_app, name="restricted")
Msgid = Annotated[list[str] | None, typer.Option("--msgid", help=t("usage.restricted.msgid"), metavar="MSGID")]
Customer = Annotated[str, typer.Option("--customer", help=t("usage.restricted.customer"), metavar="ID")]
Reason = Annotated[str, typer.Option("--reason", help=t("usage.restricted.reason"), metavar="TEXT")]
DryRun = Annotated[bool, typer.Option("--dry-run", help=t("usage.erase.dry_run"))]
_TYPES: dict[str, columns.Type] = {"sent_at": "timestamp", "seq": "int"}


@app.command(help=t("usage.erase"))
def erase(
    customer: Annotated[str, typer.Option("--customer", help=t("usage.erase.customer"), metavar="ID")],
    request: Annotated[str, typer.Option("--request", help=t("usage.erase.request"), metavar="TEXT")] = "",
    dry_run: DryRun = False,
) -> None:
    """Remove a customer's records: previewed, approved by two persons, done."""
    from pipeline.removing import erase as module
    from pipeline.removing import take_out

    corp = CALL.corp
    with recorded("erase", corp=corp, customer=customer, request=request, dry_run=dry_run) as told, CALL.home.lock(f"{corp}.commit"):
        if not dry_run:
            take_out.finish(CALL.home, corp)
        plan = module.of_request(CALL.home, corp, customer)
        told["result"] = preview(plan)
        module.refuse_held(plan)
        if not dry_run and not plan.nothing:
            params = {"customer": customer, "request": request}
            told["result"] = done(module.do(CALL.home, corp, plan, action="erase", params=params, reason=request, approval=CALL.approval))


@restricted_app.command("open", help=t("usage.restricted.open"))
def restricted_open(
    matter: Annotated[str, typer.Option("--matter", help=t("usage.hold.matter"), metavar="M")],
    msgid: Msgid = None,
    customer: Customer = "",
    reason: Reason = "",
    format: Format = format_option,
    output: OutputFile = output_option,
) -> None:
    """Show restricted records inside a matter, once two persons agreed."""
    from pipeline.reader import Reader
    from pipeline.removing import restricted

    corp, msgids = CALL.corp, sorted(set(msgid or ()))
    with recorded("restricted open", corp=corp, matter=matter, customer=customer, msgids=msgids) as told:
        rows = restricted.open_them(CALL.home, corp, matter=matter, customer=customer, msgids=msgids, reason=reason, approval=CALL.approval)
        shown = [tuple(r[n] for n in restricted.SHOWN) for r in rows]
        titled = described(restricted.SHOWN, shown, [_TYPES.get(n, "text") for n in restricted.SHOWN], view="messages")
        with Reader(CALL.home, corp) as reader:
            told["result"] = f"{emit_named(reader, titled, shown, format=format, output=output, total=len(shown))} records"


@restricted_app.command("remove", help=t("usage.restricted.remove"))
def restricted_remove(msgid: Msgid = None, customer: Customer = "", reason: Reason = "", dry_run: DryRun = False) -> None:
    """Remove restricted records for good, once two persons agreed."""
    from pipeline.removing import erase as module
    from pipeline.removing import restricted, take_out

    corp, msgids = CALL.corp, sorted(set(msgid or ()))
    with recorded("restricted remove", corp=corp, customer=customer, msgids=msgids, dry_run=dry_run) as told, CALL.home.lock(f"{corp}.commit"):
        if not dry_run:
            take_out.finish(CALL.home, corp)
        found = restricted.chosen(CALL.home, corp, customer=customer, msgids=msgids)
        plan = module.of_restricted(CALL.home, corp, customer, found)
        told["result"] = preview(plan)
        module.refuse_held(plan)
        if not dry_run and not plan.nothing:
            params = {"customer": customer, "msgids": " ".join(msgids)}
            told["result"] = done(module.do(CALL.home, corp, plan, action="restricted remove", params=params, reason=reason, approval=CALL.approval))


def preview(plan: Plan) -> str:
    """Say what would be done, store by store."""
    say(t("erase.preview"))
    for name, n in plan.counts.items():
        say(f"  {t(f'erase.count.{name}')}  {n}")
    if plan.nothing:
        say(t("erase.nothing"))
    if plan.held:
        say(t("erase.held", n=plan.held, matters=t("list.join").join(plan.matters)))
    if "restricted_now" in plan.counts or "kept_restricted" in plan.counts:
        say(t("erase.statutory"))
    return f"preview: {plan.counts.get('records', 0)} records"


def done(lost: dict[str, int]) -> str:
    say(t("erase.done"))
    for name, n in lost.items():
        if n:
            say(f"  {t(f'erase.count.{name}')}  {n}")
    return f"{sum(lost.values())} rows"
