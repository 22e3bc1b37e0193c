"""Verification, check 8 continued: time stamps beside checkpoints are over those very notes (RFC 3161, just enough of its DER).

Before: verify_tree.py. After: verify_report.py. Signatures and chains are checked in a bundle (`liuhen verify CASE.zip`, `verify.py`), with the
authority's roots; here a stamp that was exchanged, cut or put beside another note is named, and a request without an answer counted as waiting.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from pipeline.verify_report import EVIDENCE, Report

# OID contents in hex -> algorithm, RFC 5754.
_DIGESTS = {"608648016503040201": "sha256", "608648016503040202": "sha384", "608648016503040203": "sha512"}


def check(home: Path, corp_id: str, report: Report) -> None:
    """Compare every stamp of a corp with the note beside it."""
    for answer in sorted((home / "evidence" / corp_id).glob("checkpoints*/*.tsr")):
        note = answer.with_suffix(".note")
        if not note.is_file() or not over(answer.read_bytes(), note.read_bytes()):
            report.find(EVIDENCE, "EVIDENCE_STAMP", name=answer.name)
        report.counts["stamps"] += 1
    asked = (home / "evidence" / corp_id).glob("checkpoints*/*.tsq")
    report.counts["stamps that wait"] = sum(not p.with_suffix(".tsr").exists() for p in asked)


def over(answer: bytes, note: bytes) -> bool:
    """Whether a TimeStampResp holds a token whose message imprint is the digest of `note`."""
    try:
        token = _values(_values(answer)[0])[1]
        signed = _values(_values(_values(token)[1])[0])
        info = _values(_values(_values(_values(signed[2])[1])[0])[0])
        algorithm, digest = _values(info[2])
        name = _DIGESTS.get(_values(algorithm)[0].hex())
        return name is not None and hashlib.new(name, note).digest() == digest
    except (IndexError, ValueError):
        return False


def _values(data: bytes) -> list[bytes]:
    """Return the contents of the DER values one after another; raises ValueError, IndexError."""
    found = []
    while data:
        size, start = data[1], 2
        if size > 127:
            start += size - 128
            size = int.from_bytes(data[2:start], "big")
        if len(data) < start + size:
            raise ValueError("cut")
        found.append(data[start : start + size])
        data = data[start + size :]
    return found
