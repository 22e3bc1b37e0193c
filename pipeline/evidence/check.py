"""`liuhen verify CASE.zip`: the same questions as the bundle's own verify.py, answered by other code.

Before: a bundle. After: the command `verify`. Uses the product's tree, leaf and note modules and `cryptography`, which verify.py does not.
Every finding names a record or a file; nothing of a bundle is written to disk.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from pipeline import leaf
from pipeline.custody import GENESIS
from pipeline.errors import UsageError
from pipeline.evidence import checkpoint, note
from pipeline.evidence.bundle import BAG, LANGS
from pipeline.evidence.tree import consistent, leaf_hash, root_of_inclusion
from pipeline.schema import leaf_schema

_NAME = re.compile(r"(?:[0-9A-Za-z][0-9A-Za-z._-]*/)*[0-9A-Za-z][0-9A-Za-z._-]*")
_SHOWN = re.compile(r'data-msgid="([^"]*)"')
SAME = (
    "origin", "seq", "msgid", "kind", "action", "msgtype", "sender_id", "recipient_ids", "room_id", "text", "parts", "sent_at_ms", "captured_at_ms",
    "key_version",
)  # fmt: skip


class Fault(Exception):
    """Something does not hold; the words name the record or file."""


class Finding(msgspec.Struct, frozen=True):
    """One check: its number and name, and what does not hold ("" when it passed)."""

    number: int
    check: str
    fault: str


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What was found. key: the public key that signed, to be compared with the published one; manifest: how people name the bundle."""

    findings: tuple[Finding, ...]
    records: int
    checkpoint: int
    key: str
    manifest: str

    @property
    def sound(self) -> bool:
        """Whether every check passed."""
        return not any(f.fault for f in self.findings)


def check(path: Path, *, key: str | None = None) -> Report:
    """Check a bundle; the first fault ends it. key: the line that the firm published. Raises UsageError INPUT_MISSING."""
    if not path.is_file():
        raise UsageError("INPUT_MISSING", f"there is no file {path.name}", remedy="give a bundle that `liuhen export` wrote")
    findings: list[Finding] = []
    bag = _Bag(key)
    for number, (name, step) in enumerate([("archive", lambda: bag.read(path)), *bag.steps()]):
        fault = _fault(step)
        findings.append(Finding(number, name, fault))
        if fault:
            break
    manifest = sha256(bag.files.get("manifest-sha256.txt", b"")).hexdigest()
    return Report(
        findings=tuple(findings), records=len(bag.lines), checkpoint=max(bag.roots, default=0), key=str(bag.key) if bag.key else "", manifest=manifest
    )  # fmt: skip


def _fault(step: Callable[[], None]) -> str:
    try:
        step()
    except Fault as fault:
        return str(fault)
    except (KeyError, ValueError, TypeError, IndexError, AttributeError, msgspec.DecodeError) as error:
        return f"malformed: {type(error).__name__}"
    return ""


def _need(condition: object, what: str) -> None:
    if not condition:
        raise Fault(what)


