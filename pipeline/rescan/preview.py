"""What other packs would find: the last days matched in memory, counted against what counts now; nothing is written.

Before: stored.py, months.py. After: `liuhen rescan --dry-run`.

Samples are masked as the archive masks them, with a few characters on either side.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import date

import msgspec

from pipeline.home import Home
from pipeline.match.context import finding_key
from pipeline.match.lexicon import Lexicon
from pipeline.reader import Reader
from pipeline.rescan import months, stored
from pipeline.workbench import Workbench

DAYS = 90
SAMPLES = 3
AROUND = 8  # code points shown on either side of a place


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What changes of one rule: findings that count now, that would count, new ones, ones that would count no more, masked samples of new ones."""

    rule_id: str
    category: str
    severity: str
    now: int
    then: int
    new: int
    gone: int
    samples: tuple[str, ...]


def preview(home: Home, corp_id: str, lexicon: Lexicon, *, first: date, last: date, as_of_ms: int) -> tuple[int, list[Change]]:
    """Return how many messages of the days [first, last] were matched, and what would change, the rules with most new findings first."""
    lake = home.lake(corp_id)
    snapshot = lake.snapshot()
    approved = Workbench(home, corp_id, snapshot).approved
    share = months.Share(home=str(home.path), corp_id=corp_id, version=snapshot.version, month="", first=first, last=last, as_of_ms=as_of_ms)
    now = _now(home, corp_id, first, last)
    then: dict[str, dict[str, stored.Row]] = defaultdict(dict)
    scanned = 0
    for conversation in stored.conversations(months.read_share(lake, snapshot, share, lexicon), lexicon, approved):
        scanned += sum(first <= s.dt <= last for s in conversation)
        for row in months.found_in(conversation, share, lexicon, approved):
            if row.finding.suppressed_by is None:
                then[row.finding.rule_id][finding_key(corp_id, row.finding.rule_id, row.spans)] = row
    known = {rule.id: (rule.category, rule.severity) for rule in lexicon.rules}
    changes = [_change(rule, known.get(rule, ("", "")), now.get(rule, set()), then.get(rule, {})) for rule in sorted({*now, *then})]
    return scanned, sorted(changes, key=lambda c: (-c.new, -c.gone, c.rule_id))


def _now(home: Home, corp_id: str, first: date, last: date) -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    with Reader(home, corp_id) as reader:
        question = "SELECT rule_id, finding_id FROM matches WHERE dt BETWEEN $first AND $last"
        for row in reader.rows(question, {"first": first, "last": last}):
            found[row["rule_id"]].add(row["finding_id"])
    return found


def _change(rule: str, about: tuple[str, str], now: set[str], then: dict[str, stored.Row]) -> Change:
    new = [row for key, row in then.items() if key not in now]
    return Change(
        rule_id=rule, category=about[0], severity=about[1], now=len(now), then=len(then), new=len(new), gone=len(now - set(then)),
        samples=tuple(map(_sample, _spread(new))),
    )  # fmt: skip


def _spread(rows: Sequence[stored.Row]) -> list[stored.Row]:
    """A few of them, from everywhere, the same ones each time."""
    step = max(1, len(rows) // SAMPLES)
    return list(rows[::step])[:SAMPLES]


def _sample(row: stored.Row) -> str:
    if row.finding.part >= len(row.stored.masked) or row.finding.via == "split":
        return row.matched_text
    text = row.stored.masked[row.finding.part]
    low, high = max(0, row.finding.start_cp - AROUND), row.finding.end_cp + AROUND
    return ("…" if low else "") + text[low:high] + ("…" if high < len(text) else "")
