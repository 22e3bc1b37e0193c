"""The keyword packs in force: read, compiled for matching, and named by one digest.

Before: packfile.py, levels.py, pinyin.py. After: matching.py and context.py (which take a `Lexicon`), proof.py, `liuhen lexicon`.

What is compiled: packs that fold alike share one automaton over the folded text, with the words of the variant tables beside the terms,
so that most texts are searched once. Terms with loose edges are looked for as written too; terms with a digit word in digits too; terms
that repeat a character in a small automaton of their own, and terms of rules that ask for pinyin in one over syllables.
Regular expressions are one RE2 set over the folded text. A rule that is off (`active: false`, or named in `[lexicon] off`) is in none of them.
"""

from __future__ import annotations

import datetime
import hashlib
import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any, Literal, NamedTuple

import msgspec
import numpy as np
from ahocorasick_rs import AhoCorasick
from numpy.typing import NDArray

from pipeline.errors import UsageError
from pipeline.match import pinyin
from pipeline.match.expressions import Expressions
from pipeline.match.fold import ALL, FOLDS, Folding, as_written, fold, fold_digest, folding, has_firm_edges
from pipeline.match.levels import digits_possible, repeats_possible, runs, with_digits, without_repeats
from pipeline.match.negation import negation_digest
from pipeline.match.packfile import Pack, PackSource, Rule, compile_pattern, read_pack
from pipeline.match.rules import DEFAULT_VARIANTS, Near, Party
from pipeline.match.tables import BITS, replacements, tables_digest
from pipeline.match.tables import digits as digit_words
from pipeline.pii import SECRET_WORDS, Kind
from pipeline.records import Decision, Direction, Finding, Message, Part, PartyKind
from pipeline.resources import data_folder

TERM, TRIGGER, SPOKEN, SECRET = 1, 2, 4, 8
ENGINE = "3"  # raised when matching finds something else in the same text under the same packs


class Entry(NamedTuple):
    """A rule (its number) and the terms of it, as listed, that become one and the same pattern."""

    rule: int
    terms: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Search:
    """One automaton: what is looked for, whose terms those are, the longest of them. Where terms repeat characters, `runs` says how often."""

    automaton: AhoCorasick
    entries: tuple[tuple[Entry, ...], ...]
    longest: int
    runs: tuple[tuple[int, ...], ...] = ()


class Pattern(NamedTuple):
    """A regular expression of a rule."""

    rule: int
    listed: str
    compiled: Any


@dataclass(frozen=True, slots=True)
class Group:
    """Packs that fold alike. digits: whether texts are searched in digits too. kinds: what each pattern of `main` is: a term, a word of the
    variant tables, a word that an expression needs, one beside a secret (TERM | TRIGGER | SPOKEN | SECRET). spoken: of a word that an expression
    needs, its number among those."""

    folding: Folding
    digits: bool
    repeats: bool
    main: Search | None
    written: Search | None
    doubles: Search | None
    sounds: Search | None
    kinds: NDArray[np.uint8]
    spoken: NDArray[np.int64]
    variants: bool
    patterns: tuple[Pattern, ...]
    pattern_set: Expressions | None
    pii: Mapping[Kind, tuple[int, ...]]  # kind of personal data → rules
    secrets: bool  # whether words of secrets are in `main`: they are all that is looked for, and folded as the texts are


@dataclass(frozen=True, slots=True)
class Excuse:
    """Phrases that excuse a hit, folded, and the length of the longest. ways: what a hit was → how phrases can lie over it (judge.py fills it)."""

    automaton: AhoCorasick
    longest: int
    phrases: tuple[str, ...]
    ways: dict[str, tuple[tuple[int, str, int], ...]] = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True)
class Judge:
    """What a rule asks of a hit, ready to be asked: words are folded. watches: whose words its terms are looked for in; always: whether any message will do."""

    watches: Party
    bits: int
    near: tuple[Near, ...]
    all_of: tuple[tuple[str, ...], ...]
    any_of: tuple[str, ...]
    none_of: tuple[str, ...]
    valid: tuple[int, int] | None  # Beijing days since 1970, inclusive
    excuse: Excuse | None
    always: bool


@dataclass(frozen=True, slots=True)
class Disclosures:
    """The approved wordings of all packs: one automaton, the name of each (`PACK/disclosure/N`), the longest."""

    automaton: AhoCorasick
    names: tuple[str, ...]
    longest: int


