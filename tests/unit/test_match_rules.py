"""Rules: neighbours, expressions, validity, questions, reported words, disclosures, and what several messages show together."""

from __future__ import annotations

import datetime
from itertools import combinations
from typing import Any

import msgspec
import pytest
from ahocorasick_rs import AhoCorasick
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import UsageError
from pipeline.match import history, judge, proof
from pipeline.match.context import Across, Turn, across, affirmation
from pipeline.match.fold import fold_map
from pipeline.match.lexicon import Excuse, Lexicon, compile_packs, load_packs, said
from pipeline.match.matching import examine, find
from pipeline.match.negation import negation_before
from pipeline.match.packfile import PackSource, read_pack
from pipeline.records import Direction, PartyKind
from pipeline.scripts.covering import ApprovedTexts
from pipeline.scripts.texts import ApprovedText

HEAD = "id: p\nowner: o\nreason: r\nsince: 2026-01-01\nlanguage: zh\n"
RULE = "rules:\n  - id: r\n    category: C01\n    title: {zh: 甲, en: a}\n    severity: high\n    party: employee\n"
DAY_MS = 86_400_000


def source(rule: str, head: str = HEAD) -> PackSource:
    return PackSource("p.yaml", (head + RULE + "".join(f"    {line}\n" for line in rule.splitlines())).encode(), "yaml")


def lexicon(rule: str, head: str = HEAD) -> Lexicon:
    return load_packs([source(rule, head)])


def outcome(packs: Lexicon, text: str, party: PartyKind = "employee") -> str:
    """`-` for nothing, `+` for a finding that counts, else what suppresses it; `quoted` when it is somebody else's words."""
    findings, _ = find(*said(text, party), packs)
    if not findings:
        return "-"
    return "quoted" if findings[0].party == "quoted" else findings[0].suppressed_by or "+"


# --- one message ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "text", "expected"),
    [
        pytest.param("terms: [最]\nnear: [{any: [收益], within: 4}]", "收益是最高的", "+", id="near"),
        pytest.param("terms: [最]\nnear: [{any: [收益], within: 4}]", "最近有空吗，看看收益", "-", id="too far"),
        pytest.param("terms: [最]\nnear: [{any: [收益], within: 2}]", "最 高 收.益", "+", id="separators do not count as distance"),
        pytest.param("terms: [最]\nnear: [{any: [收益], within: 4, side: before}]", "最高收益", "-", id="the wrong side"),
        pytest.param("terms: [最高收益]\nnear: [{any: [收益], within: 0}]", "最高收益", "-", id="the hit is not its own neighbour"),
        pytest.param("terms: [加我]\nall_of: [[微信, 卫星], [私下]]", "私下加我微信", "+", id="all_of"),
        pytest.param("terms: [加我]\nall_of: [[微信, 卫星], [私下]]", "加我微信", "-", id="one group of all_of is missing"),
        pytest.param("terms: [加我]\nany_of: [微信, 小号]", "加我小号", "+", id="any_of"),
        pytest.param("terms: [加我]\nany_of: [微信, 小号]", "加我一个", "-", id="none of any_of"),
        pytest.param("terms: [加我]\nnone_of: [企业微信]", "加我企业微信", "-", id="none_of"),
        pytest.param("patterns: ['返\\d+个点']", "给您返２个点", "+", id="an expression, folded"),
        pytest.param("patterns: ['返\\d+个点']", "返几个点", "-", id="an expression that does not match"),
        pytest.param("terms: [保本]\nquestions: true", "这个保本吗", "r/question/吗", id="a question"),
        pytest.param("terms: [保本]\nquestions: true", "是不是保本", "r/question/是不是", id="a question before it"),
        pytest.param("terms: [保本]\nquestions: true", "保本的。在吗？", "+", id="the question is another sentence"),
        pytest.param("terms: [保本]\nquestions: true", "难道不保本吗", "+", id="a rhetorical question states"),
        pytest.param("terms: [保本]", "客户问“是不是保本”", "quoted", id="somebody else's words in quotation marks"),
        pytest.param("terms: [保本]", "我说“保本”就保本", "+", id="my own words in quotation marks"),
        pytest.param("terms: [保本]", "这款“保本”产品", "+", id="quotation marks for emphasis"),
        pytest.param("terms: [保本]\nreported: false", "客户问“是不是保本”", "+", id="reported words charged where a rule says so"),
        pytest.param("terms: [保本]\nallow: [不保本]\nnegations: true", "不保本", "r/allow/不保本", id="the allow phrase comes before the negation"),
    ],
)
def test_a_hit_counts_or_not(rule: str, text: str, expected: str) -> None:
    assert outcome(lexicon(rule), text) == expected


