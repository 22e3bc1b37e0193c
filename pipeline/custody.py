"""The custody log: who did what, when, with what result; append-only, chained, never in clear about people.

Before: keyring.py. After: every command.

One JSON object a line in `custody/000001.jsonl` …; each names the SHA-256 of the line before it, so that a line that was
changed, dropped or moved breaks the chain. Parameters lie in a sealed field (encrypted under the custody key, bound to the
entry's number), which an erasure can drop without breaking the chain: the chain covers the digest of the field.
Written under a lock and fsynced before the command goes on. docs/formats.md has the format.
`custody/head.json` names the newest line, under a MAC of the custody key, and is written after it: a newest line that was changed or cut off is
noticed. Killed between the two, it lags by one line; the next entry catches up first: where a full disk keeps it back, no line is written.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import os
import pwd
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from pipeline import durable
from pipeline.clock import iso, now_ms
from pipeline.errors import VerifyFailed
from pipeline.keyring import Keyring

GENESIS = "0" * 64
SEGMENT_BYTES = 16 * 1024 * 1024
KEY_UNIT = "custody"
HEAD = "head.json"
HEAD_LABEL = b"liuhen-custody-head\0"


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One line. at: UTC; params_sha256: of the sealed field; previous: SHA-256 of the line before, hex."""

    n: int
    at: str
    actor: str
    role: str
    command: str
    phase: str
    purpose: str = ""
    result: str = ""
    run_id: str = ""
    params_sha256: str = ""
    params: str = ""
    previous: str


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """The newest line: its number, what the next line names as `previous`, and who vouches. mac: HMAC-SHA-256, hex, by the key named."""

    n: int
    sha256: str
    key: str
    mac: str


class Acting(NamedTuple):
    """Who is recorded: the person (or account), the role of this call, and `single` or `roles`."""

    actor: str
    role: str
    mode: str


_OF_PROCESS: list[Acting] = []


def act_as(acting: Acting | None) -> None:
    """Let this process be recorded as one person, or (None) as its OS account again."""
    _OF_PROCESS[:] = [acting] if acting else []


def acting() -> Acting:
    """Return who is recorded now; an OS account alone is an owner in single mode."""
    return _OF_PROCESS[0] if _OF_PROCESS else Acting(_account(), "owner", "single")


def actor() -> str:
    """Return who acts: a person of actors.toml, else the OS account behind this call."""
    return acting().actor


def _account() -> str:
    try:
        return f"os:{pwd.getpwuid(os.getuid()).pw_name}"  # LOGNAME and USER are anybody's to set
    except (KeyError, OSError):
        return f"os:uid{os.getuid()}"


def line(entry: Entry) -> bytes:
    """Return an entry as it stands in the log."""
    return msgspec.json.encode(entry) + b"\n"


def chained(entry: Entry) -> str:
    """Return the digest the next line names, hex: everything but the sealed field itself, so that an erasure can drop the field."""
    return hashlib.sha256(line(msgspec.structs.replace(entry, params=""))).hexdigest()


