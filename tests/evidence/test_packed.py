"""A zip is read as `zipfile` reads it, without its directory in memory; what is broken is refused by both verifiers and ends."""

from __future__ import annotations

import io
import random
import runpy
import struct
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.evidence.check_files import Fault, Files
from pipeline.evidence.packed import BadZip, Packed, _inflated
from tests.evidence.bag import SCRIPT

VERIFIER: dict[str, Any] = runpy.run_path(str(SCRIPT))
FILES = {
    "case/bagit.txt": b"BagIt-Version: 1.0\n", "case/data/media/leer.bin": b"", "case/data/a.json": b"{}" * 900_000,
    "case/data/b.json": random.Random(8).randbytes(2_500_000),
}  # fmt: skip


def made(way: int, *, large: bool = False, comment: bytes = b"", before: bytes = b"") -> bytes:
    """A zip by the standard library."""
    sink = io.BytesIO()
    sink.write(before)
    with zipfile.ZipFile(sink, "a" if before else "w", way) as packed:
        packed.comment = comment
        packed.writestr("case/data/", b"")
        for name, data in FILES.items():
            with packed.open(name, "w", force_zip64=large) as file:
                file.write(data)
    return sink.getvalue()


class Pipe(io.BytesIO):
    """A sink that cannot go back: the sizes stand behind the files."""

    def seekable(self) -> bool:
        return False

    def seek(self, *_: Any) -> int:
        raise io.UnsupportedOperation


def piped() -> bytes:
    sink = Pipe()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in FILES.items():
            packed.writestr(name, data)
    return sink.getvalue()


def far() -> bytes:
    """With the numbers of its directory in 64 bits, as a zip of more than 4 GiB has them."""
    data = made(zipfile.ZIP_STORED)
    *_, count, _, size, offset, _ = struct.unpack("<4s4H2LH", data[-22:])
    end = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count, size, offset) + struct.pack("<4sLQL", b"PK\6\7", 0, len(data) - 22, 1)
    return data[:-22] + end + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)


def backwards() -> bytes:
    """With its files in the directory in another order than in the zip."""
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as packed:
        for name, data in FILES.items():
            packed.writestr(name, data)
        packed.filelist.reverse()
    return sink.getvalue()


ZIPS = {
    "stored": lambda: made(zipfile.ZIP_STORED), "deflated": lambda: made(zipfile.ZIP_DEFLATED), "with sizes in 64 bits": lambda: made(zipfile.ZIP_STORED, large=True),
    "with a comment": lambda: made(zipfile.ZIP_DEFLATED, comment=b"how a directory ends" * 50),
    "written into a pipe": piped, "with a far directory": far, "with its directory backwards": backwards,
}  # fmt: skip


@pytest.mark.parametrize("make", ZIPS.values(), ids=ZIPS)
def test_every_file_is_read_as_it_was_packed(tmp_path: Path, make: Callable[[], bytes]) -> None:
    data = make()
    packed = Packed(io.BytesIO(data))
    assert {e.name: packed.read(e) for e in packed if not e.folder} == FILES and packed.twice() is None
    assert all(packed.find(name) for name in FILES) and packed.find("case/data/c.json") is None
    (tmp_path / "case.zip").write_bytes(data)
    files = VERIFIER["Files"](str(tmp_path / "case.zip"))
    try:
        assert {f"case/{n}": files.data(n) for n in files.all()} == FILES and "data/c.json" not in files
    finally:
        files.zip.close()


def test_what_stands_behind_other_bytes_is_read_by_those_who_look_into_any_zip() -> None:
    packed = Packed(io.BytesIO(made(zipfile.ZIP_STORED, before=b"#!/bin/sh\n" * 99)))
    assert {e.name: packed.read(e) for e in packed if not e.folder} == FILES and "no file of its directory" in packed.fault()


@pytest.mark.parametrize("make", ZIPS.values(), ids=ZIPS)
def test_a_zip_by_any_packer_is_whole(tmp_path: Path, make: Callable[[], bytes]) -> None:
    assert Packed(io.BytesIO(make())).fault() == ""


