"""Verification, check 6: every settled record has the rows its fate asks for, once, and they are what its leaf committed to.

Before: verify_ledger.py, verify_leaf.py, verify_parts.py (messages and sealed bytes, a file at a time). After: verify.py.

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
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import verify_columns as columns
from pipeline import verify_leaf as leaf
from pipeline.verify_ledger import OUTRANKED, Ledger
from pipeline.verify_parts import DIGEST, Declared, Full, Index, Key, Part, Reading, by_origin, seqs_of
from pipeline.verify_report import LEAVES, Report, records

# Fates whose sealed bytes lie in `sealed`.
_SEALED = ("archived", "control", "failed", "restricted")


class Seen:
    """The rows of a kind that were there: seqs and digests by origin, sorted when all of them are known."""

    def __init__(self) -> None:
        self._parts: list[Part] = []
        self._sorted: dict[str, tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]] | None = None

    def add(self, part: Part) -> None:
        """Add what a file held."""
        self._parts.append(part)
        self._sorted = None

    def all(self) -> dict[str, tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]]:
        """Return (seqs ascending, their digests) by origin."""
        if self._sorted is None:
            found: dict[str, tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]] = {}
            for origin in sorted({o for p in self._parts for o in p.seqs}):
                seqs = np.concatenate([p.seqs[origin] for p in self._parts if origin in p.seqs])
                digests = np.concatenate([p.digests[origin] for p in self._parts if origin in p.seqs])
                order = np.argsort(seqs, kind="stable")
                found[origin] = seqs[order], digests[order]
            self._sorted = found
        return self._sorted

    def has(self, origin: str, seqs: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Return whether each of these seqs was there."""
        known = self.all().get(origin, (np.zeros(0, np.uint64), np.zeros(0, DIGEST)))[0]
        if not len(known):
            return np.zeros(len(seqs), bool)
        there: np.ndarray[Any, Any] = known[np.minimum(np.searchsorted(known, seqs), len(known) - 1)] == seqs
        return there

    def digest(self, origin: str, seq: int) -> bytes | None:
        """Return the digest that was there for a seq, of several the last."""
        seqs, digests = self.all().get(origin, (np.zeros(0, np.uint64), np.zeros(0, DIGEST)))
        at = int(np.searchsorted(seqs, np.uint64(seq), "right")) - 1
        return digests[at].tobytes() if at >= 0 and seqs[at] == seq else None

    def twice(self) -> list[Key]:
        """Return the keys of rows that were there more than once."""
        return [(o, s) for o, (seqs, _) in self.all().items() for s in np.unique(seqs[1:][seqs[1:] == seqs[:-1]]).tolist()]


