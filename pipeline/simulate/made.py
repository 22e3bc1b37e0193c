"""The demonstration's plan becomes a corp: its firm, its refusals, and what the calls need beyond them.

Before: demo/story.py, corp.py. After: simulator.py.

Rules: (1) everything follows from the plan and the seed. (2) A scope stands as its last decision left it; one whose refusal only an import
tells of stands refused here too. (3) Quiet customers and everybody who wrote to each other are contacts. (4) One employee left and was
succeeded; one mass message is the firm's, one an employee's.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from pipeline.demo import firm as firms
from pipeline.demo.firm import Firm, Person
from pipeline.demo.firm import Room as FirmRoom
from pipeline.demo.story import Plan
from pipeline.demo.talks import Draft
from pipeline.simulate.corp import (
    Agreement,
    Campaign,
    Corp,
    Customer,
    Department,
    Follow,
    Gone,
    Handover,
    Member,
    Robot,
    Room,
    Scope,
    Seat,
    Sent,
)

LEFT = "left.shili"
DAY_S = 86_400
OFFICE, SERVICE, ENTERPRISE = 1, 2, 3


def corp_of(plan: Plan) -> Corp:
    """Return the corp as it stands at the end of the plan."""
    rng = random.Random(f"{plan.seed}/corp")
    began = plan.calendar.at(0, 0) // 1000
    corp = Corp(corp_id=plan.corp_id, name=firms.NAME)
    corp.departments = {d.id: d for d in _departments()}
    corp.members = {m.userid.lower(): m for m in _members(plan.firm, corp)}
    corp.gone = {LEFT: Gone(LEFT, began)}
    corp.customers = {c.external_userid: c for c in map(_customer, (*plan.firm.customers, *plan.firm.quiet))}
    corp.follows = {(f.userid.lower(), f.external_userid): f for f in _follows(plan, corp, rng, began)}
    corp.rooms = {r.room_id: r for r in _rooms(plan.firm, rng, began)}
    corp.robots = {r.userid: Robot(r.userid, r.name, plan.firm.employees[-1].userid) for r in plan.firm.robots}
    everybody = [e.userid for e in plan.firm.employees]
    corp.permitted = {OFFICE: everybody, SERVICE: list(everybody), ENTERPRISE: [e.userid for e in plan.firm.sellers]}
    corp.agreements = _agreements(plan)
    corp.handovers = list(_handovers(plan.firm, began))
    corp.campaigns = list(_campaigns(plan.firm, began))
    return corp


def _departments() -> Iterator[Department]:
    yield Department(id=1, name=firms.NAME, parentid=0, order=100_000_000)
    for number, (name, _, _) in enumerate(firms.DEPARTMENTS, 2):
        yield Department(id=number, name=name, parentid=1, order=100_000_000 - number)


def _members(firm: Firm, corp: Corp) -> Iterator[Member]:
    ids = {d.name: d.id for d in corp.departments.values()}
    for person in firm.employees:
        department = ids["客户服务部" if person is firm.employees[firms.MOVED] else person.department or ""]
        if not corp.departments[department].leaders:
            corp.departments[department].leaders.append(person.userid)
        serves = person.userid in firm.serves
        yield Member(
            userid=person.userid, name=person.name, alias=person.calls, department=[department], serves=serves,
            position="客户经理" if serves else "专员", external_position="演示客户经理（DEMO）" if serves else "",
        )  # fmt: skip


def _customer(person: Person) -> Customer:
    if not person.userid.startswith("wo"):
        return Customer(external_userid=person.userid, name=person.name, type=1)
    return Customer(
        external_userid=person.userid, name=person.name, type=2, corp_name="示例贸易（DEMO）", corp_full_name="示例贸易有限公司（DEMO）", position="采购"
    )


def _follows(plan: Plan, corp: Corp, rng: random.Random, began: int) -> Iterator[Follow]:
    """Whom each employee serves, and with whom each has written alone."""
    pairs = {(userid, c.userid): None for userid, people in plan.firm.serves.items() for c in people}
    for record in plan.records:
        pair = _pair(record.draft, plan.firm)
        if pair is not None:
            pairs[pair] = None
    for userid, external in pairs:
        member = corp.member(userid)
        if member is not None:
            yield Follow(
                userid=member.userid, external_userid=external, remark=f"客户·{corp.customers[external].name}", description="演示",
                createtime=began - rng.randrange(30, 400) * DAY_S, state=rng.choice(("", "demo-qr-01", "demo-qr-02")), add_way=rng.choice((1, 2, 3)),
            )  # fmt: skip


def _pair(draft: Draft, firm: Firm) -> tuple[str, str] | None:
    """Return (employee, customer) of a single chat with a customer."""
    parties = (draft.sender, *draft.tolist)
    outside = [p for p in parties if p in firm.externals]
    if draft.room_id or len(parties) != 2 or len(outside) != 1:
        return None
    return next(p for p in parties if p not in firm.externals), outside[0]


def _rooms(firm: Firm, rng: random.Random, began: int) -> Iterator[Room]:
    for internal, rooms in ((True, firm.staff_rooms), (False, firm.customer_rooms)):
        for room in rooms:
            yield _room(room, began - rng.randrange(40, 300) * DAY_S, internal=internal)


def _room(room: FirmRoom, created: int, *, internal: bool) -> Room:
    inside = [Seat(p.userid, 1, created + n, room.employees[0].userid) for n, p in enumerate(room.employees)]
    outside = [Seat(p.userid, 2, created + DAY_S + n, room.employees[0].userid) for n, p in enumerate((*room.customers, *room.quiet))]
    return Room(
        room_id=room.room_id, name=room.name, owner=room.employees[0].userid, create_time=created, internal=internal,
        notice="" if internal else "演示群公告（DEMO）", seats=inside + outside,
    )  # fmt: skip


def _agreements(plan: Plan) -> dict[Scope, Agreement]:
    """Return how every scope with a decision stands (rule 2): the last one decides."""
    changes: list[tuple[int, Scope, Agreement]] = []
    for refusal in plan.refusals:
        scope = Scope(refusal.external_userid, (refusal.userid or "").lower(), refusal.room_id or "")
        changes.append((refusal.from_ms, scope, Agreement("Disagree", refusal.from_ms // 1000)))
        if refusal.until_ms is not None:
            changes.append((refusal.until_ms, scope, Agreement("Agree", refusal.until_ms // 1000)))
    for record in plan.records:
        draft = record.draft
        if draft.role == "decision" and draft.body.msgtype == "agree":
            employee = next((p for p in draft.tolist if p not in plan.firm.externals), "")
            scope = Scope(draft.sender, "" if draft.room_id else employee.lower(), draft.room_id)
            at_ms = draft.body.fields["agree"].get("agree_time", draft.sent_ms)
            changes.append((at_ms, scope, Agreement("Agree", at_ms // 1000)))
    return {scope: agreement for _, scope, agreement in sorted(changes, key=lambda c: c[0])}


def _handovers(firm: Firm, began: int) -> Iterator[Handover]:
    """Customers of the one who left, taken over by the first seller; one of them refused, one still waits. And one passed on at work."""
    giver, successor = firm.sellers[1], firm.sellers[0]
    for number, customer in enumerate(firm.serves[successor.userid][:4]):
        status = (1, 1, 3, 2)[number]
        yield Handover(LEFT, successor.userid, customer.userid, status, began + DAY_S if status == 1 else 0, resigned=True)
    yield Handover(giver.userid, successor.userid, firm.serves[giver.userid][0].userid, 1, began + 2 * DAY_S, resigned=False)


def _campaigns(firm: Firm, began: int) -> Iterator[Campaign]:
    """One mass message written by the firm and sent by the sellers, one written by a seller."""
    by_firm = [Sent(c.userid, s.userid, (1, 1, 2, 0)[n % 4], began + 40_000 + n) for s in firm.sellers[:5] for n, c in enumerate(firm.serves[s.userid][:4])]
    yield Campaign("msgDEMO0000000000firm", firm.employees[-1].userid, began + 36_000, 0, "single", "演示活动通知（DEMO）", by_firm)
    seller = firm.sellers[2]
    own = [Sent(c.userid, seller.userid, 1, began + 130_000) for c in firm.serves[seller.userid][:3]]
    yield Campaign("msgDEMO000000000member", seller.userid, began + 129_600, 1, "single", "演示早安（DEMO）", own)
