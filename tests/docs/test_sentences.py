"""What errors say is there in Chinese: every sentence that the program's source makes, with the values that it was made with."""

from __future__ import annotations

import re

import pytest

from pipeline import sentences
from tests.raise_sites import ROOT, sites

# Sentences that somebody else wrote, or that stand with their Chinese in a table of their own: what the source says there.
ELSEWHERE = {
    "parameter.help.en": "sql/audit/*/meta.yaml",
    "found.do_en": "schemas/wecom-errcodes.yaml",
    "message": "an error that a process beside this one met, told anew",
    "remedy": "likewise",
    "error.message": "the sentence of an error that a step of `run` met",
}


def shape(text: str) -> str:
    """A template without the names of its values."""
    return re.sub(r"\{\w+\}", "{}", text)


KNOWN = {shape(template) for template in sentences.templates()}


def has_words(text: str) -> bool:
    """Whether there is anything to say in Chinese: a file's name, a path, an address have no blank."""
    return " " in text


def faults() -> set[str]:
    """What the check of a bundle says does not hold: every string of its sources, `{}` for its values."""
    sources = [p.read_text("utf-8") for p in (ROOT / "pipeline/evidence").glob("*.py") if p.name.startswith(("check", "page_"))]
    return {re.sub(r"\{[^{}]*\}", "{}", one) for text in sources for one in re.findall('f?"([^"\n]*)"', text)}


def test_every_sentence_of_an_error_has_its_chinese() -> None:
    said = [s for s in sites() if s.template is not None and has_words(s.template)]
    assert len(said) > 700
    assert [f"{s.place}: {s.template}" for s in said if s.template not in KNOWN] == []


def test_a_sentence_whose_words_cannot_be_read_from_the_source_is_one_that_we_know_of() -> None:
    assert {s.written for s in sites() if s.template is None} == set(ELSEWHERE)


def test_no_chinese_is_kept_for_a_sentence_that_nothing_says() -> None:
    said = {s.template for s in sites()} | faults()
    assert sorted(t for t in sentences.templates() if shape(t) not in said) == []


def test_both_languages_of_a_sentence_have_the_same_values() -> None:
    def values(text: str) -> list[str]:
        return sorted(set(re.findall(r"\{(\w+)\}", text)))

    assert {english for english, chinese in sentences.templates().items() if values(english) != values(chinese)} == set()
    assert [t for t in sentences.templates() if "{}" in t] == []  # a value without a name is never found


def test_roles_have_their_chinese_names_in_sentences() -> None:
    assert sentences.in_chinese("a person with the role officer or reviewer can") == "具有合规负责人(officer)、审阅人(reviewer)角色的人可以"
    told = sentences.in_chinese("another person with the role officer or approver runs `liuhen approve x`, then the same command is run again with --approval x")
    assert told and "another person" not in told


def test_chinese_sentences_are_chinese_but_for_commands_and_names() -> None:
    def bare(chinese: str) -> str:
        return re.sub(r"`[^`]*`|\{\w+\}|--\w+ \S+|\b(actors|liuhen)\b(\.toml)?|custody/\S+", "", chinese)

    plain = {chinese for chinese in sentences.templates().values() if not re.search("[\u4e00-\u9fff]", chinese)}
    assert {chinese for chinese in plain if re.search("[a-z]{3}", bare(chinese))} == set()


@pytest.mark.parametrize(
    ("english", "chinese"),
    [
        pytest.param("the disk is full", "磁盘已满", id="a sentence without values"),
        pytest.param("there is no file x.json", "没有文件 x.json", id="a value"),
        pytest.param("writing lake/7: the disk is full", "写入 lake/7：磁盘已满", id="sentences inside a sentence"),
        pytest.param("writing a: b/c: the disk is full", "写入 a: b/c：磁盘已满", id="a value with a colon"),
        pytest.param("keyword pack mine: line 3 is not valid UTF-8", "词库包 mine：第 3 行不是有效的 UTF-8", id="a named sentence"),
        pytest.param("--from (2026-02-01) is later than --to (2026-01-01)", "--from（2026-02-01）晚于 --to（2026-01-01）", id="two values"),
        pytest.param(
            "3 rows of kind messages went in, 2 came out", "类别 messages 放入 3 行，得出 2 行", id="values in another order"
        ),
        pytest.param("must be one of a, b, c", "须为 a、b、c 之一", id="a list"),
        pytest.param("there is no file a, b", "没有文件 a, b", id="a value that looks like a list"),
        pytest.param("there is no file {x} \\1", "没有文件 {x} \\1", id="a value that looks like a pattern"),
        pytest.param("there is no file " + "x: " * 600 + "x", "没有文件 " + "x: " * 600 + "x", id="a value of many parts"),
        pytest.param("writing a: " * 600 + "the disk is full", None, id="our words again and again"),
        pytest.param("Binder Error: no such column", None, id="somebody else's words"),
        pytest.param("the disk is full!", None, id="nearly ours"),
        pytest.param("", None, id="nothing"),
    ],
)
def test_a_sentence_is_found_by_the_template_it_was_made_from(english: str, chinese: str | None) -> None:
    assert sentences.in_chinese(english) == chinese
