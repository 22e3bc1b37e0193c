"""A month matched again: all its findings under the current packs become visible at once, with a row of `scans`.

Before: stored.py. After: `liuhen rescan`.

1. A month is one commit: files of `matches` under the new version and the row that says so. Killed before, nothing changed; after, the
   month is done, and the same command goes on with the next.
2. Earlier findings stay where they are; the view takes the newest scan that covers a month (sql/views/matches.sql). What stands in the
   archive under this version already is not written again, so repeating adds nothing.
3. A commit of somebody else in between: when it touched messages of the month or hid something, the month is read again, else only the
   commit is planned anew.
4. What several messages show is read with as much of the neighbouring months as it can reach; a finding belongs to the month of its message.
5. Large months are shared among processes by conversation.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from pipeline import clock, room, schema
from pipeline.deltalog import CommitConflict, DataFile, Snapshot
from pipeline.errors import VerifyFailed
from pipeline.home import Home
from pipeline.lake import KEY_GONE, Lake
from pipeline.layout import bucket_of
from pipeline.match import context, history
from pipeline.match.judge import Approved
from pipeline.match.lexicon import Lexicon
from pipeline.rescan import stored
from pipeline.stage import HOT
from pipeline.workbench import Workbench

TRIES = 20
ROWS_WORTH_PROCESSES = 20_000
ROWS_A_SHARE = 400_000
FILE_ROWS = 200_000
MOST_SHARES = 16
DAY_MS = context.DAY_MS


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """What one process does of a month: the conversations whose bucket is among `buckets` (hex digits); all of them when empty."""

    home: str
    corp_id: str
    version: int
    month: str
    first: date
    last: date
    as_of_ms: int
    buckets: str = ""


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """What a share made: messages matched, findings written, and the files, durable and still invisible; beyond: findings that are counted and not
    kept, crowded: of how many messages."""

    scanned: int
    added: int
    files: tuple[DataFile, ...]
    beyond: int = 0
    crowded: int = 0


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What a rescan did: months matched again and months that were done already, messages matched, findings added; beyond, crowded: as in Done."""

    lexicon_version: str
    months: int
    skipped: int
    scanned: int
    added: int
    beyond: int = 0
    crowded: int = 0


Progress = Callable[[str, int, int], None]


def silent(what: str, done: int, total: int) -> None:
    """A progress that shows nothing."""


def months_between(snapshot: Snapshot, first: date | None, last: date | None) -> list[str]:
    """Return the months that hold messages of the Beijing days [first, last] (both inclusive, None: open), earliest first."""
    low, high = first.strftime("%Y-%m") if first else "", last.strftime("%Y-%m") if last else "9999-99"
    return sorted({f.month for f in snapshot.of("messages") if f.rows and low <= f.month <= high})


def rescan(
    home: Home, corp_id: str, *, first: date | None = None, last: date | None = None, workers: int | None = None, progress: Progress = silent
) -> Summary:
    """Match the months that hold the days [first, last] again under the current packs; under the corp's commit lock.

    Whole months: what counts of a month is decided for all of it. Raises Locked, StorageError, VerifyFailed."""
    with home.lock(f"{corp_id}.commit"):
        lake = home.lake(corp_id)
        snapshot = lake.snapshot()
        bench = Workbench(home, corp_id, snapshot)
        version = bench.lexicon_version
        history.keep(home, bench.packs, version, bench.approved)
        months = months_between(snapshot, first, last)
        total, scanned, added, skipped, beyond, crowded = snapshot.rows("messages"), 0, 0, 0, 0, 0
        for month in months:
            if covered(lake, snapshot, month, version):
                skipped += 1
                continue
            done = _rescan_month(home, corp_id, month, version, workers)
            scanned, added, beyond, crowded = scanned + done.scanned, added + done.added, beyond + done.beyond, crowded + done.crowded
            progress("rescan", scanned, total)
        return Summary(
            lexicon_version=version, months=len(months) - skipped, skipped=skipped, scanned=scanned, added=added, beyond=beyond, crowded=crowded
        )


