"""Verification, check 6, one file at a time: rows of `messages` and `sealed` against their records; what is left of them is small.

Before: verify_ledger.py, verify_columns.py. After: verify_rows.py, which puts the parts together. A part can be made in another process.

 messages  the commitment is made again from the content; keyed fingerprint of the msgid, content fingerprint, times, key version agree
 sealed    digests; whether they are those that the messages state is seen when all parts are there
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import verify_columns as columns
from pipeline import verify_digests
from pipeline.verify_ledger import Ledger

Key = tuple[str, int | None]
Full = tuple[str, int | None, str]
DIGEST = np.dtype("V32")
# What messages declare of their files: seqs ascending, canonical JSON of each.
Declared = tuple[np.ndarray[Any, Any], Any]
_NO_SEQS = np.zeros(0, np.uint64)
# What a row is compared with; the rest of a record's row is not copied for it.
_TAKEN = ("commitment", "page", "key_version", "msgid", "msgid_fp", "content_fp", "scope_ref")


@dataclass
class Part:
    """What one file, or some rows of it, said. seqs, digests (of sealed bytes; zeros: none): by origin, row by row; wrong: records by code; others: sealed bytes that
    are not the first of their record, or that come with a nonce (control records), with nonce and plaintext."""

    seqs: dict[str, np.ndarray[Any, Any]] = field(default_factory=dict)
    digests: dict[str, np.ndarray[Any, Any]] = field(default_factory=dict)
    wrong: dict[str, list[Key]] = field(default_factory=dict)
    recalls: list[tuple[str, Key]] = field(default_factory=list)
    others: list[tuple[Full, bytes, bytes | None, bytes | None]] = field(default_factory=list)
    commitments: int = 0

    def find(self, code: str, keys: Sequence[Key]) -> None:
        """Add records that are not as they must be."""
        if keys:
            self.wrong.setdefault(code, []).extend(keys)


def merged(parts: Sequence[Part]) -> Part:
    """Return what the parts of a file say together, in their order."""
    whole = Part(commitments=sum(p.commitments for p in parts))
    for origin in dict.fromkeys(o for p in parts for o in p.seqs):
        whole.seqs[origin] = np.concatenate([p.seqs[origin] for p in parts if origin in p.seqs])
        whole.digests[origin] = np.concatenate([p.digests[origin] for p in parts if origin in p.seqs])
    for part in parts:
        for code, keys in part.wrong.items():
            whole.find(code, keys)
        whole.recalls += part.recalls
        whole.others += part.others
    return whole


class Index:
    """The current records of some fates by origin and seq, found by bisection; variants of a seq are not in it. Nothing of the ledger is copied."""

    def __init__(self, current: pa.Table | None, *fates: str) -> None:
        self._kept = current.select(list(_TAKEN)) if current is not None else None
        self._of: dict[str, tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]] = {}
        if current is None:
            return
        meant = pc.and_(pc.and_(pc.is_in(current["fate"], value_set=pa.array(fates)), pc.equal(current["variant"], "")), pc.is_valid(current["seq"]))
        if not pc.any(meant).as_py():
            return
        seqs = seqs_of(current)
        for origin in current["origin"].unique().to_pylist():
            rows = np.flatnonzero(columns.flat(pc.and_(meant, pc.equal(current["origin"], origin))).to_numpy(zero_copy_only=False))
            own = seqs[rows]
            if (own[1:] < own[:-1]).any():
                order = np.argsort(own, kind="stable")
                own, rows = own[order], rows[order]
            if len(own):
                self._of[origin] = own, rows

    def has(self, origin: str, seqs: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Return for which of these seqs there is a record."""
        return self._at(origin, seqs)[1]

    def rows(self, origin: str, seqs: np.ndarray[Any, Any]) -> tuple[pa.Table | None, np.ndarray[Any, np.dtype[np.bool_]]]:
        """Return the records of these seqs, row by row (null where there is none), and where there is one."""
        rows, there = self._at(origin, seqs)
        if self._kept is None or origin not in self._of or not len(seqs):
            return None, there
        return self._kept.take(pa.array(rows) if there.all() else pa.array(rows, mask=~there)), there

    def _at(self, origin: str, seqs: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, np.dtype[np.bool_]]]:
        """Return where the records of these seqs are (anywhere where there is none), and where there is one."""
        if origin not in self._of or not len(seqs):
            return np.zeros(len(seqs), np.int64), np.zeros(len(seqs), bool)
        known, rows = self._of[origin]
        at = np.minimum(np.searchsorted(known, seqs), len(known) - 1)
        return rows[at], known[at] == seqs