def test_a_piece_is_no_larger_than_a_megabyte() -> None:
    packed = Packed(io.BytesIO(made(zipfile.ZIP_DEFLATED)))
    assert max(len(piece) for entry in packed for piece in packed.pieces(entry)) == 1 << 20


def test_a_name_that_is_there_twice_is_told() -> None:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as packed, pytest.warns(UserWarning):
        for name in ("a/", "a/", "b", "c", "b"):
            packed.writestr(name, b"")
    assert Packed(sink).twice() == "b"


def many(path: Path, files: int) -> Path:
    """A zip of so many files of records, all of them empty."""
    with zipfile.ZipFile(path, "w") as packed:
        for n in range(files):
            packed.writestr(zipfile.ZipInfo(f"case/data/proofs/{n:012d}.json"), b"")
    return path


@pytest.mark.slow
def test_of_a_file_of_a_record_some_bytes_are_in_memory_and_not_its_name(tmp_path: Path) -> None:
    """Both sizes fill the buffers, so that what is more is there for each file: measured 61 bytes and 51; `zipfile` holds more than 600."""
    few, more = many(tmp_path / "few.zip", 13_000), many(tmp_path / "more.zip", 26_000)

    def by_the_product(path: Path) -> Callable[[], None]:
        files = Files()
        files.open(path)
        return files.close

    def by_the_script(path: Path) -> Callable[[], None]:
        close: Callable[[], None] = VERIFIER["Files"](str(path)).zip.close
        return close

    for opened in (by_the_product, by_the_script):
        peaks = []
        for path in (few, more):
            tracemalloc.start()
            close = opened(path)
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
            close()
        assert (peaks[1] - peaks[0]) / 13_000 < 200, (opened, peaks)


def small() -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("case/bagit.txt", b"BagIt-Version: 1.0\n")
        packed.writestr("case/data/02-messages.jsonl", b"{}\n" * 30)
    return sink.getvalue()


def ours(data: bytes) -> dict[str, bytes] | None:
    try:
        packed = Packed(io.BytesIO(data))
        return {e.name.removeprefix("case/"): packed.read(e) for e in packed if e.way in (0, 8)}
    except BadZip:
        return None


def theirs(path: Path) -> dict[str, bytes] | None:
    failed = VERIFIER["Failed"]
    try:
        files = VERIFIER["Files"](str(path))
    except failed:
        return None
    try:
        return {n: files.data(n) for n in files.all()}
    except failed:
        return None
    finally:
        files.zip.close()


