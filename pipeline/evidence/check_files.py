"""A bundle's files while it is checked: read one at a time from the zip, never unpacked, never all in memory; nor are their names.

Before: packed.py. After: check.py, check_trail.py.

Rules: (1) a name that we do not make, a second file of the same name, and whatever is no plain file is refused; folders that a packer adds are
passed over: a bundle that was packed again holds the same files; (2) everything is in the manifest, nothing is beside it, and
nothing is in it that no bundle has (`_KNOWN`).
"""

from __future__ import annotations

import json
import re
from array import array
from collections.abc import Callable, Iterator
from hashlib import new, sha256
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from pipeline import hostile_json
from pipeline.errors import RecordError
from pipeline.evidence import check_shapes
from pipeline.evidence.gathered import BAG
from pipeline.evidence.packed import DEFLATED, STORED, BadZip, Entry, Packed

_NAME = re.compile(r"(?:[0-9A-Za-z][0-9A-Za-z._-]*/)*[0-9A-Za-z][0-9A-Za-z._-]*")
# Every file that a bundle may hold; whatever else lies in it was put in by somebody else, manifests that fit or not.
_KNOWN = re.compile(
    r"(?:bagit|bag-info|manifest-sha256|tagmanifest-sha256|manifest-sm3)\.txt|data/(?:00-README\.html|01-report\.(?:html|pdf)|02-messages\.(?:csv|jsonl)"
    r"|completeness/(?:coverage\.json|held\.jsonl)|consent/(?:events|notices)\.jsonl|custody/(?:log|proofs)\.jsonl|identity/accounts\.jsonl"
    r"|checkpoints/(?:log\.vkey|epoch\.json|before-\d+\.note|\d{12}\.note|\d{12}\.consistency\.json)|stamps/\d{12}\.(?:pem|tsq|tsr)"
    r"|media/[0-9a-f]{64}\.bin|proofs/\d{12}\.json|raw/\d{12}\.(?:plain|envelope)\.json|decryption/(?:key-\d{6}|\d{12})\.json"
    r"|redaction/log\.jsonl|source/pulls\.jsonl|verify/verify\.py|view/\d{4,}(?:-\d{3,})?\.(?:zh|en)\.html|view/\d{4,}-\d{3,}\.pdf)",
    re.ASCII,
)
# Files of one record: folder, number, ending.
_OF_RECORD = re.compile(r"data/(proofs|raw|decryption)/(\d{12})(\.json|\.(?:plain|envelope)\.json)", re.ASCII)
# Larger than any file of a bundle that is read in one piece (media are not).
LARGEST = 1 << 29
LONGEST_LINE = 1 << 16  # of a manifest
# Of a zip: so many times its own size all of its files together, and packed in ways that are unpacked piece by piece (of others the standard
# library unpacks at once whatever a megabyte holds). Bundles are stored; whoever packs one again gets a tenth of its size, not a hundredth.
MOST_TIMES = 100
WAYS_OF_PACKING = (STORED, DEFLATED)


class Fault(Exception):
    """Something does not hold; the words name the record or file."""


def need(condition: object, what: str) -> None:
    """Raise Fault with these words unless the condition holds."""
    if not condition:
        raise Fault(what)


