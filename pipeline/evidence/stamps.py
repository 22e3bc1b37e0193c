"""Time stamps of checkpoints (RFC 3161): asked for from the configured authority, kept beside the note, waiting while it is down.

Before: checkpoint.py, stamp_check.py. After: cycle_steps.py, the command `checkpoint`, trail.py.

Beside a note `SIZE.note`, write-once:
    SIZE.tsq     the request, as it was sent: digest of the note, nonce; a request without an answer is what waits
    SIZE.pem     the root certificates it was checked with
    SIZE.tsr     the answer, whole: token and certificates; written last
Rules: (1) the request is durable before it is sent, and the same one is sent again: a run that was killed repeats nothing else;
(2) an answer is kept only when it is a stamp of this very note, under our roots; (3) the time is the authority's: one that comes late says so,
nothing is ever dated back; (4) while the authority is down, checkpoints go on and wait, the outage stands in the custody log, exit code 3;
(5) only the digest leaves the house.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import msgspec
from cryptography import x509

from pipeline import clock, durable, secret_refs
from pipeline.errors import ArchiveError, Exit, UsageError, VerifyFailed
from pipeline.evidence import checkpoint, stamp_check
from pipeline.evidence.checkpoint import Checkpoint
from pipeline.evidence.stamp_check import NotAStamp, Stamp
from pipeline.home import Home

LARGEST = 1 << 20
LONGEST_S = 60  # an answer that drips in holds no run up
HOUR_MS = 3_600_000
SENDING = {"Content-Type": "application/timestamp-query", "Accept": "application/timestamp-reply", "User-Agent": "liuhen"}


class NotStamped(ArchiveError):
    """The authority did not answer with a stamp: the checkpoint waits."""

    exit_code = Exit.LEFT_OVER


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What a call did. stamped, waiting: numbers of checkpoints; code: why some wait, "" when none does."""

    stamped: int = 0
    waiting: int = 0
    code: str = ""
    why: str = ""


def files(point: Checkpoint) -> Iterator[tuple[str, bytes]]:
    """Yield (name, content) of what belongs to a checkpoint's stamp; nothing when it has none."""
    if point.path.with_suffix(".tsr").exists():
        with durable.storage("reading a time stamp"):
            yield from ((p.name, p.read_bytes()) for p in (point.path.with_suffix(s) for s in (".pem", ".tsq", ".tsr")))


def stamp_of(point: Checkpoint) -> Stamp | None:
    """Return what a checkpoint's stamp says, None when it has none; raises VerifyFailed STAMP_DAMAGED."""
    found = dict(files(point))
    if not found:
        return None
    pem, request, response = (found[f"{point.path.stem}{s}"] for s in (".pem", ".tsq", ".tsr"))
    try:
        return stamp_check.checked(point.text.encode(), response, stamp_check.certificates(pem), request=request)
    except (NotAStamp, ValueError) as error:
        raise VerifyFailed("STAMP_DAMAGED", f"the time stamp of checkpoint {point.path.stem} does not hold", remedy="restore evidence/ from its backup") from error


def ask(home: Home, corp_id: str) -> Result | None:
    """Ask for the stamps that are due; return what came of it, None when no authority is configured. Raises UsageError STAMP_…, SECRET_…"""
    settings = home.config.evidence
    if not settings.stamp_url:
        return None
    roots, epoch = _roots(home), checkpoint.newest_epoch(home, corp_id)
    _begin(home, corp_id, epoch, settings.stamp_hours)
    at = checkpoint.folder(home, corp_id, epoch)
    waiting = checkpoint.of_sizes(home, corp_id, [s for s in _asked(at) if not (at / f"{s:012d}.tsr").exists()], epoch)
    done = 0
    try:
        for point in waiting:
            _one(home, corp_id, point, roots)
            done += 1
    except NotStamped as error:
        home.custody.append(command="stamp", phase="waiting", params={"corp": corp_id, "waiting": len(waiting) - done}, result=error.code)
        return Result(stamped=done, waiting=len(waiting) - done, code=error.code, why=error.message)
    return Result(stamped=done)


def _asked(at: Path) -> list[int]:
    """Return the sizes of the checkpoints that a stamp was asked for, ascending."""
    return sorted(int(path.stem) for path in at.glob("[0-9]*.tsq") if path.stem.isdigit())


def _begin(home: Home, corp_id: str, epoch: int, hours: int) -> None:
    """Put the newest checkpoint among those that wait, when the last one that was is old enough."""
    newest = checkpoint.newest(home, corp_id)
    if newest is None or newest.path.with_suffix(".tsq").exists():
        return
    last = checkpoint.of_sizes(home, corp_id, _asked(newest.path.parent)[-1:], epoch)
    if not last or newest.said.at_ms - last[0].said.at_ms >= hours * HOUR_MS:
        durable.write_once(newest.path.with_suffix(".tsq"), request_for(newest.text.encode()))


