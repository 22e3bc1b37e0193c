"""Commands about who agreed: consent import, list, explain, sync, reconcile, decide, notice.

Before: root.py. After: consent_events.py, consenting/.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline import clock, columns, words
from pipeline.cli.output import Format, OutputFile, described, emit_named, format_option, output_option, progress
from pipeline.cli.root import CALL, LANG, a_reason, app, recorded, say, t
from pipeline.errors import Exit, Locked, UsageError

if TYPE_CHECKING:
    from pipeline.register import Event
    from pipeline.workbench import Workbench

consent_app = typer.Typer(help=t("usage.consent"), no_args_is_help=True)
app.add_typer(consent_app, name="consent")


class Verdict(StrEnum):
    """What an officer decides."""

    keep = "keep"
    withhold = "withhold"


class Why(StrEnum):
    """Why records wait."""

    breaker = "breaker"
    policy = "policy"
    unknown_status = "unknown_status"


class NoticeKind(StrEnum):
    """What is kept as evidence beside the register."""

    greeting = "greeting"
    card = "card"
    employee_notice = "employee_notice"
    notice_text = "notice_text"


def _bench(corp: str) -> Workbench:
    from pipeline.workbench import Workbench

    return Workbench(CALL.home, corp, CALL.home.lake(corp).snapshot())


# -- import ------------------------------------------------------------------------------------------------------------


@consent_app.command("import", help=t("usage.consent.import"))
def consent_import(
    file: Annotated[Path | None, typer.Argument(help=t("usage.consent.file"), metavar="FILE")] = None,
    undo: Annotated[str, typer.Option("--undo", help=t("usage.consent.undo"), metavar="ID")] = "",
    preview: Annotated[bool, typer.Option("--preview", help=t("usage.consent.preview"))] = False,
) -> None:
    """Bring refusals and agreements from outside into the register."""
    from pipeline.consent_events import events_from_import

    corp = CALL.corp
    with recorded("consent import", corp=corp, undo=undo, preview=preview) as told:
        if undo:
            _undo(corp, undo)
            return
        if file is None or not file.is_file():
            raise UsageError("INPUT_MISSING", "there is no such file" if file else "no file was given", remedy="`liuhen consent import FILE`")
        data, now = file.read_bytes(), clock.now_ms()
        digest = hashlib.sha256(data).hexdigest()
        # The time of day too: a file that was undone and is imported again is another import.
        batch = f"{clock.iso(now)[:19].replace(':', '')}-{digest[:12]}"
        events, errors = events_from_import(data.splitlines(), recorded_at_ms=now, batch=batch, document_digest=digest)
        for line, sentence in errors[:20]:
            say(t("consent.import.line", line=line, sentence=sentence))
        bench = _bench(corp)
        fresh = bench.register.new_events(events)
        scopes = len(bench.register.touched(fresh))
        say(t("consent.import.preview", events=len(events), fresh=len(fresh), errors=len(errors), scopes=scopes))
        reach = _reach(bench, fresh) if fresh else 0
        if fresh:
            say(t("consent.import.reach", records=reach, scopes=scopes))
        if not preview and fresh:
            _second_person(corp, digest, {"events": len(fresh), "records": reach, "scopes": scopes})
            _append(corp, list(fresh))
            say(t("consent.import.done", id=batch))
            _reconcile(corp)
        told["result"] = batch
        if errors:
            raise typer.Exit(int(Exit.LEFT_OVER))


def _second_person(corp: str, digest: str, counts: dict[str, int]) -> None:
    """An import that would restrict very many records needs a second person where roles are configured; in single mode the owner is told so."""
    from pipeline.approvals import store
    from pipeline.roles import acting

    if acting.current(CALL.home.path).mode != "roles":
        say(t("consent.mode.single"))
    elif counts["records"] > CALL.home.config.approvals.import_records:
        store.two_persons(CALL.home, corp, action="consent import", params={"document": digest}, counts=counts, approval=CALL.approval)


def _reach(bench: Workbench, fresh: tuple[Event, ...]) -> int:
    """Return how many archived records these events would restrict."""
    from pipeline.consenting import hiding, reconcile

    bench.__dict__["events"] = [*bench.events, *fresh]
    bench.__dict__["register"] = bench.register.with_events(fresh, bench.register.version)
    return len(hiding.judged(CALL.home, bench, fresh, reconcile.rules_of(CALL.home)))


def _append(corp: str, events: list[Event]) -> None:
    from pipeline import ingest, lakerows

    ingest.append(CALL.home, corp, [("consent", lakerows.consent_table(events))], what="consent import")


def _undo(corp: str, batch: str) -> None:
    from pipeline.register import undo_event

    reached = sum(e.batch == batch for e in _bench(corp).events)
    if not reached:
        raise UsageError("IMPORT_UNKNOWN", f"there is no import {batch}", remedy="`liuhen consent list` shows the imports")
    _append(corp, [undo_event(batch, recorded_at_ms=clock.now_ms())])
    say(t("consent.undo.done", id=batch, n=reached))
    _reconcile(corp)


def _reconcile(corp: str) -> None:
    """Bring the archive in line at once; beside another run only out of view, that one or the next does the rest."""
    from pipeline.consenting import reconcile

    try:
        with CALL.home.lock(f"{corp}.commit"):
            done = reconcile.run(CALL.home, corp)
    except Locked:
        reconcile.hide_now(CALL.home, corp)
        say(t("consent.reconcile.later"))
        return
    say(t("consent.reconcile.done", **{k: getattr(done, k) for k in done.__struct_fields__}))


@consent_app.command("reconcile", help=t("usage.consent.reconcile"))
def consent_reconcile() -> None:
    """Bring what is stored in line with the register."""
    import msgspec

    from pipeline.consenting import reconcile

    corp = CALL.corp
    with recorded("consent reconcile", corp=corp) as told, CALL.home.lock(f"{corp}.commit"):
        done = reconcile.run(CALL.home, corp)
        told["run_id"] = done.run_id
        say(t("consent.reconcile.done", **{k: getattr(done, k) for k in done.__struct_fields__}))
        typer.echo(msgspec.json.encode(done).decode())


# -- list, explain -----------------------------------------------------------------------------------------------------


@consent_app.command("list", help=t("usage.consent.list"))
def consent_list(
    employee: Annotated[str, typer.Option("--employee", help=t("usage.employee"))] = "",
    customer: Annotated[str, typer.Option("--customer", help=t("usage.customer"))] = "",
    states: Annotated[bool, typer.Option("--states", help=t("usage.consent.states"))] = False,
    known: Annotated[str, typer.Option("--known-at", help=t("usage.consent.known"), metavar="TIME")] = "",
    format: Format = format_option,
    output: OutputFile = output_option,
) -> None:
    """Show the register's events, or how its scopes stand."""
    corp = CALL.corp
    with recorded("consent list", corp=corp, employee=employee, customer=customer):
        if states or known:
            _states(corp, employee, customer, known, format, output)
        else:
            _events(corp, employee, customer, format, output)


