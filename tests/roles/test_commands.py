"""Roles by the command line: what a person sees, what is refused and recorded, what a second person is asked for."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from pipeline.cli import root
from pipeline.home import Home
from pipeline.roles import acting
from tests import firm
from tests.firm import T0
from tests.roles import homes

pytestmark = pytest.mark.slow


class Told(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


Ask = Callable[..., Told]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, dict[str, str]]:
    at = homes.archive(tmp_path_factory.mktemp("commands"))
    return at, homes.people(at)


@pytest.fixture
def ask(archive: tuple[Home, dict[str, str]], monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Run a command as a person."""

    def call(who: str, *words: str) -> Told:
        monkeypatch.setenv("LIUHEN_TOKEN", archive[1].get(who, "nobody"))
        out, err = io.StringIO(), io.StringIO()
        root.CALL.reopen()
        with redirect_stdout(out), redirect_stderr(err):
            code = root.run(["--home", str(archive[0].path), *words])
        return Told(code, out.getvalue(), err.getvalue())

    return call


def entries(archive: tuple[Home, dict[str, str]], command: str) -> list[Any]:
    return [e for e in Home(archive[0].path).custody.entries() if e.command == command]


def test_a_branch_officer_sees_his_branch_in_every_command(ask: Ask) -> None:
    def seqs(*words: str) -> set[int]:
        return {r["seq"] for r in ask("shanghai", *words).rows}

    assert seqs("sql", "select seq from messages") == {1, 3, 5, 9}
    assert seqs("search", "保本") == {1, 3, 5, 9}
    assert {r["msgid"] for r in ask("shanghai", "audit", "run", "customer-thread", "-p", "customer=wmA").rows} == {"m1", "m9"}
    assert ask("shanghai", "conversation", "wang|wmC").code == 2 and ask("officer", "conversation", "wang|wmC").code == 0
    listed = ask("shanghai", "review", "list", "--format", "jsonl").rows
    assert {r["employee_id"] for r in listed} == {"zhang"} and len(listed) == 2
    assert ask("shanghai", "sql", "select count(raw) as n from messages").rows == [{"n": 0}]


def test_decisions_are_seen_when_their_message_is_also_without_departments(ask: Ask) -> None:
    found = {r["msgid"]: r["finding_id"] for r in ask("officer", "sql", "select msgid, finding_id from matches").rows}
    for msgid in ("m1", "m4"):  # m4 is of wang, the reviewer's line manager
        assert ask("officer", "review", "decide", found[msgid], "violation", "--reason", f"about {msgid}").code == 0
    assert {r["reason"] for r in ask("officer", "sql", "select reason from reviews").rows} == {"about m1", "about m4"}
    assert ask("reviewer", "sql", "select finding_id, reason from reviews").rows == [{"finding_id": found["m1"], "reason": "about m1"}]


def test_a_successor_does_not_see_the_thread_of_his_predecessor(ask: Ask) -> None:
    def thread(who: str) -> list[str]:
        return [r["msgid"] for r in ask(who, "audit", "run", "customer-thread", "-p", "customer=wmA").rows]

    assert thread("officer") == ["m1", "m9", "m2", "m7"]
    assert thread("successor") == ["m9"]


@pytest.mark.parametrize(
    ("who", "words"),
    [
        ("admin", ["sql", "select text from messages"]), ("operator", ["search", "保本"]), ("second", ["conversation", "wang|wmC"]),
        ("auditor", ["reveal", "m7", "--purpose", "x"]), ("shanghai", ["export", "--matter", "M1", "--customer", "wmA", "--preview"]),
        ("reviewer", ["hold", "list"]), ("legal", ["erase", "--customer", "wmA"]), ("nobody", ["status"]),
    ],
)  # fmt: skip
def test_what_a_role_does_not_allow_ends_with_8_and_is_recorded(archive: tuple[Home, dict[str, str]], ask: Ask, who: str, words: list[str]) -> None:
    before = len(list(Home(archive[0].path).custody.entries()))
    ended = ask(who, *words)
    assert ended.code == 8 and "NOT_ALLOWED" in ended.err and ended.out == ""
    new = list(Home(archive[0].path).custody.entries())[before:]
    assert [(e.phase, e.result) for e in new if e.command != "roles changed"] == [("refused", "NOT_ALLOWED")]


