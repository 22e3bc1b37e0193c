"""The consent gate: one case per rule and one just beside each."""

from __future__ import annotations

import ast
import random
from pathlib import Path
from typing import Any

import pytest

from pipeline import consent
from pipeline.consent import ConsentPolicy, breaker_trips, decide, gate_page, held_by_breaker, recall_decision, with_decision
from pipeline.directory import Directory, Entry
from pipeline.errors import Failure
from pipeline.records import Control, Decision, Fate, Gated, Message, OpenedItem, PageRef, ParsedItem, ParsedPage, Unopened
from pipeline.register import Event, Register, new_event, pair_scope, room_scope

T = 1_750_000_000_000
CAPTURED = T + 3_600_000

STAFF = Directory.of(
    [
        Entry(userid="ZhangSan", kind="employee"),
        Entry(userid="LiSi", kind="employee"),
        Entry(userid="wmliu", kind="employee"),
        Entry(userid="Leaver", kind="employee", valid_to_ms=T),
        Entry(userid="wbBot", kind="robot"),
    ]
)
NOBODY = Directory.of([])


def pair(status: str, external: str = "wmA", userid: str = "zhangsan", at_ms: int | None = T - 1000, **more: Any) -> Event:
    fields: dict[str, Any] = {"source": "stream", "recorded_at_ms": T} | more
    return new_event(status=status, userid=userid, external_userid=external, changed_at_ms=at_ms, **fields)


def room(status: str, external: str = "wmA", room_id: str = "wr1", at_ms: int | None = T - 1000, **more: Any) -> Event:
    fields: dict[str, Any] = {"source": "stream", "recorded_at_ms": T} | more
    return new_event(status=status, room_id=room_id, external_userid=external, changed_at_ms=at_ms, **fields)


def said(sender: str | None, *recipients: str, in_room: str | None = None, at_ms: int | None = T, **more: Any) -> Message:
    fields: dict[str, Any] = {"kind": "message", "action": "send", "msgtype": "text"} | more
    return Message(
        msgid="m1", sender_id=sender, recipient_ids=recipients, room_id=in_room, sent_at_ms=at_ms, text="好的", parts=(), **fields
    )


def judge(message: Message, *events: Event, directory: Directory = STAFF, **policy: Any) -> Decision:
    register = Register.of(events, version=1)
    return decide(message, captured_at_ms=CAPTURED, register=register, directory=directory, policy=ConsentPolicy(**policy))


def short(decision: Decision) -> tuple[str, str, str, str]:
    return decision.rule, decision.fate, decision.consent, decision.source


SILENCE = ("5", "archived", "unknown", "policy:default=agree")
REFUSED = ("3", "withheld", "unknown", "stream:disagree")
AGREED = ("4", "archived", "agree", "stream:agree")
UNCLEAR = ("2", "pending", "unknown", "stream:unknown_status")
PROVEN = ("1", "archived", "not_required", "directory")


