"""The step `directory` of a cycle: who is employee, robot, customer, before the messages of the cycle are judged.

Before: sync.py. After: source/cycle.py.
"""

from __future__ import annotations

from pipeline.people_history import sync as work
from pipeline.source.cycle import Cycle, Told
from pipeline.wecom.client import open_client


def sync(cycle: Cycle) -> Told:
    """Do what of a sync is due; without a secret of the archive the step is skipped."""
    with open_client(cycle.home, cycle.corp_id) as client:
        done = work.sync(cycle.home, cycle.corp_id, client)
    return Told(told=done, exit_code=done.exit_code, code=done.unreachable)
