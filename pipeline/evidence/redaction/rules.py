"""What in a text is masked for a stranger's eyes, and what stands in its place.

Before: pii.py. After: masking.py. Sources: 个人信息保护法 28 (sensitive data), 民诉法解释 103, evidence.md section 10.

Classes; of two that overlap the one named first wins, then the longer:
 1. chosen: words that the preparer gave (minors, nicknames, anything else).
 2. third_party: names and ids of people who are not parties; the pseudonym of that person stands for it.
 3. secret, email, policy, id_card, travel_document, credit_code, bank_card, mobile, landline: as pii.py finds them.
 4. address: a place with a number: 路, 街, 巷, 弄, 村, 小区, 号楼 … up to 号, 室, 单元.
 5. health: illnesses, treatment, pregnancy, by word.
A whole value goes: no last four digits stay. Masks of words are bounded, so time grows with length.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import ahocorasick_rs
import msgspec

from pipeline import pii, words

CLASSES = (
    "chosen", "third_party", "secret", "email", "policy", "id_card", "travel_document", "credit_code", "bank_card", "mobile", "landline", "address", "health",
)  # fmt: skip
# A Chinese character that can be part of a place's name: not the verbs and pronouns that stand before one.
_HAN = "(?![住在到去来寄送是我你他她您于])[\u4e00-\u9fff]"
_ADDRESS = re.compile(
    rf"(?:(?:{_HAN}){{2,8}}(?:省|市|自治区|区|县|镇|乡)){{0,3}}(?:{_HAN}|[0-9]){{1,12}}(?:路|街|道|巷|弄|胡同|村|小区|花园|苑|大厦)"
    rf"(?:{_HAN}){{0,4}}[0-9]{{1,5}}(?:号楼|号|弄|栋|幢|座)(?:[0-9A-Za-z-]{{1,6}}(?:号楼|号|弄|栋|幢|座|单元|楼|层|室|房|户)){{0,5}}"
)
_HEALTH = re.compile(
    "糖尿病|高血压|冠心病|心脏病|脑梗|中风|肿瘤|癌症|[\u4e00-\u9fff]癌|白血病|乙肝|肝炎|肝硬化|艾滋病|HIV|肾衰|透析|抑郁症|精神分裂|焦虑症|癫痫|结核|哮喘"
    "|怀孕|流产|早产|手术|化疗|放疗|病历|病理|确诊|残疾"
)
_ASCII = re.compile(r"[0-9A-Za-z_]")


class Place(msgspec.Struct, frozen=True):
    """One mask: code points [start_cp, end_cp) of a text, its class, and what stands there instead."""

    start_cp: int
    end_cp: int
    kind: str
    shown: str


class Rules:
    """The rules of one case."""

    def __init__(self, *, names: Mapping[str, str], chosen: Iterable[str] = (), policies: tuple[Any, ...] = (), keep: Iterable[str] = ()) -> None:
        """names: {what is written: pseudonym}; chosen: words that always go; keep: classes that stay."""
        self._policies, self._keep = policies, frozenset(keep)
        told = {w: ("chosen", words.say("mask.chosen", "zh")) for w in chosen if w}
        told |= {name: ("third_party", shown) for name, shown in names.items() if findable(name) and name not in told}
        self._words = list(told)
        self._told = told
        self._machine = ahocorasick_rs.AhoCorasick(self._words, matchkind=ahocorasick_rs.MatchKind.LeftmostLongest) if told else None

    def places(self, text: str) -> list[Place]:
        """Return what is masked in a text, in order, without overlaps."""
        found = [p for p in self._all(text) if p.kind not in self._keep]
        found.sort(key=lambda p: (CLASSES.index(p.kind), p.start_cp - p.end_cp, p.start_cp))
        taken: list[Place] = []
        for place in found:
            if all(place.end_cp <= t.start_cp or t.end_cp <= place.start_cp for t in taken):
                taken.append(place)
        return sorted(taken, key=lambda p: p.start_cp)

    def _all(self, text: str) -> Iterator[Place]:
        for number, start, end in self._machine.find_matches_as_indexes(text) if self._machine else ():
            if _alone(text, start, end):
                yield Place(start, end, *self._told[self._words[number]])
        for span in pii.find(text, self._policies):
            yield Place(span.start_cp, span.end_cp, span.kind, words.say(f"mask.{span.kind}", "zh"))
        for kind, pattern in (("address", _ADDRESS), ("health", _HEALTH)):
            for match in pattern.finditer(text):
                yield Place(match.start(), match.end(), kind, words.say(f"mask.{kind}", "zh"))


def findable(name: str) -> bool:
    """Whether a name can be looked for in running text: two Chinese characters, or three others."""
    return len(name) >= (3 if name.isascii() else 2)


def _alone(text: str, start: int, end: int) -> bool:
    """Whether a word of letters does not go on before or behind."""
    before = start > 0 and _ASCII.match(text[start]) and _ASCII.match(text[start - 1])
    behind = end < len(text) and _ASCII.match(text[end - 1]) and _ASCII.match(text[end])
    return not (before or behind)


def masked(text: str, places: Iterable[Place]) -> str:
    """Return the text with its places replaced."""
    pieces, done = [], 0
    for place in places:
        pieces += [text[done : place.start_cp], place.shown]
        done = place.end_cp
    return "".join([*pieces, text[done:]])
