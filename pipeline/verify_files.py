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
from collections.abc import Iterable
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
    """Unwraps data keys; says by which names (docs/formats.md, section 6)."""

    def __init__(self, keys: Keys, used: set[str]) -> None:
        super().__init__()
        self._keys, self._used = keys, used
        self._known: dict[tuple[str, str], bytes] = {}

    def wrap_key(self, key_bytes: bytes, master_key_identifier: str) -> bytes:
        raise NotImplementedError("a verification writes nothing")  # pyarrow's class asks for both ways; this one must never be gone

    def unwrap_key(self, wrapped_key: str, master_key_identifier: str) -> bytes:
        asked = (wrapped_key, master_key_identifier)
        if asked not in self._known:
            self._used.add(master_key_identifier)
            box = b64decode(wrapped_key)
            key = self._keys.get(master_key_identifier)
            self._known[asked] = AESGCM(key).decrypt(box[:NONCE], box[NONCE:], master_key_identifier.encode())
        return self._known[asked]


class Sealed(Exception):
    """A file that does not decrypt; `missing` are the names of keys that are not there."""

    def __init__(self, missing: Iterable[str]) -> None:
        super().__init__("does not decrypt")
        self.missing = sorted(missing)


def decrypt(data: bytes, keys: Keys, columns: list[str] | None = None) -> tuple[pa.Table, set[str]]:
    """Return the rows of an encrypted file (only `columns` where given) and the names of the keys it is sealed under; raises Sealed."""
    used: set[str] = set()
    asked = set(keys.asked)
    keys.asked.clear()
    try:
        # A factory of its own for every file: none remembers another file's keys.
        factory = pe.CryptoFactory(lambda _: _Kms(keys, used))
        properties = factory.file_decryption_properties(pe.KmsConnectionConfig())
        table = pq.ParquetFile(pa.BufferReader(data), decryption_properties=properties).read(columns=columns, use_threads=False)
        table.validate(full=True)
        return table, used
    except Exception as error:  # damaged bytes come out of pyarrow as many kinds
        raise Sealed(keys.asked) from error
    finally:
        keys.asked |= asked


def check(root: Path, file: File, keys: Keys | None, report: Report, needed: dict[str, str]) -> pa.Table | None:
    """Return the rows of a file that is as it must be, None when it is not there or cannot be read. needed: takes keys that are missing."""
    concerned = f"{file.kind} {file.concerned}".strip()
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
    if keys is None or changed:
        return None
    try:
        table, used = decrypt(data, keys)
    except Sealed as sealed:
        if sealed.missing:
            needed.update((name, f"{needed[name]}; {concerned}" if name in needed else concerned) for name in sealed.missing)
        else:
            report.find(FILES, "FILE_UNREADABLE", concerned, **told)
        return None
    _check_content(file, table, used, concerned, report)
    return table


def _check_content(file: File, table: pa.Table, used: set[str], concerned: str, report: Report) -> None:
    if table.num_rows != file.rows:
        report.find(FILES, "FILE_ROWS", concerned, file=file.path, rows=file.rows, found=table.num_rows)
    if statistics(table) != file.stats:
        report.find(FILES, "FILE_STATISTICS", concerned, file=file.path)
    unit = _UNIT.get(file.kind)
    if unit is not None:
        expected = unit.format(corp=report.corp_id, month=file.month, bucket=file.bucket)
        if any(name.rsplit("#", 1)[0].removesuffix("!2") != expected for name in used):
            report.find(FILES, "FILE_KEY", concerned, file=file.path)
    if "dt" in table.column_names and _MONTH.match(file.month) and table.num_rows:
        # Days between two of a month are of that month: the first and the last say it for all.
        ends = (pc.min(table["dt"]), pc.max(table["dt"]))
        if {pc.strftime(day.cast(pa.timestamp("s")), "%Y-%m").as_py() for day in ends} - {None, file.month}:
            report.find(FILES, "FILE_MONTH", concerned, file=file.path)


def statistics(table: pa.Table) -> dict[str, tuple[int, int]]:
    """Return smallest and largest of the columns whose statistics the log states."""
    found = {}
    for name in STATISTICS:
        if name in table.column_names and table.num_rows > table[name].null_count:
            low_high = pc.min_max(table[name]).as_py()
            found[name] = (low_high["min"], low_high["max"])
    return found
