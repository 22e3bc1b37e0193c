"""Every audit over one small firm, through the whole of it: sealed, opened, gated, matched, settled, asked. The answers are typed by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline import audit
from pipeline.home import Home
from pipeline.reader import Reader
from tests.firm import CORP
from tests.sql.conftest import plain_row, read_yaml

pytestmark = pytest.mark.slow
ANSWERS: dict[str, Any] = read_yaml(Path(__file__).parent / "answers.yaml")
DAYS = {"from": "2026-11-01", "to": "2026-11-20"}


def test_every_audit_has_its_answer() -> None:
    assert sorted(ANSWERS) == [a.name for a in audit.load_audits()]


@pytest.fixture(scope="module")
def reader(story: Home) -> Any:
    with Reader(story, CORP) as opened:
        yield opened


@pytest.mark.parametrize("name", ANSWERS)
def test_an_audit_answers_as_typed(reader: Reader, name: str) -> None:
    told = ANSWERS[name] if isinstance(ANSWERS[name], dict) else {"rows": ANSWERS[name]}
    asked = audit.find(name)
    given = {p.name: DAYS[p.name] for p in asked.meta.parameters if p.name in DAYS} | {k: str(v) for k, v in told.get("given", {}).items()}
    _, rows = audit.run(reader.connection, asked, audit.bind(asked, given))
    assert [shown(row, typed) for row, typed in zip(rows, told["rows"], strict=False)] == [plain_row(tuple(typed)) for typed in told["rows"]]
    assert len(rows) == len(told["rows"])


def shown(row: tuple[Any, ...], typed: list[Any]) -> list[Any]:
    """The row, with ANY where that was typed and something is there."""
    return ["ANY" if wanted == "ANY" and value else value for value, wanted in zip(plain_row(row), typed, strict=True)]
