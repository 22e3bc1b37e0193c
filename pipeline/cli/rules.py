"""Commands about what is looked for, and about what is left over: lexicon, ack.

Before: root.py. After: lexicon.py, left_over.py.
"""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.output import Format, OutputFile, emit, format_option, output_option
from pipeline.cli.root import CALL, LANG, app, recorded, say, t
from pipeline.errors import UsageError
from pipeline.match.packfile import ListOptions, PackSource

lexicon_app = typer.Typer(help=t("usage.lexicon"), no_args_is_help=True)
app.add_typer(lexicon_app, name="lexicon")
PACK_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}\Z")


class SeverityName(StrEnum):
    """Severities of `lexicon add`."""

    low = "low"
    medium = "medium"
    high = "high"


class PartyName(StrEnum):
    """Who says the sentence of `lexicon test`."""

    employee = "employee"
    external = "external"
    robot = "robot"
    unknown = "unknown"


@lexicon_app.command("list", help=t("usage.lexicon.list"))
def lexicon_list(format: Format = format_option, output: OutputFile = output_option) -> None:
    """List the rules of all packs."""
    from pipeline.match import lexicon

    with recorded("lexicon list"):
        compiled = lexicon.load_packs([*lexicon.shipped_packs(), *CALL.home.own_packs()])
        rows = [
            (pack.id, rule.id, rule.category, rule.title.zh if LANG == "zh" else rule.title.en, rule.severity, rule.party, len(rule.terms))
            for pack in compiled.packs for rule in pack.rules
        ]  # fmt: skip
        say(t("lexicon.version", version=compiled.version[:16], rules=len(rows)))
        emit(["pack", "rule_id", "category", "title", "severity", "party", "terms"], rows, format=format, output=output)


@lexicon_app.command("check", help=t("usage.lexicon.check"))
def lexicon_check(files: Annotated[list[Path] | None, typer.Argument(help=t("usage.lexicon.file"), metavar="FILE")] = None) -> None:
    """Load packs and prove their examples."""
    from pipeline.match import lexicon

    with recorded("lexicon check", files=len(files or [])):
        own = [_source(f, f.stem, "", "medium") for f in files] if files else CALL.home.own_packs()
        compiled = lexicon.load_packs([*lexicon.shipped_packs(), *own])
        say(t("lexicon.check.done", packs=len(compiled.packs), rules=sum(len(p.rules) for p in compiled.packs), version=compiled.version[:16]))


@lexicon_app.command("test", help=t("usage.lexicon.test"))
def lexicon_test(
    text: Annotated[str, typer.Argument(help=t("usage.lexicon.text"))],
    party: Annotated[PartyName, typer.Option("--party", help=t("usage.lexicon.party"))] = PartyName.employee,
    format: Format = format_option,
    output: OutputFile = output_option,
) -> None:
    """Match one sentence and say why."""
    from pipeline.match import lexicon, matching

    with recorded("lexicon test"):
        compiled = lexicon.load_packs([*lexicon.shipped_packs(), *CALL.home.own_packs()])
        found, _ = matching.find(*lexicon.said(text, party.value), compiled)
        rows = [
            (f.rule_id, f.category, f.severity, f.term, f.matched_text, f.start_cp, f.end_cp, f.via, f.suppressed_by) for f in found
        ]  # fmt: skip
        emit(["rule_id", "category", "severity", "term", "matched_text", "start_cp", "end_cp", "via", "suppressed_by"], rows, format=format, output=output)


@lexicon_app.command("add", help=t("usage.lexicon.add"))
def lexicon_add(
    file: Annotated[Path, typer.Argument(help=t("usage.lexicon.file"), metavar="FILE")],
    pack_id: Annotated[str, typer.Option("--id", help=t("usage.lexicon.id"))] = "",
    category: Annotated[str, typer.Option("--category", help=t("usage.lexicon.category"))] = "",
    severity: Annotated[SeverityName, typer.Option("--severity", help=t("usage.lexicon.severity"))] = SeverityName.medium,
) -> None:
    """Add a pack to this home, encrypted."""
    from pipeline.match import lexicon

    name = pack_id or re.sub(r"[^A-Za-z0-9_-]+", "-", file.stem).strip("-")
    with recorded("lexicon add", id=name) as told:
        if not PACK_ID.match(name):
            raise UsageError("PACK_ID", "the pack needs an id of letters, digits, - and _", remedy="give one with --id")
        source = _source(file, name, category, severity.value)
        others = [p for p in CALL.home.own_packs() if p.name != source.name]
        compiled = lexicon.load_packs([*lexicon.shipped_packs(), *others, source])
        CALL.home.store_pack(name, source)
        told["result"] = compiled.version[:16]
        say(t("lexicon.add.done", id=name, version=compiled.version[:16]))


@lexicon_app.command("remove", help=t("usage.lexicon.remove"))
def lexicon_remove(pack_id: Annotated[str, typer.Argument(help=t("usage.lexicon.id"), metavar="ID")]) -> None:
    """Remove a pack of this home."""
    with recorded("lexicon remove", id=pack_id):
        CALL.home.remove_pack(pack_id)
        say(t("lexicon.remove.done", id=pack_id))


def _source(file: Path, name: str, category: str, severity: str) -> PackSource:
    if not file.is_file():
        raise UsageError("INPUT_MISSING", f"there is no file {file}", remedy="give a .yaml pack or a .txt list")
    data = file.read_bytes()
    if file.suffix in (".yaml", ".yml"):
        return PackSource(name=name, data=data, kind="yaml")
    if file.suffix == ".txt":
        return PackSource(name=name, data=data, kind="txt", options=ListOptions(id=name, category=category or "CUSTOM", severity=severity))  # type: ignore[arg-type]  # a SeverityName
    raise UsageError("PACK_SUFFIX", "expected a .yaml pack or a .txt list", remedy="rename the file")


@app.command(help=t("usage.ack"))
def ack(
    item: Annotated[str, typer.Argument(help=t("usage.ack.item"), metavar="ITEM")],
    reason: Annotated[str, typer.Option("--reason", help=t("usage.ack.reason"))],
) -> None:
    """Acknowledge what is left over."""
    from pipeline import left_over
    from pipeline.source import gaps

    corp = CALL.corp
    with recorded("ack", corp=corp, item=item, reason=reason):
        covered = (gaps if gaps.is_gap(item) else left_over).acknowledge(CALL.home, corp, item, reason)
        say(t("ack.done", n=covered, item=item))
