"""Which scopes are asked about and when; what came is durable; one bad id does not hold up the others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline import clock, ingest
from pipeline.consenting import asking
from pipeline.consenting.asking import Scope, Seen
from pipeline.errors import SourceRefused
from pipeline.home import Home
from pipeline.reader import Reader
from pipeline.register import Register, new_event
from pipeline.wecom import errcodes
from pipeline.wecom.client import Unreachable, Unresolved, open_client
from tests.firm import CORP, T0, home, message, page, run, values

NOW = T0 + 2 * clock.DAY_MS
TODAY = clock.beijing_day(NOW)
HOUR = 3_600_000
PAIR = Scope("zhangsan", "wmA", "")


@pytest.mark.parametrize(
    ("seen", "is_due"),
    [
        pytest.param({"last_day": TODAY}, True, id="never asked"),
        pytest.param({"last_day": TODAY, "asked_ms": NOW - 25 * HOUR}, True, id="chats, asked yesterday"),
        pytest.param({"last_day": TODAY, "asked_ms": NOW - 23 * HOUR}, False, id="chats, asked today"),
        pytest.param({"last_day": TODAY - 10, "asked_ms": NOW - 25 * HOUR}, False, id="quiet for ten days, asked yesterday"),
        pytest.param({"last_day": TODAY - 10, "asked_ms": NOW - 169 * HOUR}, True, id="quiet for ten days, asked a week ago"),
        pytest.param({"last_day": TODAY - 10, "changed_ms": NOW - HOUR, "asked_ms": NOW - 25 * HOUR}, True, id="changed an hour ago"),
        pytest.param({"last_day": TODAY - 36, "asked_ms": NOW - 999 * HOUR}, False, id="silent for more than 35 days"),
        pytest.param({"waits": True, "asked_ms": NOW - 25 * HOUR}, True, id="its records wait"),
        pytest.param({}, True, id="only in the register, never asked"),
    ],
)
def test_what_is_due(seen: dict[str, Any], is_due: bool) -> None:
    assert (asking.due([Seen(scope=PAIR, **seen)], now_ms=NOW, hours=168, active_hours=24) == [PAIR]) is is_due


def test_never_asked_comes_first_then_asked_longest_ago() -> None:
    scopes = [Scope("a", "wm1", ""), Scope("a", "wm2", ""), Scope("a", "wm3", "")]
    seen = [Seen(scope=s, last_day=TODAY, asked_ms=at) for s, at in zip(scopes, [NOW - 30 * HOUR, None, NOW - 90 * HOUR], strict=True)]
    assert asking.due(seen, now_ms=NOW, hours=168, active_hours=24) == [scopes[1], scopes[2], scopes[0]]


def test_stale_is_what_chats_and_nobody_asked_about() -> None:
    seen = [Seen(scope=PAIR, last_day=TODAY), Seen(scope=Scope("a", "wm1", ""), last_day=TODAY, asked_ms=NOW - 13 * clock.DAY_MS), Seen(scope=Scope("a", "wm2", ""))]
    assert asking.stale(seen, now_ms=NOW, days=14) == [PAIR]


@pytest.mark.slow
def test_a_status_that_nobody_knows_is_counted_once(tmp_path: Path) -> None:
    at = chatting(tmp_path, 3)
    wecom = Answering({"wm000": ("Disagree", T0 // 1000), "wm001": ("Maybe", T0 // 1000)})
    done = asking.sync(at, CORP, wecom)  # type: ignore[arg-type]  # the two calls are all that is asked
    assert (done.events, done.unknown) == (2, 1)
    assert asking.sync(at, CORP, wecom).unknown == 0  # type: ignore[arg-type]


def test_an_answer_without_a_time_that_says_what_holds_is_no_news() -> None:
    def answer(status: str, recorded: int) -> Any:
        return new_event(source="api", status=status, userid="zhangsan", external_userid="wmA", changed_at_ms=None, recorded_at_ms=recorded)

    register = Register.of([answer("Default_Agree", T0)], version=1)
    assert asking.news(register, [answer("Default_Agree", T0 + 1)]) == []
    assert [e.status for e in asking.news(register, [answer("Disagree", T0 + 1), answer("Maybe", T0 + 2)])] == ["Disagree", "Maybe"]


class Answering:
    """WeCom's side of the two calls, by script: statuses by external id; ids it refuses; calls after which it is gone."""

    def __init__(self, statuses: dict[str, tuple[str, int]], *, refuses: frozenset[str] = frozenset(), gone_after: int = 10**9, secret_wrong: bool = False) -> None:
        self.statuses, self.refuses, self.gone_after, self.secret_wrong = statuses, refuses, gone_after, secret_wrong
        self.asked: list[int] = []

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        if len(self.asked) >= self.gone_after:
            raise SourceRefused("SECRET", "no") if self.secret_wrong else Unreachable("WECOM_UNREACHABLE", "no answer")
        if "roomid" in body:
            self.asked.append(1)
            return {"agreeinfo": [{"exteranalopenid": w, "agree_status": s, "status_change_time": at} for w, (s, at) in self.statuses.items()]}
        pairs = body["info"]
        assert len(pairs) <= 100
        self.asked.append(len(pairs))
        if self.refuses & {p["exteranalopenid"] for p in pairs}:
            raise Unresolved(errcodes.server(84061))
        found = [(p, self.statuses[p["exteranalopenid"]]) for p in pairs if p["exteranalopenid"] in self.statuses]
        return {"agreeinfo": [{**p, "agree_status": s, "status_change_time": at} for p, (s, at) in found]}


