"""The calls of a self-built app's secret: members, departments, customers, customer groups, handovers.

Before: client.py. After: people_history. (Pages 90196 and 96255, 96260, 99434, 96331, 96333.)

Rules:
 (1) These give the present state only: whoever calls writes down when they asked.
 (2) `mobile`, `email`, `address`, `avatar`, `gender` are not read even where they come: the directory needs names and departments.
 (3) Paged answers end with an empty next_cursor; a cursor that repeats ends too, so that a wrong server does not loop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import msgspec

from pipeline.wecom import answers
from pipeline.wecom.calls import Member, Room
from pipeline.wecom.client import Answer, Client

ROOT_DEPARTMENT: Final = 1
PAGE: Final = 100
# status of user/get: 1 active, 2 disabled, 4 not activated, 5 left.
LEFT_STATUS: Final = 5
HANDOVER_STATES: Final = {1: "done", 2: "waiting", 3: "refused", 4: "successor_full", 5: "no_record"}


class Colleague(msgspec.Struct, frozen=True, kw_only=True):
    """A member of the firm as WeCom describes them now. main_department: id, None when not said; left: status 5.

    alias and short_name (of the firm) are what customers see."""

    userid: str
    name: str | None
    alias: str | None
    department_ids: tuple[int, ...]
    main_department: int | None
    position: str | None = None
    short_name: str | None = None
    leader_ids: tuple[str, ...] = ()
    left: bool = False


class Department(msgspec.Struct, frozen=True):
    """A department; parent_id 0 or None: the top."""

    id: int
    name: str | None
    parent_id: int | None


class Follow(msgspec.Struct, frozen=True, kw_only=True):
    """How one member knows a customer: since when (milliseconds UTC), and what they call them."""

    userid: str
    remark: str | None
    since_ms: int | None
    add_way: int | None


class Customer(msgspec.Struct, frozen=True, kw_only=True):
    """An external contact. wecom: works at another firm with WeCom (corp_name says which), else a WeChat user."""

    external_userid: str
    name: str | None
    wecom: bool
    corp_name: str | None
    position: str | None
    follows: tuple[Follow, ...]


class Handover(msgspec.Struct, frozen=True, kw_only=True):
    """A customer that passes from one member to another; state as HANDOVER_STATES says, at: when it was done (milliseconds UTC)."""

    external_userid: str
    from_userid: str
    to_userid: str
    state: str
    at_ms: int | None


# --- the firm ---


def member(client: Client, userid: str) -> Colleague:
    """Return one member; raises Unresolved with action `left` for somebody who left (60111)."""
    return _colleague(client.get("user/get", {"userid": userid}, secret="contacts"), userid)


def department_members(client: Client, department_id: int) -> list[Colleague]:
    """Return the members of one department, not of those below it."""
    found = client.get("user/list", {"department_id": department_id}, secret="contacts")
    return [_colleague(one, userid) for one in answers.objects(found.get("userlist")) if (userid := answers.text(one.get("userid")))]


def departments(client: Client) -> list[Department]:
    """Return all departments in the app's visible range."""
    found = client.get("department/list", {}, secret="contacts")
    return [
        Department(ident, answers.text(one.get("name")), answers.number(one.get("parentid")))
        for one in answers.objects(found.get("department")) if (ident := answers.number(one.get("id"))) is not None
    ]  # fmt: skip


def _colleague(one: dict[str, Any], userid: str) -> Colleague:
    departments_of = tuple(answers.numbers(one.get("department")))
    main, profile = answers.number(one.get("main_department")), one.get("external_profile")
    return Colleague(
        userid=answers.text(one.get("userid")) or userid, name=answers.text(one.get("name")), alias=answers.text(one.get("alias")),
        department_ids=departments_of, main_department=main if main else next(iter(departments_of), None),
        position=answers.text(one.get("position")),
        short_name=answers.text(profile.get("external_corp_name")) if isinstance(profile, dict) else None,
        leader_ids=tuple(answers.texts(one.get("direct_leader"))),
        left=answers.number(one.get("status")) == LEFT_STATUS,
    )  # fmt: skip


# --- customers ---


def follow_users(client: Client) -> list[str]:
    """Return the members who serve customers."""
    return answers.texts(client.get("externalcontact/get_follow_user_list", {}, secret="contacts").get("follow_user"))


def customer(client: Client, external_userid: str) -> Customer:
    """Return one external contact with everybody in range who follows them; raises Unresolved (84061, 40096: no longer a contact)."""
    first: dict[str, Any] | None = None
    follows: list[Follow] = []
    for answer in pages(lambda cursor: client.get("externalcontact/get", {"external_userid": external_userid, "cursor": cursor}, secret="contacts")):
        first = first or answer.get("external_contact")
        follows += [_follow(one) for one in answers.objects(answer.get("follow_user")) if answers.text(one.get("userid"))]
    return _customer(first if isinstance(first, dict) else {}, external_userid, tuple(follows))


