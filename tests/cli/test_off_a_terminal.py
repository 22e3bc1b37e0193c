"""What commands that return rows write where nobody looks: JSON Lines, each of them, whatever they show on a screen (interface.md, "Command line")."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from pipeline.approvals import store as approvals
from pipeline.cli import root
from pipeline.consenting import reconcile
from pipeline.home import Home
from tests import firm
from tests.cli.inside import Answer
from tests.firm import CORP, T0, item, message, page, refusal, run

pytestmark = pytest.mark.slow
# A call of every command that takes --format, each of which has something to tell here. The second step of `restricted open` is tried by itself.
CALLS: dict[str, list[str]] = {
    "approve": ["list"], "sql": ["SELECT seq, text FROM messages"], "conversation": ["wmA|zhangsan"], "status": [], "doctor": ["--offline"], "checkpoint": [],
    "rescan": ["--dry-run", "--from", "2026-01-01", "--to", "2026-12-31"], "reveal": ["m1", "--purpose", "complaint"], "search": ["你好"], "verify": ["--archive"],
    "access whoami": [], "access review": [], "audit list": [], "audit run": ["volume"], "media list": [], "consent list": [], "hold list": [],
    "matter list": [], "matter show": ["M1"], "keyring list": [], "lexicon list": [], "lexicon test": ["保本保息"], "lexicon diff": ["shipped", "home"],
    "customer find": ["wmA"], "retention show": [], "retention due": [], "review list": [], "review sample": ["--seed", "1"], "scripts list": [], "keys list": [],
    "alerts list": [],
}  # fmt: skip
APART = {"restricted open"}
EMPTY = {"lexicon diff", "scripts list", "alerts list", "verify"}  # nothing there, and nothing is written


def commands(of: Any, *path: str) -> Iterator[tuple[str, bool]]:
    """Every command of the command line, and whether it takes --format."""
    if not hasattr(of, "commands"):
        yield " ".join(path), any(p.name == "format" for p in of.params)
    for name, one in getattr(of, "commands", {}).items():
        yield from commands(one, *path, name)


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Home:
    folder = tmp_path_factory.mktemp("rows")
    home = firm.home(folder)
    file = {"md5sum": "0" * 32, "filename": "a.pdf", "fileext": "pdf", "filesize": 9, "sdkfileid": "f"}
    said = [item(1, message(1)), item(2, message(2, "保本保息，稳赚不赔")), item(3, message(3, "别存", to=["wmX"])), item(4, message(4, msgtype="file", file=file))]
    run(home, page(folder, "a.json", said))
    run(home, page(folder, "b.json", [item(9, refusal(9, "wmX", "zhangsan", at_ms=T0 - 86_400_000))]))
    reconcile.run(home, CORP)
    assert Answer(home, "matter", "open", "M1", "--title", "t", "--customer", "wmA").code == 0
    Answer(home, "restricted", "open", "--matter", "M1", "--customer", "wmX", "--reason", "r")  # leaves a request
    return home


def test_every_command_that_takes_a_format_is_called() -> None:
    known = dict(commands(typer.main.get_command(root.complete())))
    assert {name for name, takes in known.items() if takes} == {*CALLS, *APART}


@pytest.mark.parametrize("name", CALLS)
def test_rows_are_json_lines(at: Home, name: str) -> None:
    answer = Answer(at, *name.split(), *CALLS[name])
    assert answer.code == (2 if name == "doctor" else 0), answer.err  # no secret is set here
    rows = [json.loads(line) for line in answer.out.splitlines()]
    assert all(isinstance(row, dict) for row in rows) and bool(rows) == (name not in EMPTY), answer.out + answer.err


def test_doctor_tells_each_item_once(at: Home) -> None:
    told = Answer(at, "doctor", "--offline", screen=True)
    rows = len(Answer(at, "doctor", "--offline").rows)
    assert told.err.splitlines() == [line for line in told.err.splitlines() if line.startswith(f"检查 {rows} 项：")] != []
    assert "→" not in told.err and told.code == 2


def test_restricted_records_are_json_lines_too(at: Home) -> None:
    (request,) = [s.request.id for s in approvals.all_of(at, CORP) if s.request.action == "restricted open"]
    approvals.say(at, CORP, request, "approve")
    answer = Answer(at, "restricted", "open", "--matter", "M1", "--customer", "wmX", "--reason", "r", "--approval", request)
    assert [r["text"] for r in answer.rows] == ["别存"], answer.err


def test_a_conversation_is_text_on_a_screen_and_where_that_is_asked_for(at: Home, tmp_path: Path) -> None:
    shown = Answer(at, "conversation", "wmA|zhangsan", screen=True).out
    assert "保本保息" in shown and not shown.startswith("{")
    assert Answer(at, "conversation", "wmA|zhangsan", "--text").out == shown
    assert [r["text"] for r in Answer(at, "conversation", "wmA|zhangsan").rows][:2] == ["你好", "保本保息，稳赚不赔"]
    page = Answer(at, "conversation", "wmA|zhangsan", "--html", str(tmp_path / "talk.html"))
    assert (page.code, page.out) == (0, "") and (tmp_path / "talk.html").exists()
    both = Answer(at, "conversation", "wmA|zhangsan", "--html", str(tmp_path / "talk.html"), "--format", "jsonl")
    assert [r["text"] for r in both.rows][:1] == ["你好"]
