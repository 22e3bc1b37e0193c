"""The figures of docs/matching.md are those of the packs as they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.match.lexicon import load_packs, shipped_packs
from tests.labelled import score

pytestmark = pytest.mark.slow
PAGE = Path(__file__).parents[2] / "docs" / "matching.md"


def test_the_page_states_recall_and_precision_per_category() -> None:
    page = PAGE.read_text("utf-8").splitlines()
    assert [row for row in score.table(load_packs(shipped_packs())) if row not in page] == []


def test_the_page_states_how_many_innocent_sentences_are_charged() -> None:
    innocent, charged, high = score.charged(load_packs(shipped_packs()), score.sentences("held"))
    assert f"Of the {innocent} innocent sentences of that half {charged} are charged with something, {high} of them" in PAGE.read_text("utf-8")
