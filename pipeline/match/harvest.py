"""What the hits of one message are worth: whose words, whether they count, how many are kept.

Before: searching.py, judge.py. After: matching.py, whose rules 2-6 this module holds.

A hit beyond what a rule keeps is counted and not looked at: a message full of hits takes little longer than searching it.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Literal, NamedTuple

from pipeline import pii
from pipeline.match import judge as judging
from pipeline.match import levels, pinyin
from pipeline.match.fold import fold
from pipeline.match.judge import Approved
from pipeline.match.levels import Mapped
from pipeline.match.lexicon import Entry, Judge, Lexicon, Search
from pipeline.match.rules import Rule
from pipeline.match.searching import Expressed, Found, Ground, Hits, Level
from pipeline.records import Decision, Finding, Message, Via

MAX_FINDINGS = 1_000  # a message and rule
MAX_JUDGED = 20_000  # places of a message and rule that are looked at: about a second

Party = Literal["employee", "external", "robot", "quoted", "unknown"]
Place = tuple[int, int, int]  # part, start_cp, end_cp
_VIA: dict[str, Via] = {"variants": "variant", "sounds": "pinyin"}
_WEIGHT: dict[Via, int] = {"literal": 3, "folded": 2, "variant": 1, "pinyin": 0}


class Anchor(NamedTuple):
    """Where a rule with a context could begin: its number, and what stands there as if it were a finding."""

    rule: int
    finding: Finding


class Examined(NamedTuple):
    """What one message by itself shows. dropped: how many findings there were beyond those kept."""

    findings: tuple[Finding, ...] = ()
    dropped: int = 0
    anchors: tuple[Anchor, ...] = ()


class _Hit(NamedTuple):
    """What stands at a place for a rule. rank: the better level first, then the longer pattern."""

    rank: tuple[int, int]
    via: Via
    term: str
    party: Party
    written: str
    suppressed_by: str | None


@dataclass(slots=True)
class _Shelves:
    """The hits of one rule: those that count and those that are suppressed, at most MAX_FINDINGS each, and how many places were looked at.

    speaker: who says what is not quoted, when the rule is about them; applies: whether it is about such messages at all."""

    rule: Rule
    judge: Judge
    applies: bool
    speaker: Party | None
    counting: dict[Place, _Hit] = field(default_factory=dict)
    suppressed: dict[Place, _Hit] = field(default_factory=dict)
    refused: set[Place] = field(default_factory=set)
    looked: int = 0

    def wants(self) -> bool:
        """Whether one more place is to be looked at."""
        return len(self.counting) < MAX_FINDINGS and self.looked < MAX_JUDGED


class Harvest:
    """The hits of one message as they come in."""

    def __init__(self, message: Message, decision: Decision, lexicon: Lexicon, approved: Approved | None) -> None:
        self._message, self._decision, self._lexicon, self._approved = message, decision, lexicon, approved
        self._by_rule: dict[int, _Shelves] = {}
        self._over = self._taken = 0
        self._folded: tuple[str, ...] | None = None

    def take_all(self, ground: Ground, found: Iterable[Found]) -> None:
        """Add the hits of one part under one group."""
        for level, search, hits, matching in found:
            if level == "pii":
                self._take_pii(ground)
            elif search is None:
                self._take_expressions(ground, matching)
            elif level == "doubles":
                self._take_doubles(ground, search, hits)
            else:
                self._take(ground, search, hits, level)

    # -- by level ---------------------------------------------------------------------------------------------------

    def _take(self, ground: Ground, search: Search, hits: Hits, level: Level) -> None:
        """Add the hits that one search had in one part at a level."""
        mapped: Mapped | None = None  # a long text that almost matches has no hit, and is spared its map
        via = _VIA.get(level, "folded")
        past: dict[int, int] = {}  # pattern → for how many rules another hit of it would be one finding more than are kept
        for pattern, start, end in hits:
            mapped = mapped or ground.level(level)
            if level != "base" and not _is_own(level, mapped, start, end):
                continue
            if pattern in past:
                self._over += past[pattern]
                continue
            first, last = mapped.place(start, end)
            if level == "base":  # nearly all hits
                for entry in search.entries[pattern]:
                    self._offer(ground, entry, (ground.part, first, last), via, end - start)
            elif first < last and not (via == "variant" and mapped.cuts(start, end)):
                self._take_one(ground, search.entries[pattern], (ground.part, first, last), via, end - start, mapped.tables(start, end))
            self._taken += 1
            if self._taken > MAX_FINDINGS and (more := self._more(ground, search.entries[pattern])) is not None:
                past[pattern] = more

    def _take_one(self, ground: Ground, entries: tuple[Entry, ...], place: Place, via: Via, length: int, needed: int) -> None:
        for entry in entries:
            if via == "folded" or self._counts(ground, entry, place, via, needed):
                self._offer(ground, entry, place, via, length)

    def _more(self, ground: Ground, entries: tuple[Entry, ...]) -> int | None:
        """For how many of the rules another hit is merely counted; None when one of them would look at it."""
        counted = 0
        for entry in entries:
            shelves = self._shelves(entry.rule)
            if shelves.applies and not shelves.wants():
                counted += 1
            elif shelves.applies and (shelves.speaker or self._may_be_quoted(ground, entry.rule)):
                return None
        return counted

    def _take_doubles(self, ground: Ground, search: Search, hits: Hits) -> None:
        """Add terms that repeat a character, where the text repeats it as often or more."""
        found: tuple[tuple[int, int], ...] = ()
        for pattern, start, end in hits:
            found = found or levels.runs(ground.base.text)
            counts = search.runs[pattern]
            if all(last - first >= count for (first, last), count in zip(found[start:end], counts, strict=True)):
                first = ground.base.starts[found[start][1] - counts[0]]
                last = ground.base.end(found[end - 1][0] + counts[-1] - 1)
                for entry in search.entries[pattern] if first < last else ():
                    self._offer(ground, entry, (ground.part, first, last), "folded", sum(counts))

    def _take_pii(self, ground: Ground) -> None:
        """Add the places of personal data; the term is the kind. What stands there is stored masked."""
        for place in pii.places(ground.text, ground.group.pii):
            for rule in ground.group.pii[place.kind]:
                where = (ground.part, place.start_cp, place.end_cp)
                self._offer(ground, Entry(rule, (place.kind,)), where, "literal", place.end_cp - place.start_cp)

    def _take_expressions(self, ground: Ground, matching: Iterable[Expressed]) -> None:
        """Add what the regular expressions match in the folded text, but not over a place that counts for the rule already: one utterance, one finding."""
        taken: dict[int, list[tuple[int, int]]] = {}
        base = ground.base
        for number, spans in matching:
            pattern = ground.group.patterns[number]
            places = taken.setdefault(pattern.rule, self._places(pattern.rule, ground.part))
            for start, end in spans:
                first, last = base.place(start, end)
                if not _overlaps(places, first, last):
                    stands = ground.text[first:last] == base.text[start:end]
                    self._offer(ground, Entry(pattern.rule, (pattern.listed,)), (ground.part, first, last), "literal" if stands else "folded", end - start)
                    if (ground.part, first, last) in self._shelves(pattern.rule).counting:
                        insort(places, (first, last))

    def _places(self, rule: int, part: int) -> list[tuple[int, int]]:
        """Where a rule has hits that count in a part: merged, so that they do not overlap, in order."""
        shelves = self._by_rule.get(rule)
        merged: list[tuple[int, int]] = []
        for start, end in sorted((place[1], place[2]) for place in shelves.counting if place[0] == part) if shelves else ():
            if merged and start < merged[-1][1]:
                merged[-1] = merged[-1][0], max(end, merged[-1][1])
            else:
                merged.append((start, end))
        return merged

    def _counts(self, ground: Ground, entry: Entry, place: Place, via: Via, needed: int) -> bool:
        """Whether a hit at a level of variants or sounds is one for this rule."""
        if via == "variant":
            return not needed & ~self._lexicon.judges[entry.rule].bits
        written = fold(ground.text[place[1] : place[2]])
        return any(pinyin.sounds_like(written, fold(term), bool(needed)) for term in entry.terms)

    # -- by rule ------------------------------------------------------------------------------------------------------

    def _shelves(self, number: int) -> _Shelves:
        shelves = self._by_rule.get(number)
        if shelves is None:
            shelves = self._by_rule[number] = self._opened(self._lexicon.rules[number], self._lexicon.judges[number])
        return shelves

    def _opened(self, rule: Rule, judge: Judge) -> _Shelves:
        return _Shelves(rule, judge, judge.always or self._applies(rule, judge), self._speaker(judge))

    def _applies(self, rule: Rule, judge: Judge) -> bool:
        """Whether the rule is about such a message, and the message has what the rule needs."""
        if rule.direction and self._decision.direction not in (rule.direction, "unknown"):
            return False
        if rule.msgtypes and self._message.msgtype not in rule.msgtypes:
            return False
        return judging.holds_on(judge, self._message.sent_at_ms) and judging.stands_in(judge, self._whole)

    def _speaker(self, judge: Judge) -> Party | None:
        """Who says what is not quoted, when the rule is about them."""
        watches, speaker = judge.watches, self._decision.sender_kind
        return speaker if watches == "any" or speaker == "unknown" or watches == ("employee" if speaker == "robot" else speaker) else None

    def _may_be_quoted(self, ground: Ground, number: int) -> bool:
        return bool(self._message.quotes) or (ground.quotable and self._lexicon.rules[number].reported)

    def _is_quoted(self, ground: Ground, place: Place, rule: Rule) -> bool:
        part, start, end = place
        if any(quote.part == part and quote.start_cp <= start and end <= quote.end_cp for quote in self._message.quotes):
            return True
        return ground.quotable and rule.reported and judging.reported(ground.text, start, end)

    def _offer(self, ground: Ground, entry: Entry, place: Place, via: Via, length: int) -> None:
        shelves = self._shelves(entry.rule)
        if not shelves.applies or place in shelves.refused:
            return
        shelf = shelves.counting if place in shelves.counting else shelves.suppressed if place in shelves.suppressed else None
        if shelf is None and not shelves.wants():
            self._over += 1
            return
        written, term = ground.text[place[1] : place[2]], entry.terms[0]
        if via != "literal" and written in entry.terms:
            via, term = "literal", written
        rank = _WEIGHT[via], length
        if shelf is not None:
            shelf[place] = _better(shelf[place], rank, via, term)
            return
        shelves.looked += 1
        may_be = self._message.quotes or ground.quotable
        party: Party | None = "quoted" if may_be and self._is_quoted(ground, place, shelves.rule) else shelves.speaker
        if party is None or (shelves.judge.near and not judging.stands_near(shelves.judge, ground.words, place[1], place[2])):
            shelves.refused.add(place)
            return
        self._shelve(shelves, place, _Hit(rank, via, term, party, written, self._suppressed_by(ground, shelves, place)))

    def _shelve(self, shelves: _Shelves, place: Place, hit: _Hit) -> None:
        shelf = shelves.suppressed if hit.suppressed_by else shelves.counting
        if len(shelf) < MAX_FINDINGS:
            shelf[place] = hit
        else:
            self._over += 1

    def _suppressed_by(self, ground: Ground, shelves: _Shelves, place: Place) -> str | None:
        _, start, end = place
        by = judging.suppressed_by(ground.plain, start, end, shelves.rule, shelves.judge, self._lexicon.disclosures)
        if by is None and self._approved is not None:
            covering = self._approved.covering(self._message, self._decision, place[0], ground.text, start, end)
            by = f"approved/{covering}" if covering else None
        if by is None and self._decision.direction == "internal":
            by = next((name for word, name in self._lexicon.training if any(word in part for part in self._whole())), None)
        return by

    def _whole(self) -> tuple[str, ...]:
        """All parts of the message, folded."""
        if self._folded is None:
            self._folded = tuple(fold(part.text) for part in self._message.parts)
        return self._folded

    # -- the result ---------------------------------------------------------------------------------------------------

    def result(self) -> Examined:
        """The findings in order, how many there were beyond them, and what only begins here."""
        kept: list[tuple[tuple[int, int, int, int], Finding]] = []
        anchors: list[Anchor] = []
        over = self._over
        for number, shelves in self._by_rule.items():
            rule = shelves.rule
            hits = [*shelves.counting.items(), *shelves.suppressed.items()]
            if rule.context is None:
                over += max(0, len(hits) - MAX_FINDINGS)
            for place, hit in hits[:MAX_FINDINGS]:
                found = _finding(rule, place, hit)
                if rule.context is None:
                    kept.append(((place[0], place[1], number, place[2]), found))
                else:
                    anchors.append(Anchor(number, found))
        anchors.sort(key=lambda a: (a.finding.part, a.finding.start_cp, a.rule, a.finding.end_cp))
        kept.sort(key=itemgetter(0))
        return Examined(tuple([finding for _, finding in kept]), over, tuple(anchors))


def _is_own(level: Level, mapped: Mapped, start: int, end: int) -> bool:
    """Whether the folded text does not have the same hit already: something was replaced, a character inside is repeated."""
    if level == "variants":
        return mapped.tables(start, end) != 0
    return level != "repeats" or mapped.tables(start + 1, end - 1) != 0


def _overlaps(places: list[tuple[int, int]], start: int, end: int) -> bool:
    """Whether [start, end) shares a code point with one of `places` (disjoint, in order)."""
    before = bisect_left(places, (end, end))
    return before > 0 and places[before - 1][1] > start


def _better(old: _Hit, rank: tuple[int, int], via: Via, term: str) -> _Hit:
    return old._replace(rank=rank, term=term, via=via) if rank > old.rank else old


def _finding(rule: Rule, place: Place, hit: _Hit) -> Finding:
    return Finding(
        rule_id=rule.id, category=rule.category, severity=rule.severity, party=hit.party, term=hit.term, matched_text=hit.written,
        part=place[0], start_cp=place[1], end_cp=place[2], via=hit.via, suppressed_by=hit.suppressed_by,
    )  # fmt: skip
