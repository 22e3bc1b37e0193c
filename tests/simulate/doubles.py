"""Test means: a served double, and a client that asks it as a program of the operator's would."""

from __future__ import annotations

import contextlib
import http.client
import json
from collections.abc import Iterator
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from cryptography.hazmat.primitives.asymmetric import rsa

from pipeline.simulate import book
from pipeline.simulate.client import LoopbackSource
from pipeline.simulate.server import Server, serving
from pipeline.simulate.simulator import Setting, Simulator
from pipeline.simulate.timepiece import Timepiece

END_DAY = date(2026, 11, 20)
# 2026-11-21 12:00:00 in Beijing: the double's clock stands still unless it is told to advance.
NOW_MS = 1_795_233_600_000


@cache
def corp_keys() -> dict[int, rsa.RSAPrivateKey]:
    """The corp's three keys, made once a test run."""
    return {version: rsa.generate_private_key(65537, 2048) for version in (1, 2, 3)}


def double(folder: Path, *, now_ms: int = NOW_MS, messages: int = 500, **more: Any) -> Simulator:
    """A double whose clock stands still at `now_ms`."""
    setting = Setting(folder=folder, end_day=END_DAY, messages=messages, **more)
    return Simulator(setting, clock=Timepiece(lambda: now_ms), keys=corp_keys())


class Asked(dict[str, Any]):
    """An answer's JSON; `headers` and `status` beside it."""

    headers: dict[str, str]
    status: int


class Asker:
    """Asks a served double."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.tokens: dict[str, str] = {}
        self._sources: list[LoopbackSource] = []

    def source(self, secret: str | None = None) -> LoopbackSource:
        """A plain client in the shape of the vendor library, closed when the double ends."""
        made = self.server.double
        self._sources.append(LoopbackSource(self.server.base, made.corp.corp_id, secret or made.secrets["archive"]))
        return self._sources[-1]

    def truth(self) -> list[book.Line]:
        """What the double told before sealing."""
        return book.read(self.server.double.setting.folder / "records.jsonl")

    def close(self) -> None:
        """Close the clients."""
        for source in self._sources:
            source.close()

    def get(self, path: str, *, secret: str = "contacts", **query: object) -> Asked:
        """GET of a call."""
        return self._call("GET", path, None, secret, query)

    def post(self, path: str, body: object, *, secret: str = "contacts", **query: object) -> Asked:
        """POST of a call."""
        return self._call("POST", path, body, secret, query)

    def admin(self, what: str, body: object = None, *, method: str = "POST") -> Asked:
        """Something of /_admin, which must succeed."""
        found = self.send(method, f"/_admin/{what}", body)
        assert found.status == 200, found
        return found

    def records(self, seq: int = 0, limit: int = 1000) -> list[dict[str, Any]]:
        """The records of one page."""
        found = self.post("message/getchatdata", {"seq": seq, "limit": limit}, secret="archive")
        assert found["errcode"] == 0, found
        items: list[dict[str, Any]] = found["chatdata"]
        return items

    def seqs(self, seq: int = 0, limit: int = 1000) -> list[int]:
        """The seqs of one page."""
        return [r["seq"] for r in self.records(seq, limit)]

    def _call(self, method: str, path: str, body: object, secret: str, query: dict[str, object]) -> Asked:
        if secret and secret not in self.tokens:
            corp, value = self.server.double.corp.corp_id, self.server.double.secrets[secret]  # type: ignore[index]
            self.tokens[secret] = self.send("GET", f"/cgi-bin/gettoken?{urlencode({'corpid': corp, 'corpsecret': value})}")["access_token"]
        words = {**({"access_token": self.tokens[secret]} if secret else {}), **query}
        return self.send(method, f"/cgi-bin/{path}?{urlencode(words)}", body)

    def send(self, method: str, path: str, body: object = None, headers: dict[str, str] | None = None) -> Asked:
        """One request as it is."""
        parts = urlsplit(self.server.base)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=120)
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None, headers or {})
            answer = connection.getresponse()
            data = answer.read()
        finally:
            connection.close()
        try:
            found = Asked(json.loads(data))
        except ValueError:
            found = Asked({"body": data})
        found.status, found.headers = answer.status, dict(answer.headers)
        return found


@contextlib.contextmanager
def served(simulator: Simulator) -> Iterator[Asker]:
    """Serve a double for the block."""
    with serving(simulator) as server, contextlib.closing(Asker(server)) as asker:
        yield asker
