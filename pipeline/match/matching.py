"""Find the places of a message where a rule fires, in code points of the text as written, part by part.

Before: ../consent.py (gated messages), lexicon.py (compiled packs). After: ../stage.py; context.py takes what only starts here (`Anchor`).

1. Each part is searched by itself, and nested and overlapping terms are all found.
2. A place is `literal` when the term stands there as listed, else `folded`, `variant` (levels.py) or `pinyin`. A rule has one finding at a
   place: literal before folded before variant before pinyin, then the longer term. A regular expression is searched in the folded text
   and adds nothing over a term of its rule that counts. Personal data (../pii.py) are literal.
3. Whose words: the sender's, or `quoted` when the place lies wholly within a quotation, or in quotation marks after somebody else's 说.
4. A rule about employees fires on the words of employees and of their robots, one about external people on theirs; on words of
   an unknown sender and on quoted words each rule fires, since nobody can say that they are not the right person's.
5. What a rule needs beside a hit (near, all_of, any_of, none_of, judge.py) is no finding when it fails. A hit is suppressed, kept and told
   by what, by the first of: an approved wording around it, an allow phrase that covers or overlaps it (a phrase inside a longer hit
   excuses nothing), a negation, a question.
6. At most 1,000 findings a message and rule, those that count before suppressed ones, from the first 20,000 places; the rest is counted.
7. Only archived messages are searched; a recall has no words.
8. The map back to the original is made only for texts with a hit.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from operator import itemgetter
from typing import TYPE_CHECKING, Literal, NamedTuple

from pipeline import pii
from pipeline.match import judge as judging
from pipeline.match import levels, pinyin
from pipeline.match.fold import as_written, as_written_map, fold
from pipeline.match.judge import Approved, Words
from pipeline.match.levels import Mapped
from pipeline.records import Decision, Finding, Gated, GatedPage, Matched, MatchedPage, Message, Via

if TYPE_CHECKING:  # lexicon.py proves packs with `find`
    from pipeline.match.lexicon import Entry, Group, Lexicon, Search
    from pipeline.match.rules import Rule

MAX_FINDINGS = 1_000  # a message and rule
MAX_JUDGED = 20_000  # places of a message and rule that are looked at for excuses: about a second
WINDOW = 1 << 17  # folded code points searched at once: bounds the memory that a message full of hits can take

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


_NOTHING = Examined()


def match_page(page: GatedPage, *, lexicon: Lexicon, approved: Approved | None = None) -> MatchedPage:
    """Return `page` with the findings of each archived record; other records have none."""
    items = tuple(_match(gated, lexicon, approved) for gated in page.items)
    return MatchedPage(page.ref, items, page.failed, page.register_version, version_of(lexicon, approved))


def version_of(lexicon: Lexicon, approved: Approved | None) -> str:
    """Return the version that findings carry: the lexicon's, mixed with the approved texts' when there are any."""
    return judging.mixed_version(lexicon.version, approved.digest) if approved else lexicon.version


def _match(gated: Gated, lexicon: Lexicon, approved: Approved | None) -> Matched:
    if gated.decision.fate != "archived":
        return Matched(gated)
    found = examine(gated.message, gated.decision, lexicon, approved)
    return Matched(gated, found.findings, found.dropped)


def find(message: Message, decision: Decision, lexicon: Lexicon, *, approved: Approved | None = None) -> tuple[tuple[Finding, ...], int]:
    """Return the findings of `message`, in order of part, start, rule, end, and how many more there were than are kept.

    start_cp and end_cp are code points of the part as written. suppressed_by: `PACK/disclosure/N`, `approved/ID`, `RULE/allow/PHRASE`,
    `RULE/negation/WORD` or `RULE/question/WORD`.
    """
    found = examine(message, decision, lexicon, approved)
    return found.findings, found.dropped


def examine(message: Message, decision: Decision, lexicon: Lexicon, approved: Approved | None = None) -> Examined:
    """Return what `find` returns, and where rules with a context could begin."""
    if message.kind != "message":
        return _NOTHING
    harvest: _Harvest | None = None
    for number, part in enumerate(message.parts):
        for group in lexicon.groups:
            found = _search(group, part.text)
            if found:
                harvest = harvest or _Harvest(message, decision, lexicon, approved)
                harvest.take_all(harvest.ground(number, part.text, group), found)
    return harvest.result() if harvest else _NOTHING


# -- where hits lie ---------------------------------------------------------------------------------------------------


class _Ground:
    """One part under one group's folding: the text as written, and its base map."""

    __slots__ = ("base", "group", "part", "text", "words")

    def __init__(self, part: int, text: str, group: Group) -> None:
        self.part, self.text, self.group = part, text, group
        self.base = levels.base_map(text, group.folding)
        self.words = Words(text, self.base.text, self.base.starts)

    def level(self, name: Level) -> Mapped:
        """Return the map of a level of this part."""
        if name == "variants":
            return levels.variants_map(self.text, self.group.folding)
        if name == "repeats":
            return _once_map(self.base)
        if name == "written":
            return _as_it_stands(self.text)
        return pinyin.sound_map(self.base) if name == "sounds" else self.base