def covered(lake: Lake, snapshot: Snapshot, month: str, version: str) -> bool:
    """Whether the newest scan of a month is of `version` and nothing came since: as many messages lie there as it matched."""
    rows = lake.read("scans", snapshot.of("scans"), where=ds.field("scan_month") == month).to_pylist()
    if not rows:
        return False
    newest = max(rows, key=lambda r: r["read_at"])
    return bool(newest["lexicon_version"] == version) and newest["scanned"] == _rows_of(snapshot, month)


def _rows_of(snapshot: Snapshot, month: str) -> int:
    return sum(f.rows for f in snapshot.of("messages", months=[month]))


def _rescan_month(home: Home, corp_id: str, month: str, version: str, workers: int | None) -> Done:
    lake = home.lake(corp_id)
    for _ in range(TRIES):
        snapshot = lake.snapshot()
        # Before, not after it was matched: what makes room moves the messages of the month, and they would be matched once more.
        if room.make(home, lake, snapshot, _expected(month, version)):
            snapshot = lake.snapshot()
        read_at = clock.now_ms()
        seen = _seen(snapshot, month)
        done = _match_month(home, corp_id, snapshot, month, read_at, workers)
        row = {
            "scan_month": month, "lexicon_version": version, "read_at": read_at, "scanned": done.scanned, "added": done.added, "finished_at": clock.now_ms(),
        }  # fmt: skip
        adds = [*done.files, lake.write(schema.table("scans", {name: [value] for name, value in row.items()}), "scans")]
        while True:
            try:
                room.commit(home, lake, snapshot, adds, (), what="rescan", adopts=False)
                return done
            except CommitConflict:
                snapshot = lake.snapshot()
                if _seen(snapshot, month) != seen or not room.there(lake, adds):
                    lake.discard(adds)
                    break
            except VerifyFailed as error:
                lake.discard(adds)
                if error.code != KEY_GONE:
                    raise
                break
            except BaseException:
                lake.discard(adds)
                raise
    raise VerifyFailed("COMMIT_STARVED", f"a month changed {TRIES} times while it was matched again", remedy="stop the other writers and run again")


def _expected(month: str, version: str) -> list[DataFile]:
    """As many files of findings as a month has shares at most (each may write more: the commit makes room for those)."""
    return [DataFile(path="", kind="matches", month=month, bucket=HOT, lexicon=version, rows=0, size=0)] * MOST_SHARES


def _seen(snapshot: Snapshot, month: str) -> frozenset[str]:
    """What the findings of a month rest on: its messages, and what is hidden."""
    return frozenset(f.path for f in (*snapshot.of("messages", months=[month]), *snapshot.of("hidden")))


# -- one month ----------------------------------------------------------------------------------------------------------


