"""Requests and approvals in the home, sealed and write-once; `two_persons`, which whatever needs a second person calls.

Before: request.py, keyring.py, custody.py. After: the command `approve`, and whatever needs two persons.

    approvals/<corp>/<id>.request      what is asked
    approvals/<corp>/<id>.said-<n>     what one person said; n from the person's name, so that everybody says one thing
    approvals/<corp>/<id>.used         who used it; its name can be given once, which is what makes it good for one use
Each file is sealed under the key `approvals`, bound to its own name: moved, copied or changed it does not open.
The use stands in the custody log too: a marker that somebody removes does not make the approval good again.
"""

from __future__ import annotations

import hashlib
import os
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from pipeline import clock, durable
from pipeline.approvals.request import Decision, Request, Said, State, counts, state, to_sign
from pipeline.errors import ArchiveError, NotAllowed, StorageError, UsageError
from pipeline.home import Home
from pipeline.roles import acting, actors
from pipeline.roles.table import holders

UNIT = "approvals"
HOUR_MS = 3_600_000
USED = "approval use"  # what the custody log calls it
T = TypeVar("T")


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """A request, what was said to it, and how it stands."""

    request: Request
    said: tuple[Said, ...]
    state: State


class Unreadable(msgspec.Struct, frozen=True):
    """A request whose own file cannot be read: its id is all that is known of it."""

    id: str


def two_persons(
    home: Home, corp_id: str, *, action: str, params: Mapping[str, Any], counts: Mapping[str, int], reason: str = "", approval: str = "", always: bool = False,
    spend_now: bool = True,
) -> Standing | None:  # fmt: skip
    """Return the approval to act on, used up by this call; None where a home in single mode needs none (always: it does, of the owner).
    spend_now: False for work that is written down first, so that a killed one is finished under the same approval; it calls `spend`.

    Without an approval the request is made and NotAllowed APPROVAL_NEEDED names it. Raises NotAllowed APPROVAL_WAITING, APPROVAL_DIFFERS,
    APPROVAL_REFUSED, APPROVAL_EXPIRED, APPROVAL_USED, UsageError APPROVAL_UNKNOWN."""
    if acting.current(home.path).mode != "roles" and not always:
        return None
    if not approval:
        made = ask(home, corp_id, action=action, params=params, counts=counts, reason=reason)
        raise NotAllowed("APPROVAL_NEEDED", f"this needs two persons: request {made.id} waits for the second one", remedy=_how(made))
    found = approved(home, corp_id, approval, action=action, params=params, counts=counts)
    if spend_now:
        spend(home, corp_id, found)
    return found


def _how(made: Request) -> str:
    if made.mode == "single":
        return f"its owner runs `liuhen approve {made.id}`, then the same command is run again with --approval {made.id}"
    who = " or ".join(holders("approve"))
    return f"another person with the role {who} runs `liuhen approve {made.id}`, then the same command is run again with --approval {made.id}"


def ask(home: Home, corp_id: str, *, action: str, params: Mapping[str, Any], counts: Mapping[str, int], reason: str) -> Request:
    """Write down what somebody wants to do, durably."""
    access, now = acting.current(home.path), clock.now_ms()
    request = Request(
        corp=corp_id, action=action, params=dict(params), counts=dict(counts), reason=reason, by=access.actor, role=access.role, mode=access.mode, at_ms=now,
        expires_ms=now + home.config.approvals.hours * HOUR_MS,
    )  # fmt: skip
    _write(home, corp_id, f"{request.id}.request", request)
    _record(home, request, "request", {"params": dict(params), "counts": dict(counts), "reason": reason})
    return request


def say(home: Home, corp_id: str, request_id: str, decision: Decision, *, reason: str = "") -> Standing:
    """Approve or refuse, as whoever acts; raises NotAllowed APPROVAL_OWN, APPROVAL_OVER, and what `require` raises."""
    access = acting.require(home, "approve", asked=f"{decision} {request_id}")
    found = find(home, corp_id, request_id)
    if decision == "approve" and access.mode == "roles" and access.actor == found.request.by:
        raise NotAllowed("APPROVAL_OWN", "who asked cannot approve", remedy=f"another person with the role {' or '.join(holders('approve'))} can")
    if found.state not in ("waiting", "approved"):
        raise NotAllowed("APPROVAL_OVER", f"the request is {found.state}", remedy="ask again with the command it was about")
    now, token = clock.now_ms(), actors.given_token(home.path, os.environ)
    signature = b64encode(actors.sign(token, to_sign(found.request, decision, now))).decode() if token and access.mode == "roles" else ""
    said = Said(
        id=request_id, decision=decision, by=access.actor, role=access.role, mode=access.mode, reason=reason, at_ms=now, signature=signature,
    )  # fmt: skip
    if not _write(home, corp_id, f"{request_id}.said-{_number(access.actor)}", said):
        raise NotAllowed("APPROVAL_TWICE", "this person has said so already", remedy="`liuhen approve list` shows what was said")
    _record(home, found.request, decision, {"reason": reason})
    return find(home, corp_id, request_id)


def approved(home: Home, corp_id: str, request_id: str, *, action: str, params: Mapping[str, Any], counts: Mapping[str, int]) -> Standing:
    """Return an approval that holds for exactly this; raises what `two_persons` raises."""
    found = find(home, corp_id, request_id)
    if not found.request.about(action, params, counts):
        message = "what would be done now is not what was approved: parameters or counts differ"
        raise NotAllowed("APPROVAL_DIFFERS", message, remedy="run the command without --approval: it asks anew, with the counts of now")
    if found.state != "approved":
        raise NotAllowed(f"APPROVAL_{found.state.upper()}", f"the request is {found.state}", remedy=_how(found.request) if found.state == "waiting" else "ask again")
    return found