def _events(corp: str, employee: str, customer: str, format: Format, output: OutputFile) -> None:
    from pipeline.reader import Reader

    with Reader(CALL.home, corp) as reader:
        found = reader.arrow(
            "SELECT * FROM consent WHERE ($employee = '' OR lower(userid) = lower($employee)) AND ($customer = '' OR external_userid = $customer)"
            " ORDER BY changed_at, recorded_at",
            {"employee": employee, "customer": customer},
        )
        titled, rows = columns.rows_from_arrow(found, lang=LANG, view="consent")
        emit_named(reader, titled, rows, format=format, output=output, total=found.num_rows)


def _states(corp: str, employee: str, customer: str, known: str, format: Format, output: OutputFile) -> None:
    from pipeline.consenting import standing
    from pipeline.reader import Reader

    names, rows = standing.table(CALL.home, corp, employee=employee, customer=customer, known_at_ms=_moment(known))
    with Reader(CALL.home, corp) as reader:
        emit_named(reader, described(names, rows, standing.KINDS, view="consent states"), rows, format=format, output=output, total=len(rows))


def _moment(text: str) -> int | None:
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError("TIME_MALFORMED", "expected a time in ISO 8601, such as 2026-11-22T09:30:00+08:00", remedy="give one with its offset") from None
    return round((at if at.tzinfo else at.replace(tzinfo=clock.BEIJING)).timestamp() * 1000)


@consent_app.command("explain", help=t("usage.consent.explain"))
def consent_explain(msgid: Annotated[str, typer.Argument(help=t("usage.consent.msgid"), metavar="MSGID")]) -> None:
    """Say how a message was judged."""
    from pipeline.consenting import explain

    corp = CALL.corp
    with recorded("consent explain", corp=corp, msgid=msgid):
        for found in explain.gather(CALL.home, corp, msgid):
            typer.echo(explain.paragraph(found, LANG))


# -- asking WeCom ------------------------------------------------------------------------------------------------------


