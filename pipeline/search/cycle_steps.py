"""The step of `run` that keeps what searches lean on: indexes of what is new.

Before: source/cycle.py, which calls it last. After: index.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.source.cycle import Cycle, Told

# A cycle is meant every quarter of an hour: the first index of a large archive takes several of them.
BUDGET_S = 300.0


def summaries(cycle: Cycle) -> Told:
    """Index the message files that have none, the newest first, and remove the indexes of files that are gone."""
    from pipeline.search import index
    from pipeline.source.cycle import Told

    return Told(told=index.build(cycle.home, cycle.corp_id, budget_s=BUDGET_S, progress=cycle.progress))
