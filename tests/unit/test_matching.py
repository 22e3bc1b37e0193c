"""The matcher: places, whose words, what suppresses, how many, and a slow search that must agree with it."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Sequence
from itertools import groupby
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.match.fold import fold, fold_map
from pipeline.match.lexicon import Lexicon, compile_packs
from pipeline.match.matching import MAX_FINDINGS, WINDOW, find, match_page
from pipeline.match.packfile import Pack, Rule, Title
from pipeline.records import Decision, Finding, Gated, GatedPage, Message, OpenedItem, PageRef, Part, PartyKind, Quote
from pipeline.segments import leftmost


def rule(*terms: str, **more: Any) -> Rule:
    given_: dict[str, Any] = {"id": "r", "category": "C01", "title": Title("甲", "a"), "severity": "high", "party": "any", "terms": terms}
    return Rule(**given_ | more)


def lexicon_of(*rules: Rule) -> Lexicon:
    return compile_packs([Pack(id="p", owner="o", reason="r", since=None, language="zh", rules=rules)])


def message_of(*texts: str, **more: Any) -> Message:
    parts = tuple(Part(f"part[{number}]", text) for number, text in enumerate(texts))
    fields: dict[str, Any] = {
        "msgid": "m", "kind": "message", "action": "send", "msgtype": "text", "sender_id": "a", "recipient_ids": ("b",), "room_id": None,
        "sent_at_ms": 1, "text": "\n".join(texts), "parts": parts,
    }  # fmt: skip
    return Message(**fields | more)


def decision_of(sender: PartyKind = "employee", **more: Any) -> Decision:
    fields: dict[str, Any] = {
        "fate": "archived", "consent": "agree", "source": "s", "rule": "1", "reason": "r", "lawful_basis": (), "sender_kind": sender,
        "direction": "outbound",
    }  # fmt: skip
    return Decision(**fields | more)


def found(lexicon: Lexicon, *texts: str) -> tuple[Finding, ...]:
    return find(message_of(*texts), decision_of(), lexicon)[0]


def places(findings: Sequence[Finding]) -> list[tuple[int, int, int, str, str]]:
    return [(f.part, f.start_cp, f.end_cp, f.term, f.via) for f in findings]


# --- places --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("terms", "texts", "expected"),
    [
        pytest.param(["保本"], ["这款保本"], [(0, 2, 4, "保本", "literal")], id="literal"),
        pytest.param(["保本"], ["a", "", "保本"], [(2, 0, 2, "保本", "literal")], id="the part is numbered"),
        pytest.param(["保本"], ["保", "本"], [], id="not across parts"),
        pytest.param(["保本"], ["😀𠮷保本"], [(0, 2, 4, "保本", "literal")], id="code points, not UTF-16 units"),
        pytest.param(["保本"], ["保\u200b 本"], [(0, 0, 4, "保本", "folded")], id="evasion, the whole stretch"),
        pytest.param(["保证收益"], ["保證收益"], [(0, 0, 4, "保证收益", "folded")], id="traditional"),
        pytest.param(["保證收益"], ["保证收益"], [(0, 0, 4, "保證收益", "folded")], id="a term listed in traditional"),
        pytest.param(["WhatsApp"], ["ＷＨＡＴＳＡＰＰ whatsapp WhatsApp"],
                     [(0, 0, 8, "WhatsApp", "folded"), (0, 9, 17, "WhatsApp", "folded"), (0, 18, 26, "WhatsApp", "literal")], id="case"),
        pytest.param(["保本保息", "保本", "保息"], ["保本保息"],
                     [(0, 0, 2, "保本", "literal"), (0, 0, 4, "保本保息", "literal"), (0, 2, 4, "保息", "literal")], id="nested"),
        pytest.param(["中国", "国人"], ["中国人"], [(0, 0, 2, "中国", "literal"), (0, 1, 3, "国人", "literal")], id="overlapping"),
        pytest.param(["哈哈"], ["哈哈哈"], [(0, 0, 2, "哈哈", "literal"), (0, 1, 3, "哈哈", "literal")], id="a term over itself"),
        pytest.param(["保證收益", "保证收益"], ["保证收益"], [(0, 0, 4, "保证收益", "literal")], id="one finding a place, literal first"),
        pytest.param(["foo", "FOO"], ["fOo"], [(0, 0, 3, "foo", "folded")], id="one finding a place, first listed"),
        pytest.param(["1", "10", "⑩"], ["⑩"], [(0, 0, 1, "⑩", "literal")], id="one character that folds to several"),
        pytest.param(["10", "1"], ["⑩"], [(0, 0, 1, "10", "folded")], id="the longer of two inside one character"),
        pytest.param(["+v"], ["加+v"], [(0, 1, 3, "+v", "literal")], id="a loose edge is found as written"),
        pytest.param(["+v"], ["+V"], [(0, 0, 2, "+v", "folded")], id="a loose edge is found folded where it stays"),
        pytest.param(["保本"], ["保,本", "保、本", "投保:本人", "保\n本", "本保"], [], id="clauses end"),
        pytest.param(["保本"], ["保", "", "本"], [], id="too short"),
        pytest.param(["保本"], ["保\ud83d本 保本"], [(0, 4, 6, "保本", "literal")], id="a lone surrogate is no trap"),
        pytest.param(["+v"], ["\ud83d加+v"], [(0, 2, 4, "+v", "literal")], id="nor for a loose edge"),
    ],
)  # fmt: skip
def test_places_are_code_points_of_the_part_as_written(terms: list[str], texts: list[str], expected: list[object]) -> None:
    assert places(found(lexicon_of(rule(*terms)), *texts)) == expected


def test_a_finding_carries_what_its_rule_says() -> None:
    [finding] = found(lexicon_of(rule("保本", id="x.y", category="C07", severity="low")), "保 本")
    assert finding == Finding(
        rule_id="x.y", category="C07", severity="low", party="employee", term="保本", matched_text="保 本", part=0, start_cp=0, end_cp=3,
        via="folded", suppressed_by=None,
    )  # fmt: skip


def test_two_rules_have_a_finding_each_at_one_place() -> None:
    assert [f.rule_id for f in found(lexicon_of(rule("保本", id="a"), rule("保本", id="b")), "保本")] == ["a", "b"]


def test_findings_come_in_order_of_part_start_rule_and_end() -> None:
    got = found(lexicon_of(rule("保本保", id="a"), rule("保本", "保本保息", id="b")), "x", "保本保息")
    assert [(f.part, f.start_cp, f.rule_id, f.end_cp) for f in got] == [(1, 0, "a", 3), (1, 0, "b", 2), (1, 0, "b", 4)]


def test_a_term_that_lies_over_the_edge_of_a_search_window_is_found_once() -> None:
    text = "一" * (WINDOW - 2) + "保本保息" + "一" * WINDOW + "保本"
    at = [(0, WINDOW - 2, WINDOW, "保本", "literal"), (0, WINDOW - 2, WINDOW + 2, "保本保息", "literal"),
          (0, 2 * WINDOW + 2, 2 * WINDOW + 4, "保本", "literal")]  # fmt: skip
    assert places(found(lexicon_of(rule("保本", "保本保息")), text)) == at


def test_a_recall_has_no_words() -> None:
    assert find(message_of("保本", kind="recall"), decision_of(), lexicon_of(rule("保本"))) == ((), 0)


# --- whose words ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("about", "sender", "party"),
    [
        ("employee", "employee", "employee"),
        ("employee", "robot", "robot"),
        ("employee", "external", None),
        ("employee", "unknown", "unknown"),
        ("external", "external", "external"),
        ("external", "employee", None),
        ("external", "robot", None),
        ("external", "unknown", "unknown"),
        ("any", "employee", "employee"),
        ("any", "external", "external"),
        ("any", "robot", "robot"),
        ("any", "unknown", "unknown"),
    ],
)
def test_a_rule_fires_on_the_words_of_its_party(about: str, sender: PartyKind, party: str | None) -> None:
    findings, _ = find(message_of("保本"), decision_of(sender), lexicon_of(rule("保本", party=about)))
    assert [f.party for f in findings] == ([party] if party else [])


@pytest.mark.parametrize(
    ("quote", "parties"),
    [
        pytest.param(Quote(0, 3, 5), ["employee", "quoted"], id="exactly the second"),
        pytest.param(Quote(0, 2, 9), ["employee", "quoted"], id="wholly within"),
        pytest.param(Quote(0, 4, 9), ["employee", "employee"], id="half within"),
        pytest.param(Quote(1, 0, 9), ["employee", "employee"], id="another part"),
    ],
)
def test_words_wholly_within_a_quotation_are_quoted(quote: Quote, parties: list[str]) -> None:
    findings, _ = find(message_of("保本。保本", quotes=(quote,)), decision_of(), lexicon_of(rule("保本", party="employee")))
    assert [f.party for f in findings] == parties


def test_quoted_words_fire_every_rule_since_their_speaker_is_not_known() -> None:
    message = message_of("保本，保本", quotes=(Quote(0, 0, 2),))
    findings, _ = find(message, decision_of("external"), lexicon_of(rule("保本", party="employee")))
    assert [(f.start_cp, f.party) for f in findings] == [(0, "quoted")]


@pytest.mark.parametrize(
    ("wanted", "came", "fires"),
    [("outbound", "outbound", True), ("outbound", "internal", False), ("outbound", "unknown", True), ("inbound", "outbound", False)],
)
def test_a_rule_for_one_direction_fires_there_and_where_it_is_unknown(wanted: str, came: str, fires: bool) -> None:
    findings, _ = find(message_of("保本"), decision_of(direction=came), lexicon_of(rule("保本", direction=wanted)))
    assert bool(findings) is fires


@pytest.mark.parametrize(("msgtype", "fires"), [("file", True), ("text", False)])
def test_a_rule_for_message_types_fires_only_in_them(msgtype: str, fires: bool) -> None:
    findings, _ = find(message_of("保本", msgtype=msgtype), decision_of(), lexicon_of(rule("保本", msgtypes=("file", "link"))))
    assert bool(findings) is fires


# --- suppression ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "excused"),
    [
        pytest.param("非保本产品", [True], id="covers"),
        pytest.param("保本型基金", [True], id="overlaps at the front"),
        pytest.param("非 保\u200b本", [True], id="the phrase is folded too"),
        pytest.param("非，保本", [False], id="not across a clause"),
        pytest.param("非保本产品，但是保本", [True, False], id="only the place it lies over"),
        pytest.param("非保本保本型", [True, True], id="two phrases"),
        pytest.param("保本", [False], id="no phrase"),
    ],
)
def test_an_allow_phrase_excuses_the_hit_it_lies_over(text: str, excused: list[bool]) -> None:
    findings = found(lexicon_of(rule("保本", allow=("非保本", "保本型"))), text)
    assert [f.suppressed_by is not None for f in findings] == excused


@pytest.mark.parametrize(
    ("allow", "by"),
    [
        pytest.param("大", None, id="within the hit"),
        pytest.param("保本", None, id="at the end of the hit"),
        pytest.param("大保本", "r/allow/大保本", id="the hit itself"),
        pytest.param("本型", "r/allow/本型", id="over its end"),
        pytest.param("型基", None, id="beside it"),
    ],
)
def test_an_allow_phrase_within_a_longer_hit_excuses_nothing(allow: str, by: str | None) -> None:
    assert [f.suppressed_by for f in found(lexicon_of(rule("大保本", allow=(allow,))), "大保本型基金")] == [by]


def test_an_allow_phrase_of_one_rule_does_not_excuse_another() -> None:
    findings = found(lexicon_of(rule("保本", id="a", allow=("非保本",)), rule("保本", id="b")), "非保本")
    assert [(f.rule_id, f.suppressed_by) for f in findings] == [("a", "a/allow/非保本"), ("b", None)]


def test_a_negation_suppresses_only_where_the_rule_says_so() -> None:
    findings = found(lexicon_of(rule("保本", id="a", negations=True), rule("保本", id="b")), "我们不能承诺保本")
    assert [(f.rule_id, f.suppressed_by) for f in findings] == [("a", "a/negation/不能"), ("b", None)]


def test_of_one_sentence_the_negated_promise_is_suppressed_and_the_true_one_stands() -> None:
    findings = found(lexicon_of(rule("保本", negations=True)), "合同里不写保本。实际就是保本")
    assert [f.suppressed_by for f in findings] == ["r/negation/不", None]


# --- how many ------------------------------------------------------------------------------------------------------


def test_a_rule_keeps_a_thousand_findings_of_a_message_and_counts_the_rest() -> None:
    findings, dropped = find(message_of("保本，" * 1500, "返佣"), decision_of(), lexicon_of(rule("保本", id="a"), rule("返佣", id="b")))
    assert (sum(f.rule_id == "a" for f in findings), sum(f.rule_id == "b" for f in findings), dropped) == (1000, 1, 500)


def test_suppressed_findings_do_not_crowd_out_one_that_counts() -> None:
    findings, dropped = find(message_of("不保本。" * 1500 + "保本"), decision_of(), lexicon_of(rule("保本", negations=True)))
    assert (len(findings), dropped) == (MAX_FINDINGS, 501)
    assert [f.start_cp for f in findings if f.suppressed_by is None] == [6000]


@pytest.mark.slow
def test_a_message_full_of_hits_ends_in_bounded_time_and_says_what_it_left_out() -> None:
    rules = rule("保本", "保本保息保息", negations=True)  # windows overlap by the longer one: nothing may be counted in both
    findings, dropped = find(message_of("不保本" * 60_000), decision_of(), lexicon_of(rules))
    assert (len(findings), dropped) == (1000, 59_000)


# --- pages ---------------------------------------------------------------------------------------------------------


def test_only_archived_records_are_searched() -> None:
    fates = ["archived", "pending", "withheld", "control"]
    items = tuple(
        Gated(OpenedItem(n, n, "m", 1, b"", b"", b""), message_of("保本"), decision_of(fate=fate)) for n, fate in enumerate(fates)
    )
    ref = PageRef(corp_id="c", page="0", uri="u", size=1, source="pull", name="n", captured_at_ms=0)
    lexicon = lexicon_of(rule("保本"))
    page = match_page(GatedPage(ref, items, (), 7), lexicon=lexicon)
    assert [len(item.findings) for item in page.items] == [1, 0, 0, 0]
    assert [item.gated for item in page.items] == list(items)
    assert (page.register_version, page.lexicon_version) == (7, lexicon.version)


# --- for showing ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("longest", "chosen"),
    [pytest.param(True, [(0, 0, 4), (1, 0, 2)], id="longest"), pytest.param(False, [(0, 0, 2), (0, 2, 4), (1, 0, 2)], id="first")],
)
def test_the_findings_to_show_do_not_overlap(longest: bool, chosen: list[object]) -> None:
    findings = found(lexicon_of(rule("保本", "本保", "保息", "保本保息")), "保本保息", "保本")
    assert [(f.part, f.start_cp, f.end_cp) for f in leftmost(findings, longest=longest)] == chosen


# --- a slow search that must agree ---------------------------------------------------------------------------------

LETTERS = st.sampled_from("保本息三七37險险證𠮷aBb1Ａé \u3000._+，。\n①⑫㈤％%\u200b\ufe0f\u0301\u20e3😀👍🏻ßﬁ…\U000e0041")
TEXTS = st.text(LETTERS, max_size=24)
TERMS = st.text(LETTERS, min_size=1, max_size=4)


def slow_search(terms: Sequence[str], text: str) -> set[tuple[int, int, str]]:
    """Every place as (start, end, via): try every term at every position, as written, folded, in digits, and with characters repeated."""
    folded, origins = fold_map(text)
    hits: dict[tuple[int, int], str] = {}
    for term in terms:
        for wanted in {fold(term), fold(term).translate(DIGITS)} - {""}:
            for form in (folded, folded.translate(DIGITS)):
                hits |= {(origins[at], origins[at + len(wanted) - 1] + 1): "folded" for at in range(len(form)) if form.startswith(wanted, at)}
            for at in range(len(folded)):
                if stretch := repeating(wanted).match(folded, at):
                    hits[origins[at], origins[stretch.end() - 1] + 1] = "folded"
    for term in terms:
        hits |= {(at, at + len(term)): "literal" for at in range(len(text)) if text.startswith(term, at)}
    return {(start, end, via) for (start, end), via in hits.items()}


DIGITS = str.maketrans("三七", "37")


def repeating(term: str) -> re.Pattern[str]:
    """The term, its letters inside as often as it has them or more often."""
    runs = [(char, len(list(run))) for char, run in groupby(term)]
    inner = [f"{re.escape(char)}{{{count},{'' if char.isalpha() else count}}}" for char, count in runs[1:-1]]
    ends = [f"{re.escape(char)}{{{count}}}" for char, count in (runs[0], runs[-1])]
    return re.compile("".join([ends[0], *inner, ends[1]] if len(runs) > 1 else [ends[0]]))


@given(st.lists(TERMS, min_size=1, max_size=5, unique=True), TEXTS, st.data())
def test_the_matcher_agrees_with_the_slow_search(terms: list[str], text: str, data: st.DataObject) -> None:
    for term in data.draw(st.lists(st.sampled_from(terms), max_size=3)):  # texts that hold the terms, not only such as might
        at = data.draw(st.integers(0, len(text)))
        text = text[:at] + term + text[at:]
    got = found(lexicon_of(rule(*terms)), text)
    assert {(f.start_cp, f.end_cp, f.via) for f in got} == slow_search(terms, text)
    assert len({(f.start_cp, f.end_cp) for f in got}) == len(got)
    assert all(f.matched_text == text[f.start_cp : f.end_cp] for f in got)
    assert all(f.term in terms and (f.term == f.matched_text) == (f.via == "literal") for f in got)


@given(st.lists(TERMS, min_size=1, max_size=5, unique=True), TEXTS)
def test_a_rule_finds_the_same_whatever_other_rules_there_are(terms: list[str], text: str) -> None:
    together = found(lexicon_of(*(rule(term, id=f"r{n}") for n, term in enumerate(terms))), text)
    alone = [msgspec.structs.replace(f, rule_id=f"r{n}") for n, term in enumerate(terms) for f in found(lexicon_of(rule(term)), text)]
    assert sorted(together, key=repr) == sorted(alone, key=repr)


# --- speed ---------------------------------------------------------------------------------------------------------


@pytest.mark.bench
def test_an_ordinary_message_without_hits_takes_about_eight_microseconds() -> None:
    dice = random.Random(3)
    ideographs = [chr(point) for point in range(0x4E00, 0x5E00)]
    lexicon = lexicon_of(rule(*{"".join(dice.choices(ideographs, k=dice.randint(2, 6))) for _ in range(5000)}))
    message, decision = message_of("明天下午三点我们在会议室，开会讨论一下季度预算请大家准时参加！"), decision_of()
    assert find(message, decision, lexicon) == ((), 0)

    def once() -> float:
        begun = time.process_time()
        for _ in range(2000):
            find(message, decision, lexicon)
        return (time.process_time() - begun) / 2000

    assert min(once() for _ in range(5)) < 16e-6  # twice the budget: the machine is shared
