"""An archive of many rows made without RSA, and the arms that are measured on it, each a process of its own: `python -m tests.bench.lake ARM HOME …`.

Before: nothing. After: test_lake.py, which starts the arms through meter.py and reads what they said (one line of JSON).
The rows are as wide as real ones: ids as long as the source's, 34 characters of text, the JSON as received, a sealed record of random bytes.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from statistics import median
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from pipeline import layout, schema
from pipeline.home import Home
from pipeline.lake import HOT_GROUP_ROWS, PARTITION, DataFile, _add
from pipeline.stage import HOT
from tests import firm

FIRST_DAY = date(2026, 3, 1)
A_DAY = 164_000  # as dense as ten million in two months, however many rows are made
A_FILE = 20_000
EMPLOYEES, CONVERSATIONS_A_ROW, ACTIVE_DAYS = 5_000, 0.03, 4
CHARACTERS = (
    "的一是了我不人在他有这个上们来到时大地为子中你说生国年着就那和要她出也得里后自以会家可下而过天去能对小多然于心学么之都好"
    "看起发当没成只如事把还用第样道想作种开美总从无情己面最女但现前些所同日手又行意动方期它头经长儿回位分爱老因很给名法间斯知世什两次使身者被高已亲其进此话常与活正感"
)
LEXICON = "0" * 16


def days(rows: int) -> list[date]:
    """The days of an archive of so many rows: 61 for ten million."""
    return [FIRST_DAY + timedelta(days=n) for n in range(max(1, rows // A_DAY))]


class Source:
    """Makes the rows of one day after the other; the same rows for the same seed."""

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self._rng = random.Random(1)
        self._conversations = max(50, int(rows * CONVERSATIONS_A_ROW))
        pool = [self._text() for _ in range(4_000)]
        self._texts = pa.array(pool)
        self._noise = os.urandom(1 << 22)

    def _text(self) -> str:
        return "".join(self._rng.choices(CHARACTERS, k=self._rng.randint(2, 32)))

    def conversation(self, n: int) -> tuple[str, str, str, str | None]:
        """Return (id, employee, customer, room) of conversation `n`."""
        employee, customer = f"emp{n % EMPLOYEES:05d}", f"wmBENCH{n:025d}"
        room = f"wrBENCH{n:025d}" if n % 5 == 0 else None
        return room or f"{employee}|{customer}", employee, customer, room

    def hot(self) -> Iterator[tuple[str, pa.Table, pa.Table]]:
        """Yield (month, messages, sealed) of A_FILE rows each, in the order in which they came."""
        listed, seq = days(self.rows), 0
        for number, day in enumerate(listed):
            left = self.rows // len(listed) if number < len(listed) - 1 else self.rows - seq
            while left:
                n = min(A_FILE, left)
                yield day.strftime("%Y-%m"), *self._tables(day, number, seq + 1, n)
                seq, left = seq + n, left - n

    def _tables(self, day: date, number: int, first: int, n: int) -> tuple[pa.Table, pa.Table]:
        rng = self._rng
        count = len(days(self.rows))
        per_day = max(1, self._conversations * ACTIVE_DAYS // max(count, ACTIVE_DAYS))
        start = number * self._conversations // count
        who = [self.conversation((start + int(per_day * rng.random() ** 2)) % self._conversations) for _ in range(n)]
        seqs = range(first, first + n)
        at = [1_772_294_400_000 + number * 86_400_000 + int(i * 80_000_000 / n) for i in range(n)]
        halves = [self._texts.take(pa.array([rng.randrange(len(self._texts)) for _ in range(n)])) for _ in range(2)]
        text = pc.binary_join_element_wise(*halves, "")
        msgid = [f"{rng.getrandbits(80):020x}_{t}_external" for t in at]
        mine = [rng.random() < 0.5 for _ in range(n)]
        senders = [w[1] if m else w[2] for w, m in zip(who, mine, strict=True)]
        receivers = [[w[2] if m else w[1]] for w, m in zip(who, mine, strict=True)]
        raw = pc.binary_join_element_wise(
            '{"msgid":"', pa.array(msgid), '","action":"send","from":"', pa.array(senders), '","tolist":["', pa.array([r[0] for r in receivers]),
            '"],"roomid":"","msgtime":', pa.array([str(t) for t in at]), ',"msgtype":"text","text":{"content":"', text, '"}}', "",
        )  # fmt: skip
        noise = [self._noise[o : o + 32] for o in (rng.randrange(len(self._noise) - 2048) for _ in range(n))]
        texts = text.to_pylist()
        messages: dict[str, Any] = {
            "origin": ["sealed"] * n, "seq": list(seqs), "msgid": msgid, "kind": ["message"] * n, "action": ["send"] * n, "msgtype": ["text"] * n,
            "sent_at": at, "sender_id": senders, "sender_kind": ["employee" if m else "external" for m in mine], "recipient_ids": receivers,
            "room_id": [w[3] for w in who], "conversation_id": [w[0] for w in who], "direction": ["outbound" if m else "inbound" for m in mine],
            "employee_id": [w[1] for w in who], "customer_id": [w[2] for w in who], "text": texts,
            "parts": [[("text.content", t)] for t in texts], "quotes": [[]] * n, "raw": raw.to_pylist(), "consent": ["agree"] * n,
            "consent_source": ["api"] * n, "consent_rule": ["1"] * n, "lawful_basis": [["consent"]] * n, "key_version": [1] * n, "captured_at": [at[-1]] * n,
            "ingested_at": [at[-1]] * n, "dt": [(day - date(1970, 1, 1)).days] * n, "dt_basis": ["sent"] * n, "register_version": [1] * n,
            "policy_version": ["p"] * n, "subjects": [[b[:16], b[16:]] for b in noise], "nonce": noise, "content_fp": [b[:16] for b in noise],
            "sealed_sha256": noise,
        }  # fmt: skip
        offsets = [rng.randrange(len(self._noise) - 2048) for _ in range(n)]
        sealed: dict[str, Any] = {
            "origin": ["sealed"] * n, "seq": list(seqs), "variant": [""] * n, "msgid": msgid, "key_version": [1] * n,
            "envelope": [self._noise[o : o + 900] for o in offsets], "key_block": [self._noise[o : o + 44] for o in offsets], "captured_at": [at[-1]] * n,
            "page": ["0" * 64] * n, "conversation_id": [w[0] for w in who],
        }  # fmt: skip
        return schema.table("messages", messages), schema.table("sealed", sealed)


def make(home: Home, plain: Path, rows: int, *, most_sealed: int = 1_000_000) -> None:
    """Commit the rows as an ingest leaves them (the first `most_sealed` with sealed bytes), and write the same messages as plain files."""
    lake = home.lake(firm.CORP)
    batch: list[DataFile] = []
    for number, (month, messages, sealed) in enumerate(Source(rows).hot()):
        batch.append(lake.write(messages, "messages", month=month, bucket=HOT))
        if sealed["seq"][0].as_py() <= most_sealed:
            batch.append(lake.write(sealed, "sealed", month=month, bucket=HOT))
        (plain / month).mkdir(parents=True, exist_ok=True)
        pq.write_table(messages, plain / month / f"{number:06d}.parquet", compression="zstd", row_group_size=HOT_GROUP_ROWS)
        if len(batch) >= 40:
            lake.commit(lake.snapshot(), batch, (), what="bench")
            batch = []
    if batch:
        lake.commit(lake.snapshot(), batch, (), what="bench")


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
    """Read, sort and write the same tables with pyarrow alone, month by month, whole in memory."""
    rows = size = 0
    order = [(c, "ascending") for c in schema.kind("messages").order]
    begun, cpu = time.perf_counter(), time.process_time()
    for month in sorted(Path(source).iterdir()):
        table = ds.dataset(str(month)).to_table().sort_by(order)
        path = Path(target) / f"{month.name}.parquet"
        pq.write_table(table, path, compression="zstd")
        rows, size = rows + table.num_rows, size + path.stat().st_size
    return {"wall": time.perf_counter() - begun, "cpu": time.process_time() - cpu, "rows": rows, "bytes": size}


def questions(home: str) -> dict[str, Any]:
    """One day's text searched, one conversation read (all files, and only those of its bucket): medians in seconds, warm, by DuckDB."""
    import duckdb

    lake = Home(Path(home)).lake(firm.CORP)
    snapshot = lake.snapshot()
    day = snapshot.of("messages")[0].month + "-02"
    some = lake.read("messages", snapshot.of("messages")[:1], columns=["conversation_id", "text"])
    word = some["text"][0].as_py()[:2]
    most = pc.value_counts(some["conversation_id"].combine_chunks()).to_pylist()
    conversation = max(most, key=lambda v: (v["counts"], v["values"]))["values"]
    month = snapshot.of("messages", months=[day[:7]])

    def asked(files: list[DataFile], query: str, *values: str) -> tuple[float, int]:
        dataset = lake.dataset("messages", files)
        next(iter(dataset.get_fragments())).ensure_complete_metadata()
        with duckdb.connect() as connection:
            connection.register("m", dataset)
            took, rows = [], 0
            for _ in range(7):
                begun = time.perf_counter()
                rows = len(connection.execute(query, values).fetchall())
                took.append(time.perf_counter() - begun)
        return median(took[1:]), rows

    one = "SELECT seq, sender_id, sent_at, text FROM m WHERE conversation_id = ? ORDER BY dt, sent_at, seq"
    found = {
        "day": asked(month, "SELECT seq FROM m WHERE dt = CAST(? AS DATE) AND contains(text, ?)", day, word),
        "conversation": asked(snapshot.of("messages"), one, conversation),
        "conversation, own files": asked(snapshot.of("messages", buckets=[layout.bucket_of(conversation)]), one, conversation),
    }
    return {name: {"seconds": seconds, "rows": rows} for name, (seconds, rows) in found.items()}


