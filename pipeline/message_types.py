"""The message types: where each type's body lies, which of its fields a person reads, and which strings in it are for machines only.

Before: records.py. After: message_parts.py, message.py.
Source: the vendor's page 91774 获取会话内容, revision 2026-01-19, and what older revisions and real records spell differently.

Rules:
1. A body lies under the type's own name, under `info`, or under another type's name: `docmsg` under `doc`, `external_redpacket` under
   `redpacket`. Fields without a body (old `vote`) are read from the top level.
2. Read fields come first and in this table's order. Strings under keys the table does not know come after them: a field that
   the vendor adds tomorrow is searchable today. Types the table does not know are read the same way, every string of them.
3. Machine strings are never parts: digests, file ids, other ids, user ids, times, pictures' addresses, file extensions, keys and tokens.
4. Addresses that a person opens are parts (`link_url`, `url`): officers look for them. Amounts and durations are numbers and stay in the
   raw JSON alone: a part is always text as received, so that a finding's place can be shown in the original.
"""

from __future__ import annotations

import re
from typing import NamedTuple


class TypeRow(NamedTuple):
    """One message type: `read` fields in reading order, `hidden` strings of this type that look readable and are not."""

    read: tuple[str, ...] = ()
    hidden: frozenset[str] = frozenset()


def _row(read: str = "", hidden: str = "") -> TypeRow:
    return TypeRow(tuple(read.split()), frozenset(hidden.split()))


TYPES: dict[str, TypeRow] = {
    "text": _row("content"),
    "image": _row(),
    "revoke": _row(),
    "agree": _row(),
    "disagree": _row(),
    "voice": _row(),
    "video": _row(),
    "card": _row("corpname"),
    "location": _row("title address"),
    "emotion": _row(),
    "file": _row("filename"),
    "link": _row("title description link_url"),
    "weapp": _row("title description displayname", hidden="username pagepath"),
    "chatrecord": _row("title item"),
    "todo": _row("title content"),
    "vote": _row("votetitle voteitem"),
    "collect": _row("room_name creator title details ques", hidden="create_time"),
    "redpacket": _row("wish"),
    "external_redpacket": _row("wish"),
    "meeting": _row("topic address remarks", hidden="starttime endtime"),
    "meeting_notification": _row("content"),
    "docmsg": _row("title link_url", hidden="doc_creator"),
    "markdown": _row("content"),
    "news": _row("item title description url"),
    "calendar": _row("title creatorname attendeename place remarks", hidden="starttime endtime"),
    "mixed": _row("item"),
    "meeting_voice_call": _row("demofiledata filename", hidden="demooperator share"),
    "voip_doc_share": _row("filename"),
    "sphfeed": _row("sph_name feed_desc"),
    "voiptext": _row(),
    "qydiskfile": _row("filename url"),
    "solitaire": _row("solitaire_content"),
    "note": _row("items item"),
}

# Types that hold other messages; the vendor calls the first a merged forward. What is in a forward was said by others.
CONTAINERS = frozenset({"chatrecord", "mixed", "note"})
FORWARD = "chatrecord"

# Top-level keys that are not the body.
ENVELOPE_KEYS = frozenset({"msgid", "action", "from", "tolist", "roomid", "msgtime", "msgtype", "voiceid", "voipid", "time", "user"})

_HIDDEN = frozenset({"sdkfileid", "md5sum", "fileext", "image_url", "picurl", "type", "msg_type", "msgtime"})
_ID_KEY = re.compile(r"(?:id|ids|md5|sha\d+|token|key|secret)\Z", re.IGNORECASE)
_ID_VALUE = re.compile(r"[\x21-\x7e]*\Z")
_OTHER_NAMES = {"doc": "docmsg"}
_UNKNOWN = _row()


def row(kind: str) -> TypeRow:
    """Return the row of a type; an unknown one reads everything."""
    return TYPES.get(kind, _UNKNOWN)


def is_machine_string(kind: str, key: str, value: str) -> bool:
    """Return whether no person reads this string of a message of type `kind` (rule 3)."""
    if key in _HIDDEN or key in row(kind).hidden:
        return True
    return _ID_KEY.search(key) is not None and _ID_VALUE.match(value) is not None


def item_kind(name: str) -> str:
    """Return the type of an item of a container: `ChatRecordText` → `text`, `chatrecord` itself stays."""
    name = name.lower()
    bare = name.removeprefix(FORWARD) or name
    return _OTHER_NAMES.get(bare, bare)


def body_kind(key: str, msgtype: str) -> str:
    """Return by which type's row the top-level `key` of a message of type `msgtype` is read."""
    return msgtype if key in (msgtype, "info") else _OTHER_NAMES.get(key, key)
