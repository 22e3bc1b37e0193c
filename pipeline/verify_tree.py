"""Verification, check 8: signed checkpoints against the leaves, the keyring and the custody log, from docs/formats.md, section 13.

Before: verify_ledger.py (leaves). After: verify_stamps.py, verify_report.py.

 (1) Every note is signed by the key of this archive, or, where a token signs, by the one key that `log.vkey` tells.
 (2) It is over the leaves that lie here, in both trees where it names two; those of an epoch that ended may be over leaves that are gone.
 (3) An epoch begins with a signed checkpoint of the one before it, which is its first leaf.
 (4) It names a line of this custody log, and the root of the tree over its lines; the newest one that the custody log tells of is there.
"""

from __future__ import annotations

import hashlib
import json
import re
from base64 import b64decode
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization as ser
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from pipeline.verify_digests import column_of, sha256_of
from pipeline.verify_report import EVIDENCE, Report

_N, _R = "0|[1-9][0-9]*", "[A-Za-z0-9+/]{43}="
NOTE = re.compile(
    rf"(?P<text>(?P<origin>(?P<log>[^\n]+/[0-9a-f]{{16}})(?:/(?P<place>[1-9][0-9]*))?)\n(?P<size>{_N})\n(?P<root>{_R})\n"
    rf"custody (?P<n>[1-9][0-9]*) (?P<digest>[0-9a-f]{{64}})\ncustody-root (?P<lines>{_R})\nat (?:{_N})\n"
    rf"(?:sm3 (?P<sm3>{_R})\n)?(?:epoch (?P<epoch>[1-9][0-9]*) (?P<old>{_N}) (?P<oldroot>{_R})\n)?)"
    r"\n— (?P<name>[^ +\n]+) (?P<signature>[A-Za-z0-9+/]+=*)\n"
)
Found = dict[int, re.Match[str]]  # notes of an epoch by size
Hash = Callable[[bytes], bytes]
Nodes = np.ndarray[Any, np.dtype[np.uint8]]  # hashes or commitments, (how many, 32)
# The tree grows by whole subtrees of so many leaves: enough to digest them many at once, few enough to hold all their nodes.
BLOCK = 1 << 16


def check(
    home: Path, corp_id: str, commitments: Iterable[Nodes] | None, secret: bytes | None, custody: Sequence[bytes], report: Report, *, token: bool = False
) -> None:
    """Check the checkpoints of a corp. commitments: of all leaves in order, some at a time (None: they could not be read); secret: the signing key's 32 bytes;
    token: whether a token holds it instead, so that `log.vkey` alone tells the public half."""
    at = home / "evidence" / corp_id
    public = _public(at, secret, token=token, report=report)
    epochs = {0: _epoch(at / "checkpoints", corp_id, 0, public, report)}
    for path in at.glob("checkpoints-*/before.note"):
        number = int(path.parent.name.removeprefix("checkpoints-")) if path.parent.name[12:].isdigit() else 0
        epochs[number] = _epoch(path.parent, corp_id, number, public, report)
    firsts = {n: _first(at, corp_id, n, public, epochs[n], report) for n in sorted(epochs) if n}
    _against_leaves(epochs, firsts, commitments, report)
    _against_custody(home, epochs, custody, report)


def _public(at: Path, secret: bytes | None, *, token: bool, report: Report) -> bytes | None:
    """Return the 32 bytes of the public key."""
    if secret is not None and not token:
        return Ed25519PrivateKey.from_private_bytes(secret).public_key().public_bytes(ser.Encoding.Raw, ser.PublicFormat.Raw)
    if not token or not (at / "log.vkey").is_file():
        return None
    line = (at / "log.vkey").read_bytes().decode("utf-8", "replace").strip()
    try:
        data = b64decode(line.split("+", 2)[2], validate=True)
    except (ValueError, IndexError):
        return None
    report.note(EVIDENCE, "EVIDENCE_TOKEN", key=line[:200])
    return data[1:] if len(data) == 33 and data[:1] == b"\x01" else None


