"""Two committers at once: one only loses races. No record is settled twice, no leaf number is used twice, no file is lost.

The lock of a corp is courtesy; what keeps two runs apart is the fence in the log. Here both go without the lock, through barriers.
"""

from __future__ import annotations

import multiprocessing
import traceback
from collections import Counter
from collections.abc import Sequence
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import pytest

from pipeline import clock, commit, compact, ingest, landing, purges
from pipeline.home import Home
from pipeline.stage import Manifest
from pipeline.workbench import Workbench
from tests import firm
from tests.firm import T0, item, message, recall, refusal, values

pytestmark = pytest.mark.slow
ROUNDS = 4
PAGES = 30
A_PAGE = 4
# Few pages a commit: many races a round.
PAGES_A_COMMIT = 2
TIMEOUT_S = 600  # it only keeps from hanging


def stage(at: Home, pages: Sequence[Sequence[bytes]]) -> None:
    """Land the pages and stage each of them as one manifest, as a worker does."""
    bench = Workbench(at, firm.CORP, at.lake(firm.CORP).snapshot())
    for items in pages:
        ref = landing.put(at, firm.CORP, firm.answer(items), source="file", name="round", captured_at_ms=clock.now_ms())
        builder = bench.builder()
        builder.add(bench.walk(bench.landing(ref)))
        assert builder.flush() is not None


def committer(home: str, rounds: int, bound: int, barrier: Barrier, told: Queue[Any]) -> None:
    """Commit whatever is staged, once a round, as soon as everybody is ready; hot files stay within the bound."""
    commit.PAGES_A_COMMIT, compact.HOT_FILES = PAGES_A_COMMIT, bound
    for _ in range(rounds):
        barrier.wait(TIMEOUT_S)
        run = commit.Run(run_id="race")
        try:
            commit.commit_all(Home(Path(home)), firm.CORP, run)
            told.put(dict(run.counts))
        except BaseException:
            told.put(traceback.format_exc())
        barrier.wait(TIMEOUT_S)


def round_of(number: int) -> list[list[bytes]]:
    """Pages of one round: 121 records, each page's last one again as the next page's first; a refusal, a recall, a missing key."""
    base = number * 1_000
    items = {}
    for n in range(1, PAGES * A_PAGE + 2):
        seq = base + n
        items[n] = item(seq, message(seq, f"第{seq}句", sender=f"e{n % 3}", to=[f"wm{n % 5}"], at_ms=T0 + seq * 1000))
    items[50] = item(base + 50, refusal(base + 50, f"wmD{number}", "e9", at_ms=T0))
    for n in (7, 60, 110):
        items[n] = item(base + n, message(base + n, "不该看到", sender="e9", to=[f"wmD{number}"], at_ms=T0 + 1000))
    items[61] = item(base + 61, {**recall(base + 61, f"m{base + 60}", sender="e9", to=[f"wmD{number}"])})
    items[90] = item(base + 90, message(base + 90), version=2)
    return [[items[n] for n in range(p * A_PAGE + 1, (p + 1) * A_PAGE + 2)] for p in range(PAGES)]


# By hand, for each round: 121 records, of them 1 control, 1 failed, 4 withheld (three messages, one recall).
A_ROUND = {"archived": 115, "control": 1, "failed": 1, "withheld": 4}


