"""Numbers for a monitoring system: one file in Prometheus' text format, written anew at the end of every pull and run.

Before: state.py, gaps.py. After: node_exporter's textfile collector, or whoever reads `metrics/liuhen.prom`.
Corp ids, numbers and times only.
"""

from __future__ import annotations

from pipeline import clock, durable, landing
from pipeline.errors import ArchiveError
from pipeline.home import Home
from pipeline.source import gaps, state

FOLDER = "metrics"
NAME = "liuhen.prom"
HELP = {
    "liuhen_window_hours_left": "hours until messages that were not pulled may be lost",
    "liuhen_pull_cursor": "last sequence number that was pulled",
    "liuhen_pull_last_complete_seconds": "when the source last had nothing more, seconds since 1970",
    "liuhen_pages_waiting": "landed pages that are not settled",
    "liuhen_gaps_unacknowledged": "gaps nobody has taken note of",
    "liuhen_source_stopped": "1 when the last pull was stopped by the source",
}


def gather(home: Home, corp_id: str, *, now_ms: int) -> dict[str, float]:
    """Return the numbers of a corp; what is not known is left out."""
    at = state.current(home, corp_id)
    left = state.hours_left(at, now_ms=now_ms, window_days=home.config.source.window_days)
    found: dict[str, float | None] = {
        "liuhen_window_hours_left": left,
        "liuhen_pull_cursor": at.cursor,
        "liuhen_pull_last_complete_seconds": None if at.caught_up_at_ms is None else at.caught_up_at_ms / 1000,
        "liuhen_pages_waiting": sum(1 for _ in landing.waiting(home, corp_id)),
        "liuhen_gaps_unacknowledged": len(gaps.unacknowledged(home, corp_id)),
        "liuhen_source_stopped": int(bool(at.code)),
    }
    return {name: value for name, value in found.items() if value is not None}


def render(found: dict[str, dict[str, float]]) -> str:
    """Return the numbers of all corps as text, one block a metric."""
    lines = []
    for name, told in HELP.items():
        lines += [f"# HELP {name} {told}", f"# TYPE {name} gauge"]
        lines += [f'{name}{{corp="{corp}"}} {values[name]:g}' if name != "liuhen_pull_cursor" else f'{name}{{corp="{corp}"}} {values[name]:.0f}'
                  for corp, values in found.items() if name in values]  # fmt: skip
    return "\n".join(lines) + "\n"


def write(home: Home) -> None:
    """Write the file; a corp whose archive cannot be read is left out of it."""
    found = {}
    for corp in home.config.corp:
        try:
            found[corp.id] = gather(home, corp.id, now_ms=clock.now_ms())
        except ArchiveError:
            continue
    durable.make_folder(home.path / FOLDER)
    durable.replace(home.path / FOLDER / NAME, render(found).encode())
