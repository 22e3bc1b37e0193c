"""The media queue: files of archived messages, fetched slice by slice; one bad file never stops it.

Before: media_store.py, actions.py, pace.py. After: `media fetch`, `run`.

Rules, each with a test:
 (1) Only files of messages that readers can see are fetched (never withheld, pending or restricted ones); what is about to leave the
     window goes first: the oldest that can still be there, imports behind what was pulled; what must have left it is asked for last.
 (2) Every slice is durable before the next is asked for; after a crash the next one asked for is the next one.
 (3) A file whose MD5 (or, without one, whose size) is not the declared one is fetched anew, three times in all; then it is kept as `mismatch`.
     `md5sum` may be empty: then a fitting size makes it `unverifiable`, never `verified`.
 (4) What the source no longer has is `expired`, what it does not know `missing`, what is above the limit `too_large`.
 (5) What a file cannot be fetched for otherwise is counted once a run; after three runs it is `missing`. It stays `pending` until then.
 (6) Network and refusals end the queue for now; nothing is counted against the file at hand. Where the library cannot say which it is, a message
     is asked for: what refuses that too is a refusal, and a token that is refused there is asked for anew, once a file. A file whose connection
     breaks while messages come waits, uncounted, behind the others; five of them in a row end the queue for now.
 (7) States are rows of kind `media` with a higher state_no, committed in batches; a file that is whole but not yet told is found again.
 (8) A record that came again brought a newer id (newest_ids.py): the file is asked for by that one, from its beginning.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.dataset as ds

from pipeline import clock, room, schema, turns
from pipeline.deltalog import CommitConflict, Snapshot
from pipeline.errors import EXIT_PRECEDENCE, Exit, VerifyFailed
from pipeline.home import Home
from pipeline.lake import KEY_GONE, Lake
from pipeline.reader import Reader
from pipeline.roles import acting
from pipeline.source import actions, asking, state
from pipeline.source.asking import Stopped
from pipeline.source.interface import FIRST_INDEX, Chunk, Sleep, Source, VendorError
from pipeline.source.media_store import Partial, Reference, sweep
from pipeline.source.pace import PAUSE_S, Again, Pace, backoff, untold
from pipeline.stage import HOT

FULL_TRIES = 3
RUNS = 3
BROKEN_IN_A_ROW = 5
BATCH = 50
BATCH_S = 20.0
UNREADABLE = 10002
PARAMETERS = 10000
MIB = 1 << 20
WAITING = """
SELECT origin, seq, msgid, ref_no, state_no, kind, path, sdkfileid, file_name, declared_size, declared_md5, dt, conversation_id, attempts, code
FROM (SELECT * FROM lake_media QUALIFY row_number() OVER (PARTITION BY origin, seq, ref_no ORDER BY state_no DESC) = 1) AS m
WHERE status = 'pending' AND EXISTS (SELECT 1 FROM messages AS x WHERE x.origin = m.origin AND x.seq = m.seq)
ORDER BY dt < $edge, origin DESC, code IS NOT DISTINCT FROM 'SOURCE_UNREACHABLE', dt, seq, ref_no LIMIT $most
"""
Progress = Callable[[str, int, int], None]


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one file. sha256, size: of what was fetched; code: why it was not."""

    status: str
    sha256: str | None = None
    size: int | None = None
    code: str | None = None
    failed: bool = False


class Fetched(msgspec.Struct, kw_only=True):
    """The last line of `media fetch`: files looked at, by what became of them; bytes fetched; what is left; what stopped it."""

    files: int = 0
    verified: int = 0
    unverifiable: int = 0
    mismatch: int = 0
    expired: int = 0
    missing: int = 0
    too_large: int = 0
    pending: int = 0
    bytes: int = 0
    left: int = 0
    code: str = ""
    exit_code: int = 0


def waiting(home: Home, corp_id: str, most: int = 1 << 40) -> list[dict[str, Any]]:
    """Return the newest rows of files to be fetched, in the order in which they are (rule 1)."""
    with Reader(home, corp_id, access=acting.MACHINE) as reader:
        return reader.rows(WAITING, {"most": most, "edge": _edge(home)})


def _edge(home: Home) -> date:
    """Return the Beijing day before which a message must have left the window."""
    return clock.date_of_day(clock.beijing_day(clock.now_ms() - round(home.config.source.window_days * clock.DAY_MS)) - 1)


def status_of(declared_md5: str | None, declared_size: int | None, *, md5: str, size: int) -> str:
    """Return `verified`, `unverifiable` or `mismatch` (rule 3). A declared size of 0 says nothing."""
    if declared_md5:
        return "verified" if declared_md5.strip().lower() == md5 else "mismatch"
    return "mismatch" if declared_size and declared_size != size else "unverifiable"


