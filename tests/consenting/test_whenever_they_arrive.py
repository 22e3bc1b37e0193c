"""The same archive, whether consent events arrive before, with or after their messages, under every default; and the register is what its records say.

A slow, obvious oracle says for each message, from all events at once, whether it may be seen (tests/unit/test_consent_oracle.py has the rules written
out). Random histories (ties to the millisecond, agree-refuse-agree, shuffled arrival) are cut into runs in four ways; after the last reconciliation
the visible messages must be the oracle's, each time.
"""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pipeline import ingest, lakerows
from pipeline.consent import ConsentPolicy
from pipeline.consenting import reconcile
from pipeline.directory import Entry
from pipeline.home import Home
from pipeline.records import Message
from pipeline.register import Event, EventSource, Register, new_event, scope_of
from tests.consenting.test_reconcile import sound
from tests.firm import CORP, T0, home, message, page, refusal, run, values
from tests.unit.test_consent_oracle import oracle

pytestmark = pytest.mark.slow
STAFF = [Entry(userid="zhangsan", kind="employee")]
LATE = T0 + 10_000_000  # when imports and answers are recorded


SOURCES: list[EventSource] = ["api", "import"]


def history(chance: random.Random) -> tuple[list[Event], dict[int, dict[str, Any]], dict[int, dict[str, Any]]]:
    """Events of answers and imports, control records, and messages: three customers and a room, moments that tie."""
    moments = [T0 + n for n in (0, 999, 1000, 1001, 2000, 60_000)]
    events = [
        new_event(
            source=(source := chance.choice(SOURCES)), status=chance.choice(["Agree", "Disagree", "Disagree", "Default_Agree", "Maybe"]),
            external_userid=chance.choice(["wmA", "wmB", "wmC"]), changed_at_ms=chance.choice(moments) // 1000 * 1000, precision="s", recorded_at_ms=LATE,
            batch="b" if source == "import" else None, **({"room_id": "wr1"} if chance.random() < 0.3 else {"userid": chance.choice(["zhangsan", "ZhangSan"])}),
        )
        for _ in range(chance.randrange(1, 6))
    ]  # fmt: skip
    controls = {
        100 + n: refusal(100 + n, chance.choice(["wmA", "wmB"]), at_ms=chance.choice(moments), kind=chance.choice(["agree", "disagree"])) for n in range(chance.randrange(4))
    }
    messages = {}
    for n in range(1, 13):
        who, in_room = chance.choice(["wmA", "wmB", "wmC"]), chance.random() < 0.3
        sender, to = chance.choice([("zhangsan", [who]), (who, ["zhangsan"])])
        messages[n] = message(n, sender=sender, to=to, room="wr1" if in_room else "", at_ms=chance.choice(moments))
    return events, controls, messages


def seen(events: Sequence[Event], messages: dict[int, dict[str, Any]], policy: ConsentPolicy) -> list[str]:
    """The msgids that may be seen, by the oracle."""
    found = []
    for one in messages.values():
        asked = Message(
            msgid=one["msgid"], kind="message", action="send", msgtype="text", sender_id=one["from"], recipient_ids=tuple(one["tolist"]),
            room_id=one["roomid"] or None, sent_at_ms=one["msgtime"], text="", parts=(),
        )  # fmt: skip
        if oracle(asked, events, STAFF, policy)[0] == "archived":
            found.append(one["msgid"])
    return sorted(found)


def store(at: Home, events: Sequence[Event]) -> None:
    if events:
        ingest.append(at, CORP, [("consent", lakerows.consent_table(events))], what="consent import")


@pytest.mark.parametrize("default", ["agree", "pending", "refuse"])
@pytest.mark.parametrize("seed", range(int(os.environ.get("LIUHEN_HISTORIES", "1"))))
def test_the_same_archive_whenever_events_arrive(tmp_path: Path, seed: int, default: str) -> None:
    chance = random.Random(f"{seed}{default}")
    events, controls, messages = history(chance)
    at = {}
    for order in ("before", "with", "after", "shuffled"):
        (tmp_path / order).mkdir()
        at[order] = home(tmp_path / order, settings={"consent.default": default})
    for one in at.values():
        ingest.append(one, CORP, [("people", lakerows.people_table(STAFF))], what="people")
    shuffled = [*messages.items()]
    chance.shuffle(shuffled)
    for order, one in at.items():
        folder = tmp_path / order
        if order == "before":
            store(one, events)
            run(one, page(folder, "c.json", controls), page(folder, "m.json", messages))
        elif order == "with":
            run(one, page(folder, "m.json", {**messages, **controls}))
            store(one, events)
        elif order == "after":
            run(one, page(folder, "m.json", messages))
            store(one, events[::-1])
            run(one, page(folder, "c.json", controls))
        else:
            run(one, page(folder, "a.json", dict(shuffled[:6])))
            store(one, events[: len(events) // 2])
            reconcile.run(one, CORP)
            run(one, page(folder, "b.json", {**dict(shuffled[6:]), **controls}))
            store(one, events[len(events) // 2 :])
        reconcile.run(one, CORP)
        sound(one)
    known = lakerows.events_of(at["before"].lake(CORP), at["before"].lake(CORP).snapshot())
    wanted = seen(known, messages, ConsentPolicy(default=default))  # type: ignore[arg-type]  # one of the three
    assert {order: sorted(values(one, "select msgid from messages where kind = 'message'")) for order, one in at.items()} == dict.fromkeys(at, wanted)


def test_the_register_rebuilt_from_raw_records_is_the_register(tmp_path: Path) -> None:
    from pipeline.consent_events import events_from_control
    from pipeline.message import parse
    from pipeline.records import OpenedItem

    at = home(tmp_path)
    told = {n: refusal(n, f"wm{n % 3}", at_ms=T0 + n * 700, kind="agree" if n % 2 else "disagree", room="wr1" if n % 5 == 0 else "") for n in range(1, 30)}
    run(at, page(tmp_path, "a.json", told))
    lake = at.lake(CORP)
    rebuilt: list[Event] = []
    for row in lake.read("sealed", lake.snapshot().of("sealed")).to_pylist():
        captured = round(row["captured_at"].timestamp() * 1000)
        read = parse(row["plaintext"], msgid=row["msgid"], captured_at_ms=captured)
        opened = OpenedItem(item=0, seq=row["seq"], msgid=row["msgid"], key_version=1, plaintext=row["plaintext"], key_block=b"", sealed=row["envelope"])
        rebuilt += events_from_control(read, opened, recorded_at_ms=captured)
    stored = lakerows.events_of(lake, lake.snapshot())
    assert sorted(rebuilt, key=lambda e: e.event_id) == sorted(stored, key=lambda e: e.event_id) and len(stored) == 29
    one, other = Register.of(rebuilt, version=1), Register.of(stored, version=1)
    assert all(one.timeline(s) == other.timeline(s) for s in {scope_of(e) for e in stored})
