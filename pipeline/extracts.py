"""Extracts: results with words of messages that leave as a file. Who, what for, how many rows, which bytes: in the custody log.

Before: custody.py, approvals/. After: cli/output.py and whoever else writes such a file.

Rules:
 (1) A result is an extract when one of its columns holds what people wrote. Of SQL of somebody's own every column of text may hold it,
     whatever it is called.
 (2) Where roles are configured an extract needs a purpose, and above `approvals.extract_rows` rows a second person, asked for exactly this.
 (3) The record is written when the file is there, with the SHA-256 of its bytes; the approval was used up before.
 (4) What the shell writes into a file (`> FILE`, `>> FILE`) is one too: of what went there. What goes through a pipe is a call with its number of
     rows: nobody here knows what the next program does with it. What was cut off there (a full disk, an interrupt) is recorded as such: those words left.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pipeline import durable
from pipeline.approvals import store
from pipeline.errors import UsageError
from pipeline.home import Home
from pipeline.roles import acting

# What the shell opened has no name here.
SHELL = "standard output"
# Columns of our own making that hold what people wrote, in clear or masked.
WORDS = frozenset({"text", "text_clear", "parts", "parts_clear", "raw", "excerpt", "matched_text", "file_name", "message", "before_text", "after_text", "own_words", "words"})


def is_extract(columns: Iterable[tuple[str, bool]], *, own_sql: bool) -> bool:
    """Whether a result holds words (rule 1). columns: (name, whether it holds text); own_sql: whether somebody else named them."""
    return any(textual if own_sql else name in WORDS for name, textual in columns)


def allow(home: Home, corp_id: str, *, command: str, params: Mapping[str, Any], rows: int, purpose: str, approval: str) -> None:
    """Return when the extract may be written; raises UsageError PURPOSE_NEEDED, NotAllowed APPROVAL_… (rule 2)."""
    if acting.current(home.path).mode != "roles":
        return
    if not purpose.strip():
        raise UsageError("PURPOSE_NEEDED", "a file with words of messages needs a purpose", remedy="say what for with --purpose")
    if rows > home.config.approvals.extract_rows:
        asked = {**params, "purpose": purpose}
        store.two_persons(home, corp_id, action=f"extract: {command}", params=asked, counts={"rows": rows}, reason=purpose, approval=approval)


def digest_of(file: Path) -> str:
    """Return the SHA-256 of a file that was written, in hex."""
    with durable.storage("reading what was written"), open(file, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def record(
    home: Home, corp_id: str, *, command: str, rows: int, file: str, digest: str, purpose: str, approval: str = "", cut_at: int | None = None
) -> None:  # fmt: skip
    """Record the file that was written. file: its name, or SHELL; digest: SHA-256 of its bytes in hex; cut_at: it was not written to its end: of
    `rows` rows these many bytes at most, of which the digest is."""
    told = {"corp": corp_id, "of": command, "rows": rows, "file": file, "sha256": digest, "approval": approval}
    told |= {} if cut_at is None else {"cut_at": cut_at}
    result = f"{rows} rows, sha256 {digest[:16]}" + ("" if cut_at is None else f", cut off behind {cut_at} bytes at most")
    home.custody.append(command="extract", phase="end", params=told, purpose=purpose, result=result)
