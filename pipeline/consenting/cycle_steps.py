"""The steps of `run` that are about consent: ask about what is due, about what was seen first, and reconcile.

Before: asking.py, reconcile.py. After: source/cycle.py, which calls them in its order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.errors import Exit

if TYPE_CHECKING:
    from pipeline.consenting.asking import Which
    from pipeline.source.cycle import Cycle, Told


def sync_due(cycle: Cycle) -> Told:
    """Ask WeCom about the scopes that are due."""
    return _sync(cycle, "due")


def sync_new(cycle: Cycle) -> Told:
    """Ask WeCom about the scopes that this cycle saw first."""
    return _sync(cycle, "new")


def _sync(cycle: Cycle, which: Which) -> Told:
    from pipeline.consenting import asking
    from pipeline.source.cycle import Told
    from pipeline.wecom.client import open_client

    with open_client(cycle.home, cycle.corp_id) as client:
        done = asking.sync(cycle.home, cycle.corp_id, client, which=which, progress=cycle.progress)
    return Told(told=done, exit_code=int(Exit.LEFT_OVER) if done.cut or done.failed or done.unknown else 0, code=done.cut)


def reconcile(cycle: Cycle) -> Told:
    """Bring what is stored in line with the register."""
    from pipeline.consenting import reconcile as work
    from pipeline.source.cycle import Told

    with cycle.home.lock(f"{cycle.corp_id}.commit"):
        return Told(told=work.run(cycle.home, cycle.corp_id))
