"""The rows that one record leaves in staged files: a value for each kind, named like the kind's columns; and how rows become columns.

Before: records.py. After: stage.py, which decides which of them a record leaves.
Times are milliseconds since 1970 UTC, days are counted from 1970-01-01, as schema.table takes them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from pipeline.records import Gated, MediaRef, Message, PageRef, Unopened

Place = tuple[str, str, str]
"""Kind, month (or day) and bucket of a file."""
Columns = dict[str, list[Any]]
PartPair = tuple[str, str]


class MessageRow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One row of `messages`."""

    origin: str
    seq: int
    msgid: str
    kind: str
    action: str
    msgtype: str
    sent_at: int | None
    time_flag: str | None
    sender_id: str | None
    sender_kind: str
    recipient_ids: Sequence[str]
    room_id: str | None
    conversation_id: str
    direction: str
    employee_id: str | None
    customer_id: str | None
    text: str
    parts: Sequence[PartPair]
    quotes: Sequence[tuple[int, int, int]]
    text_clear: str | None
    parts_clear: Sequence[PartPair] | None
    raw: bytes
    recalls_msgid: str | None
    consent: str
    consent_source: str
    consent_rule: str
    consent_event: str | None
    lawful_basis: Sequence[str]
    key_version: int | None
    captured_at: int
    ingested_at: int
    dt: int
    dt_basis: str
    register_version: int
    policy_version: str
    subjects: Sequence[bytes]
    nonce: bytes
    content_fp: bytes
    sealed_sha256: bytes | None


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


Row = MessageRow | SealedRow | HeldRow | MediaRow | MatchRow


def spread(columns: Columns, rows: Sequence[msgspec.Struct]) -> None:
    """Append rows of one kind to its columns."""
    values: Iterable[tuple[Any, ...]] = zip(*map(msgspec.structs.astuple, rows), strict=True)
    for name, column in zip(rows[0].__struct_fields__, values, strict=True):
        columns[name] += column


def kept(ref: PageRef, gated: Gated, conversation: str, *, nonce: bytes | None = None, plaintext: bytes | None = None) -> SealedRow:
    """Return the sealed bytes of an opened record."""
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
