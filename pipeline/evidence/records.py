"""What a bundle tells of each record: the record itself, its sealed and opened bytes, and the openings that bind them to the tree.

Before: scope.py, checkpoint.py. After: bundle.py, completeness.py.

A record stands in a bundle when it was archived under a leaf below the checkpoint's size and is active now: what was restricted or
removed since is not handed out, whatever the checkpoint (interface, rules 5 and 6). Formats: docs/formats.md, section 13.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Any

import msgspec

from pipeline import clock, leaf, words
from pipeline.errors import VerifyFailed
from pipeline.evidence.proving import Prover
from pipeline.evidence.scope import Scope
from pipeline.names import Names, ms_of
from pipeline.reader import Reader
from pipeline.schema import leaf_schema

encode = msgspec.json.Encoder(order="sorted").encode
_MESSAGES = """
WITH settled AS (
    SELECT origin, seq, max({'leaf': leaf, 'commitment': commitment}) AS last FROM lake_records
    WHERE fate = 'archived' AND variant = '' AND leaf < $size GROUP BY origin, seq
)
SELECT m.*, r.last.leaf AS leaf, r.last.commitment AS commitment, s.envelope
FROM lake_messages AS m
JOIN settled AS r ON r.origin = m.origin AND r.seq = m.seq
LEFT JOIN lake_sealed AS s ON s.origin = m.origin AND s.seq = m.seq AND s.variant = ''
WHERE list_contains($conversations, m.conversation_id)
ORDER BY leaf
"""
_MEDIA = """
SELECT origin, seq, ref_no, kind, file_name, declared_md5, declared_size, status, sha256, size, dt FROM lake_media
WHERE list_contains($keys, {'origin': origin, 'seq': seq})
QUALIFY row_number() OVER (PARTITION BY origin, seq, ref_no ORDER BY state_no DESC) = 1 ORDER BY origin, seq, ref_no
"""
_RECALLS = """
SELECT c.original_msgid, min({'at': c.recalled_at, 'who': c.recalled_by}) AS first FROM lake_recalls AS c
JOIN lake_records AS r ON r.origin = c.origin AND r.seq = c.seq AND r.fate = 'archived' AND r.leaf < $size
WHERE list_contains($msgids, c.original_msgid) GROUP BY c.original_msgid
"""


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """One record of a bundle. line: what 02-messages.jsonl says; proof: proofs/LEAF.json; raw: the JSON as received; envelope: the
    sealed bytes; media: (month, SHA-256 in hex) of its files that were fetched."""

    leaf: int
    line: dict[str, Any]
    proof: dict[str, Any]
    raw: bytes
    envelope: bytes | None
    row: dict[str, Any]
    media: tuple[tuple[str, str], ...] = ()

    @property
    def name(self) -> str:
        """The file name of its bytes, without ending: digits and a letter only."""
        return f"{self.leaf:012d}"


def tell(reader: Reader, scope: Scope, prover: Prover) -> list[Told]:
    """Return the records of a scope in leaf order, none outside its days; raises VerifyFailed LEAF_DIFFERS when a row is not what was settled."""
    size = prover.point.records
    rows = [r for r in reader.rows(_MESSAGES, {"size": size, "conversations": list(scope.conversations)}) if inside(scope, r["dt"])]
    keys = [{"origin": r["origin"], "seq": r["seq"]} for r in rows]
    media = _by_record(reader.rows(_MEDIA, {"keys": keys}) if keys else [])
    msgids = [r["msgid"] for r in rows]
    recalls = {r["original_msgid"]: r["first"] for r in reader.rows(_RECALLS, {"size": size, "msgids": msgids})} if msgids else {}
    names = Names(reader.rows("SELECT * FROM people"))
    originals = _originals(reader, rows)
    rows = [{**r, "original": originals.get(r["recalls_msgid"]) if r["kind"] == "recall" else None} for r in rows]
    return [_told(r, media.get((r["origin"], r["seq"]), []), recalls.get(r["msgid"]), names, scope, prover, reader.corp_id) for r in rows]


def _originals(reader: Reader, rows: list[dict[str, Any]]) -> dict[str, str]:
    """Return where the original of each recall is: in the bundle (here), elsewhere in the archive (outside), held back, or not known at all."""
    asked = [r["recalls_msgid"] for r in rows if r["kind"] == "recall" and r["recalls_msgid"]]
    where = dict.fromkeys(asked, "unknown")
    query = "SELECT msgid FROM lake_rest_records WHERE fate IN ('withheld', 'pending', 'restricted', 'removed') AND list_contains($asked, msgid)"
    where |= dict.fromkeys((r["msgid"] for r in reader.rows(query, {"asked": asked})), "held")
    where |= dict.fromkeys((r["msgid"] for r in reader.rows("SELECT msgid FROM messages WHERE list_contains($asked, msgid)", {"asked": asked})), "outside")
    here = {r["msgid"] for r in rows}
    return {msgid: "here" if msgid in here else place for msgid, place in where.items()}


def inside(scope: Scope, day: Any) -> bool:
    """Whether a Beijing day lies in the scope's range."""
    return (scope.first_day is None or day >= scope.first_day) and (scope.last_day is None or day <= scope.last_day)


def _by_record(rows: list[dict[str, Any]]) -> dict[tuple[str, int], list[dict[str, Any]]]:
    found: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault((row["origin"], row["seq"]), []).append(row)
    return found


