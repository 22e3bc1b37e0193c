"""Tell whether the words before a term take it back: 不承诺保本 is no promise, 不可能不保本 is one.

Before: fold.py. After: matching.py.

Rules, in order; a hit is taken back only when all of them say so.

1. A negation word stands in the same clause, with at most 5 characters between it and the term. Spaces end a clause here as commas do.
2. Words that only look like negations do not count (特别, 不过, 不用担心, 没问题), nor the denial of a risk, itself a promise (没有风险).
3. Double negation: a second negation right before the first undoes it (不可能不, 不会不, 没有不).
4. Contrast: 但, 其实, 实际 … between negation and term undo it (合同不能写但保本).
5. Paper and practice: talk of what the contract says, negated, with a contrast after it (合同写的是不保本，但你放心) is no taking back.

Whatever is doubtful fires: a hit taken back is stored, but nobody is asked to look at it.
"""

from __future__ import annotations

import hashlib
import re

from pipeline.match.fold import drop_separators, fold_chars

REACH = 5  # characters between negation and term
LOOK_BACK = 48  # code points of the original read before a term
LOOK_AHEAD = 24  # code points of the original read after it

NEGATIONS = (
    "不", "不得", "不能", "不会", "不可", "不可能", "不可以", "不要", "不许", "不准", "不应", "不应当", "不是", "不做", "不作", "不予",
    "不存在", "不构成", "不代表", "不等于", "不意味着", "不承诺", "不保证", "不提供", "不支持", "没", "没有", "并无", "绝无", "无法",
    "无权", "无须", "并非", "绝非", "非", "未", "未必", "勿", "请勿", "切勿", "切忌", "别", "莫", "禁", "禁止", "严禁", "拒绝", "抵制",
    "杜绝", "防范", "防止", "警惕", "谨防", "提防", "当心", "远离", "打击", "整治", "查处", "避免", "谎称", "假称", "虚假", "所谓的",
    "难以", "岂能", "怎么可能", "怎么会", "哪有",
)  # fmt: skip

# Contain a negation word and negate nothing that follows.
NOT_NEGATIONS = (
    "不错", "不仅", "不但", "不光", "不止", "不只", "不单", "不过", "不管", "不论", "无论", "不如", "不然", "不愧", "不怕", "不愁",
    "不用怕", "不用愁", "不用担心", "不必担心", "不要担心", "不用操心", "不用犹豫", "不要犹豫", "不用考虑", "不用想", "不用多想",
    "不用管", "不用看", "不得了", "不瞒", "不骗", "不吹", "不夸张", "不一样", "不差", "不低", "不少", "不同", "不懂", "不知道", "了不起",
    "差不多", "要不", "是不是", "能不能", "会不会", "有没有", "对不对", "好不好", "没错", "没事", "没毛病", "没问题", "没关系", "没得说",
    "没跑", "没压力", "没想到", "没空", "没时间", "没法", "没办法", "没带", "没来", "没收到", "没看", "没懂", "没听", "没见过", "没人不",
    "无疑", "毫无疑问", "未来", "从未有过", "非常", "非凡", "除非", "特别", "别人", "别家", "别的", "别担心", "别怕", "别犹豫", "别急",
    "别慌", "别等", "别错过", "别说", "不方便", "不便", "不好", "不行", "不够", "不了", "不清", "不太", "不放心", "不满", "不足", "不急",
    "不难", "不贵", "不久", "不断", "不变", "不在", "不信", "不划算", "不值", "不合适", "不自在", "分别", "个别", "级别", "类别", "区别",
    "识别", "辨别", "告别", "不会骗", "不会坑", "不可错过", "不容错过", "不要错过", "不能错过", "没风险", "没有风险", "没有任何风险",
    "没什么风险", "没有什么风险", "不会亏", "不会赔", "不亏", "不赔", "不会少", "不会跌", "不受损失", "没有损失", "没亏过", "没有亏过",
    "从没亏", "从来没亏", "不会出问题", "不会有问题", "没有问题", "不会违约",
)  # fmt: skip

