"""A conversation in order, as lines, as text and as a page that is whole in itself and inert."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.conversation import Meta, around, counts, lines_of, participants, render_html, render_text, uninspected
from pipeline.errors import UsageError
from pipeline.names import Names
from pipeline.segments import QUOTE, Segment, Span, segments
from pipeline.transcript import DayLine, GapLine, HeldLine, Line, MessageLine, MoreLine, RecallLine, parts_of

START = datetime(2026, 11, 20, 1, 30, 5, tzinfo=UTC)  # 09:30:05 in Beijing
META = Meta(corp_id="wwcorp", conversation_id="lina_wmwang", actor="os:officer", program="liuhen 0.1.0")


def at(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


def message(seq: int, sender: str, text: str, minutes: float | None, **more: Any) -> dict[str, Any]:
    """A row of the view `messages`; ids beginning with wm are external, with wb robots."""
    kind = {"wm": "external", "wb": "robot"}.get(sender[:2], "employee")
    row = {
        "corp_id": "wwcorp",
        "origin": "sealed",
        "seq": seq,
        "msgid": f"m{seq}",
        "kind": "message",
        "action": "send",
        "msgtype": "text",
        "sent_at": None if minutes is None else at(minutes),
        "sender_id": sender,
        "sender_kind": kind,
        "recipient_ids": ["lina"] if kind == "external" else ["wmwang"],
        "room_id": None,
        "conversation_id": "lina_wmwang",
        "direction": "inbound" if kind == "external" else "outbound",
        "text": text,
        "parts": [{"path": "text.content", "text": text}] if text else [],
        "recalled_at": None,
        "recalled_by": None,
        "recalls_msgid": None,
        "consent": "default_agree",
        "captured_at": at(600),
    }
    return {**row, **more}


def recall(seq: int, sender: str, of: str, minutes: float) -> dict[str, Any]:
    return message(seq, sender, "", minutes, kind="recall", action="recall", msgtype="revoke", recalls_msgid=of, parts=[])


def finding(name: str, msgid: str, start: int, end: int, **more: Any) -> dict[str, Any]:
    """A row of the view `matches`."""
    row = {
        "finding_id": name,
        "msgid": msgid,
        "rule_id": "promise",
        "category": "承诺收益",
        "severity": "high",
        "party": "employee",
        "term": "保本",
        "matched_text": "保本",
        "part": 0,
        "start_cp": start,
        "end_cp": end,
        "spans": None,
        "via": "literal",
        "suppressed_by": None,
    }
    return {**row, **more}


def outline(lines: Sequence[Line]) -> list[str]:
    """The lines in short, so that an order can be typed by hand."""

    def short(line: Line) -> str:
        match line:
            case DayLine():
                return f"{line.day:%m-%d}"
            case MessageLine() | RecallLine():
                return line.msgid + ("!" if line.target else "")
            case GapLine():
                return f"gap {line.after_seq}-{line.before_seq}"
            case HeldLine():
                return f"{line.count} {line.fate}"
            case MoreLine():
                return f"{line.count} {'before' if line.before else 'after'}"

    return [short(line) for line in lines]


def the_message(lines: Sequence[Line]) -> MessageLine:
    [line] = [line for line in lines if isinstance(line, MessageLine)]
    return line


# ---- segments


@pytest.mark.parametrize(
    ("text", "spans", "expected"),
    [
        pytest.param("保本保息", [], [Segment("保本保息")], id="nothing found"),
        pytest.param("说保本吧", [Span(1, 3, 1)], [Segment("说"), Segment("保本", (1,)), Segment("吧")], id="one"),
        pytest.param("保本保息", [Span(0, 4, 1), Span(0, 2, 2)], [Segment("保本", (1, 2)), Segment("保息", (1,))], id="one inside another"),
        pytest.param("abc", [Span(0, 2, 1), Span(1, 3, 2)], [Segment("a", (1,)), Segment("b", (1, 2)), Segment("c", (2,))], id="crossing"),
        pytest.param("abcd", [Span(0, 2, 1), Span(2, 4, 1)], [Segment("abcd", (1,))], id="two places of one finding that touch"),
        pytest.param("abcd", [Span(0, 2, 1), Span(2, 4, 2)], [Segment("ab", (1,)), Segment("cd", (2,))], id="two findings that touch"),
        pytest.param(
            "abc", [Span(0, 2, 0), Span(1, 3, 1)], [Segment("a", (), True), Segment("b", (1,), True), Segment("c", (1,))], id="quote"
        ),
        pytest.param("ab", [Span(-5, 1, 1), Span(1, 99, 2), Span(5, 9, 3)], [Segment("a", (1,)), Segment("b", (2,))], id="beyond the text"),
        pytest.param("ab", [Span(1, 1, 1), Span(2, 1, 2)], [Segment("ab")], id="empty and backward"),
        pytest.param("😀保本", [Span(1, 3, 1)], [Segment("😀"), Segment("保本", (1,))], id="code points, not UTF-16"),
        pytest.param("", [Span(0, 1, 1)], [], id="no text"),
    ],
)
def test_overlapping_places_become_pieces(text: str, spans: list[Span], expected: list[Segment]) -> None:
    assert list(segments(text, spans)) == expected


@given(st.text(max_size=12), st.lists(st.builds(Span, st.integers(-2, 14), st.integers(-2, 14), st.integers(0, 3)), max_size=6))
def test_pieces_say_of_every_character_what_a_slow_look_says(text: str, spans: list[Span]) -> None:
    def covering(place: int) -> set[int]:
        return {span.number for span in spans if span.start_cp <= place < span.end_cp}

    pieces = segments(text, spans)
    said = [({*piece.marks} | ({QUOTE} if piece.quoted else set())) for piece in pieces for _ in piece.text]
    assert said == [covering(place) for place in range(len(text))]
    assert "".join(piece.text for piece in pieces) == text
    assert all((a.marks, a.quoted) != (b.marks, b.quoted) for a, b in pairwise(pieces))


# ---- order


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        pytest.param([message(2, "lina", "b", 2), message(9, "lina", "a", 1)], ["11-20", "m9", "m2"], id="by time, not by seq"),
        pytest.param([message(3, "lina", "b", 1), message(2, "lina", "a", 1)], ["11-20", "m2", "m3"], id="same time, by seq"),
        pytest.param(
            [message(1, "lina", "a", 0), message(2, "lina", "b", None), message(3, "lina", "c", 9)],
            ["11-20", "m1", "m2", "m3"],
            id="unknown time after its neighbour by seq",
        ),
        pytest.param(
            [message(1, "lina", "a", 9), message(2, "lina", "b", None), message(3, "lina", "c", 0)],
            ["11-20", "m3", "m1", "m2"],
            id="unknown time goes with the lower seq even when that was sent last",
        ),
        pytest.param(
            [message(4, "lina", "a", 0), message(2, "lina", "b", None), message(3, "lina", "c", None)],
            ["m2", "m3", "11-20", "m4"],
            id="unknown times before everything known",
        ),
        pytest.param([message(2, "lina", "b", None), message(1, "lina", "a", None)], ["m1", "m2"], id="nothing but unknown times"),
        pytest.param(
            [message(1, "lina", "a", 0), message(2, "lina", "b", None, origin="imported"), message(3, "lina", "c", 1)],
            ["11-20", "m1", "m3", "m2"],
            id="seq of another sequence space says nothing",
        ),
        pytest.param(
            [message(1, "lina", "a", 60 * 14.4), message(2, "lina", "b", 60 * 14.5), message(3, "lina", "c", None)],
            ["11-20", "m1", "11-21", "m2", "m3"],
            id="days are Beijing days: 15:54 UTC is still the 20th, 16:00 UTC is the 21st",
        ),
        pytest.param([], [], id="nothing"),
    ],
)
def test_lines_stand_in_the_order_in_which_things_were_said(rows: list[dict[str, Any]], expected: list[str]) -> None:
    assert outline(lines_of(rows)) == expected


def test_days_are_named_where_they_begin_only() -> None:
    rows = [
        message(1, "lina", "a", 0),
        message(2, "lina", "b", 60 * 24),
        message(3, "lina", "c", 60 * 25),
        message(4, "lina", "d", 60 * 72),
    ]
    assert outline(lines_of(rows)) == ["11-20", "m1", "11-21", "m2", "m3", "11-23", "m4"]


def test_gaps_and_unopened_records_stand_in_their_place_and_are_counted() -> None:
    rows = [message(1, "lina", "a", 0), message(6, "lina", "b", 10), message(9, "lina", "c", 20)]
    gap = {"after_seq": 6, "before_seq": 9, "from_at": at(12), "to_at": at(18), "cause": "outage"}
    held = [
        {"seq": 3, "origin": "sealed", "fate": "withheld"},
        {"seq": 2, "origin": "sealed", "fate": "withheld"},
        {"seq": 4, "origin": "sealed", "fate": "pending"},
        {"seq": 5, "origin": "sealed", "fate": "withheld"},
    ]
    lines = lines_of(rows, gaps=[gap], held=held)
    assert outline(lines) == ["11-20", "m1", "2 withheld", "1 pending", "1 withheld", "m6", "gap 6-9", "m9"]
    assert (counts(lines).held, counts(lines).gaps) == (4, 1)


def test_a_gap_without_times_stands_after_its_lower_seq() -> None:
    rows = [message(1, "lina", "a", 0), message(9, "lina", "b", 10)]
    gap = {"after_seq": 1, "before_seq": 9, "from_at": None, "to_at": None, "cause": None}
    assert outline(lines_of(rows, gaps=[gap])) == ["11-20", "m1", "gap 1-9", "m9"]


def test_a_long_conversation_comes_in_parts_that_together_say_the_same() -> None:
    rows = [message(n, "lina", str(n), n) for n in range(1, 8)] + [recall(8, "lina", "m1", 8)]
    parts = list(parts_of(rows, size=3))
    assert [outline(lines) for lines in parts] == [["11-20", "m1", "m2", "m3"], ["11-20", "m4", "m5", "m6"], ["11-20", "m7", outline(lines_of(rows))[-1]]]
    assert [outline(lines) for lines in parts_of([], size=3)] == [[]]


def test_times_may_be_milliseconds_or_datetimes() -> None:
    ms = int(START.timestamp() * 1000)
    naive = START.replace(tzinfo=None)
    lines = lines_of([message(1, "lina", "a", 0), message(2, "lina", "b", 0, sent_at=ms), message(3, "lina", "c", 0, sent_at=naive)])
    assert {line.at_ms for line in lines if isinstance(line, MessageLine)} == {ms}
    with pytest.raises(TypeError, match=r"^expected a datetime or milliseconds, got str$"):
        lines_of([message(1, "lina", "a", 0, sent_at="2026")])


# ---- recalls


def test_a_recalled_message_keeps_its_place_and_words_and_the_recall_has_its_own() -> None:
    rows = [
        message(1, "lina", "保本保息", 0, recalled_at=at(5), recalled_by="lina"),
        message(2, "wmwang", "好", 3),
        recall(3, "lina", "m1", 5),
    ]
    lines = lines_of(rows)
    assert outline(lines) == ["11-20", "m1", "m2", "m3"]
    original, told = lines[1], lines[3]
    assert isinstance(original, MessageLine) and original.recalled is not None and original.recalled.by is not None
    assert (original.recalled.at_ms, original.recalled.by.id) == (int(at(5).timestamp() * 1000), "lina")
    assert isinstance(told, RecallLine) and told.known and told.original_at_ms == original.at_ms
    text = render_text(lines, "zh")
    assert "保本保息" in text
    assert "此消息已于 2026-11-20 09:35:05 (01:35:05Z) 由 lina 撤回，原文保留" in text
    assert "lina 撤回了 2026-11-20 09:30:05 (01:30:05Z) 发送的消息" in text


def test_a_recall_of_something_unknown_says_so() -> None:
    lines = lines_of([recall(3, "lina", "m1", 5)])
    assert "lina 撤回了一条消息；原消息不在本会话的存档中" in render_text(lines, "zh")
    assert 'href="#' not in render_html(lines, META, "zh")


# ---- people


def named(userid: str, name: str, since: float | None = None, until: float | None = None, kind: str = "employee") -> dict[str, Any]:
    ends = {"valid_from": None if since is None else at(since), "valid_to": None if until is None else at(until)}
    return {"userid": userid, "kind": kind, "name": name, **ends}


@pytest.mark.parametrize(
    ("people", "userid", "minutes", "expected"),
    [
        pytest.param([named("lina", "李娜")], "lina", 0, ("李娜", False), id="always"),
        pytest.param([named("LiNa", "李娜")], "lina", 0, ("李娜", False), id="employees without regard to case"),
        pytest.param([named("WMwang", "王芳", kind="external")], "wmwang", 0, (None, False), id="externals byte by byte"),
        pytest.param([named("lina", "旧名", None, 10), named("lina", "新名", 10)], "lina", 9, ("旧名", False), id="the name of that time"),
        pytest.param([named("lina", "旧名", None, 10), named("lina", "新名", 10)], "lina", 10, ("新名", False), id="its first moment"),
        pytest.param([named("lina", "李娜", 0, 10)], "lina", 10, ("李娜", True), id="its end is not included"),
        pytest.param([named("lina", "李娜", 100)], "lina", 0, ("李娜", True), id="a name of a later time is marked"),
        pytest.param(
            [named("lina", "李娜", 0, 5), named("lina", "他人", 99)], "lina", 6, ("李娜", True), id="the nearest when none is valid"
        ),
        pytest.param([named("lina", "旧名", 0), named("lina", "新名", 10)], "lina", None, ("新名", False), id="time unknown: the newest"),
        pytest.param([], "lina", 0, (None, False), id="nobody knows"),
        pytest.param([named("lina", "")], "lina", 0, (None, False), id="no name recorded"),
    ],
)
def test_people_bear_the_name_of_the_time(
    people: list[dict[str, Any]], userid: str, minutes: float | None, expected: tuple[str | None, bool]
) -> None:
    at_ms = None if minutes is None else int(at(minutes).timestamp() * 1000)
    person = Names(people).person(userid, at_ms, "employee" if userid == "lina" else "external")
    assert (person.name, person.other_time) == expected


def test_sides_are_the_firms_and_the_others() -> None:
    lines = lines_of([message(1, "lina", "a", 0), message(2, "wmwang", "b", 1), message(3, "wbhelp", "c", 2), message(4, "zhao", "d", 3)])
    assert [line.own for line in lines if isinstance(line, MessageLine)] == [True, False, False, True]
    inside = [message(1, "lina", "a", 0, direction="internal"), message(2, "zhao", "b", 1, direction="internal")]
    assert [line.own for line in lines_of(inside) if isinstance(line, MessageLine)] == [True, False]


def test_everybody_is_listed_who_spoke_or_received() -> None:
    rows = [message(1, "lina", "a", 0), message(2, "LINA", "b", 1), message(3, "wmwang", "c", 2, recipient_ids=["lina", "zhao"])]
    lines = lines_of(rows, people=[named("zhao", "赵伟")])
    assert [(person.name or person.id, n) for person, n in participants(lines)] == [("lina", 2), ("wmwang", 1), ("赵伟", 0)]


# ---- findings, parts, media


@pytest.mark.parametrize(
    ("kind", "name", "shown"),
    [
        pytest.param("file", "合同.PDF", '<span class="icon k-pdf" aria-hidden="true">PDF</span>', id="a document by its ending"),
        pytest.param("file", "报价 v1.2.xlsx", '<span class="icon k-sheet" aria-hidden="true">XLSX</span>', id="the last ending counts"),
        pytest.param("file", "说明", '<span class="icon k-other" aria-hidden="true">文件</span>', id="no ending"),
        pytest.param("file", "x.<b>", '<span class="icon k-other" aria-hidden="true">文件</span>', id="what is no ending is not shown as one"),
        pytest.param("video", None, '<span class="icon k-film" aria-hidden="true">▶</span>', id="a video without a name"),
        pytest.param("voice", None, '<span class="icon k-sound" aria-hidden="true">♪</span>', id="a voice message"),
    ],
)
def test_a_file_without_a_picture_has_an_icon_its_size_and_its_digest(kind: str, name: str | None, shown: str) -> None:
    row = {"origin": "sealed", "seq": 1, "kind": kind, "file_name": name, "status": "pending", "size": None, "declared_size": 70961, "sha256": None, "declared_md5": "9e107d9d37"}
    lines = lines_of([message(1, "lina", "", 0, msgtype=kind)], media=[row])
    page = render_html(lines, Meta(corp_id="ww1", conversation_id="c"), "zh")
    assert shown in page and "70,961 字节" in page and "MD5（平台声明） 9e107d9d37" in page
    fetched = render_html(lines_of([message(1, "lina", "", 0, msgtype=kind)], media=[{**row, "sha256": "ab12"}]), Meta(corp_id="ww1", conversation_id="c"), "zh")
    assert "SHA-256 ab12" in fetched and "MD5" not in fetched


def test_findings_are_numbered_in_reading_order_and_the_longer_first() -> None:
    rows = [message(1, "lina", "保本保息", 0), message(2, "lina", "很稳", 1)]
    found = [
        finding("c", "m2", 1, 2),
        finding("a", "m1", 0, 2),
        finding("b", "m1", 0, 4),
        finding("d", "m1", 0, 1, suppressed_by="negation"),
    ]
    lines = [line for line in lines_of(rows, findings=found) if isinstance(line, MessageLine)]
    assert [[(mark.number, mark.finding_id) for mark in line.marks] for line in lines] == [[(1, "b"), (2, "a")], [(3, "c")]]
    assert lines[0].blocks[0].segments == (Segment("保本保息", (1, 2)),)
    assert lines[1].blocks[0].segments == (Segment("很"), Segment("稳", (3,)))


def test_where_findings_overlap_the_leftmost_longest_is_marked_and_bears_the_numbers_of_all() -> None:
    rows = [message(1, "lina", "绝对保本保息不亏，放心保本", 0)]
    found = [finding("a", "m1", 2, 4), finding("b", "m1", 2, 6), finding("c", "m1", 4, 8), finding("d", "m1", 6, 8), finding("e", "m1", 11, 13)]
    [line] = [line for line in lines_of(rows, findings=found) if isinstance(line, MessageLine)]
    assert [(mark.number, mark.finding_id) for mark in line.marks] == [(1, "b"), (2, "a"), (3, "c"), (4, "d"), (5, "e")]
    assert line.blocks[0].segments == (
        Segment("绝对"), Segment("保本保息", (1, 2, 3)), Segment("不亏", (4,)), Segment("，放心"), Segment("保本", (5,)),
    )  # fmt: skip


def test_a_finding_split_over_messages_is_one_finding_shown_in_each() -> None:
    rows = [message(1, "lina", "保", 0), message(2, "lina", "本", 1)]
    spans = [{"msgid": "m1", "part": 0, "start_cp": 0, "end_cp": 1}, {"msgid": "m2", "part": 0, "start_cp": 0, "end_cp": 1}]
    lines = lines_of(rows, findings=[finding("a", "m1", 0, 1, spans=spans, via="split")])
    assert [[mark.number for mark in line.marks] for line in lines if isinstance(line, MessageLine)] == [[1], [1]]
    assert counts(lines).findings == 1


def test_two_places_of_one_finding_in_one_message_are_one_mark() -> None:
    spans = [{"msgid": "m1", "part": 0, "start_cp": 0, "end_cp": 1}, {"msgid": "m1", "part": 0, "start_cp": 3, "end_cp": 4}]
    line = the_message(lines_of([message(1, "lina", "保呀呀本", 0)], findings=[finding("a", "m1", 0, 1, spans=spans)]))
    assert [mark.number for mark in line.marks] == [1]
    assert line.blocks[0].segments == (Segment("保", (1,)), Segment("呀呀"), Segment("本", (1,)))


def test_a_finding_lies_in_its_own_part_only() -> None:
    parts = [{"path": "link.title", "text": "保本"}, {"path": "link.description", "text": "保本"}]
    line = the_message(lines_of([message(1, "lina", "x", 0, msgtype="link", parts=parts)], findings=[finding("a", "m1", 0, 2, part=1)]))
    assert [block.segments for block in line.blocks] == [(Segment("保本"),), (Segment("保本", (1,)),)]


def test_an_archive_without_parts_still_shows_its_text() -> None:
    assert the_message(lines_of([message(1, "lina", "您好", 0, parts=None)])).blocks[0].segments == (Segment("您好"),)


def test_the_terminal_shows_the_text_untouched_and_findings_beneath_it() -> None:
    lines = lines_of([message(1, "lina", "绝对保-本", 0)], findings=[finding("a", "m1", 2, 5, matched_text="保-本", via="folded")])
    assert render_text(lines, "zh").splitlines() == [
        "──── 2026年11月20日 星期五 " + "─" * 73,
        "",
        " 09:30:05 lina · 员工",
        "          绝对保-本",
        "          ⚑1 [高] 承诺收益 · 词条「保本」 原文「保-本」 · 员工所说 · 规整后（全半角、繁简、大小写）",
        "",
    ]


FORWARDED = [
    {"path": "chatrecord.title", "text": "张伟的聊天记录"},
    {"path": "chatrecord.item[0].content.content", "text": "到账了吗"},
    {"path": "chatrecord.item[1].content.item[2].content.filename", "text": "合同.pdf"},
]


@pytest.mark.parametrize(
    ("msgtype", "parts", "media", "expected"),
    [
        pytest.param("text", [{"path": "text.content", "text": "您好"}], [], ["您好"], id="text needs no label"),
        pytest.param("link", [{"path": "link.title", "text": "公告"}], [], ["[链接]", "标题: 公告"], id="a field is named"),
        pytest.param("news", [{"path": "info.item[1].title", "text": "二"}], [], ["[图文]", "2 · 标题: 二"], id="an item is numbered"),
        pytest.param("mixed", [{"path": "mixed.item[0].content.content", "text": "a"}], [], ["a"], id="mixed reads as one"),
        pytest.param(
            "chatrecord", FORWARDED, [],
            ["[转发的聊天记录]", "标题: 张伟的聊天记录", "1: 到账了吗", "2.3 · 文件名: 合同.pdf"], id="forward",
        ),
        pytest.param("image", [], [{"kind": "image", "status": "verified", "size": 709}], ["[图片、709 字节、已下载并核对]"], id="image"),
        pytest.param("image", [], [], ["[图片（没有可读文字）]"], id="picture without a file"),
        pytest.param(
            "file", [{"path": "file.filename", "text": "a.pdf"}],
            [{"kind": "file", "file_name": "a.pdf", "status": "expired", "declared_size": 5}],
            ["文件名: a.pdf", "[文件 a.pdf、5 字节、已过期，无法下载]"], id="file that expired",
        ),
        pytest.param("new_type", [{"path": "new_type.headline", "text": "新"}], [], ["[new_type]", "headline: 新"], id="an unknown type"),
        pytest.param("new_type", [], [{"kind": "new_type", "status": None}], ["[new_type、状态未登记]"], id="its file"),
    ],
)  # fmt: skip
def test_every_message_says_what_it_is(msgtype: str, parts: list[dict[str, Any]], media: list[dict[str, Any]], expected: list[str]) -> None:
    rows = [{"origin": "sealed", "seq": 1, "file_name": None, "size": None, "declared_size": None, "sha256": None, **one} for one in media]
    text = render_text(lines_of([message(1, "lina", "", 0, msgtype=msgtype, parts=parts)], media=rows), "zh")
    assert [line.strip() for line in text.splitlines()[3:-1]] == expected


def test_a_long_message_is_shown_whole() -> None:
    text = "很长的话" * 500
    assert render_text(lines_of([message(1, "lina", text, 0)]), "zh").replace("\n", "").replace(" ", "").count("很长的话") == 500


def test_hostile_text_is_harmless_on_a_terminal() -> None:
    hostile = "\x1b[2J\x9b1A\u202e保\u200b本\r覆盖"
    text = render_text(lines_of([message(1, "lina", hostile, 0)], people=[named("lina", "\x1b]0;x\x07李娜")]), "zh")
    assert {c for c in text if c in "\x1b\x9b\x07\r\u202e\u200b"} == set()
    assert "⟨U+202E⟩保⟨U+200B⟩本" in text


def test_what_nobody_looked_at_is_counted_by_kind() -> None:
    rows = [message(n, "lina", "", n, msgtype="mixed") for n in range(1, 6)]
    kinds = ["image", "emotion", "voice", "meeting_voice_call", "video", "file", "qydiskfile"]
    media = [{"origin": "sealed", "seq": 1 + n % 5, "kind": kind} for n, kind in enumerate(kinds)]
    gap = {"after_seq": 5, "before_seq": 9, "from_at": at(7), "to_at": at(8), "cause": "x"}
    held = [{"seq": 6, "origin": "sealed", "fate": "withheld"}, {"seq": 7, "origin": "sealed", "fate": "failed"}]
    lines = lines_of(rows, media=media, gaps=[gap], held=held)
    assert uninspected(lines, {"unopened": 4, "restricted": 2}) == [
        ("pictures", 2), ("voice", 2), ("videos", 1), ("files", 2), ("unopened", 4), ("withheld", 1), ("restricted", 2), ("gaps", 1),
    ]  # fmt: skip


# ---- around one message

TEN = [message(n, "lina", f"text {n}", 60 * 6 * n) for n in range(1, 11)]  # four a day


@pytest.mark.parametrize(
    ("msgid", "before", "after", "expected"),
    [
        pytest.param("m5", 1, 2, ["3 before", "11-21", "m4", "m5!", "m6", "11-22", "m7", "3 after"], id="in the middle"),
        pytest.param("m1", 2, 1, ["11-20", "m1!", "m2", "8 after"], id="the first"),
        pytest.param("m10", 1, 5, ["8 before", "11-22", "m9", "m10!"], id="the last"),
        pytest.param("m3", 0, 0, ["2 before", "11-21", "m3!", "7 after"], id="alone"),
        pytest.param("m6", 0, 0, ["5 before", "11-21", "m6!", "4 after"], id="no heading of the next day"),
    ],
)
def test_a_window_keeps_its_day_and_says_what_it_leaves_out(msgid: str, before: int, after: int, expected: list[str]) -> None:
    assert outline(around(lines_of(TEN), msgid, before=before, after=after)) == expected


def test_a_window_around_a_recall_shows_gaps_inside_it() -> None:
    gap = {"after_seq": 1, "before_seq": 3, "from_at": at(1), "to_at": at(2), "cause": "x"}
    lines = lines_of([message(1, "lina", "a", 0), recall(3, "lina", "m1", 3)], gaps=[gap])
    assert outline(around(lines, "m3")) == ["11-20", "m1", "gap 1-3", "m3!"]


def test_a_message_of_another_conversation_is_refused_without_naming_it() -> None:
    with pytest.raises(UsageError, match=r"^expected the id of a message of this conversation, got another; look it up") as caught:
        around(lines_of(TEN), "m99")
    assert caught.value.code == "MSGID_UNKNOWN"


# ---- the page


class Page(HTMLParser):
    """What a browser sees in a page: elements with attributes, text by element, and whether every tag closes."""

    VOID = frozenset({"meta", "br", "input", "img", "hr", "link", "base"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.texts: list[str] = []
        self.styles: list[str] = []
        self.bubbles: list[str] = []
        self._bubble = 0
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.tags.append((tag, found))
        if tag not in self.VOID:
            self.open.append(tag)
            if found.get("class") == "bubble":
                self._bubble = len(self.open)
                self.bubbles.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
        if len(self.open) < self._bubble:
            self._bubble = 0

    def handle_data(self, data: str) -> None:
        (self.styles if self.open and self.open[-1] == "style" else self.texts).append(data)
        if self._bubble and self.open[-1] != "sup":
            self.bubbles[-1] += data

    @property
    def text(self) -> str:
        return "".join(self.texts)


HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "javascript:alert(1)",
    "<a href='https://evil.example/'>x</a>",
    "</style><style>@import 'https://evil.example/';</style>",
    "</p></div></article></main><base href='//evil.example/'>",
    "{{ 7 * 7 }}{% include '/etc/passwd' %}",
    "\u202egnp.exe 保\u200b本\x00\x1b",
    "<!-- x --><iframe srcdoc='x'></iframe>",
    "&lt;script&gt; &#x3c;b&#x3e;",
]


def hostile_page(text: str) -> str:
    rows = [
        message(1, "lina", text, 0, msgtype=text, recalled_at=at(2), recalled_by=text, msgid=text, consent=text),
        message(2, text, text, 1, parts=[{"path": f"x.{text}", "text": text}]),
        recall(3, text, text, 2),
        message(4, "lina", text, None, origin=text),
    ]
    found = [finding("a", text, 0, 2, term=text, matched_text=text, category=text, severity=text, party=text, via=text, rule_id=text)]
    media = [{"origin": "sealed", "seq": 1, "kind": text, "file_name": text, "status": text, "size": 1, "sha256": text}]
    gaps = [{"after_seq": 1, "before_seq": 9, "from_at": at(1), "to_at": at(2), "cause": text}]
    lines = lines_of(rows, findings=found, media=media, gaps=gaps, people=[named(text, text), named("lina", text)])
    meta = Meta(
        corp_id=text, conversation_id=text, corp_name=text, room_name=text, actor=text, program=text, stand=text, demo=True, notes=(text,),
        category_titles={text: text},
    )  # fmt: skip
    return render_html(lines, meta, "zh")


ALLOWED = """html head meta title style body div header p h1 h2 dl dt dd ul li b i bdi span section table tr td a input label main
article aside time q mark sup small br"""
ACTING = """src srcset srcdoc action formaction data poster style background ping manifest xlink:href"""


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_on_the_page_leaves_it_or_acts(text: str) -> None:
    page = Page(hostile_page(text))
    assert {tag for tag, _ in page.tags} <= set(ALLOWED.split())
    for tag, attributes in page.tags:
        assert {name for name in attributes if name.startswith("on")} == set()
        assert set(ACTING.split()) & set(attributes) == set()
        assert attributes.get("href", "#").startswith("#")
        assert tag != "input" or attributes["type"] == "checkbox"
        assert tag != "meta" or attributes.get("http-equiv", "Content-Security-Policy") == "Content-Security-Policy"
    style = "".join(page.styles)
    assert not re.search(r"url\(|@import|@font-face|expression|//", style)
    assert "evil" not in style
    assert {c for c in page.text if c in "\u202e\u200b\x00\x1b"} == set()


@pytest.mark.parametrize("text", HOSTILE[:7])
def test_hostile_text_is_read_as_it_was_written(text: str) -> None:
    [bubble] = Page(render_html(lines_of([message(1, "lina", text, 0)]), META, "zh")).bubbles
    assert bubble.strip() == text


def test_the_page_forbids_what_it_does_not_do() -> None:
    page = Page(render_html(lines_of(TEN), META, "zh"))
    policies = [attributes["content"] for tag, attributes in page.tags if attributes.get("http-equiv") == "Content-Security-Policy"]
    assert policies == ["default-src 'none'; style-src 'unsafe-inline'; img-src data:"]
    assert page.tags[2][1] == {"charset": "utf-8"} and page.tags[3][1]["http-equiv"] == "Content-Security-Policy"  # before anything else


def test_every_link_leads_to_a_place_on_the_page() -> None:
    rows = [message(1, "lina", "保本", 0, recalled_at=at(1), recalled_by="lina"), recall(2, "lina", "m1", 1)]
    page = Page(render_html(lines_of(rows, findings=[finding("a", "m1", 0, 2)]), META, "zh"))
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    links = [attributes["href"] for _, attributes in page.tags if "href" in attributes]
    assert len(ids) == len(set(ids))
    assert len(links) == 2
    assert {link.removeprefix("#") for link in links} <= set(ids)


def test_marks_lie_on_the_text_with_the_worst_severity_and_can_be_switched_off() -> None:
    found = [finding("a", "m1", 0, 4, severity="low"), finding("b", "m1", 0, 2, severity="high")]
    html = render_html(lines_of([message(1, "lina", "保本保息吧", 0)], findings=found), META, "zh")
    assert '<mark class="high">保本保息<sup>1</sup><sup>2</sup></mark>吧' in html
    page = Page(html)
    assert page.bubbles == ["\n        保本保息吧\n      "]
    assert ("input", {"type": "checkbox", "id": "marks", "class": "switch switches", "checked": ""}) in page.tags
    assert "标记由关键词规则自动产生，是审查线索而非结论；原文未作改动" in page.text


def test_a_neutral_page_says_that_it_carries_no_findings() -> None:
    page = Page(render_html(lines_of(TEN), Meta(corp_id="ww", conversation_id="c", with_findings=False), "zh"))
    assert "本页未附关键词标记" in page.text
    assert {tag for tag, _ in page.tags} & {"mark", "input"} == set()


def test_the_page_says_everything_a_stranger_must_know() -> None:
    meta = Meta(
        corp_id="wwcorp", corp_name="演示公司", conversation_id="wrroom", room_name="服务群", room=True, from_day=date(2026, 11, 20),
        to_day=date(2026, 11, 22), made_at_ms=1_795_311_005_123, actor="os:officer", program="liuhen 0.1.0", stand="version 418", demo=True,
        single_mode=True, uninspected={"unopened": 3}, notes=("仅供内部审查",),
    )  # fmt: skip
    held = [{"seq": 2, "origin": "sealed", "fate": "withheld"}]
    text = Page(render_html(lines_of([message(1, "lina", "您好", 0)], held=held, people=[named("lina", "李娜", 99)]), meta, "zh")).text
    for expected in (
        "演示数据 DEMO", "演示公司", "wwcorp", "服务群", "wrroom", "2026-11-20 – 2026-11-22", "李娜*", "该姓名不是发送当时的登记",
        "09:30:05", "01:30:05Z", "m1", "默认同意", "1 条已拒存：客户不同意存档，封存未打开", "未能打开的记录 3 条", "已拒存记录 1 条",
        "个人敏感信息已等长遮盖", "单人模式", "仅供内部审查", "2026-11-22 09:30:05 (01:30:05Z)", "os:officer", "liuhen 0.1.0",
        "version 418",
    ):  # fmt: skip
        assert expected in text


def test_no_mark_of_demo_or_single_mode_where_it_is_neither() -> None:
    html = render_html(lines_of(TEN), META, "zh")
    assert "DEMO" not in html and "单人模式" not in html


def test_withheld_records_show_nothing_but_their_number() -> None:
    held = [{"seq": 2, "origin": "sealed", "fate": "withheld", "msgid": "secret-id", "reason": "r-secret", "employee_id": "e-secret"}]
    lines = lines_of([message(1, "lina", "a", 0)], held=held)
    assert "secret" not in render_html(lines, META, "zh") + render_text(lines, "zh")


def test_an_empty_conversation_is_a_page_too() -> None:
    assert "所示范围内没有消息" in Page(render_html([], META, "zh")).text
    assert render_text([], "zh") == ""


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_the_page_speaks_one_language(lang: str) -> None:
    lines = lines_of(TEN, held=[{"seq": 2, "origin": "sealed", "fate": "pending"}])
    text = Page(render_html(lines, META, "zh" if lang == "zh" else "en")).text
    assert bool(re.search("[\u4e00-\u9fff]", text)) is (lang == "zh")


def test_the_same_lines_give_the_same_bytes() -> None:
    found = [finding(name, "m1", 0, 2) for name in "abc"]
    first, second = (render_html(lines_of(TEN, findings=found), META, "zh") for _ in range(2))
    assert first == second


def test_the_demo_words_fit_into_a_style_sheet() -> None:
    from pipeline.words import say

    assert not re.search(r"[\"'\\<>&\n]", say("demo.banner", "zh") + say("demo.banner", "en"))
