"""Verification, checks 4 and 5: the keyring and what it seals, the custody log; opened from their files alone.

Before: verify_report.py. After: verify_files.py (decrypts with these keys).

Keys: the master key is there, 32 bytes, readable by its owner only; it opens the keyring's root key, whose MAC covers the whole file; every
key unwraps under its own name; the keyring is the newest one that its witness and the anchors know (an old one put back is told, and which
records need keys that it lacks); boxes open in their places.
Custody: entries are numbered and chained over all segments, sealed parameters are those that were written, and the entries that the
anchors know are there. The newest line is the one that `custody/head.json` names, under a MAC; killed in between, it lags by one line.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import json
import os
import re
import tomllib
from base64 import b64decode
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from pipeline.errors import UsageError, VerifyFailed
from pipeline.verify_anchors import Anchors, settled, settled_since
from pipeline.verify_report import CUSTODY, KEYS, Report, bytes_of

NONCE = 12
# Takes (wrapped key, its name), returns the key or raises: what a token or a key service does.
Unwrap = Callable[[bytes, str], bytes]
_NAME = re.compile(r"[^#]+#\d+\Z")
_KEYRING_FIELDS = ("version", "id", "serial", "roots", "keys", "destroyed", "lost", "backup", "mac")
_CUSTODY_FIELDS = ("n", "at", "actor", "role", "command", "phase", "purpose", "result", "run_id", "params_sha256", "params", "previous")


class Keys:
    """The keys that unwrap, by name. serial: of the key set."""

    def __init__(self, plain: dict[str, bytes], serial: int, destroyed: set[str], keyring: str) -> None:
        self.plain, self.serial, self.destroyed, self.id = plain, serial, destroyed, keyring

    def get(self, name: str) -> bytes:
        """Return a key; raises KeyError for one that is not there."""
        return self.plain[name]

    def open(self, box: bytes, context: str) -> bytes:
        """Return what a box holds; raises KeyError, InvalidTag or ValueError."""
        size = int.from_bytes(box[:2], "big")
        name, rest = box[2 : 2 + size].decode(), box[2 + size :]
        return AESGCM(self.get(name)).decrypt(rest[:NONCE], rest[NONCE:], context.encode())


def settings(home: Path) -> dict[str, Any]:
    """Return liuhen.toml; raises UsageError when it cannot be read."""
    try:
        return tomllib.loads((home / "liuhen.toml").read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError("CONFIG_INVALID", "liuhen.toml is missing or not readable", remedy="restore it from its backup") from error


def read(home: Path, report: Report, unwrap: Unwrap | None = None, *, anchors: Anchors | None = None) -> Keys | None:
    """Return the keys of a home; None when they cannot be opened at all. Adds findings of check 4.

    anchors: say how many leaves there are (without its keyring nothing can be read) and which came since an older keyring.

    unwrap: for master keys that are no file; raises UsageError MASTER_KEY_UNKNOWN where it is needed and not given."""
    path = home / "keys" / "keyring.json"
    everything = settled(max((a["next_leaf"] for a in anchors.lines), default=0)) if anchors else ""
    if not path.is_file():
        report.find(KEYS, "KEYRING_MISSING", everything)
        return None
    try:
        ring = json.loads(path.read_bytes())
        if tuple(ring) != _KEYRING_FIELDS or ring["version"] != 2 or not isinstance(ring["serial"], int) or not isinstance(ring["destroyed"], dict):
            raise ValueError
        wrapped = {str(n): b64decode(e["wrapped"], validate=True) for n, e in ring["keys"].items()}
        roots = [(str(r["master"]), b64decode(r["wrapped"], validate=True)) for r in ring["roots"]]
    except (ValueError, KeyError, TypeError, AttributeError):
        report.find(KEYS, "KEYRING_DAMAGED", everything)
        return None
    root = _root(home, str(ring["id"]), roots, unwrap, report, everything)
    if root is None:
        return None
    if not hmac.compare_digest(_mac(ring, root), str(ring["mac"])):
        report.find(KEYS, "KEYRING_DAMAGED", everything)
    plain = {}
    for name, box in wrapped.items():
        try:
            plain[name] = AESGCM(root).decrypt(box[:NONCE], box[NONCE:], name.encode())
            if len(plain[name]) != 32 or not _NAME.match(name):
                raise ValueError
        except (InvalidTag, ValueError):
            plain.pop(name, None)
            report.find(KEYS, "KEY_DAMAGED", key=name)
    report.counts["keys"] = len(plain)
    keys = Keys(plain, ring["serial"], set(ring["destroyed"]), str(ring["id"]))
    _witness(home, keys, ring["destroyed"], anchors, report)
    return keys


def _mac(ring: dict[str, Any], root: bytes) -> str:
    data = json.dumps({**ring, "mac": ""}, separators=(",", ":"), ensure_ascii=False).encode()
    return hmac.digest(hmac.digest(root, b"liuhen-keyring-mac", "sha256"), data, "sha256").hex()


def _root(home: Path, keyring: str, roots: list[tuple[str, bytes]], unwrap: Unwrap | None, report: Report, everything: str) -> bytes | None:
    """Return the root key; two wrappings of it stand in the file while a rotation is under way. everything: the records that cannot be read without."""
    if unwrap is None:
        found = _file_master(home, report, everything)
        if found is None:
            return None
        master, unwrap = found
        roots = [r for r in roots if r[0] == master]
    for _, wrapped in roots:
        try:
            root = unwrap(wrapped, f"keyring/{keyring}")
        except (InvalidTag, ValueError, VerifyFailed):
            continue
        if len(root) == 32:
            return root
    report.find(KEYS, "KEYRING_MASTER_MISMATCH", everything)
    return None


def _file_master(home: Path, report: Report, everything: str) -> tuple[str, Unwrap] | None:
    """Return id and means to unwrap of a master key in a file."""
    scheme, _, rest = str(settings(home).get("keys", {}).get("master", "file:keys/master.key")).partition(":")
    if scheme != "file" or not rest:
        raise UsageError("MASTER_KEY_UNKNOWN", f"keys.master is {scheme}:…, this call opens file:PATH only", remedy="give the means to unwrap")
    path = home / rest
    if not path.is_file():
        report.find(KEYS, "MASTER_KEY_MISSING", everything)
        return None
    mode = os.stat(path).st_mode & 0o777
    if mode & 0o077:
        report.find(KEYS, "MASTER_KEY_EXPOSED", everything, mode=f"{mode:04o}")
    try:
        key = b64decode(path.read_bytes().strip(), validate=True)
    except ValueError:
        key = b""
    if len(key) != 32:
        report.find(KEYS, "MASTER_KEY_MALFORMED", everything)
        return None
    aead = AESGCM(key)
    master = "file:" + hashlib.sha256(b"liuhen-master\0" + key).hexdigest()[:16]
    return master, lambda wrapped, name: aead.decrypt(wrapped[:NONCE], wrapped[NONCE:], name.encode())


def _witness(home: Path, keys: Keys, destroyed: dict[str, Any], anchors: Anchors | None, report: Report) -> None:
    """The witness lies elsewhere and is written after the keyring: it may lag by one change, and never knows more."""
    path = home / "custody" / "keyring.seen"
    try:
        seen = json.loads(path.read_bytes())
        serial, gone = int(seen["serial"]), dict(seen["destroyed"])
    except (OSError, ValueError, KeyError, TypeError):
        report.find(KEYS, "WITNESS_DAMAGED")
        return
    if seen.get("keyring") != keys.id:
        report.find(KEYS, "WITNESS_DAMAGED")
    elif serial > keys.serial or gone.keys() & keys.plain.keys():
        report.find(KEYS, "KEYRING_OLD", settled_since(anchors, keys.serial), serial=keys.serial, known=serial)
    elif serial < keys.serial - 1 or (serial == keys.serial and gone != destroyed):
        report.find(KEYS, "WITNESS_DAMAGED")
    elif serial < keys.serial:
        report.note(KEYS, "WITNESS_LAG", serial=keys.serial, known=serial)


def check_boxes(home: Path, corp_id: str, keys: Keys, report: Report) -> None:
    """Open the enterprise keys and the firm's own packs in their places."""
    boxes = [(home / "keys" / "enterprise" / f"{corp_id}.keys", f"enterprise/{corp_id}")]
    boxes += [(p, f"pack/{p.stem}") for p in sorted((home / "lexicon").glob("*.pack"))]
    boxes += [(home / "lexicon" / "approved.texts", "approved/texts")]
    boxes += [(p, f"alerts/{corp_id}/{p.stem}") for p in sorted((home / "alerts" / corp_id).glob("*.b*")) if p.suffix in (".box", ".batch")]
    for path, context in boxes:
        data = bytes_of(path) if path.is_file() else None
        if data is not None and not opens(keys, data, context):
            report.find(KEYS, "BOX_DAMAGED", file=f"{path.parent.name}/{path.name}")
        report.counts["boxes"] += data is not None


