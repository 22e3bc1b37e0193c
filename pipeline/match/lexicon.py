"""The keyword packs in force: read, compiled for matching, proven by their own examples, and named by one digest.

Before: packfile.py, negation.py. After: matching.py (which takes a `Lexicon`), message flow, `liuhen lexicon`.

A pack whose examples fail does not load: UsageError LEXICON_EXAMPLE_FAILED names pack, rule and the example's number.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import msgspec
from ahocorasick_rs import AhoCorasick

from pipeline.errors import UsageError
from pipeline.match.fold import FOLDED, WRITTEN, Level, fold, fold_digest, has_firm_edges
from pipeline.match.matching import find
from pipeline.match.negation import negation_digest
from pipeline.match.packfile import Example, Pack, PackSource, Rule, read_pack
from pipeline.records import Decision, Direction, Finding, Message, Part, PartyKind
from pipeline.resources import data_folder

ENGINE = "1"  # raised when matching finds something else in the same text under the same packs


class Entry(NamedTuple):
    """A rule (its number) and the terms of it, as listed, that fold to one and the same pattern."""

    rule: int
    terms: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Pass:
    """One search over each text: how the text is folded, what is looked for in it, whose terms those are, the longest of them."""

    level: Level
    automaton: AhoCorasick
    entries: tuple[tuple[Entry, ...], ...]
    longest: int


@dataclass(frozen=True, slots=True)
class Excuse:
    """The allow phrases of one rule, folded, and the length of the longest."""

    automaton: AhoCorasick
    longest: int


@dataclass(frozen=True, slots=True)
class Lexicon:
    """Compiled packs. `version` is their digest; pickling carries the packs and compiles them again where they arrive."""

    version: str
    packs: tuple[Pack, ...]
    rules: tuple[Rule, ...]
    passes: tuple[Pass, ...]
    excuses: tuple[Excuse | None, ...]  # by rule

    def __reduce__(self) -> tuple[object, ...]:
        return compile_packs, (self.packs,)


def load_packs(sources: Sequence[PackSource]) -> Lexicon:
    """Return the lexicon of `sources`, every example proven.

    Raises UsageError: the codes of packfile.py, LEXICON_INVALID for an id used twice, LEXICON_EXAMPLE_FAILED.
    """
    packs = [read_pack(source) for source in sources]
    _refuse_shared_ids("pack", [pack.id for pack in packs])
    _refuse_shared_ids("rule", [rule.id for pack in packs for rule in pack.rules])
    lexicon = compile_packs(packs)
    prove(lexicon)
    return lexicon


def _refuse_shared_ids(kind: str, ids: list[str]) -> None:
    for value, count in Counter(ids).items():
        if count > 1:
            raise UsageError("LEXICON_INVALID", f"the {kind} id {value} is used by {count} keyword packs", remedy="rename or remove one")


def shipped_packs() -> list[PackSource]:
    """Return the packs that come with the product, in order of name."""
    return [PackSource(path.name, path.read_bytes(), "yaml") for path in sorted(data_folder("keywords").glob("*.yaml"))]


def compile_packs(packs: Iterable[Pack]) -> Lexicon:
    """Return the lexicon of packs already read; their order does not matter. 100,000 terms take about a second."""
    ordered = tuple(sorted(packs, key=lambda pack: pack.id))
    rules = tuple(rule for pack in ordered for rule in pack.rules)
    return Lexicon(_version(ordered), ordered, rules, tuple(_passes(rules)), tuple(map(_excuse, rules)))


def _version(packs: tuple[Pack, ...]) -> str:
    digest = hashlib.sha256(f"{ENGINE} {fold_digest()} {negation_digest()}\n".encode())
    digest.update(msgspec.json.encode(packs, order="sorted"))
    return digest.hexdigest()


def _passes(rules: tuple[Rule, ...]) -> Iterator[Pass]:
    """Terms with loose edges are looked for as written too; what is found there is literal and comes first."""
    listed = [(number, term) for number, rule in enumerate(rules) for term in rule.terms]
    yield from _pass(WRITTEN, [(number, term) for number, term in listed if not has_firm_edges(term)])
    yield from _pass(FOLDED, listed)


def _pass(level: Level, listed: list[tuple[int, str]]) -> Iterator[Pass]:
    grouped: dict[str, tuple[Entry, ...]] = {}
    for number, term in listed:
        if pattern := level.fold(term):
            grouped[pattern] = _with(grouped.get(pattern, ()), number, term)
    if grouped:
        yield Pass(level, AhoCorasick(list(grouped)), tuple(grouped.values()), max(map(len, grouped)))


def _with(entries: tuple[Entry, ...], number: int, term: str) -> tuple[Entry, ...]:
    """`entries` of a pattern and one more term; terms come rule by rule, so that only the last entry can be of the same rule."""
    if entries and entries[-1].rule == number:
        return (*entries[:-1], Entry(number, (*entries[-1].terms, term)))
    return (*entries, Entry(number, (term,)))


def _excuse(rule: Rule) -> Excuse | None:
    phrases = [fold(phrase) for phrase in rule.allow]
    return Excuse(AhoCorasick(phrases), max(map(len, phrases))) if phrases else None


def shared_terms(lexicon: Lexicon) -> list[tuple[str, tuple[str, ...]]]:
    """Return (term, rule ids) for each term that several rules of one category list: one place would be charged to each of them."""
    holders: dict[tuple[str, str], dict[str, str]] = {}
    for rule in lexicon.rules:
        for term in rule.terms:
            holders.setdefault((rule.category, fold(term)), {}).setdefault(rule.id, term)
    return [(next(iter(rules.values())), tuple(rules)) for rules in holders.values() if len(rules) > 1]


# --- proof --------------------------------------------------------------------------------------------------------


def prove(lexicon: Lexicon) -> None:
    """Raise UsageError LEXICON_EXAMPLE_FAILED for the first example that does not do what its rule says."""
    for pack in lexicon.packs:
        for rule in pack.rules:
            for kind, number, example in _examples(rule):
                if _fires(lexicon, rule, example) != (kind == "must_match"):
                    raise UsageError(
                        "LEXICON_EXAMPLE_FAILED",
                        f"keyword pack {pack.id}, rule {rule.id}: {kind} example number {number} is {_OUTCOME[kind]}",
                        remedy="correct the terms, the allow phrases or the example; until then no pack of this set is used",
                    )


_OUTCOME = {"must_match": "not found", "must_not_match": "found"}
_DIRECTION: dict[PartyKind, Literal["outbound", "inbound", "unknown"]] = {
    "employee": "outbound", "robot": "outbound", "external": "inbound", "unknown": "unknown",
}  # fmt: skip


def _examples(rule: Rule) -> Iterator[tuple[str, int, Example]]:
    speaker: PartyKind = "unknown" if rule.party == "any" else rule.party
    for kind, examples in (("must_match", rule.examples.must_match), ("must_not_match", rule.examples.must_not_match)):
        for number, example in enumerate(examples, 1):
            text, party = (example, None) if isinstance(example, str) else (example.text, example.party)
            yield kind, number, Example(text, party or speaker)


def _fires(lexicon: Lexicon, rule: Rule, example: Example) -> bool:
    findings, _dropped = find(*said(example.text, example.party or "unknown", msgtype=next(iter(rule.msgtypes), "text"), direction=rule.direction), lexicon)
    return any(finding.rule_id == rule.id and finding.suppressed_by is None for finding in findings)


def said(text: str, party: PartyKind, *, msgtype: str = "text", direction: Direction | None = None) -> tuple[Message, Decision]:
    """Return a message in which `party` says `text`, and the gate's answer to it: what an example or a try needs."""
    message = Message(
        msgid="example", kind="message", action="send", msgtype=msgtype, sender_id=None, recipient_ids=(),
        room_id=None, sent_at_ms=None, text=text, parts=(Part("text.content", text),),
    )  # fmt: skip
    decision = Decision(
        fate="archived", consent="unknown", source="example", rule="", reason="", lawful_basis=(),
        sender_kind=party, direction=direction or _DIRECTION[party],
    )  # fmt: skip
    return message, decision


def live(findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings that count: those nothing suppressed."""
    return [finding for finding in findings if finding.suppressed_by is None]
