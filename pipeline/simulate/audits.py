"""What the archive's own secret may ask: consent, seats, internal rooms, robots (wecom-archive.md 4.2; pages 91614, 91782, 92951, 91774).

Before: corp.py. After: routes.py. Pure: the corp and the request in, the answer's fields out; raises Refused.
The misspelt name `exteranalopenid` is the platform's.
"""

from __future__ import annotations

from typing import Any

from pipeline.simulate.corp import Corp, Scope
from pipeline.simulate.exchange import Refused, Request

MAX_PAIRS = 100
Fields = dict[str, Any]


def permit_user_list(corp: Corp, request: Request) -> Fields:
    """Return who is archived in force, of one edition or of all."""
    edition = request.json().get("type")
    if edition is not None and edition not in corp.permitted:
        raise Refused(40058)
    editions = [edition] if edition is not None else sorted(corp.permitted)
    return {"ids": list(dict.fromkeys(userid for e in editions for userid in corp.permitted[e]))}


def single_agree(corp: Corp, request: Request) -> Fields:
    """Return how pairs stand, at most 100; one that never met is left out."""
    asked = request.json().get("info")
    if not isinstance(asked, list) or not 0 < len(asked) <= MAX_PAIRS or not all(isinstance(pair, dict) for pair in asked):
        raise Refused(40058)
    told = []
    for pair in asked:
        userid, external = str(pair.get("userid", "")), str(pair.get("exteranalopenid", ""))
        found = corp.agreement(Scope(external, userid.lower()))
        if found is not None:
            told.append({"status_change_time": found.changed, "userid": userid, "exteranalopenid": external, "agree_status": found.status})
    return {"agreeinfo": told}


def room_agree(corp: Corp, request: Request) -> Fields:
    """Return how each external person of a room stands."""
    room = corp.rooms.get(str(request.json().get("roomid", "")))
    if room is None:
        raise Refused(301059)
    told = []
    for seat in room.seats:
        found = corp.agreement(Scope(seat.userid, room_id=room.room_id)) if seat.type == 2 else None
        if found is not None:
            told.append({"status_change_time": found.changed, "exteranalopenid": seat.userid, "agree_status": found.status})
    return {"agreeinfo": told}


def internal_room(corp: Corp, request: Request) -> Fields:
    """Return an internal room; a customer room is unknown here."""
    room = corp.rooms.get(str(request.json().get("roomid", "")))
    if room is None or not room.internal:
        raise Refused(301059)
    return {
        "roomname": room.name, "creator": room.owner, "room_create_time": room.create_time, "notice": room.notice,
        "members": [{"memberid": s.userid, "jointime": s.join_time} for s in room.seats],
    }  # fmt: skip


def robot_info(corp: Corp, request: Request) -> Fields:
    """Return a robot."""
    robot = corp.robots.get(request.query.get("robot_id", ""))
    if robot is None:
        raise Refused(40058)
    return {"data": {"robot_id": robot.robot_id, "name": robot.name, "creator_userid": robot.creator_userid}}
