"""Killed at any durable call of taking callbacks and syncing the directory, and run again: nothing is lost, nothing is there twice."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import firm
from tests.crash import harness
from tests.crash.harness import Point
from tests.firm import CORP

pytestmark = pytest.mark.crash
AT_MS = firm.T0 + 3_600_000
AGREED = b"""<xml><CreateTime>1795143600</CreateTime><Event>change_external_contact</Event><ChangeType>msg_audit_approved</ChangeType>
<UserID>zhangsan</UserID><ExternalUserID>wmA</ExternalUserID></xml>"""
LEFT = b"<xml><CreateTime>1795143601</CreateTime><Event>change_contact</Event><ChangeType>delete_user</ChangeType><UserID>zhaoliu</UserID></xml>"
RING = b"<xml><CreateTime>1795143602</CreateTime><Event>msgaudit_notify</Event></xml>"


def prepare(folder: Path) -> None:
    """A home that knows one member who is about to leave."""
    from pipeline import ingest
    from pipeline.people_history import kinds
    from pipeline.people_history.facts import Fact

    at = firm.home(folder, keys=(), settings={"corp.ww1.contacts_secret": "env:X"})
    known = Fact(key=("zhaoliu",), ids=("zhaoliu",), values=("employee", "赵六", None, "一部", None), valid_from_ms=1, source="contacts", recorded_at_ms=1)
    ingest.append(at, CORP, [("people", kinds.table("people", [known]))], what="directory")


def work(folder: Path, at_ms: int = AT_MS) -> None:
    """What is killed, and run again: WeCom sends again what was not acknowledged."""
    from pipeline.home import Home
    from pipeline.people_history.sync import sync
    from pipeline.wecom import callback_events, callback_store
    from tests.people_history.test_sync import ANSWERS
    from tests.wecom.platform import platform

    home = Home(folder / "home")
    for event in (AGREED, LEFT, RING):
        callback_store.accept(home, CORP, callback_events.read(event, received_ms=AT_MS))
    with platform(**{**ANSWERS, "user__get": [{"errcode": 60111}]}) as at, at.client() as client:
        sync(home, CORP, client, now_ms=lambda: at_ms)


def found(folder: Path) -> dict[str, Any]:
    """What the archive then says, times of seeing aside."""
    from pipeline.home import Home
    from pipeline.wecom import callback_store

    at = Home(folder / "home")
    ask = {
        "people": "SELECT userid, kind, name, department, valid_to IS NOT NULL FROM people ORDER BY ALL",
        "rooms": "SELECT room_id, name, owner_id, internal FROM rooms ORDER BY ALL", "memberships": "SELECT room_id, member_id, valid_from, valid_to FROM memberships ORDER BY ALL",
        "departments": "SELECT department_id, name, parent_id FROM departments ORDER BY ALL", "follows": "SELECT external_userid, userid, remark FROM follows ORDER BY ALL",
        "handovers": "SELECT external_userid, from_userid, to_userid, state FROM handovers ORDER BY ALL", "seats": "SELECT userid, edition FROM seats ORDER BY ALL",
        "consent": "SELECT userid, external_userid, status, source, changed_at FROM consent",
    }  # fmt: skip
    rows = {name: firm.values(at, query) for name, query in ask.items()}
    folder_of_events = callback_store.folder(at, CORP)
    return {
        **rows, "waiting": len(callback_store.waiting(at, CORP)), "seen": len(list(folder_of_events.glob("*.seen"))),
        "unfinished": [p.name for p in folder_of_events.glob("*.part")],
    }  # fmt: skip


def test_killed_at_any_durable_call_the_directory_ends_the_same(tmp_path: Path, say: Callable[[str], None]) -> None:
    run = harness.undisturbed(tmp_path, prepare, work, found)
    consent = [["zhangsan", "wmA", "Agree", "callback", "2026-11-20 11:00:00+08:00"]]
    assert (run.found["consent"], run.found["waiting"], run.found["seen"], run.found["unfinished"]) == (consent, 0, 3, [])
    assert ["zhaoliu", "employee", "赵六", "一部", True] in run.found["people"] and len(run.found["people"]) == 4
    chosen = one_of_each(run.points, random.Random(harness.SAMPLE)) if harness.SAMPLE and not harness.PIECE else harness.sampled(run.points, 0)
    for where, after in harness.each_killed(run, chosen, work, again, say=say):
        assert {**after, "unfinished": []} == run.found, where


def one_of_each(points: list[Point], choice: random.Random) -> list[Point]:
    """Return one point of each kind of durable call: all of them would take a quarter of an hour. LIUHEN_CRASH_SAMPLE chooses others, LIUHEN_CRASH_POINTS any."""
    kinds: dict[str, list[Point]] = {}
    for point in points:
        kinds.setdefault(point.what.split("-")[0], []).append(point)
    return [choice.choice(found) for found in kinds.values()]


def again(at: Path) -> Any:
    """The same a second later, and what is there then."""
    work(at, AT_MS + 1000)
    return found(at)
