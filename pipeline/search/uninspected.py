"""What a search of a range could not look into: said at the end of every answer, so that "nothing found" is not read as "nothing there".

Before: question.py, reader.py. After: the command `search`.
"""

from __future__ import annotations

from collections import Counter
from datetime import date
from typing import Any

import msgspec

from pipeline.conversation import UNINSPECTED, UNREAD
from pipeline.names import person_key
from pipeline.reader import Reader
from pipeline.search import hits
from pipeline.search.question import Question

_FILES = """
SELECT kind, count(*) AS n{by}
FROM (
    SELECT conversation_id, kind FROM lake_media WHERE dt BETWEEN $low AND $high AND status <> 'withheld'
    QUALIFY row_number() OVER (PARTITION BY origin, seq, ref_no ORDER BY state_no DESC) = 1
)
GROUP BY ALL ORDER BY ALL
"""


class Uninspected(msgspec.Struct, frozen=True, kw_only=True):
    """Counts. `media`: files inside messages of the range, by kind, whose content no search reads. `imprecise`: what has no day, or whose
    people are not known, and so counts for every question: failed, pending, withheld and restricted records; open gaps in the range."""

    media: dict[str, int]
    failed: int
    pending: int
    withheld: int
    restricted: int
    gaps: int

    @property
    def by_word(self) -> dict[str, int]:
        """What is not nought, by the words of `uninspected.*`."""
        said = Counter({"unopened": self.failed, "pending": self.pending, "withheld": self.withheld, "restricted": self.restricted, "gaps": self.gaps})
        for kind, n in self.media.items():
            said[UNREAD.get(kind, "files")] += n
        return {word: said[word] for word in UNINSPECTED if said[word]}

    @property
    def nothing(self) -> bool:
        """Whether everything in the range was looked into."""
        return not self.by_word


def count(reader: Reader, question: Question) -> Uninspected:
    """Return what the search of this range did not inspect."""
    (others,) = reader.rows(
        "SELECT (SELECT count(*) FROM failures) AS failed, (SELECT count(*) FROM pending) AS pending, (SELECT count(*) FROM withheld) AS withheld,"
        " (SELECT count(*) FROM restricted) AS restricted,"
        " (SELECT count(*) FROM gaps WHERE coalesce(to_at >= $low, true) AND coalesce(from_at < $after, true)) AS gaps",
        _instants(question),
    )
    return Uninspected(media=_media(reader, question), **others)


def _media(reader: Reader, question: Question) -> dict[str, int]:
    """Return how many files the messages of the question hold, by kind.

    A file says its day and its conversation; whose it is in a room, and of what type the message was, only the messages say."""
    by_whom = any((question.employee, question.customer, question.room, question.msgtype))
    files = reader.rows(_FILES.format(by=", conversation_id" if by_whom else ""), {"low": question.first_day or date(1, 1, 1), "high": question.last_day or date(9999, 12, 31)})
    if not by_whom:
        return {f["kind"]: f["n"] for f in files}
    if question.room:
        files = [f for f in files if f["conversation_id"] == question.room]
    told: Counter[str] = Counter()
    unsure: list[dict[str, Any]] = []
    for file in files:
        fits = _fits(file["conversation_id"], question)
        if fits is None:
            unsure.append(file)
        elif fits:
            told[file["kind"]] += file["n"]
    if unsure:
        told.update(_by_message(reader, question, {f["conversation_id"] for f in unsure}))
    return dict(sorted(told.items()))


def _fits(conversation_id: str, question: Question) -> bool | None:
    """Return whether the files of a conversation count for the question; None when only its messages say."""
    if question.msgtype:
        return None
    people = conversation_id.split("|")
    who = [(question.employee, True), (question.customer, False)]
    if not any(name for name, _ in who):
        return True
    if len(people) != 2:
        return None
    return all(not name or any(person_key(p, "employee" if fold else "external") == person_key(name, "employee" if fold else "external") for p in people) for name, fold in who)


def _by_message(reader: Reader, question: Question, conversations: set[str]) -> Counter[str]:
    """Return how many files of these conversations lie in messages that fit the question, by kind."""
    keys = hits.matching(reader, question, conversations)
    rows = reader.rows(
        "SELECT origin, seq, kind, count(*) AS n FROM media WHERE (origin, seq) IN (SELECT unnest($keys, max_depth := 2)) GROUP BY ALL",
        {"keys": [{"origin": o, "seq": s} for o, s in sorted(keys)]},
    ) if keys else []  # fmt: skip
    told: Counter[str] = Counter()
    for row in rows:
        told[row["kind"]] += row["n"]
    return told


def _instants(question: Question) -> dict[str, Any]:
    """The range of the question itself: a gap may lie where no message is."""
    return {"low": question.first_day or date(1970, 1, 1), "after": question.last_day or date(9999, 12, 31)}
