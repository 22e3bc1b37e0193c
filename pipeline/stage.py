"""Staging: a matched page becomes rows, the rows become encrypted files, and a manifest says what is there.

Before: matching.py, leaf.py. After: commit.py, the only thing that makes any of it visible.

What a page's records become, by fate:
 archived          a row in messages, one in sealed, its findings in matches, its files in media
 control           a row in sealed (with its opened bytes)
 pending, withheld the sealed bytes in pending_sealed or withheld_sealed, nothing else
 failed            the sealed bytes in sealed, bucket x
and, for every one of them, an outline row: what the committer needs to settle it. Outlines hold ids, so they lie encrypted.
The manifest holds no id of a person: page ids, versions, file names with size and digest.
"""

from __future__ import annotations

import hashlib
import secrets
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import msgspec
import zstandard

from pipeline import clock, durable, leaf, pii, pii_many, schema, stagerows
from pipeline.consent_events import events_from_control
from pipeline.deltalog import DataFile
from pipeline.home import Home
from pipeline.lake import HOT as HOT
from pipeline.lake import Lake
from pipeline.message import conversation_id
from pipeline.pseudonyms import Keyed, Pseudonyms
from pipeline.records import Finding, Gated, Matched, MatchedPage, PageRef, Unopened
from pipeline.register import Event
from pipeline.stagerows import Archived, Columns, Gathering, MatchRow, Place, Row

UNOPENED = "x"
OUTLINE_KEY_UNIT = "outline"
MANIFEST_SUFFIX = ".manifest"
FLUSH_ROWS = 20_000
FLUSH_BYTES = 64 * 1024 * 1024


