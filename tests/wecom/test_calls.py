"""What the calls make of the documented answers, and of answers that are not as documented."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from pipeline.wecom import calls, contacts, statistics
from pipeline.wecom.calls import Member
from pipeline.wecom.client import Unresolved
from tests.wecom.platform import platform

OK = {"errcode": 0, "errmsg": "ok"}


def test_the_misspelt_field_is_sent_and_read_as_wecom_spells_it() -> None:
    answer = {**OK, "agreeinfo": [{"status_change_time": 1562766651, "userid": "XuJinSheng", "exteranalopenid": "wmA", "agree_status": "Agree"}]}
    with platform(msgaudit__check_single_agree=[answer]) as at, at.client() as client:
        (found,) = calls.check_single_agree(client, [("xujinsheng", "wmA")])
        assert at.asked[-1].body == {"info": [{"userid": "xujinsheng", "exteranalopenid": "wmA"}]}
    assert (found.userid, found.room_id, found.external_userid, found.status) == ("xujinsheng", None, "wmA", "Agree")
    assert (found.changed_at_ms, found.precision) == (1562766651000, "s")


def test_one_call_takes_a_hundred_pairs_and_no_more() -> None:
    with platform(msgaudit__check_single_agree=[{**OK, "agreeinfo": []}]) as at, at.client() as client:
        assert calls.check_single_agree(client, [("z", f"wm{n}") for n in range(100)]) == []
        for pairs in ([], [("z", f"wm{n}") for n in range(101)]):
            with pytest.raises(ValueError, match="100"):
                calls.check_single_agree(client, pairs)
        assert len(at.asked) == 2


@pytest.mark.parametrize(
    ("given", "status", "changed_at_ms"),
    [
        pytest.param({"agree_status": "Default_Agree", "status_change_time": 0}, "Default_Agree", None, id="no time"),
        pytest.param({"agree_status": "Disagree"}, "Disagree", None, id="time missing"),
        pytest.param({"agree_status": "Paused", "status_change_time": 1562766651}, "Paused", 1562766651000, id="a status nobody knows"),
        pytest.param({"status_change_time": 1562766651}, "", 1562766651000, id="status missing"),
        pytest.param({"agree_status": 1, "status_change_time": 99}, "", None, id="a status that is a number, an impossible time"),
        pytest.param({"agree_status": "Agree", "status_change_time": 1562766651123}, "Agree", 1562766651123, id="milliseconds where seconds are promised"),
    ],
)
def test_a_status_is_handed_on_as_received(given: dict[str, Any], status: str, changed_at_ms: int | None) -> None:
    answer = {**OK, "agreeinfo": [{"userid": "z", "exteranalopenid": "wmA", **given}]}
    with platform(msgaudit__check_single_agree=[answer]) as at, at.client() as client:
        (found,) = calls.check_single_agree(client, [("z", "wmA")])
    assert (found.status, found.changed_at_ms) == (status, changed_at_ms)


def test_pairs_that_were_not_asked_and_pairs_left_out_are_no_answer() -> None:
    info = [
        {"userid": "z", "exteranalopenid": "wmOther", "agree_status": "Agree"}, {"exteranalopenid": "wmA", "agree_status": "Agree"}, "nonsense",
        {"userid": "z", "exteranalopenid": "wma", "agree_status": "Agree"},
    ]  # fmt: skip
    with platform(msgaudit__check_single_agree=[{**OK, "agreeinfo": info}]) as at, at.client() as client:
        assert calls.check_single_agree(client, [("z", "wmA"), ("z", "wmB")]) == []


def test_answers_become_events_of_the_register_with_their_second() -> None:
    single = {**OK, "agreeinfo": [{"status_change_time": 1562766651, "userid": "z", "exteranalopenid": "wmA", "agree_status": "Disagree"}]}
    room = {**OK, "agreeinfo": [{"status_change_time": 1562766652, "exteranalopenid": "wmB", "agree_status": "Agree"}]}
    with platform(msgaudit__check_single_agree=[single], msgaudit__check_room_agree=[room]) as at, at.client() as client:
        found = [*calls.check_single_agree(client, [("z", "wmA")]), *calls.check_room_agree(client, "wr1")]
        assert at.asked[-1].body == {"roomid": "wr1"}
    events = calls.events_of(found)
    assert [(e.source, e.userid, e.room_id, e.external_userid, e.status, e.changed_at_ms, e.precision, e.flag) for e in events] == [
        ("api", "z", None, "wmA", "Disagree", 1562766651000, "s", None),
        ("api", None, "wr1", "wmB", "Agree", 1562766652000, "s", None),
    ]


def test_seats_rooms_and_robots_are_read() -> None:
    room = {**OK, "roomname": "蓦然回首", "creator": "zhangwenchao", "room_create_time": 1592361604, "notice": "", "members": [
        {"memberid": "zhangwenchao", "jointime": 1592361605}, {"memberid": "xujinsheng"}, {"jointime": 1},
    ]}  # fmt: skip
    robot = {**OK, "data": {"robot_id": "wbA", "name": "机器人A", "creator_userid": "zhangsan"}}
    with platform(
        msgaudit__get_permit_user_list=[{**OK, "ids": ["userid_111", "userid_222"]}], msgaudit__groupchat__get=[room, {"errcode": 301052}], msgaudit__get_robot_info=[robot]
    ) as at, at.client() as client:
        assert calls.permit_users(client) == ["userid_111", "userid_222"] and at.asked[-1].body == {}
        calls.permit_users(client, 2)
        assert at.asked[-1].body == {"type": 2}
        found = calls.internal_room(client, "wr1")
        assert (found.name, found.owner_id, found.created_ms) == ("蓦然回首", "zhangwenchao", 1592361604000)
        assert found.members == (Member("zhangwenchao", 1592361605000), Member("xujinsheng", None))
        assert calls.robot(client, "wbA").name == "机器人A" and at.asked[-1].query["robot_id"] == "wbA"


def test_a_member_and_the_departments_are_read_and_private_fields_are_not() -> None:
    member = {
        **OK, "userid": "zhangsan", "name": "张三", "alias": "三哥", "department": [7, 2], "main_department": 2, "position": "经理", "status": 1,
        "mobile": "13800000000", "email": "z@example.com", "direct_leader": ["lisi"],
    }  # fmt: skip
    listed = {**OK, "department": [{"id": 1, "name": "公司", "parentid": 0}, {"id": 2, "name": "理财", "parentid": 1}, {"name": "no id"}]}
    with platform(user__get=[member, {"errcode": 60111}], department__list=[listed]) as at, at.client() as client:
        found = contacts.member(client, "zhangsan")
        assert (found.name, found.alias, found.department_ids, found.main_department, found.leader_ids, found.left) == ("张三", "三哥", (7, 2), 2, ("lisi",), False)
        assert "13800000000" not in repr(found) and "example.com" not in repr(found)
        with pytest.raises(Unresolved) as left:
            contacts.member(client, "zhangsan")
        assert left.value.action == "left"
        assert [(d.id, d.name, d.parent_id) for d in contacts.departments(client)] == [(1, "公司", 0), (2, "理财", 1)]
        assert at.asked[0].query["corpsecret"] == "s-contacts"


def test_pages_are_followed_to_their_end_and_a_cursor_that_repeats_ends() -> None:
    pages = [
        {**OK, "group_chat_list": [{"chat_id": "wr1", "status": 0}], "next_cursor": "A"}, {**OK, "group_chat_list": [{"chat_id": "wr2"}], "next_cursor": "B"},
        {**OK, "group_chat_list": [{"chat_id": "wr3"}], "next_cursor": "A"},
    ]  # fmt: skip
    with platform(externalcontact__groupchat__list=pages) as at, at.client() as client:
        assert list(contacts.customer_rooms(client)) == ["wr1", "wr2", "wr3"]
        assert [a.body["cursor"] for a in at.asked if a.body] == ["", "A", "B"]


def test_a_customer_a_customer_group_and_handovers_are_read() -> None:
    customer = {
        **OK, "external_contact": {"external_userid": "wmA", "name": "李四", "type": 2, "corp_name": "腾讯", "unionid": "u"},
        "follow_user": [{"userid": "zhangsan", "remark": "老李", "createtime": 1525779812, "add_way": 1}, {"remark": "no userid"}],
    }  # fmt: skip
    group = {**OK, "group_chat": {"chat_id": "wr1", "name": "客户群", "owner": "zhangsan", "create_time": 1572505490, "member_list": [
        {"userid": "zhangsan", "type": 1, "join_time": 1572505491}, {"userid": "wmA", "type": 2, "join_time": 1572505492},
    ]}}  # fmt: skip
    passed = {**OK, "customer": [
        {"external_userid": "wmA", "status": 1, "takeover_time": 1588262400}, {"external_userid": "wmB", "status": 3, "takeover_time": 0}, {"status": 1},
    ]}  # fmt: skip
    waiting = {**OK, "info": [{"handover_userid": "zhangsan", "external_userid": "wmC", "dimission_time": 1550838571}], "is_last": True}
    with platform(
        externalcontact__get=[customer, {"errcode": 84061}], externalcontact__groupchat__get=[group, {"errcode": 90501}],
        externalcontact__resigned__transfer_result=[passed], externalcontact__get_unassigned_list=[waiting],
    ) as at, at.client() as client:  # fmt: skip
        found = contacts.customer(client, "wmA")
        assert (found.name, found.wecom, found.corp_name) == ("李四", True, "腾讯")
        assert [(f.userid, f.remark, f.since_ms) for f in found.follows] == [("zhangsan", "老李", 1525779812000)]
        with pytest.raises(Unresolved):
            contacts.customer(client, "wmGone")
        room = contacts.customer_room(client, "wr1")
        assert (room.name, room.owner_id, room.members) == ("客户群", "zhangsan", (Member("zhangsan", 1572505491000), Member("wmA", 1572505492000)))
        with pytest.raises(Unresolved) as other:
            contacts.customer_room(client, "wrInternal")
        assert other.value.action == "other_call"
        assert [(h.external_userid, h.state, h.at_ms) for h in contacts.handovers(client, "zhangsan", "lisi", resigned=True)] == [
            ("wmA", "done", 1588262400000), ("wmB", "refused", None)
        ]  # fmt: skip
        assert list(contacts.unassigned(client)) == [("zhangsan", "wmC", 1550838571000)]


def test_behaviour_is_counted_by_beijing_day() -> None:
    counted = {**OK, "behavior_data": [{"stat_time": 1795104000, "chat_cnt": 12, "message_cnt": 340, "reply_percentage": 80.2}, {"chat_cnt": 1}]}
    with platform(externalcontact__get_user_behavior_data=[counted]) as at, at.client() as client:
        (found,) = statistics.behaviour(client, "zhangsan", date(2026, 11, 20), date(2026, 11, 20))
        assert at.asked[-1].body == {"userid": ["zhangsan"], "start_time": 1795104000, "end_time": 1795104000}
        with pytest.raises(ValueError, match="30"):
            statistics.behaviour(client, "zhangsan", date(2026, 10, 1), date(2026, 10, 31))
    assert (found.day, found.chats, found.messages) == (date(2026, 11, 20), 12, 340)


def test_mass_messages_tell_whether_the_firm_wrote_them() -> None:
    page = {**OK, "group_msg_list": [{"msgid": "msg1", "creator": "zhangsan", "create_time": 1795104001, "create_type": 0, "text": {"content": "年报"}}]}
    with platform(externalcontact__get_groupmsg_list_v2=[page, {**OK, "group_msg_list": []}]) as at, at.client() as client:
        (found,) = statistics.mass_messages(client, date(2026, 11, 20), date(2026, 11, 20))
        assert [a.body["chat_type"] for a in at.asked if a.body] == ["single", "group"]
        assert (at.asked[1].body["start_time"], at.asked[1].body["end_time"]) == (1795104000, 1795190399)
    assert (found.msgid, found.created_ms, found.by_member, found.text) == ("msg1", 1795104001000, False, "年报")
