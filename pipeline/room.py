"""Room for what a commit adds: never more than 64 hot files of a kind, nor 64 small files where files are only merged, whoever commits.

Before: compact.py. After: commit.py, holds.py, left_over.py, ingest.py, consenting/change.py, source/media_fetch.py, rescan/, stores.py.

Rules, each with a test:
 (1) `commit` is the one way to the log, but for compaction, which takes files out (a test reads the sources for it).
 (2) Files that would be too many beside those that are there: those that are there are compacted first, in commits of their own, and the
     plan is made anew. A long compaction so never loses what it did to a short commit that came between.
 (3) A commit that adds too many by itself (messages of seventy months): the rows of its own hot files go straight into the layout, in that
     very commit. What it takes out, what it wrote in vain and what it writes are listed before it, as by compaction.
 (4) A commit after which there are no more of them than before is made as it is, so that an archive above the bound can come down.
 (5) Hot files are added under the lock of the files whoever adds them: a generation that nothing names may end at any time, and a file whose key
     was there when it was looked at must not be committed when it is gone.
 (6) What a plan wrote may be taken by an erasure, with the list that names it: that plan is made anew, as one that lost its race. What is damaged
     is told as what it is, however busy the others are.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from contextlib import nullcontext

import pyarrow as pa

from pipeline import compact, durable, manifests, purges, turns
from pipeline.compact import Step
from pipeline.deltalog import CommitConflict, DataFile, Snapshot
from pipeline.errors import ArchiveError, UsageError, VerifyFailed
from pipeline.home import Home
from pipeline.lake import KEY_GONE, Lake
from pipeline.layout import is_hot
from pipeline.purges import Noted

FAILURES = (VerifyFailed, UsageError, durable.Vanished)  # what files, keys and lists that are gone may come out as


def outrun(home: Home, lake: Lake, planned: Snapshot, error: ArchiveError, noted: Noted | None = None) -> bool:
    """Whether a plan failed because others were at work, and is made anew: there is a newer version, its list was taken with what it wrote, or the
    key that it wrote under ended (rule 6). noted: the list, if it has one."""
    taken = noted is not None and purges.taken(home, lake.corp_id, noted)
    return taken or error.code == KEY_GONE or lake.snapshot().version != planned.version


def commit(
    home: Home, lake: Lake, planned: Snapshot, adds: Sequence[DataFile], removes: Sequence[DataFile], *, what: str, adopts: bool = True
) -> int:
    """Make a commit as `Lake.commit` does, with room for what it adds; return the new version.

    adopts: it adds files that a worker staged, or takes files out, and so holds `manifests.files_held` meanwhile (the caller must not).
    Raises what Lake.commit raises; CommitConflict too when room was made, for `planned` is not the newest version then."""
    crowded = too_many(planned.files, adds, removes)
    if crowded and make(home, lake, planned, adds):
        raise CommitConflict
    if crowded:
        return _straight(home, lake, planned, adds, removes, crowded, what)
    held = manifests.files_held(home, lake.corp_id) if adopts or any(map(is_hot, adds)) else nullcontext()
    with turns.held(home, lake.corp_id), held:
        return lake.commit(planned, adds, removes, what=what)


def append(home: Home, corp_id: str, tables: Sequence[tuple[str, pa.Table]], *, what: str) -> int:
    """Append rows to base kinds in one commit, planned anew when another commit comes first; return the version."""
    lake = home.lake(corp_id)
    files: list[DataFile] = [lake.write(table, kind) for kind, table in tables]
    for _ in range(compact.TRIES):
        try:
            return commit(home, lake, lake.snapshot(), files, (), what=what, adopts=False)
        except CommitConflict:
            files = [file if there(lake, [file]) else lake.write(table, kind) for file, (kind, table) in zip(files, tables, strict=True)]
    raise UsageError("COMMIT_STARVED", f"{compact.TRIES} commits in a row lost to others", remedy="stop the other writers and run again")


def there(lake: Lake, files: Iterable[DataFile]) -> bool:
    """Whether files of a plan that lost its race are there still: those whose rows were to go straight into the layout are on its list, and go with it."""
    return all((lake.root / f.path).exists() for f in files)


def make(home: Home, lake: Lake, snapshot: Snapshot, coming: Sequence[DataFile]) -> bool:
    """Compact what leaves no room for `coming` beside it; return whether anything was: `snapshot` is not the newest version then."""
    made = False
    while too_many(snapshot.files, coming) and compact.due(snapshot, coming=coming) and compact.run(home, lake.corp_id, only_due=True, coming=coming).steps:
        made, snapshot = True, lake.snapshot()
    return made


def too_many(there: Iterable[DataFile], adds: Sequence[DataFile], removes: Sequence[DataFile] = (), *, most: int | None = None) -> set[Step]:
    """Return the kinds (hot files) and places (small ones) of which a commit would leave more than `most` (None: the bound), and more than there were."""
    bound = compact.HOT_FILES if most is None else most
    kinds = {f.kind for f in adds}
    before = compact.counted(f for f in there if f.kind in kinds)
    more, fewer = compact.counted(adds), compact.counted(removes)
    return {s for s, n in more.items() if n > fewer[s] and before[s] + n - fewer[s] > bound}


def _straight(
    home: Home, lake: Lake, planned: Snapshot, adds: Sequence[DataFile], removes: Sequence[DataFile], crowded: set[Step], what: str
) -> int:
    """Commit with the rows of the crowded kinds and places in the layout at once (rule 3)."""
    there = [*_without(planned.files, removes), *adds]
    steps = {step: compact.inputs(lake, there, step) for step in sorted(_steps(adds, crowded))}
    gone, token = [f for files in steps.values() for f in files], secrets.token_hex(8)
    noted = purges.note(home, lake.corp_id, planned, gone, token=token, folders=compact.folders(steps))
    written: list[DataFile] = []
    try:
        for step, files in steps.items():
            written += compact.write(lake, step, files, token) if files else []
        with turns.held(home, lake.corp_id), manifests.files_held(home, lake.corp_id):
            version = lake.commit(planned, [*_without(adds, gone), *written], [*removes, *_without(gone, adds)], what=what)
    except CommitConflict:
        lake.discard(written)
        purges.forget(noted)
        raise
    except FAILURES as error:
        lake.discard(written)
        others = error.code != KEY_GONE and outrun(home, lake, planned, error, noted)  # what was added under an older key is the caller's to write anew
        purges.forget(noted)
        if others:
            raise CommitConflict from error
        raise
    purges.begin(home, lake.corp_id, noted, version=version)
    return version


def _steps(adds: Iterable[DataFile], crowded: set[Step]) -> set[Step]:
    return {Step(f.kind, f.month, f.lexicon, "" if is_hot(f) else f.bucket) for f in adds if crowded & compact.counted([f]).keys()}


def _without(files: Iterable[DataFile], others: Iterable[DataFile]) -> list[DataFile]:
    paths = {f.path for f in others}
    return [f for f in files if f.path not in paths]
