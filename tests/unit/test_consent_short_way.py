"""What the gate remembers, and its short way between two people, say what its long way says: on random histories, asked in any order."""

from __future__ import annotations

import random

import pytest

from pipeline import consent
from pipeline.consent import ConsentPolicy
from pipeline.directory import Directory, Entry
from pipeline.records import Message
from pipeline.register import Event, EventSource, Register, new_event, undo_event

BASE = 1_750_000_000_000
MOMENTS = [BASE + at for at in (-1, 0, 1, 400, 999, 1000, 1001, 5000, 86_400_000)]
SOURCES: list[EventSource] = ["stream", "api", "callback", "import", "officer"]
PEOPLE = ["zhangsan", "ZhangSan", "lisi", "wmA", "wmB", "wbRobot", "wmliu"]


def chat(sender: str, to: str, at_ms: int, room: str | None = None) -> Message:
    return Message(msgid="m", kind="message", action="send", msgtype="text", sender_id=sender, recipient_ids=(to,), room_id=room, sent_at_ms=at_ms, text="", parts=())


def history(chance: random.Random) -> list[Event]:
    found = []
    for n in range(chance.randrange(12)):
        source, one, other = chance.choice(SOURCES), chance.choice(PEOPLE), chance.choice(PEOPLE)
        found.append(new_event(
            source=source, status=chance.choice(["Agree", "Disagree", "Default_Agree", "Maybe"]), userid=one, external_userid=other, recorded_at_ms=BASE + n,
            changed_at_ms=chance.choice([None, *MOMENTS]), precision=chance.choice(["ms", "s"]), batch="b" if source == "import" else None,
        ))  # fmt: skip
    return [*found, *([undo_event("b", recorded_at_ms=BASE)] if chance.random() < 0.3 else [])]


def people(chance: random.Random) -> Directory:
    known = [p for p in ("zhangsan", "lisi", "wmliu", "wbRobot") if chance.random() < 0.8]
    return Directory.of([
        Entry(userid=p, kind="robot" if p.startswith("wb") else "employee", valid_from_ms=chance.choice([None, *MOMENTS]), valid_to_ms=chance.choice([None, None, *MOMENTS]))
        for p in known
    ])  # fmt: skip


@pytest.mark.parametrize("seed", range(60))
def test_what_is_remembered_and_the_short_way_say_what_the_long_way_says(seed: int) -> None:
    chance = random.Random(seed)
    register, directory = Register.of(history(chance), version=1), people(chance)
    policy = ConsentPolicy(default=chance.choice(["agree", "pending", "refuse"]), lawful_basis=chance.choice([(), ("legal_obligation",)]))
    asked = [chat(chance.choice(PEOPLE), chance.choice(PEOPLE), chance.choice(MOMENTS), chance.choice([None, None, "", "wr1"])) for _ in range(250)]
    for one in asked:
        said = consent.decide(one, captured_at_ms=BASE, register=register, directory=directory, policy=policy)
        assert said == consent._decide(one, one.sent_at_ms or 0, register, directory, policy), (one.sender_id, one.recipient_ids, one.sent_at_ms)


def test_the_short_way_is_taken_for_an_employee_and_a_customer_in_both_directions_and_for_nobody_else() -> None:
    register = Register.of([new_event(source="api", status="Agree", userid="zhangsan", external_userid="wmA", changed_at_ms=BASE, recorded_at_ms=BASE)], version=1)
    directory, policy = Directory.of([Entry(userid="zhangsan", kind="employee"), Entry(userid="lisi", kind="employee")]), ConsentPolicy()
    taken = {}
    for sender, to in (("zhangsan", "wmA"), ("wmA", "lisi"), ("zhangsan", "lisi"), ("wmA", "wmB")):
        memo = consent._Memo(directory, policy)
        found = consent._between_two(sender, to, None, BASE + 1, register, memo)
        taken[sender, to] = (found.direction if found else None, sorted(str(key[0]) for key in memo.found))
    assert taken == {
        ("zhangsan", "wmA"): ("outbound", ["wmA", "zhangsan"]), ("wmA", "lisi"): ("inbound", ["lisi", "wmA"]), ("zhangsan", "lisi"): (None, []), ("wmA", "wmB"): (None, []),
    }  # fmt: skip
