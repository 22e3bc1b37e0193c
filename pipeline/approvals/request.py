"""What waits for a second person, what was said to it, and whether that suffices. Plain values; no I/O.

Before: roles/actors.py. After: store.py.

Rules:
 (1) A request is bound to corp, action, parameters and counts by the SHA-256 of their canonical JSON (keys sorted, no white space, UTF-8),
     with who asked, why, and until when. Whoever does it later must ask for the same, to the last count.
 (2) One approval of another person than the one who asked makes two persons. Who asked cannot approve. In `single` mode the owner takes
     both steps; such an approval counts only while the home is in that mode.
 (3) One refusal ends it. An approval counts while the person who gave it still may approve.
 (4) Who has a token signs with it (Ed25519 over the digest and the decision): nobody else can, not even who can read every key of the home.
     Who has only an account is vouched for by the seal of the home.
 (5) It expires, and is used once.
 (6) Where something that was said cannot be read it holds for nothing (`damaged`): it may have been a refusal. It is asked anew.
"""

from __future__ import annotations

import hashlib
from base64 import b64decode
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import msgspec

from pipeline.roles import actors
from pipeline.roles.actors import Actors
from pipeline.roles.table import granting

Decision = Literal["approve", "refuse"]
State = Literal["waiting", "approved", "refused", "expired", "used", "damaged"]
LABEL = b"liuhen-approval-v1\0"


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody wants to do. params, counts: plain JSON; times in ms, UTC."""

    v: int = 1
    corp: str
    action: str
    params: dict[str, Any]
    counts: dict[str, int]
    reason: str
    by: str
    role: str
    mode: str
    at_ms: int
    expires_ms: int

    @property
    def digest(self) -> bytes:
        """SHA-256 of its canonical JSON (rule 1)."""
        return hashlib.sha256(canonical(msgspec.to_builtins(self))).digest()

    @property
    def id(self) -> str:
        """What people call it."""
        return f"a{self.digest.hex()[:10]}"

    def about(self, action: str, params: Mapping[str, Any], counts: Mapping[str, int]) -> bool:
        """Whether it was asked for exactly this."""
        return canonical([self.action, self.params, self.counts]) == canonical([action, dict(params), dict(counts)])


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """What one person said to it. signature: base64, empty for whoever has no token."""

    id: str
    decision: Decision
    by: str
    role: str
    mode: str
    reason: str
    at_ms: int
    signature: str = ""


def canonical(value: Any) -> bytes:
    """Return the one way a value is written as JSON."""
    return msgspec.json.encode(value, order="deterministic")


def to_sign(request: Request, decision: Decision, at_ms: int) -> bytes:
    """Return the bytes that a person signs."""
    return LABEL + request.digest + canonical([decision, at_ms])


def state(request: Request, said: Iterable[Said], known: Actors | None, *, used: bool, now_ms: int, damaged: bool = False) -> State:
    """Return how a request stands (rules 2 to 6). known: the people of the home, None in single mode; damaged: something said cannot be read."""
    counting = [s for s in said if counts(request, s, known)]
    if used:
        return "used"
    if damaged:
        return "damaged"
    if any(s.decision == "refuse" for s in counting):
        return "refused"
    if now_ms >= request.expires_ms:
        return "expired"
    return "approved" if any(s.decision == "approve" for s in counting) else "waiting"


def counts(request: Request, said: Said, known: Actors | None) -> bool:
    """Whether what a person said counts for this request (rules 2 to 4)."""
    if known is None:
        return said.mode == "single" and request.mode == "single"
    person = actors.named(known, said.by)
    if person is None or said.mode != "roles" or request.mode != "roles" or granting(person.roles, "approve") is None:
        return False
    if said.decision == "approve" and said.by == request.by:
        return False
    return not person.token or actors.signed(person.token, b64decode(said.signature), to_sign(request, said.decision, said.at_ms))
