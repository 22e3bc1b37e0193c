"""Verification, check 1 continued: the log against the anchors that were written beside it (anchors.py says how).

Before: verify_log.py. After: verify_keys.py, verify_custody.py (which the anchors also know).

 (1) The lines are whole: numbered, each with its own digest, each naming the one before.
 (2) Every entry of the log is the one that was anchored; no anchored entry is missing, in the middle or at the end (an older log).
 (3) No version was anchored twice with different entries (an older log that was put back and written on).
 (4) A checkpoint is the one that was anchored; one that stands for entries that ended was anchored.
 (5) At the end the anchors may lag by one entry: killed between the two.
What lines cut off at the end of anchors and log together hide is not known; nor what who can write both has written.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.verify_log import Log
from pipeline.verify_report import LOG, Report, ranges

LAG = 1


@dataclass
class Anchors:
    """The lines that can be trusted, oldest first, and whether the last one is whole."""

    lines: list[dict[str, Any]] = field(default_factory=list)

    @property
    def last(self) -> dict[str, Any]:
        """The newest line; empty when there is none."""
        return self.lines[-1] if self.lines else {}


def read(home: Path, corp_id: str, report: Report) -> Anchors | None:
    """Return the anchors of a corp, None when there is no file. Adds ANCHORS_BROKEN."""
    path = home / "anchors" / f"{corp_id}.jsonl"
    if not path.is_file():
        return None
    found, previous = Anchors(), "0" * 64
    data = path.read_bytes()
    *lines, rest = data.split(b"\n")
    for number, line in enumerate(lines, 1):
        anchor = _line(line, number, previous)
        if anchor is None:
            report.find(LOG, "ANCHORS_BROKEN", n=number)
            anchor = _parsed(line)
            if anchor is None:
                previous = ""
                continue
        previous = str(anchor.get("digest", ""))
        found.lines.append(anchor)
    if rest:
        _torn(rest, report, len(lines) + 1)
    report.counts["anchors"] = len(found.lines)
    return found


def _torn(rest: bytes, report: Report, number: int) -> None:
    """What stands after the last line feed is what power loss left, unless it is longer than a line that lacks its end."""
    whole = rest.rfind(b"}") + 1
    if whole and _parsed(rest[:whole]) is not None:
        report.find(LOG, "ANCHORS_BROKEN", n=number)
    else:
        report.note(LOG, "ANCHORS_TORN", n=number)


def _line(line: bytes, number: int, previous: str) -> dict[str, Any] | None:
    """Return a line that is as it was written, else None. previous: digest of the line before, "" when that one cannot be told."""
    anchor = _parsed(line)
    if anchor is None or _dump(anchor) != line or anchor["n"] != number or (previous and anchor["previous"] != previous):
        return None
    return anchor if hashlib.sha256(_dump({**anchor, "digest": ""}) + b"\n").hexdigest() == anchor["digest"] else None


def _dump(anchor: dict[str, Any]) -> bytes:
    return json.dumps(anchor, separators=(",", ":"), ensure_ascii=False).encode()


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
    except ValueError:
        return None
    if not isinstance(found, dict):
        return None
    whole = all(isinstance(found.get(k), int) for k in ("n", "version", "head", "next_leaf", "keyring_serial", "custody_n"))
    return found if whole and all(isinstance(found.get(k), str) for k in ("entry_sha256", "keyring_sha256", "custody_sha256", "previous", "digest")) else None


def check(log: Log | None, anchors: Anchors | None, report: Report) -> None:
    """Compare the log with its anchors; None: there is no log, no anchors."""
    if log is None:
        report.find(LOG, "LOG_MISSING", settled(anchors.last.get("next_leaf", 0)) if anchors else "")
        return
    if anchors is None:
        if log.version > 0:
            report.find(LOG, "ANCHORS_MISSING", entries=log.version + 1)
        if log.gone:
            report.find(LOG, "LOG_ENTRY_MISSING", versions=ranges(log.gone))
        return
    newest = _newest(anchors, report)
    if log.gone:
        lost = (numbers for v in log.gone if v in newest for numbers in range(_leaves_before(newest, v), newest[v]["next_leaf"]))
        report.find(LOG, "LOG_ENTRY_MISSING", f"leaf {told}" if (told := ranges(lost)) else "", versions=ranges(log.gone))
    _checkpoints(log, anchors, report)
    for version, anchor in sorted(newest.items()):
        entry = log.entries.get(version)
        if entry is not None and entry != anchor["entry_sha256"]:
            report.find(LOG, "LOG_ENTRY_EDITED", _concerned(log, newest, version), version=version)
        elif entry is not None and log.whole and (anchor["head"], anchor["next_leaf"]) != (version, log.leaves[version]):
            report.find(LOG, "ANCHORS_BROKEN", n=anchor["n"])
    older = [v for v in newest if v > log.version]
    if older:
        at = log.leaves.get(log.version, 0)
        leaves = newest[max(older)]["next_leaf"]
        report.find(LOG, "LOG_OLDER", settled(leaves, at), versions=ranges(older))
    behind = [v for v in log.entries if v > max(newest, default=-1)]
    if len(behind) > LAG:
        report.find(LOG, "ANCHORS_BEHIND", versions=ranges(behind))
    elif behind:
        report.note(LOG, "ANCHORS_LAG", version=behind[0])


def _checkpoints(log: Log, anchors: Anchors, report: Report) -> None:
    known: dict[int, set[str]] = {}
    for anchor in anchors.lines:
        if anchor.get("checkpoint_sha256"):
            known.setdefault(anchor["checkpoint"], set()).add(anchor["checkpoint_sha256"])
    for version, sha256 in sorted(log.checkpoints.items()):
        if version in known and sha256 not in known[version]:
            report.find(LOG, "CHECKPOINT_CHANGED", version=version)
        elif version not in known and version == log.first - 1:
            report.find(LOG, "CHECKPOINT_UNANCHORED", version=version)


def _newest(anchors: Anchors, report: Report) -> dict[int, dict[str, Any]]:
    """Return the newest line of each version; adds findings for versions that came twice or were left out."""
    newest: dict[int, dict[str, Any]] = {}
    before = None
    for anchor in anchors.lines:
        version = anchor["version"]
        if version in newest and newest[version]["entry_sha256"] != anchor["entry_sha256"]:
            lost = settled(before["next_leaf"] if before else 0, _leaves_before(newest, version))
            report.find(LOG, "LOG_REPLACED", lost, version=version)
            newest = {v: a for v, a in newest.items() if v < version}
        elif before is not None and version > before["version"] + 1:
            report.find(LOG, "ANCHORS_BROKEN", n=anchor["n"])
        newest[version] = anchor
        before = anchor
    return newest


def _concerned(log: Log, newest: dict[int, dict[str, Any]], version: int) -> str:
    """The leaves that the anchored entry settled, and the seqs that the entry as it is now names."""
    leaves = settled(newest[version]["next_leaf"], _leaves_before(newest, version))
    return "; ".join([*([leaves] if leaves else []), *sorted({f"{f.kind} {f.concerned}" for f in log.added.get(version, ()) if f.concerned})])


def _leaves_before(newest: dict[int, dict[str, Any]], version: int) -> int:
    return int(newest[version - 1]["next_leaf"]) if version - 1 in newest else 0


def settled(until: int, first: int = 0) -> str:
    """Return which leaves those from `first` up to, but without, `until` are, "" for none."""
    return f"leaf {first}-{until - 1}" if until > first else ""


def settled_since(anchors: Anchors | None, keyring_serial: int) -> str:
    """Return which leaves were settled under keyrings newer than `keyring_serial`, "" for none."""
    lines = anchors.lines if anchors else []
    known = [a["next_leaf"] for a in lines if a["keyring_serial"] <= keyring_serial]
    return settled(max((a["next_leaf"] for a in lines), default=0), max(known, default=0))
