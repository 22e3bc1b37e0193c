"""What the calls of the platform answer about the made-up corp, field by field as documented, and how it changes."""

from __future__ import annotations

from typing import Any

import pytest

from tests.simulate.doubles import NOW_MS, Asker

EMPLOYEE = "ZhaoShijia"
NOW_S = NOW_MS // 1000
# 2026-11-16 00:00 in Beijing, the first of the five days
FIRST_DAY_S = 1_794_758_400
DAY_S = 86_400


def served_by(asker: Asker, userid: str = EMPLOYEE, number: int = 5) -> str:
    """A customer of this employee about whom no decision is known."""
    ids: list[str] = asker.get("externalcontact/list", userid=userid)["external_userid"]
    return ids[number]


def customer_room(asker: Asker) -> str:
    room: str = asker.post("externalcontact/groupchat/list", {"limit": 1})["group_chat_list"][0]["chat_id"]
    return room


def staff_room(asker: Asker) -> str:
    return next(r.room_id for r in asker.server.double.corp.rooms.values() if r.internal)


def single(asker: Asker, *pairs: tuple[str, str]) -> list[dict[str, Any]]:
    found = asker.post("msgaudit/check_single_agree", {"info": [{"userid": u, "exteranalopenid": e} for u, e in pairs]}, secret="archive")
    infos: list[dict[str, Any]] = found["agreeinfo"]
    return infos


# --- members and departments ---


def test_a_member_is_told_with_alias_position_and_what_customers_see(standing: Asker) -> None:
    assert standing.get("user/get", userid="zhaoshijia") == {
        "errcode": 0, "errmsg": "ok", "userid": "ZhaoShijia", "name": "赵示甲（DEMO）", "alias": "小赵", "department": [2], "order": [0],
        "main_department": 2, "position": "客户经理", "is_leader_in_dept": [1], "direct_leader": [], "status": 1,
        "external_position": "演示客户经理（DEMO）", "extattr": {"attrs": []},
        "external_profile": {"external_corp_name": "演示证券保险（DEMO）", "external_attr": []}, "open_userid": "woOPENZhaoShijia",
    }  # fmt: skip


def test_who_left_or_never_was_is_60111(lively: Asker) -> None:
    assert [lively.get("user/get", userid=u)["errcode"] for u in ("left.shili", "nobody", "")] == [60111, 60111, 60111]


def test_departments_hang_under_the_firm(standing: Asker) -> None:
    found = standing.get("department/list")["department"]
    assert [(d["id"], d["name"], d["parentid"]) for d in found] == [
        (1, "演示证券保险（DEMO）", 0), (2, "证券经纪部", 1), (3, "财富管理部", 1), (4, "保险代理部", 1), (5, "机构业务部", 1),
        (6, "客户服务部", 1), (7, "合规部", 1), (8, "运营部", 1),
    ]  # fmt: skip
    assert standing.get("department/list", id=99)["errcode"] == 60123
    assert len(standing.get("user/simplelist", department_id=1, fetch_child=1)["userlist"]) == 60
    assert standing.get("user/simplelist", department_id=1)["userlist"] == []
    moved = [m["userid"] for m in standing.get("user/list", department_id=6)["userlist"]]
    assert "WuShijia" in moved and len(moved) == 4, "one came over from another department"


def test_all_members_come_in_pages(standing: Asker) -> None:
    found: list[str] = []
    cursor = ""
    for _ in range(10):
        page = standing.post("user/list_id", {"cursor": cursor, "limit": 7})
        found += [m["userid"] for m in page["dept_user"]]
        cursor = page["next_cursor"]
        if not cursor:
            break
    assert len(found) == 60 == len(set(found))


def test_a_member_changes_and_a_member_leaves(fresh: Asker) -> None:
    fresh.admin("people", {"userid": "QianShijia", "changes": {"name": "钱新名（DEMO）", "department": [7]}})
    changed = fresh.get("user/get", userid="QianShijia")
    assert (changed["name"], changed["main_department"], changed["alias"]) == ("钱新名（DEMO）", 7, "小钱")
    customer = served_by(fresh, "QianShijia")
    fresh.admin("people", {"userid": "QianShijia", "left": True})
    assert fresh.get("user/get", userid="QianShijia")["errcode"] == 60111
    assert "QianShijia" not in fresh.post("msgaudit/get_permit_user_list", {}, secret="archive")["ids"]
    assert fresh.get("externalcontact/list", userid="QianShijia")["errcode"] == 60111
    follows = fresh.get("externalcontact/get", external_userid=customer)
    assert follows["errcode"] == 84061 or "QianShijia" not in [f["userid"] for f in follows["follow_user"]]
    assert fresh.send("POST", "/_admin/people", {"userid": "QianShijia", "left": True}).status == 400


