"""Commands about approved texts: scripts import, list, remove.

Before: root.py. After: scripts/.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.output import Format, OutputFile, emit, format_option, output_option
from pipeline.cli.root import CALL, app, recorded, say, t
from pipeline.errors import UsageError

scripts_app = typer.Typer(help=t("usage.scripts"), no_args_is_help=True)
app.add_typer(scripts_app, name="scripts")


@scripts_app.command("import", help=t("usage.scripts.import"))
def scripts_import(file: Annotated[Path, typer.Argument(help=t("usage.scripts.file"), metavar="FILE")]) -> None:
    """Bring approved texts into this home, encrypted."""
    from pipeline.scripts import store, texts

    if not file.is_file():
        raise UsageError("INPUT_MISSING", f"there is no file {file}", remedy="give a .jsonl, .csv or .yaml file")
    data = file.read_bytes()
    with recorded("scripts import", sha256=hashlib.sha256(data).hexdigest()) as told:
        found = texts.read_texts(file.name, data)
        new = store.add(CALL.home, found)
        told["result"] = f"{new} new"
        say(t("scripts.import.done", n=len(found), new=new))


@scripts_app.command("list", help=t("usage.scripts.list"))
def scripts_list(format: Format = format_option, output: OutputFile = output_option) -> None:
    """List the approved texts, with the rules that would fire on them."""
    from pipeline.scripts import mass, store
    from pipeline.workbench import packs_of

    with recorded("scripts list"):
        packs = packs_of(CALL.home)
        rows = [
            (text.id, text.approver, text.valid_from.isoformat(), text.valid_to.isoformat() if text.valid_to else None, text.source, text.text, ", ".join(rules))
            for text, rules in mass.judged(store.load(CALL.home), packs)
        ]  # fmt: skip
        emit(["script_id", "approver", "valid_from", "valid_to", "source", "text", "fires"], rows, format=format, output=output)


@scripts_app.command("remove", help=t("usage.scripts.remove"))
def scripts_remove(text_id: Annotated[str, typer.Argument(help=t("usage.scripts.id"), metavar="ID")]) -> None:
    """Remove an approved text in all its versions."""
    from pipeline.scripts import store

    with recorded("scripts remove", id=text_id) as told:
        n = store.remove(CALL.home, text_id)
        told["result"] = f"{n} removed"
        say(t("scripts.remove.done", id=text_id, n=n))
