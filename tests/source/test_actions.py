"""The table of codes: the document shows it, the catalogue says it in both languages, and it is complete."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from pipeline import words
from pipeline.source import actions
from pipeline.source.actions import CHAT, MEDIA, OPENING, OTHER, OTHER_MEDIA, OTHER_OPENING, SENTENCES, SERVER, Action
from pipeline.source.media_fetch import status_of
from pipeline.source.offset import between
from pipeline.source.pace import Pace, backoff

DOCUMENT = Path(__file__).parents[2] / "docs" / "source.md"


def told(heading: str) -> dict[str, list[str]]:
    """The rows below a heading of the document, by their first cell."""
    body = DOCUMENT.read_text("utf-8").split(f"### {heading}\n", 1)[1].split("\n## ", 1)[0].split("\n### ", 1)[0]
    rows = [[re.sub(r"^`([^`]*)`$", r"\1", c.strip()) for c in line.strip("|").split("|")] for line in re.findall(r"^\|.*\|$", body, re.MULTILINE)[2:]]
    return {row[0]: row[1:] for row in rows}


def shown(action: Action) -> list[str]:
    again = action.do in ("retry", "renew", "wait")
    return [action.do, str(action.tries) if again else "", action.after if again else "", action.status, action.code]


TABLES = [("GetChatData", CHAT, OTHER), ("errcode of the server", SERVER, OTHER), ("GetMediaData", MEDIA, OTHER_MEDIA), ("DecryptData", OPENING, OTHER_OPENING)]


@pytest.mark.parametrize(("heading", "table", "other"), TABLES)
def test_the_document_shows_what_is_done(heading: str, table: dict[int, Action], other: Action) -> None:
    assert told(heading) == {**{str(code): shown(a) for code, a in table.items()}, "other": shown(other)}


def test_the_document_says_what_our_codes_mean() -> None:
    assert told("Our codes") == {code: list(said) for code, said in SENTENCES.items()}


def test_every_code_of_ours_has_its_words_in_both_languages() -> None:
    used = {a.code for table in (CHAT, SERVER, MEDIA) for a in table.values() if a.code} | {OTHER.code, "SOURCE_REPEATS"}
    assert used == set(SENTENCES)
    for code, (what, remedy) in SENTENCES.items():
        assert (words.say(f"source.{code}", "en"), words.say(f"source.{code}.do", "en")) == (what, remedy)


# wecom-archive.md 1.4 and 2.3, typed by hand: each code with the class of its stated action.
STATED: list[Any] = [
    pytest.param(CHAT, [0], "ok", id="ok"),
    pytest.param(CHAT, [10000, 10004, 10009, 10011], "stop", id="chat: stop"),
    pytest.param(CHAT, [10001, 10002], "retry", id="chat: again"),
    pytest.param(CHAT, [10003], "renew", id="chat: again with a new handle"),
    pytest.param(CHAT, [10010], "renew", id="chat: window"),
    pytest.param(SERVER, [0], "ok", id="server: ok"),
    pytest.param(SERVER, [301042, 301052, 301053, 40001, 40013, 48001, 48002, 60020], "stop", id="server: stop"),
    pytest.param(SERVER, [40014, 41001, 42001], "renew", id="server: a new handle"),
    pytest.param(SERVER, [45009, 45033], "wait", id="server: a minute's pause"),
    pytest.param(SERVER, [-1], "retry", id="server: busy"),
    pytest.param(MEDIA, [10005, 10010], "skip", id="media: given up"),
    pytest.param(MEDIA, [0], "ok", id="media: ok"),
    pytest.param(MEDIA, [10000, 10001, 10002, 10006], "retry", id="media: again"),
    pytest.param(MEDIA, [10003], "renew", id="media: again with a new handle"),
    pytest.param(MEDIA, [10004, 10009, 10011], "stop", id="media: stop"),
    pytest.param(OPENING, [0], "ok", id="opening: ok"),
    pytest.param(OPENING, [10000, 10005, 10006, 10008], "skip", id="opening: kept sealed"),
]


@pytest.mark.parametrize(("table", "codes", "do"), STATED)
def test_every_documented_code_ends_in_its_stated_action(table: dict[int, Action], codes: list[int], do: str) -> None:
    assert {table[c].do for c in codes} == {do}


def test_every_row_of_the_tables_is_stated() -> None:
    ours = {-1, -2}  # no answer in time, the process ended; -1 of the server is its own
    for table in (CHAT, SERVER, MEDIA, OPENING):
        stated = [code for param in STATED if param.values[0] is table for code in param.values[1]]
        assert sorted(stated) == sorted(code for code in table if table is SERVER or code not in ours)


def test_a_code_nobody_documented_is_tried_again_a_few_times() -> None:
    assert (actions.chat(12345), actions.server(12345), actions.media(12345)) == (OTHER, OTHER, OTHER_MEDIA)


# --- pace ---


class Clock:
    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def test_the_first_eight_calls_go_at_a_quarter_of_the_rate() -> None:
    clock = Clock()
    pace = Pace(60, clock=lambda: clock.now, sleep=clock.sleep)
    for _ in range(11):
        pace.wait()
    assert clock.slept == [4.0] * 8 + [1.0] * 2


def test_four_thousand_a_minute_are_reached_and_not_passed() -> None:
    clock = Clock()
    pace = Pace(4000, clock=lambda: clock.now, sleep=clock.sleep)
    for _ in range(8 + 4000):
        pace.wait()
    assert 60.0 <= clock.now - 100.0 < 61.0


def test_too_many_calls_pause_a_minute_and_halve_the_rate() -> None:
    clock = Clock()
    pace = Pace(600, clock=lambda: clock.now, sleep=clock.sleep)
    pace.slower()
    pace.slower()
    assert (pace.per_minute, clock.slept) == (150, [60.0, 60.0])


def test_pauses_double_up_to_a_minute() -> None:
    assert [backoff(n) for n in (1, 2, 3, 7, 99)] == [1, 2, 4, 60, 60]


# --- clocks ---


@pytest.mark.parametrize(
    ("date", "offset"),
    [("Thu, 01 Jan 1970 00:01:40 GMT", 0), ("Thu, 01 Jan 1970 00:01:30 GMT", -10_000), ("Thu, 01 Jan 1970 01:01:40 +0100", 0), ("", None), ("soon", None)],
)
def test_the_offset_of_the_clock_is_told_to_a_second(date: str, offset: int | None) -> None:
    assert between(date, before_ms=100_400, after_ms=100_600) == offset


# --- what was fetched ---

CHECKS = [
    pytest.param("900150983cd24fb0d6963f7d28e17f72", 3, "900150983cd24fb0d6963f7d28e17f72", 3, "verified", id="both fit"),
    pytest.param("900150983cd24fb0d6963f7d28e17f72", 9, "900150983cd24fb0d6963f7d28e17f72", 3, "verified", id="the MD5 decides over the size"),
    pytest.param("", 3, "900150983cd24fb0d6963f7d28e17f72", 3, "unverifiable", id="MD5 empty, size fits"),
    pytest.param(None, None, "900150983cd24fb0d6963f7d28e17f72", 3, "unverifiable", id="nothing declared"),
    pytest.param("", 0, "900150983cd24fb0d6963f7d28e17f72", 3, "unverifiable", id="a size of 0 says nothing"),
    pytest.param("", 4, "900150983cd24fb0d6963f7d28e17f72", 3, "mismatch", id="MD5 empty, size differs"),
    pytest.param("900150983cd24fb0d6963f7d28e17f73", 3, "900150983cd24fb0d6963f7d28e17f72", 3, "mismatch", id="MD5 differs"),
]


@pytest.mark.parametrize(("md5_declared", "size_declared", "md5", "size", "status"), CHECKS)
def test_a_file_is_what_was_declared_or_is_marked(md5_declared: str | None, size_declared: int | None, md5: str, size: int, status: str) -> None:
    assert status_of(md5_declared, size_declared, md5=md5, size=size) == status
