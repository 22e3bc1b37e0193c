"""What a verification says: findings (something is not as it must be), notes, numbers of what was checked.

Before: nothing. After: the verify_*.py modules, cli/verify.py (puts the words to the codes).
Findings hold codes, numbers, file names of ours and ranges of seq; never content, ids of people or keys.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

MAX_RANGES = 20
LOG, FILES, STRAYS, KEYS, CUSTODY, LEAVES, COUNTS, EVIDENCE = range(1, 9)


def bytes_of(path: Path) -> bytes | None:
    """Return what a file holds that was listed a moment ago, None when it is gone since: others are at work."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


@dataclass(frozen=True)
class Finding:
    """One line. check: 1-8 (docs/verify.md); code: stable; records: which records it concerns, in words of numbers ("sealed 1-9"), or ""."""

    check: int
    code: str
    records: str = ""
    values: dict[str, str | int] = field(default_factory=dict)


@dataclass
class Report:
    """The result for one corp. counts: what was checked, by name; findings make exit code 6, notes do not."""

    corp_id: str
    findings: list[Finding] = field(default_factory=list)
    notes: list[Finding] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    def find(self, check: int, code: str, records: str = "", **values: str | int) -> None:
        """Add a finding; the same one is told once."""
        found = Finding(check, code, records, values)
        if found not in self.findings:
            self.findings.append(found)

    def note(self, check: int, code: str, records: str = "", **values: str | int) -> None:
        """Add something to know that is no finding."""
        told = Finding(check, code, records, values)
        if told not in self.notes:
            self.notes.append(told)

    def add(self, other: Report) -> None:
        """Add what another report of the same corp says."""
        for found in other.findings:
            self.find(found.check, found.code, found.records, **found.values)
        for told in other.notes:
            self.note(told.check, told.code, told.records, **told.values)
        self.counts.update(other.counts)

    @property
    def records_a_second(self) -> int:
        """Records checked in a second of wall-clock time."""
        return round(self.counts["records"] / self.seconds) if self.seconds else 0


def ranges(numbers: Iterable[int]) -> str:
    """Return "1-3, 7": at most MAX_RANGES ranges, then how many numbers more."""
    ordered = sorted(set(numbers))
    found: list[list[int]] = []
    for n in ordered:
        if found and found[-1][1] == n - 1:
            found[-1][1] = n
        else:
            found.append([n, n])
    told = ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in found[:MAX_RANGES])
    more = sum(b - a + 1 for a, b in found[MAX_RANGES:])
    return f"{told} (+{more})" if more else told


def records(keys: Iterable[tuple[str, int | None]]) -> str:
    """Return which records, by origin: "sealed 1-3, 7; imported 12". A record without seq is a "?"."""
    by_origin: dict[str, list[int | None]] = {}
    for origin, seq in keys:
        by_origin.setdefault(origin, []).append(seq)
    return "; ".join(f"{origin} {_told(seqs)}" for origin, seqs in sorted(by_origin.items()))


def _told(seqs: list[int | None]) -> str:
    known = [s for s in seqs if s is not None]
    return ", ".join([*([ranges(known)] if known else []), *(["?"] if len(known) < len(seqs) else [])])
