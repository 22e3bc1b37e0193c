"""A sync over real HTTP into a real home: what the archive then says of the time, and that nothing is added twice."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.clock import DAY_MS
from pipeline.errors import SourceRefused
from pipeline.home import Home
from pipeline.lakerows import directory_of
from pipeline.people_history.sync import Synced, sync
from pipeline.wecom import callback_events, callback_store
from tests import firm
from tests.firm import message
from tests.wecom.platform import Platform, platform

OK: dict[str, Any] = {"errcode": 0, "errmsg": "ok"}
NOW = firm.T0 + 3_600_000


def person(userid: str, name: str, department: int) -> dict[str, Any]:
    return {"userid": userid, "name": name, "department": [department], "main_department": department, "status": 1}


CUSTOMER_GROUP = {**OK, "group_chat": {"chat_id": "wrCustomers", "name": "客户群", "owner": "zhangsan", "create_time": 1572505490, "member_list": [
    {"userid": "zhangsan", "type": 1, "join_time": 1572505491}, {"userid": "wmA", "type": 2, "join_time": 1572505492},
]}}  # fmt: skip
WANG = {
    "external_contact": {"external_userid": "wmA", "name": "王女士", "type": 1},
    "follow_info": {"userid": "zhangsan", "remark": "王姐", "createtime": 1525779812, "add_way": 1},
}  # fmt: skip
HANDED = {**WANG, "follow_info": {"userid": "lisi", "remark": "", "createtime": (NOW + DAY_MS) // 1000, "add_way": 202}}
MASS = {
    "msgid": "msgGCAAAXtWyujaWJHDDGi0mAC", "creator": "zhangsan", "create_time": firm.T0 // 1000, "create_type": 0,
    "text": {"content": "尊敬的客户，公司年度报告已发布，请查阅官方网站"},
}  # fmt: skip
ANSWERS: dict[str, list[Any]] = {
    "msgaudit__get_permit_user_list": [{**OK, "ids": ["zhangsan"]}, {**OK, "ids": ["zhangsan"]}, {**OK, "ids": []}],
    "msgaudit__get_robot_info": [{**OK, "data": {"robot_id": "wbHelper", "name": "小助手", "creator_userid": "zhangsan"}}],
    "department__list": [{**OK, "department": [{"id": 1, "name": "公司", "parentid": 0}, {"id": 2, "name": "理财部", "parentid": 1}]}],
    "user__list": [{**OK, "userlist": [person("zhangsan", "张三", 2)]}],
    "user__get": [{**OK, **person("lisi", "李四", 2)}],
    "externalcontact__groupchat__list": [{**OK, "group_chat_list": [{"chat_id": "wrCustomers", "status": 0}]}],
    "externalcontact__groupchat__get": [lambda asked: CUSTOMER_GROUP if asked.body["chat_id"] == "wrCustomers" else {"errcode": 90501, "errmsg": "not external"}],
    "msgaudit__groupchat__get": [{**OK, "roomname": "内部群", "creator": "lisi", "room_create_time": 1592361604, "members": [{"memberid": "lisi", "jointime": 1592361605}]}],
    "externalcontact__get_follow_user_list": [{**OK, "follow_user": ["zhangsan"]}],
    "externalcontact__batch__get_by_user": [{**OK, "external_contact_list": [WANG]}],
    "externalcontact__get": [{"errcode": 84061, "errmsg": "no relation"}],
    "externalcontact__get_unassigned_list": [{**OK, "info": [{"handover_userid": "zhaoliu", "external_userid": "wmZ", "dimission_time": 1550838571}]}],
    "externalcontact__get_groupmsg_list_v2": [
        lambda asked: {**OK, "group_msg_list": [MASS] if asked.body["chat_type"] == "single" else []},
    ],
    "externalcontact__get_user_behavior_data": [{**OK, "behavior_data": [{"stat_time": firm.T0 // 1000 - 2 * 3600 - 86400, "chat_cnt": 2, "message_cnt": 9}]}],
}  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Home:
    folder = tmp_path_factory.mktemp("directory")
    at = firm.home(folder, settings={"corp.ww1.contacts_secret": "env:X"})
    batch = {
        1: message(1, "昨天", at_ms=firm.T0 - DAY_MS), 2: message(2, "今天"), 3: message(3, "群里", room="wrCustomers", to=["wmA", "lisi"]),
        4: message(4, "内部", sender="lisi", to=["zhangsan", "wbHelper"], room="wrInside"), 5: message(5, "找你", sender="lisi", to=["wmStranger"]),
    }  # fmt: skip
    firm.run(at, firm.page(folder, "a.json", batch))
    return at


@pytest.fixture(scope="module")
def first(made: Home) -> Iterator[tuple[Home, Platform, Synced]]:
    with platform(**ANSWERS) as at, at.client() as client:
        yield made, at, sync(made, "ww1", client, now_ms=lambda: NOW)


def test_everybody_who_chats_is_known_afterwards_with_their_kind(first: tuple[Home, Platform, Synced]) -> None:
    home, _, done = first
    assert done.mass_messages == 1 and done.exit_code == 0 and done.rows == {
        "seats": 2, "people": 6, "departments": 2, "rooms": 2, "memberships": 3, "follows": 1, "handovers": 1, "behaviour": 1
    }  # fmt: skip
    people = directory_of(home.lake("ww1"), home.lake("ww1").snapshot())
    assert [people.kind_at(p, firm.T0 - DAY_MS) for p in ("zhangsan", "LISI", "wbHelper", "wmA")] == ["employee", "employee", "robot", "external"]
    assert (people.name_at("zhangsan", firm.T0), people.name_at("zhangsan", NOW), people.department_at("lisi", NOW)) == (None, "张三", "理财部")
    assert firm.values(home, "SELECT userid, name FROM people WHERE kind = 'external'") == [("wmA", "王女士")]


def test_rooms_members_customers_and_handovers_are_in_the_views(first: tuple[Home, Platform, Synced]) -> None:
    home, _, _ = first
    assert firm.values(home, "SELECT room_id, name, owner_id, internal FROM rooms ORDER BY 1") == [
        ("wrCustomers", "客户群", "zhangsan", False), ("wrInside", "内部群", "lisi", True)
    ]  # fmt: skip
    assert firm.values(home, "SELECT room_id, member_id, epoch_ms(valid_from) FROM memberships ORDER BY 1, 2") == [
        ("wrCustomers", "wmA", 1572505492000), ("wrCustomers", "zhangsan", 1572505491000), ("wrInside", "lisi", 1592361605000)
    ]  # fmt: skip
    assert firm.values(home, "SELECT external_userid, userid, remark, epoch_ms(valid_from) FROM follows") == [("wmA", "zhangsan", "王姐", 1525779812000)]
    assert firm.values(home, "SELECT external_userid, from_userid, to_userid, state FROM handovers") == [("wmZ", "zhaoliu", None, "unassigned")]


def test_who_chats_without_a_seat_is_shown_and_wecoms_count_stands_beside_ours(first: tuple[Home, Platform, Synced]) -> None:
    home, _, done = first
    assert done.unlicensed == 1
    assert firm.values(home, "SELECT employee_id, licensed, messages FROM seat_coverage ORDER BY 1") == [("lisi", False, 2), ("zhangsan", True, 2)]
    assert firm.values(home, "SELECT employee_id, chats, messages, archived_messages, missing FROM behaviour") == [("zhangsan", 2, 9, 1, 8)]


def test_the_same_day_again_asks_and_adds_nothing(first: tuple[Home, Platform, Synced]) -> None:
    home, _, _ = first
    with platform(**ANSWERS) as at, at.client() as client:
        again = sync(home, "ww1", client, now_ms=lambda: NOW + 60_000)
        assert again.rows == {} and at.paths() == []


def test_the_next_day_adds_only_what_changed(first: tuple[Home, Platform, Synced]) -> None:
    home, _, _ = first
    changed = {**ANSWERS, "user__list": [{**OK, "userlist": [person("zhangsan", "张三", 1), person("LiSi", "李四", 2)]}], "user__get": [{"errcode": 60111}]}
    with platform(**changed) as at, at.client() as client:
        done = sync(home, "ww1", client, now_ms=lambda: NOW + DAY_MS)
        assert {k: v for k, v in done.rows.items() if k not in ("seats", "behaviour")} == {"people": 1}
        assert "user/get" not in at.paths()
    people = directory_of(home.lake("ww1"), home.lake("ww1").snapshot())
    assert (people.department_at("zhangsan", NOW), people.department_at("zhangsan", NOW + DAY_MS)) == ("理财部", "公司")


def test_a_callback_of_a_leaver_is_taken_before_wecom_forgets_him(first: tuple[Home, Platform, Synced]) -> None:
    home, _, _ = first
    left = b"<xml><CreateTime>%d</CreateTime><Event>change_contact</Event><ChangeType>delete_user</ChangeType><UserID>lisi</UserID></xml>" % (NOW // 1000 + 86_400)
    callback_store.accept(home, "ww1", callback_events.read(left, received_ms=NOW + DAY_MS + 500))
    with platform(**ANSWERS) as at, at.client() as client:
        done = sync(home, "ww1", client, now_ms=lambda: NOW + DAY_MS + 1000)
        assert done.rows == {"people": 1} and at.paths() == []
    people = directory_of(home.lake("ww1"), home.lake("ww1").snapshot())
    assert (people.kind_at("lisi", NOW + DAY_MS - 1000), people.name_at("lisi", NOW + DAY_MS - 1000), people.kind_at("lisi", NOW + DAY_MS)) == ("employee", "李四", "external")
    assert callback_store.waiting(home, "ww1") == []


@pytest.mark.slow
def test_a_handover_that_waited_for_the_customer_is_asked_about_until_it_is_settled(tmp_path: Path) -> None:
    home = firm.home(tmp_path, keys=(), settings={"corp.ww1.contacts_secret": "env:X"})
    waits, done = ({**OK, "customer": [{"external_userid": "wmA", "status": status, "takeover_time": at}]} for status, at in ((2, 0), (1, NOW // 1000 + 700_000)))
    answers = {**ANSWERS, "externalcontact__get_unassigned_list": [{**OK, "info": []}], "externalcontact__transfer_result": [waits, waits, {"errcode": 40003}, done]}
    with platform(**answers) as at, at.client() as client:
        sync(home, "ww1", client, now_ms=lambda: NOW)
        at.answers["externalcontact/batch/get_by_user"] = [{**OK, "external_contact_list": [HANDED]}]
        for day in range(7, 14):
            sync(home, "ww1", client, now_ms=lambda day=day: NOW + day * DAY_MS)  # type: ignore[misc]  # bound now
        assert at.paths().count("externalcontact/transfer_result") == 4
    query = "SELECT external_userid, from_userid, to_userid, state FROM handovers ORDER BY valid_from"
    assert firm.values(home, query) == [("wmA", "zhangsan", "lisi", "waiting"), ("wmA", "zhangsan", "lisi", "done")]


# --- what goes wrong ---


def test_a_part_the_app_may_not_call_is_told_and_the_others_go_on(tmp_path: Path) -> None:
    home = firm.home(tmp_path, keys=(), settings={"corp.ww1.contacts_secret": "env:X"})
    with platform(**{**ANSWERS, "externalcontact__get_follow_user_list": [{"errcode": 48002}]}) as at, at.client() as client:
        done = sync(home, "ww1", client, now_ms=lambda: NOW)
    assert (done.refused, done.exit_code) == (["customers"], 4)
    assert done.rows["people"] == 2 and done.rows["seats"] == 2


def test_customers_are_kept_where_the_app_may_not_ask_how_their_handover_stands(tmp_path: Path) -> None:
    home = firm.home(tmp_path, keys=(), settings={"corp.ww1.contacts_secret": "env:X"})
    with platform(**{**ANSWERS, "externalcontact__transfer_result": [{"errcode": 48002}]}) as at, at.client() as client:
        sync(home, "ww1", client, now_ms=lambda: NOW)
        at.answers["externalcontact/batch/get_by_user"] = [{**OK, "external_contact_list": [HANDED]}]
        done = sync(home, "ww1", client, now_ms=lambda: NOW + 7 * DAY_MS)
    assert (done.refused, done.exit_code) == (["handovers"], 4)
    assert firm.values(home, "SELECT to_userid, state FROM handovers WHERE external_userid = 'wmA'") == [("lisi", "seen")]


def test_a_network_that_fails_keeps_what_was_committed_and_goes_on_next_time(tmp_path: Path) -> None:
    home = firm.home(tmp_path, keys=(), settings={"corp.ww1.contacts_secret": "env:X"})
    with platform(**{**ANSWERS, "user__list": [502]}) as at, at.client() as client:
        done = sync(home, "ww1", client, now_ms=lambda: NOW)
        assert (done.unreachable, done.exit_code, done.rows) == ("WECOM_HTTP", 3, {"seats": 2})
        at.answers["user/list"] = ANSWERS["user__list"]
        at.asked.clear()
        assert sync(home, "ww1", client, now_ms=lambda: NOW + 1000).rows["people"] == 3
        assert "msgaudit/get_permit_user_list" not in at.paths()


def test_a_wrong_address_ends_the_sync(tmp_path: Path) -> None:
    home = firm.home(tmp_path, keys=())
    with platform(gettoken=[{"errcode": 60020}]) as at, at.client() as client, pytest.raises(SourceRefused):
        sync(home, "ww1", client, now_ms=lambda: NOW)


def test_without_a_contacts_secret_the_archives_own_calls_are_made(tmp_path: Path) -> None:
    home = firm.home(tmp_path, keys=())
    with platform(**ANSWERS) as at, at.client() as client:
        assert sync(home, "ww1", client, now_ms=lambda: NOW).rows == {"seats": 2}
        assert set(at.paths()) == {"gettoken", "msgaudit/get_permit_user_list"}


def test_no_name_secret_or_token_lies_readable_in_the_home(first: tuple[Home, Platform, Synced]) -> None:
    home, _, _ = first
    needles = [w.encode() for w in ("王女士", "王姐", "张三", "客户群", "小助手", "理财部", "wmA", "zhaoliu", "s-archive", "s-contacts", "年度报告")]
    # not inside a longer word of letters: the text of keys and digests may hold three of them by chance
    readable = [re.compile(rb"(?<![0-9A-Za-z+/])" + re.escape(n) + rb"(?![0-9A-Za-z+/])" if n.isalnum() else re.escape(n)) for n in needles]
    found = {(p.name, n.pattern.decode()) for p in home.path.rglob("*") if p.is_file() for n in readable if n.search(p.read_bytes())}
    assert found == set()
    assert {n.decode() for p in home.path.rglob("*") for n in needles if n in str(p.relative_to(home.path)).encode()} == set()