def _match_month(home: Home, corp_id: str, snapshot: Snapshot, month: str, as_of_ms: int, workers: int | None) -> Done:
    first = date.fromisoformat(f"{month}-01")
    last = date(first.year + first.month // 12, first.month % 12 + 1, 1) - timedelta(days=1)
    rows = _rows_of(snapshot, month)
    count = workers or os.cpu_count() or 1
    parallel = count > 1 and rows >= ROWS_WORTH_PROCESSES
    shares = max(-(-rows // ROWS_A_SHARE), count if parallel else 1)
    whole = Share(
        home=str(home.path.resolve()), corp_id=corp_id, version=snapshot.version, month=month, first=first, last=last, as_of_ms=as_of_ms
    )
    parts = [msgspec.structs.replace(whole, buckets=digits) for digits in _dealt(min(shares, MOST_SHARES))]
    if not parallel:
        return _sum(match_share(part) for part in parts)
    with ProcessPoolExecutor(count, mp_context=multiprocessing.get_context("spawn")) as pool:
        return _sum(pool.map(match_share, parts))


def _dealt(count: int) -> list[str]:
    """The sixteen buckets in `count` hands; one hand is everything, without asking for buckets."""
    return [""] if count == 1 else ["0123456789abcdef"[n::count] for n in range(count)]


def _sum(parts: Iterator[Done]) -> Done:
    done = list(parts)
    scanned, added, beyond, crowded = (sum(getattr(d, name) for d in done) for name in ("scanned", "added", "beyond", "crowded"))
    return Done(scanned=scanned, added=added, files=tuple(f for d in done for f in d.files), beyond=beyond, crowded=crowded)


def match_share(share: Share) -> Done:
    """Match one share of a month and write its findings as files that nothing names yet."""
    home = Home(Path(share.home))
    lake = home.lake(share.corp_id)
    snapshot = lake.snapshot_at(share.version)
    bench = Workbench(home, share.corp_id, snapshot)
    lexicon, approved, version = bench.packs, bench.approved, bench.lexicon_version
    there = stored.known(lake, [f for f in snapshot.of("matches", months=[share.month]) if f.lexicon == version])
    scanned = added = beyond = crowded = 0
    files: list[DataFile] = []
    waiting: list[stored.Row] = []
    found_ms = clock.now_ms()

    def write() -> None:
        table = stored.rows_table(share.corp_id, waiting, version, found_ms)
        if table is not None:
            files.append(lake.write(table, "matches", month=share.month, bucket=HOT, lexicon=version))
        waiting.clear()

    for conversation in stored.conversations(read_share(lake, snapshot, share, lexicon), lexicon, approved):
        mine = [s for s in conversation if share.first <= s.dt <= share.last]
        scanned, beyond, crowded = scanned + len(mine), beyond + sum(s.found.dropped for s in mine), crowded + sum(s.found.dropped > 0 for s in mine)
        new = stored.fresh(share.corp_id, found_in(conversation, share, lexicon, approved), there)
        added += len(new)
        waiting += new
        if len(waiting) >= FILE_ROWS:
            write()
    write()
    return Done(scanned=scanned, added=added, files=tuple(files), beyond=beyond, crowded=crowded)


def found_in(conversation: Sequence[stored.Stored], share: Share, lexicon: Lexicon, approved: Approved | None) -> Iterator[stored.Row]:
    """Yield the findings of a conversation that belong to the days of the share."""
    return (
        row for row in stored.matched(conversation, lexicon, approved, as_of_ms=share.as_of_ms) if share.first <= row.stored.dt <= share.last
    )


def read_share(lake: Lake, snapshot: Snapshot, share: Share, lexicon: Lexicon) -> pa.Table:
    """Return the messages of a share with those before and after that its findings can reach to."""
    back, ahead = (-(-reach // DAY_MS) for reach in context.reach_ms(lexicon))
    low, high = share.first - timedelta(days=back), share.last + timedelta(days=ahead)
    months = {d.strftime("%Y-%m") for d in (low, high, share.first, share.last)} | set(_months_within(low, high))
    files = snapshot.of("messages", months=sorted(months))
    if share.buckets:
        files = [f for f in files if f.bucket not in "0123456789abcdef" or f.bucket in share.buckets]
    within = (ds.field("dt") >= pa.scalar(low)) & (ds.field("dt") <= pa.scalar(high))
    table = stored.read(lake, snapshot, files, within)
    return _of_buckets(table, share.buckets) if share.buckets else table


def _months_within(low: date, high: date) -> Iterator[str]:
    at = low.replace(day=1)
    while at <= high:
        yield at.strftime("%Y-%m")
        at = date(at.year + at.month // 12, at.month % 12 + 1, 1)


def _of_buckets(table: pa.Table, buckets: str) -> pa.Table:
    coded = table["conversation_id"].combine_chunks().dictionary_encode()
    mine = pa.array([bucket_of(c) in buckets for c in coded.dictionary.to_pylist()], pa.bool_())
    return table.filter(pc.take(mine, coded.indices))


def as_rows(summary: Summary) -> dict[str, Any]:
    """Return the summary as the last line of `rescan` says it."""
    return {"scanned": summary.scanned, "added": summary.added, "months": summary.months, "skipped": summary.skipped, "lexicon_version": summary.lexicon_version}
