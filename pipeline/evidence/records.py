"""What a bundle tells of each record: the record itself, its sealed and opened bytes, and the openings that bind them to the tree.

Before: scope.py, checkpoint.py. After: bundle.py, completeness.py.

A record stands in a bundle when it was archived under a leaf below the checkpoint's size and is active now: what was restricted or
removed since is not handed out, whatever the checkpoint (interface, rules 5 and 6). Formats: docs/formats.md, section 13.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from hashlib import sha256
from typing import Any, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import clock, leaf, words
from pipeline.errors import VerifyFailed
from pipeline.evidence.proving import Prover
from pipeline.evidence.scope import Scope
from pipeline.evidence.spool import Spool
from pipeline.names import Names, Row, ms_of, seen_names
from pipeline.reader import Reader
from pipeline.schema import leaf_schema

encode = msgspec.json.Encoder(order="sorted").encode
# `lake_KIND` is the table of a kind (schemas/KIND.v1.json) in the version that the reader holds; what begins with lake_ no user may ask.
CHUNK = 2_000  # records that are asked for at once
FEW = 500  # of which so many are in memory as Python knows them
# Where the records of these conversations stand in the log: the newest leaf under which each was archived before the checkpoint.
_SETTLED = """
SELECT max(r.leaf) AS leaf, m.origin, m.seq, m.dt, m.msgid, m.kind, m.recalls_msgid
FROM lake_messages AS m
JOIN lake_records AS r ON r.origin = m.origin AND r.seq = m.seq
WHERE list_contains($conversations, m.conversation_id) AND r.fate = 'archived' AND r.variant = '' AND r.leaf < $size
    AND m.dt BETWEEN $first_day AND $last_day
GROUP BY ALL ORDER BY leaf
"""
# The ranges are for the scans alone: they pass over files and row groups in which nothing of it lies.
_MESSAGES = """
SELECT m.* EXCLUDE (recalled_at, recalled_by), r.leaf, r.commitment, r.page, s.envelope
FROM lake_messages AS m
JOIN lake_records AS r ON r.origin = m.origin AND r.seq = m.seq
LEFT JOIN (FROM lake_sealed WHERE variant = '' AND seq BETWEEN $low AND $high) AS s ON s.origin = m.origin AND s.seq = m.seq
WHERE m.seq BETWEEN $low AND $high AND r.seq BETWEEN $low AND $high AND r.leaf BETWEEN $first AND $last
    AND r.leaf IN (SELECT unnest($leaves)) AND m.dt BETWEEN $first_day AND $last_day
    AND list_contains($conversations, m.conversation_id)
