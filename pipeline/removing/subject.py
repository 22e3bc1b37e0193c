"""Which records are a customer's, and which of them a hold or a statutory period keeps.

Before: lake.py, holds.py, retention/. After: erase.py, restricted.py.

Rules:
 (1) A customer's are: single chats with the customer, whoever wrote; what the customer wrote in rooms; recalls among them. What others wrote
     in a room, and words of the customer that somebody else quoted, are theirs (interface, rules of meaning 8).
 (2) Pending and withheld records are the customer's by their scope, and stay unopened. A record that could not be opened names nobody: it is
     nobody's until its key comes.
 (3) A hold keeps what it covers by its people and room; a confirmed statutory profile keeps what its period still covers. An open dispute with a
     customer (`retention event dispute_opened`) keeps what a hold on the customer would.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from pipeline import holds
from pipeline.consenting import candidates, fates, hidden
from pipeline.consenting.candidates import COLUMNS, Stored
from pipeline.consenting.fates import Key
from pipeline.consenting.precedence import Cover, strongest
from pipeline.deltalog import Snapshot
from pipeline.holds import Hold
from pipeline.home import Home
from pipeline.lake import Lake
from pipeline.pseudonyms import Pseudonyms
from pipeline.register import pair_scope, room_scope
from pipeline.retention import store

DIRECTORY = {"identities": "external_userid", "people": "userid", "follows": "external_userid"}
DISPUTE = "dispute"
Row = dict[str, Any]
# (a record) → whether a confirmed statutory period still covers it
Statutory = Callable[[Stored], bool]


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """What there is of a customer. waiting: pending and withheld records by key, their newest row; directory: rows by kind."""

    customer: str
    archived: tuple[Stored, ...]
    restricted: tuple[Stored, ...]
    waiting: dict[Key, Row]
    directory: dict[str, int]


def find(home: Home, corp_id: str, customer: str) -> Subject:
    """Return what the archive holds of a customer, as of now (rules 1 and 2)."""
    lake = home.lake(corp_id)
    snapshot = lake.snapshot()
    return Subject(
        customer=customer, archived=tuple(archived(lake, snapshot, customer)), restricted=tuple(restricted(lake, snapshot, lambda s: owns(customer, s))),
        waiting=_waiting(home, lake, snapshot, customer), directory={kind: len(rows_of(lake, snapshot, kind, customer)) for kind in DIRECTORY},
    )  # fmt: skip


def owns(customer: str, record: Stored) -> bool:
    """Whether a record is the customer's (rule 1)."""
    return record.sender_id == customer or (record.room_id is None and customer in record.recipient_ids)


def archived(lake: Lake, snapshot: Snapshot, customer: str) -> list[Stored]:
    """Return the customer's archived records, those that are hidden left out."""
    files = snapshot.of("messages")
    if not files:
        return []
    gone = {(origin, seq) for origin, seqs in hidden.keys(lake, snapshot).items() for seq in seqs}
    found: list[Stored] = []
    for batch in lake.dataset("messages", files).scanner(columns=list(COLUMNS)).to_batches():
        named = pc.or_(pc.equal(batch["sender_id"], customer), pc.match_substring(batch["conversation_id"], customer))
        found += [candidates.stored(row) for row in candidates.plain(batch.filter(pc.fill_null(named, False)))]
    return [s for s in found if owns(customer, s) and (s.origin, s.seq) not in gone]


def restricted(lake: Lake, snapshot: Snapshot, wanted: Callable[[Stored], bool]) -> list[Stored]:
    """Return restricted records that are wanted; their rows are read in memory, ids only come back."""
    files = snapshot.of("restricted")
    rows = lake.read("restricted", files, where=ds.field("row_kind") == "messages").to_pylist() if files else []
    return [s for r in rows if wanted(s := candidates.stored_of(msgspec.msgpack.decode(r["body"])))]


