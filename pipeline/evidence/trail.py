"""The parts of a bundle that say since when, and by whom: checkpoints, epochs, time stamps, the custody log.

Before: proving.py, stamps.py, custody_tree.py. After: bundle.py. Formats: docs/formats.md, section 13.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from pipeline import custody
from pipeline.evidence import checkpoint, custody_tree, stamps
from pipeline.evidence.proving import Prover
from pipeline.evidence.signer import public_key
from pipeline.home import Home

encode = msgspec.json.Encoder(order="sorted").encode


def files(home: Home, corp_id: str, prover: Prover, matter: str) -> Iterator[tuple[str, bytes]]:
    """Yield (path below data/, content): checkpoints of the epoch up to the prover's, what came before it, stamps, the custody log up to there."""
    yield "checkpoints/log.vkey", f"{public_key(home, corp_id)}\n".encode()
    points = [p for p in checkpoint.all_of(home, corp_id) if p.size <= prover.point.size]
    for point in points:
        yield f"checkpoints/{point.size:012d}.note", point.text.encode()
        yield f"checkpoints/{point.size:012d}.consistency.json", encode(prover.consistency(point))
    for number, before in checkpoint.befores(home, corp_id, prover.point.epoch):
        yield f"checkpoints/before-{number}.note", before.text.encode()
    if prover.point.epoch:
        yield "checkpoints/epoch.json", encode({"epoch": prover.point.epoch, "path": prover.first_leaf()})
    yield from _custody(home, prover, matter)
    for point in points:
        for name, data in stamps.files(point):
            yield f"stamps/{name}", data


def _custody(home: Home, prover: Prover, matter: str) -> Iterator[tuple[str, bytes]]:
    """The log without its sealed parameters (the chain covers their digests), and paths of the lines that name the matter or a checkpoint."""
    upto = prover.point.said.custody[0]
    entries = [e for e in home.custody.entries() if e.n <= upto]
    tree = custody_tree.tree(entries, upto)
    told = [e.n for e in entries if e.command == "checkpoint" or home.custody.params(e).get("matter") == matter]
    yield "custody/log.jsonl", b"".join(custody.line(msgspec.structs.replace(e, params="")) for e in entries)
    paths = ({"n": n, "size": upto, "path": [h.hex() for h in tree.inclusion(n - 1)]} for n in told)
    yield "custody/proofs.jsonl", b"".join(encode(p) + b"\n" for p in paths)
