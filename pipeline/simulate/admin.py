"""`/_admin`: faults and happenings on demand. Bodies are JSON objects; an unknown field is refused, so that a typing error shows.

Before: simulator.py, routes.py. After: server.py. docs/simulate.md has the table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import msgspec

from pipeline.simulate.corp import Agreement, Campaign, Handover, Scope
from pipeline.simulate.exchange import Answer, Refused, Request, answered
from pipeline.simulate.faults import Fault
from pipeline.simulate.growth import Said
from pipeline.simulate.routes import Routes
from pipeline.simulate.simulator import Simulator

ROOT = "/_admin/"
MAX_GROWTH = 1_000_000
Fields = dict[str, Any]


class Nothing(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """An empty body; base of the others."""


class Clock(Nothing, kw_only=True, forbid_unknown_fields=True):
    """advance_s: let time pass; skew_s: what answers say the time is, beyond it."""

    advance_s: float = 0
    skew_s: float | None = None


class Grow(Nothing, kw_only=True, forbid_unknown_fields=True):
    """messages: how many; over_s: spread over this time to come; fault: a failure code, or POISON."""

    messages: int = 1
    over_s: float = 0
    fault: str = ""


class Consent(Nothing, kw_only=True, forbid_unknown_fields=True):
    """A decision now; quietly: no record and no event tell of it. at (seconds): the calls say that it has been so since then, nothing else does."""

    external_userid: str
    userid: str = ""
    roomid: str = ""
    status: Literal["Agree", "Disagree", "Default_Agree"]
    quietly: bool = False
    at: int | None = None


class People(Nothing, kw_only=True, forbid_unknown_fields=True):
    """left: the employee leaves; changes: fields of the employee."""

    userid: str
    left: bool = False
    changes: Fields = {}


class Seats(Nothing, kw_only=True, forbid_unknown_fields=True):
    """Who loses or gets seats. editions: 1 office, 2 service, 3 enterprise."""

    remove: list[str] = []
    add: list[str] = []
    editions: tuple[int, ...] = (1, 2, 3)


class Follows(Nothing, kw_only=True, forbid_unknown_fields=True):
    """ended_by: the contact ends; changes: what the employee wrote about the customer."""

    userid: str
    external_userid: str
    ended_by: Literal["", "customer", "employee"] = ""
    changes: Fields = {}


class Rooms(Nothing, kw_only=True, forbid_unknown_fields=True):
    """A change of a room."""

    roomid: str
    add: list[str] = []
    remove: list[str] = []
    name: str = ""
    owner: str = ""


class TokensEnd(Nothing, kw_only=True, forbid_unknown_fields=True):
    """forget: they are unknown (40014) instead of ended (42001)."""

    forget: bool = False


class Window(Nothing, kw_only=True, forbid_unknown_fields=True):
    """How long records can be fetched."""

    days: float


class Events(Nothing, kw_only=True, forbid_unknown_fields=True):
    """verify: check the URL; xml: send this event as it is, at_s: under a signature of that second."""

    verify: bool = False
    event: str = "custom"
    xml: str = ""
    at_s: int | None = None
    wait_s: float = 0


def answer(double: Simulator, routes: Routes, request: Request) -> Answer:
    """Do what is asked and tell how things stand; 400 with the reason for a body that is not as expected."""
    what = (request.method, request.path.removeprefix(ROOT))
    try:
        if what == ("GET", "state"):
            return answered(state(double, routes))
        if what == ("GET", "faults"):
            return answered({"waiting": [msgspec.to_builtins(f) for f in double.faults.waiting], "done": double.faults.done})
        if what == ("DELETE", "faults"):
            with double.lock:
                double.faults.clear()
            return answered()
        act = ACTS.get(what[1]) if request.method == "POST" else None
        if act is None:
            return Answer(status=404, body=b"no such thing")
        kind, done = act
        return answered(done(double, msgspec.json.decode(request.body or b"{}", type=kind)))
    except (msgspec.DecodeError, msgspec.ValidationError, ValueError, KeyError) as error:
        return Answer(status=400, body=msgspec.json.encode({"expected": str(error)}))
    except Refused as no:
        return Answer(status=400, body=msgspec.json.encode({"errcode": no.errcode}))


def state(double: Simulator, routes: Routes) -> Fields:
    """Return how the double stands: where its secrets and keys are, its clock, its sequence, what was asked of it."""
    now = double.clock.now()
    with double.lock:
        inside = double.stream.first_inside(now)
        return {
            "demo": True, "corp_id": double.corp.corp_id, "folder": str(double.setting.folder), "seed": double.setting.seed,
            "clock_ms": now, "skew_ms": double.clock.skew_ms, "window_ms": double.stream.window_ms, "records": len(double.stream),
            "expired": inside, "last_seq": double.stream.last_seq, "files": len(double.vault), "key_version": double.newest_key,
            "asked": dict(routes.asked), "pages": double.chat.pages, "ranges": double.chat.ranges, "faults_waiting": len(double.faults.waiting),
            "callbacks": [msgspec.to_builtins(t) for t in double.sender.told] if double.sender else [],
        }  # fmt: skip


def _fault(double: Simulator, body: Fault) -> Fields:
    with double.lock:
        double.faults.add(body)
    return {"waiting": len(double.faults.waiting)}


def _clock(double: Simulator, body: Clock) -> Fields:
    with double.lock:
        double.clock.advance(int(body.advance_s * 1000))
        if body.skew_s is not None:
            double.clock.skew_ms = int(body.skew_s * 1000)
    return {"clock_ms": double.clock.now()}


def _grow(double: Simulator, body: Grow) -> Fields:
    if not 1 <= body.messages <= MAX_GROWTH:
        raise ValueError(f"1 to {MAX_GROWTH} messages")
    seqs = double.grow(body.messages, over_ms=int(body.over_s * 1000), fault=body.fault)
    return {"seqs": [seqs[0], seqs[-1]] if seqs else [], "records": len(seqs)}


def _say(double: Simulator, body: Said) -> Fields:
    return {"seq": double.say(body)}


def _consent(double: Simulator, body: Consent) -> Fields:
    scope = Scope(body.external_userid, body.userid.lower(), body.roomid)
    if body.at is None and body.status != "Default_Agree":
        double.decide(scope, body.status, quietly=body.quietly)
        return {}
    with double.lock:
        double.corp.agreements[scope] = Agreement(body.status, double.second if body.at is None else body.at)
    return {}


def _people(double: Simulator, body: People) -> Fields:
    if body.left:
        double.leave(body.userid)
    else:
        double.change_member(body.userid, body.changes)
    return {}


def _seats(double: Simulator, body: Seats) -> Fields:
    for userid in body.remove:
        double.unseat(userid)
    for userid in body.add:
        double.seat(userid, body.editions)
    return {}


def _follows(double: Simulator, body: Follows) -> Fields:
    if body.ended_by:
        double.unfollow(body.userid, body.external_userid, by_customer=body.ended_by == "customer")
    else:
        double.change_follow(body.userid, body.external_userid, body.changes)
    return {}


def _rooms(double: Simulator, body: Rooms) -> Fields:
    double.change_room(body.roomid, add=body.add, remove=body.remove, name=body.name, owner=body.owner)
    return {}


def _handover(double: Simulator, body: Handover) -> Fields:
    with double.lock:
        double.corp.handovers.append(body)
    return {}


def _campaign(double: Simulator, body: Campaign) -> Fields:
    with double.lock:
        double.corp.campaigns.append(body)
    return {}


def _rotate(double: Simulator, body: Nothing) -> Fields:
    version, path = double.rotate()
    return {"key_version": version, "private_key": str(path)}


def _tokens(double: Simulator, body: TokensEnd) -> Fields:
    with double.lock:
        double.tokens.expire(forget=body.forget)
    return {}


def _window(double: Simulator, body: Window) -> Fields:
    with double.lock:
        double.stream.window_ms = int(body.days * 86_400_000)
    return {}


def _events(double: Simulator, body: Events) -> Fields:
    sender = double.sender
    if sender is None:
        raise ValueError("a callback URL (--callback)")
    if body.verify:
        return {"verified": sender.verify()}
    if body.xml:
        sender.send(body.event, body.xml.encode(), at_s=body.at_s)
    return {"idle": sender.wait(body.wait_s) if body.wait_s else None}


ACTS: Mapping[str, tuple[Any, Callable[[Simulator, Any], Fields]]] = {
    "faults": (Fault, _fault), "clock": (Clock, _clock), "grow": (Grow, _grow), "say": (Said, _say), "consent": (Consent, _consent),
    "people": (People, _people), "seats": (Seats, _seats), "follows": (Follows, _follows), "rooms": (Rooms, _rooms),
    "handovers": (Handover, _handover), "campaigns": (Campaign, _campaign), "keys": (Nothing, _rotate), "tokens": (TokensEnd, _tokens),
    "window": (Window, _window), "callbacks": (Events, _events),
}  # fmt: skip
