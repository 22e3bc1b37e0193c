"""One finding: what was looked at, how it is, and by which words it is told.

Before: errors.py. After: machine.py, keys.py, network.py, library.py, examine.py, `doctor`.
The words are in schemas/words.yaml: doctor.CHECK (what), doctor.CHECK.OUTCOME (result), doctor.CHECK.OUTCOME.fix (fix; none where there is
nothing to do). A finding that an error made is told in the error's own words.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, Literal

import msgspec

from pipeline import words
from pipeline.errors import EXIT_PRECEDENCE, ArchiveError, Exit, SourceRefused
from pipeline.words import Lang

State = Literal["ok", "note", "warning", "bad", "skipped"]
# A usage error (exit 2) is what is mended first, after what the platform or the disk refuses.
PRECEDENCE: Final = (*EXIT_PRECEDENCE[:3], Exit.USAGE, *EXIT_PRECEDENCE[3:])


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What was found. corp: empty where it concerns the whole home; exit_code: that of the command when this is bad."""

    check: str
    corp: str = ""
    state: State
    outcome: str
    values: dict[str, Any] = {}
    exit_code: int = 0
    error: str = ""
    remedy: str = ""
    code: str = ""


def of_error(check: str, error: ArchiveError, *, corp: str = "", state: State = "bad") -> Finding:
    """Return the finding that an error is."""
    return Finding(
        check=check, corp=corp, state=state, outcome="error", error=error.message, remedy=error.remedy, code=error.code, exit_code=int(error.exit_code)
    )


def result_of(finding: Finding, lang: Lang) -> str:
    """Return what was found, in words."""
    if finding.outcome != "error":
        return words.say(f"doctor.{finding.check}.{finding.outcome}", lang, **finding.values)
    return words.sentence(finding.error, lang)


def fix_of(finding: Finding, lang: Lang) -> str:
    """Return what to do about it, in words; empty when there is nothing to do."""
    if finding.outcome == "error":
        return words.sentence(finding.remedy, lang)
    key = f"doctor.{finding.check}.{finding.outcome}.fix"
    return words.say(key, lang, **finding.values) if key in words.catalogue() else ""


def exit_of(findings: Iterable[Finding]) -> int:
    """Return the exit code of the command: that of the worst bad finding, 0 when none is bad."""
    codes = {f.exit_code for f in findings if f.state == "bad"}
    return next((int(code) for code in PRECEDENCE if code in codes), max(codes, default=0))


def refused(findings: Iterable[Finding]) -> bool:
    """Tell whether the platform refused somewhere."""
    return any(f.state == "bad" and f.exit_code == SourceRefused.exit_code for f in findings)
