"""The command line: one module per group of commands, one place for errors and exit codes (root.py).

Before: ingest.py, reader.py, … After: the operator's shell.
"""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line of `liuhen` and exit with its code."""
    from pipeline.cli.root import run

    sys.exit(run(sys.argv[1:]))
