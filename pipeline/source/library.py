"""The file of the vendor's library: supplied by the operator, its digest compared, a version nobody has tried told.

Before: config.py. After: vendor.py, doctor. Nothing of it is shipped.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from pipeline import durable
from pipeline.errors import UsageError

# SHA-256 of files this product was tried with (wecom-archive.md 1.1).
KNOWN = {"79ced4de6b18d5e96a21cd06f325794dc8957f8925120538d56d4ce827d3dfd0": "Linux x86-64, version 3.0 (2025-02)"}


class LibraryFile(msgspec.Struct, frozen=True):
    """A library that may be loaded. known: which version it is, empty when nobody has tried it."""

    path: Path
    sha256: str
    known: str


def find(home: Path, *, library: str, sha256: str) -> LibraryFile:
    """Return the configured library; raises UsageError LIBRARY_NOT_SET, LIBRARY_MISSING, LIBRARY_DIFFERS (sha256: hex, empty is not compared)."""
    if not library:
        raise UsageError("LIBRARY_NOT_SET", "no vendor's library is configured", remedy="`liuhen config set source.library PATH`; the file is WeCom's, for this architecture")
    path = home / library
    if not path.is_file():
        raise UsageError("LIBRARY_MISSING", f"there is no file {path}", remedy="check source.library")
    digest = _digest(path)
    if sha256 and digest != sha256.lower():
        raise UsageError("LIBRARY_DIFFERS", "the vendor's library is not the file whose SHA-256 is configured", remedy="check where it comes from; then set source.library_sha256")
    return LibraryFile(path, digest, KNOWN.get(digest, ""))


def _digest(path: Path) -> str:
    with durable.storage("reading the vendor's library"), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
