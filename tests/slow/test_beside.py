"""Somebody else acts at the very moment at which it hurts most: the real other action, at a moment that a test chooses."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipeline import (
    commit,
    compact,
    deltalog,
    generations,
    keyring_file,
    landing,
    layout,
    purges,
    room,
    schema,
    stores,
    verify,
    verify_strays,
)
from pipeline import lake as lake_module
from pipeline import reader as reader_module
from pipeline.commitrows import table
from pipeline.consenting import change, hidden
from pipeline.errors import VerifyFailed
from pipeline.home import Home
from pipeline.lake import HOT, Lake
from pipeline.layout import hot_unit
from pipeline.reader import Reader
from pipeline.search import candidates, datafile
from pipeline.source.media_fetch import append_states
from pipeline.verify import verify_archive
from pipeline.wecom import callback_store
from pipeline.wecom.callback_events import Event
from tests import firm
from tests.firm import CORP, T0, item, message, values
from tests.slow.test_two_committers import stage

pytestmark = pytest.mark.slow
MONTH = "2026-11"


@pytest.mark.parametrize("turn", [pytest.param(0, id="before the second key is made"), pytest.param(1, id="before the first key is made")])
def test_two_who_give_a_month_its_next_key_leave_no_file_under_an_older_second_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, turn: int) -> None:
    at = firm.home(tmp_path)
    lake, unit = at.lake(CORP), hot_unit(CORP, MONTH)
    for name in (unit, f"{unit}!2"):
        lake.keyring.current(name)
    real, turns = keyring_file.locked, [0]

    @contextmanager
    def locked(path: Path) -> Iterator[None]:
        turns[0] += 1
        if turns[0] == turn + 1:
            generations._next(Home(at.path).keyring, unit, 1)
        with real(path):
            yield

    monkeypatch.setattr(keyring_file, "locked", locked)
    generations._next(lake.keyring, unit, 1)
    assert turns[0] > turn
    assert lake.keyring.names(f"{unit}#") == [f"{unit}#0", f"{unit}#1"]
    assert lake.keyring.names(f"{unit}!2#") == [f"{unit}!2#0", f"{unit}!2#1"]


def ack() -> pa.Table:
    return schema.table("acks", {"what": ["nothing"], "until_leaf": [-1], "reason": ["r"], "actor": ["a"], "at": [T0]})


def filled(folder: Path, rounds: int = 2) -> Home:
    """An archive of some hot files."""
    at = firm.home(folder)
    for n in range(rounds):
        firm.run(at, firm.page(folder, f"{n}.json", {n * 10 + k: message(n * 10 + k, at_ms=T0) for k in (1, 2, 3)}))
    return at


def whole(at: Home) -> None:
    """Nothing is on the disk but what the newest version names, and all of it can be read."""
    lake = at.lake(CORP)
    snapshot = lake.snapshot()
    for kind in schema.KINDS:
        lake.read(kind, snapshot.of(kind))
    assert not [p for p in lake.root.rglob("*.part") if "_delta_log" not in p.parts]
    assert {str(p.relative_to(lake.root)) for p in lake.root.rglob("*.parquet") if "_delta_log" not in p.parts} == {f.path for f in snapshot.files}


def once(monkeypatch: pytest.MonkeyPatch, where: Any, name: str, act: Callable[[], object], *, after: bool = False, times: int = 1) -> list[int]:
    """Do `act` before (after) the first calls of a function; return the list that holds a number for each time it was done."""
    real, done = getattr(where, name), list[int]()

    def instead(*args: Any, **more: Any) -> Any:
        def now() -> None:
            if len(done) < times:
                done.append(len(done))
                act()

        if not after:
            now()
        found = real(*args, **more)
        if after:
            now()
        return found

    monkeypatch.setattr(where, name, instead)
    return done


def erased_just_before(at: Home) -> Callable[[], object]:
    """The last step of an erasure whose commit came before: it takes the lists of all commits, and what was written for them, and makes no version."""
    return lambda: purges.run(Home(at.path), CORP, at_once=True)


# -- an erasure that has made its commit takes what others are writing --------------------------------------------------


@pytest.mark.parametrize(
    ("where", "name", "after"),
    [
        pytest.param(layout.FileWriter, "close", False, id="before a file gets its name"), pytest.param(layout.FileWriter, "close", True, id="when one has its name"),
        pytest.param(compact, "write", True, id="when all have theirs"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("times", [1, 10])
def test_a_compaction_goes_on_when_its_files_are_taken_and_no_version_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: Any, name: str, after: bool, times: int
) -> None:
    at = filled(tmp_path)
    done = once(monkeypatch, where, name, erased_just_before(at), after=after, times=times)
    compact.run(at, CORP)
    assert len(done) == times
    assert not [f for f in at.lake(CORP).snapshot().files if f.bucket == HOT]
    purges.run(at, CORP, at_once=True)
    whole(at)
    assert values(at, "select seq from messages order by seq") == [1, 2, 3, 11, 12, 13]


@pytest.mark.parametrize("times", [1, 10])
def test_an_erasure_goes_on_when_another_one_takes_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    at = filled(tmp_path)
    done = once(monkeypatch, room, "commit", erased_just_before(at), times=times)
    stores.purge(at, CORP, {("sealed", 2)})
    assert len(done) == times and values(at, "select seq from messages order by seq") == [1, 3, 11, 12, 13]
    whole(at)


@pytest.mark.parametrize("times", [1, 10])
def test_a_change_goes_on_when_an_erasure_takes_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    at = filled(tmp_path)
    done = once(monkeypatch, room, "commit", erased_just_before(at), times=times)

    def plan(_: Lake, __: object, made: change.Change) -> bool:
        made.write(ack(), "acks")
        return True

    change.commit(at, CORP, plan, what="test")
    assert len(done) == times and at.lake(CORP).snapshot().rows("acks") == 1
    whole(at)


def test_rows_that_go_straight_into_the_layout_are_written_again_when_an_erasure_takes_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at = filled(tmp_path)
    monkeypatch.setattr(compact, "HOT_FILES", 2)
    done = once(monkeypatch, compact, "write", erased_just_before(at), after=True)
    room.append(at, CORP, [("acks", ack())] * 5, what="test")
    snapshot = at.lake(CORP).snapshot()
    assert done and snapshot.rows("acks") == 5 and len(snapshot.of("acks")) == 1


def test_what_is_damaged_is_told_as_such_however_busy_others_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at = filled(tmp_path)
    lake = at.lake(CORP)
    damaged = lake.root / lake.snapshot().of("messages")[0].path
    damaged.write_bytes(damaged.read_bytes()[:100] + b"?" + damaged.read_bytes()[101:])
    done = once(monkeypatch, compact, "write", lambda: room.append(at, CORP, [("acks", ack())], what="test"), times=1_000)
    with pytest.raises(VerifyFailed) as refused:
        compact._take(at, lake, compact.Step("messages", MONTH, "-"), compact.Compacted())
    assert (refused.value.code, len(done)) == ("FILE_DAMAGED", 1)


# -- keys that end ------------------------------------------------------------------------------------------------------


def ended(at: Home, month: str) -> Callable[[], object]:
    """A month's hot key goes on, and the one of before ends: a compaction took the last file under it, and its list came due."""

    def act() -> None:
        there = Home(at.path)
        generations._next(there.keyring, hot_unit(CORP, month), max(generations._generations(there.keyring, hot_unit(CORP, month))) + 1)
        purges.run(there, CORP, at_once=True)

    return act


