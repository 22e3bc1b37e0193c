"""What `-o FILE` tells: how many rows went where, in which format."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import firm
from tests.cli.inside import Answer


@pytest.mark.parametrize(
    ("name", "more", "told"),
    [
        ("n.xlsx", [], "3 行（xlsx）"), ("n.CSV", [], "3 行（csv）"), ("n.txt", [], "3 行（jsonl）"),
        ("n.xlsx", ["--format", "csv"], "3 行（csv）\n文件名以 .xlsx 结尾，而内容是 --format 所说的 csv"), ("n.csv", ["--format", "csv"], "3 行（csv）"),
    ],
)  # fmt: skip
def test_what_went_into_a_file_is_told(tmp_path: Path, name: str, more: list[str], told: str) -> None:
    at, file = firm.home(tmp_path), tmp_path / name
    ended = Answer(at, "sql", "SELECT range AS n FROM range(3)", *more, "-o", str(file))
    assert (ended.code, ended.out, ended.err.replace("\n", "") == f"已写入 {file}：{told}".replace("\n", "")) == (0, "", True), ended.err


def test_an_audit_and_a_list_tell_their_file_too(tmp_path: Path) -> None:
    at = firm.home(tmp_path)
    assert "已写入" in Answer(at, "audit", "run", "coverage", "-o", str(tmp_path / "a.xlsx")).err
    assert "已写入" in Answer(at, "audit", "list", "-o", str(tmp_path / "b.xlsx")).err
