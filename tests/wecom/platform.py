"""A WeCom of a few lines over real HTTP: answers typed by hand, by path; what was asked is kept."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx

from pipeline.wecom.client import Client

TOKEN = {"errcode": 0, "errmsg": "ok", "access_token": "T1", "expires_in": 7200}


class Asked:
    """One request as it came."""

    def __init__(self, method: str, path: str, query: dict[str, str], body: Any) -> None:
        self.method, self.path, self.query, self.body = method, path, query, body


class Platform:
    """answers: path → what it answers in turn, the last one for ever: a dict (JSON), bytes, an int (HTTP status), (dict, headers),
    or what makes one of these from what was asked."""

    def __init__(self, answers: dict[str, list[Any]]) -> None:
        self.answers = {path: list(given) for path, given in {"gettoken": [TOKEN], **answers}.items()}
        self.asked: list[Asked] = []
        self.slept: list[float] = []
        self.now = 1000.0
        self.url = ""

    def paths(self) -> list[str]:
        """The paths in the order in which they were asked."""
        return [a.path for a in self.asked]

    def sleep(self, seconds: float) -> None:
        """Sleep as the client does; the clock of the test goes on."""
        self.slept.append(seconds)
        self.now += seconds

    def monotonic(self) -> float:
        """The clock of the test."""
        return self.now

    def client(self, **more: Any) -> Client:
        """A client of this platform with the secrets s-archive and s-contacts."""
        http = httpx.Client(base_url=self.url, timeout=60.0, trust_env=False, verify=False)  # plain HTTP: loading the root certificates would cost most of a test
        return Client("ww1", lambda name: f"s-{name}", http, sleep=self.sleep, monotonic=self.monotonic, **more)


@contextmanager
def platform(**answers: list[Any]) -> Iterator[Platform]:
    """Serve a Platform on loopback; `__` in a name stands for the slash of a path."""
    at = Platform({name.replace("__", "/"): value for name, value in answers.items()})

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # else each answer waits 40 ms for an acknowledgement

        def _answer(self) -> None:
            parts = urlsplit(self.path)
            data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path = parts.path.removeprefix("/cgi-bin/")
            at.asked.append(Asked(self.command, path, {k: v[0] for k, v in parse_qs(parts.query).items()}, json.loads(data) if data else None))
            queue = at.answers.get(path, [404])
            answer = queue.pop(0) if len(queue) > 1 else queue[0]
            answer = answer(at.asked[-1]) if callable(answer) else answer
            answer, headers = answer if isinstance(answer, tuple) else (answer, {})
            status, body = (answer, b"") if isinstance(answer, int) else (200, answer if isinstance(answer, bytes) else json.dumps(answer).encode())
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = _answer

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    at.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield at
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
