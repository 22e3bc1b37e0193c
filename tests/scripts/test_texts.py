"""Approved texts: the files they come in, what they cover and when, and the firm's mass messages."""

from __future__ import annotations

import pickle
from datetime import date
from pathlib import Path

import pytest

from pipeline.errors import UsageError
from pipeline.records import Decision, Message, Part, PartyKind
from pipeline.scripts import mass, store, texts
from pipeline.scripts.covering import ApprovedTexts
from pipeline.scripts.texts import ApprovedText
from pipeline.wecom.statistics import MassMessage
from tests import firm

NOTICE = "本产品不承诺保本保息，过往业绩不代表未来表现"
NOON = 1_795_147_200_000  # 2026-11-20 12:00 in Beijing


def approved(text: str = NOTICE, *, text_id: str = "t1", first: str = "2026-11-01", last: str | None = "2026-11-30") -> ApprovedText:
    return ApprovedText(id=text_id, approver="合规部", valid_from=date.fromisoformat(first), valid_to=date.fromisoformat(last) if last else None, text=text)


def sent(text: str, *, by: PartyKind = "employee", at_ms: int | None = NOON) -> tuple[Message, Decision]:
    message = Message(
        msgid="m", kind="message", action="send", msgtype="text", sender_id=None, recipient_ids=(), room_id=None, sent_at_ms=at_ms,
        text=text, parts=(Part("text.content", text),),
    )  # fmt: skip
    decision = Decision(fate="archived", consent="agree", source="s", rule="1", reason="r", lawful_basis=(), sender_kind=by, direction="outbound")
    return message, decision


def covers(text: str, term: str, *given: ApprovedText, by: PartyKind = "employee", at_ms: int | None = NOON) -> str | None:
    message, decision = sent(text, by=by, at_ms=at_ms)
    start = text.index(term)
    return ApprovedTexts(given or (approved(),)).covering(message, decision, 0, text, start, start + len(term))


# --- files ---


@pytest.mark.parametrize(
    ("name", "data"),
    [
        pytest.param("a.jsonl", '{"id":"t1","approver":"合规部","valid_from":"2026-11-01","valid_to":"2026-11-30","text":"' + NOTICE + '"}\n\n', id="JSON Lines"),
        pytest.param("a.csv", f"id,approver,valid_from,valid_to,text\nt1,合规部,2026-11-01,2026-11-30,{NOTICE}\n", id="CSV"),
        pytest.param("a.csv", f"编号,批准人,生效,失效,正文\r\nt1,合规部,2026-11-01,2026-11-30,{NOTICE}\r\n", id="CSV with Chinese titles"),
        pytest.param("a.csv", f"\ufeffid,approver,valid_from,valid_to,text\nt1,合规部,2026-11-01,2026-11-30,{NOTICE}\n", id="CSV with a byte-order mark"),
        pytest.param("a.yaml", f"- id: t1\n  approver: 合规部\n  valid_from: 2026-11-01\n  valid_to: 2026-11-30\n  text: {NOTICE}\n", id="YAML"),
        pytest.param(
            "a.csv", f"id,approver,valid_from,valid_to,text\nt1,合规部,2026-11-01,2026-11-30,{NOTICE}\nt1,合规部,2026-11-01,2026-11-30,{NOTICE}\n",
            id="a repeated entry counts once",
        ),
    ],
)
def test_a_file_of_approved_texts_is_read(name: str, data: str) -> None:
    assert texts.read_texts(name, data.encode()) == (approved(),)


