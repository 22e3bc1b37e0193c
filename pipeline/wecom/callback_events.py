"""What an event says to us: ring the bell, an agreement, somebody whose entry changed, or nothing.

Before: callback_codec.py. After: callback_store.py, callback_server.py. (Pages 95039, 92005, 96361, 90970.)

Rules: (1) CreateTime (or TimeStamp) is in seconds; one that is impossible is None. (2) Two deliveries of one event are told by all its
fields: WeCom repeats an event up to three times under another nonce. (3) An event of a kind we do not know is `ignored`, never an error.
"""

from __future__ import annotations

import hashlib
from typing import Final, Literal

import msgspec

from pipeline.wecom import answers
from pipeline.wecom.callback_codec import Element, Refused, read_xml

Meaning = Literal["new_messages", "agreed", "member", "department", "contact", "room", "ignored"]
# Secrets of one welcome message; we never answer with one.
_LEFT_OUT: Final = ("WelcomeCode", "Mobile", "Email", "BizMail", "Avatar", "Gender", "Telephone", "Address", "Token")


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One event. at_ms: its own time; received_ms: ours (milliseconds UTC). change: WeCom's ChangeType.

    userid, external_userid, room_id: whom it is about; new_userid: of a member who was renamed; reason: of a handover that failed."""

    event_id: str
    meaning: Meaning
    change: str
    at_ms: int | None
    received_ms: int
    userid: str | None = None
    external_userid: str | None = None
    room_id: str | None = None
    new_userid: str | None = None
    name: str | None = None
    alias: str | None = None
    department_ids: tuple[int, ...] = ()
    main_department: int | None = None
    members: tuple[str, ...] = ()
    detail: str | None = None


def read(plaintext: bytes, *, received_ms: int) -> Event:
    """Return the event in a decrypted callback; raises Refused xml."""
    element = read_xml(plaintext)
    fields = element.fields
    if not fields:
        raise Refused("xml")
    departments = tuple(n for part in fields.get("Department", "").split(",") if (n := answers.number(part.strip())) is not None)
    return Event(
        event_id=_event_id(element),
        meaning=_meaning(fields.get("Event", "") or fields.get("InfoType", ""), fields.get("ChangeType", "")),
        change=fields.get("ChangeType", ""),
        at_ms=answers.at_ms(fields.get("CreateTime") or fields.get("TimeStamp")),
        received_ms=received_ms,
        userid=fields.get("UserID") or None,
        external_userid=fields.get("ExternalUserID") or None,
        room_id=fields.get("ChatId") or None,
        new_userid=fields.get("NewUserID") or None,
        name=fields.get("Name") or None,
        alias=fields.get("Alias") or None,
        department_ids=departments,
        main_department=answers.number(fields.get("MainDepartment")),
        members=element.lists.get("MemChangeList", ()),
        detail=fields.get("UpdateDetail") or fields.get("FailReason") or None,
    )


def _event_id(element: Element) -> str:
    """Return the digest of all that the event says, secrets of its delivery aside (rule 2)."""
    said = sorted((name, value) for name, value in element.fields.items() if name not in _LEFT_OUT)
    return hashlib.sha256(msgspec.json.encode([said, sorted(element.lists.items())])).hexdigest()[:32]


def _meaning(event: str, change: str) -> Meaning:
    match event, change:
        case "msgaudit_notify", _:
            return "new_messages"
        case "change_external_contact", "msg_audit_approved":
            return "agreed"
        case "change_external_contact", _:
            return "contact"
        case "change_external_chat", _:
            return "room"
        case "change_contact", "create_user" | "update_user" | "delete_user":
            return "member"
        case "change_contact", "create_party" | "update_party" | "delete_party":
            return "department"
    return "ignored"
