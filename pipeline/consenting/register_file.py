"""The register as one file that all workers map: made from the consent events of one version of the lake, made again when those changed.

Before: register.py (rules), stamps.py. After: workbench.py, where the register has more than SMALL events; a smaller one is built in memory.

Layout (native byte order; it never leaves the machine): 8 bytes length of the header, JSON header, then, each aligned to 8 bytes: the higher and
the lower halves of the scopes' digests (u64, sorted), the first row of each scope (u32, one more at the end), where the digests of each prefix
begin (u32, one more at the end; `bits` of the header says how long a prefix is), and the rows, 40 bytes each: event id (AES), changed, recorded
(i64 ms, MISSING where absent), batch (i32, -1 none), status, source, unit (u8), one of padding. What a look-up reads lies together: three places.
No id lies in it in clear: a scope is its keyed digest (BLAKE2b, 128 bits), an event id is enciphered, both under a key of the keyring; a file
that cannot be read, or whose stamp does not fit, is made again.
"""

from __future__ import annotations

import mmap
import struct
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import pyarrow as pa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from pipeline import durable, lakerows, stamps
from pipeline.deltalog import DataFile, Snapshot
from pipeline.home import Home
from pipeline.lake import Lake
from pipeline.register import DAY_MS, MEANING, SOURCES, Register, Row, pair_scope, room_scope
from pipeline.stamps import Stamp

SMALL: Final = 20_000
MAKER: Final = "register/2"
KEY_UNIT: Final = "register"
MISSING: Final = -(1 << 63)
_STATUSES: Final = ("agree", "default_agree", "refused", "pending")
_SOURCES: Final = tuple(SOURCES)
_UNITS: Final = (1, 1000, DAY_MS)
_COLUMNS: Final = ["event_id", "userid", "room_id", "external_userid", "status", "changed_at", "precision", "source", "recorded_at", "flag", "batch", "undoes"]
_FIELDS: Final = ("changed", "recorded", "batch", "status", "source", "unit")
_ROW: Final = np.dtype([("id", "V16"), ("changed", "i8"), ("recorded", "i8"), ("batch", "i4"), ("status", "u1"), ("source", "u1"), ("unit", "u1"), ("padding", "u1")])
_ROW_BYTES: Final = _ROW.itemsize
_PAIR: Final = struct.Struct("=QQ").unpack
_READ: Final = struct.Struct("=16sqqiBBBx").unpack_from


class _Header(msgspec.Struct, frozen=True):
    stamp: Stamp
    scopes: int
    rows: int
    bits: int
    batches: tuple[str, ...]
    undone: tuple[str, ...]
    lengths: tuple[int, ...]


def register_of(home: Home, corp_id: str, snapshot: Snapshot) -> Register:
    """Return the register of a version of the lake: built in memory when it is small, else mapped from its file, which is made when it does not fit."""
    lake, files = home.lake(corp_id), snapshot.of("consent")
    if sum(f.rows for f in files) <= SMALL:
        return Register.of(lakerows.events_in(lake, files), version=snapshot.version)
    path = home.path / "register" / f"{corp_id}.map"
    found = _open(home, path, snapshot, files)
    if found is None:
        durable.make_folder(path.parent)
        build(home, lake, path, snapshot, files)
        found = _open(home, path, snapshot, files)
    assert found is not None
    rows, header = found
    return Register(rows, {}, frozenset(header.undone), snapshot.version, frozenset(header.lengths))


def _key(home: Home) -> bytes:
    return home.keyring.get(home.keyring.current(KEY_UNIT))


# -- making it ---------------------------------------------------------------------------------------------------------


def build(home: Home, lake: Lake, path: Path, snapshot: Snapshot, files: Sequence[DataFile]) -> None:
    """Make the file from the events of `files` and put it in its place at once."""
    key = _key(home)
    digest, ids = array("B"), array("B")
    kept: dict[str, list[Any]] = {name: [] for name in _FIELDS}
    batches: dict[str | None, int] = {None: -1}
    undone, lengths = set[str](), set[int]()
    for batch in lake.dataset("consent", list(files)).scanner(columns=_COLUMNS).to_batches():
        _gather(batch, key, digest, ids, kept, batches, undone, lengths)
    pairs = np.frombuffer(digest, dtype="<u8").reshape(-1, 2)
    order = np.lexsort((pairs[:, 1], pairs[:, 0]))
    pairs = pairs[order]
    new = np.ones(len(pairs), dtype=bool)
    new[1:] = (pairs[1:] != pairs[:-1]).any(axis=1)
    high, low, first = pairs[new][:, 0], pairs[new][:, 1], np.append(np.flatnonzero(new), len(pairs))
    rows, bits = np.zeros(len(pairs), _ROW), max(len(high).bit_length() - 2, 1)
    for name in _FIELDS:
        rows[name] = np.asarray(kept[name], _ROW[name])[order]
    plain = np.frombuffer(ids, "u1").reshape(-1, 16)[order].tobytes()
    rows["id"] = np.frombuffer(Cipher(algorithms.AES(key), modes.ECB()).encryptor().update(plain), "V16")
    header = msgspec.json.encode(_Header(
        stamps.stamp(MAKER, snapshot, files), len(high), len(pairs), bits, tuple(b for b in batches if b is not None), tuple(sorted(undone)),
        tuple(sorted(lengths)),
    ))  # fmt: skip
    parts = [len(header).to_bytes(8, "little"), header]
    for part in (high.astype("u8"), low.astype("u8"), first.astype("u4"), _begins(high, bits), rows):
        parts += [b"\0" * (-sum(map(len, parts)) % 8), part.tobytes()]
    durable.replace(path, b"".join(parts))


