"""Where consent events come from: control records as received, and the lines of an officer's file."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from pipeline import message
from pipeline.consent_events import events_from_control, events_from_import, read_time
from pipeline.records import OpenedItem
from pipeline.register import Event, Precision, Register, pair_scope, room_scope

T = 1_750_000_000_000
NOW = T + 3_600_000


@pytest.mark.parametrize(
    ("value", "read"),
    [
        pytest.param(1750000000, (T, "s"), id="seconds"),
        pytest.param(1750000000123, (T + 123, "ms"), id="milliseconds"),
        pytest.param(1750000000000, (T, "ms"), id="milliseconds of a full second"),
        pytest.param("1750000000", (T, "s"), id="seconds as text"),
        pytest.param(1750000000.0, (T, "s"), id="seconds as a float"),
        pytest.param(1750000000.25, (T + 250, "ms"), id="a fraction of a second"),
        pytest.param(946684800, (946_684_800_000, "s"), id="the earliest"),
        pytest.param(946684799, None, id="a second before the earliest"),
        pytest.param(4102444799999, (4_102_444_799_999, "ms"), id="the latest"),
        pytest.param(4102444800000, None, id="a millisecond after the latest"),
        pytest.param(45658, None, id="a spreadsheet's day number"),
        pytest.param(1750000000000000, None, id="microseconds"),
        pytest.param(10**400, None, id="an absurd integer"),
        pytest.param(float("inf"), None, id="infinity"),
        pytest.param(float("nan"), None, id="not a number"),
        pytest.param(0, None, id="zero"),
        pytest.param(-1750000000, None, id="negative"),
        pytest.param(True, None, id="a truth value"),
        pytest.param("", None, id="empty text"),
        pytest.param("2025-06-15", None, id="other text"),
        pytest.param(None, None, id="nothing"),
    ],
)
def test_seconds_and_milliseconds_are_told_apart_by_magnitude(value: object, read: tuple[int, Precision] | None) -> None:
    assert read_time(value) == read


# --- control records ---


def control(record: dict[str, Any], recorded_at_ms: int = NOW) -> tuple[Event, ...]:
    plaintext = json.dumps({"msgid": "m1", "action": "send", **record}).encode()
    opened = OpenedItem(item=0, seq=1, msgid="m1", key_version=1, plaintext=plaintext, key_block=b"", sealed=b"")
    parsed = message.parse(plaintext, msgid="m1", captured_at_ms=recorded_at_ms)
    return events_from_control(parsed, opened, recorded_at_ms=recorded_at_ms)


SINGLE = {"from": "wmA", "tolist": ["ZhangSan"], "roomid": "", "msgtime": T + 77, "msgtype": "agree"}
ROOM = {"from": "wmA", "tolist": ["ZhangSan", "wmB", "LiSi"], "roomid": "wr1", "msgtime": T + 77, "msgtype": "disagree"}


@pytest.mark.parametrize(
    ("record", "userid", "room", "external", "status", "at_ms", "precision", "flag"),
    [
        pytest.param(
            SINGLE | {"agree": {"userid": "wmA", "agree_time": T + 5}},
            "ZhangSan",
            None,
            "wmA",
            "Agree",
            T + 5,
            "ms",
            None,
            id="pair, own message",
        ),
        pytest.param(
            SINGLE | {"from": "ZhangSan", "tolist": ["wmA"], "agree": {"userid": "wmA", "agree_time": T + 5}},
            "ZhangSan",
            None,
            "wmA",
            "Agree",
            T + 5,
            "ms",
            None,
            id="pair, shown from the employee's side",
        ),
        pytest.param(
            SINGLE | {"agree": {"userid": "wmA", "agree_time": T // 1000}},
            "ZhangSan",
            None,
            "wmA",
            "Agree",
            T,
            "s",
            None,
            id="time in seconds",
        ),
        pytest.param(
            SINGLE | {"agree": {"userid": "wmA", "agree_time": T}},
            "ZhangSan",
            None,
            "wmA",
            "Agree",
            T,
            "ms",
            None,
            id="milliseconds of a full second",
        ),
        pytest.param(
            SINGLE | {"agree": {"userid": "wmA"}}, "ZhangSan", None, "wmA", "Agree", T + 77, "ms", "msgtime_used", id="no time of its own"
        ),
        pytest.param(
            SINGLE | {"agree": {"userid": "wmA", "agree_time": 0}, "msgtime": T // 1000},
            "ZhangSan",
            None,
            "wmA",
            "Agree",
            T,
            "s",
            "msgtime_used",
            id="impossible time, msgtime in seconds",
        ),
        pytest.param(
            SINGLE | {"agree": {"userid": "wmA"}, "msgtime": 0},
            "ZhangSan",
            None,
            "wmA",
            "Agree",
            None,
            "ms",
            "no_time",
            id="no time at all",
        ),
        pytest.param(
            SINGLE | {"agree": {"userid": "wmA", "agree_time": NOW + 600_001}},
            "ZhangSan",
            None,
            "wmA",
            "Agree",
            NOW + 600_001,
            "ms",
            "future",
            id="a future time",
        ),
        pytest.param(
            ROOM | {"disagree": {"userid": "wmA", "disagree_time": T + 5}},
            None,
            "wr1",
            "wmA",
            "Disagree",
            T + 5,
            "ms",
            None,
            id="room, own message",
        ),
        pytest.param(
            ROOM | {"from": "ZhangSan", "disagree": {"userid": "wmB", "disagree_time": T + 5}},
            None,
            "wr1",
            "wmB",
            "Disagree",
            T + 5,
            "ms",
            None,
            id="room, somebody else than the sender",
        ),
    ],
)
def test_a_record_speaks_of_its_room_or_pair(
    record: dict[str, Any],
    userid: str | None,
    room: str | None,
    external: str,
    status: str,
    at_ms: int | None,
    precision: str,
    flag: str | None,
) -> None:
    (event,) = control(record)
    assert (event.userid, event.room_id, event.external_userid, event.status) == (userid, room, external, status)
    assert (event.changed_at_ms, event.precision, event.flag) == (at_ms, precision, flag)
    assert (event.source, event.source_msgid, event.recorded_at_ms) == ("stream", "m1", NOW)


@pytest.mark.parametrize(
    "record",
    [
        pytest.param({"action": "switch", "time": T, "user": "ZhangSan"}, id="a switch log"),
        pytest.param(
            {"from": "wmA", "tolist": ["ZhangSan"], "msgtime": T, "msgtype": "text", "text": {"content": "Agree"}}, id="a message"
        ),
        pytest.param(SINGLE | {"tolist": [], "agree": {"userid": "wmA", "agree_time": T}}, id="a pair without its other side"),
        pytest.param(SINGLE | {"from": "", "agree": {"agree_time": T}}, id="nobody who agreed"),
    ],
)
def test_records_without_a_readable_scope_give_no_event(record: dict[str, Any]) -> None:
    assert control(record) == ()


def test_a_refusal_with_several_other_parties_and_no_room_reaches_every_pair() -> None:
    record = SINGLE | {"msgtype": "disagree", "tolist": ["ZhangSan", "LiSi", "ZhangSan"], "disagree": {"userid": "wmA", "disagree_time": T}}
    events = control(record)
    register = Register.of(events, version=1)
    assert [register.state_at(pair_scope(userid, "wmA"), T).status for userid in ("zhangsan", "lisi", "wangwu")] == [
        "refused",
        "refused",
        "silent",
    ]
    assert len(events) == 2


@pytest.mark.fixtures
def test_the_public_samples_of_agree_and_disagree_give_their_pair() -> None:
    folder = os.environ.get("LIUHEN_FIXTURES")
    if not folder:
        pytest.skip("LIUHEN_FIXTURES is not set: the folder of public test data")
    found: dict[str, Event] = {}
    for name in ("wxjava.jsonl", "skit.jsonl"):
        for line in (Path(folder) / "messages" / name).read_text("utf-8").splitlines():
            record = json.loads(line)["message"]
            if record.get("msgtype") in ("agree", "disagree"):
                plaintext = json.dumps(record).encode()
                parsed = message.parse(plaintext, msgid="", captured_at_ms=NOW)
                opened = OpenedItem(item=0, seq=1, msgid=record["msgid"], key_version=1, plaintext=plaintext, key_block=b"", sealed=b"")
                (event,) = events_from_control(parsed, opened, recorded_at_ms=NOW)
                found[event.status] = event
    register = Register.of(found.values(), version=1)
    agreed, refused = pair_scope("kenshin", "wmGAgeDQAAvQeaTqWwkMTxGMkvI7OOuQ"), pair_scope("kenshin", "wmErxtDgAA9AW32YyyuYRimKr7D1KWlw")
    assert [register.state_at(agreed, at).status for at in (1603875826655, 1603875826656)] == ["silent", "agree"]
    assert [register.state_at(refused, at).status for at in (1603875944121, 1603875944122)] == ["silent", "refused"]


# --- import lines ---


def imported(*lines: str | bytes | dict[str, Any], recorded_at_ms: int = NOW) -> tuple[list[Event], list[tuple[int, str]]]:
    encoded = [line if isinstance(line, bytes) else line.encode() if isinstance(line, str) else json.dumps(line).encode() for line in lines]
    events, reports = events_from_import(encoded, recorded_at_ms=recorded_at_ms, batch="b1", document_digest="d1")
    return list(events), list(reports)


LINE = {"userid": "ZhangSan", "external_userid": "wmA", "status": "Disagree"}
BAD = "expected changed_at in seconds or ISO 8601, got no possible time: it counts as missing"
NO_OBJECT = "expected a JSON object, got something else: the line was not imported; write one object a line"
NO_SCOPE = "expected exactly one of userid and roomid as text: the line was not imported"
MISSING = "changed_at is missing: a refusal counts from the first contact, an agreement from now"


@pytest.mark.parametrize(
    ("changed_at", "at_ms", "precision", "flag", "report"),
    [
        pytest.param(1750000000, T, "s", None, None, id="seconds"),
        pytest.param("2025-06-15T23:06:40+08:00", T, "s", None, None, id="ISO 8601 with Beijing's offset"),
        pytest.param("2025-06-15T15:06:40Z", T, "s", None, None, id="ISO 8601 in UTC"),
        pytest.param("2025-06-15T15:06:40.250Z", T + 250, "ms", None, None, id="ISO 8601 with milliseconds"),
        pytest.param(
            1750000000123, T + 123, "ms", None, "expected changed_at in seconds, got milliseconds: taken as milliseconds", id="milliseconds"
        ),
        pytest.param("2025-06-15 23:06:40", T, "s", None, "changed_at has no offset: taken as Beijing time", id="no offset"),
        pytest.param(
            "2025-06-15",
            1_749_916_800_000,
            "s",
            "day_only",
            "changed_at names a day without a time: a refusal counts from its start, an agreement from the next day",
            id="a day",
        ),
        pytest.param(
            "20250615",
            1_749_916_800_000,
            "s",
            "day_only",
            "changed_at names a day without a time: a refusal counts from its start, an agreement from the next day",
            id="a day in basic form",
        ),
        pytest.param(None, None, "ms", "no_time", MISSING, id="null"),
        pytest.param("", None, "ms", "no_time", MISSING, id="empty"),
        pytest.param(0, None, "ms", "no_time", BAD, id="zero"),
        pytest.param(1750000000000000, None, "ms", "no_time", BAD, id="microseconds"),
        pytest.param(45658, None, "ms", "no_time", BAD, id="a spreadsheet's day number"),
        pytest.param("15/06/2025", None, "ms", "no_time", BAD, id="a date in another notation"),
        pytest.param("2025-06-31", None, "ms", "no_time", BAD, id="a day that never was"),
        pytest.param("1899-12-31T00:00:00Z", None, "ms", "no_time", BAD, id="a spreadsheet's zero"),
        pytest.param([1750000000], None, "ms", "no_time", BAD, id="a list"),
        pytest.param(
            (NOW + 601_000) // 1000,
            NOW + 601_000,
            "s",
            "future",
            "changed_at lies more than 10 minutes in the future: the line counts from now",
            id="the future",
        ),
        pytest.param((NOW + 600_000) // 1000, NOW + 600_000, "s", None, None, id="ten minutes ahead"),
    ],
)
def test_the_time_of_a_line(changed_at: object, at_ms: int | None, precision: str, flag: str | None, report: str | None) -> None:
    events, reports = imported(LINE | {"changed_at": changed_at})
    assert [(e.changed_at_ms, e.precision, e.flag) for e in events] == [(at_ms, precision, flag)]
    assert reports == ([(1, report)] if report is not None else [])


@pytest.mark.parametrize(
    ("line", "report"),
    [
        pytest.param("not json", NO_OBJECT, id="not JSON"),
        pytest.param("[1]", NO_OBJECT, id="a list"),
        pytest.param(b'{"userid":"\xff"}', NO_OBJECT, id="not UTF-8"),
        pytest.param("[" * 100_000, NO_OBJECT, id="hostile nesting"),
        pytest.param(
            {"external_userid": "wmA", "status": "Agree", "changed_at": 1750000000},
            NO_SCOPE,
            id="no scope",
        ),
        pytest.param(
            LINE | {"roomid": "wr1", "changed_at": 1750000000},
            NO_SCOPE,
            id="two scopes",
        ),
        pytest.param(LINE | {"userid": 7}, NO_SCOPE, id="a number for an id"),
        pytest.param(
            {"userid": "ZhangSan", "status": "Agree", "changed_at": 1750000000},
            "expected external_userid as text: the line was not imported",
            id="nobody who decided",
        ),
    ],
)
def test_a_line_without_a_readable_scope_is_not_imported(line: Any, report: str) -> None:
    good = LINE | {"changed_at": 1750000000}
    events, reports = imported(good, line, good | {"userid": "LiSi"})
    assert [event.userid for event in events] == ["ZhangSan", "LiSi"]
    assert reports == [(2, report)]


@pytest.mark.parametrize("status", ["agree", "同意", "", None, 1])
def test_an_unknown_or_unreadable_status_is_kept_and_makes_the_scope_pending(status: object) -> None:
    events, reports = imported({"roomid": "wr1", "external_userid": "wmA", "status": status, "changed_at": 1750000000})
    assert [event.status for event in events] == [status if isinstance(status, str) else ""]
    assert Register.of(events, version=1).state_at(room_scope("wr1", "wmA"), T).status == "pending"
    assert reports == [(1, "expected status Agree, Disagree or Default_Agree, got something else: the scope becomes pending")]


def test_a_file_with_a_byte_order_mark_blank_lines_and_windows_line_ends_is_read() -> None:
    line = json.dumps(LINE | {"changed_at": 1750000000}).encode()
    events, reports = imported(b"\xef\xbb\xbf" + line + b"\r\n", b"\r\n", b"", json.dumps(LINE | {"userid": " LiSi "}).encode() + b"\n")
    assert [event.userid for event in events] == ["ZhangSan", "LiSi"]
    assert reports == [(4, "an id has spaces around it: they were removed"), (4, MISSING)]


def test_no_report_quotes_what_the_file_says() -> None:
    _, reports = imported({"userid": " SecretId ", "external_userid": "wmSecret", "status": "SecretWord", "changed_at": "SecretTime"})
    assert len(reports) == 3
    assert not any("Secret" in sentence for _, sentence in reports)


def test_imported_lines_carry_their_batch_and_document_and_repeat_with_the_same_id() -> None:
    lines = [json.dumps(LINE | {"changed_at": 1750000000}).encode()]
    (first,), _ = events_from_import(lines, recorded_at_ms=NOW, batch="b1", document_digest="d1")
    (again,), _ = events_from_import(lines, recorded_at_ms=NOW + 5, batch="b2", document_digest="d1")
    assert (first.source, first.batch, first.document_digest, first.recorded_at_ms) == ("import", "b1", "d1", NOW)
    assert first.event_id == again.event_id
