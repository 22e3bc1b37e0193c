"""Checkpoints: what the tree of a corp was at a time, signed, kept for good, and each one shown to only add to the one before.

Before: tree.py, note.py, commit.py (leaves). After: bundle.py, the command `checkpoint`, a cycle of `run`.

A checkpoint is a C2SP note (tlog-checkpoint): origin, number of leaves, root in base64. The origin names the corp and this log:
`liuhen/CORP_ID/first 16 hex digits of the SHA-256 of the public key`. A fourth line, `custody N HEX`, names the last line of the custody log
and its digest in the chain, so that the signature covers the log of who did what up to there. Files, write-once, free of content, below `evidence/CORP_ID/`:
    log.vkey                       the public key
    checkpoints/SIZE.note          the signed note, SIZE in twelve digits
    checkpoints/SIZE.json          when it was made (ms, UTC), at which version of the lake, at which line of the custody log
    leaves.bin · blocks.bin        hashes of the leaves and of full subtrees of 256: a cache, taken only when the newest checkpoint names
                                   its digest, else made again from the lake

Rules: (1) no checkpoint over fewer leaves than the last one, and none that does not begin with it: that is damage, told and refused
(the newest 4,096 leaves of the last checkpoint are read again each time, all of them by `verify --archive`);
(2) the same leaves give no second checkpoint; (3) the signing key lies in the keyring and never leaves it.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
from cryptography.hazmat.primitives import serialization as ser
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pipeline import clock, custody, durable
from pipeline.errors import UsageError, VerifyFailed
from pipeline.evidence import note
from pipeline.evidence.tree import SIZE, Tree, leaf_hash
from pipeline.home import Home
from pipeline.lake import Snapshot

KEY_UNIT = "checkpoint"
READ_AGAIN = 4_096
_CUSTODY = re.compile(r"custody ([1-9][0-9]*) ([0-9a-f]{64})")


class Made(msgspec.Struct, frozen=True):
    """Beside a note: when and over what it was made. custody_n: the last line of the custody log then; cache: digest of the cached hashes."""

    at_ms: int
    version: int
    custody_n: int
    cache: str


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A checkpoint: how many leaves, their root (32 bytes), the signed note, and what lies beside it."""

    origin: str
    size: int
    root: bytes
    text: str
    made: Made


def folder(home: Home, corp_id: str) -> Path:
    """Return where a corp's evidence files lie."""
    return home.path / "evidence" / corp_id


def signing_key(home: Home, corp_id: str) -> Ed25519PrivateKey:
    """Return the key that signs this corp's checkpoints; made in the keyring when first asked for, never renewed."""
    unit = f"{corp_id}/{KEY_UNIT}"
    names = home.keyring.names(f"{unit}#")
    return Ed25519PrivateKey.from_private_bytes(home.keyring.get(names[0] if names else home.keyring.current(unit)))


def public_key(home: Home, corp_id: str) -> note.Key:
    """Return the public half, under the name of the log."""
    private = signing_key(home, corp_id)
    raw = private.public_key().public_bytes(ser.Encoding.Raw, ser.PublicFormat.Raw)
    return note.Key(f"liuhen/{corp_id}/{sha256(raw).hexdigest()[:16]}", raw)


class Said(NamedTuple):
    """What a checkpoint's text says; custody: number and chained digest (hex) of the last line of the custody log."""

    origin: str
    size: int
    root: bytes
    custody: tuple[int, str]


def parse(text: str) -> Said:
    """Return what a checkpoint's text says; raises ValueError for anything else (no other lines are accepted)."""
    lines = text.split("\n")
    if len(lines) != 5 or lines[4] or not lines[1].isascii() or not lines[1].isdigit() or str(int(lines[1])) != lines[1]:
        raise ValueError("not a checkpoint")
    root = b64decode(lines[2], validate=True)
    custody = _CUSTODY.fullmatch(lines[3])
    if len(root) != SIZE or not lines[0] or not custody:
        raise ValueError("not a checkpoint")
    return Said(lines[0], int(lines[1]), root, (int(custody[1]), custody[2]))


def all_of(home: Home, corp_id: str) -> list[Checkpoint]:
    """Return every checkpoint, oldest first; raises VerifyFailed CHECKPOINT_DAMAGED for one that our key did not sign."""
    key = public_key(home, corp_id)
    return [_read(path, key) for path in sorted((folder(home, corp_id) / "checkpoints").glob("*.note"))]


def _read(path: Path, key: note.Key) -> Checkpoint:
    with durable.storage("reading a checkpoint"):
        data = path.read_bytes()
    try:
        text = data.decode("utf-8")
        opened = note.opened(text, key)
        if opened is None:
            raise ValueError
        said = parse(opened)
        made = msgspec.json.decode(path.with_suffix(".json").read_bytes(), type=Made)
    except (ValueError, OSError, msgspec.DecodeError) as error:
        raise VerifyFailed("CHECKPOINT_DAMAGED", f"checkpoint {path.stem} is not as it was signed", remedy="restore evidence/ from its backup") from error
    return Checkpoint(origin=said.origin, size=said.size, root=said.root, text=text, made=made)


