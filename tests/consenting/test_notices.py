"""Evidence beside the register: greeting, card, notices and versions of the notice text, by digest, and never the text itself."""

from __future__ import annotations

import pytest

from pipeline.home import Home
from tests import firm
from tests.cli.inside import Answer
from tests.cli.liuhen import liuhen

pytestmark = pytest.mark.slow
TEXT = "本会话将被存档，用于合规管理。"
DIGEST = "23a0a75d105a788d4d35573528696a0e2bf1348732f75da19a37f46894104b62"


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Home:
    folder = tmp_path_factory.mktemp("notices")
    at = firm.home(folder, keys=())
    (folder / "text.txt").write_text(TEXT, "utf-8")
    noted = [
        ("notice_text", str(folder / "text.txt"), "--version", "v2", "--at", "2026-11-01T00:00:00Z"),
        ("employee_notice", "--employee", "zhangsan", "--version", "v2"),
        ("greeting", "--employee", "zhangsan", "--customer", "wmA", "--msgid", "m1"),
        ("card", "--employee", "zhangsan", "--customer", "wmA", "--msgid", "m2"),
        ("card", "--employee", "zhangsan", "--customer", "wmA", "--msgid", "m2"),  # the same again
    ]
    for words in noted:
        assert Answer(at, "consent", "notice", *words).code == 0
    return at


def test_each_kind_is_kept_once_with_whom_it_concerns(archive: Home) -> None:
    rows = firm.values(archive, "select notice, userid, external_userid, source_msgid, document_version from notices order by notice")
    assert rows == [
        ("card", "zhangsan", "wmA", "m2", None), ("employee_notice", "zhangsan", None, None, "v2"), ("greeting", "zhangsan", "wmA", "m1", None),
        ("notice_text", None, None, None, "v2"),
    ]  # fmt: skip


def test_of_the_text_its_digest_is_kept_and_no_word(archive: Home) -> None:
    assert firm.values(archive, "select document_digest from notices where document_digest is not null") == [DIGEST]
    assert not [p for p in archive.path.rglob("*") if p.is_file() and TEXT.encode() in p.read_bytes()]


def test_the_card_of_a_customer_shows_them(archive: Home) -> None:
    shown = [r["source"] for r in Answer(archive, "audit", "run", "consent-card", "-p", "customer=wmA", "--format", "jsonl").rows if r["what"] == "notice"]
    assert shown == ["card", "greeting"]
    table = liuhen(archive.path, "audit", "run", "consent-card", "-p", "customer=wmA", "--format", "table", lang="zh").out
    assert "告知" in table and "首次问候" in table and "greeting" not in table
