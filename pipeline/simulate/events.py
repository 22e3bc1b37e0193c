"""The events that WeCom sends out, as the XML it writes (wecom-archive.md 4.3, 8).

Before: nothing. After: callbacks.py, simulator.py.
"""

from __future__ import annotations

from collections.abc import Mapping

NEW_MESSAGES = "msgaudit_notify"
CUSTOMER = "change_external_contact"
CUSTOMER_ROOM = "change_external_chat"
MEMBER = "change_contact"
ARCHIVE_AGENT = 2_000_004


def event_xml(corp_id: str, event: str, at_s: int, fields: Mapping[str, str | int] | None = None) -> bytes:
    """Return one event; words as CDATA, numbers bare, in the order given."""
    told: dict[str, str | int] = {"ToUserName": corp_id, "FromUserName": "sys", "CreateTime": at_s, "MsgType": "event"}
    if event == NEW_MESSAGES:
        told["AgentID"] = ARCHIVE_AGENT
    told |= {"Event": event, **(fields or {})}
    return f"<xml>{''.join(_field(name, value) for name, value in told.items())}</xml>".encode()


def _field(name: str, value: str | int) -> str:
    return f"<{name}>{value}</{name}>" if isinstance(value, int) else f"<{name}><![CDATA[{value.replace(']]>', '')}]]></{name}>"


def approved(corp_id: str, userid: str, external_userid: str, at_s: int) -> bytes:
    """Return the event of a customer who agreed (page 92005)."""
    return event_xml(corp_id, CUSTOMER, at_s, {"ChangeType": "msg_audit_approved", "UserID": userid, "ExternalUserID": external_userid})


def contact_changed(corp_id: str, change: str, userid: str, external_userid: str, at_s: int) -> bytes:
    """Return an event about a contact: add_external_contact, edit_external_contact, del_external_contact, del_follow_user, transfer_fail."""
    return event_xml(corp_id, CUSTOMER, at_s, {"ChangeType": change, "UserID": userid, "ExternalUserID": external_userid})


def room_changed(corp_id: str, room_id: str, detail: str, members: list[str], at_s: int) -> bytes:
    """Return an event about a customer room; detail: add_member, del_member, change_owner, change_name."""
    fields: dict[str, str | int] = {"ChatId": room_id, "ChangeType": "update", "UpdateDetail": detail, "MemChangeCnt": len(members)}
    body = event_xml(corp_id, CUSTOMER_ROOM, at_s, fields)
    items = "".join(f"<Item><![CDATA[{m}]]></Item>" for m in members)
    return body.replace(b"</xml>", f"<MemChangeList>{items}</MemChangeList></xml>".encode()) if members else body


def member_changed(corp_id: str, change: str, userid: str, at_s: int, **fields: str | int) -> bytes:
    """Return an event about an employee: create_user, update_user, delete_user."""
    return event_xml(corp_id, MEMBER, at_s, {"ChangeType": change, "UserID": userid, **fields})
