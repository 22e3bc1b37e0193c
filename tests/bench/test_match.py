"""How fast keywords are found: the pipeline's matching beside the bare automaton it is built on, on the same texts in one run.

The difference is what a finding needs and a hit does not: folding, two ways to compare, whose words, excuses, places in the original.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import msgspec
import pytest
from ahocorasick_rs import AhoCorasick

from pipeline.match import lexicon, matching
from pipeline.match.fold import fold
from pipeline.match.packfile import Pack
from pipeline.records import Decision, Message, Part
from tests.bench import meter, workload

MESSAGES = int(os.environ.get("LIUHEN_BENCH_TEXTS", "50000"))
ROUNDS = 3

pytestmark = pytest.mark.bench


def message(number: int, text: str) -> Message:
    return Message(
        msgid=f"m{number}", kind="message", action="send", msgtype="text", sender_id="emp00001", recipient_ids=("wmA",), room_id=None,
        sent_at_ms=workload.FIRST_MS, text=text, parts=(Part("text.content", text),),
    )  # fmt: skip


def decision() -> Decision:
    return Decision(
        fate="archived", consent="agree", source="api:agree", rule="4", reason="agreed", lawful_basis=("consent",), sender_kind="employee", direction="outbound",
        employee_id="emp00001", customer_id="wmA",
    )  # fmt: skip


def test_match_beside_the_bare_automaton() -> None:
    texts = [m["text"]["content"] for m in workload.plaintexts(MESSAGES) if m["msgtype"] == "text"]
    packs, decided = lexicon.load_packs(lexicon.shipped_packs()), decision()
    by_sound = lexicon.compile_packs(with_pinyin(pack) for pack in packs.packs)
    messages = [message(n, text) for n, text in enumerate(texts)]
    hit = [m for m in messages if matching.find(m, decided, packs)[0]]
    bare = AhoCorasick(sorted({term for rule in packs.rules for term in rule.terms}))
    ways: dict[str, Callable[[], object]] = {
        "bare automaton, no folding": lambda: [bare.find_matches_as_indexes(text, overlapping=True) for text in texts],
        "bare automaton after fold()": lambda: [bare.find_matches_as_indexes(fold(text), overlapping=True) for text in texts],
        "matching.find": lambda: [matching.find(m, decided, packs) for m in messages],
        "matching.find with pinyin": lambda: [matching.find(m, decided, by_sound) for m in messages],
    }
    size = sum(len(text.encode()) for text in texts)
    rules, terms, patterns = len(packs.live), sum(len(r.terms) for r in packs.rules), sum(len(r.patterns) for r in packs.rules)
    print(f"\n{meter.machine()}\n{len(texts)} texts, {size / len(texts):.0f} bytes on average, {len(hit)} with findings; {rules} rules, {terms} terms,"
          f" {patterns} expressions; best of {ROUNDS} rounds in turn, processor time")  # fmt: skip
    best = dict.fromkeys(ways, float("inf"))
    for _ in range(ROUNDS):
        for name, way in ways.items():
            best[name] = min(best[name], seconds(way))
    first = best["bare automaton, no folding"]
    for name, took in best.items():
        print(f"  {name:30s}{took / len(texts) * 1e6:7.2f} µs a message{size / took / 1e6:8.1f} MB/s   {took / first:5.1f} x")
    print(f"  {'of these, texts with findings':30s}{seconds(lambda: [matching.find(m, decided, packs) for m in hit]) / len(hit) * 1e6:7.2f} µs a message")
    assert hit, "nothing was found: nothing was measured"


def seconds(way: Callable[[], object]) -> float:
    begun = time.process_time()
    way()
    return time.process_time() - begun


def with_pinyin(pack: Pack) -> Pack:
    """The pack with every rule compared by sound too."""
    rules = tuple(msgspec.structs.replace(rule, variants=(*(rule.variants or ()), "pinyin")) for rule in pack.rules)
    return msgspec.structs.replace(pack, rules=rules)


@pytest.mark.parametrize("unit", ["保本保", "保本，保,息", "不保本。", "稳zhuan不", "a", "薇 "])
def test_match_takes_time_linear_in_a_text_that_almost_matches(unit: str) -> None:
    packs = lexicon.load_packs(lexicon.shipped_packs())
    took = []
    for size in (1_250_000, 10_000_000):
        text = (unit * (size // len(unit) + 1))[:size]
        took.append(seconds(lambda text=text: matching.find(message(0, text), decision(), packs)))  # type: ignore[misc]
    print(f"\n  {unit!r:16}1.25 M characters {took[0]:6.2f} s, 10 M characters {took[1]:6.2f} s")
    assert took[1] < 8 * took[0] * 2 + 1