class Fetch:
    """One run of the queue of one corp."""

    def __init__(
        self, home: Home, corp_id: str, source: Source, *, sleep: Sleep = time.sleep, pace: Pace | None = None, progress: Progress | None = None,
        stop: Callable[[], bool] = lambda: False, again: Again = untold,
    ) -> None:  # fmt: skip
        self.home, self.corp_id, self._source = home, corp_id, source
        self._sleep, self._progress, self._stop, self._again = sleep, progress, stop, again
        self._pace = pace or Pace(home.config.media.calls_per_minute, sleep=sleep)
        self._most = home.config.media.max_mb * MIB
        self.told = Fetched()
        self._states: list[dict[str, Any]] = []
        self._partials: list[Partial] = []
        self._broken = 0
        self._committed = time.monotonic()

    def run(self, most: int = 1 << 40) -> Fetched:
        """Fetch at most `most` files; return what became of them. Raises Locked, StorageError; what was fetched before is told all the same."""
        with self.home.lock(f"{self.corp_id}.media"):
            queue = waiting(self.home, self.corp_id)
            sweep(self.home, self.corp_id, map(_reference, queue))
            refused = False
            try:
                for row in queue[:most]:
                    if self._stop():
                        break
                    self._one(row, min(len(queue), most))
            except Stopped as stopped:
                self.told.code, refused = stopped.code, stopped.refused
            finally:
                self._commit()
            return self._end(len(queue), refused)

    def _one(self, row: dict[str, Any], total: int) -> None:
        month = f"{row['dt']:%Y-%m}"
        partial = Partial(self.home, self.corp_id, month, _reference(row))
        try:
            outcome = self._fetch(row, partial)
        finally:
            partial.close()
        outcome = self._counted(row, outcome)
        self._note(row, outcome, month)
        self._partials.append(partial)
        self.told.files += 1
        self.told.bytes += outcome.size or 0
        setattr(self.told, outcome.status, getattr(self.told, outcome.status) + 1)
        if self._progress:
            self._progress("media", self.told.files, total)
        if len(self._states) >= BATCH or time.monotonic() - self._committed > BATCH_S:
            self._commit()

    @staticmethod
    def _counted(row: dict[str, Any], outcome: Outcome) -> Outcome:
        if outcome.failed and (row["attempts"] or 0) + 1 >= RUNS:
            return msgspec.structs.replace(outcome, status="missing")
        return outcome

    # -- one file -----------------------------------------------------------------------------------------------------

    def _fetch(self, row: dict[str, Any], partial: Partial) -> Outcome:
        if self._most and (row["declared_size"] or 0) > self._most:
            return Outcome(status="too_large")
        for tried in range(1, FULL_TRIES + 1):
            outcome = self._whole(row["sdkfileid"], partial)
            if outcome is not None:
                return outcome
            status = status_of(row["declared_md5"], row["declared_size"], md5=partial.md5.hexdigest(), size=partial.bytes)
            if status != "mismatch" or tried == FULL_TRIES:
                return Outcome(status=status, size=partial.bytes, sha256=partial.keep())
            partial.drop()
        raise AssertionError("unreachable")

    def _whole(self, sdkfileid: str, partial: Partial) -> Outcome | None:
        """Fetch slices until the last; return None when the file is whole, else what became of it."""
        while not partial.complete:
            chunk = self._slice(sdkfileid, partial)
            if isinstance(chunk, Outcome):
                return chunk
            partial.add(chunk.data, chunk.next_index, chunk.finished)
            if self._most and partial.bytes > self._most:
                partial.drop()
                return Outcome(status="too_large")
        return None

    def _slice(self, sdkfileid: str, partial: Partial) -> Chunk | Outcome:
        tried, renewed = 0, False
        while True:
            tried += 1
            self._pace.wait()
            try:
                found = _sound(self._source.media(sdkfileid, partial.index or FIRST_INDEX), partial.index)
                self._broken = 0
                return found
            except VendorError as error:
                action = (actions.SERVER.get(error.told) if error.told else None) or actions.media(error.code)
                if error.code == PARAMETERS and partial.index:
                    partial.drop()  # the saved place is refused: from the beginning, once
                if action.do == "skip":
                    return Outcome(status=action.status, code=action.code)
                if action.do == "stop":
                    raise Stopped(action.code, refused=True) from None
                if tried >= action.tries:
                    if action.after == "stop":
                        raise Stopped(action.code, refused=True) from None
                    if self._token_refused() and not renewed:
                        renewed, tried = True, 0
                        continue
                    return self._left(action)
                self._again(action.code, tried, action.tries, PAUSE_S if action.do == "wait" else backoff(tried))
                self._before_next(action, tried)

    def _left(self, action: actions.Action) -> Outcome:
        """Return what is told of a file that does not come while messages do. Raises Stopped when too many in a row do not (rule 6)."""
        if action.after == "park":
            return Outcome(status="pending", code=action.code, failed=True)
        self._broken += 1
        if self._broken >= BROKEN_IN_A_ROW:
            raise Stopped(action.code, refused=False)
        return Outcome(status="pending", code=action.code)

    def _token_refused(self) -> bool:
        """Ask for one message: what refuses that as well is no fault of the file (rule 6). Raises Stopped; returns whether the token was, and is now another.

        The library has no code for a licence or a token that ended while a file is asked for: it says what it says of a broken answer."""
        seq = state.current(self.home, self.corp_id).cursor
        try:
            action = actions.server(asking.read(self._source.chat_data(seq, 1)).errcode)
        except VendorError as error:
            action = (actions.SERVER.get(error.told) if error.told else None) or actions.chat(error.code)
        if action.do == "stop" or action.after == "later":
            raise Stopped(action.code, refused=action.do == "stop")
        refused = action.code == "SOURCE_TOKEN"
        if refused:
            self._source.renew()
        return refused

    def _before_next(self, action: actions.Action, tried: int) -> None:
        if action.do == "wait":
            self._pace.slower()
            return
        if action.do == "renew":
            self._source.renew()
        self._sleep(backoff(tried))

    # -- states -------------------------------------------------------------------------------------------------------

    def _note(self, row: dict[str, Any], outcome: Outcome, month: str) -> None:
        self._states.append({
            **{name: row[name] for name in ("origin", "seq", "msgid", "ref_no", "kind", "path", "sdkfileid", "file_name", "declared_size", "declared_md5", "conversation_id")},
            "state_no": row["state_no"] + 1, "status": outcome.status, "sha256": outcome.sha256, "size": outcome.size, "dt": row["dt"],
            "recorded_at": clock.now_ms(), "attempts": (row["attempts"] or 0) + (outcome.failed or outcome.status != "pending"), "code": outcome.code, "month": month,
        })  # fmt: skip

    def _commit(self) -> None:
        """Tell what became of the files so far, then forget their partials (rule 7)."""
        if self._states:
            append_states(self.home, self.corp_id, self._states)
        for partial in self._partials:
            if partial.complete or not partial.number:
                partial.drop()
        self._states, self._partials, self._committed = [], [], time.monotonic()

    def _end(self, queued: int, refused: bool) -> Fetched:
        told = self.told
        told.left = queued - told.files + told.pending
        codes = {Exit.SOURCE_REFUSED} if refused else set()
        codes |= {Exit.LEFT_OVER} if told.left or told.mismatch or told.expired or told.missing or told.too_large else set()
        told.exit_code = next((int(c) for c in EXIT_PRECEDENCE if c in codes), 0)
        return told


