"""A person's scope as a filter on the data itself: every view, audit, search and export is made over what this lets through.

Before: rowscope.py (the rules), lake.py. After: reader.py, which registers what `View.of` returns.

Nothing here is a view over the data: DuckDB sees a dataset whose scans leave out what the person may not see, so that no query, filter or
error comes past it. What DuckDB pushes down to the scan are comparisons with constants; they are applied first, the scope always.
Kinds without people of their own (findings, files) follow their message: the messages of their month are read once, ids only.
The clear columns (`raw`, …) are not in the dataset at all for whoever may not see them, so that their key is never asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from pipeline import schema
from pipeline.deltalog import Snapshot
from pipeline.lake import Lake
from pipeline.roles.acting import Access
from pipeline.roles.rowscope import RowScope, scope_of

PEOPLE = ("sender_id", "recipient_ids", "room_id", "sent_at", "captured_at")
BY_MESSAGE = ("matches", "media")
BY_EMPLOYEE: Mapping[str, tuple[str, ...]] = {
    "consent": ("userid",), "consent_asks": ("userid",), "follows": ("userid",), "handovers": ("from_userid", "to_userid"), "seats": ("userid",),
    "behaviour": ("userid",), "notices": ("userid",), "records": ("employee_id",),
}  # fmt: skip
OF_SOMEBODY = ("pending", "restricted", "removed")  # fates of records that were opened, whose rows need not say whose they are
Mask = Callable[[pa.RecordBatch], pa.Array]


class View:
    """The lake as one person sees it, over one snapshot. hidden: the condition that `hidden.py` puts on some kinds, messages among them, or None."""

    def __init__(self, lake: Lake, snapshot: Snapshot, access: Access, hidden: pc.Expression | None) -> None:
        self.lake, self.snapshot, self.access = lake, snapshot, access
        person = access.person if access.mode == "roles" else None
        bound = person is not None and bool(person.departments or person.employee or person.manager)
        self.scope = scope_of(person, _people(lake, snapshot), _handovers(lake, snapshot)) if bound else RowScope()
        self._keys: dict[str, dict[str, pa.Array]] = {}
        self._hidden = hidden  # what follows the message leaves out what messages do

    def of(self, kind: str, dataset: ds.Dataset, hidden: pc.Expression | None) -> ds.Dataset:
        """Return the dataset of a kind as the person sees it; itself when nothing is hidden. hidden: a condition on its rows, or None."""
        dropped = () if self.access.clear else schema.kind(kind).second_key
        mask = None if self.scope.everything else self._mask(kind)
        if mask is None and not dropped:
            return dataset.filter(hidden) if hidden is not None else dataset
        return Narrowed(dataset, hidden, mask, _NEEDED.get(kind, ()), dropped)

    def _mask(self, kind: str) -> Mask | None:
        if kind == "messages":
            return lambda batch: seen(self.scope, batch)
        if kind in BY_MESSAGE:
            return self._of_message
        if kind == "reviews":
            return lambda batch: _among(batch["finding_id"], self._findings())
        if self.scope.spells is None:
            return None
        if kind == "records":
            return self._of_record
        if kind in BY_EMPLOYEE:
            return lambda batch: self._of_employee(kind, batch)
        if kind in ("people", "identities"):
            return lambda batch: self._of_customer(kind, batch)
        if kind in ("rooms", "memberships"):
            return lambda batch: _among(batch["room_id"], self._rooms())
        return None

    # -- what follows the message ---------------------------------------------------------------------------------------

    def _of_message(self, batch: pa.RecordBatch) -> pa.Array:
        months = pc.strftime(batch["dt"].cast(pa.timestamp("s")), format="%Y-%m")
        found = pa.array([False] * batch.num_rows, pa.bool_())
        for month in pc.unique(months).to_pylist():
            for origin, seqs in self._visible(month).items():
                here = pc.and_(pc.equal(months, month), pc.equal(batch["origin"], origin))
                found = pc.or_(found, pc.and_(here, pc.is_in(batch["seq"], value_set=seqs)))
        return found

    def _visible(self, month: str) -> dict[str, pa.Array]:
        """Return the seqs of the messages of a month that the person sees, by origin; read once."""
        if month not in self._keys:
            dataset = self.lake.dataset("messages", self.snapshot.of("messages", months=[month]))
            keys: dict[str, list[pa.Array]] = {}
            for batch in _scan(dataset, ["origin", "seq", *PEOPLE], self._hidden):
                kept = batch.filter(seen(self.scope, batch))
                for origin in pc.unique(kept["origin"]).to_pylist():
                    keys.setdefault(origin, []).append(kept.filter(pc.equal(kept["origin"], origin))["seq"])
            self._keys[month] = {origin: pa.concat_arrays(seqs) for origin, seqs in keys.items()}
        return self._keys[month]

    def _findings(self) -> pa.Array:
        dataset = self.lake.dataset("matches", self.snapshot.of("matches"))
        found = [b.filter(self._of_message(b))["finding_id"] for b in _scan(dataset, ["finding_id", "origin", "seq", "dt"], None)]
        return pc.unique(pa.concat_arrays(found)) if found else pa.array([], pa.string())

    # -- what names an employee, a customer or a room ---------------------------------------------------------------------

    @property
    def _staff(self) -> pa.Array:
        return pa.array(sorted({s.employee for s in self.scope.spells or ()}), pa.string())

    def _of_employee(self, kind: str, batch: pa.RecordBatch) -> pa.Array:
        """An employee that ever was in the departments; a row of a room is seen by the room's members. A handover when both sides were (a successor may be
        missing): of one across the border the other side's chats are hidden, so that it would read as if nobody had followed up."""
        if kind == "handovers":
            there = _among(pc.ascii_lower(batch["to_userid"]), self._staff)
            return pc.and_(_among(pc.ascii_lower(batch["from_userid"]), self._staff), pc.or_(there, pc.is_null(batch["to_userid"])))
        mask = pa.array([False] * batch.num_rows, pa.bool_())
        for column in BY_EMPLOYEE[kind]:
            mask = pc.or_(mask, _among(pc.ascii_lower(batch[column]), self._staff))
        if "room_id" in batch.schema.names:
            mask = pc.or_(mask, _among(batch["room_id"], self._rooms()))
        return mask

    def _of_record(self, batch: pa.RecordBatch) -> pa.Array:
        """A row that names an employee or room as above; one that names neither by all, unless its record has people who are not told (OF_SOMEBODY); but
        nothing of a record of which a later row is hidden: an earlier one (failed, and withheld once its key came) would count as if it still stood."""
        return pc.and_not(self._named(batch), _among_keys(batch, self._overtaken()))

    def _named(self, batch: pa.RecordBatch) -> pa.Array:
        nobody = pc.and_(pc.is_null(batch["employee_id"]), pc.is_null(batch["room_id"]))
        return pc.or_(self._of_employee("records", batch), pc.and_not(nobody, pc.is_in(batch["fate"], value_set=pa.array(OF_SOMEBODY))))

    def _overtaken(self) -> Mapping[str, pa.Array]:
        """Return the seqs of records of which a later row is hidden, by origin; read once."""
        if "overtaken" not in self._keys:
            found: dict[str, list[pa.Array]] = {}
            dataset = self.lake.dataset("records", self.snapshot.of("records"))
            for batch in _scan(dataset, ["origin", "seq", "employee_id", "room_id", "fate"], ds.field("fate_no") > 0):
                gone = batch.filter(pc.invert(self._named(batch)))
                for origin in pc.unique(gone["origin"]).to_pylist():
                    found.setdefault(origin, []).append(gone.filter(pc.equal(gone["origin"], origin))["seq"])
            self._keys["overtaken"] = {origin: pa.concat_arrays(seqs) for origin, seqs in found.items()}
        return self._keys["overtaken"]

    def _of_customer(self, kind: str, batch: pa.RecordBatch) -> pa.Array:
        if kind == "identities":
            return _among(batch["external_userid"], self._customers())
        return pc.or_(pc.not_equal(batch["kind"], "external"), _among(batch["userid"], self._customers()))

    def _customers(self) -> pa.Array:
        return self._once("customers", "external_userid", ("follows", "consent"), lambda b: _among(pc.ascii_lower(b["userid"]), self._staff), ["userid"])

    def _rooms(self) -> pa.Array:
        return self._once("rooms", "room_id", ("memberships",), lambda b: _among(pc.ascii_lower(b["member_id"]), self._staff), ["member_id"])

    def _once(self, name: str, column: str, kinds: Iterable[str], mask: Mask, needed: list[str]) -> pa.Array:
        if name not in self._keys:
            batches = [b for kind in kinds for b in _scan(self.lake.dataset(kind, self.snapshot.of(kind)), [column, *needed], None)]
            found = [b.filter(mask(b))[column] for b in batches]
            self._keys[name] = {"": pc.unique(pa.concat_arrays(found)) if found else pa.array([], pa.string())}
        return self._keys[name][""]


