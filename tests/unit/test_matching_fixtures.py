"""The public matching cases against the matcher. Each pattern is a rule of its own, so that equal patterns are told apart.

How each class (`normative`) and mode is treated:
- must, overlapping: binds `find`, findings and all.
- must, standard: binds the same findings, reduced here to the ones that end first.
- must, leftmost-first and leftmost-longest: bind `leftmost` over the findings.
- no option that folds: only findings as listed (`via` literal) are compared, since the matcher always folds case and width.
- must-if-folding: binds: width, styled letters, traditional, Chinese digits. Where letters are repeated we report the shortest stretch that
  holds the term, these cases the longest: ours is widened over equal letters before it is compared (`widened`).
- must-if-ignore-chars: binds between Chinese characters, for the whole set of separators; not between letters.
- mode digit-run, of any class: binds `pii.digit_runs`, which rules of kind `digits` ask. We always look past up to three signs.
- must-if-whitelist: binds, as allow phrases.
- must-if-option-off: the option is a fold that we always do, so no *literal* finding.
- must-if-word-boundary: not claimed, terms are found inside words (evasion needs no spaces); a case that binds for another option and has
  this one too is compared without what lies inside a word.
- must-if-feature: identifiers bind pii.py in test_pii.py; addresses of pages and machines are nobody's data, and we look for none.
- algorithm-only: empty patterns, which no rule can have. peer-policy: what one peer chose and another did not.
- by name, each with its reason: UNCLAIMED_CASES.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pipeline import pii
from pipeline.match.fold import fold
from pipeline.match.lexicon import Lexicon, compile_packs
from pipeline.match.matching import find
from pipeline.match.packfile import Pack, Rule, Title
from pipeline.records import Decision, Finding, Message, Part
from pipeline.segments import leftmost

pytestmark = pytest.mark.fixtures

FILES = ("aho_corasick_tables.jsonl", "normalisation_peers.jsonl", "ac_other_fetched.jsonl", "identifiers_fetched.jsonl")
NOT_OURS = {"must-if-word-boundary", "must-if-feature", "algorithm-only", "peer-policy"}
NO_FIXTURES = "LIUHEN_FIXTURES names no folder of public test data"
# Cases are chosen while tests are collected, when nobody may ask for them: without the folder one case stands there that is skipped. The suite
# `fixtures` runs with --no-skips, where that is a failure; that none of the files, nor any case of theirs, is missing is a test of its own, below.
NONE_GIVEN = [pytest.param({}, marks=pytest.mark.skip(reason=NO_FIXTURES))]
UNCLAIMED_CASES = {
    "normalisation_houbb_toolgood#0081": "separators between the letters of an English word: a.s. would be as, and every list of initials a term",
    "normalisation_houbb_toolgood#0096": "one separator alone is to be skipped, we skip all: what it expects is found (its own test), and a longer term too",
}
Place = tuple[int, int, int]  # start, end, pattern


def cases() -> list[dict[str, Any]]:
    folder = os.environ.get("LIUHEN_FIXTURES")
    if not folder:
        return []
    return [json.loads(line) for name in FILES for line in (Path(folder) / "matching" / name).read_text("utf-8").splitlines()]


def needed() -> list[dict[str, Any]]:
    """All cases; skips the test that needs them where there is no folder."""
    return cases() or pytest.skip(NO_FIXTURES)


def ours(case: dict[str, Any]) -> bool:
    options, kind = case["options"], case["normative"]
    return kind not in NOT_OURS and options["mode"] != "digit-run" and case["id"] not in UNCLAIMED_CASES


def selected(*kinds: str) -> list[Any]:
    return [pytest.param(case, id=f"{case['id']}-{case['options']['mode']}") for case in cases() if ours(case) and case["normative"] in kinds] or NONE_GIVEN


def lexicon_of(case: dict[str, Any]) -> Lexicon:
    allow = tuple(case["options"].get("whitelist", ()))
    rules = tuple(
        Rule(id=f"P{n:05}", category="C01", title=Title("甲", "a"), severity="low", party="any", terms=(pattern,), allow=allow)
        for n, pattern in enumerate(case["patterns"])
    )
    return compile_packs([Pack(id="p", owner="o", reason="r", since=None, language="zh", rules=rules)])


def found(case: dict[str, Any]) -> list[Finding]:
    message = Message(
        msgid="m", kind="message", action="send", msgtype="text", sender_id=None, recipient_ids=(), room_id=None, sent_at_ms=None,
        text=case["text"], parts=(Part("text.content", case["text"]),),
    )  # fmt: skip
    decision = Decision(fate="archived", consent="unknown", source="s", rule="1", reason="r", lawful_basis=())
    findings, dropped = find(message, decision, lexicon_of(case))
    assert dropped == 0
    return [finding for finding in findings if finding.suppressed_by is None and (_folds(case) or finding.via == "literal")]


def _folds(case: dict[str, Any]) -> bool:
    return any(case["options"].get(name) for name in ("case_insensitive", "fold_width", "fold_trad", "fold_styled_latin", "ignore_chars", "fold_digits", "collapse_repeats"))


def place(finding: Finding) -> Place:
    return finding.start_cp, finding.end_cp, int(finding.rule_id[1:])


def first_to_end(places: Sequence[Place]) -> list[Place]:
    """What a search that reports each match as soon as it ends, and goes on behind it, would keep."""
    kept: list[Place] = []
    for start, end, pattern in sorted(places, key=lambda p: (p[1], p[0], p[2])):
        if not kept or start >= kept[-1][1]:
            kept.append((start, end, pattern))
    return kept


def reduced(findings: Sequence[Finding], mode: str) -> list[Place]:
    if mode == "overlapping":
        return sorted(map(place, findings))
    if mode == "standard":
        return first_to_end([place(finding) for finding in findings])
    return [place(finding) for finding in leftmost(findings, longest=mode == "leftmost-longest")]


def expected(case: dict[str, Any]) -> list[Place]:
    numbers = case.get("pattern_index") or [case["patterns"].index(pattern) for _, _, pattern in case["expect"]]
    places = [(start, end, number) for (start, end, _), number in zip(case["expect"], numbers, strict=True)]
    return sorted(places) if case["options"]["mode"] == "overlapping" else places


@pytest.mark.parametrize("case", selected("must"))
def test_what_every_matcher_must_find(case: dict[str, Any]) -> None:
    assert reduced(found(case), case["options"]["mode"]) == expected(case)


@pytest.mark.parametrize("case", selected("must-if-folding", "must-if-ignore-chars", "must-if-whitelist"))
def test_what_a_matcher_that_folds_skips_and_allows_must_find(case: dict[str, Any]) -> None:
    findings = found(case)
    if case["options"].get("word_boundary"):
        findings = [finding for finding in findings if not inside_a_word(case["text"], finding)]
    if case["options"].get("collapse_repeats"):
        findings = [widened(case["text"], finding) for finding in findings]
    assert reduced(findings, case["options"]["mode"]) == expected(case)


def widened(text: str, finding: Finding) -> Finding:
    """The finding over all letters equal to its first and its last."""
    start, end = finding.start_cp, finding.end_cp
    while start and fold(text[start - 1]) == fold(text[start]):
        start -= 1
    while end < len(text) and fold(text[end]) == fold(text[end - 1]):
        end += 1
    return msgspec.structs.replace(finding, start_cp=start, end_cp=end)


def inside_a_word(text: str, finding: Finding) -> bool:
    """Whether an ASCII letter or digit other than a repeated one stands beside it."""
    wide = widened(text, finding)
    beside = text[max(0, wide.start_cp - 1) : wide.start_cp] + text[wide.end_cp : wide.end_cp + 1]
    return any(char.isascii() and char.isalnum() for char in beside)


def test_a_case_for_one_separator_is_found_by_who_skips_all() -> None:
    [case] = [case for case in needed() if case["id"] == "normalisation_houbb_toolgood#0096"]
    assert set(expected(case)) < set(reduced(found(case), "overlapping"))


def digit_cases() -> list[Any]:
    return [pytest.param(case, id=case["id"]) for case in cases() if case["options"]["mode"] == "digit-run"] or NONE_GIVEN


@pytest.mark.parametrize("case", digit_cases())
def test_runs_of_digits_bind_the_step_for_personal_data(case: dict[str, Any]) -> None:
    runs = pii.digit_runs(case["text"], case["options"]["min_digits"])
    assert [[place.start_cp, place.end_cp, "DIGITS"] for place in runs] == case["expect"]


@pytest.mark.parametrize("case", selected("must-if-option-off"))
def test_what_stands_there_only_folded_is_not_called_literal(case: dict[str, Any]) -> None:
    assert [finding for finding in found(case) if finding.via == "literal"] == []


def test_no_case_is_passed_over_in_silence() -> None:
    assert Counter(case["normative"] for case in needed() if ours(case)) == {
        "must": 319, "must-if-folding": 25, "must-if-ignore-chars": 4, "must-if-whitelist": 6, "must-if-option-off": 3,
    }  # fmt: skip
    assert len(cases()) == 468 and len(digit_cases()) == 7
