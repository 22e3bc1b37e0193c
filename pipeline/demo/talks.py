"""Talks become drafts: who says which line to whom, when, and as which kind of message.

Before: chatter.py, messages.py, firm.py. After: refusals.py, planting.py, story.py.

A draft is one message before it has a place in the sequence. `sent_ms` is when it was written, `arrival_ms` when the archive got it:
the sequence follows arrival, as the platform's does (wecom-archive.md 1.3).
"""

from __future__ import annotations

import random
from typing import Any, Literal

import msgspec

from pipeline.demo import messages
from pipeline.demo.chatter import Detail, Place, Topic, Turn, fill
from pipeline.demo.firm import Calendar, Firm, Person, Room
from pipeline.demo.messages import Body

Role = Literal["ordinary", "story", "decision", "switch", "recall", "repeat", "conflict"]


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """A phrase that this message was planted with. carrier: how it travels; quote and chatrecord are another person's words."""

    group: str
    category: str
    term: str
    form: str = "literal"
    carrier: str = "text"


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """One message before it has a seq. sender is the id of the directory, written_sender as the message spells it.

    room_id: "" in a single chat. stamp: how msgtime is written (`ms`, `s` seconds, `none` 0). target: the msgid that a recall recalls.
    role: what it was made for; only `ordinary` ones are damaged, repeated or recalled later."""

    msgid: str
    sent_ms: int
    arrival_ms: int
    sender: str
    tolist: tuple[str, ...]
    room_id: str
    body: Body
    role: Role = "ordinary"
    written_sender: str
    stamp: Literal["ms", "s", "none"] = "ms"
    target: str = ""
    marks: tuple[Mark, ...] = ()
    details: tuple[Detail, ...] = ()

    def as_message(self) -> dict[str, Any]:
        """Return the message JSON as a value, fields in the platform's order."""
        if self.role == "switch":
            return messages.switch(msgid=self.msgid, user=self.sender, at_ms=self.sent_ms)
        return messages.message(
            msgid=self.msgid,
            action="recall" if self.role == "recall" else "send",
            sender=self.written_sender,
            tolist=self.tolist,
            roomid=self.room_id,
            msgtime={"ms": self.sent_ms, "s": self.sent_ms // 1000, "none": 0}[self.stamp],
            body=self.body,
        )


class Cast(msgspec.Struct, frozen=True):
    """Who plays the speakers of a talk (E, C, F, D, B), and the room it takes place in (None: a single chat)."""

    people: dict[str, Person]
    room: Room | None = None

    def others(self, person: Person) -> tuple[str, ...]:
        """Return the receivers of what this person says: the other members of the room, else the one other party."""
        members = self.room.members if self.room else tuple(p.userid for p in self.people.values())
        return tuple(m for m in members if m != person.userid)

    def names(self, rng: random.Random) -> dict[str, str]:
        """Return the words for the slots `cust`, `emp` and `ename`."""
        employee, customer = self.people["E"], self.people.get("C")
        return {
            "cust": customer.calls if customer else rng.choice(("王女士", "李先生", "陈女士")),
            "emp": employee.calls,
            "ename": employee.calls[-1],
        }


class World(msgspec.Struct, frozen=True):
    """What every story needs: the firm, its five days, and the source of chance."""

    rng: random.Random
    firm: Firm
    calendar: Calendar

    def cast(self, at: Place, on: Topic, *, employee: Person | None = None) -> Cast:
        """Return people who fit a talk of this place and business."""
        match at:
            case "customer":
                return self._with_customer(employee or self.rng.choice(self._doing(on, self.firm.sellers)))
            case "colleague":
                first = employee or self.rng.choice(self._doing(on, self.firm.employees))
                second = self.rng.choice([e for e in self.firm.employees if e.userid != first.userid])
                return Cast({"E": first, "F": second})
            case "customer_room":
                room = self.rng.choice([r for r in self.firm.customer_rooms if on in (r.topic, "通用")])
                customers = self.rng.sample(room.customers, 2)
                return Cast({"E": room.employees[0], "F": room.employees[1], "C": customers[0], "D": customers[1], "B": room.robot}, room)
            case "internal_room":
                room = self.rng.choice(self.firm.staff_rooms)
                members = self.rng.sample(room.employees, 2)
                return Cast({"E": members[0], "F": members[1], "B": room.robot}, room)

    def _with_customer(self, employee: Person) -> Cast:
        served = self.firm.serves[employee.userid]
        # Some customers write far more than others.
        return Cast({"E": employee, "C": served[min(self.rng.randrange(len(served)), self.rng.randrange(len(served)))]})

    @staticmethod
    def _doing(on: Topic, people: tuple[Person, ...]) -> list[Person]:
        return [p for p in people if on in (p.topic, "通用")]

    def msgid(self, sent_ms: int, parties: tuple[str, ...]) -> str:
        """Return a new message id; that of an external conversation says so (2.1)."""
        if not self.firm.externals.isdisjoint(parties):
            return f"{self.rng.randrange(10**18, 10**20)}_{sent_ms}_external"
        if self.rng.random() < 0.2:
            return f"CAQQ{''.join(self.rng.choices('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789', k=26))}="
        return f"{self.rng.randrange(10**18, 10**20)}_{sent_ms}"

    def draft(self, cast: Cast, speaker: str, turn: Turn, sent_ms: int, *, role: Role = "ordinary", marks: tuple[Mark, ...] = ()) -> Draft:
        """Return what this speaker says at this moment."""
        person = cast.people[speaker]
        words, details = fill(turn.words, self.rng, cast.names(self.rng))
        body = self._body(cast, person, turn.kind, words, sent_ms)
        others = cast.others(person)
        receivers = others if body.has_room or cast.room is None else others[:1]
        return Draft(
            msgid=self.msgid(sent_ms, (person.userid, *receivers)),
            sent_ms=sent_ms,
            arrival_ms=sent_ms + self._delay(),
            sender=person.userid,
            tolist=receivers,
            room_id=cast.room.room_id if cast.room and body.has_room else "",
            body=body,
            role=role,
            written_sender=self._as_written(person.userid),
            stamp="s" if body.msgtype == "voip_doc_share" else "ms",  # the oddity of 3.1
            marks=marks,
            details=details,
        )

    def _body(self, cast: Cast, person: Person, kind: str, words: str, sent_ms: int) -> Body:
        asked = messages.Asked(
            words=(words,) if kind == "text" else tuple(words.split("|")), rng=self.rng, at_ms=sent_ms,
            sender=person.userid, names=tuple(p.name for p in cast.people.values()),
        )  # fmt: skip
        return messages.body(kind, asked)

    def _as_written(self, userid: str) -> str:
        return userid.lower() if userid == self.firm.two_casings.userid and self.rng.random() < 0.3 else userid

    def _delay(self) -> int:
        return self.rng.randint(150, 2_500) if self.rng.random() < 0.98 else self.rng.randint(2_500, 40_000)

    def perform(self, turns: tuple[Turn, ...], cast: Cast, start_ms: int, *, role: Role = "ordinary", quick: bool = False) -> list[Draft]:
        """Return one draft a turn, each some seconds after the one before (quick: 2 to 6 seconds)."""
        drafts, at_ms = [], start_ms
        for turn in turns:
            drafts.append(self.draft(cast, turn.speaker, turn, at_ms, role=role))
            at_ms += self.rng.randint(2_000, 6_000) if quick else 2_500 + min(int(self.rng.expovariate(1 / 28_000)), 240_000)
        return drafts