def customers_of(client: Client, userids: Sequence[str]) -> Iterator[Customer]:
    """Yield the external contacts of up to 100 members; one who is followed by several comes once for each."""

    def page(cursor: str) -> Answer:
        return client.post("externalcontact/batch/get_by_user", {"userid_list": list(userids), "cursor": cursor, "limit": PAGE}, secret="contacts")

    for answer in pages(page):
        for one in answers.objects(answer.get("external_contact_list")):
            about, follow = one.get("external_contact"), one.get("follow_info")
            if isinstance(about, dict) and (external := answers.text(about.get("external_userid"))):
                follows = (_follow(follow),) if isinstance(follow, dict) and answers.text(follow.get("userid")) else ()
                yield _customer(about, external, follows)


def _customer(about: dict[str, Any], external_userid: str, follows: tuple[Follow, ...]) -> Customer:
    return Customer(
        external_userid=answers.text(about.get("external_userid")) or external_userid, name=answers.text(about.get("name")),
        wecom=answers.number(about.get("type")) == 2, corp_name=answers.text(about.get("corp_name")), position=answers.text(about.get("position")),
        follows=follows,
    )  # fmt: skip


def _follow(one: dict[str, Any]) -> Follow:
    return Follow(
        userid=answers.text(one.get("userid")) or "", remark=answers.text(one.get("remark")), since_ms=answers.at_ms(one.get("createtime")),
        add_way=answers.number(one.get("add_way")),
    )  # fmt: skip


# --- customer groups ---


def customer_rooms(client: Client) -> Iterator[str]:
    """Yield the ids of all customer groups whose owner is in range."""

    def page(cursor: str) -> Answer:
        return client.post("externalcontact/groupchat/list", {"status_filter": 0, "cursor": cursor, "limit": 1000}, secret="contacts")

    for answer in pages(page):
        yield from (room for one in answers.objects(answer.get("group_chat_list")) if (room := answers.text(one.get("chat_id"))))


def customer_room(client: Client, room_id: str) -> Room:
    """Return a customer group; raises Unresolved with action `other_call` for a group that is none (90501)."""
    chat = client.post("externalcontact/groupchat/get", {"chat_id": room_id, "need_name": 1}, secret="contacts").get("group_chat")
    found = chat if isinstance(chat, dict) else {}
    members = tuple(
        Member(ident, answers.at_ms(one.get("join_time"))) for one in answers.objects(found.get("member_list")) if (ident := answers.text(one.get("userid")))
    )
    return Room(
        room_id=room_id, name=answers.text(found.get("name")), owner_id=answers.text(found.get("owner")), created_ms=answers.at_ms(found.get("create_time")),
        members=members,
    )  # fmt: skip


# --- handovers ---


def handovers(client: Client, from_userid: str, to_userid: str, *, resigned: bool) -> Iterator[Handover]:
    """Yield how the customers that were passed from one member to another stand (resigned: of one who left)."""
    path = f"externalcontact/{'resigned/' if resigned else ''}transfer_result"

    def page(cursor: str) -> Answer:
        return client.post(path, {"handover_userid": from_userid, "takeover_userid": to_userid, "cursor": cursor}, secret="contacts")

    for answer in pages(page):
        for one in answers.objects(answer.get("customer")):
            if external := answers.text(one.get("external_userid")):
                state = HANDOVER_STATES.get(answers.number(one.get("status")) or 0, "unknown")
                yield Handover(
                    external_userid=external, from_userid=from_userid, to_userid=to_userid, state=state, at_ms=answers.at_ms(one.get("takeover_time"))
                )


def unassigned(client: Client) -> Iterator[tuple[str, str, int | None]]:
    """Yield (member who left, external_userid, when they left in milliseconds UTC) of customers nobody has taken over yet."""

    def page(cursor: str) -> Answer:
        return client.post("externalcontact/get_unassigned_list", {"cursor": cursor, "page_size": 1000}, secret="contacts")

    for answer in pages(page):
        for one in answers.objects(answer.get("info")):
            left, external = answers.text(one.get("handover_userid")), answers.text(one.get("external_userid"))
            if left and external:
                yield left, external, answers.at_ms(one.get("dimission_time"))


def pages(ask: Callable[[str], Answer]) -> Iterator[Answer]:
    """Yield every page (rule 3)."""
    cursor, seen = "", {""}
    while True:
        answer = ask(cursor)
        yield answer
        cursor = answers.text(answer.get("next_cursor")) or ""
        if cursor in seen:
            return
        seen.add(cursor)
