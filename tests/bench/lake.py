"""An archive of many rows made without RSA, and the arms that are measured on it, each a process of its own: `python -m tests.bench.lake ARM HOME …`.

Before: nothing. After: test_lake.py, which starts the arms through meter.py and reads what they said (one line of JSON).
The rows are as wide as real ones: ids as long as the source's, 34 characters of text, the JSON as received, a sealed record of random bytes.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from deltalake.transaction import AddAction, RemoveAction

from pipeline import layout, schema
from pipeline.deltalog import NO_HOOKS, PARTITION, DataFile, _add
from pipeline.home import Home
from pipeline.lake import HOT_GROUP_ROWS
from pipeline.stage import HOT
from tests import firm

FIRST_DAY = date(2026, 3, 1)
FIRST_MS, DAY_MS = 1_772_294_400_000, 86_400_000
A_DAY = 164_000  # as dense as ten million in two months, however many rows are made
A_FILE = 20_000
EMPLOYEES, CONVERSATIONS_A_ROW, ACTIVE_DAYS = 5_000, 0.03, 4
CHARACTERS = (
    "的一是了我不人在他有这个上们来到时大地为子中你说生国年着就那和要她出也得里后自以会家可下而过天去能对小多然于心学么之都好"
    "看起发当没成只如事把还用第样道想作种开美总从无情己面最女但现前些所同日手又行意动方期它头经长儿回位分爱老因很给名法间斯知世什两次使身者被高已亲其进此话常与活正感"
)
MOST_SEALED = 1_000_000
# What pyarrow alone holds in memory at once, days of about A_DAY rows: a month of ten million whole is 12 GB.
PIECE_DAYS = 6


def days(rows: int) -> list[date]:
    """The days of an archive of so many rows: 61 for ten million."""
    return [FIRST_DAY + timedelta(days=n) for n in range(max(1, rows // A_DAY))]


class Source:
    """Makes the rows of one day after the other, whole columns at a time; the same rows for the same seed."""

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self._rng = np.random.default_rng(1)
        self._count = max(50, int(rows * CONVERSATIONS_A_ROW))
        self._texts = pa.array([self._text() for _ in range(4_000)])
        numbers = pc.cast(pa.array(np.arange(self._count)), pa.string())
        padded = pc.utf8_lpad(numbers, 25, padding="0")
        employees = pc.utf8_lpad(pc.cast(pa.array(np.arange(self._count) % EMPLOYEES), pa.string()), 5, padding="0")
        self._employees, self._customers = pc.binary_join_element_wise("emp", employees, ""), pc.binary_join_element_wise("wmBENCH", padded, "")
        in_room = pa.array(np.arange(self._count) % 5 == 0)
        self._rooms = pc.if_else(in_room, pc.binary_join_element_wise("wrBENCH", padded, ""), None)
        self._conversations = pc.coalesce(self._rooms, pc.binary_join_element_wise(self._employees, self._customers, "|"))

    def _text(self) -> str:
        return "".join(self._rng.choice(list(CHARACTERS), self._rng.integers(2, 33)))

    def hot(self) -> Iterator[tuple[str, pa.Table, pa.Table | None]]:
        """Yield (month, messages, sealed) of A_FILE rows each, in the order in which they came; sealed bytes of the first MOST_SEALED only."""
        listed, seq = days(self.rows), 0
        for number, day in enumerate(listed):
            left = self.rows // len(listed) if number < len(listed) - 1 else self.rows - seq
            while left:
                n = min(A_FILE, left)
                yield day.strftime("%Y-%m"), *self._tables(day, number, seq + 1, n)
                seq, left = seq + n, left - n

    def _tables(self, day: date, number: int, first: int, n: int) -> tuple[pa.Table, pa.Table | None]:
        who = self._speaking(number, n)
        at = FIRST_MS + number * DAY_MS + np.arange(n) * 80_000_000 // n
        msgid = pc.binary_join_element_wise(self._hex(n, 20), pc.cast(pa.array(at), pa.string()), "external", "_")
        same = {"origin": pa.repeat("sealed", n), "seq": np.arange(first, first + n), "msgid": msgid, "key_version": pa.repeat(1, n),
                "captured_at": np.full(n, at[-1]), "conversation_id": self._conversations.take(who)}  # fmt: skip
        messages = table_of("messages", {**same, **self._said(who, msgid, at), **self._judged(day, at)})
        return messages, table_of("sealed", {**same, **self._sealed(n)}) if first <= MOST_SEALED else None

    def _speaking(self, number: int, n: int) -> pa.Array:
        """Return the conversation of each message of a day: some are busy for a few days, the later ones less."""
        count = len(days(self.rows))
        per_day = max(1, self._count * ACTIVE_DAYS // max(count, ACTIVE_DAYS))
        return pa.array((number * self._count // count + (per_day * self._rng.random(n) ** 2).astype(int)) % self._count)

    def _said(self, who: pa.Array, msgid: pa.Array, at: Any) -> dict[str, Any]:
        """Return who said what to whom, and the JSON as received."""
        n, mine = len(who), pa.array(self._rng.random(len(who)) < 0.5)
        employees, customers = self._employees.take(who), self._customers.take(who)
        senders, receivers = pc.if_else(mine, employees, customers), pc.if_else(mine, customers, employees)
        halves = [self._texts.take(pa.array(self._rng.integers(0, len(self._texts), n))) for _ in range(2)]
        text = pc.binary_join_element_wise(*halves, "")
        raw = pc.binary_join_element_wise(
            '{"msgid":"', msgid, '","action":"send","from":"', senders, '","tolist":["', receivers, '"],"roomid":"","msgtime":', pc.cast(pa.array(at), pa.string()),
            ',"msgtype":"text","text":{"content":"', text, '"}}', "",
        )  # fmt: skip
        parts = pa.StructArray.from_arrays([pa.repeat("text.content", n), text], fields=list(schema.PART))
        return {
            "kind": pa.repeat("message", n), "action": pa.repeat("send", n), "msgtype": pa.repeat("text", n), "sent_at": at, "sender_id": senders,
            "sender_kind": pc.if_else(mine, "employee", "external"), "recipient_ids": _lists(receivers, 1), "room_id": self._rooms.take(who),
            "direction": pc.if_else(mine, "outbound", "inbound"), "employee_id": employees, "customer_id": customers, "text": text, "parts": _lists(parts, 1),
            "raw": raw,
        }  # fmt: skip

    def _judged(self, day: date, at: Any) -> dict[str, Any]:
        """Return what the gate and the staging add."""
        n, digest = len(at), self._noise(len(at), 32)
        return {
            "quotes": _lists(pa.array([], schema.QUOTE), 0, n), "consent": pa.repeat("agree", n), "consent_source": pa.repeat("api", n),
            "consent_rule": pa.repeat("1", n), "lawful_basis": _lists(pa.repeat("consent", n), 1), "ingested_at": np.full(n, at[-1]),
            "dt": np.full(n, (day - date(1970, 1, 1)).days, "i4"), "dt_basis": pa.repeat("sent", n), "register_version": pa.repeat(1, n),
            "policy_version": pa.repeat("p", n), "subjects": _lists(self._noise(2 * n, 16), 2), "nonce": self._noise(n, 32),
            "content_fp": self._noise(n, 16), "sealed_sha256": digest,
        }  # fmt: skip

    def _sealed(self, n: int) -> dict[str, Any]:
        return {"variant": pa.repeat("", n), "envelope": self._noise(n, 900), "key_block": self._noise(n, 44), "page": pa.repeat("0" * 64, n)}

    def _noise(self, n: int, size: int) -> pa.Array:
        """Return `n` times `size` random bytes."""
        return pa.BinaryArray.from_buffers(pa.binary(), n, [None, _ends(n, size), pa.py_buffer(self._rng.bytes(n * size))])

    def _hex(self, n: int, digits: int) -> pa.Array:
        return pa.StringArray.from_buffers(n, _ends(n, digits), pa.py_buffer(self._rng.bytes(n * digits // 2).hex().encode()))


def _ends(n: int, size: int) -> pa.Buffer:
    return pa.py_buffer((np.arange(n + 1) * size).astype("i4"))


def _lists(items: pa.Array, each: int, rows: int = 0) -> pa.Array:
    """Return lists of `each` items."""
    n = rows or len(items) // each
    return pa.ListArray.from_arrays(pa.array((np.arange(n + 1) * each).astype("i4")), items)


def table_of(kind: str, columns: dict[str, Any]) -> pa.Table:
    """Return a table of a kind; times are milliseconds, what is not given is null."""
    declared = schema.kind(kind).arrow
    rows = len(columns["seq"])
    return pa.Table.from_arrays([_column(columns.get(f.name), f.type, rows) for f in declared], schema=declared)


def _column(values: Any, wanted: pa.DataType, rows: int) -> pa.Array:
    if values is None:
        return pa.nulls(rows, wanted)
    if pa.types.is_timestamp(wanted):
        return pa.array(values).cast(pa.timestamp("ms", "UTC")).cast(wanted)
    return (pa.array(values) if isinstance(values, np.ndarray) else values).cast(wanted)


def make(home: Home, plain: Path, rows: int) -> None:
    """Commit the rows as an ingest leaves them, and write the same messages as plain files."""
    lake = home.lake(firm.CORP)
    batch: list[DataFile] = []
    for number, (month, messages, sealed) in enumerate(Source(rows).hot()):
        batch.append(lake.write(messages, "messages", month=month, bucket=HOT))
        if sealed is not None:
            batch.append(lake.write(sealed, "sealed", month=month, bucket=HOT))
        (plain / month).mkdir(parents=True, exist_ok=True)
        pq.write_table(messages, plain / month / f"{number:06d}.parquet", compression="zstd", row_group_size=HOT_GROUP_ROWS)
        if len(batch) >= 40:
            lake.commit(lake.snapshot(), batch, (), what="bench")
            batch = []
            print(f"{(number + 1) * A_FILE:,} rows made", file=sys.stderr, flush=True)
    if batch:
        lake.commit(lake.snapshot(), batch, (), what="bench")


def linked(home: Path, target: Path) -> Path:
    """Return a copy of a home below `target` that can be written on: data files, which are written once, are shared, all others copied."""
    shutil.copytree(home, target, copy_function=lambda a, b: os.link(a, b) if a.endswith(".parquet") and "_delta_log" not in a else shutil.copy2(a, b))
    return target


# -- the arms: each returns what it measured, seconds on the clock and of CPU among it ------------------------------


def compaction(home: str, kind: str) -> dict[str, Any]:
    """Compact one kind."""
    from pipeline import compact

    at = Home(Path(home))
    lake, told = at.lake(firm.CORP), compact.Compacted()
    begun, cpu = time.perf_counter(), time.process_time()
    for step in compact.due(lake.snapshot(), most_hot=0):
        if step.kind == kind:
            compact._take(at, lake, step, told)
    return {"wall": time.perf_counter() - begun, "cpu": time.process_time() - cpu, "rows": told.rows, "files": told.files_in}


def plain(source: str, target: str) -> dict[str, Any]:
    """Read, sort and write the same tables with pyarrow alone, a file a month, some days in memory at once (a day leads the order: the file is sorted)."""
    rows = size = 0
    order = [(c, "ascending") for c in schema.kind("messages").order]
    begun, cpu = time.perf_counter(), time.process_time()
    for month in sorted(Path(source).iterdir()):
        path, dataset = Path(target) / f"{month.name}.parquet", ds.dataset(str(month))
        first = date.fromisoformat(f"{month.name}-01")
        with pq.ParquetWriter(path, dataset.schema, compression="zstd") as writer:
            for start in (first + timedelta(days=n) for n in range(0, 31, PIECE_DAYS)):
                within = (ds.field("dt") >= start) & (ds.field("dt") < start + timedelta(days=PIECE_DAYS))
                if len(table := dataset.to_table(filter=within)):
                    writer.write_table(table.sort_by(order))
                rows += table.num_rows
        size += path.stat().st_size
    return {"wall": time.perf_counter() - begun, "cpu": time.process_time() - cpu, "rows": rows, "bytes": size}


def questions(home: str) -> dict[str, Any]:
    """One day's text searched, one conversation read (all files, and only those of its bucket), by DuckDB over the files; then as a user asks."""
    at = Home(Path(home))
    lake = at.lake(firm.CORP)
    snapshot = lake.snapshot()
    day = date.fromisoformat(snapshot.of("messages")[0].month + "-02")
    some = lake.read("messages", snapshot.of("messages")[:1], columns=["conversation_id", "text"])
    word = some["text"][0].as_py()[:2]
    most = pc.value_counts(some["conversation_id"].combine_chunks()).to_pylist()
    conversation = max(most, key=lambda v: (v["counts"], v["values"]))["values"]
    month = snapshot.of("messages", months=[f"{day:%Y-%m}"])
    of_day, values = "SELECT seq FROM {} WHERE dt = CAST($day AS DATE) AND contains(text, $word)", {"day": str(day), "word": word}
    one = "SELECT seq, sender_id, sent_at, text FROM m WHERE conversation_id = $id ORDER BY dt, sent_at, seq"
    return {
        "day": _by_duckdb(lake, month, of_day.format("m"), **values),
        "conversation": _by_duckdb(lake, snapshot.of("messages"), one, id=conversation),
        "conversation, own files": _by_duckdb(lake, snapshot.of("messages", buckets=[layout.bucket_of(conversation)]), one, id=conversation),
        **_by_reader(at, of_day.format("messages"), day, word),
    }


