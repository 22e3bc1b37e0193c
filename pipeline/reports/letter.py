"""What a coverage letter says, in Chinese and English: what was archived, gaps, withheld, pending, failed, not inspected.

Before: gather.py. After: page.py, book.py. Nothing is asked here.

Rules: (1) every number stands beside what it means; a nought is told, not left out. (2) What is not known is said: a period that is not over, files whose
words no rule reads, members without a seat. (3) The letter comes first in both files, with room for the names of who made and who checked it.
"""

from __future__ import annotations

from typing import Final

import msgspec

from pipeline import words
from pipeline.reports.gather import Contents
from pipeline.words import Lang

FATES: Final = ("archived", "pending", "withheld", "failed", "control", "duplicate")


class Fact(msgspec.Struct, frozen=True):
    """One line: what it is in both languages, its value, and whether somebody should look at it."""

    zh: str
    en: str
    value: int | str
    look: bool = False


class Part(msgspec.Struct, frozen=True):
    """A numbered part of the letter: its title, a sentence of what it means, its lines."""

    zh: str
    en: str
    note_zh: str
    note_en: str
    facts: tuple[Fact, ...]


def head(contents: Contents) -> tuple[Fact, ...]:
    """Return who, about which days, made when, by whom, from which stand of the archive, under which packs."""
    period = contents.period
    lines = [
        _fact("corp", f"{contents.corp_name} ({contents.corp_id})" if contents.corp_name else contents.corp_id),
        _fact("period", f"{period.first} – {period.last}"),
        _fact("made", words.beijing(contents.made_at_ms)),
        _fact("actor", contents.actor),
        _fact("program", contents.program),
        _fact("stand", str(contents.stand)),
        _fact("lexicon", contents.lexicon),
    ]
    return tuple(lines)


def remarks(contents: Contents) -> list[tuple[str, str]]:
    """Return the sentences that stand above everything: DEMO, single mode, a period that is not over."""
    keys = ["demo.banner"] * contents.demo + ["pack.not_over"] * (not contents.over) + ["pack.scoped"] * (not contents.whole) + ["mode.single"] * contents.single
    return [(words.say(key, "zh"), words.say(key, "en")) for key in keys]


def parts(contents: Contents) -> tuple[Part, ...]:
    """Return the parts of the letter, in order."""
    facts = contents.facts
    landed, archived, missing, held, found = (facts[name] for name in ("landed", "archived", "missing", "held", "findings"))
    return (
        _part("landed", [_fact("landed", landed["landed"]), *(_fate(f, landed[f]) for f in FATES)]),
        _part("archived", [_fact(k, archived[k]) for k in ("messages", "conversations", "employees", "recalls")] + [_fact("without_time", archived["without_time"], look=True)]),
        _part("missing", [_fact(k, missing[k], look=True) for k in ("gaps", "gaps_open", "failed", "failed_now")]),
        _part("held", [_fact(k, held[k]) for k in ("withheld", "pending", "restricted")]),
        _part("uninspected", [Fact(said(f"unread.{k}", "zh"), said(f"unread.{k}", "en"), n) for k, n in facts["uninspected"].items()]),
        _part("findings", [_fact(k, found[k]) for k in ("findings", "findings_high", "decided")]),
    )


def enclosures(contents: Contents) -> list[tuple[str, str, str, int]]:
    """Return what is enclosed: sheet, question in Chinese and English, how many rows."""
    return [(s.entry.sheet, s.asked.meta.question.zh, s.asked.meta.question.en, len(s.rows)) for s in contents.sections]


def said(key: str, lang: Lang) -> str:
    """Return words of the letter."""
    return words.say(f"pack.{key}", lang)


def _part(name: str, facts: list[Fact]) -> Part:
    return Part(said(name, "zh"), said(name, "en"), said(f"{name}.note", "zh"), said(f"{name}.note", "en"), tuple(facts))


def _fact(name: str, value: int | str, *, look: bool = False) -> Fact:
    return Fact(said(f"fact.{name}", "zh"), said(f"fact.{name}", "en"), value, look and value != 0)


def _fate(fate: str, n: int) -> Fact:
    return Fact(words.label("fate", fate, "zh"), words.label("fate", fate, "en"), n, fate in ("failed", "pending") and n > 0)
