"""Names beside ids: of the row's own time, within the reader's scope, none of a customer who refuses."""

from __future__ import annotations

import csv
import io
import json
import time
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from pipeline import audit, beside, ingest, lakerows, schema
from pipeline.audit import Who
from pipeline.columns import Column
from pipeline.home import Home
from pipeline.people_import import read_people
from pipeline.reader import Reader
from pipeline.roles.acting import Access
from pipeline.roles.actors import Actor
from tests import firm
from tests.cli.inside import Answer

PEOPLE = [
    '{"userid":"lina","kind":"employee","name":"李娜","department":"上海分公司","valid_to":"2026-06-01"}',
    '{"userid":"lina","kind":"employee","name":"李娜娜","department":"上海分公司","valid_from":"2026-06-01"}',
    '{"userid":"hu","kind":"employee","name":"胡六","department":"北京分公司"}',
    '{"userid":"wmA","kind":"external","name":"王红"}', '{"userid":"wmR","kind":"external","name":"周四"}', '{"userid":"wmX","kind":"external","name":"吴五"}',
    '{"userid":"wmY","kind":"external","name":"郑八"}', '{"userid":"wmZ","kind":"external","name":"冯九"}',
    '{"userid":"wmLate","kind":"external","name":"钱七","valid_from":"2026-06-01"}',
]  # fmt: skip


