"""Packs: what is read, what is refused and how precisely, what a digest stands for, and that a pack proves itself."""

from __future__ import annotations

import pickle
import random
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from pipeline.errors import UsageError
from pipeline.match import lexicon as lexicon_of
from pipeline.match import proof
from pipeline.match.lexicon import Lexicon, compile_packs, load_packs, shared_terms
from pipeline.match.packfile import ListOptions, PackSource, read_pack
from pipeline.workbench import Settings, compiled_packs, open_workbench
from tests import firm

OPTIONS = ListOptions(id="own-list", category="C99", severity="medium")
HEAD = "id: p\nowner: o\nreason: r\nsince: 2026-01-01\nlanguage: zh\nrules:\n"
RULE = "  - id: r\n    category: C01\n    title: {zh: 甲, en: a}\n    severity: high\n    party: employee\n    terms: [保本保息]\n"


def listed(text: str | bytes, name: str = "list.txt") -> PackSource:
    return PackSource(name, text.encode() if isinstance(text, str) else text, "txt", OPTIONS)


def pack(text: str, name: str = "p.yaml") -> PackSource:
    return PackSource(name, text.encode(), "yaml")


def refusal(act: Callable[[], object]) -> UsageError:
    with pytest.raises(UsageError) as caught:
        act()
    return caught.value


# --- plain lists ---------------------------------------------------------------------------------------------------


def test_a_plain_list_becomes_one_rule() -> None:
    got = read_pack(listed("\ufeff# ours\r\n保本\r\n\r\n  返佣  \r\nWhatsApp\r\n保本\r\n"))
    assert got.id == "own-list"
    assert got.duplicates == 1
    [rule] = got.rules
    assert (rule.id, rule.category, rule.severity, rule.party) == ("own-list", "C99", "medium", "any")
    assert rule.terms == ("保本", "返佣", "WhatsApp")


@pytest.mark.parametrize(
    ("data", "code", "said"),
    [
        pytest.param("保本\n保\n", "LEXICON_INVALID", "line 2 has fewer than 2", id="one character"),
        pytest.param("保本\n\n#x\n保\u200b\n", "LEXICON_INVALID", "line 4 has fewer than 2", id="one visible character"),
        pytest.param("⑩\n", "LEXICON_INVALID", "line 1 has fewer than 2", id="one character that folds to two"),
        pytest.param("保本\n" + "长" * 201, "LEXICON_INVALID", "line 2 is longer than 200", id="too long"),
        pytest.param("保本\n".encode() + "返佣".encode("gbk"), "LEXICON_UNREADABLE", "line 2 is not valid UTF-8", id="GBK"),
        pytest.param("保本".encode("utf-16"), "LEXICON_UNREADABLE", "line 1 is not valid UTF-8", id="UTF-16"),
        pytest.param(b"ok\nV\x00X\x00\n", "LEXICON_INVALID", "line 2 holds a control character", id="control characters"),
        pytest.param("保\ufffd本", "LEXICON_INVALID", "line 1 holds", id="damaged before"),
        pytest.param("# nothing\n\n", "LEXICON_EMPTY", "no term", id="no term"),
        pytest.param("", "LEXICON_EMPTY", "no term", id="no byte"),
    ],
)
def test_a_list_is_refused_with_the_number_of_its_line(data: str | bytes, code: str, said: str) -> None:
    error = refusal(lambda: read_pack(listed(data)))
    assert error.code == code
    assert said in str(error)
    assert "list.txt" in str(error)


def test_a_line_of_200_characters_and_a_term_of_two_are_taken() -> None:
    assert [len(term) for term in read_pack(listed("长" * 200 + "\n保本")).rules[0].terms] == [200, 2]


def test_a_list_needs_its_options() -> None:
    assert refusal(lambda: read_pack(PackSource("x", b"ab", "txt"))).code == "LEXICON_INVALID"


def test_a_list_cannot_have_an_id_that_breaks_findings() -> None:
    options = ListOptions(id="a/b", category="C99", severity="low")
    assert refusal(lambda: read_pack(PackSource("x", b"ab", "txt", options))).code == "LEXICON_INVALID"


