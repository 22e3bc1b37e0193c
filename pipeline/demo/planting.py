"""Planted lines become drafts inside ordinary talk, each marked with the phrases that stand in it.

Before: chatter.py (planted.yaml), talks.py. After: story.py.

Rules:
1. Lines are taken in turn, every category before any category twice, so that a small demonstration has them all.
2. Employees say most of them; a few employees say half, as complaints show in life.
3. A line comes after a few turns of a talk about the same business, to the same people.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import cycle, islice, zip_longest

import msgspec

from pipeline.demo import chatter
from pipeline.demo.chatter import Planted, Talk, Turn
from pipeline.demo.firm import Person
from pipeline.demo.talks import Cast, Draft, Mark, World

_FEW = 5


class Quota(msgspec.Struct, frozen=True, kw_only=True):
    """How many lines of each group a demonstration plants."""

    violations: int
    evasive: int
    near_misses: int
    customer_words: int
    scenes: int

    @classmethod
    def of(cls, messages: int) -> Quota:
        """Return the quota for this many messages: about 1.6 % planted lines, and each category at least once."""
        return cls(
            violations=max(22, messages // 100), evasive=max(4, messages // 500), near_misses=max(4, messages // 400),
            customer_words=max(2, messages // 800), scenes=max(2, messages // 4000),
        )  # fmt: skip


def plant(world: World, quota: Quota, *, lead_in: int) -> Iterator[Draft]:
    """Yield the drafts of all planted lines with up to `lead_in` turns of talk before each."""
    for line in lines(quota):
        cast = _cast(world, line)
        start = world.calendar.moment(world.rng)
        if line.group == "scenes":
            yield from _scene(world, line, cast, start)
            continue
        before = world.perform(world.rng.choice(_fitting(line)).turns[:lead_in], cast, start)
        yield from before
        at_ms = before[-1].sent_ms + world.rng.randint(4_000, 40_000) if before else start
        speaker = "C" if line.group == "customer_words" else "E"
        yield world.draft(cast, speaker, _turn(line, speaker, cast), at_ms, marks=_marks(line))


def lines(quota: Quota) -> Iterator[Planted]:
    """Yield the lines to plant, category by category in turn (rule 1)."""
    for group in chatter.GROUPS:
        yield from islice(cycle(_by_turns(chatter.planted(group))), getattr(quota, group))


def _by_turns(planted: Sequence[Planted]) -> list[Planted]:
    categories: dict[str, list[Planted]] = {}
    for line in planted:
        categories.setdefault(line.category, []).append(line)
    return [line for rank in zip_longest(*categories.values()) for line in rank if line is not None]


def _cast(world: World, line: Planted) -> Cast:
    few = _the_few(world, line.on) if line.group in ("violations", "evasive") and world.rng.random() < 0.5 else None
    return world.cast(line.at, line.on, employee=few)


def _the_few(world: World, on: str) -> Person | None:
    """Every eighth seller is one of the few (rule 2)."""
    few = [e for e in world.firm.sellers[:: len(world.firm.sellers) // _FEW] if on in (e.topic, "通用")]
    return world.rng.choice(few) if few else None


def _fitting(line: Planted) -> list[Talk]:
    return [t for t in chatter.talks() if t.at == line.at and t.on in (line.on, "通用")]


def _turn(line: Planted, speaker: str, cast: Cast) -> Turn:
    match line.carrier:
        case "file" | "mixed":
            return Turn(speaker, line.carrier, line.text)
        case "link":
            return Turn(speaker, "link", f"{line.text}|产品介绍（DEMO）")
        case "chatrecord":
            return Turn(speaker, "chatrecord", f"朋友群的聊天记录|大家看看这个|{line.text}")
        case "quote":
            return Turn(speaker, "quote", f"{cast.people['F'].name}|{line.text}|这个我转不了，你自己和主管说")
        case "text":
            return Turn(speaker, "text", line.text)


def _marks(line: Planted) -> tuple[Mark, ...]:
    phrases = (*line.terms, *line.means)
    return tuple(Mark(group=line.group, category=line.category, term=t, form=line.form, carrier=line.carrier) for t in phrases)


def _scene(world: World, line: Planted, cast: Cast, start_ms: int) -> list[Draft]:
    """Several bubbles; the last one carries the mark."""
    drafts = world.perform(line.turns, cast, start_ms, quick=True)
    return [*drafts[:-1], msgspec.structs.replace(drafts[-1], marks=_marks(line))]
