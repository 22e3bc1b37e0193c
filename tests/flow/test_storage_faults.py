"""A storage that is full, read-only or out of order at any call: one clear error, nothing half-visible, and the same command makes it good.

The double is the operating system's answer itself: the call is made to fail in the process under test, everything else is real.
"""

from __future__ import annotations

import errno
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.home import Home
from tests import firm
from tests.cli.liuhen import ROOT, liuhen
from tests.crash import harness
from tests.crash.harness import Fault
from tests.crash.test_ingest_killed import ingest, prepare_late_key, source, state

pytestmark = pytest.mark.crash
THEN_USES_THE_LAKE = True  # the last tests do, in this process
SAMPLE = int(os.environ.get("LIUHEN_FAULT_SAMPLE", "6"))
ERRNOS = {errno.ENOSPC: True, errno.EROFS: True, errno.EIO: False, errno.EMFILE: False}


class Scene:
    """A home with an archive and new work waiting, and what it must be before and after."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.template = folder / "template"
        self.template.mkdir()
        pages = folder / "pages"
        pages.mkdir()
        for path in source(pages):
            shutil.copy(path, self.template)
        harness.child(lambda: prepare_late_key(self.template))
        firm.page(self.template, "5.json", {n: firm.message(n, "新的话 保本保息", sender="e1") for n in range(60, 70)})
        _, self.before = harness.child(lambda: seen(self.template))
        self.done = self.copy("undisturbed")
        self.calls, ended = harness.failing(lambda: ingest(self.done), below=self.done / "home")
        assert ended == "done"
        _, self.after = harness.child(lambda: state(self.done))
        _, self.seen_after = harness.child(lambda: seen(self.done))

    def copy(self, name: str) -> Path:
        path = self.folder / name
        shutil.copytree(self.template, path)
        return path


def seen(folder: Path) -> dict[str, Any]:
    """What readers see."""
    found = state(folder)
    return {k: v for k, v in found.items() if k != "waiting"}


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    for version in (1, 2):
        firm.private_key(version)
    return Scene(tmp_path_factory.mktemp("faults"))


def faults(calls: list[str]) -> list[Fault]:
    """A sample over all kinds of calls, each with an errno in turn; every write of the log is among them."""
    chance, chosen = random.Random(11), []
    kinds = sorted(set(calls))
    places = [chance.choice([n for n, c in enumerate(calls) if c == kind]) for kind in kinds]
    places += [n for n, c in enumerate(calls) if c == harness.LOG]
    places += chance.sample(range(len(calls)), min(SAMPLE, len(calls)))
    for turn, number in enumerate(sorted(set(places))):
        code = list(ERRNOS)[turn % len(ERRNOS)]
        chosen.append(Fault(number, code, ERRNOS[code], calls[number]))
    return chosen


def test_a_storage_that_fails_at_any_call_ends_the_run_with_9_and_shows_nothing_half(scene: Scene, say: Callable[[str], None]) -> None:
    taken = faults(scene.calls)
    say(f"{len(scene.calls)} calls that can fail, {len(taken)} taken: " + ", ".join(sorted(set(scene.calls))))
    wrong = []
    for fault in taken:
        at = scene.copy(f"{fault.number}-{fault.errno}")
        what = f"call {fault.number} ({fault.what}) failed with {errno.errorcode[fault.errno]}"
        _, ended = harness.failing(lambda at=at: ingest(at), below=at / "home", fault=fault)  # type: ignore[misc]  # bound now
        if ended == "done" or ended[0] != 9:
            wrong.append((what, "ended with", ended))
        _, found = harness.child(lambda at=at: seen(at))  # type: ignore[misc]
        committed = harness.LOG in scene.calls[: fault.number]
        if found != scene.before and not (committed and found == scene.seen_after):
            wrong.append((what, "shows another archive than before", sorted(k for k in found if found[k] != scene.before[k])))
        harness.child(lambda at=at: ingest(at))  # type: ignore[misc]
        _, again = harness.child(lambda at=at: state(at))  # type: ignore[misc]
        if again != scene.after:
            wrong.append((what, "and the same command did not make it good", sorted(k for k in again if again[k] != scene.after[k])))
        shutil.rmtree(at)
    assert not wrong, "\n".join(map(str, wrong))


def test_an_archive_is_made_and_keys_are_stored_whole_or_not_at_all(tmp_path: Path) -> None:
    pem = firm.pem(1)

    def setting_up(folder: Path) -> None:
        from pipeline.config import Corp

        made = Home.create(folder / "home", [Corp(id=firm.CORP)]) if not (folder / "home" / "liuhen.toml").exists() else Home(folder / "home")
        made.add_key(firm.CORP, 1, pem, None)

    calls, ended = harness.failing(lambda: setting_up(tmp_path / "whole"), below=tmp_path)
    assert ended == "done"
    for number in random.Random(3).sample(range(len(calls)), 12):
        at = tmp_path / str(number)
        fault = Fault(number, errno.ENOSPC, True)
        _, ended = harness.failing(lambda at=at: setting_up(at), below=tmp_path, fault=fault)  # type: ignore[misc]
        assert ended[0] == 9, (calls[number], ended)
        harness.child(lambda at=at: setting_up(at))  # type: ignore[misc]
        _, keys = harness.child(lambda at=at: [k.version for k in Home(at / "home").enterprise_keys(firm.CORP)])  # type: ignore[misc]
        assert keys == [1]


def test_a_disk_that_takes_less_than_it_was_given_gets_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at, write = firm.home(tmp_path), os.write
    monkeypatch.setattr(os, "write", lambda handle, data: write(handle, data[:100]))
    at.custody.append(command="a", phase="start", params={"x": "y" * 500})
    at.custody.append(command="a", phase="end", params={})
    monkeypatch.undo()
    assert [(e.command, e.phase) for e in at.custody.entries()] == [("a", "start"), ("a", "end")]


# A limit on the size of a file stands in for a disk that is full: the kernel refuses, in whatever library the write is made.
LIMITED = """
import resource, sys
limit = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
sys.argv = ["liuhen", *sys.argv[2:]]
from pipeline.cli import main
main()
"""


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("kib", [0, 5, 8, 12])
def test_a_full_disk_is_told_in_one_sentence_with_exit_code_9(tmp_path: Path, kib: int, workers: str) -> None:
    at = firm.home(tmp_path)
    saved = firm.page(tmp_path, "a.json", {n: firm.message(n, f"第{n}句 保本") for n in range(1, 11)})
    words = ["--home", str(at.path), "--lang", "en", "ingest", "--from", str(saved), "--workers", workers]
    size = kib * 1024
    # Python itself writes half a .pyc under such a limit and takes it for a whole one ever after.
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", LIMITED, str(size), *words]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=environ)
    assert ended.returncode == 9, ended.stderr
    told = ended.stderr.strip().splitlines()
    assert told[-1].startswith("error S") and "larger than the limit" in told[-1], ended.stderr
    # A worker process that is stopped may abort, and Beam's own thread in this process says so.
    assert len(told) == 1 or workers != "1", ended.stderr
    again = liuhen(at.path, "ingest", "--from", str(saved))
    assert again.code == 0 and firm.values(at, "select count(*) from messages") == [10]