ORDER BY r.leaf
"""
_MEDIA = """
SELECT origin, seq, ref_no, kind, file_name, declared_md5, declared_size, status, sha256, size, dt FROM lake_media
WHERE (origin, seq) IN (SELECT (unnest($origins), unnest($seqs)))
QUALIFY row_number() OVER (PARTITION BY origin, seq, ref_no ORDER BY state_no DESC) = 1 ORDER BY origin, seq, ref_no
"""
_RECALLS = """
SELECT c.original_msgid, min({'at': c.recalled_at, 'who': c.recalled_by}) AS first FROM lake_recalls AS c
JOIN lake_records AS r ON r.origin = c.origin AND r.seq = c.seq AND r.fate = 'archived' AND r.leaf < $size
WHERE c.original_msgid IN (SELECT unnest($msgids)) GROUP BY c.original_msgid
"""


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """One record of a bundle. line: what 02-messages.jsonl says; proof: proofs/LEAF.json; raw: the JSON as received; envelope: the
    sealed bytes; quotes, unread: what its page needs beside the line; media: (month, SHA-256 in hex) of its files that were fetched."""

    leaf: int
    line: dict[str, Any]
    proof: dict[str, Any]
    raw: bytes
    envelope: bytes | None
    quotes: list[dict[str, Any]] | None = None
    unread: dict[str, Any] | None = None
    media: tuple[tuple[str, str], ...] = ()

    @property
    def name(self) -> str:
        """The file name of its bytes, without ending: digits and a letter only."""
        return f"{self.leaf:012d}"

    @property
    def row(self) -> dict[str, Any]:
        """What its page is made from (transcript.py): its line, times in ms, with its files."""
        times = {name: self.line[f"{name}_ms"] for name in ("sent_at", "captured_at", "recalled_at")}
        return {**self.line, **times, "quotes": self.quotes, "unread": self.unread}


class Who(NamedTuple):
    """Names of a time: inside the firm, and as customers saw them."""

    inside: Names
    seen: Names


class Records(msgspec.Struct, frozen=True):
    """The records of a scope in leaf order, their leaves, and the digests of the pages they came in, sorted."""

    told: Spool[Told]
    leaves: array[int]
    pages: list[bytes]


def tell(reader: Reader, scope: Scope, prover: Prover, people: Sequence[Row]) -> Records:
    """Return the records of a scope, none outside its days. people: rows of the view `people`; raises VerifyFailed LEAF_DIFFERS when a row is not what was settled."""
    days = {"first_day": scope.first_day or date.min, "last_day": scope.last_day or date.max}
    asked = {"size": prover.point.records, "conversations": list(scope.conversations), **days}
    settled = reader.arrow(_SETTLED, asked)
    originals = _originals(reader, settled)
    names = Who(Names(people), seen_names(people))
    spool, pages = Spool(reader.home.path, Told), set[bytes]()
    for start in range(0, settled.num_rows, CHUNK):
        for row, media, recall in _rows(reader, scope, prover.point.records, settled.slice(start, CHUNK)):
            pages.add(row["page"])
            row["original"] = originals.get(row["recalls_msgid"]) if row["kind"] == "recall" else None
            spool.append(_told(row, media, recall, names, scope, prover, reader.corp_id))
        pa.default_memory_pool().release_unused()
    return Records(spool, array("Q", settled["leaf"].to_numpy()), sorted(pages))


def _rows(reader: Reader, scope: Scope, size: int, settled: pa.Table) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]], Mapping[str, Any] | None]]:
    """Yield (row, its files, its first recall) of the records that were settled so, in leaf order."""
    leaves, days, seqs = (settled[name].to_pylist() for name in ("leaf", "dt", "seq"))
    found = reader.arrow(_MESSAGES, {
        "first": leaves[0], "last": leaves[-1], "leaves": leaves, "low": min(seqs), "high": max(seqs), "first_day": min(days), "last_day": max(days),
        "conversations": list(scope.conversations),
    })  # fmt: skip
    keys = {"origins": settled["origin"].to_pylist(), "seqs": seqs}
    media = _by_record(reader.rows(_MEDIA, keys))
    recalls = {r["original_msgid"]: r["first"] for r in reader.rows(_RECALLS, {"size": size, "msgids": settled["msgid"].to_pylist()})}
    for batch in found.to_batches(max_chunksize=FEW):
        for row in batch.to_pylist():
            yield row, media.get((row["origin"], row["seq"]), []), recalls.get(row["msgid"])


def _originals(reader: Reader, settled: pa.Table) -> dict[str, str]:
    """Return where the original of each recall is: in the bundle (here), elsewhere in the archive (outside), held back, or not known at all."""
    recalls = settled.filter(pc.equal(settled["kind"], "recall"))["recalls_msgid"]
    asked = [m for m in recalls.to_pylist() if m]
    where = dict.fromkeys(asked, "unknown")
    query = "SELECT msgid FROM lake_rest_records WHERE fate IN ('withheld', 'pending', 'restricted', 'removed') AND msgid IN (SELECT unnest($asked))"
    where |= dict.fromkeys((r["msgid"] for r in reader.rows(query, {"asked": asked})), "held")
    where |= dict.fromkeys((r["msgid"] for r in reader.rows("SELECT msgid FROM messages WHERE msgid IN (SELECT unnest($asked))", {"asked": asked})), "outside")
    return where | dict.fromkeys(settled.filter(pc.is_in(settled["msgid"], recalls))["msgid"].to_pylist(), "here")


def _by_record(rows: list[dict[str, Any]]) -> dict[tuple[str, int], list[dict[str, Any]]]:
    found: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault((row["origin"], row["seq"]), []).append(row)
    return found


def _told(
    row: dict[str, Any], media: list[dict[str, Any]], recall: Mapping[str, Any] | None, names: Who, scope: Scope, prover: Prover, corp_id: str
) -> Told:  # fmt: skip
    fields = leaf_fields(row, media, corp_id)
    proof = opening(row["nonce"], fields, row["leaf"], row["commitment"], prover)
    fetched = tuple((f"{m['dt']:%Y-%m}", m["sha256"]) for m in media if m["sha256"])
    return Told(
        leaf=row["leaf"], line=_line(row, fields, media, recall, names, scope), proof=proof, raw=row["raw"].encode("utf-8", "surrogatepass"),
        envelope=row["envelope"], media=fetched, quotes=row["quotes"], unread=_unread(row, media),
    )  # fmt: skip


def _unread(row: Mapping[str, Any], media: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Return digest and size of the JSON as received where nothing of it can be shown."""
    if row["kind"] == "recall" or media or any(p["text"] for p in row["parts"] or ()):
        return None
    raw = row["raw"].encode("utf-8", "surrogatepass")
    return {"sha256": sha256(raw).hexdigest(), "size": len(raw)}


