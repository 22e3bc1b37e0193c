"""Until when a record is kept: periods by hand, and what must never be due."""

from __future__ import annotations

from datetime import date
from itertools import count
from pathlib import Path

import pytest

from pipeline import clock
from pipeline.errors import NotAllowed, UsageError
from pipeline.reader import Reader
from pipeline.removing import erase
from pipeline.retention import due, store
from pipeline.retention.profiles import Setting, checked_years, keep_until, profile, profiles, statutory
from tests import firm
from tests.cli.liuhen import liuhen
from tests.firm import CORP, T0, message, page, run

D = date(2026, 3, 1)
ENDED = {("wmA", "contract_terminated"): date(2027, 1, 31)}


def setting(name: str, *, years: int = 0, confirmed: str = "counsel") -> Setting:
    return Setting(profile=name, years=years or profiles()[name].years, confirmed_by=confirmed, actor="x", at_ms=0)


@pytest.mark.parametrize(
    ("settings", "events", "until"),
    [
        pytest.param([], {}, None, id="nothing is set: never"),
        pytest.param([setting("eu.mifid2")], {}, date(2031, 3, 1), id="five years from the message"),
        pytest.param([setting("eu.mifid2", years=7)], {}, date(2033, 3, 1), id="longer by choice"),
        pytest.param([setting("eu.mifid2", confirmed="")], {}, None, id="confirmed by nobody: never"),
        pytest.param([setting("cn.insurance.over_1y")], {}, None, id="the contract's end is not known: never"),
        pytest.param([setting("cn.insurance.over_1y")], ENDED, date(2037, 1, 31), id="ten years from the contract's end"),
        pytest.param([setting("cn.insurance.over_1y")], {("wmB", "contract_terminated"): D}, None, id="another customer's contract"),
        pytest.param([setting("eu.mifid2"), setting("cn.insurance.upto_1y")], ENDED, date(2032, 1, 31), id="the later of two"),
        pytest.param([setting("eu.mifid2"), setting("cn.insurance.upto_1y")], {}, None, id="one of two without its event: never"),
        pytest.param([setting("eu.mifid2"), setting("uk.sysc10a", confirmed="")], {}, None, id="one of two confirmed by nobody: never"),
        pytest.param([setting("cn.insurance.prospect")], {}, date(2029, 6, 30), id="from the customer's last message"),
        pytest.param([setting("eu.mifid2")], {("wmA", "dispute_opened"): date(2020, 1, 1)}, None, id="a dispute is open: never"),
        pytest.param([setting("eu.mifid2")], {("wmB", "dispute_opened"): D}, date(2031, 3, 1), id="another customer's dispute"),
        pytest.param([setting("cn.insurance.over_1y")], ENDED | {("wmA", "dispute_closed"): date(2036, 5, 1)}, date(2038, 5, 1), id="two years after the dispute ended"),
        pytest.param([setting("cn.insurance.over_1y")], ENDED | {("wmA", "dispute_closed"): date(2030, 5, 1)}, date(2037, 1, 31), id="a dispute that ended long before"),
        pytest.param([setting("eu.mifid2")], {("wmA", "dispute_closed"): date(2036, 5, 1)}, date(2031, 3, 1), id="a profile that asks for nothing after a dispute"),
        pytest.param([setting("cn.internal.staff_only")], {}, None, id="a profile of another sort"),
    ],
)
def test_until_when_a_customer_s_record_of_that_day_is_kept(settings: list[Setting], events: dict[tuple[str, str], date], until: date | None) -> None:
    assert keep_until(settings, "customers", customer="wmA", day=D, last_day=date(2026, 6, 30), events=events) == until


def test_an_event_before_the_message_does_not_shorten_its_time() -> None:
    events = {("wmA", "contract_terminated"): date(2020, 1, 1)}
    assert keep_until([setting("cn.insurance.upto_1y")], "customers", customer="wmA", day=D, last_day=D, events=events) == date(2031, 3, 1)


def test_a_leap_day_ends_on_the_first_of_march() -> None:
    leap = date(2028, 2, 29)
    assert keep_until([setting("eu.mifid2")], "customers", customer="wmA", day=leap, last_day=leap, events={}) == date(2033, 3, 1)


@pytest.mark.parametrize(
    ("one", "today", "runs"),
    [
        pytest.param(setting("eu.mifid2"), date(2031, 2, 28), True, id="the last day"),
        pytest.param(setting("eu.mifid2"), date(2031, 3, 1), False, id="the day after"),
        pytest.param(setting("eu.mifid2", confirmed=""), D, False, id="confirmed by nobody"),
        pytest.param(setting("cn.insurance.over_1y"), date(2099, 1, 1), True, id="its event is not known"),
        pytest.param(setting("cn.insurance.prospect"), D, False, id="no statute"),
    ],
)
def test_when_a_statutory_period_refuses_an_erasure(one: Setting, today: date, runs: bool) -> None:
    assert statutory([one], customer="wmA", day=D, last_day=D, events={}, today=today) is runs