CONTRAST = ("但", "其实", "实际", "不过", "然而", "可是", "私下", "口头", "背地")
ON_PAPER = ("合同", "条款", "协议", "书面", "纸面", "明面", "字面", "白纸黑字", "写", "官方", "口径")
# The first of two negations; coordinated ones (不得也不能) are not double.
FIRST_OF_TWO = (
    "不可能", "不可以", "不可", "不会", "不能", "不得", "不是", "没有", "没", "无", "并非", "绝非", "岂能", "岂会", "哪有", "怎么会",
    "怎么可能", "未尝", "莫", "谁说", "哪里", "哪能",
)  # fmt: skip


def _any_of(words: tuple[str, ...]) -> str:
    return "|".join(sorted(map(re.escape, words), key=len, reverse=True))


_SCAN = re.compile(f"(?P<other>{_any_of(NOT_NEGATIONS)})|(?P<negation>{_any_of(NEGATIONS)})")
_BEGINS = re.compile("[" + "".join(sorted({word[0] for word in NEGATIONS})) + "]")
_NEGATES = re.compile(_any_of(tuple(word for word in NEGATIONS if not any(word != other and word.startswith(other) for other in NEGATIONS))))
_CONTRAST = re.compile(_any_of(CONTRAST))
_ON_PAPER = re.compile(_any_of(ON_PAPER))
_DOUBLE = re.compile(f"(?:{_any_of(FIRST_OF_TWO)})[^也亦又更且和或及、]{{0,3}}$")
_CLAUSE_END = re.compile(r"[\s,;:!?。]")  # 、 joins a list that one negation governs
_SENTENCE_END = re.compile(r"[;!?。\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")


def possible(folded: str, start: int, end: int) -> bool:
    """Whether [start, end) of a folded text, where LOOK_BACK code points before a term lie, holds a negation word at all."""
    return _BEGINS.search(folded, start, end) is not None and _NEGATES.search(folded, start, end) is not None


def negation_before(text: str, start: int, end: int) -> str | None:
    """Return the negation word that takes back the term at code points [start, end) of the original `text`, or None."""
    before = fold_chars(text[max(0, start - LOOK_BACK) : start])
    clause = _CLAUSE_END.split(before)[-1]
    if not _BEGINS.search(clause):
        return None
    clause = drop_separators(clause + "一")[:-1]  # 一 stands in for the term, so that separators before it fall too
    negation = _last_negation(clause)
    if negation is None or _undone(clause, negation):
        return None
    after = fold_chars(text[end : end + LOOK_AHEAD])
    if _ON_PAPER.search(_SENTENCE_END.split(before)[-1]) and _CONTRAST.search(_SENTENCE_END.split(after)[0]):
        return None
    return negation.group()


def _last_negation(clause: str) -> re.Match[str] | None:
    found = [match for match in _SCAN.finditer(clause) if match.lastgroup == "negation"]
    return found[-1] if found and len(clause) - found[-1].end() <= REACH else None


def _undone(clause: str, negation: re.Match[str]) -> bool:
    between = clause[negation.end() :]
    return bool(_CONTRAST.search(between) or _DOUBLE.search(clause[: negation.start()]))


def negates(folded: str) -> bool:
    """Whether a folded clause holds a negation word at all."""
    return any(match.lastgroup == "negation" for match in _SCAN.finditer(folded))


def negation_digest() -> str:
    """Return the sha256 (hex) of the rules above: part of the lexicon's version."""
    patterns = [pattern.pattern for pattern in (_SCAN, _CONTRAST, _ON_PAPER, _DOUBLE, _CLAUSE_END, _SENTENCE_END)]
    return hashlib.sha256(repr((REACH, LOOK_BACK, LOOK_AHEAD, patterns)).encode()).hexdigest()
