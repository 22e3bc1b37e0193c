"""One planned commit of rows and files, made anew when another one comes first.

Before: lake.py, rewriting.py, purges.py, room.py. After: hiding.py, moving.py, resealing.py, destroying.py, stores.py.
Killed anywhere: before the commit nothing has happened but files that no commit names, and the list that was written before each of them names
their token and folder; after it the list says what to unlink.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection

import pyarrow as pa

from pipeline import purges, rewriting, room, turns
from pipeline.deltalog import CommitConflict, DataFile, Snapshot
from pipeline.home import Home
from pipeline.lake import Lake
from pipeline.purges import Noted
from pipeline.rewriting import Key


class Change:
    """What one commit adds and takes out, on the snapshot it is planned on. Its files bear its token, and are listed before they are written."""

    def __init__(self, home: Home, lake: Lake, snapshot: Snapshot) -> None:
        self.home, self.lake, self.snapshot = home, lake, snapshot
        self.adds: list[DataFile] = []
        self.removes: list[DataFile] = []
        self.token = secrets.token_hex(8)
        self.noted: Noted | None = None
        self._folders: set[str] = set()

    def write(self, table: pa.Table, kind: str, *, month: str = "-", bucket: str = "-", lexicon: str = "-") -> None:
        """Write rows as one file of the commit; none for no rows."""
        if table.num_rows:
            self._announce(kind, month, bucket, lexicon)
            self.adds.append(self.lake.write(table, kind, month=month, bucket=bucket, lexicon=lexicon, token=self.token))

    def without(self, file: DataFile, keys: Collection[Key], taken: list[pa.Table] | None = None) -> int:
        """Plan a file without the rows of these records; a file that has none stays. Return how many rows go; taken: gets them."""
        gone = rewriting.found(self.lake, file, keys)
        if gone is not None:
            self.again(file, gone, taken)
        return rewriting.count(gone)

    def again(self, file: DataFile, gone: pa.ChunkedArray | None = None, taken: list[pa.Table] | None = None) -> None:
        """Plan a file anew, under the newest key of its unit, without the rows that `gone` tells (None: with all of them)."""
        self.removes.append(file)
        self._announce(file.kind, file.month, file.bucket, file.lexicon)
        written = rewriting.again(self.lake, file, gone, token=self.token, taken=taken)
        self.adds += [written] if written is not None else []

    def instead(self, file: DataFile, rows: pa.Table) -> None:
        """Plan a file with these sorted rows, at least one, in place of its own."""
        self.removes.append(file)
        self._announce(file.kind, file.month, file.bucket, file.lexicon)
        self.adds.append(rewriting.put(self.lake, file, (r for r in [rows]), token=self.token))

    def _announce(self, kind: str, month: str, bucket: str, lexicon: str) -> None:
        folder = f"kind={kind}/month={month}/bucket={bucket}/lexicon={lexicon}"
        if folder not in self._folders:
            self._folders.add(folder)
            self.list_files()

    def list_files(self) -> Noted:
        """Write the list of what this commit takes out and of where its files lie; return it. Raises CommitConflict when it was taken since it was written last."""
        self.noted = noted = purges.note(
            self.home, self.lake.corp_id, self.snapshot, self.removes, token=self.token, folders=self._folders, renewed=self.noted is not None
        )
        return noted

    def forget(self) -> None:
        """Unlink what was written for a commit that is not made."""
        self.lake.discard(self.adds)
        if self.noted is not None:
            purges.forget(self.noted)


# Plans the commit; returns whether there is anything to commit.
Plan = Callable[[Lake, Snapshot, Change], bool]


def commit(home: Home, corp_id: str, plan: Plan, *, what: str) -> int | None:
    """Make the commit that `plan` plans on a snapshot, as often anew as others come first; return its version, None when nothing is to be done."""
    lake = home.lake(corp_id)
    with turns.tries(home, corp_id) as tries:
        for _ in tries:
            snapshot = lake.snapshot()
            made = Change(home, lake, snapshot)
            try:
                if not plan(lake, snapshot, made):
                    made.forget()
                    return None
                if made.removes:
                    made.list_files()
                version = room.commit(home, lake, snapshot, made.adds, made.removes, what=what)
            except CommitConflict:
                made.forget()
                continue
            except room.FAILURES as error:  # a compaction took files away meanwhile, or an erasure what was written so far
                others = room.outrun(home, lake, snapshot, error, made.noted)
                made.forget()
                if not others:
                    raise
                continue
            _begin(home, corp_id, made, version)
            return version
    raise AssertionError("unreachable")


def _begin(home: Home, corp_id: str, made: Change, version: int) -> None:
    if made.noted is None:
        return
    if made.removes:
        purges.begin(home, corp_id, made.noted, version=version)
    else:
        purges.forget(made.noted)
