"""Commands about who is who, and about what the platform sends: directory sync, callback serve.

Before: root.py. After: pipeline/people_history/, pipeline/wecom/.
"""

from __future__ import annotations

import signal
import threading
from typing import Annotated

import msgspec
import typer

from pipeline.cli.output import progress
from pipeline.cli.root import CALL, app, recorded, say, t

directory_app = typer.Typer(help=t("usage.directory"), no_args_is_help=True)
callback_app = typer.Typer(help=t("usage.callback"), no_args_is_help=True)
app.add_typer(directory_app, name="directory")
app.add_typer(callback_app, name="callback")


@directory_app.command("sync", help=t("usage.directory.sync"))
def directory_sync(full: Annotated[bool, typer.Option("--full", help=t("usage.directory.full"))] = False) -> None:
    """Ask WeCom who is who now, and remember what changed."""
    from pipeline.people_history.sync import sync
    from pipeline.wecom.client import open_client

    corp = CALL.corp
    with recorded("directory sync", corp=corp, full=full) as told, open_client(CALL.home, corp) as client:
        done = sync(CALL.home, corp, client, full=full)
        told["result"] = f"{sum(done.rows.values())} rows"
        work_out_anew(corp)
        if done.unlicensed:
            say(t("directory.unlicensed", n=done.unlicensed))
        if done.refused:
            say(t("directory.refused", parts=", ".join(done.refused)))
        if done.leavers_doubted:
            say(t("directory.leavers_doubted"))
        if done.unreachable:
            say(t("directory.unreachable", code=done.unreachable))
        if done.unreachable or done.left_over:
            say(t("directory.later"))
        print(msgspec.json.encode({**msgspec.to_builtins(done), "exit_code": done.exit_code}).decode())
        if done.exit_code:
            raise typer.Exit(done.exit_code)


def work_out_anew(corp: str) -> None:
    """Bring messages and findings in line with the directory as it is now, and say how many that were."""
    from pipeline.restating.restate import run_if_free

    with progress() as shown:
        done = run_if_free(CALL.home, corp, progress=shown)
    if done is None:
        say(t("people.again.later"))
    elif done.rows or done.restricted or done.restored or done.archived:
        say(t("people.again", rows=done.rows, restricted=done.restricted, restored=done.restored, archived=done.archived))


@callback_app.command("serve", help=t("usage.callback.serve"))
def callback_serve() -> None:
    """Take callbacks until SIGTERM or SIGINT."""
    from pipeline.wecom import callback_server

    home = CALL.home
    with recorded("callback serve") as told:
        counts: dict[str, int] = {}
        counting = threading.Lock()

        def log(corp: str, what: str) -> None:
            with counting:
                counts[what] = counts.get(what, 0) + 1
            say(t("callback.log", corp=corp, what=what))

        server = callback_server.serve(home, log=log)

        def stop(*_: object) -> None:
            threading.Thread(target=server.shutdown).start()  # it waits for the loop that this very handler interrupts

        for which in (signal.SIGTERM, signal.SIGINT):
            signal.signal(which, stop)
        host, port = str(server.server_address[0]), server.server_address[1]
        say(t("callback.serving", host=host, port=port))
        try:
            server.serve_forever()
        finally:
            server.server_close()
        told["result"] = ", ".join(f"{what} {n}" for what, n in sorted(counts.items())) or "nothing came"
