"""A home with people: two branches, somebody who moves, rooms, and a customer who was handed over."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pipeline import ingest, lakerows, people_import, schema
from pipeline.home import Home
from pipeline.roles import actors
from tests import firm
from tests.firm import T0, message

DAY = 86_400_000
# name: (roles, departments, employee, manager); every person has a token, drawn by `people`.
PEOPLE: dict[str, tuple[list[str], list[str], str, str]] = {
    "officer": (["officer"], [], "", ""),
    "second": (["approver"], [], "", ""),
    "shanghai": (["branch_officer"], ["上海分公司"], "", ""),
    "beijing": (["branch_officer"], ["北京分公司"], "", ""),
    "reviewer": (["reviewer"], [], "Chen", "wang"),
    "successor": (["reviewer"], [], "li", ""),
    "auditor": (["auditor"], [], "", ""),
    "legal": (["legal"], [], "", ""),
    "privacy": (["privacy_officer"], [], "", ""),
    "operator": (["operator"], [], "", ""),
    "admin": (["administrator"], [], "", ""),
}  # fmt: skip


def directory(folder: Path) -> Path:
    """zhang moved from Shanghai to Beijing at T0 + 1 day; the others stayed."""
    move = (T0 + DAY) // 1000
    lines: list[dict[str, Any]] = [
        {"userid": "zhang", "kind": "employee", "department": "上海分公司/理财部", "valid_to": move},
        {"userid": "zhang", "kind": "employee", "department": "北京分公司", "valid_from": move},
        {"userid": "chen", "kind": "employee", "department": "上海分公司"},
        {"userid": "wang", "kind": "employee", "department": "上海分公司二部"},  # begins alike, is another one
        {"userid": "li", "kind": "employee", "department": "北京分公司"},
    ]
    path = folder / "people.jsonl"
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    return path


def people(at: Home, names: list[str] | None = None) -> dict[str, str]:
    """Write actors.toml; return the token of each person."""
    tokens, lines = {}, []
    for name in names or PEOPLE:
        roles, departments, employee, manager = PEOPLE[name]
        tokens[name] = actors.new_token()
        line = f'[[actor]]\nname = "{name}"\ntoken = "{actors.public_of(tokens[name])}"\nroles = {json.dumps(roles)}\ndepartments = {json.dumps(departments, ensure_ascii=False)}\n'
        lines.append(line + f'employee = "{employee}"\nmanager = "{manager}"\n')
    (at.path / actors.FILE).write_text("\n".join(lines))
    (at.path / actors.FILE).chmod(0o600)
    return tokens


def talks() -> dict[int, dict[str, Any]]:
    """seq: message. Who may see which is typed by hand in the tests."""
    return {
        1: message(1, "保本保息 一", sender="zhang", to=["wmA"], at_ms=T0),  # zhang in Shanghai
        2: message(2, "保本保息 二", sender="zhang", to=["wmA"], at_ms=T0 + 2 * DAY),  # zhang in Beijing
        3: message(3, "保本保息 三", sender="wmB", to=["chen"], at_ms=T0 + 1000),
        4: message(4, "保本保息 四", sender="wang", to=["wmC"], at_ms=T0 + 2000),
        5: message(5, "保本保息 五", sender="wmD", to=["li", "chen"], room="wr1", at_ms=T0 + 3000),
        6: message(6, "保本保息 六", sender="wang", to=["li", "wmD"], room="wr2", at_ms=T0 + 4000),
        7: message(7, "手机13800138000", sender="li", to=["wmA"], at_ms=T0 + 3 * DAY),  # li took wmA over from zhang
        8: message(8, "保本保息 八", sender="wmE", to=["unknown"], at_ms=T0 + 5000),  # an employee nobody knows
        9: message(9, "保本保息 九", sender="zhang", to=["wmA", "li"], room="wr3", at_ms=T0 + 6000),
    }


def archive(folder: Path) -> Home:
    """The archive of `talks`, with the handover of wmA from zhang to li."""
    at = firm.home(folder)
    entries = people_import.read_people(directory(folder).read_bytes().splitlines(), recorded_at_ms=T0 - DAY)
    ingest.append(at, firm.CORP, [("people", lakerows.people_table(entries))], what="people")
    row = {
        "external_userid": "wmA", "from_userid": "Zhang", "to_userid": "li", "state": "done", "valid_from": T0 + 2 * DAY + 5, "valid_to": None,
        "source": "import", "recorded_at": T0,
    }  # fmt: skip
    ingest.append(at, firm.CORP, [("handovers", schema.table("handovers", {k: [v] for k, v in row.items()}))], what="handovers")
    firm.run(at, firm.page(folder, "a.json", talks()))
    return at
