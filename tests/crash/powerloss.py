"""A power loss: what was not fsynced is gone. Made from the journal of a killed run, on the files it left.

The rules, as hard as a file system may be: a name is lost unless its folder was fsynced after it appeared; content is lost (an empty
file) unless the file was fsynced; an unlinked or replaced name is back, as it was, unless its folder was fsynced after.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

Torn = Literal["missing", "empty", "half"]


class Journal:
    """Writes down every durable call of this process, and dies at one of them. What is unlinked or replaced is kept aside."""

    def __init__(self, root: Path, path: Path, grave: Path, kill_at: int | None) -> None:
        self.root = str(root)
        self.lines, self.grave, self.kill_at, self.count = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND), grave, kill_at, 0
        self._link, self._write = os.link, os.write

    def _note(self, *words: Any) -> None:
        self._write(self.lines, json.dumps(words).encode() + b"\n")

    def _aside(self, path: str) -> str | None:
        if not os.path.exists(path):
            return None
        kept = self.grave / f"{self.count}"
        shutil.copy2(path, kept)
        return str(kept)

    def wrap(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*args: Any, **kwargs: Any) -> Any:
            paths = [os.readlink(f"/proc/self/fd/{a}") if isinstance(a, int) else os.path.abspath(str(a)) for a in args[:2]]
            if not paths[0].startswith(self.root) or kwargs:
                return function(*args, **kwargs)
            kept = self._aside(paths[-1]) if name in ("unlink", "replace") else None
            if self.count == self.kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            self.count += 1
            result = function(*args, **kwargs)
            self._note(name, *paths, kept)
            return result

        return noted

    def install(self) -> None:
        """Note the calls of this process from now on."""
        for name in ("fsync", "link", "replace", "unlink"):
            setattr(os, name, self.wrap(name, getattr(os, name)))


class _File(NamedTuple):
    data: bool
    name: bool


def read(journal: Path) -> list[list[Any]]:
    """Return what a run noted."""
    return [json.loads(line) for line in journal.read_bytes().splitlines()] if journal.exists() else []


def lose(root: Path, before: Path, calls: list[list[Any]], *, torn: Torn) -> None:
    """Take from `root`, a copy of `before` that a run changed and noted, what the power loss takes. torn: what an entry of the log becomes."""
    was = {p.relative_to(before) for p in before.rglob("*")}
    files: dict[str, _File] = {}
    gone: dict[str, str | None] = {}
    replaced: dict[str, str | None] = {}
    for name, *rest in calls:
        kept = rest[-1]
        if name == "fsync" and os.path.isdir(rest[0]):
            _folder_synced(rest[0], files, gone, replaced)
        elif name == "fsync":
            files[rest[0]] = _File(True, files.get(rest[0], _File(False, Path(rest[0]).is_relative_to(root) and Path(rest[0]).relative_to(root) in was)).name)
        elif name == "link":
            files[rest[1]] = _File(files.get(rest[0], _File(False, False)).data, False)
        elif name == "replace":
            files[rest[1]] = _File(files.get(rest[0], _File(False, False)).data, False)
            replaced.setdefault(rest[1], kept)
        elif name == "unlink":
            known = files.pop(rest[0], None)
            if (known is None or known.name) and rest[0] not in replaced:
                gone[rest[0]] = kept
    for path in sorted(root.rglob("*")):
        if not path.is_file() or (path.relative_to(root) in was and str(path) not in files):
            continue
        known = files.get(str(path), _File(False, False))
        if str(path) in replaced:
            continue
        _take(path, known, torn)
    for name, kept in {**gone, **replaced}.items():
        if kept is not None:
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(kept, name)
        elif name in replaced:
            Path(name).unlink(missing_ok=True)


def _folder_synced(folder: str, files: dict[str, _File], gone: dict[str, str | None], replaced: dict[str, str | None]) -> None:
    for path, known in list(files.items()):
        if os.path.dirname(path) == folder:
            files[path] = _File(known.data, True)
    for lost in (gone, replaced):
        for path in [p for p in lost if os.path.dirname(p) == folder]:
            del lost[path]


def _take(path: Path, known: _File, torn: Torn) -> None:
    log = path.parent.name == "_delta_log"
    if known.data and known.name:
        return
    if log and torn == "half":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif (log and torn == "empty") or (known.name and not known.data):
        path.write_bytes(b"")
    else:
        path.unlink()
