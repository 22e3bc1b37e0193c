"""Officers decide what waits; they cannot keep what a refusal covers."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.consenting import officers, reconcile
from tests.consenting.test_reconcile import disagree, sound, told
from tests.firm import CORP, T0, home, message, page, recall, run, values

pytestmark = pytest.mark.slow


def test_kept_by_an_officer_is_archived_and_never_counts_as_agreement(tmp_path: Path) -> None:
    at = home(tmp_path, settings={"consent.default": "pending"})
    run(at, page(tmp_path, "a.json", {1: message(1), 2: recall(2, "m1"), 3: message(3, to=["wmB"])}))
    assert officers.decide(at, CORP, "keep", msgids=frozenset({"m1"})).decided == 2
    assert values(at, "select msgid, consent, consent_source from messages where kind = 'message'") == [("m1", "unknown", "officer:keep")]
    assert values(at, "select msgid from pending") == ["m3"]
    told(at, disagree("wmA", T0, status="Maybe"))
    reconcile.run(at, CORP)
    assert values(at, "select count(*) from messages") == [2]  # an unknown status does not overrule an officer
    told(at, disagree("wmA", T0), batch="b2")
    reconcile.run(at, CORP)
    assert values(at, "select count(*) from messages") == [0]  # a refusal does
    sound(at)


def test_what_the_breaker_held_back_waits_for_an_officer_or_an_undone_import(tmp_path: Path) -> None:
    at = home(tmp_path)
    told(at, disagree("wmA", T0))
    run(at, page(tmp_path, "a.json", {n: message(n) for n in range(1, 206)}))
    assert values(at, "select reason, count(*) from pending group by 1") == [("breaker", 205)]
    assert reconcile.run(at, CORP).pending_withheld == 0
    refused = officers.decide(at, CORP, "keep", reason="breaker")
    assert (refused.decided, refused.refused) == (0, 205)
    assert officers.decide(at, CORP, "withhold", reason="breaker").decided == 205
    assert values(at, "select count(*) from withheld") == [205]
    sound(at)