def opens(keys: Keys, box: bytes, context: str) -> bool:
    """Whether a box opens in this place."""
    try:
        keys.open(box, context)
    except (KeyError, InvalidTag, ValueError):
        return False
    return True


def check_age(keys: Keys, anchors: Anchors | None, needed: dict[str, str], report: Report) -> None:
    """Tell a keyring that was put back. needed: names of keys that are not there, with the records they open."""
    for name, concerned in sorted(needed.items()):
        report.find(KEYS, "KEY_MISSING", concerned, key=name)
    known = max((a["keyring_serial"] for a in anchors.lines), default=0) if anchors else 0
    if known > keys.serial:
        report.find(KEYS, "KEYRING_OLD", settled_since(anchors, keys.serial), serial=keys.serial, known=known)


# -- custody -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class CustodyFiles:
    """The custody log at one moment: its segments, oldest first, and what names its newest line (None: nothing does)."""

    segments: tuple[bytes, ...]
    head: bytes | None


def custody_bytes(home: Path) -> CustodyFiles:
    """Return the custody log as it is now, read while nobody writes to it."""
    folder = home / "custody"
    with ExitStack() as held:
        if (folder / "lock").is_file():
            fcntl.flock(held.enter_context(open(folder / "lock", "rb")), fcntl.LOCK_SH)
        head = folder / "head.json"
        segments = tuple(p.read_bytes() for p in sorted(folder.glob("[0-9]*.jsonl")))
        return CustodyFiles(segments, head.read_bytes() if head.is_file() else None)


