"""Disk, what the file system promises, permissions.

Before: findings.py. After: examine.py.
What the archive relies on is tried, not looked up: a name that is never overwritten (link), rename, fsync of files and folders, locks between
processes. Tried in a folder of its own inside the home, which is removed again.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from pipeline import durable
from pipeline.doctor.findings import Finding, of_error
from pipeline.errors import ArchiveError, Exit

LOW_BYTES: Final = 2 << 30
NONE_BYTES: Final = 256 << 20
LOW_INODES: Final = 10_000
# What others could read: what lies here is secret by itself. Everything else is ciphertext, but nobody's business either.
SECRET_FILES: Final = ("liuhen.toml", "keys/master.key", "keys/keyring.json")


def look(home: Path) -> Iterator[Finding]:
    """Yield what is found about the machine."""
    yield from _space(home)
    trial = home / f".doctor-{secrets.token_hex(4)}"
    try:
        trial.mkdir(mode=0o700)
        yield _tried("put_if_absent", _put_if_absent, trial)
        yield _tried("rename", _rename, trial)
        yield _tried("locks", _locks, trial)
    except OSError as error:
        yield of_error("put_if_absent", durable.storage_error(error, "trying the file system of the home"))
    finally:
        shutil.rmtree(trial, ignore_errors=True)
    yield _permissions(home)


def _space(home: Path) -> Iterator[Finding]:
    found = os.statvfs(home)
    free, inodes = found.f_bavail * found.f_frsize, found.f_favail
    state, outcome = ("bad", "full") if free < NONE_BYTES else ("warning", "low") if free < LOW_BYTES else ("ok", "ok")
    yield Finding(check="disk", state=state, outcome=outcome, values={"free_mb": free >> 20}, exit_code=int(Exit.STORAGE))  # type: ignore[arg-type]  # one of three
    if found.f_files:  # some file systems have no such limit
        few = inodes < LOW_INODES
        yield Finding(check="inodes", state="warning" if few else "ok", outcome="low" if few else "ok", values={"free": inodes})


def _tried(check: str, trial: Callable[[Path], bool], folder: Path) -> Finding:
    try:
        held = trial(folder)
    except ArchiveError as error:
        return of_error(check, error)
    except OSError as error:
        if error.errno in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.ENOLCK):
            held = False
        else:
            return of_error(check, durable.storage_error(error, "trying the file system of the home"))
    return Finding(check=check, state="ok" if held else "bad", outcome="ok" if held else "missing", exit_code=int(Exit.STORAGE))


def _put_if_absent(folder: Path) -> bool:
    """A second write under one name must not win, and must not be an error."""
    path = folder / "absent"
    first, second = durable.write_once(path, b"1"), durable.write_once(path, b"2")
    return first and not second and path.read_bytes() == b"1"


def _rename(folder: Path) -> bool:
    path = folder / "renamed"
    durable.replace(path, b"1")
    durable.replace(path, b"2")
    whole = path.read_bytes() == b"2"
    durable.remove(path)
    return whole and not path.exists()


def _locks(folder: Path) -> bool:
    """Two handles of one file must not hold an exclusive lock at once."""
    with open(folder / "lock", "w") as one, open(folder / "lock", "w") as other:
        fcntl.flock(one, fcntl.LOCK_EX | fcntl.LOCK_NB)
        try:
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _permissions(home: Path) -> Finding:
    """Others than the owner must not enter the home nor read what is secret in it."""
    wide = [home] if home.stat().st_mode & 0o077 else []
    wide += [home / name for name in SECRET_FILES if (home / name).exists() and (home / name).stat().st_mode & 0o077]
    wide += [path for path in (home / "keys").rglob("*") if not path.is_symlink() and _readable(path.stat())]
    named = sorted({str(p.relative_to(home)) for p in wide})
    if not named:
        return Finding(check="permissions", state="ok", outcome="ok")
    return Finding(check="permissions", state="warning", outcome="wide", values={"files": ", ".join(named[:5]), "home": home})


def _readable(found: os.stat_result) -> bool:
    """Whether others can read something there (an empty lock file is nothing)."""
    return stat.S_ISREG(found.st_mode) and bool(found.st_mode & 0o077) and found.st_size > 0
