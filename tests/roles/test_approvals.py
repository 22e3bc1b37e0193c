"""A second person's approval: bound to what was asked, to the last count; signed; for one use; never one's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from pipeline import clock
from pipeline.approvals import store
from pipeline.approvals.request import Decision, Request, Said, state, to_sign
from pipeline.errors import NotAllowed, UsageError, VerifyFailed
from pipeline.home import Home
from pipeline.roles import actors
from tests import firm
from tests.cli.inside import Answer
from tests.firm import CORP
from tests.roles import homes

HOUR = 3_600_000
WHAT = {"action": "erase", "params": {"customer": "wmA"}, "counts": {"messages": 3}}
As = Callable[[str], None]


@pytest.fixture
def at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Home, As]:
    """A home with people, and what makes the next calls somebody's."""
    home = firm.home(tmp_path)
    tokens = homes.people(home)
    return home, lambda who: monkeypatch.setenv("LIUHEN_TOKEN", tokens[who])


def asked(home: Home) -> str:
    return store.ask(home, CORP, **WHAT, reason="request 7").id  # type: ignore[arg-type]  # WHAT is one of each


def use(home: Home, request: str, **other: object) -> None:
    store.two_persons(home, CORP, **{**WHAT, **other}, approval=request, always=True)  # type: ignore[arg-type]


def refused(code: str, call: Callable[[], object]) -> None:
    with pytest.raises((NotAllowed, UsageError)) as error:
        call()
    assert error.value.code == code


def approved(home: Home, who: As) -> str:
    """A request that somebody made and a second person approved, who still acts."""
    who("privacy")
    request = asked(home)
    who("second")
    store.say(home, CORP, request, "approve")
    return request


def test_two_persons_do_it_once_and_custody_tells_all_of_it(at: tuple[Home, As]) -> None:
    home, who = at
    who("privacy")
    with pytest.raises(NotAllowed, match="needs two persons") as needed:
        store.two_persons(home, CORP, **WHAT, reason="request 7")  # type: ignore[arg-type]
    assert needed.value.code == "APPROVAL_NEEDED" and needed.value.exit_code == 8
    (waits,) = store.all_of(home, CORP)
    request = waits.request.id
    assert waits.state == "waiting" and request in needed.value.remedy
    refused("APPROVAL_OWN", lambda: store.say(home, CORP, request, "approve"))
    refused("APPROVAL_WAITING", lambda: use(home, request))
    who("second")
    assert store.say(home, CORP, request, "approve").state == "approved"
    refused("APPROVAL_TWICE", lambda: store.say(home, CORP, request, "refuse"))
    who("privacy")
    refused("APPROVAL_DIFFERS", lambda: use(home, request, counts={"messages": 4}))
    refused("APPROVAL_DIFFERS", lambda: use(home, request, params={"customer": "wmB"}))
    refused("APPROVAL_DIFFERS", lambda: use(home, request, action="export"))
    use(home, request)
    refused("APPROVAL_USED", lambda: use(home, request))
    steps = [(e.command, e.result) for e in home.custody.entries() if e.command.startswith("approval")]
    assert steps == [("approval request", request), ("approval approve", request), ("approval use", request)]


@pytest.mark.parametrize("who_else", ["operator", "admin", "auditor", "shanghai", "reviewer"])
def test_only_who_may_approve_can(at: tuple[Home, As], who_else: str) -> None:
    home, who = at
    who("privacy")
    request = asked(home)
    who(who_else)
    refused("NOT_ALLOWED", lambda: store.say(home, CORP, request, "approve"))


def test_one_refusal_ends_it(at: tuple[Home, As]) -> None:
    home, who = at
    request = approved(home, who)
    who("legal")
    assert store.say(home, CORP, request, "refuse", reason="too many").state == "refused"
    refused("APPROVAL_REFUSED", lambda: use(home, request))


def test_an_approval_ends_with_its_time(at: tuple[Home, As], monkeypatch: pytest.MonkeyPatch) -> None:
    home, who = at
    request = approved(home, who)
    now = clock.now_ms()
    monkeypatch.setattr(clock, "now_ms", lambda: now + 72 * HOUR - 60_000)
    assert store.find(home, CORP, request).state == "approved"
    monkeypatch.setattr(clock, "now_ms", lambda: now + 72 * HOUR)
    refused("APPROVAL_EXPIRED", lambda: use(home, request))


def test_an_approval_of_somebody_who_may_no_longer_approve_does_not_count(at: tuple[Home, As]) -> None:
    home, who = at
    request = approved(home, who)
    kept = home.path / "actors.toml"
    kept.write_text(kept.read_text().replace('roles = ["approver"]', 'roles = ["operator"]'))
    assert store.find(home, CORP, request).state == "waiting"


def test_whoever_can_seal_in_the_home_still_cannot_sign_for_another(at: tuple[Home, As]) -> None:
    home, who = at
    who("privacy")
    request = asked(home)
    forged = Said(id=request, decision="approve", by="second", role="approver", mode="roles", reason="", at_ms=clock.now_ms())
    store._write(home, CORP, f"{request}.said-{store._number('second')}", forged)
    assert store.find(home, CORP, request).state == "waiting"


def test_a_file_that_was_changed_or_renamed_does_not_open(at: tuple[Home, As]) -> None:
    home, who = at
    who("privacy")
    request = asked(home)
    folder = home.path / "approvals" / CORP
    (folder / f"{request}.request").rename(folder / "aother00000.request")
    with pytest.raises(VerifyFailed) as error:
        store.find(home, CORP, "aother00000")
    assert error.value.code == "BOX_DAMAGED"
    refused("APPROVAL_UNKNOWN", lambda: store.find(home, CORP, request))
    refused("APPROVAL_UNKNOWN", lambda: store.find(home, CORP, "../keys/x"))


