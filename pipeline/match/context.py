"""What one message cannot show: terms written over several messages, questions affirmed, words together, silence, recalls, what was not said.

Before: matching.py (anchors). After: follow.py and rescan.py, which read conversations from the lake.

A conversation is a sequence of `Turn`s in order of time, then seq; turns without a time are not here. Every finding depends only on
turns within `reach` of its own, so that the same is found live, page by page, and in a rescan of everything.

1. split          a term that lies over consecutive text messages of one sender, at most 60 seconds apart, at most 10 of them. Terms of fewer
                  than 4 characters only in bubbles of at most 4. Judged in those messages and the one before and after.
2. asked          somebody asks, and within the bounds the rule's party affirms: a clause that is the word (or begins with one of two
                  characters or more) without a negation. A clause that denies ends the search. `leads` alone are severity low.
3. together       one word of each group within the bounds, all by the rule's party.
4. then_silence   the rule's terms, and no message for so many days: until the next one, or until `as_of_ms`.
5. recalls        the recall that makes it `count` within the minutes, with one of the words said near it.
6. missing        the rule's terms, and none of the words by an employee in the days before nor one day after (once that day is over).
                  When somebody sent an approved text in that time (../scripts/), the duty is done: the finding is kept, suppressed by it.
A finding belongs to the last of its messages, where it became true; `spans` has all places in order.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, pairwise
from typing import Literal, NamedTuple

import msgspec

from pipeline.match.fold import fold, fold_chars, fold_map
from pipeline.match.judge import Approved
from pipeline.match.lexicon import Lexicon
from pipeline.match.matching import Anchor, Examined, Party, examine, examine_all
from pipeline.match.negation import negates
from pipeline.match.rules import Rule
from pipeline.records import Decision, Finding, Message, Part, Severity

SPLIT_GAP_MS = 60_000
SPLIT_MESSAGES = 10
SPLIT_SHORT_TERM = 4  # folded characters; shorter terms only in bubbles of at most as many
SPLIT_EDGE = 400  # code points of a long message that are joined, at either end
MINUTE_MS, DAY_MS = 60_000, 86_400_000
MISSING_AHEAD_MS = DAY_MS


class Turn(NamedTuple):
    """One stored message (or recall) of a conversation. at_ms: when it was sent; anchors: where rules with a context could begin."""

    at_ms: int
    seq: int
    origin: str
    message: Message
    decision: Decision
    anchors: tuple[Anchor, ...] = ()


class Span(NamedTuple):
    """One place of a finding."""

    msgid: str
    part: int
    start_cp: int
    end_cp: int


class Across(NamedTuple):
    """A finding over several messages: it belongs to `turn` (its number), lies at `spans` in order."""

    turn: int
    finding: Finding
    spans: tuple[Span, ...]


def finding_key(corp_id: str, rule_id: str, spans: Sequence[Span]) -> str:
    """Return the stable id of a finding: it depends on corp, rule and places only, so reviews survive rescans."""
    places = "".join(f"\0{msgid}\0{part}\0{start}\0{end}" for msgid, part, start, end in spans)
    return hashlib.sha256(f"{corp_id}\0{rule_id}{places}".encode("utf-8", "surrogatepass")).hexdigest()[:32]


def reach_ms(lexicon: Lexicon) -> tuple[int, int]:
    """Return how far back and ahead of a turn its findings can depend on others, in milliseconds."""
    back = ahead = SPLIT_GAP_MS * (SPLIT_MESSAGES + 2)
    for rule in (lexicon.rules[number] for number in lexicon.contexts):
        context = rule.context
        assert context
        window = context.within.minutes * MINUTE_MS
        back, ahead = max(back, window), max(ahead, window)
        if context.recalls:
            span = (context.recalls.minutes + context.recalls.near_minutes) * MINUTE_MS
            back, ahead = max(back, span), max(ahead, span)
        if context.then_silence:
            ahead = max(ahead, (context.then_silence.days + 1) * DAY_MS)
        if context.missing:
            back, ahead = max(back, context.missing.days * DAY_MS), max(ahead, MISSING_AHEAD_MS)
    return back, ahead


def waits_ms(lexicon: Lexicon) -> tuple[int, ...]:
    """Return after how long each live rule that waits (then_silence, missing) can say something about a message, in milliseconds."""
    found = {r.context.then_silence.days * DAY_MS for r in _contexts(lexicon) if r.context and r.context.then_silence}
    if any(r.context and r.context.missing for r in _contexts(lexicon)):
        found.add(MISSING_AHEAD_MS)
    return tuple(sorted(found))


def _contexts(lexicon: Lexicon) -> list[Rule]:
    return [lexicon.rules[number] for number in lexicon.contexts]


def across(turns: Sequence[Turn], lexicon: Lexicon, *, as_of_ms: int, approved: Approved | None = None) -> list[Across]:
    """Return the findings over several messages of one conversation, in order of turn, rule and places, each once."""
    found: dict[tuple[str, tuple[Span, ...]], Across] = {}
    for one in (*_splits(turns, lexicon, approved), *_in_context(turns, lexicon, as_of_ms, approved)):
        found.setdefault((one.finding.rule_id, one.spans), one)
    return sorted(found.values(), key=lambda a: (a.turn, a.finding.rule_id, a.spans))


# -- 1. split -----------------------------------------------------------------------------------------------------------


class Joined(NamedTuple):
    """Consecutive messages as one text: for each, its turn, where it begins in `text`, and which stretch of its own text lies there."""

    text: str
    pieces: tuple[tuple[int, int, int, int], ...]  # turn, start in text, start in message, length

    def crosses(self, start: int, end: int) -> bool:
        """Whether [start, end) lies in more than one message."""
        return len({n for n, _, _ in self.within(start, end)}) > 1

    def within(self, start: int, end: int) -> Iterator[tuple[int, int, int]]:
        """Yield (turn, start, end) of what of [start, end) lies in each message, in order."""
        for n, begins, own, length in self.pieces:
            first, last = max(start, begins), min(end, begins + length)
            if first < last:
                yield n, first - begins + own, last - begins + own


def _splits(turns: Sequence[Turn], lexicon: Lexicon, approved: Approved | None) -> Iterator[Across]:
    parts = [(run, chunk) for run in _runs(turns) for chunk in chunks(run)]
    joined = [_join(turns, chunk) for _, chunk in parts]
    for (run, _), one, found in zip(parts, joined, examine_all([_said(turns, one) for one in joined], lexicon, approved), strict=True):
        for first, last in sorted({(spans[0][0], spans[-1][0]) for _, spans in _crossing(one, found)}):
            yield from _split_at(turns, run, run.index(first), run.index(last), lexicon, approved)


def chunks(run: Sequence[int]) -> Iterator[Sequence[int]]:
    """Yield the stretches of a run that are searched as one text: whatever lies over at most SPLIT_MESSAGES messages lies in one of them."""
    return (run[at : at + 2 * SPLIT_MESSAGES] for at in range(0, max(1, len(run) - SPLIT_MESSAGES), SPLIT_MESSAGES))


def _runs(turns: Sequence[Turn]) -> Iterator[list[int]]:
    """Yield the numbers of the text messages of one sender that follow one another closely, two or more."""
    texts = [n for n, turn in enumerate(turns) if _is_bubble(turn)]
    by_sender: dict[str, list[int]] = {}
    for n in texts:
        by_sender.setdefault(turns[n].message.sender_id or "", []).append(n)
    for numbers in by_sender.values():
        run = numbers[:1]
        for before, n in pairwise(numbers):
            if turns[n].at_ms - turns[before].at_ms > SPLIT_GAP_MS:
                if len(run) > 1:
                    yield run
                run = []
            run.append(n)
        if len(run) > 1:
            yield run


def _is_bubble(turn: Turn) -> bool:
    message = turn.message
    return message.kind == "message" and message.msgtype == "text" and len(message.parts) == 1 and not message.quotes and bool(message.sender_id)


def _join(turns: Sequence[Turn], numbers: Sequence[int]) -> Joined:
    return join((n, turns[n].message.parts[0].text) for n in numbers)


def join(own_texts: Iterable[tuple[int, str]]) -> Joined:
    """Return the texts of consecutive messages (the number of each, its text) as one; of long ones both edges."""
    text, pieces = "", []
    for n, own in own_texts:
        if len(own) <= 2 * SPLIT_EDGE:
            pieces.append((n, len(text), 0, len(own)))
            text += own
            continue
        pieces.append((n, len(text), 0, SPLIT_EDGE))
        text += own[:SPLIT_EDGE] + "\n"
        pieces.append((n, len(text), len(own) - SPLIT_EDGE, SPLIT_EDGE))
        text += own[-SPLIT_EDGE:]
    return Joined(text, tuple(pieces))


def _said(turns: Sequence[Turn], joined: Joined) -> tuple[Message, Decision]:
    """The joined text as one message of whoever wrote the last."""
    turn = turns[joined.pieces[-1][0]]
    return msgspec.structs.replace(turn.message, text=joined.text, parts=(Part("", joined.text),)), turn.decision


def _crossing(joined: Joined, found: Examined) -> Iterator[tuple[Finding, list[tuple[int, int, int]]]]:
    """Yield each finding in the joined text that lies over a border, with its (turn, start, end) in order."""
    for finding in found.findings:
        spans = list(joined.within(finding.start_cp, finding.end_cp))
        if len({n for n, _, _ in spans}) > 1:
            yield finding, spans


def _split_at(
    turns: Sequence[Turn], run: Sequence[int], first: int, last: int, lexicon: Lexicon, approved: Approved | None
) -> Iterator[Across]:
    if last - first >= SPLIT_MESSAGES:
        return
    joined = _join(turns, run[max(0, first - 1) : last + 2])
    rules = {lexicon.rules[n].id: lexicon.rules[n] for n in lexicon.live}
    for finding, spans in _crossing(joined, examine(*_said(turns, joined), lexicon, approved)):
        if (spans[0][0], spans[-1][0]) != (run[first], run[last]) or rules[finding.rule_id].split is False:
            continue
        if not _long_enough(turns, finding, spans):
            continue
        places = tuple(Span(turns[n].message.msgid, 0, start, end) for n, start, end in spans)
        yield Across(run[last], msgspec.structs.replace(finding, via="split", part=0, start_cp=spans[-1][1], end_cp=spans[-1][2]), places)


def _long_enough(turns: Sequence[Turn], finding: Finding, spans: Sequence[tuple[int, int, int]]) -> bool:
    """Whether the term is long, or else every bubble it lies in short."""
    if len(fold(finding.term)) >= SPLIT_SHORT_TERM:
        return True
    return all(len(fold(turns[n].message.parts[0].text)) <= SPLIT_SHORT_TERM for n, _, _ in spans)


# -- 2.-6. context ------------------------------------------------------------------------------------------------------


def _in_context(turns: Sequence[Turn], lexicon: Lexicon, as_of_ms: int, approved: Approved | None) -> Iterator[Across]:
    for number in lexicon.contexts:
        rule = lexicon.rules[number]
        context = rule.context
        assert context
        if context.recalls:
            yield from _recalls(turns, rule)
            continue
        anchored = [(n, first) for n, turn in enumerate(turns) if (first := _first(turn, number)) is not None]
        if not anchored:
            continue
        if context.asked:
            yield from _asked(turns, rule, anchored)
        elif context.together:
            yield from _together(turns, rule, anchored)
        elif context.then_silence:
            yield from _silence(turns, rule, anchored, as_of_ms)
        else:
            yield from _missing(turns, rule, anchored, as_of_ms, approved)


Anchored = list[tuple[int, Finding]]


def _first(turn: Turn, rule: int) -> Finding | None:
    """The first place of the turn where the rule could begin, unless something excuses it."""
    return next((a.finding for a in turn.anchors if a.rule == rule and a.finding.suppressed_by is None), None)


def _span(turn: Turn, finding: Finding) -> Span:
    return Span(turn.message.msgid, finding.part, finding.start_cp, finding.end_cp)


def party_of(turn: Turn, rule: Rule) -> Party | None:
    """Return who speaks when the rule is about them, else None."""
    speaker = turn.decision.sender_kind
    fits = rule.party == "any" or speaker == "unknown" or rule.party == ("employee" if speaker == "robot" else speaker)
    return speaker if fits else None


def _applies(turn: Turn, rule: Rule) -> bool:
    direction = turn.decision.direction
    return not (rule.direction and direction not in (rule.direction, "unknown")) and not (rule.msgtypes and turn.message.msgtype not in rule.msgtypes)


def _finding(rule: Rule, term: str, place: Span, written: str, party: Party, severity: Severity | None = None) -> Finding:
    return Finding(
        rule_id=rule.id, category=rule.category, severity=severity or rule.severity, party=party, term=term, matched_text=written, part=place.part,
        start_cp=place.start_cp, end_cp=place.end_cp, via="context",
    )  # fmt: skip


def _asked(turns: Sequence[Turn], rule: Rule, anchored: Anchored) -> Iterator[Across]:
    context = rule.context
    assert context
    for n, question in anchored:
        if (answer := _answer(turns, rule, n)) is None:
            continue
        at, part, start, end, is_lead = answer
        turn = turns[at]
        place = Span(turn.message.msgid, part, start, end)
        written = turn.message.parts[part].text[start:end]
        party = party_of(turn, rule)
        assert party
        yield Across(at, _finding(rule, question.term, place, written, party, "low" if is_lead else None), (_span(turns[n], question), place))


def _answer(turns: Sequence[Turn], rule: Rule, asked: int) -> tuple[int, int, int, int, bool] | None:
    """Return (turn, part, start, end, whether it is a mere lead) of the first affirmation within the bounds, or None."""
    context = rule.context
    assert context
    count = 0
    for n in range(asked + 1, len(turns)):
        turn = turns[n]
        if turn.message.kind != "message":
            continue
        count += 1
        if count > context.within.messages or turn.at_ms - turns[asked].at_ms > context.within.minutes * MINUTE_MS:
            return None
        if turn.message.sender_id == turns[asked].message.sender_id or party_of(turn, rule) is None or not _applies(turn, rule):
            continue
        for number, part in enumerate(turn.message.parts):
            kind, start, end = affirmation(part.text, context.affirmed, context.leads)
            if kind == "denial":
                return None
            if kind != "nothing":
                return n, number, start, end, kind == "lead"
    return None


_CLAUSE = re.compile(r"[^\s,;:!?。、…~～]+")
_BEFORE = r"(?:您|你|这个|这款|这|那|都|就|嗯+|哦|哈+|对|是的|当然|亲)*"
_AFTER = r"(?:的|了|呢|啊|哦|呀|哈|吧|呗|嘛|噢|喔|呐|哒|滴|您|你|亲|咯|啦)*"
_DENIES = re.compile(f"^{_BEFORE}(?:不|没|非|无|别|未)(?!错|用担心|必担心|问题|事|关系|毛病|得说)")


def affirmation(text: str, words: Sequence[str], leads: Sequence[str]) -> tuple[Literal["affirmed", "lead", "denial", "nothing"], int, int]:
    """Return what a text says to a question, and where (code points): the first clause that affirms or denies; a lead only when all of it is one."""
    for clause in _CLAUSE.finditer(fold_chars_same_length(text)):
        said = clause.group()
        for word in map(fold, words):
            whole = re.fullmatch(f"{_BEFORE}(?:{re.escape(word)})+{_AFTER}", said)
            begins = len(word) > 1 and re.match(f"{_BEFORE}{re.escape(word)}", said) and not negates(said.replace(word, "", 1)) and said[-1] not in "吗么"
            if whole or begins:
                return "affirmed", clause.start(), clause.end()
        if _DENIES.match(said):
            return "denial", clause.start(), clause.end()
    stripped = fold(text).strip()
    for word in map(fold, leads):
        if re.fullmatch(f"(?:{re.escape(word)})+{_AFTER}[\\W_]*", stripped):
            return "lead", 0, len(text)
    return "nothing", 0, 0


def fold_chars_same_length(text: str) -> str:
    """Return `text` folded character by character, one for one: what folds to nothing or to several is a space or stays."""
    return "".join(form if len(form := fold_chars(char)) == 1 else " " if not form else char for char in text)


def _near_turns(turns: Sequence[Turn], n: int, rule: Rule) -> list[int]:
    """Numbers of the turns within the bounds of turn n, the nearest first, n itself included."""
    context = rule.context
    assert context
    found = [n]
    for direction in (range(n - 1, -1, -1), range(n + 1, len(turns))):
        count = 0
        for m in direction:
            count += turns[m].message.kind == "message"
            if count > context.within.messages or abs(turns[m].at_ms - turns[n].at_ms) > context.within.minutes * MINUTE_MS:
                break
            if turns[m].message.kind == "message" and party_of(turns[m], rule) is not None and _applies(turns[m], rule):
                found.append(m)
    return sorted(found, key=lambda m: (abs(m - n), m))


def _together(turns: Sequence[Turn], rule: Rule, anchored: Anchored) -> Iterator[Across]:
    from pipeline.match.lexicon import looked_for

    context = rule.context
    assert context
    others = [group for group in context.together if group != looked_for(rule)]
    for n, anchor in anchored:
        near = _near_turns(turns, n, rule)
        places = [(n, anchor.part, anchor.start_cp, anchor.end_cp)]
        for group in others:
            found = next((place for m in near if (place := _word_in(turns, m, group)) is not None), None)
            if found is None:
                break
            places.append(found)
        else:
            places.sort()
            last = places[-1]
            spans = tuple(dict.fromkeys(Span(turns[m].message.msgid, part, start, end) for m, part, start, end in places))
            turn = turns[last[0]]
            party = party_of(turn, rule)
            assert party
            yield Across(last[0], _finding(rule, anchor.term, spans[-1], turn.message.parts[last[1]].text[last[2] : last[3]], party), spans)


def _word_in(turns: Sequence[Turn], n: int, words: Sequence[str]) -> tuple[int, int, int, int] | None:
    """Return (turn, part, start, end) of the first of the words in a turn, or None."""
    for number, part in enumerate(turns[n].message.parts):
        folded, origins = fold_map(part.text)
        for word in map(fold, words):
            if word and (at := folded.find(word)) >= 0:
                return n, number, origins[at], origins[at + len(word) - 1] + 1
    return None


def _silence(turns: Sequence[Turn], rule: Rule, anchored: Anchored, as_of_ms: int) -> Iterator[Across]:
    context = rule.context
    assert context and context.then_silence
    least = context.then_silence.days * DAY_MS
    last_of = {gap: (n, anchor) for n, anchor in anchored if (gap := _gap_after(turns, n, least, as_of_ms)) is not None}
    for n, anchor in last_of.values():
        yield Across(n, _finding(rule, anchor.term, _span(turns[n], anchor), anchor.matched_text, anchor.party), (_span(turns[n], anchor),))


def _gap_after(turns: Sequence[Turn], n: int, least: int, as_of_ms: int) -> int | None:
    """Return the number of the turn after which nothing was said for so long, when it is within a day of turn n (the end of the same talk), else None."""
    for m in range(n, len(turns)):
        if turns[m].at_ms - turns[n].at_ms > DAY_MS:
            return None
        following = turns[m + 1].at_ms if m + 1 < len(turns) else as_of_ms
        if following - turns[m].at_ms >= least:
            return m
    return None


def _recalls(turns: Sequence[Turn], rule: Rule) -> Iterator[Across]:
    context = rule.context
    assert context and context.recalls
    wanted = context.recalls
    recalls = [n for n, turn in enumerate(turns) if turn.message.kind == "recall" and party_of(turn, rule) is not None]
    for at, n in enumerate(recalls):
        window = [m for m in recalls[: at + 1] if turns[n].at_ms - turns[m].at_ms <= wanted.minutes * MINUTE_MS]
        if len(window) != wanted.count:
            continue
        low, high = turns[window[0]].at_ms - wanted.near_minutes * MINUTE_MS, turns[n].at_ms + wanted.near_minutes * MINUTE_MS
        near = [m for m, turn in enumerate(turns) if low <= turn.at_ms <= high and turn.message.kind == "message"]
        said = next((place for m in near if (place := _word_in(turns, m, wanted.near)) is not None), None)
        party = party_of(turns[n], rule)
        if said is None or party is None:
            continue
        own = Span(turns[n].message.msgid, 0, 0, 0)
        spans = (Span(turns[said[0]].message.msgid, *said[1:]), *(Span(turns[m].message.msgid, 0, 0, 0) for m in window))
        word = turns[said[0]].message.parts[said[1]].text[said[2] : said[3]]
        yield Across(n, _finding(rule, fold(word), own, "", party), spans)


def _missing(turns: Sequence[Turn], rule: Rule, anchored: Anchored, as_of_ms: int, approved: Approved | None) -> Iterator[Across]:
    context = rule.context
    assert context and context.missing
    for n, anchor in anchored:
        at = turns[n].at_ms
        if as_of_ms < at + MISSING_AHEAD_MS:
            continue
        low, high = at - context.missing.days * DAY_MS, at + MISSING_AHEAD_MS
        near = [m for m, turn in enumerate(turns) if low <= turn.at_ms <= high and turn.decision.sender_kind in ("employee", "robot", "unknown")]
        if any(_word_in(turns, m, context.missing.any) for m in near):
            continue
        finding = _finding(rule, anchor.term, _span(turns[n], anchor), anchor.matched_text, anchor.party)
        if (text := _disclosed([turns[m] for m in near], context.missing.texts, approved)) is not None:
            finding = msgspec.structs.replace(finding, suppressed_by=f"approved/{text}")
        yield Across(n, finding, (_span(turns[n], anchor),))


def _disclosed(turns: Iterable[Turn], wanted: Sequence[str], approved: Approved | None) -> str | None:
    """The first approved text that one of the turns says; of those `wanted`, when the rule names some."""
    said = (text for turn in turns if approved for text in approved.said_in(turn.message, turn.decision))
    return next((text for text in said if not wanted or text in wanted), None)


def conversations(turns: Sequence[tuple[str, Turn]]) -> Iterator[list[Turn]]:
    """Yield each conversation of (conversation id, turn) as turns in order of time, then seq; origin last, so that the order is total."""
    ordered = sorted(turns, key=lambda pair: (pair[0], pair[1].at_ms, pair[1].seq, pair[1].origin))
    for _, pairs in groupby(ordered, key=lambda pair: pair[0]):
        yield [turn for _, turn in pairs]