@dataclass(frozen=True, slots=True)
class Lexicon:
    """Compiled packs. `version` is their digest; pickling carries the packs and compiles them again where they arrive.

    rules: those of all packs, also those that are off (`live`: the numbers of those that are on); contexts: the live ones with a context."""

    version: str
    packs: tuple[Pack, ...]
    rules: tuple[Rule, ...]
    live: frozenset[int]
    groups: tuple[Group, ...]
    judges: tuple[Judge, ...]
    contexts: tuple[int, ...]
    disclosures: Disclosures | None
    training: tuple[tuple[str, str], ...]  # (word folded, `PACK/training/WORD`)
    on: tuple[str, ...] = ()
    off: tuple[str, ...] = ()

    def __reduce__(self) -> tuple[object, ...]:
        return compile_packs, (self.packs, self.on, self.off)


# Versions whose examples were proven, by this process or by the one that started it: proving takes longer than compiling.
proven: set[str] = set()


def load_packs(sources: Sequence[PackSource], *, on: Collection[str] = (), off: Collection[str] = ()) -> Lexicon:
    """Return the lexicon of `sources`, every example proven, also of the rules that are off; once for each version (`proven`).

    on, off: ids of rules that are switched on or off against what their pack says.
    Raises UsageError: the codes of packfile.py, LEXICON_INVALID for an id used twice or unknown, LEXICON_EXAMPLE_FAILED.
    """
    from pipeline.match.proof import prove

    packs = [read_pack(source) for source in sources]
    _refuse_shared_ids("pack", [pack.id for pack in packs])
    ids = [rule.id for pack in packs for rule in pack.rules]
    _refuse_shared_ids("rule", ids)
    refuse_unknown((*on, *off), ids)
    lexicon = compile_packs(packs, on, off)
    if lexicon.version in proven:
        return lexicon
    prove(lexicon)
    resting = [rule.id for number, rule in enumerate(lexicon.rules) if number not in lexicon.live]
    if resting:
        awake = [msgspec.structs.replace(pack, rules=tuple(rule for rule in pack.rules if rule.id in set(resting))) for pack in packs]
        prove(compile_packs([pack for pack in awake if pack.rules], on=resting))
    proven.add(lexicon.version)
    return lexicon


def refuse_unknown(switched: Collection[str], ids: Collection[str]) -> None:
    """Raise UsageError LEXICON_INVALID for a rule that the settings switch on or off and that is none of `ids`, those of all packs."""
    for unknown in sorted(set(switched) - set(ids)):
        raise UsageError("LEXICON_INVALID", f"the settings switch the rule {unknown}, which no keyword pack has", remedy="correct [lexicon] in liuhen.toml")


def _refuse_shared_ids(kind: str, ids: list[str]) -> None:
    for value, count in Counter(ids).items():
        if count > 1:
            raise UsageError("LEXICON_INVALID", f"the {kind} id {value} is used by {count} keyword packs", remedy="rename or remove one")


def shipped_packs() -> list[PackSource]:
    """Return the packs that come with the product, in order of name."""
    return [PackSource(path.name, path.read_bytes(), "yaml") for path in sorted(data_folder("keywords").glob("*.yaml"))]


def compile_packs(packs: Iterable[Pack], on: Collection[str] = (), off: Collection[str] = ()) -> Lexicon:
    """Return the lexicon of packs already read; their order does not matter. 100,000 terms take about a second."""
    ordered = tuple(sorted(packs, key=lambda pack: pack.id))
    rules = tuple(rule for pack in ordered for rule in pack.rules)
    live = frozenset(n for n, rule in enumerate(rules) if (rule.active or rule.id in on) and rule.id not in off)
    return Lexicon(
        version=_version(ordered, [rules[n].id for n in sorted(live)]), packs=ordered, rules=rules, live=live, groups=tuple(_groups(ordered, live)),
        judges=tuple(map(_judge, rules)), contexts=tuple(n for n in sorted(live) if rules[n].context), disclosures=_disclosures(ordered),
        training=tuple((fold(word), f"{pack.id}/training/{word}") for pack in ordered for word in pack.training if fold(word)),
        on=tuple(on), off=tuple(off),
    )  # fmt: skip


def _version(packs: tuple[Pack, ...], live: Sequence[str]) -> str:
    digest = hashlib.sha256(f"{ENGINE} {fold_digest()} {negation_digest()} {tables_digest()} {live}\n".encode())
    digest.update(msgspec.json.encode(packs, order="sorted"))
    return digest.hexdigest()


# -- what is searched for --------------------------------------------------------------------------------------------


def _groups(packs: tuple[Pack, ...], live: frozenset[int]) -> Iterator[Group]:
    chosen: dict[tuple[frozenset[str], bool, bool], list[tuple[int, Rule]]] = {}
    number = 0
    for pack in packs:
        folds = frozenset(name for name in FOLDS if pack.folds.get(name, True))
        key = folds, pack.folds.get("digits", True), pack.folds.get("repeats", True)
        for rule in pack.rules:
            if number in live:
                chosen.setdefault(key, []).append((number, rule))
            number += 1
    for (names, digits, repeats), rules in chosen.items():
        yield _group(folding(names), digits, repeats, rules)


