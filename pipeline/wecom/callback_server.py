"""The server that WeCom calls: the URL check (GET) and events (POST) at /callback/CORP_ID.

Before: callback_codec.py, callback_store.py. After: the doorbell (pull), the register. TLS ends at the reverse proxy in front.

Rules:
 (1) An event is durable before it is acknowledged; a disk that is full answers 503, and WeCom sends it again (up to three times).
 (2) Nothing slow happens in an answer: no call, no commit, no pull. WeCom wants 1 second for the check, 5 for an event.
 (3) A refusal says no more than its HTTP status; the reason goes to the log, without anything of the callback.
 (4) At most CONNECTIONS at a time, each cut off after LONGEST_S, and WORKERS requests at work, so that slow senders cannot stop the bell:
     the others get 503, or no answer; WeCom sends again.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from pipeline import clock, secret_refs
from pipeline.config import Corp
from pipeline.errors import ArchiveError, UsageError
from pipeline.home import Home
from pipeline.source import doorbell
from pipeline.wecom import callback_codec, callback_events, callback_store
from pipeline.wecom.callback_codec import Keys, Refused

WORKERS: Final = 32
CONNECTIONS: Final = 128
IDLE_S: Final = 5.0
LONGEST_S: Final = 10.0
PREFIX: Final = "/callback/"
_STATUS: Final = {"size": 413, "parameter": 400, "xml": 400, "base64": 400}
DENIED: Final = 403

Log = Callable[[str, str], None]  # corp id, what happened in one word


def corp_keys(home: Home, corp: Corp) -> Keys:
    """Return the keys of a corp's callbacks as liuhen.toml names them; raises UsageError SECRET_…, CALLBACK_KEY."""
    token = secret_refs.resolve(corp.callback_token, home.path, setting=f"corp.{corp.id}.callback_token")
    aes_key = secret_refs.resolve(corp.callback_aes_key, home.path, setting=f"corp.{corp.id}.callback_aes_key")
    return callback_codec.keys(token, aes_key, corp.id)


class Receiver:
    """What is done with one request, without HTTP."""

    def __init__(self, home: Home, keys: Mapping[str, Keys], *, max_age_s: float, now_ms: Callable[[], int] = clock.now_ms) -> None:
        self._home = home
        self._keys = keys
        self._max_age_s = max_age_s
        self._now_ms = now_ms
        self._one = threading.Lock()  # the keyring is asked by one thread at a time

    def check(self, corp_id: str, query: Mapping[str, str]) -> bytes:
        """Return the answer of the URL check; raises Refused."""
        return callback_codec.check_echo(query, keys=self._of(corp_id), now_s=self._now_ms() / 1000, max_age_s=self._max_age_s)

    def event(self, corp_id: str, query: Mapping[str, str], body: bytes) -> str:
        """Take one event and return its meaning, or `repeated`; raises Refused, StorageError."""
        now = self._now_ms()
        plain = callback_codec.open_event(query, body, keys=self._of(corp_id), now_s=now / 1000, max_age_s=self._max_age_s)
        event = callback_events.read(plain, received_ms=now)
        with self._one:
            new = callback_store.accept(self._home, corp_id, event)
        if new and event.meaning == "new_messages":
            doorbell.ring(self._home.path, corp_id)
        return event.meaning if new else "repeated"

    def _of(self, corp_id: str) -> Keys:
        if corp_id not in self._keys:
            raise Refused("signature")  # which corps there are is nobody's business
        return self._keys[corp_id]