@consent_app.command("sync", help=t("usage.consent.sync"))
def consent_sync(new: Annotated[bool, typer.Option("--new", help=t("usage.consent.sync.new"))] = False) -> None:
    """Ask WeCom about the scopes that are due."""
    import msgspec

    from pipeline.consenting import asking
    from pipeline.wecom.client import open_client

    corp = CALL.corp
    with recorded("consent sync", corp=corp, new=new) as told, open_client(CALL.home, corp) as client, progress() as shown:
        done = asking.sync(CALL.home, corp, client, which="new" if new else "due", progress=shown)
        said = {k: getattr(done, k) for k in done.__struct_fields__}
        say(t("consent.sync.done", **said))
        if done.cut:
            say(t("consent.sync.cut", code=done.cut, why=words.label("error", done.cut, LANG)))
        if done.unknown:
            say(t("consent.sync.unknown", n=done.unknown))
        if done.stale:
            say(t("consent.sync.stale", n=done.stale, days=CALL.home.config.consent.stale_days))
        if done.events:
            _reconcile(corp)
        told["result"] = done.cut or "done"
        typer.echo(msgspec.json.encode(done).decode())
        if done.cut or done.failed or done.unknown:
            raise typer.Exit(int(Exit.LEFT_OVER))


# -- officers ----------------------------------------------------------------------------------------------------------


@consent_app.command("decide", help=t("usage.consent.decide"))
def consent_decide(
    verdict: Annotated[Verdict, typer.Argument(help=t("usage.consent.verdict"))],
    reason: Annotated[str, typer.Option("--reason", help=t("usage.consent.reason"), callback=a_reason)],
    msgid: Annotated[list[str] | None, typer.Option("--msgid", help=t("usage.consent.msgid"))] = None,
    scope: Annotated[str, typer.Option("--scope", help=t("usage.consent.scope"))] = "",
    why: Annotated[Why | None, typer.Option("--why", help=t("usage.consent.why"))] = None,
) -> None:
    """Decide pending records."""
    from pipeline.consenting import officers

    corp, msgids = CALL.corp, frozenset(msgid or ())
    if not (msgids or scope or why):
        raise UsageError("DECIDE_WHAT", "nothing was named to decide", remedy="name records with --msgid, --scope or --why")
    params = {"verdict": verdict.value, "msgids": sorted(msgids), "scope": scope, "why": why.value if why else ""}
    with recorded("consent decide", purpose=reason, corp=corp, named=params) as told, CALL.home.lock(f"{corp}.commit"):
        say(t("consent.mode.single"))
        done = officers.decide(CALL.home, corp, verdict.value, msgids=msgids, scope_ref=scope, reason=why.value if why else "")
        told["result"] = f"{done.decided} decided, {done.refused} refused"
        say(t("consent.decide.done", decided=done.decided, refused=done.refused))
        if done.refused:
            raise typer.Exit(int(Exit.NOT_ALLOWED))


@consent_app.command("notice", help=t("usage.consent.notice"))
def consent_notice(
    kind: Annotated[NoticeKind, typer.Argument(help=t("usage.consent.notice.kind"))],
    file: Annotated[Path | None, typer.Argument(help=t("usage.consent.notice.file"), metavar="FILE")] = None,
    version: Annotated[str, typer.Option("--version", help=t("usage.consent.notice.version"))] = "",
    employee: Annotated[str, typer.Option("--employee", help=t("usage.employee"))] = "",
    customer: Annotated[str, typer.Option("--customer", help=t("usage.customer"))] = "",
    msgid: Annotated[str, typer.Option("--msgid", help=t("usage.consent.notice.msgid"))] = "",
    at: Annotated[str, typer.Option("--at", help=t("usage.consent.notice.at"), metavar="TIME")] = "",
) -> None:
    """Note evidence of notice."""
    from pipeline.consenting import notices

    corp = CALL.corp
    if file is not None and not file.is_file():
        raise UsageError("INPUT_MISSING", "there is no such file", remedy="check the path")
    digest = hashlib.sha256(file.read_bytes()).hexdigest() if file is not None else None
    with recorded("consent notice", corp=corp, kind=kind.value, version=version, digest=digest or "", employee=employee, customer=customer):
        made = notices.note(
            CALL.home, corp, notice=kind.value, document_digest=digest, document_version=version or None, userid=employee or None,
            external_userid=customer or None, source_msgid=msgid or None, at_ms=_moment(at),
        )  # fmt: skip
        say(t("consent.notice.done", id=made))
