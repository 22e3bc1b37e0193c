"""What each JSON file of a bundle that liuhen writes may say: these names, all of them, and values of these kinds, else it is refused.

Before: docs/formats.md, section 13. After: check_files.py. verify.py has the same list in its own words.

Rules: (1) a name that is not here would stand beside signed words and be bound by nothing but the manifest: refused; (2) `true` is no number, nor
is a number with a point; (3) which values are signed, and which the manifest alone binds, is told in formats.md: this list says nothing of it.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

_Number = int | None
_Text = str | None


class _Strict(msgspec.Struct, forbid_unknown_fields=True):
    pass


class _Part(_Strict):
    path: str
    text: str


class _Declared(_Strict):
    kind: str
    declared_md5: _Text
    declared_size: _Number


class _File(_Declared):
    file_name: _Text
    status: str
    sha256: _Text
    size: _Number


class _Line(_Strict):
    leaf: int
    origin: str
    seq: int
    msgid: str
    kind: str
    action: _Text
    msgtype: _Text
    sender_id: _Text
    recipient_ids: list[str]
    room_id: _Text
    text: _Text
    parts: list[_Part] | None
    key_version: _Number
    sent_at_ms: _Number
    sent_at_beijing: _Text
    sent_at_utc: _Text
    captured_at_ms: _Number
    conversation_id: str
    direction: _Text
    sender_kind: _Text
    sender_name: _Text
    sender_seen_as: _Text
    recalls_msgid: _Text
    original: _Text
    recalled_at_ms: _Number
    recalled_by: _Text
    consent: _Text
    consent_source: _Text
    consent_rule: _Text
    consent_event: _Text
    lawful_basis: list[str] | None
    marked: bool
    media: list[_File]


class _TextFields(_Strict):
    text: _Text
    parts: list[_Part] | None


class _PartiesFields(_Strict):
    sender_id: _Text
    recipient_ids: list[str] | None
    room_id: _Text


class _RestFields(_Strict):
    corp_id: str
    origin: str
    seq: _Number
    fate: str
    msgid: _Text
    kind: _Text
    action: _Text
    msgtype: _Text
    sent_at_ms: _Number
    captured_at_ms: _Number
    key_version: _Number
    raw_commitment: _Text
    sealed_sha256: _Text
    media: list[_Declared] | None
    reason: _Text
    scope_ref: _Text
    code: _Text


class _Closed(_Strict):
    digest: str


class _Opening(_Strict):
    salt: str


class _TextGroup(_Opening):
    fields: _TextFields


class _PartiesGroup(_Opening):
    fields: _PartiesFields


class _RestGroup(_Opening):
    fields: _RestFields


class _Proof(_Strict):
    """Groups are looked at for themselves: each is open or closed."""

    leaf: int
    commitment: str
    groups: dict[str, Any]
    size: int
    path: list[str]
    raw_salt: str | msgspec.UnsetType = msgspec.UNSET
    sm3_path: list[str] | msgspec.UnsetType = msgspec.UNSET


class _Held(_Strict):
    leaf: int
    origin: str
    seq: _Number
    msgid: _Text
    fate: str
    reason: _Text
    rule: _Text
    code: _Text
    dt: _Text
    proof: dict[str, Any] | None


class _Conversation(_Strict):
    conversation_id: str
    in_bundle: int
    archived: int
    before: _Number
    after: _Number
    first_day: _Text
    last_day: _Text


class _Gap(_Strict):
    after_seq: _Number
    before_seq: _Number
    from_at: _Number
    to_at: _Number
    cause: _Text
    detected_at: _Number
    acknowledged_by: str | msgspec.UnsetType | None = msgspec.UNSET
    estimate: str | msgspec.UnsetType | None = msgspec.UNSET


class _Whole(_Strict):
    failed: int
    pending: int
    withheld: int
    restricted: int
    fates: dict[str, int]
    gaps: list[_Gap]


class _Asked(_Strict):
    conversation: str | msgspec.UnsetType = msgspec.UNSET
    customer: str | msgspec.UnsetType = msgspec.UNSET
    employee: str | msgspec.UnsetType = msgspec.UNSET
    query: str | msgspec.UnsetType = msgspec.UNSET


class _Coverage(_Strict):
    asked: _Asked
    first_day: _Text
    last_day: _Text
    leaves: int
    first_leaf: _Number
    last_leaf: _Number
    records: int
    marked: int
    held: int
    conversations: list[_Conversation]
    recalled: int
    imported: int
    media: dict[str, int]
    whole_archive: _Whole


class _Event(_Strict):
    userid: _Text
    room_id: _Text
    external_userid: _Text
    status: _Text
    changed_at: _Number
    precision: _Text
    source: _Text
    source_msgid: _Text
    recorded_at: _Number


class _Notice(_Strict):
    notice: str
    userid: _Text
    external_userid: _Text
    source_msgid: _Text
    document_digest: _Text
    document_version: _Text
    at: _Number
    recorded_at: _Number
    notice_id: str | msgspec.UnsetType = msgspec.UNSET


class _Saw(_Strict):
    name: _Text
    seen_from: str | msgspec.UnsetType = msgspec.field(name="from", default=msgspec.UNSET)
    firm: str | msgspec.UnsetType | None = msgspec.UNSET


class _Inside(_Strict):
    name: str | msgspec.UnsetType | None = msgspec.UNSET
    department: str | msgspec.UnsetType | None = msgspec.UNSET
    remark: str | msgspec.UnsetType | None = msgspec.UNSET


class _Account(_Strict, tag_field="says"):
    id: str


class _Timed(_Account):
    valid_from: _Number
    valid_to: _Number
    source: _Text


class _Directory(_Timed, tag="directory"):
    kind: str
    name: _Text
    alias: _Text
    department: _Text
    short_name: _Text
    customer_saw: _Saw | None
    inside_firm: _Inside | None


class _Remark(_Timed, tag="remark"):
    by: str
    customer_saw: None
    inside_firm: _Inside | None


class _Identity(_Timed, tag="identity"):
    kind: str
    value: _Text
    confidence: _Text
    recorded_at: _Number


class _Nothing(_Account, tag="nothing"):
    pass


class _Masked(_Account, tag="masked"):
    pass


class _Pull(_Strict):
    page: _Text
    first_seq: _Number
    last_seq: _Number
    records: _Number
    captured_at: _Number
    digest: str
    requested_seq: _Number
    answer_code: _Number
    library: _Text
    clock_offset_ms: _Number


class _Consistency(_Strict):
    old: int
    new: int
    proof: list[str]
    sm3_proof: list[str] | msgspec.UnsetType = msgspec.UNSET


class _Epoch(_Strict):
    epoch: int
    path: list[str]


class _CustodyPath(_Strict):
    n: int
    size: int
    path: list[str]


class _Key(_Strict):
    version: int
    n: str
    e: int


class _Decryption(_Strict):
    leaf: int
    key_version: int
    block: str


class _Mask(_Strict):
    leaf: int
    group: str
    path: str
    of: str = msgspec.field(name="class")
    start_cp: _Number
    end_cp: _Number
    shown: str
    reason: str
    approver: str
    commitment: str


_GROUPS: dict[str, Any] = {"text": _TextGroup, "parties": _PartiesGroup, "rest": _RestGroup}
_SHAPES: dict[str, Any] = {
    "02-messages.jsonl": _Line, "proofs/#.json": _Proof, "completeness/coverage.json": _Coverage, "completeness/held.jsonl": _Held,
    "consent/events.jsonl": _Event, "consent/notices.jsonl": _Notice, "identity/accounts.jsonl": _Directory | _Remark | _Identity | _Nothing | _Masked,
    "source/pulls.jsonl": _Pull, "checkpoints/#.consistency.json": _Consistency, "checkpoints/epoch.json": _Epoch, "custody/proofs.jsonl": _CustodyPath,
    "decryption/key-#.json": _Key, "decryption/#.json": _Decryption, "redaction/log.jsonl": _Mask,
}  # fmt: skip
_DIGITS = re.compile(r"\d{6,}", re.ASCII)
_PLACE = re.compile(r" - at `\$\.?([^`]*)`\Z")
_NAME = re.compile(r"[^.\[\]]+")
_NAMES = {name for one in list(globals().values()) if isinstance(one, type) and issubclass(one, _Strict) for name in one.__struct_encode_fields__} | {"..."}
READ_BY_NOBODY = ("consent/events.jsonl", "consent/notices.jsonl", "source/pulls.jsonl")


def odd(name: str, value: Any) -> str | None:
    """Return where a value of a file of a bundle is not as we write it: a path of our names, "" for all of it; None when nothing is."""
    return _odd(value, _SHAPES[_DIGITS.sub("#", name)])


def _odd(value: Any, shape: Any) -> str | None:
    try:
        msgspec.convert(value, shape, strict=True)
    except msgspec.ValidationError as error:
        found = _PLACE.search(str(error))
        return found[1] if found and _NAMES.issuperset(_NAME.findall(found[1])) else ""  # a name or word of a stranger may look like a place
    proof = value.get("proof") if shape is _Held else value if shape is _Proof else None
    if shape is _Held and proof is not None:
        return _within("proof", _odd(proof, _Proof))
    return _groups(proof["groups"]) if proof is not None else None


def _groups(groups: dict[str, Any]) -> str | None:
    for name, group in groups.items():
        if name not in _GROUPS:
            return "groups"
        shape = _Closed if isinstance(group, dict) and "digest" in group else _GROUPS[name]
        if (place := _odd(group, shape)) is not None:
            return _within(f"groups.{name}", place)
    return None


def _within(outer: str, inner: str | None) -> str | None:
    return None if inner is None else f"{outer}.{inner}" if inner else outer
