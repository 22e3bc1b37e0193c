"""Killed at any durable call of an erasure and run again, the customer is gone from every store, the keys of older copies too, nothing twice."""

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
WHAT: dict[str, Any] = {"action": "erase", "params": {"customer": "wmA"}, "reason": "r"}


def prepare(folder: Path) -> None:
    """Hot and compacted rows of wmA and wmB, a withheld record of wmA, and an approved request to erase wmA."""
    from pipeline import compact, ingest, lakerows
    from pipeline.approvals import store
    from pipeline.consent_events import events_from_import
    from pipeline.errors import NotAllowed
    from pipeline.removing import erase

    at = firm.home(folder)
    firm.run(at, firm.page(folder, "0.json", {n: message(n, "保本保息", to=["wmA" if n % 2 else "wmB"]) for n in range(1, 9)} | {9: recall(9, "m1", to=["wmA"])}))
    compact.run(at, CORP)
    said = {"userid": "zhangsan", "external_userid": "wmA", "status": "Disagree", "changed_at": T0 + 50_000}
    events, _ = events_from_import([json.dumps(said).encode()], recorded_at_ms=T0 + 60_000, batch="b", document_digest=None)
    ingest.append(at, CORP, [("consent", lakerows.consent_table(events))], what="consent")
    late = {n: message(n, "之后", to=["wmA" if n % 2 else "wmB"], at_ms=T0 + 100_000 + n) for n in (11, 12)}
    firm.run(at, firm.page(folder, "1.json", late))
    try:
        erase.do(at, CORP, erase.of_request(at, CORP, "wmA"), **WHAT, approval="")
    except NotAllowed:
        store.say(at, CORP, store.all_of(at, CORP)[0].request.id, "approve")


def work(folder: Path) -> None:
    """What is killed, and run again: what the command does."""
    from pipeline import purges
    from pipeline.approvals import store
    from pipeline.home import Home
    from pipeline.removing import erase, take_out

    at = Home(folder / "home")
    take_out.finish(at, CORP)
    plan = erase.of_request(at, CORP, "wmA")
    if not plan.nothing:
        erase.do(at, CORP, plan, **WHAT, approval=store.all_of(at, CORP)[0].request.id)
    purges.run(at, CORP, at_once=True)


def found(folder: Path) -> dict[str, Any]:
    """What readers see, which keys live, what is left behind, and that the archive verifies."""
    from pipeline import clock
    from pipeline.home import Home
    from pipeline.verify import verify_archive

    at = Home(folder / "home")
    lake = at.lake(CORP)
    files = lake.snapshot().files
    on_disk = {str(p.relative_to(lake.root)) for p in lake.root.rglob("*") if p.is_file() and "_delta_log" not in p.parts}
    waits = sorted(p.name for p in (at.path / "approvals" / CORP).iterdir() if p.suffix == ".removal")
    return {
        **state(folder), "files": sorted((f.kind, f.month, f.rows) for f in files if f.kind not in ("records", "pages")), "waits": waits,
        "generations": sorted(n.rpartition("/")[2] for n in at.keyring.names(f"{CORP}/m/") if n.endswith("#0")), "hidden": len(lake.snapshot().of("hidden")),
        "left behind": sorted(on_disk - {f.path for f in files}), "findings": [str(f) for f in verify_archive(at.path, CORP, now_ms=clock.now_ms()).findings],
        "fates": firm.values(at, "select * from counts"),
    }  # fmt: skip


def test_killed_at_any_durable_call_and_run_again_the_customer_is_gone_once(tmp_path: Path, say: Callable[[str], None]) -> None:
    firm.private_key(1)
    run = harness.undisturbed(tmp_path, prepare, work, found)
    assert (run.found["left behind"], run.found["waits"], run.found["hidden"], run.found["findings"]) == ([], [], 0, [])
    assert {r["msgid"] for r in run.found["messages"]} == {"m2", "m4", "m6", "m8", "m12"}
    for where, after in harness.each_killed(run, harness.sampled(run.points, 5), work, work, found, say=say):
        assert after == run.found, where
