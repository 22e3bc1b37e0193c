"""The consent register: which decision holds at a time, whatever order the events come in."""

from __future__ import annotations

import hashlib
import itertools
import pickle
from typing import Any

import pytest

from pipeline.errors import UsageError
from pipeline.register import (
    SILENT,
    Event,
    Register,
    State,
    Status,
    new_event,
    pair_scope,
    room_scope,
    scope_of,
    undo_event,
)

T = 1_750_000_000_000  # a full second, 2025-06-15T15:06:40Z
LATER = T + 30 * 60_000  # when most events of these tables were recorded
SCOPE = pair_scope("zhangsan", "wmA")


def say(status: str, changed_at_ms: int | None, source: Any = "stream", recorded_at_ms: int = LATER, **more: Any) -> Event:
    """An event of the pair (ZhangSan, wmA); precision ms unless said."""
    return new_event(
        source=source,
        status=status,
        userid="ZhangSan",
        external_userid="wmA",
        changed_at_ms=changed_at_ms,
        recorded_at_ms=recorded_at_ms,
        **more,
    )


def sec(status: str, changed_at_ms: int | None, source: Any = "api", recorded_at_ms: int = LATER, **more: Any) -> Event:
    """The same in seconds, as the consent calls answer."""
    return say(status, changed_at_ms, source, recorded_at_ms, precision="s", **more)


def check(events: list[Event], expected: list[tuple[int, Status]]) -> None:
    """Every order of arrival gives these states."""
    for order in itertools.permutations(events):
        register = Register.of(order, version=1)
        assert [(at_ms, register.state_at(SCOPE, at_ms).status) for at_ms, _ in expected] == expected


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        pytest.param([], [(T, "silent")], id="no event is silence"),
        pytest.param([say("Disagree", T + 5)], [(T + 4, "silent"), (T + 5, "refused")], id="a refusal in ms, inclusive"),
        pytest.param([say("Agree", T + 5)], [(T + 4, "silent"), (T + 5, "agree")], id="an agreement in ms, inclusive"),
        pytest.param([sec("Disagree", T)], [(T - 1, "silent"), (T, "refused")], id="a refusal in s from the start of its second"),
        pytest.param([sec("Agree", T)], [(T + 999, "silent"), (T + 1000, "agree")], id="an agreement in s from the start of the next"),
        pytest.param([sec("Default_Agree", T)], [(T + 999, "silent"), (T + 1000, "default_agree")], id="a default agreement likewise"),
        pytest.param([say("Agree", T)], [(T, "agree")], id="an agreement in ms that falls on a full second"),
        pytest.param([sec("Whatever", T)], [(T - 1, "silent"), (T, "pending")], id="an unknown status from the start of its second"),
    ],
)
def test_a_change_holds_from_its_time_by_its_precision(events: list[Event], expected: list[tuple[int, Status]]) -> None:
    check(events, expected)


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        pytest.param([sec("Agree", T), say("Agree", T + 400)], [(T + 399, "silent"), (T + 400, "agree")], id="agreement"),
        pytest.param([sec("Disagree", T), say("Disagree", T + 400)], [(T + 399, "silent"), (T + 400, "refused")], id="refusal"),
        pytest.param([sec("Agree", T), say("Agree", T)], [(T, "agree")], id="first ms of the second"),
        pytest.param(
            [sec("Disagree", T), say("Disagree", T + 999)], [(T + 998, "silent"), (T + 999, "refused")], id="last ms of the second"
        ),
        pytest.param([sec("Disagree", T), say("Disagree", T + 1000)], [(T, "refused")], id="not from the second after"),
        pytest.param(
            [sec("Disagree", T), say("Disagree", T - 1)], [(T - 2, "silent"), (T - 1, "refused")], id="not from the second before"
        ),
        pytest.param([sec("Agree", T, "import"), say("Agree", T + 400)], [(T + 400, "agree")], id="the second of an import"),
        pytest.param(
            [sec("Disagree", T), say("Agree", T + 400)], [(T, "refused"), (T + 400, "agree")], id="not a record of the other change"
        ),
        pytest.param(
            [sec("Default_Agree", T), say("Agree", T + 400)], [(T + 400, "agree"), (T + 1000, "default_agree")], id="not of another status"
        ),
        pytest.param(
            [sec("Disagree", T), say("Disagree", T + 700, "import")], [(T, "refused")], id="not a line of an import, though in ms"
        ),
        pytest.param([sec("Disagree", T, "stream"), say("Disagree", T + 700)], [(T, "refused")], id="not a record of the same source"),
        pytest.param(
            [sec("Agree", T), say("Agree", T + 200), say("Disagree", T + 400)],
            [(T + 200, "agree"), (T + 400, "refused"), (T + 5000, "refused")],
            id="so that a refusal right after it stays",
        ),
    ],
)
def test_a_millisecond_record_decides_the_second_that_another_source_names(events: list[Event], expected: list[tuple[int, Status]]) -> None:
    check(events, expected)


