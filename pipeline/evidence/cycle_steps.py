"""The step of a cycle that signs a checkpoint.

Before: source/cycle.py, which calls it after everything that settles records. After: checkpoint.py.
"""

from __future__ import annotations

from pipeline.evidence import checkpoint
from pipeline.source.cycle import Cycle, Told


def sign(cycle: Cycle) -> Told:
    """Sign what is new since the last checkpoint; nothing new is no failure."""
    with cycle.home.lock(f"{cycle.corp_id}.checkpoint"):
        made, new = checkpoint.make(cycle.home, cycle.corp_id)
    return Told(told={"leaves": made.size, "new": new})