_NEEDED: Mapping[str, tuple[str, ...]] = {
    "messages": PEOPLE, "matches": ("origin", "seq", "dt"), "media": ("origin", "seq", "dt"), "reviews": ("finding_id",), "people": ("kind", "userid"),
    "identities": ("external_userid",), "rooms": ("room_id",), "memberships": ("room_id",),
    **{kind: (*named, *(("room_id",) if kind in ("consent", "consent_asks") else ())) for kind, named in BY_EMPLOYEE.items()},
    "records": ("employee_id", "room_id", "origin", "seq", "fate"),
}  # fmt: skip


def seen(scope: RowScope, batch: pa.RecordBatch) -> pa.Array:
    """Return which messages of a batch (with the columns PEOPLE) the scope lets through: `RowScope.sees`, for all rows at once."""
    rows = pa.array(range(batch.num_rows), pa.int64())
    at_ms = pc.divide(pc.coalesce(batch["sent_at"], batch["captured_at"]).cast(pa.int64()), 1000)
    of_row = pa.concat_arrays([rows, pc.list_parent_indices(batch["recipient_ids"]).cast(pa.int64())])
    party = pa.concat_arrays([batch["sender_id"], pc.list_flatten(batch["recipient_ids"])])
    folded = pc.ascii_lower(party)
    mask = pa.array([True] * batch.num_rows, pa.bool_())
    if scope.spells is not None:
        mask = pc.is_in(rows, value_set=pc.unique(of_row.filter(_in_spell(scope, folded, at_ms.take(of_row)))))
    if scope.never:
        never = pa.array(sorted(scope.never), pa.string())
        party_of = pc.is_in(rows, value_set=pc.unique(of_row.filter(_among(folded, never))))
        single = pc.is_null(batch["room_id"])
        mask = pc.and_not(mask, pc.or_(pc.and_(single, party_of), _among(pc.ascii_lower(batch["sender_id"]), never)))
    if scope.taken_over:
        handed = pc.unique(of_row.filter(_among(party, pa.array(sorted(scope.taken_over), pa.string()))))
        gone = [at for at in handed.to_pylist() if not _of_own_time(scope, batch.slice(at, 1))]
        mask = pc.and_not(mask, pc.is_in(rows, value_set=pa.array(gone, pa.int64())))
    return mask