def test_a_disclosure_of_any_pack_excuses_what_lies_inside() -> None:
    packs = lexicon("terms: [保本]", HEAD + "disclosures: [本产品不承诺保本保息]\n")
    assert outcome(packs, "本产品 不承诺保本保息。") == "p/disclosure/1"
    assert outcome(packs, "这款保本") == "+"


@pytest.mark.parametrize(("day", "fires"), [("2026-02-28", False), ("2026-03-01", True), ("2026-03-31", True), ("2026-04-01", False)])
def test_a_rule_holds_on_its_days_in_beijing(day: str, fires: bool) -> None:
    kind = "must_match" if fires else "must_not_match"
    lexicon(f"terms: [停售]\nvalid: {{from: 2026-03-01, to: 2026-03-31}}\nexamples: {{{kind}: [{{text: 快停售了, day: {day}}}]}}")


@pytest.mark.parametrize(
    ("rule", "said_"),
    [
        pytest.param("patterns: ['(?=a)b']", "pattern number 1 is no regular expression that RE2 takes", id="look-around"),
        pytest.param("patterns: ['a*']", "matches the empty text", id="matches the empty text"),
        pytest.param("terms: [最]", "fewer than 2", id="one character without a neighbour"),
        pytest.param("terms: [ab]\nvalid: {from: 2026-02-01, to: 2026-01-01}", "ends before it begins", id="validity"),
        pytest.param("context: {asked: {terms: [稳吗]}}", "needs the words that affirm", id="asked without affirmed"),
        pytest.param("context: {together: [[ab]]}", "two groups", id="one group"),
        pytest.param("terms: [ab]\ncontext: {asked: {terms: [稳吗]}, affirmed: [对]}", "no terms or patterns beside it", id="terms beside asked"),
        pytest.param("context: {then_silence: {days: 7}}", "needs terms", id="silence without terms"),
        pytest.param("terms: [ab]\nvariants: [pinyn]", "$.variants", id="a table that is none"),
        pytest.param("terms: [ab]\nnear: [{any: [c], witin: 3}]", "witin", id="an unknown key inside"),
    ],
)
def test_a_rule_that_cannot_work_is_refused(rule: str, said_: str) -> None:
    with pytest.raises(UsageError) as refused:
        lexicon(rule)
    assert refused.value.code == "LEXICON_INVALID"
    assert "p, rule r" in str(refused.value) and said_ in str(refused.value)


def test_a_rule_that_is_off_is_proven_and_finds_nothing_until_it_is_on() -> None:
    resting = source("terms: [保本]\nactive: false\nexamples: {must_match: [保本]}")
    assert outcome(load_packs([resting]), "保本") == "-"
    assert outcome(load_packs([resting], on=["r"]), "保本") == "+"
    assert load_packs([resting]).version != load_packs([resting], on=["r"]).version
    with pytest.raises(UsageError, match="not found"):
        load_packs([source("terms: [保本]\nactive: false\nexamples: {must_match: [返佣]}")])


def test_an_example_may_say_how_it_is_found() -> None:
    with pytest.raises(UsageError, match="found, but via literal instead of variant"):
        lexicon("terms: [加微信]\nexamples: {must_match: [{text: 加微信, via: variant}]}")
    lexicon("terms: [加微信]\nexamples: {must_match: [{text: 加徽信, via: variant}]}")


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        pytest.param("terms: [最]\nnear: [{any: [收益]}]\nexamples: {must_match: [最近]}", "term number 1 is there, but near does not hold", id="near"),
        pytest.param("terms: [保本]\nallow: [保本人]\nexamples: {must_match: [保本人]}", "allow phrase number 1 suppresses it", id="allow"),
        pytest.param("context: {asked: {terms: [稳吗]}, affirmed: [对]}\nexamples: {must_match: [稳吗]}", "several messages are not met", id="context"),
    ],
)
def test_a_failing_example_is_told_with_its_reason(rule: str, why: str) -> None:
    packs = compile_packs([read_pack(source(rule))])
    [failure] = proof.failures(packs)
    assert (failure.rule, failure.kind, failure.number) == ("r", "must_match", 1) and why in failure.why


# --- several messages ----------------------------------------------------------------------------------------------


def talk(packs: Lexicon, *sentences: tuple[str, PartyKind, int]) -> list[Turn]:
    """Turns of (text, who, seconds after the one before); `!` is a recall."""
    turns, at = [], 1_780_000_000_000
    for number, (text, who, after) in enumerate(sentences):
        at += after * 1000
        message, decision = said(text, who)
        changes: dict[str, Any] = {"msgid": f"m{number}", "sender_id": who, "sent_at_ms": at, "kind": "recall" if text == "!" else "message"}
        message = type(message)(**{**{f: getattr(message, f) for f in message.__struct_fields__}, **changes})
        turns.append(Turn(at, number, "sealed", message, decision, examine(message, decision, packs).anchors))
    return turns