@pytest.mark.parametrize(
    ("message", "events", "expected"),
    [
        # (1) all proven
        pytest.param(said("ZhangSan", "LiSi"), [], PROVEN, id="1: two employees"),
        pytest.param(said("zhangsan", "LISI"), [], PROVEN, id="1: in any ASCII case"),
        pytest.param(said("ZhangSan", "wmliu"), [pair("Disagree", "wmliu")], PROVEN, id="1: an employee called wmliu is no customer"),
        pytest.param(said("wbBot", "ZhangSan"), [], PROVEN, id="1: a robot and an employee"),
        pytest.param(said("ZhangSan", "LiSi", "wbBot", in_room="wr1"), [], PROVEN, id="1: a room of employees and robots"),
        pytest.param(said("ZhangSan", "Ghost"), [], SILENCE, id="beside 1: an id without prefix is not proven"),
        pytest.param(said("ZhangSan", "Leaver"), [], SILENCE, id="beside 1: a leaver from the moment they left"),
        pytest.param(said("ZhangSan", "Leaver", at_ms=T - 1), [], PROVEN, id="1: a leaver a millisecond before"),
        pytest.param(said("wbOther", "ZhangSan"), [], SILENCE, id="beside 1: a robot by its prefix alone"),
        pytest.param(said(None, "ZhangSan"), [], SILENCE, id="beside 1: nobody knows who sent it"),
        pytest.param(said("ZhangSan"), [], SILENCE, id="beside 1: nobody knows who got it"),
        pytest.param(said("ZhangSan", ""), [], SILENCE, id="beside 1: an empty recipient"),
        pytest.param(said("ZhangSan", in_room="wr1"), [], PROVEN, id="1: an employee alone in a room"),
        pytest.param(
            said("ZhangSan", "LiSi", "wmA", in_room="wr1"),
            [],
            ("6", "archived", "unknown", "policy:room=sender"),
            id="beside 1: one external in the room",
        ),
        # (2) pending
        pytest.param(said("ZhangSan", "wmA"), [pair("Maybe")], UNCLEAR, id="2: an unknown status"),
        pytest.param(said("ZhangSan", "wmA"), [pair("Maybe", at_ms=T + 1)], SILENCE, id="beside 2: an unknown status a millisecond later"),
        pytest.param(said("ZhangSan", "wmA"), [pair("Maybe"), pair("Agree", at_ms=T)], AGREED, id="beside 2: a known status after it"),
        pytest.param(
            said("wmA", "ZhangSan", "LiSi"),
            [pair("Maybe"), pair("Disagree", userid="LiSi")],
            REFUSED,
            id="2 gives way to a refusal in another scope",
        ),
        pytest.param(
            said("wmA", "ZhangSan", "LiSi"),
            [pair("Maybe"), pair("Agree", userid="LiSi")],
            UNCLEAR,
            id="2 goes before an agreement in another scope",
        ),
        pytest.param(said("wmA", "ZhangSan", "LiSi"), [pair("Maybe")], UNCLEAR, id="2 goes before silence in another scope"),
        # (3) refused
        pytest.param(said("ZhangSan", "wmA"), [pair("Disagree", at_ms=T)], REFUSED, id="3: refused in that millisecond"),
        pytest.param(said("ZhangSan", "wmA"), [pair("Disagree", at_ms=T + 1)], SILENCE, id="beside 3: refused a millisecond later"),
        pytest.param(said("wmA", "ZhangSan"), [pair("Disagree")], REFUSED, id="3: whoever of the two wrote"),
        pytest.param(said("ZHANGSAN", "wmA"), [pair("Disagree")], REFUSED, id="3: the employee in another case"),
        pytest.param(said("ZhangSan", "wma"), [pair("Disagree")], SILENCE, id="beside 3: the customer in another case is another"),
        pytest.param(said("LiSi", "wmA"), [pair("Disagree")], SILENCE, id="beside 3: another employee"),
        pytest.param(said("ZhangSan", "wmA"), [room("Disagree")], SILENCE, id="beside 3: a refusal in a room is none in the pair"),
        pytest.param(said("wmA", "ZhangSan", in_room="wr1"), [pair("Disagree")], SILENCE, id="beside 3: nor the reverse"),
        pytest.param(said("ZhangSan", "wmA"), [pair("Disagree"), pair("Agree", at_ms=T)], AGREED, id="beside 3: agreed again"),
        pytest.param(said("ZhangSan", "wmA"), [pair("Disagree", at_ms=None)], REFUSED, id="3: a refusal without a time"),
        pytest.param(
            said("wmA", "ZhangSan", "LiSi"), [pair("Agree"), pair("Disagree", userid="LiSi")], REFUSED, id="3: one pair of several"
        ),
        pytest.param(
            said("ZhangSan", "Ghost"),
            [pair("Disagree", "ZhangSan", "Ghost")],
            REFUSED,
            id="3: a gap in the directory, seen from the other side",
        ),
        pytest.param(said("Ghost", "Other"), [pair("Disagree", "Ghost", "Other")], REFUSED, id="3: neither proven, the one order"),
        pytest.param(said("Ghost", "Other"), [pair("Disagree", "Other", "Ghost")], REFUSED, id="3: neither proven, the other order"),
        pytest.param(said("wmA", "wmB"), [pair("Disagree", "wmA", "wmB")], REFUSED, id="3: two outsiders"),
        # (4) agreed
        pytest.param(said("ZhangSan", "wmA"), [pair("Agree", at_ms=T)], AGREED, id="4: agreed in that millisecond"),
        pytest.param(said("ZhangSan", "wmA"), [pair("Agree", at_ms=T + 1)], SILENCE, id="beside 4: agreed a millisecond later"),
        pytest.param(
            said("ZhangSan", "wmA"),
            [pair("Default_Agree", source="api")],
            ("4", "archived", "default_agree", "api:default_agree"),
            id="4: by default",
        ),
        pytest.param(
            said("ZhangSan", "wmA"),
            [pair("Agree", source="import", recorded_at_ms=T + 1)],
            SILENCE,
            id="beside 4: an import recorded a millisecond later",
        ),
        pytest.param(
            said("ZhangSan", "wmA"),
            [pair("Agree", source="import")],
            ("4", "archived", "agree", "import:agree"),
            id="4: an import recorded in that millisecond",
        ),
        pytest.param(said("wmA", "ZhangSan", "LiSi"), [pair("Agree"), pair("Agree", userid="LiSi")], AGREED, id="4: in all pairs"),
        pytest.param(said("wmA", "ZhangSan", "LiSi"), [pair("Agree")], SILENCE, id="beside 4: one pair is silent"),
        pytest.param(
            said("wmA", "ZhangSan", "LiSi"),
            [pair("Agree"), pair("Default_Agree", userid="LiSi")],
            ("4", "archived", "default_agree", "stream:default_agree"),
            id="4: the weaker of two",
        ),
        pytest.param(said("ZhangSan", "wmA", "LiSi"), [pair("Agree")], AGREED, id="4: a colleague beside the customer needs no consent"),
        pytest.param(
            said("ZhangSan", "Ghost"),
            [pair("Agree", "ZhangSan", "Ghost")],
            SILENCE,
            id="beside 4: an employee's agreement is not the customer's",
        ),
        pytest.param(said("Ghost", "ZhangSan"), [pair("Agree", "ZhangSan", "Ghost")], SILENCE, id="beside 4: whoever wrote"),
        pytest.param(said("Ghost", "Other"), [pair("Agree", "Ghost", "Other")], AGREED, id="4: neither proven, one order agrees"),
        pytest.param(
            said("Ghost", "Other"),
            [pair("Agree", "Ghost", "Other"), pair("Disagree", "Other", "Ghost")],
            REFUSED,
            id="beside 4: the other refuses",
        ),
        pytest.param(said("wbBot", "wmA"), [pair("Agree", userid="wbBot")], AGREED, id="4: a robot's own pair"),
        pytest.param(said("ZhangSan", "wmA", ""), [pair("Agree")], SILENCE, id="beside 4: somebody in it cannot be asked"),
    ],
)
def test_single_chats(message: Message, events: list[Event], expected: tuple[str, str, str, str]) -> None:
    assert short(judge(message, *events)) == expected


