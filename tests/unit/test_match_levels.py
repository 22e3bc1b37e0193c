"""The folds that only some texts need: variants, repeats, digit words, sound; each against what a person would say, and a slow oracle."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.match import levels
from pipeline.match.fold import ALL, fold, folding
from pipeline.match.levels import base_map, runs, variants_map, with_variants, without_repeats
from pipeline.match.lexicon import Lexicon, compile_packs
from pipeline.match.matching import find
from pipeline.match.packfile import Pack, Rule, Title
from pipeline.match.pinyin import sound, sound_map, syllables_of
from pipeline.match.tables import BITS, WORD_TABLES, entries
from pipeline.records import Decision, Message, Part


def lexicon_of(*terms: str, folds: dict[str, bool] | None = None, **more: Any) -> Lexicon:
    rule = Rule(id="r", category="C01", title=Title("甲", "a"), severity="high", party="any", terms=terms, **more)
    return compile_packs([Pack(id="p", owner="o", reason="r", since=None, language="zh", rules=(rule,), folds=folds or {})])


def places(lexicon: Lexicon, text: str) -> list[tuple[str, str]]:
    """(what stands there, via) of every finding."""
    message = Message(
        msgid="m", kind="message", action="send", msgtype="text", sender_id=None, recipient_ids=(), room_id=None, sent_at_ms=None, text=text,
        parts=(Part("text.content", text),),
    )  # fmt: skip
    decision = Decision(fate="archived", consent="agree", source="s", rule="1", reason="r", lawful_basis=(), sender_kind="employee")
    return [(f.matched_text, f.via) for f in find(message, decision, lexicon)[0]]


@pytest.mark.parametrize(
    ("term", "text", "expected"),
    [
        pytest.param("加微信", "加徽信", [("加徽信", "variant")], id="look-alike"),
        pytest.param("加微信", "➕薇❤️吧", [("➕薇❤️"[:-1], "variant")], id="emoji before symbols fall"),
        pytest.param("返佣金", "有饭佣 金", [("饭佣 金", "variant")], id="homophone, then a separator"),
        pytest.param("加微信", "加绿泡泡", [("加绿泡泡", "variant")], id="code word"),
        pytest.param("信任", "亻言任", [("亻言任", "variant")], id="split character"),
        pytest.param("微信", "微信和安徽", [("微信", "literal")], id="a variant elsewhere changes nothing here"),
        pytest.param("微信", "安徽人", [], id="a look-alike alone is no term"),
        pytest.param("telegram", "tеlеgram", [("tеlеgram", "variant")], id="Cyrillic letters"),
        pytest.param("稳赚不赔", "穩賺不陪", [("穩賺不陪", "variant")], id="traditional and homophone"),
        pytest.param("保本保息", "保保本本保息", [("保本本保息", "folded")], id="repeats, the shortest stretch"),
        pytest.param("天天涨", "今天涨停", [], id="a term that repeats is not met by one"),
        pytest.param("天天涨停", "天天涨涨停", [("天天涨涨停", "folded")], id="repeats inside"),
        pytest.param("100万", "1000万", [], id="digits are never repeats"),
        pytest.param("送300元", "送叁佰元送三〇〇元", [("送三〇〇元", "folded")], id="digit words"),
        pytest.param("三七分", "咱们37分", [("37分", "folded")], id="digits for listed words"),
        pytest.param("稳赚不赔", "稳zhuan不赔", [], id="sound is off unless asked for"),
    ],
)
def test_a_term_is_found_however_it_is_written(term: str, text: str, expected: list[tuple[str, str]]) -> None:
    assert places(lexicon_of(term), text) == expected


@pytest.mark.parametrize(
    ("term", "text", "expected"),
    [
        pytest.param("稳赚不赔", "稳zhuan不赔", [("稳zhuan不赔", "pinyin")], id="mixed"),
        pytest.param("稳赚不赔", "wen zhuan bu pei", [("wen zhuan bu pei", "pinyin")], id="spaced"),
        pytest.param("稳赚不赔", "wenzhuanbupei哦", [("wenzhuanbupei", "pinyin")], id="in one run"),
        pytest.param("保本保息", "宝本保熄", [("宝本保熄", "pinyin")], id="half of the characters are the term's"),
        pytest.param("保本保息", "报奔抱吸", [], id="none is"),
        pytest.param("稳赚不赔", "稳赚不赔", [("稳赚不赔", "literal")], id="itself"),
        pytest.param("返佣", "fan佣", [], id="two syllables"),
        pytest.param("保本保息", "the women long time", [], id="English"),
    ],
)
def test_what_sounds_alike_is_found_where_a_rule_asks_for_it(term: str, text: str, expected: list[tuple[str, str]]) -> None:
    assert places(lexicon_of(term, variants=("pinyin",)), text) == expected


def test_a_short_term_is_compared_by_sound_where_it_is_listed() -> None:
    assert places(lexicon_of("返佣", variants=(), pinyin_short=("返佣",)), "fan佣") == [("fan佣", "pinyin")]


@pytest.mark.parametrize(
    ("folds", "term", "text"),
    [
        pytest.param({"case": False}, "WhatsApp", "whatsapp", id="case"),
        pytest.param({"simplified": False}, "保证", "保證", id="simplified"),
        pytest.param({"separators": False}, "保本", "保 本", id="separators"),
        pytest.param({"width": False}, "ab", "ａｂ", id="width"),
        pytest.param({"invisible": False}, "保本", "保\u200b本", id="invisible"),
        pytest.param({"enclosed": False, "width": False}, "138", "①③⑧", id="enclosed"),
        pytest.param({"digits": False}, "37分", "三七分", id="digits"),
        pytest.param({"repeats": False}, "保本息", "保本本息", id="repeats"),
    ],
)
def test_each_fold_can_be_switched_off_for_a_pack(folds: dict[str, bool], term: str, text: str) -> None:
    assert len(places(lexicon_of(term), text)) == 1
    assert places(lexicon_of(term, folds=folds), text) == []


@pytest.mark.parametrize("name", WORD_TABLES)
def test_a_table_is_used_by_rules_that_list_it_only(name: str) -> None:
    sample = {"lookalikes": ("加微信", "加薇信"), "homophones": ("返佣金", "饭佣金"), "codewords": ("加微信", "加某信"), "emoji": ("加微信", "➕微信"),
              "splits": ("信任你", "亻言任你")}[name]  # fmt: skip
    assert places(lexicon_of(sample[0], variants=(name,)), sample[1]) == [(sample[1], "variant")]
    others = tuple(other for other in WORD_TABLES if other != name)
    assert places(lexicon_of(sample[0], variants=others), sample[1]) == []


@pytest.mark.parametrize("name", [*WORD_TABLES, "digits"])
def test_tables_hold_folded_keys_and_change_something(name: str) -> None:
    for key, meant in entries(name).items():
        assert ALL.chars(key) != ALL.fold(meant) and len(ALL.chars(key)) >= 1, key


@pytest.mark.parametrize(
    ("run", "lengths"),
    [
        pytest.param("wenzhuan", [3, 5], id="two"),
        pytest.param("xian", [4], id="longest first"),
        pytest.param("fangan", [4, 2], id="greedy where both work"),
        pytest.param("whatsapp", None, id="no pinyin"),
        pytest.param("n" * 49, None, id="too long"),
        pytest.param("b", None, id="one letter"),
    ],
)
def test_latin_runs_are_syllables_only_when_all_of_them_are(run: str, lengths: list[int] | None) -> None:
    assert syllables_of(run) == lengths


# --- maps ----------------------------------------------------------------------------------------------------------

MIXED = st.text(st.sampled_from("保本息薇徽信微返佣饭三七37宝➕❤️绿泡泡亻言任險😀 .，。aаwenzhuan①\u200b\ue000"), max_size=30)


@given(MIXED)
@settings(max_examples=60)
def test_every_level_is_mapped_as_it_is_made(text: str) -> None:
    mapped = variants_map(text, ALL)
    assert mapped.text == with_variants(ALL.chars(text), ALL)
    base = base_map(text, ALL)
    sounded = sound_map(base)
    assert sounded.text == sound(base.text)
    for level in (base, mapped, sounded):
        ends = [level.end(at) for at in range(len(level.text))]
        assert len(level.text) == len(level.starts)
        assert all(0 <= start < end <= len(text) for start, end in zip(level.starts, ends, strict=True))
        assert sorted(level.starts) == list(level.starts) and sorted(ends) == ends
    assert "".join(base.text[first] for first, _ in runs(base.text)) == without_repeats(base.text)


@given(MIXED, st.sets(st.sampled_from(("invisible", "enclosed", "width", "case", "simplified", "separators"))))
@settings(max_examples=60)
def test_any_choice_of_folds_has_a_map(text: str, names: set[str]) -> None:
    some = folding(frozenset(names))
    folded, origins = some.fold_map(text)
    assert folded == some.fold(text)
    assert len(folded) == len(origins) and sorted(origins) == origins


def slow_variants(terms: Sequence[str], text: str) -> set[tuple[str, int]]:
    """What a loop over every stretch of the text finds: a stretch that a table changes and that then, folded, is the term."""
    found = set()
    for term in terms:
        for start in range(len(text)):
            for end in range(start + 1, len(text) + 1):
                stretch = text[start:end]
                if fold(stretch) != fold(term) and replaced(stretch) == fold(term) and not _trimmable(stretch, term):
                    found.add((stretch, start))
    return found


def replaced(stretch: str) -> str:
    words = {ALL.chars(k): ALL.fold(v) for name in WORD_TABLES for k, v in entries(name).items()}
    text = "".join(words.get(char, char) if len(char) == 1 else char for char in ALL.chars(stretch))
    text = ALL.drop(text)
    longer = sorted((k for k in words if len(k) > 1), key=len, reverse=True)
    return re.sub("|".join(map(re.escape, longer)), lambda m: words[m.group()], text)


def _trimmable(stretch: str, term: str) -> bool:
    """Whether the same holds without the first or the last character: then it is not the shortest stretch."""
    return replaced(stretch[1:]) == fold(term) or replaced(stretch[:-1]) == fold(term)


WORDS = ["微信", "返佣", "保本保息", "信任"]


@pytest.mark.slow
@given(st.lists(st.sampled_from(["微", "信", "薇", "徽", "返", "佣", "饭", "保本", "保息", "宝本宝息", "亻言", "任", "绿泡泡", " ", "，", "的"]), max_size=7).map("".join))
@example("绿泡泡任")  # 微信 put in for a code word, then 任: 信任 stands nowhere
@settings(max_examples=40, deadline=None)
def test_variants_agree_with_a_slow_search(text: str) -> None:
    lexicon = lexicon_of(*WORDS)
    message = [(f, via) for f, via in places(lexicon, text) if via == "variant"]
    assert {stretch for stretch, _ in message} == {stretch for stretch, _ in slow_variants(WORDS, text)}


def test_bits_tell_tables_apart() -> None:
    assert len(set(BITS.values())) == len(BITS) == 6


@settings(max_examples=60, deadline=None)
@given(st.text(st.sampled_from("保保保本aab天天112  。,\u200b\U0001f600"), max_size=40), st.booleans())
def test_long_texts_lose_their_repeats_as_short_ones_do(text: str, is_mapped: bool) -> None:
    base = base_map(text * 40, ALL) if is_mapped else levels.Mapped(text * 40, range(len(text) * 40))
    as_ever = [levels.without_repeats(base.text), levels.once_map(base)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(levels, "MANY", 10**9)
        slow = [levels.without_repeats(base.text), levels.once_map(base)]
    assert as_ever == slow