# --- seats ---


def test_seats_by_edition(fresh: Asker) -> None:
    def permitted(**body: int) -> list[str]:
        ids: list[str] = fresh.post("msgaudit/get_permit_user_list", body, secret="archive")["ids"]
        return ids

    assert [len(permitted()), len(permitted(type=1)), len(permitted(type=3))] == [60, 60, 50]
    fresh.admin("seats", {"remove": ["zhaoshijia"]})
    assert "ZhaoShijia" not in permitted() and len(permitted()) == 59
    fresh.admin("seats", {"add": ["ZhaoShijia"], "editions": [2]})
    assert "ZhaoShijia" in permitted() and "ZhaoShijia" not in permitted(type=1)
    assert fresh.post("msgaudit/get_permit_user_list", {"type": 9}, secret="archive")["errcode"] == 40058


# --- consent ---


def test_consent_of_a_pair_by_default_refused_and_agreed(lively: Asker) -> None:
    customer = served_by(lively)
    (before,) = single(lively, (EMPLOYEE, customer))
    assert (before["agree_status"], before["userid"], before["exteranalopenid"]) == ("Default_Agree", EMPLOYEE, customer)
    assert before["status_change_time"] < FIRST_DAY_S
    last = lively.admin("state", method="GET")["last_seq"]
    lively.admin("consent", {"userid": EMPLOYEE, "external_userid": customer, "status": "Disagree"})
    assert single(lively, (EMPLOYEE, customer)) == [
        {"status_change_time": NOW_S, "userid": EMPLOYEE, "exteranalopenid": customer, "agree_status": "Disagree"}
    ]
    assert lively.seqs(last) == [last + 1], "a record tells of it, too"
    assert lively.truth()[-1].type == "disagree"
    lively.admin("clock", {"advance_s": 60})
    lively.admin("consent", {"userid": EMPLOYEE, "external_userid": customer, "status": "Agree", "quietly": True})
    assert [(a["agree_status"], a["status_change_time"]) for a in single(lively, (EMPLOYEE, customer))] == [("Agree", NOW_S + 60)]
    assert lively.seqs(last) == [last + 1], "the second decision is known to the calls only"
    lively.admin("consent", {"userid": EMPLOYEE, "external_userid": customer, "status": "Disagree", "at": 1_794_000_000})
    assert [(a["agree_status"], a["status_change_time"]) for a in single(lively, (EMPLOYEE, customer))] == [("Disagree", 1_794_000_000)]


def test_a_pair_that_never_met_is_left_out(standing: Asker) -> None:
    customer = served_by(standing)
    assert single(standing, (EMPLOYEE, "wmNobody"), (EMPLOYEE, customer), ("nobody", customer)) == single(standing, (EMPLOYEE, customer))


@pytest.mark.parametrize("count", [0, 101])
def test_a_hundred_pairs_at_most(standing: Asker, count: int) -> None:
    body = {"info": [{"userid": "a", "exteranalopenid": "b"}] * count}
    assert standing.post("msgaudit/check_single_agree", body, secret="archive")["errcode"] == 40058


