"""The bundle's zip is byte for byte what the standard library writes: with few files, with many, beyond two gigabytes."""

from __future__ import annotations

import io
import sys
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

import pytest

from pipeline.evidence.stored_zip import StoredZip

# Before 3.11.4 the library wrote the head of a file of unknown size anew as that of a small one (cpython#103861).
LARGE = sys.version_info >= (3, 11, 4)


def by_library(sink: BinaryIO, files: Iterable[tuple[str, list[bytes], bool]]) -> None:
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
        for name, pieces, large in files:
            entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            entry.external_attr, entry.create_system = 0o100644 << 16, 3
            with archive.open(entry, "w", force_zip64=large and LARGE) as file:
                for piece in pieces:
                    file.write(piece)


def by_us(sink: BinaryIO, files: Iterable[tuple[str, list[bytes], bool]]) -> None:
    archive = StoredZip(sink, Path(tempfile.gettempdir()))
    for name, pieces, large in files:
        archive.add(name, pieces, large=large and LARGE)
    archive.end()


@pytest.mark.parametrize(
    "files",
    [
        pytest.param([], id="none"),
        pytest.param([("case/a", [b"x" * 999], False), ("case/b", [], False), ("case/c.jsonl", [b"1\n", b"", b"2\n"], True)], id="few"),
        pytest.param([(f"case/data/{n:06d}", [b"%d" % n], False) for n in range(66_000)], id="more than the old directory can count", marks=pytest.mark.slow),
    ],
)
def test_the_bytes_are_those_of_the_library(files: list[tuple[str, list[bytes], bool]]) -> None:
    ours, theirs = io.BytesIO(), io.BytesIO()
    by_us(ours, files)
    by_library(theirs, files)
    assert ours.getvalue() == theirs.getvalue()


@pytest.mark.parametrize("begin", [(1 << 31) - 60, (1 << 31) + 9, (1 << 32) + 9])
def test_beyond_two_gigabytes_too(tmp_path: Path, begin: int) -> None:
    files = [("case/a", [b"x" * 9], False), ("case/b", [b"y"], True)]
    made = []
    for name, write in (("ours", by_us), ("theirs", by_library)):
        with (tmp_path / name).open("w+b") as sink:  # a hole stands for what lies before
            sink.seek(begin)
            write(sink, files)
            sink.seek(begin)
            made.append(sink.read())
    assert made[0] == made[1]
