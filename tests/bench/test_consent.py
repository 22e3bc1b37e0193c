"""How fast, how big: the register of a million scopes, a decision, and one customer restricted in a large archive.

LIUHEN_BENCH_SCOPES (default 1,000,000) and LIUHEN_BENCH_RESTRICT (default 200,000 messages) set the sizes. Times are CPU seconds of this process.
"""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pipeline import compact, ingest, lakerows, schema
from pipeline.consent import ConsentPolicy, decide
from pipeline.consenting import hiding, moving, reconcile, register_file
from pipeline.directory import Directory, Entry
from pipeline.records import Message
from pipeline.register import new_event
from tests import firm
from tests.firm import CORP, T0

pytestmark = pytest.mark.bench
SCOPES = int(os.environ.get("LIUHEN_BENCH_SCOPES", "1000000"))
MESSAGES = int(os.environ.get("LIUHEN_BENCH_RESTRICT", "200000"))


def test_a_million_scopes_are_mapped_in_ten_seconds_and_a_decision_takes_two_microseconds(tmp_path: Path) -> None:
    at = firm.home(tmp_path, keys=())
    for part in range(0, SCOPES, 200_000):
        events = [
            new_event(source="api", status="Agree" if n % 50 else "Disagree", userid=f"user{n % 2000}", external_userid=f"wmABCDEFGHIJKLMNOP{n:012d}",
                      changed_at_ms=T0 - 10**9 + n, precision="s", recorded_at_ms=T0)
            for n in range(part, min(part + 200_000, SCOPES))
        ]  # fmt: skip
        ingest.append(at, CORP, [("consent", lakerows.consent_table(events))], what="consent sync")
    begun = time.process_time()
    register = register_file.register_of(at, CORP, at.lake(CORP).snapshot())
    built = time.process_time() - begun
    size = (at.path / "register" / f"{CORP}.map").stat().st_size
    directory, policy = Directory.of([Entry(userid=f"user{n}", kind="employee") for n in range(2000)]), ConsentPolicy()
    # A day of chats: 20,000 conversations, ten messages each.
    chats = [
        Message(msgid="m", kind="message", action="send", msgtype="text", sender_id=f"user{n % 2000}", recipient_ids=(f"wmABCDEFGHIJKLMNOP{n:012d}",),
                room_id=None, sent_at_ms=T0, text="", parts=())
        for n in range(20_000)
    ] * 10  # fmt: skip
    begun = time.process_time()
    for chat in chats:
        decide(chat, captured_at_ms=T0, register=register, directory=directory, policy=policy)
    each = (time.process_time() - begun) / len(chats) * 1e6
    begun = time.process_time()
    for chat in chats:
        decide(chat, captured_at_ms=T0, register=register, directory=directory, policy=policy)
    again = (time.process_time() - begun) / len(chats) * 1e6
    print(f"\n{SCOPES:,} scopes: built in {built:.1f} s, {size / 1e6:.0f} MB mapped; a decision {each:.2f} µs, {again:.2f} µs between people seen before")
    assert built <= 10 * SCOPES / 1_000_000 and size <= 100e6 and again <= 2


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
