"""The register as one file that all workers map: made from the consent events of one version of the lake, made again when those changed.

Before: register.py (rules), stamps.py. After: workbench.py, where the register has more than SMALL events; a smaller one is built in memory.

Layout (native byte order; it never leaves the machine): 8 bytes length of the header, JSON header, then, each aligned to 8 bytes: keys (two u64 a
scope, sorted), first row of each scope (u32, one more at the end), and of each row: changed, recorded (i64 ms, MISSING where absent), batch (i32,
-1 none), status, source, unit (u8), event id (16 bytes, AES). No id lies in it in clear: a scope is its keyed digest (BLAKE2b, 128 bits), an
event id is enciphered, both under a key of the keyring; a file that cannot be read, or whose stamp does not fit, is made again.
"""

from __future__ import annotations

import math
import mmap
import sys
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
import numpy as np
import pyarrow as pa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from pipeline import durable, lakerows, stamps
from pipeline.home import Home
from pipeline.lake import DataFile, Lake, Snapshot
from pipeline.register import DAY_MS, MEANING, SOURCES, Register, Row, pair_scope, room_scope
from pipeline.stamps import Stamp

SMALL: Final = 20_000
MAKER: Final = "register/1"
KEY_UNIT: Final = "register"
MISSING: Final = -(1 << 63)
_STATUSES: Final = ("agree", "default_agree", "refused", "pending")
_SOURCES: Final = tuple(SOURCES)
_UNITS: Final = (1, 1000, DAY_MS)
_COLUMNS: Final = ["event_id", "userid", "room_id", "external_userid", "status", "changed_at", "precision", "source", "recorded_at", "flag", "batch", "undoes"]
_ARRAYS: Final = (("keys", "<u8"), ("first", "<u4"), ("changed", "<i8"), ("recorded", "<i8"), ("batch", "<i4"), ("status", "u1"), ("source", "u1"), ("unit", "u1"))


class _Header(msgspec.Struct, frozen=True):
    stamp: Stamp
    scopes: int
    rows: int
    batches: tuple[str, ...]
    undone: tuple[str, ...]


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
    rows, undone = found
    return Register(rows, {}, undone, snapshot.version)


def _key(home: Home) -> bytes:
    return home.keyring.get(home.keyring.current(KEY_UNIT))


# -- making it ---------------------------------------------------------------------------------------------------------


def build(home: Home, lake: Lake, path: Path, snapshot: Snapshot, files: Sequence[DataFile]) -> None:
    """Make the file from the events of `files` and put it in its place at once."""
    key = _key(home)
    digest, ids = array("B"), array("B")
    kept: dict[str, list[Any]] = {name: [] for name, _ in _ARRAYS[2:]}
    batches: dict[str | None, int] = {None: -1}
    undone: set[str] = set()
    for batch in lake.dataset("consent", list(files)).scanner(columns=_COLUMNS).to_batches():
        _gather(batch, key, digest, ids, kept, batches, undone)
    pairs = np.frombuffer(digest, dtype="<u8").reshape(-1, 2)
    order = np.lexsort((pairs[:, 1], pairs[:, 0]))
    pairs = pairs[order]
    new = np.ones(len(pairs), dtype=bool)
    new[1:] = (pairs[1:] != pairs[:-1]).any(axis=1)
    first = np.append(np.flatnonzero(new), len(pairs)).astype("<u4")
    arrays: dict[str, Any] = {"keys": np.concatenate([pairs[new][:, 0], pairs[new][:, 1]]), "first": first}
    arrays |= {name: np.asarray(values, dtype=kind)[order] for (name, kind), values in zip(_ARRAYS[2:], kept.values(), strict=True)}
    enciphered = Cipher(algorithms.AES(key), modes.ECB()).encryptor().update(np.frombuffer(ids, "u1").reshape(-1, 16)[order].tobytes())
    header = msgspec.json.encode(_Header(
        stamps.stamp(MAKER, snapshot, files), len(first) - 1, len(pairs), tuple(b for b in batches if b is not None), tuple(sorted(undone)),
    ))  # fmt: skip
    parts = [len(header).to_bytes(8, "little"), header]
    for name, kind in _ARRAYS:
        parts += [_padding(sum(map(len, parts))), np.ascontiguousarray(arrays[name], dtype=kind).tobytes()]
    durable.replace(path, b"".join([*parts, enciphered]))


