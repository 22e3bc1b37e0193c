"""The step `people` of a cycle: what was settled before its people were known is worked out anew.

Before: restate.py. After: source/cycle.py.
"""

from __future__ import annotations

from pipeline.restating import restate as work
from pipeline.source.cycle import Cycle, Told


def people(cycle: Cycle) -> Told:
    """Work out anew what the directory of now says otherwise."""
    with cycle.home.lock(f"{cycle.corp_id}.commit"):
        return Told(told=work.run(cycle.home, cycle.corp_id, progress=cycle.progress))
