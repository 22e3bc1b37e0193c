"""How much of a run's CPU is RSA: the whole pipeline beside nothing but RSA, on the same ciphertexts, in turn.

LIUHEN_BENCH_MESSAGES (default 100,000) and LIUHEN_BENCH_ROUNDS (default 2) set the size. Only the ratio is asserted: a bar in messages a
second would be one for the machine. Starting up (Python, imports, Beam's workers, keys, register, packs) is measured by runs without
messages to speak of and taken off, since it does not grow with what is ingested.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import pytest

from pipeline import multibuffer
from tests.bench import meter, workload
from tests.bench.meter import Used
from tests.bench.workload import Workload

MESSAGES = int(os.environ.get("LIUHEN_BENCH_MESSAGES", "100000"))
ROUNDS = int(os.environ.get("LIUHEN_BENCH_ROUNDS", "2"))
PROCESSES = 2
BAR = 0.85
MOST_MB = 600
MANY_PAGES = 100
PAGES, RECORDS_A_SMALL_PAGE = (400, 1_600, 4_000), 10

pytestmark = pytest.mark.bench


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workload]:
    """The messages, sealed once for all runs; at least 100 pages."""
    yield workload.make(tmp_path_factory.mktemp("sealed"), MESSAGES, records_a_page=min(workload.RECORDS_A_PAGE, max(1, MESSAGES // MANY_PAGES)))


@pytest.fixture(scope="module")
def almost_nothing(tmp_path_factory: pytest.TempPathFactory) -> Workload:
    """Two pages of one message: what a run of them costs is starting up."""
    return workload.make(tmp_path_factory.mktemp("empty"), PROCESSES, records_a_page=1)


def rsa_only(work: Workload) -> Used:
    """Open every RSA block of the pages and nothing else."""
    return meter.run("tests.bench.arms", "rsa", str(work.blocks), str(work.blocks.with_name("v1.pem")), str(PROCESSES))


def whole(work: Workload, folder: Path, *, rsa: str = "openssl") -> Used:
    """Ingest the pages into a fresh home; everything on."""
    used = meter.run("tests.bench.arms", "whole", str(workload.home(folder, rsa=rsa).path), str(work.pages), str(PROCESSES))
    assert int(used.said) == work.messages, "not every message was settled"
    return used


def test_rsa_is_most_of_what_a_run_costs(sealed: Workload, almost_nothing: Workload, tmp_path: Path) -> None:
    print(f"\n{meter.machine()}")
    print(f"{sealed.messages} messages on {sealed.page_count} pages, texts of {sealed.mean_characters:.0f} characters on average")
    idle_rsa = min((rsa_only(almost_nothing) for _ in range(ROUNDS)), key=lambda u: u.cpu_s)
    idle = min((whole(almost_nothing, tmp_path / f"idle{n}") for n in range(ROUNDS)), key=lambda u: u.cpu_s)
    print(f"starting up: RSA only {idle_rsa.cpu_s:.1f} CPU s, pipeline {idle.cpu_s:.1f} CPU s ({idle.wall_s:.1f} s)")
    ratios, raw = [], []
    for number in range(ROUNDS):
        a, b = rsa_only(sealed), whole(sealed, tmp_path / f"run{number}")
        show(number, "RSA only", a, idle_rsa, sealed.messages)
        show(number, "pipeline", b, idle, sealed.messages)
        ratios.append((a.cpu_s - idle_rsa.cpu_s) / (b.cpu_s - idle.cpu_s))
        raw.append(a.cpu_s / b.cpu_s)
        print(f"         ratio {ratios[-1]:.3f} (with starting up {raw[-1]:.3f}; on the clock {a.wall_s / b.wall_s:.3f}); peak MB {b.peaks_mb}")
        assert b.peaks_mb[0] <= MOST_MB, f"a process took {b.peaks_mb[0]} MB, expected at most {MOST_MB}"
    ratio = median(ratios)
    assert ratio >= BAR, f"RSA is {ratio:.3f} of what the pipeline costs, expected at least {BAR}: the rest grew, see `make bench TEST_ARGS='-k steps'`"


def test_eight_operations_at_once_against_openssl_alone(sealed: Workload, almost_nothing: Workload, tmp_path: Path) -> None:
    """The whole pipeline with `[ingest] rsa = "multi-buffer"` beside nothing but RSA by OpenSSL; printed, since it is a matter of the processor."""
    try:
        multibuffer.library()
    except multibuffer.Unavailable as why:
        print(f"\nnot on this machine: {why}")
        return
    idle_rsa, idle = rsa_only(almost_nothing), whole(almost_nothing, tmp_path / "idle", rsa="multi-buffer")
    print()
    for number in range(ROUNDS):
        a, b = rsa_only(sealed), whole(sealed, tmp_path / f"run{number}", rsa="multi-buffer")
        show(number, "RSA only", a, idle_rsa, sealed.messages)
        show(number, "pipeline", b, idle, sealed.messages)
        print(f"         ratio {(a.cpu_s - idle_rsa.cpu_s) / (b.cpu_s - idle.cpu_s):.3f} (on the clock {a.wall_s / b.wall_s:.3f}); peak MB {b.peaks_mb}")


def show(number: int, what: str, used: Used, idle: Used, count: int) -> None:
    """Print one run."""
    cpu = used.cpu_s - idle.cpu_s
    print(
        f"round {number} {what}: {used.wall_s:6.1f} s, {used.cpu_s:6.1f} CPU s ({used.cores:.2f} cores), without starting up "
        f"{cpu / count * 1e6:6.1f} CPU µs a message, {count / used.wall_s:6.0f} messages/s on the clock"
    )


def test_memory_does_not_grow_with_the_number_of_pages(tmp_path: Path) -> None:
    """The same with few pages and with many: small pages, since it is their number that counts."""
    print(f"\npages   peak MB of each process (limit {MOST_MB})")
    for pages in PAGES:
        work = workload.make(tmp_path / f"{pages}", pages * RECORDS_A_SMALL_PAGE, records_a_page=RECORDS_A_SMALL_PAGE)
        used = whole(work, tmp_path / f"home{pages}")
        print(f"{pages:5d}   {used.peaks_mb}")
        assert used.peaks_mb[0] <= MOST_MB, f"a process took {used.peaks_mb[0]} MB, expected at most {MOST_MB}"
