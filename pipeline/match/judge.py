"""Whether a hit counts: what must stand beside it, whose words it is in, and what excuses it.

Before: negation.py, lexicon.py. After: matching.py, context.py.

1. near: one of the words within so many folded characters of the hit, between their edges; touching is 0, overlapping counts as 0.
2. all_of, any_of, none_of: in the whole message, folded.
3. reported: the hit lies in quotation marks (at most 200 characters) that follow 说, 问, 称, 讲, 写, 提到, 宣传, and the one who says is
   not 我 or 我们: then the words are somebody else's.
4. question: the sentence of the hit ends in ？, 吗, 么 or 呢, or asks before the hit (是不是, 有没有, 能不能, 会不会, 可不可以, 是否, 能否).
   难道, 谁说, 凭什么 and 怎么会不 ask nothing: such a question is a statement.
"""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from pipeline import clock
from pipeline.match import negation
from pipeline.match.fold import fold_chars
from pipeline.match.negation import negation_before
from pipeline.records import Decision, Message

if TYPE_CHECKING:
    from pipeline.match.lexicon import Disclosures, Excuse, Judge
    from pipeline.match.rules import Near, Rule

QUOTED = re.compile("“([^“”]{1,200})”|「([^「」]{1,200})」|『([^『』]{1,200})』|‘([^‘’]{1,200})’|\"([^\"]{1,200})\"")
_SAYS = re.compile(r"(?:说|问|称|讲|写|提到|宣传|承诺过|吹|喊)[的了过道着是：:，, ]{0,3}$")
_SPEAKER = re.compile(r"(?:^|[^\w]|[。！？；])(?:我们|我|咱们|咱)(?!们?行|们?司|们?领导|们?老板)[^，,。；;！!？?]{0,4}$")
_ASKS_BEFORE = re.compile("是不是|有没有|能不能|会不会|可不可以|可以不可以|要不要|是否|能否|可否|有无")
_ASKS_AFTER = re.compile("(?:吗|么|嘛|呢|吧)?[?？]|(?:吗|么)(?=$|[。！!，,；;~～…]|\\s)")
_STATES = re.compile("难道|谁说|凭什么|怎么会不|怎么可能不|哪有不|不是.{0,6}吗")
_SENTENCE = re.compile(r"[。！!；;\n\r?？]")
LONGEST_HIT, MOST_WAYS = 16, 10_000  # folded code points of a hit whose phrases are remembered; hits of a rule that are
LOOK = 64  # code points of a sentence that are read on either side of a hit


class Approved(Protocol):
    """Approved texts of the firm: what covers a place, by whom a text was approved and until when."""

    @property
    def digest(self) -> str:
        """A digest of all approved texts and their validity."""
        ...

    def covering(self, message: Message, decision: Decision, part: int, text: str, start: int, end: int) -> str | None:
        """Return the id of an approved text, valid when the message was sent, that covers code points [start, end) of the part, or None."""
        ...

    def said_in(self, message: Message, decision: Decision) -> tuple[str, ...]:
        """Return the ids of the approved texts, valid when it was sent, that a message of the firm's side says."""
        ...


def mixed_version(lexicon: str, approved: str) -> str:
    """Return the version of packs and approved texts together (sha256, hex)."""
    return hashlib.sha256(f"{lexicon} {approved}".encode()).hexdigest()


class Words(NamedTuple):
    """A part: as written, folded, and for each folded code point where it came from."""

    text: str
    folded: str
    origins: Sequence[int]

    def folded_place(self, start: int, end: int) -> tuple[int, int]:
        """Return where [start, end) of the text as written lies in the folded one."""
        return bisect_left(self.origins, start), bisect_left(self.origins, end)


# -- what must stand there --------------------------------------------------------------------------------------------


def stands_near(judge: Judge, words: Words, start: int, end: int) -> bool:
    """Whether every neighbour that the rule needs lies near a hit at [start, end)."""
    return all(_is_near(near, words, start, end) for near in judge.near)


def stands_in(judge: Judge, whole: Callable[[], tuple[str, ...]]) -> bool:
    """Whether the message as a whole has what the rule needs. whole: all parts of the message, folded."""
    return not (judge.all_of or judge.any_of or judge.none_of) or _lacking(judge, whole()) is None


def failing(judge: Judge, words: Words, start: int, end: int, whole: Callable[[], tuple[str, ...]]) -> str | None:
    """Return the name of the first need that is not met (`near`, `all_of`, `any_of`, `none_of`), or None."""
    return _lacking(judge, whole()) if stands_near(judge, words, start, end) else "near"


def _lacking(judge: Judge, whole: tuple[str, ...]) -> str | None:
    if not all(_said(group, whole) for group in judge.all_of):
        return "all_of"
    if judge.any_of and not _said(judge.any_of, whole):
        return "any_of"
    return "none_of" if _said(judge.none_of, whole) else None


def _said(group: tuple[str, ...], parts: tuple[str, ...]) -> bool:
    return any(word in part for part in parts for word in group)


def _is_near(near: Near, words: Words, start: int, end: int) -> bool:
    first, last = words.folded_place(start, end)
    return any(_word_near(word, near, words.folded, first, last) for word in near.any)


def _word_near(word: str, near: Near, folded: str, first: int, last: int) -> bool:
    at = max(0, first - near.within - len(word))
    window_end = last + near.within + len(word)
    while (at := folded.find(word, at, window_end)) >= 0:
        side = "before" if at + len(word) <= first else "after" if at >= last else "over"
        if side == "over" and not (at >= first and at + len(word) <= last) and near.side == "either":
            return True
        if side in ("before", "after") and near.side in ("either", side):
            return True
        at += 1
    return False