@pytest.mark.parametrize(
    ("name", "data", "code", "told"),
    [
        pytest.param("a.jsonl", b'{"id":"t1"}', "SCRIPTS_INVALID", "line 1", id="a field is missing"),
        pytest.param("a.jsonl", b"\n{nonsense\n", "SCRIPTS_UNREADABLE", "line 2", id="not JSON"),
        pytest.param("a.jsonl", b"\xff\n", "SCRIPTS_UNREADABLE", "line 1", id="not UTF-8"),
        pytest.param("a.csv", f"id,approver,valid_from,text\nt1,x,2026-13-01,{NOTICE}\n".encode(), "SCRIPTS_INVALID", "line 2", id="no such day"),
        pytest.param("a.csv", f"id,approver,valid_from,text\nt1,,2026-11-01,{NOTICE}\n".encode(), "SCRIPTS_INVALID", "approver", id="nobody approved it"),
        pytest.param("a.csv", f"id,approver,valid_from,text\nt1,x,2026-11-01,{NOTICE},y\n".encode(), "SCRIPTS_INVALID", "line 2", id="a cell too many"),
        pytest.param(
            "a.csv", f"id,approver,valid_from,valid_to,text\nt1,x,2026-11-02,2026-11-01,{NOTICE}\n".encode(), "SCRIPTS_INVALID", "before the first", id="ends before it begins",
        ),
        pytest.param("a.csv", "id,approver,valid_from,text\nt1,x,2026-11-01,保本保息\n".encode(), "SCRIPTS_INVALID", "fewer than 8", id="a word, not a text"),
        pytest.param(
            "a.csv", f"id,approver,valid_from,text\nt1,x,2026-11-01,{NOTICE}\nt1,x,2026-11-01,{NOTICE}吗\n".encode(), "SCRIPTS_TWICE", "t1", id="two texts under one id and day",
        ),
        pytest.param("a.yaml", b"id: t1", "SCRIPTS_UNREADABLE", "list", id="YAML that is no list"),
        pytest.param("a.docx", b"", "SCRIPTS_UNREADABLE", "expected", id="an ending we do not read"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_the_place_and_without_its_text(name: str, data: bytes, code: str, told: str) -> None:
    with pytest.raises(UsageError) as refused:
        texts.read_texts(name, data)
    assert refused.value.code == code
    assert told in str(refused.value)
    assert "业绩" not in str(refused.value)


# --- what they cover ---


@pytest.mark.parametrize(
    ("text", "covered"),
    [
        pytest.param(NOTICE, "t1", id="word for word"),
        pytest.param(f"您好！{NOTICE}。祝好", "t1", id="with other words around it"),
        pytest.param("本產品不承諾保本保息，過往業績不代表未來表現", "t1", id="in traditional characters"),
        pytest.param("本产品不承诺 保本保息 ，过往业绩不代表未来表现", "t1", id="with spaces put in"),
        pytest.param("本产品不承诺保本保息\n过往业绩不代表未来表现！", "t1", id="with another line end and punctuation"),
        pytest.param("本产品承诺保本保息，过往业绩不代表未来表现", None, id="one character fewer"),
        pytest.param("本产品不承诺保本保息，过往业绩代表未来表现", None, id="changed after the term"),
        pytest.param("保本保息", None, id="the term alone"),
    ],
)
def test_a_hit_is_covered_when_it_lies_in_an_approved_text(text: str, covered: str | None) -> None:
    assert covers(text, "保本保息") == covered


def test_a_hit_that_reaches_beyond_the_text_is_not_covered() -> None:
    message, decision = sent(NOTICE + "保本")
    assert ApprovedTexts((approved(),)).covering(message, decision, 0, NOTICE + "保本", len(NOTICE) - 2, len(NOTICE) + 2) is None


@pytest.mark.parametrize(
    ("by", "at_ms", "last", "covered"),
    [
        pytest.param("employee", 1_793_462_400_000, "2026-11-30", "t1", id="the first moment of the first day"),
        pytest.param("employee", 1_793_462_399_999, "2026-11-30", None, id="one millisecond before it"),
        pytest.param("employee", 1_796_054_399_999, "2026-11-30", "t1", id="the last moment of the last day"),
        pytest.param("employee", 1_796_054_400_000, "2026-11-30", None, id="one millisecond after it"),
        pytest.param("employee", 1_900_000_000_000, None, "t1", id="no last day"),
        pytest.param("employee", None, "2026-11-30", None, id="nobody knows when it was sent"),
        pytest.param("employee", None, None, "t1", id="nobody knows when, and it has no end"),
        pytest.param("robot", NOON, "2026-11-30", "t1", id="a robot"),
        pytest.param("external", NOON, "2026-11-30", None, id="a customer"),
        pytest.param("unknown", NOON, "2026-11-30", None, id="nobody knows who"),
    ],
)
def test_a_text_covers_from_its_first_to_its_last_beijing_day_what_staff_said(by: PartyKind, at_ms: int | None, last: str | None, covered: str | None) -> None:
    assert covers(NOTICE, "保本保息", approved(last=last), by=by, at_ms=at_ms) == covered


def test_what_is_filled_in_may_be_anything_and_the_pieces_around_it_count_alone() -> None:
    text = approved("尊敬的{姓名}，我们提示您：本产品不保本保息，请谨慎{…}。")
    assert covers("尊敬的王女士，我们提示您：本产品不保本保息，请谨慎决定。", "保本保息", text) == "t1"
    assert covers("我们提示您：本产品保本保息", "保本保息", text) is None


def test_an_approved_text_is_named_before_a_mass_message() -> None:
    sent_by_all = ApprovedText(id="a-mass", approver="x", valid_from=date(2026, 11, 1), text=NOTICE, source="mass")
    assert covers(NOTICE, "保本保息", sent_by_all, approved()) == "t1"


def test_a_text_that_was_said_counts_as_disclosure() -> None:
    found = ApprovedTexts((approved(), approved("犹豫期十五日内可以全额退保", text_id="t2")))
    assert found.said_in(*sent(f"{NOTICE}。犹豫期十五日内可以全额退保。")) == ("t1", "t2")
    assert found.said_in(*sent("您好")) == ()
    assert found.said_in(*sent(NOTICE, by="external")) == ()


def test_the_digest_changes_with_a_text_and_crosses_to_workers_unchanged() -> None:
    one, other = ApprovedTexts((approved(),)), ApprovedTexts((approved(last=None),))
    assert one.digest != other.digest and ApprovedTexts(()).digest == ""
    assert pickle.loads(pickle.dumps(one)).digest == one.digest


# --- the home's texts ---


def test_texts_lie_encrypted_and_the_same_file_twice_adds_nothing(tmp_path: Path) -> None:
    home = firm.home(tmp_path, keys=())
    assert store.load(home) == ()
    assert store.add(home, [approved()]) == 1
    assert store.add(home, [approved()]) == 0
    assert store.add(home, [approved(first="2026-12-01", last=None)]) == 1
    assert [t.valid_from.isoformat() for t in store.load(home)] == ["2026-11-01", "2026-12-01"]
    assert NOTICE.encode() not in (home.path / store.FILE).read_bytes()


def test_a_text_is_never_changed_behind_its_back(tmp_path: Path) -> None:
    home = firm.home(tmp_path, keys=())
    store.add(home, [approved()])
    with pytest.raises(UsageError) as refused:
        store.add(home, [approved("本产品保本保息，请放心购买")])
    assert refused.value.code == "SCRIPTS_TWICE"
    assert store.load(home) == (approved(),)


def test_a_text_is_removed_in_all_its_versions(tmp_path: Path) -> None:
    home = firm.home(tmp_path, keys=())
    store.add(home, [approved(), approved(first="2026-12-01"[:10], last=None), approved(text_id="t2")])
    assert store.remove(home, "t1") == 2
    assert [t.id for t in store.load(home)] == ["t2"]
    with pytest.raises(UsageError, match="no approved text t1"):
        store.remove(home, "t1")


# --- mass messages ---


def made(text: str | None = "年末感恩回馈：本产品保本保息，欢迎咨询", *, by_member: bool = False, created_ms: int | None = NOON) -> MassMessage:
    return MassMessage(msgid="msgGCAAA/1", creator="market", created_ms=created_ms, by_member=by_member, text=text)


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(made(by_member=True), id="written by the member"),
        pytest.param(made(None), id="a picture alone"),
        pytest.param(made("保本保息"), id="too short to be told from a word"),
        pytest.param(made(created_ms=None), id="nobody knows when"),
    ],
)
def test_what_is_no_mass_message_of_the_firm_stays_the_members_own(message: MassMessage) -> None:
    assert mass.approved(message) is None


def test_a_mass_message_of_the_firm_holds_for_thirty_days(tmp_path: Path) -> None:
    home = firm.home(tmp_path, keys=())
    assert mass.take(home, [made(), made()]) == 1
    assert mass.take(home, [made()]) == 0
    (text,) = store.load(home)
    assert (text.id, text.approver, text.source) == ("mass-msgGCAAA-1", "market", "mass")
    assert (text.valid_from.isoformat(), text.valid_to and text.valid_to.isoformat()) == ("2026-11-20", "2026-12-20")
