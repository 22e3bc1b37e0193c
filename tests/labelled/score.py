"""Scores the packs on the labelled set: recall, precision and high-severity precision per category.

Before: the packs. After: tests/slow/test_labelled.py, docs/matching.md. `python -m tests.labelled.score [open|held] [-v]`

A sentence is found in a category when a finding of it counts (nothing suppressed it). Recall: of the sentences labelled violating.
Precision: of the sentences found in a category, over all sentences of the half, those that are labelled or `also` of it.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import yaml

from pipeline.match.fold import fold
from pipeline.match.lexicon import Lexicon, load_packs, said, shipped_packs
from pipeline.match.matching import find
from pipeline.match.packfile import Example
from pipeline.records import Finding, PartyKind

Half = Literal["open", "held"]
FOLDER = Path(__file__).parent


class Sentence(NamedTuple):
    """A labelled sentence. category: the group it stands in; labels: the categories in which a hit is right."""

    text: str
    party: PartyKind
    category: str
    violating: bool
    labels: frozenset[str]


class Score(NamedTuple):
    """Counts of one category. wanted: violating sentences; found: those of them that were found; hits: sentences found in it; right: rightly."""

    wanted: int
    found: int
    hits: int
    right: int


def sentences(half: Half | None = None) -> list[Sentence]:
    """Return the labelled sentences, of one half or all."""
    return [s for s in _read() if half is None or half_of(s.text) == half]


def half_of(text: str) -> Half:
    """Return which half a sentence belongs to."""
    return "held" if hashlib.sha256(text.encode()).digest()[0] & 1 else "open"


def _read() -> Iterator[Sentence]:
    for path in sorted(FOLDER.glob("*.yaml")):
        for group in yaml.safe_load(path.read_text("utf-8")):
            for kind in ("violating", "innocent"):
                for entry in group[kind]:
                    given = {"text": entry} if isinstance(entry, str) else entry
                    own = {group["category"]} if kind == "violating" else set()
                    labels = frozenset(own | set(given.get("also", ())))
                    yield Sentence(given["text"], given.get("party", group["party"]), group["category"], kind == "violating", labels)


def findings(lexicon: Lexicon, sentence: Sentence) -> list[Finding]:
    """Return what counts in a sentence."""
    return [f for f in find(*said(sentence.text, sentence.party), lexicon)[0] if f.suppressed_by is None]


def quoted(lexicon: Lexicon) -> set[str]:
    """Return the sentences that an example of a pack repeats, or whose words (five characters or more) one does: they measure nothing."""
    examples = {fold(text) for rule in lexicon.rules for listed in (rule.examples.must_match, rule.examples.must_not_match) for text in map(_text, listed) if text}
    folded = {s.text: fold(s.text) for s in sentences()}
    return {text for text, form in folded.items() if any((len(e) >= 5 and e in form) or form in e for e in examples)}


def _text(example: str | Example) -> str:
    return example if isinstance(example, str) else example.text


def scores(lexicon: Lexicon, among: list[Sentence]) -> dict[str, Score]:
    """Return the score of each category over some sentences."""
    told = [(s, {f.category for f in findings(lexicon, s)}) for s in among]
    return {c: _score(c, told) for c in sorted({s.category for s, _ in told})}


def _score(category: str, told: list[tuple[Sentence, set[str]]]) -> Score:
    wanted = [found for s, found in told if s.violating and s.category == category]
    hits = [s for s, found in told if category in found]
    return Score(len(wanted), sum(category in found for found in wanted), len(hits), sum(category in s.labels for s in hits))


def total(found: dict[str, Score]) -> Score:
    """Return the sums over all categories."""
    return Score(*(sum(s[i] for s in found.values()) for i in range(4)))


def charged(lexicon: Lexicon, among: list[Sentence]) -> tuple[int, int, int]:
    """Return the innocent sentences, those of them with a counting finding of any category not theirs, and those with a high one."""
    innocent = [(s, findings(lexicon, s)) for s in among if not s.violating]
    wrong = [[f for f in found if f.category not in s.labels] for s, found in innocent]
    return len(innocent), sum(bool(w) for w in wrong), sum(any(f.severity == "high" for f in w) for w in wrong)


def table(lexicon: Lexicon) -> list[str]:
    """Return the rows of the table in docs/matching.md: per category the held half, and the same without what examples repeat."""
    held, known = sentences("held"), quoted(lexicon)
    whole, apart = scores(lexicon, held), scores(lexicon, [s for s in held if s.text not in known])
    whole["all"], apart["all"] = total(whole), total(apart)
    return [f"| {c} | {_told(whole[c])} | {_told(apart.get(c, Score(0, 0, 0, 0)))} |" for c in whole]


def _told(score: Score) -> str:
    return f"{score.found} of {score.wanted} | {score.right} of {score.hits}"


def main(half: Half, verbose: bool) -> None:
    """Print the table, or for the open half what is missed and what is wrong."""
    lexicon = load_packs(shipped_packs())
    known = quoted(lexicon)
    if half == "held":
        print("\n".join(table(lexicon)))
    for name, among in ((half, sentences(half)), ("apart", [s for s in sentences(half) if s.text not in known])):
        print(name, len(among), "sentences; total", total(scores(lexicon, among)), "innocent, charged, charged high", charged(lexicon, among))
    for s in sentences("open") if verbose else ():
        hit = findings(lexicon, s)
        if s.violating and s.category not in {f.category for f in hit}:
            print("MISSED", s.category, s.party, s.text)
        for f in hit:
            if f.category not in s.labels:
                print("WRONG ", s.category, s.party, s.text, "->", f.rule_id, f.severity, f.term)


if __name__ == "__main__":
    main("held" if "held" in sys.argv else "open", "-v" in sys.argv)