@pytest.mark.parametrize("decision", ["approve", "refuse"])
@pytest.mark.parametrize("left", [0, 3, 40], ids=lambda n: f"{n} bytes left")
def test_an_answer_that_cannot_be_read_holds_for_nothing_and_stops_no_list(at: tuple[Home, As], decision: Decision, left: int) -> None:
    home, who = at
    who("privacy")
    request, other = asked(home), store.ask(home, CORP, action="erase", params={"customer": "wmB"}, counts={}, reason="8").id
    who("second")
    store.say(home, CORP, request, "approve")
    who("legal")
    store.say(home, CORP, request, decision, reason="looked at it")
    cut = home.path / "approvals" / CORP / f"{request}.said-{store._number('legal')}"
    cut.chmod(0o600)
    cut.write_bytes(cut.read_bytes()[:left])
    assert {s.request.id: s.state for s in store.all_of(home, CORP)} == {request: "damaged", other: "waiting"}
    refused("APPROVAL_DAMAGED", lambda: use(home, request))
    refused("APPROVAL_OVER", lambda: store.say(home, CORP, request, "approve"))


def test_a_request_that_cannot_be_read_is_listed_by_its_id(at: tuple[Home, As]) -> None:
    home, who = at
    who("privacy")
    request, other = asked(home), store.ask(home, CORP, action="erase", params={"customer": "wmB"}, counts={}, reason="8").id
    file = home.path / "approvals" / CORP / f"{request}.request"
    file.chmod(0o600)
    file.write_bytes(file.read_bytes()[:-1])
    assert [s.request.id for s in store.shown(home, CORP)] == [other]
    assert [u.id for u in store.shown_unreadable(home, CORP)] == [request]
    listed = Answer(home, "approve", "list")
    assert listed.code == 0 and {(r["request"], r["action"]) for r in listed.rows} == {(request, None), (other, "erase")}
    who("shanghai")
    assert store.shown_unreadable(home, CORP) == []


def test_a_use_whose_marker_was_removed_stays_a_use(at: tuple[Home, As]) -> None:
    home, who = at
    request = approved(home, who)
    who("privacy")
    use(home, request)
    (home.path / "approvals" / CORP / f"{request}.used").unlink()
    assert store.find(home, CORP, request).state == "used"
    refused("APPROVAL_USED", lambda: use(home, request))


def test_in_single_mode_the_owner_takes_both_steps_and_both_say_so(tmp_path: Path) -> None:
    home = firm.home(tmp_path)
    assert store.two_persons(home, CORP, **WHAT) is None  # type: ignore[arg-type]  # where it is not always needed
    refused("APPROVAL_NEEDED", lambda: store.two_persons(home, CORP, **WHAT, always=True))  # type: ignore[arg-type]
    (waits,) = store.all_of(home, CORP)
    store.say(home, CORP, waits.request.id, "approve")
    use(home, waits.request.id)
    told = [home.custody.params(e) for e in home.custody.entries() if e.command.startswith("approval")]
    assert len(told) == 3 and {t["mode"] for t in told} == {"single"}


def test_an_approval_of_the_owner_does_not_outlive_single_mode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = firm.home(tmp_path)
    request = asked(home)
    store.say(home, CORP, request, "approve")
    assert store.find(home, CORP, request).state == "approved"
    monkeypatch.setenv("LIUHEN_TOKEN", homes.people(home)["privacy"])
    assert store.find(home, CORP, request).state == "waiting"


def made(by: str = "privacy") -> Request:
    return Request(corp=CORP, action="erase", params={"b": 1, "a": [2]}, counts={"n": 1}, reason="", by=by, role="x", mode="roles", at_ms=0, expires_ms=10)


def test_the_digest_depends_on_every_field_and_on_no_order() -> None:
    others = {"corp": "x", "action": "y", "params": {}, "counts": {}, "reason": "z", "by": "q", "at_ms": 1, "expires_ms": 11}
    digests = {msgspec.structs.replace(made(), **{field: value}).digest for field, value in others.items()}
    assert len(digests | {made().digest}) == 9
    assert msgspec.structs.replace(made(), params={"a": [2], "b": 1}).digest == made().digest


@pytest.mark.parametrize(
    ("by", "signed_by", "now", "used", "expected"),
    [
        pytest.param("li", "li", 5, False, "approved", id="another person, signed"),
        pytest.param("li", "wang", 5, False, "waiting", id="signed by another"),
        pytest.param("privacy", "privacy", 5, False, "waiting", id="her own"),
        pytest.param("nobody", "nobody", 5, False, "waiting", id="somebody who is not in the file"),
        pytest.param("li", "li", 10, False, "expired", id="too late"),
        pytest.param("li", "li", 5, True, "used", id="used"),
    ],
)
def test_how_a_request_stands(by: str, signed_by: str, now: int, used: bool, expected: str) -> None:
    from base64 import b64encode

    known = actors.Actors(actor=tuple(actors.Actor(name=n, roles=("legal",), token=actors.public_of(n)) for n in ("li", "wang", "privacy")))
    signature = b64encode(actors.sign(signed_by, to_sign(made(), "approve", 1))).decode()
    said = Said(id=made().id, decision="approve", by=by, role="legal", mode="roles", reason="", at_ms=1, signature=signature)
    assert state(made(), [said], known, used=used, now_ms=now) == expected
