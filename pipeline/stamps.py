"""Stamps: what a summary, an index or a cache was made from, so that one that does not fit is made again or passed over, never believed.

Before: lake.py. After: every store that can be made again from the lake.

A stamp names the table (a restored home has the same, a new one another), version and head of the lake it was made at, who made it (a name
with the number of its format), and the digest of its inputs: path and size of every file that was read; a path ends in the SHA-256 of its
bytes, so equal digests mean equal input. Rules, each with a test:
 (1) What fits was made by this maker, from this table, from exactly these files. Version and head may be older: commits that touched
     none of its inputs change nothing.
 (2) A stamp from a later head than the lake has does not fit, whatever its inputs: the log was put back.
 (3) A stamp that is missing, torn or of another form fits nothing.
 (4) The stamp is written last, and taken away before what it stands for is changed: a killed maker leaves none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import msgspec

from pipeline import durable
from pipeline.deltalog import DataFile, Snapshot

Verdict = Literal["fits", "no stamp", "other maker", "other table", "later head", "other inputs"]


class Stamp(msgspec.Struct, frozen=True, kw_only=True):
    """maker: name/number of its format; table: id of the Delta table; inputs: digest of the `files` files that were read, hex."""

    maker: str
    table: str
    version: int
    head: int
    files: int
    inputs: str


def digest(files: Iterable[DataFile]) -> str:
    """Return the digest of a list of input files, hex; their order does not matter."""
    told = sorted(f"{f.path} {f.size}\n" for f in files)
    return hashlib.sha256("".join(told).encode()).hexdigest()


def table_id(snapshot: Snapshot) -> str:
    """Return the id of the table of a snapshot."""
    return str(snapshot.table.metadata().id)


def stamp(maker: str, snapshot: Snapshot, files: Iterable[DataFile]) -> Stamp:
    """Return the stamp of something that `maker` made from `files` of `snapshot`."""
    read = list(files)
    return Stamp(maker=maker, table=table_id(snapshot), version=snapshot.version, head=snapshot.head, files=len(read), inputs=digest(read))


def judge(found: Stamp | None, maker: str, snapshot: Snapshot, files: Iterable[DataFile]) -> Verdict:
    """Return whether what `found` was put on is what `maker` would make from `files` of `snapshot`, and if not, why."""
    if found is None:
        return "no stamp"
    if found.maker != maker:
        return "other maker"
    if found.table != table_id(snapshot):
        return "other table"
    if found.head > snapshot.head:
        return "later head"
    return "fits" if found.inputs == digest(files) else "other inputs"


def fits(found: Stamp | None, maker: str, snapshot: Snapshot, files: Iterable[DataFile]) -> bool:
    """Return whether it can be used as it is."""
    return judge(found, maker, snapshot, files) == "fits"


def put(path: Path, made: Stamp) -> None:
    """Write a stamp durably; what it stands for is durable before (rule 4)."""
    durable.replace(path, msgspec.json.encode(made))


def take(path: Path) -> None:
    """Take a stamp away, durably, before what it stands for is changed; an absent one is fine."""
    durable.remove(path)


def read(path: Path) -> Stamp | None:
    """Return the stamp at `path`, None when there is none that can be read."""
    try:
        with durable.storage("reading a stamp"):
            return msgspec.json.decode(path.read_bytes(), type=Stamp)
    except (durable.Vanished, msgspec.DecodeError):
        return None
