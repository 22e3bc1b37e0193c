"""The rows that records leave in staged files: a value for each kind, named like the kind's columns; and how rows become columns.

Nearly every record is archived and leaves a row in messages and one in sealed: those two are written column by column, a page at once.

Before: records.py. After: stage.py, which decides which of them a record leaves.
Times are milliseconds since 1970 UTC, days are counted from 1970-01-01, as schema.table takes them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from pipeline.records import Gated, MediaRef, Message, PageRef, Part, Unopened

Place = tuple[str, str, str]
"""Kind, month (or day) and bucket of a file."""
Columns = dict[str, list[Any]]


class Archived(msgspec.Struct, frozen=True, gc=False):
    """What an archived record leaves: itself, what was worked out about it, and its texts with personal data masked (None: nothing was to be masked)."""

    gated: Gated
    conversation: str
    day: int
    nonce: bytes
    content_fp: bytes
    sealed_sha256: bytes | None
    subjects: Sequence[bytes]
    masked: Sequence[str] | None


class Gathering(msgspec.Struct, frozen=True, kw_only=True):
    """What the rows of one page share."""

    ref: PageRef
    ingested_ms: int
    register_version: int
    policy_version: str


def message_columns(at: Gathering, found: Sequence[Archived]) -> Columns:
    """Return the rows of archived records in `messages`, column by column."""
    ref, n = at.ref, len(found)
    messages, decisions, opened = [a.gated.message for a in found], [a.gated.decision for a in found], [a.gated.opened for a in found]
    return {
        "origin": [ref.origin] * n, "seq": [o.seq for o in opened], "msgid": [m.msgid for m in messages], "kind": [m.kind for m in messages],
        "action": [m.action for m in messages], "msgtype": [m.msgtype for m in messages], "sent_at": [m.sent_at_ms for m in messages],
        "time_flag": [m.time_flag for m in messages], "sender_id": [m.sender_id for m in messages], "sender_kind": [d.sender_kind for d in decisions],
        "recipient_ids": [m.recipient_ids for m in messages], "room_id": [m.room_id for m in messages],
        "conversation_id": [a.conversation for a in found], "direction": [d.direction for d in decisions],
        "employee_id": [d.employee_id for d in decisions], "customer_id": [d.customer_id for d in decisions],
        "text": [a.gated.message.text if a.masked is None else "\n".join(a.masked) for a in found],
        "parts": [a.gated.message.parts if a.masked is None else _masked_parts(a.gated.message, a.masked) for a in found],
        "quotes": [m.quotes for m in messages],
        "text_clear": [None if a.masked is None else a.gated.message.text for a in found],
        "parts_clear": [None if a.masked is None else a.gated.message.parts for a in found],
        "raw": [o.plaintext for o in opened], "recalls_msgid": [m.recalls_msgid for m in messages], "consent": [d.consent for d in decisions],
        "consent_source": [d.source for d in decisions], "consent_rule": [d.rule for d in decisions], "consent_event": [d.event_id for d in decisions],
        "lawful_basis": [d.lawful_basis for d in decisions], "key_version": [o.key_version for o in opened], "captured_at": [ref.captured_at_ms] * n,
        "ingested_at": [at.ingested_ms] * n, "dt": [a.day for a in found], "dt_basis": ["captured" if m.sent_at_ms is None else "sent" for m in messages],
        "register_version": [at.register_version] * n, "policy_version": [at.policy_version] * n, "subjects": [a.subjects for a in found],
        "nonce": [a.nonce for a in found], "content_fp": [a.content_fp for a in found], "sealed_sha256": [a.sealed_sha256 for a in found],
    }  # fmt: skip


def _masked_parts(message: Message, masked: Sequence[str]) -> tuple[Part, ...]:
    return tuple([Part(part.path, text) for part, text in zip(message.parts, masked, strict=True)])


def sealed_columns(ref: PageRef, found: Sequence[Archived]) -> Columns:
    """Return the rows of archived records in `sealed`, column by column."""
    n, opened = len(found), [a.gated.opened for a in found]
    nothing: list[Any] = [None] * n
    return {
        "origin": [ref.origin] * n, "seq": [o.seq for o in opened], "variant": [""] * n, "msgid": [a.gated.message.msgid for a in found],
        "key_version": [o.key_version for o in opened], "envelope": [o.sealed for o in opened], "key_block": [o.key_block or None for o in opened],
        "plaintext": nothing, "nonce": nothing, "captured_at": [ref.captured_at_ms] * n, "page": [ref.page] * n,
        "conversation_id": [a.conversation for a in found],
    }  # fmt: skip


class SealedRow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One row of `sealed`; plaintext and nonce only for control records."""

    origin: str
    seq: int | None
    variant: str
    msgid: str | None
    key_version: int | None
    envelope: bytes
    key_block: bytes | None
    plaintext: bytes | None
    nonce: bytes | None
    captured_at: int
    page: str
    conversation_id: str | None


