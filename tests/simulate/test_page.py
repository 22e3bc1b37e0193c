"""docs/simulate.md tells what the double does: every call, every fault, every wish, no more."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

from pipeline.simulate import admin, faults, routes
from tests.simulate.doubles import Asker

PAGE = (Path(__file__).parents[2] / "docs/simulate.md").read_text("utf-8")


def section(heading: str) -> str:
    return PAGE.split(f"\n## {heading}", 1)[1].split("\n## ", 1)[0]


def rows(body: str) -> list[list[str]]:
    """The cells of all table rows that begin with a word in code marks or a number."""
    return [[c.strip() for c in line.strip("|").split("|")] for line in body.splitlines() if re.match(r"\| (`|\d)", line)]


def test_every_call_is_told_with_the_secret_it_wants(standing: Asker) -> None:
    cells = rows(section("What it answers"))
    told = {call.strip("`"): secret for row in cells for call, secret in ((row[0], row[1]), (row[2], row[3]))}
    served = {path: holder for path, (holder, _, _) in routes.CALLS.items()}
    served |= {"message/getchatdata": "archive", "message/getchatmediadata": "archive", "getcallbackip": "contacts"}
    assert told == {**served, "externalcontact/get_user_behavior_data": "contacts"}
    for path in told:
        methods = [standing.send(method, f"/cgi-bin/{path}").get("errcode") for method in ("GET", "POST")]
        assert 41001 in methods, f"{path} is there and asks for a token"


def test_every_kind_of_fault_is_told() -> None:
    assert [row[0].strip("`") for row in rows(section("Faults")) if row[0].startswith("`")] == list(get_args(faults.Kind))


def test_every_return_code_that_can_be_provoked_is_told() -> None:
    assert [int(row[0]) for row in rows(section("Faults")) if row[0].isdecimal()] == sorted(faults.PROVOKED)


def test_every_wish_is_told_with_its_fields() -> None:
    told = {row[0].strip("`"): set(re.findall(r"`(\w+)`", row[1])) for row in rows(section("On demand")) if "POST" not in row[0]}
    fields = {name: set(kind.__struct_encode_fields__) for name, (kind, _) in admin.ACTS.items()}
    assert told.keys() == fields.keys()
    assert {name: words for name, words in told.items() if name != "faults"} == {name: words for name, words in fields.items() if name != "faults"}
    page = section("Faults")
    assert [f for f in fields["faults"] if f"`{f}`" not in page] == []
