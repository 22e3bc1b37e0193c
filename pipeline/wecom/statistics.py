"""WeCom's own counts, independent of the archive: single chats and messages a member and day; mass messages.

Before: client.py. After: people_history (kind `behaviour`), the question of what is missing. (Pages 96358, 96355; contacts secret.)
Whether chats of customers who refused are counted is not documented: the counts are a denominator, not a proof.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Final

import msgspec

from pipeline.clock import BEIJING
from pipeline.wecom import answers
from pipeline.wecom.client import Answer, Client
from pipeline.wecom.contacts import pages

DAYS_BACK: Final = 180
DAYS_A_CALL: Final = 30


class Behaviour(msgspec.Struct, frozen=True, kw_only=True):
    """One member's day as WeCom counts it: single chats with customers, messages the member sent in them. None: not said."""

    userid: str
    day: date
    chats: int | None
    messages: int | None


class MassMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A mass message: who wrote it (None: not said), when (milliseconds UTC), and its text."""

    msgid: str
    creator: str | None
    created_ms: int | None
    by_member: bool
    text: str | None


def behaviour(client: Client, userid: str, first: date, last: date) -> list[Behaviour]:
    """Return one row for each Beijing day from first to last (at most 30) that WeCom counted; raises ValueError beyond."""
    if not timedelta(0) <= last - first < timedelta(DAYS_A_CALL):
        raise ValueError(f"expected 1 to {DAYS_A_CALL} days")
    body = {"userid": [userid], "start_time": _seconds(first), "end_time": _seconds(last)}
    found = client.post("externalcontact/get_user_behavior_data", body, secret="contacts")
    rows = []
    for one in answers.objects(found.get("behavior_data")):
        if (at_ms := answers.at_ms(one.get("stat_time"))) is not None:
            day = datetime.fromtimestamp(at_ms / 1000, BEIJING).date()
            rows.append(Behaviour(userid=userid, day=day, chats=answers.number(one.get("chat_cnt")), messages=answers.number(one.get("message_cnt"))))
    return rows


def _seconds(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=BEIJING).timestamp())


def mass_messages(client: Client, first: date, last: date) -> Iterator[MassMessage]:
    """Yield the mass messages to customers and to customer groups that were made from first to last (at most a month, Beijing days)."""
    until = _seconds(last + timedelta(days=1)) - 1
    for chat_type in ("single", "group"):

        def page(cursor: str, chat_type: str = chat_type) -> Answer:
            body = {"chat_type": chat_type, "start_time": _seconds(first), "end_time": until, "limit": 100, "cursor": cursor}
            return client.post("externalcontact/get_groupmsg_list_v2", body, secret="contacts")

        for answer in pages(page):
            for one in answers.objects(answer.get("group_msg_list")):
                if msgid := answers.text(one.get("msgid")):
                    content = one.get("text")
                    yield MassMessage(
                        msgid=msgid, creator=answers.text(one.get("creator")), created_ms=answers.at_ms(one.get("create_time")),
                        by_member=answers.number(one.get("create_type")) == 1, text=answers.text(content.get("content")) if isinstance(content, dict) else None,
                    )  # fmt: skip
