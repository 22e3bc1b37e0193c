"""Find the places of a message where a rule fires, in code points of the text as written, part by part.

Before: consent.py (gated messages), lexicon.py (compiled packs). After: stage.py.

1. Each part is searched by itself, and nested and overlapping terms are all found.
2. A place is `literal` when the term stands there as listed, else `folded`. A rule has one finding at a place: literal before folded,
   then the longer term.
3. Whose words: the sender's, or `quoted` when the place lies wholly within a quotation.
4. A rule about employees fires on the words of employees and of their robots, one about external people on theirs; on words of
   an unknown sender and on quoted words each rule fires, since nobody can say that they are not the right person's.
5. A hit that an allow phrase covers or overlaps is suppressed (a phrase inside a longer hit excuses nothing); so is one that a
   negation takes back. Suppressed findings are kept and say by what.
6. At most 1,000 findings a message and rule, those that count before suppressed ones, from the first 20,000 places; the rest is counted.
7. Only archived messages are searched; a recall has no words.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from operator import itemgetter
from typing import TYPE_CHECKING, Literal, NamedTuple

from pipeline.match.fold import fold_map
from pipeline.match.negation import negation_before
from pipeline.records import Decision, Finding, Gated, GatedPage, Matched, MatchedPage, Message

if TYPE_CHECKING:  # lexicon.py proves packs with `find`
    from pipeline.match.lexicon import Entry, Excuse, Lexicon, Pass
    from pipeline.match.packfile import Rule

MAX_FINDINGS = 1_000  # a message and rule
MAX_JUDGED = 20_000  # places of a message and rule that are looked at for excuses: about a second
WINDOW = 1 << 17  # folded code points searched at once: bounds the memory that a message full of hits can take

Party = Literal["employee", "external", "robot", "quoted", "unknown"]


def match_page(page: GatedPage, *, lexicon: Lexicon) -> MatchedPage:
    """Return `page` with the findings of each archived record; other records have none."""
    items = tuple(_match(gated, lexicon) for gated in page.items)
    return MatchedPage(page.ref, items, page.failed, page.register_version, lexicon.version)


def _match(gated: Gated, lexicon: Lexicon) -> Matched:
    if gated.decision.fate != "archived":
        return Matched(gated)
    return Matched(gated, *find(gated.message, gated.decision, lexicon))


def find(message: Message, decision: Decision, lexicon: Lexicon) -> tuple[tuple[Finding, ...], int]:
    """Return the findings of `message`, in order of part, start, rule, end, and how many more there were than are kept.

    start_cp and end_cp are code points of the part as written. suppressed_by: `RULE/allow/PHRASE` or `RULE/negation/WORD`.
    """
    if message.kind != "message":
        return (), 0
    harvest: _Harvest | None = None
    for number, part in enumerate(message.parts):
        for search in lexicon.passes:
            folded = search.level.fold(part.text)
            hits = _hits(search, folded)
            if not hits:
                continue
            harvest = harvest or _Harvest(message, decision, lexicon)
            harvest.take(_Ground(number, part.text, search.level.fold_map(part.text)[1]), search, hits)
    return harvest.result() if harvest else ((), 0)


def _hits(search: Pass, folded: str) -> Iterable[tuple[int, int, int]]:
    """Each (pattern number, start, end) in `folded`; an empty list when there is none in a text of ordinary length."""
    if len(folded) <= WINDOW:
        return search.automaton.find_matches_as_indexes(folded, overlapping=True)
    return _hits_by_window(search, folded)


def _hits_by_window(search: Pass, folded: str) -> Iterator[tuple[int, int, int]]:
    for at in range(0, len(folded), WINDOW):
        text = folded[at : at + WINDOW + search.longest - 1]
        for pattern, start, end in search.automaton.find_matches_as_indexes(text, overlapping=True):
            if start < WINDOW:
                yield pattern, start + at, end + at


class _Ground(NamedTuple):
    """The part in which hits lie: its number, its text as written, and for each folded code point where it came from."""

    part: int
    text: str
    origins: list[int]


Place = tuple[int, int, int]  # part, start_cp, end_cp


class _Hit(NamedTuple):
    """What stands at a place for a rule. rank: literal first, then the longer folded term."""

    rank: tuple[bool, int]
    term: str
    party: Party
    written: str
    suppressed_by: str | None


@dataclass(slots=True)
class _Shelves:
    """The hits of one rule: those that count and those that are suppressed, at most MAX_FINDINGS each, and how many places were judged."""

    counting: dict[Place, _Hit] = field(default_factory=dict)
    suppressed: dict[Place, _Hit] = field(default_factory=dict)
    judged: int = 0

    def shelf_of(self, place: Place) -> dict[Place, _Hit] | None:
        """Where a hit at `place` lies already."""
        return next((shelf for shelf in (self.counting, self.suppressed) if place in shelf), None)

    def wants(self) -> bool:
        """Whether one more place is to be judged."""
        return len(self.counting) < MAX_FINDINGS and self.judged < MAX_JUDGED


class _Harvest:
    """The hits of one message as they come in."""

    def __init__(self, message: Message, decision: Decision, lexicon: Lexicon) -> None:
        self._message, self._decision, self._lexicon = message, decision, lexicon
        self._by_rule: dict[int, _Shelves] = {}
        self._over = 0

    def take(self, ground: _Ground, search: Pass, hits: Iterable[tuple[int, int, int]]) -> None:
        """Add the hits that one pass had in one part."""
        for pattern, start, end in hits:
            place = ground.part, ground.origins[start], ground.origins[end - 1] + 1
            for entry in search.entries[pattern]:
                party = self._party(place, self._lexicon.rules[entry.rule])
                if party is not None:
                    self._add(ground.text, entry, party, place, end - start)

    def _party(self, place: Place, rule: Rule) -> Party | None:
        """Whose words lie at `place`, or None when the rule is not about them or not about such a message."""
        part, start, end = place
        speaker, direction = self._decision.sender_kind, self._decision.direction
        if rule.direction and direction not in (rule.direction, "unknown"):
            return None
        if rule.msgtypes and self._message.msgtype not in rule.msgtypes:
            return None
        if any(quote.part == part and quote.start_cp <= start and end <= quote.end_cp for quote in self._message.quotes):
            return "quoted"
        fits = rule.party == "any" or speaker == "unknown" or rule.party == ("employee" if speaker == "robot" else speaker)
        return speaker if fits else None

    def _add(self, text: str, entry: Entry, party: Party, place: Place, length: int) -> None:
        shelves = self._by_rule.setdefault(entry.rule, _Shelves())
        written = text[place[1] : place[2]]
        literal = written in entry.terms
        hit = _Hit((literal, length), written if literal else entry.terms[0], party, written, None)
        if (shelf := shelves.shelf_of(place)) is not None:
            shelf[place] = _better(shelf[place], hit)
        elif shelves.wants():
            self._judge(text, entry.rule, place, hit, shelves)
        else:
            self._over += 1

    def _judge(self, text: str, number: int, place: Place, hit: _Hit, shelves: _Shelves) -> None:
        shelves.judged += 1
        by = suppressed_by(text, place[1], place[2], self._lexicon.rules[number], self._lexicon.excuses[number])
        shelf = shelves.suppressed if by else shelves.counting
        if len(shelf) < MAX_FINDINGS:
            shelf[place] = hit._replace(suppressed_by=by)
        else:
            self._over += 1

    def result(self) -> tuple[tuple[Finding, ...], int]:
        """The findings in order, and how many there were beyond them."""
        kept: list[tuple[tuple[int, int, int, int], Finding]] = []
        over = self._over
        for number, shelves in self._by_rule.items():
            rule = self._lexicon.rules[number]
            hits = [*shelves.counting.items(), *shelves.suppressed.items()]
            over += max(0, len(hits) - MAX_FINDINGS)
            for place, hit in hits[:MAX_FINDINGS]:
                kept.append(((place[0], place[1], number, place[2]), _finding(rule, place, hit)))
        return tuple(finding for _, finding in sorted(kept, key=itemgetter(0))), over


def _better(old: _Hit, new: _Hit) -> _Hit:
    return old._replace(rank=new.rank, term=new.term) if new.rank > old.rank else old


def _finding(rule: Rule, place: Place, hit: _Hit) -> Finding:
    return Finding(
        rule_id=rule.id, category=rule.category, severity=rule.severity, party=hit.party, term=hit.term, matched_text=hit.written,
        part=place[0], start_cp=place[1], end_cp=place[2], via="literal" if hit.rank[0] else "folded", suppressed_by=hit.suppressed_by,
    )  # fmt: skip


def suppressed_by(text: str, start: int, end: int, rule: Rule, excuse: Excuse | None) -> str | None:
    """Return what excuses the hit of `rule` at code points [start, end) of `text`: an allow phrase, else a negation, else None."""
    if excuse and (phrase := _allow_over(text, start, end, excuse)) is not None:
        return f"{rule.id}/allow/{rule.allow[phrase]}"
    if rule.negations and (word := negation_before(text, start, end)):
        return f"{rule.id}/negation/{word}"
    return None


def _allow_over(text: str, start: int, end: int, excuse: Excuse) -> int | None:
    """The first listed allow phrase that covers or overlaps [start, end); one that lies within a longer hit excuses nothing."""
    at = max(0, start - 2 * excuse.longest)
    folded, origins = fold_map(text[at : end + 2 * excuse.longest])
    phrases = []
    for phrase, first, last in excuse.automaton.find_matches_as_indexes(folded, overlapping=True):
        span = at + origins[first], at + origins[last - 1] + 1
        inside = start <= span[0] and span[1] <= end and span != (start, end)
        if span[0] < end and start < span[1] and not inside:
            phrases.append(phrase)
    return min(phrases, default=None)


def leftmost(findings: Iterable[Finding], longest: bool) -> list[Finding]:
    """Return a choice of `findings` that do not overlap, for showing: part by part, the one that starts first wins.

    Of several that start at one place the longest is taken when `longest`, else the one that comes first in `findings`.
    """
    ranked = sorted(enumerate(findings), key=lambda pair: (pair[1].part, pair[1].start_cp, -pair[1].end_cp if longest else 0, pair[0]))
    chosen: list[Finding] = []
    for _, finding in ranked:
        if not chosen or chosen[-1].part < finding.part or chosen[-1].end_cp <= finding.start_cp:
            chosen.append(finding)
    return chosen
