"""The vendor's library as a source and as an opener: a child process that may die, started again with a growing pause.

Before: child.py, library.py, secret_refs.py. After: pull.py, media_fetch.py, native.py.
A call that takes too long ends the child (the library cannot be interrupted). The caller decides what is asked again (actions.py).
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pipeline
from pipeline import secret_refs
from pipeline.errors import UsageError
from pipeline.home import Home
from pipeline.source import child, frames
from pipeline.source.interface import CHILD_DIED, TIMED_OUT, Chunk, Sleep, VendorError
from pipeline.source.library import LibraryFile, find

ROOT = Path(pipeline.__file__).parent.parent
START = "import sys; sys.path.insert(0, sys.argv[1]); from pipeline.source import child; child.main(int(sys.argv[2]))"
LOAD_S = 30.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 5.0
DECRYPT_S = 30.0


class Child:
    """One running child. Raises UsageError LIBRARY_UNUSABLE when the file cannot be loaded."""

    def __init__(self, library: Path) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            # No proxy of the environment reaches the library (it would bypass the configured one), nothing of ours either.
            environment = {k: v for k, v in os.environ.items() if k in ("PATH", "LD_LIBRARY_PATH", "TZ")}
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", START, str(ROOT), str(theirs.fileno())], pass_fds=[theirs.fileno()], env=environment,
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/",
            )  # fmt: skip
        self._socket = ours
        code = self._load(library)
        if code != str(child.LOADED).encode():
            self.end()
            raise UsageError(
                "LIBRARY_UNUSABLE", "the vendor's library cannot be loaded", remedy="check that it is for this system and architecture (glibc, x86-64 or ARM64); `liuhen doctor`"
            )

    def _load(self, library: Path) -> bytes:
        try:
            return self.call(os.fsencode(library.resolve()), timeout_s=LOAD_S)[0]
        except VendorError:
            return b""

    def call(self, *asked: bytes, timeout_s: float) -> list[bytes]:
        """Return the fields answered; raises VendorError TIMED_OUT or CHILD_DIED, after either of which the child is gone."""
        name = asked[0].decode(errors="replace")
        try:
            self._socket.settimeout(timeout_s)
            frames.send(self._socket, asked)
            return frames.receive(self._socket)
        except TimeoutError:
            self.end()
            raise VendorError(TIMED_OUT, name) from None
        except frames.Ended:
            self.end()
            raise VendorError(CHILD_DIED, name) from None

    def end(self) -> None:
        """End the process and wait for it; a second time does nothing."""
        self._socket.close()
        self._process.kill()
        self._process.wait()


class Restarting:
    """A child that is started when it is needed, and again after it died: the pause before grows while it keeps dying."""

    def __init__(self, file: LibraryFile, *, account: Sequence[bytes] = (), sleep: Sleep = time.sleep) -> None:
        self.file = file
        self._account, self._sleep = tuple(account), sleep
        self._child: Child | None = None
        self._deaths = 0

    def call(self, *asked: bytes, timeout_s: float) -> list[bytes]:
        """Return what the call gave, without its code; raises VendorError."""
        running = self._running()
        try:
            told, code, *fields = running.call(*asked, timeout_s=timeout_s)
        except VendorError:
            self._child = None
            self._deaths += 1
            raise
        self._deaths = 0
        if int(code):
            raise VendorError(int(code), asked[0].decode(), told=int(told) if told else None)
        return fields

    def _running(self) -> Child:
        if self._child is None:
            if self._deaths:
                self._sleep(min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** (self._deaths - 1)))
            started = Child(self.file.path)
            if self._account:
                started.call(b"account", *self._account, timeout_s=LOAD_S)
            self._child = started
        return self._child

    def close(self) -> None:
        """End the child."""
        if self._child is not None:
            self._child.end()
            self._child = None


class Native:
    """The vendor's library as a Source of one corp."""

    def __init__(self, running: Restarting, *, timeout_s: float) -> None:
        self._running = running
        # The library fetches its token before the first call, and each has the time-out for itself.
        self._timeout_s = 2 * timeout_s + 5

    @property
    def library(self) -> str | None:
        """SHA-256 of the library."""
        return self._running.file.sha256

    def chat_data(self, seq: int, limit: int) -> bytes:
        """See Source."""
        return self._running.call(b"chat_data", str(seq).encode(), str(limit).encode(), timeout_s=self._timeout_s)[0]

    def media(self, sdkfileid: str, index: str) -> Chunk:
        """See Source."""
        data, following, last = self._running.call(b"media", sdkfileid.encode(), index.encode(), timeout_s=self._timeout_s)
        return Chunk(data, following.decode("ascii", "replace"), last == b"1")

    def renew(self) -> None:
        """See Source."""
        with suppress(VendorError):  # a child that ended at it is renewed as well: the next call starts another
            self._running.call(b"renew", timeout_s=self._timeout_s)

    def close(self) -> None:
        """See Source."""
        self._running.close()


def open_native(home: Home, corp_id: str) -> Native:
    """Return the library as the source of a corp; raises UsageError for what is not configured."""
    settings, wecom = home.config.source, home.config.wecom
    file = find(home.path, library=settings.library, sha256=settings.library_sha256)
    corp = next(c for c in home.config.corp if c.id == corp_id)
    secret = secret_refs.resolve(corp.archive_secret, home.path, setting=f"corp.{corp_id}.archive_secret")
    credentials = secret_refs.resolve(wecom.proxy_credentials, home.path, setting="wecom.proxy_credentials") if wecom.proxy_credentials else ""
    account = [corp_id, secret, wecom.proxy, credentials, str(settings.timeout_s)]
    return Native(Restarting(file, account=[text.encode() for text in account]), timeout_s=settings.timeout_s)
