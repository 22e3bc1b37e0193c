"""Which messages a run has searched by itself, kept from the commit to the step over several messages, which need not search them again.

Before: stage.py (outlines say what was found). After: commit.py fills it, rescan/begins.py asks it.

It lives as long as the run: after a kill nothing is known, and everything is searched. What is beyond MOST is searched again too.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Mapping
from typing import Final

MOST: Final = 1_000_000  # messages of an origin: 8 bytes each


class Looked:
    """Seqs of the messages searched, by origin, and of those in which a rule with a context could begin."""

    def __init__(self) -> None:
        self.lexicon_version = ""
        self._seqs: defaultdict[str, array[int]] = defaultdict(lambda: array("Q"))
        self._begins: defaultdict[str, array[int]] = defaultdict(lambda: array("Q"))

    def under(self, lexicon_version: str) -> Looked:
        """Return it for what is searched under a version: what was known of another one is forgotten."""
        if self.lexicon_version != lexicon_version:
            self.lexicon_version = lexicon_version
            self._seqs.clear()
            self._begins.clear()
        return self

    def add(self, origin: str, seq: int, begins: bool) -> None:
        """Note one message."""
        if len(self._seqs[origin]) < MOST:
            self._seqs[origin].append(seq)
            if begins:
                self._begins[origin].append(seq)

    def seqs(self, lexicon_version: str) -> Mapping[str, array[int]]:
        """Return the seqs searched under a version, by origin."""
        return self._seqs if lexicon_version == self.lexicon_version else {}

    def begins(self, lexicon_version: str) -> Mapping[str, array[int]]:
        """Return those of them in which a rule with a context could begin."""
        return self._begins if lexicon_version == self.lexicon_version else {}