def request_for(note: bytes) -> bytes:
    """Return a request for a stamp of a note: its SHA-256, a random nonce, the authority's certificates wanted."""
    client = stamp_check.library()
    builder = client.TimestampRequestBuilder().data(note).hash_algorithm(client.HashAlgorithm.SHA256)
    return bytes(builder.cert_request(cert_request=True).nonce(nonce=True).build().as_bytes())


def _one(home: Home, corp_id: str, point: Checkpoint, roots: tuple[bytes, list[x509.Certificate]]) -> None:
    pem, trusted = roots
    with durable.storage("reading a request for a time stamp"):
        request = point.path.with_suffix(".tsq").read_bytes()
    response = _send(home, request)
    try:
        told = stamp_check.checked(point.text.encode(), response, trusted, request=request)
    except NotAStamp as error:
        raise NotStamped("STAMP_REFUSED", f"the authority's answer is no stamp of this checkpoint: {error}", remedy="check evidence.stamp_roots") from error
    durable.write_once(point.path.with_suffix(".pem"), pem)
    durable.write_once(point.path.with_suffix(".tsr"), response)
    params = {"corp": corp_id, "size": point.size, "epoch": point.epoch, "at": clock.iso(told.at_ms), "serial": str(told.serial)}
    home.custody.append(command="stamp", phase="made", params=params)


def _send(home: Home, request: bytes) -> bytes:
    from pipeline.wecom import client

    settings, deadline = home.config.evidence, _Deadline(LONGEST_S)
    late = NotStamped("STAMP_UNREACHABLE", f"the authority's answer takes longer than {LONGEST_S} seconds", remedy="the checkpoint waits for the next run")
    asked: dict[str, Any] = {"content": request, "headers": SENDING, "auth": _auth(home), "extensions": {"trace": deadline.connected}}
    try:
        with deadline, client.plain_client(home.config.wecom, home.path) as http, http.stream("POST", settings.stamp_url, **asked) as answer:
            if answer.status_code != 200:
                raise NotStamped("STAMP_STATUS", f"the authority answered with status {answer.status_code}", remedy="the checkpoint waits; check evidence.stamp_url")
            found = b""
            for piece in answer.iter_bytes():
                found += piece
                if len(found) > LARGEST:
                    raise NotStamped("STAMP_STATUS", "the authority's answer is larger than any stamp", remedy="the checkpoint waits; check evidence.stamp_url")
            if deadline.passed:  # an answer without a length ends where its connection does
                raise late
            return found
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        if deadline.passed:
            raise late from error
        raise NotStamped("STAMP_UNREACHABLE", f"the authority does not answer ({type(error).__name__})", remedy="the checkpoint waits for the next run") from error


class _Deadline:
    """Ends a connection after so many seconds, whatever drips in: time limits of single reads begin anew with every byte, of headers too."""

    def __init__(self, seconds: float) -> None:
        self.passed = False
        self._socket: socket.socket | None = None
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True

    def connected(self, event: str, info: Mapping[str, Any]) -> None:
        """Take note of the socket, as httpx's extension `trace` tells of it; TLS makes another one of it."""
        if event.endswith((".connect_tcp.complete", ".start_tls.complete")):
            self._socket = info["return_value"].get_extra_info("socket")
            if self.passed:
                self._end()

    def _end(self) -> None:
        self.passed = True
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> _Deadline:
        self._timer.start()
        return self

    def __exit__(self, *ended: object) -> None:
        self._timer.cancel()


def _auth(home: Home) -> tuple[str, str] | None:
    reference = home.config.evidence.stamp_credentials
    if not reference:
        return None
    user, _, password = secret_refs.resolve(reference, home.path, setting="evidence.stamp_credentials").partition(":")
    return user, password


def _roots(home: Home) -> tuple[bytes, list[x509.Certificate]]:
    """Return the configured roots, as PEM and parsed."""
    settings = home.config.evidence
    check_url(settings.stamp_url)
    return roots(home.path / settings.stamp_roots if settings.stamp_roots else None)


def check_url(url: str) -> None:
    """Raise UsageError STAMP_URL unless this is the address of an authority, without credentials in it."""
    from pipeline.wecom import client

    parts = client.address(url)
    if parts is None or parts.scheme not in ("https", "http"):
        raise UsageError("STAMP_URL", "evidence.stamp_url: expected an https or http address", remedy="correct it in liuhen.toml")
    if parts.username or parts.password:
        raise UsageError("STAMP_URL", "evidence.stamp_url: expected an address without credentials", remedy="put them where evidence.stamp_credentials says")


def roots(file: Path | None) -> tuple[bytes, list[x509.Certificate]]:
    """Return an authority's root certificates as PEM and parsed; raises UsageError STAMP_ROOTS."""
    try:
        pem = file.read_bytes() if file else b""
        return pem, stamp_check.certificates(pem)
    except (OSError, ValueError) as error:
        raise UsageError(
            "STAMP_ROOTS", "evidence.stamp_roots: expected a file of PEM certificates, got another or none", remedy="ask the authority for its root certificate"
        ) from error