class Files:
    """The files of a bundle by their names below the bag. sizes: of those that are not one record's; numbers: of the records that have a file,
    by (folder, ending); payload: (files below data/, bytes in them); place: the file that is read, and the line of it, for whoever must name it."""

    def __init__(self) -> None:
        self.sizes: dict[str, int] = {}
        self.numbers: dict[tuple[str, str], array[int]] = {}
        self.payload = (0, 0)
        self.place = ""
        self._packed: Packed | None = None
        self._source: BinaryIO | None = None

    def open(self, path: Path) -> None:
        """Look at what is in the zip."""
        try:
            self._source = path.open("rb")
            self._packed = Packed(self._source)
            need(all(e.way in WAYS_OF_PACKING for e in self._packed), "packed in a way that no bundle is")
            need(sum(e.size for e in self._packed) <= MOST_TIMES * path.stat().st_size, f"unpacked it would be more than {MOST_TIMES} times as large: no bundle is")
            if fault := self._packed.fault():
                raise BadZip(fault)
            for entry in self._packed:
                self._look(entry)
            again = self._packed.twice()
            need(again is None, f"there twice: {again}")
        except (BadZip, OSError) as error:
            raise Fault(f"not a whole zip: {error}") from None

    def _look(self, entry: Entry) -> None:
        base, _, name = entry.name.partition("/")
        if entry.folder and base == BAG:
            return
        need(base == BAG and _NAME.fullmatch(name) and ".." not in name, f"a file name that is not ours: {entry.name!r}")
        need(entry.kind in (0, 0o10), f"not a plain file: {name}")
        if found := _OF_RECORD.fullmatch(name):
            self.numbers.setdefault((found[1], found[3]), array("Q")).append(int(found[2]))
        else:
            self.sizes[name] = entry.size
        if name.startswith("data/"):
            self.payload = (self.payload[0] + 1, self.payload[1] + entry.size)

    def close(self) -> None:
        """Let go of the zip."""
        if self._source is not None:
            self._source.close()

    def _find(self, name: str) -> tuple[int, Entry]:
        found = None if self._packed is None else self._packed.find(f"{BAG}/{name}")
        if found is None or found[1].folder:
            raise Fault(f"missing: {name}")
        return found

    def has(self, name: str) -> bool:
        """Whether there is such a file below data/."""
        return self._packed is not None and self._packed.find(f"{BAG}/data/{name}") is not None

    def pieces(self, name: str, *, most: int | None = None) -> Iterator[bytes]:
        """Yield the bytes of a file of the bag. most: so many may be in it."""
        self.place = name.removeprefix("data/")
        try:
            _, entry = self._find(name)
            need(most is None or entry.size <= most, f"larger than any such file: {name}")
            assert self._packed is not None
            yield from self._packed.pieces(entry)
        except (BadZip, OSError) as error:
            raise Fault(f"not a whole zip: {error}") from None

    def data(self, name: str) -> bytes:
        """Return a small file below data/, whole."""
        return self.tag(f"data/{name}")

    def tag(self, name: str) -> bytes:
        """Return a small file of the bag, whole."""
        return b"".join(self.pieces(name, most=LARGEST))

    def lines(self, name: str) -> Iterator[bytes]:
        """Yield the lines of a file below data/, each with its line feed."""
        rest = b""
        for piece in self.pieces(f"data/{name}"):
            *whole, rest = (rest + piece).split(b"\n")
            need(len(rest) <= LARGEST, f"{name} has a line larger than any record")
            yield from (line + b"\n" for line in whole)
        need(not rest, f"{name} is cut")

    def object(self, name: str) -> dict[str, Any]:
        """Return the JSON object in a file."""
        return ours(self.data(name), name, name)

    def received(self, name: str) -> dict[str, Any]:
        """Return the JSON object that WeCom wrote, read as leniently as when it was archived; raises Fault."""
        try:
            value, _ = hostile_json.decode(self.data(name))
        except RecordError as error:
            raise Fault(f"{name}: {error.detail}") from None
        return dict(value)

    def objects(self, name: str) -> Iterator[dict[str, Any]]:
        """Yield the JSON objects of a file of lines."""
        for number, line in enumerate(self.lines(name), 1):
            self.place = f"{name} line {number}"
            yield ours(line, name, self.place)

    def below(self, folder: str, ending: str) -> list[str]:
        """Return the names (below data/) in a folder that end so, but for those of one record."""
        return sorted(n.removeprefix("data/") for n in self.sizes if n.startswith(f"data/{folder}/") and n.endswith(ending))

    def records(self, folder: str, ending: str = ".json") -> array[int]:
        """Return the numbers of the records that have such a file, in order."""
        return array("Q", sorted(self.numbers.get((folder, ending), ())))

    # -- the manifests -------------------------------------------------------------------------------------------------

    def check(self) -> bool:
        """Check that the files are those of the manifests; return whether the SM3 one could be checked (or there is none)."""
        need("bagit.txt" in self.sizes and self.tag("bagit.txt").startswith(b"BagIt-Version: 1.0\n"), "not a BagIt bag")
        # No two of these names differ in case only.
        odd = [n for n in self._samples() if not _KNOWN.fullmatch(n)]
        need(not odd, f"put in by somebody else, no bundle has such a file: {sorted(odd)[:3]}")
        files, size = self.payload
        self._manifest("tagmanifest-sha256.txt", "sha256", lambda n: not n.startswith("data/") and n != "tagmanifest-sha256.txt")
        need(size <= 2 * self._stated(), "more than twice as large as bag-info.txt says")  # before it is all read
        self._manifest("manifest-sha256.txt", "sha256", _below_data)
        need(f"Payload-Oxum: {size}.{files}\n".encode() in self.tag("bag-info.txt"), "bag-info.txt counts otherwise")
        if "manifest-sm3.txt" not in self.sizes:
            return True
        try:
            new("sm3")
        except ValueError:
            return False
        self._manifest("manifest-sm3.txt", "sm3", _below_data)
        return True

    def _samples(self) -> Iterator[str]:
        """Yield the names of all files, of those of records one of each kind."""
        yield from self.sizes
        yield from (f"data/{folder}/{numbers[0]:012d}{ending}" for (folder, ending), numbers in self.numbers.items())

    def _stated(self) -> int:
        """Return how many bytes there are below data/, by what the bundle says of itself."""
        found = re.search(rb"^Payload-Oxum: ([0-9]{1,18})\.[0-9]+$", self.tag("bag-info.txt"), re.M)
        return int(found[1]) if found else 0

    def _manifest(self, name: str, algorithm: str, covers: Callable[[str], bool]) -> None:
        """Check that every file which it must cover is listed, once, with its digest, and that nothing else is."""
        assert self._packed is not None
        listed = bytearray(len(self._packed))
        for path, _ in self._listed(name):
            at, _ = self._find(path)
            need(covers(path), f"missing: {path}")
            need(not listed[at], f"{name} lists a file twice")
            listed[at] = True
        for entry in self._packed:
            path = entry.name.removeprefix(f"{BAG}/")
            need(entry.folder or not covers(path) or listed[self._find(path)[0]], f"put in by somebody else: {path}")
        for path, digest in self._listed(name):
            need(self.digest(path, algorithm) == digest, f"changed: {path}")

    def _listed(self, name: str) -> Iterator[tuple[str, str]]:
        """Yield (path, digest) of the lines of a manifest."""
        rest = b""
        for piece in self.pieces(name):
            *whole, rest = (rest + piece).split(b"\n")
            need(len(rest) <= LONGEST_LINE, f"{name} has a line larger than any of its kind")
            yield from map(_manifest_line, whole)
        if rest:
            yield _manifest_line(rest)

    def digest(self, name: str, algorithm: str = "sha256") -> str:
        """Return the digest of a file of the bag, hex."""
        made = sha256() if algorithm == "sha256" else new(algorithm)
        for piece in self.pieces(name):
            made.update(piece)
        return made.hexdigest()