KEPT = ("6", "archived", "unknown", "policy:room=sender")


@pytest.mark.parametrize(
    ("message", "events", "by_sender", "by_everyone"),
    [
        pytest.param(said("wmA", "ZhangSan", "wmB", in_room="wr1"), [room("Disagree")], REFUSED, REFUSED, id="the sender refuses"),
        pytest.param(
            said("wmA", "ZhangSan", "wmB", in_room="wr1"), [room("Disagree", "wmB")], SILENCE, REFUSED, id="somebody else in it refuses"
        ),
        pytest.param(
            said("wmA", "ZhangSan", "wmB", in_room="wr2"), [room("Disagree")], SILENCE, SILENCE, id="the sender refuses in another room"
        ),
        pytest.param(said("wmA", "ZhangSan", in_room="wr1"), [room("Disagree", "wmB")], SILENCE, SILENCE, id="somebody not in it refuses"),
        pytest.param(said("wmA", "ZhangSan", "wmB", in_room="wr1"), [room("Agree")], AGREED, SILENCE, id="the sender agrees"),
        pytest.param(
            said("wmA", "ZhangSan", "wmB", in_room="wr1"), [room("Agree"), room("Agree", "wmB")], AGREED, AGREED, id="everybody agrees"
        ),
        pytest.param(
            said("wmA", "ZhangSan", "wmB", in_room="wr1"),
            [room("Agree"), room("Default_Agree", "wmB")],
            AGREED,
            ("4", "archived", "default_agree", "stream:default_agree"),
            id="one of them by default",
        ),
        pytest.param(
            said("wmA", "ZhangSan", "wmB", in_room="wr1"), [room("Maybe", "wmB")], SILENCE, UNCLEAR, id="another one's status is unknown"
        ),
        pytest.param(
            said("wmA", "ZhangSan", "wmB", in_room="wr1"),
            [room("Maybe", "wmB"), room("Disagree")],
            REFUSED,
            REFUSED,
            id="unknown and refused",
        ),
        pytest.param(said("wmA", "ZhangSan", in_room="wr1"), [pair("Agree")], SILENCE, SILENCE, id="a pair's agreement is not the room's"),
        pytest.param(said("ZhangSan", "wmA", "wmB", in_room="wr1"), [], KEPT, SILENCE, id="an employee writes, silence"),
        pytest.param(
            said("ZhangSan", "wmA", "wmB", in_room="wr1"), [room("Disagree", "wmB")], KEPT, REFUSED, id="an employee writes, one refuses"
        ),
        pytest.param(
            said("ZhangSan", "wmA", "wmB", in_room="wr1"), [room("Maybe", "wmB")], KEPT, UNCLEAR, id="an employee writes, one is unclear"
        ),
        pytest.param(said("ZhangSan", "wmA", "wmB", in_room="wr1"), [room("Agree")], KEPT, SILENCE, id="an employee writes, one agrees"),
        pytest.param(
            said("ZhangSan", "wmA", "wmB", in_room="wr1"),
            [room("Agree"), room("Agree", "wmB")],
            ("6", "archived", "agree", "stream:agree"),
            AGREED,
            id="an employee writes, all agree",
        ),
        pytest.param(
            said("ZhangSan", "wmA", "wmB", in_room="wr1"),
            [room("Agree"), room("Default_Agree", "wmB")],
            ("6", "archived", "default_agree", "stream:default_agree"),
            ("4", "archived", "default_agree", "stream:default_agree"),
            id="an employee writes, all agree, one by default",
        ),
        pytest.param(
            said("wbBot", "ZhangSan", "wmA", in_room="wr1"), [room("Disagree")], KEPT, REFUSED, id="a robot writes like an employee"
        ),
        pytest.param(
            said("Ghost", "ZhangSan", in_room="wr1"),
            [room("Disagree", "Ghost")],
            REFUSED,
            REFUSED,
            id="a sender not proven counts as external",
        ),
        pytest.param(said(None, "ZhangSan", "wmA", in_room="wr1"), [room("Agree")], SILENCE, SILENCE, id="nobody knows the sender"),
        pytest.param(
            said(None, "ZhangSan", "wmA", in_room="wr1"), [room("Disagree")], SILENCE, REFUSED, id="nobody knows the sender, one refuses"
        ),
        pytest.param(
            said("wmliu", "wmA", in_room="wr1"), [room("Disagree", "wmliu")], KEPT, SILENCE, id="an employee called wmliu has no scope"
        ),
    ],
)
def test_rooms(message: Message, events: list[Event], by_sender: tuple[str, str, str, str], by_everyone: tuple[str, str, str, str]) -> None:
    assert short(judge(message, *events, room="sender")) == by_sender
    assert short(judge(message, *events, room="everyone")) == by_everyone


