"""Time grows with the text and no faster, also where everything almost matches: CPU seconds beside plain chat in one run."""

from __future__ import annotations

import time

import pytest

from pipeline.match.lexicon import Lexicon, load_packs, said, shipped_packs
from pipeline.match.matching import find
from pipeline.worker import calm

pytestmark = pytest.mark.slow

PLAIN = "明天下午三点我们在会议室开会讨论一下季度预算，请大家准时参加，材料我晚点发给大家。"
SHORT, LONG = 200_000, 400_000  # code points, more than are searched at once; `make bench-match` takes ten million
MOST_TIMES = 3.2  # twice the text: at most so many times the seconds (2 is linear, 4 would be quadratic)
ROUNDS = 4  # of each length in turn, the least counts: a core that others share for a while makes every second of its longer
MOST_BESIDE_CHAT = 40.0  # a code point of what almost matches beside one of plain chat, whatever the length


@pytest.fixture(scope="module")
def packs() -> Lexicon:
    return load_packs(shipped_packs())


@pytest.fixture(scope="module")
def chat_s(packs: Lexicon) -> float:
    """What plain chat of the length takes."""
    return cpu_s(PLAIN, packs, LONG)[0]


def cpu_s(unit: str, packs: Lexicon, *sizes: int) -> list[float]:
    """What each length takes: the least of ROUNDS, the lengths in turn."""
    messages = [said((unit * (size // len(unit) + 1))[:size], "employee") for size in sizes]
    took: list[list[float]] = [[] for _ in sizes]
    for _ in range(ROUNDS):
        for message, times in zip(messages, took, strict=True):
            begun = time.process_time()
            find(*message, packs)
            times.append(time.process_time() - begun)
    return [min(times) for times in took]


@pytest.mark.parametrize(
    "unit",
    [
        pytest.param("徽", id="look-alikes"), pytest.param("薇 ", id="look-alikes and separators"), pytest.param("保，夲", id="a term cut by clauses"),
        pytest.param("一三八八", id="digit words, repeated"), pytest.param("保本保", id="hits all over"), pytest.param("不保本。", id="negated hits all over"),
    ],
)
def test_twice_the_text_takes_twice_the_time_and_a_bounded_multiple_of_plain_chat(packs: Lexicon, chat_s: float, unit: str) -> None:
    with calm():
        short, long = cpu_s(unit, packs, SHORT, LONG)
    assert long <= MOST_TIMES * short
    assert long <= MOST_BESIDE_CHAT * chat_s
