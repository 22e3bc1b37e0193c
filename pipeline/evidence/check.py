"""`liuhen verify CASE.zip`: the same questions as the bundle's own verify.py, answered by other code.

Before: check_files.py, check_trail.py. After: the command `verify`. Uses the product's tree, leaf and note modules and `cryptography`, which
verify.py does not. Every finding names a record or a file; nothing of a bundle is written to disk, and no more than one file of it is in
memory at a time.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
from cryptography import x509

from pipeline.errors import UsageError
from pipeline.evidence import check_pages, check_parts, check_shapes
from pipeline.evidence.check_files import Fault, Files, need
from pipeline.evidence.check_trail import Trail
from pipeline.evidence.packed import BadZip
from pipeline.evidence.stamp_check import Stamp
from pipeline.schema import leaf_schema

SAME = (
    "origin", "seq", "msgid", "kind", "action", "msgtype", "sender_id", "recipient_ids", "room_id", "text", "parts", "sent_at_ms", "captured_at_ms",
    "key_version",
)  # fmt: skip


MOST_WORDS = 600  # of a fault


class Finding(msgspec.Struct, frozen=True):
    """One check: its number and name, and what does not hold ("" when it passed)."""

    number: int
    check: str
    fault: str


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What was found. key: the public key that signed, to be compared with the published one; manifest: how people name the bundle;
    epoch: 0 for the first; stamps: by the size of their checkpoints; unchecked: what this machine has no means for."""

    findings: tuple[Finding, ...]
    records: int
    checkpoint: int
    epoch: int
    key: str
    manifest: str
    stamps: dict[int, Stamp]
    unchecked: tuple[str, ...]

    @property
    def sound(self) -> bool:
        """Whether every check passed."""
        return not any(f.fault for f in self.findings)


def check(path: Path, *, key: str | None = None, roots: Sequence[x509.Certificate] = (), opening: dict[str, Any] | None = None) -> Report:
    """Check a bundle; the first fault ends it. key: the line that the firm published; roots: of the time-stamp authority, when they are known
    from elsewhere; opening: a group of fields opened on order, checked against it last. Raises UsageError INPUT_MISSING."""
    if not path.is_file():
        raise UsageError("INPUT_MISSING", f"there is no file {path.name}", remedy="give a bundle that `liuhen export` wrote")
    files, findings = Files(), list[Finding]()
    trail = Trail(files, key, roots)
    bag = _Bag(files, trail)
    try:
        last = [] if opening is None else [("opening", lambda: _opening(files, opening))]
        for number, (name, step) in enumerate([("archive", lambda: files.open(path)), *bag.steps(), *last]):
            fault = _fault(step, files)
            findings.append(Finding(number, name, fault))
            if fault:
                break
        manifest = files.digest("manifest-sha256.txt") if "manifest-sha256.txt" in files.sizes and not findings[0].fault else ""
    except Fault:
        manifest = ""
    finally:
        files.close()
    newest = trail.newest if trail.points else None
    return Report(
        findings=tuple(findings), records=len(bag.numbers), checkpoint=newest.size if newest else 0, epoch=newest.epoch.number if newest and newest.epoch else 0,
        key=str(trail.key) if trail.key else "", manifest=manifest, stamps=trail.stamps, unchecked=tuple(trail.unchecked),
    )  # fmt: skip


def _fault(step: Callable[[], None], files: Files) -> str:
    try:
        step()
    except (Fault, BadZip) as fault:
        return str(fault) if len(str(fault)) <= MOST_WORDS else f"{str(fault)[:MOST_WORDS]}…"  # a msgid may be megabytes
    except (LookupError, ValueError, TypeError, AttributeError, ArithmeticError, RecursionError, MemoryError, msgspec.DecodeError) as error:
        return f"malformed: {type(error).__name__} in {files.place}"
    return ""


