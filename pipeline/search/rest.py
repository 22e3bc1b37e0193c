"""The records that are not simply archived, kept beside each records file: few, while the file has a row for every record that ever came.

Before: ../lake.py, ../stamps.py. After: ../reader.py (the internal view `lake_rest`), cycle_steps.py (makes them).

    search/<corp>/<sha256 of the data file>.rest    a box: stamp, then the rows as an Arrow stream

Rules, each with a test:
 (1) Kept are the rows whose fate is another than archived, or which are not the first of their record. Whatever is said of withheld, pending,
     restricted, failed and control records is said by them alone.
 (2) A box is believed when it opens and its stamp fits; otherwise the rows are read from the records file itself.
 (3) Rows, not counts: what a person may see of them is chosen by the filter that records themselves have.
 (4) Only the newest of what is kept of a record is handed on, before that filter: where it is hidden from a person, an earlier one (failed, and
     withheld once its key came) is not shown as if it still stood.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from pipeline import durable, schema, stamps
from pipeline.errors import ArchiveError, StorageError
from pipeline.home import Home
from pipeline.lake import DataFile, Lake, Snapshot
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
        durable.remove(path)
    missing = [f for f in files if kept(home.path, lake, snapshot, f) is None]
    for file in missing:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, columns(), options=pa.ipc.IpcWriteOptions(compression="zstd")) as stream:
            stream.write_table(from_file(lake, file))
        box = _Box(stamps.stamp(MAKER, snapshot, [file]), sink.getvalue().to_pybytes())
        sealed = lake.keyring.seal(f"{corp_id}/search", msgspec.msgpack.encode(box), context=_context(file))
        durable.replace(place(home.path, corp_id, file), sealed)
    return len(missing)


def from_file(lake: Lake, file: DataFile) -> pa.Table:
    """Return the rows of a records file that rule 1 keeps, by reading it."""
    where = (ds.field("fate") != "archived") | (ds.field("fate_no") > 0)
    return lake.read("records", [file], columns=columns().names, where=where)


def kept(home_path: Path, lake: Lake, snapshot: Snapshot, file: DataFile) -> pa.Table | None:
    """Return the rows kept beside a file; None when there are none that can be believed (rule 2)."""
    try:
        with durable.storage("reading what is kept beside the records"):
            data = place(home_path, lake.corp_id, file).read_bytes()
        box = msgspec.msgpack.decode(lake.keyring.open(data, context=_context(file)), type=_Box)
    except (ArchiveError, msgspec.DecodeError, ValueError) as error:
        if isinstance(error, StorageError) and not isinstance(error, durable.Vanished):
            raise
        return None
    return pa.ipc.open_stream(box.rows).read_all() if stamps.fits(box.stamp, MAKER, snapshot, [file]) else None


def _context(file: DataFile) -> bytes:
    return f"rest\0{file.path}".encode()


def newest(rows: pa.Table) -> pa.Table:
    """Return the rows with the highest fate_no of their record (rule 4). A record is an origin, a seq (maybe none) and a variant."""
    record = ["origin", "variant", "seq", "numbered"]
    seqs, places = rows["seq"], pa.array(range(rows.num_rows), pa.int64())
    told = pa.table([rows["origin"], rows["variant"], pc.fill_null(seqs, 0), pc.is_valid(seqs), rows["fate_no"], places], [*record, "fate_no", "at"])
    best = told.group_by(record).aggregate([("fate_no", "max")])
    found = told.join(best, record)
    kept_at = found.filter(pc.equal(found["fate_no"], found["fate_no_max"]))["at"]
    return rows.take(kept_at.take(pc.sort_indices(kept_at)))


class Rest(ds.InMemoryDataset):
    """The rows of all records files, read when first asked for."""

    def __init__(self, home_path: Path, lake: Lake, snapshot: Snapshot) -> None:
        super().__init__(columns().empty_table())
        self._home, self._lake, self._snapshot = home_path, lake, snapshot
        self._read: ds.Dataset | None = None

    def scanner(self, **asked: Any) -> Any:
        """Return what DuckDB asks of a dataset: something with `to_reader()`."""
        if self._read is None:
            self._read = ds.dataset(newest(pa.concat_tables([columns().empty_table(), *map(self._rows, self._files())])))
        return self._read.scanner(**asked)

    def _files(self) -> Sequence[DataFile]:
        return self._snapshot.of("records")

    def _rows(self, file: DataFile) -> pa.Table:
        found = kept(self._home, self._lake, self._snapshot, file) if file.rows >= LEAST_ROWS else None
        return (from_file(self._lake, file) if found is None else found).cast(columns())
