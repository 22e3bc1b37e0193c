"""How old what is known is, and what of it nobody can read: scopes that chat and were not asked about for long, scopes of an unknown status.

Before: asking.py (`stale` says the same of what it holds in memory), reader.py. After: status.py, watch/alarms.py.
There is no callback for a refusal: a scope nobody asks about may have refused long ago.

Rules: (1) a scope is a pair, or a room as a whole, that chatted within 35 Beijing days; (2) its age runs from when WeCom was last asked about it;
(3) only a corp that can ask is reminded: one with an archive secret, or one that asked before; (4) a status
is unknown while the newest event of its scope says anything but Agree, Disagree and Default_Agree: its records wait or are restricted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from pipeline.reader import Reader

CHATTING_DAYS = 35

_STALE = """
WITH chatting AS (
    SELECT lower(employee_id) AS who, NULL AS room_id, customer_id AS customer
    FROM lake_messages
    WHERE customer_id IS NOT NULL AND employee_id IS NOT NULL AND room_id IS NULL AND dt >= $today::DATE - $chatting
    UNION
    SELECT NULL, room_id, NULL FROM lake_messages WHERE customer_id IS NOT NULL AND room_id IS NOT NULL AND dt >= $today::DATE - $chatting
),
asked AS (
    SELECT lower(userid) AS who, room_id, external_userid AS customer, max(asked_at) AS at
    FROM lake_consent_asks WHERE room_id IS NULL OR external_userid IS NULL
    GROUP BY ALL
),
ages AS (
    SELECT date_diff('millisecond', a.at, $now) / 86400000.0 AS days
    FROM chatting AS c LEFT JOIN asked AS a
        ON a.who IS NOT DISTINCT FROM c.who AND a.room_id IS NOT DISTINCT FROM c.room_id AND a.customer IS NOT DISTINCT FROM c.customer
)
SELECT count(*) AS n, count(*) FILTER (WHERE days IS NULL) AS never, coalesce(max(days), 0) AS oldest FROM ages WHERE days IS NULL OR days > $days
"""


_ODD = "status NOT IN ('Agree', 'Disagree', 'Default_Agree')"


class Stale(msgspec.Struct, frozen=True):
    """n: scopes that chat and were not asked about for so long; never: of these, never asked at all; oldest: days since the others' oldest answer."""

    n: int = 0
    never: int = 0
    oldest: int = 0


def stale(reader: Reader, *, now_ms: int, days: int) -> Stale:
    """Return how many scopes that chat nobody has asked about for more than `days` days; none where the corp cannot ask (rule 3)."""
    if not _asks(reader):
        return Stale()
    from pipeline import clock, words

    today = clock.date_of_day(clock.beijing_day(now_ms))
    (found,) = reader.rows(_STALE, {"today": today, "chatting": CHATTING_DAYS, "now": words.moment(now_ms), "days": days})
    return Stale(n=found["n"], never=found["never"], oldest=int(found["oldest"]))


def unknown(reader: Reader) -> int:
    """Return how many scopes have a status that nobody knows (rule 4). Where no event has one the scopes are not looked through."""
    (told,) = reader.rows(f"SELECT count(*) AS n FROM consent WHERE {_ODD}")
    if not told["n"]:
        return 0
    (found,) = reader.rows(f"SELECT count(*) AS n FROM consent_scopes WHERE {_ODD}")
    return int(found["n"])


def _asks(reader: Reader) -> bool:
    return any(c.archive_secret for c in reader.home.config.corp if c.id == reader.corp_id) or reader.snapshot.rows("consent_asks") > 0
