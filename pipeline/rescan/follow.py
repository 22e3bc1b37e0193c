"""After a commit: what several messages show together (design D2, the second step).

Before: stored.py, ../commit.py. After: ../ingest.py calls it at the end of every run.

1. It reads the conversations that the newly settled records belong to, as far before and after as a finding can reach, and writes what is
   not there yet. Findings are told apart by their places, so doing it twice adds nothing.
2. Where it stopped is a number in the home (`matching/CORP.json`): leaves settled, and until when rules that wait (silence, what was not
   said) were looked at. It moves on after the commit; killed before, the same records are looked at again.
3. Rules that wait are looked at hourly: conversations whose messages became old enough since the last time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from pipeline import clock, hints, room
from pipeline.deltalog import CommitConflict, DataFile, Snapshot
from pipeline.errors import UsageError, VerifyFailed
from pipeline.home import Home
from pipeline.lake import KEY_GONE, Lake
from pipeline.looked import Looked
from pipeline.match import context
from pipeline.match.lexicon import Lexicon
from pipeline.rescan import begins, stored
from pipeline.stage import HOT
from pipeline.workbench import Workbench

TRIES = 200
AT_ONCE = 25_000  # messages read into memory
HOUR_MS = 3_600_000
BEIJING = timedelta(hours=8)


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """How far the step has come."""

    leaves: int = 0
    waited_ms: int = 0


class Period(msgspec.Struct, frozen=True, kw_only=True):
    """Conversations to look at, the times between which a finding's message must lie, and how many messages asked for the look."""

    conversations: tuple[str, ...]
    from_ms: int
    to_ms: int
    messages: int


def follow(home: Home, corp_id: str, *, now_ms: int | None = None, looked: Looked | None = None) -> int:
    """Look for findings over several messages in what was settled since the last time; return how many were added.

    looked: what the run has searched by itself, message by message. To be called under the corp's commit lock. Raises StorageError, VerifyFailed."""
    lake = home.lake(corp_id)
    snapshot = lake.snapshot()
    mark = read_mark(home, corp_id)
    now = clock.now_ms() if now_ms is None else now_ms
    if snapshot.next_leaf == mark.leaves and now - mark.waited_ms < HOUR_MS:
        return 0
    bench = Workbench(home, corp_id, snapshot)
    lexicon = bench.packs
    rows: list[stored.Row] = []
    for period in _each_once((*_settled_since(lake, snapshot, mark.leaves), *_waited(lake, snapshot, lexicon, mark.waited_ms, now))):
        for portion in _portions(period):
            rows += _found(lake, snapshot, bench, portion, now, looked or Looked())
    added = _write(home, lake, snapshot, rows, bench.lexicon_version, now) if rows else 0
    write_mark(home, corp_id, Mark(leaves=snapshot.next_leaf, waited_ms=now))
    return added


def _path(home: Home, corp_id: str) -> Path:
    return home.path / "matching" / f"{corp_id}.json"


def read_mark(home: Home, corp_id: str) -> Mark:
    """Return how far the step has come; nowhere, when nobody knows: then all is looked at again."""
    return hints.read(_path(home, corp_id), Mark)


def write_mark(home: Home, corp_id: str, mark: Mark) -> None:
    """Remember how far the step has come."""
    hints.write(_path(home, corp_id), mark)


# -- what to look at ----------------------------------------------------------------------------------------------------


def _settled_since(lake: Lake, snapshot: Snapshot, leaves: int) -> list[Period]:
    """The conversations of records archived since, by month."""
    files = [f for f in snapshot.of("records") if "leaf" not in f.stats or f.stats["leaf"][1] >= leaves]
    where = (ds.field("leaf") >= leaves) & (ds.field("fate") == "archived")
    records = lake.read("records", files, columns=["seq", "dt"], where=where)
    days = sorted(set(records["dt"].drop_null().to_pylist()))
    found = []
    for month in sorted({day.strftime("%Y-%m") for day in days}):
        mine = [day for day in days if day.strftime("%Y-%m") == month]
        within = (ds.field("dt") >= pa.scalar(mine[0])) & (ds.field("dt") <= pa.scalar(mine[-1]))
        seqs = pc.unique(records["seq"].combine_chunks())
        touched = lake.read(
            "messages", snapshot.of("messages", months=[month]), columns=["conversation_id", "sent_at"], where=within & ds.field("seq").isin(seqs)
        )
        if period := _period(touched):
            found.append(period)
    return found


def _waited(lake: Lake, snapshot: Snapshot, lexicon: Lexicon, before_ms: int, now_ms: int) -> list[Period]:
    """The conversations with a message that became old enough for a rule that waits since the last look."""
    found = []
    for wait in context.waits_ms(lexicon):
        low, high = max(before_ms - wait, 0), now_ms - wait
        within = (ds.field("sent_at") > _time(low)) & (ds.field("sent_at") <= _time(high))
        days = (ds.field("dt") >= pa.scalar(_day(low))) & (ds.field("dt") <= pa.scalar(_day(high)))
        touched = lake.read("messages", snapshot.of("messages"), columns=["conversation_id", "sent_at"], where=days & within)
        if period := _period(touched):
            found.append(period)
    return found


