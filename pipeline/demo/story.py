"""The whole demonstration before sealing: every record in its place in the sequence, with what must become of it.

Before: planting.py, refusals.py, faults.py. After: truth.py, pages.py, generate.py.

Rules:
1. The same seed, count, day and corp give the same records, byte by byte.
2. The sequence follows arrival, grows, and has gaps. Records whose message was made for something else than talk arrive before three in the
   afternoon of the last day; after the last of them the newest key begins (it is held back at first), so that only messages wait for it.
3. The key changes to version 2 at noon of the third day.
4. Damaged, repeated and recalled are ordinary messages only, each at most once, and nothing that was planted is damaged.
5. Fates (interface.md, "Rules of meaning"): failed by its code; control; duplicate; a recall follows its original; withheld where a refusal
   covers it; else archived.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import date
from typing import Literal

import msgspec

from pipeline.demo import chatter, faults, planting, refusals
from pipeline.demo.chatter import Turn
from pipeline.demo.firm import Calendar, Firm, make_firm
from pipeline.demo.media import inner_id, renewed
from pipeline.demo.messages import Body
from pipeline.demo.refusals import Refusal, recall
from pipeline.demo.talks import Draft, World
from pipeline.errors import UsageError

Fate = Literal["archived", "withheld", "failed", "control", "duplicate"]
LEAST = 500
LATE_VERSION = 3
SMALL = 2_000
_SIXTH_PARTS = 6


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One record to be sealed. fate: what becomes of it while the late key is missing; fate_later: once it is there.

    msgid: of the envelope; code: the failure it shows (KEY_MISSING of the late key included).
    order: 0, or 1 for the second of two with one seq."""

    seq: int
    msgid: str
    key_version: int
    plaintext: bytes
    draft: Draft
    fate: Fate
    fate_later: Fate
    code: str = ""
    order: int = 0


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """All records in the order of seq, and what they came from."""

    corp_id: str
    seed: int
    firm: Firm
    calendar: Calendar
    records: tuple[Record, ...]
    refusals: tuple[Refusal, ...]
    consent_lines: tuple[dict[str, object], ...]
    recalls_first: tuple[str, ...]


