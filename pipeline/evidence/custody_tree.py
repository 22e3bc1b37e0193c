"""The custody log's own tree: RFC 6962 over its lines, so that a line can be shown to be in it without the others.

Before: custody.py, tree.py. After: checkpoint.py (signs its root), bundle.py.

Line n (from 1) is leaf n - 1; what it commits to is the digest by which the next line names it (docs/formats.md, section 8), so that a sealed
field that an erasure dropped leaves the tree whole.
"""

from __future__ import annotations

from collections.abc import Iterable

from pipeline import custody
from pipeline.evidence.tree import Tree, leaf_hash


def tree(entries: Iterable[custody.Entry], upto: int) -> Tree:
    """Return the tree over the first `upto` lines."""
    chained = (bytes.fromhex(custody.chained(entry)) for entry in entries if entry.n <= upto)
    return Tree(b"".join(leaf_hash(number, digest) for number, digest in enumerate(chained)))
