"""Commands about what is looked for: lexicon list, check, test, diff, add, remove; rescan.

Before: root.py. After: match/, rescan/.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from datetime import date, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from pipeline import clock
from pipeline.cli.output import Format, OutputFile, emit, format_option, output_option, progress
from pipeline.cli.root import CALL, LANG, app, recorded, say, t
from pipeline.errors import Exit, UsageError
from pipeline.match.packfile import ListOptions, PackSource

if TYPE_CHECKING:
    from pipeline.match.history import Kept
    from pipeline.match.lexicon import Lexicon

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
def lexicon_list(
    versions: Annotated[bool, typer.Option("--versions", help=t("usage.lexicon.versions"))] = False,
    format: Format = format_option,
    output: OutputFile = output_option,
) -> None:
    """List the rules of all packs, or the versions that are kept."""
    from pipeline.match import history
    from pipeline.workbench import packs_of

    with recorded("lexicon list"):
        compiled = packs_of(CALL.home)
        if versions:
            emit(["lexicon_version", "current"], [(v, v == compiled.version) for v in history.versions(CALL.home)], format=format, output=output)
            return
        live = {compiled.rules[n].id for n in compiled.live}
        rows = [
            (
                pack.id, rule.id, rule.category, rule.title.zh if LANG == "zh" else rule.title.en, rule.severity, rule.party, len(rule.terms) + len(rule.patterns),
                rule.id in live,
            )
            for pack in compiled.packs for rule in pack.rules
        ]  # fmt: skip
        say(t("lexicon.version", version=compiled.version[:16], rules=len(rows)))
        emit(["pack", "rule_id", "category", "title", "severity", "party", "terms", "active"], rows, format=format, output=output)


@lexicon_app.command("check", help=t("usage.lexicon.check"))
def lexicon_check(files: Annotated[list[Path] | None, typer.Argument(help=t("usage.lexicon.file"), metavar="FILE")] = None) -> None:
    """Load packs and prove their examples."""
    with recorded("lexicon check", files=len(files or [])):
        compiled = _with(files)
        say(t("lexicon.check.done", packs=len(compiled.packs), rules=sum(len(p.rules) for p in compiled.packs), version=compiled.version[:16]))


def _with(files: Sequence[Path] | None) -> Lexicon:
    """The packs in force, and files beside them: one of the same name takes the place of what the home has."""
    from pipeline.workbench import packs_of

    return packs_of(CALL.home, *(_source(f, f.stem, "", "medium") for f in files or ()))


@lexicon_app.command("test", help=t("usage.lexicon.test"))
def lexicon_test(
    text: Annotated[str | None, typer.Argument(help=t("usage.lexicon.text"), metavar="TEXT")] = None,
    party: Annotated[PartyName, typer.Option("--party", help=t("usage.lexicon.party"))] = PartyName.employee,
    files: Annotated[list[Path] | None, typer.Option("--with", help=t("usage.lexicon.with"), metavar="FILE")] = None,
    format: Format = format_option,
    output: OutputFile = output_option,
) -> None:
    """Match one sentence and say why; without a sentence: try every example of every pack and print what fails, with the reason."""
    with recorded("lexicon test"):
        if text is None:
            _try_examples(files, format, output)
            return
        from pipeline.match import lexicon, matching, proof

        compiled = _with(files)
        found, _ = matching.find(*lexicon.said(text, party.value), compiled)
        rows: list[tuple[object, ...]] = [
            (f.rule_id, f.category, f.severity, f.term, f.matched_text, f.start_cp, f.end_cp, f.via, f.suppressed_by, None) for f in found
        ]  # fmt: skip
        hit = {f.rule_id for f in found}
        for number in sorted(compiled.live):
            rule = compiled.rules[number]
            if rule.id not in hit and (why := proof.unmet(compiled, rule, text)):
                rows.append((rule.id, rule.category, rule.severity, None, None, None, None, None, None, why))
        names = ["rule_id", "category", "severity", "term", "matched_text", "start_cp", "end_cp", "via", "suppressed_by", "reason"]
        emit(names, rows, format=format, output=output)


def _try_examples(files: Sequence[Path] | None, format: Format, output: OutputFile) -> None:
    from pipeline.match import lexicon, proof
    from pipeline.match.packfile import read_pack

    others = [_source(f, f.stem, "", "medium") for f in files or ()]
    names = {other.name for other in others}
    sources = [*lexicon.shipped_packs(), *(p for p in CALL.home.own_packs() if p.name not in names), *others]
    compiled = lexicon.compile_packs([read_pack(source) for source in sources])
    awake = lexicon.compile_packs(compiled.packs, on=[rule.id for rule in compiled.rules])
    failures = list(proof.failures(awake))
    tried = sum(1 for rule in awake.rules for _ in proof.examples(rule))
    emit(["pack", "rule_id", "example", "number", "reason"], failures, format=format, output=output)
    say(t("lexicon.test.done", tried=tried, failed=len(failures)))
    if failures:
        raise typer.Exit(int(Exit.USAGE))


@lexicon_app.command("diff", help=t("usage.lexicon.diff"))
def lexicon_diff(
    before: Annotated[str, typer.Argument(help=t("usage.lexicon.diff.side"), metavar="A")],
    after: Annotated[str, typer.Argument(help=t("usage.lexicon.diff.side"), metavar="B")] = "home",
    format: Format = format_option,
    output: OutputFile = output_option,
) -> None:
    """Compare two lexicons rule by rule."""
    from pipeline.match import history

    with recorded("lexicon diff", before=before, after=after):
        rows = [tuple(change) for change in history.differences(_side(before), _side(after))]
        emit(["rule_id", "what", "change", "value"], rows, format=format, output=output)


def _side(name: str) -> Kept:
    from pipeline.match import history, lexicon
    from pipeline.scripts import store
    from pipeline.scripts.covering import ApprovedTexts
    from pipeline.workbench import compiled_packs, packs_of

    if name == "home":
        return history.kept(packs_of(CALL.home), ApprovedTexts(store.load(CALL.home)))
    if name == "shipped":
        return history.kept(compiled_packs(tuple(lexicon.shipped_packs())))
    if Path(name).suffix in (".yaml", ".yml", ".txt"):
        return history.kept(lexicon.load_packs([_source(Path(name), Path(name).stem, "", "medium")]))
    return history.of_version(CALL.home, name)


@lexicon_app.command("add", help=t("usage.lexicon.add"))
def lexicon_add(
    file: Annotated[Path, typer.Argument(help=t("usage.lexicon.file"), metavar="FILE")],
    pack_id: Annotated[str, typer.Option("--id", help=t("usage.lexicon.id"))] = "",
    category: Annotated[str, typer.Option("--category", help=t("usage.lexicon.category"))] = "",
    severity: Annotated[SeverityName, typer.Option("--severity", help=t("usage.lexicon.severity"))] = SeverityName.medium,
) -> None:
    """Add a pack to this home, encrypted."""
    from pipeline.match import history
    from pipeline.workbench import packs_of

    name = pack_id or re.sub(r"[^A-Za-z0-9_-]+", "-", file.stem).strip("-")
    with recorded("lexicon add", id=name) as told:
        if not PACK_ID.match(name):
            raise UsageError("PACK_ID", "the pack needs an id of letters, digits, - and _", remedy="give one with --id")
        source = _source(file, name, category, severity.value)
        history.keep(CALL.home, packs_of(CALL.home))
        compiled = packs_of(CALL.home, source)
        CALL.home.store_pack(name, source)
        history.keep(CALL.home, compiled)
        told["result"] = compiled.version[:16]
        say(t("lexicon.add.done", id=name, version=compiled.version[:16]))


@lexicon_app.command("remove", help=t("usage.lexicon.remove"))
def lexicon_remove(pack_id: Annotated[str, typer.Argument(help=t("usage.lexicon.id"), metavar="ID")]) -> None:
    """Remove a pack of this home; its findings and the versions that had it stay."""
    from pipeline.match import history, lexicon
    from pipeline.match.packfile import read_pack
    from pipeline.workbench import packs_of

    with recorded("lexicon remove", id=pack_id):
        history.keep(CALL.home, packs_of(CALL.home))
        switched, left = CALL.home.config.lexicon, (*lexicon.shipped_packs(), *(own for own in CALL.home.own_packs() if own.name != pack_id))
        lexicon.refuse_unknown((*switched.on, *switched.off), {rule.id for source in left for rule in read_pack(source).rules})
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


@app.command(help=t("usage.rescan"))
def rescan(
    first: Annotated[str, typer.Option("--from", help=t("usage.from"), metavar="DAY")] = "",
    last: Annotated[str, typer.Option("--to", help=t("usage.to"), metavar="DAY")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help=t("usage.rescan.dry_run"))] = False,
    files: Annotated[list[Path] | None, typer.Option("--with", help=t("usage.rescan.with"), metavar="FILE")] = None,
    workers: Annotated[int | None, typer.Option("--workers", help=t("usage.ingest.workers"), min=1, max=256)] = None,
    format: Format = format_option,
    output: OutputFile = output_option,
) -> None:
    """Match the stored archive again."""
    from pipeline.rescan import months
    from pipeline.search.question import day

    corp, days = CALL.corp, (day(first), day(last))
    with recorded("rescan", corp=corp, first=first, last=last, dry_run=dry_run) as told:
        if dry_run:
            _preview(corp, days, files, format, output)
            return
        if files:
            raise UsageError("USAGE", "--with is for --dry-run: what is matched for good is under packs of the home", remedy="`liuhen lexicon add FILE` first")
        with progress() as shown:
            summary = months.rescan(CALL.home, corp, first=days[0], last=days[1], workers=workers, progress=shown)
        told["result"] = summary.lexicon_version[:16]
        if summary.beyond:
            say(t("ingest.beyond", beyond=summary.beyond, messages=summary.crowded))
        sys.stderr.flush()
        print(msgspec.json.encode(months.as_rows(summary)).decode(), flush=True)


def _preview(corp: str, days: tuple[date | None, date | None], files: Sequence[Path] | None, format: Format, output: OutputFile) -> None:
    from pipeline.rescan import preview

    now = clock.now_ms()
    today = date(1970, 1, 1) + timedelta(days=clock.beijing_day(now))
    last = days[1] or today
    scanned, changes = preview.preview(CALL.home, corp, _with(files), first=days[0] or last - timedelta(days=preview.DAYS - 1), last=last, as_of_ms=now)
    rows = [(c.rule_id, c.category, c.severity, c.now, c.then, c.new, c.gone, list(c.samples)) for c in changes]
    emit(["rule_id", "category", "severity", "now", "then", "new", "gone", "samples"], rows, format=format, output=output)
    say(t("rescan.preview.done", scanned=scanned, new=sum(c.new for c in changes), gone=sum(c.gone for c in changes)))