# --- YAML ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        pytest.param(HEAD + RULE + "    colour: red\n", "LEXICON_INVALID", ["p, rule r", "colour"], id="unknown field"),
        pytest.param(HEAD + RULE.replace("high", "grave"), "LEXICON_INVALID", ["p, rule r", "$.severity"], id="unknown severity"),
        pytest.param(HEAD + RULE.replace("employee", "staff"), "LEXICON_INVALID", ["p, rule r", "$.party"], id="unknown party"),
        pytest.param(HEAD + RULE.replace("C01", "c1"), "LEXICON_INVALID", ["p, rule r", "$.category"], id="category"),
        pytest.param(HEAD + RULE.replace("    category: C01\n", ""), "LEXICON_INVALID", ["p, rule r", "category"], id="field missing"),
        pytest.param(HEAD + RULE.replace("[保本保息]", "[保本保息, 12378]"), "LEXICON_INVALID", ["p, rule r", "$.terms[1]"], id="a number"),
        pytest.param(HEAD + RULE.replace("[保本保息]", "[保本保息, 保]"), "LEXICON_INVALID", ["rule r", "term number 2"], id="short"),
        pytest.param(HEAD + RULE.replace("[保本保息]", "[]"), "LEXICON_INVALID", ["p, rule r", "neither terms nor patterns"], id="no terms"),
        pytest.param(HEAD + RULE.replace("[保本保息]", "[保本, 保本]"), "LEXICON_INVALID", ["rule r", "given twice"], id="term twice"),
        pytest.param(HEAD + RULE + "    allow: ['-']\n", "LEXICON_INVALID", ["rule r", "allow phrase number 1"], id="allow phrase"),
        pytest.param(HEAD + RULE.replace("id: r\n", "id: r/x\n"), "LEXICON_INVALID", ["rule r/x", "$.id"], id="rule id"),
        pytest.param(HEAD + RULE.replace("  - id: r\n", "  - id: 7\n"), "LEXICON_INVALID", ["rule number 1"], id="rule without a name"),
        pytest.param(HEAD + RULE + RULE, "LEXICON_INVALID", ["rule id 'r' is given twice"], id="rule twice"),
        pytest.param(HEAD.replace("owner: o\n", "") + RULE, "LEXICON_INVALID", ["p.yaml", "owner"], id="no owner"),
        pytest.param(HEAD.replace("2026-01-01", "soon") + RULE, "LEXICON_INVALID", ["p.yaml", "$.since"], id="no date"),
        pytest.param(HEAD + "  []\n", "LEXICON_INVALID", ["p.yaml", "$.rules"], id="no rules"),
        pytest.param(HEAD + RULE + "    terms: [返佣]\n", "LEXICON_UNREADABLE", ["line 13", "second time"], id="key twice"),
        pytest.param(HEAD + "  - {id: r\n", "LEXICON_UNREADABLE", ["p.yaml", "line"], id="not YAML"),
        pytest.param(HEAD + "  - !!python/name:os.system x\n", "LEXICON_UNREADABLE", ["p.yaml", "line 7"], id="a tag that would run code"),
        pytest.param("just words", "LEXICON_INVALID", ["p.yaml"], id="no mapping"),
        pytest.param("", "LEXICON_INVALID", ["p.yaml"], id="empty"),
    ],
)
def test_a_pack_is_refused_with_the_place_of_its_fault(text: str, code: str, said: list[str]) -> None:
    error = refusal(lambda: load_packs([pack(text)]))
    assert error.code == code
    assert [part for part in said if part not in str(error)] == []


def test_a_pack_that_is_not_utf8_is_refused_with_its_line() -> None:
    source = PackSource("p.yaml", (HEAD + RULE).replace("保本保息", "X").encode() + "# 返佣".encode("gbk"), "yaml")
    error = refusal(lambda: read_pack(source))
    assert (error.code, "line 13" in str(error)) == ("LEXICON_UNREADABLE", True)


def test_two_packs_cannot_share_an_id() -> None:
    other = HEAD.replace("id: p", "id: q")
    assert "pack id p" in str(refusal(lambda: load_packs([pack(HEAD + RULE), pack(HEAD + RULE.replace("id: r", "id: s"))])))
    assert "rule id r" in str(refusal(lambda: load_packs([pack(HEAD + RULE), pack(other + RULE)])))


# --- proof ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("examples", "said"),
    [
        pytest.param("{must_match: [这款保本保息, 这款很稳]}", "must_match example number 2 is not found: none of its terms is there", id="not found"),
        pytest.param(
            "{must_not_match: [不保本, 这款保本保息]}",
            "must_not_match example number 2 is found: term number 1 stands at 2-6, via literal, and nothing suppresses it",
            id="found",
        ),
        pytest.param(
            "{must_match: [{text: 这款保本保息, party: external}]}",
            "must_match example number 1 is not found: term number 1 is there, but said by somebody else",
            id="wrong party",
        ),
        pytest.param(
            "{must_match: [不能保本保息]}",
            "must_match example number 1 is not found: term number 1 is there, but the negation 不能 suppresses it",
            id="suppressed",
        ),
    ],
)
def test_a_pack_whose_examples_fail_does_not_load(examples: str, said: str) -> None:
    error = refusal(lambda: load_packs([pack(HEAD + RULE + f"    negations: true\n    examples: {examples}\n")]))
    assert error.code == "LEXICON_EXAMPLE_FAILED"
    assert f"pack p, rule r: {said}" in str(error)
    assert "保本" not in str(error)


def test_examples_are_said_by_whom_the_rule_is_about_unless_they_say_who() -> None:
    examples = "    examples: {must_match: [保本保息, {text: 保本保息, party: robot}, {text: 保本保息, party: unknown}],"
    assert load_packs([pack(HEAD + RULE + examples + " must_not_match: [{text: 保本保息, party: external}]}\n")]).rules[0].id == "r"


