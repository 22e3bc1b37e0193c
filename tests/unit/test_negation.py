"""What takes a term back, and what only looks as if it did. The term is marked with brackets in each sentence."""

from __future__ import annotations

import pytest

from pipeline.match.negation import negation_before


def judged(marked: str) -> str | None:
    start, end = marked.index("["), marked.index("]") - 1
    return negation_before(marked.replace("[", "").replace("]", ""), start, end)


@pytest.mark.parametrize(
    ("sentence", "word"),
    [
        pytest.param("不[保本]", "不", id="directly before"),
        pytest.param("我们不能承诺[保本]保息", "不能", id="verb between"),
        pytest.param("本公司不承诺本金[保本]", "不承诺", id="longest word"),
        pytest.param("警惕承诺[保本]的骗局", "警惕", id="warning"),
        pytest.param("没有[零风险]的投资", "没有", id="there is none"),
        pytest.param("并非[保本]", "并非", id="is not"),
        pytest.param("请勿直接[转我卡上]", "请勿", id="request"),
        pytest.param("不承诺、不保证[保本]", "不保证", id="enumeration comma joins"),
        pytest.param("不得也不能承诺[保本]", "不能", id="coordinated negations are not double"),
        pytest.param("没有、不[保本]", "不", id="nor are listed ones"),
        pytest.param("不不不一二三四五[保本]", "不", id="five characters between"),
        pytest.param("不\u200b能\u200b承\u200b诺[保本]", "不能", id="invisible characters between"),
        pytest.param("不.能.承.诺[保本]", "不能", id="separators between"),
        pytest.param("絕無[保本]", "绝无", id="traditional"),
        pytest.param("未来也不[保本]", "不", id="a true negation after one that only looks so"),
    ],
)
def test_these_take_the_term_back(sentence: str, word: str) -> None:
    assert judged(sentence) == word


@pytest.mark.parametrize(
    "sentence",
    [
        pytest.param("[保本]", id="nothing before"),
        pytest.param("这款[保本]", id="no negation"),
        pytest.param("不是的，[保本]", id="comma"),
        pytest.param("不是的 [保本]", id="space"),
        pytest.param("不保本？谁说的绝对[保本]", id="question mark"),
        pytest.param("我没说\n[保本]", id="line break"),
        pytest.param("不一二三四五六[保本]", id="six characters between"),
        pytest.param("特别[保本]", id="very"),
        pytest.param("不但[保本]", id="not only"),
        pytest.param("不用担心[保本]", id="no worry"),
        pytest.param("不如买这个[保本]的", id="better"),
        pytest.param("没有任何风险[稳赚不赔]", id="denied risk"),
        pytest.param("不会亏[保本]", id="denied loss"),
        pytest.param("未来一定[赚钱]", id="future"),
        pytest.param("这里不方便[加我微信]", id="inconvenient"),
        pytest.param("不可能不[保本]", id="double: impossible not"),
        pytest.param("不会不[兑付]", id="double: will not not"),
        pytest.param("没有不[赚]的", id="double: none that does not"),
        pytest.param("不可能会出现不[兑付]", id="double with three characters between"),
        pytest.param("合同不能写但[保本]", id="contrast: but"),
        pytest.param("不能明说其实[保本]", id="contrast: in truth"),
        pytest.param("合同写的是不[保本]，但你放心", id="paper and practice"),
        pytest.param("条款里不能写[保本]，实际都一样", id="paper and practice, in fact"),
    ],
)
def test_these_leave_it_standing(sentence: str) -> None:
    assert judged(sentence) is None


def test_a_contrast_in_the_next_sentence_does_not_undo_a_negation() -> None:
    assert judged("合同写的是不[保本]。但风险等级是R2") == "不"


def test_an_honest_contrast_without_talk_of_the_contract_does_not_undo_a_negation() -> None:
    assert judged("我们不承诺[保本]，但历史业绩可以查") == "不承诺"