def _of_own_time(scope: RowScope, row: pa.RecordBatch) -> bool:
    """Rule 3 of one message, by the plain function: few messages name a customer that was handed over."""
    people = [p for p in (*row["sender_id"].to_pylist(), *row["recipient_ids"].to_pylist()[0]) if p]
    return RowScope(own=scope.own, taken_over=scope.taken_over).sees(people, room=False, at_ms=0)


def _in_spell(scope: RowScope, folded: pa.Array, at_ms: pa.Array) -> pa.Array:
    by_span: dict[tuple[int | None, int | None], list[str]] = {}
    for spell in scope.spells or ():
        by_span.setdefault((spell.from_ms, spell.to_ms), []).append(spell.employee)
    found = pa.array([False] * len(folded), pa.bool_())
    for (since, until), employees in by_span.items():
        here = _among(folded, pa.array(employees, pa.string()))
        here = here if since is None else pc.and_(here, pc.greater_equal(at_ms, since))
        found = pc.or_(found, here if until is None else pc.and_(here, pc.less(at_ms, until)))
    return pc.fill_null(found, False)


def _among(values: pa.Array, known: pa.Array) -> pa.Array:
    return pc.and_(pc.is_valid(values), pc.is_in(values, value_set=known))


def _among_keys(batch: pa.RecordBatch, known: Mapping[str, pa.Array]) -> pa.Array:
    """Return which rows are of these records, by origin."""
    found = pa.array([False] * batch.num_rows, pa.bool_())
    for origin, seqs in known.items():
        found = pc.or_(found, pc.and_(pc.equal(batch["origin"], origin), _among(batch["seq"], seqs)))
    return found


