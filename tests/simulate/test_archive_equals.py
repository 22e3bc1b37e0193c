"""Through faults and restarts the archive ends up as the double told before it sealed anything: message by message, file by file.

Once through the plain client, once through the real vendor library behind the CONNECT proxy (marker `vendor`).
"""

from __future__ import annotations

import hashlib
import os
import signal
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from pipeline import ingest
from pipeline.home import Home
from pipeline.source import media_store
from pipeline.source.interface import Source
from pipeline.source.opening import open_source
from pipeline.source.vendor import Native
from tests import firm
from tests.simulate.doubles import Asker, double, served
from tests.simulate.homes import archived, fetch, home_of, library, one_seq, pull, told_archived, told_fates

# What goes wrong while chat is pulled: each fault lets one more page through before it comes.
CHAT_FAULTS: list[dict[str, Any]] = [
    {"call": "gettoken", "kind": "status", "status": 502},
    {"call": "getchatdata", "kind": "unanswered"},
    {"call": "getchatdata", "kind": "errcode", "errcode": -1, "after": 1},
    {"call": "getchatdata", "kind": "errcode", "errcode": 42001, "after": 1},
    {"call": "getchatdata", "kind": "repeat", "after": 1},
    {"call": "getchatdata", "kind": "disorder"},
    {"call": "getchatdata", "kind": "cut", "after": 1},
    {"call": "getchatdata", "kind": "silent"},
]
MEDIA_FAULTS: list[dict[str, Any]] = [
    {"call": "getchatmediadata", "kind": kind, "after": 3 + number}
    for number, kind in enumerate(("wrong_md5", "unanswered", "unopenable", "garbage", "cut", "wrong_md5", "empty"))
] + [{"call": "getchatmediadata", "kind": "errcode", "errcode": -1, "after": 5}]


def walk(asker: Asker, home: Home, reopened: Callable[[], Source], *, live: int, files: int) -> None:
    """Pull in two runs with faults and a restart between them while people go on talking under a new key; ingest; fetch files."""
    corp = asker.server.double.corp.corp_id
    for fault in CHAT_FAULTS:
        asker.admin("faults", fault)
    with closing(reopened()) as source:
        pull(home, asker, source)
    asker.admin("grow", {"messages": live // 2})
    rotated = asker.admin("keys", {})
    asker.admin("grow", {"messages": live - live // 2})
    asker.admin("faults", {"call": "getchatdata", "kind": "status", "status": 500})
    with closing(reopened()) as source:
        ended = pull(home, asker, source)
    assert (ended.complete, ended.exit_code, ended.gaps) == (True, 0, 0)
    assert asker.admin("state", method="GET")["faults_waiting"] == 0, "every fault has come"
    home.add_key(corp, rotated["key_version"], Path(rotated["private_key"]).read_bytes(), None)
    done = ingest.run(home, corp, sources=(), plain=[], workers=1)
    assert done.summary.landed >= len(asker.truth())
    for fault in MEDIA_FAULTS:
        asker.admin("faults", fault)
    for half in (files // 2, files - files // 2):
        with closing(reopened()) as source:
            fetch(home, asker, source, half)
    assert asker.admin("state", method="GET")["faults_waiting"] == 0, "every fault of the files has come"


def assert_equal(asker: Asker, home: Home, *, files: int) -> None:
    corp, lines = asker.server.double.corp.corp_id, asker.truth()
    found, twice = archived(home, corp), one_seq(lines)
    assert {place: sha256 for place, sha256 in found.items() if place[0] not in twice} == told_archived(lines)
    for seq, msgids in twice.items():
        assert len([m for s, m in found if s == seq and m in msgids]) == 1, "the one that was settled first"
    fates = firm.rows(home, "SELECT archived, withheld, failed, control, duplicate FROM counts", corp)[0]
    # A page that came twice is settled once; only what the double itself repeats is a duplicate.
    assert {fate: n for fate, n in fates.items() if n} == dict(told_fates(lines))
    told = {(line.seq, f.sdkfileid): (f.sha256, f.size) for line in lines for f in line.files}
    rows = firm.rows(home, "SELECT seq, sdkfileid, status, sha256, size, dt FROM lake_media WHERE status <> 'pending'", corp)
    assert len(rows) == files and {r["status"] for r in rows} <= {"verified", "unverifiable"}
    for row in rows:
        content = b"".join(media_store.read(home, corp, f"{row['dt']:%Y-%m}", row["sha256"]))
        assert (hashlib.sha256(content).hexdigest(), len(content)) == told[row["seq"], row["sdkfileid"]]


def killed(source: Native) -> None:
    """The library's process dies right after it was started: the next call finds it dead."""
    running = source._running._running()
    os.kill(running._process.pid, signal.SIGKILL)
    running._process.wait()


@pytest.mark.slow
def test_what_was_pulled_through_faults_equals_the_truth(tmp_path: Path) -> None:
    with served(double(tmp_path / "sim", messages=900)) as asker:
        home = home_of(asker, tmp_path)
        walk(asker, home, lambda: open_source(home, asker.server.double.corp.corp_id), live=300, files=20)
        assert_equal(asker, home, files=20)


@pytest.mark.vendor
def test_the_real_library_pulls_5000_messages_and_50_files_through_faults_and_restarts(tmp_path: Path) -> None:
    with served(double(tmp_path / "sim", messages=4_000)) as asker:
        home = home_of(asker, tmp_path, library=library())
        opened: list[Native] = []

        def reopened() -> Source:
            source = open_source(home, asker.server.double.corp.corp_id)
            assert isinstance(source, Native)
            opened.append(source)
            if len(opened) % 2 == 0:
                killed(source)
            return source

        walk(asker, home, reopened, live=1_000, files=50)
        assert len(asker.truth()) == 5_000 and len(opened) == 4
        assert_equal(asker, home, files=50)
