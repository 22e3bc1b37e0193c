"""History: what follows from what is seen, and that the directory reads it as meant."""

from __future__ import annotations

import pytest

from pipeline.directory import Directory, Entry
from pipeline.people_history import customers, members, told
from pipeline.people_history.facts import Fact, Seen, changes, current, endings
from pipeline.wecom.callback_events import Event
from pipeline.wecom.contacts import Colleague, Customer, Department, Follow

DAY = 86_400_000


def fact(values: tuple[str | None, ...], begin: int | None, end: int | None = None, *, key: str = "k", recorded: int = 0) -> Fact:
    return Fact(key=(key,), ids=(key,), values=values, valid_from_ms=begin, valid_to_ms=end, source="contacts", recorded_at_ms=recorded)


def seen(*values: str | None, since: int | None = None) -> dict[tuple[str, ...], Seen]:
    return {("k",): Seen(ids=("k",), values=values, since_ms=since)}


@pytest.mark.parametrize(
    ("known", "now", "expected"),
    [
        pytest.param([], seen("A"), [("A", 100, None)], id="new: since it was seen"),
        pytest.param([], seen("A", since=40), [("A", 40, None)], id="new: since when the source says"),
        pytest.param([], seen("A", since=900), [("A", 100, None)], id="a time to come is not believed"),
        pytest.param([fact(("A",), 50)], seen("A"), [], id="the same again"), pytest.param([fact(("A",), None)], seen("A"), [], id="the same since always"),
        pytest.param([fact(("A",), 50)], seen("B"), [("B", 100, None)], id="another value"), pytest.param([fact(("A",), 50)], seen(None), [], id="not told: stays"),
        pytest.param([fact(("A",), 50), fact(("A",), 50, 80, recorded=80)], seen("A"), [("A", 100, None)], id="came back"),
        pytest.param([fact(("A",), 50), fact(("A",), 50, 80, recorded=80)], seen(None, since=60), [("A", 80, None)], id="came back, dated before the end"),
        pytest.param([fact(("A",), 200)], seen("B"), [("B", 201, None)], id="the clock was set back"),
        pytest.param([fact(("A",), 50), fact(("B",), 70)], seen("A"), [("A", 100, None)], id="back to an earlier name"),
    ],
)  # fmt: skip
def test_what_is_seen_adds_the_rows_that_follow(known: list[Fact], now: dict[tuple[str, ...], Seen], expected: list[tuple[str, int, int | None]]) -> None:
    held = current(known)
    new = list(changes(held, now, at_ms=100, source="contacts"))
    assert [(f.values[0], f.valid_from_ms, f.valid_to_ms) for f in new] == expected
    assert list(changes(current([*known, *new]), now, at_ms=300, source="contacts")) == []


def test_an_end_repeats_the_last_row_and_happens_once() -> None:
    known = [fact(("A",), 50), fact(("B",), 70)]
    (end,) = endings(current(known), {("k",): 90, ("nobody",): 90}, at_ms=100, source="callback")
    assert (end.values, end.valid_from_ms, end.valid_to_ms, end.recorded_at_ms) == (("B",), 70, 90, 100)
    assert list(endings(current([*known, end]), {("k",): 95}, at_ms=110, source="contacts")) == []


# --- members, as the directory judges them ---


def firm(*members_: Colleague, left: tuple[str, ...] = ()) -> members.Firm:
    departments = (Department(1, "公司", 0), Department(2, "上海", 1), Department(3, "理财", 2))
    return members.Firm({(m.userid.lower(),): m for m in members_}, departments, tuple((userid,) for userid in left))


def zhangsan(name: str | None = "张三", department: int | None = 3) -> Colleague:
    return Colleague(userid="ZhangSan", name=name, alias=None, department_ids=(), main_department=department)


def directory(facts: list[Fact]) -> Directory:
    return Directory.of(
        Entry(
            userid=f.ids[0], kind=f.values[0], name=f.values[1], department=f.values[3], valid_from_ms=f.valid_from_ms, valid_to_ms=f.valid_to_ms,
            recorded_at_ms=f.recorded_at_ms,
        )
        for f in facts
    )  # fmt: skip


