"""Verification, check 2, fetched files: each one that a row says was fetched is there, opens from its first frame to its last, and is that content.

Before: verify_log.py, verify_keys.py, verify_files.py (decrypts the rows). After: verify.py.
Form and names from docs/formats.md (section 6) alone: name = HMAC of the content's SHA-256 under the key of names; a file has a key of its own, sealed under
its month's key; every frame is bound to its number and to whether it is the last.

 (1) It is there under the name of the content that the newest state of its row states.
 (2) It is sealed under the key of its own corp and month, every frame opens in its place, the last one ends the file.
 (3) Its opened bytes have the SHA-256 and the size of the row.
 (4) Where every record that names it is out of view already (rows of `hidden`: a removal is at work, or was killed and will be finished), a file that is
     gone is noted, no finding: files go before rows.
Files that no row names (of restricted records, or of a run that was killed before it told) are opened too, and counted.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Iterator, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from pipeline.verify_files import Sealed, decrypt
from pipeline.verify_keys import NONCE, Keys
from pipeline.verify_log import Log
from pipeline.verify_report import FILES, Report, records

MAGIC = b"LHM1"
LARGEST_FRAME = 64 * 1024 * 1024
_COLUMNS = ["origin", "seq", "ref_no", "state_no", "sha256", "size", "dt"]


@dataclass
class _Stored:
    """One stored content: its size in bytes, and the records that name it."""

    size: int | None
    records: set[tuple[str, int | None]] = field(default_factory=set)


def check(
    home: Path, corp_id: str, log: Log, keys: Keys, report: Report, needed: dict[str, str], *, leaving: Set[tuple[str, int | None]] = frozenset(),
    progress: Callable[[int, int], None] | None = None,
) -> None:  # fmt: skip
    """Find what is wrong with the fetched files of a corp. needed: takes the names of keys that are missing, and what needs them; leaving: records that
    are out of view already."""
    expected = _expected(home / "lake" / corp_id, log, keys)
    names = keys.plain.get("names#0")
    by_path = {home / "media" / corp_id / month / f"{_name(names, corp_id, sha256)}.lhm": (sha256, at) for (month, sha256), at in expected.items()} if names else {}
    there = {p for p in (home / "media" / corp_id).rglob("*.lhm") if p.is_file()}
    for done, path in enumerate(sorted(by_path.keys() | there)):
        if progress:
            progress(done, len(by_path.keys() | there))
        sha256, at = by_path.get(path, ("", _Stored(None)))
        if at.records and at.records <= leaving and not path.exists():
            report.note(FILES, "MEDIA_LEAVING", records(at.records))
            continue
        _one(home, corp_id, path, sha256, at, keys, report, needed)


def _expected(root: Path, log: Log, keys: Keys) -> dict[tuple[str, str], _Stored]:
    """Return what the newest states say is stored, by (month, SHA-256). A file of rows that does not decrypt was told by check 2 already."""
    newest: dict[tuple[str, int, int], tuple[int, str | None, int | None, str]] = {}
    tables = [t for f in log.of("media") if (t := _rows(root / f.path, keys)) is not None]
    if not tables:
        return {}
    told = pa.concat_tables(tables)
    # Most files are only declared: rows of messages of which none was ever fetched are not looked at one by one.
    fetched = told["seq"].filter(pc.is_valid(told["sha256"])).unique()
    for row in told.filter(pc.is_in(told["seq"], value_set=fetched)).to_pylist():
        place = row["origin"], row["seq"], row["ref_no"]
        if place not in newest or newest[place][0] < row["state_no"]:
            newest[place] = row["state_no"], row["sha256"], row["size"], f"{row['dt']:%Y-%m}"
    found: dict[tuple[str, str], _Stored] = {}
    for (origin, seq, _), (_, sha256, size, month) in newest.items():
        if sha256:
            found.setdefault((month, sha256), _Stored(size)).records.add((origin, seq))
    return found


def _rows(path: Path, keys: Keys) -> pa.Table | None:
    try:
        return decrypt(path.read_bytes(), keys, columns=_COLUMNS)[0]
    except (Sealed, OSError):
        return None


def _name(names: bytes, corp_id: str, sha256: str) -> str:
    message = b"".join(len(part).to_bytes(4) + part for part in (corp_id.encode(), b"media", sha256.encode()))
    return hmac.digest(names, message, "sha256")[:16].hex()


def _one(home: Path, corp_id: str, path: Path, sha256: str, at: _Stored, keys: Keys, report: Report, needed: dict[str, str]) -> None:
    concerned, told = records(at.records), path.relative_to(home).as_posix()
    if not path.exists():
        report.find(FILES, "MEDIA_MISSING", concerned, file=told)
        return
    report.counts["fetched files" if sha256 else "fetched files that no row names"] += 1
    digest, size = hashlib.sha256(), 0
    try:
        with path.open("rb") as file:
            for data in _contents(file, f"{corp_id}/media/{path.parent.name}", keys):
                digest.update(data)
                size += len(data)
    except KeyError as missing:
        name = str(missing.args[0])
        needed[name] = f"{needed[name]}; {concerned}" if needed.get(name) else concerned
        return
    except (ValueError, InvalidTag):
        report.find(FILES, "MEDIA_DAMAGED", concerned, file=told)
        return
    report.counts["bytes of fetched files"] += size
    if sha256 and (digest.hexdigest() != sha256 or (at.size is not None and size != at.size)):
        report.find(FILES, "MEDIA_OTHER", concerned, file=told)


def _contents(file: BinaryIO, unit: str, keys: Keys) -> Iterator[bytes]:
    """Yield the opened slices; raises KeyError (a key that is not there), InvalidTag or ValueError for a file that is not whole."""
    cipher, number, last = AESGCM(_own_key(file, unit, keys)), 0, 0
    while not last:
        head = _exactly(file, 5)
        size, last = int.from_bytes(head[:4], "big"), head[4]
        if size > LARGEST_FRAME:
            raise ValueError("frame")
        box = _exactly(file, size)
        plain = cipher.decrypt(box[:NONCE], box[NONCE:], number.to_bytes(8, "big") + head[4:])
        yield plain[2 + int.from_bytes(plain[:2], "big") :]
        number += 1
    if file.read(1):
        raise ValueError("bytes after the last frame")


def _own_key(file: BinaryIO, unit: str, keys: Keys) -> bytes:
    head = _exactly(file, len(MAGIC) + 2)
    name = _exactly(file, int.from_bytes(head[len(MAGIC) :], "big"))
    if not head.startswith(MAGIC) or name.rpartition(b"#")[0] != unit.encode():
        raise ValueError("head")
    nonce, wrapped = _exactly(file, NONCE), _exactly(file, 48)
    return AESGCM(keys.get(name.decode())).decrypt(nonce, wrapped, name)


def _exactly(file: BinaryIO, size: int) -> bytes:
    data = file.read(size)
    if len(data) != size:
        raise ValueError("cut")
    return data
