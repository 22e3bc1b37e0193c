"""What is read out of one opened record: parts, quotes, files, times, people, recalls, control records, canonical form."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import message
from pipeline.errors import Failure, RecordError
from pipeline.records import Control, MediaRef, Message, OpenedItem, OpenedPage, PageRef, Quote, Unopened

CAPTURED = 1_764_000_000_000  # 2025-11-24T16:00:00Z
SENT = 1_763_990_000_123


def doc(msgtype: str | None = "text", **fields: Any) -> dict[str, Any]:
    """A message as the vendor writes it; `from_` stands for `from`, None takes a field away."""
    whole = {
        "msgid": "m1_external",
        "action": "send",
        "from": "zhang",
        "tolist": ["wmA"],
        "roomid": "",
        "msgtime": SENT,
        "msgtype": msgtype,
    }
    whole |= {k.removesuffix("_"): v for k, v in fields.items()}
    return {k: v for k, v in whole.items() if v is not None}


def parsed(document: Any, msgid: str = "") -> Message:
    return message.parse(json.dumps(document, ensure_ascii=False).encode(), msgid=msgid, captured_at_ms=CAPTURED)


def readable(found: Message) -> list[tuple[str, str]]:
    return [(p.path, p.text) for p in found.parts]


def quoted(found: Message) -> list[str]:
    return [found.parts[q.part].text[q.start_cp : q.end_cp] for q in found.quotes]


def item(kind: str, body: Any, **more: Any) -> dict[str, Any]:
    """An item of a container: the body as JSON written into a string."""
    return {"type": kind, "content": json.dumps(body, ensure_ascii=False), **more}


def test_an_ordinary_text_is_read_field_by_field() -> None:
    found = parsed(doc(text={"content": "您好，明天见"}), msgid="m1_external")
    assert found == Message(
        msgid="m1_external",
        kind="message",
        action="send",
        msgtype="text",
        sender_id="zhang",
        recipient_ids=("wmA",),
        room_id=None,
        sent_at_ms=SENT,
        text="您好，明天见",
        parts=found.parts,
        canonical=(
            '{"action":"send","from":"zhang","msgid":"m1_external","msgtime":1763990000123,"msgtype":"text","roomid":"",'
            '"text":{"content":"您好，明天见"},"tolist":["wmA"]}'
        ).encode(),
    )
    assert readable(found) == [("text.content", "您好，明天见")]


TYPES = [
    pytest.param("image", {"image": {"sdkfileid": "F", "md5sum": "ab", "filesize": 7}}, [], id="image"),
    pytest.param("voice", {"voice": {"sdkfileid": "F", "md5sum": "ab", "voice_size": 7, "play_length": 3}}, [], id="voice"),
    pytest.param("video", {"video": {"sdkfileid": "F", "md5sum": "ab", "filesize": 7, "play_length": 3}}, [], id="video"),
    pytest.param("emotion", {"emotion": {"type": 1, "width": 9, "imagesize": 7, "sdkfileid": "F", "md5sum": "ab"}}, [], id="emotion"),
    pytest.param("card", {"card": {"corpname": "某保险", "userid": "wmB"}}, [("card.corpname", "某保险")], id="card"),
    pytest.param("card", {"card": {"corpname": "某保险", "Userid": "wmB"}}, [("card.corpname", "某保险")], id="card-older-spelling"),
    pytest.param(
        "location",
        {"location": {"longitude": 116.5, "latitude": 39.9, "address": "路1号", "title": "大厦", "zoom": 15}},
        [("location.title", "大厦"), ("location.address", "路1号")],
        id="location",
    ),
    pytest.param(
        "file",
        {"file": {"filename": "计划书.pdf", "fileext": "pdf", "filesize": 5, "sdkfileid": "F", "md5sum": "ab"}},
        [("file.filename", "计划书.pdf")],
        id="file",
    ),
    pytest.param(
        "link",
        {"link": {"title": "标题", "description": "说明", "link_url": "https://x.example/a", "image_url": "https://x.example/i.png"}},
        [("link.title", "标题"), ("link.description", "说明"), ("link.link_url", "https://x.example/a")],
        id="link-its-address-is-read-its-picture-not",
    ),
    pytest.param(
        "weapp",
        {"weapp": {"title": "T", "description": "D", "username": "gh_1@app", "displayname": "N", "appid": "wx1", "pagepath": "p/i"}},
        [("weapp.title", "T"), ("weapp.description", "D"), ("weapp.displayname", "N")],
        id="weapp",
    ),
    pytest.param("todo", {"todo": {"title": "来源", "content": "回访"}}, [("todo.title", "来源"), ("todo.content", "回访")], id="todo"),
    pytest.param(
        "vote",
        {"vote": {"votetitle": "选", "voteitem": ["甲", "乙"], "votetype": 101, "voteid": "V1"}},
        [("vote.votetitle", "选"), ("vote.voteitem[0]", "甲"), ("vote.voteitem[1]", "乙")],
        id="vote-nested",
    ),
    pytest.param(
        "vote",
        {"voteitem": ["甲", "乙"], "votetitle": "选", "votetype": 101, "voteid": "V1"},
        [("votetitle", "选"), ("voteitem[0]", "甲"), ("voteitem[1]", "乙")],
        id="vote-top-level",
    ),
    pytest.param(
        "collect",
        {
            "collect": {
                "room_name": "群",
                "creator": "小李",
                "create_time": "2019-12-11 11:21:22",
                "title": "表",
                "details": [{"id": 11101571002822706744, "ques": "姓名", "type": "Text"}, {"id": 2, "ques": "生日", "type": "Date"}],
            }
        },
        [
            ("collect.room_name", "群"),
            ("collect.creator", "小李"),
            ("collect.title", "表"),
            ("collect.details[0].ques", "姓名"),
            ("collect.details[1].ques", "生日"),
        ],
        id="collect",
    ),
    pytest.param(
        "redpacket",
        {"redpacket": {"type": 1, "wish": "恭喜", "totalcnt": 1, "totalamount": 3000}},
        [("redpacket.wish", "恭喜")],
        id="redpacket-amounts-are-no-text",
    ),
    pytest.param("external_redpacket", {"redpacket": {"type": 1, "wish": "恭喜"}}, [("redpacket.wish", "恭喜")], id="external_redpacket"),
    pytest.param(
        "external_redpacket",
        {"external_redpacket": {"type": 1, "wish": "恭喜"}},
        [("external_redpacket.wish", "恭喜")],
        id="external_redpacket-under-its-own-name",
    ),
    pytest.param(
        "meeting",
        {
            "meeting": {
                "topic": "夕会",
                "starttime": 1,
                "endtime": "",
                "address": "楼",
                "remarks": "带表",
                "meetingid": 11101571002822706744,
            }
        },
        [("meeting.topic", "夕会"), ("meeting.address", "楼"), ("meeting.remarks", "带表")],
        id="meeting",
    ),
    pytest.param(
        "meeting_notification",
        {"info": {"meeting_id": 1, "meetingid": "1", "notification_type": 1, "content": "会议开始"}, "time": "2023-11-24 16:52:38:880"},
        [("info.content", "会议开始")],
        id="meeting_notification",
    ),
    pytest.param(
        "docmsg",
        {"doc": {"title": "文档", "link_url": "https://doc.example/1", "doc_creator": "li"}},
        [("doc.title", "文档"), ("doc.link_url", "https://doc.example/1")],
        id="docmsg-body-is-doc",
    ),
    pytest.param("markdown", {"info": {"content": "**请看**"}}, [("info.content", "**请看**")], id="markdown-body-is-info"),
    pytest.param(
        "news",
        {"info": {"item": [{"title": "T", "description": "D", "url": "https://n.example", "picurl": "https://p.example"}]}},
        [("info.item[0].title", "T"), ("info.item[0].description", "D"), ("info.item[0].url", "https://n.example")],
        id="news-body-is-info",
    ),
    pytest.param(
        "calendar",
        {"calendar": {"title": "会", "creatorname": "甲", "attendeename": ["乙", "丙"], "starttime": 1, "place": "A座", "remarks": ""}},
        [
            ("calendar.title", "会"),
            ("calendar.creatorname", "甲"),
            ("calendar.attendeename[0]", "乙"),
            ("calendar.attendeename[1]", "丙"),
            ("calendar.place", "A座"),
        ],
        id="calendar-empty-fields-are-no-parts",
    ),
    pytest.param(
        "meeting_voice_call",
        {
            "roomid": None,
            "voiceid": "grb8",
            "meeting_voice_call": {
                "endtime": 1,
                "sdkfileid": "F",
                "demofiledata": [{"filename": "演示.docx", "demooperator": "wo1", "starttime": 1}],
                "sharescreendata": [{"share": "wo1", "starttime": 1}],
            },
        },
        [("meeting_voice_call.demofiledata[0].filename", "演示.docx")],
        id="meeting_voice_call-without-roomid",
    ),
    pytest.param(
        "voip_doc_share",
        {"roomid": None, "voipid": "gr2", "voip_doc_share": {"filename": "a.pdf", "md5sum": "ab", "filesize": 5, "sdkfileid": "F"}},
        [("voip_doc_share.filename", "a.pdf")],
        id="voip_doc_share",
    ),
    pytest.param(
        "sphfeed",
        {"sphfeed": {"feed_type": 9, "sph_name": "号", "feed_desc": "直播"}},
        [("sphfeed.sph_name", "号"), ("sphfeed.feed_desc", "直播")],
        id="sphfeed",
    ),
    pytest.param("voiptext", {"info": {"callduration": 9, "invitetype": 2}}, [], id="voiptext"),
    pytest.param(
        "qydiskfile",
        {"info": {"filename": "费率.xlsx", "url": "https://d.example"}},
        [("info.filename", "费率.xlsx"), ("info.url", "https://d.example")],
        id="qydiskfile",
    ),
    pytest.param(
        "solitaire", {"info": {"solitaire_type": 101, "solitaire_content": "1. 张"}}, [("info.solitaire_content", "1. 张")], id="solitaire"
    ),
    pytest.param(
        "note",
        {"info": {"items": [{"msg_type": "text", "content": '{"content":"笔记"}'}]}},
        [("info.items[0].content.content", "笔记")],
        id="note-items",
    ),
    pytest.param(
        "note",
        {"info": {"item": [{"msg_type": "text", "content": '{"content":"笔记"}'}]}},
        [("info.item[0].content.content", "笔记")],
        id="note-item",
    ),
    pytest.param(
        "mixed",
        {"mixed": {"item": [item("text", {"content": "看图"}), item("image", {"sdkfileid": "F", "md5sum": "ab", "filesize": 7})]}},
        [("mixed.item[0].content.content", "看图")],
        id="mixed",
    ),
    pytest.param(
        "text", {"text": {"content": "hi", "added_2027": "新字段"}}, [("text.content", "hi"), ("text.added_2027", "新字段")], id="added"
    ),
    pytest.param("text", {"text": {"content": 4001}}, [("text.content", "4001")], id="number-where-text-is-read"),
    pytest.param("text", {"text": {"content": None}}, [], id="null-content"),
    pytest.param("text", {"text": None}, [], id="no-body"),
    pytest.param("text", {"text": ["a", {"b": "c"}]}, [("text[0]", "a"), ("text[1].b", "c")], id="a-list-for-a-body"),
    pytest.param(
        "hologram",
        {"hologram": {"caption": "立体", "ownerid": "wmB", "holoid": "投影 一", "layers": [{"label": "上", "n": 3}], "aeskey": "k9=="}},
        [("hologram.caption", "立体"), ("hologram.holoid", "投影 一"), ("hologram.layers[0].label", "上")],
        id="unknown-type-all-strings-but-ids",
    ),
    pytest.param(None, {"words": {"said": "无类型"}}, [("words.said", "无类型")], id="no-msgtype"),
    pytest.param(
        "text", {"other": {"x": "旁"}, "text": {"content": "正"}}, [("text.content", "正"), ("other.x", "旁")], id="own-body-comes-first"
    ),
]


@pytest.mark.parametrize(("msgtype", "fields", "expected"), TYPES)
def test_each_type_gives_what_a_person_could_read(msgtype: str | None, fields: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    found = parsed(doc(msgtype, **fields))
    assert readable(found) == expected
    assert found.text == "\n".join(text for _, text in expected)
    assert (found.kind, found.msgtype, found.quotes) == ("message", msgtype or "", ())


def test_every_documented_type_has_a_case() -> None:
    from pipeline.message_types import TYPES as table

    elsewhere = {"text", "revoke", "agree", "disagree", "chatrecord"}
    assert set(table) == {str(case.values[0]) for case in TYPES if case.values[0] in table} | elsewhere


FORWARD = doc(
    "chatrecord",
    chatrecord={
        "title": "甲与乙的聊天记录",
        "item": [
            item("ChatRecordText", {"content": "保本吗"}, msgtime=1741154556, from_chatroom=False),
            item("ChatRecordFile", {"filename": "表.xlsx", "sdkfileid": "F1", "filesize": 9, "md5sum": ""}, msgtime=1741154557000),
            item("ChatRecordMixed", {"item": [item("text", {"content": "见图"}), item("image", {"sdkfileid": "F2", "filesize": 3})]}),
            item("chatrecord", {"title": "内层", "item": [item("ChatRecordVoice", {"sdkfileid": "F3", "voice_size": 4})]}),
            item("ChatRecordHologram", {"caption": "立体"}),
            {"type": "ChatRecordText", "content": "不是JSON"},
        ],
    },
)


def test_a_forward_is_read_to_its_last_level_and_all_of_it_is_quoted() -> None:
    found = parsed(FORWARD)
    assert readable(found) == [
        ("chatrecord.title", "甲与乙的聊天记录"),
        ("chatrecord.item[0].content.content", "保本吗"),
        ("chatrecord.item[1].content.filename", "表.xlsx"),
        ("chatrecord.item[2].content.item[0].content.content", "见图"),
        ("chatrecord.item[3].content.title", "内层"),
        ("chatrecord.item[4].content.caption", "立体"),
        ("chatrecord.item[5].content", "不是JSON"),
    ]
    assert found.quotes == tuple(Quote(i, 0, len(p.text)) for i, p in enumerate(found.parts))


def test_files_are_found_at_every_level() -> None:
    assert parsed(FORWARD).media == (
        MediaRef(ref_no=0, kind="file", path="chatrecord.item[1].content", sdkfileid="F1", file_name="表.xlsx", declared_size=9),
        MediaRef(ref_no=1, kind="image", path="chatrecord.item[2].content.item[1].content", sdkfileid="F2", declared_size=3),
        MediaRef(ref_no=2, kind="voice", path="chatrecord.item[3].content.item[0].content", sdkfileid="F3", declared_size=4),
    )


@pytest.mark.parametrize(
    ("msgtype", "body", "expected"),
    [
        pytest.param("image", {"sdkfileid": "F", "filesize": 7, "md5sum": "ab"}, (7, "ab", None), id="image"),
        pytest.param("voice", {"sdkfileid": "F", "voice_size": 7, "md5sum": ""}, (7, None, None), id="voice-empty-digest"),
        pytest.param("emotion", {"sdkfileid": "F", "imagesize": 7}, (7, None, None), id="emotion-no-digest"),
        pytest.param("file", {"sdkfileid": "F", "filesize": 2**64 - 1, "filename": "a"}, (2**64 - 1, None, "a"), id="64-bit-size-survives"),
        pytest.param("file", {"sdkfileid": "F", "filesize": -1}, (None, None, None), id="negative-size"),
        pytest.param("file", {"sdkfileid": "F", "filesize": "7"}, (None, None, None), id="size-of-wrong-type"),
        pytest.param("hologram", {"sdkfileid": "F", "size": 7}, (7, None, None), id="unknown-type"),
    ],
)
def test_a_file_is_described_as_the_message_says(msgtype: str, body: dict[str, Any], expected: tuple[Any, ...]) -> None:
    (ref,) = parsed(doc(msgtype, **{msgtype: body})).media
    assert (ref.ref_no, ref.kind, ref.path, ref.sdkfileid) == (0, msgtype, msgtype, "F")
    assert (ref.declared_size, ref.declared_md5, ref.file_name) == expected


@pytest.mark.parametrize("sdkfileid", ["", 7, None, ["F"]])
def test_a_file_without_an_id_is_not_invented(sdkfileid: Any) -> None:
    assert parsed(doc("image", image={"sdkfileid": sdkfileid, "filesize": 7})).media == ()


WORK_RULE, CHAT_RULE = '"\n------\n', "」\n- - - - - - - - - - - - - - -\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(f'这是一条引用/回复消息：\n"客户A：\n能保本吗{WORK_RULE}不能保本', "能保本吗", id="work-shape"),
        pytest.param(f'This is a quote/reply:\n"Ann:\nis it safe{WORK_RULE}no', "is it safe", id="work-shape-english"),
        pytest.param(f'这是一条引用/回复消息："客户A：\r\n能保本吗{WORK_RULE}不能', "能保本吗", id="work-shape-windows-line"),
        pytest.param(f'这是一条引用/回复消息：\n"A：\n第一行\n第二行{WORK_RULE}x', "第一行\n第二行", id="work-shape-two-lines"),
        pytest.param(
            f'这是一条引用/回复消息：\n"A：\n这是一条引用/回复消息：\n"B：\n内{WORK_RULE}中{WORK_RULE}外',
            f'这是一条引用/回复消息：\n"B：\n内{WORK_RULE}中',
            id="work-shape-quoting-a-quote",
        ),
        pytest.param(f'这是一条引用/回复消息：\n"A：\n引{WORK_RULE}我的话{WORK_RULE}', "引", id="a-rule-typed-by-hand-does-not-hide-words"),
        pytest.param(f"「张三：保本吗{CHAT_RULE}不保本", "保本吗", id="chat-shape"),
        pytest.param(f"「张三：「李四：内{CHAT_RULE}中{CHAT_RULE}外", f"「李四：内{CHAT_RULE}中", id="chat-shape-quoting-a-quote"),
        pytest.param(f"「张三：「注意：看条款」好{CHAT_RULE}收到", "「注意：看条款」好", id="brackets-inside-a-quote"),
        pytest.param('这是一条引用/回复消息："\n------\n@nick777', None, id="unbalanced-quotation-mark"),
        pytest.param('这是一条引用/回复消息：\n"A：\n没有线', None, id="no-rule"),
        pytest.param(f'他说：这是一条引用/回复消息：\n"A：\nx{WORK_RULE}y', None, id="heading-not-at-the-start"),
        pytest.param("「张三：保本吗」不保本", None, id="bracket-without-rule"),
        pytest.param(f"「没有名字{CHAT_RULE}x", None, id="bracket-without-name"),
        pytest.param("保本吗\n------\n不保本", None, id="rule-only"),
    ],
)
def test_a_reply_quotes_exactly_the_words_it_answers(text: str, expected: str | None) -> None:
    found = parsed(doc(text={"content": text}))
    assert quoted(found) == ([] if expected is None else [expected])
    assert found.text == text


def test_a_reply_inside_a_mixed_message_quotes_too() -> None:
    found = parsed(
        doc("mixed", mixed={"item": [item("text", {"content": "前言"}), item("text", {"content": f"「甲：保本吗{CHAT_RULE}否"})]})
    )
    assert found.quotes == (Quote(1, 3, 6),)
    assert quoted(found) == ["保本吗"]


def test_a_forward_inside_a_note_is_quoted_and_the_note_itself_is_not() -> None:
    inner = {"title": "记录", "item": [item("ChatRecordText", {"content": f"「甲：保本吗{CHAT_RULE}否"})]}
    note = {"items": [{"msg_type": "text", "content": '{"content":"我的笔记"}'}, {"msg_type": "chatrecord", "content": json.dumps(inner)}]}
    found = parsed(doc("note", info=note))
    assert quoted(found) == ["记录", f"「甲：保本吗{CHAT_RULE}否"]


def test_own_words_after_a_forward_are_own() -> None:
    forward = item("chatrecord", {"title": "记录", "item": [item("ChatRecordText", {"content": "别人的话"})]})
    found = parsed(doc("mixed", mixed={"item": [forward, item("text", {"content": "我的话"})]}))
    assert quoted(found) == ["记录", "别人的话"]


@pytest.mark.parametrize(
    ("odd", "expected"),
    [
        pytest.param({"type": "text", "content": {"content": "对象"}}, [("content.content", "对象")], id="content-is-an-object-already"),
        pytest.param({"type": "text", "content": "平文"}, [("content", "平文")], id="content-is-plain-text"),
        pytest.param({"type": "text", "content": " {坏}"}, [("content", " {坏}")], id="content-only-looks-like-json"),
        pytest.param({"type": "text", "content": ' {"content":"好"}'}, [("content.content", "好")], id="content-after-a-space"),
        pytest.param({"type": "text", "content": 95518}, [("content", "95518")], id="content-is-a-number"),
        pytest.param({"type": "text"}, [], id="no-content"),
        pytest.param({"content": '{"caption":"无类型"}'}, [("content.caption", "无类型")], id="no-type"),
        pytest.param({"type": 3, "content": '{"caption":"数"}'}, [("content.caption", "数")], id="type-of-wrong-type"),
        pytest.param(
            {"type": "text", "content": '{"content":"话"}', "sender_name": "张三", "sdkfileid": "F"},
            [("content.content", "话"), ("sender_name", "张三")],
            id="fields-added-to-items",
        ),
        pytest.param(
            {"type": "doc", "content": '{"title":"文档","doc_creator":"李 四"}'},
            [("content.title", "文档")],
            id="a-type-under-its-body-s-name",
        ),
        pytest.param(
            {"type": "mixed", "content": '[{"type":"text","content":"{\\"content\\":\\"列\\"}"}]'},
            [("content.item[0].content.content", "列")],
            id="a-bare-list-of-items",
        ),
        pytest.param(
            {"type": "file", "content": '["a",{"filename":"b"}]'}, [("content[0]", "a"), ("content[1].filename", "b")], id="a-list"
        ),
    ],
)
def test_odd_items_are_read_as_far_as_they_can_be(odd: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    found = parsed(doc("mixed", mixed={"item": [odd]}))
    assert readable(found) == [(f"mixed.item[0].{path}", text) for path, text in expected]
    assert [m.sdkfileid for m in found.media] == (["F"] if "sdkfileid" in odd else [])


def test_a_plain_item_quotes_as_an_encoded_one_does() -> None:
    found = parsed(doc("mixed", mixed={"item": [{"type": "text", "content": f"「甲：保本吗{CHAT_RULE}否"}]}))
    assert quoted(found) == ["保本吗"]


def test_a_body_under_info_belongs_to_the_message_s_type() -> None:
    found = parsed(doc("hologram", info={"sdkfileid": "F", "caption": "立体"}))
    assert (found.media[0].kind, found.media[0].path, readable(found)) == ("hologram", "info", [("info.caption", "立体")])


def nested_forwards(levels: int) -> dict[str, Any]:
    """A forward in a forward …, `levels` containers deep, with one text in the innermost."""
    body: Any = {"title": f"第{levels}层", "item": [item("ChatRecordText", {"content": "最里"})]}
    for level in range(levels - 1, 0, -1):
        body = {"title": f"第{level}层", "item": [item("chatrecord", body)]}
    return doc("chatrecord", chatrecord=body)


def test_eight_containers_in_each_other_are_opened() -> None:
    assert [p.text for p in parsed(nested_forwards(8)).parts] == [*(f"第{i}层" for i in range(1, 9)), "最里"]


def test_containers_beside_each_other_do_not_count_as_nested() -> None:
    forward = item("chatrecord", {"title": "记录", "item": [item("ChatRecordMixed", {"item": [item("text", {"content": "话"})]})]})
    found = parsed(doc("note", info={"items": [forward] * 20}))
    assert [p.text for p in found.parts] == ["记录", "话"] * 20


def test_unknown_containers_count_too() -> None:
    body: Any = {"caption": "底"}
    for _ in range(12):
        body = {"pieces": [item("hologram", body)]}
    found = parsed(doc("hologram", hologram=body))
    assert len(found.parts) == 1
    assert found.parts[0].text.startswith('{"pieces":')
    assert found.parts[0].path == "hologram" + ".pieces[0].content" * 10


def test_a_ninth_container_is_kept_as_one_piece_of_raw_json() -> None:
    found = parsed(nested_forwards(9))
    assert [p.text for p in found.parts[:-1]] == [f"第{i}层" for i in range(1, 9)]
    assert json.loads(found.parts[-1].text)["title"] == "第9层"
    assert len(found.quotes) == 9


def test_parts_beyond_the_cap_are_one_part_and_their_files_are_found() -> None:
    texts = [item("ChatRecordText", {"content": f"第{i}条"}) for i in range(10_050)]
    found = parsed(doc("chatrecord", chatrecord={"title": "记录", "item": [*texts, item("ChatRecordImage", {"sdkfileid": "F"})]}))
    assert len(found.parts) == 10_000
    assert found.parts[9_998].text == "第9997条"
    assert found.parts[-1].text == "\n".join(f"第{i}条" for i in range(9_998, 10_050))
    assert found.parts[-1].path == "chatrecord.item[9998].content.content"
    assert found.quotes[-1] == Quote(9_999, 0, len(found.parts[-1].text))
    assert [m.sdkfileid for m in found.media] == ["F"]


def test_the_last_part_is_not_quoted_when_own_words_are_in_it() -> None:
    texts = [item("text", {"content": "己"}) for _ in range(10_050)]
    assert parsed(doc("mixed", mixed={"item": texts})).quotes == ()


def test_levels_below_the_cap_are_one_part() -> None:
    deep: Any = "底"
    for _ in range(63):
        deep = {"a": deep}
    found = parsed(doc("hologram", hologram=deep))
    assert [p.text for p in found.parts] == ["底"]
    content = deep
    for _ in range(2):
        content = [{"type": "hologram", "content": json.dumps({"b": content}, ensure_ascii=False)}]
    found = parsed(doc("hologram", hologram={"c": content}))
    assert len(found.parts) == 1
    assert found.parts[0].text.startswith('{"a":')
    assert '"底"' in found.parts[0].text


def test_hostile_keys_do_not_multiply() -> None:
    found = parsed(doc("hologram", hologram={"k" * 100_000: {str(i): "x" for i in range(9_000)}}))
    assert len(found.parts) == 9_000
    assert max(len(p.path) for p in found.parts) < 300
    deep: Any = {str(i): "x" for i in range(9_000)}
    for _ in range(30):
        deep = {"k" * 50: deep}
    assert max(len(p.path) for p in parsed(doc("hologram", hologram=deep)).parts) < 300


# --- recalls and control records -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "recalls"),
    [
        pytest.param(doc("revoke", action="recall", revoke={"pre_msgid": "m0"}), "m0", id="as-documented"),
        pytest.param(doc("revoke", action="send", revoke={"pre_msgid": "m0"}), "m0", id="type-alone"),
        pytest.param(doc(None, action="recall", revoke={"pre_msgid": "m0"}), "m0", id="action-alone"),
        pytest.param(doc("revoke", action="recall"), None, id="of-something-unnamed"),
        pytest.param(doc("revoke", action="recall", revoke={"pre_msgid": 7}), None, id="name-of-wrong-type"),
        pytest.param(doc("revoke", action="recall", revoke={"pre_msgid": ""}), None, id="empty-name"),
    ],
)
def test_a_recall_names_what_it_recalls_and_carries_no_words(document: dict[str, Any], recalls: str | None) -> None:
    found = parsed(document)
    assert (found.kind, found.recalls_msgid, found.parts, found.control) == ("recall", recalls, (), None)


SWITCH = {"msgid": "125289002219525886280", "action": "switch", "time": 1554119421840, "user": "XuJinSheng"}


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        pytest.param(
            doc("agree", agree={"userid": "wmA", "agree_time": SENT - 5}), Control(kind="agree", who="wmA", at_ms=SENT - 5), id="agree-ms"
        ),
        pytest.param(
            doc("agree", agree={"userid": "wmA", "agree_time": 1763990000}),
            Control(kind="agree", who="wmA", at_ms=1763990000000),
            id="agree-seconds",
        ),
        pytest.param(
            doc("disagree", disagree={"userid": "wmA", "disagree_time": SENT}),
            Control(kind="disagree", who="wmA", at_ms=SENT),
            id="disagree",
        ),
        pytest.param(
            doc("disagree", disagree={"userid": "wmA"}),
            Control(kind="disagree", who="wmA", at_ms=SENT, at_flagged=True),
            id="no-own-time-msgtime-stands-in",
        ),
        pytest.param(
            doc("disagree", disagree={"userid": "wmA", "disagree_time": 0}),
            Control(kind="disagree", who="wmA", at_ms=SENT, at_flagged=True),
            id="impossible-own-time",
        ),
        pytest.param(
            doc("agree", agree={"userid": "wmA"}, msgtime=0),
            Control(kind="agree", who="wmA", at_ms=None, at_flagged=True),
            id="no-time-at-all",
        ),
        pytest.param(
            doc("agree", agree={"userid": "wmA", "agree_time": CAPTURED + 10**9}),
            Control(kind="agree", who="wmA", at_ms=CAPTURED + 10**9),
            id="future-is-for-the-gate-to-judge",
        ),
        pytest.param(
            doc("agree", from_="wmB", agree={"agree_time": SENT}),
            Control(kind="agree", who="wmB", at_ms=SENT),
            id="the-sender-when-no-userid",
        ),
        pytest.param(
            doc("agree", agree={"Userid": "wmA", "agree_time": SENT}), Control(kind="agree", who="wmA", at_ms=SENT), id="old-spelling"
        ),
        pytest.param(SWITCH, Control(kind="switch", who="XuJinSheng", at_ms=1554119421840), id="switch"),
        pytest.param({**SWITCH, "time": 1554119421}, Control(kind="switch", who="XuJinSheng", at_ms=1554119421000), id="switch-seconds"),
    ],
)
def test_control_records_say_who_and_when(document: dict[str, Any], expected: Control) -> None:
    found = parsed(document)
    assert (found.kind, found.control, found.parts) == ("control", expected, ())


def test_the_switch_log_needs_nothing_but_its_own_fields() -> None:
    found = parsed(SWITCH)
    assert (found.sender_id, found.recipient_ids, found.room_id, found.msgtype) == (None, (), None, "")
    assert (found.sent_at_ms, found.time_flag) == (1554119421840, None)


@pytest.mark.parametrize("msgtype", ["text", "todo"])
def test_a_record_with_a_body_is_a_message_whatever_its_action(msgtype: str) -> None:
    found = parsed(doc(msgtype, action="switch", **{msgtype: {"content": "保本"}}))
    assert (found.kind, found.text) == ("message", "保本")


# --- people, rooms, times ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param({}, ("zhang", ("wmA",), None), id="single"),
        pytest.param({"roomid": "wr1", "tolist": ["a", "0000726"]}, ("zhang", ("a", "0000726"), "wr1"), id="room-leading-zeros-survive"),
        pytest.param({"from_": None, "tolist": None, "roomid": None}, (None, (), None), id="absent"),
        pytest.param({"from_": "", "tolist": [], "roomid": ""}, (None, (), None), id="empty"),
        pytest.param({"tolist": "wmA"}, ("zhang", ("wmA",), None), id="one-recipient-without-list"),
        pytest.param({"from_": {"id": "x"}, "tolist": {"a": 1}, "roomid": ["wr1"]}, (None, (), None), id="wrong-types"),
        pytest.param(
            {"from_": 726, "tolist": ["a", 18002520162, None, "", True], "roomid": 55}, ("726", ("a", "18002520162"), "55"), id="numbers"
        ),
    ],
)
def test_people_and_room_are_read_as_far_as_they_can_be(fields: dict[str, Any], expected: tuple[Any, ...]) -> None:
    found = parsed(doc(text={"content": "x"}, **fields))
    assert (found.sender_id, found.recipient_ids, found.room_id) == expected


DAY = 86_400_000


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(SENT, (SENT, None), id="ms"),
        pytest.param(float(SENT), (SENT, None), id="whole-number-written-as-a-real"),
        pytest.param(1763990000, (1763990000000, "seconds"), id="seconds"),
        pytest.param(99_999_999_999, (None, "future"), id="largest-seconds"),
        pytest.param(100_000_000_000, (None, "impossible"), id="smallest-ms"),
        pytest.param(1_293_840_000_000, (1_293_840_000_000, None), id="2011-01-01"),
        pytest.param(1_293_839_999_999, (None, "impossible"), id="before-2011"),
        pytest.param(1_234_567_890, (None, "impossible"), id="seconds-before-2011"),
        pytest.param(CAPTURED + DAY, (CAPTURED + DAY, None), id="a-day-after-capture"),
        pytest.param(CAPTURED + DAY + 1, (None, "future"), id="more-than-a-day-after-capture"),
        pytest.param(SENT * 1000, (None, "future"), id="microseconds"),
        pytest.param(None, (None, "missing"), id="absent"),
        pytest.param("", (None, "missing"), id="empty"),
        pytest.param(0, (None, "zero"), id="zero"),
        pytest.param(-1, (None, "impossible"), id="negative"),
        pytest.param(str(SENT), (None, "impossible"), id="numeral-in-a-string"),
        pytest.param(SENT + 0.5, (None, "impossible"), id="fraction"),
        pytest.param(True, (None, "impossible"), id="true"),
        pytest.param([SENT], (None, "impossible"), id="list"),
    ],
)
def test_an_impossible_time_is_unknown_and_says_why(value: Any, expected: tuple[int | None, str | None]) -> None:
    found = parsed(doc(msgtime=value, text={"content": "x"}))
    assert (found.sent_at_ms, found.time_flag) == expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param({}, "wmA|zhang", id="pair-sorted"),
        pytest.param({"from_": "wmA", "tolist": ["zhang"]}, "wmA|zhang", id="pair-other-way-round"),
        pytest.param({"from_": "Zhang"}, "Zhang|wmA", id="as-received-in-byte-order"),
        pytest.param({"roomid": "wr1"}, "wr1", id="room"),
        pytest.param({"tolist": ["c", "a", "c"]}, "a|c|zhang", id="several-recipients-without-room"),
        pytest.param({"tolist": ["zhang"]}, "zhang", id="to-oneself"),
        pytest.param({"from_": None}, "wmA", id="unknown-sender"),
        pytest.param({"tolist": None}, "zhang", id="no-recipient"),
        pytest.param({"from_": None, "tolist": None}, "unknown:m1_external", id="nobody"),
    ],
)
def test_the_conversation_is_the_room_or_its_people(fields: dict[str, Any], expected: str) -> None:
    assert message.conversation_id(parsed(doc(text={"content": "x"}, **fields))) == expected


# --- canonical form, msgid, pages ----------------------------------------------------------------------------------------------------


def with_file_ids(first: str, second: str) -> dict[str, Any]:
    inner = {"item": [item("image", {"sdkfileid": second, "filesize": 3}), item("text", {"content": "图"})]}
    forward = {"title": "记录", "item": [item("ChatRecordMixed", inner)]}
    return doc("chatrecord", chatrecord=forward, file={"sdkfileid": first, "filename": "a"})


def test_canonical_leaves_out_file_ids_at_every_level_and_nothing_else() -> None:
    one, other = parsed(with_file_ids("F1", "F2")), parsed(with_file_ids("G1-longer", "G2"))
    assert one.canonical == other.canonical
    assert b"sdkfileid" not in one.canonical
    assert one.media != other.media
    changed = with_file_ids("F1", "F2")
    changed["chatrecord"]["item"][0]["content"] = changed["chatrecord"]["item"][0]["content"].replace("图", "表")
    assert parsed(changed).canonical != one.canonical


def test_canonical_does_not_depend_on_the_order_of_keys() -> None:
    document = doc(text={"content": "x", "a": 1, "b": {"d": 11101571002822706744, "c": None}})
    reverse = dict(reversed(document.items())) | {"text": dict(reversed(document["text"].items()))}
    assert parsed(document).canonical == parsed(reverse).canonical
    assert b'"d":11101571002822706744' in parsed(document).canonical


def test_what_a_person_typed_about_file_ids_stays_in_canonical() -> None:
    one, other = (parsed(doc(text={"content": json.dumps({"sdkfileid": f})})) for f in ("F", "G"))
    assert one.canonical != other.canonical


@pytest.mark.parametrize(
    "document",
    [
        pytest.param([1], id="a-list"),
        pytest.param("text", id="a-string"),
        pytest.param(None, id="null"),
        pytest.param({}, id="no-msgid"),
        pytest.param(doc(msgid=""), id="empty-msgid"),
        pytest.param(doc(msgid=7), id="msgid-of-wrong-type"),
    ],
)
def test_a_record_that_is_no_message_is_malformed(document: Any) -> None:
    with pytest.raises(RecordError) as refused:
        parsed(document)
    assert refused.value.code == "MESSAGE_MALFORMED"


def test_another_msgid_than_the_envelope_s_is_refused_without_quoting_it() -> None:
    with pytest.raises(RecordError) as refused:
        parsed(doc(text={"content": "保本"}), msgid="m2")
    assert refused.value.code == "MSGID_MISMATCH"
    assert "m1" not in str(refused.value)
    assert "保本" not in str(refused.value)


PLAIN = json.dumps(doc(text={"content": "明天见"}), ensure_ascii=False, separators=(",", ":"))


@pytest.mark.parametrize(
    ("text", "short"),
    [
        pytest.param(PLAIN, True, id="as the source writes it"),
        pytest.param(PLAIN.replace("明天见", ""), True, id="no words"),
        pytest.param(PLAIN.replace("明天见", "“王先生：\\n在吗”\\n------\\n在的"), True, id="a reply"),
        pytest.param(PLAIN.replace("明天见", "see sdkfileid \\u4fdd \\ud83d\\ude00 \\/"), True, id="escapes"),
        pytest.param(PLAIN.replace('"send"', '"switch"'), True, id="another action"),
        pytest.param(PLAIN.replace('"send"', '"recall"'), False, id="a recall"),
        pytest.param(PLAIN.replace('"from":"zhang"', '"from":""'), True, id="no sender"),
        pytest.param(PLAIN.replace('"from":"zhang"', '"from":7'), False, id="a sender that is a number"),
        pytest.param(PLAIN.replace('["wmA"]', '["wmA","","wmB"]'), True, id="an empty recipient"),
        pytest.param(PLAIN.replace('["wmA"]', "[]"), True, id="no recipient"),
        pytest.param(PLAIN.replace('["wmA"]', '"wmA"'), False, id="a recipient that is no list"),
        pytest.param(PLAIN.replace('"roomid":""', '"roomid":"wr1"'), True, id="a room"),
        pytest.param(PLAIN.replace('"roomid":"",', ""), False, id="a field less"),
        pytest.param(PLAIN.replace('"roomid":""', '"roomid":null'), False, id="a field of null"),
        pytest.param(PLAIN.replace('"roomid":""', '"roomid":"","more":1'), False, id="a field more"),
        pytest.param(PLAIN.replace('"roomid":""', '"roomid":"wr1","roomid":"wr2"'), True, id="a field twice"),
        pytest.param(PLAIN.replace('"content"', '"sdkfileid":"f","content"'), False, id="a file inside"),
        pytest.param(PLAIN.replace(str(SENT), str(SENT // 1000)), False, id="seconds"),
        pytest.param(PLAIN.replace(str(SENT), "0"), False, id="no time"),
        pytest.param(PLAIN.replace(str(SENT), f"{SENT}.5"), False, id="half a millisecond"),
        pytest.param(PLAIN.replace(str(SENT), str(2**64)), False, id="beyond 64 bits"),
        pytest.param(PLAIN.replace(str(SENT), str(CAPTURED + 86_400_000)), True, id="a day after the capture"),
        pytest.param(PLAIN.replace(str(SENT), str(CAPTURED + 86_400_001)), True, id="in the future"),
        pytest.param(PLAIN.replace("明天见", "\x01"), False, id="a control character"),
        pytest.param(PLAIN.replace("明天见", "\\ud800"), False, id="a lone surrogate"),
        pytest.param(PLAIN.replace("m1_external", ""), False, id="no msgid"),
        pytest.param(PLAIN.replace("m1_external", "m2"), False, id="another msgid"),
        pytest.param(PLAIN + " ", True, id="a space behind it"),
        pytest.param(PLAIN + "x", False, id="a letter behind it"),
        pytest.param("\ufeff" + PLAIN, False, id="a byte order mark"),
    ],
)
def test_an_ordinary_text_is_read_the_short_way_as_it_is_the_long_way(text: str, short: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def outcome() -> Message | str:
        try:
            return message.parse(text.encode(), msgid="m1_external", captured_at_ms=CAPTURED)
        except RecordError as refused:
            return refused.code

    assert (message._plain_text(text.encode(), "m1_external", CAPTURED) is not None) == short
    found = outcome()
    monkeypatch.setattr(message, "_plain_text", lambda *_: None)
    assert found == outcome()


def page(source: Any, *items: OpenedItem) -> OpenedPage:
    ref = PageRef(corp_id="ww1", page="p", uri="u", size=1, source=source, name="n", captured_at_ms=CAPTURED)
    earlier = Unopened(Failure(step="envelope", code="KEY_MISSING", detail="d", item=9, seq=9, msgid="m9"), b"s9")
    return OpenedPage(ref, items, (earlier,))


def opened(no: int, msgid: str, plaintext: bytes) -> OpenedItem:
    return OpenedItem(no, 100 + no, msgid, 1, plaintext, b"", b"sealed%d" % no)


def test_a_page_keeps_what_it_can_read_and_tells_what_it_cannot() -> None:
    good = json.dumps(doc(text={"content": "x"})).encode()
    sealed = page("pull", opened(0, "m1_external", good), opened(1, "m2", good), opened(2, "m3", b"\xff"), opened(3, "m4", b"{"))
    found = message.parse_page(sealed)
    assert [(i.opened, i.message.msgid) for i in found.items] == [(sealed.items[0], "m1_external")]
    assert found.failed[0] == sealed.failed[0]
    assert [(f.failure.step, f.failure.code, f.failure.item, f.failure.seq, f.failure.msgid, f.sealed) for f in found.failed[1:]] == [
        ("message", "MSGID_MISMATCH", 1, 101, "m2", b"sealed1"),
        ("message", "MESSAGE_NOT_UTF8", 2, 102, "m3", b"sealed2"),
        ("message", "MESSAGE_NOT_JSON", 3, 103, "m4", b"sealed3"),
    ]


def test_an_opened_import_takes_its_inner_msgid() -> None:
    good = json.dumps(doc(text={"content": "x"})).encode()
    found = message.parse_page(page("plain", opened(0, "", good), opened(1, "line-2", good), opened(2, "", b"{}")))
    assert [(i.opened.msgid, i.message.msgid) for i in found.items] == [("m1_external", "m1_external")] * 2
    assert [(f.failure.code, f.failure.msgid) for f in found.failed[1:]] == [("MESSAGE_MALFORMED", None)]


# --- properties ----------------------------------------------------------------------------------------------------------------------

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["item", "content", "type", "sdkfileid", "title", "x"]), inner)
    ),
    max_leaves=20,
)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(["text", "chatrecord", "mixed", "note", "vote", "hologram", "agree", "revoke", "switch"]), json_values, st.booleans()
)
def test_whatever_a_body_holds_the_message_is_whole(msgtype: str, body: Any, in_a_string: bool) -> None:
    if in_a_string:
        body = {"item": [{"type": "ChatRecordMixed", "content": json.dumps(body)}]}
    found = parsed(doc(msgtype, **{msgtype: body}))
    assert found.text == "\n".join(p.text for p in found.parts)
    assert all(p.text for p in found.parts)
    assert all(0 <= q.start_cp < q.end_cp <= len(found.parts[q.part].text) for q in found.quotes)
    assert [m.ref_no for m in found.media] == list(range(len(found.media)))
    found.text.encode()


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet='「」：:"\n\r- 甲这是一条引用/回复消息x', max_size=60))
def test_quotes_stay_inside_their_text(text: str) -> None:
    found = parsed(doc(text={"content": text}))
    assert all(0 <= q.start_cp < q.end_cp <= len(text) for q in found.quotes)
