"""Handovers, mass messages and the platform's own statistics (wecom-archive.md 8; pages 96331, 96333, 96355, 96358).

Before: corp.py, contacts.py (paging). After: routes.py. Pure; raises Refused.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from pipeline.clock import beijing_day
from pipeline.demo.talks import Draft
from pipeline.simulate.contacts import page
from pipeline.simulate.corp import Campaign, Corp
from pipeline.simulate.exchange import Refused, Request

Fields = dict[str, Any]
DAY_S = 86_400
MAX_USERS = 100
MAX_DAYS = 30
MAX_AGE_DAYS = 180
_BEIJING_S = 8 * 3600


def transfer_result(corp: Corp, request: Request, *, resigned: bool) -> Fields:
    """Return how the customers that one member passed to another stand."""
    asked = request.json()
    giver, taker = (str(asked.get(name, "")).lower() for name in ("handover_userid", "takeover_userid"))
    rows: list[Fields] = [
        {"external_userid": h.external_userid, "status": h.status, "takeover_time": h.takeover_time}
        for h in corp.handovers
        if (h.handover_userid.lower(), h.takeover_userid.lower(), h.resigned) == (giver, taker, resigned)
    ]
    shown, cursor = page(rows, asked, 1_000)
    return {"customer": shown, "next_cursor": cursor}


def unassigned(corp: Corp, request: Request) -> Fields:
    """Return customers of those who left that still wait for a successor."""
    asked = request.json()
    left = {g.userid.lower(): g.at for g in corp.gone.values()}
    rows: list[Fields] = [
        {"handover_userid": h.handover_userid, "external_userid": h.external_userid, "dimission_time": left.get(h.handover_userid.lower(), 0)}
        for h in corp.handovers
        if h.resigned and h.status != 1
    ]
    shown, cursor = page(rows, {"cursor": asked.get("cursor", ""), "limit": asked.get("page_size", 1_000)}, 1_000)
    return {"info": shown, "is_last": not cursor, "next_cursor": cursor}


def group_messages(corp: Corp, request: Request) -> Fields:
    """Return the mass messages of a span; filter_type 0 of the firm, 1 of members, 2 (default) both."""
    asked = request.json()
    begin, end = asked.get("start_time"), asked.get("end_time")
    if asked.get("chat_type") not in ("single", "group") or type(begin) is not int or type(end) is not int or end < begin:
        raise Refused(40058)
    wanted = {0: (0,), 1: (1,)}.get(asked.get("filter_type", 2), (0, 1))
    rows: list[Fields] = [
        {"msgid": c.msgid, "creator": c.creator, "create_time": c.create_time, "create_type": c.create_type, "text": {"content": c.content}, "attachments": []}
        for c in corp.campaigns
        if c.chat_type == asked["chat_type"] and begin <= c.create_time <= end and c.create_type in wanted and asked.get("creator", c.creator) == c.creator
    ]
    shown, cursor = page(rows, asked, 100)
    return {"group_msg_list": shown, "next_cursor": cursor}


def group_tasks(corp: Corp, request: Request) -> Fields:
    """Return which members sent a mass message; status 0 not sent, 2 sent."""
    campaign, asked = _campaign(corp, request), request.json()
    by_user: dict[str, list[int]] = defaultdict(list)
    for sent in campaign.sent:
        by_user[sent.userid].append(sent.send_time if sent.status else 0)
    rows: list[Fields] = [{"userid": u, "status": 2 if max(times) else 0, "send_time": max(times)} for u, times in by_user.items()]
    shown, cursor = page(rows, asked, 1_000)
    return {"task_list": shown, "next_cursor": cursor}


def group_results(corp: Corp, request: Request) -> Fields:
    """Return to whom a member's mass message went."""
    campaign, asked = _campaign(corp, request), request.json()
    rows: list[Fields] = [
        {"external_userid": s.external_userid, "chat_id": s.chat_id, "userid": s.userid, "status": s.status, "send_time": s.send_time}
        for s in campaign.sent
        if s.userid.lower() == str(asked.get("userid", "")).lower()
    ]
    shown, cursor = page(rows, asked, 1_000)
    return {"send_list": shown, "next_cursor": cursor}


def _campaign(corp: Corp, request: Request) -> Campaign:
    msgid = request.json().get("msgid")
    found = next((c for c in corp.campaigns if c.msgid == msgid), None)
    if found is None:
        raise Refused(40058)
    return found


class Counts:
    """What each employee wrote to customers in single chats, by Beijing day: messages, and to how many people.

    Everything that was said counts, what a customer's refusal keeps from the archive too."""

    def __init__(self) -> None:
        self._messages: dict[tuple[str, int], int] = defaultdict(int)
        self._people: dict[tuple[str, int], set[str]] = defaultdict(set)

    def add(self, drafts: Iterable[Draft], externals: frozenset[str]) -> None:
        """Count the messages among these drafts: what employees said to one customer, recalls and repeats left out."""
        for draft in drafts:
            alone = not draft.room_id and len(draft.tolist) == 1 and draft.tolist[0] in externals
            if alone and draft.sender not in externals and draft.role in ("ordinary", "story"):
                place = draft.sender.lower(), beijing_day(draft.sent_ms)
                self._messages[place] += 1
                self._people[place].add(draft.tolist[0])

    def day(self, userids: Iterable[str], day: int) -> tuple[int, int]:
        """Return (chats, messages) of these members on a Beijing day, together."""
        places = [(u.lower(), day) for u in userids]
        return sum(len(self._people.get(p, ())) for p in places), sum(self._messages.get(p, 0) for p in places)


def behaviour(corp: Corp, request: Request, counts: Counts, now_ms: int) -> Fields:
    """Return the members' days together, both ends inclusive: at most 100 members, 30 days, 180 days back (page 96358)."""
    asked = request.json()
    userids, begin, end = asked.get("userid", []), asked.get("start_time"), asked.get("end_time")
    if not isinstance(userids, list) or not 0 < len(userids) <= MAX_USERS or type(begin) is not int or type(end) is not int:
        raise Refused(40058)
    first, last, today = beijing_day(begin * 1000), beijing_day(end * 1000), beijing_day(now_ms)
    if not first <= last < first + MAX_DAYS or first < today - MAX_AGE_DAYS:
        raise Refused(40058)
    if any(corp.member(str(u)) is None and str(u).lower() not in corp.gone for u in userids):
        raise Refused(60111)
    return {"behavior_data": [_day(counts, [str(u) for u in userids], day) for day in range(first, last + 1)]}


def _day(counts: Counts, userids: list[str], day: int) -> Fields:
    chats, messages = counts.day(userids, day)
    told: Fields = {"stat_time": day * DAY_S - _BEIJING_S, "chat_cnt": chats, "message_cnt": messages}
    if chats:
        told |= {"reply_percentage": 100.0, "avg_reply_time": 1}
    return told | {"negative_feedback_cnt": 0, "new_apply_cnt": 0, "new_contact_cnt": 0}
