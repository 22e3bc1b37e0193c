"""How fast, how big: the register of a million scopes, a decision, and one customer restricted in a large archive.

LIUHEN_BENCH_SCOPES (default 1,000,000) and LIUHEN_BENCH_RESTRICT (default 200,000 messages) set the sizes. LIUHEN_BENCH_HOME names a copy of a
large archive made by archive.py, whose busiest customer is restricted in it: the copy is changed. Times are CPU seconds of this process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pipeline import compact, ingest, lakerows, schema
from pipeline.consenting import hiding, moving, reconcile, register_file
from pipeline.home import Home
from pipeline.reader import Reader
from pipeline.register import new_event
from tests import firm
from tests.bench import deciding
from tests.firm import CORP, T0

pytestmark = pytest.mark.bench
SCOPES = int(os.environ.get("LIUHEN_BENCH_SCOPES", "1000000"))
COPY = os.environ.get("LIUHEN_BENCH_HOME", "")
MESSAGES = int(os.environ.get("LIUHEN_BENCH_RESTRICT", "200000"))


def test_a_million_scopes_are_mapped_in_ten_seconds_and_a_decision_takes_two_microseconds(tmp_path: Path) -> None:
    at = firm.home(tmp_path, keys=())
    for part in range(0, SCOPES, 200_000):
        events = [
            new_event(source="api", status="Agree" if n % 50 else "Disagree", userid=deciding.employee(n), external_userid=deciding.customer(n),
                      changed_at_ms=T0 - 10**9 + n, precision="s", recorded_at_ms=T0)
            for n in range(part, min(part + 200_000, SCOPES))
        ]  # fmt: skip
        ingest.append(at, CORP, [("consent", lakerows.consent_table(events))], what="consent sync")
    begun = time.process_time()
    register_file.register_of(at, CORP, at.lake(CORP).snapshot())
    built = time.process_time() - begun
    size = (at.path / "register" / f"{CORP}.map").stat().st_size
    told = _workers(at.path, 2)
    each = sum(t["each_us"] for t in told) / len(told)
    first, later = (sum(t["turns_us"][turn] for t in told) / len(told) for turn in (0, -1))
    share, own = sum(t["mapped"] for t in told), [t["own"] - t["begin"]["own"] for t in told]
    print(f"\n{SCOPES:,} scopes: built in {built:.1f} s; a file of {size / 1e6:.0f} MB, of which two workers hold {share / 1e6:.0f} MB together")
    print(f"  each of its own, with what it remembers of {deciding.CONVERSATIONS:,} conversations: " + ", ".join(f"{o / 1e6:.0f} MB" for o in own))
    print(f"  a decision {each:.2f} µs on average at ten messages a conversation; the first {first:.1f} µs, between people seen before {later:.2f} µs")
    assert built <= 10 * SCOPES / 1_000_000
    assert size <= 100e6 and share <= 100e6 and max(own) <= 30e6
    assert each <= 2


def _workers(home: Path, count: int) -> list[dict[str, Any]]:
    """Run so many workers side by side; return what each said, and what it holds while all of them live."""
    words = [sys.executable, "-m", "tests.bench.deciding", str(home), str(SCOPES)]
    workers = [subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) for _ in range(count)]
    told = [json.loads(w.stdout.readline()) for w in workers if w.stdout]
    for worker, found in zip(workers, told, strict=True):
        found.update(json.loads(_asked(worker)))
    for worker in workers:
        worker.communicate()
    return told


def _asked(worker: subprocess.Popen[str]) -> str:
    assert worker.stdin is not None and worker.stdout is not None
    worker.stdin.write("now\n")
    worker.stdin.flush()
    return worker.stdout.readline()


def test_one_customer_is_out_of_view_at_once_and_moved_soon(tmp_path: Path) -> None:
    at = firm.home(tmp_path)
    customers = 500
    firm.run(at, firm.page(tmp_path, "a.json", {1: firm.message(1, to=["wm00000"])}))
    _multiply(at, customers)
    compact.run(at, CORP)
    event = new_event(source="import", status="Disagree", userid="zhangsan", external_userid="wm00007", changed_at_ms=None, recorded_at_ms=T0, batch="b")
    ingest.append(at, CORP, [("consent", lakerows.consent_table([event]))], what="consent import")
    begun = time.process_time()
    hidden = hiding.hide(at, CORP, "bench", (event,), reconcile.rules_of(at))
    at_once = time.process_time() - begun
    begun, before = time.process_time(), {f.path for f in at.lake(CORP).snapshot().files}
    assert moving.move(at, CORP) == hidden == MESSAGES // customers
    moved = time.process_time() - begun
    rewritten = [f for f in at.lake(CORP).snapshot().of("messages") if f.path not in before]
    print(f"\n{MESSAGES:,} messages, {hidden} of them hidden in {at_once:.2f} s, moved in {moved:.2f} s, {len(rewritten)} message files rewritten")
    assert len(rewritten) <= 2 and moved <= 20


@pytest.mark.skipif(not COPY, reason="LIUHEN_BENCH_HOME names no copy of a large archive")
def test_the_busiest_customer_of_a_large_archive_is_out_of_view_at_once_and_moved_soon() -> None:
    at = Home(Path(COPY))
    snapshot = at.lake(CORP).snapshot()
    with Reader(at, CORP) as reader:
        (busy,) = reader.rows("SELECT employee_id, customer_id FROM lake_messages WHERE room_id IS NULL GROUP BY ALL ORDER BY count(*) DESC, customer_id LIMIT 1")
        (his,) = reader.rows(
            "SELECT count(*) AS n, count(DISTINCT strftime(dt, '%Y-%m')) AS months FROM lake_messages WHERE room_id IS NULL AND customer_id = $customer_id"
            " AND employee_id = $employee_id",
            busy,
        )
        everything = snapshot.rows("messages")
        event = new_event(
            source="import", status="Disagree", userid=busy["employee_id"], external_userid=busy["customer_id"], changed_at_ms=None, recorded_at_ms=T0, batch="b"
        )
        ingest.append(at, CORP, [("consent", lakerows.consent_table([event]))], what="consent import")
        seconds, clock = [time.process_time()], [time.monotonic()]
        hidden = hiding.hide(at, CORP, "bench", (event,), reconcile.rules_of(at))
        seconds, clock = [*seconds, time.process_time()], [*clock, time.monotonic()]
        (left,) = reader.rows("SELECT count(*) AS n FROM messages WHERE conversation_id = $employee_id || '|' || $customer_id", busy)  # a reader that was open before
    seconds, clock = [seconds[1] - seconds[0], time.process_time()], [clock[1] - clock[0], time.monotonic()]
    moved, before = moving.move(at, CORP), {f.path for f in snapshot.files}
    seconds, clock = [seconds[0], time.process_time() - seconds[1]], [clock[0], time.monotonic() - clock[1]]
    after = at.lake(CORP).snapshot()
    rewritten = {kind: [f for f in after.of(kind) if f.path not in before] for kind in ("messages", "media", "matches")}
    print(f"\n{everything:,} messages, {hidden:,} of them of one customer: out of view in {seconds[0]:.1f} s of CPU ({clock[0]:.1f} s on the clock),")
    print(f"  moved in {seconds[1]:.1f} s of CPU ({clock[1]:.1f} s), rewritten: " + ", ".join(f"{k} {len(v)} of {len(snapshot.of(k))}" for k, v in rewritten.items()))
    assert (hidden, moved, left["n"]) == (his["n"], his["n"], 0)
    assert all(len(files) <= his["months"] for files in rewritten.values())
    assert seconds[1] <= 20


def _multiply(at: Any, customers: int) -> None:
    """Copy the one archived row into a large month, under other ids (the ledger with it)."""
    lake = at.lake(CORP)
    snapshot = lake.snapshot()
    (row,) = lake.read("messages", snapshot.of("messages")).to_pylist()
    (record,) = lake.read("records", snapshot.of("records")).to_pylist()
    sent = int(datetime.fromisoformat(str(row["sent_at"])).astimezone(UTC).timestamp() * 1000)
    for part in range(0, MESSAGES, 50_000):
        seqs = range(part + 10, min(part + 50_000, MESSAGES) + 10)
        who = [f"wm{n % customers:05d}" for n in seqs]
        columns = {name: [value] * len(seqs) for name, value in row.items()}
        for name in ("captured_at", "ingested_at"):
            columns[name] = [sent] * len(seqs)
        columns |= {
            "seq": list(seqs), "msgid": [f"x{n}" for n in seqs], "recipient_ids": [[w] for w in who], "customer_id": who, "sent_at": [sent + n for n in seqs],
            "conversation_id": [f"{w}|zhangsan" for w in who], "dt": [(row["dt"] - type(row["dt"])(1970, 1, 1)).days] * len(seqs),
        }  # fmt: skip
        ledger = {name: [value] * len(seqs) for name, value in record.items()}
        ledger |= {"seq": list(seqs), "leaf": list(seqs), "first_seen": [sent] * len(seqs), "settled_at": [sent] * len(seqs)}
        ledger["dt"] = columns["dt"]
        month = snapshot.of("messages")[0].month
        files = [lake.write(schema.table("messages", columns), "messages", month=month, bucket="hot"), lake.write(schema.table("records", ledger), "records")]
        lake.commit(lake.snapshot(), files, (), what="settle")