class CallbackServer(ThreadingHTTPServer):
    """Serves until `shutdown`; `server_address` says where."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], receiver: Receiver, *, log: Log) -> None:
        super().__init__(address, _Handler)
        self.receiver = receiver
        self.log = log
        self.free = threading.BoundedSemaphore(WORKERS)
        self._connections = threading.BoundedSemaphore(CONNECTIONS)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Take a connection, or close it when there are too many."""
        if not self._connections.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve a connection, and cut it off when it takes too long: a byte now and then would keep every single read in time."""
        cut = threading.Timer(LONGEST_S, self._cut, (request,))
        cut.daemon = True
        cut.start()
        try:
            super().process_request_thread(request, client_address)
        finally:
            cut.cancel()
            self._connections.release()

    @staticmethod
    def _cut(request: socket.socket) -> None:
        with contextlib.suppress(OSError):
            request.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that broke is no news, and a traceback might quote what came."""


class _Handler(BaseHTTPRequestHandler):
    server: CallbackServer
    protocol_version = "HTTP/1.1"
    server_version = "liuhen"
    sys_version = ""
    timeout = IDLE_S
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        """The URL check."""
        self._guarded(lambda corp, query: self._say(200, self.server.receiver.check(corp, query), corp, "check"))

    def do_POST(self) -> None:
        """One event."""

        def take(corp: str, query: Mapping[str, str]) -> None:
            meaning = self.server.receiver.event(corp, query, self._body())
            self._say(200, b"success", corp, meaning)

        self._guarded(take)

    def _guarded(self, answer: Callable[[str, Mapping[str, str]], None]) -> None:
        """Answer, or say by the status alone why not."""
        parts = urlsplit(self.path)
        corp = parts.path.removeprefix(PREFIX) if parts.path.startswith(PREFIX) else ""
        if not self.server.free.acquire(blocking=False):
            self._say(503, b"", corp, "busy")
            return
        try:
            answer(corp, _query(parts.query))
        except Refused as refused:
            self._say(_STATUS.get(refused.reason, DENIED), b"", corp, f"refused:{refused.reason}")
        except ArchiveError as error:
            self._say(503, b"", corp, error.code)
        except (ValueError, TimeoutError):
            self._say(400, b"", corp, "refused:parameter")
        finally:
            self.server.free.release()

    def _body(self) -> bytes:
        """Return the body by its declared length (rule `size` before a byte is read), all of it within IDLE_S."""
        length = self.headers.get("Content-Length", "")
        if not length.isascii() or not length.isdigit() or len(length) > 9:
            raise Refused("parameter")
        if int(length) > callback_codec.LARGEST:
            raise Refused("size")
        body, until = bytearray(), time.monotonic() + IDLE_S
        while len(body) < int(length):
            part = self.rfile.read1(min(65_536, int(length) - len(body)))
            if not part or time.monotonic() > until:
                raise Refused("parameter")
            body += part
        return bytes(body)

    def _say(self, status: int, body: bytes, corp: str, what: str) -> None:
        self.server.log(corp if status == 200 else "-", what)
        self.close_connection = True
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """The address of a request holds its signature and echo: never logged."""


def _query(text: str) -> dict[str, str]:
    """Return the parameters, decoded once; a bare + stays one, since base64 has it (a form would make it a space)."""
    pairs = (part.partition("=") for part in text.split("&", 16)[:16])
    return {unquote(name): unquote(value) for name, _, value in pairs}


def serve(home: Home, *, host: str | None = None, port: int | None = None, log: Log) -> CallbackServer:
    """Return a server, bound and not yet serving, for every corp that has a callback token; raises UsageError CALLBACK_NONE, CALLBACK_PORT."""
    keys = {corp.id: corp_keys(home, corp) for corp in home.config.corp if corp.callback_token}
    if not keys:
        raise UsageError("CALLBACK_NONE", "no corp has a callback_token in liuhen.toml", remedy="set corp.ID.callback_token and corp.ID.callback_aes_key")
    settings = home.config.callback
    address = (settings.host if host is None else host, settings.port if port is None else port)
    receiver = Receiver(home, keys, max_age_s=settings.max_age_s)
    try:
        return CallbackServer(address, receiver, log=log)
    except OSError as error:
        raise UsageError("CALLBACK_PORT", f"cannot listen on {address[0]}:{address[1]}", remedy="choose another callback.port; see who listens there") from error
