"""The steps of a cycle that sign a checkpoint and have it stamped.

Before: source/cycle.py, which calls them after everything that settles records. After: checkpoint.py, stamps.py.
"""

from __future__ import annotations

from pipeline.errors import Exit
from pipeline.evidence import checkpoint, stamps
from pipeline.source.cycle import Cycle, Told


def sign(cycle: Cycle) -> Told:
    """Sign what is new since the last checkpoint; nothing new is no failure."""
    with cycle.home.lock(f"{cycle.corp_id}.checkpoint"):
        made, new = checkpoint.make(cycle.home, cycle.corp_id)
    return Told(told={"leaves": made.size, "new": new})


def stamp(cycle: Cycle) -> Told:
    """Ask for the time stamps that are due; those of an authority that is down wait for the next cycle."""
    with cycle.home.lock(f"{cycle.corp_id}.checkpoint"):
        result = stamps.ask(cycle.home, cycle.corp_id)
    if result is None:
        return Told(skipped="no time-stamp authority is configured")
    return Told(told={"stamped": result.stamped, "waiting": result.waiting}, exit_code=int(Exit.LEFT_OVER) if result.waiting else 0, code=result.code)
