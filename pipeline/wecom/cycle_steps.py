"""The step `callbacks` of a cycle: agreements that came by callback go to the register before anything is judged.

Before: callback_store.py. After: source/cycle.py.
"""

from __future__ import annotations

from pipeline.source.cycle import Cycle, Told
from pipeline.wecom import callback_store


def drain(cycle: Cycle) -> Told:
    """Take over every agreement that waits."""
    (corp,) = [c for c in cycle.home.config.corp if c.id == cycle.corp_id]
    if not corp.callback_token:
        return Told(skipped="no callback_token is configured")
    return Told(told={"agreements": len(callback_store.drain(cycle.home, cycle.corp_id))})
