"""Commands about people: customer find, identity import.

Before: root.py. After: persons/, show.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline import columns, words
from pipeline.cli.output import Format, OutputFile, chosen, emit, format_option, output_option
from pipeline.cli.root import CALL, app, recorded, say, t
from pipeline.errors import Exit, UsageError

if TYPE_CHECKING:
    from pipeline.persons.find import Found

customer_app = typer.Typer(help=t("usage.persons"), no_args_is_help=True)
identity_app = typer.Typer(help=t("usage.identity"), no_args_is_help=True)
app.add_typer(customer_app, name="customer")
app.add_typer(identity_app, name="identity")
NAMES = ("id", "kind", "names", "remarks", "links", "messages", "first_day", "last_day", "conversations", "by")
_SHOWN = 6
_TYPES: dict[str, columns.Type] = {"messages": "int", "first_day": "date", "last_day": "date"}


@customer_app.command("find", help=t("usage.customer.find"))
def customer_find(
    text: Annotated[str, typer.Argument(help=t("usage.customer.text"), metavar="TEXT")],
    limit: Annotated[int, typer.Option("--limit", help=t("usage.customer.limit"), metavar="N", min=1, max=1_000_000)] = 100,
    format: Format = format_option,
    output: OutputFile = output_option,
) -> None:
    """Find a person."""
    from pipeline.persons.find import find
    from pipeline.reader import Reader

    corp = CALL.corp
    with recorded("customer find", corp=corp, text=text) as told, Reader(CALL.home, corp) as reader:
        people = find(reader, text, limit=limit)
        table = chosen(format, output) == "table"
        kinds = [_TYPES.get(n, "text" if table or n in ("id", "kind") else "json") for n in NAMES]
        told["result"] = f"{emit(NAMES, [_row(f, table) for f in people], format=format, output=output, kinds=kinds)} people"
    if not people:
        say(t("customer.nobody"))


def _row(found: Found, table: bool) -> Sequence[object]:
    if not table:
        return [getattr(found, n) for n in NAMES]
    links = [f"{t('identity_kind.' + x['kind'])} {x['value']}" for x in found.links]
    remarks = [f"{x['remark']} ({' '.join(filter(None, (x['name'], x['userid'])))}{_until(x['valid_to'])})" for x in found.remarks]
    lists = {"names": found.names, "remarks": remarks, "links": links, "conversations": _few(found.conversations), "by": [t("found_by." + b) for b in found.by]}
    values = {n: "\n".join(lists[n]) if n in lists else getattr(found, n) for n in NAMES}
    return [t(f"person_kind.{found.kind}") if n == "kind" else values[n] for n in NAMES]


def _few(conversations: list[str]) -> list[str]:
    """Return what fits a screen: the first of many conversations and how many there are."""
    return conversations if len(conversations) <= _SHOWN else [*conversations[:_SHOWN], t("customer.more_conversations", n=len(conversations))]


def _until(at: datetime | None) -> str:
    """Return ` – 2026-11-20` for what ended, nothing for what holds."""
    return "" if at is None else f" – {words.moment(at):%Y-%m-%d}"


@identity_app.command("import", help=t("usage.identity.import"))
def identity_import(file: Annotated[Path, typer.Argument(help=t("usage.identity.file"), metavar="FILE")]) -> None:
    """Link external ids to the firm's own numbers."""
    from pipeline import ingest
    from pipeline.persons import links

    corp = CALL.corp
    with recorded("identity import", corp=corp) as told:
        if not file.is_file():
            raise UsageError("INPUT_MISSING", f"there is no file {file}", remedy="give a CSV or JSON Lines file of links")
        data = file.read_bytes()
        read, refused = links.read(data)
        for one in refused:
            say(t("identity.refused_line", line=one.line, why=t(f"identity.refused.{one.code}")))
        if refused:
            say(t("identity.nothing_taken", n=len(refused)))
            told["result"] = f"{len(refused)} refused"
            raise typer.Exit(Exit.USAGE)
        if read:
            ingest.append(CALL.home, corp, [("identities", links.table(read, data))], what="identities")
        told["result"] = f"{len(read)} links"
    say(t("identity.imported", n=len(read)))