def check_whole(at: Home, rounds: int) -> None:
    """Every record once, leaves without gaps, every committed file there as written, nothing left behind."""
    lake = at.lake(firm.CORP)
    snapshot = lake.snapshot()
    records = lake.read("records", snapshot.of("records"), columns=["leaf", "seq", "fate_no", "fate"]).to_pylist()
    assert sorted(r["seq"] for r in records) == [n * 1_000 + k for n in range(rounds) for k in range(1, 122)]
    assert sorted(r["leaf"] for r in records) == list(range(121 * rounds))
    for fate, count in A_ROUND.items():
        assert sum(r["fate"] == fate for r in records) == count * rounds, fate
    for file in snapshot.files:
        lake.check(file)
    assert len({f.path for f in snapshot.files}) == len(snapshot.files)
    on_disk = {str(p.relative_to(lake.root)) for p in lake.root.rglob("*.parquet") if "_delta_log" not in p.parts}
    assert on_disk == {f.path for f in snapshot.files}
    assert not list(at.landing(firm.CORP).iterdir()) and not list(at.staging(firm.CORP).iterdir())
    seqs = values(at, "select seq from messages order by seq")
    assert len(seqs) == len(set(seqs)) == A_ROUND["archived"] * rounds
    assert len(lake.read("sealed", snapshot.of("sealed"), columns=["seq"])) == (A_ROUND["archived"] + 2) * rounds
    assert len(lake.read("withheld_sealed", snapshot.of("withheld_sealed"), columns=["seq"])) == A_ROUND["withheld"] * rounds
    assert len(lake.read("pages", snapshot.of("pages"), columns=["page"])) == PAGES * rounds


@pytest.mark.parametrize(
    ("rounds", "bound"), [pytest.param(ROUNDS, compact.HOT_FILES, id="as they are"), pytest.param(2, 4, id="each makes room again and again")]
)
def test_two_committers_settle_every_record_once(tmp_path: Path, rounds: int, bound: int) -> None:
    at = firm.home(tmp_path)
    spawn = multiprocessing.get_context("spawn")
    barrier, told = spawn.Barrier(3), spawn.Queue()
    both = [spawn.Process(target=committer, args=(str(at.path), rounds, bound, barrier, told)) for _ in range(2)]
    for process in both:
        process.start()
    counted: list[dict[str, int]] = []
    try:
        for number in range(rounds):
            stage(at, round_of(number))
            barrier.wait(TIMEOUT_S)
            barrier.wait(TIMEOUT_S)
            said = [told.get(timeout=TIMEOUT_S) for _ in both]
            assert not [s for s in said if isinstance(s, str)], "\n".join(map(str, said))
            counted += said
            purges.run(at, firm.CORP, at_once=True)
            check_whole(at, number + 1)
            hot = Counter(f.kind for f in at.lake(firm.CORP).snapshot().files if f.bucket == "hot")
            assert max(hot.values(), default=0) <= bound
    finally:
        for process in both:
            process.join(5)
            if process.is_alive():
                process.kill()
                process.join()
    # What the two say they settled is what is settled: nobody counts a race that was lost.
    assert sum(sum(c.values()) for c in counted) == 121 * rounds


def test_a_page_that_was_staged_again_after_its_commit_is_discarded_without_a_trace(tmp_path: Path) -> None:
    at = firm.home(tmp_path)
    bench = Workbench(at, firm.CORP, at.lake(firm.CORP).snapshot())
    ref = landing.put(at, firm.CORP, firm.answer([item(n, message(n)) for n in (1, 2, 3)]), source="file", name="a", captured_at_ms=clock.now_ms())
    walked = bench.walk(bench.landing(ref))

    def staged() -> Manifest:
        import msgspec

        builder = bench.builder()
        builder.add(walked)
        path = builder.flush()
        assert path is not None
        return msgspec.json.decode(path.read_bytes(), type=Manifest)

    staged()
    commit.commit_all(at, firm.CORP, commit.Run(run_id="first"))
    lake = at.lake(firm.CORP)
    before = lake.snapshot()
    zombie = staged()
    assert zombie.files and all((lake.root / f.path).exists() for f in zombie.files)
    late = commit.Run(run_id="late")
    commit.commit_all(at, firm.CORP, late)
    after = lake.snapshot()
    assert (late.landed, after.version, after.files) == (0, before.version, before.files)
    assert not any((lake.root / f.path).exists() for f in zombie.files)
    assert not list(at.staging(firm.CORP).iterdir()) and not list(at.landing(firm.CORP).iterdir())
    assert values(at, "select seq from messages order by seq") == [1, 2, 3]
    assert ingest.run(at, firm.CORP, workers=1).summary.landed == 0