def a_state() -> list[dict[str, Any]]:
    """What became of one file, as the fetch of files tells it."""
    row = {c.name: None for c in schema.kind("media").columns}
    given = {
        "origin": "sealed", "seq": 1, "ref_no": 0, "kind": "file", "msgid": "m1", "sdkfileid": "s", "conversation_id": "e1|wm1", "path": "file",
        "dt": date(2026, 1, 2), "state_no": 1, "status": "ok", "recorded_at": T0, "month": MONTH,
    }  # fmt: skip
    return [{**row, **given}]


def empty(folder: Path) -> Home:
    """An archive in which a file waits to be fetched, and nothing lies under the month's hot key."""
    at = firm.home(folder)
    lake, row = at.lake(CORP), {**a_state()[0], "state_no": 0, "status": "pending"}
    first = schema.table("media", {c.name: [row[c.name]] for c in schema.kind("media").columns})
    room.commit(at, lake, lake.snapshot(), [lake.write(first, "media", month="2026-01", bucket=HOT)], (), what="test")
    for name in (hot_unit(CORP, MONTH), f"{hot_unit(CORP, MONTH)}!2"):
        at.keyring.current(name)
    return at


@pytest.mark.parametrize("times", [1, 10])
def test_a_state_of_a_file_whose_key_ended_is_written_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    at = empty(tmp_path)
    done = once(monkeypatch, room, "commit", ended(at, MONTH), times=times)
    append_states(at, CORP, a_state())
    assert len(done) == times and at.lake(CORP).snapshot().rows("media") == 2
    whole(at)


