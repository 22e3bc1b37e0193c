"""A storage that is full, read-only or out of order at any call of the care of an archive: exit code 9, and the same command makes it good.

What is cared for: compaction and its unlinking, a reconciliation, erasures, the log, a rescan, people known late, the directory. The double is the
operating system's answer, as in tests/flow/test_storage_faults.py, which does the same to an ingest.
"""

from __future__ import annotations

import errno
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import apache_beam  # noqa: F401  # the parent is warm: children do not import it each
import pytest

from tests import firm
from tests.crash import (
    harness,
    test_compact_killed,
    test_directory_killed,
    test_erase_killed,
    test_reconcile_killed,
    test_rescan_killed,
    test_restate_killed,
    test_upkeep_killed,
)
from tests.crash.harness import Fault

pytestmark = pytest.mark.crash
SAMPLE = int(os.environ.get("LIUHEN_FAULT_SAMPLE", "3"))
ERRNOS = {errno.ENOSPC: True, errno.EROFS: True, errno.EIO: False, errno.EMFILE: False}


class Care(NamedTuple):
    """What is done to an archive, what was there before, and what is found after it."""

    prepare: Callable[[Path], None]
    work: Callable[[Path], None]
    found: Callable[[Path], Any]


CARES = {
    "compaction": Care(test_compact_killed.prepare, test_compact_killed.work, test_compact_killed.found),
    "reconciliation": Care(test_reconcile_killed.prepare, test_reconcile_killed.work, test_reconcile_killed.found),
    "erasure": Care(test_upkeep_killed.with_a_page_that_waits, test_upkeep_killed.erase, test_upkeep_killed.found),
    "erasure of a customer": Care(test_erase_killed.prepare, test_erase_killed.work, test_erase_killed.found),
    "log": Care(test_compact_killed.prepare, test_upkeep_killed.tend, test_upkeep_killed.found),
    "rescan": Care(test_rescan_killed.prepare, test_rescan_killed.work, test_rescan_killed.found),
    "people known late": Care(test_restate_killed.prepare, test_restate_killed.work, test_restate_killed.found),
    "directory": Care(test_directory_killed.prepare, test_directory_killed.work, test_directory_killed.found),
}


def faults(calls: list[str], seed: str) -> list[Fault]:
    """A sample of the calls, each with an errno in turn; a write of the log is among them, and the fsync after it, when the commit is made."""
    chance = random.Random(seed)
    logs = [n for n, call in enumerate(calls) if call == harness.LOG]
    chosen = {*chance.sample(range(len(calls)), min(SAMPLE, len(calls))), *logs[:1], *(n + 1 for n in logs[:1])}
    codes = list(ERRNOS)
    return [Fault(n, codes[turn % 4], ERRNOS[codes[turn % 4]], calls[n]) for turn, n in enumerate(sorted(chosen))]


@pytest.mark.parametrize("name", CARES)
def test_a_storage_that_fails_ends_with_9_and_the_same_command_makes_it_good(tmp_path: Path, name: str, say: Callable[[str], None]) -> None:
    for version in (1, 2):
        firm.private_key(version)
    care, template, done = CARES[name], tmp_path / "template", tmp_path / "done"
    template.mkdir()
    harness.child(lambda: care.prepare(template))
    shutil.copytree(template, done)
    calls, ended = harness.failing(lambda: care.work(done), below=done)
    assert ended == "done"
    _, expected = harness.child(lambda: care.found(done))
    taken = faults(calls, name)
    say(f"{len(calls)} calls that can fail, {len(taken)} taken: " + ", ".join(sorted({f.what.split(' (')[0] for f in taken})))
    wrong = [told for fault in taken for told in failed_and_done_again(tmp_path, template, care, fault, expected)]
    assert not wrong, "\n".join(map(str, wrong))


def failed_and_done_again(folder: Path, template: Path, care: Care, fault: Fault, expected: Any) -> list[tuple[object, ...]]:
    """Return what was not as it should be when this call fails and the same is done again."""
    at, what = folder / str(fault.number), f"call {fault.number} ({fault.what}) failed with {errno.errorcode[fault.errno]}"
    shutil.copytree(template, at)
    _, ended = harness.failing(lambda: care.work(at), below=at, fault=fault)
    wrong: list[tuple[object, ...]] = [(what, "ended with", ended)] if ended == "done" or ended[0] != 9 else []
    harness.child(lambda: care.work(at))
    _, found = harness.child(lambda: care.found(at))
    if found != expected:
        wrong.append((what, "and the same command did not make it good", sorted(k for k in found if found[k] != expected[k])))
    shutil.rmtree(at)
    return wrong