def test_a_millisecond_record_of_another_scope_decides_nothing() -> None:
    other = new_event(
        source="stream", status="Disagree", userid="ZhangSan", external_userid="wma", changed_at_ms=T + 400, recorded_at_ms=LATER
    )
    check([sec("Disagree", T), other], [(T, "refused")])


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        pytest.param([say("Agree", T), say("Disagree", T, "api")], [(T, "refused"), (T + 10**9, "refused")], id="agreement and refusal"),
        pytest.param([say("Agree", T), say("Disagree", T - 1)], [(T - 1, "refused"), (T, "agree")], id="a millisecond apart is no tie"),
        pytest.param([say("Agree", T), say("Mystery", T)], [(T, "pending")], id="agreement and unknown status"),
        pytest.param([say("Disagree", T), say("Mystery", T)], [(T, "refused")], id="refusal and unknown status"),
        pytest.param([say("Agree", T), say("Default_Agree", T)], [(T, "agree")], id="agreement and default agreement"),
        pytest.param([sec("Agree", T - 1000), say("Disagree", T)], [(T, "refused")], id="an agreement in s that begins with the refusal"),
        pytest.param(
            [sec("Agree", T), sec("Disagree", T, "import")], [(T, "refused"), (T + 10**9, "refused")], id="both name the same second"
        ),
        pytest.param([sec("Agree", T), sec("Mystery", T)], [(T, "pending"), (T + 10**9, "pending")], id="an unknown status names it too"),
        pytest.param([sec("Agree", T), sec("Disagree", T - 1000)], [(T, "refused"), (T + 1000, "agree")], id="seconds apart are no tie"),
        pytest.param(
            [sec("Agree", T), say("Disagree", T + 400)], [(T + 999, "refused"), (T + 1000, "agree")], id="nor a refusal within it"
        ),
    ],
)
def test_a_tie_goes_to_the_refusal(events: list[Event], expected: list[tuple[int, Status]]) -> None:
    check(events, expected)


R = T + 3_600_000  # recorded an hour after


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        pytest.param([say("Disagree", T, "import", R)], [(T, "refused")], id="an imported refusal"),
        pytest.param([say("Disagree", T, "officer", R)], [(T, "refused")], id="an officer's refusal"),
        pytest.param([say("Disagree", T, "callback", R)], [(T, "refused")], id="a refusal by callback"),
        pytest.param([say("Agree", T, "stream", R)], [(T, "agree")], id="an agreement of the stream"),
        pytest.param([say("Agree", T, "api", R)], [(T, "agree")], id="an agreement by API"),
        pytest.param([say("Agree", T, "stream", R, flag="msgtime_used")], [(T, "agree")], id="an agreement by its msgtime"),
    ],
)
def test_these_reach_back(events: list[Event], expected: list[tuple[int, Status]]) -> None:
    check(events, expected)


