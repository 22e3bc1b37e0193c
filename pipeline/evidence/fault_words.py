"""What does not hold in a bundle, in Chinese: both verifiers say most of it in the same English words.

Before: check.py. After: the command `verify`.
"""

from __future__ import annotations

from pipeline import sentences
from pipeline.evidence.bundled import verify


def in_chinese(said: str) -> str | None:
    """Return the Chinese of a fault: from the table that travels in every bundle, else from that of our own errors; None when neither has it."""
    told: str | None = verify.in_chinese(said)  # type: ignore[no-untyped-call]
    return told or sentences.in_chinese(said)