def _epoch(folder: Path, corp_id: str, number: int, public: bytes | None, report: Report) -> Found:
    """Return the notes of an epoch that are signed as they must be."""
    found: Found = {}
    for path in sorted(folder.glob("[0-9]*.note")):
        note = NOTE.fullmatch(path.read_bytes().decode("utf-8", "replace"))
        named = note is not None and path.name == f"{int(note['size']):012d}.note" and int(note["epoch"] or 0) == number
        if note is None or public is None or not named or not _signed(note, corp_id, public):
            report.find(EVIDENCE, "EVIDENCE_SIGNATURE", name=_name(number, path.name))
            continue
        found[int(note["size"])] = note
        report.counts["signed checkpoints"] += 1
        report.counts["checkpoints"] += 1
    return found


def _name(epoch: int, name: str) -> str:
    return f"{epoch}/{name}" if epoch else name


def _signed(note: re.Match[str], corp_id: str, public: bytes) -> bool:
    name = f"liuhen/{corp_id}/{sha256(public).hexdigest()[:16]}"
    signature = b64decode(note["signature"])
    if (note["log"], note["name"], note["place"]) != (name, name, note["epoch"]) or signature[:4] != sha256(name.encode() + b"\n\x01" + public).digest()[:4]:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature[4:], note["text"].encode())
    except InvalidSignature:
        return False
    return True


def _first(at: Path, corp_id: str, number: int, public: bytes | None, found: Found, report: Report) -> bytes:
    """Return the commitment of an epoch's first leaf; its checkpoint must be signed, of the epoch before, and the one that the notes name."""
    data = (at / f"checkpoints-{number}" / "before.note").read_bytes()
    before = NOTE.fullmatch(data.decode("utf-8", "replace"))
    right = before is not None and public is not None and _signed(before, corp_id, public) and int(before["epoch"] or 0) == number - 1
    same = before is not None and all((n["old"], n["oldroot"]) == (before["size"], before["root"]) for n in found.values())
    if not right or not same:
        report.find(EVIDENCE, "EVIDENCE_EPOCH", epoch=number)
    return sha256(b"liuhen-epoch-v1\0" + data).digest()


# -- leaves --------------------------------------------------------------------------------------------------------


def _against_leaves(epochs: Mapping[int, Found], firsts: Mapping[int, bytes], commitments: Iterable[Nodes] | None, report: Report) -> None:
    if commitments is None or not any(epochs.values()):
        return
    wanted = {(n, kind): sorted(s for s, note in found.items() if note[kind]) for n, found in epochs.items() for kind in ("root", "sm3")}
    growing = {place: _Roots(firsts.get(place[0]), sizes, _HASHES[place[1]]) for place, sizes in wanted.items() if sizes and _HASHES[place[1]]}
    for some in commitments:
        for roots in growing.values():
            roots.add(some)
    for roots in growing.values():
        roots.end()
    newest = max(epochs)
    for (number, kind), roots in growing.items():
        for size in wanted[number, kind]:
            if roots.found.get(size) == b64decode(epochs[number][size][kind]):
                continue
            name = _name(number, f"{size:012d}.note")
            if number < newest:
                report.note(EVIDENCE, "EVIDENCE_ENDED", name=name)
            else:
                report.find(EVIDENCE, "EVIDENCE_ROOT", name=name)
    if any(sizes and not _HASHES[kind] for (_, kind), sizes in wanted.items()):
        report.note(EVIDENCE, "EVIDENCE_SM3")


def _sha256(data: bytes) -> bytes:
    return sha256(data).digest()


def _sm3() -> Hash | None:
    try:
        hashlib.new("sm3")
    except ValueError:
        return None
    return lambda data: hashlib.new("sm3", data).digest()


_HASHES: dict[str, Hash | None] = {"root": _sha256, "sm3": _sm3()}


