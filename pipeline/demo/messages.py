"""The body of a message of every documented type, from a few words.

Before: media.py. After: talks.py, refusals.py, records.py of this package.

Source: wecom-archive.md 3.3 to 3.6 (page 91774, revision 2026-01-19). Kinds and what their words are, parts split at `|`:
 text content · quote who|quoted|reply (travels as text) · image, voice seconds, video seconds, emotion, file name
 card · location title|address · link title|description · weapp title|displayed name · todo title|content
 chatrecord title|line|line… · mixed text · note text · vote title|option/option · collect title|question/question
 redpacket wish · external_redpacket wish · meeting topic|place · meeting_notification content · docmsg title · markdown content
 news title|description · calendar title|place · meeting_voice_call · voip_doc_share name · sphfeed name|description · voiptext seconds
 qydiskfile name · solitaire content
The types revoke, agree, disagree and the switch log come from the functions of that name below.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec

from pipeline.clock import BEIJING
from pipeline.demo.media import new_file

_URL = "https://demo.invalid/"  # reserved: leads nowhere
_BIG = 2**53  # ids above it are told wrongly by doubles


class Body(msgspec.Struct, frozen=True, kw_only=True):
    """What follows the common fields: `fields` in order; has_room False where the type has no roomid at all (3.1)."""

    msgtype: str
    fields: dict[str, Any]
    has_room: bool = True


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What a body is made from: the words, who says them (an id), the names of all who take part, and when."""

    words: tuple[str, ...]
    rng: random.Random
    at_ms: int
    sender: str
    names: tuple[str, ...]

    def word(self, number: int, default: str = "演示（DEMO）") -> str:
        """Return one part of the words."""
        return self.words[number] if number < len(self.words) and self.words[number] else default

    @property
    def second(self) -> int:
        """The moment in whole seconds."""
        return self.at_ms // 1000


def body(kind: str, asked: Asked) -> Body:
    """Return the body of a message of this kind; KeyError for a kind that is not in KINDS."""
    return KINDS[kind](asked)


def revoke(msgid: str) -> Body:
    """Return the body of a recall of that message (3.3)."""
    return Body(msgtype="revoke", fields={"revoke": {"pre_msgid": msgid}})


def decision(kind: str, userid: str, at_ms: int | None) -> Body:
    """Return the body of an `agree` or `disagree`; without its time when at_ms is None (3.4)."""
    told: dict[str, Any] = {"userid": userid}
    if at_ms is not None:
        told[f"{kind}_time"] = at_ms
    return Body(msgtype=kind, fields={kind: told})


def message(*, msgid: str, action: str, sender: str, tolist: tuple[str, ...], roomid: str, msgtime: int, body: Body) -> dict[str, Any]:
    """Return the message as the platform writes it, fields in its order (3.1)."""
    room = {"roomid": roomid} if body.has_room else {}
    told = {"msgid": msgid, "action": action, "from": sender, "tolist": list(tolist), **room, "msgtime": msgtime, "msgtype": body.msgtype}
    return told | body.fields


def switch(*, msgid: str, user: str, at_ms: int) -> dict[str, Any]:
    """Return the log of an employee who switched to another firm on the client (3.3): no sender, no receivers, no type."""
    return {"msgid": msgid, "action": "switch", "time": at_ms, "user": user}


def _plain(msgtype: str, told: dict[str, Any], key: str | None = None) -> Body:
    return Body(msgtype=msgtype, fields={key or msgtype: told})


def _text(asked: Asked) -> Body:
    return _plain("text", {"content": "|".join(asked.words)})


def _quote(asked: Asked) -> Body:
    """Two shapes are known: of 企业微信 and of 微信 (3.3)."""
    who, quoted, reply = asked.word(0), asked.word(1), asked.word(2, "收到")
    if asked.rng.random() < 0.5:
        return _plain("text", {"content": f'这是一条引用/回复消息：\n"{who}：\n{quoted}"\n------\n{reply}'})
    return _plain("text", {"content": f"「{who}：{quoted}」\n- - - - - - - - - - - - - - -\n{reply}"})


def _stored(asked: Asked, kind: str, size_key: str = "filesize", **more: Any) -> dict[str, Any]:
    file = new_file(asked.rng, kind)
    return {**more, "sdkfileid": file.sdkfileid, "md5sum": file.md5, size_key: file.size}


def _image(asked: Asked) -> Body:
    return _plain("image", _stored(asked, "image"))


def _voice(asked: Asked) -> Body:
    return _plain("voice", _stored(asked, "voice", "voice_size", play_length=int(asked.word(0, "9"))))


def _video(asked: Asked) -> Body:
    file = new_file(asked.rng, "video", large=asked.rng.random() < 0.3)
    told = {"sdkfileid": file.sdkfileid, "md5sum": file.md5, "filesize": file.size, "play_length": int(asked.word(0, "20"))}
    return _plain("video", told)


