"""Every case folder: an archive typed by hand, a question, and the answer typed by hand.

sql/audit/<name>/cases/<case>/ holds <view>.yaml, params.yaml and expect.yaml (columns and rows, compared in order).
tests/sql/views/<case>/ holds lake_<kind>.yaml and, in expect.yaml, what some views show of it.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline import audit
from pipeline.audit import Audit
from pipeline.resources import data_folder

from .conftest import Archive, plain_row, quoted, read_yaml

AUDIT_CASES = sorted((data_folder("sql") / "audit").glob("*/cases/*"))
VIEW_CASES = sorted((Path(__file__).parent / "views").iterdir())


@pytest.mark.parametrize("case", AUDIT_CASES, ids=lambda case: f"{case.parts[-3]}/{case.name}")
def test_an_audit_answers_as_its_case_says(views: Archive, case: Path) -> None:
    asked = audit.find(case.parts[-3])
    views.fill(case)
    given = {name: str(value) for name, value in dict(read_yaml(case / "params.yaml")).items()}
    columns, rows = audit.run(views.connection, asked, audit.bind(asked, given))
    expected = read_yaml(case / "expect.yaml")
    assert list(columns) == expected["columns"]
    assert [plain_row(row) for row in rows] == [plain_row(tuple(row)) for row in expected["rows"]]


@pytest.mark.parametrize("case", AUDIT_CASES, ids=lambda case: f"{case.parts[-3]}/{case.name}")
def test_an_audit_gives_the_columns_its_meta_explains(case: Path) -> None:
    explained = [column.name for column in audit.find(case.parts[-3]).meta.columns]
    assert read_yaml(case / "expect.yaml")["columns"] == explained


@pytest.mark.parametrize("asked", audit.load_audits(), ids=lambda a: a.name)
def test_every_audit_has_an_ordinary_case_and_one_at_the_edge(asked: Audit) -> None:
    assert len(list((asked.folder / "cases").iterdir())) >= 2


@pytest.mark.parametrize("case", VIEW_CASES, ids=lambda case: case.name)
def test_the_views_show_what_the_case_says(lake: Archive, case: Path) -> None:
    lake.fill(case)
    for view, expected in read_yaml(case / "expect.yaml").items():
        columns = ", ".join(quoted(c) for c in expected["columns"])
        order = ", ".join(quoted(c) for c in expected.get("order", expected["columns"]))
        rows = lake.ask(f"SELECT {columns} FROM {view} ORDER BY {order}")
        assert rows == [plain_row(tuple(row)) for row in expected["rows"]], view