def chatting(folder: Path, customers: int, *, room: bool = False) -> Home:
    """Customers w000, w001, … who chatted with zhangsan today, and a room."""
    at = home(folder)
    now = clock.now_ms()
    messages = {n + 1: message(n, to=[f"wm{n:03}"], at_ms=now) for n in range(customers)}
    if room:
        messages[9000] = message(9000, sender="wm000", to=["zhangsan"], room="wr1", at_ms=now)
    run(at, page(folder, "a.json", messages))
    return at


@pytest.mark.slow
def test_pairs_are_asked_by_the_hundred_and_what_came_is_stored(tmp_path: Path) -> None:
    at = chatting(tmp_path, 205, room=True)
    wecom = Answering({"wm000": ("Disagree", T0 // 1000), "wm007": ("Agree", T0 // 1000)}, refuses=frozenset({"wm150"}))
    done = asking.sync(at, CORP, wecom)  # type: ignore[arg-type]  # the two calls are all that is asked
    assert (done.pairs, done.rooms, done.failed, done.left, done.stale, done.cut) == (204, 1, 1, 0, 0, "")
    assert sorted(values(at, "select external_userid, status, source, precision from consent where room_id is null")) == [
        ("wm000", "Disagree", "api", "s"), ("wm007", "Agree", "api", "s"),
    ]  # fmt: skip
    assert max(wecom.asked) == 100
    again = asking.sync(at, CORP, wecom)  # type: ignore[arg-type]
    assert (again.pairs, again.rooms, again.events) == (0, 0, 0)
    lake = at.lake(CORP)
    asks = lake.read("consent_asks", lake.snapshot().of("consent_asks")).to_pylist()
    assert [a["code"] for a in asks if a["external_userid"] == "wm150"] == ["84061"]


@pytest.mark.slow
@pytest.mark.parametrize("secret_wrong", [False, True], ids=["network", "secret"])
def test_a_sync_that_is_cut_off_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, secret_wrong: bool) -> None:
    monkeypatch.setattr(asking, "PAIRS", 10)
    monkeypatch.setattr(asking, "CALLS_A_COMMIT", 2)
    at = chatting(tmp_path, 45)
    everybody = {f"wm{n:03}": ("Agree", T0 // 1000) for n in range(45)}
    cut = Answering(everybody, gone_after=3, secret_wrong=secret_wrong)
    if secret_wrong:
        with pytest.raises(SourceRefused):
            asking.sync(at, CORP, cut)  # type: ignore[arg-type]
    else:
        assert asking.sync(at, CORP, cut).cut == "WECOM_UNREACHABLE"  # type: ignore[arg-type]
    assert values(at, "select count(*) from consent") == [30]
    rest = Answering(everybody)
    assert asking.sync(at, CORP, rest).pairs == 15  # type: ignore[arg-type]
    assert values(at, "select count(*) from consent") == [45]


@pytest.mark.slow
def test_scopes_of_records_that_wait_are_asked_about_too(tmp_path: Path) -> None:
    at = home(tmp_path, settings={"consent.default": "pending"})
    from pipeline.directory import Entry
    from pipeline.lakerows import people_table

    ingest.append(at, CORP, [("people", people_table([Entry(userid="zhangsan", kind="employee")]))], what="people")
    run(at, page(tmp_path, "a.json", {1: message(1), 2: message(2, sender="wmB", to=["zhangsan"])}))
    assert values(at, "select count(*) from pending") == [2]
    wecom = Answering({"wmA": ("Agree", T0 // 1000 - 5)})
    assert asking.sync(at, CORP, wecom).pairs == 2  # type: ignore[arg-type]
    from pipeline.consenting import reconcile

    assert reconcile.run(at, CORP).pending_archived == 1
    assert values(at, "select msgid, consent_source from messages") == [("m1", "api:agree")]


@pytest.mark.slow
def test_against_the_double_every_scope_that_chats_is_asked(tmp_path: Path) -> None:
    from tests.simulate.doubles import double, served
    from tests.simulate.homes import home_of, pull

    with served(double(tmp_path / "double")) as asker:
        at = home_of(asker, tmp_path)
        corp = at.config.corp[0].id
        pull(at, asker, asker.source())
        ingest.run(at, corp, workers=1)
        with open_client(at, corp) as client:
            done = asking.sync(at, corp, client)
        assert done.cut == "" and done.left == 0 and done.pairs > 0 and done.rooms > 0
        with Reader(at, corp) as reader:
            (asked,) = reader.rows("select count(*) as n from consent where source = 'api'")
        assert asked["n"] > 0
