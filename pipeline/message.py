"""Reads one opened record: who wrote what to whom and when, which files it names, and whether it is a message, recall or control record.

Before: envelope.py (opened records). After: consent.py (the gate).
Source: the vendor's page 91774 获取会话内容, revision 2026-01-19.

Rules:
1. A record is a JSON object with a `msgid`, the one its envelope names (an opened import has no envelope: its inner one counts).
2. Whatever else is missing or has a wrong type is unknown, never invented: an unknown sender, no recipients, no room, no time.
   A user id or room id that came as a whole number is read as its digits.
3. Times below 10^11 are seconds, above it milliseconds. 0, negative, not a number, before 2011 or more than a day after the capture is no
   time: None, with a flag that says why.
4. `revoke` and action `recall` are recalls. `agree`, `disagree` and the `switch` log are control records; where an agreement's own time is
   missing or impossible, msgtime stands in and is flagged. An own time in the future stays: the gate judges it.
5. What a person could read, and the files: message_parts.py.
6. Two records with equal canonical bytes are the same message: file ids are left out, they change with every pull.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from pipeline import hostile_json, message_parts
from pipeline.errors import Failure, RecordError
from pipeline.message_quotes import quoted_span
from pipeline.records import Control, Message, OpenedItem, OpenedPage, ParsedItem, ParsedPage, Part, Quote, Unopened

SECONDS_BELOW = 100_000_000_000
EARLIEST_MS = 1_293_840_000_000  # 2011-01-01 UTC: the vendor's messengers are younger
LATEST_MS = 253_402_300_799_999  # the last millisecond of the year 9999
DAY_MS = 86_400_000
_ID_BELOW = 10**64  # an id that came as a number


def parse_page(page: OpenedPage) -> ParsedPage:
    """Return the page with each opened record read; what cannot be read stays sealed, beside what could not be opened before."""
    items: list[ParsedItem] = []
    failed = list(page.failed)
    for opened in page.items:
        try:
            items.append(_parse_item(opened, page))
        except RecordError as refused:
            failure = Failure(
                step="message", code=refused.code, detail=refused.detail, item=opened.item, seq=opened.seq, msgid=opened.msgid or None,
                key_version=opened.key_version,
            )  # fmt: skip
            failed.append(Unopened(failure, sealed=opened.sealed))
    return ParsedPage(page.ref, tuple(items), tuple(failed))


def parse(plaintext: bytes, *, msgid: str, captured_at_ms: int) -> Message:
    """Return what `plaintext` (the message JSON as received, UTF-8) says.

    msgid: the envelope's, which the inner one must equal; "" takes the inner one. captured_at_ms: when the page was captured (ms UTC).
    Raises RecordError: MESSAGE_TOO_LARGE, MESSAGE_TOO_DEEP, MESSAGE_NOT_UTF8, MESSAGE_NOT_JSON, MESSAGE_MALFORMED, MSGID_MISMATCH.
    """
    if (plain := _plain_text(plaintext, msgid, captured_at_ms)) is not None:
        return plain
    document, exact = hostile_json.decode(plaintext)
    inner = _msgid(document)
    if msgid and inner != msgid:
        raise RecordError("MSGID_MISMATCH", "the message carries another msgid than its envelope")
    action, msgtype = _text(document.get("action")), _text(document.get("msgtype"))
    kind = _kind(action, msgtype)
    sender = _id(document.get("from"))
    sent_at_ms, time_flag = sent_at(_sent_value(document, kind), captured_at_ms=captured_at_ms)
    reading = message_parts.read(document, msgtype)
    parts = reading.parts
    return Message(
        msgid=inner,
        kind=kind,
        action=action,
        msgtype=msgtype,
        sender_id=sender,
        recipient_ids=_ids(document.get("tolist")),
        room_id=_id(document.get("roomid")),
        sent_at_ms=sent_at_ms,
        text=parts[0].text if len(parts) == 1 else "\n".join([part.text for part in parts]),
        parts=tuple(parts),
        quotes=tuple(reading.quotes),
        media=tuple(reading.media),
        recalls_msgid=_recalled(document) if kind == "recall" else None,
        control=_control(document, action, msgtype, sender, sent_at_ms) if kind == "control" else None,
        time_flag=time_flag,
        canonical=canonical(exact),
    )


class _Content(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    content: str


class _PlainText(msgspec.Struct, forbid_unknown_fields=True, rename={"sender": "from"}, gc=False):
    """An ordinary text with exactly the fields the source writes, in the order of their names: written again it is canonical."""

    action: str
    sender: str
    msgid: Annotated[str, msgspec.Meta(min_length=1)]
    msgtime: Annotated[int, msgspec.Meta(ge=EARLIEST_MS, le=LATEST_MS)]
    msgtype: Literal["text"]
    roomid: str
    text: _Content
    tolist: list[str]


_decode_plain = msgspec.json.Decoder(_PlainText).decode
_encode_plain = msgspec.json.Encoder().encode
_PLAIN_TYPE = b'"msgtype":"text"'


def _plain_text(plaintext: bytes, msgid: str, captured_at_ms: int) -> Message | None:
    """Read an ordinary text, by far the most frequent message, the short way; None when it is not one. Same result as the long way."""
    if _PLAIN_TYPE not in plaintext or len(plaintext) > hostile_json.MAX_BYTES:
        return None
    try:
        found = _decode_plain(plaintext)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    sent_at_ms = found.msgtime if found.msgtime <= captured_at_ms + DAY_MS else None
    if found.action == "recall" or (msgid and found.msgid != msgid):
        return None
    text = found.text.content
    return Message(
        msgid=found.msgid, kind="message", action=found.action, msgtype="text", sender_id=found.sender or None,
        recipient_ids=tuple([to for to in found.tolist if to]), room_id=found.roomid or None, sent_at_ms=sent_at_ms, text=text,
        parts=(Part("text.content", text),) if text else (), quotes=(Quote(0, *span),) if text and (span := quoted_span(text)) else (),
        time_flag="future" if sent_at_ms is None else None, canonical=_encode_plain(found),
    )  # fmt: skip


def conversation_id(message: Message) -> str:
    """Return the conversation's id: the room, else the ids of the people in byte order, joined by `|`; ids as received.

    Nobody known at all: `unknown:` and the msgid, a conversation of its own.
    """
    if message.room_id:
        return message.room_id
    people = {message.sender_id, *message.recipient_ids} if message.sender_id else set(message.recipient_ids)
    return "|".join(sorted(people)) if people else f"unknown:{message.msgid}"


def to_ms(value: object) -> tuple[int | None, str | None]:
    """Return (ms since 1970 UTC, flag) of a time as the vendor writes it (rule 3, without the bound at the capture).

    flag: None, "seconds" (was in seconds), or why there is no time: "missing", "zero", "impossible", "future".
    """
    if value is None or value == "":
        return None, "missing"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int):
        return None, "impossible"
    if value == 0:
        return None, "zero"
    ms, flag = (value * 1000, "seconds") if value < SECONDS_BELOW else (value, None)
    if ms < EARLIEST_MS:
        return None, "impossible"
    return (None, "future") if ms > LATEST_MS else (ms, flag)


def sent_at(value: object, *, captured_at_ms: int) -> tuple[int | None, str | None]:
    """Return `to_ms(value)`, and no time ("future") where it lies more than a day after the capture."""
    ms, flag = to_ms(value)
    return (None, "future") if ms is not None and ms > captured_at_ms + DAY_MS else (ms, flag)


def canonical(exact: Any) -> bytes:
    """Return compact JSON of a decoded message with sorted keys and without any sdkfileid, also inside items' JSON strings (rule 6)."""
    encoded = hostile_json.encode_sorted(exact)
    return hostile_json.encode_sorted(_without_file_ids(exact, 0)) if b"sdkfileid" in encoded else encoded


