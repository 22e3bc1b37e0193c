"""The things that are compared, each a process of its own: `python -m tests.bench.arms rsa|eight BLOCKS KEY PROCESSES`, `… whole HOME PAGES WORKERS`.

Before: workload.py. After: meter.py, which starts them and reads what they used.
"""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec

RSA_BYTES = 256
PAGE = 1_000


def open_blocks(blocks: Path, key: Path, part: int, parts: int) -> int:
    """Open every `parts`-th RSA block from `part` on, the way the pipeline does; return how many."""
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    private, padding, data = load_pem_private_key(key.read_bytes(), None), PKCS1v15(), blocks.read_bytes()
    opened = 0
    for at in range(part * RSA_BYTES, len(data), parts * RSA_BYTES):
        opened += bool(private.decrypt(data[at : at + RSA_BYTES], padding))  # type: ignore[union-attr]  # an RSA key
    return opened


def open_eight(blocks: Path, key: Path, part: int, parts: int) -> int:
    """The same, eight at once, a page's worth a call."""
    from pipeline.enterprise_keys import KeySet, load_private_key
    from pipeline.multibuffer import MultiBufferRsa

    together, data = MultiBufferRsa(KeySet.of({1: load_private_key(key.read_bytes())})), blocks.read_bytes()
    mine = [(1, data[at : at + RSA_BYTES]) for at in range(part * RSA_BYTES, len(data), parts * RSA_BYTES)]
    return sum(bool(key_block) for at in range(0, len(mine), PAGE) for key_block in together.decrypt_many(mine[at : at + PAGE]))


def spread(opener: Callable[[Path, Path, int, int], int], blocks: str, key: str, processes: str) -> int:
    """Open all blocks in some processes."""
    parts = int(processes)
    with multiprocessing.get_context("spawn").Pool(parts) as pool:
        opened = sum(pool.starmap(opener, [(Path(blocks), Path(key), part, parts) for part in range(parts)], chunksize=1))
        pool.close()
        pool.join()
    return opened


def whole(home: str, pages: str, workers: str) -> int:
    """Ingest all pages into the home; everything on."""
    from pipeline import ingest
    from pipeline.home import Home
    from tests import firm

    sources = sorted(Path(pages).iterdir())
    ended = ingest.run(Home(Path(home)), firm.CORP, sources=sources, workers=int(workers))
    print(msgspec.json.encode(ended.summary).decode(), file=sys.stderr)
    return ended.summary.landed


if __name__ == "__main__":
    arm, *arguments = sys.argv[1:]
    print(whole(*arguments) if arm == "whole" else spread({"rsa": open_blocks, "eight": open_eight}[arm], *arguments))
