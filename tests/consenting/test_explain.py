"""One paragraph about one message, in Chinese and English, for every fate; without content and without the customer's id."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
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


@pytest.fixture(scope="module")
def one_day(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """wmA refuses at +10 s, agrees at +20 s, refuses at +30 s, and at +40 s says what nobody knows; a message after each. wmL's two refusals of the day
    (+50 s, +70 s; agreed between) come late, and an unknown status of wmM."""
    folder = tmp_path_factory.mktemp("one-day")
    at = home(folder)
    said = [(10, "Disagree"), (20, "Agree"), (30, "Disagree"), (40, "Maybe")]
    told(at, *(disagree("wmA", T0 + s * 1000, status=status) for s, status in said), batch="b1")
    run(at, page(folder, "a.json", {
        **{s: message(s, SECRET, at_ms=T0 + s * 1000) for s in (11, 31, 41)},
        **{s: message(s, SECRET, to=["wmL"], at_ms=T0 + s * 1000) for s in (51, 71)}, 81: message(81, SECRET, to=["wmM"]),
        21: refusal(21, who="wmA", at_ms=T0 + 20_500, kind="agree"), 22: message(22, SECRET, at_ms=T0 + 22_000),
    }))  # fmt: skip
    told(at, disagree("wmL", T0 + 50_000), disagree("wmL", T0 + 70_000), disagree("wmM", T0 + 1000, status="Maybe"), batch="b2")
    told(at, {"userid": "zhangsan", "external_userid": "wmL", "status": "Agree", "changed_at": T0 + 60_000}, batch="b3")
    reconcile.run(at, CORP)
    return at


@pytest.mark.parametrize(
    ("msgid", "fate", "rule", "event_at"),
    [
        pytest.param("m11", "withheld", "3", T0 + 10_000, id="withheld by the first refusal of the day"),
        pytest.param("m22", "archived", "4", T0 + 20_500, id="kept by the agreement between"),
        pytest.param("m31", "withheld", "3", T0 + 30_000, id="withheld by the second refusal"),
        pytest.param("m41", "pending", "2", T0 + 40_000, id="pending by the unknown status after it"),
        pytest.param("m51", "restricted", "3", T0 + 50_000, id="restricted by the first late refusal"),
        pytest.param("m71", "restricted", "3", T0 + 70_000, id="restricted by the second"),
        pytest.param("m81", "restricted", "2", T0 + 1000, id="restricted by an unknown status"),
    ],
)
def test_of_several_events_of_a_day_the_one_that_decided_is_told_with_rule_register_and_policy(one_day: Home, msgid: str, fate: str, rule: str, event_at: int) -> None:
    (found,) = explain.gather(one_day, CORP, msgid)
    assert found.event is not None
    assert (found.now["fate"], found.event.changed_at_ms, found.gone) == (fate, event_at, False)
    policy = Workbench(one_day, CORP, one_day.lake(CORP).snapshot()).policy.version[:12]
    for lang in ("zh", "en"):
        paragraph = said(one_day, msgid, lang)
        wanted = [found.event.event_id[:12], {"zh": f"规则 {rule}", "en": f"Rule {rule} of"}[lang], {"zh": "登记簿版本", "en": "register version"}[lang], policy]
        assert [w for w in wanted if w not in paragraph] == [], paragraph


def test_no_event_is_told_where_none_decided_and_one_that_is_gone_is_said_to_be(tmp_path: Path) -> None:
    at = home(tmp_path, settings={"consent.default": '"pending"'})
    run(at, page(tmp_path, "a.json", {1: message(1, SECRET)}))
    told(at, disagree("wmA", T0 + 60_000))  # later that day: it decided nothing about m1
    (found,) = explain.gather(at, CORP, "m1")
    assert (found.now["fate"], found.now["rule"], found.event, found.gone) == ("pending", "5", None, False)
    erased = msgspec.structs.replace(found, gone=True)
    assert "已不在登记簿中" in explain.paragraph(erased, "zh") and "not in the register any more" in explain.paragraph(erased, "en")


def test_the_event_of_a_record_without_content_is_stored_as_a_keyed_name_alone(one_day: Home) -> None:
    lake = one_day.lake(CORP)
    rows = {r["seq"]: r for r in sorted(lake.read("records", lake.snapshot().of("records")).to_pylist(), key=lambda r: r["fate_no"])}
    events = {e.event_id for e in Workbench(one_day, CORP, lake.snapshot()).events}
    names = {seq: rows[seq]["event_ref"] for seq in (11, 31, 41, 51, 71, 81)}
    assert len(set(names.values())) == 6 and None not in names.values() and not events & set(names.values())
    assert rows[22]["event_ref"] is None


@pytest.mark.parametrize("reason", [
    "refused", "unknown_status", "withdrawn", "policy", "breaker", "pending_expired", "officer_withhold", "recall_of_withheld", "recall_of_pending",
    "recall_of_restricted", "recall_of_removed", "erasure_request", "retention_due", "late_refusal",
])  # fmt: skip
def test_every_reason_has_words_of_its_own(one_day: Home, reason: str) -> None:
    (found,) = explain.gather(one_day, CORP, "m11")
    row = {**found.now, "reason": reason}
    zh, en = (explain.paragraph(msgspec.structs.replace(found, history=(row,)), lang) for lang in ("zh", "en"))
    assert reason not in zh and f": {reason}." not in en


def test_a_message_that_was_never_here(archive: Home) -> None:
    with pytest.raises(UsageError, match="ever settled"):
        explain.gather(archive, CORP, "nothing")
