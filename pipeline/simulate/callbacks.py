"""The official encryption scheme of callbacks, sending side, and the sending itself (wecom-archive.md 4.4).

Before: events.py. After: simulator.py. Written from the scheme, not from pipeline/wecom: each is the other's check.

Rules: (1) AES-256-CBC under base64(EncodingAESKey + "="), its first 16 bytes as IV, padded to 32 bytes; before the text 16 random bytes and
its length in 4 bytes, behind it the corp id. (2) msg_signature = hex(SHA-1 of token, timestamp, nonce, text in sorted order).
(3) An event that is not answered with 200 within 5 s is sent again, three times at most. (4) A new-message event at most once in 15 s.
"""

from __future__ import annotations

import base64
import hashlib
import os
import random
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from queue import SimpleQueue

import msgspec
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CBC

from pipeline.errors import UsageError

BLOCK = 32
TRIES = 4
TIMEOUT_S = 5.0
NOTICE_EVERY_S = 15.0


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """Where callbacks go, and the secrets both sides know. encoding_aes_key: 43 characters."""

    url: str
    token: str
    encoding_aes_key: str
    corp_id: str


def sealed(target: Target, text: bytes, lead: bytes | None = None) -> str:
    """Return the text as `echostr` or `<Encrypt>` carries it (rule 1); lead: the 16 bytes in front, drawn when not given."""
    key = base64.b64decode(target.encoding_aes_key + "=")
    data = (lead or os.urandom(16)) + len(text).to_bytes(4, "big") + text + target.corp_id.encode()
    count = BLOCK - len(data) % BLOCK
    encryptor = Cipher(AES256(key), CBC(key[:16])).encryptor()
    return base64.b64encode(encryptor.update(data + bytes((count,)) * count) + encryptor.finalize()).decode()


def signature(token: str, timestamp: str, nonce: str, text: str) -> str:
    """Return msg_signature (rule 2)."""
    return hashlib.sha1("".join(sorted((token, timestamp, nonce, text))).encode(), usedforsecurity=False).hexdigest()


def signed_query(target: Target, text: str, at_s: int, **more: str) -> str:
    """Return the query under which a sealed text is sent."""
    timestamp, nonce = str(at_s), str(random.SystemRandom().randrange(10**9, 10**10))
    values = {"msg_signature": signature(target.token, timestamp, nonce, text), "timestamp": timestamp, "nonce": nonce, **more}
    return urllib.parse.urlencode(values)


def envelope(target: Target, text: str, agent: str) -> bytes:
    """Return the body of an event's POST."""
    parts = f"<ToUserName><![CDATA[{target.corp_id}]]></ToUserName><AgentID><![CDATA[{agent}]]></AgentID><Encrypt><![CDATA[{text}]]></Encrypt>"
    return f"<xml>{parts}</xml>".encode()


def checked_url(url: str) -> str:
    """Return the URL; raises UsageError NOT_LOOPBACK for one that is not on this machine: a double tells nobody else."""
    host = urllib.parse.urlsplit(url).hostname or ""
    if url and not (url.startswith("http://") and host in ("127.0.0.1", "localhost", "::1")):
        raise UsageError("NOT_LOOPBACK", "expected a callback URL on this machine, http://127.0.0.1:PORT/…", remedy="check --callback")
    return url


class Told(msgspec.Struct, frozen=True):
    """How one event ended: what it was, the tries it took, the HTTP status of the last (0: no answer)."""

    event: str
    tries: int
    status: int


class Sender:
    """Sends events from a thread of its own, one after the other. `close` ends it."""

    def __init__(
        self, target: Target, now_ms: Callable[[], int], *, notice_every_s: float = NOTICE_EVERY_S, pause_s: float = 1.0, echo_s: float = 1.0
    ) -> None:
        self.target = target
        self._now_ms = now_ms
        self._every_s = notice_every_s
        self._pause_s = pause_s
        self._echo_s = echo_s
        self._last_notice = float("-inf")
        self._queue: SimpleQueue[tuple[str, bytes, int] | None] = SimpleQueue()
        self.told: list[Told] = []
        self._idle = threading.Condition()
        self._open = 0
        self._thread = threading.Thread(target=self._work, name="callbacks", daemon=True)
        self._thread.start()

    def notice(self, event: str, xml: bytes) -> None:
        """Send an event unless one was sent this way a moment ago (rule 4): the receiver asks for everything anyway."""
        if time.monotonic() - self._last_notice >= self._every_s:
            self._last_notice = time.monotonic()
            self.send(event, xml)

    def send(self, event: str, xml: bytes, *, at_s: int | None = None) -> None:
        """Send an event; at_s: the second that its signature names instead of now."""
        with self._idle:
            self._open += 1
        self._queue.put((event, xml, self._now_ms() // 1000 if at_s is None else at_s))

    def verify(self) -> bool:
        """Return whether the URL answers the check of the console: a GET with an echostr, whose text must come back in time."""
        text = str(random.SystemRandom().randrange(10**18, 10**19)).encode()
        echo = sealed(self.target, text)
        query = signed_query(self.target, echo, self._now_ms() // 1000, echostr=echo)
        try:
            with _opener().open(f"{self.target.url}?{query}", timeout=self._echo_s) as answer:
                return bool(answer.read(1 << 16) == text)
        except OSError:
            return False

    def wait(self, timeout_s: float = 30.0) -> bool:
        """Wait until everything that was to be sent has ended; return whether it has."""
        with self._idle:
            return self._idle.wait_for(lambda: self._open == 0, timeout_s)

    def close(self) -> None:
        """End the thread once the queue is empty."""
        self._queue.put(None)
        self._thread.join(timeout=TIMEOUT_S * TRIES)

    def _work(self) -> None:
        while (item := self._queue.get()) is not None:
            told = self._deliver(*item)
            with self._idle:
                self.told.append(told)
                self._open -= 1
                self._idle.notify_all()

    def _deliver(self, event: str, xml: bytes, at_s: int) -> Told:
        text = sealed(self.target, xml)
        url = f"{self.target.url}?{signed_query(self.target, text, at_s)}"
        status = 0
        for attempt in range(1, TRIES + 1):
            status = self._post(url, envelope(self.target, text, ""))
            if status == 200:
                return Told(event, attempt, status)
            time.sleep(self._pause_s)
        return Told(event, TRIES, status)

    @staticmethod
    def _post(url: str, body: bytes) -> int:
        request = urllib.request.Request(url, data=body, headers={"Content-Type": "text/xml"}, method="POST")
        try:
            with _opener().open(request, timeout=TIMEOUT_S) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            with error:
                return error.code
        except OSError:
            return 0


def _opener() -> urllib.request.OpenerDirector:
    """Straight to the receiver: no proxy of the environment."""
    return urllib.request.build_opener(urllib.request.ProxyHandler({}))
