"""The demonstration against the shipped keyword packs: what is planted is found, what is innocent is not.

The phrases of the packs are looked for by plain search first: truth.json counts what is typed in planted.yaml, and its counts are
exact only while every shipped term in a planted line is typed there. A change that breaks this is told here, with the line.
"""

from __future__ import annotations

from datetime import date

import pytest

from pipeline.demo import chatter, pages, story, truth
from pipeline.demo.chatter import Planted
from pipeline.demo.story import Plan, Record
from pipeline.match.lexicon import Lexicon, load_packs, shipped_packs
from pipeline.match.matching import find
from pipeline.message import parse
from pipeline.records import Decision, Finding

COUNT = 4_000
LITERAL = [line for group in ("violations", "near_misses", "customer_words") for line in chatter.planted(group)]
OTHERS = [*chatter.planted("evasive"), *chatter.planted("scenes")]


@pytest.fixture(scope="module")
def lexicon() -> Lexicon:
    return load_packs(shipped_packs())


@pytest.fixture(scope="module")
def terms(lexicon: Lexicon) -> set[str]:
    """Of the rules that are on: what is everyday (illnesses) is off."""
    return {term for number in lexicon.live for term in lexicon.rules[number].terms}


@pytest.fixture(scope="module")
def plan() -> Plan:
    return story.plan(COUNT, seed=1, corp_id="wwdemo", end_day=date(2026, 11, 20))


@pytest.mark.parametrize("line", LITERAL, ids=lambda line: line.text[:12])
def test_exactly_the_shipped_terms_of_a_line_are_typed_beside_it(line: Planted, terms: set[str]) -> None:
    assert {term for term in terms if term.lower() in line.text.lower()} == set(line.terms)


@pytest.mark.parametrize("line", OTHERS, ids=lambda line: line.text[:12] or line.form)
def test_no_shipped_term_stands_in_evasive_lines_and_scenes(line: Planted, terms: set[str]) -> None:
    said = [line.text, *(turn.words for turn in line.turns)]
    assert not [term for term in terms for words in said if term.lower() in words.lower()]


def test_innocent_lines_hold_no_shipped_term(terms: set[str]) -> None:
    said = {turn.words for talk in chatter.talks() for turn in talk.turns}
    assert not [(term, words) for term in terms for words in said if term.lower() in words.lower()]


def test_a_run_finds_what_was_planted_and_nothing_else(plan: Plan, lexicon: Lexicon) -> None:
    facts = truth.tell(plan, list(pages.layout(plan.records)), [])
    planted = {(p.seq, p.term): p for p in facts.phrases}
    found: dict[tuple[int, str], Finding] = {}
    for record in plan.records:
        if record.fate_later == "archived":
            found |= {(record.seq, f.term): f for f in findings(plan, record, lexicon)}
    assert set(found) <= set(planted), "a finding that nobody planted"
    for place, phrase in planted.items():
        if phrase.fate_later == "archived" and phrase.kind in ("violations", "evasive", "near_misses"):
            finding = found[place]
            assert (finding.suppressed_by is None) == (phrase.kind != "near_misses")
            assert finding.via == ("literal" if phrase.form == "literal" else "folded")
            assert finding.category == phrase.category
            assert (finding.party == "quoted") == phrase.quoted


def findings(plan: Plan, record: Record, lexicon: Lexicon) -> tuple[Finding, ...]:
    message = parse(record.plaintext, msgid=record.msgid, captured_at_ms=2_000_000_000_000)
    external = record.draft.sender in plan.firm.externals
    outside = external or not plan.firm.externals.isdisjoint(record.draft.tolist)
    decision = Decision(
        fate="archived", consent="unknown", source="", rule="", reason="", lawful_basis=(),
        sender_kind="external" if external else "employee", direction="inbound" if external else "outbound" if outside else "internal",
    )  # fmt: skip
    return find(message, decision, lexicon)[0]