class HeldRow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One row of `withheld_sealed` or `pending_sealed`."""

    origin: str
    seq: int
    msgid: str
    scope_ref: str | None
    key_version: int | None
    envelope: bytes
    captured_at: int
    page: str
    item: int


class MediaRow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One row of `media`, as it is before the file is fetched."""

    origin: str
    seq: int
    msgid: str
    ref_no: int
    kind: str
    path: str
    sdkfileid: str
    file_name: str | None
    declared_size: int | None
    declared_md5: str | None
    dt: int
    conversation_id: str
    recorded_at: int
    state_no: int = 0
    status: str = "pending"


class MatchRow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One row of `matches`."""

    finding_id: str
    origin: str
    seq: int
    msgid: str
    conversation_id: str
    dt: int
    sent_at: int | None
    sender_id: str | None
    employee_id: str | None
    customer_id: str | None
    direction: str
    rule_id: str
    category: str
    severity: str
    party: str
    term: str
    matched_text: str
    part: int
    start_cp: int
    end_cp: int
    spans: Sequence[dict[str, Any]]
    via: str
    suppressed_by: str | None
    lexicon_version: str
    matched_at: int


Row = SealedRow | HeldRow | MediaRow | MatchRow


def extend(columns: Columns, more: Columns) -> None:
    """Append columns of one kind to others."""
    for name, values in more.items():
        columns[name] += values


def spread(columns: Columns, rows: Sequence[msgspec.Struct]) -> None:
    """Append rows of one kind to its columns."""
    values: Iterable[tuple[Any, ...]] = zip(*map(msgspec.structs.astuple, rows), strict=True)
    for name, column in zip(rows[0].__struct_fields__, values, strict=True):
        columns[name] += column


def control(ref: PageRef, gated: Gated, conversation: str, *, nonce: bytes, plaintext: bytes) -> SealedRow:
    """Return the sealed and the opened bytes of a control record."""
    opened = gated.opened
    return SealedRow(
        origin=ref.origin, seq=opened.seq, variant="", msgid=gated.message.msgid, key_version=opened.key_version, envelope=opened.sealed,
        key_block=opened.key_block or None, plaintext=plaintext, nonce=nonce, captured_at=ref.captured_at_ms, page=ref.page, conversation_id=conversation,
    )  # fmt: skip


def unopened(ref: PageRef, found: Unopened, variant: str) -> SealedRow:
    """Return the sealed bytes of a record that failed."""
    failure = found.failure
    return SealedRow(
        origin=ref.origin, seq=failure.seq, variant=variant, msgid=failure.msgid, key_version=failure.key_version, envelope=found.sealed, key_block=None,
        plaintext=None, nonce=None, captured_at=ref.captured_at_ms, page=ref.page, conversation_id=None,
    )  # fmt: skip


def held(ref: PageRef, gated: Gated, scope_ref: str | None) -> HeldRow:
    """Return the sealed bytes of a withheld or pending record."""
    opened = gated.opened
    return HeldRow(
        origin=ref.origin, seq=opened.seq, msgid=gated.message.msgid, scope_ref=scope_ref, key_version=opened.key_version, envelope=opened.sealed,
        captured_at=ref.captured_at_ms, page=ref.page, item=opened.item,
    )  # fmt: skip


def media(ref: PageRef, seq: int, message: Message, file: MediaRef, *, day: int, conversation: str, recorded_ms: int) -> MediaRow:
    """Return the row of one file inside a message."""
    return MediaRow(
        origin=ref.origin, seq=seq, msgid=message.msgid, ref_no=file.ref_no, kind=file.kind, path=file.path, sdkfileid=file.sdkfileid,
        file_name=file.file_name, declared_size=file.declared_size, declared_md5=file.declared_md5, dt=day, conversation_id=conversation,
        recorded_at=recorded_ms,
    )  # fmt: skip
