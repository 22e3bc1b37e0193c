"""Test means: a corp with real RSA keys whose records are sealed with the public half, and a home made for it.

What is expected is never made here: cases write it down before anything is sealed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization as ser
from cryptography.hazmat.primitives.asymmetric import rsa

from pipeline import enterprise_keys, ingest, sealing
from pipeline.config import Corp
from pipeline.home import Home
from pipeline.ingest import Ended
from pipeline.reader import Reader

CORP = "ww1"
# 2026-11-20 10:00:00 in Beijing
T0 = 1_795_140_000_000 - 1_795_140_000_000 % 86_400_000 + 2 * 3_600_000


@cache
def private_key(version: int) -> rsa.RSAPrivateKey:
    """The enterprise's key of this version, fresh for every test run."""
    return rsa.generate_private_key(65537, 2048)


def pem(version: int) -> bytes:
    """The private key as PKCS#8 PEM."""
    return private_key(version).private_bytes(ser.Encoding.PEM, ser.PrivateFormat.PKCS8, ser.NoEncryption())


def message(n: int, text: str = "你好", *, sender: str = "zhangsan", to: Iterable[str] = ("wmA",), room: str = "", at_ms: int | None = None, **more: Any) -> dict[str, Any]:
    """A text message as the source writes it; `more` replaces fields."""
    body = {
        "msgid": f"m{n}", "action": "send", "from": sender, "tolist": list(to), "roomid": room, "msgtime": T0 + n * 1000 if at_ms is None else at_ms,
        "msgtype": "text", "text": {"content": text},
    }  # fmt: skip
    return {**body, **more}


def refusal(n: int, who: str = "wmA", other: str = "zhangsan", *, at_ms: int, kind: str = "disagree", room: str = "") -> dict[str, Any]:
    """A disagree (or agree) record of the stream."""
    base = message(n, sender=who, to=[other], room=room, at_ms=at_ms, msgtype=kind)
    del base["text"]
    return {**base, kind: {"userid": who, f"{kind}_time": at_ms}}


def recall(n: int, of: str, *, sender: str = "zhangsan", to: Iterable[str] = ("wmA",)) -> dict[str, Any]:
    """A recall record."""
    base = message(n, sender=sender, to=to, action="recall", msgtype="revoke", revoke={"pre_msgid": of})
    del base["text"]
    return base


def item(seq: int, plain: Mapping[str, Any] | bytes, *, version: int = 1, msgid: str | None = None) -> bytes:
    """One sealed chatdata item as JSON bytes."""
    data = plain if isinstance(plain, bytes) else json.dumps(plain, ensure_ascii=False).encode()
    name = msgid if msgid is not None else json.loads(data)["msgid"]
    return sealing.seal_item(data, seq=seq, msgid=name, version=version, public_key=private_key(version).public_key())


def answer(items: Iterable[bytes]) -> bytes:
    """A GetChatData answer."""
    return b'{"errcode":0,"errmsg":"ok","chatdata":[' + b",".join(items) + b"]}"


def page(folder: Path, name: str, messages: Mapping[int, Mapping[str, Any]] | Iterable[bytes]) -> Path:
    """Write a saved answer; a mapping is {seq: message}."""
    items = [item(seq, plain) for seq, plain in messages.items()] if isinstance(messages, Mapping) else list(messages)
    path = folder / name
    path.write_bytes(answer(items))
    return path


def home(folder: Path, *, keys: Iterable[int] = (1,), corps: Iterable[str] = (CORP,), settings: Mapping[str, str] | None = None) -> Home:
    """Make a home with keys and settings."""
    from pipeline import config, durable

    made = Home.create(folder / "home", [Corp(id=c) for c in corps])
    toml = made.path / "liuhen.toml"
    for key, value in (settings or {}).items():
        durable.replace(toml, config.changed(toml.read_text("utf-8"), key, value).encode())
    made = Home(made.path)
    with _checked_once():
        for corp in corps:
            for version in keys:
                made.add_key(corp, version, pem(version), None)
    return made


@contextmanager
def _checked_once() -> Iterator[None]:
    """Let the same key be checked once: that takes three times as long as all else that makes a home. The tests of keys do not come this way."""
    load, enterprise_keys._load = enterprise_keys._load, _loaded
    try:
        yield
    finally:
        enterprise_keys._load = load


_loaded = cache(enterprise_keys._load)


def run(at: Home, *sources: Path, plain: Iterable[Path] = (), corp: str = CORP) -> Ended:
    """One ingest in this process."""
    return ingest.run(at, corp, sources=sources, plain=list(plain), workers=1)


def rows(at: Home, query: str, corp: str = CORP) -> list[dict[str, Any]]:
    """The rows of a query over the views."""
    with Reader(at, corp) as reader:
        return reader.rows(query)


def values(at: Home, query: str, corp: str = CORP) -> list[Any]:
    """The rows of a query as tuples, or bare values of a single column."""
    found = [tuple(r.values()) for r in rows(at, query, corp)]
    return [r[0] if len(r) == 1 else r for r in found]


def fates(ended: Ended) -> dict[str, int]:
    """The counts of a run that are not zero."""
    s = ended.summary
    return {f: n for f in ("archived", "pending", "withheld", "failed", "control", "duplicate") if (n := getattr(s, f))}
