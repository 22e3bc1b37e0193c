"""Verification, check 2: every file the log lists, from its bytes: size, digest, form, keys, rows, statistics.

Before: verify_log.py, verify_keys.py. After: verify_rows.py (what is in the files).

 (1) It is there, of the stated size, and its bytes are those its name states.
 (2) It begins and ends with PARE: encrypted, with an encrypted footer.
 (3) It is sealed under the keys of its own unit, and decrypts whole, every page of every column (AES-GCM).
 (4) It has as many rows as the log says, and the smallest and largest seq, leaf and last_seq that the log says.
 (5) Its rows belong to the month of its folder: a reader who asks for a month passes over the others.
"""

from __future__ import annotations

import hashlib
import re
from base64 import b64decode
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pyarrow.parquet.encryption as pe
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from pipeline.verify_keys import NONCE, Keys
from pipeline.verify_log import STATISTICS, File
from pipeline.verify_report import FILES, Report

# Arrow's own allocator hands memory back after each file and takes it anew, which costs the system more than the reading (docs/performance.md).
pa.set_memory_pool(pa.system_memory_pool())
MAGIC = b"PARE"
_MONTH = re.compile(r"\d{4}-\d{2}\Z")
_UNIT = {
    **dict.fromkeys(("messages", "sealed", "matches", "media"), "{corp}/m/{month}/{bucket}"),
    **dict.fromkeys(("pages", "records", "recalls", "consent", "people", "runs", "acks", "gaps"), "{corp}/base"),
    **dict.fromkeys(("rooms", "memberships", "departments", "follows", "handovers", "seats", "behaviour"), "{corp}/base"),
    **dict.fromkeys(("scans", "hidden", "reconciles", "holds", "consent_asks", "notices"), "{corp}/base"),
    "restricted": "{corp}/restricted/{month}",
    "withheld_sealed": "{corp}/withheld/{month}",
    "pending_sealed": "{corp}/pending/{month}",
}


class _Kms(pe.KmsClient):
    """Unwraps data keys; says by which names (docs/formats.md, section 6), and which of them were not there."""

    def __init__(self, keys: Keys, used: set[str], missing: set[str]) -> None:
        super().__init__()
        self._keys, self._used, self._missing = keys, used, missing
        self._known: dict[tuple[str, str], bytes] = {}

    def wrap_key(self, key_bytes: bytes, master_key_identifier: str) -> bytes:
        raise NotImplementedError("a verification writes nothing")  # pyarrow's class asks for both ways; this one must never be gone

    def unwrap_key(self, wrapped_key: str, master_key_identifier: str) -> bytes:
        asked = (wrapped_key, master_key_identifier)
        if asked not in self._known:
            self._used.add(master_key_identifier)
            box = b64decode(wrapped_key)
            if master_key_identifier not in self._keys.plain:
                self._missing.add(master_key_identifier)
            key = self._keys.get(master_key_identifier)
            self._known[asked] = AESGCM(key).decrypt(box[:NONCE], box[NONCE:], master_key_identifier.encode())
        return self._known[asked]


class Sealed(Exception):
    """A file that does not decrypt; `missing` are the names of keys that are not there."""

    def __init__(self, missing: Iterable[str]) -> None:
        super().__init__("does not decrypt")
        self.missing = sorted(missing)


def tables(data: bytes, keys: Keys, used: set[str], *, rows: int | None = None, columns: list[str] | None = None) -> Iterator[pa.Table]:
    """Yield the rows of an encrypted file, at most `rows` at a time (None: all at once), of all columns or of `columns`; raises Sealed.

    used: takes the names of the keys it is sealed under."""
    missing = set[str]()
    try:
        # A factory of its own for every file: none remembers another file's keys.
        factory = pe.CryptoFactory(lambda _: _Kms(keys, used, missing))
        properties = factory.file_decryption_properties(pe.KmsConnectionConfig())
        file = pq.ParquetFile(pa.BufferReader(data), decryption_properties=properties)
        whole = [file.read(columns=columns, use_threads=False)] if rows is None else None
        for table in whole or (pa.Table.from_batches([b]) for b in file.iter_batches(batch_size=rows, columns=columns, use_threads=False)):
            table.validate(full=True)
            yield table
    except Exception as error:  # damaged bytes come out of pyarrow as many kinds
        raise Sealed(missing) from error


def decrypt(data: bytes, keys: Keys, columns: list[str] | None = None) -> tuple[pa.Table, set[str]]:
    """Return the rows of an encrypted file (only `columns` where given) and the names of the keys it is sealed under; raises Sealed."""
    used = set[str]()
    (table,) = tables(data, keys, used, columns=columns)
    return table, used


