"""pull, media, run and ack from outside: results on stdout, one sentence on stderr, the exit code."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.source import doorbell, gaps
from tests import firm
from tests.cli.liuhen import ROOT, liuhen
from tests.simulate.doubles import double, served
from tests.simulate.homes import home_of
from tests.source.fake import DAY, Fake, bare, pull


@pytest.fixture(scope="module")
def bare_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home without any source."""
    return firm.home(tmp_path_factory.mktemp("bare")).path


def test_without_a_library_pull_says_what_to_configure(bare_home: Path) -> None:
    ended = liuhen(bare_home, "pull")
    assert (ended.code, ended.out) == (2, "")
    assert "source.library" in ended.err and len(ended.err.strip().splitlines()) == 1


def test_once_and_follow_exclude_each_other(bare_home: Path) -> None:
    assert liuhen(bare_home, "pull", "--once", "--follow").code == 2


@pytest.mark.parametrize("words", [["media", "fetch"], pytest.param(["pull"], marks=pytest.mark.slow), pytest.param(["run"], marks=pytest.mark.slow)], ids=" ".join)
def test_a_library_that_nobody_has_tried_is_told_by_every_command_that_uses_it(tmp_path: Path, words: list[str]) -> None:
    home = firm.home(tmp_path, keys=(), settings={"source.library": "lib.so", "wecom.base_url": "http://127.0.0.1:1", "corp.ww1.archive_secret": "env:SECRET_OF_TESTS"}).path
    (home / "lib.so").write_bytes(b"abc")
    ended = liuhen(home, *words, SECRET_OF_TESTS="of nothing")
    assert "was never tried with this product (sha256 ba7816bf8f01cfea…)" in ended.err
    assert ended.err.count("was never tried") == 1
    assert ended.code == {"media": 0, "pull": 2, "run": 3}[words[0]]


@pytest.mark.slow
def test_a_cycle_without_a_source_does_the_rest_and_says_what_it_left_out(bare_home: Path) -> None:
    ended = liuhen(bare_home, "run")
    assert (ended.code, ended.summary["landed"]) == (0, 0)
    assert "pull" in ended.summary["skipped"] and "step pull" in ended.err
    assert "source.library" in ended.err and "corp.ww1.archive_secret" in ended.err


@pytest.mark.slow
def test_a_source_that_is_gone_is_told_within_two_seconds_and_ends_with_a_sentence(tmp_path: Path) -> None:
    home = firm.home(tmp_path, keys=(), settings={"wecom.base_url": "http://127.0.0.1:1", "corp.ww1.archive_secret": "env:SECRET_OF_TESTS"}).path
    words = [sys.executable, "-m", "pipeline.cli", "--home", str(home), "--lang", "en", "pull"]
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "SECRET_OF_TESTS": "of nothing"}
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ) as process:
        assert process.stderr is not None and process.stdout is not None
        first = process.stderr.readline()  # the first pause is a second long, so what is read first was said before it
        process.send_signal(signal.SIGTERM)
        rest, out = process.stderr.read(), process.stdout.read()
    assert first.strip() == "the source cannot be reached, or gives no token (try 1 of 6); once more in 1 s"
    assert "check network, proxy" in rest and "Traceback" not in rest
    assert (json.loads(out.splitlines()[-1])["code"], process.returncode) == ("SOURCE_UNREACHABLE", 3)


@pytest.mark.slow
def test_gaps_are_acknowledged_by_name_and_the_row_stays(tmp_path: Path) -> None:
    at = firm.home(tmp_path, keys=())
    for seq, day in ((1, 0), (5, 8), (9, 16)):
        pull(at, Fake(bare(seq)), now_ms=firm.T0 + day * DAY)
    assert liuhen(at.path, "ack", "gap:7", "--reason", "no such").code == 2
    assert liuhen(at.path, "ack", "gap:1", "--reason", "known").code == 0
    assert [g["acknowledged"] for g in gaps.known(at, firm.CORP)] == [True, False]
    assert liuhen(at.path, "ack", "gaps", "--reason", "all known").code == 0
    status = json.loads(liuhen(at.path, "status", "--format", "json").out)
    assert (status["gaps"], status["unacknowledged_gaps"], status["pull_cursor"]) == (2, 0, 9)
    assert 0 <= status["window_hours_left"] <= 120


@pytest.mark.slow
def test_a_whole_cycle_against_the_double_and_a_second_one_that_finds_nothing(tmp_path: Path) -> None:
    with served(double(tmp_path / "sim", messages=500)) as asker:
        home = home_of(asker, tmp_path).path
        ended = liuhen(home, "run")
        assert ended.code in (0, 3), ended.err
        summary = ended.summary
        assert summary["landed"] == sum(summary[f] for f in ("archived", "pending", "withheld", "failed", "control", "duplicate")) >= 500
        assert summary["steps"]["pull"]["complete"] and summary["steps"]["media"]["left"] == 0
        again = liuhen(home, "run")
        assert again.summary["landed"] == 0 and again.summary["steps"]["pull"]["pages"] == 0
        states = {r["status"] for r in liuhen(home, "media", "list").rows}
        assert "verified" in states and "pending" not in states
        asker.admin("faults", {"call": "getchatdata", "kind": "errcode", "errcode": 301042})
        refused = liuhen(home, "pull")
        assert (refused.code, refused.summary["code"]) == (4, "SOURCE_ADDRESS")
        assert "trusted addresses" in refused.err


@pytest.mark.slow
def test_a_follower_pulls_when_the_doorbell_rings_and_ends_when_told(tmp_path: Path) -> None:
    with served(double(tmp_path / "sim", messages=500)) as asker:
        home = home_of(asker, tmp_path, settings={"source.poll_minutes": "60.0"})
        command = [sys.executable, "-m", "pipeline.cli", "--home", str(home.path), "pull", "--follow"]
        corp = asker.server.double.corp.corp_id
        with subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT), "LIUHEN_LANG": "en"}, cwd=ROOT) as follower:
            assert follower.stdout is not None
            first = json.loads(follower.stdout.readline())
            asker.admin("grow", {"messages": 5})
            doorbell.ring(home.path, corp)
            rung = time.monotonic()
            second = json.loads(follower.stdout.readline())
            assert time.monotonic() - rung < 300  # else it came with the next poll, an hour later
            follower.send_signal(signal.SIGTERM)
            assert follower.wait(60) == 0
        assert first["complete"] and second["records"] == 5
