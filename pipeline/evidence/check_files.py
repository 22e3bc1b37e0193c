"""A bundle's files while it is checked: read one at a time from the zip, never unpacked, never all in memory.

Before: a bundle. After: check.py, check_trail.py.

Rules: (1) a name that we do not make, a second file of the same name, and whatever is no plain file is refused; folders that a packer adds are
passed over: a bundle that was packed again holds the same files; (2) everything is in the manifest, nothing is beside it, and
nothing is in it that no bundle has (`_KNOWN`).
"""

from __future__ import annotations

import lzma
import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from hashlib import new, sha256
from pathlib import Path
from typing import Any

import msgspec

from pipeline.evidence.gathered import BAG

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
PIECE = 1 << 20
# Larger than any file of a bundle that is read in one piece (media are not).
LARGEST = 1 << 29
# Of a zip: so many times its own size all of its files together, and packed in ways that are unpacked piece by piece (of others the standard
# library unpacks at once whatever a megabyte holds). Bundles are stored; whoever packs one again gets a tenth of its size, not a hundredth.
MOST_TIMES = 100
WAYS_OF_PACKING = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# What a zip that is not whole makes the standard library raise: beside BadZipFile, NotImplementedError for a way of packing, a version or a
# split archive that it does not know, RuntimeError for an entry that says it is encrypted (no password was given), EOFError where data end.
BROKEN_ZIP = (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, OSError, zlib.error, lzma.LZMAError)


class Fault(Exception):
    """Something does not hold; the words name the record or file."""


def need(condition: object, what: str) -> None:
    """Raise Fault with these words unless the condition holds."""
    if not condition:
        raise Fault(what)


class Files:
    """The files of a bundle by their names below the bag."""

    def __init__(self) -> None:
        self.sizes: dict[str, int] = {}
        self.listed: dict[str, str] = {}
        self._zip: zipfile.ZipFile | None = None

    def open(self, path: Path) -> None:
        """Look at what is in the zip."""
        try:
            self._zip = zipfile.ZipFile(path)
            entries = self._zip.infolist()
            need(all(e.compress_type in WAYS_OF_PACKING for e in entries), "packed in a way that no bundle is")
            need(sum(e.file_size for e in entries) <= MOST_TIMES * path.stat().st_size, f"unpacked it would be more than {MOST_TIMES} times as large: no bundle is")
            for entry in entries:
                base, _, name = entry.filename.partition("/")
                if entry.is_dir() and not entry.file_size and base == BAG:
                    continue
                need(base == BAG and _NAME.fullmatch(name) and ".." not in name, f"a file name that is not ours: {entry.filename!r}")
                need(name not in self.sizes, f"there twice: {name}")
                need(entry.external_attr >> 28 in (0, 0o10), f"not a plain file: {name}")
                self.sizes[name] = entry.file_size
        except BROKEN_ZIP as error:
            raise Fault(f"not a whole zip: {error}") from None

    def close(self) -> None:
        """Let go of the zip."""
        if self._zip is not None:
            self._zip.close()

    def has(self, name: str) -> bool:
        """Whether there is such a file below data/."""
        return f"data/{name}" in self.sizes

    def pieces(self, name: str) -> Iterator[bytes]:
        """Yield the bytes of a file of the bag."""
        need(name in self.sizes and self._zip is not None, f"missing: {name}")
        assert self._zip is not None
        try:
            with self._zip.open(f"{BAG}/{name}") as file:
                while piece := file.read(PIECE):
                    yield piece
        except BROKEN_ZIP as error:
            raise Fault(f"not a whole zip: {error}") from None

    def data(self, name: str) -> bytes:
        """Return a small file below data/, whole."""
        return self.tag(f"data/{name}")

    def tag(self, name: str) -> bytes:
        """Return a small file of the bag, whole."""
        need(self.sizes.get(name, 0) <= LARGEST, f"larger than any such file: {name}")
        return b"".join(self.pieces(name))

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
        return as_object(self.data(name))

    def objects(self, name: str) -> Iterator[dict[str, Any]]:
        """Yield the JSON objects of a file of lines."""
        return map(as_object, self.lines(name))

    def below(self, folder: str, ending: str) -> list[str]:
        """Return the names (below data/) in a folder that end so."""
        return sorted(n.removeprefix("data/") for n in self.sizes if n.startswith(f"data/{folder}/") and n.endswith(ending))

    # -- the manifests -------------------------------------------------------------------------------------------------

    def check(self) -> bool:
        """Check that the files are those of the manifests; return whether the SM3 one could be checked (or there is none)."""
        need("bagit.txt" in self.sizes and self.tag("bagit.txt").startswith(b"BagIt-Version: 1.0\n"), "not a BagIt bag")
        twins = [n for n, k in Counter(name.casefold() for name in self.sizes).items() if k > 1]
        need(not twins, f"two names differ in case only: {twins}")
        odd = sorted(n for n in self.sizes if not _KNOWN.fullmatch(n))
        need(not odd, f"put in by somebody else, no bundle has such a file: {odd[:3]}")
        payload = {n for n in self.sizes if n.startswith("data/")}
        self._manifest("tagmanifest-sha256.txt", set(self.sizes) - payload - {"tagmanifest-sha256.txt"}, "sha256")
        need(sum(self.sizes[n] for n in payload) <= 2 * self._stated(), "more than twice as large as bag-info.txt says")  # before it is all read
        self.listed = self._manifest("manifest-sha256.txt", payload, "sha256")
        oxum = f"Payload-Oxum: {sum(self.sizes[n] for n in payload)}.{len(payload)}\n".encode()
        need(oxum in self.tag("bag-info.txt"), "bag-info.txt counts otherwise")
        if "manifest-sm3.txt" not in self.sizes:
            return True
        try:
            new("sm3")
        except ValueError:
            return False
        self._manifest("manifest-sm3.txt", payload, "sm3")
        return True

    def _stated(self) -> int:
        """Return how many bytes there are below data/, by what the bundle says of itself."""
        found = re.search(rb"^Payload-Oxum: ([0-9]{1,18})\.[0-9]+$", self.tag("bag-info.txt"), re.M)
        return int(found[1]) if found else 0

    def _manifest(self, name: str, there: set[str], algorithm: str) -> dict[str, str]:
        need(name in self.sizes, f"missing: {name}")
        rows = [line.split("  ", 1) for line in self.tag(name).decode().splitlines()]
        listed = {path: digest for digest, path in rows}
        need(len(listed) == len(rows), f"{name} lists a file twice")
        need(not set(listed) - there, f"missing: {sorted(set(listed) - there)[:3]}")
        need(not there - set(listed), f"put in by somebody else: {sorted(there - set(listed))[:3]}")
        for path, digest in listed.items():
            need(self.digest(path, algorithm) == digest, f"changed: {path}")
        return listed

    def digest(self, name: str, algorithm: str = "sha256") -> str:
        """Return the digest of a file of the bag, hex."""
        made = sha256() if algorithm == "sha256" else new(algorithm)
        for piece in self.pieces(name):
            made.update(piece)
        return made.hexdigest()


def as_object(data: bytes) -> dict[str, Any]:
    """Return a JSON object; raises msgspec.DecodeError."""
    return msgspec.json.decode(data, type=dict[str, Any])
