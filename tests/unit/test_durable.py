"""The durable calls: what they promise, and that errors of the storage become one clear sentence."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline import durable
from pipeline.errors import Exit, StorageError


def test_a_name_is_written_once_and_never_overwritten(tmp_path: Path) -> None:
    assert durable.write_once(tmp_path / "a", b"first")
    assert not durable.write_once(tmp_path / "a", b"second")
    assert (tmp_path / "a").read_bytes() == b"first"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_content_is_fsynced_before_its_name_appears_and_the_name_after(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    fsync, link = os.fsync, os.link

    def told_fsync(fd: int) -> None:
        order.append("fsync folder" if os.path.isdir(f"/proc/self/fd/{fd}") else "fsync data")
        fsync(fd)

    def told_link(source: str, target: str) -> None:
        order.append("link")
        link(source, target)

    monkeypatch.setattr(os, "fsync", told_fsync)
    monkeypatch.setattr(os, "link", told_link)
    durable.write_once(tmp_path / "a", b"x")
    assert order == ["fsync data", "link", "fsync folder"]


@pytest.mark.parametrize("write", [durable.write_once, durable.replace])
def test_a_sweep_beside_a_writer_leaves_its_file_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[Path, bytes], object]) -> None:
    """A pull writes while an ingest sweeps the same folder: each holds a lock of its own."""
    swept: list[str] = []

    def beside(function: Callable[..., Any]) -> Callable[..., Any]:
        def called(*given: Any) -> Any:
            durable.sweep_temporary(tmp_path)
            swept.append(function.__name__)
            return function(*given)

        return called

    for name in ("write", "fsync", "link", "replace", "unlink"):
        monkeypatch.setattr(os, name, beside(getattr(os, name)))
    write(tmp_path / "a", b"new")
    monkeypatch.undo()
    assert {"write", "fsync"} < set(swept)
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("a", b"new")]


def test_a_sweep_between_the_making_of_a_file_and_its_lock_costs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    came: list[str] = []
    real = os.open

    def opened(path: Any, flags: int, *mode: int) -> int:
        handle = real(path, flags, *mode)
        if flags & os.O_CREAT and not came:
            came.append(str(path))
            durable.sweep_temporary(tmp_path)
            assert not os.path.exists(path)
        return handle

    monkeypatch.setattr(os, "open", opened)
    assert durable.write_once(tmp_path / "a", b"new") and came
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("a", b"new")]


def test_a_sweep_locks_what_it_opened_for_writing_as_nfs_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = fcntl.flock

    def of_nfs(handle: int, operation: int) -> None:
        if operation & fcntl.LOCK_EX and fcntl.fcntl(handle, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(errno.EBADF, "Bad file descriptor")
        lock(handle, operation)

    monkeypatch.setattr(fcntl, "flock", of_nfs)
    (tmp_path / ".0123456789abcdef.part").write_bytes(b"x")
    assert durable.write_once(tmp_path / "a", b"new")
    durable.sweep_temporary(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_a_sweep_leaves_what_another_user_wrote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".a.part").write_bytes(b"of root")
    opened = os.open

    def denied(path: Any, flags: int, *args: Any, **named: Any) -> int:
        if str(path).endswith(".a.part"):
            raise PermissionError(errno.EACCES, "denied")
        return opened(path, flags, *args, **named)

    monkeypatch.setattr(os, "open", denied)
    durable.sweep_temporary(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == [".a.part"]


def test_a_sweep_takes_what_a_killed_writer_left(tmp_path: Path) -> None:
    words = "import os, signal, sys; from pathlib import Path; from pipeline import durable\n"
    words += "os.link = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\ndurable.write_once(Path(sys.argv[1]), b'x')"
    ended = subprocess.run([sys.executable, "-c", words, str(tmp_path / "a")], cwd=Path(durable.__file__).parents[1], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert [p.suffix for p in tmp_path.iterdir()] == [".part"]
    durable.sweep_temporary(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_replace_leaves_the_old_content_when_writing_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    durable.replace(tmp_path / "a", b"old")

    def full(fd: int, data: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(StorageError, match="the disk is full") as told:
        durable.replace(tmp_path / "a", b"new")
    assert told.value.exit_code == Exit.STORAGE
    assert (tmp_path / "a").read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize(
    ("number", "code", "words"),
    [
        (errno.ENOSPC, "STORAGE_FULL", "the disk is full"),
        (errno.EDQUOT, "STORAGE_FULL", "quota"),
        (errno.EROFS, "STORAGE_READ_ONLY", "read-only"),
        (errno.EACCES, "STORAGE_DENIED", "permission denied"),
        (errno.EMFILE, "STORAGE_HANDLES", "no file handles"),
        (errno.EIO, "STORAGE_IO", "input/output error"),
        (errno.ENXIO, "STORAGE_UNREACHABLE", "ENXIO"),
    ],
)
def test_each_storage_error_has_a_code_and_a_remedy(number: int, code: str, words: str) -> None:
    told = durable.storage_error(OSError(number, "whatever the system says"), "writing a page")
    assert (told.code, told.exit_code) == (code, Exit.STORAGE)
    assert words in str(told) and told.remedy and "whatever" not in str(told)


def test_removing_an_absent_name_is_fine(tmp_path: Path) -> None:
    durable.remove(tmp_path / "nothing")


def test_folders_are_made_for_their_owner_only(tmp_path: Path) -> None:
    durable.make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700


# Who else changes files, and why that is no hole in what the crash harness and the power loss see (its calls are the same ones of `os`).
CHANGES_FILES = {
    "durable.py": "everything else",
    "deltalog.py": "sets a torn log entry aside, and fsyncs the folder",
    "layout.py": "gives a finished, fsynced file its name; the commit fsyncs the folder",
    "custody.py": "cuts off a line that power loss left",
    "anchors.py": "the same",
    "logcare.py": "copies of log entries in a folder of its own, thrown away after",
    "source/media_store.py": "cuts off a slice of a file being fetched that was not written whole",
    "source/child.py": "empties the file in memory that the vendor's library prints to",
    "show.py": "what the caller asked to be written with -o, outside of the archive",
    "multibuffer.py": "a library in memory",
    "cli/__init__.py": "the null device in the place of a stream that is closed",
    "cli/demo.py": "the mark of a demonstration",
    "cli/simulate.py": "the mark of a demonstration, a public certificate",
}
CALLS = re.compile(
    r"""\bos\.(?:replace|rename|link|unlink|fsync|remove|truncate|ftruncate)\(|\.(?:write_bytes|write_text|rename|unlink|symlink_to|hardlink_to|touch)\("""
    r"""|shutil\.(?:copy\w*|move)\(|\bopen\([^)\n]*["'][wax]b?\+?["']"""
)
LOCK = re.compile(r"\bopen\([^)\n]*lock\b")  # a file that is locked and stays empty


def test_files_are_changed_by_the_durable_calls_and_by_nobody_else() -> None:
    root = Path(durable.__file__).parent
    sources = {str(p.relative_to(root)): p.read_text("utf-8") for p in root.rglob("*.py")}
    lines = {name: [line for line in text.splitlines() if not LOCK.search(line)] for name, text in sources.items()}
    found = {name for name, of in lines.items() if any(map(CALLS.search, of)) and not name.startswith(("simulate/", "demo/", "evidence/bundled/"))}
    assert found == set(CHANGES_FILES)
