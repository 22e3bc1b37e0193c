"""The parts of a bundle that say since when, and by whom: checkpoints, epochs, time stamps, the custody log.

Before: proving.py, stamps.py, custody_tree.py. After: bundle.py. Formats: docs/formats.md, section 13.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence

import msgspec

from pipeline import custody
from pipeline.evidence import checkpoint, custody_tree, stamps
from pipeline.evidence.proving import Prover
from pipeline.evidence.signer import public_key
from pipeline.home import Home

encode = msgspec.json.Encoder(order="sorted").encode


def files(home: Home, corp_id: str, prover: Prover, matter: str, leaves: Sequence[int]) -> Iterator[tuple[str, bytes]]:
    """Yield (path below data/, content): the checkpoints that records with these leaves need, what came before their epoch, stamps, the custody
    log up to the prover's."""
    yield "checkpoints/log.vkey", f"{public_key(home, corp_id)}\n".encode()
    points = checkpoint.of_sizes(home, corp_id, needed(home, corp_id, prover, leaves), prover.point.epoch)
    for point in points:
        yield f"checkpoints/{point.size:012d}.note", point.text.encode()
        yield f"checkpoints/{point.size:012d}.consistency.json", encode(prover.consistency(point))
    for number, before in checkpoint.befores(home, corp_id, prover.point.epoch):
        yield f"checkpoints/before-{number}.note", before.text.encode()
    if prover.point.epoch:
        yield "checkpoints/epoch.json", encode({"epoch": prover.point.epoch, "path": prover.first_leaf()})
    yield from _custody(home, prover, matter, {point.said.custody[0] for point in points})
    for point in points:
        for name, data in stamps.files(point):
            yield f"stamps/{name}", data


def needed(home: Home, corp_id: str, prover: Prover, leaves: Sequence[int]) -> list[int]:
    """Return the sizes of the prover's checkpoint and, for each leaf, of the first checkpoint over it and the first of those that was stamped:
    they say how soon after its capture a record was fixed. Years of other checkpoints add nothing."""
    point = prover.point
    known = [s for s in checkpoint.sizes(home, corp_id, point.epoch) if s <= point.size]
    at = checkpoint.folder(home, corp_id, point.epoch)
    stamped = [s for s in known if (at / f"{s:012d}.tsr").exists()]
    first = {listed[n] for leaf in leaves for listed in (known, stamped) if (n := bisect_right(listed, leaf + point.said.before)) < len(listed)}
    return sorted({*first, point.size})


def _custody(home: Home, prover: Prover, matter: str, named: set[int]) -> Iterator[tuple[str, bytes]]:
    """The log without its sealed parameters (the chain covers their digests), and paths of the lines that name the matter or made a checkpoint."""
    upto = prover.point.said.custody[0]
    entries = [e for e in home.custody.entries() if e.n <= upto]
    tree = custody_tree.tree(entries, upto)
    told = [e.n for e in entries if e.n in named or home.custody.params(e).get("matter") == matter]
    yield "custody/log.jsonl", b"".join(custody.line(msgspec.structs.replace(e, params="")) for e in entries)
    paths = ({"n": n, "size": upto, "path": [h.hex() for h in tree.inclusion(n - 1)]} for n in told)
    yield "custody/proofs.jsonl", b"".join(encode(p) + b"\n" for p in paths)
