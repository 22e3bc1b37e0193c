"""Killed at any durable call of a reconciliation and run again, the archive is what an undisturbed one makes, and nothing is left behind.

One run meets everything: late refusals to hide and move, rows to bring back, pending records to decide, withheld ones to bring back, days to destroy.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apache_beam  # noqa: F401  # the parent is warm: children do not import it each
import pytest

from tests import firm
from tests.crash import harness
from tests.crash.test_ingest_killed import state
from tests.firm import CORP, T0, message, recall

pytestmark = pytest.mark.crash
VIEWS = ("messages", "matches", "withheld", "pending", "restricted", "counts")


def told(at: Any, batch: str, *lines: dict[str, object]) -> None:
    from pipeline import ingest, lakerows
    from pipeline.consent_events import events_from_import

    events, _ = events_from_import([json.dumps(line).encode() for line in lines], recorded_at_ms=T0 + 100_000, batch=batch, document_digest=None)
    ingest.append(at, CORP, [("consent", lakerows.consent_table(events))], what="consent import")


def says(who: str, status: str) -> dict[str, object]:
    return {"userid": "zhangsan", "external_userid": who, "status": status, "changed_at": T0}


def prepare(folder: Path) -> None:
    """wmA: to be restricted; wmB: restricted wrongly; wmC: pending; wmD: withheld wrongly; wmE: withheld, its day over (no days are kept)."""
    from pipeline import ingest, lakerows
    from pipeline.consenting import reconcile
    from pipeline.register import undo_event

    at = firm.home(folder, settings={"consent.withheld_days": "3"})
    told(at, "b0", says("wmC", "Maybe"))
    told(at, "b1", says("wmD", "Disagree"))
    told(at, "b2", says("wmE", "Disagree"))
    people = ("wmA", "wmB", "wmC", "wmD", "wmE", "wmF")
    firm.run(at, firm.page(folder, "0.json", {n: message(n, "保本保息", to=[people[n % 6]]) for n in range(1, 19)} | {30: recall(30, "m6", to=["wmA"])}))
    told(at, "b3", says("wmB", "Disagree"))
    reconcile.run(at, CORP)
    told(at, "b4", says("wmA", "Disagree"))
    undone = [undo_event(b, recorded_at_ms=T0 + 200_000) for b in ("b0", "b1", "b3")]
    ingest.append(at, CORP, [("consent", lakerows.consent_table(undone))], what="consent import")


def work(folder: Path) -> None:
    """What is killed, and run again: four days later, and without the ten minutes' wait."""
    from pipeline import clock, purges
    from pipeline.consenting import reconcile
    from pipeline.home import Home

    now = clock.now_ms
    clock.now_ms = lambda: now() + 4 * clock.DAY_MS
    at = Home(folder / "home")
    reconcile.run(at, CORP)
    purges.run(at, CORP, at_once=True)


def found(folder: Path) -> dict[str, Any]:
    """What readers see, where it lies, which keys live, and what is left behind."""
    from pipeline import purges
    from pipeline.home import Home

    at = Home(folder / "home")
    lake = at.lake(CORP)
    files = lake.snapshot().files
    on_disk = {str(p.relative_to(lake.root)) for p in lake.root.rglob("*") if p.is_file() and "_delta_log" not in p.parts}
    for file in files:
        lake.check(file)
    return {
        **state(folder), "files": sorted((f.kind, f.month, f.bucket, f.rows) for f in files if f.kind != "records"),
        "withheld keys": at.keyring.names(f"{CORP}/withheld/"), "left behind": sorted(on_disk - {f.path for f in files}),
        "lists": [p.name for p in purges.folder(at, CORP).iterdir()], "fates": firm.values(at, "select * from counts"),
        "restricted": firm.values(at, "select msgid, reason from restricted order by seq"),
    }  # fmt: skip


def test_killed_at_any_durable_call_and_run_again_the_reconciled_archive_is_the_same(tmp_path: Path, say: Callable[[str], None]) -> None:
    firm.private_key(1)
    run = harness.undisturbed(tmp_path, prepare, work, found)
    assert run.found["left behind"] == [] and run.found["lists"] == [] and run.found["withheld keys"] == []
    assert [m for m, _ in run.found["restricted"]] == ["m6", "m12", "m18", "m30"]
    for where, after in harness.each_killed(run, harness.sampled(run.points, 5), work, work, found, say=say):
        assert after == run.found, where