def test_every_refusal_of_the_story_stands_in_the_calls(standing: Asker) -> None:
    plan = standing.server.double.plan
    standing_refusals = [r for r in plan.refusals if r.until_ms is None]
    assert len(standing_refusals) == 9
    for refusal in standing_refusals:
        if refusal.userid:
            (told,) = single(standing, (refusal.userid, refusal.external_userid))
        else:
            found = standing.post("msgaudit/check_room_agree", {"roomid": refusal.room_id}, secret="archive")["agreeinfo"]
            (told,) = (a for a in found if a["exteranalopenid"] == refusal.external_userid)
        assert (told["agree_status"], told["status_change_time"]) == ("Disagree", refusal.from_ms // 1000)


def test_consent_of_a_room_is_told_for_its_external_members_only(lively: Asker) -> None:
    room = customer_room(lively)
    members = lively.post("externalcontact/groupchat/get", {"chat_id": room})["group_chat"]["member_list"]
    outside = [m["userid"] for m in members if m["type"] == 2]
    found = lively.post("msgaudit/check_room_agree", {"roomid": room}, secret="archive")["agreeinfo"]
    assert [a["exteranalopenid"] for a in found] == outside
    lively.admin("consent", {"roomid": room, "external_userid": outside[0], "status": "Disagree"})
    changed = lively.post("msgaudit/check_room_agree", {"roomid": room}, secret="archive")["agreeinfo"]
    assert changed[0] == {"status_change_time": NOW_S, "exteranalopenid": outside[0], "agree_status": "Disagree"}
    assert single(lively, (EMPLOYEE, outside[0])) == [] or single(lively, (EMPLOYEE, outside[0]))[0]["agree_status"] != "Disagree"


# --- rooms and robots ---


def test_internal_and_customer_rooms_answer_at_their_own_call_only(standing: Asker) -> None:
    inside, outside = staff_room(standing), customer_room(standing)
    told = standing.post("msgaudit/groupchat/get", {"roomid": inside}, secret="archive")
    assert sorted(told) == ["creator", "errcode", "errmsg", "members", "notice", "room_create_time", "roomname"]
    assert (told["roomname"], told["creator"], len(told["members"])) == ("证券经纪部（DEMO）", "ZhaoShijia", 18)
    assert standing.post("externalcontact/groupchat/get", {"chat_id": inside})["errcode"] == 90501
    assert standing.post("msgaudit/groupchat/get", {"roomid": outside}, secret="archive")["errcode"] == 301059
    assert standing.post("externalcontact/groupchat/get", {"chat_id": "wrNone"})["errcode"] == 40050


def test_a_customer_room_and_its_change(fresh: Asker) -> None:
    room = customer_room(fresh)
    before = fresh.post("externalcontact/groupchat/get", {"chat_id": room, "need_name": 1})["group_chat"]
    gone = next(m for m in before["member_list"] if m["type"] == 2)
    assert gone["name"].endswith("（DEMO）") and gone["invitor"] == {"userid": before["owner"]}
    fresh.admin("rooms", {"roomid": room, "remove": [gone["userid"]], "add": ["ZhaoShiyi"], "name": "新名字（DEMO）"})
    after = fresh.post("externalcontact/groupchat/get", {"chat_id": room})["group_chat"]
    assert after["name"] == "新名字（DEMO）" and after["member_version"] != before["member_version"]
    ids = [m["userid"] for m in after["member_list"]]
    assert gone["userid"] not in ids and ids[-1] == "ZhaoShiyi" and "name" not in after["member_list"][0]


def test_robots_are_told_by_id(standing: Asker) -> None:
    robot = next(iter(standing.server.double.corp.robots))
    data = standing.get("msgaudit/get_robot_info", secret="archive", robot_id=robot)["data"]
    assert data == {"robot_id": robot, "name": "示例提醒机器人（DEMO）", "creator_userid": "YangShiwu"}
    assert standing.get("msgaudit/get_robot_info", secret="archive", robot_id="wbNone")["errcode"] == 40058


# --- customers ---


def test_a_customer_and_by_whom_they_are_served(lively: Asker) -> None:
    customer = served_by(lively)
    lively.admin("follows", {"userid": EMPLOYEE, "external_userid": customer, "changes": {"remark": "老客户", "state": "qr-7", "tags": ["高净值"]}})
    found = lively.get("externalcontact/get", external_userid=customer)
    assert found["external_contact"]["external_userid"] == customer and found["external_contact"]["type"] == 1
    mine = next(f for f in found["follow_user"] if f["userid"] == EMPLOYEE)
    assert (mine["remark"], mine["state"], [t["tag_name"] for t in mine["tags"]]) == ("老客户", "qr-7", ["高净值"])
    assert lively.get("externalcontact/get", external_userid="wmNobody")["errcode"] == 40096


def test_a_customer_of_another_firm_has_its_name(standing: Asker) -> None:
    colleague = next(c for c in standing.server.double.corp.customers if c.startswith("wo"))
    found = standing.get("externalcontact/get", external_userid=colleague)
    assert (found["external_contact"]["type"], found["external_contact"]["corp_name"]) == (2, "示例贸易（DEMO）")


def test_a_contact_that_ended_is_no_contact(fresh: Asker) -> None:
    customer = next(c for c in fresh.get("externalcontact/list", userid=EMPLOYEE)["external_userid"] if len(fresh.server.double.corp.follows_of(c)) == 1)
    fresh.admin("follows", {"userid": EMPLOYEE, "external_userid": customer, "ended_by": "customer"})
    assert fresh.get("externalcontact/get", external_userid=customer)["errcode"] == 84061


def test_customers_of_several_come_in_pages(standing: Asker) -> None:
    found: list[tuple[str, str]] = []
    cursor = ""
    while True:
        page = standing.post("externalcontact/batch/get_by_user", {"userid_list": ["ZhaoShijia", "QianShijia"], "cursor": cursor, "limit": 10})
        found += [(c["follow_info"]["userid"], c["external_contact"]["external_userid"]) for c in page["external_contact_list"]]
        cursor = page["next_cursor"]
        if not cursor:
            break
    one, other = (standing.get("externalcontact/list", userid=u)["external_userid"] for u in ("ZhaoShijia", "QianShijia"))
    assert found == [("ZhaoShijia", c) for c in one] + [("QianShijia", c) for c in other]
    assert len(standing.get("externalcontact/get_follow_user_list")["follow_user"]) == 50


# --- handovers, mass messages, statistics ---


def test_handovers_of_one_who_left(lively: Asker) -> None:
    body = {"handover_userid": "left.shili", "takeover_userid": EMPLOYEE}
    found = lively.post("externalcontact/resigned/transfer_result", body)
    assert [(c["status"], c["takeover_time"]) for c in found["customer"]] == [(1, FIRST_DAY_S + DAY_S), (1, FIRST_DAY_S + DAY_S), (3, 0), (2, 0)]
    assert lively.post("externalcontact/transfer_result", body)["customer"] == []
    at_work = lively.post("externalcontact/transfer_result", {"handover_userid": "QianShijia", "takeover_userid": EMPLOYEE})
    assert [c["status"] for c in at_work["customer"]] == [1]
    waiting = lively.post("externalcontact/get_unassigned_list", {"page_size": 1000})["info"]
    assert [(w["handover_userid"], w["dimission_time"]) for w in waiting] == [("left.shili", FIRST_DAY_S)] * 2


def test_mass_messages_tell_who_wrote_them(standing: Asker) -> None:
    span = {"chat_type": "single", "start_time": FIRST_DAY_S, "end_time": FIRST_DAY_S + 5 * DAY_S}
    found = standing.post("externalcontact/get_groupmsg_list_v2", span)["group_msg_list"]
    assert [(m["create_type"], m["text"]["content"]) for m in found] == [(0, "演示活动通知（DEMO）"), (1, "演示早安（DEMO）")]
    assert [m["create_type"] for m in standing.post("externalcontact/get_groupmsg_list_v2", {**span, "filter_type": 1})["group_msg_list"]] == [1]
    assert standing.post("externalcontact/get_groupmsg_list_v2", {**span, "end_time": FIRST_DAY_S})["group_msg_list"] == []
    firm = found[0]["msgid"]
    assert len(standing.post("externalcontact/get_groupmsg_task", {"msgid": firm})["task_list"]) == 5
    sent = standing.post("externalcontact/get_groupmsg_send_result", {"msgid": firm, "userid": EMPLOYEE})["send_list"]
    assert [s["status"] for s in sent] == [1, 1, 2, 0]


def test_the_platform_counts_what_a_member_said_to_customers_alone(fresh: Asker) -> None:
    """Two messages to one customer, one to another; what customers say, rooms and colleagues do not count."""
    one, other = served_by(fresh, number=1), served_by(fresh, number=2)
    today = NOW_S - (NOW_S + 8 * 3600) % DAY_S

    def counted() -> tuple[int, int]:
        body = {"userid": [EMPLOYEE], "start_time": today, "end_time": today}
        (day,) = fresh.post("externalcontact/get_user_behavior_data", body)["behavior_data"]
        assert day["stat_time"] == today
        return day["chat_cnt"], day["message_cnt"]

    assert counted() == (0, 0)
    for sender, to, room in (
        (EMPLOYEE, one, ""), (EMPLOYEE.lower(), one, ""), (EMPLOYEE, other, ""), (one, EMPLOYEE, ""), (EMPLOYEE, "QianShijia", ""), (EMPLOYEE, one, "wrX"),
    ):  # fmt: skip
        fresh.admin("say", {"from": sender, "to": [to], "roomid": room, "text": "在吗"})
    assert counted() == (2, 3)


@pytest.mark.parametrize(
    ("users", "first", "last", "errcode"),
    [
        pytest.param(["ZhaoShijia"], -29, 0, 0, id="30 days"),
        pytest.param(["ZhaoShijia"], -30, 0, 40058, id="31 days"),
        pytest.param(["ZhaoShijia"], -180, -180, 0, id="180 days back"),
        pytest.param(["ZhaoShijia"], -181, -181, 40058, id="181 days back"),
        pytest.param([], 0, 0, 40058, id="nobody"),
        pytest.param(["nobody"], 0, 0, 60111, id="unknown"),
    ],
)
def test_the_limits_of_the_statistics(standing: Asker, users: list[str], first: int, last: int, errcode: int) -> None:
    body = {"userid": users, "start_time": NOW_S + first * DAY_S, "end_time": NOW_S + last * DAY_S}
    found = standing.post("externalcontact/get_user_behavior_data", body)
    assert found["errcode"] == errcode
    assert len(found.get("behavior_data", [])) == (last - first + 1 if not errcode else 0)
