"""A power loss: what was not fsynced is gone. Made from the journal of a killed run, on the files it left.

The rules, as hard as a file system may be: a name is lost unless its folder was fsynced after it appeared; content is what it was when the
file was fsynced last (before the run, where that was never: an empty file, where there was none); an unlinked or replaced name is back, as it
was, unless its folder was fsynced after.
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
    """Writes down every durable call of this process, and dies at one of them. What is fsynced, unlinked or replaced is kept aside."""

    def __init__(self, root: Path, path: Path, grave: Path, kill_at: int | None) -> None:
        self.root = str(root)
        self.lines, self.grave, self.kill_at, self.count = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND), grave, kill_at, 0
        self._link, self._write = os.link, os.write

    def _note(self, *words: Any) -> None:
        self._write(self.lines, json.dumps(words).encode() + b"\n")

    def _aside(self, path: str) -> str | None:
        if not os.path.isfile(path):
            return None
        kept = self.grave / f"{self.count}"
        shutil.copy2(path, kept)
        return str(kept)

    def wrap(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*args: Any, **kwargs: Any) -> Any:
            paths = [os.readlink(f"/proc/self/fd/{a}") if isinstance(a, int) else os.path.abspath(str(a)) for a in args[:2]]
            if not paths[0].startswith(self.root) or kwargs:
                return function(*args, **kwargs)
            kept = self._aside(paths[-1]) if name != "link" else None
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
    """content: where the file lies as it was when it was fsynced last, None when it never was; name: whether its folder was fsynced since it has it."""

    content: str | None
    name: bool


def read(journal: Path) -> list[list[Any]]:
    """Return what a run noted."""
    return [json.loads(line) for line in journal.read_bytes().splitlines()] if journal.exists() else []


def lose(root: Path, before: Path, calls: list[list[Any]], *, torn: Torn) -> None:
    """Take from `root`, a copy of `before` that a run changed and noted, what the power loss takes. torn: what an entry of the log becomes."""
    files = {str(root / p.relative_to(before)): _File(str(p), True) for p in before.rglob("*") if p.is_file()}
    nothing = _File(None, False)
    gone: dict[str, str | None] = {}
    replaced: dict[str, str | None] = {}
    for name, *rest in calls:
        kept = rest[-1]
        if name == "fsync" and kept is None:
            _folder_synced(rest[0], files, gone, replaced)
        elif name == "fsync":
            files[rest[0]] = _File(kept, files.get(rest[0], nothing).name)
        elif name == "link":
            files[rest[1]] = _File(files.get(rest[0], nothing).content, False)
        elif name == "replace":
            was = files.pop(rest[0], nothing)
            if was.name:
                gone[rest[0]] = was.content
            replaced.setdefault(rest[1], files.get(rest[1], nothing).content if files.get(rest[1], nothing).name else None)
            files[rest[1]] = _File(was.content, False)
        elif name == "unlink":
            known = files.pop(rest[0], nothing)
            if known.name and rest[0] not in replaced:
                gone[rest[0]] = known.content
    for path in sorted(p for p in root.rglob("*") if p.is_file()):
        if str(path) not in replaced:
            _take(path, files.get(str(path), nothing), torn)
    for lost, kept in {**gone, **replaced}.items():
        if kept is not None:
            Path(lost).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(kept, lost)
        else:
            Path(lost).unlink(missing_ok=True)


def _folder_synced(folder: str, files: dict[str, _File], gone: dict[str, str | None], replaced: dict[str, str | None]) -> None:
    for path, known in list(files.items()):
        if os.path.dirname(path) == folder:
            files[path] = known._replace(name=True)
    for lost in (gone, replaced):
        for path in [p for p in lost if os.path.dirname(p) == folder]:
            del lost[path]


def _take(path: Path, known: _File, torn: Torn) -> None:
    """Bring a file that is there to what the disk has of it."""
    # What was fsynced under another name before it got its own (a checkpoint of the log) is whole under it, or not there.
    may_tear = path.parent.name == "_delta_log" and (known.content is None or (path.suffix == ".json" and not known.name))
    if may_tear and torn != "missing":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2] if torn == "half" else b"")
    elif not known.name:
        path.unlink()
    elif known.content is None:
        path.write_bytes(b"")
    elif Path(known.content).read_bytes() != path.read_bytes():
        shutil.copy2(known.content, path)
