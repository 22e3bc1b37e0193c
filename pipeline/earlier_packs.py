"""Findings as they stood under earlier keyword packs: what `--lexicon OLD` asks instead of the current ones.

Before: sql/views/matches.sql. After: reader.py.

Rules:
 (1) A version ends with the last thing done under it: a run, a rescan, a finding stored. What was stored by then counts by the same rule as
     always (sql/views/matches.sql), so a report over a period that was complete by then comes out as it did.
 (2) Messages that went out of view since (restricted, removed) stay out, and decisions of reviewers are those of today.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final

import duckdb

from pipeline import audit
from pipeline.errors import UsageError

_ENDED: Final = """
SELECT max(ended) FROM (
    SELECT max(matched_at) AS ended FROM lake_matches WHERE lexicon_version = $version
    UNION ALL SELECT max(finished_at) FROM lake_scans WHERE lexicon_version = $version
    UNION ALL SELECT max(coalesce(finished_at, started_at)) FROM lake_runs WHERE lexicon_version = $version
)
"""


def use(connection: duckdb.DuckDBPyConnection, version: str) -> datetime:
    """Make the view `matches` show what counted when the packs `version` were last in force; return that time (aware).

    Raises UsageError LEXICON_VERSION_UNKNOWN when nothing was ever done under them."""
    ended = connection.execute(_ENDED, {"version": version}).fetchall()[0][0]
    if ended is None:
        remedy = '`liuhen sql "SELECT DISTINCT lexicon_version FROM matches_all"` lists those that findings were stored under'
        raise UsageError("LEXICON_VERSION_UNKNOWN", "nothing was matched under packs of this version", remedy=remedy)
    moment = f"TIMESTAMPTZ '{ended.isoformat()}'"
    connection.execute(f"CREATE OR REPLACE VIEW lake_matches_then AS FROM lake_matches WHERE matched_at <= {moment}")
    connection.execute(f"CREATE OR REPLACE VIEW lake_doubled_then AS FROM lake_doubled WHERE matched_at <= {moment}")
    connection.execute(f"CREATE OR REPLACE VIEW lake_scans_then AS FROM lake_scans WHERE finished_at <= {moment}")
    for view in ("lake_newest_scans", "matches"):
        then = re.sub(r"\blake_(matches|doubled|scans|newest_scans)\b", r"lake_\1_then", audit.view_sql(view))
        connection.execute(then.replace("CREATE VIEW", "CREATE OR REPLACE VIEW", 1))
    found: datetime = ended
    return found