def _below_data(name: str) -> bool:
    return name.startswith("data/")


def _manifest_line(line: bytes) -> tuple[str, str]:
    digest, _, path = line.rstrip(b"\r").decode("utf-8", "replace").partition("  ")
    return path, digest


def as_object(data: bytes, where: str) -> dict[str, Any]:
    """Return a JSON object; raises Fault, which names where it stands."""
    try:
        json.loads(data, object_pairs_hook=_once)
        return _ANY.decode(data)
    except (msgspec.DecodeError, ValueError, RecursionError):
        raise Fault(f"{where} is not JSON") from None
    except _Odd as odd:
        raise Fault(f"{where} {odd}") from None


def ours(data: bytes, name: str, where: str) -> dict[str, Any]:
    """Return the JSON object that liuhen wrote into a file, or a line of it: numbers are whole and written as such, names stand once, and both
    are those of such a file (check_shapes.py). Raises Fault, which names where it stands."""
    try:
        value = _OURS.decode(data)
        json.loads(data, object_pairs_hook=_once, parse_int=_whole)  # of equal names one reader takes the first, another the last
    except (msgspec.DecodeError, ValueError, RecursionError):
        raise Fault(f"{where} is not JSON") from None
    except _Odd as odd:
        raise Fault(f"{where} {odd}") from None
    place = check_shapes.odd(name, value)
    need(place is None, f"{where} is not as we write it{place and ': '}{place}")
    return value


class _Odd(Exception):
    """What is not JSON of ours."""


def _once(pairs: list[tuple[str, Any]]) -> None:
    names = [name for name, _ in pairs]
    if len(set(names)) != len(names):
        raise _Odd("says one thing twice")


def _whole(digits: str) -> int:
    if len(digits) > 20 or not -(1 << 63) <= int(digits) < 1 << 64:
        raise _Odd(f"holds a number that is not whole: {digits[:20]}")  # other parsers round it
    return int(digits)


def _broken(number: str) -> float:
    raise _Odd(f"holds a number that is not whole: {number[:20]}")


_ANY = msgspec.json.Decoder(dict[str, Any])
_OURS = msgspec.json.Decoder(dict[str, Any], float_hook=_broken)