def _by_duckdb(lake: Any, files: list[DataFile], query: str, **values: str) -> dict[str, Any]:
    import duckdb

    dataset = lake.dataset("messages", files)
    next(iter(dataset.get_fragments())).ensure_complete_metadata()
    with duckdb.connect() as connection:
        connection.register("m", dataset)
        return _asked(lambda: len(connection.execute(query, values).fetchall()))


def _by_reader(home: Home, query: str, day: date, word: str) -> dict[str, Any]:
    """The same day as `liuhen sql` and `liuhen search` ask it: views, an index, the newest fifty."""
    from pipeline.reader import Reader
    from pipeline.search import hits
    from pipeline.search.question import Question

    with Reader(home, firm.CORP) as reader:
        return {
            "day, sql": _asked(lambda: len(reader.rows(query, {"day": str(day), "word": word}))),
            "day, search": _asked(lambda: len(hits.look(reader, Question(text=word, first_day=day, last_day=day)).hits)),
            "day, search, one character": _asked(lambda: len(hits.look(reader, Question(text=word[0], first_day=day, last_day=day)).hits)),
        }


def _asked(ask: Callable[[], int]) -> dict[str, Any]:
    """Ask seven times; return medians of the last six, seconds on the clock and of CPU, the first time, and the rows."""
    wall, cpu, rows = [], [], 0
    for _ in range(7):
        begun, used = time.perf_counter(), time.process_time()
        rows = ask()
        wall.append(time.perf_counter() - begun)
        cpu.append(time.process_time() - used)
    return {"seconds": median(wall[1:]), "cpu": median(cpu[1:]), "first": wall[0], "rows": rows}