def _reference(row: dict[str, Any]) -> Reference:
    return Reference(row["origin"], row["seq"], row["ref_no"], row["sdkfileid"])


def _sound(chunk: Chunk, asked: str) -> Chunk:
    """Return the chunk; raises VendorError 10002 for one that would never end."""
    if not chunk.finished and (not chunk.data or not chunk.next_index or chunk.next_index == asked):
        raise VendorError(UNREADABLE, "media")
    return chunk


def append_states(home: Home, corp_id: str, states: Sequence[dict[str, Any]]) -> None:
    """Commit rows of kind `media`, each in its month."""
    lake = home.lake(corp_id)
    columns = [c.name for c in schema.kind("media").columns]
    with turns.tries(home, corp_id) as tries:
        for _ in tries:
            snapshot = lake.snapshot()
            files = [
                lake.write(schema.table("media", {c: [r[c] for r in rows] for c in columns}), "media", month=month, bucket=HOT)
                for month, rows in _by_month(_still(lake, snapshot, states))
            ]  # fmt: skip
            try:
                if files:
                    room.commit(home, lake, snapshot, files, (), what="media", adopts=False)
                return
            except CommitConflict:
                lake.discard(files)
            except VerifyFailed as error:
                lake.discard(files)
                if error.code != KEY_GONE:
                    raise


def _still(lake: Lake, snapshot: Snapshot, states: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the states that still say something: where a newer id came meanwhile, what was fetched stays and a failure by the old id is forgotten (rule 8)."""
    seqs = pa.array(sorted({s["seq"] for s in states}), pa.uint64())
    rows = lake.read("media", snapshot.of("media"), columns=["origin", "seq", "ref_no", "state_no"], where=ds.field("seq").isin(seqs)).to_pylist()
    newest: dict[tuple[str, int, int], int] = {}
    for row in rows:
        place = row["origin"], row["seq"], row["ref_no"]
        newest[place] = max(row["state_no"], newest.get(place, 0))
    found = []
    for told in states:
        number = newest.get((told["origin"], told["seq"], told["ref_no"]))  # None: taken out of the archive meanwhile
        if number is not None and (number < told["state_no"] or told["sha256"]):
            found.append({**told, "state_no": number + 1})
    return found


def _by_month(states: Sequence[dict[str, Any]]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    for month in sorted({s["month"] for s in states}):
        yield month, [s for s in states if s["month"] == month]
