"""The nouns: what a record is at each step, and the frozen page that carries its records from step to step.

Before: errors.py. After: every step, in this order:
PageRef → SealedPage (landing) → OpenedPage (envelope) → ParsedPage (message) → GatedPage (consent) → MatchedPage (matching) → staged files (stage).

Units: `_ms` are milliseconds since 1970 UTC; `_cp` are code points; sizes are bytes. Everything is immutable.
Only consent.py makes `Gated` values; a test holds it to that.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from pipeline.errors import Failure

Origin = Literal["sealed", "imported"]
PageSource = Literal["pull", "file", "plain", "reopen"]
Fate = Literal["archived", "pending", "withheld", "failed", "control", "duplicate", "restricted", "removed"]
PartyKind = Literal["employee", "external", "robot", "unknown"]
Direction = Literal["outbound", "inbound", "internal", "unknown"]
Consent = Literal["agree", "default_agree", "not_required", "unknown"]
Severity = Literal["low", "medium", "high"]
Via = Literal["literal", "folded", "variant", "pinyin", "split", "context"]


class PageRef(msgspec.Struct, frozen=True, kw_only=True):
    """One page, by reference: where its bytes lie and what they must be.

    page: sha256 (hex) of the landed bytes, the page's identity (keyed HMAC for opened imports); name: what to call it before the operator.
    Of a pulled page: answer_code: the errcode inside; library: sha256 of the library that pulled it; clock_offset_ms: source's clock minus ours.
    """

    corp_id: str
    page: str
    uri: str
    size: int
    source: PageSource
    name: str
    captured_at_ms: int
    first_seq: int | None = None
    last_seq: int | None = None
    requested_seq: int | None = None
    records: int = 0
    answer_code: int | None = None
    library: str | None = None
    clock_offset_ms: int | None = None

    @property
    def origin(self) -> Origin:
        """Which sequence space the page's records belong to."""
        return "imported" if self.source == "plain" else "sealed"


class SealedItem(msgspec.Struct, frozen=True):
    """One record as the source sealed it; `raw` is its JSON object byte for byte as it lay in the page."""

    item: int
    seq: int
    msgid: str
    key_version: int
    random_key: str
    chat_msg: str
    raw: bytes


class SealedPage(msgspec.Struct, frozen=True):
    """A page read from the landing: its whole records, and what of it could not be read."""

    ref: PageRef
    items: tuple[SealedItem, ...]
    failures: tuple[Failure, ...] = ()


class OpenedItem(msgspec.Struct, frozen=True):
    """One opened record: `plaintext` is the message JSON as received, `key_block` what the RSA block held (ASCII)."""

    item: int
    seq: int
    msgid: str
    key_version: int | None
    plaintext: bytes
    key_block: bytes
    sealed: bytes


class Unopened(msgspec.Struct, frozen=True):
    """A record that stays sealed, with the reason; `sealed` is what to keep of it (empty for the rest of a cut page)."""

    failure: Failure
    sealed: bytes = b""


class OpenedPage(msgspec.Struct, frozen=True):
    """A page after `envelope`."""

    ref: PageRef
    items: tuple[OpenedItem, ...]
    failed: tuple[Unopened, ...] = ()


class Part(msgspec.Struct, frozen=True):
    """One field a person could read: `path` as in the JSON (`text.content`, `chatrecord.item[2].content.title`)."""

    path: str
    text: str


class Quote(msgspec.Struct, frozen=True):
    """Words inside part number `part` that somebody else said (quote, forward): code points [start_cp, end_cp)."""

    part: int
    start_cp: int
    end_cp: int


class MediaRef(msgspec.Struct, frozen=True, kw_only=True):
    """One file anywhere inside a message. `kind` is the type that held it (image, voice, file, …); `ref_no` counts from 0 in the message."""

    ref_no: int
    kind: str
    path: str
    sdkfileid: str
    file_name: str | None = None
    declared_size: int | None = None
    declared_md5: str | None = None


class Control(msgspec.Struct, frozen=True, kw_only=True):
    """A record that is no message. who: who agreed, refused or switched; at_ms: agree_time, disagree_time or switch time.

    at_flagged: the type's own time was missing or impossible and msgtime stands in for it (rule 1)."""

    kind: Literal["agree", "disagree", "switch"]
    who: str
    at_ms: int | None
    at_flagged: bool = False


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """What message.py read out of one opened record.

    sent_at_ms is None when unknown or impossible (then time_flag says why). text is all parts joined by newlines.
    canonical: canonical JSON without any sdkfileid, for telling a repeat from a conflict.
    """

    msgid: str
    kind: Literal["message", "recall", "control"]
    action: str
    msgtype: str
    sender_id: str | None
    recipient_ids: tuple[str, ...]
    room_id: str | None
    sent_at_ms: int | None
    text: str
    parts: tuple[Part, ...]
    quotes: tuple[Quote, ...] = ()
    media: tuple[MediaRef, ...] = ()
    recalls_msgid: str | None = None
    control: Control | None = None
    time_flag: str | None = None
    canonical: bytes = b""


class ParsedItem(msgspec.Struct, frozen=True):
    """An opened record and what was read out of it."""

    opened: OpenedItem
    message: Message


class ParsedPage(msgspec.Struct, frozen=True):
    """A page after `message`."""

    ref: PageRef
    items: tuple[ParsedItem, ...]
    failed: tuple[Unopened, ...] = ()


class Decision(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the gate decided, and on what it rests.

    rule: the number in consent.py's list; basis: the event or policy used; scopes: clear scope keys that were judged
    (never written anywhere in clear); scope: the one that decided."""

    fate: Literal["archived", "pending", "withheld", "control"]
    consent: Consent
    source: str
    rule: str
    reason: str
    lawful_basis: tuple[str, ...]
    scopes: tuple[str, ...] = ()
    scope: str | None = None
    event_id: str | None = None
    sender_kind: PartyKind = "unknown"
    direction: Direction = "unknown"
    employee_id: str | None = None
    customer_id: str | None = None


class Gated(msgspec.Struct, frozen=True):
    """A record that went through the gate. Matching, storing, search and export take nothing else."""

    opened: OpenedItem
    message: Message
    decision: Decision


class GatedPage(msgspec.Struct, frozen=True):
    """A page after `consent`; register_version names the register it was judged by."""

    ref: PageRef
    items: tuple[Gated, ...]
    failed: tuple[Unopened, ...]
    register_version: int


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One place where a rule fired: code points [start_cp, end_cp) of part number `part`, in the original text."""

    rule_id: str
    category: str
    severity: Severity
    party: Literal["employee", "external", "robot", "quoted", "unknown"]
    term: str
    matched_text: str
    part: int
    start_cp: int
    end_cp: int
    via: Via
    suppressed_by: str | None = None


class Matched(msgspec.Struct, frozen=True):
    """A gated record and its findings (empty unless its fate is archived). begins: whether a rule over several messages could begin in it;
    beyond: how many findings there were beyond those that are kept."""

    gated: Gated
    findings: tuple[Finding, ...] = ()
    begins: bool = False
    beyond: int = 0


class MatchedPage(msgspec.Struct, frozen=True):
    """A page after `matching`, under the packs whose digest is lexicon_version."""

    ref: PageRef
    items: tuple[Matched, ...]
    failed: tuple[Unopened, ...]
    register_version: int
    lexicon_version: str