def consent(now_s: int) -> list[dict[str, object]]:
    """What is imported at that second: a decision made in the next ten minutes counts from its own time."""
    return [
        {"userid": "lina", "external_userid": "wmR", "status": "Disagree", "changed_at": firm.T0 // 1000 - 500},
        {"userid": "lina", "external_userid": "wmX", "status": "Disagree", "changed_at": firm.T0 // 1000 - 500},
        {"userid": "lina", "external_userid": "wmX", "status": "Agree", "changed_at": firm.T0 // 1000 - 100},
        {"userid": "lina", "external_userid": "wmY", "status": "Agree", "changed_at": 4_000_000_000},  # counts from now
        {"userid": "lina", "external_userid": "wmY", "status": "Disagree", "changed_at": now_s + 300},
        {"userid": "lina", "external_userid": "wmZ", "status": "Disagree", "changed_at": firm.T0 // 1000 - 500},
        {"userid": "lina", "external_userid": "wmZ", "status": "Perhaps", "changed_at": firm.T0 // 1000 - 100},
    ]


MAY, JULY = date(2026, 5, 4), date(2026, 7, 4)


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Home:
    folder = tmp_path_factory.mktemp("beside")
    home = firm.home(folder)
    ingest.append(home, firm.CORP, [("people", lakerows.people_table(read_people([line.encode() for line in PEOPLE], recorded_at_ms=firm.T0)))], what="people")
    room = {"room_id": "wr1", "name": "理财群", "owner_id": "lina", "valid_from": None, "valid_to": None, "source": "api", "internal": "no", "recorded_at": firm.T0}
    ingest.append(home, firm.CORP, [("rooms", schema.table("rooms", {c.name: [room.get(c.name)] for c in schema.kind("rooms").columns}))], what="rooms")
    (folder / "consent.jsonl").write_text("".join(json.dumps(line) + "\n" for line in consent(int(time.time()))))
    assert Answer(home, "consent", "import", str(folder / "consent.jsonl")).code == 3  # one line has a time to come, one a status that nobody knows
    said = {1: firm.message(1, "这个产品稳赚不赔", sender="lina", to=["wmA"]), 2: firm.message(2, "您好", sender="wmA", to=["lina"])}
    firm.run(home, firm.page(folder, "p.json", said))
    return home


def told(at: Home, column: str, one: str, day: date | None = None, *, access: Access | None = None, merged: bool = False, **declared: Who) -> Any:
    """What stands beside one id in a row of that day."""
    described = [Column(column, "谁"), Column("dt", "日", "date")]
    with Reader(at, firm.CORP, access=access) as reader:
        columns, rows = beside.named(reader, described, [(one, day)], lang="zh", declared=declared, merged=merged)
        [row] = rows
    return dict(zip([c.name for c in columns], row, strict=True))


@pytest.mark.parametrize(
    ("column", "value", "day", "name"),
    [
        pytest.param("employee_id", "LiNa", MAY, "李娜", id="the name of then, whatever the letters' case"),
        pytest.param("employee_id", "lina", JULY, "李娜娜", id="the name of later"),
        pytest.param("employee_id", "lina", date(2026, 5, 31), "李娜", id="the last day of the old name"),
        pytest.param("employee_id", "nobody", JULY, None, id="somebody no directory knows"),
        pytest.param("customer_id", "wmA", MAY, "王红", id="a customer"),
        pytest.param("customer_id", "wma", MAY, None, id="a customer's id byte by byte"),
        pytest.param("customer_id", "wmLate", MAY, "钱七", id="the nearest name where there was none yet"),
        pytest.param("customer_id", "wmR", MAY, None, id="one who refuses"),
        pytest.param("customer_id", "wmX", MAY, "吴五", id="one who refused once and agrees now"),
        pytest.param("customer_id", "wmY", MAY, None, id="one who refuses, and whose agreement has a time to come"),
        pytest.param("customer_id", "wmZ", MAY, None, id="one who refused, with a status since that nobody knows"),
        pytest.param("sender_id", "wmA", MAY, "王红", id="a sender"),
        pytest.param("room_id", "wr1", MAY, "理财群", id="a room"),
        pytest.param("conversation_id", "wr1", MAY, "理财群", id="a conversation that is a room"),
        pytest.param("conversation_id", "lina|wmA", JULY, "李娜娜 / 王红", id="a pair"),
        pytest.param("conversation_id", "lina|wmR", MAY, "李娜", id="a pair with one who refuses"),
    ],
)
def test_a_name_of_the_time_stands_behind_the_id(at: Home, column: str, value: str, day: date, name: str | None) -> None:
    assert told(at, column, value, day) == {column: value, beside.name_column(column): name, "dt": day}


def test_people_read_name_and_id_in_one_and_a_star_where_the_name_is_of_another_time(at: Home) -> None:
    assert told(at, "employee_id", "lina", MAY, merged=True) == {"employee_id": "李娜 (lina)", "dt": MAY}
    assert told(at, "customer_id", "wmLate", MAY, merged=True)["customer_id"] == "钱七* (wmLate)"
    assert told(at, "customer_id", "wmR", MAY, merged=True)["customer_id"] == "wmR"


def test_a_row_without_a_time_is_told_by_the_name_of_now(at: Home) -> None:
    assert told(at, "employee_id", "lina")["employee_name"] == "李娜娜"


def test_a_column_whose_name_says_nothing_is_declared(at: Home) -> None:
    assert told(at, "value", "lina", MAY) == {"value": "lina", "dt": MAY}
    assert told(at, "value", "lina", MAY, value="employee")["value_name"] == "李娜"
    assert told(at, "scope", "wr1", MAY, scope="conversation")["scope_name"] == "理财群"
    assert told(at, "scope", "lina", MAY, scope="conversation")["scope_name"] == "李娜"


def test_a_customer_outside_of_the_persons_departments_has_no_name(at: Home) -> None:
    def branch(department: str) -> Access:
        return Access(actor="b", mode="roles", role="branch_officer", person=Actor(name="b", roles=("branch_officer",), token="x", departments=(department,)))

    assert told(at, "customer_id", "wmX", MAY, access=branch("上海分公司"))["customer_name"] == "吴五"
    assert told(at, "customer_id", "wmX", MAY, access=branch("北京分公司"))["customer_name"] is None
    assert told(at, "customer_id", "wmR", MAY, access=branch("北京分公司"))["customer_name"] is None


def test_many_rows_are_named_as_they_are_read(at: Home) -> None:
    days = [datetime(2026, 5 + n % 3, 4, tzinfo=UTC) for n in range(2_500)]
    with Reader(at, firm.CORP) as reader:
        _, rows = beside.named(reader, [Column("employee_id"), Column("sent_at", "", "timestamp")], (("lina", day) for day in days), lang="en")
        assert [row[1] for row in rows] == ["李娜" if day.month == 5 else "李娜娜" for day in days]


def test_every_column_of_an_audit_that_holds_ids_is_known_to_hold_them() -> None:
    looks, others = ("_id", "userid", "sender", "scope"), {"rule_id", "finding_id", "same_scope", *beside.WHO}
    left = [(a.name, c.name) for a in audit.load_audits() for c in a.meta.columns if c.name.endswith(looks) and c.name not in others and not c.who]
    assert left == []


@pytest.mark.parametrize("format", ["jsonl", "csv", "table"])
@pytest.mark.parametrize("call", [("audit", "run", "findings-by-category"), ("review", "list"), ("audit", "run", "findings", "-p", "by=employee")], ids=lambda c: " ".join(c[:3]))
def test_commands_tell_names(at: Home, call: tuple[str, ...], format: str) -> None:
    ended = Answer(at, *call, "--format", format)
    assert ended.code == 0, ended.err
    if format == "table":
        assert "李娜娜 (lina)" in ended.out
        return
    rows = ended.rows if format == "jsonl" else list(csv.DictReader(io.StringIO(ended.out)))
    by = "value" if "findings" in call else "employee"
    assert [r[f"{by}_name"] for r in rows] == ["李娜娜"]


def test_what_is_due_names_the_customers(at: Home) -> None:
    assert [(r["customer"], r["customer_name"], r["records"]) for r in Answer(at, "retention", "due").rows] == [("wmA", "王红", 2)]
    assert "王红 (wmA)" in Answer(at, "retention", "due", "--format", "table").out


def test_a_worklist_goes_out_with_names_and_comes_back(at: Home, tmp_path: Path) -> None:
    from python_calamine import CalamineWorkbook

    file = tmp_path / "work.xlsx"
    assert Answer(at, "review", "export", "-o", str(file)).code == 0
    head, row = CalamineWorkbook.from_path(str(file)).get_sheet_by_index(0).to_python()
    assert dict(zip(head, row, strict=True))["员工姓名"] == "李娜娜" and "王红" in row
    assert Answer(at, "review", "import", str(file)).code == 0
