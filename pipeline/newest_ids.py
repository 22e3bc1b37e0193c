"""The newest id a file can be fetched by: a record that comes again brings one, and the file of its original is asked for with it from then on.

Before: settle.py (what repeats what), stage.py (the repeating record's own rows, which are dropped). After: commit.py, which writes the rows made here.

Rules (interface.md, "duplicate"; an id ends with the window of the record it came in, wecom-archive.md 1.5):
 (1) A duplicate under a higher seq is newer than its original and than earlier duplicates; a record pulled again under its own seq is newer than itself.
 (2) Saved answers of a record that is settled bring nothing, they may be old; imports neither.
 (3) Only originals that readers see have files; what is stored already is not asked for again.
 (4) A file that was given up (expired, missing) waits again, with all its tries.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from pipeline.deltalog import DataFile
from pipeline.lake import Lake
from pipeline.settle import Candidate, Key, Prior, Settled

HELPED = frozenset({"pending", "expired", "missing"})
Row = dict[str, Any]
Again = dict[int, int]
"""seq of a record that came again -> seq of the original whose files it names (sealed both)."""


def again(candidates: Iterable[Candidate], settled: Sequence[Settled], priors: Mapping[Key, Prior]) -> Again:
    """Return which of the candidates may bring a newer id (rules 1 to 3)."""
    found: Again = {}
    for s in settled:
        owner, seq = s.duplicate_of, s.candidate.outline.seq
        if s.fate != "duplicate" or owner is None or owner.seq is None or seq is None:
            continue
        if s.candidate.ref.origin == owner.origin == "sealed" and owner.fate == "archived" and seq > owner.seq:
            found[seq] = owner.seq
    for c in candidates if priors else ():
        prior = priors.get(("sealed", c.outline.seq, ""))
        if c.outline.seq is not None and c.ref.source == "pull" and prior is not None and _same(prior, c):
            found[c.outline.seq] = c.outline.seq
    return found


def _same(prior: Prior, candidate: Candidate) -> bool:
    same = prior.msgid_fp == candidate.outline.msgid_fp and prior.content_fp == candidate.outline.content_fp
    return same and prior.fate == "archived"


def brought(lake: Lake, staged: Iterable[DataFile], wanted: Again) -> dict[int, list[Row]]:
    """Return the staged rows of files by the seq of the record that came again."""
    found: dict[int, list[Row]] = {}
    for file in staged:
        if file.kind == "media" and wanted:
            for row in lake.read("media", [file], columns=["origin", "seq", "ref_no", "sdkfileid"], where=_seqs(wanted)).to_pylist():
                if row["origin"] == "sealed":
                    found.setdefault(row["seq"], []).append(row)
    return found


def states(lake: Lake, files: Sequence[DataFile], found: Mapping[int, list[Row]], wanted: Again, earlier: Mapping[int, int], *, now_ms: int) -> list[Row]:
    """Return the rows to add: a state of each file that is to be asked for by a newer id.

    files: every file of kind `media` that will be visible; earlier: per original, the highest seq of a duplicate settled before."""
    newest = _newest(lake.read("media", files, where=_seqs({wanted[seq] for seq in found})).to_pylist()) if found else {}
    for seq in sorted(found):
        owner = wanted[seq]
        for row in found[seq] if seq == owner or seq > earlier.get(owner, 0) else ():
            at = newest.get((owner, row["ref_no"]))
            if at is not None and at["status"] in HELPED and at["sdkfileid"] != row["sdkfileid"]:
                newest[owner, row["ref_no"]] = _renewed(at, row["sdkfileid"], now_ms)
    return [row for row in newest.values() if row.get("renewed")]


def _newest(rows: Iterable[Row]) -> dict[tuple[int, int], Row]:
    found: dict[tuple[int, int], Row] = {}
    for row in rows:
        place = row["seq"], row["ref_no"]
        if row["origin"] == "sealed" and (place not in found or found[place]["state_no"] < row["state_no"]):
            found[place] = row
    return found


def _renewed(row: Row, sdkfileid: str, now_ms: int) -> Row:
    number = row["state_no"] if row.get("renewed") else row["state_no"] + 1
    return {
        **row, "state_no": number, "sdkfileid": sdkfileid, "status": "pending", "sha256": None, "size": None, "attempts": None, "code": None,
        "recorded_at": now_ms, "renewed": True,
    }  # fmt: skip


def earlier_duplicates(lake: Lake, files: Sequence[DataFile], owners: Iterable[int]) -> dict[int, int]:
    """Return, per original that has any, the highest seq of its duplicates that are settled already."""
    where = ds.field("duplicate_of").isin(pa.array(sorted(set(owners)), pa.uint64())) & (ds.field("duplicate_origin") == "sealed") & (ds.field("origin") == "sealed")
    found = lake.read("records", files, columns=["duplicate_of", "seq"], where=where)
    grouped = found.group_by("duplicate_of").aggregate([("seq", "max")])
    return dict(zip(grouped["duplicate_of"].to_pylist(), grouped["seq_max"].to_pylist(), strict=True))


def _seqs(wanted: Iterable[int]) -> pc.Expression:
    seqs = sorted(wanted)
    low, high = (pc.scalar(pa.scalar(s, pa.uint64())) for s in (seqs[0], seqs[-1]))
    # The range is pruned by statistics, the list alone is not.
    return (ds.field("seq") >= low) & (ds.field("seq") <= high) & ds.field("seq").isin(pa.array(seqs, pa.uint64()))
