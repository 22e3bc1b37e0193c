"""Eight simulated days without a run: one gap with its cause and an estimate for each employee, and nothing lost that could be fetched."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest

from pipeline import ingest
from pipeline.source.opening import open_source
from tests import firm
from tests.simulate.doubles import END_DAY, NOW_MS, double, served
from tests.simulate.homes import archived, home_of, pull

pytestmark = pytest.mark.slow
DAY_MS = 86_400_000
WINDOW_MS = 5 * DAY_MS


def test_eight_days_without_a_run(tmp_path: Path) -> None:
    with served(double(tmp_path / "sim", messages=600)) as asker:
        corp = asker.server.double.corp.corp_id
        home = home_of(asker, tmp_path)
        with closing(open_source(home, corp)) as source:
            first = pull(home, asker, source)
            ingest.run(home, corp, sources=(), plain=[], workers=1)
            asker.admin("grow", {"messages": 400, "over_s": 8 * 86_400})
            asker.admin("clock", {"advance_s": 8 * 86_400 + 60})
            ended = pull(home, asker, source)
        assert (first.complete, first.gaps, first.exit_code) == (True, 0, 0)
        assert (ended.complete, ended.gaps, ended.exit_code) == (True, 1, 5)
        ingest.run(home, corp, sources=(), plain=[], workers=1)

        now = NOW_MS + 8 * DAY_MS + 60_000
        live = [line for line in asker.truth() if line.live]
        lost, inside = ([line for line in live if (line.landed_ms < now - WINDOW_MS) is gone] for gone in (True, False))
        assert len(lost) > 80 and len(inside) > 180
        (gap,) = firm.rows(home, "SELECT *, epoch_ms(from_at) AS from_ms, epoch_ms(to_at) AS to_ms FROM gaps", corp)
        assert (gap["after_seq"], gap["before_seq"], gap["cause"], gap["acknowledged_by"]) == (first.cursor, inside[0].seq, "window", None)
        assert (gap["from_ms"], gap["to_ms"]) == (NOW_MS, now - WINDOW_MS)

        found = archived(home, corp)
        assert {(line.seq, line.msgid) for line in inside} <= found.keys()
        assert not {(line.seq, line.msgid) for line in lost} & found.keys()

        # What each employee is known to have written, a day of the six that begin with the first one archived, for the three days lost.
        sent = {r["sender_id"]: r["n"] for r in firm.rows(home, SENT, corp)}
        lost_days = 3 + 60 / 86_400
        assert json.loads(gap["estimate"]) == {who: round(n / 6 * lost_days) for who, n in sorted(sent.items())}


SENT = f"SELECT sender_id, count(*) AS n FROM messages WHERE sender_kind = 'employee' AND dt <= DATE '{END_DAY}' GROUP BY 1"