def find(home: Home, corp_id: str, size: int | None) -> Checkpoint:
    """Return the checkpoint over `size` leaves, the newest for None; raises UsageError CHECKPOINT_UNKNOWN."""
    known = all_of(home, corp_id)
    for found in reversed(known):
        if size is None or found.size == size:
            return found
    sizes = ", ".join(str(c.size) for c in known[-5:]) or "none yet"
    raise UsageError("CHECKPOINT_UNKNOWN", f"there is no such checkpoint; the newest are {sizes}", remedy="`liuhen checkpoint` makes one")


def tree(home: Home, corp_id: str, snapshot: Snapshot) -> Tree:
    """Return the tree over all leaves of a version of the lake; raises VerifyFailed LEAF_MISSING when a number is missing or there twice."""
    last = max(all_of(home, corp_id), key=lambda c: c.size, default=None)
    leaves, blocks = _cached(folder(home, corp_id), last)
    first = max(0, len(leaves) // SIZE - READ_AGAIN)
    read = _hashes(home, corp_id, snapshot, first)
    if not _beginning(leaves, read, first):
        leaves, blocks, first = b"", b"", 0
        read = _hashes(home, corp_id, snapshot, 0)
    return Tree(leaves[: first * SIZE] + read, blocks)


def _cached(at: Path, last: Checkpoint | None) -> tuple[bytes, bytes]:
    """Return the hashes that the last checkpoint vouches for; nothing when there are none."""
    try:
        leaves, blocks = (at / "leaves.bin").read_bytes(), (at / "blocks.bin").read_bytes()
    except FileNotFoundError:
        return b"", b""
    return (leaves, blocks) if last is not None and _digest(leaves, blocks) == last.made.cache else (b"", b"")


def _beginning(leaves: bytes, read: bytes, first: int) -> bool:
    """Whether the leaves that were read again, from number `first` on, are those that were cached."""
    again = leaves[first * SIZE :]
    return read[: len(again)] == again


def _digest(leaves: bytes | memoryview, blocks: bytes) -> str:
    return sha256(sha256(leaves).digest() + blocks).hexdigest()


def _hashes(home: Home, corp_id: str, snapshot: Snapshot, first: int) -> bytes:
    """Return the hashes of all leaves from number `first`, in order."""
    lake = home.lake(corp_id)
    files = [f for f in snapshot.of("records") if f.stats.get("leaf", (0, 1 << 63))[1] >= first]
    rows: pa.Table = lake.read("records", files, columns=["leaf", "commitment"], where=ds.field("leaf") >= first).sort_by("leaf")
    numbers = rows["leaf"].to_numpy()
    if not np.array_equal(numbers, np.arange(first, first + len(numbers))):
        raise VerifyFailed("LEAF_MISSING", "a leaf number is missing or there twice", remedy="`liuhen verify --archive` says which")
    return b"".join(leaf_hash(n, c) for n, c in enumerate(rows["commitment"].to_pylist(), first))


def make(home: Home, corp_id: str) -> tuple[Checkpoint, bool]:
    """Make a checkpoint over all leaves there are; return it and whether it is new (rule 2). Raises VerifyFailed LOG_SHRUNK, LOG_FORKED (rule 1)."""
    snapshot = home.lake(corp_id).snapshot()
    grown = tree(home, corp_id, snapshot)
    known = all_of(home, corp_id)
    last = max(known, key=lambda c: c.size, default=None)
    if last is not None:
        _adds_to(last, grown)
        if last.size == grown.size:
            return last, False
    made = _write(home, corp_id, grown, snapshot.version)
    return made, True


def _adds_to(last: Checkpoint, grown: Tree) -> None:
    """Rule 1."""
    remedy = "the archive was put back or changed: `liuhen verify --archive`; restore the newest backup"
    if grown.size < last.size:
        raise VerifyFailed("LOG_SHRUNK", f"the log has {grown.size} leaves, a checkpoint was made over {last.size}", remedy=remedy)
    if grown.root(last.size) != last.root:
        raise VerifyFailed("LOG_FORKED", f"the first {last.size} leaves are not those of the last checkpoint", remedy=remedy)


def _write(home: Home, corp_id: str, grown: Tree, version: int) -> Checkpoint:
    key = public_key(home, corp_id)
    entry = home.custody.append(command="checkpoint", phase="made", params={"corp": corp_id, "size": grown.size, "root": grown.root().hex()})
    text = f"{key.name}\n{grown.size}\n{b64encode(grown.root()).decode()}\ncustody {entry.n} {custody.chained(entry)}\n"
    signed = note.sign(text, key.name, signing_key(home, corp_id))
    leaves, blocks = grown.leaves(), grown.blocks()
    made = Made(at_ms=clock.now_ms(), version=version, custody_n=entry.n, cache=_digest(leaves, blocks))
    at = folder(home, corp_id)
    durable.make_folder(at / "checkpoints")
    durable.write_once(at / "log.vkey", f"{key}\n".encode())
    durable.replace(at / "leaves.bin", leaves)
    durable.replace(at / "blocks.bin", blocks)
    # The note last: what has none is no checkpoint, and is written over by the next run.
    durable.replace(at / "checkpoints" / f"{grown.size:012d}.json", msgspec.json.encode(made))
    durable.write_once(at / "checkpoints" / f"{grown.size:012d}.note", signed.encode())
    return Checkpoint(origin=key.name, size=grown.size, root=grown.root(), text=signed, made=made)
