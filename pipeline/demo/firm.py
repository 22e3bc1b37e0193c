"""The made-up firm: who works there, whom they serve, which rooms they share, and when people write.

Before: pipeline/clock.py. After: talks.py, refusals.py, story.py.

Rules:
1. Every name says that it is made up: 示 in it and （DEMO） after it. No id, number or address belongs to anybody.
2. Ids look as the platform's do (wecom-archive.md 3.2): `wm` customers, `wo` people of another firm, `wb` robots, `wr` rooms.
3. One employee's userid begins with `wm`, another's is written in two casings: prefixes are a hint, and case does not tell employees apart.
4. Quiet customers never take part in ordinary talk: the stories about consent need people of whom every message is known.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from itertools import accumulate

import msgspec

from pipeline.clock import BEIJING, iso

NAME = "演示证券保险（DEMO）"
DAYS = 5
DEPARTMENTS = (
    ("证券经纪部", "证券", 18),
    ("财富管理部", "财富", 16),
    ("保险代理部", "保险", 16),
    ("机构业务部", "通用", 3),
    ("客户服务部", "通用", 3),
    ("合规部", "通用", 2),
    ("运营部", "通用", 2),
)
CUSTOMERS = 800
CUSTOMER_ROOMS = 22
QUIET_IN_ROOMS = 2 * CUSTOMER_ROOMS
MIXED_ROOMS = ("晨会", "值班", "活动筹备", "系统升级", "培训", "回访", "项目甲", "项目乙", "团建", "新人", "公告")
STAFF_ROOMS = (*(name for name, _, _ in DEPARTMENTS), *MIXED_ROOMS)

_SURNAMES = ("赵Zhao", "钱Qian", "孙Sun", "李Li", "周Zhou", "吴Wu", "郑Zheng", "王Wang", "冯Feng", "陈Chen", "韩Han", "杨Yang")
_GIVEN = ("甲Jia", "乙Yi", "丙Bing", "丁Ding", "戊Wu", "己Ji", "庚Geng", "辛Xin")
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"
Line = dict[str, str | None]

_WM_EMPLOYEE, _TWO_CASINGS, MOVED = 7, 3, 5
# How much of a day's talk begins in each hour, Beijing time: office hours mostly, some in the evening.
_HOURS = {7: 1, 8: 4, 9: 14, 10: 15, 11: 10, 12: 4, 13: 9, 14: 13, 15: 11, 16: 9, 17: 6, 18: 3, 19: 3, 20: 3, 21: 2, 22: 1}
_WEEKEND = 0.3


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody with an id. calls: how others address this person; topic: the business an employee does (`通用`: any)."""

    userid: str
    kind: str
    name: str
    calls: str
    department: str | None = None
    topic: str = "通用"


class Room(msgspec.Struct, frozen=True, kw_only=True):
    """A room and everybody in it; topic as in `Person`, `通用` for a room of employees alone."""

    room_id: str
    name: str
    topic: str
    employees: tuple[Person, ...]
    customers: tuple[Person, ...] = ()
    quiet: tuple[Person, ...] = ()
    robot: Person

    @property
    def members(self) -> tuple[str, ...]:
        """All ids, employees first."""
        return tuple(p.userid for p in (*self.employees, *self.customers, *self.quiet, self.robot))


class Firm(msgspec.Struct, frozen=True, kw_only=True):
    """The whole firm. serves: the customers of each selling employee by userid; externals: every id of an external person."""

    employees: tuple[Person, ...]
    customers: tuple[Person, ...]
    quiet: tuple[Person, ...]
    robots: tuple[Person, ...]
    staff_rooms: tuple[Room, ...]
    customer_rooms: tuple[Room, ...]
    serves: dict[str, tuple[Person, ...]]
    externals: frozenset[str]

    @property
    def sellers(self) -> tuple[Person, ...]:
        """The employees of the three departments that serve customers."""
        return tuple(e for e in self.employees if e.topic != "通用")

    @property
    def two_casings(self) -> Person:
        """The employee whose userid arrives in two casings (rule 3)."""
        return self.employees[_TWO_CASINGS]


class Calendar:
    """Five Beijing days, and when within them a talk begins."""

    def __init__(self, end_day: date) -> None:
        self.days = tuple(end_day - timedelta(days=DAYS - 1 - i) for i in range(DAYS))
        self._slots = [(day, hour) for day in self.days for hour in _HOURS]
        weights = [_HOURS[hour] * (_WEEKEND if day.weekday() >= 5 else 1.0) for day, hour in self._slots]
        self._weights = list(accumulate(weights))

    def at(self, day: int, hour: int, minute: int = 0, second: int = 0) -> int:
        """Return the moment on day number `day` (0 to 4), Beijing time, in milliseconds since 1970 UTC."""
        return int(datetime.combine(self.days[day], time(hour, minute, second), BEIJING).timestamp()) * 1000

    def moment(self, rng: random.Random) -> int:
        """Return a likely moment for a talk to begin, in milliseconds since 1970 UTC."""
        day, hour = rng.choices(self._slots, cum_weights=self._weights)[0]
        return int(datetime.combine(day, time(hour), BEIJING).timestamp()) * 1000 + rng.randrange(3_600_000)


