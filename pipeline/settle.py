"""Who was first: the fate of each candidate record, given what is settled already. Pure; no files, no log.

Before: stage.py (outlines). After: commit.py, which writes what is decided here.

Rules (interface.md, "Rules of meaning"), in order; candidates come sealed before imported, then by seq:
 (1) A record without a seq is settled by its place in its page.
 (2) A seq that was settled before with another msgid: failure SEQ_CONFLICT, kept beside the first.
 (3) A seq that was settled before: skipped; unless it had failed and now opens, or was tried with another key: settled again.
 (4) A msgid that was opened before under another seq: equal content is a duplicate, other content a failure MSGID_CONFLICT.
     A sealed record outranks an import: the import becomes the duplicate.
 (5) A recall follows its original: withheld or pending with it, else archived (also when the original is unknown).
 (6) When the breaker trips, what this batch would withhold waits for a decision instead.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from operator import lt
from typing import Any

import msgspec

from pipeline.records import PageRef
from pipeline.stage import Outline, item_variant

OPENED = frozenset({"archived", "pending", "withheld", "control", "restricted", "removed"})
Key = tuple[str, int | None, str]


class Prior(msgspec.Struct, frozen=True, kw_only=True):
    """A settled record: its newest row in `records`."""

    origin: str
    seq: int | None
    variant: str
    fate_no: int
    fate: str
    msgid_fp: bytes | None
    content_fp: bytes | None
    key_tried: str | None
    attempts: int
    first_seen_ms: int
    msgid: str | None = None
    code: str | None = None

    @property
    def key(self) -> Key:
        """Its identity."""
        return (self.origin, self.seq, self.variant)


class Candidate(msgspec.Struct, frozen=True):
    """A staged record that asks to be settled."""

    ref: PageRef
    outline: Outline

    @property
    def order(self) -> tuple[bool, bool, int, bool, str, int]:
        """Sealed before imported, then by seq, the one whose rows were staged before its twins; what has no seq comes last."""
        o = self.outline
        return (self.ref.origin == "imported", o.seq is None, o.seq or 0, o.twin, self.ref.page, o.item)


class Settled(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of a candidate. adopt: whether its staged rows become visible as they are.

    prior: the row it follows when it was settled before; duplicate_of: the record it repeats."""

    candidate: Candidate
    fate: str
    variant: str = ""
    adopt: bool = True
    reason: str | None = None
    code: str | None = None
    detail: str | None = None
    prior: Prior | None = None
    duplicate_of: Prior | None = None

    @property
    def key(self) -> Key:
        """Its identity."""
        return (self.candidate.ref.origin, self.candidate.outline.seq, self.variant)

    def as_prior(self) -> Prior:
        """Return it as the settled record later candidates meet."""
        o = self.candidate.outline
        return Prior(
            origin=self.candidate.ref.origin, seq=o.seq, variant=self.variant, fate_no=self.prior.fate_no + 1 if self.prior else 0, fate=self.fate,
            msgid_fp=o.msgid_fp, content_fp=o.content_fp, key_tried=o.key_tried, attempts=1, first_seen_ms=0, msgid=o.msgid, code=self.code,
        )  # fmt: skip


class Verdict(msgspec.Struct, frozen=True):
    """All fates of a batch in leaf order; superseded: imports that a sealed original of this batch outranks."""

    settled: tuple[Settled, ...]
    superseded: tuple[Prior, ...]


class _Court:
    """Gathers fates one candidate at a time."""

    def __init__(self, seqs: Mapping[Key, Prior], msgids: Mapping[bytes, Prior]) -> None:
        self._seqs: dict[Key, Prior | Settled] = dict(seqs)
        self._msgids: dict[bytes, Prior | Settled] = dict(msgids)
        self.settled: list[Settled] = []
        self.superseded: list[Prior] = []

    def take(self, result: Settled) -> None:
        self.settled.append(result)
        self._seqs[result.key] = result
        if result.fate in OPENED and (msgid_fp := result.candidate.outline.msgid_fp) is not None:
            self._msgids[msgid_fp] = result

    def _prior(self, key: Key) -> Prior | None:
        return _as_prior(self._seqs.get(key))

    def judge(self, candidate: Candidate) -> None:
        outline, origin = candidate.outline, candidate.ref.origin
        if outline.seq is None:  # (1)
            variant = item_variant(candidate.ref.page, outline.item)
            if (origin, None, variant) not in self._seqs:
                self.take(Settled(candidate=candidate, fate="failed", variant=variant, code=outline.code, detail=outline.detail))
            return
        prior = self._prior((origin, outline.seq, ""))
        if prior is None:
            self._by_msgid(candidate, None)
        elif outline.msgid_fp is not None and prior.msgid_fp is not None and prior.msgid_fp != outline.msgid_fp:  # (2)
            self._conflict(candidate, "SEQ_CONFLICT", "this seq was settled before with another msgid", outline.msgid_fp.hex())
        elif prior.fate == "failed" and (outline.fate != "failed" or outline.key_tried not in (None, prior.key_tried)):  # (3)
            self._by_msgid(candidate, prior)

    def _conflict(self, candidate: Candidate, code: str, detail: str, variant: str, prior: Prior | None = None) -> None:
        if variant and (candidate.ref.origin, candidate.outline.seq, variant) in self._seqs:
            return
        self.take(Settled(candidate=candidate, fate="failed", variant=variant, adopt=False, code=code, detail=detail, prior=prior))

    def _by_msgid(self, candidate: Candidate, prior: Prior | None) -> None:
        outline = candidate.outline
        if outline.fate == "failed":
            self.take(Settled(candidate=candidate, fate="failed", code=outline.code, detail=outline.detail, prior=prior))
            return
        owner = _as_prior(self._msgids.get(outline.msgid_fp or b""))
        if owner is not None and owner.key != (candidate.ref.origin, outline.seq, ""):  # (4)
            if owner.origin == "imported" and candidate.ref.origin == "sealed":
                self._supersede(owner)
            elif owner.content_fp == outline.content_fp:
                self.take(Settled(candidate=candidate, fate="duplicate", adopt=False, prior=prior, duplicate_of=owner))
                return
            else:
                if prior is None or prior.code != "MSGID_CONFLICT":  # told once
                    self._conflict(candidate, "MSGID_CONFLICT", "this msgid was settled before with other content", "", prior)
                return
        self.take(Settled(candidate=candidate, fate=outline.fate, reason=outline.reason, prior=prior))

    def _supersede(self, owner: Prior) -> None:
        if owner.fate in ("duplicate", "removed"):
            return
        in_batch = next((i for i, s in enumerate(self.settled) if s.key == owner.key), None)
        if in_batch is None:
            self.superseded.append(owner)
        else:
            self.settled[in_batch] = msgspec.structs.replace(self.settled[in_batch], fate="duplicate", adopt=False)


