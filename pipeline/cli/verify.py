"""The command that checks the archive: verify --archive.

Before: root.py. After: verify.py, which does the checking; here codes become words.

The custody log is read before the call records itself in it, and left alone where it is damaged: an entry would cut off what stands at its
end. A home that cannot be written to (a copy on read-only storage) is verified all the same.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline import cells, columns, show, words
from pipeline.cli.output import Format, OutputFile, chosen, emit, format_option, notes, output_option, progress
from pipeline.cli.root import CALL, LANG, app, recorded, say, t
from pipeline.columns import Type
from pipeline.errors import Exit, StorageError, UsageError
from pipeline.verify_report import Finding, Report

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

    from pipeline.verify_keys import CustodyFiles, Unwrap

COLUMNS = ("corp_id", "check", "code", "what", "concerned")
KINDS: Sequence[Type] = ["text"] * len(COLUMNS)


@app.command(help=t("usage.verify"))
def verify(
    case: Annotated[Path | None, typer.Argument(help=t("usage.verify.case"), metavar="[CASE.zip]", show_default=False)] = None,
    archive: Annotated[bool, typer.Option("--archive", help=t("usage.verify.whole"))] = False,
    key: Annotated[str | None, typer.Option("--key", help=t("usage.verify.key"), metavar="LINE", show_default=False)] = None,
    stamp_roots: Annotated[Path | None, typer.Option("--stamp-roots", help=t("usage.verify.stamp_roots"), metavar="FILE.pem", show_default=False)] = None,
    format: Format = format_option,
    output: OutputFile = output_option,
) -> None:
    """Verify the archive by code that shares nothing with what wrote it."""
    if (case is not None) == archive:
        raise UsageError("VERIFY_WHAT", "expected either a bundle or --archive", remedy="`liuhen verify CASE.zip` or `liuhen verify --archive`")
    if case is not None:
        _bundle(case, key, stamp_roots, format, output)  # an empty --key is a key that does not fit, never one that was not given
        return
    from pipeline.verify_keys import custody_bytes

    corps = [CALL.corp] if CALL.corp_id else [c.id for c in CALL.home.config.corp]
    segments = custody_bytes(CALL.home.path)
    with contextlib.ExitStack() as stack:
        told = _recorded(stack, segments, corps)
        reports = [_verified(corp, segments) for corp in corps]
        found = sum(len(r.findings) for r in reports)
        told["result"] = f"{found} findings"
        _tell(reports, format, output)
        if found:
            raise typer.Exit(int(Exit.VERIFY_FAILED))


def _bundle(case: Path, key: str | None, stamp_roots: Path | None, format: Format, output: OutputFile) -> None:
    """Check a bundle; needs no home, and leaves none."""
    from pipeline.evidence.check import check

    report = check(case, key=key, roots=_certificates(stamp_roots) if stamp_roots else ())
    rows = [(f.number, t(f"check.{f.check}"), t("check.failed" if f.fault else "check.passed"), _fault(f.fault)) for f in report.findings]
    described = [columns.column(n, "int" if n == "number" else "text", LANG) for n in ("number", "check", "result", "detail")]
    show.write_rows(described, rows, format=chosen(format, output), output=output, lang=LANG)  # not emit: its notes are of a home
    if not report.sound:
        for found in report.findings:
            if found.fault:  # whole: a table is cut at the width of the terminal
                say(t("check.fault", n=found.number, detail=cells.one_line(_fault(found.fault))))
        raise typer.Exit(int(Exit.VERIFY_FAILED))
    say(t("check.sound", n=report.records, size=report.checkpoint, manifest=report.manifest))
    if key is None:
        say(t("check.key_not_compared", line=cells.one_line(report.key)))
    for size, stamp in sorted(report.stamps.items()):
        say(t("check.stamped", size=size, at=words.beijing(stamp.at_ms, LANG)))
    if report.epoch:
        say(t("check.epoch", n=report.epoch))
    if stamp_roots is None:
        for root in sorted({r for s in report.stamps.values() for r in s.roots}):
            say(t("check.roots_not_compared", digest=root))
    for what in report.unchecked:
        say(t(f"check.unchecked.{what}"))
    if report.unchecked:
        raise typer.Exit(int(Exit.LEFT_OVER))


def _fault(said: str) -> str:
    """Return what does not hold, on a Chinese run in the Chinese of the bundle's own verifier with the English behind it, as that prints it."""
    from pipeline.evidence import fault_words

    told = fault_words.in_chinese(said) if said and LANG == "zh" else None
    return said if told is None else f"{told}（{said}）"


