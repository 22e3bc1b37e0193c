"""What an application may ask about customers and their rooms (wecom-archive.md 8).

Before: corp.py, contacts.py (paging). After: routes.py. Pure; raises Refused.
"""

from __future__ import annotations

from typing import Any

from pipeline.simulate.contacts import page
from pipeline.simulate.corp import Corp, Customer, Follow, Room, Seat
from pipeline.simulate.exchange import Refused, Request

Fields = dict[str, Any]
FOLLOWERS_A_PAGE = 500
MAX_BATCH = 100
MAX_ROOMS = 1_000


def follow_users(corp: Corp, request: Request) -> Fields:
    """Return who serves customers."""
    return {"follow_user": [m.userid for m in corp.members.values() if m.serves]}


def customer_ids(corp: Corp, request: Request) -> Fields:
    """Return the customers of a member; 84061 when there are none."""
    userid = request.query.get("userid", "")
    if corp.member(userid) is None:
        raise Refused(60111)
    found = [f.external_userid for f in corp.customers_of(userid)]
    if not found:
        raise Refused(84061)
    return {"external_userid": found}


def customer(corp: Corp, request: Request) -> Fields:
    """Return a customer and by whom they are served; 40096 for an unknown id, 84061 for somebody who is nobody's contact any more."""
    found = corp.customers.get(request.query.get("external_userid", ""))
    if found is None:
        raise Refused(40096)
    follows = [_follow(f) for f in corp.follows_of(found.external_userid)]
    if not follows:
        raise Refused(84061)
    shown, cursor = page(follows, {"cursor": request.query.get("cursor", "")}, FOLLOWERS_A_PAGE)
    return {"external_contact": _customer(found), "follow_user": shown, "next_cursor": cursor}


def customers_by_user(corp: Corp, request: Request) -> Fields:
    """Return the customers of up to 100 members, paged."""
    asked = request.json()
    userids = asked.get("userid_list")
    if not isinstance(userids, list) or not 0 < len(userids) <= MAX_BATCH:
        raise Refused(40058)
    unknown = [u for u in userids if corp.member(str(u)) is None]
    follows = [f for u in userids for f in corp.customers_of(str(u))]
    rows: list[Fields] = [{"external_contact": _customer(corp.customers[f.external_userid]), "follow_info": _follow(f)} for f in follows]
    shown, cursor = page(rows, asked, MAX_BATCH)
    return {"external_contact_list": shown, "next_cursor": cursor, "fail_info": {"unlicensed_userid_list": unknown}}


def _customer(customer: Customer) -> Fields:
    told: Fields = {"external_userid": customer.external_userid, "name": customer.name, "type": customer.type, "gender": 0, "avatar": ""}
    if customer.type == 2:
        told |= {"position": customer.position, "corp_name": customer.corp_name, "corp_full_name": customer.corp_full_name}
    return told


def _follow(follow: Follow) -> Fields:
    return {
        "userid": follow.userid, "remark": follow.remark, "description": follow.description, "createtime": follow.createtime,
        "tags": [{"group_name": "演示", "tag_name": t, "tag_id": f"etDEMO{t}", "type": 1} for t in follow.tags], "remark_mobiles": [],
        "add_way": follow.add_way, "oper_userid": follow.userid, "state": follow.state,
    }  # fmt: skip


def rooms(corp: Corp, request: Request) -> Fields:
    """Return the customer rooms of the owners asked for, paged."""
    asked = request.json()
    owners = (asked.get("owner_filter") or {}).get("userid_list") or []
    wanted = {str(o).lower() for o in owners}
    found: list[Fields] = [{"chat_id": r.room_id, "status": 0} for r in corp.rooms.values() if not r.internal and (not wanted or r.owner.lower() in wanted)]
    shown, cursor = page(found, asked, MAX_ROOMS)
    return {"group_chat_list": shown, "next_cursor": cursor}


def room(corp: Corp, request: Request) -> Fields:
    """Return a customer room; 40050 for an unknown one, 90501 for one of employees alone."""
    asked = request.json()
    found = corp.rooms.get(str(asked.get("chat_id", "")))
    if found is None:
        raise Refused(40050)
    if found.internal:
        raise Refused(90501)
    named = asked.get("need_name") == 1
    return {"group_chat": _room(corp, found, named=named)}


def _room(corp: Corp, room: Room, *, named: bool) -> Fields:
    return {
        "chat_id": room.room_id, "name": room.name, "owner": room.owner, "create_time": room.create_time, "notice": room.notice,
        "member_list": [_seat(corp, s, named=named) for s in room.seats], "admin_list": [{"userid": room.owner}],
        "member_version": f"demo{room.version}",
    }  # fmt: skip


def _seat(corp: Corp, seat: Seat, *, named: bool) -> Fields:
    told: Fields = {"userid": seat.userid, "type": seat.type, "join_time": seat.join_time, "join_scene": 1, "group_nickname": seat.nickname}
    if seat.invitor:
        told["invitor"] = {"userid": seat.invitor}
    if named:
        known = corp.member(seat.userid) if seat.type == 1 else corp.customers.get(seat.userid)
        told["name"] = known.name if known else ""
    return told
