"""The calls of the archive's own secret: who is archived, who agreed, internal groups, robots.

Before: client.py. After: consent sync, people_history, doctor. (Pages 91614, 91782, 92951, 91774.)

Rules:
 (1) The field of the external person is misspelt by WeCom: `exteranalopenid`. It is sent so, and read so; the right spelling is read too.
 (2) A pair that an answer leaves out has no Agreement: silence is no answer. An answer about a pair that was not asked is not believed.
 (3) A status is handed on as received; the register says what an unknown one means. status_change_time is in seconds; 0 is none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from pipeline.clock import now_ms
from pipeline.consent_events import read_time
from pipeline.directory import fold_userid
from pipeline.register import Event, Precision, new_event
from pipeline.wecom import answers
from pipeline.wecom.client import Client
from pipeline.wecom.limits import PAIRS_A_CALL

EXTERNAL: Final = "exteranalopenid"  # sic
EDITIONS: Final = {1: "office", 2: "service", 3: "enterprise"}


class Agreement(msgspec.Struct, frozen=True, kw_only=True):
    """What WeCom says about one pair (userid set) or one external person in a room (room_id set). Times in milliseconds UTC."""

    userid: str | None = None
    room_id: str | None = None
    external_userid: str
    status: str
    changed_at_ms: int | None
    precision: Precision
    asked_at_ms: int


class Member(msgspec.Struct, frozen=True):
    """One member of a group and when they joined (milliseconds UTC, None: not said)."""

    id: str
    joined_ms: int | None


class Room(msgspec.Struct, frozen=True, kw_only=True):
    """A group as WeCom describes it now."""

    room_id: str
    name: str | None
    owner_id: str | None
    created_ms: int | None
    members: tuple[Member, ...]


class Robot(msgspec.Struct, frozen=True):
    """A robot: its id, name and who made it."""

    robot_id: str
    name: str | None
    creator_id: str | None


def permit_users(client: Client, edition: int | None = None) -> list[str]:
    """Return the members whose seat is in force, of one edition (1 office, 2 service, 3 enterprise) or all; those over the quota are missing."""
    answer = client.post("msgaudit/get_permit_user_list", {} if edition is None else {"type": edition})
    return answers.texts(answer.get("ids"))


def check_single_agree(client: Client, pairs: Sequence[tuple[str, str]]) -> list[Agreement]:
    """Return what holds for pairs (userid, external_userid), at most 100; raises ValueError beyond."""
    if not 0 < len(pairs) <= PAIRS_A_CALL:
        raise ValueError(f"expected 1 to {PAIRS_A_CALL} pairs, got {len(pairs)}")
    body = {"info": [{"userid": userid, EXTERNAL: external} for userid, external in pairs]}
    answer, asked_at = client.post("msgaudit/check_single_agree", body), now_ms()
    asked = {(fold_userid(userid), external): userid for userid, external in pairs}
    found = []
    for one in answers.objects(answer.get("agreeinfo")):
        userid, external = answers.text(one.get("userid")), _external(one)
        if userid and external and (spelt := asked.get((fold_userid(userid), external))):
            found.append(_agreement(one, external, asked_at, userid=spelt))
    return found


def check_room_agree(client: Client, room_id: str) -> list[Agreement]:
    """Return what holds for each external person of a room."""
    answer, asked_at = client.post("msgaudit/check_room_agree", {"roomid": room_id}), now_ms()
    return [_agreement(one, external, asked_at, room_id=room_id) for one in answers.objects(answer.get("agreeinfo")) if (external := _external(one))]


def _external(one: dict[str, Any]) -> str | None:
    return answers.text(one.get(EXTERNAL)) or answers.text(one.get("external_userid"))


def _agreement(one: dict[str, Any], external: str, asked_at: int, *, userid: str | None = None, room_id: str | None = None) -> Agreement:
    status, read = one.get("agree_status"), read_time(one.get("status_change_time"))
    return Agreement(
        userid=userid, room_id=room_id, external_userid=external, status=status if isinstance(status, str) else "",
        changed_at_ms=read[0] if read else None, precision=read[1] if read else "s", asked_at_ms=asked_at,
    )  # fmt: skip


def events_of(agreements: Iterable[Agreement]) -> tuple[Event, ...]:
    """Return the register events (source `api`) of what WeCom said."""
    return tuple(
        new_event(
            source="api", status=a.status, userid=a.userid, room_id=a.room_id, external_userid=a.external_userid,
            changed_at_ms=a.changed_at_ms, precision=a.precision, recorded_at_ms=a.asked_at_ms,
        )
        for a in agreements
    )  # fmt: skip


def internal_room(client: Client, room_id: str) -> Room:
    """Return an internal group; raises Unresolved for one that is none."""
    answer = client.post("msgaudit/groupchat/get", {"roomid": room_id})
    members = tuple(
        Member(member, answers.at_ms(one.get("jointime"))) for one in answers.objects(answer.get("members")) if (member := answers.text(one.get("memberid")))
    )
    return Room(
        room_id=room_id, name=answers.text(answer.get("roomname")), owner_id=answers.text(answer.get("creator")),
        created_ms=answers.at_ms(answer.get("room_create_time")), members=members,
    )  # fmt: skip


def robot(client: Client, robot_id: str) -> Robot:
    """Return a robot's name and maker."""
    data = client.get("msgaudit/get_robot_info", {"robot_id": robot_id}).get("data")
    known = data if isinstance(data, dict) else {}
    return Robot(robot_id, answers.text(known.get("name")), answers.text(known.get("creator_userid")))
