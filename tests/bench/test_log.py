"""How fast the log proves and how fast the archive is verified, in CPU seconds of this run.

LIUHEN_BENCH_LEAVES (default 10,000,000) and LIUHEN_BENCH_VERIFIED (default 100000; "100000,1000000" for two archives, the second of which takes a
quarter of an hour to make) set the sizes. The proof's bar is asserted; records a
second are printed, and asserted against what one core does with the digests alone in the same run (the machine is not ours alone).
"""

from __future__ import annotations

import os
import random
import resource
import time
from hashlib import sha256
from pathlib import Path

import pytest

from pipeline import ingest
from pipeline.evidence.tree import Tree, root_of_inclusion
from pipeline.verify import verify_archive
from tests import firm
from tests.bench import workload

LEAVES = int(os.environ.get("LIUHEN_BENCH_LEAVES", "10000000"))
VERIFIED = [int(n) for n in os.environ.get("LIUHEN_BENCH_VERIFIED", "100000").split(",")]
PROOF_MS = 5.0
# What a record costs, in units of the 25 SHA-256 digests of short inputs that hashlib makes meanwhile: 13 digests of its own, JSON, decryption.
MOST_UNITS = 2.7

pytestmark = pytest.mark.bench


def cpu_s() -> float:
    """CPU seconds of this process and the children it waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


def test_a_proof_from_ten_million_leaves_takes_less_than_five_milliseconds(capfd: pytest.CaptureFixture[str]) -> None:
    hashes = (random.Random(1).randbytes(32 << 20) * (LEAVES // (1 << 20) + 1))[: LEAVES * 32]
    begun = time.process_time()
    blocks = Tree(hashes).blocks()
    built = time.process_time() - begun
    begun = time.process_time()
    tree = Tree(hashes, blocks)  # as it is opened from what is kept
    root = tree.root()
    opened = time.process_time() - begun
    rng, times = random.Random(2), list[float]()
    for _ in range(200):
        number = rng.randrange(LEAVES)
        begun = time.process_time()
        path = tree.inclusion(number)
        times.append((time.process_time() - begun) * 1000)
        assert root_of_inclusion(number, LEAVES, tree.leaf(number), path) == root
    with capfd.disabled():
        print(f"\n{LEAVES:,} leaves: all hashes {built:.1f} s once; opened {opened:.2f} s; a proof {sorted(times)[100]:.2f} ms, the slowest of 200 {max(times):.2f} ms")
    assert max(times) < PROOF_MS


@pytest.mark.parametrize("messages", VERIFIED)
def test_the_archive_is_verified(tmp_path: Path, capfd: pytest.CaptureFixture[str], messages: int) -> None:
    work = workload.make(tmp_path / "sealed", messages)
    at = workload.home(tmp_path / "home")
    ingest.run(at, firm.CORP, sources=sorted(work.pages.glob("*.json")), workers=1)
    before, begun = cpu_s(), time.monotonic()
    report = verify_archive(at.path, firm.CORP)
    wall, used = time.monotonic() - begun, cpu_s() - before
    assert report.findings == [] and report.counts["records"] == messages
    start = time.process_time()
    for n in range(250_000):
        sha256(n.to_bytes(40, "big")).digest()
    unit = (time.process_time() - start) / 10_000
    each = used / messages
    with capfd.disabled():
        print(f"\n{messages:,} records: {each * 1e6:.1f} CPU µs each, {each / unit:.2f} units; {1 / each:,.0f} records/s on one core, {messages / wall:,.0f} by the clock")
    assert each < unit * MOST_UNITS
