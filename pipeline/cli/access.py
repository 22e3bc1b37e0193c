"""Commands about who may do what: access whoami, review, token.

Before: root.py. After: roles/.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from pipeline import words
from pipeline.cli.output import Format, OutputFile, chosen, emit, format_option, output_option
from pipeline.cli.root import CALL, LANG, app, recorded, say, t

access_app = typer.Typer(help=t("usage.access"), no_args_is_help=True)
app.add_typer(access_app, name="access")


@access_app.command("whoami", help=t("usage.access.whoami"))
def access_whoami(format: Format = format_option, output: OutputFile = output_option) -> None:
    """Say who calls, and what that person may do."""
    from pipeline.roles.acting import access_of
    from pipeline.roles.table import said, table

    access, known = access_of(CALL.home_path), table()
    held = access.roles or (access.role,)
    roles = said(held, LANG) if _for_people(format, output) else ", ".join(held)
    rows = [
        (access.actor, access.mode, roles, name, getattr(meaning, LANG), access.may(name))
        for name, meaning in known.capabilities.items()
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
    from pipeline.roles.acting import access_of
    from pipeline.roles.table import said

    with recorded("access review") as told:
        rows = used.review(CALL.home)
        told["result"] = f"{len(rows)} people"
        if _for_people(format, output):
            names = _names([one for r in rows for one in r.read_of]) if access_of(CALL.home_path).may("read") else {}
            rows = [
                msgspec.structs.replace(r, roles=said([one for one in r.roles.split(", ") if one], LANG), read_of=[_subject(one, names) for one in r.read_of])
                for r in rows
            ]  # fmt: skip
        emit(used.COLUMNS, [tuple(getattr(r, c) for c in used.COLUMNS) for r in rows], format=format, output=output)


def _for_people(format: Format, output: OutputFile) -> bool:
    return chosen(format, output) in ("table", "xlsx")


def _names(read_of: Sequence[str]) -> dict[str, str]:
    """Return the names of those whose chats were read, by what `access review` calls them: of today, and only such as may be told (beside.py)."""
    from pipeline import beside
    from pipeline.reader import Reader
    from pipeline.roles.used import WHO

    found: dict[str, str] = {}
    for corp in CALL.home.config.corp if read_of else ():
        with Reader(CALL.home, corp.id) as reader:
            for what, who in WHO.items():
                asked = sorted({one for one in read_of if one.startswith(f"{what}:")})
                names = beside.names_of(reader, who, [(one.partition(":")[2], None) for one in asked])
                found |= {one: name for one, name in zip(asked, names, strict=True) if name}
    return found


def _subject(read_of: str, names: Mapping[str, str]) -> str:
    what, _, which = read_of.partition(":")
    return f"{words.label('subject', what, LANG)} {f'{names[read_of]} ({which})' if read_of in names else which}"