def leaf_fields(row: Mapping[str, Any], media: list[dict[str, Any]], corp_id: str) -> dict[str, Any]:
    """Return the fields that the leaf of an archived record commits to, from its rows (docs/formats.md, section 9)."""
    raw = row["raw"].encode("utf-8", "surrogatepass")
    clear = row["text_clear"] is not None
    return {
        "text": row["text_clear"] if clear else row["text"], "parts": row["parts_clear"] if row["parts_clear"] is not None else row["parts"],
        "sender_id": row["sender_id"], "recipient_ids": row["recipient_ids"], "room_id": row["room_id"],
        "corp_id": corp_id, "origin": row["origin"], "seq": row["seq"], "fate": "archived", "msgid": row["msgid"], "kind": row["kind"],
        "action": row["action"], "msgtype": row["msgtype"], "sent_at_ms": ms_of(row["sent_at"]), "captured_at_ms": ms_of(row["captured_at"]),
        "key_version": row["key_version"], "raw_commitment": leaf.raw_commitment(row["nonce"], raw),
        "sealed_sha256": row["sealed_sha256"].hex() if row["sealed_sha256"] is not None else None,
        "media": [{"kind": m["kind"], "declared_md5": m["declared_md5"], "declared_size": m["declared_size"]} for m in media] or None,
        "reason": None, "scope_ref": None, "code": None,
    }  # fmt: skip


def opening(nonce: bytes, fields: Mapping[str, Any], number: int, commitment: bytes, prover: Prover) -> dict[str, Any]:
    """Return what opens a leaf: salts and fields of its groups, the salt of the JSON as received, and the path to the checkpoint's root."""
    if leaf.commitment(nonce, dict(fields)) != commitment:
        raise VerifyFailed("LEAF_DIFFERS", f"leaf {number} is not what was settled", remedy="`liuhen verify --archive`; restore the newest backup")
    groups = {
        name: {"salt": sha256(nonce + name.encode()).hexdigest(), "fields": {f: fields.get(f) for f in listed}}
        for name, listed in leaf_schema().groups.items()
    }  # fmt: skip
    return {
        "leaf": number, "commitment": commitment.hex(), "groups": groups, "raw_salt": sha256(nonce + b"raw").hexdigest(),
        **prover.path(number, commitment),
    }  # fmt: skip


def _line(
    row: Mapping[str, Any], fields: Mapping[str, Any], media: list[dict[str, Any]], recall: Mapping[str, Any] | None, names: Who, scope: Scope
) -> dict[str, Any]:  # fmt: skip
    sent_ms = fields["sent_at_ms"]
    same = ("origin", "seq", "msgid", "kind", "action", "msgtype", "sender_id", "recipient_ids", "room_id", "text", "parts", "key_version")
    return {
        "leaf": row["leaf"], **{name: fields[name] for name in same},
        "sent_at_ms": sent_ms, "sent_at_beijing": words.iso(sent_ms) if sent_ms is not None else None,
        "sent_at_utc": clock.iso(sent_ms) if sent_ms is not None else None, "captured_at_ms": fields["captured_at_ms"],
        "conversation_id": row["conversation_id"], "direction": row["direction"], "sender_kind": row["sender_kind"],
        "sender_name": names.inside.person(row["sender_id"] or "", sent_ms, row["sender_kind"]).name,
        "sender_seen_as": names.seen.person(row["sender_id"] or "", sent_ms, row["sender_kind"]).name,
        "recalls_msgid": row["recalls_msgid"], "original": row["original"],
        "recalled_at_ms": ms_of(recall["at"]) if recall else None, "recalled_by": recall["who"] if recall else None,
        "consent": row["consent"], "consent_source": row["consent_source"], "consent_rule": row["consent_rule"], "consent_event": row["consent_event"],
        "lawful_basis": row["lawful_basis"], "marked": (row["origin"], row["seq"]) in scope.marked,
        "media": [{k: m[k] for k in ("kind", "file_name", "declared_md5", "declared_size", "status", "sha256", "size")} for m in media],
    }  # fmt: skip


def plain(value: Any) -> Any:
    """Return a value as JSON tells it: times in ms since 1970 UTC, days ISO."""
    if isinstance(value, datetime):
        return ms_of(value)
    return value.isoformat() if isinstance(value, date) else value
