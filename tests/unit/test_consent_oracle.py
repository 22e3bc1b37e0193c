"""The gate against a slow, obvious reading of the rules, on random histories.

The oracle below is written from interface.md, "Rules of meaning", rule by rule: it knows no index, no timeline and no scope keys,
and looks at every event for every question.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.consent import ConsentPolicy, decide
from pipeline.directory import Directory, Entry
from pipeline.records import Message
from pipeline.register import Event, Register, new_event, pair_scope, room_scope, undo_event

BASE = 1_750_000_000_000
CAPTURED = BASE + 3_000
TEN_MINUTES = 10 * 60 * 1000
BEFORE_EVERYTHING = float("-inf")


# --- the oracle ---


def lower(userid: str) -> str:
    return "".join(chr(ord(c) + 32) if "A" <= c <= "Z" else c for c in userid)


def about(event: Event, place: tuple[str, str], external: str) -> bool:
    """Is the event about this scope? place: ("pair", employee) or ("room", room)."""
    if event.undoes is not None or event.external_userid != external:
        return False
    if place[0] == "room":
        return event.room_id == place[1]
    return event.userid is not None and lower(event.userid) == lower(place[1])


def word(event: Event) -> str:
    return {"Agree": "agree", "Default_Agree": "default_agree", "Disagree": "refused"}.get(event.status, "unknown")


def usable(event: Event) -> bool:
    return event.changed_at_ms is not None and event.changed_at_ms <= event.recorded_at_ms + TEN_MINUTES


def same_second(one: Event, other: Event) -> bool:
    return usable(one) and usable(other) and (one.changed_at_ms or 0) // 1000 == (other.changed_at_ms or 0) // 1000


def decided_by_a_record(event: Event, events: Sequence[Event]) -> bool:
    """Rule 1: a platform record in milliseconds of the same change lies in the second that this event of another source names."""
    return event.precision == "s" and any(
        record.precision == "ms"
        and record.source in ("stream", "api")
        and record.source != event.source
        and word(record) == word(event)
        and same_second(event, record)
        for record in events
    )


def undecidable_agreement(event: Event, events: Sequence[Event]) -> bool:
    """Rule 1, tie: an agreement in seconds, and in the same second one that is no agreement."""
    return event.precision == "s" and any(
        other.precision == "s" and word(other) in ("refused", "unknown") and same_second(event, other) for other in events
    )


def claims(event: Event) -> list[tuple[float, float, str]]:
    """What an event claims: (effective time for comparing, from when it counts, word)."""
    said, at, recorded = word(event), event.changed_at_ms, event.recorded_at_ms
    if at is None and said == "refused":  # from the first contact, against everything known until it was recorded
        return [(recorded, BEFORE_EVERYTHING, said)]
    if at is None and said == "unknown":
        return [(BEFORE_EVERYTHING, BEFORE_EVERYTHING, said), (recorded, recorded, said)]
    if at is None or not usable(event):  # an agreement without a time, or a future time
        return [(recorded, recorded, said)]
    if said in ("refused", "unknown"):  # a time in seconds is the start of its second already
        return [(at, at, said)]
    effective = at + 1000 if event.precision == "s" else at
    return [(effective, effective if event.source in ("stream", "api") else max(effective, recorded), said)]


def in_force(events: Sequence[Event], place: tuple[str, str], external: str, at_ms: int) -> str:
    """The word that holds: of all claims that count by at_ms the latest; at equal times refused, unknown, agree, default_agree."""
    undone = {event.undoes for event in events if event.undoes is not None}
    mine = [event for event in events if about(event, place, external) and event.batch not in undone]
    mine = [e for e in mine if all(e.recorded_at_ms <= other.recorded_at_ms for other in mine if other.event_id == e.event_id)]
    best: tuple[float, int, str] | None = None
    for event in mine:
        if decided_by_a_record(event, mine):
            continue
        if word(event) in ("agree", "default_agree") and undecidable_agreement(event, mine):
            continue
        for effective, counts_from, said in claims(event):
            claim = (effective, ["default_agree", "agree", "unknown", "refused"].index(said), said)
            if counts_from <= at_ms and (best is None or claim > best):
                best = claim
    return best[2] if best is not None else "silent"


def proven(entries: Sequence[Entry], party: str | None, at_ms: int) -> bool:
    """Is there a row of that time? (the rows of this test have one row an id)"""
    for entry in entries:
        same = lower(entry.userid) == lower(party or "") if entry.kind == "employee" else entry.userid == party
        if (
            same
            and (entry.valid_from_ms is None or entry.valid_from_ms <= at_ms)
            and (entry.valid_to_ms is None or at_ms < entry.valid_to_ms)
        ):
            return True
    return False


def pair_word(events: Sequence[Event], one: str, other: str, one_proven: bool, other_proven: bool, at_ms: int) -> str:
    """What the pair of two people says: both orders refuse, only an order that can be right agrees."""
    as_external = {other: in_force(events, ("pair", one), other, at_ms), one: in_force(events, ("pair", other), one, at_ms)}
    if "refused" in as_external.values():
        return "refused"
    if "unknown" in as_external.values():
        return "unknown"
    heard = [said for party, said in as_external.items() if not (one_proven if party == one else other_proven)]
    for said in ("default_agree", "agree"):
        if said in heard:
            return said
    return "silent"


def oracle(message: Message, events: Sequence[Event], entries: Sequence[Entry], policy: ConsentPolicy) -> tuple[str, str]:
    """Return (fate, consent)."""
    at_ms = message.sent_at_ms if message.sent_at_ms is not None else CAPTURED
    people = [message.sender_id, *message.recipient_ids]
    known = {person: proven(entries, person, at_ms) for person in people}
    alone = not message.room_id and len(people) == 1
    if all(known.values()) and not alone:
        return "archived", "not_required"
    if message.room_id:
        strangers = [person for person in people if not known[person]]
        place = ("room", message.room_id)
        words = [in_force(events, place, person, at_ms) if person else "silent" for person in strangers]
        if policy.room == "sender":
            if known[message.sender_id]:
                agreed = all(said in ("agree", "default_agree") for said in words)
                return "archived", ("default_agree" if "default_agree" in words else "agree") if agreed else "unknown"
            words = [in_force(events, place, message.sender_id, at_ms) if message.sender_id else "silent"]
    else:
        sender = message.sender_id
        words = [
            pair_word(events, sender, person, known[sender], known[person], at_ms) if sender else "silent"
            for person in message.recipient_ids
            if not (known[sender] and known[person])
        ] or ["silent"]
    if "refused" in words:
        return "withheld", "unknown"
    if "unknown" in words:
        return "pending", "unknown"
    if "silent" in words:
        return {"agree": "archived", "pending": "pending", "refuse": "withheld"}[policy.default], "unknown"
    return "archived", "default_agree" if "default_agree" in words else "agree"


# --- histories ---

IDS = ["ZhangSan", "zhangsan", "wmliu", "wmLiu", "Ghost", "wmA", "wma", "woB", "wbBot"]
ENTRIES = [
    Entry(userid="zhangSan", kind="employee"),
    Entry(userid="wmliu", kind="employee", valid_from_ms=BASE + 1000),
    Entry(userid="wbBot", kind="robot", valid_to_ms=BASE + 2000),
]
OFFSETS = [-1000, -1, 0, 1, 400, 999, 1000, 1001, 1999, 2000, 3000]
moments = st.sampled_from([BASE + offset for offset in OFFSETS])


@st.composite
def events(draw: st.DrawFn) -> Event:
    precision: Any = draw(st.sampled_from(["ms", "s"]))
    at_ms = draw(st.one_of(moments, st.sampled_from([None, BASE + TEN_MINUTES, BASE + TEN_MINUTES + 1000])))
    place = draw(st.sampled_from([{"room_id": "wr1"}, {"room_id": "wr2"}, *[{"userid": userid} for userid in IDS]]))
    source: Any = draw(st.sampled_from(["stream", "api", "callback", "import", "officer"]))
    return new_event(
        source=source,
        status=draw(st.sampled_from(["Agree", "Disagree", "Default_Agree", "Agree", "Disagree", "Nonsense"])),
        external_userid=draw(st.sampled_from(IDS)),
        changed_at_ms=at_ms // 1000 * 1000 if at_ms is not None and precision == "s" else at_ms,
        precision=precision,
        recorded_at_ms=draw(moments),
        batch=draw(st.sampled_from(["b1", "b2"])) if source == "import" else None,
        **place,
    )


@st.composite
def crowded_events(draw: st.DrawFn) -> Event:
    """Events of one pair and one room, so that they meet."""
    event = draw(events())
    return new_event(
        source=event.source,
        status=event.status,
        external_userid="wmA",
        changed_at_ms=event.changed_at_ms,
        precision=event.precision,
        recorded_at_ms=event.recorded_at_ms,
        batch=event.batch,
        **draw(st.sampled_from([{"userid": "ZhangSan"}, {"userid": "zhangsan"}, {"room_id": "wr1"}])),
    )


undoings = st.sampled_from([undo_event("b1", recorded_at_ms=BASE), undo_event("b2", recorded_at_ms=BASE)])
scattered = st.lists(st.one_of(*[events()] * 8, undoings), max_size=12)
crowded = st.lists(st.one_of(*[crowded_events()] * 12, undoings), min_size=1, max_size=7)
policies = st.builds(ConsentPolicy, default=st.sampled_from(["agree", "pending", "refuse"]), room=st.sampled_from(["sender", "everyone"]))


@st.composite
def messages(draw: st.DrawFn, crowd: bool) -> Message:
    in_room = draw(st.booleans())
    sender = draw(st.sampled_from(["ZhangSan", "wmA", "wmA"] if crowd else [*IDS, None]))
    others = ["zhangSan"] if sender == "wmA" else ["wmA"]
    recipients = st.just(others) if crowd else st.lists(st.sampled_from(IDS), max_size=3 if in_room else 2)
    return Message(
        msgid="m",
        kind="message",
        action="send",
        msgtype="text",
        sender_id=sender,
        recipient_ids=tuple(draw(recipients)),
        room_id="wr1" if in_room else None,
        sent_at_ms=draw(st.one_of(moments, moments, st.none())),
        text="",
        parts=(),
    )


scenes = st.one_of(
    st.tuples(scattered, st.lists(messages(crowd=False), min_size=1, max_size=6)),
    st.tuples(crowded, st.lists(messages(crowd=True), min_size=1, max_size=6)),
    st.tuples(crowded, st.lists(messages(crowd=True), min_size=1, max_size=6)),
)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(crowded)
def test_the_register_says_at_every_instant_what_the_rules_read(history: list[Event]) -> None:
    register = Register.of(history, version=1)
    told = {"agree": "agree", "default_agree": "default_agree", "refused": "refused", "pending": "unknown", "silent": "silent"}
    for offset in [-10_000, *OFFSETS, 1_000_000]:
        pair = register.state_at(pair_scope("ZHANGSAN", "wmA"), BASE + offset)
        in_room = register.state_at(room_scope("wr1", "wmA"), BASE + offset)
        assert told[pair.status] == in_force(history, ("pair", "zhangsan"), "wmA", BASE + offset)
        assert told[in_room.status] == in_force(history, ("room", "wr1"), "wmA", BASE + offset)


@settings(max_examples=400, deadline=None)
@given(scenes, policies, st.sampled_from([True, True, False]))
def test_the_gate_decides_as_the_rules_read(scene: tuple[list[Event], list[Message]], policy: ConsentPolicy, staffed: bool) -> None:
    history, chat = scene
    entries = ENTRIES if staffed else []
    register, directory = Register.of(history, version=1), Directory.of(entries)
    for message in chat:
        decision = decide(message, captured_at_ms=CAPTURED, register=register, directory=directory, policy=policy)
        assert (decision.fate, decision.consent) == oracle(message, history, entries, policy)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(scenes, policies, st.randoms(use_true_random=False), st.integers(1, 4))
def test_the_order_and_the_portions_in_which_events_arrive_change_no_decision(
    scene: tuple[list[Event], list[Message]], policy: ConsentPolicy, chance: random.Random, portions: int
) -> None:
    (history, chat), directory = scene, Directory.of(ENTRIES)
    shuffled = [*history, *history[:2]]
    chance.shuffle(shuffled)
    register = Register.of([], version=1)
    for portion in range(portions):
        for message in chat:  # asking in between must leave no trace
            decide(message, captured_at_ms=CAPTURED, register=register, directory=directory, policy=policy)
        register = register.with_events(shuffled[portion::portions], 1)
    at_once = Register.of(history, version=1)
    for message in chat:
        one = decide(message, captured_at_ms=CAPTURED, register=register, directory=directory, policy=policy)
        other = decide(message, captured_at_ms=CAPTURED, register=at_once, directory=directory, policy=policy)
        assert one == other


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(scenes, policies)
def test_only_events_of_the_scopes_that_a_decision_names_can_change_it(
    scene: tuple[list[Event], list[Message]], policy: ConsentPolicy
) -> None:
    """What the committer relies on when it judges again only the pages whose scopes were touched."""
    (history, chat), directory = scene, Directory.of(ENTRIES)
    early, late = history[: len(history) // 2], history[len(history) // 2 :]
    register = Register.of(early, version=1)
    newer, touched = register.with_events(late, 2), register.touched(late)
    for message in chat:
        before = decide(message, captured_at_ms=CAPTURED, register=register, directory=directory, policy=policy)
        after = decide(message, captured_at_ms=CAPTURED, register=newer, directory=directory, policy=policy)
        assert after == before or touched & set(before.scopes)