class _Bag:
    """What is remembered of a bundle's records while it is checked: numbers and ids, never their words."""

    def __init__(self, files: Files, trail: Trail) -> None:
        self.files, self.trail = files, trail
        self.numbers = array("Q")

    def steps(self) -> list[tuple[str, Callable[[], None]]]:
        """The checks, in order; each rests on those before it."""
        return [
            ("files", self.manifests), ("checkpoints", self.trail.checkpoints), ("records", self.records), ("lines", self.listed),
            ("bytes", self.received), ("media", self.media), ("counts", self.counts), ("held", self.decisions), ("views", self.pages),
            ("custody", self.custody), ("stamps", self.trail.check_stamps), ("decryption", lambda: check_parts.decryption(self.files)),
            ("redaction", lambda: check_parts.masks(self.files, self.numbers)), ("table", lambda: check_parts.table(self.files, self.lines())),
        ]  # fmt: skip

    def custody(self) -> None:
        if not check_parts.redacted(self.files):  # the log names the firm's staff: a redacted set has none (check 13)
            self.trail.custody()

    def pages(self) -> None:
        check_pages.views(self.files, self.trail.newest, redacted=check_parts.redacted(self.files))

    def manifests(self) -> None:
        if not self.files.check():
            self.trail.skip("sm3")

    def lines(self) -> Iterator[dict[str, Any]]:
        return self.files.objects("02-messages.jsonl")

    def held(self) -> Iterator[dict[str, Any]]:
        return self.files.objects("completeness/held.jsonl")

    def proof(self, number: int) -> dict[str, Any]:
        return self.files.object(f"proofs/{number:012d}.json")

    def records(self) -> None:
        for number in self.files.records("proofs"):
            proof = self.proof(number)
            need(_number(proof) == number, f"proofs/{number:012d}.json is about another leaf")
            self.included(proof, f"record {number}")
            self.numbers.append(number)

    def known(self, number: int) -> bool:
        """Whether a record of this number has a proof."""
        at = bisect_left(self.numbers, number)
        return at < len(self.numbers) and self.numbers[at] == number

    def included(self, proof: dict[str, Any], where: str) -> dict[str, Any]:
        """Return the fields that an opening shows to be in the tree."""
        declared = leaf_schema().groups
        groups = proof["groups"]
        closed = {g for g in groups if "digest" in groups[g]}
        need(not closed or (check_parts.redacted(self.files) and "rest" not in closed), f"{where}: its fields are not shown")
        shown = {g: set(o["fields"]) for g, o in groups.items() if g not in closed}
        need(set(groups) == set(declared) and shown == {g: set(declared[g]) for g in shown}, f"{where}: other fields than ours")
        digests = b"".join(bytes.fromhex(groups[g]["digest"] if g in closed else check_parts.digest_of(g, groups[g])) for g in declared)
        commitment = sha256(leaf_schema().label.encode() + b"\0" + digests).digest()
        need(commitment.hex() == proof["commitment"], f"{where}: the fields are not what was committed to")
        self.trail.included(proof["leaf"], commitment, proof, where)
        fields = _fields(proof)
        need(self.trail.key is not None and fields["corp_id"] == self.trail.key.name.split("/")[1], f"{where} is of another corp")
        return fields

    def listed(self) -> None:
        numbers = array("Q", (_number(line) for line in self.lines()))
        need(all(one < next_ for one, next_ in pairwise(numbers)), "records are out of order or there twice")
        odd = [] if numbers == self.numbers else sorted(set(numbers) ^ set(self.numbers))[:3]
        need(not odd, f"records without proof, or proofs without record: {odd}")
        for line in self.lines():
            where, fields = f"record {line['leaf']} (msgid {line['msgid']})", _fields(self.proof(line["leaf"]))
            other = [name for name in SAME if name in fields and not _alike(line[name], fields[name])]
            need(not other, f"{where}: {', '.join(other)} is not what was committed to")
            need(fields["fate"] == "archived", f"{where} was not archived")
            pair = "|".join(sorted([line["sender_id"] or "", *line["recipient_ids"][:1]]))
            need(line["conversation_id"] == (line["room_id"] or pair) or len(line["recipient_ids"]) != 1, f"{where} stands in another conversation")
            declared = [{k: m[k] for k in ("kind", "declared_md5", "declared_size")} for m in line["media"]] or None
            need(declared == fields["media"], f"{where}: other files than were committed to")

    def received(self) -> None:
        left = {ending: self.files.records("raw", ending) for ending in (".plain.json", ".envelope.json")}
        if check_parts.redacted(self.files):
            there = [f"raw/{numbers[0]:012d}{ending}" for ending, numbers in left.items() if numbers]
            need(not there, f"in a redacted set stands what it leaves out: {there}")
            return
        odd = [f"raw/{number:012d}{ending}" for ending, numbers in left.items() for number in numbers if not self.known(number)]
        need(not odd, f"bytes of no record: {odd[:3]}")
        for number in self.numbers:
            proof = self.proof(number)
            fields = _fields(proof)
            where, plain, sealed = f"record {number}", f"raw/{number:012d}.plain.json", f"raw/{number:012d}.envelope.json"
            label = leaf_schema().label.encode() + b"\0raw\0" + bytes.fromhex(proof["raw_salt"])
            need(sha256(label + self.files.data(plain)).hexdigest() == fields["raw_commitment"], f"{where}: the opened bytes were changed")
            need(str(self.files.received(plain).get("msgid")) == fields["msgid"], f"{where}: the opened bytes are of another message")
            if not self.files.has(sealed):
                need(fields["origin"] == "imported", f"{where}: the sealed bytes are missing")
                continue
            need(sha256(self.files.data(sealed)).hexdigest() == fields["sealed_sha256"], f"{where}: the sealed bytes were changed")
            outer = self.files.received(sealed)
            need((outer["seq"], outer["msgid"]) == (fields["seq"], fields["msgid"]), f"{where}: the sealed bytes are of another record")

    def media(self) -> None:
        fetched = {m["sha256"] for line in self.lines() for m in line["media"] if m["sha256"]}
        there = {name: name.removeprefix("media/").removesuffix(".bin") for name in self.files.below("media", "")}
        need(set(there.values()) == fetched, f"files of no record, or records without their file: {sorted(set(there.values()) ^ fetched)[:3]}")
        for name, digest in there.items():
            need(self.files.digest(f"data/{name}") == digest, f"{name} is another file than was fetched")

    def counts(self) -> None:
        said = self.files.object("completeness/coverage.json")
        there = Counter(line["conversation_id"] for line in self.lines())
        held = sum(1 for _ in self.held())
        need((said["leaves"], said["records"]) == (self.trail.newest.records, len(self.numbers)), "coverage.json counts other records or another checkpoint")
        for one in said["conversations"]:
            name, n = one["conversation_id"], there.pop(one["conversation_id"], 0)
            outside = (one["before"] or 0) + (one["after"] or 0)
            need(one["in_bundle"] == n and one["archived"] == n + outside, f"conversation {name}: other counts than coverage.json says")
        need(not there, f"a conversation that coverage.json does not list: {sorted(there)[:3]}")
        need(said["recalled"] == sum(line["recalled_at_ms"] is not None for line in self.lines()), "other recalls than coverage.json says")
        for name in check_shapes.READ_BY_NOBODY:
            for _ in self.files.objects(name):
                pass  # its names and kinds are looked at
        need(said["held"] == held, "other held records than coverage.json says")
        wanted = {line["recalls_msgid"] for line in self.lines() if line["kind"] == "recall"}
        places = {name: {one["msgid"] for one in listed if one["msgid"] in wanted} for name, listed in (("here", self.lines()), ("held", self.held()))}
        for line in self.lines():
            if line["kind"] == "recall":
                known = places.get(line["original"], {line["recalls_msgid"]})
                need(line["original"] in (*places, "outside", "unknown") and line["recalls_msgid"] in known, f"the original of recall {line['leaf']} is gone")

    def decisions(self) -> None:
        for one in self.held():
            where = f"held record {_number(one)}"
            if one["proof"] is None:
                need(one["fate"] in ("restricted", "removed"), f"{where} has no proof of its decision")
                continue
            fields = self.included(one["proof"], where)
            same = one["proof"]["leaf"] == one["leaf"] and all(_alike(fields[n], one[n]) for n in ("origin", "seq", "msgid", "fate", "reason"))
            need(same, f"{where} is not what was decided")


def _opening(files: Files, opening: dict[str, Any]) -> None:
    check_parts.opening(files, opening)


def _number(said: dict[str, Any]) -> int:
    """Return the number of a record; `true` is none, though Python takes it for 1."""
    number = said["leaf"]
    need(type(number) is int, f"the number of a record is none: {str(number)[:20]!r}")
    return int(number)


def _alike(one: Any, other: Any) -> bool:
    """Whether two values are the same, and so written; names in any order, as in what was committed to."""
    return bool(one == other) and (type(one) is type(other) is not list or _written(one) == _written(other))


def _written(value: Any) -> bytes:
    return msgspec.json.encode(value, order="deterministic")


def _fields(proof: dict[str, Any]) -> dict[str, Any]:
    return {name: value for group in proof["groups"].values() for name, value in group.get("fields", {}).items()}