def _padding(size: int) -> bytes:
    return b"\0" * (-size % 8)


def _gather(
    batch: pa.RecordBatch, key: bytes, digest: array[int], ids: array[int], kept: dict[str, list[Any]], batches: dict[str | None, int], undone: set[str]
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


def _open(home: Home, path: Path, snapshot: Snapshot, files: Sequence[DataFile]) -> tuple[MappedRows, frozenset[str]] | None:
    """Return the rows of a file that fits, None for any other."""
    try:
        with durable.storage("reading the register's file"), path.open("rb") as handle:
            held = mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ)
        size = int.from_bytes(held[:8], "little")
        header = msgspec.json.decode(held[8 : 8 + size], type=_Header)
        if stamps.judge(header.stamp, MAKER, snapshot, files) != "fits":
            return None
        return MappedRows(held, 8 + size, header, _key(home)), frozenset(header.undone)
    except (durable.Vanished, msgspec.DecodeError, ValueError):
        return None


class MappedRows:
    """The rows of every scope, by the scope's keyed digest: what `Register` asks of its base. Scopes cannot be listed: they are not there in clear."""

    def __init__(self, held: mmap.mmap, at: int, header: _Header, key: bytes) -> None:
        view = memoryview(held)
        counts = {"keys": 2 * header.scopes, "first": header.scopes + 1}
        found: dict[str, Any] = {}
        for name, kind in _ARRAYS:
            at += -at % 8
            size = counts.get(name, header.rows) * np.dtype(kind).itemsize
            found[name] = view[at : at + size].cast(_FORMATS[kind])
            at += size
        self._ids = view[at : at + 16 * header.rows]
        if len(self._ids) != 16 * header.rows:
            raise ValueError("the register's file is cut")
        self._high, self._low = found["keys"][: header.scopes], found["keys"][header.scopes :]
        self._first, self._changed, self._recorded, self._batch = (found[n] for n in ("first", "changed", "recorded", "batch"))
        self._status, self._source, self._unit = (found[n] for n in ("status", "source", "unit"))
        self._batches, self._count = header.batches, header.scopes
        self._reach = 4 * math.isqrt(header.scopes) + 4
        self._digest = _digester(key)
        self._decipher = Cipher(algorithms.AES(key), modes.ECB()).decryptor().update

    def get(self, scope: str) -> tuple[Row, ...] | None:
        """Return the rows of a scope, None when it has no event."""
        digest = self._digest(scope)
        high, low = int.from_bytes(digest[:8], sys.byteorder), int.from_bytes(digest[8:], sys.byteorder)
        at = self._place(high)
        while at < self._count and self._high[at] == high:
            if self._low[at] == low:
                return tuple([self._row(n) for n in range(self._first[at], self._first[at + 1])])
            at += 1
        return None

    def _place(self, high: int) -> int:
        """Return where `high` lies or would lie. Digests lie evenly: it is near where its share of all says, or else looked for everywhere."""
        guess = high * self._count >> 64
        low, end = max(0, guess - self._reach), min(self._count, guess + self._reach)
        at = bisect_left(self._high, high, low, end)
        return at if low < at < end else bisect_left(self._high, high)

    def _row(self, n: int) -> Row:
        changed, batch = self._changed[n], self._batch[n]
        return Row(
            self._decipher(self._ids[16 * n : 16 * n + 16]).hex(), _STATUSES[self._status[n]], _SOURCES[self._source[n]],
            None if changed == MISSING else changed, _UNITS[self._unit[n]], self._recorded[n], None if batch < 0 else self._batches[batch],
        )  # fmt: skip

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[str]:
        raise TypeError("the scopes of a mapped register are not there in clear: go through its events")

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("a mapped register is opened by each process, it does not travel")


_FORMATS: Final[dict[str, Literal["Q", "I", "q", "i", "B"]]] = {"<u8": "Q", "<u4": "I", "<i8": "q", "<i4": "i", "u1": "B"}
