"""Commands about alerts: alerts list, send, test.

Before: root.py. After: alerts/.
"""

from __future__ import annotations

import typer

from pipeline import clock
from pipeline.cli.output import Format, OutputFile, emit, format_option, output_option
from pipeline.cli.root import CALL, LANG, app, recorded, say, t
from pipeline.errors import Exit, UsageError

alerts_app = typer.Typer(help=t("usage.alerts"), no_args_is_help=True)
app.add_typer(alerts_app, name="alerts")


@alerts_app.command("list", help=t("usage.alerts.list"))
def alerts_list(format: Format = format_option, output: OutputFile = output_option) -> None:
    """List the batches that wait."""
    from pipeline.alerts.queue import Queue

    corp = CALL.corp
    with recorded("alerts list", corp=corp):
        rows = [(b.id, clock.iso(b.made_ms), len(b.alerts), b.tries, b.last or None, ", ".join(b.done)) for b in Queue(CALL.home, corp).waiting()]
        emit(["batch", "made_at", "findings", "tries", "last_error", "taken_by"], rows, format=format, output=output)


@alerts_app.command("send", help=t("usage.alerts.send"))
def alerts_send() -> None:
    """Look for what was found, and send what waits."""
    from pipeline.alerts import step

    corp = CALL.corp
    with recorded("alerts send", corp=corp) as told:
        _channels_or_refuse(corp)
        done = step.run(CALL.home, corp)
        told["result"] = f"{done.found} found, {done.sent} sent, {done.waiting} waiting"
        say(t("alerts.send.done", found=done.found, sent=done.sent, waiting=done.waiting))
        for code in done.errors:
            say(t("alerts.failed", code=code))
        if done.waiting:
            raise typer.Exit(int(Exit.LEFT_OVER))


@alerts_app.command("test", help=t("usage.alerts.test"))
def alerts_test() -> None:
    """Send a test message on each configured channel."""
    from pipeline import words
    from pipeline.alerts import step

    corp = CALL.corp
    with recorded("alerts test", corp=corp) as told:
        _channels_or_refuse(corp)
        came = step.probe(CALL.home, corp)
        for name, error in came.items():
            say(t("alerts.test.taken", channel=name) if error is None else f"{name}: {words.error_text(error, LANG)}")
        failed = [error for error in came.values() if error is not None]
        told["result"] = ", ".join(f"{name} {error.code if error else 'taken'}" for name, error in came.items())
        if failed:
            raise typer.Exit(int(failed[0].exit_code))


def _channels_or_refuse(corp: str) -> None:
    from pipeline.alerts import channels

    if not channels.configured(CALL.home, corp):
        raise UsageError("ALERTS_OFF", "no channel for alerts is configured", remedy="set alerts.webhook, or alerts.to with the corp's app_secret and app_agent_id")
