"""A worker process of the in-process runner: Beam's own, with its log kept to errors.

Before: flow.py, which starts it. After: nothing.
"""

from __future__ import annotations

import logging
import sys


def main() -> None:
    """Serve the runner that started this process until it is told to end."""
    logging.disable(logging.WARNING)
    from apache_beam.runners.worker import sdk_worker_main

    sdk_worker_main.main(sys.argv)


if __name__ == "__main__":
    main()
