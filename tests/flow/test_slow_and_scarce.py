"""A slow disk, a disk without inodes, a process without file handles, a clock that is wrong: nothing is lost, nothing shows half, and the same
command makes it good. The disk's own answers where the machine allows it, else the same answers made in the process under test.
"""

from __future__ import annotations

import errno
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import firm
from tests.cli.liuhen import ROOT
from tests.crash import harness
from tests.crash.test_compact_killed import prepare
from tests.crash.test_ingest_killed import ingest, state
from tests.firm import CORP, message

pytestmark = pytest.mark.crash
DAY = 86_400_000
DELAYED = ("fsync", "link", "replace", "unlink")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive of two ingests, and a page that waits to be ingested."""
    for version in (1, 2):
        firm.private_key(version)
    folder = tmp_path_factory.mktemp("scarce")
    harness.child(lambda: prepare(folder))
    for old in folder.glob("*.json"):
        old.unlink()
    firm.page(folder, "next.json", {n: message(n, "新的话 保本保息", sender="e1") for n in range(60, 66)})
    return folder


@pytest.fixture(scope="module")
def after(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What an undisturbed ingest of that page makes."""
    at = copied(template, tmp_path_factory.mktemp("undisturbed"))
    harness.child(lambda: ingest(at))
    return harness.child(lambda: state(at))[1]


def copied(template: Path, folder: Path) -> Path:
    at = folder / "at"
    shutil.copytree(template, at)
    return at


def delayed(work: Callable[[], Any], *, seconds: float, between: Callable[[], None] = lambda: None) -> Any:
    """Run `work` with every durable call made slow; `between` is called at every fifth of them."""
    calls = 0

    def slow(function: Callable[..., Any]) -> Callable[..., Any]:
        def called(*args: Any, **kwargs: Any) -> Any:
            nonlocal calls
            calls += 1
            time.sleep(seconds)
            if calls % 5 == 0:
                between()
            return function(*args, **kwargs)

        return called

    for name in DELAYED:
        setattr(os, name, slow(getattr(os, name)))
    return work()


# -- slow ----------------------------------------------------------------------------------------------------------


def test_on_a_slow_disk_the_same_is_archived_and_no_lock_is_lost_meanwhile(template: Path, after: Any, tmp_path: Path) -> None:
    from pipeline.errors import Locked
    from pipeline.home import Home

    at = copied(template, tmp_path)
    refused = []

    def another_run_comes() -> None:
        try:
            with Home(at / "home").lock(f"{CORP}.commit"):
                refused.append(False)
        except Locked:
            refused.append(True)

    def work() -> list[bool]:
        delayed(lambda: ingest(at), seconds=0.02, between=another_run_comes)
        return refused

    _, told = harness.child(work)
    assert len(told) > 5 and all(told), "the lock was free while the run was at work"
    assert harness.child(lambda: state(at))[1] == after


def test_on_a_slow_disk_a_compaction_keeps_its_budget_to_a_step_and_goes_on_the_next_time(template: Path, tmp_path: Path) -> None:
    at = copied(template, tmp_path)

    def compact(budget_s: float, seconds: float) -> list[Any]:
        from pipeline import compact
        from pipeline.home import Home

        begun = time.monotonic()
        done = delayed(lambda: compact.run(Home(at / "home"), CORP, budget_s=budget_s), seconds=seconds)
        return [done.steps, done.left, time.monotonic() - begun]

    _, before = harness.child(lambda: state(at))
    _, (steps, left, _) = harness.child(lambda: compact(0.01, 0.02))
    assert steps <= 1 and left > 0, "the budget is looked at between steps"
    assert harness.child(lambda: state(at))[1] == before
    _, (more, none, _) = harness.child(lambda: compact(600, 0.005))
    assert more >= left and none == 0
    assert harness.child(lambda: state(at))[1] == before


# -- no inodes, no handles -----------------------------------------------------------------------------------------


