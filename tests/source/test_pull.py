"""Pulling: pages durable before the next call, a cursor nothing poisons, every code in its stated action, gaps told."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import stat
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pipeline import landing
from pipeline.errors import ArchiveError, Locked
from pipeline.home import Home
from pipeline.source import asking, gaps, state
from pipeline.source.interface import VendorError
from pipeline.source.pace import Pace
from pipeline.source.pull import Pull
from tests import firm
from tests.crash.harness import CALLS
from tests.firm import T0, values
from tests.source.fake import DAY, Fake, bare, landed, pull, refusal, resident, sealed, setting


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty home, made once."""
    return firm.home(tmp_path_factory.mktemp("template"), keys=()).path


@pytest.fixture
def home(tmp_path: Path, template: Path) -> Home:
    """A copy of the empty home."""
    return Home(Path(shutil.copytree(template, tmp_path / "home")))


def test_pages_are_asked_for_until_an_empty_one_and_a_short_one_is_no_end(home: Home) -> None:
    source = Fake(bare(*range(1, 8)), page=3)
    told = pull(home, source)
    assert [seq for seq, _ in source.asked] == [0, 3, 6, 7]
    assert (told.pages, told.records, told.cursor, told.complete, told.exit_code) == (3, 7, 7, True, 0)
    assert landed(home) == [(1, 3), (4, 6), (7, 7)]
    assert {limit for _, limit in source.asked} == {1000}


def test_each_page_is_landed_before_the_next_call(home: Home) -> None:
    seen: list[int] = []

    class Watching(Fake):
        def chat_data(self, seq: int, limit: int) -> bytes:
            seen.append(len(landed(home)))
            return super().chat_data(seq, limit)

    pull(home, Watching(bare(1, 2, 3), page=1))
    assert seen == [0, 1, 2, 3]


