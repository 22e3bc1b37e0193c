"""Verification, check 6: every settled record has the rows its fate asks for, once, and they are what its leaf committed to.

Before: verify_ledger.py, verify_leaf.py. After: verify.py.

 archived  one row in `messages` (nonce, content: the commitment is made again from it), one in `sealed` where sealed bytes are kept;
           keyed fingerprint of the msgid, content fingerprint and digest of the sealed bytes agree
 control   one row in `sealed`, with nonce and plaintext
 failed    commitment over the digest of its row in `sealed`, where bytes were kept
 pending, withheld  commitment over the decision; one row in `pending_sealed`, or, until its days are over, in `withheld_sealed`
 duplicate commitment over the decision, no content
A row without a record is planted; findings, files and recalls name messages that are there. Earlier fates are checked as far as their
bytes are still there; what is gone with its nonce is counted, not checked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from hashlib import sha256
from json.encoder import encode_basestring
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline import verify_leaf as leaf
from pipeline.verify_ledger import OUTRANKED, Ledger
from pipeline.verify_report import LEAVES, Report, records

Key = tuple[str, int | None]
Full = tuple[str, int | None, str]
# Fates whose sealed bytes lie in `sealed`.
_SEALED = ("archived", "control", "failed", "restricted")


class Content:
    """Takes the tables of the content kinds one after the other; `finish` says what is missing. Every table is looked at once.

    names: the key of keyed fingerprints, None when it is not there; broken: kinds with files that could not be read."""

    def __init__(self, ledger: Ledger, names: bytes | None, broken: set[str], report: Report) -> None:
        self.ledger, self.names, self.broken, self.report, self.corp_id = ledger, names, broken, report, report.corp_id
        self.archived = ledger.of("archived")
        self._media: dict[Key, list[dict[str, Any]]] = {}
        self._seen: dict[str, Counter[Any]] = {k: Counter() for k in ("messages", "sealed", "pending_sealed", "withheld_sealed")}
        self._sealed_sha256: dict[Key, bytes] = {}
        self._envelopes: dict[Full, bytes] = {}
        self._controls: dict[Key, tuple[bytes | None, bytes | None]] = {}
        self._recalls: set[tuple[str, Key]] = set()
        self._wrong: dict[tuple[str, str], list[Key]] = {}

    def _find(self, code: str, kind: str, key: Key) -> None:
        self._wrong.setdefault((code, kind), []).append(key)

    # -- kinds, in the order they must come ---------------------------------------------------------------------------

    def take_media(self, table: pa.Table) -> None:
        """Remember the files that messages declare."""
        rows = table.select(["origin", "seq", "ref_no", "state_no", "kind", "declared_md5", "declared_size"])
        for row in rows.filter(pc.equal(rows["state_no"], 0)).to_pylist():
            self._media.setdefault((row["origin"], row["seq"]), []).append(row)

    def take_messages(self, table: pa.Table) -> None:
        """Check messages against their records and leaves."""
        for origin in table["origin"].unique().to_pylist():
            rows = table.filter(pc.equal(table["origin"], origin))
            found, planted = self._of(self.archived, origin, rows["seq"])
            # Hidden already, not moved yet: in no view, and their rows are where they were.
            _, strangers = self._of(self.ledger.of("restricted"), origin, pa.chunked_array([pa.array(planted, pa.uint64())]))
            for seq in strangers:
                self._find("ROW_WITHOUT_RECORD", "messages", (origin, seq))
            self._messages(origin, rows, found)

    @staticmethod
    def _of(kept: pa.Table | None, origin: str, seqs: pa.ChunkedArray) -> tuple[pa.Table | None, list[int]]:
        """Return the records of these seqs, row by row (null where there is none), and the seqs without one."""
        if kept is None or not len(seqs):
            return None, seqs.to_pylist()
        low_high = pc.min_max(seqs)
        near = pc.and_(pc.greater_equal(kept["seq"], low_high["min"]), pc.less_equal(kept["seq"], low_high["max"]))
        own = kept.filter(pc.and_(pc.and_(near, pc.equal(kept["origin"], origin)), pc.equal(kept["variant"], "")))
        places = pc.index_in(seqs, value_set=own["seq"].combine_chunks())
        return own.take(places), seqs.filter(pc.is_null(places)).to_pylist()

    def _messages(self, origin: str, rows: pa.Table, found: pa.Table | None) -> None:
        self._seen["messages"].update((origin, s) for s in rows["seq"].to_pylist())
        self._recalls.update((m, (origin, s)) for m, s in zip(rows["recalls_msgid"].to_pylist(), rows["seq"].to_pylist(), strict=True) if m)
        if found is None:
            return
        corp, escaped = leaf.text_of(self.corp_id), encode_basestring
        stored = {n: found[n].to_pylist() for n in ("commitment", "page", "key_version", "msgid_fp", "content_fp")}
        columns = (
            "seq", "nonce", "text", "parts", "text_clear", "parts_clear", "sender_id", "recipient_ids", "room_id", "kind", "action", "msgtype",
            "raw", "sealed_sha256", "msgid", "key_version", "content_fp",
        )  # fmt: skip
        lists = [rows[c].to_pylist() for c in columns]
        times = [pc.divide(rows[c].cast(pa.int64()), 1000).to_pylist() for c in ("sent_at", "captured_at")]
        captured_of, key, media_of = self.ledger.captured, self.names, self._media
        for n, (seq, nonce, text, parts, clear, parts_clear, sender, recipients, room, kind, action, msgtype, raw, sealed, msgid, version, print_) in enumerate(
            zip(*lists, strict=True)
        ):
            wanted = stored["commitment"][n]
            if wanted is None:
                continue
            if sealed is not None:
                self._sealed_sha256[origin, seq] = sealed
            captured = captured_of.get(stored["page"][n])
            media = sorted(media_of.get((origin, seq), ()), key=lambda m: m["ref_no"])
            told = parts if parts_clear is None else parts_clear
            rest = (
                f'{{"action":{escaped(action)},"captured_at_ms":{leaf.number(captured)},"code":null,"corp_id":{corp},"fate":"archived",'
                f'"key_version":{leaf.number(stored["key_version"][n])},"kind":{escaped(kind)},"media":{leaf.media_of(media)},"msgid":{escaped(msgid)},'
                f'"msgtype":{escaped(msgtype)},"origin":{escaped(origin)},"raw_commitment":"{leaf.raw_commitment(nonce, raw.encode())}","reason":null,'
                f'"scope_ref":null,"sealed_sha256":{"null" if sealed is None else leaf.text_of(sealed.hex())},"sent_at_ms":{leaf.number(times[0][n])},'
                f'"seq":{leaf.number(seq)}}}'
            )
            made = leaf.commitment(
                nonce,
                f'{{"parts":{leaf.parts_of(told)},"text":{escaped(text if clear is None else clear)}}}',
                f'{{"recipient_ids":{leaf.texts(recipients)},"room_id":{leaf.text_of(room)},"sender_id":{leaf.text_of(sender)}}}',
                rest,
            )
            if made != wanted:
                self._find("COMMITMENT", "messages", (origin, seq))
            elif captured != times[1][n] or version != stored["key_version"][n] or print_ != stored["content_fp"][n] or (
                clear is not None and len(clear) != len(text)
            ) or (key is not None and stored["msgid_fp"][n] != self._fingerprint(key, msgid)):
                self._find("ROW_DIFFERS", "messages", (origin, seq))
            self.report.counts["commitments"] += 1

    def _fingerprint(self, key: bytes, msgid: str) -> bytes:
        return leaf.pseudonym(key, self.corp_id, "msgid", sha256(msgid.encode("utf-8", "surrogatepass")).hexdigest())

    def take_sealed(self, table: pa.Table) -> None:
        """Remember digests of sealed bytes; those of messages must be theirs."""
        columns = [table[c].to_pylist() for c in ("origin", "seq", "variant", "envelope", "nonce", "plaintext")]
        for origin, seq, variant, envelope, nonce, plaintext in zip(*columns, strict=True):
            digest = sha256(envelope).digest()
            self._seen["sealed"][origin, seq, variant] += 1
            self._envelopes[origin, seq, variant] = digest
            if nonce is not None:
                self._controls[origin, seq] = (nonce, plaintext)
            elif not variant and self._sealed_sha256.get((origin, seq), digest) != digest:
                self._find("ROW_DIFFERS", "sealed", (origin, seq))

    def take_held(self, kind: str, table: pa.Table) -> None:
        """Rows of `pending_sealed` or `withheld_sealed` against their records."""
        fate = kind.removesuffix("_sealed")
        for origin in table["origin"].unique().to_pylist():
            rows = table.filter(pc.equal(table["origin"], origin))
            found, planted = self._of(self.ledger.of(fate), origin, rows["seq"])
            for seq in planted:
                self._find("ROW_WITHOUT_RECORD", kind, (origin, seq))
            told = [rows[c].to_pylist() for c in ("seq", "envelope", "scope_ref", "msgid", "key_version", "page")]
            stored = [found[c].to_pylist() for c in ("scope_ref", "msgid", "key_version", "page")] if found is not None else [[], [], [], []]
            for seq, envelope, *fields, known in zip(*told, zip(*stored, strict=True) if found is not None else told[0], strict=True):
                self._seen[kind][origin, seq] += 1
                self._envelopes[origin, seq, ""] = sha256(envelope).digest()
                if found is not None and known[3] is not None and tuple(fields) != tuple(known):
                    self._find("ROW_DIFFERS", kind, (origin, seq))

    def take_matches(self, table: pa.Table) -> None:
        """Findings name messages that are there, under ids that are made from their places."""
        columns = ("finding_id", "origin", "seq", "msgid", "rule_id", "part", "start_cp", "end_cp", "spans")
        for finding, origin, seq, msgid, rule, part, start, end, spans in zip(*(table[c].to_pylist() for c in columns), strict=True):
            self.report.counts["findings"] += 1
            if not self._seen["messages"][origin, seq] and "messages" not in self.broken:
                self._find("ROW_WITHOUT_RECORD", "matches", (origin, seq))
            place = "\0".join((self.corp_id, rule, msgid, str(part), str(start), str(end)))
            if len(spans) == 1 and sha256(place.encode("utf-8", "surrogatepass")).hexdigest()[:32] != finding:
                self._find("ROW_DIFFERS", "matches", (origin, seq))

    def take_recalls(self, table: pa.Table) -> None:
        """Every archived recall is folded in."""
        for original, origin, seq in zip(*(table[c].to_pylist() for c in ("original_msgid", "origin", "seq")), strict=True):
            self._recalls.discard((original, (origin, seq)))

    # -- the end -------------------------------------------------------------------------------------------------------

    def finish(self, *, keep_sealed: bool, now_ms: int) -> None:
        """Check leaves without content, and that every record has its rows; add the findings, one a kind and code."""
        if self.ledger.current is not None and self.ledger.older is not None:
            self._decisions(self.ledger.current, current=True)
            self._decisions(self.ledger.older, current=False)
            self._complete(now_ms)
            self._sealed_of_archived(keep_sealed)
        if "messages" not in self.broken:
            for key in self._media:
                if not self._seen["messages"][key]:
                    self._find("ROW_WITHOUT_RECORD", "media", key)
        if "recalls" not in self.broken:
            for _, key in self._recalls:
                self._find("ROW_MISSING", "recalls", key)
        for kind, counted in self._seen.items():
            for counted_key, n in counted.items():
                if n > 1:
                    self._find("ROW_TWICE", kind, counted_key[:2])
        for (code, kind), keys in sorted(self._wrong.items()):
            self.report.find(LEAVES, code, records(keys), kind=kind, rows=len(keys))

    def _decisions(self, table: pa.Table, *, current: bool) -> None:
        columns = ("origin", "seq", "variant", "fate", "reason", "step", "code", "key_version", "scope_ref", "msgid", "commitment", "nonce", "page", "run_id")
        for row in _rows(table.filter(pc.not_equal(table["fate"], "archived")), columns):
            fate, key = row["fate"], (row["origin"], row["seq"])
            captured = self.ledger.captured.get(row["page"])
            base = {
                "corp_id": leaf.text_of(self.corp_id), "origin": leaf.text_of(row["origin"]), "seq": leaf.number(row["seq"]), "fate": leaf.text_of(fate),
                "msgid": leaf.text_of(row["msgid"]), "key_version": leaf.number(row["key_version"]), "captured_at_ms": leaf.number(captured),
            }  # fmt: skip
            if fate == "control":
                if current:
                    self._control(key, row, base, captured or 0)
            elif row["nonce"] is None:
                self.report.counts["leaves not checked"] += 1
            else:
                self._decision(key, row, base, current=current)
        if not current:
            self.report.counts["leaves not checked"] += table.filter(pc.equal(table["fate"], "archived")).num_rows

    def _decision(self, key: Key, row: dict[str, Any], base: dict[str, str], *, current: bool) -> None:
        digest = self._envelopes.get((*key, row["variant"])) if row["fate"] == "failed" else None
        # An earlier failure's bytes may be gone, or lie with a later fate: then nothing says what its leaf covered.
        if any(leaf.decision(row["nonce"], **base, **more) == row["commitment"] for more in _fields(row, digest)):
            self.report.counts["commitments"] += 1
        elif row["fate"] == "failed" and digest is None:
            if not current:
                self.report.counts["leaves not checked"] += 1
            elif "sealed" not in self.broken:
                self._find("ROW_MISSING", "sealed", key)
        else:
            self._find("COMMITMENT", "records", key)

    def _control(self, key: Key, row: dict[str, Any], base: dict[str, str], captured: int) -> None:
        nonce, plaintext = self._controls.get(key, (None, None))
        if nonce is None or plaintext is None:
            if "sealed" not in self.broken:
                self._find("ROW_MISSING", "sealed", key)
            return
        try:
            text, parties, fields = leaf.control_groups(plaintext, captured)
        except leaf.Exotic:
            self.report.counts["leaves not checked"] += 1
            return
        envelope = self._envelopes[(*key, "")].hex()
        sealed = "null" if row["key_version"] is None else leaf.text_of(envelope)
        made = leaf.decision(
            nonce, text=text, parties=parties, **base, **fields, sealed_sha256=sealed, raw_commitment=leaf.text_of(leaf.raw_commitment(nonce, plaintext))
        )
        self.report.counts["commitments"] += 1
        if made != row["commitment"]:
            self._find("COMMITMENT", "sealed", key)

    def _complete(self, now_ms: int) -> None:
        """Records whose row is not there, in kinds whose files could all be read."""
        for fate, kind in (("archived", "messages"), ("pending", "pending_sealed"), ("withheld", "withheld_sealed")):
            table = self.ledger.of(fate)
            if table is None or kind in self.broken:
                continue
            until = table["keep_until"].cast(pa.int64()).to_pylist()
            for origin, seq, keep in zip(table["origin"].to_pylist(), table["seq"].to_pylist(), until, strict=True):
                if not self._seen[kind][origin, seq] and (fate != "withheld" or keep is None or keep // 1000 > now_ms):
                    self._find("ROW_MISSING", kind, (origin, seq))
        if "sealed" not in self.broken and self.ledger.current is not None:
            known = {_full(r) for r in _rows(self.ledger.current, ("origin", "seq", "variant", "fate")) if r["fate"] in _SEALED}
            for full in self._seen["sealed"]:
                if full not in known:
                    self._find("ROW_WITHOUT_RECORD", "sealed", full[:2])

    def _sealed_of_archived(self, keep_sealed: bool) -> None:
        """Sealed bytes of messages: a page has all of them or, when they were not kept in its time, none."""
        if "sealed" in self.broken or self.archived is None:
            return
        of_page: dict[str, tuple[list[Key], list[Key]]] = {}
        kept = self.archived.filter(pc.is_valid(self.archived["key_version"]))
        for origin, seq, page in zip(*(kept[c].to_pylist() for c in ("origin", "seq", "page")), strict=True):
            have, lack = of_page.setdefault(page, ([], []))
            (have if self._seen["sealed"][origin, seq, ""] else lack).append((origin, seq))
        for have, lack in of_page.values():
            if lack and not have and not keep_sealed:
                self.report.note(LEAVES, "SEALED_NOT_KEPT", records(lack), rows=len(lack))
            else:
                for key in lack:
                    self._find("ROW_MISSING", "sealed", key)


def _rows(table: pa.Table, columns: Iterable[str]) -> Iterator[dict[str, Any]]:
    names = tuple(columns)
    for values in zip(*(table[c].to_pylist() for c in names), strict=True):
        yield dict(zip(names, values, strict=True))


def _full(row: dict[str, Any]) -> Full:
    return (row["origin"], row["seq"], row["variant"])


def _fields(row: dict[str, Any], digest: bytes | None) -> list[dict[str, str]]:
    """What a leaf without content may say beside its ids (docs/formats.md, section 9): one of these must give the commitment."""
    fate, reason = row["fate"], row["reason"]
    if fate in ("pending", "withheld", "restricted", "removed"):
        return [{"reason": leaf.text_of(reason), "scope_ref": leaf.text_of(row["scope_ref"])}]
    if fate == "failed":
        sealed = "null" if row["step"] == "commit" or digest is None else leaf.text_of(digest.hex())
        return [{"code": leaf.text_of(row["code"]), "sealed_sha256": sealed}]
    return [{"reason": leaf.text_of(reason)}] if reason == OUTRANKED else [{}]
