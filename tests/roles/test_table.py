"""Every command × every role: what a role may do is typed here by hand, the commands come from the command line itself."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer.main

from pipeline.cli import guard, root
from pipeline.errors import NotAllowed
from pipeline.roles import actors
from pipeline.roles.table import ANYONE, granting, holders, table

# By hand, in the words of the trade; the file schemas/roles.yaml is not read for these.
ANYBODY = "access token, access whoami, demo, init, simulate"
STATUS = "alerts list, audit list, audit show, config get, doctor, lexicon check, lexicon diff, lexicon list, lexicon test, retention show, scripts list, status, verify"
OPERATE = (
    "ack, alerts send, alerts test, callback serve, checkpoint, clock, compact, consent reconcile, consent sync, directory sync, index, ingest, media fetch, pull, run"
)
ADMINISTER = "config set, keyring backup, keyring list, keyring restore, keyring rotate, keys add, keys list, keys retire, people import"
LEXICON = "lexicon add, lexicon remove, rescan, scripts import, scripts remove"
READ = "audit pack, audit report, audit run, conversation, customer find, media list, search, sql"
REVIEW = "review claim, review decide, review export, review import, review list, review sample"
CONSENT = "consent decide, consent explain, consent import, consent list, consent notice, identity import"
MATTERS = "hold list, hold release, hold set, matter close, matter list, matter open, matter show"
REVEAL, EXPORT, ACCESS, REQUESTS = "reveal", "export", "access review", "approve"
OPEN, ERASE = "restricted open", "erase, restricted remove"
RETENTION = "retention due, retention event, retention remove, retention set, retention unset"
WHOLE = (
    "access review, consent decide, consent explain, consent import, consent list, consent notice, erase, export, hold list, hold release, hold set, "
    "identity import, matter close, matter list, matter open, matter show, restricted open, restricted remove, retention event, retention remove"
)
MAY = {
    "officer": [STATUS, LEXICON, READ, REVIEW, CONSENT, MATTERS, REVEAL, EXPORT, ACCESS, REQUESTS, OPEN, ERASE],
    "branch_officer": [STATUS, READ, REVIEW, REQUESTS],
    "reviewer": [STATUS, READ, REVIEW],
    "approver": [STATUS, REQUESTS],
    "auditor": [STATUS, READ, ACCESS, REQUESTS],
    "legal": [STATUS, READ, REVEAL, MATTERS, EXPORT, REQUESTS, OPEN, RETENTION],
    "privacy_officer": [STATUS, READ, REVEAL, CONSENT, MATTERS, ACCESS, REQUESTS, OPEN, ERASE, RETENTION],
    "operator": [STATUS, OPERATE],
    "administrator": [STATUS, ADMINISTER, ACCESS],
}  # fmt: skip


@cache
def listed() -> list[str]:
    """Every command of the command line."""
    return [name for name, _ in guard.leaves(typer.main.get_command(root.complete()))]


def split(*groups: str) -> set[str]:
    return {name.strip() for group in groups for name in group.split(",")}


def _line(name: str, role: str, departments: str) -> str:
    return f'[[actor]]\nname = "{name}"\ntoken = "{actors.public_of(name)}"\nroles = ["{role}"]\ndepartments = {departments}\n'


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a person of each role; no archive is needed to be refused."""
    folder = tmp_path_factory.mktemp("roles")
    lines = [_line(role, role, '["上海分公司"]' if role == "branch_officer" else "[]") for role in MAY]
    lines += [_line(f"bound.{role}", role, '["上海分公司"]') for role in MAY]
    (folder / "actors.toml").write_text("\n".join(lines))
    (folder / "actors.toml").chmod(0o600)
    return folder


def test_every_command_says_what_it_needs_and_nothing_else_does() -> None:
    assert set(table().commands) == set(listed())


def test_the_roles_are_those_of_the_trade() -> None:
    assert list(table().roles) == list(MAY)


@pytest.mark.parametrize("role", MAY)
def test_a_role_may_do_what_is_its_business_and_nothing_else(role: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert may_run(role, home, monkeypatch) == split(ANYBODY, *MAY[role])


@pytest.mark.parametrize("role", ["officer", "legal", "privacy_officer", "branch_officer"])
def test_who_is_bound_to_departments_runs_nothing_that_works_past_them(role: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert may_run(f"bound.{role}", home, monkeypatch) == split(ANYBODY, *MAY[role]) - split(WHOLE)


@cache
def told() -> tuple[Any, list[str]]:
    """The command line behind its checks, where a command that begins does nothing but tell its name; and where it does."""
    group = typer.main.get_command(root.complete())
    begun: list[str] = []
    for name, command in guard.leaves(group):
        command.params, command.callback = [], lambda name=name: begun.append(name)
    return guard.guarded(group), begun


def may_run(person: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The commands that begin when a person calls them."""
    monkeypatch.setenv("LIUHEN_TOKEN", person)
    group, done = told()
    done.clear()
    root.CALL.reopen()
    for name in listed():
        try:
            group.main(args=["--home", str(home), *name.split()], standalone_mode=False)
        except NotAllowed as refused:
            assert refused.code == "NOT_ALLOWED" and person in refused.message and refused.exit_code == 8
            assert all(r in refused.remedy for r in holders(table().commands[name]))
    return set(done)


@pytest.mark.parametrize("role", ["administrator", "operator", "approver"])
def test_by_these_roles_nobody_reads_text(role: str) -> None:
    shows_text = split(READ, REVIEW, REVEAL, EXPORT, OPEN, "rescan")
    assert {c for c in shows_text if table().commands[c] == ANYONE or granting([role], table().commands[c])} == set()
    assert not {"read", "reveal", "raw", "review", "export", "open_restricted"} & set(table().roles[role].may)


def test_only_some_roles_see_clear_values() -> None:
    assert set(holders("raw")) == {"officer", "legal"}
    assert set(holders("reveal")) == {"officer", "legal", "privacy_officer"}


def test_of_several_roles_the_first_that_allows_it_counts() -> None:
    assert granting(["administrator", "reviewer", "officer"], "read") == "reviewer"
    assert granting(["administrator"], "read") is None and granting([], "status") is None
