"""The durable calls: what they promise, and that errors of the storage become one clear sentence."""

from __future__ import annotations

import errno
import os
from pathlib import Path

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
