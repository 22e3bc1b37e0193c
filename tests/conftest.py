"""What holds for every test: with `--no-skips` a skipped test counts as failed.

The marked suites need things from outside (fixtures, the vendor library) and skip without them. Where those must be there, in .ci/run,
a skip would be a check that silently did not happen.

The suite of every day keeps its files in memory where the system has room: most of its time would be waiting for fsync, which is called
all the same. The marked suites (crash, slow, bench) use the disk.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from tests import beam

IN_MEMORY = Path("/dev/shm")
ROOM_BYTES = 2 << 30
SAID = "said"
HERE = Path(__file__).parent
MARKED = ("bench", "crash", "slow", "vendor")


def pytest_configure(config: pytest.Config) -> None:
    """Let pytest make its folders in memory, unless the caller said where, or asked for marked suites."""
    if _every_day(config) and _has_room(IN_MEMORY) and not config.option.basetemp:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(IN_MEMORY))


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out folders whose files are all of a marked suite (tests/docs holds them to it), where all of these marks are left out: a seventh of what is read."""
    left_out = all(f"not {mark}" in config.option.markexpr for mark in MARKED)
    return True if left_out and collection_path.parent == HERE and collection_path.name in MARKED else None


def _every_day(config: pytest.Config) -> bool:
    return "not crash" in config.option.markexpr


def _has_room(folder: Path) -> bool:
    try:
        found = os.statvfs(folder)
    except OSError:
        return False
    return os.access(folder, os.W_OK) and found.f_bavail * found.f_frsize >= ROOM_BYTES


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--no-skips`."""
    parser.addoption("--no-skips", action="store_true", help="a skipped test counts as failed")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let what forks come first: the lake's library does not survive a fork in a process that has used it (tests/crash/harness.py)."""
    items.sort(key=_turn)


def pytest_collection_finish() -> None:
    """Leave what was imported and collected out of every later search for garbage, since it is there to the end, and search less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)


def pytest_sessionfinish() -> None:
    """Let the interpreter take everything down at its end: libraries look whether it did."""
    gc.unfreeze()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Let Beam remember its classes, once it was imported."""
    if _every_day(item.config) and beam.loaded():
        beam.remember()


def _turn(item: pytest.Item) -> int:
    module = getattr(item, "module", None)
    forks = getattr(module, "harness", None) is not None
    return 2 if not forks else int(getattr(module, "THEN_USES_THE_LAKE", False))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip into a failure that still gives the skip's reason; an expected failure (xfail) is no skip."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and item.config.getoption("--no-skips"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        report.outcome = "failed"
        report.longrepr = f"skipped, which --no-skips does not allow: {reason}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same for a whole file that skips itself while it is collected (`pytest.importorskip`)."""
    report = yield
    if report.outcome == "skipped" and collector.config.getoption("--no-skips"):
        report.outcome = "failed"
        report.longrepr = f"skipped, which --no-skips does not allow: {report.longrepr}"
    return report


@pytest.fixture
def say(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """A way to tell something that is shown at the end of the run, whether the test passes or not, over processes too."""
    return lambda text: record_property(SAID, text)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show what tests said."""
    reports = [r for kind in ("passed", "failed") for r in terminalreporter.stats.get(kind, ())]
    told = [(r.nodeid, text) for r in reports for name, text in r.user_properties if name == SAID]
    if told:
        terminalreporter.section("what tests tell")
    for test, text in told:
        terminalreporter.line(f"{test}: {text}")
