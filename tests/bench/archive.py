"""A compacted archive of many messages in real-looking words, made without RSA: messages, records, findings, files, people, agreements.

Before: nothing. After: asking.py (the arms that ask it). `python -m tests.bench.archive FOLDER ROWS` makes it; the same archive for the same seed,
but for keys and nonces. Words follow Zipf's law over 3,755 characters; the needles are planted a known number of times.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline import layout, schema
from pipeline.deltalog import DataFile
from pipeline.home import Home
from pipeline.lake import HOT_GROUP_ROWS
from tests import firm

FIRST_DAY = date(2026, 3, 1)
DAYS = 61
DAY_MS = 86_400_000
START_MS = 1_772_294_400_000  # the first day begins in Beijing
EMPLOYEES, CONVERSATIONS_A_ROW = 5_000, 0.03
WORDS, WORDS_A_MESSAGE = 20_000, (1, 24)
FINDINGS_A_ROW, MEDIA_A_ROW, NOT_ARCHIVED_A_ROW = 0.03, 0.02, 0.01
RULES = [("guarantee-01", "guaranteed-return", "high"), ("promise-02", "guaranteed-return", "medium"), ("offchannel-01", "off-channel", "low"), ("rebate-03", "rebate", "high")]
# How often a needle is said among ten million messages.
NEEDLES = {
    "承诺保底": 0, "龘靐": 10, "🧨": 10, "老师建议大家先买": 10, "韭": 50, "私下转账": 50, "𠮷野家": 200, "绕开公司": 200, "内部名额": 500, "a.cn/x9": 1_000,
    "稳赚不赔": 100_000, "😀": 1_000_000, "收益": 1_000_000, "VIP": 100_000, "好的": 5_000_000, "138": 300_000,
}  # fmt: skip


class Talk(NamedTuple):
    """Who talks with whom: id, employee, customer, room or None."""

    id: str
    employee: str
    customer: str
    room: str | None


def conversation(n: int) -> Talk:
    """Return conversation `n`."""
    employee, customer = f"emp{n % EMPLOYEES:05d}", f"wmBENCH{n:025d}"
    room = f"wrBENCH{n:025d}" if n % 5 == 0 else None
    return Talk(room or f"{employee}|{customer}", employee, customer, room)


class Plan:
    """Which conversation speaks when: arrays by row, in the order of sending (row n has seq n + 1)."""

    def __init__(self, rows: int) -> None:
        rng = np.random.default_rng(1)
        self.rows = rows
        self.conversations = max(50, int(rows * CONVERSATIONS_A_ROW))
        sizes = rng.pareto(1.5, self.conversations) + 1
        who = rng.choice(self.conversations, rows, p=sizes / sizes.sum())
        begins = rng.integers(0, DAYS - 4, self.conversations)
        spread = rng.random(self.conversations) < 0.02
        day = np.where(spread[who], rng.integers(0, DAYS, rows), begins[who] + rng.integers(0, 4, rows))
        at = START_MS + day.astype("i8") * DAY_MS + rng.integers(8 * 3_600_000, 22 * 3_600_000, rows)
        order = np.argsort(at, kind="stable")
        self.who, self.day, self.at = who[order].astype("i4"), day[order].astype("i2"), at[order]
        buckets = np.array([int(layout.bucket_of(conversation(n).id), 16) for n in range(self.conversations)], "i1")
        self.bucket = buckets[self.who]
        self.needles = {word: rng.choice(rows, max(min(often, 1), often * rows // 10_000_000), replace=False) for word, often in NEEDLES.items()}


class Speech:
    """Makes texts of words as frequent as words are."""

    def __init__(self) -> None:
        rng = np.random.default_rng(2)
        characters = [bytes([a, b]).decode("gb2312") for a in range(0xB0, 0xD8) for b in range(0xA1, 0xFF) if (a, b) < (0xD7, 0xFA)]
        common = np.array(characters)[rng.permutation(len(characters))]
        places = (len(common) * rng.random((WORDS, 4)) ** 3).astype(int)
        length = rng.choice([1, 2, 2, 2, 3, 4], WORDS)
        words = ["".join(common[row[:n]]) for row, n in zip(places, length, strict=True)]
        words[3], words[7], words[30] = "，", "。", "？"
        self._words = pa.array(words)
        weight = 1 / (np.arange(WORDS) + 3.0)
        self._upto = np.cumsum(weight / weight.sum())

    def texts(self, rng: np.random.Generator, rows: int, tails: list[str]) -> pa.Array:
        """Return a text a row; tails: what each ends in."""
        many = rng.integers(*WORDS_A_MESSAGE, rows)
        words = self._words.take(pa.array(np.minimum(np.searchsorted(self._upto, rng.random(many.sum())), WORDS - 1)))
        ends = np.concatenate([[0], np.cumsum(many)]).astype("i4")
        return pc.binary_join_element_wise(pc.binary_join(pa.ListArray.from_arrays(pa.array(ends), words), ""), pa.array(tails), "")


def parts(plan: Plan) -> Iterator[tuple[str, str, pa.Table]]:
    """Yield (month, bucket, messages), sorted as compaction sorts them."""
    speech = Speech()
    tails = np.full(plan.rows, "", object)
    for word, rows in plan.needles.items():
        tails[rows] = tails[rows] + word
    march = plan.day < 31
    for month, chosen in (("2026-03", march), ("2026-04", ~march)):
        for number, bucket in enumerate(layout.BUCKETS):
            rows = np.flatnonzero(chosen & (plan.bucket == number))
            if len(rows):
                table = messages(plan, rows, speech.texts(np.random.default_rng(rows[0]), len(rows), tails[rows].tolist()))
                yield month, bucket, table.sort_by([(c, "ascending") for c in schema.kind("messages").order])


def messages(plan: Plan, rows: Any, text: pa.Array) -> pa.Table:
    """Return the rows as a table of kind `messages`."""
    n, rng = len(rows), np.random.default_rng(int(rows[0]) + 7)
    talks = [conversation(w) for w in plan.who[rows].tolist()]
    mine, picture = rng.random(n) < 0.5, rng.random(n) < MEDIA_A_ROW
    text = pc.if_else(pa.array(picture), "", text)
    senders = [t.employee if m else t.customer for t, m in zip(talks, mine.tolist(), strict=True)]
    others = [[t.customer if m else t.employee] for t, m in zip(talks, mine.tolist(), strict=True)]
    at = plan.at[rows]
    msgid = [f"{s:020x}_{t}_external" for s, t in zip((rows * 7919 + 1).tolist(), at.tolist(), strict=True)]
    raw = pc.binary_join_element_wise('{"msgid":"', pa.array(msgid), '","action":"send","from":"', pa.array(senders), '","msgtype":"text","text":{"content":"', text, '"}}', "")
    noise = [rng.bytes(32) for _ in range(n)]
    each = pa.ListArray.from_arrays(pa.array(np.arange(n + 1, dtype="i4")), pa.StructArray.from_arrays([pa.repeat("text.content", n), text], names=["path", "text"]))
    columns: dict[str, Any] = {
        "origin": pa.repeat("sealed", n), "seq": rows + 1, "msgid": msgid, "kind": pa.repeat("message", n), "action": pa.repeat("send", n),
        "msgtype": pc.if_else(pa.array(picture), "image", "text"), "sent_at": at * 1000, "sender_id": senders,
        "sender_kind": pc.if_else(pa.array(mine), "employee", "external"), "recipient_ids": others, "room_id": [t.room for t in talks],
        "conversation_id": [t.id for t in talks], "direction": pc.if_else(pa.array(mine), "outbound", "inbound"), "employee_id": [t.employee for t in talks],
        "customer_id": [t.customer for t in talks], "text": text, "parts": each, "quotes": [[]] * n, "raw": raw, "consent": pa.repeat("agree", n),
        "consent_source": pa.repeat("api", n), "consent_rule": pa.repeat("1", n), "lawful_basis": [["consent"]] * n, "key_version": pa.repeat(1, n),
        "captured_at": at * 1000 + 60_000_000, "ingested_at": at * 1000 + 90_000_000, "dt": plan.day[rows].astype("i4") + (FIRST_DAY - date(1970, 1, 1)).days,
        "dt_basis": pa.repeat("sent", n), "register_version": pa.repeat(1, n), "policy_version": pa.repeat("p", n),
        "subjects": [[b[:16], b[16:]] for b in noise], "nonce": noise, "content_fp": [b[:16] for b in noise], "sealed_sha256": noise,
    }  # fmt: skip
    return table_of("messages", columns)


def table_of(kind: str, columns: dict[str, Any]) -> pa.Table:
    """Return a table of `kind`; times are microseconds, what is not given is null."""
    declared = schema.kind(kind).arrow
    rows = len(next(iter(columns.values())))
    arrays = [pa.nulls(rows, f.type) if f.name not in columns else _array(columns[f.name], f.type) for f in declared]
    return pa.Table.from_arrays(arrays, schema=declared)


def _array(values: Any, type: pa.DataType) -> pa.Array:
    if isinstance(values, pa.Array | pa.ChunkedArray):
        return values if values.type == type else values.cast(type)
    if isinstance(values, np.ndarray):
        return pa.array(values).cast(pa.int64() if pa.types.is_timestamp(type) else type).cast(type)
    return pa.array(values, type)


def make(home: Home, plain: Path, rows: int) -> None:
    """Commit the archive, and write the same messages and findings as plain files."""
    from pipeline.workbench import Workbench

    lake, plan, made = home.lake(firm.CORP), Plan(rows), list[DataFile]()
    version = Workbench(home, firm.CORP, lake.snapshot()).lexicon_version
    plain.mkdir(parents=True, exist_ok=True)
    found: dict[str, list[pa.Table]] = {}
    for number, (month, bucket, table) in enumerate(parts(plan)):
        made.append(_write(lake, "messages", month, bucket, table))
        made.append(_write(lake, "media", month, bucket, _media(table)))
        found.setdefault(month, []).append(_findings(table, version))
        pq.write_table(table, plain / f"messages-{number:04d}.parquet", compression="zstd", row_group_size=HOT_GROUP_ROWS)
        print(number, month, bucket, table.num_rows, file=sys.stderr, flush=True)
    for month, tables in found.items():
        table = pa.concat_tables(tables).sort_by([(c, "ascending") for c in schema.kind("matches").order])
        pq.write_table(table, plain / f"matches-{month}.parquet", compression="zstd", row_group_size=HOT_GROUP_ROWS)
        made.append(_write(lake, "matches", month, layout.ONE, table, lexicon=version))
    lake.commit(lake.snapshot(), made, (), what="bench")
    for kind, tables in (("records", list(_records(plan))), ("pages", [_pages(plan)]), ("people", [_people()]), ("consent", [_consent(plan)])):
        batch = [lake.write(t, kind, month=month) for t in tables for month in (["2026-04"] if kind == "records" else ["-"])]
        lake.commit(lake.snapshot(), batch, (), what="bench")


def _write(lake: Any, kind: str, month: str, bucket: str, table: pa.Table, lexicon: str = "-") -> DataFile:
    writer = layout.FileWriter(lake, kind, month=month, bucket=bucket, lexicon=lexicon, token=hashlib.sha256(f"{kind}{month}{bucket}".encode()).hexdigest()[:16])
    writer.write(table)
    return writer.close()


def _findings(messages: pa.Table, version: str) -> pa.Table:
    rng = np.random.default_rng(messages.num_rows)
    rows = messages.take(pa.array(np.flatnonzero(rng.random(messages.num_rows) < FINDINGS_A_ROW)))
    n, which = rows.num_rows, rng.integers(0, len(RULES), rows.num_rows)
    same = ["origin", "seq", "msgid", "conversation_id", "dt", "sent_at", "sender_id", "employee_id", "customer_id", "direction"]
    ids = [hashlib.sha256(str(s).encode()).hexdigest()[:32] for s in rows["seq"].to_pylist()]
    ruled = {name: [RULES[w][at] for w in which.tolist()] for at, name in enumerate(("rule_id", "category", "severity"))}
    return table_of("matches", {
        **{c: rows[c] for c in same}, **ruled, "finding_id": ids, "party": pa.repeat("employee", n), "term": pa.repeat("保本", n), "matched_text": pa.repeat("保本", n),
        "part": pa.repeat(0, n), "start_cp": pa.repeat(0, n), "end_cp": pa.repeat(2, n), "spans": [[]] * n, "via": pa.repeat("literal", n),
        "lexicon_version": pa.repeat(version, n), "matched_at": rows["ingested_at"],
    })  # fmt: skip


def _media(messages: pa.Table) -> pa.Table:
    rows = messages.filter(pc.equal(messages["msgtype"], "image")).sort_by("seq")
    n = rows.num_rows
    return table_of("media", {
        **{c: rows[c] for c in ("origin", "seq", "msgid", "dt", "conversation_id")}, "ref_no": pa.repeat(0, n), "state_no": pa.repeat(0, n), "kind": pa.repeat("image", n),
        "path": pa.repeat("image.sdkfileid", n), "sdkfileid": rows["msgid"], "status": pa.repeat("pending", n), "recorded_at": rows["ingested_at"],
    })  # fmt: skip


def _records(plan: Plan) -> Iterator[pa.Table]:
    """The archived ones, and one in a hundred that was withheld, waits or failed (its seq lies above)."""
    others = int(plan.rows * NOT_ARCHIVED_A_ROW)
    for first in range(0, plan.rows + others, 500_000):
        seqs = np.arange(first, min(first + 500_000, plan.rows + others))
        n, rng = len(seqs), np.random.default_rng(first)
        fate = pa.array(np.where(seqs < plan.rows, "archived", np.array(["withheld", "withheld", "pending", "failed"])[seqs % 4]))
        at = plan.at[np.minimum(seqs, plan.rows - 1)]
        noise = np.frombuffer(rng.bytes(32 * n), "S32")
        yield table_of("records", {
            "origin": pa.repeat("sealed", n), "seq": seqs + 1, "variant": pa.repeat("", n), "fate_no": pa.repeat(0, n), "fate": fate, "leaf": seqs,
            "commitment": pa.array(noise, pa.binary()), "nonce": pa.array(noise, pa.binary()), "page": pa.array([f"{s // 1000:064x}" for s in seqs.tolist()]),
            "item": seqs % 1000, "dt": ((at + 8 * 3_600_000) // DAY_MS).astype("i4"), "register_version": pa.repeat(1, n), "attempts": pa.repeat(1, n), "first_seen": at * 1000,
            "settled_at": at * 1000, "run_id": pa.repeat("r1", n),
        })  # fmt: skip


def _pages(plan: Plan) -> pa.Table:
    first = np.arange(0, plan.rows, 1000)
    n, at = len(first), plan.at[first] * 1000
    whole = pa.repeat(1000, n)
    return table_of("pages", {
        "page": [f"{f // 1000:064x}" for f in first.tolist()], "source": pa.repeat("pull", n), "name": [str(f) for f in first.tolist()], "first_seq": first + 1,
        "last_seq": first + 1000, "requested_seq": first, "records": whole, "size": pa.repeat(900_000, n), "captured_at": at, "committed_at": at,
        "register_version": pa.repeat(1, n), "lexicon_version": pa.repeat("0", n), "first_leaf": first, "leaves": whole, "archived": whole,
        **{c: pa.repeat(0, n) for c in ("pending", "withheld", "failed", "control", "duplicate")}, "run_id": pa.repeat("r1", n),
    })  # fmt: skip


def _people() -> pa.Table:
    n = EMPLOYEES
    return table_of("people", {
        "userid": [f"emp{i:05d}" for i in range(n)], "kind": pa.repeat("employee", n), "name": [f"员工{i}" for i in range(n)],
        "department": [f"{i % 40}" for i in range(n)], "source": pa.repeat("api", n), "recorded_at": pa.repeat(START_MS, n).cast(pa.timestamp("us", "UTC")),
    })  # fmt: skip


def _consent(plan: Plan) -> pa.Table:
    talks = [conversation(i) for i in range(plan.conversations)]
    n, at = len(talks), pa.array(np.full(len(talks), START_MS * 1000))
    return table_of("consent", {
        "event_id": [f"{i:064x}" for i in range(n)], "userid": [None if t.room else t.employee for t in talks], "room_id": [t.room for t in talks],
        "external_userid": [t.customer for t in talks], "status": pa.repeat("Agree", n), "changed_at": at, "precision": pa.repeat("s", n), "source": pa.repeat("api", n),
        "recorded_at": at,
    })  # fmt: skip


def days() -> list[date]:
    """The days of the archive."""
    return [FIRST_DAY + timedelta(days=n) for n in range(DAYS)]


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    make(firm.home(folder), folder / "plain", int(sys.argv[2]))