def _emotion(asked: Asked) -> Body:
    told = _stored(asked, "emotion", "imagesize", type=asked.rng.choice((1, 2)), width=240, height=240)
    if asked.rng.random() < 0.1:
        told["md5sum"] = ""  # the platform does that at times (1.5)
    return _plain("emotion", told)


def _file(asked: Asked) -> Body:
    name = asked.word(0, "演示文件（DEMO）.pdf")
    return _plain("file", _stored(asked, "file", filename=name, fileext=name.rpartition(".")[2]))


def _card(asked: Asked) -> Body:
    return _plain("card", {"corpname": "演示证券保险（DEMO）", "userid": asked.sender})


def _location(asked: Asked) -> Body:
    place = {"longitude": 120.123456, "latitude": 30.123456, "address": asked.word(1), "title": asked.word(0), "zoom": 15}
    return _plain("location", place)


def _link(asked: Asked) -> Body:
    told = {"title": asked.word(0), "description": asked.word(1), "link_url": _address(asked, "a"), "image_url": f"{_URL}cover.png"}
    return _plain("link", told)


def _weapp(asked: Asked) -> Body:
    told = {"title": asked.word(0), "description": "演示", "username": "gh_demo000000@app", "displayname": asked.word(1)}
    if asked.rng.random() < 0.5:
        told |= {"appid": "wxdemo0000000000", "pagepath": "pages/index.html"}
    return _plain("weapp", told)


def _item(kind: str, told: dict[str, Any], **more: Any) -> dict[str, Any]:
    """An item of a container holds its body as a string of JSON (3.5)."""
    return {"type": kind, "content": msgspec.json.encode(told).decode(), **more}


def _chatrecord(asked: Asked) -> Body:
    """Lines of others, then a mixed one with a picture; every third holds a forward of its own. One time is in ms."""
    began = asked.second - 600
    items = [_item("ChatRecordText", {"content": w}, msgtime=began + i, from_chatroom=True) for i, w in enumerate(asked.words[1:])]
    parts = [_item("text", {"content": "见图[微笑]\n"}), _item("image", _stored(asked, "image"))]
    items.append(_item("ChatRecordMixed", {"item": parts}, msgtime=asked.at_ms - 500_000, from_chatroom=True))
    if asked.rng.random() < 0.34:
        items.append(_forward_in_forward(asked, began - 200))
    return _plain("chatrecord", {"title": asked.word(0), "item": items})


def _forward_in_forward(asked: Asked, second: int) -> dict[str, Any]:
    """A forward inside a forward, with a file in it."""
    held = _stored(asked, "file", filename="演示附件（DEMO）.pdf", fileext="pdf")
    inner = [_item("ChatRecordFile", held, msgtime=second - 100, from_chatroom=False)]
    return _item("chatrecord", {"title": "演示员工的聊天记录", "item": inner}, msgtime=second, from_chatroom=False)


def _mixed(asked: Asked) -> Body:
    return _plain("mixed", {"item": [_item("text", {"content": asked.word(0)}), _item("image", _stored(asked, "image"))]})


def _note(asked: Asked) -> Body:
    """The table of the page says `item`, its example `items` (3.4): both are written."""
    items = [{"msg_type": "text", "content": msgspec.json.encode({"content": asked.word(0)}).decode()}]
    return _plain("note", {asked.rng.choice(("items", "item")): items}, key="info")


def _todo(asked: Asked) -> Body:
    return _plain("todo", {"title": asked.word(0), "content": asked.word(1)})


def _vote(asked: Asked) -> Body:
    """Older pages put these fields at the top (3.4): one in four is written so."""
    told = {"votetitle": asked.word(0), "voteitem": asked.word(1).split("/"), "votetype": 101, "voteid": _token(asked)}
    return Body(msgtype="vote", fields=told) if asked.rng.random() < 0.25 else _plain("vote", told)


def _collect(asked: Asked) -> Body:
    kinds = ("Text", "Number", "Date", "Time")
    details = [{"id": _BIG + asked.rng.getrandbits(40), "ques": q, "type": kinds[i % 4]} for i, q in enumerate(asked.word(1).split("/"))]
    told: dict[str, Any] = {"room_name": "演示群（DEMO）", "creator": asked.names[0], "create_time": _clock_words(asked.at_ms)}
    told |= {"title": asked.word(0), "details": details}
    return _plain("collect", told)


def _redpacket(asked: Asked) -> Body:
    told = {"type": asked.rng.choice((1, 2)), "wish": asked.word(0), "totalcnt": 10, "totalamount": asked.rng.randint(100, 20_000)}
    return _plain("redpacket", told)


def _external_redpacket(asked: Asked) -> Body:
    return Body(msgtype="external_redpacket", fields=_redpacket(asked).fields)