def make_firm(rng: random.Random, *, quiet: int) -> Firm:
    """Return the firm with 60 employees, 800 customers, `quiet` more that ordinary talk leaves out, and 40 rooms."""
    employees = tuple(_employees())
    robots = tuple(Person(userid=_id(rng, "wb"), kind="robot", name=f"{n}（DEMO）", calls=n) for n in ("示例提醒机器人", "示例行情机器人"))
    customers = tuple(_customer(rng, n) for n in range(CUSTOMERS))
    silent = tuple(_customer(rng, CUSTOMERS + n) for n in range(quiet))
    sellers = [e for e in employees if e.topic != "通用"]
    serves: dict[str, list[Person]] = {e.userid: [] for e in sellers}
    for customer in customers:
        for employee in rng.sample(sellers, rng.choice((1, 1, 2))):
            serves[employee.userid].append(customer)
    return Firm(
        employees=employees,
        customers=customers,
        quiet=silent,
        robots=robots,
        staff_rooms=tuple(_staff_room(rng, n, employees, robots[0]) for n in range(len(STAFF_ROOMS))),
        customer_rooms=tuple(_customer_room(rng, n, sellers, customers, silent, robots[n % 2]) for n in range(CUSTOMER_ROOMS)),
        serves={userid: tuple(people) for userid, people in serves.items()},
        externals=frozenset(p.userid for p in (*customers, *silent)),
    )


def directory_lines(firm: Firm, calendar: Calendar) -> Iterator[Line]:
    """Yield the rows of directory.jsonl: columns of schemas/people.v1.json, times in ISO 8601 UTC, null where open.

    One employee changed the department at noon of the third day; one left before the first day and wrote nothing."""
    noon = iso(calendar.at(2, 12))
    for number, person in enumerate((*firm.employees, *firm.robots, *firm.customers, *firm.quiet)):
        if number == MOVED:
            yield _row(person, valid_to=noon)
            yield _row(person, department="客户服务部", valid_from=noon)
        else:
            yield _row(person)
    left = Person(userid="left.shili", kind="employee", name="离示例（DEMO）", calls="小离", department="合规部")
    yield _row(left, valid_to=iso(calendar.at(0, 0)))


def _row(person: Person, *, department: str | None = None, valid_from: str | None = None, valid_to: str | None = None) -> Line:
    return {
        "userid": person.userid, "kind": person.kind, "name": person.name, "department": department or person.department,
        "valid_from": valid_from, "valid_to": valid_to,
    }  # fmt: skip


def _employees() -> Iterator[Person]:
    posts = [(department, topic) for department, topic, count in DEPARTMENTS for _ in range(count)]
    for number, (department, topic) in enumerate(posts):
        surname, given = _SURNAMES[number % len(_SURNAMES)], _GIVEN[number // len(_SURNAMES)]
        userid = "wmDemoStaff" if number == _WM_EMPLOYEE else f"{surname[1:]}Shi{given[1:].lower()}"
        yield Person(
            userid=userid,
            kind="employee",
            name=f"{surname[0]}示{given[0]}（DEMO）",
            calls=f"小{surname[0]}",
            department=department,
            topic=topic,
        )


def _customer(rng: random.Random, number: int) -> Person:
    surname = rng.choice(_SURNAMES)[0]
    prefix = "wo" if number % 22 == 21 else "wm"
    return Person(
        userid=_id(rng, prefix),
        kind="external",
        name=f"{surname}示例{number:04d}（DEMO）",
        calls=f"{surname}{rng.choice(('先生', '女士'))}",
    )


def _staff_room(rng: random.Random, number: int, employees: tuple[Person, ...], robot: Person) -> Room:
    name = STAFF_ROOMS[number]
    own = [e for e in employees if e.department == name]
    members = own if len(own) > 3 else rng.sample(employees, 9)
    return Room(room_id=_id(rng, "wr"), name=f"{name}（DEMO）", topic="通用", employees=tuple(members), robot=robot)


def _customer_room(
    rng: random.Random, number: int, sellers: list[Person], customers: tuple[Person, ...], quiet: tuple[Person, ...], robot: Person
) -> Room:
    topic = ("证券", "财富", "保险")[number % 3]
    return Room(
        room_id=_id(rng, "wr"),
        name=f"{topic}服务群{number + 1:02d}（DEMO）",
        topic=topic,
        employees=tuple(rng.sample([s for s in sellers if s.topic == topic], 2)),
        customers=tuple(rng.sample(customers, rng.randint(6, 12))),
        quiet=quiet[number * 2 : min(number * 2 + 2, QUIET_IN_ROOMS)],
        robot=robot,
    )


def _id(rng: random.Random, prefix: str) -> str:
    return f"{prefix}DEMO{''.join(rng.choices(_ALPHABET, k=26))}"
