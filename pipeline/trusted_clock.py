"""Archive time: the clock that destruction by time goes by. It never runs ahead of the machine's clock, and no jump of that one moves it on.

Before: clock.py, durable.py. After: purges.py, and whatever destroys or retires by a date; the command `clock`.

What is remembered (`custody/clock.seen`): archive time, and what the machine's clock said when it was last looked at. Rules, each with a test:
 (1) A clock that stands at most JUMP_MS after archive time is believed: archive time becomes what it says.
 (2) One that stands further ahead jumped, or nobody used the archive for that long; which of the two cannot be told. Archive time then goes
     on only as fast as time passes between two looks, until the operator confirms the clock.
 (3) One that was set back is not believed either: archive time stands still, and what is due is judged by the earlier of the two.
 (4) What is kept until a day is kept from the later of the two on (`latest_ms`), so that a clock set back shortens nothing.
 (5) Without the memory (a new home, a lost file) it is made again from the times of the anchors, by the same rules.
Five days: the source keeps no longer, so an archive in use is looked at more often. A clock wrong by less cannot be told from a right one,
nor can one that is set forward in small steps (docs/threat-model.md).
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Literal

import msgspec

from pipeline import anchors, clock, durable
from pipeline.errors import UsageError
from pipeline.home import Home

JUMP_MS = 5 * clock.DAY_MS
# A clock that is adjusted (NTP) is set back by moments.
BACK_MS = 10 * 60 * 1000
# How far memory may lag behind: a look that learns less is not written down.
GRAIN_MS = 60 * 1000
MEMORY = "custody/clock.seen"
ANCHORS_READ = 1_000

Verdict = Literal["right", "ahead", "behind"]


class Seen(msgspec.Struct, frozen=True):
    """archive_ms: archive time; machine_ms: what the machine's clock said then. Both in ms since 1970 UTC."""

    archive_ms: int
    machine_ms: int

    @property
    def verdict(self) -> Verdict:
        """What is to be thought of the machine's clock."""
        if self.machine_ms > self.archive_ms + JUMP_MS:
            return "ahead"
        return "behind" if self.machine_ms < self.archive_ms - BACK_MS else "right"

    @property
    def due_ms(self) -> int:
        """What is due until then, and nothing later, may be destroyed."""
        return min(self.archive_ms, self.machine_ms)


def looked(seen: Seen | None, machine_ms: int) -> Seen:
    """Return what is known after a look at a clock that says `machine_ms` (rules 1 to 3)."""
    if seen is None or 0 <= machine_ms - seen.archive_ms <= JUMP_MS:
        return Seen(machine_ms, machine_ms)
    passed = machine_ms - seen.machine_ms
    ahead = machine_ms > seen.archive_ms and 0 < passed <= JUMP_MS
    return Seen(seen.archive_ms + (passed if ahead else 0), machine_ms)


def remembered(times_ms: Iterable[int]) -> Seen | None:
    """Return what looks at these times, one after the other, would have left."""
    seen = None
    for at in times_ms:
        seen = looked(seen, at)
    return seen


# -- the memory of a home ------------------------------------------------------------------------------------------


def look(home: Home) -> Seen:
    """Return what is known with a look at the clock now; nothing is written."""
    return looked(_recall(home), clock.now_ms())


def watch(home: Home) -> Seen:
    """Look at the clock, remember it durably where it tells more than a minute's news, and return what is known."""
    known = _read(home)
    seen = looked(known or _from_anchors(home), clock.now_ms())
    if known is not None and known.verdict == seen.verdict and abs(seen.machine_ms - known.machine_ms) < GRAIN_MS:
        return seen
    with _held(home):
        seen = looked(_recall(home), clock.now_ms())
        _remember(home, seen)
    return seen


def now_ms(home: Home) -> int:
    """Return the time by which may be judged what is due: never later than the machine's clock says, nor than archive time."""
    return watch(home).due_ms


def latest_ms(home: Home) -> int:
    """Return the time from which keeping is counted (rule 4)."""
    seen = look(home)
    return max(seen.machine_ms, seen.archive_ms) if seen.verdict == "behind" else seen.machine_ms


def believed_ms(home: Home) -> int:
    """Return the time for a destruction that an officer asks for; raises UsageError CLOCK_AHEAD or CLOCK_BEHIND when the clock is not believed."""
    seen = watch(home)
    if seen.verdict == "ahead":
        raise UsageError(
            "CLOCK_AHEAD", f"the clock says {clock.iso(seen.machine_ms)}, the archive was last used at {clock.iso(seen.archive_ms)}: nothing is destroyed",
            remedy="set the clock right, or, if it is, `liuhen clock --confirm`",
        )  # fmt: skip
    if seen.verdict == "behind":
        raise UsageError(
            "CLOCK_BEHIND", f"the clock says {clock.iso(seen.machine_ms)}, the archive was used at {clock.iso(seen.archive_ms)} already: nothing is destroyed",
            remedy="set the clock right, or, if it is, `liuhen clock --confirm`",
        )  # fmt: skip
    return seen.due_ms


def confirm(home: Home) -> Seen:
    """Believe the machine's clock as it is now; return what was known before. The caller records who did it."""
    with _held(home):
        now = clock.now_ms()
        before = looked(_recall(home), now)
        _remember(home, Seen(now, now))
    return before


def _path(home: Home) -> Path:
    return home.path / MEMORY


@contextmanager
def _held(home: Home) -> Iterator[None]:
    with durable.storage("taking a lock"), open(home.path / "locks" / "clock.lock", "ab") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _remember(home: Home, seen: Seen) -> None:
    durable.replace(_path(home), msgspec.json.encode(seen))


def _recall(home: Home) -> Seen | None:
    return _read(home) or _from_anchors(home)


def _read(home: Home) -> Seen | None:
    try:
        with durable.storage("reading the memory of the clock"):
            return msgspec.json.decode(_path(home).read_bytes(), type=Seen)
    except (durable.Vanished, msgspec.DecodeError):
        return None


def _from_anchors(home: Home) -> Seen | None:
    """Return what the newest anchors of the home's corps would have left, the latest of them (rule 5)."""
    found = [seen for corp in home.config.corp if (seen := remembered(_anchored(home.path / "lake" / corp.id))) is not None]
    return max(found, key=lambda s: s.archive_ms, default=None)


def _anchored(lake_root: Path) -> list[int]:
    return [round(datetime.fromisoformat(a.at).timestamp() * 1000) for a in anchors.read(lake_root)[-ANCHORS_READ:]]
