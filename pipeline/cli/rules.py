"""Commands about what is looked for and who agreed: lexicon, consent, ack.

Before: root.py. After: lexicon.py, consent_events.py, left_over.py.
"""

from __future__ import annotations

import hashlib
import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from pipeline import clock
from pipeline.cli.output import Format, OutputFile, emit, emit_arrow, format_option, output_option
from pipeline.cli.root import CALL, LANG, app, recorded, say, t
from pipeline.errors import Exit, UsageError
from pipeline.match.packfile import ListOptions, PackSource
from pipeline.register import Event, Register

lexicon_app = typer.Typer(help=t("usage.lexicon"), no_args_is_help=True)
consent_app = typer.Typer(help=t("usage.consent"), no_args_is_help=True)
app.add_typer(lexicon_app, name="lexicon")
app.add_typer(consent_app, name="consent")
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
        lexicon.prove(compiled)
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
        known = _register(corp)
        fresh = known.new_events(events)
        say(t("consent.import.preview", events=len(events), fresh=len(fresh), errors=len(errors), scopes=len(known.touched(fresh))))
        if not preview and fresh:
            _append(corp, list(fresh))
            say(t("consent.import.done", id=batch))
        told["result"] = batch
        if errors:
            raise typer.Exit(int(Exit.LEFT_OVER))


def _register(corp: str) -> Register:
    from pipeline.workbench import Workbench

    return Workbench(CALL.home, corp, CALL.home.lake(corp).snapshot()).register


def _append(corp: str, events: list[Event]) -> None:
    from pipeline import ingest, lakerows

    ingest.append(CALL.home, corp, [("consent", lakerows.consent_table(events))], what="consent import")


def _undo(corp: str, batch: str) -> None:
    from pipeline.register import undo_event
    from pipeline.workbench import Workbench

    events = Workbench(CALL.home, corp, CALL.home.lake(corp).snapshot()).events
    reached = sum(e.batch == batch for e in events)
    if not reached:
        raise UsageError("IMPORT_UNKNOWN", f"there is no import {batch}", remedy="`liuhen consent list` shows the imports")
    _append(corp, [undo_event(batch, recorded_at_ms=clock.now_ms())])
    say(t("consent.undo.done", id=batch, n=reached))


@consent_app.command("list", help=t("usage.consent.list"))
def consent_list(
    employee: Annotated[str, typer.Option("--employee", help=t("usage.employee"))] = "",
    customer: Annotated[str, typer.Option("--customer", help=t("usage.customer"))] = "",
    format: Format = format_option,
    output: OutputFile = output_option,
) -> None:
    """Show the register's events."""
    from pipeline.reader import Reader

    corp = CALL.corp
    with recorded("consent list", corp=corp, employee=employee, customer=customer), Reader(CALL.home, corp) as reader:
        found = reader.arrow(
            "SELECT * FROM consent WHERE ($employee = '' OR lower(userid) = lower($employee)) AND ($customer = '' OR external_userid = $customer)"
            " ORDER BY changed_at, recorded_at",
            {"employee": employee, "customer": customer},
        )
        emit_arrow(found, format=format, output=output, view="consent")


class AckItem(StrEnum):
    """What can be acknowledged."""

    failed = "failed"
    pending = "pending"


@app.command(help=t("usage.ack"))
def ack(
    item: Annotated[AckItem, typer.Argument(help=t("usage.ack.item"))],
    reason: Annotated[str, typer.Option("--reason", help=t("usage.ack.reason"))],
) -> None:
    """Acknowledge what is left over."""
    from pipeline import left_over

    corp = CALL.corp
    with recorded("ack", corp=corp, item=item.value, reason=reason):
        covered = left_over.acknowledge(CALL.home, corp, item.value, reason)
        say(t("ack.done", n=covered, item=item.value))