class Content:
    """Takes what the content kinds hold; `finish` says what is missing. Every row is looked at once.

    names: the key of keyed fingerprints, None when it is not there; broken: kinds with files that could not be read."""

    def __init__(self, ledger: Ledger, names: bytes | None, broken: set[str], report: Report) -> None:
        self.ledger, self.names, self.broken, self.report, self.corp_id = ledger, names, broken, report, report.corp_id
        self._media: list[pa.Table] = []
        self._declared: dict[str, Declared] = {}
        self._messages, self._sealed = Seen(), Seen()
        self._seen: dict[str, Counter[Any]] = {k: Counter() for k in ("sealed", "pending_sealed", "withheld_sealed")}
        self._envelopes: dict[Full, bytes] = {}
        self._controls: dict[Key, tuple[bytes | None, bytes | None]] = {}
        self._recalls: set[tuple[str, Key]] = set()
        self._folded: set[tuple[str, Key]] = set()
        self._matched: list[tuple[str, np.ndarray[Any, Any]]] = []
        self._wrong: dict[tuple[str, str], list[Key]] = {}
        self._held: dict[str, Index] = {}
        self.leaving: set[Key] = set()

    def take_hidden(self, table: pa.Table) -> None:
        """Records that are out of view already: their rows are on their way out."""
        self.leaving |= set(zip(table["origin"].to_pylist(), table["seq"].to_pylist(), strict=True))

    def _find(self, code: str, kind: str, key: Key) -> None:
        self._wrong.setdefault((code, kind), []).append(key)

    # -- kinds: media before messages and sealed bytes, the others in any order ---------------------------------------------------------------------------

    def take_media(self, table: pa.Table) -> None:
        """Remember the files that messages declare."""
        self._media.append(table.select(["origin", "seq", "ref_no", "kind", "declared_md5", "declared_size"]).filter(pc.equal(table["state_no"], 0)))

    def reading(self) -> Reading:
        """Return what reads tables of messages and sealed bytes, once media are known."""
        self._declared = {o: columns.files(rows) for o, rows in by_origin(pa.concat_tables(self._media))} if self._media else {}
        return Reading(self.ledger, self.names, self._declared, self.corp_id)

    def take(self, kind: str, part: Part) -> None:
        """Add what a file of `messages` or `sealed` held."""
        (self._messages if kind == "messages" else self._sealed).add(part)
        for code, keys in part.wrong.items():
            self._wrong.setdefault((code, kind), []).extend(keys)
        self._recalls.update(part.recalls)
        self.report.counts["commitments"] += part.commitments
        for full, digest, nonce, plaintext in part.others:
            self._envelopes[full] = digest
            if full[2] or full[1] is None:
                self._seen["sealed"][full] += 1
            if nonce is not None:
                self._controls[full[:2]] = (nonce, plaintext)

    def take_held(self, kind: str, table: pa.Table) -> None:
        """Rows of `pending_sealed` or `withheld_sealed` against their records."""
        index = self._held.setdefault(kind, self._held.get(kind) or Index(self.ledger.current, kind.removesuffix("_sealed")))
        for origin in table["origin"].unique().to_pylist():
            rows = table.filter(pc.equal(table["origin"], origin))
            found, there = index.rows(origin, seqs_of(rows))
            for seq in seqs_of(rows)[~there].tolist():
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
        names = ("finding_id", "seq", "msgid", "rule_id", "part", "start_cp", "end_cp")
        for origin, rows in by_origin(table):
            self._matched.append((origin, seqs_of(rows)))
            self.report.counts["findings"] += rows.num_rows
            told = (*(rows[c].to_pylist() for c in names), pc.list_value_length(rows["spans"]).to_pylist())
            for finding, seq, msgid, rule, part, start, end, spans in zip(*told, strict=True):
                place = "\0".join((self.corp_id, rule, msgid, str(part), str(start), str(end)))
                if spans == 1 and sha256(place.encode("utf-8", "surrogatepass")).hexdigest()[:32] != finding:
                    self._find("ROW_DIFFERS", "matches", (origin, seq))

    def take_recalls(self, table: pa.Table) -> None:
        """Every archived recall is folded in."""
        for original, origin, seq in zip(*(table[c].to_pylist() for c in ("original_msgid", "origin", "seq")), strict=True):
            self._folded.add((original, (origin, seq)))

    # -- the end -------------------------------------------------------------------------------------------------------

    def finish(self, *, keep_sealed: bool, now_ms: int) -> None:
        """Check leaves without content, and that every record has its rows; add the findings, one a kind and code."""
        if self.ledger.current is not None and self.ledger.older is not None:
            self._decisions(self.ledger.current, current=True)
            self._decisions(self.ledger.older, current=False)
            self._complete(now_ms)
            self._sealed_of_archived(keep_sealed)
        if "messages" not in self.broken:
            for origin, (seqs, _) in self._declared.items():
                for seq in seqs[~self._messages.has(origin, seqs)].tolist():
                    self._find("ROW_WITHOUT_RECORD", "media", (origin, seq))
            for origin, seqs in self._matched:
                for seq in seqs[~self._messages.has(origin, seqs)].tolist():
                    self._find("ROW_WITHOUT_RECORD", "matches", (origin, seq))
        if "recalls" not in self.broken:
            for _, key in self._recalls - self._folded:
                self._find("ROW_MISSING", "recalls", key)
        for kind, seen in (("messages", self._messages), ("sealed", self._sealed)):
            for key in seen.twice():
                self._find("ROW_TWICE", kind, key)
        for kind, counted in self._seen.items():
            for counted_key, n in counted.items():
                if n > 1:
                    self._find("ROW_TWICE", kind, counted_key[:2])
        for (code, kind), keys in sorted(self._wrong.items()):
            leaving = [k for k in keys if k in self.leaving] if code == "ROW_WITHOUT_RECORD" else []
            if leaving:
                self.report.note(LEAVES, "ROW_LEAVING", records(leaving), kind=kind, rows=len(leaving))
            if wrong := [k for k in keys if k not in leaving]:
                self.report.find(LEAVES, code, records(wrong), kind=kind, rows=len(wrong))

    def _decisions(self, table: pa.Table, *, current: bool) -> None:
        columns = ["origin", "seq", "variant", "fate", "reason", "step", "code", "key_version", "scope_ref", "msgid", "commitment", "nonce", "page", "run_id"]
        for row in _rows(table.select(columns).filter(pc.not_equal(table["fate"], "archived")), columns):
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
            self.report.counts["leaves not checked"] += pc.sum(pc.equal(table["fate"], "archived")).as_py() or 0

    def _decision(self, key: Key, row: dict[str, Any], base: dict[str, str], *, current: bool) -> None:
        digest = self._sealed_digest((*key, row["variant"])) if row["fate"] == "failed" else None
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

    def _sealed_digest(self, full: Full) -> bytes | None:
        """Return the digest of a record's sealed bytes, None where they were not there."""
        origin, seq, variant = full
        return self._envelopes.get(full) or (self._sealed.digest(origin, seq) if seq is not None and not variant else None)

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
        for origin, rows in self._archived():
            if "messages" not in self.broken:
                for seq in _lacking(self._messages, origin, rows)["seq"].to_pylist():
                    self._find("ROW_MISSING", "messages", (origin, seq))
        for fate, kind in (("pending", "pending_sealed"), ("withheld", "withheld_sealed")):
            table = self.ledger.of(fate, ("origin", "seq", "keep_until"))
            if table is None or kind in self.broken:
                continue
            until = table["keep_until"].cast(pa.int64()).to_pylist()
            for origin, seq, keep in zip(table["origin"].to_pylist(), table["seq"].to_pylist(), until, strict=True):
                if not self._seen[kind][origin, seq] and (fate != "withheld" or keep is None or keep // 1000 > now_ms):
                    self._find("ROW_MISSING", kind, (origin, seq))
        if "sealed" not in self.broken and self.ledger.current is not None:
            self._planted_sealed(self.ledger.current)

    def _archived(self) -> Iterator[tuple[str, pa.Table]]:
        table = self.ledger.of("archived", ("origin", "seq", "key_version", "page"))
        if table is not None and table.num_rows:
            yield from by_origin(table)

    def _planted_sealed(self, current: pa.Table) -> None:
        index = Index(current, *_SEALED)
        for origin, (seqs, _) in self._sealed.all().items():
            for seq in np.unique(seqs[~index.has(origin, seqs)]).tolist():
                self._find("ROW_WITHOUT_RECORD", "sealed", (origin, seq))
        odd = pc.and_(pc.is_in(current["fate"], value_set=pa.array(_SEALED)), pc.or_(pc.not_equal(current["variant"], ""), pc.is_null(current["seq"])))
        fulls = {_full(r) for r in _rows(current.select(["origin", "seq", "variant"]).filter(odd), ("origin", "seq", "variant"))}
        for full in self._seen["sealed"]:
            if full not in fulls:
                self._find("ROW_WITHOUT_RECORD", "sealed", full[:2])

    def _sealed_digests(self) -> None:
        """Sealed bytes of messages are those that the messages state."""
        for origin, (seqs, digests) in self._sealed.all().items():
            known, stated = self._messages.all().get(origin, (None, None))
            if known is None or stated is None or not len(known):
                continue
            at = np.minimum(np.searchsorted(known, seqs), len(known) - 1)
            said = stated[at]
            wrong = (known[at] == seqs) & (said != np.zeros(1, DIGEST)) & (said != digests)
            for seq in seqs[wrong].tolist():
                if (origin, seq) not in self._controls:
                    self._find("ROW_DIFFERS", "sealed", (origin, seq))

    def _sealed_of_archived(self, keep_sealed: bool) -> None:
        """Sealed bytes of messages: a page has all of them or, when they were not kept in its time, none."""
        if "sealed" in self.broken:
            return
        self._sealed_digests()
        for origin, rows in self._archived():
            kept = rows.filter(pc.is_valid(rows["key_version"]))
            lacking = _lacking(self._sealed, origin, kept)
            if not lacking.num_rows:
                continue
            total, gone = Counter(kept["page"].to_pylist()), Counter(lacking["page"].to_pylist())
            by_page: dict[str, list[Key]] = {}
            for page, seq in zip(lacking["page"].to_pylist(), lacking["seq"].to_pylist(), strict=True):
                by_page.setdefault(page, []).append((origin, seq))
            for page, keys in by_page.items():
                if gone[page] == total[page] and not keep_sealed:
                    self.report.note(LEAVES, "SEALED_NOT_KEPT", records(keys), rows=len(keys))
                else:
                    for key in keys:
                        self._find("ROW_MISSING", "sealed", key)


def _lacking(seen: Seen, origin: str, rows: pa.Table) -> pa.Table:
    """Return the records of an origin whose row was not there."""
    return rows.filter(pa.array(~seen.has(origin, seqs_of(rows))))


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