def _told(
    row: dict[str, Any], media: list[dict[str, Any]], recall: Mapping[str, Any] | None, names: Names, scope: Scope, prover: Prover, corp_id: str
) -> Told:  # fmt: skip
    fields = leaf_fields(row, media, corp_id)
    proof = opening(row["nonce"], fields, row["leaf"], row["commitment"], prover)
    fetched = tuple((f"{m['dt']:%Y-%m}", m["sha256"]) for m in media if m["sha256"])
    recalled = {"recalled_at": recall["at"] if recall else None, "recalled_by": recall["who"] if recall else None}
    return Told(
        leaf=row["leaf"], line=_line(row, fields, media, recall, names, scope), proof=proof, raw=row["raw"].encode("utf-8", "surrogatepass"),
        envelope=row["envelope"], media=fetched, row={**row, **recalled, "text": fields["text"], "parts": fields["parts"], "unread": _unread(row, media)},
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
    row: Mapping[str, Any], fields: Mapping[str, Any], media: list[dict[str, Any]], recall: Mapping[str, Any] | None, names: Names, scope: Scope
) -> dict[str, Any]:  # fmt: skip
    sent_ms = fields["sent_at_ms"]
    same = ("origin", "seq", "msgid", "kind", "action", "msgtype", "sender_id", "recipient_ids", "room_id", "text", "parts", "key_version")
    return {
        "leaf": row["leaf"], **{name: fields[name] for name in same},
        "sent_at_ms": sent_ms, "sent_at_beijing": words.iso(sent_ms) if sent_ms is not None else None,
        "sent_at_utc": clock.iso(sent_ms) if sent_ms is not None else None, "captured_at_ms": fields["captured_at_ms"],
        "conversation_id": row["conversation_id"], "direction": row["direction"], "sender_kind": row["sender_kind"],
        "sender_name": names.person(row["sender_id"] or "", sent_ms, row["sender_kind"]).name,
        "recalls_msgid": row["recalls_msgid"], "original": row["original"],
        "recalled_at_ms": ms_of(recall["at"]) if recall else None, "recalled_by": recall["who"] if recall else None,
        "consent": row["consent"], "consent_source": row["consent_source"], "consent_rule": row["consent_rule"], "consent_event": row["consent_event"],
        "lawful_basis": row["lawful_basis"], "marked": (row["origin"], row["seq"]) in scope.marked,
        "media": [{k: m[k] for k in ("kind", "file_name", "declared_md5", "declared_size", "status", "sha256", "size")} for m in media],
    }  # fmt: skip


def accounts(reader: Reader, told: list[Told]) -> Iterator[dict[str, Any]]:
    """Yield who the ids of a bundle were: every row of the directory and every number of the firm that is linked to them."""
    ids = sorted({i for t in told for i in (t.line["sender_id"], *t.line["recipient_ids"]) if i})
    for row in reader.rows("SELECT * FROM people WHERE list_contains($ids, userid) ORDER BY userid, valid_from NULLS FIRST, name", {"ids": ids}):
        yield {"id": row["userid"], "says": "directory", **{k: plain(v) for k, v in row.items() if k not in ("corp_id", "userid")}}
    query = "SELECT * FROM identities WHERE list_contains($ids, external_userid) ORDER BY external_userid, kind, value"
    for row in reader.rows(query, {"ids": ids}):
        yield {"id": row["external_userid"], "says": "identity", **{k: plain(v) for k, v in row.items() if k not in ("corp_id", "external_userid")}}
    known = {r["userid"] for r in reader.rows("SELECT DISTINCT userid FROM people WHERE list_contains($ids, userid)", {"ids": ids})}
    yield from ({"id": i, "says": "nothing"} for i in ids if i not in known)


def consent_events(reader: Reader, told: list[Told]) -> list[dict[str, Any]]:
    """Return every consent event of the pairs and rooms in a bundle, oldest first."""
    people = sorted({i.lower() for t in told for i in (t.line["sender_id"], *t.line["recipient_ids"]) if i})
    rooms = sorted({t.line["room_id"] for t in told if t.line["room_id"]})
    query = (
        "SELECT * FROM consent WHERE list_contains($people, lower(external_userid)) AND"
        " (list_contains($people, lower(userid)) OR list_contains($rooms, room_id)) ORDER BY changed_at, recorded_at, external_userid, userid, room_id"
    )
    return [{k: plain(v) for k, v in r.items() if k != "corp_id"} for r in reader.rows(query, {"people": people, "rooms": rooms})]


def notices(reader: Reader, told: list[Told]) -> list[dict[str, Any]]:
    """Return what the people of a bundle were told, by digest, oldest first: greetings and cards, employees' notices, every version of the text."""
    people = sorted({i.lower() for t in told for i in (t.line["sender_id"], *t.line["recipient_ids"]) if i})
    query = (
        "SELECT * FROM notices AS n WHERE (external_userid IS NULL OR list_contains($people, lower(external_userid)))"
        " AND (userid IS NULL OR list_contains($people, lower(userid))) ORDER BY n.at NULLS FIRST, recorded_at, notice_id"
    )
    return [{k: plain(v) for k, v in r.items() if k != "corp_id"} for r in reader.rows(query, {"people": people})]


def plain(value: Any) -> Any:
    """Return a value as JSON tells it: times in ms since 1970 UTC, days ISO."""
    from datetime import date, datetime

    if isinstance(value, datetime):
        return ms_of(value)
    return value.isoformat() if isinstance(value, date) else value
