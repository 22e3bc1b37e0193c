"""The tree over a corp's leaves, from the lake; hashes that were made once are kept beside the checkpoints.

Before: tree.py, statement.py. After: checkpoint.py, bundle.py.

`leaves.bin` and `blocks.bin` (`….sm3.bin` for the second tree) are a cache that nobody trusts: it is taken when `cache.json` names its
digest and its root is the one that was signed, and every path that is handed out is checked against the signed root (records.py). What is
missing or does not fit is made again from the lake. Rule: leaf numbers have no gap and none is there twice, else LEAF_MISSING; the newest
4,096 leaves of the cache are read from the lake again each time, all of them by `verify --archive`.
"""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds

from pipeline import durable
from pipeline.deltalog import Snapshot
from pipeline.errors import VerifyFailed
from pipeline.evidence.tree import SIZE, Digest, Tree, leaf_hash, sha256_of, sm3_of
from pipeline.home import Home

READ_AGAIN = 4_096
DIGESTS: dict[str, Digest] = {"sha256": sha256_of, "sm3": sm3_of}


class _Cache(msgspec.Struct, frozen=True):
    """Digests of what lies in the files, by their names."""

    digests: dict[str, str]


def tree(home: Home, corp_id: str, snapshot: Snapshot, at: Path, first_leaf: bytes | None, algorithm: str = "sha256") -> Tree:
    """Return the tree over all leaves of a version of the lake; raises VerifyFailed LEAF_MISSING.

    at: the folder of the epoch; first_leaf: commitment of the leaf before that of record 0, None in the first epoch."""
    digest = DIGESTS[algorithm]
    head = b"" if first_leaf is None else leaf_hash(0, first_leaf, digest)
    before = len(head) // SIZE
    leaves, blocks = _cached(at, algorithm)
    if not leaves.startswith(head):
        leaves, blocks = b"", b""
    known = max(0, len(leaves) // SIZE - before)
    first = max(0, known - READ_AGAIN)
    read = _hashes(home, corp_id, snapshot, first, before, digest)
    if read[: (known - first) * SIZE] != leaves[(before + first) * SIZE :]:
        blocks, first = b"", 0
        read = _hashes(home, corp_id, snapshot, 0, before, digest)
    return Tree(head + leaves[before * SIZE : (before + first) * SIZE] + read, blocks, before=before, digest=digest)


def keep(at: Path, trees: dict[str, Tree]) -> None:
    """Keep the hashes of these trees (algorithm: tree) for the next time."""
    parts = {f"{name}.bin": data for algorithm, t in trees.items() for name, data in zip(_names(algorithm), (t.leaves(), t.blocks()), strict=True)}
    for name, data in parts.items():
        durable.replace(at / name, data)
    durable.replace(at / "cache.json", msgspec.json.encode(_Cache({name: sha256(data).hexdigest() for name, data in parts.items()})))


def forget(at: Path) -> None:
    """Drop what is kept; it is made again from the lake."""
    for path in (at / "cache.json", *at.glob("*.bin")):
        if path.exists():
            durable.remove(path)


def _names(algorithm: str) -> tuple[str, str]:
    return ("leaves", "blocks") if algorithm == "sha256" else (f"leaves.{algorithm}", f"blocks.{algorithm}")


def _cached(at: Path, algorithm: str) -> tuple[bytes, bytes]:
    """Return the hashes that are kept, whole; nothing when there are none, or when they are not those that were kept."""
    names = [f"{name}.bin" for name in _names(algorithm)]
    try:
        known = msgspec.json.decode((at / "cache.json").read_bytes(), type=_Cache).digests
        leaves, blocks = ((at / name).read_bytes() for name in names)
    except (FileNotFoundError, msgspec.DecodeError):
        return b"", b""
    fits = [sha256(data).hexdigest() for data in (leaves, blocks)] == [known.get(name) for name in names]
    return (leaves, blocks) if fits and not len(leaves) % SIZE else (b"", b"")


def _hashes(home: Home, corp_id: str, snapshot: Snapshot, first: int, before: int, digest: Digest) -> bytes:
    """Return the hashes of all records' leaves from number `first`, in order."""
    lake = home.lake(corp_id)
    files = [f for f in snapshot.of("records") if f.stats.get("leaf", (0, 1 << 63))[1] >= first]
    rows: pa.Table = lake.read("records", files, columns=["leaf", "commitment"], where=ds.field("leaf") >= first).sort_by("leaf")
    numbers = rows["leaf"].to_numpy()
    if not np.array_equal(numbers, np.arange(first, first + len(numbers))):
        raise VerifyFailed("LEAF_MISSING", "a leaf number is missing or there twice", remedy="`liuhen verify --archive` says which")
    return b"".join(leaf_hash(n, c, digest) for n, c in enumerate(rows["commitment"].to_pylist(), first + before))