@pytest.mark.parametrize(
    ("default", "fate"), [("agree", "archived"), ("pending", "pending"), ("refuse", "withheld")], ids=["agree", "pending", "refuse"]
)
@pytest.mark.parametrize("message", [said("ZhangSan", "wmA"), said("wmA", "ZhangSan", in_room="wr1"), said(None, "ZhangSan")])
def test_silence_is_what_the_policy_says_and_never_an_agreement(message: Message, default: str, fate: str) -> None:
    decision = judge(message, default=default)
    assert short(decision) == ("5", fate, "unknown", f"policy:default={default}")
    assert (decision.reason, decision.event_id) == ("policy", None)


@pytest.mark.parametrize("default", ["pending", "refuse"])
def test_the_policy_for_silence_touches_neither_colleagues_nor_an_employee_in_a_room_nor_who_agreed(default: str) -> None:
    assert judge(said("ZhangSan", "LiSi"), default=default).fate == "archived"
    assert judge(said("ZhangSan", "wmA", in_room="wr1"), default=default).fate == "archived"
    assert judge(said("ZhangSan", "wmA"), pair("Agree"), default=default).fate == "archived"
    assert judge(said("ZhangSan", "wmA", in_room="wr1"), default=default, room="everyone").fate != "archived"


def test_without_a_sending_time_the_time_of_capture_counts() -> None:
    refused_before_capture = pair("Disagree", at_ms=CAPTURED, recorded_at_ms=CAPTURED)
    refused_after_capture = pair("Disagree", at_ms=CAPTURED + 1, recorded_at_ms=CAPTURED)
    assert judge(said("ZhangSan", "wmA", at_ms=None), refused_before_capture).fate == "withheld"
    assert judge(said("ZhangSan", "wmA", at_ms=None), refused_after_capture).fate == "archived"
    assert judge(said("ZhangSan", "Leaver", at_ms=None)).consent == "unknown"


