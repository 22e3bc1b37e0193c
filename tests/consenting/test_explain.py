"""One paragraph about one message, in Chinese and English, for every fate; without content and without the customer's id."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pipeline.consenting import explain, reconcile
from pipeline.errors import UsageError
from pipeline.home import Home
from pipeline.workbench import Workbench
from tests.consenting.test_reconcile import disagree, told
from tests.firm import CORP, T0, home, message, page, refusal, run

SECRET = "机密的话"


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Home:
    folder = tmp_path_factory.mktemp("explain")
    at = home(folder)
    told(at, disagree("wmB", T0), disagree("wmC", T0, status="Maybe"))
    run(at, page(folder, "a.json", {
        1: message(1, SECRET), 2: message(2, SECRET, to=["wmB"]), 3: message(3, SECRET, to=["wmC"]), 4: message(4, SECRET, to=["wmD"]),
        5: refusal(5, who="wmD", at_ms=T0, kind="agree"),
    }))  # fmt: skip
    told(at, disagree("wmA", T0), batch="b2")
    reconcile.run(at, CORP)
    return at


def said(at: Home, msgid: str, lang: str) -> str:
    (found,) = explain.gather(at, CORP, msgid)
    return explain.paragraph(found, lang)  # type: ignore[arg-type]  # zh or en


@pytest.mark.parametrize(
    ("msgid", "chinese", "english"),
    [
        pytest.param("m4", ["已归档", "已同意", "会话记录", "规则 4"], ["is archived", "agreed", "record in the stream", "Rule 4"], id="archived, agreed"),
        pytest.param("m2", ["已拒存", "客户不同意存档", "导入", "规则 3", "不拆封销毁"], ["was withheld", "refused", "import", "Rule 3", "destroyed unopened"], id="withheld"),
        pytest.param("m3", ["待决", "无法识别", "规则 2"], ["is pending", "nobody knows", "Rule 2"], id="pending"),
        pytest.param("m1", ["受限", "客户不同意存档", "经过：已归档"], ["is restricted", "refused", "Course: archived"], id="restricted"),
    ],
)
def test_a_paragraph_tells_fate_rule_and_event(archive: Home, msgid: str, chinese: list[str], english: list[str]) -> None:
    for lang, wanted in (("zh", chinese), ("en", english)):
        paragraph = said(archive, msgid, lang)
        assert [w for w in wanted if w not in paragraph] == [], paragraph
        assert "\n" not in paragraph and SECRET not in paragraph and "wm" not in paragraph


def test_a_decision_names_the_policy_it_was_made_by_though_another_one_holds_now(archive: Home, tmp_path: Path) -> None:
    shutil.copytree(archive.path, tmp_path / "home")
    before = Workbench(archive, CORP, archive.lake(CORP).snapshot()).policy.version
    settings = tmp_path / "home" / "liuhen.toml"
    text = settings.read_text("utf-8")
    assert 'room = "sender"' in text
    settings.write_text(text.replace('room = "sender"', 'room = "everyone"'), "utf-8")
    now = Home(tmp_path / "home")
    assert Workbench(now, CORP, now.lake(CORP).snapshot()).policy.version != before
    for msgid in ("m1", "m2", "m3", "m4"):
        assert before[:12] in said(now, msgid, "en"), msgid


def test_a_message_that_was_never_here(archive: Home) -> None:
    with pytest.raises(UsageError, match="ever settled"):
        explain.gather(archive, CORP, "nothing")