def holds_on(judge: Judge, sent_at_ms: int | None) -> bool:
    """Whether the rule is valid on the Beijing day of sending; an unknown time never excludes."""
    return judge.valid is None or sent_at_ms is None or judge.valid[0] <= clock.beijing_day(sent_at_ms) <= judge.valid[1]


# -- whose words ------------------------------------------------------------------------------------------------------


def reported(text: str, start: int, end: int) -> bool:
    """Whether [start, end) lies in quotation marks that give somebody else's words."""
    around = text[max(0, start - 256) : start]
    if not any(mark in around for mark in "“「『‘\""):
        return False
    for quote in QUOTED.finditer(text, max(0, start - 256), end + 256):
        if quote.start() < start and end < quote.end():
            before = text[max(0, quote.start() - 16) : quote.start()]
            says = _SAYS.search(before)
            if says and not _SPEAKER.search(before[: says.start()]):
                return True
    return False


# -- what excuses a hit -----------------------------------------------------------------------------------------------


def suppressed_by(words: Words, start: int, end: int, rule: Rule, judge: Judge, disclosures: Disclosures | None = None) -> str | None:
    """Return what excuses the hit of `rule` at code points [start, end) of a part: the first of the list in matching.py, or None. words: folded with all folds."""
    if disclosures and (name := _disclosed(words, start, end, disclosures)) is not None:
        return name
    low, high = words.folded_place(start, end)
    if judge.excuse and (phrase := _allow_at(words, start, end, low, high, judge.excuse)) is not None:
        return f"{rule.id}/allow/{rule.allow[phrase]}"
    if rule.negations and _may_negate(words, start, low) and (word := negation_before(words.text, start, end)):
        return f"{rule.id}/negation/{word}"
    if rule.questions and (word := asked(words.text, start, end)):
        return f"{rule.id}/question/{word}"
    return None


def _may_negate(words: Words, start: int, low: int) -> bool:
    """Whether `negation_before` is worth asking: nearly always it is not. low: where `start` lies in the folded text."""
    first = bisect_left(words.origins, start - negation.LOOK_BACK, 0, low) if start > negation.LOOK_BACK else 0
    return negation.possible(words.folded, first, low)


def _disclosed(words: Words, start: int, end: int, disclosures: Disclosures) -> str | None:
    for number, first, last in _phrases(words, start, end, disclosures):
        if first <= start and end <= last:
            return disclosures.names[number]
    return None


def allow_over(words: Words, start: int, end: int, excuse: Excuse) -> int | None:
    """Return the number of the first listed phrase that covers or overlaps [start, end); one within a longer hit excuses nothing."""
    return _allow_at(words, start, end, *words.folded_place(start, end), excuse)


def _allow_at(words: Words, start: int, end: int, low: int, high: int, excuse: Excuse) -> int | None:
    """`allow_over` of a hit that lies at [low, high) of the folded text."""
    if not 0 < high - low <= LONGEST_HIT:
        return _allow_found(words, start, end, excuse)
    for offset, phrase, number in _ways(excuse, words.folded[low:high]):
        at = low + offset
        if at >= 0 and words.folded.startswith(phrase, at):
            first, last = words.origins[at], words.origins[at + len(phrase) - 1] + 1
            if not (start <= first and last <= end and (first, last) != (start, end)):
                return number
    return None


def _ways(excuse: Excuse, hit: str) -> tuple[tuple[int, str, int], ...]:
    """How phrases can lie over a hit that is folded so: (where the phrase begins, from where the hit does; the phrase; its number), the first listed first.

    The same few hundred terms are hit again and again: what of the phrases can touch one at all is found out once."""
    if (known := excuse.ways.get(hit)) is None:
        if len(excuse.ways) >= MOST_WAYS:
            excuse.ways.clear()
        known = excuse.ways[hit] = tuple((at, phrase, number) for number, phrase in enumerate(excuse.phrases) for at in _alignments(phrase, hit))
    return known


def _alignments(phrase: str, hit: str) -> Iterator[int]:
    for at in range(1 - len(phrase), len(hit)):
        first, last = max(0, at), min(len(hit), at + len(phrase))
        if phrase[first - at : last - at] == hit[first:last]:
            yield at


def _allow_found(words: Words, start: int, end: int, excuse: Excuse) -> int | None:
    """What `allow_over` says, by looking for every phrase around the hit."""
    phrases = []
    for phrase, first, last in _phrases(words, start, end, excuse):
        inside = start <= first and last <= end and (first, last) != (start, end)
        if first < end and start < last and not inside:
            phrases.append(phrase)
    return min(phrases, default=None)


def _phrases(words: Words, start: int, end: int, wanted: Excuse | Disclosures) -> Iterator[tuple[int, int, int]]:
    """Yield (number, start, end) of each phrase that stands near enough to touch [start, end), in code points of the part as written."""
    low, high = words.folded_place(start, end)
    at = max(0, low - wanted.longest)
    for number, first, last in wanted.automaton.find_matches_as_indexes(words.folded[at : high + wanted.longest], overlapping=True):
        yield number, words.origins[at + first], words.origins[at + last - 1] + 1


def asked(text: str, start: int, end: int) -> str | None:
    """Return the word by which the sentence of [start, end) asks, or None."""
    before = _SENTENCE.split(fold_chars(text[max(0, start - LOOK) : start]))[-1]
    rest = fold_chars(text[start : end + LOOK])
    after = rest[len(fold_chars(text[start:end])) :]
    close = _SENTENCE.search(after)
    sentence = after[: close.end()] if close else after
    if _STATES.search(before + fold_chars(text[start:end]) + sentence):
        return None
    if found := _ASKS_BEFORE.search(before):
        return found.group()
    ending = _ASKS_AFTER.search(sentence)
    return ending.group().strip() or None if ending else None