@pytest.mark.parametrize("kind", ["agree", "disagree", "switch"])
def test_control_records_are_kept_whatever_anybody_refused(kind: Any) -> None:
    control = Control(kind=kind, who="wmA", at_ms=T)
    decision = judge(said("wmA", "ZhangSan", kind="control", control=control, msgtype=kind), pair("Disagree"), default="refuse")
    assert (decision.rule, decision.fate, decision.reason, decision.consent) == ("0", "control", kind, "unknown")
    assert decision.scopes == (() if kind == "switch" else (pair_scope("ZhangSan", "wmA"),))


def test_a_control_record_of_a_room_names_the_scope_of_the_room() -> None:
    control = Control(kind="agree", who="wmA", at_ms=T)
    decision = judge(said("wmA", "ZhangSan", in_room="wr1", kind="control", control=control))
    assert (decision.scopes, decision.scope) == ((room_scope("wr1", "wmA"),), room_scope("wr1", "wmA"))


def test_an_empty_directory_proves_nobody_but_asks_both_orders() -> None:
    assert short(judge(said("ZhangSan", "LiSi"), directory=NOBODY)) == SILENCE
    assert short(judge(said("ZhangSan", "wmA"), pair("Agree"), directory=NOBODY)) == AGREED
    assert short(judge(said("wmA", "ZhangSan"), pair("Disagree"), directory=NOBODY)) == REFUSED
    assert short(judge(said("ZhangSan", "wmA", in_room="wr1"), room("Disagree", "ZhangSan"), directory=NOBODY)) == REFUSED


# --- what a decision tells ---


def test_a_decision_names_every_scope_it_looked_up_and_the_event_it_rests_on() -> None:
    event = pair("Disagree", userid="LiSi")
    decision = judge(said("wmA", "ZhangSan", "LiSi"), event)
    assert decision.scopes == (
        pair_scope("zhangsan", "wmA"), pair_scope("wmA", "ZhangSan"), pair_scope("lisi", "wmA"), pair_scope("wmA", "LiSi")
    )  # fmt: skip
    assert (decision.scope, decision.event_id, decision.reason) == (pair_scope("lisi", "wmA"), event.event_id, "refused")


def test_a_decision_in_a_room_names_the_scopes_of_the_room() -> None:
    message = said("wmA", "ZhangSan", "wmB", in_room="wr1")
    assert judge(message).scopes == (room_scope("wr1", "wmA"),)
    assert judge(message, room="everyone").scopes == (room_scope("wr1", "wmA"), room_scope("wr1", "wmB"))
    assert judge(said("ZhangSan", "wmA", "wmB", in_room="wr1"), room("Agree")).scopes == (
        room_scope("wr1", "wmA"),
        room_scope("wr1", "wmB"),
    )


@pytest.mark.parametrize("directory", [STAFF, NOBODY], ids=["proven", "by prefix"])
@pytest.mark.parametrize("message", [said("ZhangSan", "wmA"), said("wmA", "ZhangSan")], ids=["outbound", "inbound"])
def test_silence_names_the_scope_to_ask_for_next(directory: Directory, message: Message) -> None:
    assert judge(message, directory=directory).scope == pair_scope("ZhangSan", "wmA")


