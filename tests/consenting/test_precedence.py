"""The table of precedence: one function, the same table in docs/consent.md, and no way past a hold."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipeline import words
from pipeline.consenting.precedence import COVERS, OCCASIONS, Outcome, outcome, strongest

DOC = Path(__file__).parents[2] / "docs" / "consent.md"


def told() -> dict[tuple[str, str, str], str]:
    """The cells of the page's table, by (occasion, withdrawal, cover)."""
    found = {}
    for line in DOC.read_text("utf-8").split("## Precedence")[1].splitlines():
        row = re.fullmatch(r"\| (\w+)(?: \(`(\w+)`\))? \| (.+) \| (.+) \| (.+) \|", line)
        if row and row[1] in OCCASIONS:
            for cover, cell in zip(COVERS, row.groups()[2:], strict=True):
                found[row[1], row[2] or "", cover] = cell
    return found


def test_the_page_shows_what_the_function_says() -> None:
    page = told()
    assert len(page) == 18
    for (occasion, withdrawal, cover), cell in page.items():
        made = outcome(occasion, cover, withdrawal=withdrawal or "keep")  # type: ignore[arg-type]  # words of the page
        assert cell == f"{made.state}, {made.removal}", (occasion, withdrawal, cover)


@pytest.mark.parametrize("occasion", OCCASIONS)
def test_nothing_is_removed_or_destroyed_under_a_hold(occasion: str) -> None:
    made = outcome(occasion, "hold")  # type: ignore[arg-type]  # one of the occasions
    assert made.state != "removed" and made.removal in ("waits_for_hold", "refused") and made.because == "precedence.hold"


def test_what_was_refused_before_it_was_sent_is_in_no_view_whatever_holds() -> None:
    assert {outcome("refused_before_sending", c).state for c in COVERS} == {"never_stored"}


def test_a_hold_beats_a_statutory_period() -> None:
    assert strongest(["statutory", "none", "hold"]) == "hold"
    assert strongest(["none", "statutory"]) == "statutory"
    assert strongest([]) == "none"


def test_every_reason_has_words() -> None:
    for occasion in OCCASIONS:
        for cover in COVERS:
            made: Outcome = outcome(occasion, cover)
            assert words.say(made.because, "zh") and words.say(made.because, "en")