class _Bag:
    """A bundle in memory while it is checked."""

    def __init__(self, key: str | None) -> None:
        self.given = key
        self.files: dict[str, bytes] = {}
        self.key: note.Key | None = None
        self.roots: dict[int, bytes] = {}
        self.logs: dict[int, tuple[int, str]] = {}
        self.fields: dict[int, dict[str, Any]] = {}
        self.proofs: dict[int, dict[str, Any]] = {}
        self.lines: list[dict[str, Any]] = []
        self.held: list[dict[str, Any]] = []

    def steps(self) -> list[tuple[str, Callable[[], None]]]:
        """The checks, in order; each rests on those before it."""
        return [
            ("files", self.manifests), ("checkpoints", self.checkpoints), ("records", self.records), ("lines", self.listed), ("bytes", self.received),
            ("media", self.media), ("counts", self.counts), ("held", self.decisions), ("views", self.views), ("custody", self.custody),
        ]  # fmt: skip

    def read(self, path: Path) -> None:
        try:
            with zipfile.ZipFile(path) as archive:
                for entry in archive.infolist():
                    base, _, name = entry.filename.partition("/")
                    _need(base == BAG and _NAME.fullmatch(name) and ".." not in name, f"a file name that is not ours: {entry.filename!r}")
                    _need(name not in self.files, f"there twice: {name}")
                    _need(entry.external_attr >> 28 in (0, 0o10), f"not a plain file: {name}")
                    self.files[name] = archive.read(entry)
        except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, OSError, zlib.error) as error:
            raise Fault(f"not a whole zip: {error}") from None

    def data(self, name: str) -> bytes:
        _need(f"data/{name}" in self.files, f"missing: data/{name}")
        return self.files[f"data/{name}"]

    def below(self, folder: str, ending: str) -> list[str]:
        return sorted(n.removeprefix("data/") for n in self.files if n.startswith(f"data/{folder}/") and n.endswith(ending))

    def object(self, name: str) -> dict[str, Any]:
        return _object(self.data(name))

    def objects(self, name: str) -> Iterator[dict[str, Any]]:
        data = self.data(name)
        _need(not data or data.endswith(b"\n"), f"{name} is cut")
        yield from (_object(line) for line in data.splitlines())

    def manifests(self) -> None:
        _need(self.files.get("bagit.txt", b"").startswith(b"BagIt-Version: 1.0\n"), "not a BagIt bag")
        twins = [n for n, k in Counter(name.casefold() for name in self.files).items() if k > 1]
        _need(not twins, f"two names differ in case only: {twins}")
        payload = {n for n in self.files if n.startswith("data/")}
        self.manifest("manifest-sha256.txt", payload)
        self.manifest("tagmanifest-sha256.txt", set(self.files) - payload - {"tagmanifest-sha256.txt"})
        oxum = f"Payload-Oxum: {sum(len(self.files[n]) for n in payload)}.{len(payload)}\n".encode()
        _need(oxum in self.files["bag-info.txt"], "bag-info.txt counts otherwise")

    def manifest(self, name: str, there: set[str]) -> None:
        rows = [line.split("  ", 1) for line in self.files.get(name, b"").decode().splitlines()]
        listed = {path: digest for digest, path in rows}
        _need(len(listed) == len(rows), f"{name} lists a file twice")
        _need(not set(listed) - there, f"missing: {sorted(set(listed) - there)[:3]}")
        _need(not there - set(listed), f"put in by somebody else: {sorted(there - set(listed))[:3]}")
        for path, digest in listed.items():
            _need(sha256(self.files[path]).hexdigest() == digest, f"changed: {path}")

    def checkpoints(self) -> None:
        self.key = note.parse_key(self.data("checkpoints/log.vkey").decode())
        _need(self.key.name.rpartition("/")[2] == sha256(self.key.public).hexdigest()[:16], "the log's name is not that of its key")
        _need(self.given is None or self.given.strip() == str(self.key), "signed by another key than the one you gave")
        for name in self.below("checkpoints", ".note"):
            text = note.opened(self.data(name).decode(), self.key)
            if text is None:
                raise Fault(f"{name}: the signature is not valid")
            said = checkpoint.parse(text)
            right = said.origin == self.key.name and name == f"checkpoints/{said.size:012d}.note"
            _need(right, f"{name} is not of this log, or over other leaves than it names")
            self.roots[said.size], self.logs[said.size] = said.root, said.custody
        newest = max(self.roots)
        for size, root in self.roots.items():
            proof = self.object(f"checkpoints/{size:012d}.consistency.json")
            hashes = [bytes.fromhex(h) for h in proof["proof"]]
            told = (proof["old"], proof["new"]) == (size, newest)
            _need(told and consistent(size, newest, root, self.roots[newest], hashes), f"checkpoint {size} is not the beginning of checkpoint {newest}")

    def records(self) -> None:
        for name in self.below("proofs", ".json"):
            proof = self.object(name)
            _need(name == f"proofs/{proof['leaf']:012d}.json", f"{name} is about another leaf")
            self.proofs[proof["leaf"]] = proof
            self.fields[proof["leaf"]] = self.included(proof, f"record {proof['leaf']}")

    def included(self, proof: dict[str, Any], where: str) -> dict[str, Any]:
        """Return the fields that an opening shows to be in the tree."""
        declared = leaf_schema().groups
        _need({g: set(o["fields"]) for g, o in proof["groups"].items()} == {g: set(f) for g, f in declared.items()}, f"{where}: other fields than ours")
        digests = b"".join(
            leaf.group_digest_from_salt(bytes.fromhex(proof["groups"][g]["salt"]), g, leaf.canonical(proof["groups"][g]["fields"])) for g in declared
        )
        commitment = sha256(leaf_schema().label.encode() + b"\0" + digests).digest()
        _need(commitment.hex() == proof["commitment"], f"{where}: the fields are not what was committed to")
        size = max(self.roots)
        path = [bytes.fromhex(h) for h in proof["path"]]
        root = root_of_inclusion(proof["leaf"], size, leaf_hash(proof["leaf"], commitment), path)
        _need(proof["size"] == size and root == self.roots[size], f"{where} is not in the tree of the checkpoint")
        fields = {name: value for group in proof["groups"].values() for name, value in group["fields"].items()}
        _need(self.key is not None and fields["corp_id"] == self.key.name.split("/")[1], f"{where} is of another corp")
        return fields

    def listed(self) -> None:
        self.lines = list(self.objects("02-messages.jsonl"))
        numbers = [line["leaf"] for line in self.lines]
        _need(numbers == sorted(set(numbers)), "records are out of order or there twice")
        _need(set(numbers) == set(self.fields), f"records without proof, or proofs without record: {sorted(set(numbers) ^ set(self.fields))[:3]}")
        for line in self.lines:
            where, fields = f"record {line['leaf']} (msgid {line['msgid']})", self.fields[line["leaf"]]
            other = [name for name in SAME if line[name] != fields[name]]
            _need(not other, f"{where}: {', '.join(other)} is not what was committed to")
            _need(fields["fate"] == "archived", f"{where} was not archived")
            pair = "|".join(sorted([line["sender_id"] or "", *line["recipient_ids"][:1]]))
            _need(line["conversation_id"] == (line["room_id"] or pair) or len(line["recipient_ids"]) != 1, f"{where} stands in another conversation")
            declared = [{k: m[k] for k in ("kind", "declared_md5", "declared_size")} for m in line["media"]] or None
            _need(declared == fields["media"], f"{where}: other files than were committed to")

    def received(self) -> None:
        left = set(self.below("raw", ".json"))
        for number, fields in self.fields.items():
            where, plain, sealed = f"record {number}", f"raw/{number:012d}.plain.json", f"raw/{number:012d}.envelope.json"
            label = leaf_schema().label.encode() + b"\0raw\0" + bytes.fromhex(self.proofs[number]["raw_salt"])
            _need(sha256(label + self.data(plain)).hexdigest() == fields["raw_commitment"], f"{where}: the opened bytes were changed")
            _need(str(self.object(plain).get("msgid")) == fields["msgid"], f"{where}: the opened bytes are of another message")
            left.discard(plain)
            if sealed not in left:
                _need(fields["origin"] == "imported", f"{where}: the sealed bytes are missing")
                continue
            left.discard(sealed)
            _need(sha256(self.data(sealed)).hexdigest() == fields["sealed_sha256"], f"{where}: the sealed bytes were changed")
            outer = self.object(sealed)
            _need((outer["seq"], outer["msgid"]) == (fields["seq"], fields["msgid"]), f"{where}: the sealed bytes are of another record")
        _need(not left, f"bytes of no record: {sorted(left)[:3]}")

    def media(self) -> None:
        fetched = {m["sha256"] for line in self.lines for m in line["media"] if m["sha256"]}
        there = {name: name.removeprefix("media/").removesuffix(".bin") for name in self.below("media", "")}
        _need(set(there.values()) == fetched, f"files of no record, or records without their file: {sorted(set(there.values()) ^ fetched)[:3]}")
        for name, digest in there.items():
            _need(sha256(self.data(name)).hexdigest() == digest, f"{name} is another file than was fetched")

    def counts(self) -> None:
        said = self.object("completeness/coverage.json")
        there = Counter(line["conversation_id"] for line in self.lines)
        self.held = list(self.objects("completeness/held.jsonl"))
        _need((said["leaves"], said["records"]) == (max(self.roots), len(self.lines)), "coverage.json counts other records or another checkpoint")
        for one in said["conversations"]:
            name, n = one["conversation_id"], there.pop(one["conversation_id"], 0)
            outside = (one["before"] or 0) + (one["after"] or 0)
            _need(one["in_bundle"] == n and one["archived"] == n + outside, f"conversation {name}: other counts than coverage.json says")
        _need(not there, f"a conversation that coverage.json does not list: {sorted(there)[:3]}")
        _need(said["recalled"] == sum(line["recalled_at_ms"] is not None for line in self.lines), "other recalls than coverage.json says")
        _need(said["held"] == len(self.held), "other held records than coverage.json says")
        places = {"here": {line["msgid"] for line in self.lines}, "held": {h["msgid"] for h in self.held}}
        for line in self.lines:
            if line["kind"] == "recall":
                known = places.get(line["original"], {line["recalls_msgid"]})
                _need(line["original"] in (*places, "outside", "unknown") and line["recalls_msgid"] in known, f"the original of recall {line['leaf']} is gone")

    def decisions(self) -> None:
        for one in self.held:
            where = f"held record {one['leaf']}"
            if one["proof"] is None:
                _need(one["fate"] in ("restricted", "removed"), f"{where} has no proof of its decision")
                continue
            fields = self.included(one["proof"], where)
            same = one["proof"]["leaf"] == one["leaf"] and all(fields[n] == one[n] for n in ("origin", "seq", "msgid", "fate", "reason"))
            _need(same, f"{where} is not what was decided")

    def views(self) -> None:
        known = {line["msgid"] for line in self.lines}
        for lang in LANGS:
            shown = {m for name in self.below("view", f".{lang}.html") for m in map(_unescaped, _SHOWN.findall(self.data(name).decode("utf-8", "replace")))}
            _need(not shown - known, "a page shows a message that is not in the bundle")
            missing = [line["leaf"] for line in self.lines if line["msgid"] not in shown]
            _need(not missing, f"records that are not on the pages: {missing[:3]}")

    def custody(self) -> None:
        previous, digests = GENESIS, {}
        for number, line in enumerate(self.data("custody/log.jsonl").splitlines(keepends=True), 1):
            entry = _object(line)
            _need((entry["n"], entry["previous"]) == (number, previous), f"the custody log was changed at entry {number}")
            previous = digests[number] = sha256(line).hexdigest()
        for size, (number, digest) in self.logs.items():
            _need(digests.get(number) == digest, f"the custody log is not the one that checkpoint {size} names, at entry {number}")
        _need(len(digests) == max(number for number, _ in self.logs.values()), "the custody log goes on after the checkpoint")


def _unescaped(text: str) -> str:
    import html

    return html.unescape(text)


def _object(data: bytes) -> dict[str, Any]:
    return msgspec.json.decode(data, type=dict[str, Any])