@pytest.mark.parametrize(
    ("message", "directory", "told"),
    [
        pytest.param(said("ZhangSan", "wmA"), STAFF, ("employee", "outbound", "ZhangSan", "wmA"), id="outbound"),
        pytest.param(said("wmA", "ZhangSan"), STAFF, ("external", "inbound", "ZhangSan", "wmA"), id="inbound"),
        pytest.param(said("ZhangSan", "LiSi"), STAFF, ("employee", "internal", "ZhangSan", None), id="internal"),
        pytest.param(said("wbBot", "ZhangSan"), STAFF, ("robot", "internal", "ZhangSan", None), id="a robot to an employee"),
        pytest.param(said("wbBot", "wmA"), STAFF, ("robot", "unknown", None, "wmA"), id="a robot to a customer"),
        pytest.param(said("wmA", "wmB"), STAFF, ("external", "unknown", None, "wmA"), id="two outsiders"),
        pytest.param(said("Ghost", "wmA"), STAFF, ("external", "unknown", None, "wmA"), id="two not proven: who looks like a customer"),
        pytest.param(said("wmliu", "wmA"), STAFF, ("employee", "outbound", "wmliu", "wmA"), id="an employee called wmliu"),
        pytest.param(said(None, "ZhangSan"), STAFF, ("unknown", "unknown", "ZhangSan", None), id="nobody knows the sender"),
        pytest.param(said("ZhangSan"), STAFF, ("employee", "unknown", "ZhangSan", None), id="nobody knows the recipient"),
        pytest.param(
            said("ZhangSan", "wmA", in_room="wr1"), STAFF, ("employee", "outbound", "ZhangSan", None), id="room: an employee writes"
        ),
        pytest.param(said("wmA", "ZhangSan", in_room="wr1"), STAFF, ("external", "inbound", None, "wmA"), id="room: a customer writes"),
        pytest.param(
            said("ZhangSan", "LiSi", in_room="wr1"), STAFF, ("employee", "internal", "ZhangSan", None), id="room: colleagues alone"
        ),
        pytest.param(said("wbBot", "ZhangSan", "wmA", in_room="wr1"), STAFF, ("robot", "unknown", None, None), id="room: a robot writes"),
        pytest.param(
            said(None, "ZhangSan", "wmA", in_room="wr1"), STAFF, ("unknown", "unknown", None, None), id="room: nobody knows the sender"
        ),
        pytest.param(
            said("ZhangSan", "wmA"), NOBODY, ("employee", "outbound", "ZhangSan", "wmA"), id="empty directory: outbound by prefix"
        ),
        pytest.param(said("woB", "ZhangSan"), NOBODY, ("external", "inbound", "ZhangSan", "woB"), id="empty directory: inbound by prefix"),
        pytest.param(said("wbX", "ZhangSan"), NOBODY, ("robot", "internal", "ZhangSan", None), id="empty directory: robot by prefix"),
        pytest.param(
            said("ZhangSan", "LiSi"), NOBODY, ("employee", "internal", "ZhangSan", None), id="empty directory: internal by prefix"
        ),
    ],
)
def test_sides_and_direction(message: Message, directory: Directory, told: tuple[Any, ...]) -> None:
    decision = judge(message, directory=directory)
    assert (decision.sender_kind, decision.direction, decision.employee_id, decision.customer_id) == told


@pytest.mark.parametrize(
    ("events", "configured", "basis"),
    [
        pytest.param([pair("Agree")], ("legal_obligation",), ("consent", "legal_obligation"), id="consent and what is configured"),
        pytest.param([pair("Default_Agree")], ("consent",), ("consent",), id="consent only once"),
        pytest.param([], ("consent", "contract"), ("contract",), id="silence is no consent, whatever is configured"),
        pytest.param([pair("Disagree")], ("legal_obligation",), ("legal_obligation",), id="nor is a refusal"),
        pytest.param([], (), (), id="nothing configured"),
    ],
)
def test_the_legal_bases_name_consent_only_where_somebody_agreed(
    events: list[Event], configured: tuple[str, ...], basis: tuple[str, ...]
) -> None:
    assert judge(said("ZhangSan", "wmA"), *events, lawful_basis=configured).lawful_basis == basis


PEOPLE = (None, "", "ZhangSan", "zhangsan", "LiSi", "wmA", "wo1", "Ghost", "wbBot", "wbOther", "wmliu", "Leaver")


@pytest.mark.parametrize("directory", [STAFF, NOBODY], ids=["staff", "empty directory"])
def test_an_employee_and_a_customer_are_told_apart_as_everybody_is(directory: Directory, monkeypatch: pytest.MonkeyPatch) -> None:
    def everybody() -> list[Any]:
        return [
            consent._parties(sender, (to,), in_room, [directory.kinds_at(sender, T), directory.kinds_at(to, T)])
            for sender in PEOPLE for to in PEOPLE if to is not None for in_room in (False, True)
        ]  # fmt: skip

    found = everybody()
    monkeypatch.setattr(consent, "_EMPLOYEE_AND_CUSTOMER", set())
    assert found == everybody()


