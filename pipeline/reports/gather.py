"""Asks everything a report says, of one version of the archive.

Before: period.py, contents.py, ../audit.py. After: letter.py, charts.py, page.py, book.py, which ask nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime, time
from typing import Any

import msgspec

from pipeline import __version__, audit, beside, clock, columns
from pipeline.audit import Audit
from pipeline.clock import BEIJING
from pipeline.columns import Column
from pipeline.names import Names, ms_of
from pipeline.reader import Reader
from pipeline.reports.contents import MONTHS_DRAWN, PACK, Entry
from pipeline.reports.period import Period

Row = tuple[object, ...]
Progress = Callable[[str, int, int], None]


class Section(msgspec.Struct, frozen=True):
    """One audit's answer. columns bear Chinese and English titles, those of names among them; rows are all of them; names: column of ids → its
    column of names."""

    entry: Entry
    asked: Audit
    columns: list[Column]
    rows: list[Row]
    names: dict[str, str] = {}


class Contents(msgspec.Struct, frozen=True, kw_only=True):
    """A report. facts: numbers of the letter by part and code; monthly: rows of `volume` and `findings` by month, for the months before, too.

    single: the home has no roles; whole: nothing was hidden from who made it."""

    corp_id: str
    corp_name: str
    period: Period
    made_at_ms: int
    over: bool
    actor: str
    program: str
    stand: int
    lexicon: str
    demo: bool
    single: bool
    whole: bool
    facts: dict[str, dict[str, int]]
    sections: list[Section]
    monthly: dict[str, list[dict[str, Any]]]
    names: Names

    @property
    def count(self) -> int:
        """The rows of all sections."""
        return sum(len(section.rows) for section in self.sections)

    @property
    def named(self) -> list[tuple[str, bool]]:
        """The columns of all sections, each with whether it holds text."""
        return [(c.name, c.type in ("text", "json")) for section in self.sections for c in section.columns]

    def name(self, employee: str) -> str:
        """Return an employee's name at the end of the period, empty when nobody knows it."""
        end = datetime.combine(self.period.last, time(23, 59, 59), BEIJING)
        return self.names.person(employee, ms_of(end), "employee").name or ""

    def rows_of(self, name: str, by: str) -> list[dict[str, object]]:
        """Return the rows of a section as dictionaries; none when it is not in."""
        for section in self.sections:
            if section.entry.audit == name and section.entry.given.get("by", "") == by:
                return [dict(zip([c.name for c in section.columns], row, strict=True)) for row in section.rows]
        return []


def gather(reader: Reader, period: Period, *, lexicon: str = "", entries: Sequence[Entry] = PACK, progress: Progress | None = None) -> Contents:
    """Ask everything; `lexicon` names the packs the reader was opened under, empty for the current ones."""
    corp = next(c for c in reader.home.config.corp if c.id == reader.corp_id)
    now = clock.now_ms()
    sections = []
    for done, entry in enumerate(entries):
        sections.append(_section(reader, entry, period))
        if progress:
            progress("asking", done + 1, len(entries))
    return Contents(
        corp_id=reader.corp_id, corp_name=corp.name, period=period, made_at_ms=now, over=period.over(now), actor=reader.access.actor, program=f"liuhen {__version__}",
        stand=reader.snapshot.version, lexicon=lexicon or reader.rows("SELECT lexicon_version AS v FROM lake_context")[0]["v"], demo=reader.home.config.demo,
        single=reader.access.mode == "single", whole=reader.whole,
        facts=_facts(reader, period), sections=sections, monthly={name: _monthly(reader, name, period) for name in ("volume", "findings")},
        names=Names(reader.rows("SELECT * FROM people WHERE kind = 'employee'")),
    )  # fmt: skip


def _section(reader: Reader, entry: Entry, period: Period) -> Section:
    asked = audit.find(entry.audit)
    days = {"from": period.first.isoformat(), "to": period.last.isoformat()}
    given = {**{p.name: days[p.name] for p in asked.meta.parameters if p.name in days}, **entry.given}
    values = audit.bind(asked, given)
    found, rows = columns.rows_from_arrow(reader.answer(asked, values), lang="zh", view="messages")
    titles = {c.name: f"{c.title.zh} · {c.title.en}" for c in asked.meta.columns}
    words = {**{c.name: c.words for c in found}, **audit.worded(asked)}
    if entry.given.get("by") in ("category", "severity", "msgtype"):
        words["value"] = entry.given["by"]
    described = [Column(c.name, titles.get(c.name, c.title), c.type, words[c.name], c.arrow) for c in found]
    declared = audit.whose(asked, values)
    named, told = beside.named(reader, described, rows, lang="zh", declared=declared, until=period.last)
    return Section(entry, asked, named, list(told), {described[at].name: beside.name_column(described[at].name) for at in beside.who_of(described, declared)})


def _monthly(reader: Reader, name: str, period: Period) -> list[dict[str, Any]]:
    """Return the counts of the months up to the period's last, oldest first; months without rows are left out."""
    asked = audit.find(name)
    values = audit.bind(asked, {"from": _months_back(period.last, MONTHS_DRAWN - 1).isoformat(), "to": period.last.isoformat(), "by": "month"})
    return reader.rows(asked.sql, values)


def _months_back(day: date, months: int) -> date:
    """Return the first day of the month so many months before that of `day`, 1970 at the earliest."""
    count = max(day.year * 12 + day.month - 1 - months, 1970 * 12)
    return date(count // 12, count % 12 + 1, 1)


def _facts(reader: Reader, period: Period) -> dict[str, dict[str, int]]:
    """Return the numbers of the letter, by part and code: the audit `monthly-pack` says what they are."""
    asked = audit.find("monthly-pack")
    facts: dict[str, dict[str, int]] = {}
    for row in reader.rows(asked.sql, audit.bind(asked, {"from": period.first.isoformat(), "to": period.last.isoformat()})):
        facts.setdefault(row["part"], {})[row["fact"]] = row["value"]
    return facts