def together(rule: str, *sentences: tuple[str, PartyKind, int], later_days: int = 61) -> list[Across]:
    packs = lexicon(rule)
    turns = talk(packs, *sentences)
    return across(turns, packs, as_of_ms=turns[-1].at_ms + later_days * DAY_MS)


E: PartyKind = "employee"
C: PartyKind = "external"
ASKED = "context: {asked: {terms: [保本吗, 稳吗]}, affirmed: [对, 是的, 放心, 没问题], leads: [好的, 嗯], within: {messages: 3, minutes: 10}}"


@pytest.mark.parametrize(
    ("sentences", "expected"),
    [
        pytest.param([("保本吗", C, 0), ("对", E, 9)], "high", id="affirmed"),
        pytest.param([("这个保本吗", C, 0), ("是的呢亲", E, 9)], "high", id="with particles"),
        pytest.param([("稳吗", C, 0), ("您放心大胆买", E, 9)], "high", id="a clause that begins with it"),
        pytest.param([("稳吗", C, 0), ("没问题的", E, 9)], "high", id="没问题 is no denial"),
        pytest.param([("稳吗", C, 0), ("嗯嗯", E, 9)], "low", id="a lead alone is low"),
        pytest.param([("稳吗", C, 0), ("对不起刚看到", E, 9)], None, id="对不起"),
        pytest.param([("稳吗", C, 0), ("不是的，不保本", E, 9), ("对", E, 9)], None, id="a denial ends it"),
        pytest.param([("稳吗", C, 0), ("对", C, 9)], None, id="the customer answers herself"),
        pytest.param([("稳吗", E, 0), ("对", E, 9)], None, id="asked by the wrong side"),
        pytest.param([("稳吗", C, 0), ("在", E, 9), ("嗨", C, 9), ("哈", C, 9), ("对", E, 9)], None, id="too many messages later"),
        pytest.param([("稳吗", C, 0), ("对", E, 601)], None, id="too late"),
        pytest.param([("稳吗", C, 0), ("对", E, 600)], "high", id="just in time"),
    ],
)
def test_the_customer_asks_and_the_employee_affirms(sentences: list[tuple[str, PartyKind, int]], expected: str | None) -> None:
    found = together(ASKED, *sentences)
    assert [one.finding.severity for one in found] == ([expected] if expected else [])
    assert all(one.finding.via == "context" and one.spans[0].msgid == "m0" for one in found)


TOGETHER = "context: {together: [[我卡上, 收款码], [保费], [万, 元]], within: {messages: 2, minutes: 5}}"


def test_words_of_each_group_lie_together() -> None:
    [found] = together(TOGETHER, ("保费一共", E, 0), ("3万", E, 20), ("打我卡上", E, 20))
    assert [(s.msgid, s.start_cp, s.end_cp) for s in found.spans] == [("m0", 0, 2), ("m1", 1, 2), ("m2", 1, 4)]
    assert together(TOGETHER, ("保费一共", C, 0), ("3万", E, 20), ("打我卡上", E, 20)) == []
    assert together(TOGETHER, ("保费一共", E, 0), ("3万", E, 301), ("打我卡上", E, 20)) == []


SILENCE = "terms: [换个号聊]\ncontext: {then_silence: {days: 7}}"


@pytest.mark.parametrize(
    ("sentences", "later", "count"),
    [
        pytest.param([("换个号聊", E, 0)], 7, 1, id="nothing more"),
        pytest.param([("换个号聊", E, 0)], 6, 0, id="not yet"),
        pytest.param([("换个号聊", E, 0), ("好", C, 60)], 8, 1, id="the same talk ends"),
        pytest.param([("换个号聊", E, 0), ("好", C, 6 * 86_400)], 6, 0, id="they went on"),
        pytest.param([("换个号聊", E, 0), ("换个号聊", E, 60)], 8, 1, id="one silence, one finding"),
        pytest.param([("换个号聊", E, 0), ("在吗", C, 8 * 86_400)], 0, 1, id="until the next message"),
    ],
)
def test_off_channel_then_silence(sentences: list[tuple[str, PartyKind, int]], later: int, count: int) -> None:
    assert len(together(SILENCE, *sentences, later_days=later)) == count


RECALLS = "context: {recalls: {count: 3, minutes: 10, near: [转账], near_minutes: 30}}"


