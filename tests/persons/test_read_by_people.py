"""What people read has words of the catalogue and names of the time beside ids; programs get what is stored."""

from __future__ import annotations

import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipeline import ingest, lakerows, words
from pipeline.approvals import store as approvals
from pipeline.consenting import reconcile
from pipeline.home import Home
from pipeline.people_import import read_people
from pipeline.roles.table import said
from pipeline.words import moment as beijing
from tests import firm
from tests.cli.inside import Answer
from tests.firm import CORP, T0, item, message, page, refusal, run

PEOPLE = ['{"userid":"lina","kind":"employee","name":"李娜"}', '{"userid":"hu","kind":"employee","name":"胡六"}', '{"userid":"wmA","kind":"external","name":"王红"}']


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Home:
    folder = tmp_path_factory.mktemp("read")
    home = firm.home(folder)
    ingest.append(home, CORP, [("people", lakerows.people_table(read_people([line.encode() for line in PEOPLE], recorded_at_ms=T0)))], what="people")
    video = message(2, sender="wmA", to=["lina"], msgtype="video", video={"md5sum": "0" * 32, "filesize": 9, "play_length": 3, "sdkfileid": "f"})
    del video["text"]
    said = [item(1, message(1, "稳赚不赔，电话13800138000", sender="lina")), item(2, video), item(3, message(3, "[video]", sender="hu", to=["wmB"]))]
    run(home, page(folder, "a.json", said))
    run(home, page(folder, "b.json", [item(9, refusal(9, "wmB", "hu", at_ms=T0 - 86_400_000))]))
    reconcile.run(home, CORP)
    return home


@pytest.mark.parametrize(
    ("call", "shown", "stored"),
    [
        pytest.param(["audit", "run", "findings-of-employee", "-p", "employee=lina"], "[视频]", {"after_text": "[video]"}, id="what has no words"),
        pytest.param(["sql", "SELECT consent_source FROM messages WHERE seq = 1"], "企业政策：未表态即保存", {"consent_source": "policy:default=agree"}, id="a policy"),
        pytest.param(["reveal", "m1", "--purpose", "p"], "李娜 (lina)", {"sender_id": "lina", "sender_name": "李娜", "conversation_name": "李娜 / 王红"}, id="whose words"),
        pytest.param(["sql", "SELECT 'multi-buffer' AS rsa FROM runs LIMIT 1"], "八条并行（crypto_mb）", {"rsa": "multi-buffer"}, id="what did the RSA operations"),
        pytest.param(["access", "whoami"], "所有者", {"role": "owner"}, id="the owner"),
    ],
)
def test_people_read_words_and_programs_what_is_stored(at: Home, call: list[str], shown: str, stored: dict[str, str]) -> None:
    table, rows = Answer(at, *call, screen=True), Answer(at, *call).rows
    assert shown in table.out, table.out + table.err
    assert stored.items() <= rows[0].items() and not any(value in table.out for value in ("[video]", "policy:default", "owner", "multi-buffer"))


@pytest.mark.parametrize(
    ("call", "column"),
    [
        pytest.param(["checkpoint"], "made_at", id="checkpoints"),
        pytest.param(["matter", "list"], "opened_at", id="matters"),
        pytest.param(["hold", "list"], "at", id="holds"),
        pytest.param(["retention", "show"], "set_at", id="profiles"),
        pytest.param(["approve", "list"], "asked_at", id="requests"),
    ],
)
def test_programs_get_instants_and_people_beijing_time(at: Home, call: list[str], column: str) -> None:
    before = datetime.now(UTC) - timedelta(seconds=1)
    Answer(at, "matter", "open", "T1", "--title", "t", "--customer", "wmA")
    Answer(at, "retention", "set", "cn.insurance.prospect", "--confirmed-by", "王律师")
    Answer(at, "restricted", "open", "--matter", "T1", "--customer", "wmB", "--reason", "r")
    said = [datetime.fromisoformat(row[column]) for row in Answer(at, *call).rows if row[column]]
    assert said and all(moment.tzinfo is not None for moment in said) and max(said) >= before - timedelta(hours=1)
    table = Answer(at, *call, screen=True).out
    assert "北京时间" in table and f"{beijing(max(said)):%Y-%m-%d %H:%M:%S}" in table


def test_the_key_that_others_compare_is_shown_whole(at: Home) -> None:
    (key,) = {row["key"] for row in Answer(at, "checkpoint").rows}
    table = Answer(at, "checkpoint", screen=True).out
    assert key in "".join(table.replace("公钥", "").split()), table


def test_consent_is_explained_in_words(at: Home) -> None:
    told = Answer(at, "consent", "explain", "m1").out
    assert "客户未表态，予以保存（企业政策：未表态即保存），不视为同意" in told and "policy:" not in told
    told = words.say("explain.kept.policy", "en", source=words.label("consent_source", "policy:default=agree", "en"))
    assert told == "no answer was known; kept (firm's policy: silence is kept), which is not counted as agreement"


def test_restricted_records_are_opened_with_names(at: Home) -> None:
    Answer(at, "matter", "open", "M1", "--title", "t")
    call = ["restricted", "open", "--matter", "M1", "--customer", "wmB", "--reason", "r"]
    Answer(at, *call)
    request = approvals.all_of(at, CORP)[0].request.id
    approvals.say(at, CORP, request, "approve")
    (row,) = Answer(at, *call, "--approval", request).rows
    assert (row["sender_id"], row["sender_name"], row["text"]) == ("hu", "胡六", "[video]")  # as it was typed


def test_whose_chats_were_read_is_told_with_names(at: Home) -> None:
    assert Answer(at, "conversation", "lina|wmA").code == 0
    (row,) = Answer(at, "access", "review").rows
    assert "conversation:lina|wmA" in row["read_of"] and "customer:wmB" in row["read_of"]
    table = "".join(Answer(at, "access", "review", screen=True).out.split())  # its cells are folded
    assert "会话李娜/王红(lina|wmA)" in table and "客户wmB" in table and "conversation:" not in table


def test_roles_have_names_in_both_languages() -> None:
    assert said(["officer", "legal"], "zh") == "合规负责人、法务" and said(["owner", "auditor", "of later"], "en") == "owner, auditor, of later"


def test_a_workbook_says_the_same(at: Home, tmp_path: Path) -> None:
    file = tmp_path / "a.xlsx"
    assert Answer(at, "sql", "SELECT consent_source FROM messages WHERE seq = 1", "-o", str(file)).code == 0
    with zipfile.ZipFile(file) as book:
        assert "企业政策：未表态即保存".encode() in b"".join(map(book.read, book.namelist()))
