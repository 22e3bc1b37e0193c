"""Killed at any durable call of a pull or of the media queue and run again: nothing lost, nothing twice, one gap, the cursor where it was.

The source is in this process and always has the same: eight days later a window has passed, one record cannot be handed out, files are
fetched in slices, one with a wrong MD5 the first time in every run.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import apache_beam  # noqa: F401  # the parent is warm: children do not import it each
import pytest

from tests import firm
from tests.crash import harness
from tests.firm import CORP, T0
from tests.source.fake import DAY, Fake, pull, sealed
from tests.source.test_media import MD5, Files, fetch, image

pytestmark = pytest.mark.crash
LATE = T0 + 8 * DAY


@cache
def late() -> dict[int, bytes]:
    """What the source holds behind the gap. Sealed once, before any child: every run gets the same bytes."""
    return sealed(40, 41, 43, 44)


def messages() -> dict[int, bytes]:
    """What the source held at first: words and four files, two of the same content."""
    files = {
        3: image(3, "f3", md5=MD5[b"hello, files"]), 4: image(4, "f4", size=8), 5: image(5, "f5", size=8),
        6: image(6, "f6", md5="900150983cd24fb0d6963f7d28e17f72"),
    }  # fmt: skip
    return {**sealed(1, 2), **{seq: firm.item(seq, m) for seq, m in files.items()}}


def prepare(folder: Path) -> None:
    """A first pull, ingested."""
    at = firm.home(folder)
    pull(at, Fake(messages()), now_ms=T0)
    firm.run(at)


def work(folder: Path) -> None:
    """The pull behind the gap, then the files."""
    from pipeline.home import Home
    from pipeline.source import media_fetch

    media_fetch.BATCH_S = float("inf")  # states are committed by number alone: the clock of a busy machine would add calls
    at = Home(folder / "home")
    pull(at, Fake(late(), poison=[42], page=2), now_ms=LATE)
    contents = {"f3": b"hello, files", "f4": b"the same", "f5": b"the same", "f6": b"never it"}
    fetch(at, Files(contents, wrong={"f3": [b"hollo, files"]}, failing={"f5": [10002]}))


def state(folder: Path) -> dict[str, Any]:
    """Pages, cursor, gaps, files and their content; what is left on disk that should not be."""
    from pipeline import landing
    from pipeline.home import Home
    from pipeline.source import media_store
    from pipeline.source import state as kept

    at = Home(folder / "home")
    rows = firm.rows(at, "SELECT seq, sdkfileid, status, sha256, size FROM media ORDER BY seq")
    stored = {r["sha256"] for r in rows if r["sha256"]}
    return {
        # Where pages end depends on what was halved before; what is in them does not.
        "seqs": sorted(i.seq for r in landing.waiting(at, CORP) if r.source == "pull" for i in landing.read(at, r)[0].items),
        "cursor": kept.current(at, CORP).cursor,
        "complete": kept.current(at, CORP).caught_up_at_ms,
        "gaps": sorted(str(r) for r in firm.rows(at, "SELECT after_seq, before_seq, cause, epoch_ms(to_at) FROM gaps WHERE cause = 'window'")),
        "unreadable": sorted(str(r) for r in firm.rows(at, "SELECT after_seq, before_seq, cause FROM gaps WHERE cause <> 'window'")),
        "media": rows,
        "content": sorted(b"".join(media_store.read(at, CORP, "2026-11", sha)).decode() for sha in stored),
        "files": len(list((at.path / "media").rglob("*.lhm"))),
        "left": [p.name for f in ("landing", "media") for p in (at.path / f).rglob("*") if p.suffix in (".partial", ".part")],
    }


def ingested(folder: Path) -> Any:
    """What readers see once all is settled."""
    from pipeline.home import Home

    at = Home(folder / "home")
    firm.run(at)
    return firm.values(at, "SELECT seq, msgid FROM messages ORDER BY seq")


def test_killed_at_any_durable_call_of_pull_and_media_and_run_again_nothing_is_lost_or_twice(tmp_path: Path, say: Callable[[str], None]) -> None:
    late()
    run = harness.undisturbed(tmp_path, prepare, work, state)
    expected = run.found
    assert expected["cursor"] == 44 and expected["seqs"] == [40, 41, 43, 44] and expected["left"] == [] and len(expected["gaps"]) == 1 and len(expected["unreadable"]) == 1
    assert expected["content"] == ["hello, files", "never it", "the same"]
    assert [r["status"] for r in expected["media"]] == ["verified", "unverifiable", "unverifiable", "mismatch"]
    for where, after in harness.each_killed(run, harness.sampled(run.points, 3, share=4), work, work, state, say=say):
        assert after == expected, where
    _, settled = harness.child(lambda: ingested(run.done))
    assert [seq for seq, _ in settled] == [1, 2, 3, 4, 5, 6, 40, 41, 43, 44]