def test_a_burst_of_recalls_near_money() -> None:
    three: list[tuple[str, PartyKind, int]] = [("先转账", E, 0), ("!", E, 10), ("!", E, 10), ("!", E, 10)]
    [found] = together(RECALLS, *three)
    assert [s.msgid for s in found.spans] == ["m0", "m1", "m2", "m3"]
    assert len(together(RECALLS, *three, ("!", E, 10))) == 1  # the fourth belongs to the same burst
    assert together(RECALLS, *three[:3]) == []
    assert together(RECALLS, ("你好", E, 0), *three[1:]) == []
    assert together(RECALLS, ("先转账", E, 0), *[("!", C, 10)] * 3) == []
    assert together(RECALLS, *three[:3], ("!", E, 601)) == []


MISSING = "terms: [可以付款了]\ncontext: {missing: {any: [犹豫期], days: 30}}"


def test_what_was_not_said_is_a_finding_a_day_later() -> None:
    assert len(together(MISSING, ("可以付款了", E, 0), later_days=1)) == 1
    assert together(MISSING, ("可以付款了", E, 0), later_days=0) == []
    assert together(MISSING, ("犹豫期15天", E, 0), ("可以付款了", E, 29 * 86_400)) == []
    assert len(together(MISSING, ("犹豫期是啥", C, 0), ("可以付款了", E, 60))) == 1
    assert together(MISSING, ("可以付款了", E, 0), ("有15天犹豫期", E, 3600)) == []


SPLIT = "terms: [稳赚不赔, 返佣]\nnegations: true"


@pytest.mark.parametrize(
    ("sentences", "expected"),
    [
        pytest.param([("稳赚", E, 0), ("不赔", E, 60)], [["m0", "m1"]], id="two messages"),
        pytest.param([("稳", E, 0), ("嗯", C, 1), ("赚", E, 1), ("不赔的", E, 1)], [["m0", "m2", "m3"]], id="the other one between"),
        pytest.param([("稳赚", E, 0), ("不赔", E, 61)], [], id="too slow"),
        pytest.param([("稳赚", E, 0), ("不赔", C, 1)], [], id="two senders"),
        pytest.param([("稳赚。", E, 0), ("不赔", E, 1)], [], id="a sentence ends between"),
        pytest.param([("返", E, 0), ("佣", E, 1)], [["m0", "m1"]], id="a short term in short bubbles"),
        pytest.param([("下周往返", E, 0), ("佣金另算的", E, 1)], [], id="a short term by accident"),
        pytest.param([("稳赚不赔", E, 0), ("稳赚不赔", E, 1)], [], id="whole in each"),
        pytest.param([("稳专", E, 0), ("不陪", E, 1)], [["m0", "m1"]], id="split and a homophone"),
    ],
)
def test_a_term_over_several_messages(sentences: list[tuple[str, PartyKind, int]], expected: list[list[str]]) -> None:
    found = together(SPLIT, *sentences)
    assert [[s.msgid for s in one.spans] for one in found] == expected
    assert all(one.finding.via == "split" for one in found)


def test_a_split_term_can_be_taken_back_and_split_can_be_off() -> None:
    [found] = together(SPLIT, ("不能保证稳赚", E, 0), ("不赔", E, 5))
    assert found.finding.suppressed_by == "r/negation/不能"
    assert together("terms: [稳赚不赔]\nsplit: false", ("稳赚", E, 0), ("不赔", E, 5)) == []


@given(st.lists(st.sampled_from(["稳", "赚", "不", "赔", "稳赚", "不赔", "的", "。"]), min_size=1, max_size=8))
@settings(max_examples=30, deadline=None)
def test_the_cut_into_messages_does_not_matter_to_a_slow_search(bubbles: list[str]) -> None:
    packs = SPLIT_PACKS
    turns = talk(packs, *[(text, E, 5) for text in bubbles])
    found = {tuple(s.msgid for s in one.spans) for one in across(turns, packs, as_of_ms=turns[-1].at_ms) if one.finding.term == "稳赚不赔"}
    whole, owners = "".join(bubbles), [f"m{n}" for n, text in enumerate(bubbles) for _ in text]
    slow = set()
    for at in range(len(whole)):
        ids = tuple(dict.fromkeys(owners[at : at + 4]))
        if whole.startswith("稳赚不赔", at) and len(ids) > 1:
            slow.add(ids)
    assert found == slow


SPLIT_PACKS = load_packs([source("terms: [稳赚不赔]\nvariants: []", HEAD + "folds: {repeats: false}\n")])