def _begins(high: Any, bits: int) -> Any:
    """Return where in `high` (sorted) the digests of each prefix of so many bits begin, and the end."""
    prefixes = np.arange(1 << bits, dtype="u8") << np.uint64(64 - bits)
    return np.append(np.searchsorted(high, prefixes), len(high)).astype("u4")


def _gather(
    batch: pa.RecordBatch, key: bytes, digest: array[int], ids: array[int], kept: dict[str, list[Any]], batches: dict[str | None, int], undone: set[str],
    lengths: set[int],
) -> None:
    names = {n: batch[n].to_pylist() for n in _COLUMNS if n not in ("changed_at", "recorded_at")}
    times = {n: [MISSING if t is None else t // 1000 for t in batch[n].cast(pa.int64()).to_pylist()] for n in ("changed_at", "recorded_at")}
    if any(u is not None for u in names["undoes"]):
        undone.update(u for u in names["undoes"] if u is not None)
    places = [at for at, u in enumerate(names["undoes"]) if u is None]
    digest_of = _digester(key)
    statuses, sources = {s: n for n, s in enumerate(_STATUSES)}, {s: n for n, s in enumerate(_SOURCES)}
    users, rooms, externals = names["userid"], names["room_id"], names["external_userid"]
    digest.frombytes(b"".join([digest_of(room_scope(rooms[at], externals[at]) if rooms[at] is not None else pair_scope(users[at] or "", externals[at])) for at in places]))
    lengths |= {len(users[at] or "") for at in places if rooms[at] is None}
    ids.frombytes(b"".join([bytes.fromhex(names["event_id"][at]) for at in places]))
    for name in {names["batch"][at] for at in places}:
        batches.setdefault(name, len(batches) - 1)
    kept["changed"] += [times["changed_at"][at] for at in places]
    kept["recorded"] += [times["recorded_at"][at] for at in places]
    kept["batch"] += [batches[names["batch"][at]] for at in places]
    kept["status"] += [statuses[MEANING.get(names["status"][at], "pending")] for at in places]
    kept["source"] += [sources[names["source"][at]] for at in places]
    kept["unit"] += [2 if names["flag"][at] == "day_only" else 1 if names["precision"][at] == "s" else 0 for at in places]


def _digester(key: bytes) -> Any:
    whole = blake2b(key=key, digest_size=16)

    def digest(scope: str) -> bytes:
        one = whole.copy()
        one.update(scope.encode("utf-8", "surrogatepass"))
        return one.digest()

    return digest


# -- reading it --------------------------------------------------------------------------------------------------------


def _open(home: Home, path: Path, snapshot: Snapshot, files: Sequence[DataFile]) -> tuple[MappedRows, _Header] | None:
    """Return the rows of a file that fits, None for any other."""
    try:
        with durable.storage("reading the register's file"), path.open("rb") as handle:
            held = mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ)
        size = int.from_bytes(held[:8], "little")
        header = msgspec.json.decode(held[8 : 8 + size], type=_Header)
        if stamps.judge(header.stamp, MAKER, snapshot, files) != "fits":
            return None
        return MappedRows(held, 8 + size, header, _key(home)), header
    except (durable.Vanished, msgspec.DecodeError, ValueError):
        return None


class MappedRows:
    """The rows of every scope, by the scope's keyed digest: what `Register` asks of its base. Scopes cannot be listed: they are not there in clear."""

    def __init__(self, held: mmap.mmap, at: int, header: _Header, key: bytes) -> None:
        view = memoryview(held)

        def part(count: int, size: int) -> memoryview:
            nonlocal at
            begin = at + -at % 8
            at = begin + count * size
            return view[begin:at]

        self._high, self._low = part(header.scopes, 8).cast("Q"), part(header.scopes, 8).cast("Q")
        self._first, self._begins = part(header.scopes + 1, 4).cast("I"), part((1 << header.bits) + 1, 4).cast("I")
        self._rows = part(header.rows, _ROW.itemsize)
        if len(self._rows) != header.rows * _ROW.itemsize:
            raise ValueError("the register's file is cut")
        self._batches, self._count, self._shift = header.batches, header.scopes, 64 - header.bits
        self._digest = _digester(key)
        self._decipher = Cipher(algorithms.AES(key), modes.ECB()).decryptor().update

    def get(self, scope: str) -> tuple[Row, ...] | None:
        """Return the rows of a scope, None when it has no event."""
        high, low = _PAIR(self._digest(scope))
        prefix = high >> self._shift
        at = bisect_left(self._high, high, self._begins[prefix], self._begins[prefix + 1])
        while at < self._count and self._high[at] == high:
            if self._low[at] == low:
                return tuple([self._row(n) for n in range(self._first[at], self._first[at + 1])])
            at += 1
        return None

    def _row(self, n: int) -> Row:
        event_id, changed, recorded, batch, status, source, unit = _READ(self._rows, n * _ROW_BYTES)
        return Row(
            self._decipher(event_id).hex(), _STATUSES[status], _SOURCES[source], None if changed == MISSING else changed, _UNITS[unit], recorded,
            None if batch < 0 else self._batches[batch],
        )  # fmt: skip

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[str]:
        raise TypeError("the scopes of a mapped register are not there in clear: go through its events")

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("a mapped register is opened by each process, it does not travel")


