"""A file of 40,000 wrong refusals: its reach is told before anything is written, and undoing it restores every row."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from pipeline.home import Home
from tests import firm
from tests.cli.liuhen import liuhen
from tests.firm import T0, home, message, page, run, values

pytestmark = pytest.mark.slow
LINES = 40_000
ASKED = ("messages", "matches", "matches_all", "media")


def chats(at: Home, folder: Path) -> None:
    """Sixty messages with twenty customers, every fifth with a finding; ten customers are in the file of refusals, ten are not."""
    told = {n: message(n, "保本保息" if n % 5 == 0 else f"第{n}句", to=[f"wm{n % 20:05d}"], at_ms=T0 + n) for n in range(1, 61)}
    run(at, page(folder, "a.json", told))


def wrong(folder: Path) -> Path:
    """Refusals of wm00000 to wm00009 and of 39,990 others whom nobody knows."""
    path = folder / "refusals.jsonl"
    people = [f"wm{n:05d}" if n < 10 else f"wmNOBODY{n:06d}" for n in range(LINES)]
    path.write_text("".join(json.dumps({"userid": "zhangsan", "external_userid": who, "status": "Disagree", "changed_at": T0 // 1000 - 60}) + "\n" for who in people))
    return path


def shown(at: Home) -> dict[str, list[tuple[object, ...]]]:
    return {view: values(at, f"select * from {view} order by all") for view in ASKED}


def test_a_preview_tells_the_reach_and_undoing_restores_every_row(tmp_path: Path) -> None:
    at = home(tmp_path)
    chats(at, tmp_path)
    before, file = shown(at), wrong(tmp_path)
    version = at.lake(firm.CORP).snapshot().version
    preview = liuhen(at.path, "consent", "import", str(file), "--preview")
    assert preview.code == 0 and "40000 of them new" in preview.err and "30 archived" in preview.err, preview.err
    assert at.lake(firm.CORP).snapshot().version == version and shown(at) == before
    done = liuhen(at.path, "consent", "import", str(file))
    assert done.code == 0, done.err
    assert values(at, "select count(*), count(*) filter (recipient_ids[1] < 'wm00010') from messages") == [(30, 0)]
    (batch,) = re.findall(r"--undo (\S+?)[`)]", done.err)
    undone = liuhen(at.path, "consent", "import", "--undo", batch)
    assert undone.code == 0, undone.err
    assert shown(at) == before and values(at, "select * from restricted") == []
