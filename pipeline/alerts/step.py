"""One round of alerts: look for what was found, then send what waits.

Before: gather.py, channels.py, queue.py. After: ../source/cycle.py, `liuhen alerts`.

Rules:
 (1) Queue first, then send: nothing is sent that is not on disk, nothing is lost by a crash.
 (2) A batch is tried once a round on each channel that has not taken it; one channel's trouble does not hold up another.
 (3) Without a configured channel nothing is looked for and nothing waits.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import msgspec

from pipeline import clock
from pipeline.alerts import channels, gather
from pipeline.alerts.alert import Batch
from pipeline.alerts.channels import Channel
from pipeline.alerts.queue import Queue
from pipeline.errors import ArchiveError
from pipeline.home import Home


class Round(NamedTuple):
    """What a round did: findings newly queued, batches every channel has taken, batches that wait, what went wrong (error codes, one each)."""

    found: int
    sent: int
    waiting: int
    errors: tuple[str, ...]


def run(home: Home, corp_id: str) -> Round:
    """Gather and send; raises Locked when another process is at it."""
    ways = channels.configured(home, corp_id)
    if not ways:
        return Round(0, 0, 0, ())
    queue = Queue(home, corp_id)
    with home.lock(f"alerts-{corp_id}"):
        with queue.held():  # a record that is erased meanwhile leaves the batch that is made of it, afterwards
            fresh = gather.gather(home, corp_id, queue, now_ms=clock.now_ms())
        waiting = queue.waiting()
        errors = [code for batch in waiting for code in send(queue, batch, ways)]
        left = len(queue.waiting())
    return Round(sum(len(b.alerts) for b in fresh), len(waiting) - left, left, tuple(dict.fromkeys(errors)))


def send(queue: Queue, batch: Batch, ways: Sequence[Channel]) -> list[str]:
    """Send a batch, as it is by now, to the channels that have not taken it, note each answer at once; return the codes of what failed."""
    errors = []
    now = queue.now(batch.id)
    for way in ways:
        if now is None or way.name in now.done:
            continue
        try:
            way.send(now)
        except ArchiveError as error:
            errors.append(error.code)
            now = queue.change(now.id, partial(_failed, code=error.code))
        else:
            now = queue.change(now.id, partial(_taken, by=way.name))
    if now is not None and {way.name for way in ways} <= set(now.done):
        queue.drop(now)
    return errors


def _failed(batch: Batch, *, code: str) -> Batch:
    return msgspec.structs.replace(batch, tries=batch.tries + 1, last=code)


def _taken(batch: Batch, *, by: str) -> Batch:
    return msgspec.structs.replace(batch, done=(*batch.done, by))


def probe(home: Home, corp_id: str) -> dict[str, ArchiveError | None]:
    """Send a test message on each configured channel; return what came of it: None when it was taken."""
    batch = Batch(id=secrets.token_hex(16), corp_id=corp_id, made_ms=clock.now_ms(), alerts=(), test=True)
    came: dict[str, ArchiveError | None] = {}
    for way in channels.configured(home, corp_id):
        try:
            way.send(batch)
            came[way.name] = None
        except ArchiveError as error:
            came[way.name] = error
    return came