Level = Literal["base", "digits", "variants", "repeats", "doubles", "written", "sounds", "patterns", "pii"]
Hits = Iterable[tuple[int, int, int]]
Found = list[tuple[Level, "Search | None", Hits]]


def _search(group: Group, text: str) -> Found:
    """Return, for each level at which something was hit in a text, what: this is all that most texts ever meet."""
    found: Found = []
    folding, main = group.folding, group.main
    loose = text.translate(folding.table)
    folded = folding.drop(loose)
    if main is not None:
        triggered = False
        hits = _hits(main, folded)
        if hits:
            found.append(("base", main, hits))
            triggered = not group.triggers.isdisjoint(hit[0] for hit in (hits if isinstance(hits, list) else _hits(main, folded)))
        if group.digits and levels.digits_possible(folded) and (hits := _hits(main, levels.with_digits(folded))):
            found.append(("digits", main, hits))
        varied = group.variants and (triggered or levels.variants_possible(loose))
        if varied and (hits := _hits(main, levels.with_variants(loose, folding))):
            found.append(("variants", main, hits))
        if group.repeats and levels.repeats_possible(folded):
            once = levels.without_repeats(folded)
            if hits := _hits(main, once):
                found.append(("repeats", main, hits))
            if group.doubles is not None and (hits := _hits(group.doubles, once)):
                found.append(("doubles", group.doubles, hits))
    if group.written is not None and (hits := _hits(group.written, as_written(text))):
        found.append(("written", group.written, hits))
    if group.sounds is not None and (hits := _hits(group.sounds, pinyin.sound(folded))):
        found.append(("sounds", group.sounds, hits))
    if group.pattern_set is not None and group.pattern_set.Match(folded):
        found.append(("patterns", None, ()))
    if group.pii and any(place.kind in group.pii for place in pii.find(text)):
        found.append(("pii", None, ()))
    return found


def _as_it_stands(text: str) -> Mapped:
    written, origins = as_written_map(text)
    return Mapped(written, origins, [origin + 1 for origin in origins])


def _once_map(base: Mapped) -> Mapped:
    """The map of the text without repeats, such that a place is the shortest stretch: from the last of a run to the first of another."""
    found = levels.runs(base.text)
    return Mapped("", [base.starts[last - 1] for _, last in found], [base.ends[first] for first, _ in found])


def _hits(search: Search, text: str) -> Hits:
    """Each (pattern number, start, end) in `text`; an empty list when there is none in a text of ordinary length."""
    if len(text) <= WINDOW:
        return search.automaton.find_matches_as_indexes(text, overlapping=True)
    return _hits_by_window(search, text)


def _hits_by_window(search: Search, text: str) -> Iterator[tuple[int, int, int]]:
    for at in range(0, len(text), WINDOW):
        some = text[at : at + WINDOW + search.longest - 1]
        for pattern, start, end in search.automaton.find_matches_as_indexes(some, overlapping=True):
            if start < WINDOW:
                yield pattern, start + at, end + at


# -- the harvest ------------------------------------------------------------------------------------------------------


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
    """The hits of one rule: those that count and those that are suppressed, at most MAX_FINDINGS each, and how many places were judged."""

    counting: dict[Place, _Hit] = field(default_factory=dict)
    suppressed: dict[Place, _Hit] = field(default_factory=dict)
    refused: set[Place] = field(default_factory=set)
    possible: bool | None = None
    judged: int = 0

    def shelf_of(self, place: Place) -> dict[Place, _Hit] | None:
        """Where a hit at `place` lies already."""
        return next((shelf for shelf in (self.counting, self.suppressed) if place in shelf), None)

    def wants(self) -> bool:
        """Whether one more place is to be judged."""
        return len(self.counting) < MAX_FINDINGS and self.judged < MAX_JUDGED