@pytest.mark.parametrize("source", ["import", "officer", "callback"])
@pytest.mark.parametrize(
    ("others", "expected"),
    [
        pytest.param([], [(T, "silent"), (R - 1, "silent"), (R, "agree")], id="silence until it was recorded"),
        pytest.param([say("Disagree", T - 1)], [(R - 1, "refused"), (R, "agree")], id="a refusal before it stays until then"),
        pytest.param(
            [say("Disagree", T + 1)], [(R - 1, "refused"), (R, "refused"), (R + 10**9, "refused")], id="not over a refusal after it"
        ),
        pytest.param([say("Disagree", T)], [(R, "refused")], id="not over a refusal at the same time"),
        pytest.param([say("Mystery", T + 1)], [(R, "pending")], id="not over an unknown status after it"),
        pytest.param([say("Disagree", R + 1, recorded_at_ms=R + 1)], [(R, "agree"), (R + 1, "refused")], id="until the next refusal"),
        pytest.param(
            [say("Disagree", T - 1), say("Agree", T + 1)], [(T + 1, "agree"), (R, "agree")], id="where a record agrees it matters not"
        ),
    ],
)
def test_other_agreements_count_from_when_they_were_recorded(source: str, others: list[Event], expected: list[tuple[int, Status]]) -> None:
    check([say("Agree", T, source, R), *others], expected)


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        pytest.param([say("Disagree", None, "api", R)], [(0, "refused"), (R + 1, "refused")], id="a refusal, from the first contact"),
        pytest.param(
            [say("Disagree", None, "api", R), say("Agree", T)],
            [(T, "refused"), (R, "refused")],
            id="whatever was agreed before it was known",
        ),
        pytest.param(
            [say("Disagree", None, "api", R), say("Agree", R + 1, recorded_at_ms=R)],
            [(R, "refused"), (R + 1, "agree")],
            id="until an agreement after that",
        ),
        pytest.param(
            [say("Disagree", None, "api", R), say("Agree", R, recorded_at_ms=R)],
            [(R, "refused"), (R + 1, "refused")],
            id="not one of that very time",
        ),
        pytest.param([say("Agree", None, "stream", R)], [(R - 1, "silent"), (R, "agree")], id="an agreement, from when it was recorded"),
        pytest.param([say("Agree", None, "import", R)], [(R - 1, "silent"), (R, "agree")], id="an import's too"),
        pytest.param([say("Mystery", None, "api", R)], [(0, "pending"), (R, "pending")], id="an unknown status, from the first contact"),
        pytest.param(
            [say("Mystery", None, "api", R), say("Agree", T)],
            [(T - 1, "pending"), (T, "agree"), (R - 1, "agree"), (R, "pending")],
            id="an unknown status over nothing known, and again when recorded",
        ),
        pytest.param(
            [say("Mystery", None, "api", R), say("Disagree", T)],
            [(T, "refused"), (R - 1, "refused"), (R, "pending")],
            id="an unknown status lifts no refusal known before",
        ),
    ],
)
def test_without_a_usable_time(events: list[Event], expected: list[tuple[int, Status]]) -> None:
    check(events, expected)


@pytest.mark.parametrize("status", ["Agree", "Disagree", "Mystery"])
@pytest.mark.parametrize("source", ["stream", "api", "import"])
def test_a_time_more_than_ten_minutes_ahead_counts_from_when_it_was_recorded(status: str, source: str) -> None:
    holds: Status = {"Agree": "agree", "Disagree": "refused", "Mystery": "pending"}[status]  # type: ignore[assignment]  # of the table
    beyond, within = say(status, T + 600_001, source, T), say(status, T + 600_000, source, T)
    check([beyond], [(T - 1, "silent"), (T, holds)])
    check([within], [(T, "silent"), (T + 599_999, "silent"), (T + 600_000, holds)])
    assert (beyond.flag, within.flag) == ("future", None)