class _Roots:
    """The roots of a growing tree at the sizes that are wanted (ascending)."""

    def __init__(self, first: bytes | None, sizes: Sequence[int], hash_of: Hash | None) -> None:
        self._hash = hash_of or _sha256
        self.found: dict[int, bytes] = {0: self._hash(b"")} if 0 in sizes else {}
        self._wanted = [s for s in reversed(sizes) if s]
        self._size, self._peaks, self._waiting = 0, list[bytes](), _nodes([] if first is None else [first])

    def add(self, commitments: Nodes) -> None:
        """Add leaves."""
        self._waiting = np.concatenate([self._waiting, commitments])
        while len(self._waiting) >= BLOCK:
            self._grow(self._waiting[:BLOCK])
            self._waiting = self._waiting[BLOCK:]

    def end(self) -> None:
        """Say that no more leaves come."""
        if len(self._waiting):
            self._grow(self._waiting)

    def _grow(self, commitments: Nodes) -> None:
        numbers = np.arange(self._size, self._size + len(commitments)).astype(">u8").view(np.uint8).reshape(-1, 8)
        levels = [self._all_of(0, numbers, commitments)]
        while len(levels[-1]) > 1:
            pairs = levels[-1][: len(levels[-1]) // 2 * 2]
            levels.append(self._all_of(1, pairs[::2], pairs[1::2]))
        while self._wanted and self._wanted[-1] <= self._size + len(commitments):
            size = self._wanted.pop()
            self.found[size] = self._root([*self._peaks, *_peaks(levels, size - self._size)])
        if len(commitments) < BLOCK:
            return  # no more leaves come
        made, carry = levels[-1][0].tobytes(), self._size // BLOCK
        self._size += BLOCK
        while carry & 1:
            made, carry = self._hash(b"\1" + self._peaks.pop() + made), carry >> 1
        self._peaks.append(made)

    def _all_of(self, kind: int, *pieces: Nodes) -> Nodes:
        """Return the hash of each row of the pieces beside each other, behind the byte that tells leaves from nodes (RFC 6962, section 2.1)."""
        rows = np.hstack([np.full((len(pieces[0]), 1), kind, np.uint8), *pieces])
        return sha256_of(column_of(rows)) if self._hash is _sha256 else _nodes([self._hash(row.tobytes()) for row in rows])

    def _root(self, peaks: list[bytes]) -> bytes:
        made = peaks[-1]
        for left in reversed(peaks[:-1]):
            made = self._hash(b"\1" + left + made)
        return made


def _peaks(levels: Sequence[Nodes], size: int) -> Iterator[bytes]:
    """Yield the roots of the largest whole subtrees that the first `size` leaves are made of, from the left."""
    at = 0
    for level in reversed(range(len(levels))):
        if size >> level & 1:
            yield levels[level][at >> level].tobytes()
            at += 1 << level


def _nodes(values: Iterable[bytes]) -> Nodes:
    return np.frombuffer(b"".join(values), np.uint8).reshape(-1, 32)


def roots_at(commitments: Iterable[bytes], sizes: Sequence[int]) -> Iterator[tuple[int, bytes]]:
    """Yield (size, root of the tree over the first so many leaves) for each of `sizes`, ascending, that there are leaves for."""
    roots = _Roots(None, sizes, _sha256)
    roots.add(_nodes(commitments))
    roots.end()
    yield from roots.found.items()


# -- custody -------------------------------------------------------------------------------------------------------


def _against_custody(home: Path, epochs: Mapping[int, Found], segments: Sequence[bytes], report: Report) -> None:
    """A note names a line of the custody log and the root over its lines; the newest line that tells of a checkpoint, if anything was written
    after it, is named by one."""
    digests, told = _lines(segments)
    named = sorted({int(note["n"]) for found in epochs.values() for note in found.values()})
    whole = list(digests) == list(range(1, len(digests) + 1))
    roots = dict(roots_at([bytes.fromhex(d) for d in digests.values()], named)) if whole and named else {}
    for number, found in epochs.items():
        for size, note in sorted(found.items()):
            n = int(note["n"])
            if digests.get(n) != note["digest"] or (whole and roots.get(n) != b64decode(note["lines"])):
                report.find(EVIDENCE, "EVIDENCE_CUSTODY", name=_name(number, f"{size:012d}.note"), n=n)
    if told and told[-1] < max(digests) and told[-1] not in _named(home):
        report.find(EVIDENCE, "EVIDENCE_MISSING", n=told[-1])


def _named(home: Path) -> set[int]:
    """The lines of the custody log that any corp's checkpoints name: the log is one for the home."""
    notes = (NOTE.fullmatch(p.read_bytes().decode("utf-8", "replace")) for p in (home / "evidence").glob("*/checkpoints*/[0-9]*.note"))
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
