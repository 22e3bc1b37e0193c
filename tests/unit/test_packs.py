"""The packs that come with the product: they prove themselves, charge nothing twice, and leave ordinary words alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.match.fold import fold
from pipeline.match.lexicon import Lexicon, live, load_packs, shared_terms, shipped_packs
from pipeline.match.matching import find
from pipeline.match.packfile import Example, Rule
from pipeline.records import Decision, Direction, Finding, Message, Part, PartyKind

ROOT = Path(__file__).parents[2]
DIRECTIONS: dict[PartyKind, Direction] = {"employee": "outbound", "robot": "outbound", "external": "inbound", "unknown": "unknown"}

# Terms of two characters are found inside many words: each one here was looked at.
SHORT = {"保本", "零风险", "包赚", "必涨", "躺赚", "返佣", "返点", "返利", "返水", "回扣", "飞单", "倒签", "穷鬼", "妖股", "喊单", "梭哈"}
# Words that mean nothing by themselves.
WEAK = [
    "安全", "保证", "最", "第一", "利息", "收益", "理财", "存款", "储蓄", "利率", "高收益", "有保障", "避险", "保值增值", "预期收益",
    "最低收益", "无风险", "无风险利率", "微信", "企业微信", "二维码", "验证码", "密码", "登录密码", "推荐", "唯一", "独家", "首个",
    "领先", "顶级", "佣金", "分红", "红利", "退保", "减额交清", "保单升级", "停售", "抢购", "秒杀", "特供", "龙头", "黑马", "牛股",
    "抄底", "加仓", "补仓", "重仓", "满仓", "并购", "重组", "截图", "撤回", "录音", "退群", "代持", "名单", "数据", "转账", "红包",
    "定金", "押金", "免赔额", "等待期", "犹豫期", "如实告知", "现金价值", "第一受益人", "首期", "首年", "最高赔付", "电话", "见面",
    "私下",
]  # fmt: skip


@cache
def lexicon() -> Lexicon:
    return load_packs(shipped_packs())


@cache
def awake() -> Lexicon:
    """The packs with the rules that are off, too."""
    return load_packs(shipped_packs(), on=[rule.id for rule in lexicon().rules if not rule.active])


def turn(text: str, party: PartyKind, direction: Direction | None = None) -> tuple[Message, Decision]:
    message = Message(
        msgid="m", kind="message", action="send", msgtype="text", sender_id=None, recipient_ids=(), room_id=None, sent_at_ms=None,
        text=text, parts=(Part("text.content", text),),
    )  # fmt: skip
    decision = Decision(
        fate="archived", consent="unknown", source="s", rule="1", reason="r", lawful_basis=(), sender_kind=party,
        direction=direction or DIRECTIONS[party],
    )  # fmt: skip
    return message, decision


def said(text: str, party: PartyKind = "unknown", direction: Direction | None = None) -> tuple[Finding, ...]:
    return find(*turn(text, party, direction), lexicon())[0]


def spoken(rule: Rule) -> bool:
    """Whether words of a single message show the rule."""
    return rule.context is None and not rule.pii


def examples(rule: Rule, kind: str) -> Iterator[tuple[str, PartyKind]]:
    for example in getattr(rule.examples, kind):
        given = Example(example) if isinstance(example, str) else example
        yield given.text, given.party or ("unknown" if rule.party == "any" else rule.party)


def fired(rule: Rule, kind: str) -> list[list[Finding]]:
    """For each example of `kind`, what the rule found in it."""
    return [[finding for finding in find(*turn(text, party), awake())[0] if finding.rule_id == rule.id] for text, party in examples(rule, kind)]


def each_rule() -> list[Any]:
    return [pytest.param(rule, id=rule.id) for rule in lexicon().rules]


def test_the_packs_load_which_proves_their_examples() -> None:
    assert [pack.id for pack in lexicon().packs] == ["banking", "common", "english", "insurance", "personal", "securities"]


@pytest.mark.parametrize(
    ("packs", "categories"),
    [
        pytest.param(
            ("common", "securities"),
            "C01 C02 C03 C04 C07 C09 C10 C11 C13 C14 C15 C16 C17 C19 C20 C21 C22 C23 C25 C26",
            id="securities",
        ),
        pytest.param(("common", "insurance"), "C01 C02 C03 C04 C05 C06 C07 C08 C09 C10 C12 C14 C18 C19 C20 C23 C24 C25 C26", id="insurance"),
        pytest.param(("banking", "common"), "C01 C02 C03 C04 C07 C09 C10 C13 C14 C19 C20 C23 C25 C26", id="banking"),
    ],
)
def test_a_sector_is_served_by_its_own_pack_and_the_common_one(packs: tuple[str, ...], categories: str) -> None:
    assert sorted({rule.category for pack in lexicon().packs if pack.id in packs for rule in pack.rules}) == categories.split()


@pytest.mark.parametrize("rule", each_rule())
def test_a_rule_says_what_it_is_and_on_what_it_rests(rule: Rule) -> None:
    assert rule.id.startswith(rule.category.lower() + "-")
    assert rule.basis
    assert "published" in rule.source or "proposed" in rule.source


@pytest.mark.parametrize("rule", [param for param in each_rule() if spoken(param.values[0])])
def test_a_rule_is_proven_by_an_evasive_example_and_by_a_near_miss(rule: Rule) -> None:
    found = [live(findings) for findings in fired(rule, "must_match")]
    assert len(found) >= 2
    assert any(all(finding.via == "folded" for finding in findings) for findings in found)
    assert any(any(finding.via == "literal" for finding in findings) for findings in found)
    assert len(fired(rule, "must_not_match")) >= 2


@pytest.mark.parametrize("rule", [param for param in each_rule() if param.values[0].negations and spoken(param.values[0])])
def test_a_rule_that_heeds_negations_shows_one(rule: Rule) -> None:
    assert any(finding.suppressed_by for findings in fired(rule, "must_not_match") for finding in findings)


PERSONAL = "证号11010519491231002X，卡号6212345678901265，密码是abc123，电话13800138000"


def test_personal_data_are_a_category_of_their_own_and_what_is_everyday_is_off() -> None:
    assert [(f.rule_id, f.category, f.term) for f in live(said(PERSONAL, "external"))] == [("pii-secret", "PII", "secret")]
    packs = load_packs(shipped_packs(), on=("pii-identity", "pii-account", "pii-contact"))
    assert [(f.rule_id, f.term) for f in live(find(*turn(PERSONAL, "external"), packs)[0])] == [
        ("pii-identity", "id_card"), ("pii-account", "bank_card"), ("pii-secret", "secret"), ("pii-contact", "mobile"),
    ]  # fmt: skip


def test_every_category_of_the_list_is_served() -> None:
    assert sorted({rule.category for rule in lexicon().rules}) == [*(f"C{n:02}" for n in range(1, 27)), "PII"]


def test_no_term_is_charged_to_two_rules_of_a_category() -> None:
    assert shared_terms(lexicon()) == []


def test_what_lies_within_a_term_is_not_charged_to_another_rule_of_its_category() -> None:
    doubled = {}
    for rule in lexicon().rules:
        for term in rule.terms:
            speakers: tuple[PartyKind, ...] = ("employee", "external") if rule.party == "any" else (rule.party,)
            rules = {finding.rule_id for who in speakers for finding in live(said(term, who)) if finding.category == rule.category}
            if len(rules - {rule.id}) > 0:
                doubled[term] = rules
    assert doubled == {}


def test_every_term_is_found_where_it_stands_alone() -> None:
    silent = {
        (rule.id, term)
        for rule in lexicon().rules
        for term in rule.terms
        if spoken(rule) and not any(f.rule_id == rule.id and f.term == term and f.via == "literal" for f in find(*turn(term, "unknown"), awake())[0])
    }
    assert silent == set()


def test_short_terms_are_known_by_name() -> None:
    assert {term for rule in lexicon().rules for term in rule.terms if len(fold(term)) < 3} <= SHORT


@pytest.mark.parametrize("word", WEAK)
def test_a_weak_word_never_fires_alone(word: str) -> None:
    assert live(said(word)) == []


@pytest.mark.parametrize(
    "sentence",
    [
        "保\u200b本 保\u200b息哦",
        "穩賺不賠",
        "不可能不保本",
        "合同不能写保本但实际就是保本",
        "不保本？谁说的绝对保本",
        "亏了我给你兜底",
        "您不用担心保本保息",
        "这款特别保本",
        "没有任何风险稳赚不赔",
    ],
)
def test_a_promise_counts_however_it_is_wrapped(sentence: str) -> None:
    assert "C01" in {finding.category for finding in live(said(sentence, "employee"))}


@pytest.mark.parametrize(
    "sentence",
    [
        "非保本浮动收益产品，不保证本金和收益",
        "不能承诺保本保息",
        "警惕承诺保本保息的骗局",
        "没有零风险的投资",
        "无风险利率是国债收益率",
        "投资有风险，投资须谨慎",
        "理财非存款、产品有风险",
        "过往业绩不代表未来表现，业绩比较基准不代表实际收益",
        "本产品不承诺保本，红利分配是不确定的，最低保证利率之上的收益不确定",
        "投资风险由投资人承担，犹豫期15日，请如实告知",
        "请勿向任何人提供验证码和密码",
        "请您本人抄录并签名",
        "您投保本产品前请阅读条款，并确保本人签名",
        "犹豫期内可以全额退费，生存金返还按合同约定",
        "最近、最后、第一年、第一次、首期、首年、最高赔付限额",
        "保单贷款利率和存款保险制度请看公告",
        "微信支付很方便，也请关注我们的微信公众号",
        "往返 点击链接查看",
    ],
)
def test_disclosures_and_trade_words_are_left_alone(sentence: str) -> None:
    assert live(said(sentence, "employee")) == []


@pytest.mark.parametrize("sentence", ["是不是保本啊", "我想存钱", "你们说保本保息是真的吗", "我邻居天天说他能抓涨停", "是不是要停售"])
def test_a_customer_who_asks_commits_nothing(sentence: str) -> None:
    assert [finding for finding in live(said(sentence, "external")) if finding.severity != "low"] == []


# --- the demonstration, typed by other hands ------------------------------------------------------------------------

SPEAKERS: dict[str, PartyKind] = {"E": "employee", "F": "employee", "B": "robot", "C": "external", "D": "external"}
NOT_SERVED = {"国家队"}  # in a securities chat mostly a news word


def demonstration(name: str) -> Any:
    return yaml.safe_load((ROOT / "pipeline" / "demo" / name).read_text("utf-8"))


def test_innocent_talk_is_silent() -> None:
    turns = [turn for talk in demonstration("chatter.yaml")["talks"] for turn in talk["say"]]
    assert len(turns) > 100
    assert {turn for turn in turns if live(said(turn[1:], SPEAKERS[turn[0]]))} == set()


@pytest.mark.parametrize("group", ["violations", "evasive"])
def test_planted_violations_are_found(group: str) -> None:
    rows = [row for row in demonstration("planted.yaml")[group] if not NOT_SERVED & set(row.get("terms", []))]
    missed = [row["text"] for row in rows if row["category"] not in {finding.category for finding in live(said(row["text"], "employee"))}]
    assert len(rows) >= 8
    assert missed == []


def test_planted_near_misses_are_found_and_suppressed() -> None:
    for row in demonstration("planted.yaml")["near_misses"]:
        findings = said(row["text"], "employee")
        assert (bool(findings), live(findings)) == (True, []), row["text"]


# --- lists of harmless words -----------------------------------------------------------------------------------------


@pytest.mark.fixtures
def test_no_harmless_trade_word_is_a_serious_finding_by_itself() -> None:
    folder = os.environ.get("LIUHEN_FIXTURES")
    if not folder:
        pytest.skip("LIUHEN_FIXTURES names no folder of public test data")
    lists = [path.read_text("utf-8").splitlines() for path in sorted(Path(folder, "lexicons").glob("benign_*.txt"))]
    words = [line.strip() for lines in lists for line in lines if line.strip() and not line.startswith("#")]
    assert len(words) > 26_000
    serious = {(word, f.rule_id) for word in words for f in live(said(word)) if f.severity == "high"}
    assert serious == set()
