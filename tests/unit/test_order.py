"""The order of a conversation's rows, made from numbers alone, is that of a slow way that inserts one row after the other."""

from __future__ import annotations

import random
from typing import Any

import pytest

from pipeline.transcript import HeldLine, MessageLine, RecallLine, parts_of


def slowly(rows: list[dict[str, Any]]) -> list[str]:
    """Rule 1, one by one: by time, origin, seq; a row without a time behind its neighbour by seq, before the first where it has none."""
    dated = sorted((r for r in rows if r["sent_at"] is not None), key=lambda r: (r["sent_at"], r["origin"], r["seq"]))
    before: dict[str, list[str]] = {}
    behind: dict[str, list[str]] = {}
    rest: list[str] = []
    for row in sorted((r for r in rows if r["sent_at"] is None), key=lambda r: (r["origin"], r["seq"])):
        same = sorted((r for r in dated if r["origin"] == row["origin"]), key=lambda r: r["seq"])
        earlier = [r for r in same if r["seq"] <= row["seq"]]
        if earlier:
            behind.setdefault(earlier[-1]["msgid"], []).append(row["msgid"])
        elif same:
            before.setdefault(same[0]["msgid"], []).append(row["msgid"])
        else:
            rest.append(row["msgid"])
    return [m for r in dated for m in (*before.get(r["msgid"], []), r["msgid"], *behind.get(r["msgid"], []))] + rest


@pytest.mark.parametrize("seed", range(40))
def test_rows_stand_where_the_slow_way_puts_them(seed: int) -> None:
    chance = random.Random(seed)
    seqs = chance.sample(range(1, 60), chance.randint(0, 30))
    rows: list[dict[str, Any]] = [
        {
            "msgid": f"m{n}", "origin": chance.choice(("sealed", "imported")), "seq": seq if chance.random() < 0.9 else seq + (1 << 62), "kind": "message",
            "sent_at": None if chance.random() < seed / 40 else 1_700_000_000_000 + chance.randint(0, 20) * 1000, "sender_id": "a", "sender_kind": "employee",
        }
        for n, seq in enumerate(seqs)
    ]  # fmt: skip
    for size in (None, 7):
        shown = [line.msgid for part in parts_of(rows, size=size) for line in part if isinstance(line, MessageLine | RecallLine)]
        assert shown == slowly(rows)


def test_what_is_held_stands_behind_its_neighbour() -> None:
    rows = [{"msgid": "m1", "seq": 1, "sent_at": 5_000, "sender_id": "a"}, {"msgid": "m9", "seq": 9, "sent_at": 6_000, "sender_id": "a"}]
    (lines,) = parts_of(rows, held=[{"seq": 3, "fate": "withheld"}, {"seq": 4, "fate": "withheld"}, {"seq": 11, "fate": "pending"}])
    assert [line for line in lines if isinstance(line, HeldLine)] == [HeldLine("withheld", 2), HeldLine("pending", 1)]
    assert [type(line).__name__[:4] for line in lines] == ["DayL", "Mess", "Held", "Mess", "Held"]
