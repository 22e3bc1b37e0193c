"""Evidence beside the register: what people were told, and when, by digest.

Before: the officer's files. After: `consent` questions, exports. No text is kept: who has the document can prove that it is this one.
"""

from __future__ import annotations

import hashlib

from pipeline import clock, custody
from pipeline.commitrows import table
from pipeline.home import Home
from pipeline.room import append


def note(
    home: Home, corp_id: str, *, notice: str, document_digest: str | None, document_version: str | None, userid: str | None, external_userid: str | None,
    source_msgid: str | None, at_ms: int | None,
) -> str:
    """Store one piece of evidence durably and return its id; the same one twice has the same id."""
    named = "\0".join([notice, document_digest or "", document_version or "", userid or "", external_userid or "", source_msgid or "", str(at_ms)])
    row = {
        "notice_id": hashlib.sha256(named.encode()).hexdigest()[:16], "notice": notice, "userid": userid, "external_userid": external_userid,
        "source_msgid": source_msgid, "document_digest": document_digest, "document_version": document_version, "at": at_ms, "actor": custody.actor(),
        "recorded_at": clock.now_ms(),
    }  # fmt: skip
    append(home, corp_id, [("notices", table("notices", [row]))], what="consent notice")
    return str(row["notice_id"])
