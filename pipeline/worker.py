"""A worker process of the in-process runner: Beam's own, without its log.

Before: flow.py, which starts it. After: nothing.
"""

from __future__ import annotations

import gc
import logging
import os
import sys

GARBAGE_LOOKS = 200_000  # objects between two looks for cycles


def main() -> None:
    """Serve the runner that started this process until it is told to end."""
    # Errors reach the runner, which tells them once. Here Beam would log and print them again with the whole traceback.
    logging.disable(logging.ERROR)
    if not os.environ.get("LIUHEN_DEBUG"):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
    from apache_beam.runners.worker import sdk_worker_main

    import pipeline.flow  # noqa: F401  # what the runner will ask for

    # A page leaves no cycles behind: its objects go when the last name for them goes. What the collector would look through
    # again and again are the half a million objects of the libraries.
    gc.freeze()
    gc.set_threshold(GARBAGE_LOOKS)
    sdk_worker_main.main(sys.argv)


if __name__ == "__main__":
    main()
