"""Stories about consent: who refuses or agrees when, in which scope, how that becomes known, and what must be withheld for it.

Before: talks.py. After: fates.py, story.py.

Rules shown (interface.md, "Rules of meaning"; room = "sender", default = "agree"):
1. A refusal holds from its own time, inclusive, until an agreement; a record of the stream in milliseconds, an import from the start of
   its second. Where both name the same change, the record decides.
2. The record may arrive much later than the messages it covers; an import speaks of the past as well.
3. A pair never answers for a room, nor for another pair; in a room only the words of who refused are withheld.
4. An agreement by import counts from when it is imported: it releases nothing that was said before.
5. Without its own time a refusal counts from msgtime.

`Refusal` is the truth about one scope and span; nothing here asks the pipeline.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, Literal

import msgspec

from pipeline.clock import BEIJING
from pipeline.demo import messages
from pipeline.demo.chatter import Turn, talks
from pipeline.demo.firm import QUIET_IN_ROOMS, Person, Room
from pipeline.demo.talks import Cast, Draft, Role, World

MINUTE, HOUR = 60_000, 3_600_000
STORIES_A_ROUND = 10
WITHHELD_A_STORY = 4


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """One refusal: its scope (a pair, or a room and a person), its span, and how it becomes known.

    from_ms is inclusive, until_ms exclusive (None: it still holds)."""

    userid: str | None
    room_id: str | None
    external_userid: str
    from_ms: int
    until_ms: int | None
    known_by: Literal["stream", "import", "both"]
    story: str

    def covers(self, draft: Draft) -> bool:
        """Return whether this refusal withholds the message (rules 1 and 3)."""
        if not (self.from_ms <= draft.sent_ms and (self.until_ms is None or draft.sent_ms < self.until_ms)):
            return False
        if self.room_id is not None:
            return draft.room_id == self.room_id and draft.sender == self.external_userid
        return not draft.room_id and {draft.sender, *draft.tolist} == {self.userid, self.external_userid}


class Telling(msgspec.Struct):
    """All stories told so far."""

    drafts: list[Draft] = msgspec.field(default_factory=list)
    refusals: list[Refusal] = msgspec.field(default_factory=list)
    lines: list[dict[str, Any]] = msgspec.field(default_factory=list)


def stories_for(count: int) -> int:
    """Return how many stories a demonstration of `count` messages tells: some 0.5 % of it is withheld, well below the breaker's 1 %."""
    return max(STORIES_A_ROUND, int(count * 0.006) // WITHHELD_A_STORY)


def quiet_people(count: int) -> int:
    """Return how many quiet customers these stories need."""
    return QUIET_IN_ROOMS + max(56, 2 * stories_for(count))


def tell(world: World, count: int) -> Telling:
    """Tell the stories for a demonstration of `count` messages, each kind in turn, each about a quiet customer of its own."""
    told = Telling()
    everybody = iter(world.firm.quiet[QUIET_IN_ROOMS:])
    in_rooms = iter([(room, person) for room in world.firm.customer_rooms for person in room.quiet])
    for number in range(stories_for(count)):
        story = _STORIES[number % len(_STORIES)]
        stage = _Stage(world, told, number)
        if story in _ROOM_STORIES:
            place = next(in_rooms, None)
            if place is not None:
                story(stage, *place)
        else:
            story(stage, stage.employee(), next(everybody))
    _agreements(world, told, everybody)
    _defaults(world, told)
    return told


class _Stage:
    """One story's tools: its moment (on one of the first three days, in the morning) and its words."""

    def __init__(self, world: World, told: Telling, number: int) -> None:
        self.world, self.told, self.rng = world, told, world.rng
        self.at_ms = world.calendar.at(number % 3, 9) + self.rng.randrange(3 * HOUR)

    def employee(self) -> Person:
        return self.rng.choice(self.world.firm.sellers)

    def talk(self, cast: Cast, start_ms: int, turns: int) -> list[Draft]:
        """Some ordinary lines, from start_ms on."""
        topics = (cast.people["E"].topic, "通用")
        chosen = self.rng.choice([t for t in talks() if t.at == "customer" and t.on in topics])
        return self.add(self.world.perform(chosen.turns[:turns], cast, start_ms, role="story"))

    def say(self, cast: Cast, speaker: str, words: str, at_ms: int, role: Role = "story") -> Draft:
        """One line at exactly this moment."""
        return self.add([self.world.draft(cast, speaker, Turn(speaker, "text", words), at_ms, role=role)])[0]

    def add(self, drafts: list[Draft]) -> list[Draft]:
        self.told.drafts += drafts
        return drafts

    def decide(self, kind: str, cast: Cast, at_ms: int, *, own_time: bool = True, late_ms: int = 0) -> None:
        """The customer's decision as a record of the stream; with late_ms it arrives that much later than it was made."""
        person = cast.people["C"]
        others = cast.others(person)
        written_ms = at_ms + late_ms if own_time else at_ms
        self.add(
            [
                Draft(
                    msgid=self.world.msgid(written_ms, (person.userid, *others)), sent_ms=written_ms, arrival_ms=at_ms + late_ms + 300,
                    sender=person.userid, written_sender=person.userid, tolist=others, room_id=cast.room.room_id if cast.room else "",
                    body=messages.decision(kind, person.userid, at_ms if own_time else None), role="decision",
                )
            ]
        )  # fmt: skip

    def refuse(
        self, cast: Cast, from_ms: int, *, until_ms: int | None = None, known_by: Literal["stream", "import", "both"] = "stream", story: str
    ) -> None:
        """Write the truth down."""
        self.told.refusals.append(
            Refusal(
                userid=None if cast.room else cast.people["E"].userid, room_id=cast.room.room_id if cast.room else None,
                external_userid=cast.people["C"].userid, from_ms=from_ms, until_ms=until_ms, known_by=known_by, story=story,
            )
        )  # fmt: skip

    def line(self, cast: Cast, status: str, changed_at: int | str) -> None:
        """A line of consent.jsonl."""
        scope = {"roomid": cast.room.room_id} if cast.room else {"userid": cast.people["E"].userid}
        self.told.lines.append({**scope, "external_userid": cast.people["C"].userid, "status": status, "changed_at": changed_at})


def _pair(employee: Person, customer: Person) -> Cast:
    return Cast({"E": employee, "C": customer})


def _at_once(stage: _Stage, employee: Person, customer: Person) -> None:
    """Refusal in a single chat, to the millisecond; the same customer goes on with another employee. A recall across the refusal."""
    cast, at_ms = _pair(employee, customer), stage.at_ms
    stage.talk(cast, at_ms - 40 * MINUTE, 2)
    stage.say(cast, "C", "我先看看", at_ms - 1)
    stage.say(cast, "C", "好", at_ms)
    stage.decide("disagree", cast, at_ms)
    stage.refuse(cast, at_ms, story="at_once")
    stage.talk(cast, at_ms + 7 * MINUTE, 2)
    colleague = next(e for e in stage.world.firm.sellers if e.userid != employee.userid)
    stage.talk(_pair(colleague, customer), at_ms + HOUR, 2)


def _recalled_across(stage: _Stage, employee: Person, customer: Person) -> None:
    """Something said before the refusal is recalled after it: the recall follows what it recalls. Something withheld is recalled, too."""
    cast, at_ms = _pair(employee, customer), stage.at_ms
    before = stage.say(cast, "E", "发错了，稍等", at_ms - 40_000)
    stage.decide("disagree", cast, at_ms)
    stage.refuse(cast, at_ms, story="recalled_across")
    stage.add([recall(stage.world, before, at_ms + 30_000)])
    covered = stage.say(cast, "E", "资料在路上", at_ms + 5 * MINUTE)
    stage.add([recall(stage.world, covered, at_ms + 6 * MINUTE)])


def _told_late(stage: _Stage, employee: Person, customer: Person) -> None:
    """The refusal's record arrives days after the refusal, at noon of the last day, behind the messages that it covers."""
    cast, at_ms = _pair(employee, customer), stage.at_ms
    stage.talk(cast, at_ms - HOUR, 2)
    stage.talk(cast, at_ms + 11 * MINUTE, 3)
    stage.decide("disagree", cast, at_ms, late_ms=stage.world.calendar.at(4, 12) - at_ms)
    stage.refuse(cast, at_ms, story="told_late")


def _changed_mind(stage: _Stage, employee: Person, customer: Person) -> None:
    """Refused, agreed again six hours later."""
    cast, at_ms = _pair(employee, customer), stage.at_ms
    stage.decide("disagree", cast, at_ms)
    stage.talk(cast, at_ms + 15 * MINUTE, 3)
    stage.decide("agree", cast, at_ms + 6 * HOUR)
    stage.refuse(cast, at_ms, until_ms=at_ms + 6 * HOUR, story="changed_mind")
    stage.talk(cast, at_ms + 7 * HOUR, 3)


def _by_import(stage: _Stage, employee: Person, customer: Person) -> None:
    """Only an import knows of it, in seconds; an agreement in the same import releases nothing."""
    cast, second = _pair(employee, customer), stage.at_ms // 1000
    stage.say(cast, "C", "在忙", second * 1000 - 1)
    stage.say(cast, "C", "晚点说", second * 1000)
    stage.talk(cast, second * 1000 + 2 * HOUR, 3)
    stage.line(cast, "Disagree", second)
    stage.line(cast, "Agree", second + 3600)
    stage.refuse(cast, second * 1000, known_by="import", story="by_import")


def _by_both(stage: _Stage, employee: Person, customer: Person) -> None:
    """An import names the second, the record the millisecond: the record decides."""
    cast, second = _pair(employee, customer), stage.at_ms // 1000
    at_ms = second * 1000 + 400
    stage.say(cast, "E", "您好", second * 1000 + 200)
    stage.decide("disagree", cast, at_ms)
    stage.line(cast, "Disagree", datetime.fromtimestamp(second, BEIJING).isoformat())
    stage.refuse(cast, at_ms, known_by="both", story="by_both")
    stage.talk(cast, at_ms + 20 * MINUTE, 3)


def _without_time(stage: _Stage, employee: Person, customer: Person) -> None:
    """The record has no time of its own."""
    cast, at_ms = _pair(employee, customer), stage.at_ms
    stage.talk(cast, at_ms - HOUR, 2)
    stage.decide("disagree", cast, at_ms, own_time=False)
    stage.refuse(cast, at_ms, story="without_time")
    stage.talk(cast, at_ms + 9 * MINUTE, 3)


def _on_the_last_day(stage: _Stage, employee: Person, customer: Person) -> None:
    """Refused early, spoken to until the last evening: some of it is sealed with the newest key."""
    cast, at_ms = _pair(employee, customer), stage.at_ms
    stage.decide("disagree", cast, at_ms)
    stage.refuse(cast, at_ms, story="on_the_last_day")
    stage.talk(cast, at_ms + 30 * MINUTE, 2)
    stage.talk(cast, stage.world.calendar.at(4, 22, 30), 2)


def _in_room(stage: _Stage, room: Room, customer: Person) -> None:
    """Refusal in a room: the customer's words there are withheld, those of others not, nor a single chat."""
    cast, at_ms = _room_cast(room, customer), stage.at_ms
    stage.say(cast, "C", "大家早", at_ms - 5 * MINUTE)
    stage.decide("disagree", cast, at_ms)
    stage.refuse(cast, at_ms, story="in_room")
    stage.say(cast, "D", "早呀", at_ms + 2 * MINUTE)
    stage.say(cast, "C", "我就看看", at_ms + 3 * MINUTE)
    stage.say(cast, "E", "欢迎", at_ms + 4 * MINUTE)
    stage.say(cast, "C", "嗯嗯", at_ms + 5 * MINUTE)
    stage.talk(_pair(room.employees[0], customer), at_ms + 2 * HOUR, 2)


def _in_room_by_import(stage: _Stage, room: Room, customer: Person) -> None:
    """The same, known by an import alone."""
    cast, second = _room_cast(room, customer), stage.at_ms // 1000
    stage.say(cast, "C", "收到", second * 1000 - 1)
    stage.say(cast, "C", "谢谢", second * 1000)
    stage.say(cast, "E", "不客气", second * 1000 + MINUTE)
    stage.line(cast, "Disagree", second)
    stage.refuse(cast, second * 1000, known_by="import", story="in_room_by_import")


def _room_cast(room: Room, customer: Person) -> Cast:
    return Cast({"E": room.employees[0], "F": room.employees[1], "C": customer, "D": room.customers[0], "B": room.robot}, room)


_ROOM_STORIES: tuple[Callable[..., None], ...] = (_in_room, _in_room_by_import)
_STORIES: tuple[Callable[..., None], ...] = (
    _at_once, _told_late, _changed_mind, _by_import, _in_room,
    _by_both, _without_time, _on_the_last_day, _recalled_across, _in_room_by_import,
)  # fmt: skip


def _agreements(world: World, told: Telling, people: Iterator[Person]) -> None:
    """Customers who agree at the first contact, in a single chat; and one in a room."""
    for number in range(8):
        stage = _Stage(world, told, number)
        customer = next(people)
        cast = _pair(stage.employee(), customer)
        stage.decide("agree", cast, stage.at_ms)
        stage.talk(cast, stage.at_ms + MINUTE, 2)
    room = world.firm.customer_rooms[-1]
    stage = _Stage(world, told, 1)
    stage.decide("agree", _room_cast(room, room.customers[1]), stage.at_ms)


def _defaults(world: World, told: Telling) -> None:
    """Two lines of the import say Default_Agree about ordinary customers: they change nothing."""
    for number, seller in enumerate(world.firm.sellers[:2]):
        stage = _Stage(world, told, number)
        stage.line(_pair(seller, world.firm.serves[seller.userid][-1]), "Default_Agree", stage.at_ms // 1000)


def recall(world: World, original: Draft, sent_ms: int) -> Draft:
    """Return the record that recalls `original` (wecom-archive.md 3.3): its own id, the same people."""
    return Draft(
        msgid=world.msgid(sent_ms, (original.sender, *original.tolist)), sent_ms=sent_ms, arrival_ms=sent_ms + 400,
        sender=original.sender, written_sender=original.written_sender, tolist=original.tolist, room_id=original.room_id,
        body=messages.revoke(original.msgid), role="recall", target=original.msgid,
    )  # fmt: skip