def check_custody(files: CustodyFiles, keys: Keys | None, anchors: Anchors | None, report: Report) -> None:
    """Check number, chain, parameters, that what the anchors saw is there, and that the newest line is the newest that was written."""
    digests = _chain(files.segments, keys, report)
    if digests is None:
        return
    number = len(digests)
    report.counts["custody entries"] = number
    known = anchors.lines if anchors else []
    for anchor in known:
        if anchor["custody_n"] > number:
            report.find(CUSTODY, "CUSTODY_OLDER", n=number, known=max(a["custody_n"] for a in known))
            return
        if anchor["custody_n"] and digests[anchor["custody_n"] - 1] != anchor["custody_sha256"]:
            report.find(CUSTODY, "CUSTODY_REPLACED", n=anchor["custody_n"])
            return
    _newest(files.head, digests, keys, report)


def _chain(segments: tuple[bytes, ...], keys: Keys | None, report: Report) -> list[str] | None:
    """Return what the next line names of each line; None when a line cannot be read."""
    previous, digests = "0" * 64, list[str]()
    for at, segment in enumerate(segments):
        *lines, rest = segment.split(b"\n")
        for line in lines:
            entry = _custody_entry(line)
            if entry is None or entry["n"] != len(digests) + 1 or entry["previous"] != previous or not _sealed_params(entry, keys):
                report.find(CUSTODY, "CUSTODY_BROKEN", n=len(digests) + 1)
            if entry is None:
                return None
            previous = hashlib.sha256(_dump({**entry, "params": ""})).hexdigest()
            digests.append(previous)
        if rest and (at < len(segments) - 1 or _custody_entry(rest[: rest.rfind(b"}") + 1]) is not None):
            report.find(CUSTODY, "CUSTODY_BROKEN", n=len(digests) + 1)
        elif rest:
            report.note(CUSTODY, "CUSTODY_TORN", n=len(digests) + 1)
    return digests


def _newest(head: bytes | None, digests: list[str], keys: Keys | None, report: Report) -> None:
    number = len(digests)
    try:
        told = json.loads(head or b"")
        n, sha256, key, mac = int(told["n"]), str(told["sha256"]), str(told["key"]), str(told["mac"])
        data = b"liuhen-custody-head\0" + n.to_bytes(8, "big") + bytes.fromhex(sha256)
    except (ValueError, KeyError, TypeError, OverflowError):
        if number:
            report.find(CUSTODY, "CUSTODY_HEAD", n=number)
        return
    # Who has no keys cannot make a MAC; where they cannot be opened, the number and the digest still tell.
    if keys is not None and (key not in keys.plain or not hmac.compare_digest(hmac.digest(keys.plain[key], data, "sha256").hex(), mac)):
        report.find(CUSTODY, "CUSTODY_HEAD", n=number)
    elif n > number:
        report.find(CUSTODY, "CUSTODY_OLDER", n=number, known=n)
    elif n < 1 or digests[n - 1] != sha256:
        report.find(CUSTODY, "CUSTODY_REPLACED", n=n)
    elif n < number - 1:
        report.find(CUSTODY, "CUSTODY_HEAD", n=number)
    elif n < number:
        report.note(CUSTODY, "CUSTODY_LAG", n=number)


def _dump(entry: dict[str, Any]) -> bytes:
    return json.dumps(entry, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


def _custody_entry(line: bytes) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    if not isinstance(entry, dict) or tuple(entry) != _CUSTODY_FIELDS or not isinstance(entry["n"], int):
        return None
    return entry if all(isinstance(entry[f], str) for f in _CUSTODY_FIELDS[1:]) and _dump(entry) == line + b"\n" else None


def _sealed_params(entry: dict[str, Any], keys: Keys | None) -> bool:
    if not entry["params"]:
        return True
    try:
        box = b64decode(entry["params"], validate=True)
    except ValueError:
        return False
    if hashlib.sha256(box).hexdigest() != entry["params_sha256"]:
        return False
    size = int.from_bytes(box[:2], "big")
    # A custody key that was destroyed seals what was erased; one that is there must open it.
    return keys is None or box[2 : 2 + size].decode("utf-8", "replace") not in keys.plain or opens(keys, box, f"custody/{entry['n']}")