def test_custody_names_person_role_mode_and_purpose(archive: tuple[Home, dict[str, str]], ask: Ask) -> None:
    assert ask("privacy", "reveal", "m7", "--purpose", "complaint 7").code == 0
    start = entries(archive, "reveal")[-2]
    told = Home(archive[0].path).custody.params(start)
    assert (start.actor, start.role, told["mode"], told["purpose"]) == ("privacy", "privacy_officer", "roles", "complaint 7")


def test_a_file_with_words_needs_a_purpose_and_above_the_cap_a_second_person(archive: tuple[Home, dict[str, str]], ask: Ask, tmp_path: Path) -> None:
    file, query = tmp_path / "out.csv", "select text as x from messages order by seq"
    assert ask("officer", "sql", "select count(*) as n from messages", "-o", str(file)).code == 0  # no words in it
    assert entries(archive, "extract") == []
    ended = ask("officer", "sql", query, "-o", str(file))
    assert ended.code == 2 and "PURPOSE_NEEDED" in ended.err
    assert ask("officer", "sql", query, "-o", str(file), "--purpose", "report").code == 0
    (made,) = entries(archive, "extract")
    told = Home(archive[0].path).custody.params(made)
    assert (told["rows"], told["sha256"], told["purpose"]) == (9, hashlib.sha256(file.read_bytes()).hexdigest(), "report")
    text = (archive[0].path / "liuhen.toml").read_text()
    (archive[0].path / "liuhen.toml").write_text(text.replace("extract_rows = 1000", "extract_rows = 8"))
    file.unlink()
    asking = ["sql", query, "-o", str(file), "--purpose", "report"]
    ended = ask("officer", *asking)
    assert ended.code == 8 and "APPROVAL_NEEDED" in ended.err and not file.exists()
    (request,) = [r["request"] for r in ask("second", "approve", "list").rows]
    assert ask("officer", "approve", request).code == 8  # his own
    assert ask("second", "approve", request).code == 0
    assert ask("officer", *asking[:2], "-o", str(file), "--purpose", "something else", "--approval", request).code == 8
    assert ask("officer", *asking, "--approval", request).code == 0 and file.exists()
    assert ask("officer", *asking, "--approval", request).code == 8  # used
    (archive[0].path / "liuhen.toml").write_text(text)


def test_nobody_hands_evidence_out_alone(ask: Ask, tmp_path: Path) -> None:
    assert ask("officer", "matter", "open", "M9", "--title", "case", "--customer", "wmB").code == 0
    words = ["export", "--matter", "M9", "--customer", "wmB", "-o", str(tmp_path / "case.zip")]
    assert ask("officer", *words, "--preview").code == 0
    assert ask("officer", *words).code == 8 and not (tmp_path / "case.zip").exists()
    request = ask("legal", "approve", "list").rows[0]["request"]
    assert ask("legal", "approve", request).code == 0
    assert ask("officer", *words, "--approval", request).code == 0 and (tmp_path / "case.zip").exists()


def test_an_erasure_that_a_hold_covers_whole_is_refused_and_not_done_in_silence(ask: Ask) -> None:
    assert ask("officer", "matter", "open", "M7", "--title", "dispute", "--customer", "wmE").code == 0
    for more in ([], ["--dry-run"]):
        ended = ask("privacy", "erase", "--customer", "wmE", "--request", "letter", *more)
        assert ended.code == 8 and "REMOVAL_HELD" in ended.err and "M7" in ended.err
    assert ask("officer", "sql", "select seq from messages where seq = 8").rows == [{"seq": 8}]


def test_requests_about_other_departments_are_not_shown(ask: Ask, tmp_path: Path) -> None:
    assert ask("officer", "matter", "open", "M8", "--title", "about wang", "--customer", "wmC").code == 0
    assert ask("officer", "export", "--matter", "M8", "--customer", "wmC", "-o", str(tmp_path / "case.zip")).code == 8
    request = next(r["request"] for r in ask("auditor", "approve", "list").rows if r["reason"] == "about wang")
    assert ask("shanghai", "approve", "list").rows == []
    ended = ask("shanghai", "approve", "show", request)
    assert ended.code == 2 and "APPROVAL_UNKNOWN" in ended.err and "wmC" not in ended.out + ended.err


