"""Every durable call there is: write, fsync, link, rename, unlink, and what each of them promises.

Before: errors.py. After: landing.py, keyring.py, custody.py, deltalog.py, lake.py, stage.py, commit.py.

Promises, on a file system that honours fsync (docs/threat-model.md names what is not promised):
- `write_once`: after it returns the whole file is there under its name for good; a name is never overwritten.
- `replace`: after it returns the new content is there; at any instant readers see the whole old or the whole new file.
- `remove`: after it returns the name is gone for good; an absent name is fine.
- `sweep_temporary`: takes what killed writers left, and nothing of a writer at work: each holds a lock on its temporary file until that has a name.
Errors of the storage (full, read-only, no permission, no handles) become StorageError; nothing half-written keeps a final name.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pipeline.errors import StorageError

_SENTENCES = {
    errno.ENOSPC: ("STORAGE_FULL", "the disk is full", "free space and run the same command again"),
    errno.EDQUOT: ("STORAGE_FULL", "the disk quota is used up", "raise the quota and run the same command again"),
    errno.EROFS: ("STORAGE_READ_ONLY", "the file system is read-only", "mount it writable and run the same command again"),
    errno.EACCES: ("STORAGE_DENIED", "permission denied", "give the user who runs liuhen write access and run the same command again"),
    errno.EPERM: ("STORAGE_DENIED", "operation not permitted", "give the user who runs liuhen write access and run the same command again"),
    errno.EMFILE: ("STORAGE_HANDLES", "no file handles are left", "raise the limit (ulimit -n) and run the same command again"),
    errno.ENFILE: ("STORAGE_HANDLES", "the system has no file handles left", "close other programs and run the same command again"),
    errno.EFBIG: ("STORAGE_FULL", "the file is larger than the limit allows", "raise the limit (ulimit -f) and run the same command again"),
    errno.EIO: ("STORAGE_IO", "the disk reports an input/output error", "check the disk, then run the same command again"),
}


class Vanished(StorageError):
    """A file that was there is gone: another run tidied it up meanwhile, or somebody removed it."""


def storage_error(error: OSError, what: str) -> StorageError:
    """Return the StorageError for `error`; `what` says in our words what was being done (no file content)."""
    if error.errno == errno.ENOENT:
        return Vanished("STORAGE_GONE", f"{what}: a file is not there any more", remedy="run the same command again")
    code, sentence, remedy = _SENTENCES.get(
        error.errno or 0, ("STORAGE_UNREACHABLE", f"the storage answered {errno.errorcode.get(error.errno or 0, 'an error')}", "check the storage")
    )
    return StorageError(code, f"{what}: {sentence}", remedy=remedy)


@contextmanager
def storage(what: str) -> Iterator[None]:
    """Turn operating-system errors inside the block into StorageError."""
    try:
        yield
    except OSError as error:
        raise storage_error(error, what) from error


def fsync_folder(folder: Path) -> None:
    """Make the names in `folder` durable."""
    with storage(f"writing {folder.name}/"):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def fsync_file(path: Path) -> None:
    """Make the content of an existing file durable."""
    with storage(f"writing {path.name}"):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def make_folder(folder: Path, *, mode: int = 0o700) -> None:
    """Create `folder` and its parents durably; an existing one is fine."""
    missing = []
    at = folder
    while not at.is_dir():
        missing.append(at)
        at = at.parent
    with storage(f"creating {folder.name}/"):
        for path in reversed(missing):
            path.mkdir(mode=mode, exist_ok=True)
            fsync_folder(path.parent)


@contextmanager
def _temporary(path: Path, data: bytes | memoryview, mode: int, token: str = "") -> Iterator[Path]:
    """Give the durable content of `path` under a temporary name, which is ours until the block ends; the block takes the name away."""
    temporary = path.with_name(f".{token or secrets.token_hex(8)}.part")
    handle = _held(temporary, mode)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(handle, view) :]
        os.fsync(handle)
        yield temporary
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
    finally:
        os.close(handle)


def _held(temporary: Path, mode: int) -> int:
    """Return a handle of a new file that holds the lock of its writer."""
    while True:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            if os.fstat(handle).st_nlink:
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)  # a sweep came between the two


def write_once(path: Path, data: bytes | memoryview, *, mode: int = 0o600, sync_folder: bool = True, token: str = "") -> bool:
    """Write `path` durably unless the name exists; return whether this call made it.

    With sync_folder=False the caller must fsync the folder before relying on the name. token: what its temporary name bears, for whoever
    lists what a killed run may leave."""
    with storage(f"writing {path.name}"):
        with _temporary(path, data, mode, token) as temporary:
            try:
                os.link(temporary, path)
                made = True
            except FileExistsError:
                made = False
            os.unlink(temporary)
        if sync_folder:
            fsync_folder(path.parent)
    return made


def replace(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Replace the content of `path` durably and at once."""
    with storage(f"writing {path.name}"):
        with _temporary(path, data, mode) as temporary:
            os.replace(temporary, path)
        fsync_folder(path.parent)


def append(handle: int, data: bytes, *, what: str) -> None:
    """Write `data` at the end of an open file and make it durable; a write that was cut short is the reader's to find."""
    with storage(f"writing {what}"):
        view = memoryview(data)
        while view:
            view = view[os.write(handle, view) :]
        os.fsync(handle)


def give_name(path: Path, name: Path) -> bool:
    """Give the finished file `path` a second name, durably, unless the name exists; return whether this call gave it."""
    with storage(f"writing {name.name}"):
        try:
            os.link(path, name)
            made = True
        except FileExistsError:
            made = False
        fsync_folder(name.parent)
    return made


def remove(path: Path, *, sync_folder: bool = True) -> None:
    """Remove the name `path` durably; an absent one is fine."""
    with storage(f"removing {path.name}"):
        try:
            os.unlink(path)
        except FileNotFoundError:
            return
        if sync_folder:
            fsync_folder(path.parent)


def sweep_temporary(folder: Path) -> None:
    """Remove what killed writers left under temporary names in `folder`; what a writer is at work on stays, and what another user wrote."""
    for path in folder.glob(".*.part"):
        with storage(f"removing {path.name}"), suppress(FileNotFoundError, BlockingIOError):
            try:
                handle = os.open(path, os.O_RDWR)  # NFS gives this lock to none who could not write (flock(2))
            except PermissionError:
                continue
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.unlink(path)
            finally:
                os.close(handle)
