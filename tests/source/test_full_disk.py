"""A disk that fills up in the middle of a page, a slice of a file, or what is told of it: exit 9, and the same again makes it good.

The call is made to fail in the process under test; everything else is real. Points are the calls of an undisturbed run that can fail.
"""

from __future__ import annotations

import errno
import os
import random
import shutil
from pathlib import Path
from typing import Any

import apache_beam  # noqa: F401  # the parent is warm: children do not import it each
import pytest

from tests import firm
from tests.crash import harness
from tests.crash.harness import Fault
from tests.firm import CORP, T0
from tests.source.fake import Fake, pull, sealed
from tests.source.test_media import Files, fetch, image

pytestmark = pytest.mark.crash
SAMPLE = int(os.environ.get("LIUHEN_FAULT_SAMPLE", "6"))
CONTENT = {"f1": b"hello, files", "f2": b"a second one"}


def messages() -> dict[int, bytes]:
    """Two files, three slices each, and words."""
    return {**{n: firm.item(n, image(n, f"f{n}")) for n in (1, 2)}, **sealed(3)}


def pages(at: Path) -> None:
    """Three pages of one record."""
    from pipeline.home import Home

    pull(Home(at / "home"), Fake(SEALED, page=1), now_ms=T0)


def files(at: Path) -> None:
    """Both files."""
    from pipeline.home import Home

    fetch(Home(at / "home"), Files(CONTENT))


def found(at: Path) -> dict[str, Any]:
    """Cursor, what landed, files and what they hold, and what is left behind."""
    from pipeline import landing
    from pipeline.home import Home
    from pipeline.source import media_store, state

    home = Home(at / "home")
    rows = firm.rows(home, "SELECT seq, status, sha256, size FROM media ORDER BY seq")
    return {
        "cursor": state.current(home, CORP).cursor, "landed": sorted(i.seq for r in landing.waiting(home, CORP) for i in landing.read(home, r)[0].items), "media": rows,
        "content": sorted(b"".join(media_store.read(home, CORP, "2026-11", r["sha256"])).decode() for r in rows if r["sha256"]),
        "left": [p.name for p in (home.path / "media").rglob("*.partial")],
    }  # fmt: skip


SEALED: dict[int, bytes] = {}


@pytest.fixture(scope="module", autouse=True)
def _sealed_once() -> None:
    SEALED.update(messages())


@pytest.mark.parametrize("work", [pages, files], ids=["pages", "files"])
def test_a_disk_that_fills_up_anywhere_loses_nothing_and_is_told(tmp_path: Path, work: Any, capfd: pytest.CaptureFixture[str]) -> None:
    template = tmp_path / "template"
    template.mkdir()

    def prepare() -> None:
        at = firm.home(template)
        if work is files:
            pages(template)
            firm.run(at)

    harness.child(prepare)
    done = Path(shutil.copytree(template, tmp_path / "undisturbed"))
    calls, ended = harness.failing(lambda: work(done), below=done / "home")
    _, expected = harness.child(lambda: found(done))
    assert ended == "done"
    assert (expected["cursor"], expected["content"]) == (3, ["a second one", "hello, files"] if work is files else [])
    chance = random.Random(5)
    kinds = sorted(set(calls))
    chosen = {chance.choice([n for n, c in enumerate(calls) if c == kind]) for kind in kinds} | set(chance.sample(range(len(calls)), min(SAMPLE, len(calls))))
    with capfd.disabled():
        print(f"\n{len(calls)} calls that can fail, {len(chosen)} taken: {', '.join(kinds)}")
    for number in sorted(chosen):
        at = Path(shutil.copytree(template, tmp_path / f"{number}"))
        _, ended = harness.failing(lambda at=at: work(at), below=at / "home", fault=Fault(number, errno.ENOSPC, True, calls[number]))  # type: ignore[misc]  # bound now
        assert ended[:2] == [9, "STORAGE_FULL"], f"{calls[number]} ({number}): {ended}"
        harness.child(lambda at=at: work(at))  # type: ignore[misc]  # bound now
        _, after = harness.child(lambda at=at: found(at))  # type: ignore[misc]  # bound now
        assert after == expected, f"{calls[number]} ({number})"
        shutil.rmtree(at)