def _group(chosen: Folding, digits: bool, repeats: bool, rules: list[tuple[int, Rule]]) -> Group:
    listed = [(number, term) for number, rule in rules for term in looked_for(rule)]
    folded = [(number, term, chosen.fold(term)) for number, term in listed]
    in_digits = [(n, term, with_digits(form)) for n, term, form in folded if digits_possible(form)] if digits else []
    spelled = _spelled([*folded, *in_digits]) if digits else []
    main = _patterns([*folded, *in_digits, *(spelled or ())])
    variants = any(_bits(rule) & ~BITS["pinyin"] for _, rule in rules)
    doubled = [(n, term, form) for n, term, form in (*folded, *in_digits) if repeats_possible(form) and len(without_repeats(form)) > 1] if repeats else []
    patterns = tuple(Pattern(number, pattern, compile_pattern(pattern)) for number, rule in rules for pattern in rule.patterns)
    pattern_set = _pattern_set(patterns)
    kinds_of_pii = {kind: tuple(number for number, rule in rules if kind in rule.pii) for kind in sorted({kind for _, rule in rules for kind in rule.pii})}
    secrets = {ALL.fold(word) for word in SECRET_WORDS} if set(kinds_of_pii) == {"secret"} and chosen is ALL else set()
    kinds, spoken = _beside_terms(main, replacements().words if variants else (), pattern_set.words if pattern_set else (), secrets)
    return Group(
        folding=chosen, digits=digits and spelled is None, repeats=repeats, main=_search(main), kinds=kinds, spoken=spoken, variants=variants,
        written=_search(_patterns([(n, term, as_written(term)) for n, term in listed if not has_firm_edges(term)])),
        doubles=_doubles(doubled), sounds=_search(_patterns(list(_sounding(rules, chosen)))), patterns=patterns, pattern_set=pattern_set,
        pii=kinds_of_pii, secrets=bool(secrets),
    )  # fmt: skip


def _spelled(listed: list[tuple[int, str, str]]) -> list[tuple[int, str, str]] | None:
    """Return every way to write the digits of patterns with words, so that texts need not be searched again in digits; None when there are too many."""
    found: list[tuple[int, str, str]] = []
    for number, term, form in listed:
        if not _DIGIT.search(form):
            continue
        ways = [_WRITTEN.get(char, char) for char in form]
        if math.prod(map(len, ways)) > MOST_SPELLINGS:
            return None
        found += [(number, term, "".join(chars)) for chars in product(*ways)]
        if len(found) > MOST_SPELLED:
            return None
    return found


_DIGIT = re.compile("[0-9]")
MOST_SPELLINGS, MOST_SPELLED = 1_024, 20_000
# Digit → how it can be written, itself first.
_WRITTEN = {digit: digit + "".join(chr(word) for word, meant in digit_words().items() if meant == digit) for digit in "0123456789"}


def looked_for(rule: Rule) -> tuple[str, ...]:
    """Return what the rule's first search is for: its terms, or the words from which its context starts."""
    context = rule.context
    if context and context.asked:
        return context.asked.terms
    if context and context.together:
        return max(context.together, key=lambda group: min(map(len, group)))
    return rule.terms


Patterns = dict[str, tuple[Entry, ...]]


def _patterns(listed: Sequence[tuple[int, str, str]]) -> Patterns:
    grouped: Patterns = {}
    for number, term, pattern in listed:
        if pattern:
            grouped[pattern] = _with(grouped.get(pattern, ()), number, term)
    return grouped


def _with(entries: tuple[Entry, ...], number: int, term: str) -> tuple[Entry, ...]:
    """`entries` of a pattern and one more term of rule `number`."""
    if not entries:
        return (Entry(number, (term,)),)
    for at, entry in enumerate(entries):
        if entry.rule == number:
            return entries if term in entry.terms else (*entries[:at], Entry(number, (*entry.terms, term)), *entries[at + 1 :])
    return (*entries, Entry(number, (term,)))


def _search(patterns: Patterns) -> Search | None:
    return Search(AhoCorasick(list(patterns)), tuple(patterns.values()), max(map(len, patterns))) if patterns else None