def indexing(home: str) -> dict[str, Any]:
    """Make what is missing of the search index."""
    from pipeline.search import index

    return {"messages": index.build(Home(Path(home)), firm.CORP).messages}


def rewriting(home: str) -> dict[str, Any]:
    """Write the fullest month-bucket again without one record, as an erasure does: seconds, rows."""
    from pipeline import rewriting

    lake = Home(Path(home)).lake(firm.CORP)
    file = max(lake.snapshot().of("messages"), key=lambda f: f.rows)
    one = lake.read("messages", [file], columns=["origin", "seq"]).slice(file.rows // 2, 1).to_pylist()[0]
    begun, cpu = _now()
    written = rewriting.again(lake, file, rewriting.found(lake, file, {(one["origin"], one["seq"])}), token="0" * 16)
    ended, used = _now()
    assert written is not None and written.rows == file.rows - 1
    lake.purge([written])
    return {"wall": ended - begun, "cpu": used - cpu, "rows": written.rows, "bytes": written.size}


def committing(home: str, files: str) -> dict[str, Any]:
    """Make the log name many files (that are not there), a hundred a commit and with a checkpoint, then commit one real file some times: medians."""
    from pipeline import logcare

    at = Home(Path(home))
    lake = at.lake(firm.CORP)
    table = lake.snapshot().table
    ghosts: list[AddAction | RemoveAction] = [_add(_ghost(n), 0) for n in range(int(files))]
    for first in range(0, len(ghosts), 100):
        table.create_write_transaction(ghosts[first : first + 100], "append", table.schema(), list(PARTITION), post_commithook_properties=NO_HOOKS)
        table.update_incremental()
    logcare.tend(at, firm.CORP, every=1)
    acks = schema.table("acks", {"what": ["failed"], "until_leaf": [0], "reason": ["r"], "actor": ["a"], "at": [0]})
    opened, committed = [], []
    for _ in range(9):
        written = lake.write(acks, "acks")
        begun = _now()
        planned = lake.snapshot()
        between = _now()
        lake.commit(planned, [written], (), what="bench")
        ended = _now()
        opened.append((between[0] - begun[0], between[1] - begun[1]))
        committed.append((ended[0] - between[0], ended[1] - between[1]))
    return {
        **{f"{name} {what}": median(one[n] for one in took) for name, took in (("open", opened), ("commit", committed)) for n, what in enumerate(("wall", "cpu"))},
        "files": len(lake.snapshot().files),
    }  # fmt: skip


def _now() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def _ghost(n: int) -> DataFile:
    month, bucket = f"2001-{1 + n % 12:02}", f"{n % 16:x}"
    path = f"kind=media/month={month}/bucket={bucket}/lexicon=-/{n:016x}-{'0' * 64}.parquet"
    return DataFile(path=path, kind="media", month=month, bucket=bucket, rows=1, size=1, stats={"seq": (n, n)})


if __name__ == "__main__":
    arms: dict[str, Callable[..., dict[str, Any]]] = {
        "compaction": compaction, "plain": plain, "indexing": indexing, "questions": questions, "rewriting": rewriting, "committing": committing,
    }  # fmt: skip
    arm, *arguments = sys.argv[1:]
    print(json.dumps(arms[arm](*arguments)))
