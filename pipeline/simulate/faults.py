"""What goes wrong on demand: a list of faults, each waiting for a call that it fits.

Before: exchange.py. After: routes.py, chat.py, server.py, admin.py.

Kinds:
 errcode      the answer is this errcode of the platform
 code         the vendor library's own return code: for the plain client always; for the real library what provokes the code (PROVOKED)
 status       this HTTP status
 slow         the answer waits for `seconds`
 cut          half the body under its full length; `silent`: half the body as if it were whole; `unanswered`: the connection just ends
 garbage      a body that is no JSON
 empty        errcode 0 and no records, whatever is there
 repeat       the page of the request before once more
 jump         the page begins `count` records further on
 far          the page's sequence numbers are 10^12 higher
 disorder     the page's records in reverse
 wrong_md5    one byte of the file is another one
 unopenable   the file's range is no sealed bytes
 connect      the proxy refuses to connect (call `connect`)
"""

from __future__ import annotations

from typing import Literal

import msgspec

from pipeline.simulate.exchange import Answer, Cut, refused

Kind = Literal[
    "errcode", "code", "status", "slow", "cut", "silent", "unanswered", "garbage", "empty", "repeat", "jump", "far", "disorder", "wrong_md5",
    "unopenable", "connect",
]  # fmt: skip
CODE_HEADER = "X-Simulated-Code"
# What makes the real library (v3.0) end a call with this code; found by trying (docs/simulate.md). The others it decides by itself.
PROVOKED: dict[int, tuple[Kind, int]] = {
    10001: ("unanswered", 0),
    10002: ("errcode", -1),
    10003: ("garbage", 0),
    10006: ("unopenable", 0),
    10009: ("errcode", 301042),
    10010: ("errcode", 301048),
}
_CUTS: dict[Kind, Cut] = {"cut": "stated", "silent": "silent", "unanswered": "unanswered"}


class Fault(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """call: the end of a path (`getchatdata`, `check_single_agree`), `connect`, or `*`. times: how often, 0 until cleared.
    after: how many fitting calls pass unharmed first."""

    call: str
    kind: Kind
    times: int = 1
    after: int = 0
    errcode: int = 0
    code: int = 0
    status: int = 500
    seconds: float = 0.0
    count: int = 1


class Faults:
    """The faults that wait. Not locked: whoever asks holds the double's lock."""

    def __init__(self) -> None:
        self.waiting: list[Fault] = []
        self.done = 0

    def add(self, fault: Fault) -> None:
        """Let one more wait, behind the others."""
        self.waiting.append(fault)

    def clear(self) -> None:
        """Forget all that wait."""
        self.waiting.clear()

    def take(self, path: str) -> Fault | None:
        """Return the first fault that fits this call, used up by one; None when there is none."""
        for fault in self.waiting:
            if fault.call != "*" and not f"/{path}".endswith(f"/{fault.call}"):
                continue
            if fault.after:
                fault.after -= 1
                continue
            if fault.times == 1:
                self.waiting.remove(fault)
            fault.times = max(fault.times - 1, 0)
            self.done += 1
            return fault
        return None


def spoilt(fault: Fault, answer: Answer) -> Answer:
    """Return the answer with a fault in it that needs no knowledge of the call; others are left as they are."""
    match fault.kind:
        case "errcode":
            return refused(fault.errcode)
        case "status":
            return msgspec.structs.replace(answer, status=fault.status, body=b"simulated")
        case "slow":
            return msgspec.structs.replace(answer, delay_s=fault.seconds)
        case "cut" | "silent" | "unanswered":
            return msgspec.structs.replace(answer, cut=_CUTS[fault.kind])
        case "garbage":
            return msgspec.structs.replace(answer, body=b"<html>simulated</html>")
        case "code":
            return _coded(fault, answer)
    return answer


def _coded(fault: Fault, answer: Answer) -> Answer:
    kind, errcode = PROVOKED.get(fault.code, ("errcode", -1))
    spoiled = answer if kind == "unopenable" else spoilt(Fault(call="", kind=kind, errcode=errcode), answer)
    return msgspec.structs.replace(spoiled, headers={**spoiled.headers, CODE_HEADER: str(fault.code)})