def test_what_is_remembered_of_rooms_and_pairs_holds_only_while_nothing_changes() -> None:
    events = [
        pair("Agree", at_ms=T), pair("Disagree", at_ms=T + 20), room("Disagree", "wmA", at_ms=T + 10), room("Agree", "wmB", at_ms=T + 5),
        room("Agree", "wmA", at_ms=T + 30), room("Maybe", "wmB", at_ms=T + 15),
    ]  # fmt: skip
    register, policy, rng = Register.of(events, version=1), ConsentPolicy(room="everyone"), random.Random(3)
    asked = [
        said(sender, *others, in_room=where, at_ms=T + after)
        for sender, *others in (("ZhangSan", "wmA"), ("wmA", "ZhangSan"), ("wmA", "ZhangSan", "wmB"), ("Leaver", "wmB"), ("ZhangSan", *(f"wm{n}" for n in range(21))))
        for where in (None, "wr1") for after in (-1, 0, 5, 9, 10, 15, 19, 20, 29, 30, 31)
    ]  # fmt: skip
    for message in rng.choices(asked, k=600):
        alone = decide(message, captured_at_ms=CAPTURED, register=Register.of(events, version=1), directory=STAFF, policy=policy)
        assert decide(message, captured_at_ms=CAPTURED, register=register, directory=STAFF, policy=policy) == alone


def test_the_version_of_a_policy_changes_with_every_part_of_it() -> None:
    policies = [
        ConsentPolicy(), ConsentPolicy(default="pending"), ConsentPolicy(room="everyone"), ConsentPolicy(withheld_days=0),
        ConsentPolicy(lawful_basis=("contract",)), ConsentPolicy(lawful_basis=("contract", "legal_obligation")),
    ]  # fmt: skip
    assert len({policy.version for policy in policies}) == len(policies)
    assert ConsentPolicy().version == ConsentPolicy(default="agree", room="sender", withheld_days=15).version


# --- (7) recalls ---


def recalled(*events: Event) -> Decision:
    return judge(said("wmA", "ZhangSan", kind="recall", recalls_msgid="m0"), *events, lawful_basis=("contract",))


def test_a_recall_is_decided_on_its_own_parties_under_rule_7() -> None:
    assert [short(recalled(*events)) for events in ([], [pair("Disagree")], [pair("Agree")])] == [
        ("7", "archived", "unknown", "policy:default=agree"),
        ("7", "withheld", "unknown", "stream:disagree"),
        ("7", "archived", "agree", "stream:agree"),
    ]


@pytest.mark.parametrize(
    ("original", "fate", "reason"),
    [
        ("archived", "archived", "recall_of_archived"),
        ("pending", "pending", "recall_of_pending"),
        ("withheld", "withheld", "recall_of_withheld"),
        ("restricted", "withheld", "recall_of_restricted"),
        ("removed", "withheld", "recall_of_removed"),
        ("failed", "archived", "recall_of_failed"),
        ("control", "archived", "recall_of_control"),
        (None, "archived", "recall_of_unknown"),
    ],
)
def test_a_recall_follows_its_original(original: Fate | None, fate: str, reason: str) -> None:
    for own in (recalled(), recalled(pair("Disagree")), recalled(pair("Agree")), recalled(pair("Maybe"))):
        followed = recall_decision(own, original)
        assert (followed.rule, followed.fate, followed.reason) == ("7", fate, reason)
        assert followed.scopes == own.scopes


def test_a_recall_claims_no_consent_of_its_own_when_it_follows_elsewhere() -> None:
    own = recalled(pair("Agree"))
    assert (recall_decision(own, "archived").consent, recall_decision(own, "archived").lawful_basis) == ("agree", ("consent", "contract"))
    followed = recall_decision(own, "withheld")
    assert (followed.consent, followed.source, followed.event_id, followed.lawful_basis) == ("unknown", "original", None, ("contract",))


# --- breaker ---


