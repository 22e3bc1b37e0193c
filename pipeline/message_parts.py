"""Walks one message's body: collects what a person could read, whose words they are, and every file, however deeply nested.

Before: message_types.py, message_quotes.py, hostile_json.py. After: message.py.

Rules:
1. Items of `chatrecord`, `mixed` and `note` carry their bodies as JSON written into a string; these are decoded in turn.
2. At most 8 containers lie in each other; what a ninth holds is one part, its JSON as received. Objects and lists nest at most 64 levels,
   counted through the strings too; below that the rest is one part, its JSON. Files inside such a part are not collected.
3. At most 10,000 parts a message: the last one holds everything that follows, a line each. Files are collected beyond it.
4. Everything inside a forward (`chatrecord`, with its title) is somebody else's words, and so is what a reply's text quotes.
5. A file is whatever has an `sdkfileid`, in types known or unknown.
"""

from __future__ import annotations

from typing import Any

from pipeline import hostile_json, message_types
from pipeline.errors import RecordError
from pipeline.message_quotes import quoted_span
from pipeline.records import MediaRef, Part, Quote

MAX_CONTAINERS = 8
MAX_LEVELS = 64
MAX_PARTS = 10_000
_MAX_PATH = 200
_MAX_KEY = 64
_MAX_SIZE = 2**64
_JSON_STARTS = frozenset("{[")
_ITEM_KEYS = frozenset({"type", "msg_type", "content", "msgtime", "from_chatroom"})
_SIZE_KEYS = ("filesize", "voice_size", "imagesize", "size")


class Reading:
    """What was read of one message: `parts`, `quotes` and `media` in reading order. Mutable only while `read` fills it."""

    __slots__ = ("_containers", "_forwards", "_levels", "_rest", "_rest_is_own", "_rest_path", "media", "parts", "quotes")

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self.quotes: list[Quote] = []
        self.media: list[MediaRef] = []
        self._containers = self._forwards = self._levels = 0
        self._rest: list[str] = []
        self._rest_path = ""
        self._rest_is_own = False

    def plain_text(self, body: Any) -> bool:
        """Read an ordinary text's body, by far the most frequent, the short way; False when it is not one. Same result as `body`."""
        if not isinstance(body, dict) or len(body) != 1 or not isinstance(content := body.get("content"), str):
            return False
        self._string(content, "text.content", may_quote=True)
        return True

    def body(self, body: Any, kind: str, key: str) -> None:
        """Read the value under the top-level `key` of a message as type `kind`."""
        if isinstance(body, dict):
            self._object(body, kind, _path("", key))
        else:
            self._value(body, kind, _path("", key), is_read=key in message_types.row(kind).read, key=key)

    def finish(self) -> None:
        """Add the part that holds what went beyond MAX_PARTS."""
        if self._rest:
            rest = "\n".join(self._rest)
            if not self._rest_is_own:
                self.quotes.append(Quote(len(self.parts), 0, len(rest)))
            self.parts.append(Part(self._rest_path, rest))

    def _object(self, body: dict[str, Any], kind: str, path: str) -> None:
        if self._levels >= MAX_LEVELS:
            return self._raw(body, path)
        is_container, is_forward = kind in message_types.CONTAINERS, kind == message_types.FORWARD
        self._levels += 1
        self._containers += is_container
        self._forwards += is_forward
        if "sdkfileid" in body:
            self._file(body, kind, path)
        read = message_types.row(kind).read
        named = [key for key in read if key in body]
        for key in named:
            self._value(body[key], kind, _path(path, key), is_read=True, key=key)
        if len(named) < len(body):
            for key, value in body.items():
                if key not in read:
                    self._value(value, kind, _path(path, key), is_read=False, key=key)
        self._levels -= 1
        self._containers -= is_container
        self._forwards -= is_forward
        return None

    def _value(self, value: Any, kind: str, path: str, *, is_read: bool, key: str) -> None:
        if isinstance(value, str):
            if is_read or not message_types.is_machine_string(kind, key, value):
                self._string(value, path, may_quote=kind == "text")
        elif isinstance(value, dict):
            self._object(value, kind, path)
        elif isinstance(value, list):
            self._list(value, kind, path, is_read=is_read, key=key)
        elif is_read and isinstance(value, (int, float)) and not isinstance(value, bool):
            self._string(str(value), path)  # the field has the wrong type; its digits are read all the same

    def _list(self, values: list[Any], kind: str, path: str, *, is_read: bool, key: str) -> None:
        if self._levels >= MAX_LEVELS:
            return self._raw(values, path)
        self._levels += 1
        for i, value in enumerate(values):
            here = f"{path}[{i}]"
            if isinstance(value, dict) and is_item(value, kind):
                self._item(value, here)
            else:
                self._value(value, kind, here, is_read=is_read, key=key)
        self._levels -= 1
        return None

    def _item(self, item: dict[str, Any], path: str) -> None:
        kind = message_types.item_kind(item_type(item) or "")
        self._content(item["content"], kind, _path(path, "content"))
        if not item.keys() <= _ITEM_KEYS:
            self._object({key: value for key, value in item.items() if key not in _ITEM_KEYS}, kind, path)

    def _content(self, content: Any, kind: str, path: str) -> None:
        if isinstance(content, str):
            too_deep = self._containers > MAX_CONTAINERS or (self._containers == MAX_CONTAINERS and kind in message_types.CONTAINERS)
            decoded = None if too_deep else decode_content(content)
            if decoded is None:
                return self._string(content, path, may_quote=kind == "text")
            content = decoded[0]
        if isinstance(content, list) and kind in message_types.CONTAINERS:
            content = {"item": content}
        unknown = kind not in message_types.TYPES  # may be a container: it counts as one
        self._containers += unknown
        self._value(content, kind, path, is_read=True, key="content")
        self._containers -= unknown
        return None

    def _file(self, body: dict[str, Any], kind: str, path: str) -> None:
        sdkfileid = body["sdkfileid"]
        if isinstance(sdkfileid, str) and sdkfileid:
            self.media.append(
                MediaRef(
                    ref_no=len(self.media),
                    kind=kind,
                    path=path,
                    sdkfileid=sdkfileid,
                    file_name=_text_or_none(body.get("filename")),
                    declared_size=next((size for key in _SIZE_KEYS if (size := _size(body.get(key))) is not None), None),
                    declared_md5=_text_or_none(body.get("md5sum")),
                )
            )

    def _raw(self, value: Any, path: str) -> None:
        self._string(hostile_json.encode_sorted(value).decode("utf-8"), path)

    def _string(self, text: str, path: str, *, may_quote: bool = False) -> None:
        if not text:
            return
        number = len(self.parts)
        if number >= MAX_PARTS - 1:
            self._rest_path = self._rest_path or path
            self._rest_is_own = self._rest_is_own or not self._forwards
            self._rest.append(text)
            return
        self.parts.append(Part(path, text))
        if self._forwards:
            self.quotes.append(Quote(number, 0, len(text)))
        elif may_quote and (span := quoted_span(text)):
            self.quotes.append(Quote(number, *span))


