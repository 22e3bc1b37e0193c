"""Manifests that wait to be committed: found, checked, and discarded without ever touching a committed file.

Before: stage.py (writes them). After: commit.py, ingest.py.
A manifest is removed before the files it names are, and those only when no commit made them visible: looked up and unlinked
under the lock that a commit holds while it checks and adopts files.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from pipeline import durable
from pipeline.errors import VerifyFailed
from pipeline.home import Home
from pipeline.stage import MANIFEST_SUFFIX, Manifest

OUTLINE_PATTERN = "*.outline"


def load(path: Path) -> Manifest | None:
    """Return a manifest, or None when it is not whole or gone (it then counts as never staged)."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Manifest)
    except (msgspec.DecodeError, FileNotFoundError):
        return None


def staged(home: Home, corp_id: str) -> list[tuple[Path, Manifest]]:
    """Return the manifests that wait, lowest first seq first; one whose files are not all there with their sizes is discarded.

    Digests are looked at once, by the commit: it discards a manifest whose files were changed."""
    found = []
    for path in sorted(home.staging(corp_id).glob(f"*{MANIFEST_SUFFIX}")):
        manifest = load(path)
        if manifest is not None and _there(home, manifest):
            found.append((path, manifest))
        else:
            discard(home, corp_id, [(path, manifest)])
    return found


def _there(home: Home, manifest: Manifest) -> bool:
    """Whether every file of the manifest, and its outline, is there with its size."""
    lake, outline = home.lake(manifest.corp_id), home.staging(manifest.corp_id) / manifest.outline[0]
    try:
        return all((lake.root / f.path).stat().st_size == f.size for f in manifest.files) and outline.stat().st_size == manifest.outline[1]
    except FileNotFoundError:
        return False


def whole(home: Home, manifest: Manifest) -> bool:
    """Whether every file of the manifest, and its outline, is there as written."""
    lake = home.lake(manifest.corp_id)
    try:
        for file in manifest.files:
            lake.check(file)
        return (home.staging(manifest.corp_id) / manifest.outline[0]).stat().st_size == manifest.outline[1]
    except (VerifyFailed, FileNotFoundError):
        return False


def discard(home: Home, corp_id: str, gone: Iterable[tuple[Path, Manifest | None]]) -> None:
    """Unlink manifests with their outlines and those of their files that no commit made visible."""
    lake = home.lake(corp_id)
    with files_held(home, corp_id):
        visible = {f.path for f in lake.snapshot().files}
        for path, manifest in gone:
            durable.remove(path)
            if manifest is not None:
                durable.remove(home.staging(corp_id) / manifest.outline[0], sync_folder=False)
                lake.purge(f for f in manifest.files if f.path not in visible)


@contextmanager
def files_held(home: Home, corp_id: str) -> Iterator[None]:
    """Wait for, and hold, the right to adopt staged files or to unlink them: never both at once."""
    with durable.storage("taking a lock"), open(home.path / "locks" / f"{corp_id}.files.lock", "ab") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def sweep_outlines(home: Home, corp_id: str) -> None:
    """Unlink outlines that no manifest names: a worker was killed between the two."""
    named = {m.outline[0] for _, m in staged(home, corp_id)}
    for path in home.staging(corp_id).glob(OUTLINE_PATTERN):
        if path.name not in named:
            durable.remove(path)
