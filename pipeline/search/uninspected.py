"""What a search of a range could not look into: said at the end of every answer, so that "nothing found" is not read as "nothing there".

Before: question.py, reader.py. After: the command `search`.
"""

from __future__ import annotations

from collections import Counter
from datetime import date
from typing import Any

import msgspec

from pipeline.conversation import UNINSPECTED, UNREAD
from pipeline.reader import Reader
from pipeline.search.hits import filters, span
from pipeline.search.question import Question


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
    low, high = span(reader, question)
    sql, values = filters(question)
    media = reader.rows(
        "SELECT f.kind, count(*) AS n FROM media AS f WHERE (f.origin, f.seq) IN "
        f"(SELECT (origin, seq) FROM messages WHERE dt BETWEEN $low AND $high{sql}) GROUP BY ALL ORDER BY ALL",
        {**values, "low": low, "high": high},
    )
    (others,) = reader.rows(
        "SELECT (SELECT count(*) FROM failures) AS failed, (SELECT count(*) FROM pending) AS pending, (SELECT count(*) FROM withheld) AS withheld,"
        " (SELECT count(*) FROM restricted) AS restricted,"
        " (SELECT count(*) FROM gaps WHERE coalesce(to_at >= $low, true) AND coalesce(from_at < $after, true)) AS gaps",
        _instants(question),
    )
    return Uninspected(media={r["kind"]: r["n"] for r in media}, **others)


def _instants(question: Question) -> dict[str, Any]:
    """The range of the question itself: a gap may lie where no message is."""
    return {"low": question.first_day or date(1970, 1, 1), "after": question.last_day or date(9999, 12, 31)}
