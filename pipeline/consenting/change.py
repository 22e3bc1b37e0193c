"""One planned commit of rows and files, made anew when another one comes first.

Before: lake.py, purges.py, manifests.py. After: hiding.py, moving.py, resealing.py, destroying.py.
Killed anywhere: before the commit nothing has happened but files that no commit names (the list written before it names their token
or they are swept by the next run of the same command); after it the list says what to unlink.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pyarrow as pa

from pipeline import manifests, purges
from pipeline.errors import VerifyFailed
from pipeline.home import Home
from pipeline.lake import CommitConflict, DataFile, Lake, Snapshot

TRIES = 200


class Change(msgspec.Struct, kw_only=True):
    """What one commit adds and takes out. written: files made for it, unlinked when it loses."""

    adds: list[DataFile] = []
    removes: list[DataFile] = []
    written: list[DataFile] = []

    def write(self, lake: Lake, table: pa.Table, kind: str, *, month: str = "-", bucket: str = "-", lexicon: str = "-") -> None:
        """Write rows as one file of the commit; none for no rows."""
        if table.num_rows:
            self.take(lake.write(table, kind, month=month, bucket=bucket, lexicon=lexicon))

    def take(self, file: DataFile) -> None:
        """Make a file that was just written part of the commit."""
        self.adds.append(file)
        self.written.append(file)


def commit(home: Home, corp_id: str, plan: Callable[[Lake, Snapshot], Change | None], *, what: str) -> int | None:
    """Make the commit that `plan` plans on a snapshot, as often anew as others come first; return its version, None when nothing is to be done."""
    lake = home.lake(corp_id)
    for _ in range(TRIES):
        snapshot = lake.snapshot()
        change = plan(lake, snapshot)
        if change is None:
            return None
        noted = purges.note(home, corp_id, snapshot, change.removes) if change.removes else None
        try:
            with manifests.files_held(home, corp_id):
                version = lake.commit(snapshot, change.adds, change.removes, what=what)
        except CommitConflict:
            lake.purge(change.written)
            if noted is not None:
                purges.forget(noted)
            continue
        if noted is not None:
            purges.begin(home, corp_id, noted, version=version)
        return version
    raise VerifyFailed("COMMIT_STARVED", f"{TRIES} commits in a row lost to others", remedy="stop the other writers and run again")
