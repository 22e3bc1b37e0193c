"""One cycle of everything against the double: pull, directory, consent, ingest, reconcile, files."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from pipeline.source import cycle
from pipeline.source.opening import open_source
from tests import firm
from tests.simulate.doubles import double, served
from tests.simulate.homes import archived, home_of, one_seq, told_archived, told_fates

pytestmark = pytest.mark.slow
# 2026-11-01 in Beijing: before the first message
BEFORE_S = 1_793_462_400


def test_one_cycle_takes_in_everything_and_what_only_the_calls_know(tmp_path: Path) -> None:
    with served(double(tmp_path / "sim")) as asker:
        made = asker.server.double
        corp, lines = made.corp.corp_id, asker.truth()
        pairs = Counter(
            (line.sender, line.tolist[0]) if line.sender not in made.plan.firm.externals else (line.tolist[0], line.sender)
            for line in lines
            if line.fate_later == "archived" and not line.room_id and len(line.tolist) == 1 and made.plan.firm.externals & {line.sender, *line.tolist}
        )
        (employee, customer), covered = pairs.most_common(1)[0]
        assert covered >= 5
        asker.admin("consent", {"userid": employee, "external_userid": customer, "status": "Disagree", "at": BEFORE_S})

        home = home_of(asker, tmp_path)
        told = cycle.run(cycle.Cycle(home, corp, open_source=open_source))
        assert told.stopped == {}
        assert told.landed == 500 and told.archived == told_fates(lines)["archived"]
        hidden = {(line.seq, line.msgid) for line in lines if {line.sender, *line.tolist} == {employee, customer} and not line.room_id}
        expected = {place: sha256 for place, sha256 in told_archived(lines).items() if place not in hidden}
        found = {place: sha256 for place, sha256 in archived(home, corp).items() if place[0] not in one_seq(lines)}
        assert found == expected, "the refusal that only a call knew takes its pair out of view in the same cycle"
        (counts,) = firm.rows(home, "SELECT count(*) AS n FROM restricted", corp)
        assert counts["n"] == covered

        names = {r["department_id"]: r["name"] for r in firm.rows(home, "SELECT * FROM departments", corp)}
        assert len(names) == 8 and "合规部" in names.values()
        (files,) = firm.rows(home, "SELECT count(*) AS n FROM media WHERE status = 'pending'", corp)
        assert files["n"] == 0
        again = cycle.run(cycle.Cycle(home, corp, open_source=open_source))
        assert (again.landed, again.stopped) == (0, {})
