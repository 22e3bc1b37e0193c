"""Whose kind (employee, robot, external) is another one now than when the archive was last worked out.

Before: directory.py, lakerows.py. After: rows.py, restate.py.

The note in the home (`source/<corp>.people.json`) says which files of `people` were taken into account, at which version of the lake. It is a hint: lost,
or of files that are not there any more, everything is worked out once more and comes out the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

from pipeline import hints, lakerows
from pipeline.deltalog import Snapshot
from pipeline.directory import Directory, fold_userid
from pipeline.home import Home
from pipeline.lake import Lake

_FIRST: Final = -(1 << 62)


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """Files of `people` that were taken into account, and version of the lake then (-1: never); hot: files of messages that were looked through."""

    people: tuple[str, ...] = ()
    version: int = -1
    hot: tuple[str, ...] = ()


class Whose(msgspec.Struct, frozen=True, kw_only=True):
    """Ids whose kind changed for some time: employees' in ASCII lower case, and all of them as written. since_ms: the first such time (None: always).

    everybody: nobody was proven before, or nobody is now, so what prefixes hinted at counts differently for all."""

    folded: frozenset[str] = frozenset()
    written: frozenset[str] = frozenset()
    since_ms: int | None = None
    everybody: bool = False

    @property
    def nobody(self) -> bool:
        """Whether nothing changed."""
        return not self.everybody and not self.written

    def names(self, party: str | None) -> bool:
        """Whether this id is one of them."""
        return self.everybody or (party is not None and (party in self.written or fold_userid(party) in self.folded))


NOBODY: Final = Whose()
EVERYBODY: Final = Whose(everybody=True)


def changed(before: Directory, after: Directory, ids: Iterable[str]) -> Whose:
    """Return which of `ids` have another kind at some time, and since when."""
    if before.is_empty != after.is_empty:
        return EVERYBODY
    other = {party: since for party in ids if (since := _differs(before, after, party)) is not None}
    if not other:
        return NOBODY
    since = min(other.values())
    return Whose(folded=frozenset(map(fold_userid, other)), written=frozenset(other), since_ms=None if since == _FIRST else since)


def _differs(before: Directory, after: Directory, party: str) -> int | None:
    """Return the first time (ms) at which the kinds of an id differ, None when they never do."""
    bounds = sorted({_FIRST, *before.kinds_over_time(party)[0], *after.kinds_over_time(party)[0]})
    return next((at for at in bounds if before.kinds_at(party, at) != after.kinds_at(party, at)), None)


def whose(lake: Lake, snapshot: Snapshot, note: Note, after: Directory) -> Whose:
    """Return whose kind changed since the note; everybody's when the note is of other files."""
    files = snapshot.of("people")
    if {f.path for f in files} == set(note.people):
        return NOBODY
    known = [f for f in files if f.path in note.people]
    if len(known) < len(note.people):
        return EVERYBODY
    fresh = [f for f in files if f.path not in note.people]
    ids = set(lake.read("people", fresh, columns=["userid"])["userid"].to_pylist())
    return changed(lakerows.directory_in(lake, known), after, ids)


def noted(home: Home, corp_id: str) -> Note:
    """Return the note; an empty one when there is none that can be read."""
    return hints.read(_path(home, corp_id), Note)


def note(home: Home, corp_id: str, found: Note) -> None:
    """Remember that everything was worked out up to here."""
    hints.write(_path(home, corp_id), found)


def _path(home: Home, corp_id: str) -> Path:
    return home.path / "source" / f"{corp_id}.people.json"