def _parse_item(opened: OpenedItem, page: OpenedPage) -> ParsedItem:
    is_import = page.ref.origin == "imported"
    message = parse(opened.plaintext, msgid="" if is_import else opened.msgid, captured_at_ms=page.ref.captured_at_ms)
    if opened.msgid != message.msgid:
        opened = msgspec.structs.replace(opened, msgid=message.msgid)
    return ParsedItem(opened, message)


def _msgid(document: Any) -> str:
    if not isinstance(document, dict):
        raise RecordError("MESSAGE_MALFORMED", "expected a JSON object, got another JSON value")
    msgid = document.get("msgid")
    if not isinstance(msgid, str) or not msgid:
        raise RecordError("MESSAGE_MALFORMED", "expected a msgid, got none or one that is no text")
    return msgid


def _kind(action: str, msgtype: str) -> Literal["message", "recall", "control"]:
    if msgtype == "text":
        return "recall" if action == "recall" else "message"
    if msgtype in ("agree", "disagree") or _is_switch(action, msgtype):
        return "control"
    return "recall" if msgtype == "revoke" or action == "recall" else "message"


def _is_switch(action: str, msgtype: str) -> bool:
    """The switch log has no msgtype; a record with one carries a body, and a body is a message."""
    return msgtype == "switch" or (action == "switch" and not msgtype)