def test_no_key_ends_between_the_look_at_it_and_the_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at = empty(tmp_path)
    beside = threading.Thread(target=ended(at, MONTH))

    def begin() -> None:
        beside.start()
        beside.join(1)  # it is done by then, unless it waits

    done = once(monkeypatch, Lake, "check", begin, after=True)
    append_states(at, CORP, a_state())
    beside.join()
    assert done
    whole(at)


def test_a_committer_whose_staged_file_and_key_go_while_it_opens_it_settles_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another committer settles the batch, its files are compacted and unlinked, their key ends: between the opening of a file and the asking for its key."""
    at = firm.home(tmp_path)
    stage(at, [[item(n, message(n)) for n in (1, 2)], [item(n, message(n)) for n in (2, 3)]])

    def others() -> None:
        there = Home(at.path)
        commit.commit_all(there, CORP, commit.Run(run_id="first"))
        compact.run(there, CORP)
        purges.run(there, CORP, at_once=True)

    done = once(monkeypatch, lake_module._Kms, "unwrap_key", others)
    commit.commit_all(at, CORP, commit.Run(run_id="second"))
    assert done and values(at, "select seq from messages order by seq") == [1, 2, 3]
    whole(at)


# -- readers ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize(
    "ask",
    [
        pytest.param(lambda r: _in(r.about("wmA|zhangsan"), r), id="about a conversation"), pytest.param(lambda r: _in(r.of_person("wmA"), r), id="of a person"),
        pytest.param(lambda r: _in(r._only(holding=["你好"]), r), id="that hold a word"), pytest.param(lambda r: [r.connection, _seqs(r)][1], id="the connection itself"),
    ],
)  # fmt: skip
def test_erasures_while_a_reader_looks_what_may_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ask: Callable[[Reader], list[int]], times: int) -> None:
    at = filled(tmp_path)
    gone = [1, 11, 2][:times]
    left = list(gone)
    done = once(monkeypatch, datafile, "Opened", lambda: stores.purge(Home(at.path), CORP, {("sealed", left.pop())}), times=times)
    monkeypatch.setattr(candidates, "Opened", datafile.Opened)
    once_more = once(monkeypatch, reader_module, "_open_one", lambda: stores.purge(Home(at.path), CORP, {("sealed", left.pop())}) if left else None, times=times)
    with Reader(at, CORP) as reader:
        assert ask(reader) == [n for n in (1, 2, 3, 11, 12, 13) if n not in gone]
    assert len(done) + len(once_more) >= times and not left


def _seqs(reader: Reader) -> list[int]:
    return [r["seq"] for r in reader.rows("SELECT seq FROM messages ORDER BY seq")]


def _in(block: AbstractContextManager[None], reader: Reader) -> list[int]:
    with block:
        return _seqs(reader)


def test_a_reader_whose_key_ended_while_the_file_is_there_still_asks_the_newest_version(tmp_path: Path) -> None:
    """A file was taken out while an erasure ended the keys of its unit: the file waits its ten minutes, nothing opens it."""
    at = filled(tmp_path)
    lake = at.lake(CORP)
    with Reader(Home(at.path), CORP) as reader:
        old = [f for f in lake.snapshot().files if f.bucket == HOT]
        compact.run(at, CORP)
        for name in lake.keyring.names(f"{CORP}/m/"):
            if name.endswith(("hot#0", "hot!2#0")):
                lake.keyring.destroy(name)
        assert old and all((lake.root / f.path).exists() for f in old)
        assert _seqs(reader) == [1, 2, 3, 11, 12, 13]


def test_what_goes_out_of_view_within_one_tick_of_the_clock_is_not_shown_by_a_running_reader(tmp_path: Path) -> None:
    at = filled(tmp_path)

    def hide(seq: int) -> None:
        places = table("hidden", [{"origin": "sealed", "seq": seq, "row_month": MONTH, "row_bucket": HOT}])
        room.append(at, CORP, [("hidden", places)], what="test")
        hidden.ring(at, CORP)
        os.utime(at.path / "locks" / f"{CORP}.hidden", (1_700_000_000, 1_700_000_000))  # a file system that tells the time by the second

    hide(1)
    with Reader(Home(at.path), CORP) as reader:
        assert _seqs(reader) == [2, 3, 11, 12, 13]
        hide(2)
        assert _seqs(reader) == [3, 11, 12, 13]


def test_a_key_that_is_gone_in_the_newest_version_is_an_error(tmp_path: Path) -> None:
    at = filled(tmp_path)
    with Reader(Home(at.path), CORP) as reader:
        room.append(at, CORP, [("acks", ack())], what="test")
        for name in at.keyring.names(f"{CORP}/m/"):
            at.keyring.destroy(name)
        with pytest.raises(reader_module.FAILURES):
            _seqs(reader)


# -- verification -------------------------------------------------------------------------------------------------------


def test_files_that_are_tidied_up_while_the_archive_is_verified_are_no_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at = filled(tmp_path)
    stage(at, [[item(n, message(n)) for n in (101, 102)]])
    done = once(monkeypatch, verify_strays, "_files", lambda: commit.commit_all(Home(at.path), CORP, commit.Run(run_id="beside")), after=True)
    assert [f.code for f in verify_archive(at.path, CORP).findings] == [] and done
    assert not list(at.landing(CORP).iterdir()) and not list(at.staging(CORP).iterdir())


def test_compactions_that_follow_each_other_while_the_archive_is_verified_are_no_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at, numbers = filled(tmp_path), iter(range(200, 300))

    def act() -> None:
        n = next(numbers)
        firm.run(at, firm.page(tmp_path, f"{n}.json", {n: message(n)}))
        compact.run(at, CORP)
        purges.run(at, CORP, at_once=True)

    done = once(monkeypatch, verify, "_check_content", act, times=4)
    assert [f.code for f in verify_archive(at.path, CORP).findings] == [] and len(done) == 4


def test_what_is_missing_in_two_versions_is_found_though_commits_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at = filled(tmp_path)
    lake = at.lake(CORP)
    (lake.root / lake.snapshot().of("messages")[0].path).unlink()
    done = once(monkeypatch, verify, "_check_content", lambda: room.append(at, CORP, [("acks", ack())], what="test"), times=100)
    assert "FILE_MISSING" in [f.code for f in verify_archive(at.path, CORP).findings] and len(done) == 2


# -- what is listed, and then read --------------------------------------------------------------------------------------


def test_pages_that_are_settled_while_they_are_listed_are_passed_by(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at = firm.home(tmp_path)
    stage(at, [[item(n, message(n))] for n in (1, 2, 3)])
    listed = landing.waiting(at, CORP)
    assert next(listed).first_seq == 1
    done = once(monkeypatch, landing, "header_of", lambda: commit.commit_all(Home(at.path), CORP, commit.Run(run_id="beside")))
    assert list(listed) == [] and done
    assert list(landing.waiting(at, CORP)) == []


def test_events_that_are_taken_over_while_they_are_listed_are_passed_by(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at = firm.home(tmp_path)
    for n in range(3):
        event = Event(event_id=f"e{n}", meaning="agreed", change="", at_ms=T0, received_ms=T0, userid="zhangsan", external_userid=f"wm{n}")
        assert callback_store.accept(at, CORP, event)
    done = once(monkeypatch, callback_store, "_context", lambda: callback_store.drain(Home(at.path), CORP))
    assert len(callback_store.waiting(at, CORP)) == 1 and done  # it was read before it was taken over
    assert callback_store.waiting(at, CORP) == []


def test_a_log_that_somebody_else_mends_at_the_same_time_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at = filled(tmp_path)
    version = at.lake(CORP).snapshot().version
    (at.lake(CORP).root / "_delta_log" / f"{version + 1:020d}.json").write_bytes(b"")
    done = once(monkeypatch, deltalog, "_whole_entry", lambda: Home(at.path).lake(CORP).mend_log())
    assert at.lake(CORP).snapshot().version == version and done
