"""A sign of life after each cycle, to a real HTTP server on this machine."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pipeline import clock
from pipeline.home import Home
from pipeline.source.cycle import Cycle, Step, run
from pipeline.watch import heartbeat
from tests import firm
from tests.alerts.test_round import Receiver, hook  # noqa: F401

BEAT = (Step("heartbeat", "pipeline.watch.heartbeat:beat"),)
MORNING = datetime(2026, 11, 20, 1, tzinfo=UTC)


class Office:
    """A home with a webhook and a member to tell, whose clock the test sets."""

    def __init__(self, folder: Path, hook: Receiver, monkeypatch: pytest.MonkeyPatch, **settings: str) -> None:  # noqa: F811
        self.hook, self.now = hook, MORNING
        monkeypatch.setattr(clock, "now_ms", lambda: round(self.now.timestamp() * 1000))
        monkeypatch.setenv("LIUHEN_TEST_HOOK", f"{hook.address}/hook")
        monkeypatch.setenv("LIUHEN_TEST_APP", "secret")
        known = {"alerts.webhook": "env:LIUHEN_TEST_HOOK", "alerts.to": '["zhangsan"]', "corp.ww1.app_secret": "env:LIUHEN_TEST_APP", "corp.ww1.app_agent_id": "7"}
        self.home = firm.home(folder, settings={**known, "wecom.base_url": f'"{hook.address}"', **settings})

    def cycle(self, *, after: timedelta = timedelta()) -> Any:
        self.now += after
        return run(Cycle(self.home, firm.CORP, open_source=lambda home, corp: None), steps=BEAT)  # type: ignore[arg-type,return-value]  # no step asks the source

    @property
    def heard(self) -> tuple[int, int]:
        """How often the webhook and the member heard something."""
        return len(self.hook.bodies()), len(self.hook.bodies("/cgi-bin/message/send"))


@pytest.mark.slow
def test_the_webhook_hears_every_cycle_and_members_what_changed(tmp_path: Path, hook: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    office = Office(tmp_path, hook, monkeypatch)
    office.cycle()
    assert office.heard == (1, 1)
    office.cycle(after=timedelta(minutes=15))
    assert office.heard == (2, 1)  # nothing changed
    office.home.path.joinpath("liuhen.toml").write_text((office.home.path / "liuhen.toml").read_text().replace('seats = ""', 'seats = "2026-12-10"'))
    office.home = Home(office.home.path)
    office.cycle(after=timedelta(minutes=15))
    assert office.heard == (3, 2)  # twenty days left: the warning of 30 days
    office.cycle(after=timedelta(minutes=15))
    assert office.heard == (4, 2)  # and once only
    office.cycle(after=timedelta(days=1))
    assert office.heard == (5, 3)  # a new day
    office.cycle(after=timedelta(days=13))
    warnings = [body["ending"] for body in office.hook.bodies()]
    assert [[(e["kind"], e["days"]) for e in told] for told in warnings] == [[], [], [("seats", 20)], [], [], [("seats", 6)]]


def test_what_is_told_holds_counts_and_alarms(tmp_path: Path, hook: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    office = Office(tmp_path, hook, monkeypatch)
    office.cycle()
    [body] = office.hook.bodies()
    assert (body["kind"], body["version"], body["corp_id"], body["ok"]) == ("heartbeat", 1, "ww1", False)
    assert body["made_at"] == "2026-11-20T01:00:00.000Z" and body["counts"]["archived"] == 0
    assert [a["code"] for a in body["alarms"]] == ["no_people"]
    [message] = office.hook.bodies("/cgi-bin/message/send")
    assert message["touser"] == "zhangsan" and "1 项告警" in message["text"]["content"] and "people import" in message["text"]["content"]


def test_a_receiver_that_does_not_take_it_changes_no_exit_code_and_is_told_of(tmp_path: Path, hook: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    office = Office(tmp_path, hook, monkeypatch, **{"alerts.to": "[]", "expiry.service": '"2026-11-25"'})
    hook.status = 500
    told = office.cycle()
    assert (told.exit_code, told.stopped) == (0, {"heartbeat": "ALERT_WEBHOOK"})
    hook.status = 200
    office.cycle(after=timedelta(minutes=15))
    assert [(e["kind"], e["days"]) for e in office.hook.bodies()[-1]["ending"]] == [("service", 5)]  # the warning was not lost


@pytest.mark.slow
@pytest.mark.parametrize(("setting", "heard"), [("cycle", (3, 1)), ("changes", (1, 1)), ("off", (0, 0))])
def test_how_much_is_told_is_a_setting(setting: str, heard: tuple[int, int], tmp_path: Path, hook: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    office = Office(tmp_path, hook, monkeypatch, **{"heartbeat.send": f'"{setting}"'})
    for _ in range(3):
        office.cycle(after=timedelta(minutes=15))
    assert office.heard == heard


def test_a_damaged_note_is_no_obstacle(tmp_path: Path) -> None:
    at = firm.home(tmp_path)
    heartbeat.write(at, firm.CORP, heartbeat.Noted(day="2026-11-20"))
    assert heartbeat.read(at, firm.CORP).day == "2026-11-20"
    (at.path / heartbeat.FOLDER / "ww1.json").write_text("{")
    assert heartbeat.read(at, firm.CORP) == heartbeat.Noted()
