"""Many expressions at once: what each needs is read rightly, and the answer is RE2's alone."""

from __future__ import annotations

import numpy as np
import pytest
import re2
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.match.expressions import Expressions, needs

PATTERNS = [
    "(?:肯定|一定)[^,。]{0,2}(?:赚钱|能赚)", "亏(?:一分|多少)", "转[到给]?我(?:的)?卡", "a|b", "[0-9]+个点", "保底.{0,3}(?:年化|[0-9]+个点)", "(?i)abc", "^本金", "本.金",
    "(?:本金|利息)(?:一分|一毛)?不(?:会)?少", "(?:a[0-9]{1,3}b|cd)", "我$", "(?:本金)+", "[^a]b", "(?:亏|赔)了?我",
]  # fmt: skip


@pytest.mark.parametrize(
    ("pattern", "groups"),
    [
        pytest.param("保本", [{"保本"}], id="a word"),
        pytest.param("(?:肯定|一定)[^,]{0,2}赚钱", [{"肯定", "一定"}, {"赚钱"}], id="a gap between two groups"),
        pytest.param("转[到给]?我", [{"转到我", "转给我", "转我"}], id="a choice that may be absent"),
        pytest.param("[0-9]+个点", [{"个点"}], id="a wide class tells nothing"),
        pytest.param("亏.{0,3}本金", [{"本金"}], id="single characters beside a longer word are not asked for"),
        pytest.param("亏.{0,3}本", [{"亏"}, {"本"}], id="nothing but single characters"),
        pytest.param("(?:a.b|cd)", [{"a", "cd"}], id="of each branch what is longest"),
        pytest.param("(?:a.b|.*)", [], id="a branch that needs nothing"),
        pytest.param("(?:ab)?", [], id="everything may be absent"),
        pytest.param("(?i)abc", [], id="flags: left to RE2"),
        pytest.param("(?P<x>保本)", [{"保本"}], id="a named group"),
        pytest.param("\\bcmc\\b", [{"cmc"}], id="edges of words"),
        pytest.param("\\pN+本", [], id="syntax that only RE2 has"),
    ],
)
def test_what_an_expression_needs_is_read(pattern: str, groups: list[set[str]]) -> None:
    assert [set(group) for group in needs(pattern)] == groups


COMPILED = [re2.compile(pattern) for pattern in PATTERNS]
TOGETHER = Expressions(PATTERNS, COMPILED)


def matching(together: Expressions, *texts: str) -> list[list[int]]:
    """Which expressions match in each text; the words that stand there are looked for one by one."""
    met = [(number, at) for at, text in enumerate(texts) for number, word in enumerate(together.words) if word in text]
    words, owners = np.array([word for word, _ in met], np.int64), np.array([at for _, at in met], np.int64)
    possible = list(zip(*together.possible(words, owners), strict=True))
    return [together.matching([number for at, number in possible if at == owner], text) for owner, text in enumerate(texts)]


TEXTS = st.text(alphabet="肯定一赚钱能亏分多少转到给我的卡ab0123个点保底年化本金利息毛不会赔了,。cdABC", max_size=40)


@settings(max_examples=200, deadline=None)
@given(st.lists(TEXTS, max_size=4))
def test_what_is_found_together_is_what_each_finds_alone(texts: list[str]) -> None:
    assert matching(TOGETHER, *texts) == [[number for number, one in enumerate(COMPILED) if one.search(text)] for text in texts]


def test_only_what_has_a_word_of_every_group_is_possible() -> None:
    needed = Expressions(["(?:肯定|一定)[^,]{0,2}赚钱", "亏多少"], [re2.compile("a"), re2.compile("a")])
    words = {word: number for number, word in enumerate(needed.words)}
    met = [words["肯定"], words["一定"], words["赚钱"], words["赚钱"], words["亏多少"], words["肯定"]]
    assert needed.possible(np.array(met), np.array([0, 0, 1, 2, 2, 2])) == ([2, 2], [0, 1])


def test_nothing_is_found_where_nothing_is() -> None:
    assert matching(TOGETHER, "") == [[]]
    assert matching(Expressions([], []), "保本") == [[]]


PACK = """
id: both
owner: o
reason: r
since: 2026-11-22
language: zh
rules:
  - id: c01-both
    category: C01
    title: {zh: 承诺, en: promise}
    severity: high
    party: employee
    negations: true
    terms: [稳赚不赔]
    patterns: ["稳赚不[^,]{0,2}赔", "(?:肯定|稳)[^,]{0,4}赚", "亏(?:一分|多少)"]
"""


@pytest.mark.parametrize(
    ("text", "found"),
    [
        pytest.param("这个稳赚不赔", [("稳赚不赔", None)], id="an expression over a term adds nothing"),
        pytest.param("稳赚不会赔，亏多少我赔", [("稳赚不会赔", None), ("亏多少", None)], id="each expression by itself; over one another the first"),
        pytest.param("不能稳赚不赔", [("稳赚", "c01-both/negation/不能"), ("稳赚不赔", "c01-both/negation/不能")], id="what is taken back excuses nothing else"),
    ],
)
def test_one_utterance_is_charged_once_to_a_rule(text: str, found: list[tuple[str, str | None]]) -> None:
    from pipeline.match.lexicon import load_packs, said
    from pipeline.match.matching import find
    from pipeline.match.packfile import PackSource

    lexicon = load_packs([PackSource("both.yaml", PACK.encode(), "yaml")])
    assert sorted({(f.matched_text, f.suppressed_by) for f in find(*said(text, "employee"), lexicon)[0]}, key=lambda one: (text.find(one[0]), len(one[0]))) == found