class _Harvest:
    """The hits of one message as they come in."""

    def __init__(self, message: Message, decision: Decision, lexicon: Lexicon, approved: Approved | None) -> None:
        self._message, self._decision, self._lexicon, self._approved = message, decision, lexicon, approved
        self._by_rule: dict[int, _Shelves] = {}
        self._over = 0
        self._ground: _Ground | None = None
        self._folded: tuple[str, ...] | None = None

    def ground(self, part: int, text: str, group: Group) -> _Ground:
        """Return the ground of a part, the same object while it is the same part and group."""
        if self._ground is None or (self._ground.part, self._ground.group) != (part, group):
            self._ground = _Ground(part, text, group)
        return self._ground

    def take_all(self, ground: _Ground, found: Found) -> None:
        """Add the hits of one part under one group."""
        for level, search, hits in found:
            if level == "pii":
                self.take_pii(ground)
            elif search is None:
                self.take_patterns(ground)
            elif level == "doubles":
                self.take_doubles(ground, search, hits)
            else:
                self.take(ground, search, hits, ground.level(level), _VIA.get(level, "folded"))

    def take(self, ground: _Ground, search: Search, hits: Hits, mapped: Mapped, via: Via = "folded") -> None:
        """Add the hits that one search had in one part at the level of `mapped`."""
        for pattern, start, end in hits:
            entries = search.entries[pattern]
            if not entries:
                continue
            first, last = mapped.place(start, end)
            if first >= last or (via == "variant" and mapped.cuts(start, end)):
                continue
            needed = mapped.tables(start, end)
            for entry in entries:
                if via == "folded" or self._counts(ground, entry, (first, last), via, needed):
                    self._offer(ground, entry, (ground.part, first, last), via, end - start)

    def take_doubles(self, ground: _Ground, search: Search, hits: Hits) -> None:
        """Add terms that repeat a character, where the text repeats it as often or more."""
        found = levels.runs(ground.base.text)
        for pattern, start, end in hits:
            counts = search.runs[pattern]
            if all(last - first >= count for (first, last), count in zip(found[start:end], counts, strict=True)):
                first = ground.base.starts[found[start][1] - counts[0]]
                last = ground.base.ends[found[end - 1][0] + counts[-1] - 1]
                for entry in search.entries[pattern] if first < last else ():
                    self._offer(ground, entry, (ground.part, first, last), "folded", sum(counts))

    def take_pii(self, ground: _Ground) -> None:
        """Add the places of personal data; the term is the kind. What stands there is stored masked."""
        from pipeline.match.lexicon import Entry

        for place in pii.find(ground.text):
            for rule in ground.group.pii.get(place.kind, ()):
                where = (ground.part, place.start_cp, place.end_cp)
                self._offer(ground, Entry(rule, (place.kind,)), where, "literal", place.end_cp - place.start_cp)

    def take_patterns(self, ground: _Ground) -> None:
        """Add what the regular expressions match in the folded text, but not over a place that counts for the rule already: one utterance, one finding."""
        from pipeline.match.lexicon import Entry

        taken: dict[int, list[tuple[int, int]]] = {}
        for number in (ground.group.pattern_set and ground.group.pattern_set.Match(ground.base.text)) or ():
            pattern = ground.group.patterns[number]
            places = taken.setdefault(pattern.rule, self._places(pattern.rule, ground.part))
            for match in pattern.compiled.finditer(ground.base.text):
                start, end = match.span()
                first, last = ground.base.place(start, end)
                if start < end and not _overlaps(places, first, last):
                    stands = ground.text[first:last] == match.group()
                    self._offer(ground, Entry(pattern.rule, (pattern.listed,)), (ground.part, first, last), "literal" if stands else "folded", end - start)
                    if (shelves := self._by_rule.get(pattern.rule)) is not None and (ground.part, first, last) in shelves.counting:
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

    def _counts(self, ground: _Ground, entry: Entry, place: tuple[int, int], via: Via, needed: int) -> bool:
        """Whether a hit at a level of variants or sounds is one for this rule."""
        if via == "variant":
            return bool(needed) and not needed & ~self._lexicon.judges[entry.rule].bits
        written = fold(ground.text[place[0] : place[1]])
        return any(pinyin.sounds_like(written, fold(term), bool(needed)) for term in entry.terms)

    def _offer(self, ground: _Ground, entry: Entry, place: Place, via: Via, length: int) -> None:
        party = self._party(ground, place, entry.rule)
        if party is not None:
            self._add(ground, entry, party, place, via, length)

    def _party(self, ground: _Ground, place: Place, number: int) -> Party | None:
        """Whose words lie at `place`, or None when the rule is not about them or not about such a message."""
        rule, judge = self._lexicon.rules[number], self._lexicon.judges[number]
        part, start, end = place
        speaker, direction = self._decision.sender_kind, self._decision.direction
        if rule.direction and direction not in (rule.direction, "unknown"):
            return None
        if rule.msgtypes and self._message.msgtype not in rule.msgtypes:
            return None
        if not judging.holds_on(judge, self._message.sent_at_ms):
            return None
        if any(quote.part == part and quote.start_cp <= start and end <= quote.end_cp for quote in self._message.quotes):
            return "quoted"
        if rule.reported and judging.reported(ground.text, start, end):
            return "quoted"
        watches = judge.watches
        fits = watches == "any" or speaker == "unknown" or watches == ("employee" if speaker == "robot" else speaker)
        return speaker if fits else None

    def _add(self, ground: _Ground, entry: Entry, party: Party, place: Place, via: Via, length: int) -> None:
        shelves = self._by_rule.setdefault(entry.rule, _Shelves())
        written = ground.text[place[1] : place[2]]
        term = entry.terms[0]
        if via in ("folded", "variant", "pinyin") and written in entry.terms:
            via, term = "literal", written
        hit = _Hit((_WEIGHT[via], length), via, term, party, written, None)
        if (shelf := shelves.shelf_of(place)) is not None:
            shelf[place] = _better(shelf[place], hit)
        elif place in shelves.refused:
            return
        elif shelves.wants():
            self._judge(ground, entry.rule, place, hit, shelves)
        else:
            self._over += 1

    def _judge(self, ground: _Ground, number: int, place: Place, hit: _Hit, shelves: _Shelves) -> None:
        shelves.judged += 1
        rule, judge = self._lexicon.rules[number], self._lexicon.judges[number]
        if shelves.possible is None:  # once a message: a text full of hits is not searched for each of them
            shelves.possible = judging.stands_in(judge, self._whole)
        if not shelves.possible or not judging.stands_near(judge, ground.words, place[1], place[2]):
            shelves.refused.add(place)
            return
        by = judging.suppressed_by(ground.text, place[1], place[2], rule, judge, self._lexicon.disclosures)
        if by is None and self._approved is not None:
            covering = self._approved.covering(self._message, self._decision, place[0], ground.text, place[1], place[2])
            by = f"approved/{covering}" if covering else None
        shelf = shelves.suppressed if by else shelves.counting
        if len(shelf) < MAX_FINDINGS:
            shelf[place] = hit._replace(suppressed_by=by)
        else:
            self._over += 1

    def _whole(self) -> tuple[str, ...]:
        """All parts of the message, folded."""
        if self._folded is None:
            self._folded = tuple(fold(part.text) for part in self._message.parts)
        return self._folded

    def result(self) -> Examined:
        """The findings in order, how many there were beyond them, and what only begins here."""
        kept: list[tuple[tuple[int, int, int, int], Finding]] = []
        anchors: list[Anchor] = []
        over = self._over
        for number, shelves in self._by_rule.items():
            rule = self._lexicon.rules[number]
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
        return Examined(tuple(finding for _, finding in sorted(kept, key=itemgetter(0))), over, tuple(anchors))


def _overlaps(places: list[tuple[int, int]], start: int, end: int) -> bool:
    """Whether [start, end) shares a code point with one of `places` (disjoint, in order)."""
    before = bisect_left(places, (end, end))
    return before > 0 and places[before - 1][1] > start


def _better(old: _Hit, new: _Hit) -> _Hit:
    return old._replace(rank=new.rank, term=new.term, via=new.via) if new.rank > old.rank else old


def _finding(rule: Rule, place: Place, hit: _Hit) -> Finding:
    return Finding(
        rule_id=rule.id, category=rule.category, severity=rule.severity, party=hit.party, term=hit.term, matched_text=hit.written,
        part=place[0], start_cp=place[1], end_cp=place[2], via=hit.via, suppressed_by=hit.suppressed_by,
    )  # fmt: skip


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