def by_origin(table: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    """Yield (origin, its rows)."""
    origins = table["origin"].unique().to_pylist()
    for origin in origins:
        yield origin, table if len(origins) == 1 else table.filter(pc.equal(table["origin"], origin))


def seqs_of(table: pa.Table) -> np.ndarray[Any, Any]:
    """Return the seqs of rows that all have one."""
    found: np.ndarray[Any, Any] = columns.flat(pc.fill_null(table["seq"], 0)).to_numpy(zero_copy_only=False).astype(np.uint64)
    return found


def _packed(digests: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return digests, (rows, 32), as one value each."""
    return np.ascontiguousarray(digests).view(DIGEST).reshape(-1)


class Reading:
    """Reads tables against the ledger; changes nothing of it. names: the key of keyed fingerprints, None when it is not there."""

    def __init__(self, ledger: Ledger, names: bytes | None, media: dict[str, Declared], corp_id: str) -> None:
        self.ledger, self.names, self.media, self.corp_id = ledger, names, media, corp_id
        self._archived, self._restricted = Index(ledger.current, "archived"), Index(ledger.current, "restricted")

    def messages(self, table: pa.Table) -> Part:
        """Check messages against their records and leaves."""
        part = Part()
        for origin, rows in by_origin(table):
            seqs = seqs_of(rows)
            part.seqs[origin] = seqs
            recalling = rows.select(["recalls_msgid", "seq"]).filter(pc.is_valid(rows["recalls_msgid"]))
            part.recalls += [(m, (origin, s)) for m, s in zip(recalling["recalls_msgid"].to_pylist(), seqs_of(recalling).tolist(), strict=True) if m]
            found, there = self._archived.rows(origin, seqs)
            # Hidden already, not moved yet: in no view, and their rows are where they were.
            strangers = seqs[~there]
            strangers = strangers[~self._restricted.has(origin, strangers)]
            part.find("ROW_WITHOUT_RECORD", [(origin, s) for s in strangers.tolist()])
            digests = verify_digests.rows_of(columns.flat(rows["sealed_sha256"]), DIGEST.itemsize)
            part.digests[origin] = _packed(digests if there.all() else np.where(there[:, None], digests, 0))
            if found is not None:
                kept = pa.array(there)
                whole = bool(there.all())
                self._contents(part, origin, rows if whole else rows.filter(kept), found if whole else found.filter(kept))
        return part

    def _contents(self, part: Part, origin: str, rows: pa.Table, found: pa.Table) -> None:
        seqs = seqs_of(rows)
        pages = columns.flat(found["page"])
        captured = pa.array([self.ledger.captured.get(p) for p in pages.dictionary.to_pylist()], pa.int64()).take(pages.indices)
        media = self._media(origin, seqs)
        told = columns.groups(rows, corp_id=self.corp_id, origin=origin, captured=captured, key_version=found["key_version"], media=media)
        made = columns.commitments(columns.flat(rows["nonce"]), columns.flat(rows["raw"]).cast(pa.binary()), told)
        right = columns.same(found["commitment"], made)
        differs = self._differs(rows, found, captured)
        part.find("COMMITMENT", [(origin, s) for s in seqs[~right].tolist()])
        part.find("ROW_DIFFERS", [(origin, s) for s in seqs[right & differs].tolist()])
        part.commitments += len(seqs)

    def _media(self, origin: str, seqs: np.ndarray[Any, Any]) -> Any:
        """Return the files of each row as canonical JSON, null for a row that has none."""
        known, told = self.media.get(origin, (_NO_SEQS, pa.array([], pa.string())))
        if not len(known):
            return pa.nulls(len(seqs), pa.string())
        at = np.minimum(np.searchsorted(known, seqs), len(known) - 1)
        return told.take(pa.array(at, mask=known[at] != seqs))

    def _differs(self, rows: pa.Table, found: pa.Table, captured: Any) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Whether a row says other than its record, beside what its leaf covers."""
        at = pc.divide(rows["captured_at"].cast(pa.int64()), 1000)
        other = _unlike(at, captured)
        for name in ("key_version", "content_fp"):
            other = pc.or_(other, _unlike(rows[name], found[name]))
        longer = pc.fill_null(pc.not_equal(pc.utf8_length(rows["text_clear"]), pc.utf8_length(rows["text"])), False)
        wrong: np.ndarray[Any, np.dtype[np.bool_]] = columns.flat(pc.or_(other, longer)).to_numpy(zero_copy_only=False)
        if self.names is None:
            return wrong
        prints = columns.fingerprints(self.names, self.corp_id, columns.flat(rows["msgid"]).cast(pa.binary()))
        return wrong | ~columns.same(found["msgid_fp"], prints)


def sealed(table: pa.Table) -> Part:
    """Take the digests of sealed bytes; needs no ledger."""
    part = Part()
    for origin, rows in by_origin(table):
        digests = columns.digests(rows["envelope"])
        seqs = seqs_of(rows)
        first = columns.flat(pc.and_(pc.equal(rows["variant"], ""), pc.is_valid(rows["seq"]))).to_numpy(zero_copy_only=False)
        kept = columns.flat(pc.is_valid(rows["nonce"])).to_numpy(zero_copy_only=False)
        for n in np.flatnonzero(kept | ~first).tolist():
            seq, variant, nonce, plaintext = (rows[c][n].as_py() for c in ("seq", "variant", "nonce", "plaintext"))
            part.others.append(((origin, seq, variant), digests[n].tobytes(), nonce, plaintext))
        part.seqs[origin] = seqs[first]
        part.digests[origin] = _packed(digests[first])
    return part


def _unlike(one: Any, two: Any) -> Any:
    """Whether two columns differ, row by row; null is like null."""
    same = pc.fill_null(pc.equal(columns.flat(one), columns.flat(two)), False)
    both = pc.and_(pc.is_null(columns.flat(one)), pc.is_null(columns.flat(two)))
    return pc.invert(pc.or_(same, both))