@pytest.mark.parametrize(("name", "years", "allowed"), [("cn.insurance.over_1y", 10, True), ("cn.insurance.over_1y", 9, False), ("cn.internal.staff_only", 0, False)])
def test_nobody_goes_below_the_floor(name: str, years: int, allowed: bool) -> None:
    if allowed:
        assert checked_years(profile(name), years) == years
        return
    with pytest.raises(UsageError) as refused:
        checked_years(profile(name), years)
    assert refused.value.code == "RETENTION_FLOOR"


def test_every_profile_says_on_what_it_rests_and_no_floor_is_above_its_years() -> None:
    assert all(p.basis.zh and p.basis.en and p.floor <= p.years for p in profiles().values())
    assert {p.start for p in profiles().values()} <= {"message", "last_message", *store.EVENTS}


def test_of_two_disputes_the_one_that_is_closed_ends_and_the_other_one_stays_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at, said, ticks = firm.home(tmp_path), [], count(T0)
    monkeypatch.setattr(clock, "now_ms", lambda: next(ticks))
    for event, source, on in [("dispute_opened", "case 1", D), ("dispute_opened", "case 2", date(2026, 4, 1)), ("dispute_closed", "case 1", date(2026, 5, 1)),
                              ("dispute_closed", "case 2", date(2026, 4, 30)), ("dispute_opened", "case 1", date(2026, 6, 1))]:  # fmt: skip
        store.tell(at, CORP, customer="wmA", event=event, on=on, source=source)
        found = store.standing(at, CORP)
        said.append((found.disputes.get("wmA", ()), found.events.get(("wmA", "dispute_opened")), found.events.get(("wmA", "dispute_closed"))))
    assert said == [
        (("case 1",), D, None), (("case 1", "case 2"), D, None), (("case 2",), date(2026, 4, 1), date(2026, 5, 1)), ((), None, date(2026, 5, 1)),
        (("case 1",), date(2026, 6, 1), date(2026, 5, 1)),
    ]  # fmt: skip


def test_whoever_closes_a_dispute_by_another_source_is_told_that_it_is_open_still(tmp_path: Path) -> None:
    at = firm.home(tmp_path)

    def told(event: str, source: str) -> str:
        ended = liuhen(at.path, "--lang", "en", "retention", "event", event, "--customer", "wmA", "--on", "2026-03-01", "--source", source)
        assert ended.code == 0
        return ended.err

    assert "still open: 1" in told("dispute_opened", "case 1")
    assert "still open: 1" in told("dispute_closed", "case1")
    assert "still open" not in told("dispute_closed", "case 1")


def test_while_a_dispute_is_open_nothing_of_the_customer_is_removed(tmp_path: Path) -> None:
    at = firm.home(tmp_path)
    run(at, page(tmp_path, "a.json", {1: message(1), 2: message(2, to=["wmB"])}))
    store.tell(at, CORP, customer="wmA", event="dispute_opened", on=D, source="case 1")
    assert (erase.of_request(at, CORP, "wmA").held, erase.of_request(at, CORP, "wmB").held) == (1, 0)
    with pytest.raises(NotAllowed) as refused:
        erase.refuse_held(erase.of_request(at, CORP, "wmA"))
    assert refused.value.code == "REMOVAL_HELD" and "dispute" in str(refused.value)
    store.tell(at, CORP, customer="wmA", event="dispute_closed", on=D, source="case 1")
    assert erase.of_request(at, CORP, "wmA").held == 0


def test_what_is_set_and_told_is_kept_sealed_and_the_newest_counts(tmp_path: Path) -> None:
    at = firm.home(tmp_path)
    run(at, page(tmp_path, "a.json", {1: message(1), 2: message(2, at_ms=T0 + 86_400_000), 3: message(3, to=["wmB"])}))
    day = date(2026, 11, 20)
    with Reader(at, CORP) as reader:
        assert [(d.customer, d.records, d.due, d.keep_until) for d in due.due(reader, date(2099, 1, 1))] == [("wmA", 2, 0, None), ("wmB", 1, 0, None)]
        store.put(at, CORP, "cn.insurance.upto_1y", years=6, confirmed_by="counsel")
        store.tell(at, CORP, customer="wmA", event="contract_terminated", on=date(2020, 1, 1), source="policy system of the 客户")
        assert [(d.customer, d.due, d.keep_until) for d in due.due(reader, day.replace(year=2032))] == [("wmA", 1, date(2032, 11, 21)), ("wmB", 0, None)]
        store.drop(at, CORP, "cn.insurance.upto_1y", reason="wrong")
        assert [d.due for d in due.due(reader, date(2099, 1, 1))] == [0, 0]
    assert store.standing(at, CORP).settings == ()
    assert not [p for p in (at.path / "retention").rglob("*.event") if "客户".encode() in p.read_bytes() or b"wmA" in p.read_bytes()]
