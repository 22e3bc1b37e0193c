"""Many texts searched as one: what comes out is what each gives by itself, whatever stands beside it and however it is written."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import pii, pii_many
from pipeline.match import arrays, levels, pinyin, screen
from pipeline.match.fold import FOLDS, folding
from pipeline.match.lexicon import Lexicon, compile_packs, load_packs, shipped_packs
from pipeline.match.matching import examine, examine_all
from pipeline.match.packfile import Pack, Rule, Title
from pipeline.match.searching import search
from pipeline.records import Decision, Message, Part

LETTERS = "保本息三七37險险證证微薇信加vV卡號码密pwd天涨a b1Ａé.，。\n\r①㈤％\u200b\ufe0f\u0301😀🄀🅰ﬁ…不能吗“”说\ud800\u3000-_"
TEXTS = st.lists(st.text(st.sampled_from(LETTERS), max_size=16), min_size=8, max_size=14)


def rule(number: int, *terms: str, **more: Any) -> Rule:
    given_: dict[str, Any] = {"id": f"r{number}", "category": "C01", "title": Title("甲", "a"), "severity": "high", "party": "any", "terms": terms}
    return Rule(**given_ | more)


def pack(name: str, *rules: Rule, **more: Any) -> Pack:
    return Pack(**{"id": name, "owner": "o", "reason": "r", "since": None, "language": "zh", "rules": rules} | more)


LEXICON = compile_packs([
    pack("all", rule(1, "保本", "保本保息", "天天涨", "3.7", negations=True, questions=True), rule(2, "加微信", "微信", allow=("加微信卡",)),
         rule(3, "保证", variants=("pinyin", "lookalikes")), rule(4, patterns=("加[^,]{0,3}微", "[0-9]{2}7", "b.?1"))),
    pack("secrets", rule(5, pii=("secret",))),
    pack("loose", rule(6, "本息", "a b", "-本"), rule(7, pii=("mobile", "bank_card")), folds={"width": False, "enclosed": False, "separators": True}),
    pack("bare", rule(8, "保 本", "V信"), folds=dict.fromkeys(FOLDS, False) | {"digits": False, "repeats": False}),
])  # fmt: skip
DECISION = Decision(
    fate="archived", consent="agree", source="s", rule="1", reason="r", lawful_basis=(), sender_kind="employee", direction="outbound",
)  # fmt: skip


def message(*texts: str) -> Message:
    return Message(
        msgid="m", kind="message", action="send", msgtype="text", sender_id="a", recipient_ids=("b",), room_id=None, sent_at_ms=1, text="",
        parts=tuple(Part("", text) for text in texts),
    )  # fmt: skip


def together(texts: list[str], lexicon: Lexicon) -> list[object]:
    return list(examine_all([(message(text), DECISION) for text in texts], lexicon))


@settings(max_examples=150, deadline=None)
@given(TEXTS)
def test_what_many_texts_show_is_what_each_shows(texts: list[str]) -> None:
    assert together(texts, LEXICON) == [examine(message(text), DECISION, LEXICON) for text in texts]


def test_the_shipped_packs_find_the_same_in_sentences_however_they_are_joined() -> None:
    packs = load_packs(shipped_packs())
    sentences = [e if isinstance(e, str) else e.text for r in packs.rules for e in (*r.examples.must_match, *r.examples.must_not_match)]
    alone = {sentence: examine(message(sentence), DECISION, packs) for sentence in sentences}
    random.Random(7).shuffle(sentences)
    assert together(sentences, packs) == [alone[sentence] for sentence in sentences]
    assert sum(bool(found.findings) for found in alone.values()) > 400


def test_parts_recalls_and_empty_texts_keep_their_numbers() -> None:
    recall = Message(**{name: getattr(message("保本"), name) for name in Message.__struct_fields__} | {"kind": "recall"})
    said = [message("您好", "", "保本"), recall, message(), message("", "保本"), *(message("您好") for _ in range(8)), message("x" * 5_000 + "保本")]
    found = [[(f.rule_id, f.part, f.start_cp) for f in e.findings if f.term == "保本"] for e in examine_all([(m, DECISION) for m in said], LEXICON)]
    assert found == [[("r1", 2, 0)], [], [], [("r1", 1, 0)], *([] for _ in range(8)), [("r1", 0, 5_000)]]


@pytest.mark.parametrize("name", ["all", "secrets", "loose", "bare"])
def test_no_text_is_passed_over_in_which_something_is_found(name: str) -> None:
    (group,) = compile_packs([one for one in LEXICON.packs if one.id == name]).groups
    dice = random.Random(name)
    pieces = [*LETTERS * 3, "保本", "微 信", "加v", "V信", "保 本", "天天涨", "bao证", "本本息", "-本", "密码：a1b2", "13800138000", "ＣＶＶ 123"]
    texts = ["".join(dice.choices(pieces, k=dice.randint(0, 8))) for _ in range(4_000)]
    named = {number for number, _ in screen.suspects([group], texts)}
    found = {number for number, text in enumerate(texts) if search(group, text)}
    assert found <= named
    assert len(found) > 40 and len(named) < 0.6 * len(texts)


@settings(max_examples=150, deadline=None)
@given(TEXTS, st.sets(st.sampled_from(FOLDS)))
def test_texts_fold_together_as_they_fold_alone(texts: list[str], names: set[str]) -> None:
    chosen = folding(frozenset(names))
    page = screen._fold(arrays.joined(texts), chosen)
    odd = screen._odd(page)
    for number, text in enumerate(texts):
        if number not in odd:
            folded, origins = chosen.fold_map(text)
            assert (page.base(number).text, list(page.base(number).origins)) == (folded, origins)
            assert page.of(number) == chosen.fold(text)


@given(st.text(st.sampled_from("保本aab天天\n三"), max_size=12))
def test_repeats_and_sounds_are_told_as_text_by_text(text: str) -> None:
    codes = arrays.joined([text]).codes[:-1]
    letters = np.array([levels.repeats_possible(char * 2) for char in text], np.bool_)
    kept = "".join(char for char, again in zip(text, arrays.repeated(codes, letters).tolist(), strict=True) if not again)
    assert kept == levels.without_repeats(text)
    if text.isascii() is False and not any("a" <= char <= "z" for char in text):
        assert screen._sound_table().of(arrays.joined([text])).text()[:-1] == pinyin.sound(text)


DIGITS = "13800138000 6222021234567894 11010519491231002X 幺三八零零幺三八零零零 密码 pwd: a1b2 验证码482913 ＣＶＶ１２３ a@b.cn 保单号AB12345678 有效期 09/27 ſ"


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(st.sampled_from([*DIGITS.split(" "), *"您好，：Ａ１"]), max_size=6).map("".join), max_size=6))
def test_personal_data_are_found_in_many_texts_as_in_each(texts: list[str]) -> None:
    assert {number for number, text in enumerate(texts) if pii.find(text)} <= set(pii_many.possible(arrays.joined(texts)))
    several: list[set[pii.Kind]] = [{"secret"}, {"mobile", "id_card"}]
    for kinds in several:
        wanted = {number for number, text in enumerate(texts) if any(place.kind in kinds for place in pii.find(text))}
        assert wanted <= set(pii_many.possible(arrays.joined(texts), kinds=kinds))


@pytest.mark.parametrize("around", [3, 15, 16, 40], ids=["few", "last that are few", "first that are many", "many"])
@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        pytest.param("我的手机13800138000", True, id="mobile"), pytest.param("您好，明天见", False, id="nothing"), pytest.param("2026年9月", False, id="year"),
        pytest.param("您好" * 3_000 + "13800138000", True, id="at the end of a long text"), pytest.param("", False, id="empty"),
        pytest.param("密码是 a1b2c3", True, id="secret"),
    ],
)  # fmt: skip
def test_a_text_with_personal_data_is_named_among_many(text: str, wanted: bool, around: int) -> None:
    assert bool(pii.find(text)) is wanted
    found = pii_many.suspects([*["您好"] * around, text])
    assert around in found or not wanted
    assert around < 16 or set(found) <= {around}


def test_a_firms_own_patterns_are_asked_of_texts_without_digits_in_a_row() -> None:
    own = pii.compiled(["P[A-Z]-[0-9]-[A-Z]"])
    texts = ["您好", "保单 PX-7-Q", "您好"]
    assert [bool(pii.find(text, own)) for text in texts] == [False, True, False]
    assert pii_many.possible(arrays.joined(texts), policies=True) == [1]
