"""Whether a hit lies inside a text that was approved when the message was sent.

Before: texts.py, ../match/fold.py. After: ../match/matching.py (through its `Approved` protocol), ../workbench.py.

Rules:
 (1) Text and approved text are compared folded (match/fold.py), word for word: one letter, digit or character more or less inside, and
     it covers nothing. Spaces, line ends and punctuation do not count: they are lost in copying.
 (2) `{…}` stands for what is filled in (a name, an amount). The pieces around it count each by itself when they have SHORTEST characters.
 (3) Only words of employees and robots are covered, and only a hit that lies wholly within.
 (4) A message without a time of sending is covered only by texts without an end.
 (5) Of several texts that cover a hit the first by id is named; a mass message is named last.
 (6) What an approver signed counts as disclosed where it was sent: rules that ask whether something was said (`missing`) ask `said_in`.
     A mass message discloses nothing: nobody approved it as a disclosure.
"""

from __future__ import annotations

import datetime
import hashlib
import re
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

import msgspec
from ahocorasick_rs import AhoCorasick

from pipeline import clock
from pipeline.match.fold import KEPT_MARKS, fold_digest, fold_map
from pipeline.records import Decision, Message
from pipeline.scripts.texts import SHORTEST, ApprovedText

_BLANK: Final = re.compile(r"\{[^{}\n]{0,40}\}")


class _Span(NamedTuple):
    """Where an approved text stands in a part, in code points of the part as written."""

    start: int
    end: int
    text: int


class ApprovedTexts:
    """The approved texts of a home, compiled. Picklable: it crosses to workers as the texts."""

    def __init__(self, texts: Iterable[ApprovedText]) -> None:
        self.texts = tuple(sorted(texts, key=lambda text: (text.source == "mass", text.key)))
        pieces = [(piece, number) for number, text in enumerate(self.texts) for piece in _pieces(text.text)]
        self._owners: list[list[int]] = []
        patterns: dict[str, int] = {}
        for piece, number in pieces:
            at = patterns.setdefault(piece, len(patterns))
            if at == len(self._owners):
                self._owners.append([])
            self._owners[at].append(number)
        self._automaton = AhoCorasick(list(patterns)) if patterns else None
        self._last: tuple[str, tuple[_Span, ...]] = ("", ())

    def __reduce__(self) -> tuple[object, ...]:
        return ApprovedTexts, (self.texts,)

    @property
    def digest(self) -> str:
        """The sha256 (hex) of the texts, their days and how they are compared; empty when there are none."""
        if not self.texts:
            return ""
        return hashlib.sha256(fold_digest().encode() + msgspec.msgpack.encode(self.texts)).hexdigest()

    def covering(self, message: Message, decision: Decision, part: int, text: str, start: int, end: int) -> str | None:
        """Return the id of an approved text that covers code points [start, end) of part number `part` (whose words are `text`), or None."""
        if decision.sender_kind not in ("employee", "robot"):
            return None
        found = {span.text for span in self._spans(text) if span.start <= start and end <= span.end}
        return next((self.texts[n].id for n in sorted(found) if _held(self.texts[n], message)), None)

    def said_in(self, message: Message, decision: Decision) -> tuple[str, ...]:
        """Return the ids of the approved texts (not the mass messages) that a message says: positive evidence that something was disclosed."""
        if decision.sender_kind not in ("employee", "robot"):
            return ()
        found = {span.text for part in message.parts for span in self._spans(part.text)}
        texts = (self.texts[n] for n in sorted(found))
        return tuple(dict.fromkeys(text.id for text in texts if text.source == "import" and _held(text, message)))

    def _spans(self, text: str) -> tuple[_Span, ...]:
        """Where approved texts stand in `text`; the last answer is kept, since a message has several hits or none."""
        if self._automaton is None:
            return ()
        if self._last[0] != text:
            self._last = text, tuple(self._search(self._automaton, text))
        return self._last[1]

    def _search(self, automaton: AhoCorasick, text: str) -> Iterator[_Span]:
        bare, origins = _bare(text)
        hits = automaton.find_matches_as_indexes(bare, overlapping=True)
        for pattern, start, end in hits:
            for owner in self._owners[pattern]:
                yield _Span(origins[start], origins[end - 1] + 1, owner)


def _pieces(text: str) -> list[str]:
    return [piece for raw in _BLANK.split(text) if len(piece := _bare(raw)[0]) >= SHORTEST]


def _bare(text: str) -> tuple[str, list[int]]:
    """Return what of the folded text is compared, and for each of its code points where in `text` it came from."""
    folded, origins = fold_map(text)
    kept = [(char, at) for char, at in zip(folded, origins, strict=True) if char.isalnum() or char in KEPT_MARKS]
    return "".join(char for char, _ in kept), [at for _, at in kept]


def _held(text: ApprovedText, message: Message) -> bool:
    if message.sent_at_ms is None:
        return text.valid_to is None
    day = datetime.date(1970, 1, 1) + datetime.timedelta(days=clock.beijing_day(message.sent_at_ms))
    return text.holds_on(day)
