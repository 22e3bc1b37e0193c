"""What people of the demonstration say: innocent talk, planted phrases, and the slots both may hold.

Before: chatter.yaml, planted.yaml. After: talks.py, planting.py.

The words lie in the two data files; this module reads them and fills `{slots}`. Innocent lines hold no phrase of a keyword pack;
what a planted line holds is typed beside it. Nothing here looks for phrases.
"""

from __future__ import annotations

import random
import re
from functools import cache
from importlib.resources import files
from typing import Any, Literal

import msgspec
import yaml

from pipeline.demo.messages import KINDS

Place = Literal["customer", "colleague", "customer_room", "internal_room"]
Topic = Literal["证券", "财富", "保险", "通用"]
Group = Literal["violations", "evasive", "near_misses", "customer_words", "scenes"]
GROUPS: tuple[Group, ...] = ("violations", "evasive", "near_misses", "customer_words", "scenes")
Carrier = Literal["text", "file", "link", "mixed", "chatrecord", "quote"]

FUNDS = ("DEMO青禾六个月持有", "DEMO远山债券C", "DEMO演示混合A", "DEMO知行平衡组合", "DEMO南屏短债")
POLICIES = ("DEMO安行重疾险", "DEMO长青年金", "DEMO随行医疗险", "DEMO晨光教育金", "DEMO平步意外险")
STOCKS = ("演示科技（DEMO01）", "示例重工（DEMO02）", "样板电子（DEMO03）", "演示食品（DEMO04）")
CITIES = ("杭州", "成都", "青岛", "厦门", "武汉", "长沙", "西安", "南京")
_SLOT = re.compile(r"\{(\w+)\}")
_ID_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)


class Turn(msgspec.Struct, frozen=True):
    """One line: who says it (E, C, F, D, B), as which kind of message, and the words (for kinds other than text, split at `|`)."""

    speaker: str
    kind: str
    words: str


class Talk(msgspec.Struct, frozen=True):
    """Turns that belong together, where they take place and which business they are about."""

    at: Place
    on: Topic
    turns: tuple[Turn, ...]


class Planted(msgspec.Struct, frozen=True, kw_only=True):
    """A line with phrases in it. terms: each stands in `text` exactly once; means: those that an evasive form or a scene stands for."""

    group: Group
    category: str
    at: Place
    on: Topic
    terms: tuple[str, ...] = ()
    means: tuple[str, ...] = ()
    text: str
    form: str = "literal"
    carrier: Carrier = "text"
    turns: tuple[Turn, ...] = ()


class Detail(msgspec.Struct, frozen=True):
    """A made-up personal detail that a line holds, letter by letter."""

    kind: Literal["phone", "idcard", "card", "policy"]
    value: str


@cache
def talks() -> tuple[Talk, ...]:
    """Return the innocent talks of chatter.yaml in file order."""
    return tuple(Talk(t["at"], t["about"], tuple(turn(line) for line in t["say"])) for t in _data("chatter.yaml")["talks"])


@cache
def planted(group: Group) -> tuple[Planted, ...]:
    """Return the planted lines of one group of planted.yaml in file order."""
    return tuple(_planted(group, row) for row in _data("planted.yaml")[group])


@cache
def _data(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(files("pipeline.demo").joinpath(name).read_text(encoding="utf-8"))
    return loaded


def turn(line: str) -> Turn:
    """Return the turn that a line of the data files writes: `E words`, or `E @kind words` for another kind than text."""
    speaker, _, words = line.partition(" ")
    words = words.replace("\\n", "\n")
    if words.startswith("@"):
        kind, _, rest = words[1:].partition(" ")
        if kind in KINDS:
            return Turn(speaker, kind, rest)
    return Turn(speaker, "text", words)


def _planted(group: Group, row: dict[str, Any]) -> Planted:
    return Planted(
        group=group,
        category=row["category"],
        at=row.get("at", "customer"),
        on=row.get("about", "通用"),
        terms=tuple(row.get("terms", ())),
        means=tuple(row.get("means", ())),
        text=row.get("text", ""),
        form=row.get("form", "literal"),
        carrier=row.get("as", "text"),
        turns=tuple(turn(line) for line in row.get("say", ())),
    )


def fill(words: str, rng: random.Random, names: dict[str, str]) -> tuple[str, tuple[Detail, ...]]:
    """Return the words with their slots filled, and the personal details put in. names: `cust`, `emp`, `ename` of this talk."""
    if "{" not in words:
        return words, ()
    details: list[Detail] = []

    def one(match: re.Match[str]) -> str:
        slot = match[1]
        if slot in names:
            return names[slot]
        value = _slot(slot, rng)
        if slot in _DETAILS:
            details.append(Detail(_DETAILS[slot], value))
        return value

    return _SLOT.sub(one, words), tuple(details)


DetailKind = Literal["phone", "idcard", "card", "policy"]
_DETAILS: dict[str, DetailKind] = {"phone": "phone", "idcard": "idcard", "card": "card", "polno": "policy"}


def _slot(name: str, rng: random.Random) -> str:
    match name:
        case "fund":
            return rng.choice(FUNDS)
        case "policy":
            return rng.choice(POLICIES)
        case "stock":
            return rng.choice(STOCKS)
        case "city":
            return rng.choice(CITIES)
        case "place":
            return rng.choice(CITIES) + "演示"
        case "amt":
            return rng.choice(("5000元", "1万元", "2.6万", "5万", "8万元", "十万", "12,500元", "30万"))
        case "day":
            return rng.choice(("周一", "周二", "周三", "周四", "周五", "下周一", "下周三"))
        case "clock":
            return rng.choice(("九点半", "十点", "下午两点", "下午三点", "四点一刻", "15:30", "晚上七点"))
        case "num":
            return str(rng.randint(3, 48))
        case "order":
            return f"{rng.randrange(10**8):08d}"
        case "phone":
            return f"1380000{rng.randrange(10**4):04d}"
        case "idcard":
            return _id_card(rng)
        case "card":
            return _bank_card(rng)
        case "polno":
            return f"DEMO{rng.randrange(10**12):012d}"
    raise KeyError(name)


def _id_card(rng: random.Random) -> str:
    """A number with a right check digit (lexicon.md section 5) in an area, 999999, that does not exist."""
    head = f"999999{rng.randint(1960, 2003)}{rng.randint(1, 12):02d}{rng.randint(1, 28):02d}{rng.randrange(1000):03d}"
    return head + "10X98765432"[sum(int(d) * w for d, w in zip(head, _ID_WEIGHTS, strict=True)) % 11]


def _bank_card(rng: random.Random) -> str:
    """A number with a right Luhn digit under a bank number, 620000, that is not given out."""
    head = f"620000{rng.randrange(10**12):012d}"
    total = sum(sum(divmod(int(d) * (2 if i % 2 == 0 else 1), 10)) for i, d in enumerate(reversed(head)))
    return head + str(-total % 10)