def test_without_inodes_every_new_name_fails_and_the_same_command_makes_it_good(template: Path, after: Any, tmp_path: Path) -> None:
    """ENOSPC for what makes a name, from a call on for good, while data that has a name is still written: `df` shows free space."""
    calls, _ = harness.child(lambda: making_names(copied(template, tmp_path / "count"), None))[1]
    for number in range(0, calls, max(1, calls // 4)):
        at = copied(template, tmp_path / str(number))
        _, (_, ended) = harness.child(lambda at=at, number=number: making_names(at, number))  # type: ignore[misc]  # bound now
        assert ended == 9, f"call {number}: {ended}"
        harness.child(lambda at=at: ingest(at))  # type: ignore[misc]
        assert harness.child(lambda at=at: state(at))[1] == after  # type: ignore[misc]


def making_names(at: Path, fail_from: int | None) -> list[Any]:
    """Ingest; the calls that make a name below the home fail from one of them on. Return (how many there were, exit code or None)."""
    from pipeline.errors import ArchiveError

    calls, below = 0, str((at / "home").resolve())

    def scarce(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def called(*args: Any, **kwargs: Any) -> Any:
            nonlocal calls
            makes = name != "open" or bool(args[1] & os.O_CREAT)
            if makes and os.path.abspath(str(args[0])).startswith(below) and not (name == "open" and os.path.exists(args[0])):
                calls += 1
                if fail_from is not None and calls > fail_from:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return function(*args, **kwargs)

        return called

    for name in ("open", "mkdir"):
        setattr(os, name, scarce(name, getattr(os, name)))
    try:
        ingest(at)
    except ArchiveError as error:
        return [calls, int(error.exit_code)]
    return [calls, None]


def can_mount() -> bool:
    """Whether a user may mount a small disk of their own here."""
    tried = subprocess.run(["unshare", "-rm", "sh", "-c", "mount -t tmpfs -o nr_inodes=10 tmpfs /mnt"], capture_output=True, check=False) if shutil.which("unshare") else None
    return tried is not None and tried.returncode == 0


ON_A_SMALL_DISK = """
import os, shutil, sys
from pathlib import Path
from pipeline.cli.root import run
template, disk = sys.argv[1:]
shutil.copytree(template, disk + "/at")
wide = os.statvfs(disk)
extra = int(os.environ["SPARE"])
for n in range(wide.f_ffree - extra):
    open(f"{disk}/fill{n}", "wb").close()
code = run(["--home", disk + "/at/home", "--lang", "en", "ingest", "--from", disk + "/at/next.json", "--workers", "1"])
for path in Path(disk).glob("fill*"):
    path.unlink()
again = run(["--home", disk + "/at/home", "--lang", "en", "ingest", "--from", disk + "/at/next.json", "--workers", "1"])
from tests import firm
from pipeline.home import Home
print(code, again, os.statvfs(disk).f_bavail > 0, firm.values(Home(Path(disk + "/at/home")), "select count(*), count(distinct seq) from messages where seq between 60 and 65"))
"""


@pytest.mark.parametrize("spare", [0, 12])
def test_on_a_disk_whose_inodes_are_used_up(template: Path, tmp_path: Path, spare: int) -> None:
    """A real one where it can be mounted; where not, the double above is what stands for it."""
    if not can_mount():
        assert making_names.__doc__
        return
    disk = tmp_path / "disk"
    disk.mkdir()
    script = f'mount -t tmpfs -o nr_inodes=400,size=200m tmpfs {disk} && exec "$0" -c "$1" "$2" "$3"'
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "SPARE": str(spare), "LIUHEN_LANG": "en"}
    command = ["unshare", "-rm", "sh", "-c", script, sys.executable, ON_A_SMALL_DISK, str(template), str(disk)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=environ)
    assert ended.returncode == 0, ended.stderr[-2000:]
    assert ended.stdout.splitlines()[-1] in ("9 3 True [(6, 6)]", "9 0 True [(6, 6)]"), (ended.stdout, ended.stderr[-2000:])


@pytest.mark.parametrize("spare", [1, 4, 9])
def test_without_file_handles_the_run_ends_with_9_and_the_same_command_makes_it_good(template: Path, after: Any, tmp_path: Path, spare: int) -> None:
    at = copied(template, tmp_path)

    def work() -> int | str:
        from pipeline.errors import ArchiveError

        used = {int(n) for n in os.listdir("/proc/self/fd")}
        limit = next(n for n in range(10_000) if n - sum(fd < n for fd in used) == spare)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
        try:
            ingest(at)
        except ArchiveError as error:
            return int(error.exit_code)
        return "done"

    _, ended = harness.child(work)
    assert ended in (9, "done"), ended
    assert spare > 1 or ended == 9, "one handle is not enough for anything"
    harness.child(lambda: ingest(at))
    assert harness.child(lambda: state(at))[1] == after


# -- the clock -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ahead", [pytest.param(-DAY, id="set back a day"), pytest.param(365 * DAY, id="forward a year")])
def test_a_wrong_clock_loses_and_destroys_nothing(template: Path, after: Any, tmp_path: Path, ahead: int) -> None:
    """The clock of the whole process is wrong while it ingests, compacts, purges and destroys what is due; then it is set right."""
    at = copied(template, tmp_path)

    def work() -> list[Any]:
        from pipeline import compact, purges, trusted_clock
        from pipeline.consenting.destroying import destroy_due
        from pipeline.home import Home

        home = Home(at / "home")
        trusted_clock.watch(home)
        lake, real = home.lake(CORP), time.time_ns
        keys = set(home.keyring.names())
        there = {str(p) for p in lake.root.rglob("*.parquet")}
        time.time_ns = lambda: real() + ahead * 1_000_000
        ingest(at)
        compact.run(home, CORP)
        purges.run(home, CORP)
        destroyed = destroy_due(home, CORP)
        kept = {str(p) for p in lake.root.rglob("*.parquet")}
        time.time_ns = real
        withheld = {f.path for f in lake.snapshot().of("withheld_sealed")}
        return [sorted(there - kept), sorted(keys - set(home.keyring.names())), destroyed.days, len(withheld), trusted_clock.look(home).verdict]

    _, (gone, keys, destroyed, withheld, verdict) = harness.child(work)
    assert gone == [] and keys == [] and destroyed == 0 and withheld > 0
    assert verdict == "right", "the clock was set right, and is believed again"
    assert harness.child(lambda: state(at))[1] == after
    harness.child(lambda: ingest(at))
    assert harness.child(lambda: state(at))[1] == after


def test_verification_finds_nothing_in_what_a_wrong_clock_wrote(template: Path, tmp_path: Path) -> None:
    at = copied(template, tmp_path)

    def work() -> list[str]:
        from pipeline.verify import verify_archive

        real = time.time_ns
        time.time_ns = lambda: real() + 365 * DAY * 1_000_000
        ingest(at)
        time.time_ns = real
        return [f.code for f in verify_archive(at / "home", CORP).findings]

    assert harness.child(work)[1] == []
