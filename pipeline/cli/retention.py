"""Commands about how long what is kept: retention show, set, unset, event, due, remove.

Before: root.py. After: retention/, removing/.
"""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline import clock, columns
from pipeline.cli.output import Format, OutputFile, described, emit, emit_named, format_option, output_option
from pipeline.cli.root import CALL, LANG, a_reason, app, recorded, say, t
from pipeline.errors import UsageError

retention_app = typer.Typer(help=t("usage.retention"), no_args_is_help=True)
app.add_typer(retention_app, name="retention")
Profile = Annotated[str, typer.Argument(help=t("usage.retention.profile"), metavar="PROFILE")]
Customer = Annotated[str, typer.Option("--customer", help=t("usage.retention.customer"), metavar="ID")]
SHOWN = ("profile", "years", "of", "start", "status", "set_years", "confirmed_by", "set_by", "set_at", "basis")
DUE = ("customer", "records", "first_day", "last_day", "due", "keep_until")
DUE_TYPES: tuple[columns.Type, ...] = ("text", "int", "date", "date", "int", "date")


@retention_app.command("show", help=t("usage.retention.show"))
def retention_show(format: Format = format_option, output: OutputFile = output_option) -> None:
    """Show the profiles, and which of them are set."""
    from pipeline.retention import store
    from pipeline.retention.profiles import profiles

    corp = CALL.corp
    with recorded("retention show", corp=corp):
        chosen = {s.profile: s for s in store.standing(CALL.home, corp).settings}
        rows = []
        for p in profiles().values():
            s = chosen.get(p.id)
            own = (s.years, s.confirmed_by, s.actor, clock.iso(s.at_ms)) if s else (None, None, None, None)
            rows.append((p.id, p.years, t(f"retention.of.{p.of}"), p.start, t(f"retention.status.{p.status}"), *own, getattr(p.basis, LANG)))
        emit(SHOWN, rows, format=format, output=output)


@retention_app.command("set", help=t("usage.retention.set"))
def retention_set(
    profile: Profile,
    years: Annotated[int | None, typer.Option("--years", help=t("usage.retention.years"), metavar="N")] = None,
    confirmed_by: Annotated[str, typer.Option("--confirmed-by", help=t("usage.retention.confirmed_by"), metavar="NAME")] = "",
) -> None:
    """Let a profile count."""
    from pipeline.retention import store

    corp = CALL.corp
    with recorded("retention set", corp=corp, profile=profile, years=years, confirmed_by=confirmed_by):
        made = store.put(CALL.home, corp, profile, years=years, confirmed_by=confirmed_by)
    say(t("retention.set.done" if made.confirmed_by else "retention.set.unconfirmed", profile=profile, years=made.years))


@retention_app.command("unset", help=t("usage.retention.unset"))
def retention_unset(profile: Profile, reason: Annotated[str, typer.Option("--reason", help=t("usage.retention.reason"), callback=a_reason, metavar="TEXT")]) -> None:
    """Let a profile count no more."""
    from pipeline.retention import store

    corp = CALL.corp
    with recorded("retention unset", corp=corp, profile=profile, reason=reason):
        store.drop(CALL.home, corp, profile, reason=reason)
    say(t("retention.unset.done", profile=profile))


@retention_app.command("event", help=t("usage.retention.event"))
def retention_event(
    event: Annotated[str, typer.Argument(help=t("usage.retention.event.name"), metavar="EVENT")],
    customer: Customer,
    on: Annotated[str, typer.Option("--on", help=t("usage.retention.on"), metavar="DAY")],
    source: Annotated[str, typer.Option("--source", help=t("usage.retention.source"), metavar="TEXT")],
) -> None:
    """Tell the day from which a customer's period runs."""
    from pipeline.retention import store
    from pipeline.search.question import day

    corp, at = CALL.corp, day(on)
    if event not in store.EVENTS or at is None:
        raise UsageError("RETENTION_EVENT", f"expected one of {', '.join(store.EVENTS)} and a day", remedy="for example contract_terminated --on 2026-03-01")
    with recorded("retention event", corp=corp, event=event, customer=customer, on=at.isoformat(), source=source):
        store.tell(CALL.home, corp, customer=customer, event=event, on=at, source=source)
    say(t("retention.event.done", event=event))
    still = store.standing(CALL.home, corp).disputes.get(customer, ())
    if still:  # a dispute is closed by the very source it was opened with: who mistook it would not learn it
        say(t("retention.event.open", n=len(still)))


@retention_app.command("due", help=t("usage.retention.due"))
def retention_due(format: Format = format_option, output: OutputFile = output_option) -> None:
    """List what is due by customer; nothing is removed."""
    from pipeline.reader import Reader
    from pipeline.retention import due

    corp = CALL.corp
    with recorded("retention due", corp=corp) as told, Reader(CALL.home, corp) as reader:
        found = due.due(reader, due.today(CALL.home))
        told["result"] = f"{sum(d.due for d in found)} records due"
        rows = [tuple(getattr(d, n) for n in DUE) for d in found]
        emit_named(reader, described(DUE, rows, DUE_TYPES), rows, format=format, output=output, total=len(rows), declared={"customer": "customer"})


@retention_app.command("remove", help=t("usage.retention.remove"))
def retention_remove(customer: Customer, dry_run: Annotated[bool, typer.Option("--dry-run", help=t("usage.erase.dry_run"))] = False) -> None:
    """Remove what is due of a customer, once two persons agreed."""
    from pipeline.cli.removing import done, preview
    from pipeline.removing import erase, take_out

    corp = CALL.corp
    with recorded("retention remove", corp=corp, customer=customer, dry_run=dry_run) as told, CALL.home.lock(f"{corp}.commit"):
        if not dry_run:
            take_out.finish(CALL.home, corp)
        plan = erase.of_retention(CALL.home, corp, customer)
        told["result"] = preview(plan)
        if not dry_run and not plan.nothing:
            params = {"customer": customer}
            told["result"] = done(erase.do(CALL.home, corp, plan, action="retention remove", params=params, reason="", approval=CALL.approval))
