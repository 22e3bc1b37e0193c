"""Verification, check 1: the lake's log, read as JSON by the Delta protocol's own text, without the library that wrote it.

Before: verify_report.py. After: verify_anchors.py, verify_files.py.

 (1) Entries are numbered without a gap, each line of each is one known action.
 (2) Every entry but the first sets `head` to one more; the first sets none.
 (3) A file is added once, under a name that ends in a SHA-256, in the folder its partition values say; only what is there is removed.
 (4) Rows of kinds that are never erased do not become fewer.
 (5) A checkpoint says what the entries up to it say. Entries that ended are taken from it (verify_anchors.py: it is the one that was anchored),
     and told.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.verify_report import LOG, Report

PARTITION = ("kind", "month", "bucket", "lexicon")
STATISTICS = ("seq", "leaf", "last_seq")
ACTIONS = {"commitInfo", "protocol", "metaData", "add", "remove", "txn"}
NEVER_ERASED = ("records", "pages", "consent", "runs", "acks")
_ENTRY = re.compile(r"(\d{20})\.json\Z")
_CHECKPOINT = re.compile(r"(\d{20})\.checkpoint\.parquet\Z")
# What a killed run leaves while it, or the library, writes a file of the log.
_STAGED = re.compile(r"(\d{20}\.json|_last_checkpoint)#\d+\Z|\.[0-9a-f]{16}\.part\Z")
# What power loss tore and a later run set aside.
_TORN = re.compile(r"\d{20}\.json\.torn-\d+\Z")
NAME = re.compile(r"(kind=[^/]+/month=[^/]+/bucket=[^/]+/lexicon=[^/]+)/[0-9a-f]{16}-([0-9a-f]{64})\.parquet\Z")


class Invalid(Exception):
    """An entry is not one the protocol and the formats allow; says why in a word of ours."""


@dataclass(frozen=True)
class File:
    """One data file as the log states it. stats: smallest and largest seq, leaf, last_seq; version: of the entry that added it."""

    path: str
    kind: str
    month: str
    bucket: str
    lexicon: str
    rows: int
    size: int
    stats: dict[str, tuple[int, int]]
    version: int

    @property
    def sha256(self) -> str:
        """The digest in its name."""
        return self.path.rsplit("-", 1)[1].removesuffix(".parquet")

    @property
    def concerned(self) -> str:
        """Which records lie in it, as far as the log says."""
        low, high = self.stats.get("seq") or self.stats.get("last_seq") or (None, None)
        return f"seq {low}-{high}" if low is not None else ""


@dataclass
class Log:
    """The replayed log. entries, checkpoints: SHA-256 by version; leaves: next leaf after each version; gone: entries that are missing in the middle
    (told by verify_anchors.py, which knows what they settled); whole: no entry was missing or unreadable."""

    version: int = -1
    head: int = 0
    first: int = 0
    whole: bool = True
    active: dict[str, File] = field(default_factory=dict)
    rows: Counter[str] = field(default_factory=Counter)
    seen: set[str] = field(default_factory=set)
    entries: dict[int, str] = field(default_factory=dict)
    leaves: dict[int, int] = field(default_factory=dict)
    added: dict[int, list[File]] = field(default_factory=dict)
    unreadable: set[int] = field(default_factory=set)
    gone: list[int] = field(default_factory=list)
    checkpoints: dict[int, str] = field(default_factory=dict)

    def of(self, kind: str) -> list[File]:
        """The active files of a kind."""
        return [f for f in self.active.values() if f.kind == kind]


def read(root: Path, report: Report) -> Log | None:
    """Return the replayed log of the lake below `root`; None when there is nothing to replay. Adds findings of check 1, but for entries that are gone."""
    folder = root / "_delta_log"
    names = sorted(p.name for p in folder.iterdir()) if folder.is_dir() else []
    entries = {int(m[1]): folder / n for n in names if (m := _ENTRY.match(n))}
    checkpoints = {int(m[1]): folder / n for n in names if (m := _CHECKPOINT.match(n))}
    if not entries:
        return None
    for name in names:
        if _TORN.match(name):
            report.note(LOG, "LOG_SET_ASIDE", version=int(name[:20]))
        elif _STAGED.match(name):
            report.counts["left by killed runs"] += 1
        elif not _ENTRY.match(name) and not _CHECKPOINT.match(name) and name != "_last_checkpoint":
            report.find(LOG, "LOG_UNKNOWN_FILE", file=name[:80])
    log = Log(checkpoints={v: hashlib.sha256(p.read_bytes()).hexdigest() for v, p in checkpoints.items()})
    _begin(log, entries, checkpoints, report)
    log.gone = [v for v in range(log.first, max(entries) + 1) if v not in entries]
    log.whole = not log.gone
    for version in sorted(v for v in entries if v >= log.first):
        _entry(log, version, entries[version].read_bytes(), report)
        if version in checkpoints and log.whole:
            _compare(log, checkpoints[version], version, report)
    _last_checkpoint(folder, checkpoints, report)
    report.counts["log entries"] = len(log.entries)
    return log


def _begin(log: Log, entries: dict[int, Path], checkpoints: dict[int, Path], report: Report) -> None:
    """Start from the newest checkpoint whose following entries are there, when the first entries were cleaned away."""
    if 0 in entries:
        return
    usable = [v for v in checkpoints if v >= min(entries) - 1]
    if not usable:
        log.first = 0
        return
    base = min(usable)
    try:
        head, files = _checkpoint(checkpoints[base])
    except Exception:
        report.find(LOG, "CHECKPOINT_UNREADABLE", version=base)
        return
    log.first, log.version, log.head = base + 1, base, head
    log.active = {f.path: f for f in files}
    log.seen = set(log.active)
    for file in files:
        log.rows[file.kind] += file.rows
    log.leaves[base] = max((f.stats["leaf"][1] + 1 for f in files if f.kind == "records" and "leaf" in f.stats), default=0)
    report.note(LOG, "LOG_CLEANED", versions=f"0-{base}")


def _entry(log: Log, version: int, data: bytes, report: Report) -> None:
    log.entries[version] = hashlib.sha256(data).hexdigest()
    before = Counter(log.rows)
    try:
        actions = list(_actions(data))
        if not actions:
            raise Invalid("empty")
        _apply(log, version, actions)
    except Invalid as why:
        log.whole = False
        log.unreadable.add(version)
        report.find(LOG, "LOG_ENTRY_INVALID", _leaves_of(log, version), version=version, why=str(why))
    log.version = version
    log.leaves[version] = max(
        log.leaves.get(version - 1, 0), *(f.stats["leaf"][1] + 1 for f in log.added.get(version, ()) if f.kind == "records" and "leaf" in f.stats), 0
    )
    for kind in NEVER_ERASED:
        if log.rows[kind] < before[kind]:
            report.find(LOG, "LOG_ROWS_LOST", _leaves_of(log, version), version=version, kind=kind, rows=before[kind] - log.rows[kind])


def _leaves_of(log: Log, version: int) -> str:
    return "; ".join(f.concerned for f in log.added.get(version, ()) if f.kind == "records" and f.concerned)


def _actions(data: bytes) -> Iterator[tuple[str, dict[str, Any]]]:
    if data and not data.endswith((b"}", b"}\n")):
        raise Invalid("torn")
    for line in data.decode("utf-8", "replace").splitlines():
        try:
            found = json.loads(line)
        except ValueError:
            raise Invalid("not JSON") from None
        if not isinstance(found, dict) or len(found) != 1 or not found.keys() <= ACTIONS or not isinstance(next(iter(found.values())), dict):
            raise Invalid("unknown action")
        yield next(iter(found.items()))


def _apply(log: Log, version: int, actions: list[tuple[str, dict[str, Any]]]) -> None:
    heads = [a.get("version") for name, a in actions if name == "txn" and a.get("appId") == "head"]
    wanted = [] if version == 0 else [log.head + 1]
    for name, action in actions:
        if name == "remove":
            path = _path(action)
            if path not in log.active:
                raise Invalid("removes a file that is not there")
            log.rows[log.active[path].kind] -= log.active.pop(path).rows
    for name, action in actions:
        if name == "add":
            file = _file(action, version)
            if file.path in log.seen:
                raise Invalid("adds a file twice")
            log.seen.add(file.path)
            log.active[file.path] = file
            log.rows[file.kind] += file.rows
            log.added.setdefault(version, []).append(file)
    if heads != wanted:
        if heads and isinstance(heads[-1], int):
            log.head = heads[-1]
        raise Invalid("head is not one more")
    log.head = heads[0] if heads else 0


def _path(action: dict[str, Any]) -> str:
    if not isinstance(action.get("path"), str):
        raise Invalid("no path")
    return unquote(action["path"])


def _file(action: dict[str, Any], version: int) -> File:
    path, values = _path(action), action.get("partitionValues")
    name = NAME.match(path)
    if name is None or not isinstance(values, dict) or any(not isinstance(values.get(p), str) for p in PARTITION):
        raise Invalid("a file name that is none of ours")
    if name[1] != "/".join(f"{p}={values[p]}" for p in PARTITION):
        raise Invalid("partition values that differ from the folder")
    try:
        stats = json.loads(action["stats"])
        low, high = stats["minValues"], stats["maxValues"]
        told = {c: (int(low[c]), int(high[c])) for c in STATISTICS if high.get(c) is not None}
        kind, month, bucket, lexicon = (str(values[p]) for p in PARTITION)
        return File(path, kind, month, bucket, lexicon, int(stats["numRecords"]), int(action["size"]), told, version)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise Invalid("statistics that cannot be read") from None


# -- checkpoints ---------------------------------------------------------------------------------------------------


def _checkpoint(path: Path) -> tuple[int, list[File]]:
    """Return head and files of a checkpoint (classic form, one Parquet file)."""
    rows = pq.ParquetFile(pa.BufferReader(path.read_bytes())).read(use_threads=False).to_pylist()
    heads = [r["txn"]["version"] for r in rows if r.get("txn") and r["txn"]["appId"] == "head"]
    files = []
    for row in rows:
        if row.get("add") and row["add"].get("path"):
            values = row["add"]["partitionValues"]
            files.append(_file({**row["add"], "partitionValues": dict(values)}, -1))
    return max(heads, default=0), files


def _compare(log: Log, path: Path, version: int, report: Report) -> None:
    def told(files: list[File]) -> dict[str, Any]:
        return {f.path: (f.rows, f.size, f.stats) for f in files}

    try:
        head, files = _checkpoint(path)
    except Exception:  # pyarrow raises many kinds on damaged bytes
        report.find(LOG, "CHECKPOINT_UNREADABLE", version=version)
        return
    if head != log.head or told(files) != told(list(log.active.values())):
        report.find(LOG, "CHECKPOINT_DIFFERS", version=version)
    report.counts["checkpoints"] += 1


def _last_checkpoint(folder: Path, checkpoints: dict[int, Path], report: Report) -> None:
    path = folder / "_last_checkpoint"
    if not path.exists():
        return
    try:
        version = json.loads(path.read_bytes())["version"]
    except (ValueError, KeyError, TypeError):
        version = -1
    if version not in checkpoints and not (isinstance(version, int) and (folder / f"{version:020d}.checkpoint.parquet").exists()):  # it came meanwhile
        report.find(LOG, "CHECKPOINT_UNREADABLE", version=version if isinstance(version, int) else -1)
