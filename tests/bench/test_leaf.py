"""What it costs to number and commit to a leaf, in CPU microseconds a message (LIUHEN_BENCH_LEAF, default 3,000 messages).

At hand are an opened, parsed and gated record: its sealed bytes, its JSON as received, and what was read out of it. Everything else counts: the nonce, the
digest of the sealed bytes, the commitment to the JSON, the canonical JSON of three groups, their salts and digests, and the leaf's number. Beside it
stand ten SHA-256 digests by hashlib, over inputs of the same lengths. The lowest of many rounds counts:
this is work of one process that nothing can slow down but others on the machine.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from pipeline import ingest, landing, leaf
from pipeline.records import Gated
from pipeline.schema import leaf_schema
from pipeline.workbench import Settings, open_workbench
from tests import firm
from tests.bench import meter, workload

MESSAGES = int(os.environ.get("LIUHEN_BENCH_LEAF", "3000"))
MOST_US = 8.0
ROUNDS = 40

pytestmark = pytest.mark.bench


def gated(folder: Path) -> list[Gated]:
    """The records of a made-up day as they come out of the gate."""
    work, home = workload.make(folder / "sealed", MESSAGES), workload.home(folder)
    ingest.land(home, firm.CORP, sorted(work.pages.iterdir()), [], ingest.silent)
    bench = open_workbench(Settings(home=str(home.path), corp_id=firm.CORP, version=home.lake(firm.CORP).snapshot().version, key_state="bench"))
    pages = [bench.consent(bench.message(bench.envelope(bench.landing(ref)))) for ref in landing.waiting(home, firm.CORP)]
    return [record for page in pages for record in page.items if record.decision.fate == "archived"]


def numbered(records: list[Gated]) -> list[tuple[int, bytes]]:
    """Return the number and the commitment of each record's leaf."""
    nonces = leaf.new_nonces(len(records))
    commitments = [
        leaf.content_commitment(record, corp_id=firm.CORP, origin="sealed", captured_at_ms=1_781_452_800_000, nonce=nonce, fate="archived")[0]
        for record, nonce in zip(records, nonces, strict=True)
    ]
    return list(enumerate(commitments))


def digests(lengths: list[tuple[int, ...]]) -> list[list[bytes]]:
    """Return digests of zeros, so many bytes each."""
    zeros = bytes(max(length for several in lengths for length in several))
    return [[sha256(zeros[:length]).digest() for length in several] for several in lengths]


def lengths_of(record: Gated) -> tuple[int, ...]:
    """How long the ten inputs of a commitment are, as docs/formats.md says: sealed bytes, JSON as received, three groups, four salts, the leaf."""
    fields = leaf.content_fields(record, corp_id=firm.CORP, origin="sealed", captured_at_ms=1_781_452_800_000, nonce=bytes(32), fate="archived")
    groups = [len(leaf.canonical({name: fields[name] for name in names})) + 64 for names in leaf_schema().groups.values()]
    return (len(record.opened.sealed), len(record.opened.plaintext) + 52, *groups, 36, 36, 39, 36, 113)


def lowest_us(call: Callable[[], object], count: int) -> float:
    """CPU microseconds of one of `count`, in the best round."""
    times = []
    for _ in range(ROUNDS):
        begun = time.process_time()
        call()
        times.append(time.process_time() - begun)
    return min(times) / count * 1e6


def test_numbering_and_committing_a_leaf(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    records = gated(tmp_path)
    lengths = [lengths_of(record) for record in records]
    made, alone = lowest_us(lambda: numbered(records), len(records)), lowest_us(lambda: digests(lengths), len(records))
    again = lowest_us(lambda: numbered(records), len(records))
    with capfd.disabled():
        print(f"\n{meter.machine()}\n{len(records)} records: {made:.1f} and {again:.1f} µs a leaf, ten digests by hashlib alone {alone:.1f} µs")
    assert len(records) > MESSAGES * 0.9
    assert min(made, again) <= MOST_US