def test_examples_are_sent_as_the_rule_wants_messages_sent() -> None:
    wanted = "    direction: inbound\n    msgtypes: [file]\n    examples: {must_match: [保本保息]}\n"
    assert load_packs([pack(HEAD + RULE + wanted)]).rules[0].msgtypes == ("file",)


# --- digest, pickling, size ----------------------------------------------------------------------------------------


def test_the_version_is_of_what_the_packs_say_not_of_how_they_are_written() -> None:
    plain = load_packs([pack(HEAD + RULE), listed("返佣")]).version
    quoted = "# note\n" + HEAD + RULE.replace("[保本保息]", '["保本保息"]')
    assert load_packs([listed("# c\n返佣\n"), pack(quoted, "other name")]).version == plain


@pytest.mark.parametrize(
    "text",
    [
        HEAD + RULE.replace("保本保息", "保本保利"),
        HEAD + RULE.replace("high", "low"),
        HEAD + RULE + "    negations: true\n",
        HEAD + RULE + "    allow: [不谈保本保息]\n",
        HEAD + RULE + "    examples: {must_match: [保本保息]}\n",
        HEAD.replace("owner: o", "owner: n") + RULE,
    ],
)
def test_the_version_changes_with_anything_a_pack_says(text: str) -> None:
    assert load_packs([pack(text)]).version != load_packs([pack(HEAD + RULE)]).version


def test_a_lexicon_travels_to_another_process() -> None:
    lexicon = load_packs([pack(HEAD + RULE + "    allow: [不谈保本保息]\n"), listed("返佣\n+v")])
    copy = pickle.loads(pickle.dumps(lexicon))
    assert (copy.version, copy.packs, copy.rules) == (lexicon.version, lexicon.packs, lexicon.rules)
    [group] = copy.groups
    assert group.main and group.written
    assert [entry.terms for entries in (*group.main.entries, *group.written.entries) for entry in entries] == [("返佣",), ("+v",), ("保本保息",), ("+v",)]


def test_packs_are_proven_once_for_their_version_and_changed_ones_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    proved: list[str] = []
    right = proof.prove

    def counted(packs: Lexicon) -> None:
        proved.append(packs.version)
        right(packs)

    monkeypatch.setattr(lexicon_of, "proven", set())
    monkeypatch.setattr(proof, "prove", counted)
    good = HEAD + RULE + "    examples: {must_match: [这款产品保本保息], must_not_match: [%s]}\n"
    first = load_packs([pack(good % "返佣")])
    again = load_packs([pack(good % "返佣")])
    assert proved == [first.version] == [again.version]
    other = load_packs([pack(good % "保险")])
    assert proved == [first.version, other.version] and other.version != first.version
    # An example that fails is never taken for proven, however often it is loaded.
    for _ in range(2):
        assert refusal(lambda: load_packs([pack(good % "也是保本保息")])).code == "LEXICON_EXAMPLE_FAILED"
    assert lexicon_of.proven == {first.version, other.version}


def test_a_worker_that_compiles_other_packs_than_it_was_told_of_proves_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = firm.home(tmp_path)
    told = Settings(home=str(home.path), corp_id=firm.CORP, version=home.lake(firm.CORP).snapshot().version, key_state="", packs="another")
    proved: list[str] = []
    monkeypatch.setattr(lexicon_of, "proven", set())
    monkeypatch.setattr(proof, "prove", lambda packs: proved.append(packs.version))
    compiled_packs.cache_clear()
    open_workbench.cache_clear()
    version = open_workbench(told).packs.version
    assert proved[0] == version
    compiled_packs.cache_clear()
    open_workbench.cache_clear()
    proved.clear()
    lexicon_of.proven.clear()
    assert open_workbench(msgspec.structs.replace(told, packs=version)).packs.version == version
    assert proved == []


def test_no_pack_is_a_lexicon_that_finds_nothing() -> None:
    assert compile_packs([]).groups == ()


def test_a_term_that_two_rules_of_a_category_list_is_told() -> None:
    second = RULE.replace("id: r", "id: s").replace("[保本保息]", "[保 本 保 息, 返佣]")
    other = RULE.replace("id: r", "id: t").replace("C01", "C02")
    assert shared_terms(load_packs([pack(HEAD + RULE + second + other)])) == [("保本保息", ("r", "s"))]


@pytest.mark.bench
def test_a_hundred_thousand_terms_load_within_two_seconds() -> None:
    dice = random.Random(7)
    ideographs = [chr(point) for point in range(0x4E00, 0x9FA6)]
    terms = {"".join(dice.choices(ideographs, k=dice.randint(2, 6))) for _ in range(100_000)}
    load_packs([listed("保本")])  # the fold tables are made once a process
    begun = time.process_time()  # the machine may have other work
    load_packs([listed("\n".join(terms))])
    assert time.process_time() - begun < 2
