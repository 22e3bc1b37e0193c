"""Paths from records to a checkpoint: what a proof holds, checked against what was signed before it is handed out.

Before: checkpoint.py, leaves.py. After: records.py, completeness.py, trail.py.
"""

from __future__ import annotations

from typing import Any

from pipeline.deltalog import Snapshot
from pipeline.errors import VerifyFailed
from pipeline.evidence import checkpoint
from pipeline.evidence.checkpoint import Checkpoint
from pipeline.evidence.leaves import DIGESTS
from pipeline.evidence.tree import Tree, leaf_hash, root_of_inclusion
from pipeline.home import Home


class Prover:
    """Proofs under one checkpoint. trees: algorithm -> tree over at least its leaves."""

    def __init__(self, point: Checkpoint, trees: dict[str, Tree]) -> None:
        self.point, self.tree, self.second = point, trees["sha256"], trees.get("sm3")

    def path(self, number: int, commitment: bytes) -> dict[str, Any]:
        """Return `size`, `path` and, under a checkpoint with a second tree, `sm3_path` of record `number`'s leaf (hex, lowest first).

        Raises VerifyFailed PROOF_BROKEN when it does not lead to the signed root."""
        told: dict[str, Any] = {"size": self.point.size, "path": self._path(self.tree, number, commitment, self.point.root, "sha256")}
        if self.second is not None and self.point.said.sm3 is not None:
            told["sm3_path"] = self._path(self.second, number, commitment, self.point.said.sm3, "sm3")
        return told

    def _path(self, tree: Tree, number: int, commitment: bytes, root: bytes, algorithm: str) -> list[str]:
        place, digest = number + tree.before, DIGESTS[algorithm]
        found = tree.inclusion(place, self.point.size)
        if root_of_inclusion(place, self.point.size, leaf_hash(place, commitment, digest), found, digest) != root:
            raise VerifyFailed("PROOF_BROKEN", f"leaf {number} does not lead to the signed root", remedy="`liuhen verify --archive`; delete cache.json in evidence/")
        return [h.hex() for h in found]

    def first_leaf(self) -> list[str]:
        """Return the path of the leaf that an epoch begins with (hex, lowest first)."""
        return [h.hex() for h in self.tree.inclusion(0, self.point.size)]

    def consistency(self, older: Checkpoint) -> dict[str, Any]:
        """Return what shows that this checkpoint only adds to an older one of its epoch."""
        told: dict[str, Any] = {"old": older.size, "new": self.point.size, "proof": [h.hex() for h in self.tree.consistency(older.size, self.point.size)]}
        if self.second is not None and older.said.sm3 is not None and self.point.said.sm3 is not None:
            told["sm3_proof"] = [h.hex() for h in self.second.consistency(older.size, self.point.size)]
        return told


def prover(home: Home, corp_id: str, snapshot: Snapshot, point: Checkpoint) -> Prover:
    """Return what proves under `point`, over a version of the lake. Raises VerifyFailed LEAF_MISSING, LOG_SHRUNK, LOG_FORKED."""
    wanted = ["sha256", *(["sm3"] if point.said.sm3 is not None else [])]
    trees = {name: checkpoint.tree(home, corp_id, snapshot, name) for name in wanted}
    checkpoint.adds_to(point, trees["sha256"])
    return Prover(point, trees)
