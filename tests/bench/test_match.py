"""How fast keywords are found: the pipeline's matching beside the bare automaton it is built on, on the same texts in one run.

The difference is what a finding needs and a hit does not: folding, two ways to compare, whose words, excuses, places in the original.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import pytest
from ahocorasick_rs import AhoCorasick

from pipeline.match import lexicon, matching
from pipeline.match.fold import fold
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
    messages = [message(n, text) for n, text in enumerate(texts)]
    packs, decided = lexicon.load_packs(lexicon.shipped_packs()), decision()
    terms = sorted({term for rule in packs.rules for term in rule.terms})
    bare = AhoCorasick(terms)
    ways: dict[str, Callable[[], object]] = {
        "bare automaton, no folding": lambda: [bare.find_matches_as_indexes(text, overlapping=True) for text in texts],
        "bare automaton after fold()": lambda: [bare.find_matches_as_indexes(fold(text), overlapping=True) for text in texts],
        "matching.find": lambda: [matching.find(m, decided, packs) for m in messages],
    }
    size = sum(len(text.encode()) for text in texts)
    print(f"\n{meter.machine()}\n{len(texts)} texts, {size / len(texts):.0f} bytes on average, {len(terms)} terms; best of {ROUNDS} rounds in turn")
    best = dict.fromkeys(ways, float("inf"))
    for _ in range(ROUNDS):
        for name, way in ways.items():
            begun = time.process_time()
            way()
            best[name] = min(best[name], time.process_time() - begun)
    first = best["bare automaton, no folding"]
    for name, seconds in best.items():
        print(f"  {name:30s}{seconds / len(texts) * 1e6:7.2f} µs a message{size / seconds / 1e6:8.1f} MB/s   {seconds / first:5.1f} x")
    assert sum(len(matching.find(m, decided, packs)[0]) for m in messages) > 0, "nothing was found: nothing was measured"