@pytest.mark.parametrize(
    ("text", "expected"),
    [("放心吧", "affirmed"), ("嗯，放心", "affirmed"), ("不放心", "denial"), ("别放心", "denial"), ("好的", "lead"), ("好的，我看看", "nothing"), ("在忙", "nothing")],
)
def test_what_a_text_says_to_a_question(text: str, expected: str) -> None:
    assert affirmation(text, ("放心",), ("好的",))[0] == expected


@pytest.mark.parametrize(
    ("text", "direction", "expected"),
    [
        pytest.param("处罚案例：有人承诺保本", "internal", "p/training/处罚案例", id="colleagues about a case"),
        pytest.param("處 罰案例：有人承诺保本", "internal", "p/training/处罚案例", id="however it is written"),
        pytest.param("处罚案例：有人承诺保本", "outbound", None, id="a customer is told the same"),
        pytest.param("这款保本", "internal", None, id="colleagues about a product"),
    ],
)
def test_what_colleagues_say_about_rules_does_not_count(text: str, direction: Direction, expected: str | None) -> None:
    packs = lexicon("terms: [保本]", HEAD + "training: [处罚案例]\n")
    [found] = find(*said(text, "employee", direction=direction), packs)[0]
    assert found.suppressed_by == expected


# --- the short ways ------------------------------------------------------------------------------------------------

PIECES = "保本息不没保 本，。.\u200b㎏…息保本不保本保息k的"


@settings(max_examples=150, deadline=None)
@given(st.text(st.sampled_from(PIECES), max_size=14), st.lists(st.text(st.sampled_from("保本息不k的"), min_size=1, max_size=4), min_size=1, max_size=5))
def test_what_excuses_a_hit_is_told_as_by_looking_for_every_phrase_around_it(text: str, phrases: list[str]) -> None:
    excuse = Excuse(AhoCorasick(phrases), max(map(len, phrases)), tuple(phrases))
    words = judge.Words(text, *fold_map(text))
    for start, end in combinations(range(len(text) + 1), 2):
        assert judge.allow_over(words, start, end, excuse) == judge._allow_found(words, start, end, excuse)


@settings(max_examples=150, deadline=None)
@given(st.text(st.sampled_from(PIECES + "承诺但是會们"), max_size=60))
def test_whether_a_negation_stands_before_a_hit_is_asked_wherever_one_does(text: str) -> None:
    words = judge.Words(text, *fold_map(text))
    for start in range(len(text)):
        assert judge._may_negate(words, start, words.folded_place(start, start)[0]) or negation_before(text, start, start + 1) is None


# --- versions ------------------------------------------------------------------------------------------------------


def test_a_diff_names_what_changed_rule_by_rule() -> None:
    before = history.kept(lexicon("terms: [保本, 返佣]\nallow: [保本人]"))
    after = history.kept(lexicon("terms: [保本, 保息]\nallow: [保本人]\nnegations: true"))
    assert [tuple(change) for change in history.differences(before, after)] == [
        ("r", "terms", "removed", "返佣"), ("r", "terms", "added", "保息"), ("r", "negations", "changed", "false → true"),
    ]  # fmt: skip
    assert history.differences(before, before) == []


def test_a_diff_names_everything_that_a_version_is_a_digest_of() -> None:
    text = ApprovedText(id="T-9", approver="合规部", valid_from=datetime.date(2026, 1, 1), text="这段话由合规部批准使用")
    before = history.kept(lexicon("basis: 旧法\nterms: [保本]\nexamples: {must_match: [保本吧]}"))
    after = history.kept(lexicon("basis: 新法\nterms: [保本]\nexamples: {must_match: [保本哦]}", HEAD + "folds: {case: false}\n"), ApprovedTexts([text]))
    assert before.tables and before.engine
    tables = {**before.tables, "codewords": {**before.tables["codewords"], "小蜜蜂": "微信"}}
    after = msgspec.structs.replace(after, tables=tables, engine={**before.engine, "matching": "99"})
    assert [tuple(change)[:3] for change in history.differences(before, after)] == [
        ("r", "basis", "changed"), ("r", "must_match", "removed"), ("r", "must_match", "added"), ("p", "folds", "changed"),
        ("table/codewords", "entries", "added"), ("engine", "matching", "changed"), ("approved/T-9", "text", "added"),
    ]  # fmt: skip
    assert [c.value for c in history.differences(before, after) if c.rule_id == "table/codewords"] == ["小蜜蜂 → 微信"]


def test_versions_that_earlier_releases_kept_are_compared_by_their_packs_alone() -> None:
    new = history.kept(lexicon("terms: [保本]"))
    assert history.differences(history.Kept(new.packs, new.live), new) == []