def _scan(dataset: ds.Dataset, columns: Sequence[str], where: pc.Expression | None) -> Iterator[pa.RecordBatch]:
    yield from dataset.scanner(columns=list(columns), filter=where).to_batches()


class Narrowed(ds.InMemoryDataset):
    """A dataset whose scans leave rows and columns out. What it holds itself is nothing: the scans are the inner dataset's."""

    def __init__(self, inner: ds.Dataset, where: pc.Expression | None, mask: Mask | None, needed: Sequence[str], dropped: Sequence[str]) -> None:
        super().__init__(pa.schema([f for f in inner.schema if f.name not in dropped]).empty_table())
        self._inner, self._where, self._needed = inner, where, tuple(needed) if mask else ()
        self._masked = mask

    def scanner(self, *, columns: Sequence[str] | None = None, filter: pc.Expression | None = None, **more: Any) -> Any:
        """Return what DuckDB asks of a dataset: something with `to_reader()`."""
        wanted = list(self.schema.names if columns is None else columns)
        where = self._where if filter is None else filter if self._where is None else self._where & filter
        read = [*wanted, *(c for c in self._needed if c not in wanted)]
        return _Scan(self._inner.scanner(columns=read, filter=where, **more), self._masked, wanted)


class _Scan:
    def __init__(self, scanner: ds.Scanner, mask: Mask | None, wanted: list[str]) -> None:
        self._scanner, self._mask, self._wanted = scanner, mask, wanted
        self.projected_schema = pa.schema([scanner.projected_schema.field(c) for c in wanted])

    def to_batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the rows that are let through."""
        for batch in self._scanner.to_batches():
            yield (batch if self._mask is None else batch.filter(self._mask(batch))).select(self._wanted)

    def to_reader(self) -> pa.RecordBatchReader:
        """Return the batches of the scan, in order."""
        return pa.RecordBatchReader.from_batches(self.projected_schema, self.to_batches())


# -- the directory, read outside of the view ------------------------------------------------------------------------------


def _people(lake: Lake, snapshot: Snapshot) -> list[dict[str, Any]]:
    return _view(lake, snapshot, "people")


def _handovers(lake: Lake, snapshot: Snapshot) -> list[dict[str, Any]]:
    return _view(lake, snapshot, "handovers")


def _view(lake: Lake, snapshot: Snapshot, name: str) -> list[dict[str, Any]]:
    """Return the rows of a view that rests on its own kind alone, by its own SQL, so that both mean the same."""
    from pipeline import audit

    with duckdb.connect(":memory:", config={"temp_directory": ""}) as connection:
        connection.execute(audit.context_sql(lake.corp_id))
        connection.register(f"lake_{name}", lake.read(name, snapshot.of(name)))
        connection.execute(audit.view_sql(name))
        cursor = connection.execute(f"SELECT * FROM {name}")
        names = [d[0] for d in cursor.description or []]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
