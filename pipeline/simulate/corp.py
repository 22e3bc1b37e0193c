"""The made-up corp as it stands now: what the calls of the platform answer from. History is for who asks often.

Before: nothing. After: made.py fills it; audits.py, contacts.py, customers.py, campaigns.py read it; simulator.py changes it.
Times are seconds, as in the platform's answers. Employee userids are compared without regard to ASCII case, all other ids byte by byte.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import msgspec

Status = Literal["Agree", "Disagree", "Default_Agree"]
MemberType = Literal[1, 2]


class Department(msgspec.Struct):
    """One department; the root has id 1 and parent 0."""

    id: int
    name: str
    parentid: int
    order: int
    leaders: list[str] = []


class Member(msgspec.Struct):
    """An employee. position and external_position: inside and as customers see it; alias is the short name; status 1 active, 2 disabled."""

    userid: str
    name: str
    alias: str
    department: list[int]
    position: str
    external_position: str
    status: int = 1
    serves: bool = False


class Customer(msgspec.Struct):
    """An external person. type: 1 of 微信, 2 of another firm's 企业微信."""

    external_userid: str
    name: str
    type: MemberType
    corp_name: str = ""
    corp_full_name: str = ""
    position: str = ""


class Follow(msgspec.Struct):
    """That an employee has a customer as a contact, and what the employee wrote about the customer."""

    userid: str
    external_userid: str
    remark: str
    createtime: int
    description: str = ""
    state: str = ""
    add_way: int = 1
    tags: list[str] = []


class Seat(msgspec.Struct):
    """Somebody in a room; type: 1 employee, 2 external."""

    userid: str
    type: MemberType
    join_time: int
    invitor: str = ""
    nickname: str = ""


class Room(msgspec.Struct):
    """A room of employees alone (`internal`) or with customers in it."""

    room_id: str
    name: str
    owner: str
    create_time: int
    internal: bool
    notice: str = ""
    seats: list[Seat] = []
    version: int = 1


class Robot(msgspec.Struct):
    """A robot and who made it."""

    robot_id: str
    name: str
    creator_userid: str


class Handover(msgspec.Struct):
    """One customer passed on. status: 1 done, 2 waiting, 3 refused by the customer, 4 successor full; resigned: the giver has left."""

    handover_userid: str
    takeover_userid: str
    external_userid: str
    status: int
    takeover_time: int
    resigned: bool


class Sent(msgspec.Struct):
    """One receiver of a mass message. status: 0 not sent, 1 sent, 2 no contact any more, 3 had another one already."""

    external_userid: str
    userid: str
    status: int
    send_time: int
    chat_id: str = ""


class Campaign(msgspec.Struct):
    """A mass message. create_type: 0 by the firm, 1 by the member."""

    msgid: str
    creator: str
    create_time: int
    create_type: int
    chat_type: Literal["single", "group"]
    content: str
    sent: list[Sent] = []


class Scope(msgspec.Struct, frozen=True):
    """What a decision is about: a pair (userid in lower case) or a room and an external person."""

    external_userid: str
    userid: str = ""
    room_id: str = ""


class Agreement(msgspec.Struct, frozen=True):
    """How a scope stands. changed: seconds."""

    status: Status
    changed: int


class Gone(msgspec.Struct, frozen=True):
    """Somebody who left, and when (seconds)."""

    userid: str
    at: int


class Corp(msgspec.Struct):
    """Everything. members, customers, rooms and robots by id (members by lower case), follows by (member in lower case, customer)."""

    corp_id: str
    name: str
    departments: dict[int, Department] = {}
    members: dict[str, Member] = {}
    gone: dict[str, Gone] = {}
    customers: dict[str, Customer] = {}
    follows: dict[tuple[str, str], Follow] = {}
    rooms: dict[str, Room] = {}
    robots: dict[str, Robot] = {}
    permitted: dict[int, list[str]] = {}
    agreements: dict[Scope, Agreement] = {}
    handovers: list[Handover] = []
    campaigns: list[Campaign] = []

    def member(self, userid: str) -> Member | None:
        """Return the employee of this userid, None when there is none or no more."""
        return self.members.get(userid.lower())

    def follows_of(self, external_userid: str) -> list[Follow]:
        """Return by whom a customer is served, in the order in which it began."""
        return sorted((f for f in self.follows.values() if f.external_userid == external_userid), key=lambda f: (f.createtime, f.userid))

    def customers_of(self, userid: str) -> list[Follow]:
        """Return whom an employee serves."""
        return [f for (who, _), f in self.follows.items() if who == userid.lower()]

    def below(self, department_id: int) -> Iterator[int]:
        """Yield a department and all under it."""
        yield department_id
        for department in self.departments.values():
            if department.parentid == department_id:
                yield from self.below(department.id)

    def agreement(self, scope: Scope) -> Agreement | None:
        """Return how a scope stands: as decided, by default where the two know each other or share the room, else None."""
        found = self.agreements.get(scope)
        if found is not None:
            return found
        if scope.room_id:
            room = self.rooms.get(scope.room_id)
            seat = next((s for s in room.seats if s.userid == scope.external_userid), None) if room else None
            return Agreement("Default_Agree", seat.join_time) if seat else None
        follow = self.follows.get((scope.userid, scope.external_userid))
        return Agreement("Default_Agree", follow.createtime) if follow else None