def _meeting(asked: Asked) -> Body:
    start = asked.second + 86_400
    told: dict[str, Any] = {"topic": asked.word(0), "starttime": start, "endtime": start + 3600, "address": asked.word(1)}
    if asked.rng.random() < 0.2:
        told["endtime"] = ""  # a quick meeting
    if asked.rng.random() < 0.3:
        told["meetingtype"] = 101  # older records say so
    return _plain("meeting", {**told, "remarks": "演示会议", "meetingid": _BIG + 1 + asked.rng.getrandbits(60)})


def _meeting_notification(asked: Asked) -> Body:
    key = asked.rng.choice(("meeting_id", "meetingid"))
    told = {key: _BIG + 1 + asked.rng.getrandbits(60), "notification_type": asked.rng.choice((1, 2)), "content": asked.word(0)}
    stamp = f"{_clock_words(asked.at_ms)}:{asked.at_ms % 1000:03d}"
    return Body(msgtype="meeting_notification", fields={"time": stamp, "info": told})


def _docmsg(asked: Asked) -> Body:
    return _plain("docmsg", {"title": asked.word(0), "link_url": _address(asked, "doc"), "doc_creator": asked.sender}, key="doc")


def _markdown(asked: Asked) -> Body:
    return _plain("markdown", {"content": asked.word(0)}, key="info")


def _news(asked: Asked) -> Body:
    item = {"title": asked.word(0), "description": asked.word(1), "url": _address(asked, "news"), "picurl": f"{_URL}news.png"}
    return _plain("news", {"item": [item]}, key="info")


def _calendar(asked: Asked) -> Body:
    start = asked.second + 86_400
    told = {"title": asked.word(0), "creatorname": asked.names[0], "attendeename": list(asked.names), "starttime": start}
    told |= {"endtime": start + 3600, "place": asked.word(1), "remarks": "请提前五分钟到"}
    return _plain("calendar", told)


def _meeting_voice_call(asked: Asked) -> Body:
    end = asked.second
    told = {
        "endtime": end,
        "sdkfileid": new_file(asked.rng, "voice").sdkfileid,
        "demofiledata": [{"filename": "演示材料.pptx", "demooperator": asked.sender, "starttime": end - 1200, "endtime": end - 600}],
        "sharescreendata": [{"share": asked.sender, "starttime": end - 600, "endtime": end - 60}],
    }
    return Body(msgtype="meeting_voice_call", fields={"voiceid": _token(asked), "meeting_voice_call": told}, has_room=False)


def _voip_doc_share(asked: Asked) -> Body:
    told = _stored(asked, "file", filename=asked.word(0, "通话共享文档（DEMO）.pdf"))
    return Body(msgtype="voip_doc_share", fields={"voipid": _token(asked), "voip_doc_share": told}, has_room=False)


def _sphfeed(asked: Asked) -> Body:
    return _plain("sphfeed", {"feed_type": asked.rng.choice((2, 4, 9)), "sph_name": asked.word(0), "feed_desc": asked.word(1)})


def _voiptext(asked: Asked) -> Body:
    return _plain("voiptext", {"callduration": int(asked.word(0, "60")), "invitetype": asked.rng.choice((1, 2))}, key="info")


def _qydiskfile(asked: Asked) -> Body:
    return _plain("qydiskfile", {"filename": asked.word(0), "url": _address(asked, "drive")}, key="info")


def _solitaire(asked: Asked) -> Body:
    return _plain("solitaire", {"solitaire_type": asked.rng.choice((101, 102)), "solitaire_content": asked.word(0)}, key="info")


def _token(asked: Asked) -> str:
    return f"grdemo{asked.rng.getrandbits(64):016x}"


def _address(asked: Asked, folder: str) -> str:
    return f"{_URL}{folder}/{asked.rng.getrandbits(32):08x}"


def _clock_words(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, BEIJING).strftime("%Y-%m-%d %H:%M:%S")


KINDS: dict[str, Callable[[Asked], Body]] = {
    "text": _text, "quote": _quote, "image": _image, "voice": _voice, "video": _video, "emotion": _emotion, "file": _file, "card": _card,
    "location": _location, "link": _link, "weapp": _weapp, "chatrecord": _chatrecord, "mixed": _mixed, "note": _note, "todo": _todo,
    "vote": _vote, "collect": _collect, "redpacket": _redpacket, "external_redpacket": _external_redpacket, "meeting": _meeting,
    "meeting_notification": _meeting_notification, "docmsg": _docmsg, "markdown": _markdown, "news": _news, "calendar": _calendar,
    "meeting_voice_call": _meeting_voice_call, "voip_doc_share": _voip_doc_share, "sphfeed": _sphfeed, "voiptext": _voiptext,
    "qydiskfile": _qydiskfile, "solitaire": _solitaire,
}  # fmt: skip