def rewriting(home: str) -> dict[str, Any]:
    """Read the fullest month-bucket and write it again, as taking one record out does: seconds, rows."""
    lake = Home(Path(home)).lake(firm.CORP)
    file = max(lake.snapshot().of("messages"), key=lambda f: f.rows)
    begun = time.perf_counter()
    writer = layout.FileWriter(lake, "messages", month=file.month, bucket=file.bucket, lexicon=file.lexicon, token="0" * 16)
    writer.write(lake.read("messages", [file]))
    written = writer.close()
    return {"wall": time.perf_counter() - begun, "rows": written.rows, "bytes": written.size}


def committing(home: str, files: str) -> dict[str, Any]:
    """Make the log name many files (that are not there), then commit one real file some times: medians in seconds."""
    lake = Home(Path(home)).lake(firm.CORP)
    snapshot = lake.snapshot()
    ghosts = [
        DataFile(path=f"kind=media/month=2001-{1 + n % 12:02}/bucket={n % 16:x}/lexicon=-/{n:016x}-{'0' * 64}.parquet", kind="media", month=f"2001-{1 + n % 12:02}",
                 bucket=f"{n % 16:x}", rows=1, size=1, stats={"seq": (n, n)})
        for n in range(int(files))
    ]  # fmt: skip
    snapshot.table.create_write_transaction([_add(f, 0) for f in ghosts], "append", snapshot.table.schema(), list(PARTITION))
    acks = schema.table("acks", {"what": ["failed"], "until_leaf": [0], "reason": ["r"], "actor": ["a"], "at": [0]})
    opening, commits = [], []
    for _ in range(9):
        written = lake.write(acks, "acks")
        begun = time.perf_counter()
        planned = lake.snapshot()
        opened = time.perf_counter()
        lake.commit(planned, [written], (), what="bench")
        opening.append(opened - begun)
        commits.append(time.perf_counter() - opened)
    return {"open": median(opening), "commit": median(commits), "files": len(lake.snapshot().files)}


if __name__ == "__main__":
    arms: dict[str, Callable[..., dict[str, Any]]] = {
        "compaction": compaction, "plain": plain, "questions": questions, "rewriting": rewriting, "committing": committing,
    }  # fmt: skip
    arm, *arguments = sys.argv[1:]
    print(json.dumps(arms[arm](*arguments)))