def _period(touched: pa.Table) -> Period | None:
    times = touched["sent_at"].drop_null()
    if not len(times):
        return None
    low_high = pc.min_max(times).as_py()
    return Period(
        conversations=tuple(sorted(set(touched["conversation_id"].to_pylist()))), from_ms=stored.ms_of(low_high["min"]),
        to_ms=stored.ms_of(low_high["max"]), messages=touched.num_rows,
    )  # fmt: skip


def _each_once(periods: Iterable[Period]) -> Iterator[Period]:
    """Leave out of each period the conversations that an earlier one looks at over at least the same time."""
    earlier: list[Period] = []
    for period in periods:
        looked_at = {c for p in earlier if p.from_ms <= period.from_ms and period.to_ms <= p.to_ms for c in p.conversations}
        left = tuple(c for c in period.conversations if c not in looked_at)
        if left:
            earlier.append(period)
            yield msgspec.structs.replace(period, conversations=left)


def _portions(period: Period) -> Iterator[Period]:
    """Split a period so that the messages of a portion fit into memory, however many there are; a conversation is never split."""
    count = max(1, min(len(period.conversations), -(-period.messages // AT_ONCE)))
    for n in range(count):
        yield msgspec.structs.replace(period, conversations=period.conversations[n::count], messages=-(-period.messages // count))


def _time(at_ms: int) -> pa.Scalar:
    return pa.scalar(at_ms, pa.timestamp("ms", "UTC")).cast(pa.timestamp("us", "UTC"))


def _day(at_ms: int) -> date:
    return (datetime.fromtimestamp(at_ms / 1000, UTC) + BEIJING).date()


# -- looking, writing ---------------------------------------------------------------------------------------------------


def _found(lake: Lake, snapshot: Snapshot, bench: Workbench, period: Period, now_ms: int, looked: Looked) -> list[stored.Row]:
    """Findings over several messages whose message lies within reach of the period; twice the reach is read, so that none is cut."""
    lexicon, approved = bench.packs, bench.approved
    back, ahead = context.reach_ms(lexicon)
    low, high = period.from_ms - back, period.to_ms + ahead
    first, last = _day(max(0, low - back - ahead)), _day(high + back + ahead)
    months = [m for m in {f.month for f in snapshot.of("messages")} if first.strftime("%Y-%m") <= m <= last.strftime("%Y-%m")]
    where = (ds.field("dt") >= pa.scalar(first)) & (ds.field("dt") <= pa.scalar(last)) & ds.field("conversation_id").isin(list(period.conversations))
    read = stored.read(lake, snapshot, snapshot.of("messages", months=sorted(months)), where)
    table = begins.promising(read, lexicon, approved, looked=looked, version=bench.lexicon_version)
    there = _known(lake, snapshot, bench.lexicon_version, months, period.conversations)
    rows: list[stored.Row] = []
    for conversation in stored.conversations(table, lexicon, approved, alone=False):
        across = stored.matched(conversation, lexicon, approved, as_of_ms=now_ms, alone=False)
        rows += [row for row in across if low <= row.stored.turn.at_ms <= high]
    return stored.fresh(lake.corp_id, rows, there)


def _known(lake: Lake, snapshot: Snapshot, version: str, months: Sequence[str], conversations: Sequence[str]) -> set[tuple[str, str | None]]:
    files = [f for f in snapshot.of("matches", months=months) if f.lexicon == version]
    where = ds.field("via").isin(["split", "context"]) & ds.field("conversation_id").isin(list(conversations))
    return stored.known(lake, files, where)


def _files(lake: Lake, rows: Sequence[stored.Row], version: str, now_ms: int) -> list[DataFile]:
    files: list[DataFile] = []
    for month in sorted({row.stored.dt.strftime("%Y-%m") for row in rows}):
        table = stored.rows_table(lake.corp_id, [row for row in rows if row.stored.dt.strftime("%Y-%m") == month], version, now_ms)
        if table is not None:
            files.append(lake.write(table, "matches", month=month, bucket=HOT, lexicon=version))
    return files


def _write(home: Home, lake: Lake, snapshot: Snapshot, rows: Sequence[stored.Row], version: str, now_ms: int) -> int:
    rows = stored.fresh(lake.corp_id, rows, set())
    files = _files(lake, rows, version, now_ms)
    for _ in range(TRIES):
        try:
            room.commit(home, lake, snapshot, files, (), what="follow", adopts=False)
            return len(rows)
        except CommitConflict:
            as_written = room.there(lake, files)
        except VerifyFailed as error:
            if error.code != KEY_GONE:
                lake.discard(files)
                raise
            as_written = False
        if not as_written:
            lake.discard(files)
            files = _files(lake, rows, version, now_ms)
        snapshot = lake.snapshot()
    lake.discard(files)
    raise UsageError("COMMIT_STARVED", f"{TRIES} commits in a row lost to others", remedy="stop the other writers and run again")
