"""Who is an employee at a time, who is only shown as one, and what a prefix may say."""

from __future__ import annotations

import itertools
import pickle

import pytest

from pipeline.directory import Directory, Entry, fold_userid, looks_external, looks_robot
from pipeline.records import PartyKind

JOINED, LEFT = 1_700_000_000_000, 1_760_000_000_000
STAFF = Entry(userid="ZhangSan", kind="employee", name="张三", department="理财部", valid_from_ms=JOINED, valid_to_ms=LEFT)
ROBOT = Entry(userid="wbHelper", kind="robot", name="小助手")
CLIENT = Entry(userid="wmClient", kind="external", name="王女士")
WMLIU = Entry(userid="wmliu", kind="employee", name="刘伟")


@pytest.mark.parametrize(
    ("party", "at_ms", "kind"),
    [
        pytest.param("ZhangSan", JOINED, "employee", id="employee from the first millisecond on"),
        pytest.param("ZhangSan", JOINED - 1, "external", id="not proven a millisecond before"),
        pytest.param("ZhangSan", LEFT - 1, "employee", id="employee until the last millisecond"),
        pytest.param("ZhangSan", LEFT, "external", id="not proven once the row has ended"),
        pytest.param("zHANGSAN", JOINED, "employee", id="userids without regard to ASCII case"),
        pytest.param("ＺhangSan", JOINED, "external", id="a full-width letter is another id"),
        pytest.param("ZhangSan ", JOINED, "external", id="a space makes another id"),
        pytest.param("wmliu", JOINED, "employee", id="an employee may be called wmliu"),
        pytest.param("wmlia", JOINED, "external", id="the prefix alone proves nothing, near wmliu"),
        pytest.param("LiSi", JOINED, "external", id="an id without prefix that no row names is external"),
        pytest.param("wbHelper", 0, "robot", id="a robot by its row, at all times"),
        pytest.param("wbhelper", 0, "external", id="ids of robots compare byte by byte"),
        pytest.param("wbOther", 0, "external", id="a robot's prefix proves no robot"),
        pytest.param("wmClient", 0, "external", id="an external person by their row"),
        pytest.param("", JOINED, "unknown", id="an empty id"),
        pytest.param(None, JOINED, "unknown", id="no id"),
    ],
)
def test_only_a_row_of_that_time_proves_an_employee(party: str | None, at_ms: int, kind: PartyKind) -> None:
    directory = Directory.of([STAFF, ROBOT, CLIENT, WMLIU])
    assert directory.kind_at(party, at_ms) == kind
    assert directory.display_kind(party, at_ms) == kind


@pytest.mark.parametrize(
    ("party", "shown"),
    [
        pytest.param("wmClient", "external", id="wm"),
        pytest.param("woPartner", "external", id="wo"),
        pytest.param("wbHelper", "robot", id="wb"),
        pytest.param("ZhangSan", "employee", id="no prefix"),
        pytest.param("Wmliu", "employee", id="a prefix in another case is none"),
        pytest.param("", "unknown", id="empty"),
        pytest.param(None, "unknown", id="missing"),
    ],
)
def test_an_empty_directory_shows_hints_and_proves_nothing(party: str | None, shown: PartyKind) -> None:
    directory = Directory.of([])
    assert directory.is_empty
    assert directory.display_kind(party, JOINED) == shown
    assert directory.kind_at(party, JOINED) == ("external" if party else "unknown")


def test_a_directory_of_customers_and_robots_alone_still_shows_hints_for_the_others() -> None:
    directory = Directory.of([CLIENT, ROBOT])
    assert directory.is_empty
    assert directory.display_kind("ZhangSan", JOINED) == "employee"
    assert directory.kind_at("ZhangSan", JOINED) == "external"
    assert directory.kind_at("wbHelper", JOINED) == "robot"


