"""How fast keywords are found: the pipeline's matching beside the bare automaton it is built on, on the same texts in one run.

The difference is what a finding needs and a hit does not: folding, two ways to compare, whose words, excuses, places in the original.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from itertools import islice

import msgspec
import pytest
from ahocorasick_rs import AhoCorasick

from pipeline.match import lexicon, matching
from pipeline.match.fold import fold
from pipeline.match.packfile import Pack
from pipeline.records import Decision, Gated, GatedPage, Message, OpenedItem, PageRef, Part
from pipeline.worker import calm
from tests.bench import meter, workload

MESSAGES = int(os.environ.get("LIUHEN_BENCH_TEXTS", "50000"))
ROUNDS, MOST_ROUNDS = 5, 25  # on a busy machine a round costs up to twice as much: more are taken until one is quiet
PAGE = 1_000
BAR_US, BAR_PINYIN_US = 15.0, 25.0  # processor time a message, folding and matching together

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


def pages(texts: list[str]) -> list[GatedPage]:
    """Pages of a thousand records, as the gate hands them on."""
    ref, decided = PageRef(corp_id="c", page="0", uri="u", size=1, source="pull", name="n", captured_at_ms=0), decision()
    items = [Gated(OpenedItem(n, n, f"m{n}", 1, b"", b"", b""), message(n, text), decided) for n, text in enumerate(texts)]
    return [GatedPage(ref, tuple(items[at : at + PAGE]), (), 1) for at in range(0, len(items), PAGE)]


def a_tenth_with_hits(texts: list[str], hit: list[str]) -> list[str]:
    """Texts of which every tenth has a finding: made-up chat has one in fifty, so nine others go with each."""
    others = iter([text for text in texts if text not in set(hit)])
    return [text for one in hit for text in (one, *islice(others, 9))]


def test_match_beside_the_bare_automaton() -> None:
    every = [m["text"]["content"] for m in workload.plaintexts(MESSAGES) if m["msgtype"] == "text"]
    packs, decided = lexicon.load_packs(lexicon.shipped_packs()), decision()
    by_sound = lexicon.compile_packs(with_pinyin(pack) for pack in packs.packs)
    hit = [text for text in every if matching.find(message(0, text), decided, packs)[0]]
    texts = a_tenth_with_hits(every, hit)
    read, only, bare = pages(texts), pages(hit), AhoCorasick(sorted({term for rule in packs.rules for term in rule.terms}))
    ways: dict[str, tuple[Callable[[], object], float | None]] = {
        "bare automaton, no folding": (lambda: [bare.find_matches_as_indexes(text, overlapping=True) for text in texts], None),
        "bare automaton after fold()": (lambda: [bare.find_matches_as_indexes(fold(text), overlapping=True) for text in texts], None),
        "match_page": (lambda: [matching.match_page(page, lexicon=packs) for page in read], BAR_US),
        "match_page with pinyin": (lambda: [matching.match_page(page, lexicon=by_sound) for page in read], BAR_PINYIN_US),
    }
    size, found = sum(len(text.encode()) for text in texts), [matching.match_page(page, lexicon=packs) for page in read]
    with_findings = sum(bool(item.findings) for page in found for item in page.items)
    rules, terms, patterns = len(packs.live), sum(len(r.terms) for r in packs.rules), sum(len(r.patterns) for r in packs.rules)
    print(f"\n{meter.machine()}\n{len(texts)} texts, {size / len(texts):.0f} bytes on average, {with_findings} with findings; {rules} rules, {terms} terms,"
          f" {patterns} expressions; the best of several rounds in turn, processor time")  # fmt: skip
    best = dict.fromkeys(ways, float("inf"))
    rounds = 0
    while rounds < ROUNDS or (rounds < MOST_ROUNDS and any(bar and best[name] / len(texts) * 1e6 > bar for name, (_, bar) in ways.items())):
        for name, (way, _) in ways.items():
            best[name] = min(best[name], seconds(way))
        rounds += 1
    first = best["bare automaton, no folding"]
    for name, took in best.items():
        bar = ways[name][1]
        print(f"  {name:30s}{took / len(texts) * 1e6:7.2f} µs a message{size / took / 1e6:8.1f} MB/s   {took / first:5.1f} x" + (f"   at most {bar:.0f} µs" if bar else ""))
    print(f"  {'of these, texts with findings':30s}{seconds(lambda: [matching.match_page(page, lexicon=packs) for page in only]) / len(hit) * 1e6:7.2f} µs a message")
    assert len(texts) <= 10 * with_findings + 10 and len(texts) > 5_000, "not a tenth of the texts has a finding: something else was measured"
    for name, (_, bar) in ways.items():
        assert bar is None or best[name] / len(texts) * 1e6 <= bar, f"{name} is slower than it may be"


@pytest.fixture(autouse=True)
def as_in_a_worker() -> Iterator[None]:
    """The collector is kept from looking again and again, as it is in every run (worker.py)."""
    with calm():
        yield


def seconds(way: Callable[[], object]) -> float:
    begun = time.process_time()
    way()
    return time.process_time() - begun


def with_pinyin(pack: Pack) -> Pack:
    """The pack with every rule compared by sound too."""
    rules = tuple(msgspec.structs.replace(rule, variants=(*(rule.variants or ()), "pinyin")) for rule in pack.rules)
    return msgspec.structs.replace(pack, rules=rules)


@pytest.mark.parametrize("unit", ["保本保", "徽", "保保本本", "“保本”说", "保本，保,息", "不保本。", "稳zhuan不", "a", "薇 "])
def test_match_takes_time_linear_in_a_text_that_almost_matches(unit: str) -> None:
    packs = lexicon.load_packs(lexicon.shipped_packs())
    took = []
    for size in (1_250_000, 10_000_000):
        text = (unit * (size // len(unit) + 1))[:size]
        took.append(seconds(lambda text=text: matching.find(message(0, text), decision(), packs)))  # type: ignore[misc]
    print(f"\n  {unit!r:16}1.25 M characters {took[0]:6.2f} s, 10 M characters {took[1]:6.2f} s")
    assert took[1] < 8 * took[0] * 2 + 1