def test_a_page_costs_one_durable_write_and_one_call(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def written(pages: int) -> Counter[str]:
        at = Home(Path(shutil.copytree(home.path, home.path.with_name(f"{pages}"))))
        calls: Counter[str] = Counter()
        with monkeypatch.context() as patch:
            for name in CALLS:
                patch.setattr(os, name, _counted(getattr(os, name), name, calls))
            assert pull(at, Fake(bare(*range(1, pages + 1)), page=1)).calls == pages + 1
        return calls

    # What one page costs is what ten pages cost more than five, by five: its file and its name are made durable, and nothing else is written.
    five, ten = written(5), written(10)
    assert {name: (n - five[name]) / 5 for name, n in ten.items() if n != five[name]} == {"fsync file": 1, "fsync folder": 1, "link": 1, "unlink": 1}


def _counted(function: Callable[..., Any], name: str, calls: Counter[str]) -> Callable[..., Any]:
    def counted(*args: Any, **kwargs: Any) -> Any:
        kind = (" folder" if stat.S_ISDIR(os.fstat(args[0]).st_mode) else " file") if name == "fsync" else ""
        calls[f"{name}{kind}"] += 1
        return function(*args, **kwargs)

    return counted


def test_entries_without_a_sequence_number_are_told_beside_the_records_so_that_the_counts_of_pull_and_ingest_add_up() -> None:
    """Written by hand: two whole records, one whose seq is a word, one without any."""
    rest = {"publickey_ver": 1, "encrypt_random_key": "x", "encrypt_chat_msg": "y"}
    whole = [{"seq": seq, "msgid": f"m{seq}", **rest} for seq in (1, 2)]
    broken: list[dict[str, object]] = [{"seq": "four", "msgid": "m4", **rest}, {"msgid": "m5"}]
    found, plain = (asking.read(json.dumps({"errcode": 0, "errmsg": "ok", "chatdata": entries}).encode()) for entries in ([*whole, *broken], whole))
    assert (found.seqs, found.without_seq) == ((1, 2), 2)
    assert (plain.seqs, plain.without_seq) == ((1, 2), 0)


def test_the_next_pull_goes_on_from_what_landed_even_when_the_state_file_is_lost(home: Home) -> None:
    pull(home, Fake(bare(1, 2)))
    state.path(home, firm.CORP).unlink()
    source = Fake(bare(1, 2, 3))
    assert pull(home, source).records == 1
    assert source.asked[0][0] == 2


def test_the_cursor_is_that_of_settled_pages_when_nothing_waits(tmp_path: Path) -> None:
    at = firm.home(tmp_path)
    pull(at, Fake(sealed(1, 2)))
    firm.run(at)
    state.path(at, firm.CORP).unlink()
    assert (landed(at), state.current(at, firm.CORP).cursor) == ([], 2)
    assert values(at, "select requested_seq, records, answer_code from pulls") == [(0, 2, 0)]


def test_an_imported_seq_of_ten_to_the_fifteen_and_saved_answers_do_not_matter(tmp_path: Path) -> None:
    at = firm.home(tmp_path)
    plain = tmp_path / "old.jsonl"
    plain.write_text(json.dumps({"seq": 10**15, "message": firm.message(99)}) + "\n")
    firm.run(at, firm.page(tmp_path, "a.json", {500: firm.message(500)}), plain=[plain])
    source = Fake(sealed(1, 2))
    assert pull(at, source).cursor == 2
    assert source.asked[0][0] == 0


def test_a_saved_answer_with_the_same_bytes_does_not_hold_the_cursor_back(tmp_path: Path) -> None:
    at, records = firm.home(tmp_path), sealed(1, 2)
    (tmp_path / "same.json").write_bytes(firm.answer(records.values()))
    firm.run(at, tmp_path / "same.json")
    assert pull(at, Fake(records)).cursor == 2
    firm.run(at)
    again = Fake(records)
    pull(at, again)
    assert [seq for seq, _ in again.asked] == [2]


def test_how_a_page_was_pulled_that_was_there_already_stands_in_the_custody_log(tmp_path: Path) -> None:
    at, records = firm.home(tmp_path), sealed(1, 2)
    body = firm.answer(records.values())
    (tmp_path / "same.json").write_bytes(body)
    firm.run(at, tmp_path / "same.json")
    pull(at, Fake(records))
    (entry,) = [e for e in at.custody.entries() if (e.command, e.phase) == ("pull", "page")]
    told = at.custody.params(entry)
    assert {k: told[k] for k in ("page", "requested_seq", "answer_code", "library", "clock_offset_ms")} == {
        "page": hashlib.sha256(body).hexdigest(), "requested_seq": 0, "answer_code": 0, "library": Fake(records).library, "clock_offset_ms": None,
    }  # fmt: skip
    pull(at, Fake(sealed(1, 2, 3)))
    assert len([e for e in at.custody.entries() if e.phase == "page"]) == 1


def test_a_page_that_comes_again_is_kept_once_and_ends_the_pull(home: Home) -> None:
    page = firm.answer(bare(1, 2).values())
    source = Fake(script=[page] * 9)
    told = pull(home, source)
    assert (told.code, told.exit_code, told.cursor, len(source.asked)) == ("SOURCE_REPEATS", 4, 2, 4)
    assert landed(home) == [(1, 2)]


def test_a_repeated_page_once_is_passed_over(home: Home) -> None:
    records = bare(1, 2, 3)
    source = Fake(records, script=[firm.answer(bare(1, 2).values())] * 2)
    told = pull(home, source)
    assert (told.cursor, told.exit_code, landed(home)) == (3, 0, [(1, 2), (3, 3)])


def test_records_out_of_order_are_all_kept_and_the_largest_is_the_cursor(home: Home) -> None:
    found = bare(1, 2, 3, 4)
    told = pull(home, Fake(found, script=[firm.answer([found[3], found[1]]), firm.answer([found[2], found[4]])]))
    assert (told.cursor, told.records, landed(home)) == (4, 4, [(1, 3), (2, 4)])


def test_a_jump_that_the_source_takes_back_does_not_poison_the_cursor(home: Home) -> None:
    pull(home, Fake(bare(1)))
    source = Fake(bare(1, 2, 3), script=[firm.answer(bare(10**15).values())])
    told = pull(home, source)
    assert [seq for seq, _ in source.asked] == [1, 1, 3]
    assert (told.cursor, told.gaps) == (3, 0)
    assert landed(home) == [(1, 1), (2, 3), (10**15, 10**15)]
    state.path(home, firm.CORP).unlink()
    assert state.current(home, firm.CORP).cursor == 3


def test_a_jump_that_the_source_repeats_is_believed(home: Home) -> None:
    pull(home, Fake(bare(1)))
    source = Fake(bare(1, 10**15))
    assert pull(home, source).cursor == 10**15
    again = Fake(bare(1, 10**15, 10**15 + 1))
    assert (pull(home, again).records, again.asked[0][0]) == (1, 10**15)


def test_jumps_that_change_each_time_end_the_pull(home: Home) -> None:
    pull(home, Fake(bare(1)))
    told = pull(home, Fake(script=[firm.answer(bare(10**15 + n).values()) for n in range(9)]))
    assert (told.code, told.cursor, told.calls) == ("SOURCE_REPEATS", 1, 3)


# --- codes ---

REFUSED = [
    pytest.param(VendorError(10000, "chat_data"), "SOURCE_PARAMETERS", id="parameters"),
    pytest.param(VendorError(10009, "chat_data"), "SOURCE_ADDRESS", id="address by code"),
    pytest.param(VendorError(10011, "chat_data"), "SOURCE_CERTIFICATE", id="certificate"),
    pytest.param(VendorError(10001, "chat_data", told=40001), "SOURCE_SECRET", id="secret, as the library prints it"),
    pytest.param(refusal(301042), "SOURCE_ADDRESS", id="address inside the answer"),
    pytest.param(refusal(301052), "SOURCE_LICENCE", id="licence"),
    pytest.param(refusal(301053), "SOURCE_NOT_ENABLED", id="not enabled"),
    pytest.param(refusal(40013), "SOURCE_CORP_ID", id="corp id"),
]


@pytest.mark.parametrize(("reply", "code"), REFUSED)
def test_what_the_source_refuses_ends_at_once_with_its_word(home: Home, reply: bytes | VendorError, code: str) -> None:
    source = Fake(bare(1), script=[reply])
    told = pull(home, source)
    assert (told.code, told.exit_code, len(source.asked), landed(home)) == (code, 4, 1, [])


def test_the_address_that_the_source_saw_is_told_and_nothing_else_of_its_words(home: Home) -> None:
    told = pull(home, Fake(script=[refusal(301042, "secret-words from ip: 203.0.113.7, more")]))
    assert told.hint == "203.0.113.7"
    assert b"secret-words" not in msgspec.json.encode(told)


PASSING = [
    pytest.param([VendorError(10001, "chat_data")] * 5, 0, id="network, five times"),
    pytest.param([VendorError(10002, "chat_data")] * 3, 0, id="unreadable, three times"),
    pytest.param([VendorError(10003, "chat_data")] * 3, 3, id="system failure: a new handle each time"),
    pytest.param([refusal(42001)], 1, id="token: a new handle once"),
    pytest.param([refusal(-1)] * 3, 0, id="busy"),
    pytest.param([refusal(45009)], 0, id="too many calls"),
    pytest.param([b'{"errcode":0,"chatd'], 0, id="answer cut"),
    pytest.param([VendorError(-1, "chat_data")], 1, id="no answer in time"),
]


@pytest.mark.parametrize(("script", "renewed"), PASSING)
def test_what_passes_is_tried_again(home: Home, script: list[bytes | VendorError], renewed: int) -> None:
    source = Fake(bare(1), script=script)
    told = pull(home, source)
    assert (told.exit_code, told.records, source.renewed) == (0, 1, renewed)


LASTING = [
    pytest.param(VendorError(10001, "chat_data"), "SOURCE_UNREACHABLE", 3, 6, id="network"),
    pytest.param(refusal(45009), "SOURCE_RATE", 3, 4, id="too many calls"),
    pytest.param(refusal(40014), "SOURCE_TOKEN", 4, 2, id="token"),
    pytest.param(refusal(-1), "SOURCE_BUSY", 3, 4, id="busy"),
    pytest.param(refusal(777), "SOURCE_OTHER", 4, 4, id="a code nobody knows"),
]


@pytest.mark.parametrize(("reply", "code", "exit_code", "calls"), LASTING)
def test_what_lasts_ends_the_pull_and_keeps_what_came_before(home: Home, reply: bytes | VendorError, code: str, exit_code: int, calls: int) -> None:
    source = Fake(script=[firm.answer(bare(1).values()), *[reply] * 50])
    told = pull(home, source)
    assert (told.code, told.exit_code, told.calls - 1, landed(home)) == (code, exit_code, calls, [(1, 1)])


@pytest.mark.parametrize("poison", [1, 1001, *(pytest.param(n, marks=pytest.mark.slow) for n in (2, 500, 1000, 1700))])
def test_a_record_that_kills_the_library_is_found_by_halving_told_and_passed(home: Home, poison: int) -> None:
    source = Fake(bare(*(n for n in range(1, 1701) if n != poison)), poison=[poison])
    told = pull(home, source)
    assert (told.records, told.cursor, told.complete, told.exit_code) == (1699, 1700, True, 5)
    (gap,) = gaps.known(home, firm.CORP)
    assert (gap["cause"], gap["after_seq"] < poison < gap["before_seq"]) == ("unreadable", True)
    assert gap["before_seq"] - gap["after_seq"] == 2
    assert told.calls < 120
    assert pull(home, Fake(bare(1701))).records == 1


@pytest.mark.parametrize("every", [3, 4, 5])
def test_bad_moments_while_a_record_is_looked_for_pass_over_no_other(home: Home, every: int) -> None:
    class Flaky(Fake):
        def chat_data(self, seq: int, limit: int) -> bytes:
            if len(self.asked) % every == every - 1:
                self.asked.append((seq, limit))
                raise VendorError(10002, "chat_data")
            return super().chat_data(seq, limit)

    told = pull(home, Flaky(bare(*(n for n in range(1, 41) if n != 17)), poison=[17]))
    assert (told.records, told.cursor, told.complete) == (39, 40, True)
    assert [(g["after_seq"], g["before_seq"]) for g in gaps.known(home, firm.CORP)] == [(16, 18)]


def test_a_source_that_is_silent_even_for_one_record_ends_the_pull_and_passes_over_nothing(home: Home) -> None:
    told = pull(home, Fake(script=[VendorError(-1, "chat_data")] * 99))
    assert (told.code, told.exit_code, told.cursor, told.gaps) == ("SOURCE_SILENT", 3, 0, 0)
    assert told.calls < 15


def test_when_every_call_kills_the_library_nothing_is_passed_over(home: Home) -> None:
    told = pull(home, Fake(script=[VendorError(-2, "chat_data")] * 999))
    assert (told.code, told.cursor, told.gaps, told.exit_code) == ("SOURCE_LIBRARY_DIED", 0, 0, 3)


def test_before_a_call_is_made_again_it_is_said_why_how_often_and_when(home: Home) -> None:
    said: list[tuple[str, int, int, float]] = []
    slept: list[float] = []
    source = Fake(bare(1), script=[VendorError(10001, "chat_data")] * 2 + [refusal(45009)])
    pace = Pace(4000, clock=lambda: 0.0, sleep=slept.append)
    told = Pull(home, firm.CORP, source, run_id="r", now_ms=lambda: T0, sleep=slept.append, pace=pace, again=lambda *what: said.append(what)).run()
    assert (told.exit_code, said) == (0, [("SOURCE_UNREACHABLE", 1, 6, 1.0), ("SOURCE_UNREACHABLE", 2, 6, 2.0), ("SOURCE_RATE", 3, 4, 60.0)])
    assert [s for s in slept if s >= 1] == [1.0, 2.0, 60.0]


def test_whoever_is_told_to_stop_does_not_wait_for_the_last_try(home: Home) -> None:
    source = Fake(script=[VendorError(10001, "chat_data")] * 9)
    told = pull(home, source, stop=lambda: len(source.asked) >= 2)
    assert (told.code, told.exit_code, len(source.asked)) == ("SOURCE_UNREACHABLE", 3, 2)


# --- gaps ---


def test_eight_days_without_a_pull_are_one_gap_with_cause_and_estimate(tmp_path: Path) -> None:
    at = firm.home(tmp_path)
    before = {n: firm.item(n, firm.message(n, sender="zhangsan" if n % 2 else "lisi", at_ms=T0 - n * DAY // 4)) for n in range(1, 9)}
    (tmp_path / "people.jsonl").write_text('{"userid":"zhangsan","kind":"employee"}\n{"userid":"lisi","kind":"employee"}\n')
    _people(at, tmp_path / "people.jsonl")
    pull(at, Fake(before), now_ms=T0)
    firm.run(at)
    told = pull(at, Fake(bare(40, 41)), now_ms=T0 + 8 * DAY)
    assert (told.gaps, told.exit_code, told.records, told.cursor) == (1, 5, 2, 41)
    (gap,) = firm.rows(at, "select after_seq, before_seq, epoch_ms(from_at) f, epoch_ms(to_at) t, cause, acknowledged_by, estimate from gaps")
    assert (gap["after_seq"], gap["before_seq"], gap["f"], gap["t"], gap["cause"]) == (8, 40, T0, T0 + 3 * DAY, "window")
    # eight messages of three Beijing days, half each: 4 / 3 a day, three days lost
    assert json.loads(gap["estimate"]) == {"lisi": 4, "zhangsan": 4}
    assert pull(at, Fake(bare(40, 41)), now_ms=T0 + 8 * DAY).exit_code == 5
    assert gaps.acknowledge(at, firm.CORP, "gap:8", "known") == 1
    assert pull(at, Fake(bare(40, 41)), now_ms=T0 + 8 * DAY).exit_code == 0
    assert values(at, "select acknowledged_by is not null from gaps") == [True]


def _people(at: Home, file: Path) -> None:
    from pipeline import ingest, lakerows
    from pipeline.people_import import read_people

    ingest.append(at, firm.CORP, [("people", lakerows.people_table(read_people(file.read_bytes().splitlines(), recorded_at_ms=T0)))], what="people")


NO_GAP = [
    pytest.param(4.9, [3], "5.0", id="within the window"),
    pytest.param(6.9, [3], "7.0", id="within a longer window"),
    pytest.param(8, [2], "5.0", id="nothing left out"),
]


@pytest.mark.parametrize(("days", "next_seqs", "window"), NO_GAP)
def test_a_hole_alone_is_no_gap(home: Home, days: float, next_seqs: list[int], window: str) -> None:
    at = setting(home, "source.window_days", window)
    pull(at, Fake(bare(1)))
    assert pull(at, Fake(bare(*next_seqs)), now_ms=T0 + round(days * DAY)).gaps == 0


def test_an_idle_source_that_was_asked_yesterday_has_no_gap(home: Home) -> None:
    pull(home, Fake(bare(1)))
    for day in range(1, 12):
        pull(home, Fake(bare(1)), now_ms=T0 + day * DAY)
    assert pull(home, Fake(bare(1, 9)), now_ms=T0 + 12 * DAY).gaps == 0


@pytest.mark.parametrize(("hours", "found"), [(0.9, 0), (1.1, 1), (30, 1)])
def test_a_first_pull_that_never_got_to_its_end_has_a_gap_where_it_is_gone_on_with_late(home: Home, hours: float, found: int) -> None:
    cut = pull(home, Fake(script=[firm.answer(bare(1).values()), refusal(301042)]))
    assert (cut.complete, cut.cursor) == (False, 1)
    told = pull(home, Fake(bare(7)), now_ms=T0 + round(hours * 3_600_000))
    assert (told.gaps, [(g["after_seq"], g["before_seq"], g["cause"]) for g in gaps.known(home, firm.CORP)]) == (found, [(1, 7, "window")][:found])


def test_records_without_a_seq_are_kept_and_end_the_pull(tmp_path: Path) -> None:
    at = firm.home(tmp_path)
    told = pull(at, Fake(script=[firm.answer(sealed(1).values()), firm.answer([b'{"seq":0,"msgid":"m","publickey_ver":1,"encrypt_random_key":"AA==","encrypt_chat_msg":"AA=="}'])]))
    assert (told.code, told.exit_code, told.cursor, told.pages) == ("SOURCE_ANSWER_UNREADABLE", 3, 1, 2)
    assert firm.fates(firm.run(at)) == {"archived": 1, "failed": 1}
    assert (landed(at), state.current(at, firm.CORP).cursor) == ([], 1)


def test_a_clock_set_back_makes_a_jump_a_gap(home: Home) -> None:
    pull(home, Fake(bare(1)), now_ms=T0)
    assert pull(home, Fake(bare(5)), now_ms=T0 - DAY).gaps == 1
    assert values(home, "select cause from gaps") == ["clock"]


def test_a_pull_killed_between_gap_and_page_tells_one_gap(home: Home) -> None:
    pull(home, Fake(bare(1)))
    for before in (40, 44):
        gap = gaps.between(T0, requested=1, first_seq=before, now_ms=T0 + 8 * DAY, window_days=5)
        assert gap is not None
        gaps.keep(home, firm.CORP, gap, run_id="r")
    assert [(g["after_seq"], g["before_seq"]) for g in gaps.known(home, firm.CORP)] == [(1, 44)]


def test_hours_left_count_from_when_the_source_had_nothing_more(home: Home) -> None:
    at = state.State(cursor=1, seen_at_ms=T0 + DAY, caught_up_at_ms=T0)
    assert state.hours_left(at, now_ms=T0 + 2 * DAY, window_days=5) == 72
    assert state.hours_left(at, now_ms=T0 + 9 * DAY, window_days=5) == 0
    assert state.hours_left(at, now_ms=T0 - DAY, window_days=5) == 120
    assert state.hours_left(state.State(), now_ms=T0, window_days=5) is None


def test_a_window_about_to_close_alarms_only_when_the_pull_did_not_catch_up(home: Home) -> None:
    pull(home, Fake(bare(1)))
    late = T0 + 4 * DAY + DAY // 2
    assert pull(home, Fake(script=[VendorError(10001, "chat_data")] * 99), now_ms=late).exit_code == 5
    assert pull(home, Fake(bare(1)), now_ms=late).exit_code == 0


def test_the_numbers_for_monitoring_are_written(home: Home) -> None:
    pull(home, Fake(bare(7)))
    told = (home.path / "metrics" / "liuhen.prom").read_text()
    assert 'liuhen_pull_cursor{corp="ww1"} 7\n' in told
    assert 'liuhen_gaps_unacknowledged{corp="ww1"} 0\n' in told


# --- locks, corps ---


def test_a_second_pull_of_the_same_corp_is_refused_and_another_corp_goes_on(tmp_path: Path) -> None:
    at = firm.home(tmp_path, keys=(), corps=("ww1", "ww2"))
    with at.lock("ww1.pull"):
        with pytest.raises(Locked):
            pull(at, Fake(bare(1)))
        assert pull(at, Fake(bare(5)), corp="ww2").cursor == 5
    assert state.current(at, "ww1").cursor == 0


def test_two_pulls_at_once_land_every_page_once(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Home, "lock", lambda *_: contextlib.nullcontext())  # the lock is courtesy

    class Beside(Fake):
        def chat_data(self, seq: int, limit: int) -> bytes:
            found = super().chat_data(seq, limit)
            if len(self.asked) == 2:
                assert pull(home, Fake(bare(*range(1, 10)), page=3)).records == 6
            return found

    told = pull(home, Beside(bare(*range(1, 10)), page=3))
    assert (told.cursor, told.exit_code, landed(home)) == (9, 0, [(1, 3), (4, 6), (7, 9)])


@pytest.mark.slow
def test_memory_is_flat_over_a_thousand_pages(home: Home) -> None:
    class Endless(Fake):
        def chat_data(self, seq: int, limit: int) -> bytes:
            if seq % 100_000 == 0:
                held.append(resident())
            if seq >= 1_000_000:
                return firm.answer([])
            return firm.answer(b'{"seq":%d,"msgid":"m","publickey_ver":1,"encrypt_random_key":"AA==","encrypt_chat_msg":"AA=="}' % n for n in range(seq + 1, seq + 1001))

    held: list[int] = []
    assert pull(home, Endless()).pages == 1000
    assert len(held) == 11 and max(held[1:]) - held[1] < 8 << 20


def test_a_damaged_archive_keeps_no_page_from_landing_and_the_gap_is_told_when_it_is_mended(home: Home) -> None:
    pull(home, Fake(bare(1)))
    log = home.path / "lake" / firm.CORP / "_delta_log"
    log.rename(log.with_name("away"))
    told = pull(home, Fake(bare(5, 6)), now_ms=T0 + 8 * DAY)
    assert (told.exit_code, told.cursor, told.gaps, landed(home)) == (6, 6, 1, [(1, 1), (5, 6)])
    log.with_name("away").rename(log)
    assert pull(home, Fake(bare(5, 6)), now_ms=T0 + 8 * DAY).exit_code == 5
    assert [(g["after_seq"], g["before_seq"], g["cause"]) for g in gaps.known(home, firm.CORP)] == [(1, 5, "window")]
    assert pull(home, Fake(bare(5, 6)), now_ms=T0 + 8 * DAY).gaps == 0


def test_a_full_disk_keeps_the_cursor_where_the_pages_are(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    put, puts = landing.put, []

    def full(*args: object, **kwargs: object) -> object:
        puts.append(1)
        if len(puts) == 2:
            from pipeline.errors import StorageError

            raise StorageError("STORAGE_FULL", "full")
        return put(*args, **kwargs)  # type: ignore[arg-type]  # passed on

    monkeypatch.setattr(landing, "put", full)
    with pytest.raises(ArchiveError) as error:
        pull(home, Fake(bare(1, 2, 3), page=1))
    assert error.value.exit_code == 9
    assert state.current(home, firm.CORP).cursor == 1
    monkeypatch.undo()
    assert pull(home, Fake(bare(1, 2, 3), page=1)).records == 2
