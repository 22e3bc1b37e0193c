"""The labelled set is what it says, and the example of docs/matching.md is what the program gives."""

from __future__ import annotations

from collections import Counter

from pipeline.match.lexicon import load_packs, said, shipped_packs
from pipeline.match.matching import find
from tests.labelled import score

EXAMPLE = "张姐您放心，这款➕保 本\u200b保.息，不用告诉别人，我电话13800138000"


def test_the_set_has_the_sentences_it_was_committed_with() -> None:
    found = score.sentences()
    assert len(found) == len({s.text for s in found}) == 794
    assert Counter(s.violating for s in found) == {True: 480, False: 314}
    assert Counter(score.half_of(s.text) for s in found) == {"open": 409, "held": 385}


def test_every_category_has_sentences_that_must_be_found_and_near_misses_in_both_halves() -> None:
    counts = Counter((s.category, s.violating, score.half_of(s.text)) for s in score.sentences())
    assert all(counts[f"C{n:02}", violating, half] >= 2 for n in range(1, 27) for violating in (True, False) for half in ("open", "held"))


def test_the_example_of_the_page_is_found_as_told() -> None:
    findings, _ = find(*said(EXAMPLE, "employee"), load_packs(shipped_packs()))
    assert [(f.rule_id, f.term, f.matched_text, f.start_cp, f.end_cp, f.via, f.suppressed_by) for f in findings] == [
        ("c01-guarantee", "保本保息", "保 本\u200b保.息", 9, 16, "folded", None),
        ("c01-principal-word", "保本", "保 本", 9, 12, "folded", "c01-principal-word/allow/保本保息"),
    ]