@pytest.mark.parametrize(
    ("withheld", "settled", "trailing", "trips"),
    [
        pytest.param(201, 1000, [], True, id="more than 200 and 1 % in the first run"),
        pytest.param(200, 1000, [], False, id="exactly 200 above the mean"),
        pytest.param(201, 20_100, [], False, id="exactly 1 %"),
        pytest.param(201, 20_099, [], True, id="just above 1 %"),
        pytest.param(1000, 1000, [(900, 1000)], False, id="as usual"),
        pytest.param(301, 1000, [(50, 1000), (150, 1000)], True, id="201 above the mean of two"),
        pytest.param(300, 1000, [(50, 1000), (150, 1000)], False, id="200 above the mean of two"),
        pytest.param(301, 1000, [(50, 1000), (150, 1000), (0, 0), (0, 0)], True, id="runs that settled nothing lower no mean"),
        pytest.param(270, 1000, [(100, 1000), (0, 0)], False, id="nor do they when it matters"),
        pytest.param(301, 1000, [(100, 1000), (0, 0)], True, id="nor when it trips"),
        pytest.param(201, 1000, [(0, 0)], True, id="only runs that settled nothing: mean 0"),
        pytest.param(0, 0, [], False, id="nothing at all"),
    ],
)
def test_the_breaker_trips_far_above_the_usual(withheld: int, settled: int, trailing: list[tuple[int, int]], trips: bool) -> None:
    assert breaker_trips(withheld, settled, trailing) is trips


def test_what_the_breaker_holds_waits_and_the_rest_is_untouched() -> None:
    refused, kept = judge(said("ZhangSan", "wmA"), pair("Disagree")), judge(said("ZhangSan", "LiSi"))
    assert (held_by_breaker(refused).fate, held_by_breaker(refused).reason, held_by_breaker(refused).scope) == (
        "pending",
        "breaker",
        refused.scope,
    )
    assert held_by_breaker(kept) is kept


# --- the page, and the gate as a type ---


def page_of(*messages: Message) -> ParsedPage:
    ref = PageRef(corp_id="ww1", page="ab", uri="x", size=1, source="pull", name="x", captured_at_ms=CAPTURED)
    items = [
        ParsedItem(OpenedItem(item=i, seq=i + 1, msgid="m1", key_version=1, plaintext=b"{}", key_block=b"", sealed=b"s"), message)
        for i, message in enumerate(messages)
    ]
    failed = Unopened(Failure(step="envelope", code="KEY_MISSING", detail="no key", item=9), b"sealed")
    return ParsedPage(ref, tuple(items), (failed,))


def test_a_page_keeps_its_order_its_failures_and_the_version_of_the_register() -> None:
    page = page_of(said("ZhangSan", "wmA"), said("ZhangSan", "LiSi"), said("ZhangSan", "wmB", at_ms=None))
    register = Register.of([pair("Disagree"), pair("Disagree", "wmB", at_ms=CAPTURED, recorded_at_ms=CAPTURED)], version=7)
    gated = gate_page(page, register=register, directory=STAFF, policy=ConsentPolicy())
    assert [(item.opened.seq, item.decision.fate) for item in gated.items] == [(1, "withheld"), (2, "archived"), (3, "withheld")]
    assert (gated.ref, gated.failed, gated.register_version) == (page.ref, page.failed, 7)
    again = with_decision(gated.items[0], gated.items[1].decision)
    assert (again.opened, again.message, again.decision.fate) == (gated.items[0].opened, gated.items[0].message, "archived")


def gates_in(source: str) -> list[int]:
    """Return the lines where `Gated` is made or its decision exchanged: calls, conversions, replacements."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr if isinstance(node.func, ast.Attribute) else ""
            passed = {a.id for a in [*node.args, *[k.value for k in node.keywords]] if isinstance(a, ast.Name)}
            exchanged = name in ("replace", "__replace__") and any(keyword.arg == "decision" for keyword in node.keywords)
            if name == "Gated" or "Gated" in passed or exchanged:
                found.append(node.lineno)
    return found


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("Gated(a, b, c)", [1]),
        ("records.Gated(a, b, c)", [1]),
        ("\nmsgspec.convert(x, Gated)", [2]),
        ("msgspec.structs.replace(g, decision=d)", [1]),
        ("def f(g: Gated) -> GatedPage: return GatedPage(g)", []),
        ("msgspec.structs.replace(g, message=d)", []),
    ],
)
def test_the_search_for_makers_of_gated_finds_them(source: str, lines: list[int]) -> None:
    assert gates_in(source) == lines


def test_nothing_but_the_gate_makes_what_matching_accepts() -> None:
    package = Path(consent.__file__).parent
    sources = {path.relative_to(package).as_posix(): path.read_text("utf-8") for path in package.rglob("*.py")}
    makers = {name: gates_in(source) for name, source in sources.items() if "Gated" in source or ("replace" in source and "decision" in source)}
    assert len(makers.pop("consent.py")) == 2
    assert {name: lines for name, lines in makers.items() if lines} == {}
    assert Gated.__struct_fields__ == ("opened", "message", "decision")