def check(root: Path, file: File, keys: Keys | None, report: Report, needed: dict[str, str]) -> pa.Table | None:
    """Return the rows of a file that is as it must be, None when it is not there or cannot be read. needed: takes keys that are missing."""
    found: list[pa.Table] = []
    return found[0] if read(root, file, keys, report, needed, found.append) else None


def read(
    root: Path, file: File, keys: Keys | None, report: Report, needed: dict[str, str], take: Callable[[pa.Table], None], *, rows: int | None = None
) -> bool:
    """Hand the rows of a file to `take`, at most `rows` at a time (None: all at once). Return whether it could be read: what was taken of one
    that could not is to be forgotten. needed: takes keys that are missing, and which records need them."""
    concerned = f"{file.kind} {file.concerned}".strip()
    told: dict[str, str | int] = {"file": file.path, "rows": file.rows}
    data = _bytes(root, file, concerned, report)
    if data is None or keys is None:
        return False
    seen, used = _Seen(), set[str]()
    try:
        for table in tables(data, keys, used, rows=rows):
            seen.add(table)
            take(table)
    except Sealed as sealed:
        if sealed.missing:
            needed.update((name, f"{needed[name]}; {concerned}" if name in needed else concerned) for name in sealed.missing)
        else:
            report.find(FILES, "FILE_UNREADABLE", concerned, **told)
        return False
    _check_content(file, seen, used, concerned, report)
    return True


def _bytes(root: Path, file: File, concerned: str, report: Report) -> bytes | None:
    """Return the bytes of a file that are those its name states, and encrypted; None when they are not."""
    told: dict[str, str | int] = {"file": file.path, "rows": file.rows}
    try:
        data = (root / file.path).read_bytes()
    except FileNotFoundError:
        report.find(FILES, "FILE_MISSING", concerned, **told)
        return None
    report.counts["files"] += 1
    report.counts["bytes"] += len(data)
    changed = len(data) != file.size or hashlib.sha256(data).hexdigest() != file.sha256
    if changed:
        report.find(FILES, "FILE_CHANGED", concerned, **told)
    if data[:4] != MAGIC or data[-4:] != MAGIC:
        report.find(FILES, "FILE_PLAIN", concerned, **told)
        return None
    return None if changed else data


class _Seen:
    """What the tables of a file add up to: rows, smallest and largest of the columns whose statistics the log states, first and last day."""

    def __init__(self) -> None:
        self.rows = 0
        self.statistics: dict[str, tuple[int, int]] = {}
        self.days: set[int] = set()

    def add(self, table: pa.Table) -> None:
        """Take in some rows."""
        self.rows += table.num_rows
        for name, (low, high) in statistics(table).items():
            known = self.statistics.get(name, (low, high))
            self.statistics[name] = min(low, known[0]), max(high, known[1])
        if "dt" in table.column_names and table.num_rows:
            # Days between two of a month are of that month: the first and the last say it for all.
            self.days |= {day for day in pc.min_max(table["dt"].cast(pa.int32())).as_py().values() if day is not None}


def _check_content(file: File, seen: _Seen, used: set[str], concerned: str, report: Report) -> None:
    if seen.rows != file.rows:
        report.find(FILES, "FILE_ROWS", concerned, file=file.path, rows=file.rows, found=seen.rows)
    if seen.statistics != file.stats:
        report.find(FILES, "FILE_STATISTICS", concerned, file=file.path)
    unit = _UNIT.get(file.kind)
    if unit is not None:
        expected = unit.format(corp=report.corp_id, month=file.month, bucket=file.bucket)
        if any(name.rsplit("#", 1)[0].removesuffix("!2") != expected for name in used):
            report.find(FILES, "FILE_KEY", concerned, file=file.path)
    if _MONTH.match(file.month) and {pc.strftime(pa.scalar(day, pa.date32()).cast(pa.timestamp("s")), "%Y-%m").as_py() for day in seen.days} - {file.month}:
        report.find(FILES, "FILE_MONTH", concerned, file=file.path)


def statistics(table: pa.Table) -> dict[str, tuple[int, int]]:
    """Return smallest and largest of the columns whose statistics the log states."""
    found = {}
    for name in STATISTICS:
        if name in table.column_names and table.num_rows > table[name].null_count:
            low_high = pc.min_max(table[name]).as_py()
            found[name] = (low_high["min"], low_high["max"])
    return found
