"""Restricted records: opened inside a matter by two persons, each opening recorded; or proposed for removal.

Before: subject.py, consenting/moving.py (how they lie), approvals/. After: the command `restricted`.
Sources: interface.md, "Consent" 6; PIPL 47 (2).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec
import pyarrow.dataset as ds

from pipeline.approvals import store as approvals
from pipeline.consenting.candidates import Stored, stored_of
from pipeline.errors import UsageError
from pipeline.evidence import matter as matters
from pipeline.home import Home
from pipeline.removing import subject
from pipeline.removing.subject import owns

SHOWN = ("sent_at", "conversation_id", "sender_id", "msgtype", "text", "msgid", "origin", "seq")


def chosen(home: Home, corp_id: str, *, customer: str, msgids: Collection[str]) -> list[Stored]:
    """Return the restricted records that are named; raises UsageError RESTRICTED_NONE, RESTRICTED_WHICH."""
    if not customer and not msgids:
        raise UsageError("RESTRICTED_WHICH", "expected which restricted records", remedy="name them with --msgid, or a customer's with --customer")
    lake = home.lake(corp_id)
    found = subject.restricted(lake, lake.snapshot(), lambda s: s.msgid in msgids or (customer != "" and owns(customer, s)))
    if not found:
        raise UsageError("RESTRICTED_NONE", "nothing of this is restricted", remedy="`liuhen sql \"SELECT msgid, reason, since FROM restricted\"` lists what is")
    return found


def open_them(home: Home, corp_id: str, *, matter: str, customer: str, msgids: Collection[str], reason: str, approval: str) -> list[dict[str, Any]]:
    """Return restricted records with their words (masked), in order of time; needs an open matter and two persons.

    Raises UsageError MATTER_UNKNOWN, MATTER_CLOSED, RESTRICTED_NONE, NotAllowed APPROVAL_…"""
    matters.open_of(home, corp_id, matter)
    wanted = {(s.origin, s.seq) for s in chosen(home, corp_id, customer=customer, msgids=msgids)}
    params = {"matter": matter, "customer": customer, "msgids": sorted(msgids)}
    counts = {"records": len(wanted)}
    approvals.two_persons(home, corp_id, action="restricted open", params=params, counts=counts, reason=reason, approval=approval, always=True)
    return sorted(_rows(home, corp_id, wanted), key=lambda r: (r["sent_at"] is None, r["sent_at"] or 0, r["seq"]))


def _rows(home: Home, corp_id: str, wanted: Collection[tuple[str, int]]) -> list[dict[str, Any]]:
    lake = home.lake(corp_id)
    files = lake.snapshot().of("restricted")
    bodies = [msgspec.msgpack.decode(r["body"]) for r in lake.read("restricted", files, where=ds.field("row_kind") == "messages").to_pylist()]
    found = [b for b in bodies if (stored_of(b).origin, stored_of(b).seq) in wanted]
    return [{**{name: b[name] for name in SHOWN}, "sent_at": b["sent_at"] // 1000 if b["sent_at"] is not None else None} for b in found]