def _as_prior(found: Prior | Settled | None) -> Prior | None:
    """Return what later candidates meet; most records meet nothing, so it is made when it is asked for."""
    return found.as_prior() if isinstance(found, Settled) else found


def judge(candidates: Iterable[Candidate], *, seqs: Mapping[Key, Prior], msgids: Mapping[bytes, Prior], fingerprint: Callable[[str], bytes]) -> Verdict:
    """Return the fate of every candidate that is not settled yet.

    seqs and msgids: what is settled already, for all seqs and fingerprints the candidates name; fingerprint: of a clear msgid."""
    court, ordered = _Court(seqs, msgids), _ordered(list(candidates))
    for candidate, alone in zip(ordered, _alone(ordered, seqs, msgids), strict=True):
        if alone:
            court.settled.append(Settled(candidate=candidate, fate=candidate.outline.fate, reason=candidate.outline.reason))
        else:
            court.judge(candidate)
    if any(c.outline.kind == "recall" for c in ordered):
        fates = {fp: p.fate for fp, p in msgids.items()} | {s.candidate.outline.msgid_fp: s.fate for s in court.settled if s.fate in OPENED}
        court.settled = [_follow(s, fates, fingerprint) for s in court.settled]
    return Verdict(tuple(court.settled), tuple(court.superseded))


def _ordered(candidates: list[Candidate]) -> list[Candidate]:
    """Return the candidates in their order. Mostly they come in it: one after the other by seq, from one origin."""
    seqs = [c.outline.seq for c in candidates if c.outline.seq is not None]
    if len(seqs) == len(candidates) and all(map(lt, seqs, seqs[1:])) and len({ref.origin for ref in {id(c.ref): c.ref for c in candidates}.values()}) == 1:
        return candidates
    return sorted(candidates, key=lambda c: c.order)


def _alone(candidates: Sequence[Candidate], seqs: Mapping[Key, Prior], msgids: Mapping[bytes, Prior]) -> list[bool]:
    """Return, for each candidate, whether it was opened and nobody else, settled or in this batch, has its seq or its msgid: rules (2) to (4)
    find nothing to ask then, whatever the others are. Nearly all are."""
    keys = [(c.ref.origin, c.outline.seq, "") for c in candidates]
    prints = [c.outline.msgid_fp for c in candidates]
    taken_keys, taken_prints = _taken(keys, seqs), _taken(prints, msgids)
    return [
        c.outline.fate != "failed" and key not in taken_keys and msgid_fp not in taken_prints and msgid_fp is not None and key[1] is not None
        for c, key, msgid_fp in zip(candidates, keys, prints, strict=True)
    ]


def _taken(values: Sequence[Any], settled: Collection[Any]) -> set[Any]:
    """Return the values that come more than once, or are settled already."""
    distinct = set(values)
    repeated = {v for v, count in Counter(values).items() if count > 1} if len(distinct) < len(values) else set()
    return repeated | distinct.intersection(settled) if settled else repeated


def _follow(settled: Settled, fates: Mapping[bytes | None, str], fingerprint: Callable[[str], bytes]) -> Settled:  # (5)
    outline = settled.candidate.outline
    if outline.kind != "recall" or settled.fate not in ("archived", "withheld", "pending") or not outline.recalls_msgid:
        return settled
    # A recall brings nobody back into view: what was restricted or removed since counts as withheld (as in consent.recall_decision).
    followed = {"withheld": "withheld", "restricted": "withheld", "removed": "withheld", "pending": "pending"}
    fate = followed.get(fates.get(fingerprint(outline.recalls_msgid), ""), "archived")
    return settled if fate == settled.fate else msgspec.structs.replace(settled, fate=fate, adopt=False, reason=f"recall_of_{fate}")


def break_off(settled: Sequence[Settled]) -> tuple[Settled, ...]:
    """Return the batch with everything it would withhold made pending (6)."""
    return tuple(
        msgspec.structs.replace(s, fate="pending", adopt=False, reason="breaker") if s.fate == "withheld" else s
        for s in settled
    )
