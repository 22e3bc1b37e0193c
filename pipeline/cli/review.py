"""Commands for findings as work: review list, claim, decide, export, import, sample.

Before: root.py. After: review/, show.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline import columns, words
from pipeline.cli.output import Format, OutputFile, chosen, described, emit_named, extract, format_option, notes, output_option
from pipeline.cli.root import CALL, LANG, app, recorded, say, t
from pipeline.errors import Exit, UsageError

review_app = typer.Typer(help=t("usage.review"), no_args_is_help=True)
app.add_typer(review_app, name="review")
LIST = ("severity", "dt", "age_days", "category", "employee_id", "customer_id", "excerpt", "decision", "claimed_by", "finding_id")
_TYPES: dict[str, columns.Type] = {"dt": "date", "age_days": "int"}

MOST = 1_000_000  # rows of one answer
SEVERITIES = ("low", "medium", "high")
State = Annotated[str, typer.Option("--state", help=t("usage.review.state"), metavar="STATE")]
Severity = Annotated[str, typer.Option("--severity", help=t("usage.review.severity"), metavar="low|medium|high")]
Category = Annotated[str, typer.Option("--category", help=t("usage.review.category"), metavar="C")]
Employee = Annotated[str, typer.Option("--employee", help=t("usage.review.employee"), metavar="ID")]
First = Annotated[str, typer.Option("--from", help=t("usage.from"), metavar="DAY")]
Last = Annotated[str, typer.Option("--to", help=t("usage.to"), metavar="DAY")]
Limit = Annotated[int, typer.Option("--limit", help=t("usage.review.limit"), metavar="N", min=1, max=MOST)]


def _wanted(state: str, severity: str, category: str, employee: str, first: str, last: str, limit: int) -> Any:
    from pipeline.review.queue import STATES, Wanted
    from pipeline.search.question import day

    if state not in STATES:
        raise UsageError("REVIEW_STATE", f"expected a state of {', '.join(STATES)}", remedy="for example --state waiting")
    if severity and severity not in SEVERITIES:
        raise UsageError("REVIEW_SEVERITY", f"expected a severity of {', '.join(SEVERITIES)}", remedy="for example --severity high")
    return Wanted(
        state=state, severity=severity or None, category=category or None, employee=employee or None, from_day=day(first), to_day=day(last), limit=limit
    )


@review_app.command("list", help=t("usage.review.list"))
def review_list(
    state: State = "waiting", severity: Severity = "", category: Category = "", employee: Employee = "", first: First = "", last: Last = "",
    limit: Limit = 1_000, format: Format = format_option, output: OutputFile = output_option,
) -> None:  # fmt: skip
    """List findings that wait, gravest first, then oldest."""
    from pipeline.reader import Reader
    from pipeline.review.queue import Item, items

    wanted, corp = _wanted(state, severity, category, employee, first, last, limit), CALL.corp
    with recorded("review list", corp=corp, state=state) as told, Reader(CALL.home, corp) as reader:
        found = items(reader, wanted)
        names = LIST if chosen(format, output) == "table" else Item.__struct_fields__
        rows = [tuple(getattr(i, n) for n in names) for i in found]
        titled = described(names, rows, [_TYPES.get(n, "text") for n in names], view="matches")
        told["result"] = f"{emit_named(reader, titled, rows, format=format, output=output, total=len(rows))} findings"


@review_app.command("claim", help=t("usage.review.claim"))
def review_claim(finding: Annotated[list[str], typer.Argument(help=t("usage.review.finding"), metavar="FINDING_ID…")]) -> None:
    """Say that somebody is at it."""
    from pipeline.reader import Reader
    from pipeline.review import decisions

    corp = CALL.corp
    with recorded("review claim", corp=corp, findings=finding) as told:
        with Reader(CALL.home, corp) as reader:
            # An escalation needs no reason: what is left to check is that the findings are there.
            asked = [(n, decisions.Decision(finding_id=f, decision="escalated")) for n, f in enumerate(finding, 1)]
            decisions.refuse(decisions.check(reader, asked))
        told["result"] = f"{decisions.claim(CALL.home, corp, finding)} claimed"
    say(t("review.claimed", n=len(finding)))


@review_app.command("decide", help=t("usage.review.decide"))
def review_decide(
    finding: Annotated[str, typer.Argument(help=t("usage.review.finding"), metavar="FINDING_ID")],
    decision: Annotated[str, typer.Argument(help=t("usage.review.decision"), metavar="violation|not_violation|escalated|reopened")],
    reason: Annotated[str, typer.Option("--reason", help=t("usage.review.reason"), metavar="TEXT")] = "",
    remedy: Annotated[str, typer.Option("--remedy", help=t("usage.review.remedy"), metavar="TEXT")] = "",
) -> None:
    """Decide about one finding."""
    from pipeline.reader import Reader
    from pipeline.review import decisions

    corp = CALL.corp
    one = decisions.Decision(finding_id=finding, decision=decision, reason=reason, remedy=remedy)
    with recorded("review decide", corp=corp, finding=finding, decision=decision) as told:
        with Reader(CALL.home, corp) as reader:
            decisions.refuse(decisions.check(reader, [(1, one)]))
            (context,) = reader.rows("SELECT lexicon_version FROM lake_context")
        told["result"] = f"{decisions.keep(CALL.home, corp, [one], lexicon_version=context['lexicon_version'])} decided"
    say(t("review.decided", n=1))


@review_app.command("export", help=t("usage.review.export"))
def review_export(
    output: Annotated[Path, typer.Option("--output", "-o", help=t("usage.output"), metavar="FILE.xlsx")],
    state: State = "waiting", severity: Severity = "", category: Category = "", employee: Employee = "", first: First = "", last: Last = "",
    limit: Limit = 10_000,
) -> None:  # fmt: skip
    """Write a workbook of findings to be filled in."""
    from pipeline.reader import Reader
    from pipeline.review import worklist
    from pipeline.review.queue import items
    from pipeline.show import replacing

    wanted, corp = _wanted(state, severity, category, employee, first, last, limit), CALL.corp
    with recorded("review export", corp=corp, state=state) as told, Reader(CALL.home, corp) as reader:
        found, sink = items(reader, wanted), BytesIO()
        worklist.write(sink, found, lang=LANG, notes=notes(), reader=reader)
        with extract(output, [("excerpt", True)], rows=len(found)), replacing(output) as file:
            file.write(sink.getvalue())
        told["result"] = f"{len(found)} findings"
    say(t("review.exported", n=len(found), file=output))


@review_app.command("import", help=t("usage.review.import"))
def review_import(file: Annotated[Path, typer.Argument(help=t("usage.review.worklist"), metavar="FILE.xlsx")]) -> None:
    """Take a filled-in workbook back: all of it or nothing."""
    from pipeline.reader import Reader
    from pipeline.review import decisions, worklist

    corp = CALL.corp
    with recorded("review import", corp=corp) as told:
        if not file.is_file():
            raise UsageError("INPUT_MISSING", f"there is no file {file}", remedy="give the workbook that `liuhen review export` wrote")
        filled = worklist.read(file.read_bytes())
        found = [d for _, d in filled.decisions]
        with CALL.home.lock(f"{corp}.review"):  # what is there already is looked up before it is kept: nobody else may keep it between
            with Reader(CALL.home, corp) as reader:
                refused = decisions.check(reader, filled.decisions)
                there = decisions.standing(reader, found, batch=filled.digest)
                (context,) = reader.rows("SELECT lexicon_version FROM lake_context")
            if refused:
                _tell(refused, filled.letters)
                told["result"] = f"{len(refused)} refused"
                raise typer.Exit(Exit.USAGE)
            new = [d for d in found if d.finding_id not in there]
            kept = decisions.keep(CALL.home, corp, new, batch=filled.digest, lexicon_version=context["lexicon_version"])
        told["result"] = f"{kept} decided, {len(there)} there already"
    say(t("review.decided", n=kept))
    if there:
        say(t("review.there_already", n=len(there)))


def _tell(refused: Sequence[Any], letters: Mapping[str, str]) -> None:
    for one in refused:
        title = words.title(one.column, LANG, view="matches")
        say(t("review.refused_line", line=one.line, column=letters[one.column], title=title, why=t(f"review.refused.{one.code}")))
    say(t("review.nothing_taken", n=len(refused)))


@review_app.command("sample", help=t("usage.review.sample"))
def review_sample(
    seed: Annotated[str, typer.Option("--seed", help=t("usage.review.seed"), metavar="WORD")],
    count: Annotated[int, typer.Option("--count", help=t("usage.review.count"), metavar="N", min=1, max=MOST)] = 50,
    risk: Annotated[bool, typer.Option("--risk", help=t("usage.review.risk"))] = False,
    first: First = "",
    last: Last = "",
    format: Format = format_option,
    output: OutputFile = output_option,
) -> None:
    """Draw messages that no rule found anything in."""
    from datetime import date

    import pyarrow as pa

    from pipeline.reader import Reader
    from pipeline.review.sample import draw
    from pipeline.search.question import day

    corp = CALL.corp
    with recorded("review sample", corp=corp, seed=seed, count=count, risk=risk) as told, Reader(CALL.home, corp) as reader:
        drawn = draw(reader, seed=seed, count=count, low=day(first) or date(1970, 1, 1), high=day(last) or date(9999, 12, 31), risk=risk)
        found, rows = columns.rows_from_arrow(pa.Table.from_pylist(drawn), lang=LANG, view="messages")
        told["result"] = f"{emit_named(reader, found, rows, format=format, output=output, total=len(drawn))} messages"
