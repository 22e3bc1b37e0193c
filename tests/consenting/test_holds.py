"""A hold stops the clock of withheld bytes: they lie under a key of their own while the rest of their day is destroyed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline import clock, holds
from pipeline.consenting import destroying, reconcile
from pipeline.errors import UsageError
from pipeline.holds import Hold
from tests.consenting.test_reconcile import disagree, later, sound, told
from tests.firm import CORP, T0, home, message, page, run, values


@pytest.mark.parametrize(
    ("given", "people", "room", "covered"),
    [
        pytest.param({"external_userid": "wmA"}, ["zhangsan", "wmA"], None, True, id="a customer, everywhere"),
        pytest.param({"external_userid": "wmA"}, ["zhangsan", "wma"], None, False, id="ids of customers byte by byte"),
        pytest.param({"userid": "ZhangSan"}, ["zhangsan", "wmB"], "wr1", True, id="an employee in any case, in rooms too"),
        pytest.param({"userid": "zhangsan", "external_userid": "wmA"}, ["lisi", "wmA"], None, False, id="another employee's pair"),
        pytest.param({"room_id": "wr1"}, ["lisi", "wmQ"], "wr1", True, id="everybody in a room"),
        pytest.param({"room_id": "wr1"}, ["lisi", "wmQ"], None, False, id="a room is no single chat"),
        pytest.param({"room_id": "wr1", "external_userid": "wmA"}, ["lisi", "wmQ"], "wr1", False, id="a person in a room"),
    ],
)
def test_whom_a_hold_covers(given: dict[str, str], people: list[str], room: str | None, covered: bool) -> None:
    fields = {"userid": None, "room_id": None, "external_userid": None, **given}
    hold = Hold(hold_id="h", matter="M", reason="r", actor="a", at_ms=0, **fields)  # type: ignore[arg-type]  # ids or None
    assert hold.covers(people=people, room_id=room) is covered


def test_a_hold_without_anybody_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="needs an employee"):
        holds.place(home(tmp_path, keys=()), CORP, matter="M", reason="r")


@pytest.mark.slow
@pytest.mark.parametrize("by", [{"userid": "zhangsan", "external_userid": "wmA"}, {"external_userid": "wmA"}], ids=["pair", "customer"])
def test_held_bytes_outlive_their_day_and_go_when_the_hold_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: dict[str, str]) -> None:
    at = home(tmp_path, settings={"consent.withheld_days": "3"})
    told(at, disagree("wmA", T0), disagree("wmB", T0))
    run(at, page(tmp_path, "a.json", {1: message(1), 2: message(2, to=["wmB"])}))
    hold = holds.place(at, CORP, matter="M1", reason="lawsuit", **by)
    assert destroying.keep_for(at, CORP, hold) == 1
    sound(at)
    later(monkeypatch, 3.1)
    done = reconcile.run(at, CORP)
    assert (done.destroyed, done.held) == (1, 1)
    assert [n.split("/")[2] for n in at.keyring.names(f"{CORP}/withheld/")] == [f"hold-{hold.hold_id}#0"]
    sound(at)
    holds.release(at, CORP, hold.hold_id, reason="closed")
    assert reconcile.run(at, CORP).destroyed == 1
    assert at.keyring.names(f"{CORP}/withheld/") == []
    assert values(at, "select msgid from withheld order by seq") == ["m1", "m2"]
    sound(at)


@pytest.mark.slow
def test_withheld_imports_are_held_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at = home(tmp_path, settings={"consent.withheld_days": "3"})
    told(at, disagree("wmA", T0), disagree("wmB", T0))
    (tmp_path / "old.jsonl").write_text("".join(json.dumps(m) + "\n" for m in (message(1), message(2, to=["wmB"]))))
    run(at, plain=[tmp_path / "old.jsonl"])
    hold = holds.place(at, CORP, matter="M1", reason="lawsuit", external_userid="wmA")
    assert destroying.keep_for(at, CORP, hold) == 1
    later(monkeypatch, 3.1)
    done = reconcile.run(at, CORP)
    assert (done.destroyed, done.held) == (1, 1)
    assert at.keyring.names(f"{CORP}/withheld/") == [f"{CORP}/withheld/hold-{hold.hold_id}#0"]
    sound(at)


@pytest.mark.slow
def test_one_open_hold_of_two_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at = home(tmp_path, settings={"consent.withheld_days": "3"})
    told(at, disagree("wmA", T0), disagree("wmB", T0))
    run(at, page(tmp_path, "a.json", {1: message(1), 2: message(2, to=["wmB"])}))
    first = holds.place(at, CORP, matter="M1", reason="lawsuit", userid="zhangsan")
    second = holds.place(at, CORP, matter="M2", reason="another", external_userid="wmA")
    assert destroying.keep_for(at, CORP, first) == 2
    later(monkeypatch, 3.1)
    holds.release(at, CORP, first.hold_id, reason="closed")
    done = reconcile.run(at, CORP)
    assert (done.destroyed, done.held) == (1, 1)
    assert at.keyring.names(f"{CORP}/withheld/") == [f"{CORP}/withheld/hold-{second.hold_id}#0"]
    sound(at)


@pytest.mark.slow
def test_a_pair_is_held_in_its_rooms_too_whoever_refused_there(tmp_path: Path) -> None:
    at = home(tmp_path, settings={"consent.withheld_days": "3", "consent.room": '"everyone"'})
    told(at, disagree("wmA", T0), disagree("wmB", T0, roomid="wr1"), disagree("wmC", T0, roomid="wr2"))
    run(at, page(tmp_path, "a.json", {
        1: message(1), 2: message(2, sender="wmA", to=["zhangsan", "wmB"], room="wr1"), 3: message(3, sender="wmC", to=["zhangsan"], room="wr2"),
    }))  # fmt: skip
    assert values(at, "select msgid from withheld order by seq") == ["m1", "m2", "m3"]
    pair = holds.place(at, CORP, matter="M1", reason="lawsuit", userid="zhangsan", external_userid="wmA")
    assert destroying.keep_for(at, CORP, pair) == 2


@pytest.mark.slow
def test_a_hold_set_while_bytes_are_being_destroyed_keeps_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at = home(tmp_path, settings={"consent.withheld_days": "3"})
    told(at, disagree("wmA", T0), disagree("wmB", T0))
    run(at, page(tmp_path, "a.json", {1: message(1), 2: message(2, to=["wmB"])}))
    holds.place(at, CORP, matter="M1", reason="lawsuit", external_userid="wmB")
    keep_for = destroying.keep_for

    def set_meanwhile(*args: Any) -> int:
        moved = keep_for(*args)
        holds.place(at, CORP, matter="M2", reason="another", external_userid="wmA")
        return moved

    later(monkeypatch, 3.1)
    with monkeypatch.context() as patched:
        patched.setattr(destroying, "keep_for", set_meanwhile)
        assert reconcile.run(at, CORP).destroyed == 0
    done = reconcile.run(at, CORP)
    assert (done.destroyed, done.held) == (0, 2)
    sound(at)


def test_a_released_hold_stays_in_the_list_and_cannot_be_released_again(tmp_path: Path) -> None:
    at = home(tmp_path, keys=())
    hold = holds.place(at, CORP, matter="M1", reason="lawsuit", external_userid="wmA")
    holds.release(at, CORP, hold.hold_id, reason="closed")
    lake = at.lake(CORP)
    (found,) = holds.all_of(lake, lake.snapshot())
    assert found.hold_id == hold.hold_id and found.released_at_ms is not None and found.released_at_ms <= clock.now_ms()
    with pytest.raises(UsageError, match="no open hold"):
        holds.release(at, CORP, hold.hold_id, reason="again")