def read(message: dict[str, Any], msgtype: str) -> Reading:
    """Return what a person could read in `message` (decoded, of type `msgtype`, strings valid Unicode) and the files in it.

    Part paths are as in the JSON (`chatrecord.item[2].content.title`), shortened where hostile keys make them longer than 200 code points.
    """
    reading = Reading()
    keys = [key for key in message if key not in message_types.ENVELOPE_KEYS]
    if msgtype == "text" and keys == ["text"] and reading.plain_text(message["text"]):
        return reading
    if len(keys) > 1:
        order = {key: i for i, key in enumerate(message_types.row(msgtype).read)}
        # the type's own body first, then loose fields of it in their order, then whatever else came
        keys.sort(key=lambda key: (message_types.body_kind(key, msgtype) != msgtype, order.get(key, len(order))))
    for key in keys:
        body = message[key]
        kind = msgtype if not isinstance(body, dict) else message_types.body_kind(key, msgtype)
        reading.body(body, kind, key)
    reading.finish()
    return reading


def is_item(value: dict[str, Any], kind: str) -> bool:
    """Return whether `value`, met in a list of a body of type `kind`, is an item: a type beside a content that is JSON in a string."""
    if "content" not in value:
        return False
    if kind in message_types.CONTAINERS:
        return True
    return item_type(value) is not None and isinstance(value["content"], str) and value["content"][:1] in _JSON_STARTS


def item_type(item: dict[str, Any]) -> str | None:
    """Return the type that an item names; `note` spells the key msg_type."""
    name = item.get("type", item.get("msg_type"))
    return name if isinstance(name, str) else None


def decode_content(content: str) -> tuple[Any, Any] | None:
    """Return what an item's `content` holds as JSON in a string, as hostile_json.decode does; None when it is no object or list."""
    if content.lstrip()[:1] not in _JSON_STARTS:
        return None
    try:
        return hostile_json.decode(content.encode("utf-8", "surrogatepass"))
    except RecordError:
        return None


def _path(parent: str, key: str) -> str:
    if len(parent) > _MAX_PATH:
        return parent
    return f"{parent}.{key[:_MAX_KEY]}" if parent else key[:_MAX_KEY]


def _text_or_none(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _size(value: Any) -> int | None:
    """Return a size in bytes; sizes are unsigned 64-bit numbers."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MAX_SIZE else None
