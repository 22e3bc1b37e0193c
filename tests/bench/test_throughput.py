"""A run's CPU beside that of RSA alone by OpenSSL, on the same ciphertexts, in turn: as installed, and with OpenSSL on both sides.

LIUHEN_BENCH_MESSAGES (default 100,000) and LIUHEN_BENCH_ROUNDS (default 2) set the size. Only the ratio is asserted: a bar in messages a
second would be one for the machine. Starting up (Python, imports, Beam's workers, keys, register, packs) is measured by runs without
messages to speak of and taken off, since it does not grow with what is ingested.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
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
ALONE, EIGHT, INSTALLED = "RSA only, OpenSSL", "RSA only, eight at once", "whole run, as installed"
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


def rsa_only(work: Workload, arm: str = "rsa") -> Used:
    """Open every RSA block of the pages and nothing else: by OpenSSL, or eight at once (`eight`)."""
    return meter.run("tests.bench.arms", arm, str(work.blocks), str(work.blocks.with_name("v1.pem")), str(PROCESSES))


def whole(work: Workload, folder: Path, *, rsa: str = "") -> Used:
    """Ingest the pages into a fresh home, as installed or with the setting `ingest.rsa`; everything on."""
    used = meter.run("tests.bench.arms", "whole", str(workload.home(folder, rsa=rsa).path), str(work.pages), str(PROCESSES))
    assert int(used.said) == work.messages, "not every message was settled"
    return used


Arm = Callable[[Workload, Path], Used]


def arms(eight: bool) -> dict[str, Arm]:
    """What is run in turn. The first is what all others are held to."""
    found: dict[str, Arm] = {
        ALONE: lambda work, _: rsa_only(work),
        INSTALLED: lambda work, folder: whole(work, folder / "installed"),
        "whole run, rsa = \"openssl\"": lambda work, folder: whole(work, folder / "openssl", rsa="openssl"),
    }
    if eight:
        found[EIGHT] = lambda work, _: rsa_only(work, "eight")
    return found


def test_a_run_as_installed_beside_rsa_alone(sealed: Workload, almost_nothing: Workload, tmp_path: Path) -> None:
    """All arms in turn, each held to RSA alone by OpenSSL in the same round; the bar is for the run as installed."""
    try:
        multibuffer.library()
        used = "eight operations at once (crypto_mb)"
    except multibuffer.Unavailable as why:
        used = f"OpenSSL ({why}): without eight at once the bar is not reached"
    turns = arms(eight=not used.startswith("OpenSSL"))
    print(f"\n{meter.machine()}")
    print(f"{sealed.messages} messages on {sealed.page_count} pages, texts of {sealed.mean_characters:.0f} characters on average")
    print(f"as installed, RSA is done by {used}")
    idle = {name: min((arm(almost_nothing, tmp_path / f"idle{n}") for n in range(ROUNDS)), key=lambda u: u.cpu_s) for name, arm in turns.items()}
    print("starting up, CPU s: " + ", ".join(f"{name} {u.cpu_s:.1f}" for name, u in idle.items()))
    ratios: dict[str, list[float]] = {name: [] for name in turns}
    for number in range(ROUNDS):
        first: Used | None = None
        for name, arm in turns.items():
            got = arm(sealed, tmp_path / f"run{number}")
            first = first or got
            ratios[name].append((first.cpu_s - idle[ALONE].cpu_s) / (got.cpu_s - idle[name].cpu_s))
            show(number, name, got, idle[name], sealed.messages, ratios[name][-1], first)
            if name.startswith("whole"):
                assert got.peaks_mb[0] <= MOST_MB, f"a process took {got.peaks_mb[0]} MB, expected at most {MOST_MB}"
    for name, found in ratios.items():
        print(f"{name}: {median(found):.2f} of {ALONE}" + (f" (bar {BAR})" if name == INSTALLED else ""))
    if EIGHT in ratios:
        print(f"{INSTALLED}: {median(ratios[INSTALLED]) / median(ratios[EIGHT]):.2f} of {EIGHT}")
    ratio = median(ratios[INSTALLED])
    assert ratio >= BAR, f"RSA alone by OpenSSL takes {ratio:.3f} of what a run takes, expected at least {BAR}; RSA was done by {used}; `make bench TEST_ARGS='-k steps'`"


def show(number: int, what: str, used: Used, idle: Used, count: int, ratio: float, alone: Used) -> None:
    """Print one run."""
    cpu = used.cpu_s - idle.cpu_s
    print(
        f"round {number} {what:26s} {used.wall_s:6.1f} s, {used.cpu_s:6.1f} CPU s ({used.cores:.2f} cores), without starting up "
        f"{cpu / count * 1e6:6.1f} CPU µs a message, {count / used.wall_s:6.0f} messages/s; ratio {ratio:.3f} "
        f"(with starting up {alone.cpu_s / used.cpu_s:.3f}, on the clock {alone.wall_s / used.wall_s:.3f}); peak MB {used.peaks_mb}"
    )


def test_memory_does_not_grow_with_the_number_of_pages(tmp_path: Path) -> None:
    """The same with few pages and with many: small pages, since it is their number that counts."""
    print(f"\npages   peak MB of each process (limit {MOST_MB})")
    for pages in PAGES:
        work = workload.make(tmp_path / f"{pages}", pages * RECORDS_A_SMALL_PAGE, records_a_page=RECORDS_A_SMALL_PAGE)
        used = whole(work, tmp_path / f"home{pages}")
        print(f"{pages:5d}   {used.peaks_mb}")
        assert used.peaks_mb[0] <= MOST_MB, f"a process took {used.peaks_mb[0]} MB, expected at most {MOST_MB}"
