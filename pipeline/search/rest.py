"""The records that are not simply archived, kept beside each records file: few, while the file has a row for every record that ever came.

Before: ../lake.py, ../stamps.py. After: ../reader.py (the internal views `lake_rest`, `lake_later`), cycle_steps.py (makes them).

    search/<corp>/<sha256 of the data file>.rest    a box: stamp, then the rows as an Arrow stream

Rules, each with a test:
 (1) Kept are the rows whose fate is another than archived, or which are not the first of their record. Whatever is said of withheld, pending,
     restricted, failed and control records is said by them alone.
 (2) A box is believed when it opens, its stamp fits and it has the columns that records have now; otherwise the rows are read from the records file itself.
 (3) Rows, not counts: what a person may see of them is chosen by the filter that records themselves have.
 (4) Only the newest of what is kept of a record is handed on as `lake_rest`, before that filter: where it is hidden from a person, an earlier one (failed, and
     withheld once its key came) is not shown as if it still stood.
 (5) An erasure takes all boxes away and ends the key that they lie under, whatever is in them: the next build keeps what is left under a new one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from pipeline import durable, schema, stamps
from pipeline.deltalog import DataFile, Snapshot
from pipeline.home import Home
from pipeline.lake import Lake
from pipeline.search import boxes, doubled
from pipeline.stamps import Stamp

MAKER = "records that are not simply archived/1"
FOLDER = "search"
SUFFIX = ".rest"
LEAST_ROWS = 20_000
LEFT_OUT = ("commitment", "nonce")


class _Box(msgspec.Struct, frozen=True):
    stamp: Stamp
    rows: bytes


def columns() -> pa.Schema:
    """Return the columns of the rows that are kept."""
    return pa.schema([f for f in schema.kind("records").arrow if f.name not in LEFT_OUT])


def place(home_path: Path, corp_id: str, file: DataFile) -> Path:
    """Return where the rows of a records file lie."""
    return home_path / FOLDER / corp_id / f"{file.sha256}{SUFFIX}"


def wanted(snapshot: Snapshot) -> list[DataFile]:
    """Return the records files beside which rows are kept: the others are read as fast."""
    return [f for f in snapshot.of("records") if f.rows >= LEAST_ROWS]


def build(home: Home, corp_id: str) -> int:
    """Keep the rows of every large file that has none, remove those of files that are gone; return how many were made. Caller holds `<corp>.search`."""
    lake = home.lake(corp_id)
    snapshot = lake.snapshot()
    files, folder = wanted(snapshot), home.path / FOLDER / corp_id
    known = {place(home.path, corp_id, f) for f in files}
    for path in sorted(set(folder.glob(f"*{SUFFIX}")) - known):
        boxes.clear(path)
    missing = [f for f in files if kept(home.path, lake, snapshot, f) is None and boxes.clear(place(home.path, corp_id, f))]
    for file in missing:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, columns(), options=pa.ipc.IpcWriteOptions(compression="zstd")) as stream:
            stream.write_table(from_file(lake, file))
        box = _Box(stamps.stamp(MAKER, snapshot, [file]), sink.getvalue().to_pybytes())
        sealed = lake.keyring.seal(doubled.unit(corp_id), msgspec.msgpack.encode(box), context=_context(file))
        durable.replace(place(home.path, corp_id, file), sealed)
    return len(missing)


def from_file(lake: Lake, file: DataFile) -> pa.Table:
    """Return the rows of a records file that rule 1 keeps, by reading it."""
    where = (ds.field("fate") != "archived") | (ds.field("fate_no") > 0)
    return lake.read("records", [file], columns=columns().names, where=where)


def purge(home_path: Path, lake: Lake) -> int:
    """Take away all that is kept beside the records of a corp, and what copies of it open by; return how many boxes there were (rule 5).

    The key goes on before the boxes go: killed in between, the same call ends what is left."""
    found = [*sorted((home_path / FOLDER / lake.corp_id).glob(f"*{SUFFIX}")), doubled.place(home_path, lake.corp_id)]
    there = [path for path in found if path.exists()]
    unit = doubled.unit(lake.corp_id)
    if there:
        lake.keyring.next_generation(unit)
    for path in there:
        boxes.clear(path)
    for name in [n for n in lake.keyring.names(f"{unit}#") if n != lake.keyring.current(unit)]:
        lake.keyring.destroy(name)
    return sum(path.suffix == SUFFIX for path in there)


def kept(home_path: Path, lake: Lake, snapshot: Snapshot, file: DataFile, damaged: set[str] | None = None) -> pa.Table | None:
    """Return the rows kept beside a file; None when there are none that can be believed (rule 2). damaged: takes the paths of those that cannot."""
    at = place(home_path, lake.corp_id, file)
    box = boxes.unsealed(at, lake.keyring, _context(file), _Box, set() if damaged is None else damaged)
    if box is None:
        return None
    if not stamps.fits(box.stamp, MAKER, snapshot, [file]):
        return None
    rows = pa.ipc.open_stream(box.rows).read_all()
    return rows if rows.schema.equals(columns()) else None  # records have other columns since


def _context(file: DataFile) -> bytes:
    return f"rest\0{file.path}".encode()


def newest(rows: pa.Table) -> pa.Table:
    """Return the rows with the highest fate_no of their record (rule 4). A record is an origin, a seq (maybe none) and a variant."""
    record = ["origin", "variant", "seq", "numbered"]
    again = _again(rows)
    some = rows.filter(again)
    places = pc.indices_nonzero(again.combine_chunks())
    told = pa.table([some["origin"], some["variant"], pc.fill_null(some["seq"], 0), pc.is_valid(some["seq"]), some["fate_no"], places], [*record, "fate_no", "at"])
    best = told.group_by(record).aggregate([("fate_no", "max")])
    found = told.join(best, record)
    kept_at = found.filter(pc.less(found["fate_no"], found["fate_no_max"]))["at"]
    if not len(kept_at):
        return rows
    old = pc.is_in(pa.array(range(rows.num_rows), pa.uint64()), value_set=kept_at.combine_chunks())
    return rows.filter(pc.invert(old))


def later(rows: pa.Table) -> pa.Table:
    """Return all rows that are not the first of their record: what is counted by them, page by page, counts each of them."""
    return rows.filter(pc.greater(rows["fate_no"], 0))


def _again(rows: pa.Table) -> pa.ChunkedArray:
    """Return for each row whether others of its record may be here: only those of records that have a later row, which are few."""
    return pc.is_in(rows["seq"], value_set=later(rows)["seq"].combine_chunks())  # a missing seq is among missing ones


def rows_of(home_path: Path, lake: Lake, snapshot: Snapshot, damaged: set[str] | None = None) -> pa.Table:
    """Return the rows that rule 1 keeps of all records files: from what is kept beside them, else from the files. damaged: as of `kept`."""

    def rows(file: DataFile) -> pa.Table:
        found = kept(home_path, lake, snapshot, file, damaged) if file.rows >= LEAST_ROWS else None
        return (from_file(lake, file) if found is None else found).cast(columns())

    return pa.concat_tables([columns().empty_table(), *map(rows, snapshot.of("records"))])


def counts(rows: pa.Table, total: int) -> dict[str, int]:
    """Return the columns of the view `counts` that are numbers, without reading what is simply archived.

    rows: what `rows_of` returned; total: how many rows the log says records have. The view compares all records one by one, which takes seconds for
    millions; where both say something else the archive is damaged, and `verify --archive` names the records."""
    fates = Counter(newest(rows)["fate"].to_pylist())
    fates["archived"] += total - rows.num_rows - _first_left_out(rows)
    told = {fate: fates[fate] for fate in ("pending", "withheld", "failed", "control", "duplicate", "restricted", "removed")}
    archived = fates["archived"] + fates["restricted"] + fates["removed"]
    landed = total - (pc.sum(pc.greater(rows["fate_no"], 0)).as_py() or 0)
    return {"landed": landed, "archived": archived, "active": fates["archived"], **told}


def _first_left_out(rows: pa.Table) -> int:
    """Return how many records have later rows here while the first one, archived then, is not among them: it does not count any more."""
    some = rows.filter(_again(rows)).select(["origin", "variant", "seq", "fate_no"])
    first = some.group_by(["origin", "variant", "seq"]).aggregate([("fate_no", "min")])["fate_no_min"]
    return int(pc.sum(pc.greater(first, 0)).as_py() or 0)


class Rest(ds.InMemoryDataset):
    """The rows of all records files, read when first asked for. chosen: which of them are handed on."""

    def __init__(
        self, home_path: Path, lake: Lake, snapshot: Snapshot, damaged: set[str] | None = None, chosen: Callable[[pa.Table], pa.Table] = newest
    ) -> None:
        super().__init__(columns().empty_table())
        self._home, self._lake, self._snapshot, self._damaged, self._chosen = home_path, lake, snapshot, damaged, chosen
        self._read: ds.Dataset | None = None

    def scanner(self, **asked: Any) -> Any:
        """Return what DuckDB asks of a dataset: something with `to_reader()`."""
        if self._read is None:
            self._read = ds.dataset(self._chosen(rows_of(self._home, self._lake, self._snapshot, self._damaged)))
        return self._read.scanner(**asked)
