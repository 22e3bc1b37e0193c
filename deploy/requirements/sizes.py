"""Prints how large each locked wheel is, as `name TAB version TAB bytes`, so that setting up can say what it will fetch before it does.

Reads pylock.toml files (PEP 751), which hold sizes; they also hold addresses, so they themselves are not kept.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any


def rough_size(wheels: Iterable[dict[str, Any]]) -> int:
    """Return the largest size in bytes among the wheels for 64-bit Linux or for any machine; 0 when there is none."""
    fits = ("manylinux", "none-any")
    return max((wheel["size"] for wheel in wheels if any(tag in wheel["url"] for tag in fits) and "aarch64" not in wheel["url"]), default=0)


def rows(paths: Iterable[Path]) -> Iterator[str]:
    """Yield one line for each package of the given pylock files."""
    for path in paths:
        for package in tomllib.loads(path.read_text())["packages"]:
            if "wheels" in package:
                yield f"{package['name']}\t{package['version']}\t{rough_size(package['wheels'])}"


if __name__ == "__main__":
    print("# name, version, bytes of the wheel (64-bit Linux); written by `make lock`")
    print("\n".join(sorted(set(rows(Path(argument) for argument in sys.argv[1:])))))
