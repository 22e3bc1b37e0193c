"""A worker process of the in-process runner: Beam's own, without its log; and how the collector is kept from looking in vain.

Before: flow.py, which starts it. After: nothing.
"""

from __future__ import annotations

import gc
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

GARBAGE_LOOKS = 200_000  # objects between two looks for cycles


@contextmanager
def calm() -> Iterator[None]:
    """Keep the collector from looking again and again, while a run lasts, through the half a million objects of the libraries.

    A page leaves no cycles behind: its objects go when the last name for them goes."""
    looks = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(GARBAGE_LOOKS)
    try:
        yield
    finally:
        gc.set_threshold(*looks)
        gc.unfreeze()


def main() -> None:
    """Serve the runner that started this process until it is told to end."""
    # Errors reach the runner, which tells them once. Here Beam would log and print them again with the whole traceback.
    logging.disable(logging.ERROR)
    if not os.environ.get("LIUHEN_DEBUG"):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
    # Parquet's writers take memory where this says, read when Arrow is first imported; what lake.py sets is not asked by them. Arrow's own
    # allocator gives memory back after each file: touching it anew costs a worker more than the writing.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    from apache_beam.runners.worker import sdk_worker_main

    import pipeline.flow  # noqa: F401  # what the runner will ask for

    with calm():
        sdk_worker_main.main(sys.argv)


if __name__ == "__main__":
    main()