def _beside_terms(
    main: Patterns, triggers: Collection[str], spoken: Sequence[str], secrets: Collection[str]
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Add words of the variant tables, of expressions and beside secrets to `main`; return `kinds` and `spoken` of a group."""
    for word in (*triggers, *spoken, *sorted(secrets)):
        main.setdefault(word, ())
    numbers = {word: number for number, word in enumerate(spoken)}
    kinds = [
        TERM * bool(entries) | TRIGGER * (pattern in triggers) | SPOKEN * (pattern in numbers) | SECRET * (pattern in secrets)
        for pattern, entries in main.items()
    ]
    return np.array(kinds, np.uint8), np.array([numbers.get(pattern, -1) for pattern in main], np.int64)


def _doubles(listed: list[tuple[int, str, str]]) -> Search | None:
    """Terms that repeat a character, once each, one pattern for each way to repeat."""
    by_form: dict[str, tuple[Entry, ...]] = {}
    for number, term, form in listed:
        by_form[form] = _with(by_form.get(form, ()), number, term)
    if not by_form:
        return None
    forms = [without_repeats(form) for form in by_form]
    counts = tuple(tuple(last - first for first, last in runs(form)) for form in by_form)
    return Search(AhoCorasick(forms), tuple(by_form.values()), max(map(len, forms)), counts)


def _sounding(rules: list[tuple[int, Rule]], chosen: Folding) -> Iterator[tuple[int, str, str]]:
    for number, rule in rules:
        if not _bits(rule) & BITS["pinyin"] and not rule.pinyin_short:
            continue
        for term in looked_for(rule):
            spoken = pinyin.sound(chosen.fold(term))
            enough = len(spoken) >= pinyin.LEAST and _bits(rule) & BITS["pinyin"]
            if (enough or term in rule.pinyin_short) and pinyin.all_syllables(spoken):
                yield number, term, spoken


def _pattern_set(patterns: tuple[Pattern, ...]) -> Expressions | None:
    return Expressions([pattern.listed for pattern in patterns], [pattern.compiled for pattern in patterns]) if patterns else None


def _bits(rule: Rule) -> int:
    return sum(BITS[name] for name in set(DEFAULT_VARIANTS if rule.variants is None else rule.variants))


# -- what is asked of a hit ------------------------------------------------------------------------------------------


def _judge(rule: Rule) -> Judge:
    return Judge(
        watches=rule.context.asked.by if rule.context and rule.context.asked else rule.party, bits=_bits(rule),
        near=tuple(msgspec.structs.replace(near, any=_folded(near.any)) for near in rule.near), all_of=tuple(map(_folded, rule.all_of)),
        any_of=_folded(rule.any_of), none_of=_folded(rule.none_of), valid=_days(rule), excuse=_excuse(rule),
        always=not (rule.direction or rule.msgtypes or rule.all_of or rule.any_of or rule.none_of or _days(rule)),
    )  # fmt: skip


def _folded(words: Iterable[str]) -> tuple[str, ...]:
    return tuple(filter(None, map(fold, words)))


def _days(rule: Rule) -> tuple[int, int] | None:
    if rule.valid.from_ is None and rule.valid.to is None:
        return None
    first, last = rule.valid.from_ or datetime.date.min, rule.valid.to or datetime.date.max
    return first.toordinal() - _EPOCH, last.toordinal() - _EPOCH


_EPOCH = datetime.date(1970, 1, 1).toordinal()


def _excuse(rule: Rule) -> Excuse | None:
    phrases = [fold(phrase) for phrase in rule.allow]
    return Excuse(AhoCorasick(phrases), max(map(len, phrases)), tuple(phrases)) if phrases else None


def _disclosures(packs: tuple[Pack, ...]) -> Disclosures | None:
    named = [(f"{pack.id}/disclosure/{number}", fold(text)) for pack in packs for number, text in enumerate(pack.disclosures, 1)]
    if not named:
        return None
    return Disclosures(AhoCorasick([text for _, text in named]), tuple(name for name, _ in named), max(len(text) for _, text in named))


def shared_terms(lexicon: Lexicon) -> list[tuple[str, tuple[str, ...]]]:
    """Return (term, rule ids) for each term that several rules of one category list: one place would be charged to each of them."""
    holders: dict[tuple[str, str], dict[str, str]] = {}
    for rule in lexicon.rules:
        for term in rule.terms:
            holders.setdefault((rule.category, fold(term)), {}).setdefault(rule.id, term)
    return [(next(iter(rules.values())), tuple(rules)) for rules in holders.values() if len(rules) > 1]


# -- a sentence to try ------------------------------------------------------------------------------------------------

_DIRECTION: dict[PartyKind, Literal["outbound", "inbound", "unknown"]] = {
    "employee": "outbound", "robot": "outbound", "external": "inbound", "unknown": "unknown",
}  # fmt: skip


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