def test_a_time_that_is_not_believed_neither_ties_nor_is_decided_by_a_record() -> None:
    check(
        [sec("Agree", T + 700_000, "api", T), sec("Disagree", T + 700_000, "import", T + 700_000)], [(T, "agree"), (T + 700_000, "refused")]
    )
    check([sec("Disagree", T + 700_000, "api", T), say("Disagree", T + 700_400, "stream", T + 700_400)], [(T, "refused")])


def test_of_equal_claims_the_platforms_own_record_is_named() -> None:
    record, line = say("Disagree", T), say("Disagree", T, "import")
    assert Register.of([line, record], version=1).state_at(SCOPE, T).event_id == record.event_id


def test_a_future_time_is_no_millisecond_record_of_anything() -> None:
    future, agreed = say("Disagree", T + 600_400, "stream", T - 100), say("Agree", T, "stream", T)
    check(
        [future, agreed, sec("Disagree", T + 600_000, "api", T)],
        [(T - 100, "refused"), (T, "agree"), (T + 599_999, "agree"), (T + 600_000, "refused")],
    )


@pytest.mark.parametrize(
    "status", ["Agreed", "agree", "AGREE", " Agree", "DISAGREE", "disagree", "", "Undo", "默认同意"], ids=lambda word: f"status {word!r}"
)
def test_an_unknown_status_makes_its_scope_pending_until_a_later_known_one(status: str) -> None:
    check(
        [say("Agree", T), say(status, T + 10), say("Disagree", T + 20)],
        [(T + 9, "agree"), (T + 10, "pending"), (T + 19, "pending"), (T + 20, "refused")],
    )


def test_agreeing_and_refusing_again_and_again_is_followed_to_the_millisecond() -> None:
    check(
        [say("Agree", T), say("Disagree", T + 10), say("Agree", T + 20), sec("Disagree", T + 1000)],
        [
            (T - 1, "silent"),
            (T, "agree"),
            (T + 10, "refused"),
            (T + 19, "refused"),
            (T + 20, "agree"),
            (T + 999, "agree"),
            (T + 1000, "refused"),
        ],
    )


DAY = 1_749_916_800_000  # 2025-06-15 00:00 in Beijing
NEXT_DAY = DAY + 86_400_000


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        pytest.param(
            [say("Disagree", DAY, "import", R, flag="day_only")], [(DAY - 1, "silent"), (DAY, "refused")], id="a refusal from its start"
        ),
        pytest.param(
            [say("Disagree", DAY, "import", R, flag="day_only"), say("Agree", T)],
            [(T, "refused"), (NEXT_DAY, "refused")],
            id="a refusal against an agreement of that day",
        ),
        pytest.param(
            [say("Disagree", DAY, "import", R, flag="day_only"), say("Agree", NEXT_DAY, recorded_at_ms=NEXT_DAY)],
            [(NEXT_DAY - 1, "refused"), (NEXT_DAY, "agree")],
            id="not against one of the next",
        ),
        pytest.param(
            [say("Agree", DAY, "import", DAY + 1, flag="day_only")],
            [(NEXT_DAY - 1, "silent"), (NEXT_DAY, "agree")],
            id="an agreement from the next day",
        ),
    ],
)
def test_a_day_without_a_time_is_read_in_favour_of_the_refusal(events: list[Event], expected: list[tuple[int, Status]]) -> None:
    check(events, expected)


def test_a_state_names_the_event_it_rests_on_and_since_when() -> None:
    agreed, refused = say("Agree", T), sec("Disagree", T + 5000)
    register = Register.of([refused, agreed], version=3)
    assert register.version == 3
    assert register.state_at(SCOPE, T) == State("agree", agreed.event_id, "stream", T)
    assert register.state_at(SCOPE, T + 5000) == State("refused", refused.event_id, "api", T + 5000)
    assert register.timeline(SCOPE) == (register.state_at(SCOPE, T), register.state_at(SCOPE, T + 5000))
    assert Register.of([say("Disagree", None)], version=1).timeline(SCOPE)[0].since_ms is None
    assert register.timeline(pair_scope("nobody", "wmA")) == ()


