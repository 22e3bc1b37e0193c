"""The parts of a bundle as files, and those as a BagIt in a zip: the same archive, scope and checkpoint give the same bytes.

Before: records.py, completeness.py, checkpoint.py, conversation.py. After: the command `export`; check.py and bundled/verify.py check it.

Layout (evidence.md, section 7; formats: docs/formats.md, section 13). Rules:
 (1) Nothing in it depends on when or where it was made: fixed order, times of records and of the checkpoint only, stored without
     compression and without file times.
 (2) File names are made by us, from numbers and digests: digits, lower-case letters, dots, dashes. What people called a file stands inside.
 (3) Every file is in the manifest; what is not, was put in by somebody else.
 (4) It goes to its place in one rename, readable by its owner only.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from pipeline import __version__, conversation, transcript, words
from pipeline.evidence import completeness, records, trail
from pipeline.evidence.checkpoint import Checkpoint
from pipeline.evidence.matter import Matter
from pipeline.evidence.proving import Prover
from pipeline.evidence.records import Told, encode
from pipeline.evidence.scope import Scope
from pipeline.reader import Reader
from pipeline.source import media_store
from pipeline.words import Lang

BAG = "case"
_STAMP = (1980, 1, 1, 0, 0, 0)
LANGS: tuple[Lang, ...] = ("zh", "en")


class Bundle(msgspec.Struct, frozen=True, kw_only=True):
    """What goes into a bundle, gathered."""

    matter: Matter
    corp_id: str
    scope: Scope
    point: Checkpoint
    told: list[Told]
    held: list[dict[str, Any]]
    coverage: dict[str, Any]
    accounts: list[dict[str, Any]]
    consent: list[dict[str, Any]]
    pulls: list[dict[str, Any]]
    demo: bool


def gather(reader: Reader, matter: Matter, scope: Scope, prover: Prover) -> Bundle:
    """Ask the archive for everything a bundle holds, as of a checkpoint."""
    point = prover.point
    told = records.tell(reader, scope, prover)
    kept_back = completeness.held(reader, scope, prover)
    pulls = reader.rows(
        "SELECT * FROM pulls WHERE digest IN (SELECT page FROM lake_records WHERE list_contains($leaves, leaf)) ORDER BY first_seq, digest",
        {"leaves": [t.leaf for t in told]},
    )
    return Bundle(
        matter=matter, corp_id=reader.corp_id, scope=scope, point=point, told=told, held=kept_back,
        coverage=completeness.coverage(reader, scope, told, kept_back, point.records), accounts=list(records.accounts(reader, told)),
        consent=records.consent_events(reader, told), pulls=[{k: records.plain(v) for k, v in p.items() if k != "corp_id"} for p in pulls],
        demo=reader.home.config.demo,
    )  # fmt: skip


# A file's bytes, or its pieces in order where they do not fit into memory.
Content = bytes | Iterable[bytes]


def files(reader: Reader, bundle: Bundle, prover: Prover) -> Iterator[tuple[str, Content]]:
    """Yield (path below data/, content) of every file of a bundle, in the order of their names within each part."""
    yield "00-README.html", _bundled("README.html").encode()
    yield "01-report.html", report(bundle).encode()
    yield "02-messages.jsonl", lines(t.line for t in bundle.told)
    yield from trail.files(reader.home, bundle.corp_id, prover, bundle.matter.matter)
    yield "completeness/coverage.json", encode(bundle.coverage)
    yield "completeness/held.jsonl", lines(bundle.held)
    yield "consent/events.jsonl", lines(bundle.consent)
    yield "identity/accounts.jsonl", lines(bundle.accounts)
    for digest, month in sorted({d: m for told in bundle.told for m, d in told.media}.items()):
        yield f"media/{digest}.bin", media_store.read(reader.home, bundle.corp_id, month, digest)
    yield "source/pulls.jsonl", lines(bundle.pulls)
    for told in bundle.told:
        yield f"proofs/{told.name}.json", encode(told.proof)
        yield f"raw/{told.name}.plain.json", told.raw
        if told.envelope is not None:
            yield f"raw/{told.name}.envelope.json", told.envelope
    for number, conversation_id in enumerate(bundle.scope.conversations, 1):
        for lang in LANGS:
            yield f"view/{number:04d}.{lang}.html", view(reader, bundle, conversation_id, lang).encode("utf-8", "replace")
    yield "verify/verify.py", _bundled("verify.py").encode()


def _bundled(name: str) -> str:
    return (Path(__file__).parent / "bundled" / name).read_text("utf-8")


def lines(rows: Iterable[Mapping[str, Any]]) -> bytes:
    """Return JSON Lines, each object canonical (RFC 8785 for these types)."""
    return b"".join(encode(r) + b"\n" for r in rows)


def view(reader: Reader, bundle: Bundle, conversation_id: str, lang: Lang) -> str:
    """Return the page of a conversation: neutral, without findings; recalls, files and what is held back in their places."""
    told = [t for t in bundle.told if t.line["conversation_id"] == conversation_id]
    rows = [t.row for t in told]
    held = [{"seq": h["seq"], "origin": h["origin"], "fate": h["fate"]} for h in bundle.held]
    media = [{"msgid": t.line["msgid"], "origin": t.line["origin"], "seq": t.line["seq"], **m} for t in told for m in t.line["media"]]
    shown = transcript.lines_of(
        rows, findings=[], media=media, gaps=reader.rows("SELECT * FROM gaps"), held=held, people=reader.rows("SELECT * FROM people")
    )
    meta = conversation.Meta(
        corp_id=bundle.corp_id, conversation_id=conversation_id, room=any(r["room_id"] for r in rows), from_day=bundle.scope.first_day,
        to_day=bundle.scope.last_day, made_at_ms=bundle.point.said.at_ms, program=f"liuhen {__version__}", stand=str(bundle.point.size), demo=bundle.demo,
        single_mode=True, masked=False, with_findings=False,
    )  # fmt: skip
    return conversation.render_html(shown, meta, lang)


def report(bundle: Bundle) -> str:
    """Return page 1: what is in it, what is not, what it does not prove; Chinese first, English below."""
    from jinja2 import Environment, StrictUndefined

    page = Environment(autoescape=True, undefined=StrictUndefined).from_string(_bundled("report.html"))
    said = {lang: {name: words.say(f"report.{name}", lang) for name in REPORT_WORDS} for lang in LANGS}
    return page.render(
        b=bundle, c=bundle.coverage, said=said, langs=LANGS, version=__version__, root=bundle.point.root.hex(),
        made={"zh": words.beijing(bundle.point.said.at_ms, "zh"), "en": words.beijing(bundle.point.said.at_ms, "en")},
    )  # fmt: skip


REPORT_WORDS = (
    "title", "matter", "corp", "scope", "checkpoint", "root", "made", "records", "marked", "recalled", "imported", "held", "gaps", "failed", "pending",
    "withheld", "restricted", "conversations", "in_bundle", "before", "after", "first_day", "last_day", "uninspected", "origin_limit", "mode", "limits",
)  # fmt: skip


def write(sink: BinaryIO, parts: Iterable[tuple[str, Content]], *, info: Mapping[str, str]) -> str:
    """Write the zip to `sink`; return the SHA-256 of the manifest, hex, by which people name a bundle."""
    digests: dict[str, str] = {}
    count = size = 0
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
        for path, data in parts:
            name = f"data/{path}"
            digests[name], written = _add(archive, name, data)
            count, size = count + 1, size + written
        manifest = "".join(f"{digest}  {name}\n" for name, digest in sorted(digests.items())).encode()
        tags = {
            "bagit.txt": b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n",
            "bag-info.txt": "".join(f"{k}: {v}\n" for k, v in {**info, "Payload-Oxum": f"{size}.{count}"}.items()).encode(),
            "manifest-sha256.txt": manifest,
        }
        for name, data in tags.items():
            _add(archive, name, data)
        _add(archive, "tagmanifest-sha256.txt", "".join(f"{hashlib.sha256(d).hexdigest()}  {n}\n" for n, d in sorted(tags.items())).encode())
    return hashlib.sha256(manifest).hexdigest()


def _add(archive: zipfile.ZipFile, name: str, data: Content) -> tuple[str, int]:
    """Add a file; return the SHA-256 (hex) and number of its bytes."""
    entry = zipfile.ZipInfo(f"{BAG}/{name}", date_time=_STAMP)
    entry.external_attr = 0o100644 << 16
    entry.create_system = 3
    digest, size = hashlib.sha256(), 0
    with archive.open(entry, "w", force_zip64=not isinstance(data, bytes)) as file:
        for piece in (data,) if isinstance(data, bytes) else data:
            file.write(piece)
            digest.update(piece)
            size += len(piece)
    return digest.hexdigest(), size