@pytest.mark.parametrize(
    ("rows", "at_ms", "kind", "name"),
    [
        pytest.param(
            [Entry(userid="a", kind="employee", name="old"), Entry(userid="A", kind="employee", name="new", valid_from_ms=100)],
            100,
            "employee",
            "new",
            id="the row that began last gives the name",
        ),
        pytest.param(
            [Entry(userid="a", kind="employee", name="old"), Entry(userid="A", kind="employee", name="new", valid_from_ms=100)],
            99,
            "employee",
            "old",
            id="before it began the earlier one does",
        ),
        pytest.param(
            [Entry(userid="a", kind="employee"), Entry(userid="a", kind="employee", valid_from_ms=100, valid_to_ms=200)],
            200,
            "external",
            None,
            id="a leaver does not come back by an older open row",
        ),
        pytest.param(
            [Entry(userid="a", kind="employee", recorded_at_ms=1), Entry(userid="a", kind="employee", valid_to_ms=50, recorded_at_ms=2)],
            50,
            "external",
            None,
            id="a row recorded later closes the one with the same begin",
        ),
        pytest.param(
            [Entry(userid="a", kind="employee", recorded_at_ms=2), Entry(userid="a", kind="employee", valid_to_ms=50, recorded_at_ms=1)],
            50,
            "employee",
            None,
            id="a row recorded later opens it again",
        ),
        pytest.param(
            [Entry(userid="a", kind="employee", recorded_at_ms=1), Entry(userid="a", kind="external", recorded_at_ms=1)],
            50,
            "external",
            None,
            id="employee and external at once is not proven",
        ),
        pytest.param(
            [Entry(userid="a", kind="employee", valid_from_ms=100), Entry(userid="a", kind="external")],
            100,
            "employee",
            None,
            id="a contact who was hired",
        ),
        pytest.param(
            [Entry(userid="ab", kind="employee"), Entry(userid="aB", kind="external", recorded_at_ms=1)],
            50,
            None,
            None,
            id="an external id in another case stays apart from the employee",
        ),
    ],
)
def test_of_several_rows_the_one_that_began_last_decides(rows: list[Entry], at_ms: int, kind: PartyKind | None, name: str | None) -> None:
    for order in itertools.permutations(rows):
        directory = Directory.of(order)
        if kind is None:
            assert (directory.kind_at("aB", at_ms), directory.kind_at("ab", at_ms)) == ("external", "employee")
        else:
            assert (directory.kind_at("a", at_ms), directory.name_at("a", at_ms)) == (kind, name)


def test_names_and_departments_are_those_of_the_time() -> None:
    moved = Entry(userid="zhangsan", kind="employee", name="张三", department="合规部", valid_from_ms=JOINED + 1000)
    directory = Directory.of([STAFF, moved, CLIENT])
    assert directory.department_at("ZHANGSAN", JOINED) == "理财部"
    assert directory.department_at("ZhangSan", JOINED + 1000) == "合规部"
    assert directory.name_at("wmClient", 0) == "王女士"
    assert directory.name_at("nobody", JOINED) is None
    assert directory.department_at(None, JOINED) is None


@pytest.mark.parametrize(
    ("userid", "folded"),
    [("ZhangSan", "zhangsan"), ("A.b@C-9_", "a.b@c-9_"), ("张San", "张san"), ("\u212aate", "\u212aate"), ("ÉA", "Éa"), ("", "")],
)
def test_folding_touches_ascii_letters_alone(userid: str, folded: str) -> None:
    assert fold_userid(userid) == folded


def test_hints_are_prefixes_with_their_case() -> None:
    assert [looks_external(x) for x in ("wm1", "wo1", "wb1", "Wm1", "w", "")] == [True, True, False, False, False, False]
    assert [looks_robot(x) for x in ("wb1", "wm1", "WB1")] == [True, False, False]


def test_a_directory_travels_to_a_worker() -> None:
    directory = Directory.of([STAFF, ROBOT])
    directory.kind_at("ZhangSan", JOINED)
    there = pickle.loads(pickle.dumps(directory))
    assert (there.kind_at("zhangsan", JOINED), there.kind_at("zhangsan", LEFT), there.kind_at("wbHelper", 0)) == (
        "employee",
        "external",
        "robot",
    )