# --- scopes ---


def test_a_scope_is_one_pair_or_one_person_in_one_room() -> None:
    keys = [
        pair_scope("zhangsan", "wmA"),
        pair_scope("zhangsan", "wma"),
        pair_scope("zhangsanw", "mA"),
        pair_scope("wmA", "zhangsan"),
        pair_scope("1", "0:x"),
        pair_scope("", "x"),
        room_scope("zhangsan", "wmA"),
        room_scope("ZhangSan", "wmA"),
        room_scope("zhangsanw", "mA"),
    ]
    assert len(set(keys)) == len(keys)
    assert pair_scope("ZHANGsan", "wmA") == keys[0]


def test_a_decision_for_a_pair_answers_for_no_room_no_other_pair_and_not_for_the_reverse() -> None:
    register = Register.of([say("Disagree", T)], version=1)
    asked = [
        pair_scope("ZHANGSAN", "wmA"),
        pair_scope("zhangsan", "wmB"),
        pair_scope("lisi", "wmA"),
        pair_scope("wmA", "zhangsan"),
        room_scope("zhangsan", "wmA"),
    ]
    assert [register.state_at(scope, T).status for scope in asked] == ["refused", "silent", "silent", "silent", "silent"]


@pytest.mark.parametrize(("userid", "room"), [(None, None), ("a", "wr1")])
def test_an_event_without_one_scope_is_refused(userid: str | None, room: str | None) -> None:
    with pytest.raises(UsageError, match=r"^a consent event needs exactly one of userid and room_id, and an external_userid$"):
        new_event(source="api", status="Agree", userid=userid, room_id=room, external_userid="wmA", recorded_at_ms=T)


# --- repeats, undoing, versions ---


def test_a_repeat_changes_nothing_though_it_was_recorded_later() -> None:
    first, again = say("Agree", T, "import", R, batch="one"), say("Agree", T, "import", R + 10**6, batch="two")
    assert first.event_id == again.event_id
    check([first, again], [(R - 1, "silent"), (R, "agree")])
    assert Register.of([first], version=1).new_events([again, first]) == ()


def test_a_repeat_that_was_recorded_earlier_is_news() -> None:
    late, early = say("Agree", T, "callback", R + 5), say("Agree", T, "callback", R)
    register = Register.of([late], version=1)
    assert register.new_events([late, early]) == (early,)
    assert register.touched([early]) == {SCOPE}
    assert register.with_events([early], 2).state_at(SCOPE, R).status == "agree"
    assert Register.of([], version=1).new_events([late, early, late]) == (early,)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        pytest.param(say("Agree", T), say("Agree", T), True, id="equal"),
        pytest.param(say("Agree", T, "api", 1), say("Agree", T, "api", 2), True, id="asked again later"),
        pytest.param(say("Agree", T), say("Agree", T, "api"), False, id="another source"),
        pytest.param(say("Agree", T), sec("Agree", T, "stream"), False, id="another precision"),
        pytest.param(say("Agree", T), say("Disagree", T), False, id="another status"),
        pytest.param(say("Agree", T, source_msgid="a"), say("Agree", T, source_msgid="b"), False, id="another record"),
        pytest.param(
            say("Agree", None, "api", 1), say("Agree", None, "api", 2), False, id="without a time recorded_at tells two answers apart"
        ),
        pytest.param(say("Agree", None, "import", 1), say("Agree", None, "import", 2), True, id="but a repeated line stays a repeat"),
        pytest.param(
            say("Agree", None, "import", document_digest="a"),
            say("Agree", None, "import", document_digest="b"),
            False,
            id="another document",
        ),
    ],
)
def test_the_event_id_covers_source_and_content(one: Event, other: Event, same: bool) -> None:
    assert (one.event_id == other.event_id) is same


