"""Messages without findings, drawn for a second look: what the rules miss is found by looking at what they passed.

Before: reader.py. After: the command `review sample`.

The lot is SHA-256 of seed, origin and seq: the same seed over the same archive draws the same messages, on any machine, and whoever
doubts a sample can draw it again. `risk` draws outbound messages of employees with findings in the range four times as often.
"""

from __future__ import annotations

from datetime import date
from typing import Any

from pipeline.reader import Reader

RISK_WEIGHT = 4
SPARE = 1_000  # drawn beyond those that are asked for, and a quarter of these
# 13 hex digits: their order as text is that of the numbers.
_LOT = "sha256($seed || '|' || m.origin || '|' || m.seq)[:13]"
# As a fraction of 1, to the power of 1/weight (Efraimidis and Spirakis 2006, A-Res); the largest win.
_RISK = f"pow((('0x' || {_LOT})::UBIGINT::DOUBLE + 1) / 4503599627370497, 1.0 / m.weight)"
_WEIGHT = f"""CASE WHEN m.direction = 'outbound' AND lower(m.sender_id) IN (
    SELECT DISTINCT lower(employee_id) FROM matches WHERE dt BETWEEN $low AND $high AND party = 'employee'
) THEN {RISK_WEIGHT} ELSE 1 END"""
_DRAWN = """
SELECT m.origin, m.seq, m.dt, m.weight FROM (
    SELECT m.origin, m.seq, m.dt, {weight} AS weight FROM lake_messages_recalled AS m
    WHERE m.kind = 'message' AND m.dt BETWEEN $low AND $high AND m.text_characters > 0
) AS m
ORDER BY {lot} DESC, m.origin, m.seq LIMIT $count
"""
_FOUND_IN = "SELECT DISTINCT origin, seq FROM matches WHERE seq IN (SELECT unnest($seqs))"
# Asked once it is known which: drawing reads no words, which are most of what there is.
_SAID = """
SELECT origin, seq, msgid, dt, sender_id, conversation_id, direction, text FROM messages
WHERE dt BETWEEN $first AND $last AND seq IN (SELECT unnest($seqs))
"""


def draw(reader: Reader, *, seed: str, count: int, low: date, high: date, risk: bool = False) -> list[dict[str, Any]]:
    """Return `count` messages (fewer when there are fewer) sent on Beijing days low to high that no rule found anything in."""
    drawn = _drawn(reader, {"seed": seed, "low": low, "high": high}, count, risk=risk)
    said = _said(reader, drawn) if drawn else {}
    return [{**said[key], "weight": one["weight"]} for one in drawn if (key := _key(one)) in said]


def _drawn(reader: Reader, asked: dict[str, Any], count: int, *, risk: bool) -> list[dict[str, Any]]:
    """Return which messages: more are drawn than are asked for, and those with findings left out, so that not every message is looked for among them."""
    query = _DRAWN.format(weight=_WEIGHT, lot=_RISK) if risk else _DRAWN.format(weight=1, lot=_LOT)
    more = SPARE + count * 5 // 4
    while True:
        drawn = reader.rows(query, {**asked, "count": more})
        found = {_key(row) for row in reader.rows(_FOUND_IN, {"seqs": [one["seq"] for one in drawn]})}
        left = [one for one in drawn if _key(one) not in found]
        if len(left) >= count or len(drawn) < more:
            return left[:count]
        more *= 4


def _key(row: dict[str, Any]) -> tuple[str, int]:
    return row["origin"], row["seq"]


def _said(reader: Reader, drawn: list[dict[str, Any]]) -> dict[tuple[str, int], dict[str, Any]]:
    """Return what is told of messages, by origin and seq; nothing of one that went out of view since it was drawn."""
    seqs, days = {one["seq"] for one in drawn}, {one["dt"] for one in drawn}
    with reader.of_records(seqs, days):
        rows = reader.rows(_SAID, {"first": min(days), "last": max(days), "seqs": sorted(seqs)})
    return {_key(row): row for row in rows}