def test_a_member_is_an_employee_before_the_first_sync_but_has_no_name_then() -> None:
    rows, believed = members.people_rows({}, firm(zhangsan()), at_ms=10 * DAY)
    people = directory(rows)
    assert believed and len(rows) == 2
    assert people.kind_at("zhangsan", 1) == people.kind_at("ZHANGSAN", 11 * DAY) == "employee"
    assert (people.name_at("zhangsan", 9 * DAY), people.name_at("zhangsan", 10 * DAY)) == (None, "张三")
    assert people.department_at("zhangsan", 10 * DAY) == "上海/理财"


def test_name_and_department_are_those_of_the_time_and_a_leaver_keeps_the_last_ones() -> None:
    rows, _ = members.people_rows({}, firm(zhangsan()), at_ms=10 * DAY)
    more, _ = members.people_rows(current(rows), firm(zhangsan("张叁", 2)), at_ms=20 * DAY)
    end, believed = members.people_rows(current([*rows, *more]), firm(left=("zhangsan",)), at_ms=30 * DAY)
    people = directory([*rows, *more, *end])
    assert believed
    assert [(people.kind_at("zhangsan", d * DAY), people.name_at("zhangsan", d * DAY), people.department_at("zhangsan", d * DAY)) for d in (15, 25, 31)] == [
        ("employee", "张三", "上海/理财"), ("employee", "张叁", "上海"), ("external", None, None)
    ]  # fmt: skip
    back, _ = members.people_rows(current([*rows, *more, *end]), firm(zhangsan("张叁", 2)), at_ms=40 * DAY)
    people = directory([*rows, *more, *end, *back])
    assert [people.kind_at("zhangsan", d * DAY) for d in (35, 41)] == ["external", "employee"]


def test_names_that_are_not_told_any_more_stay() -> None:
    rows, _ = members.people_rows({}, firm(zhangsan()), at_ms=DAY)
    assert members.people_rows(current(rows), firm(zhangsan(None, None)), at_ms=2 * DAY) == ([], True)


def test_a_fifth_of_the_firm_leaving_at_once_is_not_believed() -> None:
    everybody = [Colleague(userid=f"u{n}", name="x", alias=None, department_ids=(), main_department=None) for n in range(100)]
    rows, _ = members.people_rows({}, firm(*everybody), at_ms=DAY)
    held = current(rows)
    assert members.people_rows(held, firm(*everybody[21:], left=tuple(f"u{n}" for n in range(21))), at_ms=2 * DAY) == ([], False)
    ends, believed = members.people_rows(held, firm(*everybody[20:], left=tuple(f"u{n}" for n in range(20))), at_ms=2 * DAY)
    assert believed and len(ends) == 20


def test_departments_of_one_name_differ_by_their_path_and_a_circle_ends() -> None:
    tree = [Department(1, "公司", 0), Department(2, "上海", 1), Department(3, "销售", 2), Department(4, "北京", 1), Department(5, "销售", 4), Department(6, None, 4)]
    assert members.department_paths(tree) == {1: "公司", 2: "上海", 3: "上海/销售", 4: "北京", 5: "北京/销售", 6: "北京/6"}
    assert members.department_paths([Department(7, "A", 8), Department(8, "B", 7)]) == {7: "B/A", 8: "A/B"}


def test_a_department_ends_only_when_the_whole_tree_is_seen() -> None:
    rows = members.department_rows({}, [Department(1, "公司", 0), Department(2, "上海", 1)], at_ms=DAY)
    held = current(rows)
    assert members.department_rows(held, [Department(2, "上海", 1)], at_ms=2 * DAY) == []
    (end,) = members.department_rows(held, [Department(1, "公司", 0)], at_ms=2 * DAY)
    assert (end.ids, end.valid_to_ms) == (("2",), 2 * DAY)


# --- customers and handovers ---


