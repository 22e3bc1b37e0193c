"""The parts of a bundle as files, and those as a BagIt in a zip: the same archive, scope and checkpoint give the same bytes.

Before: gathered.py, records.py, completeness.py, checkpoint.py, report.py, views.py. After: the command `export`; check.py and bundled/verify.py check it.

Layout (evidence.md, section 7; formats: docs/formats.md, section 13). Rules:
 (1) Nothing in it depends on when or where it was made: fixed order, times of records and of the checkpoint only, stored without
     compression and without file times.
 (2) File names are made by us, from numbers and digests: digits, lower-case letters, dots, dashes. What people called a file stands inside.
 (3) Every file is in the manifest; what is not, was put in by somebody else.
 (4) It goes to its place in one rename, readable by its owner only.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from pipeline.evidence import checkpoint, completeness, decryption, flat, identity, records, report, trail, views
from pipeline.evidence.gathered import BAG, Bundle
from pipeline.evidence.matter import Matter
from pipeline.evidence.pdf.writer import Writer
from pipeline.evidence.proving import Prover
from pipeline.evidence.records import Told, encode
from pipeline.evidence.scope import Scope
from pipeline.evidence.sorting import Sorted
from pipeline.evidence.stored_zip import SMALL, StoredZip
from pipeline.reader import Reader
from pipeline.roles import acting
from pipeline.source import media_store


def gather(reader: Reader, matter: Matter, scope: Scope, prover: Prover) -> Bundle:
    """Ask the archive for everything a bundle holds, as of a checkpoint."""
    point = prover.point
    people = reader.rows("SELECT * FROM people")
    found = records.tell(reader, scope, prover, people)
    told, about = found.told, identity.named(found.told)
    kept_back = completeness.held(reader, scope, prover)
    pulls = reader.rows("SELECT * FROM pulls WHERE digest IN (SELECT unnest($pages)) ORDER BY first_seq, digest", {"pages": found.pages})
    return Bundle(
        matter=matter, corp_id=reader.corp_id, scope=scope, point=point, told=told, leaves=found.leaves, held=kept_back,
        coverage=completeness.coverage(reader, scope, told, kept_back, point), accounts=list(identity.accounts(reader, about)),
        consent=identity.consent_events(reader, about), pulls=[{k: records.plain(v) for k, v in p.items() if k != "corp_id"} for p in pulls],
        demo=reader.home.config.demo, points=sum(c.size <= point.size for c in checkpoint.all_of(reader.home, reader.corp_id)),
        people=people, notices=identity.notices(reader, about), mode=acting.current(reader.home.path).mode,
    )  # fmt: skip


class Digests:
    """Paths below data/ and the digests of their files, as the lines of their manifest: a bundle has hundreds of thousands, on disk."""

    def __init__(self, folder: Path) -> None:
        self._lines = Sorted(folder, _by_path)

    def add(self, path: str, digest: str) -> None:
        """Put a file among them; digest: 64 hexadecimal digits."""
        self._lines.add(f"{digest}  data/{path}\n".encode())

    def __len__(self) -> int:
        return self._lines.lines

    def __iter__(self) -> Iterator[tuple[str, str]]:
        """Yield (path, digest), sorted by path."""
        return ((line[71:-1].decode(), line[:64].decode()) for line in self._lines)

    def manifest(self) -> _Known:
        """Return the manifest."""
        return _Known(self._lines.size, self._lines)


def _by_path(line: bytes) -> bytes:
    return line[66:]


class _Known(NamedTuple):
    """Bytes in pieces, of which the number is known."""

    size: int
    pieces: Iterable[bytes]


# A file's bytes, or its pieces in order where they do not fit into memory.
Content = bytes | Iterable[bytes]
# (path below data/, SHA-256 in hex) of all other files, sorted by path -> the last files
Closing = Callable[[Iterable[tuple[str, str]]], Iterable[tuple[str, Content]]]


def files(reader: Reader, bundle: Bundle, prover: Prover, *, writer: Writer | None = None) -> Iterator[tuple[str, Content]]:
    """Yield (path below data/, content) of every file of a bundle but the PDF report, in the order of their names within each part.

    writer: what writes PDF pages; None leaves them out."""
    yield "00-README.html", _bundled("README.html").encode()
    yield "01-report.html", report.html(bundle, _bundled("report.html")).encode("utf-8", "replace")
    yield "02-messages.csv", flat.table(t.line for t in bundle.told)
    yield "02-messages.jsonl", lines(t.line for t in bundle.told)
    for path, data in trail.files(reader.home, bundle.corp_id, prover, bundle.matter.matter, bundle.leaves):
        if bundle.masks is None or not path.startswith("custody/"):  # the log of who did what names the firm's staff
            yield path, data
    yield "completeness/coverage.json", encode(bundle.coverage)
    yield "completeness/held.jsonl", lines(bundle.held)
    yield "consent/events.jsonl", lines(bundle.consent)
    yield "consent/notices.jsonl", lines(bundle.notices)
    if bundle.masks is not None:
        yield "redaction/log.jsonl", lines(bundle.masks)
    for version, (modulus, exponent) in sorted(bundle.keys.items()):
        yield f"decryption/key-{version:06d}.json", encode({"version": version, "n": f"{modulus:x}", "e": exponent})
    yield "identity/accounts.jsonl", lines(bundle.accounts)
    for digest, month in _media(bundle.told):
        yield f"media/{digest}.bin", media_store.read(reader.home, bundle.corp_id, month, digest)
    yield "source/pulls.jsonl", lines(bundle.pulls)
    for told in bundle.told:
        yield f"proofs/{told.name}.json", encode(told.proof)
        if bundle.masks is None:
            yield f"raw/{told.name}.plain.json", told.raw
            if told.envelope is not None:
                yield f"raw/{told.name}.envelope.json", told.envelope
        if told.envelope is not None and bundle.keys:
            yield f"decryption/{told.name}.json", encode(decryption.proof(told.leaf, told.envelope, reader.home.key_set(bundle.corp_id)))
    yield from views.files(bundle, reader.rows("SELECT * FROM gaps"), writer)
    yield "verify/verify.py", _bundled("verify.py").encode()


def _bundled(name: str) -> str:
    return (Path(__file__).parent / "bundled" / name).read_text("utf-8")


def lines(rows: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
    """Yield JSON Lines, each object canonical (RFC 8785 for these types)."""
    return (encode(r) + b"\n" for r in rows)


def _media(told: Iterable[Told]) -> list[tuple[str, str]]:
    """Return (digest, month) of every file that was fetched, each once, sorted."""
    return sorted({digest: month for one in told for month, digest in one.media}.items())


def report_pdf(bundle: Bundle, writer: Writer) -> Closing:
    """Return what makes the PDF report once the digests of all other files are known."""
    return lambda digests: [("01-report.pdf", writer.pdf("report", report.data(bundle, digests), at_ms=bundle.point.said.at_ms))]


def write(
    sink: BinaryIO, parts: Iterable[tuple[str, Content]], *, info: Mapping[str, str], closing: Closing | None = None, sm3: bool = False, folder: Path | None = None
) -> str:  # fmt: skip
    """Write the zip to `sink`; return the SHA-256 of the manifest, hex, by which people name a bundle.

    closing: makes the last files, from (path below data/, SHA-256 in hex) of all before; sm3: adds a manifest of SM3 digests beside it;
    folder: where what is kept of each file lies meanwhile, sealed (None: where temporary files lie)."""
    at = folder or Path(tempfile.gettempdir())
    digests, second = Digests(at), Digests(at)
    size = 0
    archive = StoredZip(sink, at)
    last = closing or (lambda _: [])
    for path, data in chain(parts, (made for _ in (0,) for made in last(digests))):
        made, also = hashlib.sha256(), hashlib.new("sm3") if sm3 else None
        size += _add(archive, f"data/{path}", data, made, *([also] if also else []))
        digests.add(path, made.hexdigest())
        if also is not None:
            second.add(path, also.hexdigest())
    tags: dict[str, bytes | _Known] = {
        "bagit.txt": b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n",
        "bag-info.txt": "".join(f"{k}: {v}\n" for k, v in {**info, "Payload-Oxum": f"{size}.{len(digests)}"}.items()).encode(),
        "manifest-sha256.txt": digests.manifest(),
        **({"manifest-sm3.txt": second.manifest()} if sm3 else {}),
    }
    tagged = {name: hashlib.sha256() for name in tags}
    for name, content in tags.items():
        _add(archive, name, content, tagged[name])
    _add(archive, "tagmanifest-sha256.txt", "".join(f"{d.hexdigest()}  {n}\n" for n, d in sorted(tagged.items())).encode())
    archive.end()
    return tagged["manifest-sha256.txt"].hexdigest()


def _add(archive: StoredZip, name: str, data: Content | _Known, *digests: hashlib._Hash) -> int:
    """Add a file; return the number of its bytes. digests: those that are to see them."""
    size = 0
    known = _Known(len(data), (data,)) if isinstance(data, bytes) else data

    def seen() -> Iterator[bytes]:
        nonlocal size
        for piece in known.pieces if isinstance(known, _Known) else known:
            for digest in digests:
                digest.update(piece)
            size += len(piece)
            yield piece

    archive.add(f"{BAG}/{name}", seen(), large=not isinstance(known, _Known) or known.size > SMALL)
    return size
