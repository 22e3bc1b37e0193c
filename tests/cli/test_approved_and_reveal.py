"""Approved texts, alerts and what is masked, asked for on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.home import Home
from tests import firm
from tests.cli.liuhen import liuhen

PHONE = "我的电话是13800138000，验证码123456"
NOTICE = "本产品不保本保息，过往业绩不代表未来表现"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    folder = tmp_path_factory.mktemp("reveal")
    made = firm.home(folder)
    firm.run(made, firm.page(folder, "1.json", {1: firm.message(1, PHONE), 2: firm.message(2, "您好")}))
    return made


def test_the_archive_shows_masks_and_reveal_shows_what_is_under_them(home: Home) -> None:
    assert firm.values(home, "SELECT text FROM messages WHERE msgid = 'm1'") == ["我的电话是*******8000，验证码******"]
    ended = liuhen(home.path, "reveal", "m1", "--purpose", "complaint 31")
    assert ended.code == 0
    who = {"sent_at": "2026-11-20T10:00:01.000+08:00", "sender_id": "zhangsan", "sender_name": None, "conversation_id": "wmA|zhangsan", "conversation_name": None}
    assert ended.rows == [{"origin": "sealed", "seq": 1, **who, "path": "text.content", "text": "我的电话是*******8000，验证码******", "text_clear": PHONE}]


def test_every_look_is_in_the_custody_log_with_its_purpose_before_it_is_taken(home: Home) -> None:
    before = len(list(home.custody.entries()))
    liuhen(home.path, "reveal", "m1", "--purpose", "complaint 32")
    start, kept, end = list(home.custody.entries())[before:]
    assert (kept.command, home.custody.params(kept)["of"]) == ("extract", "reveal")  # what it wrote went into a file here
    told = home.custody.params(start)
    assert (start.command, start.phase, told["purpose"], told["msgid"]) == ("reveal", "start", "complaint 32", "m1")
    assert b"complaint 32" not in (home.path / "custody" / "000001.jsonl").read_bytes()
    assert (end.phase, end.result) == ("end", "done")


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        pytest.param(("reveal", "m1"), 2, "--purpose", id="no purpose"),
        pytest.param(("reveal", "m1", "--purpose", " "), 2, "PURPOSE_NEEDED", id="an empty purpose"),
        pytest.param(("reveal", "m9", "--purpose", "x"), 2, "MSGID_UNKNOWN", id="no such message"),
        pytest.param(("alerts", "send"), 2, "ALERTS_OFF", id="alerts without a channel"),
        pytest.param(("alerts", "test"), 2, "ALERTS_OFF", id="a test without a channel"),
        pytest.param(("scripts", "import", "absent.csv"), 2, "INPUT_MISSING", id="no such file"),
        pytest.param(("scripts", "remove", "t9"), 2, "SCRIPT_UNKNOWN", id="no such text"),
    ],
)
def test_what_cannot_be_done_is_said_with_its_code(home: Home, words: tuple[str, ...], code: int, told: str) -> None:
    ended = liuhen(home.path, *words)
    assert ended.code == code
    assert told in ended.err


def test_a_message_without_masks_is_shown_as_it_is(home: Home) -> None:
    (row,) = liuhen(home.path, "reveal", "m2", "--purpose", "x").rows
    assert row["text"] == row["text_clear"] == "您好"


def test_approved_texts_come_and_go(home: Home, tmp_path: Path) -> None:
    file = tmp_path / "approved.csv"
    file.write_text(f"id,approver,valid_from,text\nnotice-1,合规部,2026-11-01,{NOTICE}\n", "utf-8")
    assert "1 approved text read, 1 of them new" in liuhen(home.path, "scripts", "import", str(file)).err
    assert "0 of them new" in liuhen(home.path, "scripts", "import", str(file)).err
    (row,) = liuhen(home.path, "scripts", "list").rows
    assert (row["script_id"], row["approver"], row["valid_from"], row["valid_to"], row["text"]) == ("notice-1", "合规部", "2026-11-01", None, NOTICE)
    assert liuhen(home.path, "scripts", "remove", "notice-1").code == 0
    assert liuhen(home.path, "scripts", "list").rows == []


def test_what_waits_is_listed(home: Home) -> None:
    ended = liuhen(home.path, "alerts", "list", "--format", "json")
    assert (ended.code, json.loads(ended.out)) == (0, [])