def customer(ident: str, *follows: Follow) -> Customer:
    return Customer(external_userid=ident, name="李四", wecom=False, corp_name=None, position=None, follows=follows)


def follow(userid: str, *, since: int, way: int = 1, remark: str | None = None) -> Follow:
    return Follow(userid=userid, remark=remark, since_ms=since, add_way=way)


def test_a_pair_ends_when_the_whole_list_of_the_member_lacks_it() -> None:
    rows = customers.follow_rows({}, [customer("wmA", follow("ZhangSan", since=5, remark="老李"))], ["zhangsan"], at_ms=100)
    assert [(f.ids, f.values, f.valid_from_ms) for f in rows] == [(("wmA", "ZhangSan"), ("老李", 1), 5)]
    held = current(rows)
    assert customers.follow_rows(held, [], [], at_ms=200) == []
    (end,) = customers.follow_rows(held, [], ["zhangsan"], at_ms=200)
    assert (end.valid_from_ms, end.valid_to_ms) == (5, 200)


def test_an_assigned_pair_after_another_one_is_a_handover_and_one_the_customer_made_is_none() -> None:
    held = current(customers.follow_rows({}, [customer("wmA", follow("zhangsan", since=5)), customer("wmB", follow("zhangsan", since=5))], [], at_ms=10))
    new = customers.follow_rows(held, [customer("wmA", follow("lisi", since=50, way=202)), customer("wmB", follow("lisi", since=50, way=1))], [], at_ms=60)
    assert customers.handed_over(held, new) == {("zhangsan", "lisi"): {"wmA": 50}}
    assert customers.handed_over({}, new) == {}


# --- what callbacks say ---


def event(meaning: str, change: str, at: int, **more: object) -> Event:
    return Event(event_id=f"{change}{at}", meaning=meaning, change=change, at_ms=at, received_ms=at + 5, **more)  # type: ignore[arg-type]


def test_a_member_deleted_by_callback_ends_then_with_the_last_name() -> None:
    rows, _ = members.people_rows({}, firm(zhangsan()), at_ms=DAY)
    found = told.read([event("member", "delete_user", 3 * DAY, userid="zhangsan")], current(rows), {})
    people = directory([*rows, *found.people])
    assert (people.kind_at("zhangsan", 3 * DAY - 1), people.name_at("zhangsan", 3 * DAY - 1), people.kind_at("zhangsan", 3 * DAY)) == ("employee", "张三", "external")
    assert found.members == frozenset()


def test_a_member_who_is_renamed_is_another_id_from_then_on() -> None:
    rows, _ = members.people_rows({}, firm(zhangsan()), at_ms=DAY)
    found = told.read([event("member", "update_user", 3 * DAY, userid="zhangsan", new_userid="zhangsan001", name="张三三")], current(rows), {})
    people = directory([*rows, *found.people])
    assert (people.kind_at("zhangsan", 4 * DAY), people.name_at("zhangsan001", 4 * DAY), people.department_at("zhangsan001", 4 * DAY)) == ("external", "张三三", "上海/理财")
    assert found.members == {"zhangsan001"}


def test_a_pair_that_a_customer_ended_ends_at_the_events_time() -> None:
    pairs = current(customers.follow_rows({}, [customer("wmA", follow("zhangsan", since=5))], [], at_ms=10))
    found = told.read([event("contact", "del_follow_user", 70, userid="ZHANGSAN", external_userid="wmA")], {}, pairs)
    assert [(f.valid_from_ms, f.valid_to_ms, f.source) for f in found.follows] == [(5, 70, "callback")]
    assert (set(found.customers), set(found.rooms)) == ({"wmA"}, set())


def test_rooms_and_new_members_are_to_be_asked_for() -> None:
    found = told.read([event("room", "update", 5, room_id="wr1"), event("member", "create_user", 6, userid="lisi"), event("ignored", "", 7)], {}, {})
    assert (set(found.rooms), set(found.members), found.people, found.follows) == ({"wr1"}, {"lisi"}, (), ())