class Outline(msgspec.Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """What the committer needs of one record; the columns of `records`, and what a second gating needs."""

    item: int
    seq: int | None
    fate: str
    reason: str | None = None
    rule: str | None = None
    step: str | None = None
    code: str | None = None
    detail: str | None = None
    key_version: int | None = None
    key_tried: str | None = None
    scope_ref: str | None = None
    event_ref: str | None = None
    msgid: str | None = None
    msgid_fp: bytes | None = None
    content_fp: bytes | None = None
    commitment: bytes = b""
    nonce: bytes | None = None
    dt: int | None = None
    month: str | None = None
    employee_id: str | None = None
    room_id: str | None = None
    sender_id: str | None = None
    recipient_ids: tuple[str, ...] = ()
    sent_at_ms: int | None = None
    kind: str = "message"
    recalls_msgid: str | None = None
    events: tuple[Event, ...] = ()
    consent: str | None = None
    consent_source: str | None = None
    consent_event: str | None = None
    # The record lies in this flush already, from another page: its rows, nonce and commitment are those of the first outline.
    twin: bool = False
    # Whether a rule over several messages could begin in it; None: not searched.
    begins: bool | None = None
    # How many findings there were beyond those that are kept.
    beyond: int = 0


class StagedPage(msgspec.Struct, frozen=True, kw_only=True):
    """One page in a manifest."""

    ref: PageRef
    register_version: int


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What one flush staged. outline: name, size and sha256 of the outline file beside the manifest.

    has_events: whether the outline holds consent events; one that holds none need not be opened ahead of its commit.
    rsa: what did the private operations (multibuffer.chosen); empty when there were none."""

    v: int = 1
    corp_id: str
    pages: tuple[StagedPage, ...]
    lexicon_version: str
    policy_version: str
    files: tuple[DataFile, ...]
    outline: tuple[str, int, str]
    has_events: bool = True
    rsa: str = ""


Rows = dict[Place, Columns]


_month_of_day = lru_cache(maxsize=256)(clock.month_of_day)


class Builder:
    """Turns matched pages into rows, outlines and, at `flush`, durable files. Not thread-safe; one per worker."""

    def __init__(
        self, home: Home, corp_id: str, *, lexicon_version: str, policy_version: str, key_fingerprints: Mapping[int, str],
        opened_by: Callable[[], str] = str,
    ) -> None:  # fmt: skip
        self.home = home
        self.corp_id = corp_id
        self.lake: Lake = home.lake(corp_id)
        self.names = Pseudonyms(home, corp_id)
        self.lexicon_version = lexicon_version
        self.policy_version = policy_version
        self.key_fingerprints = key_fingerprints
        self._opened_by = opened_by
        self._of_msgid, self._of_content = (Keyed(home.keyring, corp_id, what).fingerprint for what in ("msgid", "content"))
        self._keep = home.config.archive.keep_sealed
        self._policies = pii.compiled(home.config.pii.policy_patterns)
        self.clear()

    def clear(self) -> None:
        """Forget what was gathered."""
        self.rows: Rows = defaultdict(lambda: defaultdict(list))
        self._fresh: dict[Place, list[Row]] = defaultdict(list)  # of the page at hand
        self._archived: dict[str, list[Archived]] = defaultdict(list)  # of the page at hand, by month
        self.outlines: dict[str, list[Outline]] = {}
        self.pages: list[StagedPage] = []
        self.weight = 0
        self.count = 0
        # A record that comes twice in one flush lies in its files once; its second outline says so all the same.
        self._gathered: set[tuple[str, int | None, str | None, bool]] = set()

    @property
    def full(self) -> bool:
        """Whether it is time to flush."""
        return self.count >= FLUSH_ROWS or self.weight >= FLUSH_BYTES

    def add(self, page: MatchedPage) -> None:
        """Gather one page."""
        ingested = clock.now_ms()
        nonces = leaf.new_nonces(len(page.items) + len(page.failed))
        masked = self._masked(page.items)
        outlines = [self._gated(page, m, nonce, ingested, masked.get(n)) for n, (m, nonce) in enumerate(zip(page.items, nonces, strict=False))]
        outlines += [self._failed(page.ref, u, nonce) for u, nonce in zip(page.failed, nonces[len(page.items) :], strict=True)]
        self._spread(page, ingested)
        self.outlines[page.ref.page] = sorted(outlines, key=lambda o: (o.seq is None, o.seq or 0, o.item))
        self.pages.append(StagedPage(ref=page.ref, register_version=page.register_version))
        self.count += len(outlines)
        self.weight += page.ref.size

    def _spread(self, page: MatchedPage, ingested_ms: int) -> None:
        """Let the rows of the page at hand become columns."""
        at = Gathering(ref=page.ref, ingested_ms=ingested_ms, register_version=page.register_version, policy_version=self.policy_version)
        for month, found in self._archived.items():
            stagerows.extend(self.rows["messages", month, HOT], stagerows.message_columns(at, found))
            if self._keep and (sealed := found if page.ref.origin == "sealed" else [a for a in found if a.gated.opened.key_version is not None]):
                stagerows.extend(self.rows["sealed", month, HOT], stagerows.sealed_columns(page.ref, sealed))
        for place, rows in self._fresh.items():
            stagerows.spread(self.rows[place], rows)
        self._archived.clear()
        self._fresh.clear()

    # -- one record ---------------------------------------------------------------------------------------------

    def _gated(self, page: MatchedPage, matched: Matched, nonce: bytes, ingested_ms: int, masked: Sequence[str] | None) -> Outline:
        """Gather the rows of a record that came through the gate, by its fate; return its outline. The committer settles it."""
        gated = matched.gated
        message, opened, decision, ref = gated.message, gated.opened, gated.decision, page.ref
        fate = decision.fate
        day = clock.beijing_day(ref.captured_at_ms if message.sent_at_ms is None else message.sent_at_ms)
        month = _month_of_day(day)
        scope_ref = self.names.scope_ref(decision.scope)
        content_fp = self._of_content(message.canonical)
        has_content = fate in ("archived", "control")
        sealed_sha256 = None
        if has_content:
            commitment, sealed_sha256 = leaf.content_commitment(
                gated, corp_id=self.corp_id, origin=ref.origin, captured_at_ms=ref.captured_at_ms, nonce=nonce, fate=fate
            )
        else:
            fields = leaf.decision_fields(
                corp_id=self.corp_id, origin=ref.origin, seq=opened.seq, msgid=message.msgid, captured_at_ms=ref.captured_at_ms,
                key_version=opened.key_version, fate=fate, reason=decision.reason, scope_ref=scope_ref,
            )  # fmt: skip
            commitment = leaf.commitment(nonce, fields)
        twin = self._twin(ref.origin, opened.seq, message.msgid, failed=False)
        if twin:
            pass
        elif fate == "archived":
            self._archive(page, matched, masked, day, month, nonce, content_fp, sealed_sha256, ingested_ms)
        elif fate == "control":
            self._fresh["sealed", month, HOT].append(stagerows.control(ref, gated, conversation_id(message), nonce=nonce, plaintext=opened.plaintext))
        else:
            captured = clock.iso(ref.captured_at_ms + 8 * 3_600_000)[:10]
            self._fresh[f"{fate}_sealed", captured if fate == "withheld" else captured[:7], ANY_BUCKET].append(stagerows.held(ref, gated, scope_ref))
        control = message.control
        return Outline(
            item=opened.item, seq=opened.seq, fate=fate, reason=control.kind if control else decision.reason, rule=decision.rule,
            key_version=opened.key_version, scope_ref=scope_ref,
            event_ref=None if has_content else self.names.event_ref(decision.event_id), msgid=message.msgid, msgid_fp=self._of_msgid(message.msgid.encode()),
            content_fp=content_fp, commitment=commitment, nonce=None if has_content else nonce, dt=day, month=month,
            employee_id=decision.employee_id or (control.who if control and control.kind == "switch" else None), room_id=message.room_id,
            sender_id=message.sender_id, recipient_ids=message.recipient_ids, sent_at_ms=message.sent_at_ms, kind=message.kind,
            recalls_msgid=message.recalls_msgid,
            events=events_from_control(message, opened, recorded_at_ms=ref.captured_at_ms) if control else (),
            consent=decision.consent, consent_source=decision.source, consent_event=decision.event_id, twin=twin,
            begins=matched.begins if fate == "archived" else None, beyond=matched.beyond,
        )  # fmt: skip

    def _failed(self, ref: PageRef, unopened: Unopened, nonce: bytes) -> Outline:
        """Gather the sealed bytes of a record that could not be opened or read; return its outline."""
        failure = unopened.failure
        month = _month_of_day(clock.beijing_day(ref.captured_at_ms))
        fields = leaf.decision_fields(
            corp_id=self.corp_id, origin=ref.origin, seq=failure.seq, msgid=failure.msgid, captured_at_ms=ref.captured_at_ms,
            key_version=failure.key_version, fate="failed", reason=None, code=failure.code, sealed=unopened.sealed,
        )  # fmt: skip
        twin = failure.seq is not None and self._twin(ref.origin, failure.seq, failure.msgid, failed=True)
        if unopened.sealed and not twin:
            variant = "" if failure.seq is not None else item_variant(ref.page, failure.item)
            self._fresh["sealed", month, UNOPENED].append(stagerows.unopened(ref, unopened, variant))
        return Outline(
            item=failure.item, seq=failure.seq, fate="failed", step=failure.step, code=failure.code, detail=failure.detail, key_version=failure.key_version,
            key_tried=self.key_fingerprints.get(failure.key_version or 0), msgid=failure.msgid, month=month,
            msgid_fp=self._of_msgid(failure.msgid.encode()) if failure.msgid else None,
            commitment=leaf.commitment(nonce, fields), nonce=nonce, twin=twin,
        )  # fmt: skip

    def _twin(self, origin: str, seq: int | None, msgid: str | None, *, failed: bool) -> bool:
        key = (origin, seq, msgid, failed)
        if key in self._gathered:
            return True
        self._gathered.add(key)
        return False

    def fingerprint(self, what: Literal["msgid", "content"], data: bytes) -> bytes:
        """Return the keyed 16-byte fingerprint of a msgid or of canonical content."""
        return self._of_msgid(data) if what == "msgid" else self._of_content(data)

    # -- rows ---------------------------------------------------------------------------------------------------

    def _archive(
        self, page: MatchedPage, matched: Matched, masked: Sequence[str] | None, day: int, month: str, nonce: bytes, content_fp: bytes,
        sealed_sha256: bytes | None, ingested_ms: int,
    ) -> None:  # fmt: skip
        gated, message = matched.gated, matched.gated.message
        conversation = conversation_id(message)
        subjects = self.names.subjects((message.sender_id, *message.recipient_ids), gated.decision.scopes)
        self._archived[month].append(Archived(gated, conversation, day, nonce, content_fp, sealed_sha256, subjects, masked))
        if matched.findings:
            shown = [part.text for part in message.parts] if masked is None else masked
            rows = self._fresh["matches", month, HOT]
            rows += [self._finding(page, gated, finding, shown, conversation, day, ingested_ms) for finding in matched.findings]
        for file in message.media:
            row = stagerows.media(page.ref, gated.opened.seq, message, file, day=day, conversation=conversation, recorded_ms=ingested_ms)
            self._fresh["media", month, HOT].append(row)

    def _masked(self, items: Sequence[Matched]) -> dict[int, list[str]]:
        """Return, by their numbers, the texts of the archived records that hold personal data, with that masked. All texts of a page are looked over at once."""
        texts = [(n, part.text) for n, m in enumerate(items) if m.gated.decision.fate == "archived" for part in m.gated.message.parts]
        suspects = {texts[at][0] for at in pii_many.suspects([text for _, text in texts], policies=bool(self._policies))}
        return {n: masked for n in suspects if (masked := self._mask([part.text for part in items[n].gated.message.parts])) is not None}

    def _mask(self, texts: list[str]) -> list[str] | None:
        """Return the texts with personal data masked, None when there is nothing to mask."""
        places = [pii.find(text, self._policies) for text in texts]
        if not any(places):
            return None
        masked = [pii.mask(text, found) for text, found in zip(texts, places, strict=True)]
        return None if masked == texts else masked

    def _finding(
        self, page: MatchedPage, gated: Gated, finding: Finding, masked: Sequence[str], conversation: str, day: int, found_ms: int
    ) -> MatchRow:
        message, decision = gated.message, gated.decision
        return MatchRow(
            finding_id=finding_id(self.corp_id, message.msgid, finding), origin=page.ref.origin, seq=gated.opened.seq, msgid=message.msgid,
            conversation_id=conversation, dt=day, sent_at=message.sent_at_ms, sender_id=message.sender_id, employee_id=decision.employee_id,
            customer_id=decision.customer_id, direction=decision.direction, rule_id=finding.rule_id, category=finding.category,
            severity=finding.severity, party=finding.party, term=finding.term, matched_text=masked[finding.part][finding.start_cp : finding.end_cp],
            part=finding.part, start_cp=finding.start_cp, end_cp=finding.end_cp,
            spans=[{"msgid": message.msgid, "part": finding.part, "start_cp": finding.start_cp, "end_cp": finding.end_cp}], via=finding.via,
            suppressed_by=finding.suppressed_by, lexicon_version=page.lexicon_version, matched_at=found_ms,
        )  # fmt: skip

    # -- files --------------------------------------------------------------------------------------------------

    def tables(self) -> list[tuple[str, str, str, Any]]:
        """Return (kind, month, bucket, Arrow table) for everything gathered."""
        return [(kind, month, bucket, schema.table(kind, columns)) for (kind, month, bucket), columns in self.rows.items()]

    def write_files(self) -> tuple[DataFile, ...]:
        """Write everything gathered as durable, still invisible files."""
        return tuple(
            self.lake.write(table, kind, month=month, bucket=bucket, lexicon=self.lexicon_version if kind == "matches" else "-")
            for kind, month, bucket, table in self.tables()
        )

    def flush(self) -> Path | None:
        """Write files, outline and manifest durably and forget what was gathered; return the manifest's path."""
        if not self.pages:
            return None
        files = self.write_files()
        token = secrets.token_hex(8)
        folder = self.home.staging(self.corp_id)
        outline = folder / f"{token}.outline"
        box = self.home.keyring.seal(OUTLINE_KEY_UNIT, _pack(self.outlines), context=f"outline/{self.corp_id}/{token}".encode())
        durable.write_once(outline, box)
        manifest = Manifest(
            corp_id=self.corp_id, pages=tuple(self.pages), lexicon_version=self.lexicon_version, policy_version=self.policy_version, files=files,
            outline=(outline.name, len(box), hashlib.sha256(box).hexdigest()),
            has_events=any(o.events for rows in self.outlines.values() for o in rows), rsa=self._opened_by(),
        )  # fmt: skip
        first = min((p.ref.first_seq or 0 for p in self.pages), default=0)
        path = folder / f"{first:020d}-{token}{MANIFEST_SUFFIX}"
        durable.write_once(path, msgspec.json.encode(manifest))
        self.clear()
        return path


ANY_BUCKET = "-"


def item_variant(page: str, item: int) -> str:
    """Return the identity of a record without a usable seq: its place."""
    return f"{page[:32]}:{item}"


def finding_id(corp_id: str, msgid: str, finding: Finding) -> str:
    """Return the stable id of a finding: it depends on corp, rule and place only, so reviews survive rescans."""
    place = f"{corp_id}\0{finding.rule_id}\0{msgid}\0{finding.part}\0{finding.start_cp}\0{finding.end_cp}"
    return hashlib.sha256(place.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def read_outline(home: Home, manifest: Manifest) -> dict[str, list[Outline]]:
    """Return the outlines of a manifest by page."""
    name = manifest.outline[0]
    with durable.storage("reading staged records"):
        box = (home.staging(manifest.corp_id) / name).read_bytes()
    data = home.keyring.open(box, context=f"outline/{manifest.corp_id}/{name.removesuffix('.outline')}".encode())
    return msgspec.msgpack.decode(zstandard.decompress(data), type=dict[str, list[Outline]])


def _pack(outlines: dict[str, list[Outline]]) -> bytes:
    # It lives until its commit: written quickly rather than small.
    return zstandard.compress(msgspec.msgpack.encode(outlines), level=-5)