def test_no_bit_of_it_makes_a_reader_go_on_for_ever_or_read_what_is_not_there(tmp_path: Path) -> None:
    """Bits of a small zip turned, one at a time, in each of its bytes or the next: what is read is what was packed, or it is refused by its words."""
    data, path = small(), tmp_path / "case.zip"
    whole = {"bagit.txt": b"BagIt-Version: 1.0\n", "data/02-messages.jsonl": b"{}\n" * 30}
    assert ours(data) == whole
    contents = set(whole.values())
    for at in range(0, len(data) * 8, 13):
        turned = bytearray(data)
        turned[at // 8] ^= 1 << at % 8
        path.write_bytes(turned)
        for read in (ours(bytes(turned)), theirs(path)):
            assert read is None or set(read.values()) <= contents, at


def end(data: bytes, **changed: int) -> bytes:
    """With other numbers in the end record."""
    told = dict(zip(("signature", "disk", "of", "here", "count", "size", "offset", "comment"), struct.unpack("<4s4H2LH", data[-22:]), strict=True))
    return data[:-22] + struct.pack("<4s4H2LH", *(told | changed).values())


def entry(data: bytes, place: int, form: str, number: int) -> bytes:
    """With another number in the first entry of the directory."""
    turned = bytearray(data)
    struct.pack_into(form, turned, struct.unpack("<L", data[-6:-2])[0] + place, number)
    return bytes(turned)


ZIP = small()
BROKEN = {
    "nothing": b"", "no zip": b"hello" * 99, "cut in its end": ZIP[:-1], "cut in its directory": ZIP[:-40], "its first half": ZIP[: len(ZIP) // 2],
    "an end within the comment": end(ZIP, comment=30) + b"PK\5\6" + b"\xff" * 26, "a second end": ZIP + ZIP[-22:],
    "a directory larger than the file": end(ZIP, size=0xFFFFFFFF), "one that begins late": end(ZIP, offset=len(ZIP)), "one a byte short": end(ZIP, size=99),
    "a far directory of 2^64 bytes": far()[:-58] + b"\xff" * 16 + far()[-42:], "a far directory of another kind": far()[:-98] + b"PK\6\5" + far()[-94:],
    "no entry": entry(ZIP, 0, "<L", 0), "a name as long as can be": entry(ZIP, 28, "<H", 0xFFFF), "a later version": entry(ZIP, 6, "<H", 99),
    "packed size behind its end": entry(ZIP, 20, "<L", 0xFFFFFFFE), "begins behind its end": entry(ZIP, 42, "<L", 0xFFFFFFF0),
    "64 bits that are not there": entry(ZIP, 42, "<L", 0xFFFFFFFF), "begins elsewhere": entry(ZIP, 42, "<L", 1), "encrypted": entry(ZIP, 8, "<H", 1),
    "another way of packing": entry(ZIP, 10, "<H", 99), "stored, it says": entry(ZIP, 10, "<H", 0), "another checksum": entry(ZIP, 16, "<L", 1),
    "longer than it is": entry(ZIP, 24, "<L", 20), "shorter than it is": entry(ZIP, 24, "<L", 18), "a thousand times as long": entry(ZIP, 24, "<L", 1 << 20),
    "a link": entry(ZIP, 38, "<L", 0o120777 << 16), "a name with a zero": ZIP.replace(b"case/bagit.txt", b"case/bagit\0txt"),
    "a name that climbs": ZIP.replace(b"case/bagit.txt", b"case/../it.txt"), "no UTF-8": entry(ZIP.replace(b"case/bagit.txt", b"case/bagit\xfftxt"), 8, "<H", 0x800),
}  # fmt: skip


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN)
def test_what_is_broken_is_refused_by_both_in_their_words(tmp_path: Path, data: bytes) -> None:
    (path := tmp_path / "case.zip").write_bytes(data)
    files = Files()
    try:
        with pytest.raises(Fault):
            files.open(path)
            files.tag("bagit.txt")
    finally:
        files.close()
    assert theirs(path) is None


def alone() -> bytes:
    """One file of 19 bytes."""
    with zipfile.ZipFile(sink := io.BytesIO(), "w") as packed:
        packed.writestr("case/bagit.txt", b"BagIt-Version: 1.0\n")
    return sink.getvalue()


def hidden(where: str, *, first: bool = False) -> bytes:
    """A file whose bytes are also a part of another: of its words, of its head, or before its directory. first: told before the other."""
    inner = alone()
    told = zipfile.ZipFile(io.BytesIO(inner)).filelist[0]
    part = inner[: 30 + len(told.filename) + told.file_size]
    outer = zipfile.ZipInfo("case/data/a.json")
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as packed:
        if where == "head":
            outer.extra = struct.pack("<2H", 0x9999, len(part)) + part
        packed.writestr(outer, part if where == "words" else b"{}")
        told.header_offset = sink.getvalue().index(part)
        packed.filelist.insert(0 if first else 1, told)
    return sink.getvalue()


def head(data: bytes, place: int, form: str, number: int) -> bytes:
    """With another number in the head of the first file."""
    turned = bytearray(data)
    struct.pack_into(form, turned, place, number)
    return bytes(turned)


def between(data: bytes, more: bytes, *, at: int | None = None) -> bytes:
    """With more bytes before its directory or, with the places of the files behind them moved, at a place."""
    begin = struct.unpack("<L", data[-6:-2])[0]
    place = begin if at is None else at
    moved = bytearray(data[:place] + more + data[place:])
    struct.pack_into("<L", moved, len(moved) - 6, begin + len(more))
    entry = begin + len(more)
    while moved[entry : entry + 4] == b"PK\1\2":
        (where,) = struct.unpack_from("<L", moved, entry + 42)
        struct.pack_into("<L", moved, entry + 42, where + (len(more) if where >= place else 0))
        entry += 46 + sum(struct.unpack_from("<3H", moved, entry + 28))
    return bytes(moved)


def hollow() -> bytes:
    """A folder that holds bytes."""
    with zipfile.ZipFile(sink := io.BytesIO(), "w") as packed:
        packed.writestr("case/a/", b"hidden" * 5)
    data = sink.getvalue()
    return entry(head(data, 22, "<L", 0), 24, "<L", 0)


def extra(fields: bytes, *, told: bool = True) -> bytes:
    """With extra fields. told: by the directory too, else by the file's own head alone."""
    with zipfile.ZipFile(sink := io.BytesIO(), "w") as packed:
        (one := zipfile.ZipInfo("case/bagit.txt")).extra = fields
        packed.writestr(one, FILES["case/bagit.txt"])
        one.extra = fields if told else b""
    return sink.getvalue()


OTHER_NAME = struct.pack("<2HBL", 0x7075, 11, 1, zlib.crc32(b"case/bagit.txt")) + b"a.html"
SIZES = struct.pack("<2H2Q", 1, 16, 19, 19)
SECOND = alone()[: 30 + len("case/bagit.txt") + 19]  # a file whole with its head, of which no directory tells
PIPED = piped()
FAR, OVER, OTHERWISE, AGAIN = far(), "lie over each other", "its ends say different things", "an extra field of .?case/bagit.txt.? can be read in two ways"
HEAD, UNTOLD = "says something else than the directory", "bytes that are no file of its directory"
TWO_WAYS = {
    "another checksum in the head": (head(ZIP, 14, "<L", 1), HEAD), "another size": (head(ZIP, 22, "<L", 18), HEAD), "another packed size": (head(ZIP, 18, "<L", 18), HEAD),
    "another way": (head(ZIP, 8, "<H", 0), HEAD), "other flags": (head(ZIP, 6, "<H", 0x800), HEAD), "another name in the head": (head(ZIP, 34, "<B", 0x2E), HEAD),
    "no head": (head(ZIP, 0, "<L", 1), HEAD), "sizes behind it, it says, and they are not": (head(entry(ZIP, 8, "<H", 8), 6, "<H", 8), HEAD),
    "another checksum behind its bytes": (PIPED.replace(struct.pack("<L", zlib.crc32(FILES["case/bagit.txt"])), b"1234", 1), HEAD),
    "a file before the first": (between(ZIP, SECOND, at=0), UNTOLD), "a file behind the last": (between(ZIP, SECOND), UNTOLD),
    "a file between two": (between(ZIP, SECOND, at=ZIP.index(b"PK\3\4", 4)), UNTOLD), "bytes behind its end": (ZIP + b"more", UNTOLD),
    "a byte before it": (b"x" + ZIP, UNTOLD), "a file between two, told backwards": (between(backwards(), SECOND, at=backwards().index(b"PK\3\4", 4)), UNTOLD),
    "a file in the words of another": (hidden("words"), OVER), "told before it": (hidden("words", first=True), OVER), "in its head": (hidden("head"), OVER),
    "in its head, told before it": (hidden("head", first=True), OVER),
    "a file that reaches into the directory": (entry(alone(), 20, "<L", 29), OVER),
    "one file more, it counts": (end(ZIP, here=3, count=3), "its end counts 3 files, its directory 2"),
    "one file less": (end(ZIP, here=1, count=1), "its end counts 1 files, its directory 2"),
    "other files on this disk": (end(ZIP, here=1), OTHERWISE), "a second disk": (end(ZIP, disk=1), OTHERWISE), "a directory on a second one": (end(ZIP, of=1), OTHERWISE),
    "two ends, two counts": (end(FAR, here=4, count=4), OTHERWISE), "two ends, two sizes": (end(FAR, size=99), OTHERWISE),
    "two ends, two places": (end(FAR, offset=99), OTHERWISE), "a far end that is somewhere else": (FAR[:-34] + bytes(8) + FAR[-26:], OTHERWISE),
    "another name in an extra field": (extra(OTHER_NAME), AGAIN), "in one of its head": (extra(OTHER_NAME, told=False), HEAD),
    "behind another field": (extra(struct.pack("<2HBL", 0x5455, 5, 1, 0) + OTHER_NAME), AGAIN),
    "sizes twice": (extra(SIZES + SIZES), AGAIN), "a field that is longer than all of them": (extra(struct.pack("<2H", 0x5455, 5) + b"1"), AGAIN),
    "a far end that is longer": (FAR[:-94] + b"\x2d" + FAR[-93:], OTHERWISE),
}  # fmt: skip


@pytest.mark.parametrize("name", TWO_WAYS)
def test_what_two_readers_could_read_in_two_ways_is_refused_by_both_in_the_same_words(tmp_path: Path, name: str) -> None:
    data, words = TWO_WAYS[name]
    (path := tmp_path / "case.zip").write_bytes(data)
    files = Files()
    try:
        with pytest.raises(Fault, match=words):
            files.open(path)
    finally:
        files.close()
    with pytest.raises(VERIFIER["Failed"], match=words):
        VERIFIER["Files"](str(path))


@pytest.mark.parametrize("fields", [struct.pack("<2HBL", 0x5455, 5, 1, 0), SIZES, bytes(3)], ids=["a time", "sizes that nobody needs", "filling"])
def test_what_packers_tell_in_extra_fields_is_theirs(tmp_path: Path, fields: bytes) -> None:
    (path := tmp_path / "case.zip").write_bytes(extra(fields))
    assert theirs(path) == ours(path.read_bytes()) == {"bagit.txt": FILES["case/bagit.txt"]}


def test_the_ends_of_a_far_directory_may_say_the_same_twice() -> None:
    *_, count, _, size, offset, _ = struct.unpack("<4s4H2LH", made(zipfile.ZIP_STORED)[-22:])
    assert len(Packed(io.BytesIO(end(FAR, here=count, count=count, size=size, offset=offset)))) == len(FILES) + 1


def test_bytes_behind_what_was_deflated_and_in_a_folder_are_refused_by_both(tmp_path: Path) -> None:
    with zipfile.ZipFile(sink := io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("case/bagit.txt", b"BagIt-Version: 1.0\n")
    data, at = sink.getvalue(), struct.unpack("<L", sink.getvalue()[-6:-2])[0]
    size = at - 30 - len("case/bagit.txt")
    behind = between(head(data, 18, "<L", size + 6), b"hidden")
    for case in (entry(behind, 20, "<L", size + 6), hollow()):
        (path := tmp_path / "case.zip").write_bytes(case)
        files = Files()
        with pytest.raises(Fault):
            files.open(path)
            files.tag("bagit.txt")
        files.close()
        assert theirs(path) is None


@pytest.mark.slow
def test_a_packer_that_begins_to_count_again_is_understood(tmp_path: Path) -> None:
    """65,537 files, of which the end of some packers counts one."""
    data = many(tmp_path / "many.zip", 65_537).read_bytes()
    near = end(data, here=1, count=1, size=struct.unpack("<Q", data[-58:-50])[0], offset=struct.unpack("<Q", data[-50:-42])[0])
    (tmp_path / "case.zip").write_bytes(near[:-98] + near[-22:])
    assert len(Packed(io.BytesIO((tmp_path / "case.zip").read_bytes()))) == 65_537
    files = VERIFIER["Files"](str(tmp_path / "case.zip"))
    files.zip.close()
    assert files.count == 65_537


def test_what_follows_the_end_of_a_stream_is_not_kept() -> None:
    """64 MiB behind the last byte of a deflated file, which `zlib` would keep until it is let go."""
    made = zlib.compressobj(wbits=-15)
    stream = made.compress(b"{}") + made.flush()
    for inflated in (_inflated, VERIFIER["inflated"]):
        left = iter([stream + bytes(1 << 20), *[bytes(1 << 20)] * 63])
        assert b"".join(inflated(left)) == b"{}" and len(list(left)) == 63
