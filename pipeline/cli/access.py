"""Commands about who may do what: access whoami, review, token.

Before: root.py. After: roles/.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.output import Format, OutputFile, emit, format_option, output_option
from pipeline.cli.root import CALL, LANG, app, recorded, say, t

access_app = typer.Typer(help=t("usage.access"), no_args_is_help=True)
app.add_typer(access_app, name="access")


@access_app.command("whoami", help=t("usage.access.whoami"))
def access_whoami(format: Format = format_option, output: OutputFile = output_option) -> None:
    """Say who calls, and what that person may do."""
    from pipeline.roles.acting import access_of
    from pipeline.roles.table import table

    access, known = access_of(CALL.home_path), table()
    rows = [
        (access.actor, access.mode, ", ".join(access.roles) or access.role, name, getattr(words, LANG), access.may(name))
        for name, words in known.capabilities.items()
    ]
    emit(["actor", "mode", "role", "capability", "meaning", "allowed"], rows, format=format, output=output)


@access_app.command("token", help=t("usage.access.token"))
def access_token(file: Annotated[Path, typer.Argument(help=t("usage.access.token.file"), metavar="FILE")]) -> None:
    """Draw a token into a file, and print what stands for it in actors.toml."""
    from pipeline import durable
    from pipeline.errors import UsageError
    from pipeline.roles import actors

    token = actors.new_token()
    if not file.parent.is_dir() or not durable.write_once(file, f"{token}\n".encode()):
        raise UsageError("OUTPUT_EXISTS", f"expected a new file in a folder that exists, got {file}", remedy="name another; a token is drawn once")
    print(f'token = "{actors.public_of(token)}"')
    say(t("access.token.done", file=file))


@access_app.command("review", help=t("usage.access.review"))
def access_review(format: Format = format_option, output: OutputFile = output_option) -> None:
    """Say who holds which role, who used it last, and whose chats were read."""
    from pipeline.roles import used

    with recorded("access review") as told:
        rows = used.review(CALL.home)
        told["result"] = f"{len(rows)} people"
        emit(used.COLUMNS, [tuple(getattr(r, c) for c in used.COLUMNS) for r in rows], format=format, output=output)