class Custody:
    """The log of one home."""

    def __init__(self, folder: Path, keyring: Keyring) -> None:
        self.folder = folder
        self._keyring = keyring

    def append(
        self, *, command: str, phase: str, params: Mapping[str, object], role: str = "", purpose: str = "", result: str = "", run_id: str = ""
    ) -> Entry:
        """Write one entry durably and return it. `params` are sealed, and the mode and purpose with them (it may name people); keep them small."""
        who = acting()
        with durable.storage("writing the custody log"), open(self.folder / "lock", "ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            segment, last = self._tail()
            n = last.n + 1 if last else 1
            if last and self._vouched() < last.n:  # never two lines ahead: where the disk is full, a short line may fit and what names it may not
                self._vouch(last)
            box = self._keyring.seal(KEY_UNIT, msgspec.json.encode({**params, "mode": who.mode, **({"purpose": purpose} if purpose else {})}), context=f"custody/{n}".encode())
            entry = Entry(
                n=n, at=iso(now_ms()), actor=who.actor, role=role or who.role, command=command, phase=phase, result=result, run_id=run_id,
                params_sha256=hashlib.sha256(box).hexdigest(), params=b64encode(box).decode(), previous=chained(last) if last else GENESIS,
            )  # fmt: skip
            self._write(segment, line(entry))
            return entry

    def _write(self, segment: Path, line: bytes) -> None:
        handle = os.open(segment, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            # A disk that is nearly full takes less than it was given and calls that a success.
            rest = memoryview(line)
            while rest:
                rest = rest[os.write(handle, rest) :]
            os.fsync(handle)
        finally:
            os.close(handle)
        # Always: a run killed right here would leave a segment whose name the next one takes for durable.
        durable.fsync_folder(self.folder)
        self._vouch(msgspec.json.decode(line, type=Entry))

    def _vouch(self, newest: Entry) -> None:
        key = self._keyring.current(KEY_UNIT)
        digest = hashlib.sha256(msgspec.json.encode(msgspec.structs.replace(newest, params="")) + b"\n").digest()
        mac = hmac.digest(self._keyring.get(key), HEAD_LABEL + newest.n.to_bytes(8) + digest, "sha256").hex()
        durable.replace(self.folder / HEAD, msgspec.json.encode(Head(n=newest.n, sha256=digest.hex(), key=key, mac=mac)))

    def _vouched(self) -> int:
        """Return the number of the line that is named the newest, 0 where nothing says so."""
        try:
            return msgspec.json.decode((self.folder / HEAD).read_bytes(), type=Head).n
        except (FileNotFoundError, msgspec.DecodeError):
            return 0

    def _segments(self) -> list[Path]:
        return sorted(self.folder.glob("[0-9]*.jsonl"))

    def _tail(self) -> tuple[Path, Entry | None]:
        """Return the segment to write to and the last entry; a torn last line (power loss) is cut off first."""
        segments = self._segments()
        if not segments:
            return self.folder / "000001.jsonl", None
        segment = segments[-1]
        lines = segment.read_bytes().splitlines(keepends=True)
        if lines and not lines[-1].endswith(b"\n"):
            os.truncate(segment, sum(map(len, lines[:-1])))
            lines.pop()
        if not lines:
            before = segments[-2].read_bytes().splitlines() if len(segments) > 1 else []
            return segment, msgspec.json.decode(before[-1], type=Entry) if before else None
        last = msgspec.json.decode(lines[-1], type=Entry)
        if segment.stat().st_size >= SEGMENT_BYTES:
            segment = self.folder / f"{int(segment.stem) + 1:06d}.jsonl"
        return segment, last

    def entries(self) -> Iterator[Entry]:
        """Yield all entries in order, checking the chain; raises VerifyFailed CUSTODY_BROKEN naming the entry."""
        previous, n = GENESIS, 0
        for segment in self._segments():
            for line in segment.read_bytes().splitlines():
                try:
                    entry = msgspec.json.decode(line, type=Entry)
                except msgspec.DecodeError as error:
                    raise VerifyFailed("CUSTODY_BROKEN", f"the custody log is not readable after entry {n}", remedy="compare with its backup") from error
                dropped = bool(entry.params) and hashlib.sha256(b64decode(entry.params)).hexdigest() != entry.params_sha256
                if entry.previous != previous or entry.n != n + 1 or dropped:
                    raise VerifyFailed("CUSTODY_BROKEN", f"the custody log was changed at entry {n + 1}", remedy="compare with its backup")
                previous, n = chained(entry), entry.n
                yield entry

    def forget(self, mentions: Callable[[Mapping[str, object]], bool]) -> int:
        """Drop the sealed parameters of every entry whose parameters mention somebody; return how many. The chain stays whole."""
        dropped = 0
        with durable.storage("writing the custody log"), open(self.folder / "lock", "ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            for segment in self._segments():
                lines = segment.read_bytes().splitlines(keepends=True)
                entries = [msgspec.json.decode(text, type=Entry) for text in lines if text.endswith(b"\n")]
                kept = [msgspec.structs.replace(e, params="") if e.params and mentions(self.params(e)) else e for e in entries]
                changed = sum(a is not b for a, b in zip(entries, kept, strict=True))
                if changed:
                    durable.replace(segment, b"".join(map(line, kept)))
                    dropped += changed
        return dropped

    def params(self, entry: Entry) -> dict[str, object]:
        """Return the sealed parameters of `entry` in clear (empty when they were erased)."""
        if not entry.params:
            return {}
        box = self._keyring.open(b64decode(entry.params), context=f"custody/{entry.n}".encode())
        return msgspec.json.decode(box, type=dict[str, object])
