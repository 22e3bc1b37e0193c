"""Anchors: what each entry of the lake's log was when it was made durable, kept beside the lake; so that an edited or older log shows.

Before: durable.py. After: deltalog.py (one line after every commit), verify_anchors.py (reads them with code of its own).

`anchors/<corp>.jsonl` of the home, one JSON object a line, appended and fsynced after the log entry is: number of the line, time, version,
head, next leaf, SHA-256 of the entry, SHA-256 and serial of the keyring, number and digest of the newest custody entry, digest of
the line before, own digest; after a checkpoint of the log the same again, with its version and SHA-256 (docs/verify.md).
Killed between entry and anchor, the anchors lag by one; the next commit catches up.
What is already anchored is never rewritten: a version that comes again with another entry (an older log was put back, and written on) gets
a second line, and both stay on record. Damage that is there already never stops a commit; a storage that fails does, when it is made.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from pipeline import durable
from pipeline.clock import iso, now_ms

GENESIS = "0" * 64
FOLDER = "anchors"
# How far back is looked for what is anchored already: far more than committers that race each other append.
TAIL_BYTES = 256 * 1024


class Anchor(msgspec.Struct, frozen=True, kw_only=True):
    """One line. previous: `digest` of the line before; digest: SHA-256 of this line with its line feed and `digest` empty, hex."""

    n: int
    at: str
    version: int
    head: int
    next_leaf: int
    entry_sha256: str
    keyring_sha256: str = ""
    keyring_serial: int = 0
    custody_n: int = 0
    custody_sha256: str = ""
    checkpoint: int = -1
    checkpoint_sha256: str = ""
    previous: str
    digest: str = ""


def path_of(lake_root: Path) -> Path:
    """Return where the anchors of the lake below `lake_root` (`<home>/lake/<corp>`) lie."""
    return lake_root.parent.parent / FOLDER / f"{lake_root.name}.jsonl"


def read(lake_root: Path) -> list[Anchor]:
    """Return the whole lines that can be read, oldest first."""
    path = path_of(lake_root)
    with durable.storage("reading the anchors"):
        data = path.read_bytes() if path.exists() else b""
    return [a for line in data.splitlines(keepends=True) if (a := _parse(line)) is not None]


def catch_up(lake_root: Path, version: int, keyring: Path) -> None:
    """Anchor `version` and whatever before it is not anchored yet, durably. Call it when the entry of `version` is durable."""
    _append(lake_root, lambda known: _new_lines(known, lake_root, version, keyring))


def checkpoint(lake_root: Path, version: int, sha256: str) -> None:
    """Anchor the checkpoint of `version`, durably, in a line that says again what the newest one says of the log."""
    _append(lake_root, lambda known: _checkpoint_line(known, version, sha256))


def _checkpoint_line(known: list[Anchor], version: int, sha256: str) -> bytes:
    if not known:
        return b""
    last = known[-1]
    bare = msgspec.structs.replace(last, n=last.n + 1, at=iso(now_ms()), checkpoint=version, checkpoint_sha256=sha256, previous=last.digest, digest="")
    return _line(msgspec.structs.replace(bare, digest=_digest(bare)))


def _append(lake_root: Path, made: Callable[[list[Anchor]], bytes]) -> None:
    path = path_of(lake_root)
    durable.make_folder(path.parent)
    fresh = not path.exists()
    with durable.storage("writing the anchors"):
        handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            data = made(_tail(handle))
            # A disk that is nearly full takes less than it was given and calls that a success.
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(handle, rest) :]
            os.fsync(handle)
        finally:
            os.close(handle)
        if fresh:
            durable.fsync_folder(path.parent)


def _new_lines(known: list[Anchor], lake_root: Path, version: int, keyring: Path) -> bytes:
    last = known[-1] if known else None
    log = lake_root / "_delta_log"
    if last is None or last.version < version:
        versions: Iterable[int] = range(last.version + 1 if last else 0, version + 1)
    elif any(a.version == version and a.entry_sha256 == _sha256(_entry(log, version)) for a in known):
        return b""
    else:
        versions = [version]
    lines = b""
    for at in versions:
        if not _entry(log, at).exists():
            continue  # cleaned up after a checkpoint, or gone: nothing to anchor
        if at < version:
            durable.fsync_file(_entry(log, at))  # its own committer may have been killed before it did
        last = _anchor(lake_root, at, last, keyring)
        lines += _line(last)
    return lines


def _anchor(lake_root: Path, version: int, last: Anchor | None, keyring: Path) -> Anchor:
    log = lake_root / "_delta_log"
    data = _entry(log, version).read_bytes()
    before = last.next_leaf if last is not None and last.version == version - 1 else _leaves(log, range(version + 1))
    keyring_sha256, keyring_serial = _keyring(keyring)
    custody_n, custody_sha256 = _custody(lake_root.parent.parent / "custody")
    bare = Anchor(
        n=last.n + 1 if last else 1, at=iso(now_ms()), version=version, head=_head(data), next_leaf=max(before, _next_leaf(data)),
        entry_sha256=hashlib.sha256(data).hexdigest(), keyring_sha256=keyring_sha256, keyring_serial=keyring_serial, custody_n=custody_n,
        custody_sha256=custody_sha256, previous=last.digest if last else GENESIS,
    )  # fmt: skip
    return msgspec.structs.replace(bare, digest=_digest(bare))


def _line(anchor: Anchor) -> bytes:
    return msgspec.json.encode(anchor) + b"\n"


def _digest(anchor: Anchor) -> str:
    return hashlib.sha256(_line(msgspec.structs.replace(anchor, digest=""))).hexdigest()


def _parse(line: bytes) -> Anchor | None:
    try:
        return msgspec.json.decode(line, type=Anchor)
    except msgspec.DecodeError:
        return None


def _tail(handle: int) -> list[Anchor]:
    """Return the newest readable lines; a torn last line (power loss) is cut off first."""
    size = os.fstat(handle).st_size
    start = max(size - TAIL_BYTES, 0)
    data = os.pread(handle, size - start, start)
    whole = data.rfind(b"\n") + 1
    if whole < len(data):
        os.ftruncate(handle, start + whole)
    return [a for line in data[:whole].splitlines() if (a := _parse(line)) is not None]


# -- what an entry of the log says ---------------------------------------------------------------------------------


def _entry(log: Path, version: int) -> Path:
    return log / f"{version:020d}.json"


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _actions(data: bytes, name: str) -> list[dict[str, Any]]:
    found = []
    for line in data.splitlines():
        with suppress(ValueError, KeyError, TypeError):  # an older entry that was damaged: verify tells it
            found.append(json.loads(line)[name])
    return found


def _head(data: bytes) -> int:
    return max((t.get("version", 0) for t in _actions(data, "txn") if t.get("appId") == "head"), default=0)


def _next_leaf(data: bytes) -> int:
    leaves = [0]
    for add in _actions(data, "add"):
        with suppress(ValueError, KeyError, TypeError, AttributeError):
            if add["partitionValues"]["kind"] == "records":
                leaves.append(int(json.loads(add["stats"])["maxValues"]["leaf"]) + 1)
    return max(leaves)


def _leaves(log: Path, versions: Iterable[int]) -> int:
    """Return the next leaf after these versions, from what the entries and checkpoints that are there say (the anchors were lost)."""
    found = [0]
    for version in versions:
        if _entry(log, version).exists():
            found.append(_next_leaf(_entry(log, version).read_bytes()))
        if (path := log / f"{version:020d}.checkpoint.parquet").exists():
            found.append(_next_leaf_of_checkpoint(path))
    return max(found)


def _next_leaf_of_checkpoint(path: Path) -> int:
    import pyarrow.parquet as pq

    adds = [a for a in pq.read_table(path, columns=["add"])["add"].to_pylist() if a and a.get("path")]
    return _next_leaf(b"\n".join(json.dumps({"add": {**a, "partitionValues": dict(a["partitionValues"])}}, default=str).encode() for a in adds))


# -- what lies beside the lake -------------------------------------------------------------------------------------


def _keyring(path: Path) -> tuple[str, int]:
    if not path.exists():
        return "", 0
    data = path.read_bytes()
    try:
        return hashlib.sha256(data).hexdigest(), int(json.loads(data)["serial"])
    except (ValueError, KeyError, TypeError):
        return hashlib.sha256(data).hexdigest(), 0


def _custody(folder: Path) -> tuple[int, str]:
    """Return number and chained digest (docs/formats.md, section 8) of the newest whole entry; (0, "") when there is none."""
    for segment in sorted(folder.glob("[0-9]*.jsonl"), reverse=True):
        size = segment.stat().st_size
        with segment.open("rb") as handle:
            handle.seek(max(size - TAIL_BYTES, 0))
            whole = [line for line in handle.read().splitlines(keepends=True) if line.endswith(b"\n")]
        if whole:
            try:
                entry = json.loads(whole[-1])
                return int(entry["n"]), hashlib.sha256(msgspec.json.encode({**entry, "params": ""}) + b"\n").hexdigest()
            except (ValueError, KeyError, TypeError):
                return 0, ""
    return 0, ""
