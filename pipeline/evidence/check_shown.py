"""What the pages of a bundle must show of its records: everything beside the words too, from the records, the accounts and the catalogue.

Before: check_files.py, transcript.py and conversation.py (words of a line). After: check_pages.py. Formats: docs/formats.md, sections 13 and 15.

Rules: (1) a name stands where the record's line says it, with a star where identity/accounts.jsonl knows it of another time only; (2) of others
than the sender a page may say any name that the accounts know of the id, or the id; (3) what is compared is a digest: nobody's words are kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Any

import msgspec

from pipeline import cells, conversation, words
from pipeline.evidence.check_files import Files
from pipeline.names import Names, Person
from pipeline.transcript import Block, GapLine, MediaItem, MessageLine, Recalled, RecallLine, Unread
from pipeline.words import Lang


class People:
    """Who the accounts of a bundle were: rows of identity/accounts.jsonl."""

    def __init__(self, accounts: Iterable[Mapping[str, Any]]) -> None:
        rows, self._names, self._seen = list[dict[str, Any]](), dict[str, set[str]](), dict[str, set[str]]()
        for one in accounts:
            names = self._names.setdefault(one["id"].lower(), set())
            if one["says"] == "directory" and one["name"]:
                rows.append({k: one[k] for k in ("kind", "name", "valid_from", "valid_to")} | {"userid": one["id"]})
                names.add(cells.one_line(one["name"]))
                if saw := one["customer_saw"]:
                    name = f"{saw['name']}@{saw['firm']}" if saw.get("firm") else saw["name"]
                    self._seen.setdefault(one["id"].lower(), set()).add(cells.one_line(name))
        self._at = Names(rows)

    def sender(self, line: Mapping[str, Any]) -> Person:
        """Return the sender of a line (rule 1)."""
        userid, kind = line["sender_id"] or "", line["sender_kind"]
        return Person(userid, kind, line["sender_name"], self._at.person(userid, line["sent_at_ms"], kind).other_time)

    def known_as(self, shown: str, userid: str) -> bool:
        """Whether an account (its id as shown) may be called so (rule 2)."""
        names = self._names.get(userid.lower())
        return names is not None and (shown == userid or shown in names or shown.removesuffix("*") in names)

    def of_another_time(self, shown: str, userid: str) -> bool:
        """Whether a name is shown as one of another time."""
        return shown.endswith("*") and shown not in self._names.get(userid.lower(), ())

    def saw(self, shown: str, userid: str) -> bool:
        """Whether customers saw an account as said: one name, or several joined."""
        known = self._seen.get(userid.lower(), set())
        return shown in known or all(one in known for one in shown.split("、"))

    def bare(self, text: str) -> str:
        """Return who is named as `NAME (ID)` by the id alone, where that account may be called so; anything else as it is."""
        name, _, rest = text.rpartition(" (")
        return rest[:-1] if rest.endswith(")") and self.known_as(name, rest[:-1]) else text


class About(msgspec.Struct, frozen=True, kw_only=True):
    """What a page is about. days: first and last, None for open; gaps: what stands for each (check_shown.gap_texts)."""

    lang: Lang
    number: int
    conversation_id: str
    corp_id: str
    part: tuple[int, int] | None
    room: bool
    internal: bool
    days: tuple[str | None, str | None]
    redacted: bool
    at_ms: int
    size: int
    people: People
    gaps: dict[str, tuple[str | None, int]]

    def say(self, key: str, **values: object) -> str:
        """Return words of a page."""
        return words.say(f"conversation.{key}", self.lang, **values)


class Conversation(msgspec.Struct):
    """What the records of one conversation are taken together."""

    internal: bool = True
    room: bool = False


class Wanted:
    """What must be shown of each record of a bundle."""

    def __init__(self, files: Files, *, redacted: bool) -> None:
        self.files, self.redacted = files, redacted
        self.people = People(files.objects("identity/accounts.jsonl"))
        self.conversations: dict[str, Conversation] = {}
        recalled = set[str | None]()
        for line in self.lines():
            one = self.conversations.setdefault(line["conversation_id"], Conversation(room=bool(line["room_id"])))
            one.internal = one.internal and line["direction"] == "internal"
            if line["kind"] == "recall":
                recalled.add(line["recalls_msgid"])
        of_recalls = (line for line in self.lines() if line["msgid"] in recalled and line["kind"] != "recall") if recalled else ()
        self._originals = {line["msgid"]: (line["conversation_id"], line["sent_at_ms"]) for line in of_recalls}

    def lines(self) -> Iterable[dict[str, Any]]:
        """The records."""
        return self.files.objects("02-messages.jsonl")

    def of(self, line: Mapping[str, Any], number: int | None, lang: Lang) -> bytes:
        """Return the digest of what a page in this language shows of a record, in conversation `number`."""
        return digest(number, *(self._recall(line, lang) if line["kind"] == "recall" else self._message(line, lang)))

    def _recall(self, line: Mapping[str, Any], lang: Lang) -> tuple[Any, ...]:
        where, sent = self._originals.get(line["recalls_msgid"], (None, None))
        told = RecallLine(
            msgid=line["msgid"], origin=line["origin"], seq=line["seq"], at_ms=line["sent_at_ms"], by=Person(line["sender_id"] or ""), original=line["recalls_msgid"],
            original_at_ms=sent, known=where == line["conversation_id"],
        )  # fmt: skip
        return (*_time(told.at_ms, lang), f"↩ {conversation.recall_text(told, lang)}", ids(told, lang))

    def _message(self, line: Mapping[str, Any], lang: Lang) -> tuple[Any, ...]:
        told = self._line(line)
        sender = told.sender
        name = cells.one_line(sender.name or sender.id) + "*" * sender.other_time
        was = [f"↩ {conversation.recalled_text(told, lang)}"] if told.recalled else []
        if told.at_ms is None:
            captured = words.say("conversation.captured", lang, at=words.beijing(told.captured_ms, lang))
            was.append(f"{words.say('conversation.time_unknown', lang)} · {captured}")
        said = [p["text"] for p in _parts(line)]
        return (
            None if self.conversations[line["conversation_id"]].internal else told.own, sender.kind == "robot", told.recalled is not None,
            name, cells.one_line(sender.id) if sender.name else None, f" · {words.label('sender_kind', sender.kind, lang)}", *_time(told.at_ms, lang),
            conversation.type_text(told, lang) or None, [(conversation.block_label(b.path, lang), visible(t)) for b, t in zip(told.blocks, said, strict=True)],
            [_file(item, lang) for item in told.media], was, ids(told, lang),
            f" · {words.say('col.consent', lang)} {cells.one_line(words.label('consent', told.consent, lang))}",
        )  # fmt: skip

    def _line(self, line: Mapping[str, Any]) -> MessageLine:
        by = line["recalled_by"]
        recalled = Recalled(line["recalled_at_ms"], Person(by) if by else None) if line["recalled_at_ms"] is not None or by else None
        parts = _parts(line)
        return MessageLine(
            msgid=line["msgid"], origin=line["origin"], seq=line["seq"], at_ms=line["sent_at_ms"], captured_ms=line["captured_at_ms"],
            msgtype=line["msgtype"] or "", sender=self.people.sender(line), recipients=(), own=line["sender_kind"] == "employee", room=bool(line["room_id"]),
            consent=line["consent"] or "unknown", blocks=tuple(Block(p["path"], ()) for p in parts), media=tuple(map(_item, line["media"])), recalled=recalled,
            unread=None if parts or line["media"] else self._unread(line),
        )  # fmt: skip

    def _unread(self, line: Mapping[str, Any]) -> Unread:
        if self.redacted:
            return Unread("", 0)  # its page is read as if it said so
        data = self.files.data(f"raw/{line['leaf']:012d}.plain.json")
        return Unread(sha256(data).hexdigest(), len(data))


def digest(*shown: Any) -> bytes:
    """Return what stands for what is shown."""
    return sha256(msgspec.json.encode(shown)).digest()


def visible(text: str) -> str:
    """Return words as a page shows them."""
    return "".join(piece for piece, _ in cells.pieces(text))


def ids(line: MessageLine | RecallLine, lang: Lang) -> tuple[str, str]:
    """Return what stands below a message: time, seq and origin; its id."""
    at = f"{words.utc(line.at_ms)} · " if line.at_ms is not None else ""
    origin = f" · {words.label('origin', line.origin, lang)}" if line.origin != "sealed" else ""
    return f"{at}{words.say('col.seq', lang)} {line.seq}{origin} · ", cells.one_line(line.msgid)


def gap_texts(gaps: Iterable[Mapping[str, Any]], lang: Lang) -> dict[str, tuple[str | None, int]]:
    """Return {what stands for a gap: (its time, ISO 8601; seq before it)}."""
    told = {}
    for gap in gaps:
        line = GapLine(gap["after_seq"], gap["before_seq"], gap["from_at"], gap["to_at"], gap["cause"] or "")
        told[conversation.gap_text(line, lang)] = (None if line.from_ms is None else words.iso(line.from_ms), line.after_seq or 0)
    return told


def _time(at_ms: int | None, lang: Lang) -> tuple[str | None, str | None, str]:
    if at_ms is None:
        return None, None, words.say("time.unknown", lang)
    return words.iso(at_ms), words.beijing(at_ms, lang), words.clock(at_ms)


def _parts(line: Mapping[str, Any]) -> list[dict[str, Any]]:
    return line["parts"] or ([{"path": "text", "text": line["text"]}] if line["text"] else [])


def _item(one: Mapping[str, Any]) -> MediaItem:
    size = one["size"] if one["size"] is not None else one["declared_size"]
    return MediaItem(kind=one["kind"], file_name=one["file_name"], status=one["status"], size=size, sha256=one["sha256"], declared_md5=one["declared_md5"])


def _file(item: MediaItem, lang: Lang) -> tuple[str, str, str, str | None]:
    kind, letters = conversation.icon_of(item, lang)
    named = [("sha256", item.sha256), ("declared_md5", item.declared_md5)]
    sums = [f"{words.say(f'conversation.{name}', lang)} {cells.one_line(value)}" for name, value in named if value]
    return kind, letters, conversation.media_text(item, lang), sums[0] if sums else None
