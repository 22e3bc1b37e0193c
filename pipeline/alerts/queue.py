"""Batches that wait, and which findings were told: a folder per corp, encrypted, written before anything is sent.

Before: alert.py, ../durable.py, ../keyring.py. After: gather.py, step.py, ../stores.py.

    alerts/<corp>/told.box         findings told or waiting, with their days; the day the last look began at
    alerts/<corp>/<id>.batch       a batch that some channel has not taken yet

Rules:
 (1) A finding that lies in a batch counts as told, whether or not `told.box` says so yet: a crash between the two writes neither loses
     nor repeats it.
 (2) A batch is removed when every configured channel has taken it and `told.box` holds its findings.
 (3) Sending is at least once: a crash between a channel's answer and our note of it sends the same batch with the same id again.
 (4) A record that is erased leaves the waiting batches too, also while a round is at work: whoever looks for findings, notes what a channel
     answered or takes records out holds the queue (`held`) for as long, reads the batch anew and never writes one that is gone.
"""

from __future__ import annotations

import fcntl
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from pipeline import durable
from pipeline.alerts.alert import Batch
from pipeline.home import Home

FOLDER: Final = "alerts"
UNIT: Final = "alerts"
_BATCH: Final = re.compile(r"[0-9a-f]{32}\Z")


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """Which findings were told: finding_id → Beijing day (ISO). looked_from: the first day that the last look took in; empty before any."""

    findings: dict[str, str] = {}
    looked_from: str = ""


class Queue:
    """What waits for one corp. One process at a time (the step holds the lock `alerts-CORP`)."""

    def __init__(self, home: Home, corp_id: str) -> None:
        self.folder = home.path / FOLDER / corp_id
        self._lock = home.path / "locks" / f"{corp_id}.alerts.lock"
        self._keyring = home.keyring
        self._corp_id = corp_id

    @contextmanager
    def held(self) -> Iterator[None]:
        """Wait for, and hold, the right to change the batches (rule 4); never for as long as something is sent."""
        with durable.storage("taking a lock"), open(self._lock, "ab") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    def told(self) -> Told:
        """Return what was told, the waiting batches included (rule 1)."""
        path = self.folder / "told.box"
        noted = Told()
        if path.exists():
            noted = msgspec.msgpack.decode(self._keyring.open(path.read_bytes(), context=self._context("told")), type=Told)
        waiting = {alert.finding_id: alert.dt for batch in self.waiting() for alert in batch.alerts}
        return msgspec.structs.replace(noted, findings={**noted.findings, **waiting})

    def note(self, told: Told) -> None:
        """Write down what was told."""
        self._store(self.folder / "told.box", "told", msgspec.msgpack.encode(told))

    def waiting(self) -> list[Batch]:
        """Return the waiting batches, oldest first."""
        found = [self._open(path) for path in self.folder.glob("*.batch") if _BATCH.match(path.stem)]
        return sorted(found, key=lambda batch: (batch.made_ms, batch.id))

    def now(self, batch_id: str) -> Batch | None:
        """Return a batch as it is by now; None when all of it was taken or erased."""
        path = self._path(batch_id)
        return self._open(path) if path.exists() else None

    def put(self, batch: Batch) -> None:
        """Write a batch."""
        self._store(self._path(batch.id), batch.id, msgspec.msgpack.encode(batch))

    def change(self, batch_id: str, changed: Callable[[Batch], Batch]) -> Batch | None:
        """Write what became of a batch that still waits, and return it; nothing, when it is gone (rule 4)."""
        with self.held():
            batch = self.now(batch_id)
            if batch is not None:
                self.put(batch := changed(batch))
            return batch

    def drop(self, batch: Batch) -> None:
        """Remove a batch that every channel has taken."""
        durable.remove(self._path(batch.id))

    def purge(self, keys: Collection[tuple[str, int]]) -> int:
        """Take records (origin, seq) out of the waiting batches; return how many alerts went (rule 4)."""
        with self.held():
            return sum(self._without(batch, set(keys)) for batch in self.waiting())

    def _without(self, batch: Batch, gone: Collection[tuple[str, int]]) -> int:
        rest = tuple(alert for alert in batch.alerts if (alert.origin, alert.seq) not in gone)
        if not rest and not batch.test:
            self.drop(batch)
        elif len(rest) < len(batch.alerts):
            self.put(msgspec.structs.replace(batch, alerts=rest))
        return len(batch.alerts) - len(rest)

    def _open(self, path: Path) -> Batch:
        return msgspec.msgpack.decode(self._keyring.open(path.read_bytes(), context=self._context(path.stem)), type=Batch)

    def _path(self, batch_id: str) -> Path:
        return self.folder / f"{batch_id}.batch"

    def _context(self, name: str) -> bytes:
        return f"alerts/{self._corp_id}/{name}".encode()

    def _store(self, path: Path, name: str, data: bytes) -> None:
        durable.make_folder(self.folder)
        durable.replace(path, self._keyring.seal(UNIT, data, context=self._context(name)))


def purge(home: Home, corp_id: str, keys: Iterable[tuple[str, int]]) -> int:
    """Take records out of the waiting batches of a corp (../stores.py)."""
    return Queue(home, corp_id).purge(set(keys))
