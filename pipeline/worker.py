"""A worker process of the in-process runner: Beam's own, without its log.

Before: flow.py, which starts it. After: nothing.
"""

from __future__ import annotations

import logging
import os
import sys


def main() -> None:
    """Serve the runner that started this process until it is told to end."""
    # Errors reach the runner, which tells them once. Here Beam would log and print them again with the whole traceback.
    logging.disable(logging.ERROR)
    if not os.environ.get("LIUHEN_DEBUG"):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
    from apache_beam.runners.worker import sdk_worker_main

    sdk_worker_main.main(sys.argv)


if __name__ == "__main__":
    main()