def test_a_token_that_is_no_text_belongs_to_nobody(ask: Ask, archive: tuple[Home, dict[str, str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(archive[1], "broken", "\udcff")
    ended = ask("broken", "sql", "select 1 as n")
    assert ended.code == 8 and "NOT_ALLOWED" in ended.err


def test_made_up_data_with_roles_are_not_said_to_be_in_single_mode(archive: tuple[Home, dict[str, str]], ask: Ask) -> None:
    toml = archive[0].path / "liuhen.toml"
    text = toml.read_text()
    assert "\ndemo = false" in text
    toml.write_text(text.replace("\ndemo = false", "\ndemo = true"))
    told = ask("legal", "approve", "list")
    toml.write_text(text)
    assert told.code == 0 and "DEMO" in told.err
    assert "single mode" not in told.err and "单人模式" not in told.err


def test_an_import_that_restricts_very_many_needs_a_second_person(archive: tuple[Home, dict[str, str]], ask: Ask, tmp_path: Path) -> None:
    file = tmp_path / "refusals.jsonl"
    file.write_text(json.dumps({"userid": "wang", "external_userid": "wmC", "status": "Disagree", "changed_at": T0 // 1000}) + "\n")
    toml = archive[0].path / "liuhen.toml"
    text = toml.read_text()
    toml.write_text(text.replace("import_records = 1000", "import_records = 0"))
    assert ask("privacy", "consent", "import", str(file), "--preview").code == 0
    ended = ask("privacy", "consent", "import", str(file))
    assert ended.code == 8 and "APPROVAL_NEEDED" in ended.err
    assert ask("officer", "sql", "select seq from messages where seq = 4").rows == [{"seq": 4}]
    request = ask("second", "approve", "list").rows[0]["request"]
    assert ask("second", "approve", request).code == 0
    assert ask("privacy", "consent", "import", str(file), "--approval", request).code == 0
    assert ask("officer", "sql", "select seq from messages where seq = 4").rows == []
    toml.write_text(text)


def test_access_review_says_who_holds_what_and_whose_chats_were_read(archive: tuple[Home, dict[str, str]], ask: Ask) -> None:
    assert ask("auditor", "search", "保本", "--customer", "wmB").code == 0
    assert ask("auditor", "conversation", "chen|wmB").code == 0
    assert ask("admin", "search", "保本").code == 8
    found = {r["actor"]: r for r in ask("auditor", "access", "review").rows}
    assert set(homes.PEOPLE) <= set(found)
    assert found["auditor"]["roles"] == "auditor" and found["auditor"]["granted"]
    assert {"customer:wmB", "conversation:chen|wmB"} <= set(found["auditor"]["read_of"])
    assert found["admin"]["refused"] >= 1 and found["admin"]["read_of"] == []
    assert found["shanghai"]["departments"] == "上海分公司"


def test_a_change_of_the_people_is_recorded_and_their_loss_is_no_free_pass(archive: tuple[Home, dict[str, str]], ask: Ask) -> None:
    at = archive[0].path
    assert ask("officer", "status").code == 0 and (at / acting.SINCE).exists()
    before = len(entries(archive, "roles changed"))
    kept = (at / "actors.toml").read_text()
    (at / "actors.toml").write_text(kept + "\n# somebody was here\n")
    assert ask("officer", "status").code == 0
    assert len(entries(archive, "roles changed")) == before + 1
    (at / "actors.toml").rename(at / "gone.toml")
    ended = ask("officer", "sql", "select 1 as n")
    assert ended.code == 2 and "ACTORS_GONE" in ended.err
    (at / "gone.toml").rename(at / "actors.toml")


def test_doctor_says_what_is_enforced_and_what_is_only_advisory(ask: Ask) -> None:
    from pipeline import words

    ended = ask("admin", "doctor", "--offline")
    shown = {(r["what"], r["state"]) for r in ended.rows}
    names = {words.say(f"doctor.{c}", root.LANG) for c in ("enforced", "advisory", "roles")}
    assert names <= {what for what, _ in shown}


def test_the_account_without_a_line_may_do_nothing_even_as_root(archive: tuple[Home, dict[str, str]], ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ask("nobody", "sql", "select 1 as n").code == 8
    monkeypatch.delenv("LIUHEN_TOKEN")
    root.CALL.reopen()
    err = io.StringIO()
    with redirect_stderr(err):
        assert root.run(["--home", str(archive[0].path), "sql", "select 1 as n"]) == 8
    assert firm.CORP not in err.getvalue()