def test_the_event_id_does_not_depend_on_the_case_of_the_employee_and_is_stable() -> None:
    lower = new_event(source="stream", status="Agree", userid="zhangsan", external_userid="wmA", changed_at_ms=T, recorded_at_ms=LATER)
    content = b'["stream","zhangsan",null,"wmA","Agree",1750000000000,"ms",null,null,false,null]'
    assert lower.event_id == say("Agree", T).event_id == hashlib.sha256(content).hexdigest()[:32]
    assert (lower.userid, say("Agree", T).userid) == ("zhangsan", "ZhangSan")


def test_an_undone_import_counts_no_more_and_can_be_imported_again() -> None:
    line = say("Disagree", T, "import", R, batch="one")
    undone = Register.of([line, undo_event("one", recorded_at_ms=R + 5)], version=2)
    assert undone.state_at(SCOPE, T + 1) is SILENT
    assert list(undone.scopes()) == [SCOPE]
    assert undone.with_events([say("Mystery", T + 5)], 3).state_at(SCOPE, T + 1) is SILENT
    again = say("Disagree", T, "import", R + 10, batch="two")
    assert undone.new_events([again, line, undo_event("one", recorded_at_ms=R + 9)]) == (again,)
    assert undone.with_events([again], 3).state_at(SCOPE, T).status == "refused"


def test_undoing_one_import_leaves_what_another_brought() -> None:
    refused, agreed = say("Disagree", T, "import", R, batch="one"), say("Agree", T + 5, "import", R, batch="two")
    check([refused, agreed, undo_event("two", recorded_at_ms=R)], [(T, "refused"), (R + 1, "refused")])
    check([refused, agreed, undo_event("one", recorded_at_ms=R)], [(T, "silent"), (R, "agree")])


def test_an_older_register_never_learns_what_a_newer_one_knows() -> None:
    old = Register.of([say("Agree", T)], version=1)
    new = old.with_events([say("Disagree", T + 10)], 2)
    newest = new.with_events([say("Agree", T + 20)], 3)
    assert [r.state_at(SCOPE, T + 30).status for r in (old, new, newest)] == ["agree", "refused", "agree"]
    assert [r.version for r in (old, new, newest)] == [1, 2, 3]


def test_many_scopes_in_many_steps_are_all_found_again() -> None:
    def line(number: int, status: str) -> Event:
        return new_event(source="api", status=status, room_id="wr1", external_userid=f"wm{number}", changed_at_ms=T, recorded_at_ms=T)

    register = Register.of((line(number, "Agree") for number in range(3000)), version=0)
    for step in range(30):
        register = register.with_events([line(3000 + 100 * step + i, "Disagree") for i in range(100)], step)
    states = [register.state_at(room_scope("wr1", f"wm{number}"), T).status for number in range(6001)]
    assert states == ["agree"] * 3000 + ["refused"] * 3000 + ["silent"]
    assert len(register) == 6000


def test_touched_names_the_scopes_to_judge_again() -> None:
    known = say("Agree", T, "import", R, batch="one")
    other = new_event(source="stream", status="Agree", room_id="wr1", external_userid="wmB", changed_at_ms=T, recorded_at_ms=T)
    register = Register.of([known], version=1)
    assert register.touched([known]) == frozenset()
    assert register.touched([known, other]) == {scope_of(other)}
    assert register.touched([undo_event("one", recorded_at_ms=R)]) == {SCOPE}
    assert register.touched([undo_event("never", recorded_at_ms=R)]) == frozenset()


def test_a_register_travels_to_a_worker() -> None:
    register = Register.of([say("Agree", T), undo_event("gone", recorded_at_ms=T)], version=4).with_events([say("Disagree", T + 1)], 5)
    there = pickle.loads(pickle.dumps(register))
    assert (there.version, there.state_at(SCOPE, T).status, there.state_at(SCOPE, T + 1).status) == (5, "agree", "refused")
