"""A request as it came and the answer that goes out, free of HTTP.

Before: nothing. After: chat.py, audits.py, contacts.py, routes.py, server.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

Cut = Literal["", "stated", "silent", "unanswered"]


class Refused(Exception):
    """The platform's own no: an errcode of the reference (wecom-archive.md 2.3, 5)."""

    def __init__(self, errcode: int) -> None:
        super().__init__(errcode)
        self.errcode = errcode


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """path: without the query; query: last value of each name; headers: names in lower case."""

    method: str
    path: str
    query: Mapping[str, str] = {}
    headers: Mapping[str, str] = {}
    body: bytes = b""

    def json(self) -> dict[str, Any]:
        """Return the body as a JSON object; Refused 47001 (data format error) for anything else, {} for an empty one."""
        try:
            value = msgspec.json.decode(self.body or b"{}")
        except msgspec.DecodeError:
            value = None
        if not isinstance(value, dict):
            raise Refused(47001)
        return value


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What goes out. delay_s: before the first byte. cut: `stated` half a body under its full length, `silent` half a body as if it
    were whole (the connection's end ends it), `unanswered` nothing at all."""

    body: bytes
    status: int = 200
    headers: Mapping[str, str] = {}
    delay_s: float = 0.0
    cut: Cut = ""


def answered(fields: Mapping[str, Any] | None = None) -> Answer:
    """Return a success: errcode 0, then the fields."""
    return Answer(body=msgspec.json.encode({"errcode": 0, "errmsg": "ok", **(fields or {})}))


def refused(errcode: int, hint: str = "") -> Answer:
    """Return an error answer; like the platform's, its errmsg is for people and may change."""
    return Answer(body=msgspec.json.encode({"errcode": errcode, "errmsg": f"{ERRMSG.get(errcode, 'error')}{hint}, simulated"}))


# Texts after the global list (wecom-archive.md 2.3 and 5); nobody may match on them.
ERRMSG = {
    -1: "system busy",
    40001: "invalid credential",
    40003: "invalid userid",
    40013: "invalid corpid",
    40014: "invalid access_token",
    40050: "chatid not exists",
    40058: "invalid Request Parameter",
    40096: "invalid external userid",
    41001: "access_token missing",
    42001: "access_token expired",
    45009: "api freq out of limit",
    45033: "api concurrent out of limit",
    47001: "data format error",
    48001: "api unauthorized",
    48002: "api forbidden",
    60011: "no privilege to access/modify contact/party/agent",
    60020: "not allow to access from your ip",
    60111: "userid not found",
    60123: "invalid party id",
    84061: "not external contact",
    90501: "chat is not external group chat",
    301042: "get chatdata whiteip not match, hint:[simulated], from ip: 127.0.0.1",
    301048: "file of the sdkfileid does not exist or has expired",
    301052: "msgaudit has expired",
    301053: "corp is not open msgaudit",
    301059: "room not found",
}
