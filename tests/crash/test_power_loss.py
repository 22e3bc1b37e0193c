"""Power lost at any durable call: what was not fsynced is gone, and the same command again makes the undisturbed archive.

Every durable writer that has kill points: what is prepared, done and found is that of its own module.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import apache_beam  # noqa: F401  # the parent is warm: children do not import it each
import pytest

from pipeline import durable
from tests import firm
from tests.crash import (
    harness,
    powerloss,
    test_compact_killed,
    test_directory_killed,
    test_erase_killed,
    test_index_killed,
    test_media_sweep_killed,
    test_pull_killed,
    test_reconcile_killed,
    test_rescan_killed,
    test_restate_killed,
    test_upkeep_killed,
)
from tests.crash.powerloss import Journal
from tests.crash.test_ingest_killed import ingest, ingest_in_portions, prepare_first, prepare_late_key, source, state

pytestmark = pytest.mark.crash


class Writer(NamedTuple):
    """What writes, and how much of its points is taken: LIUHEN_CRASH_SAMPLE by `share`, and so many calls about log entries."""

    prepare: Callable[[Path], object]
    work: Callable[[Path], object]
    found: Callable[[Path], Any]
    share: int = 40
    logs: int = 2


def with_pages(prepare: Callable[[Path], object], refused_at: int = 39) -> Callable[[Path], None]:
    def prepared(folder: Path) -> None:
        source(folder, refused_at=refused_at)
        prepare(folder)

    return prepared


def rotated(folder: Path) -> None:
    """The keyring moves under another master key, as `keyring rotate` does it."""
    from pipeline.home import Home
    from pipeline.key_rotation import rotate

    at = Home(folder / "home")
    rotate(at.path, at.keyring, "file:keys/second.key", make=True)


def readable(folder: Path) -> dict[str, Any]:
    """What a home opens with the master key that its configuration names, and by how many wrappings of the root key."""
    from pipeline.home import Home

    at = Home(folder / "home")
    wrappings = len(json.loads((at.path / "keys" / "keyring.json").read_bytes())["roots"])
    return {**state(folder), "keys": sorted(at.keyring.names()), "master": at.config.keys.master, "wrappings": wrappings}


WRITERS = {
    "ingest": Writer(with_pages(prepare_first), ingest, state, share=8, logs=4),
    "late key": Writer(with_pages(prepare_late_key), ingest, state, share=8, logs=4),
    "ingest with compactions in it": Writer(with_pages(prepare_first, refused_at=3), ingest_in_portions, state),
    "compaction and unlinking": Writer(test_compact_killed.prepare, test_compact_killed.work, test_compact_killed.found, share=20),
    "erasure of a customer": Writer(test_erase_killed.prepare, test_erase_killed.work, test_erase_killed.found, share=20),
    "erasure from all stores": Writer(test_upkeep_killed.with_a_page_that_waits, test_upkeep_killed.erase, test_upkeep_killed.found),
    "log": Writer(test_compact_killed.prepare, test_upkeep_killed.tend, test_upkeep_killed.found),
    "reconciliation": Writer(test_reconcile_killed.prepare, test_reconcile_killed.work, test_reconcile_killed.found),
    "rescan": Writer(test_rescan_killed.prepare, test_rescan_killed.work, test_rescan_killed.found),
    "people known late": Writer(test_restate_killed.prepare, test_restate_killed.work, test_restate_killed.found),
    "directory": Writer(test_directory_killed.prepare, test_directory_killed.work, test_directory_killed.found),
    "search index": Writer(test_index_killed.prepare, test_index_killed.work, test_index_killed.found),
    "keyring rotation": Writer(with_pages(prepare_late_key), rotated, readable),
    "sweep of fetched files": Writer(test_media_sweep_killed.prepare, test_media_sweep_killed.work, test_media_sweep_killed.found),
    "pull and files": Writer(test_pull_killed.prepare, test_pull_killed.work, test_pull_killed.state),
}


def journalled(at: Path, work: Callable[[Path], object], kill_at: int | None) -> tuple[int, list[list[Any]]]:
    """Do the work in a child that notes its durable calls and dies at one of them."""
    notes, grave = at.parent / f"{at.name}.journal", at.parent / f"{at.name}.grave"
    grave.mkdir()

    def noted() -> None:
        Journal(at, notes, grave, kill_at).install()
        work(at)

    died, _ = harness.child(noted)
    return died, powerloss.read(notes)


def clear(at: Path) -> None:
    shutil.rmtree(at)
    shutil.rmtree(at.parent / f"{at.name}.grave")
    (at.parent / f"{at.name}.journal").unlink()


def chosen(calls: list[list[Any]], writer: Writer) -> list[int]:
    """A sample of the calls, or those of LIUHEN_CRASH_POINTS, or all of them; where a torn log entry can come about, some of them always."""
    every = list(range(len(calls)))
    if harness.PIECE:
        low, high = (int(n) for n in harness.PIECE.split(":"))
        return every[low:high]
    if not harness.SAMPLE:
        return every
    logs = [n for n, c in enumerate(calls) if c[0] == "fsync" and Path(c[1]).parent.name == "_delta_log"]
    return sorted({*random.Random(3).sample(every, min(max(harness.SAMPLE // writer.share, 1), len(every))), *logs[: writer.logs]})


@pytest.mark.parametrize("name", WRITERS)
def test_what_was_not_fsynced_may_go_and_the_archive_is_the_same(tmp_path: Path, name: str, say: Callable[[str], None]) -> None:
    for version in (1, 2):
        firm.private_key(version)
    test_pull_killed.late()
    writer, template, undisturbed = WRITERS[name], tmp_path / "template", tmp_path / "undisturbed"
    template.mkdir()
    harness.child(lambda: writer.prepare(template))
    shutil.copytree(template, undisturbed)
    _, calls = journalled(undisturbed, writer.work, None)
    _, expected = harness.child(lambda: writer.found(undisturbed))
    assert calls, "no durable call was made: there is no moment at which power could be lost"
    taken = chosen(calls, writer)
    say(f"power loss, {name}: {len(calls)} points, {len(taken)} taken")
    wrong = list(others(template, writer, taken, expected))
    assert not wrong, "\n".join(f"another archive after power was lost at call {n} ({calls[n][:2]}), log {torn}: {keys}" for n, torn, keys in wrong)


def others(template: Path, writer: Writer, taken: Iterable[int], expected: Any) -> Iterable[tuple[int, str, Any]]:
    """Lose power at each of these calls and run again; yield where another archive came of it, and in what."""
    for turn, point in enumerate(taken):
        at, torn = template.parent / f"at-{point}", ("missing", "empty", "half")[turn % 3]
        shutil.copytree(template, at)
        died, noted = journalled(at, writer.work, point)
        assert died == signal.SIGKILL, f"the run ended before call {point}"
        powerloss.lose(at, template, noted, torn=torn)  # type: ignore[arg-type]  # one of the three
        harness.child(lambda at=at: writer.work(at))  # type: ignore[misc]  # bound now
        _, found = harness.child(lambda at=at: writer.found(at))  # type: ignore[misc]  # bound now
        if found != expected:
            yield point, torn, sorted(k for k in expected if found.get(k) != expected[k]) if isinstance(expected, dict) else found
        clear(at)


# -- the calls that every writer is made of -----------------------------------------------------------------------


class Promise(NamedTuple):
    """What a durable call does to a file `x` that held `before`, and what must be there once it has returned."""

    before: bytes | None
    call: Callable[[Path], object]
    after: bytes | None


def appended(path: Path) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_APPEND)
    try:
        durable.append(handle, b"second\n", what="x")
    finally:
        os.close(handle)


def given_a_name(path: Path) -> None:
    aside = path.with_name("aside")
    durable.write_once(aside, b"new")
    durable.give_name(aside, path)


def renamed(path: Path) -> None:
    with durable._temporary(path, b"new", 0o600) as temporary:
        os.replace(temporary, path)


PROMISES = {
    "write_once": Promise(None, lambda path: durable.write_once(path, b"new"), b"new"),
    "write_once, the name is there": Promise(b"old", lambda path: durable.write_once(path, b"new"), b"old"),
    "replace": Promise(b"old", lambda path: durable.replace(path, b"new"), b"new"),
    "replace, nothing was there": Promise(None, lambda path: durable.replace(path, b"new"), b"new"),
    "append": Promise(b"first\n", appended, b"first\nsecond\n"),
    "give_name": Promise(None, given_a_name, b"new"),
    "remove": Promise(b"old", durable.remove, None),
    # Near misses: the double takes what is not durable.
    "a plain write": Promise(b"old", lambda path: path.write_bytes(b"new"), b"old"),
    "a new file without its folder": Promise(None, lambda path: durable.write_once(path, b"new", sync_folder=False), None),
    "a removal without its folder": Promise(b"old", lambda path: durable.remove(path, sync_folder=False), b"old"),
    "a rename without its folder": Promise(b"old", renamed, b"old"),
}


@pytest.mark.parametrize("name", PROMISES)
def test_a_durable_call_keeps_its_promise_and_shows_nothing_half_before(tmp_path: Path, name: str) -> None:
    promise, template = PROMISES[name], tmp_path / "template"
    template.mkdir()
    if promise.before is not None:
        (template / "x").write_bytes(promise.before)
    assert left(template, "returned", promise, None) == promise.after
    count = len(powerloss.read(tmp_path / "returned.journal"))
    assert {left(template, f"killed-{n}", promise, n) for n in range(count)} <= {promise.before, promise.after}


def left(template: Path, name: str, promise: Promise, kill_at: int | None) -> bytes | None:
    """What a power loss leaves of the file, after the call has returned or at one of its calls."""
    at = template.parent / name
    shutil.copytree(template, at)
    died, noted = journalled(at, lambda folder: promise.call(folder / "x") and None, kill_at)
    assert died == (0 if kill_at is None else signal.SIGKILL)
    powerloss.lose(at, template, noted, torn="missing")
    return (at / "x").read_bytes() if (at / "x").exists() else None


def test_data_is_fsynced_before_the_commit_and_the_log_before_anything_is_unlinked(tmp_path: Path) -> None:
    firm.private_key(1)
    firm.private_key(2)
    at = tmp_path / "at"
    at.mkdir()
    source(at)
    harness.child(lambda: prepare_first(at))
    _, calls = journalled(at, ingest, None)
    first_log = next(n for n, c in enumerate(calls) if c[0] == "fsync" and c[1].endswith("00000000000000000001.json"))
    folder = next(n for n, c in enumerate(calls) if n > first_log and c[0] == "fsync" and c[1].endswith("_delta_log"))
    pages = [n for n, c in enumerate(calls) if c[0] == "unlink" and c[1].endswith(".page")]
    data = [n for n, c in enumerate(calls) if c[0] == "link" and c[2].endswith(".parquet")]
    before = [n for n in data if n < first_log]
    fsynced = [c[1] if c[0] == "fsync" else "" for c in calls]
    # The file's bytes before it has its name, the name before the log tells it.
    assert before and all(calls[n][1] in fsynced[:n] and os.path.dirname(calls[n][2]) in fsynced[n:first_log] for n in before)
    assert pages and min(pages) > folder > first_log