class _Extra(msgspec.Struct, frozen=True, kw_only=True):
    """How many records of each kind are made from ordinary messages once all of those are there."""

    recalls: int
    recalls_first: int
    repeats: int
    conflicts: int
    switches: int

    @classmethod
    def of(cls, count: int) -> _Extra:
        """Return how many a demonstration of `count` messages has."""
        return cls(
            recalls=max(4, count // 250), recalls_first=2, repeats=max(3, count // 2000), conflicts=1, switches=max(2, count // 4000)
        )

    @property
    def total(self) -> int:
        """All of them, and the recall of something unknown and the second record of one seq."""
        return self.recalls + self.recalls_first + self.repeats + self.conflicts + self.switches + 2


def plan(count: int, *, seed: int, corp_id: str, end_day: date) -> Plan:
    """Return the plan of exactly `count` records over the five Beijing days up to `end_day`; UsageError DEMO_TOO_SMALL below 500."""
    if count < LEAST:
        raise UsageError("DEMO_TOO_SMALL", f"expected at least {LEAST} messages, got {count}", remedy="ask for more")
    rng = random.Random(seed)
    calendar = Calendar(end_day)
    firm = make_firm(rng, quiet=refusals.quiet_people(count))
    world = World(rng, firm, calendar)
    extra = _Extra.of(count)
    told = refusals.tell(world, count)
    planted = planting.plant(world, planting.Quota.of(count), lead_in=2 if count < SMALL else 4)
    drafts = [*told.drafts, *planted, *_every_kind(world), *_odd_ones(world)]
    drafts += _talk(world, count - extra.total - len(drafts))
    first = _add_extra(world, drafts, extra)
    records = _records(world, drafts, told.refusals)
    return Plan(
        corp_id=corp_id, seed=seed, firm=firm, calendar=calendar, records=records, recalls_first=first,
        refusals=tuple(told.refusals), consent_lines=tuple(told.lines),
    )  # fmt: skip


# --- what people say ---


def _every_kind(world: World) -> Iterator[Draft]:
    """Talks that hold a kind of message that no talk before them held, so that every kind occurs."""
    seen: set[str] = set()
    for talk in chatter.talks():
        kinds = {turn.kind for turn in talk.turns}
        if not kinds <= seen:
            seen |= kinds
            yield from world.perform(talk.turns, world.cast(talk.at, talk.on), world.calendar.moment(world.rng))


def _odd_ones(world: World) -> Iterator[Draft]:
    """A message without a time, and one with a raw control character in it (wecom-archive.md 3.1, 3.6)."""
    for words, stamp in (("时间不详的一条", "none"), ("换行符\x11也会出现", "ms")):
        start = world.calendar.moment(world.rng)
        draft = world.draft(world.cast("colleague", "通用"), "E", Turn("E", "text", words), start, role="story")
        yield msgspec.structs.replace(draft, stamp=stamp)


def _talk(world: World, count: int) -> list[Draft]:
    """Ordinary talk of exactly `count` messages."""
    drafts: list[Draft] = []
    every = chatter.talks()
    weights = [{"customer": 7, "colleague": 3, "customer_room": 2, "internal_room": 2}[t.at] for t in every]
    while len(drafts) < count:
        talk = world.rng.choices(every, weights)[0]
        drafts += world.perform(talk.turns, world.cast(talk.at, talk.on), world.calendar.moment(world.rng))
    return drafts[: max(count, 0)]


# --- what is made from it ---


def _add_extra(world: World, drafts: list[Draft], extra: _Extra) -> tuple[str, ...]:
    """Add recalls, repeats, conflicts and switches to `drafts`; return the msgids of recalls that arrive before their originals."""
    latest = world.calendar.at(4, 13)
    usable = [i for i, d in enumerate(drafts) if d.role == "ordinary" and d.sent_ms < latest]
    chosen = iter(world.rng.sample(usable, extra.recalls + extra.recalls_first + extra.repeats + extra.conflicts))
    for _ in range(extra.recalls):
        original = drafts[next(chosen)]
        drafts.append(recall(world, original, original.sent_ms + world.rng.randint(4_000, 110_000)))
    first: list[str] = []
    for number in (next(chosen) for _ in range(extra.recalls_first)):
        recalled = recall(world, drafts[number], drafts[number].sent_ms + 20_000)
        drafts[number] = msgspec.structs.replace(drafts[number], arrival_ms=recalled.arrival_ms + 5_000)
        first.append(recalled.msgid)
        drafts.append(recalled)
    drafts.append(_recall_of_unknown(world))
    drafts += [_repeat(world, drafts[next(chosen)]) for _ in range(extra.repeats)]
    drafts += [_conflicting(world, drafts[next(chosen)]) for _ in range(extra.conflicts)]
    drafts += [_switch(world) for _ in range(extra.switches)]
    return tuple(first)


def _recall_of_unknown(world: World) -> Draft:
    """A recall whose original was never delivered."""
    cast = world.cast("colleague", "通用")
    lost = world.draft(cast, "E", Turn("E", "text", "没有送达"), world.calendar.at(1, 10, 30))
    return recall(world, lost, lost.sent_ms + 8_000)


def _repeat(world: World, original: Draft) -> Draft:
    """The same message again some hours later; its files under other ids, as every delivery gives them."""
    fields = original.body.fields
    body = Body(msgtype=original.body.msgtype, fields=_renewed(world.rng, fields), has_room=original.body.has_room)
    later = original.arrival_ms + world.rng.randint(10, 90) * 60_000
    return msgspec.structs.replace(original, body=body, arrival_ms=later, role="repeat", marks=(), details=())


def _renewed(rng: random.Random, value: dict[str, object]) -> dict[str, object]:
    """The body with new file ids at its top; those inside forwarded strings stay."""
    told = dict(value)
    for name, inner in value.items():
        if isinstance(inner, dict) and "sdkfileid" in inner:
            told[name] = {**inner, "sdkfileid": renewed(rng, inner_id(inner["sdkfileid"]))}
    return told


def _conflicting(world: World, original: Draft) -> Draft:
    """Another message under the id of one that is there."""
    body = Body(msgtype="text", fields={"text": {"content": "同一个编号下的另一条"}})
    return msgspec.structs.replace(original, body=body, arrival_ms=original.arrival_ms + 600_000, role="conflict", marks=(), details=())


def _switch(world: World) -> Draft:
    """An employee goes over to another firm on the client."""
    person = world.rng.choice(world.firm.employees)
    at_ms = world.calendar.at(world.rng.randrange(4), 9, world.rng.randrange(60), world.rng.randrange(60))
    return Draft(
        msgid=str(world.rng.randrange(10**20, 10**21)), sent_ms=at_ms, arrival_ms=at_ms + 500, sender=person.userid,
        written_sender=person.userid, tolist=(), room_id="", body=Body(msgtype="", fields={}), role="switch",
    )  # fmt: skip


# --- the sequence ---


def _records(world: World, drafts: list[Draft], known: list[Refusal]) -> tuple[Record, ...]:
    ordered = sorted(drafts, key=lambda d: d.arrival_ms)
    late_from = _late_from(ordered)
    broken = _broken(world.rng, ordered, late_from)
    fates = _fates(ordered, known)
    rotated_ms = world.calendar.at(2, 12)
    records: list[Record] = []
    seq = 100_000
    for place, draft in enumerate(ordered):
        seq += 1 if world.rng.random() < 0.96 else world.rng.randint(2, 40)
        late = place >= late_from
        version = LATE_VERSION if late else 2 if draft.arrival_ms >= rotated_ms else 1
        code = broken.get(place) or ("KEY_MISSING" if late else "MSGID_CONFLICT" if draft.role == "conflict" else "")
        fate_later: Fate = "failed" if code not in ("", "KEY_MISSING") else fates[place]
        records.append(
            Record(
                seq=seq, msgid=_envelope_msgid(draft.msgid, code), key_version=version, plaintext=_plaintext(draft, code), draft=draft,
                fate="failed" if code else fate_later, fate_later=fate_later, code=code,
            )
        )  # fmt: skip
    return tuple(_with_second(world, records))


def _late_from(ordered: list[Draft]) -> int:
    """Return from which place on the newest key seals: after the last record that is no plain message (rule 2), one in fifty at most."""
    last = max(place for place, draft in enumerate(ordered) if draft.role not in ("ordinary", "story"))
    return max(last + 1, len(ordered) - len(ordered) // 50)


def _broken(rng: random.Random, ordered: list[Draft], late_from: int) -> dict[int, str]:
    """Return which place shows which fault (rule 4): texts between the third and the fifth sixth of the sequence."""
    touched = {d.target for d in ordered} | {d.msgid for d in ordered if d.role in ("repeat", "conflict")}
    begin, end = len(ordered) * 2 // _SIXTH_PARTS, min(late_from, len(ordered) * 5 // _SIXTH_PARTS)
    usable = [
        i for i in range(begin, end)
        if (d := ordered[i]).role == "ordinary" and d.body.msgtype == "text" and not d.marks and not d.details and d.msgid not in touched
    ]  # fmt: skip
    rng.shuffle(usable)
    wanted = list(faults.RECORD_FAULTS) * max(1, len(ordered) // 20_000)
    chosen: dict[int, str] = {}
    for fault in wanted:
        place = next(i for i in usable if i not in chosen and faults.fits(ordered[i].as_message(), fault))
        chosen[place] = fault
    return chosen


def _fates(ordered: list[Draft], known: Iterable[Refusal]) -> list[Fate]:
    """Return the fate of each message that opens (rule 5)."""
    scopes: dict[str, list[Refusal]] = {}
    for refusal in known:
        scopes.setdefault(refusal.external_userid, []).append(refusal)
    fates: list[Fate] = [_own_fate(draft, scopes) for draft in ordered]
    of_original = {d.msgid: fate for d, fate in zip(ordered, fates, strict=True) if d.role not in ("repeat", "conflict")}
    for place, draft in enumerate(ordered):
        if draft.role == "recall":
            fates[place] = of_original.get(draft.target, "archived")
    return fates


def _own_fate(draft: Draft, scopes: dict[str, list[Refusal]]) -> Fate:
    if draft.role in ("decision", "switch"):
        return "control"
    if draft.role == "repeat":
        return "duplicate"
    covering = (r for party in (draft.sender, *draft.tolist) for r in scopes.get(party, ()))
    return "withheld" if any(r.covers(draft) for r in covering) else "archived"


def _envelope_msgid(msgid: str, code: str) -> str:
    return f"9{msgid}" if code == "MSGID_MISMATCH" else msgid


def _plaintext(draft: Draft, code: str) -> bytes:
    data = faults.plaintext(draft.as_message(), code)
    return data.replace(b"\\u0011", b"\x11") if draft.role == "story" else data


def _with_second(world: World, records: list[Record]) -> Iterator[Record]:
    """Yield the records, and behind one in the middle another with the same seq: one of the two will stay."""
    targets = Counter(r.draft.target for r in records) + Counter(r.msgid for r in records)
    place = next(i for i in range(len(records) // 2, len(records)) if _can_have_second(records[i]) and targets[records[i].msgid] == 1)
    yield from records[: place + 1]
    yield _second(world, records[place])
    yield from records[place + 1 :]


def _can_have_second(record: Record) -> bool:
    """Nothing that the truth lists may hang on which of the two stays."""
    draft = record.draft
    plain = draft.role == "ordinary" and draft.body.msgtype == "text" and not draft.marks and not draft.details
    return plain and record.fate == "archived"


def _second(world: World, record: Record) -> Record:
    """Return a record that differs from this one in id and words alone."""
    msgid = world.msgid(record.draft.sent_ms, (record.draft.sender, *record.draft.tolist))
    body = Body(msgtype="text", fields={"text": {"content": "同一个序号下的另一条"}})
    draft = msgspec.structs.replace(record.draft, msgid=msgid, body=body)
    return msgspec.structs.replace(
        record, msgid=msgid, draft=draft, plaintext=_plaintext(draft, ""), fate="failed", fate_later="failed", code="SEQ_CONFLICT", order=1
    )