def _certificates(path: Path) -> Sequence[Certificate]:
    from pipeline.evidence.stamp_check import certificates

    try:
        return certificates(path.read_bytes())
    except (OSError, ValueError):
        raise UsageError("STAMP_ROOTS", f"{path.name} is no file of PEM certificates", remedy="ask the authority for its root certificate") from None


def _recorded(stack: contextlib.ExitStack, segments: CustodyFiles, corps: list[str]) -> dict[str, str]:
    """Record the call, unless the custody log is damaged or cannot be written."""
    from pipeline.verify_keys import check_custody

    before = Report("")
    check_custody(segments, None, None, before)
    if not before.findings:
        # Whatever is broken in keys or custody log is what this command is there to tell.
        with contextlib.suppress(Exception):
            return stack.enter_context(recorded("verify", corps=corps))
    say(t("verify.not_recorded"))
    return {}


def _verified(corp: str, segments: CustodyFiles) -> Report:
    from pipeline.verify import verify_archive

    try:
        with progress() as shown:
            return verify_archive(
                CALL.home.path, corp, unwrap=_unwrap(), custody=segments, progress=lambda done, total: shown("verifying", done, total)
            )
    except OSError as error:
        raise StorageError("STORAGE_UNREACHABLE", f"a file of the archive cannot be read ({error.strerror})", remedy="check the storage") from error


def _unwrap() -> Unwrap | None:
    """Return what opens wrapped keys where the master key is in a token or a key service; a file is read by the verification itself."""
    setting = CALL.home.config.keys.master
    if setting.startswith("file:"):
        return None
    from pipeline import masters

    return masters.open_master(setting, CALL.home.path).unwrap


def _tell(reports: list[Report], format: Format, output: OutputFile) -> None:
    rows = [(r.corp_id, t(f"verify.check.{f.check}"), f.code, _words("finding", f), f.records) for r in reports for f in r.findings]
    table = chosen(format, output) == "table" and output is None
    if rows or not table:
        emit(COLUMNS, rows, format=format, output=output, kinds=KINDS)
    for report in reports:
        for line in summary(report):
            print(line) if table else say(line)
    if table:
        for note in notes():
            print(note)


def _words(group: str, finding: Finding) -> str:
    return words.say(f"verify.{group}.{finding.code}", LANG, **finding.values)


def summary(report: Report) -> list[str]:
    """Return what was found, checked and not checked, a line each."""
    n = report.counts
    lines = []
    for told in report.notes:
        what = _words("note", told)
        lines.append(t("verify.note", code=told.code, what=t("verify.concerned", what=what, records=told.records) if told.records else what))
    lines.append(t("verify.found", corp=report.corp_id, n=len(report.findings)) if report.findings else t("verify.nothing", corp=report.corp_id))
    lines.append(t(
        "verify.checked", entries=n["log entries"], anchors=n["anchors"], files=n["files"], size=n["bytes"], records=n["records"], leaves=n["leaves"],
        commitments=n["commitments"], unchecked=n["leaves not checked"], pages=n["pages"], keys=n["keys"], custody=n["custody entries"],
        seconds=report.seconds, rate=report.records_a_second,
    ))  # fmt: skip
    lines.append(t("verify.left", unnamed=n["unnamed encrypted files"], parts=n["left by killed runs"], waiting=n["pages that wait"]))
    lines.append(t("verify.media", n=n["fetched files"], size=n["bytes of fetched files"], unnamed=n["fetched files that no row names"]))
    lines.append(t("verify.not_checked"))
    return lines