def _waiting(home: Home, lake: Lake, snapshot: Snapshot, customer: str) -> dict[Key, Row]:
    """Return pending and withheld records of any scope of the customer (rule 2): scopes are told by keyed names, so all are made and compared."""
    files = snapshot.of("records")
    where = ds.field("fate").isin(["pending", "withheld"]) & ds.field("seq").is_valid()
    table = lake.read("records", files, columns=["origin", "seq", "scope_ref"], where=where) if files else None
    if table is None or not table.num_rows:
        return {}
    names = Pseudonyms(home, lake.corp_id)
    scopes = {names.scope_ref(s) for s in _scopes(lake, snapshot, customer)}
    keys = {(r["origin"], r["seq"]) for r in table.to_pylist() if r["scope_ref"] in scopes}
    known = fates.histories(lake, snapshot, keys)
    captured = {r["page"]: r["captured_at"] for r in fates.in_ms(lake.read("pages", snapshot.of("pages"), columns=["page", "captured_at"])).to_pylist()}
    newest = {key: {**rows[-1], "captured_at": captured[rows[-1]["page"]]} for key, rows in known.items()}
    there = _unopened(lake, snapshot)  # the bytes of a withheld record may be destroyed already: then nothing of it is left to remove
    return {key: row for key, row in newest.items() if row["fate"] in ("pending", "withheld") and row["scope_ref"] in scopes and key in there}


def _unopened(lake: Lake, snapshot: Snapshot) -> set[Key]:
    found: set[Key] = set()
    for kind in ("pending_sealed", "withheld_sealed"):
        files = [f for f in snapshot.of(kind) if lake.keyring.names(f"{lake.corp_id}/{kind.split('_')[0]}/{f.month}#")]
        table = lake.read(kind, files, columns=["origin", "seq"])
        found |= set(zip(table["origin"].to_pylist(), table["seq"].to_pylist(), strict=True))
    return found


def _scopes(lake: Lake, snapshot: Snapshot, customer: str) -> set[str]:
    staff = _values(lake, snapshot, "people", "userid", ds.field("kind") == "employee") | _values(lake, snapshot, "records", "employee_id")
    staff |= _values(lake, snapshot, "consent", "userid", ds.field("external_userid") == customer)
    rooms = _values(lake, snapshot, "records", "room_id") | _values(lake, snapshot, "memberships", "room_id")
    rooms |= _values(lake, snapshot, "consent", "room_id", ds.field("external_userid") == customer)
    return {pair_scope(e, customer) for e in staff} | {room_scope(r, customer) for r in rooms}


def _values(lake: Lake, snapshot: Snapshot, kind: str, column: str, where: pc.Expression | None = None) -> set[str]:
    found = lake.read(kind, snapshot.of(kind), columns=[column], where=where)[column]
    return {v for v in pc.unique(found).to_pylist() if v}


def rows_of(lake: Lake, snapshot: Snapshot, kind: str, customer: str) -> pa.Table:
    """Return the rows of a kind of the directory that are about the customer."""
    column = DIRECTORY[kind]
    return lake.read(kind, snapshot.of(kind), columns=[column], where=ds.field(column) == customer)


# -- what keeps them -------------------------------------------------------------------------------------------------------


def cover_of(record: Stored, open_holds: Iterable[Hold], statutory: Statutory) -> Cover:
    """Return what keeps a record (rule 3)."""
    held = any(h.covers(people=(record.sender_id, *record.recipient_ids), room_id=record.room_id) for h in open_holds)
    found: list[Cover] = ["hold"] if held else []
    return strongest([*found, *(["statutory"] if statutory(record) else [])])  # type: ignore[list-item]  # the words of Cover


def held_unopened(customer: str, row: Row, open_holds: Sequence[Hold]) -> bool:
    """Whether a hold may cover a record nobody opened: any that names the customer, its employee or its room."""
    return any(h.covers(people=(customer, row["employee_id"]), room_id=h.room_id if row["room_id"] is None else row["room_id"]) for h in open_holds)


def open_holds(home: Home, corp_id: str) -> list[Hold]:
    """Return the holds that are open now, and one for each open dispute (rule 3)."""
    lake = home.lake(corp_id)
    disputes = store.standing(home, corp_id).disputes
    return [*holds.open_of(lake, lake.snapshot()), *(_as_hold(customer, source) for customer, sources in disputes.items() for source in sources)]


def _as_hold(customer: str, source: str) -> Hold:
    return Hold(hold_id=DISPUTE, matter=DISPUTE, userid=None, room_id=None, external_userid=customer, reason=source, actor="", at_ms=0)