def spend(home: Home, corp_id: str, found: Standing, *, again: bool = False) -> None:
    """Use an approval up; raises NotAllowed APPROVAL_USED when somebody was first (again: unless it is the same work going on)."""
    if not _write(home, corp_id, f"{found.request.id}.used", {"by": acting.current(home.path).actor, "at_ms": clock.now_ms()}):
        if not again:
            raise NotAllowed("APPROVAL_USED", "the request is used", remedy="ask again")
        return
    _record(home, found.request, "use", {"approved_by": [s.by for s in found.said if s.decision == "approve"]})


def find(home: Home, corp_id: str, request_id: str) -> Standing:
    """Return one request and how it stands; raises UsageError APPROVAL_UNKNOWN."""
    if not request_id.isalnum() or not (_folder(home, corp_id) / f"{request_id}.request").exists():
        raise _unknown()
    return _standing(home, corp_id, request_id, _used(home))


def _unknown() -> UsageError:
    return UsageError("APPROVAL_UNKNOWN", "there is no such request", remedy="`liuhen approve list` shows them")


def all_of(home: Home, corp_id: str) -> list[Standing]:
    """Return every request that can be read, newest first; `unreadable` names the others."""
    used = _used(home)
    found = [_standing(home, corp_id, path.stem, used) for path in _folder(home, corp_id).glob("*.request") if _maybe(home, corp_id, path.name, Request) is not None]
    return sorted(found, key=lambda s: (-s.request.at_ms, s.request.id))


def unreadable(home: Home, corp_id: str) -> list[Unreadable]:
    """Return the requests whose own file is damaged."""
    return [Unreadable(p.stem) for p in sorted(_folder(home, corp_id).glob("*.request")) if _maybe(home, corp_id, p.name, Request) is None]


def shown(home: Home, corp_id: str) -> list[Standing]:
    """Return the requests that whoever acts may see, newest first: who is bound to departments and approves nothing sees his own alone."""
    access = acting.current(home.path)
    own = access.person is not None and bool(access.person.departments) and not access.may("approve")
    return [s for s in all_of(home, corp_id) if not own or s.request.by == access.actor]


def shown_unreadable(home: Home, corp_id: str) -> list[Unreadable]:
    """Return the damaged requests that whoever acts may see: whose they are is not known, so not who sees his own alone."""
    access = acting.current(home.path)
    own = access.person is not None and bool(access.person.departments) and not access.may("approve")
    return [] if own else unreadable(home, corp_id)


def shown_one(home: Home, corp_id: str, request_id: str) -> Standing:
    """Return one of them; raises UsageError APPROVAL_UNKNOWN."""
    find(home, corp_id, request_id)
    if (found := next((s for s in shown(home, corp_id) if s.request.id == request_id), None)) is None:
        raise _unknown()
    return found


def _standing(home: Home, corp_id: str, request_id: str, used_before: frozenset[str]) -> Standing:
    folder = _folder(home, corp_id)
    request = _read(home, corp_id, f"{request_id}.request", Request)
    read = [_maybe(home, corp_id, p.name, Said) for p in folder.glob(f"{request_id}.said-*")]
    said = sorted((s for s in read if s is not None), key=lambda s: (s.at_ms, s.by))
    known, used = actors.read(home.path), request_id in used_before or (folder / f"{request_id}.used").exists()
    stands = state(request, said, known, used=used, now_ms=clock.now_ms(), damaged=len(said) < len(read))
    return Standing(request=request, said=tuple(s for s in said if counts(request, s, known)), state=stands)


def _used(home: Home) -> frozenset[str]:
    """Return the requests that the custody log says were used."""
    return frozenset(e.result for e in home.custody.entries() if e.command == USED)


def _number(actor: str) -> str:
    return hashlib.sha256(actor.encode()).hexdigest()[:16]


def _folder(home: Home, corp_id: str) -> Path:
    return home.path / "approvals" / corp_id


def _write(home: Home, corp_id: str, name: str, value: object) -> bool:
    durable.make_folder(_folder(home, corp_id))
    box = home.keyring.seal(UNIT, msgspec.json.encode(value), context=f"approvals/{corp_id}/{name}".encode())
    return durable.write_once(_folder(home, corp_id) / name, box)


def _read(home: Home, corp_id: str, name: str, kind: type[T]) -> T:
    with durable.storage("reading an approval"):
        box = (_folder(home, corp_id) / name).read_bytes()
    return msgspec.json.decode(home.keyring.open(box, context=f"approvals/{corp_id}/{name}".encode()), type=kind)


def _maybe(home: Home, corp_id: str, name: str, kind: type[T]) -> T | None:
    """Return what a file says, None for one that was cut, changed or is another's; raises StorageError where the disk does not answer."""
    try:
        return _read(home, corp_id, name, kind)
    except (ArchiveError, msgspec.DecodeError, ValueError) as error:
        if isinstance(error, StorageError):
            raise
        return None


def _record(home: Home, request: Request, step: str, more: Mapping[str, Any]) -> None:
    home.custody.append(command=f"approval {step}", phase="end", params={"corp": request.corp, "request": request.id, "action": request.action, **more}, result=request.id)
