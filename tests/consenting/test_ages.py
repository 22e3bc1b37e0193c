"""Of how many scopes that chat nobody has asked for long: the alarm in `status`, on its screen and in the heartbeat."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline import clock, ingest, status
from pipeline.commitrows import table
from pipeline.consenting import ages, asking
from pipeline.consenting.ages import Stale
from pipeline.home import Home
from pipeline.reader import Reader
from pipeline.watch import heartbeat
from tests.consenting.test_reconcile import disagree, told, undone
from tests.firm import CORP, T0, home, message, page, run

DAY = clock.DAY_MS
NOW = T0 + DAY
# Asked: the pair with wmA 20 days ago and again 2 days ago, with wmB 20 days ago (userid in other letters), the room wr1 15 days ago; a person of the
# room yesterday, which says nothing about the room. Never asked: wmC. Quiet for 36 days: wmQ. Colleagues among themselves are no scope.
ASKED = [
    ("zhangsan", None, "wmA", 20), ("zhangsan", None, "wmA", 2), ("ZhangSan", None, "wmB", 20),
    (None, "wr1", None, 15), (None, "wr1", "wmA", 1), ("zhangsan", None, "wmQ", 99),
]  # fmt: skip


def chatting(folder: Path, **settings: str) -> Home:
    at = home(folder, settings=settings)
    said = {n: message(n, to=[f"wm{c}"], at_ms=NOW - DAY) for n, c in enumerate("ABC", 1)}
    said |= {4: message(4, to=["wmQ"], at_ms=NOW - 36 * DAY), 6: message(6, to=["lisi"], at_ms=NOW - DAY)}
    said |= {5: message(5, sender="wmA", to=["zhangsan"], room="wr1", at_ms=NOW - 35 * DAY)}
    run(at, page(folder, "a.json", said))
    return at


def asked(at: Home) -> None:
    rows = [{"userid": u, "room_id": r, "external_userid": e, "asked_at": NOW - days * DAY, "status": None, "code": None} for u, r, e, days in ASKED]
    ingest.append(at, CORP, [("consent_asks", table("consent_asks", rows))], what="consent sync")


def found(at: Home, days: int) -> Stale:
    with Reader(at, CORP) as reader:
        return ages.stale(reader, now_ms=NOW, days=days)


def test_what_is_stale_is_counted_told_on_the_screen_and_in_the_heartbeat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "now_ms", lambda: NOW)
    at = chatting(tmp_path)
    assert found(at, 14) == Stale()  # a corp without the secret, that never asked, cannot ask
    asked(at)
    assert {days: found(at, days) for days in (1, 2, 14, 15, 20)} == {
        1: Stale(4, 1, 20), 2: Stale(3, 1, 20), 14: Stale(3, 1, 20), 15: Stale(2, 1, 20), 20: Stale(1, 1, 0),
    }  # fmt: skip
    seen = asking.scopes(at, CORP, at.lake(CORP).snapshot())
    assert [len(asking.stale(seen, now_ms=NOW, days=days)) for days in (1, 2, 14, 15, 20)] == [4, 3, 3, 2, 1]
    with Reader(at, CORP) as reader:
        counts = status.gather(reader)
    assert (counts["stale_scopes"], counts["stale_never_asked"], counts["stale_oldest_days"]) == (3, 1, 20)
    assert "3 个仍在聊天的范围久未查询同意状态（其中 1 个从未查询，其余最久 20 天）" in status.render(at, counts, "zh")
    assert "! 3 scopes that chat were not asked about for long (1 never, the others for up to 20 days)" in status.render(at, counts, "en")
    beat = heartbeat.body(heartbeat.look(at, CORP, heartbeat.Noted(), now_ms=NOW))
    assert [a["values"] for a in beat["alarms"] if a["code"] == "stale"] == [{"n": 3, "never": 1, "days": 20}]


def test_a_status_that_nobody_knows_is_an_alarm_until_a_known_one_comes_or_its_import_is_undone(tmp_path: Path) -> None:
    at = home(tmp_path, settings={"consent.stale_days": "9"})
    run(at, page(tmp_path, "a.json", {1: message(1, to=["wmA"])}))

    def alarms() -> list[object]:
        with Reader(at, CORP) as reader:
            found = status.gather(reader)
        return [a.values for a in status.alarms_of(at, found, now_ms=T0) if a.code == "unknown"]

    told(at, disagree("wmA", T0, status="Maybe"), disagree("wmB", T0, status="Perhaps"), disagree("wmC", T0), batch="b1")
    assert alarms() == [{"n": 2}]
    told(at, disagree("wmA", T0 + 1, status="Disagree"), batch="b2")
    assert alarms() == [{"n": 1}]
    undone(at, "b1")
    assert alarms() == []


def test_the_threshold_is_a_setting_and_who_has_the_secret_is_reminded_before_anything_was_asked(tmp_path: Path) -> None:
    at = chatting(tmp_path, **{"consent.stale_days": "30", "corp.ww1.archive_secret": "env:LIUHEN_TEST_SECRET"})
    assert at.config.consent.stale_days == 30
    assert found(at, 30) == Stale(4, 4, 0)
