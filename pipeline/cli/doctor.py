"""The command that says whether everything is as it must be, with the fix in words: doctor.

Before: root.py. After: pipeline/doctor/.
"""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.cli.output import Format, OutputFile, emit, format_option, output_option
from pipeline.cli.root import CALL, LANG, app, recorded, say, t


@app.command(help=t("usage.doctor"))
def doctor(
    offline: Annotated[bool, typer.Option("--offline", help=t("usage.doctor.offline"))] = False, format: Format = format_option, output: OutputFile = output_option
) -> None:
    """Check secret, address, licence, library, keys, clock, disk."""
    from pipeline import words
    from pipeline.doctor import findings
    from pipeline.doctor.examine import examine

    home = CALL.home
    corps = [home.corp(CALL.corp_id)] if CALL.corp_id else [c.id for c in home.config.corp]
    with recorded("doctor", offline=offline, corps=corps) as told:
        found = list(examine(home, corps, offline=offline))
        rows = [
            (words.say(f"doctor.{f.check}", LANG), f.corp or None, words.say(f"doctor_state.{f.state}", LANG), findings.result_of(f, LANG), findings.fix_of(f, LANG) or None)
            for f in found
        ]
        emit(["what", "corp", "state", "result", "fix"], rows, format=format, output=output)
        code = findings.exit_of(found)
        bad, warned = (sum(f.state == state for f in found) for state in ("bad", "warning"))
        say(t("doctor.summary", n=len(found), bad=bad, warned=warned))
        told["result"] = f"{bad} bad, {warned} warnings"
        if code:
            raise typer.Exit(code)
