"""A report as one page: the letter first, then charts, then every audit's answer. Chinese, with English beside it.

Before: gather.py, letter.py, charts.py, ../templates/report.html.j2. After: `liuhen audit pack`, `liuhen audit report`.

Rules: (1) whole in itself: no script, no address that leaves it; its policy forbids what its markup does not do. (2) Whatever came from the archive is
escaped, its unseen characters shown. (3) A long answer is shown by its first rows, and says how many the workbook holds.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Final

import jinja2
from markupsafe import Markup

from pipeline import cells, tables, words
from pipeline.columns import NUMBERS, Column
from pipeline.reports import charts, letter
from pipeline.reports.charts import Bar
from pipeline.reports.contents import MONTHS_DRAWN
from pipeline.reports.gather import Contents, Section

ROWS_SHOWN: Final = 20
SEVERITIES: Final = ("high", "medium", "low")


def render(contents: Contents) -> str:
    """Return the page."""
    return _template().render(
        contents=contents, head=letter.head(contents), remarks=letter.remarks(contents)[contents.demo :], parts=letter.parts(contents), enclosures=letter.enclosures(contents),
        charts=drawn(contents), tables=[_table(section) for section in contents.sections], say=words.say, both=both, beijing=words.beijing, rows_shown=ROWS_SHOWN,
    )  # fmt: skip


@cache
def _template() -> jinja2.Template:
    folder = jinja2.FileSystemLoader(Path(__file__).parents[1] / "templates")
    environment = jinja2.Environment(loader=folder, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["line"] = lambda text: cells.one_line(str(text))
    return environment.get_template("report.html.j2")


def both(key: str, **values: object) -> Markup:
    """Return words in Chinese with English beside them, smaller."""
    return Markup('{} <span class="en">{}</span>').format(words.say(key, "zh", **values), words.say(key, "en", **values))


# ---- charts


def drawn(contents: Contents) -> list[tuple[Markup, Markup, bool]]:
    """Return (title, drawing, whether severities are its colours) of every chart that has something to draw."""
    unknown = words.say("value.unknown", "zh")
    made = [
        ("pack.chart.messages_month", charts.standing(_months(contents, "volume"), label=words.say("pack.chart.messages_month", "zh")), False),
        ("pack.chart.findings_month", charts.standing(_months(contents, "findings"), label=words.say("pack.chart.findings_month", "zh")), True),
        ("pack.chart.messages_department", _lying(contents, "volume", "department", unknown), False),
        ("pack.chart.findings_department", _lying(contents, "findings", "department", unknown), True),
        ("pack.chart.findings_employee", _lying(contents, "findings", "employee", unknown), True),
        ("pack.chart.findings_category", _lying(contents, "findings", "category", unknown), True),
    ]
    return [(both(key), drawing, severe) for key, drawing, severe in made if drawing]


def _parts(name: str, row: dict[str, Any]) -> tuple[tuple[str, int], ...]:
    return (("messages", row["messages"]),) if name == "volume" else tuple((severity, row[severity]) for severity in SEVERITIES)


def _months(contents: Contents, name: str) -> list[Bar]:
    """Return a bar for every month from the first that has something to the period's last."""
    found = {row["value"]: _parts(name, row) for row in contents.monthly[name] if row["value"]}
    if not found:
        return []
    last = contents.period.last
    count = last.year * 12 + last.month - 1
    months = [f"{n // 12}-{n % 12 + 1:02}" for n in range(count - MONTHS_DRAWN + 1, count + 1)]
    nought = tuple((kind, 0) for kind, _ in next(iter(found.values())))
    return [Bar(month, found.get(month, nought)) for month in months if month >= min(found)]


def _lying(contents: Contents, name: str, by: str, unknown: str) -> Markup:
    rows: list[dict[str, Any]] = contents.rows_of(name, by)
    if name == "volume":  # without one: what customers wrote
        rows = [row for row in rows if row["value"]]
    bars = [Bar(_label(contents, by, row["value"]) or unknown, _parts(name, row)) for row in rows]
    short = charts.shortened([bar for bar in bars if bar.total], others=words.say("pack.others", "zh"))
    return charts.lying(short, label=words.say(f"pack.chart.{'messages' if name == 'volume' else name}_{by}", "zh"))


def _label(contents: Contents, by: str, value: str | None) -> str:
    if by != "employee" or not value:
        return words.label(by, value, "zh")
    return f"{contents.name(value)} {value}".strip()


# ---- tables

def _table(section: Section) -> dict[str, Any]:
    """Return what the template needs of one answer: words, titles in both languages, cells as text, which columns are numbers."""
    meta = section.asked.meta
    titles = {c.name: (c.title.zh, c.title.en) for c in meta.columns}
    names = [c.name for c in section.columns]
    shown = [dict(zip(names, row, strict=True)) for row in section.rows[:ROWS_SHOWN]]
    told = [c for c in section.columns if c.name not in section.names.values()]
    return {
        "sheet": section.entry.sheet, "title": meta.title, "question": meta.question, "basis": meta.basis, "name": section.entry.audit, "given": section.entry.given,
        "titles": [titles.get(c.name, (c.name, c.name)) for c in told], "css": [_css(c) for c in told],
        "rows": [[_cell(row, column, section.names.get(column.name)) for column in told] for row in shown],
        "more": len(section.rows) - len(shown), "total": len(section.rows),
    }  # fmt: skip


def _cell(row: dict[str, object], column: Column, name_column: str | None) -> str:
    """Return one value as text; an id with the name beside it."""
    told = tables.cell_text(row[column.name], column, "zh")
    if not told and column.name == "value":
        return "–"  # others, or unknown: the columns' meanings say which
    return f"{told} {row[name_column] or ''}".strip() if name_column else told


def _css(column: Column) -> str:
    return "r" if column.type in NUMBERS else "d" if column.type in ("date", "timestamp") else ""
