"""HTTP on loopback, and on the same port a CONNECT proxy that ends TLS itself, so that the real vendor library can be served.

Before: routes.py, admin.py, certificate.py. After: `liuhen simulate`, tests.

Rules: (1) it listens on 127.0.0.1 only. (2) The proxy connects to nothing: it takes CONNECT for the platform's host and answers inside
the tunnel as that host. (3) /_admin is not there inside a tunnel, and not for pages of a browser (a foreign Host, an Origin).
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from pipeline.errors import UsageError
from pipeline.simulate import admin, certificate
from pipeline.simulate.exchange import Answer, Request
from pipeline.simulate.routes import Routes
from pipeline.simulate.simulator import Simulator

LOOPBACK = "127.0.0.1"
MAX_BODY = 8 << 20
IDLE_S = 60


class Server(ThreadingHTTPServer):
    """One double behind one port; `base` is both the address of the calls and the proxy's."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, double: Simulator, *, port: int = 0) -> None:
        self.double = double
        self.routes = Routes(double)
        self.tls, self.ca = certificate.server_context()
        try:
            super().__init__((LOOPBACK, port), Handler)
        except OSError as error:
            raise UsageError("PORT_TAKEN", f"port {port} on {LOOPBACK} cannot be had", remedy="choose another with --port") from error

    @property
    def base(self) -> str:
        """The address: `http://127.0.0.1:PORT`."""
        return f"http://{LOOPBACK}:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away in the middle is no news."""


class Handler(BaseHTTPRequestHandler):
    """One connection. Tunnelled: TLS was ended here, and the client believes to speak to the platform."""

    protocol_version = "HTTP/1.1"
    timeout = IDLE_S
    server: Server
    tunnelled = False

    def do_GET(self) -> None:
        """Answer a call."""
        self._answer()

    def do_POST(self) -> None:
        """Answer a call."""
        self._answer()

    def do_DELETE(self) -> None:
        """Answer a call of /_admin."""
        self._answer()

    def do_CONNECT(self) -> None:
        """Open the tunnel for the platform's host (rule 2)."""
        double = self.server.double
        with double.lock:
            fault = double.faults.take("connect")
        if self.tunnelled or self.path != f"{certificate.HOST}:443" or fault is not None:
            self._send(Answer(status=fault.status if fault else 403, body=b"simulated proxy: not this host"))
            self.close_connection = True
            return
        self.connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        self.connection = self.server.tls.wrap_socket(self.connection, server_side=True)
        self.rfile.close()
        self.rfile = self.connection.makefile("rb", self.rbufsize)
        self.tunnelled = True
        self.close_connection = False

    def _answer(self) -> None:
        request = self._request()
        if request is None:
            return
        if not request.path.startswith(admin.ROOT):
            answer = self.server.routes.answer(request)
        elif self.tunnelled or not self._own_host():
            answer = Answer(status=403, body=b"simulated: /_admin is for this machine only")
        else:
            answer = admin.answer(self.server.double, self.server.routes, request)
        if answer.delay_s:
            time.sleep(answer.delay_s)
        self._send(answer)

    def _own_host(self) -> bool:
        host = urlsplit(f"//{self.headers.get('Host', '')}").hostname
        return host in (LOOPBACK, "localhost") and "Origin" not in self.headers

    def _request(self) -> Request | None:
        length = self.headers.get("Content-Length", "0")
        if not length.isdecimal() or int(length) > MAX_BODY:
            self._send(Answer(status=413, body=b"too large"))
            self.close_connection = True
            return None
        parts = urlsplit(self.path)
        return Request(
            method=self.command, path=parts.path, query=dict(parse_qsl(parts.query, keep_blank_values=True)),
            headers={name.lower(): value for name, value in self.headers.items()}, body=self.rfile.read(int(length)),
        )  # fmt: skip

    def _send(self, answer: Answer) -> None:
        if answer.cut == "unanswered":
            self.close_connection = True
            return
        body = answer.body[: len(answer.body) // 2] if answer.cut else answer.body
        stated = len(answer.body) if answer.cut == "stated" else len(body)
        reason = {200: "OK", 206: "Partial Content"}.get(answer.status, "Simulated")
        lines = [f"HTTP/1.1 {answer.status} {reason}", f"Date: {formatdate(self.server.double.clock.shown() / 1000, usegmt=True)}", "Server: simulated"]
        lines += [f"{name}: {value}" for name, value in {"Content-Type": "application/json; charset=UTF-8", **answer.headers}.items()]
        # A cut that does not show has no length: the end of the connection ends it.
        lines += [] if answer.cut == "silent" else [f"Content-Length: {stated}"]
        if answer.cut or self.request_version == "HTTP/1.0":
            self.close_connection = True
            lines.append("Connection: close")
        self.connection.sendall("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)

    def finish(self) -> None:
        """Close what was opened here; a TLS connection is not the socket that the server knows."""
        with contextlib.suppress(OSError):
            super().finish()
        if self.tunnelled:
            with contextlib.suppress(OSError, ssl.SSLError):
                self.connection.shutdown(socket.SHUT_WR)
            self.connection.close()

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: a request line holds a token."""


@contextlib.contextmanager
def serving(double: Simulator, *, port: int = 0) -> Iterator[Server]:
    """Serve a double from a thread of its own until the block ends."""
    server = Server(double, port=port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, name="simulate", daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        double.close()