def _sent_value(document: dict[str, Any], kind: str) -> object:
    """msgtime; the switch log has `time` instead. (A meeting notification's `time` is a formatted text beside its msgtime.)"""
    value = document.get("msgtime")
    return document.get("time") if value is None and kind == "control" else value


def _recalled(document: dict[str, Any]) -> str | None:
    for body in (document.get("revoke"), document.get("info"), document):
        if isinstance(body, dict) and isinstance(body.get("pre_msgid"), str) and body["pre_msgid"]:
            return str(body["pre_msgid"])
    return None


def _control(document: dict[str, Any], action: str, msgtype: str, sender: str | None, sent_at_ms: int | None) -> Control:
    if _is_switch(action, msgtype):
        own_ms, _ = to_ms(document.get("time"))
        return _at(Control(kind="switch", who=_id(document.get("user")) or sender or "", at_ms=own_ms), sent_at_ms)
    kind: Literal["agree", "disagree"] = "agree" if msgtype == "agree" else "disagree"
    body = next((b for b in (document.get(kind), document.get("info")) if isinstance(b, dict)), document)
    own_ms, _ = to_ms(body.get(f"{kind}_time"))
    return _at(Control(kind=kind, who=_id(body.get("userid", body.get("Userid"))) or sender or "", at_ms=own_ms), sent_at_ms)


def _at(control: Control, sent_at_ms: int | None) -> Control:
    """Let msgtime stand in for a missing own time, and say so (consent.py, rule of effective time)."""
    return control if control.at_ms is not None else msgspec.structs.replace(control, at_ms=sent_at_ms, at_flagged=True)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _id(value: object) -> str | None:
    if isinstance(value, str):
        return value or None
    return str(value) if isinstance(value, int) and not isinstance(value, bool) and 0 < value < _ID_BELOW else None


def _ids(value: object) -> tuple[str, ...]:
    values = value if isinstance(value, list) else [value]
    return tuple([known for v in values if (known := _id(v)) is not None])


def _without_file_ids(value: Any, level: int, *, in_list: bool = False) -> Any:
    """Return a copy without sdkfileid pairs, 64 levels deep; an element of a list may carry its body as JSON in the string `content`."""
    if level >= message_parts.MAX_LEVELS:
        return value
    if isinstance(value, list):
        return [_without_file_ids(v, level + 1, in_list=True) for v in value]
    if not isinstance(value, dict):
        return value
    copy = {k: _without_file_ids(v, level + 1) for k, v in value.items() if k != "sdkfileid"}
    content = copy.get("content")
    if in_list and isinstance(content, str) and "sdkfileid" in content and (decoded := message_parts.decode_content(content)):
        copy["content"] = hostile_json.encode_sorted(_without_file_ids(decoded[1], level + 1)).decode("utf-8")
    return copy
