"""Verification, check 8: signed checkpoints against the leaves, the keyring and the custody log, from docs/formats.md, section 13.

Before: verify_ledger.py (leaves). After: verify_report.py. Every note must be signed by the key of this archive, over the leaves that lie
here, and name a line of this custody log; the newest one that the custody log tells of must be there.
"""

from __future__ import annotations

import json
import re
from base64 import b64decode
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization as ser
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from pipeline.verify_report import EVIDENCE, Report

NOTE = re.compile(
    r"(?P<text>(?P<origin>[^\n]+)\n(?P<size>0|[1-9][0-9]*)\n(?P<root>[A-Za-z0-9+/]{43}=)\ncustody (?P<n>[1-9][0-9]*) (?P<digest>[0-9a-f]{64})\n)"
    r"\n— (?P<name>[^ +\n]+) (?P<signature>[A-Za-z0-9+/]+=*)\n"
)


def check(home: Path, corp_id: str, commitments: Iterable[bytes] | None, secret: bytes | None, custody: Sequence[bytes], report: Report) -> None:
    """Check the checkpoints of a corp. commitments: of all leaves in order (None: they could not be read); secret: the signing key's 32 bytes."""
    found = {}
    for path in sorted((home / "evidence" / corp_id / "checkpoints").glob("*.note")):
        note = NOTE.fullmatch(path.read_bytes().decode("utf-8", "replace"))
        if note is None or secret is None or path.name != f"{int(note['size']):012d}.note" or not _signed(note, corp_id, secret):
            report.find(EVIDENCE, "EVIDENCE_SIGNATURE", name=path.name)
            continue
        found[int(note["size"])] = note
        report.counts["checkpoints"] += 1
    _against_leaves(found, commitments, report)
    _against_custody(home, found, custody, report)


def _signed(note: re.Match[str], corp_id: str, secret: bytes) -> bool:
    private = Ed25519PrivateKey.from_private_bytes(secret)
    public = private.public_key().public_bytes(ser.Encoding.Raw, ser.PublicFormat.Raw)
    name = f"liuhen/{corp_id}/{sha256(public).hexdigest()[:16]}"
    signature = b64decode(note["signature"])
    if (note["origin"], note["name"]) != (name, name) or signature[:4] != sha256(name.encode() + b"\n\x01" + public).digest()[:4]:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature[4:], note["text"].encode())
    except InvalidSignature:
        return False
    return True


def _against_leaves(found: dict[int, re.Match[str]], commitments: Iterable[bytes] | None, report: Report) -> None:
    if commitments is None or not found:
        return
    roots = dict(roots_at(commitments, sorted(found)))
    for size, note in sorted(found.items()):
        if roots.get(size) != b64decode(note["root"]):
            report.find(EVIDENCE, "EVIDENCE_ROOT", name=f"{size:012d}.note")


def roots_at(commitments: Iterable[bytes], sizes: Sequence[int]) -> Iterator[tuple[int, bytes]]:
    """Yield (size, root of the tree over the first so many leaves) for each of `sizes`, ascending, that there are leaves for."""
    peaks: list[tuple[int, bytes]] = []  # (height, hash) of full subtrees, left to right
    wanted = list(sizes)
    if wanted and wanted[0] == 0:
        yield wanted.pop(0), sha256(b"").digest()
    for number, commitment in enumerate(commitments):
        height, made = 0, sha256(b"\0" + number.to_bytes(8, "big") + commitment).digest()
        while peaks and peaks[-1][0] == height:
            height, made = height + 1, sha256(b"\1" + peaks.pop()[1] + made).digest()
        peaks.append((height, made))
        while wanted and wanted[0] == number + 1:
            yield wanted.pop(0), _folded(peaks)


def _folded(peaks: Sequence[tuple[int, bytes]]) -> bytes:
    made = peaks[-1][1]
    for _, left in reversed(peaks[:-1]):
        made = sha256(b"\1" + left + made).digest()
    return made


def _against_custody(home: Path, found: dict[int, re.Match[str]], segments: Sequence[bytes], report: Report) -> None:
    """A note names a line of the custody log; the newest line that tells of a checkpoint, if anything was written after it, is named by one."""
    digests, told = _lines(segments)
    for size, note in sorted(found.items()):
        if digests.get(int(note["n"])) != note["digest"]:
            report.find(EVIDENCE, "EVIDENCE_CUSTODY", name=f"{size:012d}.note", n=int(note["n"]))
    if told and told[-1] < max(digests) and told[-1] not in _named(home):
        report.find(EVIDENCE, "EVIDENCE_MISSING", n=told[-1])


def _named(home: Path) -> set[int]:
    """The lines of the custody log that any corp's checkpoints name: the log is one for the home."""
    notes = (NOTE.fullmatch(p.read_bytes().decode("utf-8", "replace")) for p in (home / "evidence").glob("*/checkpoints/*.note"))
    return {int(note["n"]) for note in notes if note}


def _lines(segments: Sequence[bytes]) -> tuple[dict[int, str], list[int]]:
    """Return the digest of each line, and the numbers of those that tell of a checkpoint made."""
    digests: dict[int, str] = {}
    told: list[int] = []
    for line in b"".join(segments).splitlines():
        try:
            entry = json.loads(line)
            kept = json.dumps({**entry, "params": ""}, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
            digests[int(entry["n"])] = sha256(kept).hexdigest()
        except (ValueError, KeyError, TypeError):
            continue  # told by check 5
        if (entry.get("command"), entry.get("phase")) == ("checkpoint", "made"):
            told.append(int(entry["n"]))
    return digests, told
