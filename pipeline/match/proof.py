"""Packs prove themselves: each example of each rule does what it says, or the pack does not load.

Before: lexicon.py, matching.py, context.py. After: the first load of a version, `liuhen lexicon check`.

A failure is a UsageError LEXICON_EXAMPLE_FAILED that names pack, rule, the number of the example and the reason: what else was found,
what suppressed it, or which need was not met.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

import msgspec

from pipeline.errors import UsageError
from pipeline.match import judge as judging
from pipeline.match.context import DAY_MS, Turn, across
from pipeline.match.fold import ALL, fold
from pipeline.match.judge import Words
from pipeline.match.lexicon import Lexicon, looked_for, said
from pipeline.match.matching import examine
from pipeline.match.rules import Example, Rule, Said
from pipeline.records import Finding, PartyKind

EXAMPLE_MS = 1_767_240_000_000  # 2026-01-01 12:00 Beijing: when examples without a day of their own are said
_WAIT_MS = 61 * DAY_MS  # silence is judged after the longest that a rule may ask for
_OUTCOME = {"must_match": "not found", "must_not_match": "found"}


class Failure(NamedTuple):
    """An example that does not do what its rule says. kind: must_match or must_not_match; number counts from 1."""

    pack: str
    rule: str
    kind: str
    number: int
    why: str


def prove(lexicon: Lexicon) -> None:
    """Raise UsageError LEXICON_EXAMPLE_FAILED for the first example of a live rule that does not do what its rule says."""
    for failure in failures(lexicon):
        raise UsageError(
            "LEXICON_EXAMPLE_FAILED",
            f"keyword pack {failure.pack}, rule {failure.rule}: {failure.kind} example number {failure.number} is {failure.why}",
            remedy="correct the terms, the allow phrases or the example; until then no pack of this set is used",
        )


def failures(lexicon: Lexicon) -> Iterator[Failure]:
    """Yield every example of a live rule that does not do what its rule says."""
    number = 0
    for pack in lexicon.packs:
        for rule in pack.rules:
            if number in lexicon.live:
                for kind, at, example in examples(rule):
                    if why := _fault(lexicon, rule, kind, example):
                        yield Failure(pack.id, rule.id, kind, at, why)
            number += 1


def _fault(lexicon: Lexicon, rule: Rule, kind: str, example: Example) -> str | None:
    found = of_example(lexicon, rule, example)
    counting = [f for f in found if f.rule_id == rule.id and f.suppressed_by is None]
    if kind == "must_match" and example.via and counting and example.via not in {f.via for f in counting}:
        return f"found, but via {counting[0].via} instead of {example.via}"
    if bool(counting) != (kind == "must_match"):
        return f"{_OUTCOME[kind]}: {reason(lexicon, rule, example, found)}"
    return None


def examples(rule: Rule) -> Iterator[tuple[str, int, Example]]:
    """Yield (must_match or must_not_match, number from 1, example) of a rule."""
    for kind, listed in (("must_match", rule.examples.must_match), ("must_not_match", rule.examples.must_not_match)):
        for number, example in enumerate(listed, 1):
            yield kind, number, Example(example) if isinstance(example, str) else example


def speaker_of(rule: Rule, example: Example) -> PartyKind:
    """Return who says an example: whom it names, else whom the rule is about."""
    return example.party or ("unknown" if rule.party == "any" else rule.party)


def of_example(lexicon: Lexicon, rule: Rule, example: Example) -> list[Finding]:
    """Return all findings in an example of `rule`, those over several messages included."""
    sentences = example.messages or (Said(text=example.text, party=speaker_of(rule, example)),)
    turns = _turns(lexicon, rule, example, sentences)
    found = [f for turn in turns for f in examine(turn.message, turn.decision, lexicon).findings]
    return found + [one.finding for one in across(turns, lexicon, as_of_ms=turns[-1].at_ms + _WAIT_MS)]


def _turns(lexicon: Lexicon, rule: Rule, example: Example, sentences: Iterable[Said]) -> list[Turn]:
    at = EXAMPLE_MS if example.day is None else EXAMPLE_MS + (example.day.toordinal() - _NEW_YEAR) * DAY_MS
    turns: list[Turn] = []
    for number, one in enumerate(sentences):
        at += (one.after * 1_000 + one.after_days * DAY_MS) if number else 0
        message, decision = said(one.text, one.party, msgtype=example.msgtype or next(iter(rule.msgtypes), "text"), direction=example.direction or rule.direction)
        kind: Literal["message", "recall"] = "recall" if one.recall else "message"
        who = "employee" if one.party == "robot" else one.party
        message = msgspec.structs.replace(message, msgid=f"example-{number}", kind=kind, sent_at_ms=at, sender_id=who)
        turns.append(Turn(at, number, "example", message, decision, examine(message, decision, lexicon).anchors))
    return turns


_NEW_YEAR = 739617  # 2026-01-01 as a day number


# -- why ----------------------------------------------------------------------------------------------------------------


def reason(lexicon: Lexicon, rule: Rule, example: Example, found: list[Finding]) -> str:
    """Return in words why an example came out as it did; terms and phrases are told by their numbers, since lists are confidential."""
    own = [f for f in found if f.rule_id == rule.id]
    if any(f.suppressed_by is None for f in own):
        counting = next(f for f in own if f.suppressed_by is None)
        return f"{_term(rule, counting)} stands at {counting.start_cp}-{counting.end_cp}, via {counting.via}, and nothing suppresses it"
    if own:
        return f"{_term(rule, own[0])} is there, but {_suppressor(rule, own[0].suppressed_by or '')} suppresses it"
    if rule.context:
        return "its conditions over several messages are not met"
    sentences = [one.text for one in example.messages] or [example.text]
    return next((why for text in sentences if (why := unmet(lexicon, rule, text))), "none of its terms is there") + _others(found)


def _term(rule: Rule, finding: Finding) -> str:
    for kind, listed in (("term", looked_for(rule)), ("pattern", rule.patterns)):
        if finding.term in listed:
            return f"{kind} number {listed.index(finding.term) + 1}"
    return "what it looks for"


def _suppressor(rule: Rule, by: str) -> str:
    kind, _, what = by.removeprefix(f"{rule.id}/").partition("/")
    if kind == "allow" and what in rule.allow:
        return f"allow phrase number {rule.allow.index(what) + 1}"
    return {"negation": f"the negation {what}", "question": f"the question {what}"}.get(kind, by)


def unmet(lexicon: Lexicon, rule: Rule, text: str) -> str | None:
    """Return which need failed for a term of the rule that stands in `text`."""
    judge = lexicon.judges[next(n for n, other in enumerate(lexicon.rules) if other.id == rule.id)]
    folded, origins = ALL.fold_map(text)
    for number, term in enumerate(looked_for(rule), 1):
        at = folded.find(fold(term))
        if at >= 0 and fold(term):
            place = origins[at], origins[at + len(fold(term)) - 1] + 1
            failing = judging.failing(judge, Words(text, folded, origins), *place, lambda: (folded,))
            why = f"{failing} does not hold" if failing else "said by somebody else, on another day or in another kind of message"
            return f"term number {number} is there, but {why}"
    return None


def _others(found: list[Finding]) -> str:
    ids = sorted({f.rule_id for f in found})
    return f" (other rules found something: {', '.join(ids)})" if ids else ""
