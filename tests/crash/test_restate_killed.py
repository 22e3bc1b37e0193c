"""Killed at any durable call of working the archive out anew by a later directory, and run again: it ends as if undisturbed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apache_beam  # noqa: F401  # the parent is warm: children do not import it each
import pytest

from tests.crash import harness
from tests.firm import T0, message, refusal
from tests.restating.test_restate import BAN, BOTH, TALKS, again, made, people, seen, sound
from tests.source.fake import DAY

pytestmark = pytest.mark.crash
# wangwu was thought a colleague and is none: refused by him, his words are to be hidden. Of lisi nobody knew: what waited for her is archived.
WANGWU = {"userid": "wangwu", "kind": "employee"}
MORE = {11: refusal(11, "wangwu", "zhangsan", at_ms=T0 - DAY), 12: message(12, BAN, sender="wangwu", to=["zhangsan"]), 13: message(13, BAN, to=["lisi"], at_ms=T0 - 40 * DAY)}


def prepare(folder: Path) -> None:
    """An archive that is older than the better half of its directory."""
    at = made(folder, "at", before=(BOTH[0], WANGWU), talks={**TALKS, **MORE}, settings={"consent.default": "pending"})
    people(at, BOTH[1], {**WANGWU, "valid_to": T0 - 10 * DAY}, recorded_ms=T0 + 1)


def work(folder: Path) -> None:
    """What is killed, and run again."""
    from pipeline.home import Home

    again(Home(folder / "at" / "home"))


def found(folder: Path) -> Any:
    """What readers see, and whether the archive verifies."""
    from pipeline.home import Home

    at = Home(folder / "at" / "home")
    sound(at)
    return json.loads(json.dumps(seen(at), default=str))


def test_killed_at_any_durable_call_and_run_again_the_archive_is_worked_out(tmp_path: Path, say: Callable[[str], None]) -> None:
    run = harness.undisturbed(tmp_path, prepare, work, found)
    assert run.found["restricted"] == [12]
    for where, after in harness.each_killed(run, harness.sampled(run.points, 3, share=4), work, work, found, say=say):
        assert after == run.found, where
