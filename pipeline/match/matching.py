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
   excuses nothing), a negation, a question, an approved text of the firm, a word of training among colleagues (internal messages alone).
6. At most 1,000 findings a message and rule, those that count before suppressed ones, from the first 20,000 places; the rest is counted.
7. Only archived messages are searched; a recall has no words.
8. The map back to the original is made only for texts with a hit.
"""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.match import judge as judging
from pipeline.match import screen
from pipeline.match.harvest import MAX_FINDINGS, Anchor, Examined, Harvest, Party
from pipeline.match.judge import Approved
from pipeline.match.lexicon import Lexicon
from pipeline.match.searching import WINDOW, Ground, search, search_again
from pipeline.records import Decision, Finding, Gated, GatedPage, Matched, MatchedPage, Message

__all__ = ["MAX_FINDINGS", "WINDOW", "Anchor", "Examined", "Party", "examine", "examine_all", "find", "match_page", "version_of"]

_NOTHING = Examined()
_FEW = 8  # messages: so few are sooner looked at one by one


def match_page(page: GatedPage, *, lexicon: Lexicon, approved: Approved | None = None) -> MatchedPage:
    """Return `page` with the findings of each archived record; other records have none."""
    numbers = [number for number, gated in enumerate(page.items) if gated.decision.fate == "archived"]
    said = [(page.items[number].message, page.items[number].decision) for number in numbers]
    found = {numbers[n]: one for n, one in _found_in(said, lexicon, approved).items()}
    items = tuple([_matched(gated, found[n]) if n in found else Matched(gated) for n, gated in enumerate(page.items)])
    return MatchedPage(page.ref, items, page.failed, page.register_version, version_of(lexicon, approved))


def _matched(gated: Gated, found: Examined) -> Matched:
    return Matched(gated, found.findings, bool(found.anchors), found.dropped)


def version_of(lexicon: Lexicon, approved: Approved | None) -> str:
    """Return the version that findings carry: the lexicon's, mixed with the approved texts' when there are any."""
    return judging.mixed_version(lexicon.version, approved.digest) if approved else lexicon.version


def find(message: Message, decision: Decision, lexicon: Lexicon, *, approved: Approved | None = None) -> tuple[tuple[Finding, ...], int]:
    """Return the findings of `message`, in order of part, start, rule, end, and how many more there were than are kept.

    start_cp and end_cp are code points of the part as written. suppressed_by: `PACK/disclosure/N`, `approved/ID`, `RULE/allow/PHRASE`,
    `RULE/negation/WORD` or `RULE/question/WORD`.
    """
    found = examine(message, decision, lexicon, approved)
    return found.findings, found.dropped


def examine(message: Message, decision: Decision, lexicon: Lexicon, approved: Approved | None = None) -> Examined:
    """Return what `find` returns, and where rules with a context could begin."""
    harvest: Harvest | None = None
    for number, part in enumerate(message.parts if message.kind == "message" else ()):
        for group in lexicon.groups:
            if found := search(group, part.text):
                harvest = harvest or Harvest(message, decision, lexicon, approved)
                harvest.take_all(Ground(number, part.text, group), found)
    return harvest.result() if harvest else _NOTHING


def examine_all(said: Sequence[tuple[Message, Decision]], lexicon: Lexicon, approved: Approved | None = None) -> list[Examined]:
    """Return `examine` of each message, in order: all their texts are searched as one, and only those that can have a hit are looked at."""
    found = _found_in(said, lexicon, approved)
    return [found.get(n, _NOTHING) for n in range(len(said))]


def _found_in(said: Sequence[tuple[Message, Decision]], lexicon: Lexicon, approved: Approved | None) -> dict[int, Examined]:
    """Return `examine` of the messages with a hit, by number: nearly all have none."""
    if len(said) < _FEW:
        return {n: examine(message, decision, lexicon, approved) for n, (message, decision) in enumerate(said)}
    where = [(n, number, part.text) for n, (message, _) in enumerate(said) if message.kind == "message" for number, part in enumerate(message.parts)]
    harvests: dict[int, Harvest] = {}
    for at, seen in screen.suspects(lexicon.groups, [text for _, _, text in where]):
        n, number, text = where[at]
        for group, known in zip(lexicon.groups, seen, strict=True):
            hits = search(group, text) if known is None else search_again(group, text, known)
            if hits:
                harvest = harvests.get(n) or harvests.setdefault(n, Harvest(*said[n], lexicon, approved))
                harvest.take_all(Ground(number, text, group, known.base if known else None), hits)
    return {n: harvest.result() for n, harvest in harvests.items()}
