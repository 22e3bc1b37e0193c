"""The demonstration's words: what is typed beside a planted line stands in it, and innocent lines hold none of it."""

from __future__ import annotations

import random
import re

import pytest
from stdnum import luhn
from stdnum.cn import ric

from pipeline.demo import chatter, messages
from pipeline.demo.chatter import Group, Planted

GROUPS: tuple[Group, ...] = ("violations", "evasive", "near_misses", "customer_words")
PLANTED = [line for group in GROUPS for line in chatter.planted(group)]
LITERAL = [line for line in PLANTED if line.group != "evasive"]
VOCABULARY = {term for group in GROUPS[:1] + GROUPS[2:] for line in chatter.planted(group) for term in line.terms}
INNOCENT = [turn.words for talk in chatter.talks() for turn in talk.turns]


@pytest.mark.parametrize("line", LITERAL, ids=lambda line: line.text[:12])
def test_each_typed_phrase_stands_in_its_line_exactly_once_and_no_other_phrase_does(line: Planted) -> None:
    assert {term: line.text.count(term) for term in VOCABULARY if term in line.text} == dict.fromkeys(line.terms, 1)


@pytest.mark.parametrize("line", chatter.planted("evasive"), ids=lambda line: line.text[:12])
def test_an_evasive_line_does_not_hold_the_phrase_it_means(line: Planted) -> None:
    assert line.means and not line.terms
    assert set(line.means) <= VOCABULARY
    assert not [term for term in VOCABULARY if term in line.text]


def test_innocent_lines_hold_no_planted_phrase() -> None:
    assert not [(term, words) for words in INNOCENT for term in VOCABULARY if term in words]


def test_slots_bring_no_planted_phrase_and_leave_no_brace() -> None:
    rng = random.Random(3)
    names = {"cust": "王女士", "emp": "小赵", "ename": "赵"}
    for words in [*INNOCENT, *(line.text for line in PLANTED)]:
        for _ in range(20):
            filled, _ = chatter.fill(words, rng, names)
            assert "{" not in filled
            assert {t for t in VOCABULARY if t in filled} == {t for t in VOCABULARY if t in words}


def test_every_category_from_c01_to_c22_has_violations() -> None:
    assert {line.category for line in chatter.planted("violations")} == {f"C{n:02d}" for n in range(1, 23)}


def test_every_kind_of_message_occurs_in_the_talks() -> None:
    assert {turn.kind for talk in chatter.talks() for turn in talk.turns} == set(messages.KINDS)


def test_every_turn_has_a_speaker_that_its_place_knows() -> None:
    speakers = {"customer": "EC", "colleague": "EF", "customer_room": "EFCDB", "internal_room": "EFB"}
    assert not [(talk.at, turn) for talk in chatter.talks() for turn in talk.turns if turn.speaker not in speakers[talk.at]]


@pytest.mark.parametrize(
    ("line", "kind", "words"),
    [
        pytest.param("E 你好 世界", "text", "你好 世界", id="text keeps its spaces"),
        pytest.param("E @file 说明.pdf", "file", "说明.pdf", id="a kind with words"),
        pytest.param("C @emotion", "emotion", "", id="a kind without words"),
        pytest.param("E @所有人 开会", "text", "@所有人 开会", id="a mention is text"),
        pytest.param("B @markdown **提醒**\\n> 一条", "markdown", "**提醒**\n> 一条", id="a typed line break"),
    ],
)
def test_a_line_of_the_data_files_is_read_as_a_turn(line: str, kind: str, words: str) -> None:
    turn = chatter.turn(line)
    assert (turn.kind, turn.words) == (kind, words)


def test_personal_details_are_well_formed_and_belong_to_nobody() -> None:
    rng = random.Random(5)
    for _ in range(200):
        filled, details = chatter.fill("{phone} {idcard} {card} {polno}", rng, {})
        assert filled == " ".join(d.value for d in details)
        phone, idcard, card, policy = (d.value for d in details)
        assert re.fullmatch(r"1380000\d{4}", phone)
        assert re.fullmatch(r"999999\d{11}[0-9X]", idcard) and ric.calc_check_digit(idcard) == idcard[-1]
        assert re.fullmatch(r"620000\d{13}", card) and luhn.is_valid(card)
        assert re.fullmatch(r"DEMO\d{12}", policy)
