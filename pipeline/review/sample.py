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
# The first 13 hex digits of the lot as a fraction of 1, to the power of 1/weight (Efraimidis and Spirakis 2006, A-Res); the largest win.
_QUERY = """
WITH risky AS (SELECT DISTINCT lower(employee_id) AS employee FROM matches WHERE dt BETWEEN $low AND $high AND party = 'employee'),
lots AS (
    SELECT m.origin, m.seq, m.msgid, m.dt, m.sender_id, m.conversation_id, m.direction, m.text,
        CASE WHEN $risk AND m.direction = 'outbound' AND lower(m.sender_id) IN (FROM risky) THEN {weight} ELSE 1 END AS weight,
        (('0x' || sha256($seed || '|' || m.origin || '|' || m.seq)[:13])::UBIGINT::DOUBLE + 1) / 4503599627370497 AS lot
    FROM messages AS m
    WHERE m.kind = 'message' AND m.dt BETWEEN $low AND $high AND length(m.text) > 0
        AND NOT EXISTS (FROM matches AS f WHERE f.origin = m.origin AND f.seq = m.seq)
)
SELECT origin, seq, msgid, dt, sender_id, conversation_id, direction, text, weight
FROM lots ORDER BY pow(lot, 1.0 / weight) DESC, origin, seq LIMIT $count
"""


def draw(reader: Reader, *, seed: str, count: int, low: date, high: date, risk: bool = False) -> list[dict[str, Any]]:
    """Return `count` messages (fewer when there are fewer) sent on Beijing days low to high that no rule found anything in."""
    query = _QUERY.replace("{weight}", str(RISK_WEIGHT))
    return reader.rows(query, {"seed": seed, "count": count, "low": low, "high": high, "risk": risk})
