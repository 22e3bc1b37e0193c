"""Where alerts go: a webhook, and WeCom's application message to named members.

Before: alert.py, ../secret_refs.py, ../wecom/client.py. After: step.py.

Rules:
 (1) A webhook's address is a secret (robots carry their key in it): it is a reference, and no error or log quotes it.
 (2) https with a checked certificate, or http to this very machine; no redirects; the environment's proxies are not used.
 (3) The body is JSON (alert.py); `Idempotency-Key` is the batch's id. With `webhook_secret`, `X-Liuhen-Signature: t=SECONDS,v1=HEX` is the
     HMAC-SHA256 over `SECONDS.BODY`. A status of 2xx takes the batch, and where the answer is an object with an errcode it must be 0.
 (4) The application message: POST message/send (page 90236) with the application's own secret, duplicates checked by WeCom for 30 minutes.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import httpx
import msgspec

from pipeline import clock, hostile_json, secret_refs
from pipeline.alerts import alert
from pipeline.alerts.alert import Batch
from pipeline.config import Corp
from pipeline.errors import ArchiveError, Exit, RecordError, UsageError
from pipeline.home import Home
from pipeline.wecom import client

LARGEST_ANSWER: Final = 65_536
MESSAGE_BYTES: Final = alert.MESSAGE_BYTES
DUPLICATES_S: Final = 1800  # how long WeCom leaves out what it was sent before

logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs addresses


class NotTaken(ArchiveError):
    """A channel did not take a batch: it waits for the next run."""

    exit_code = Exit.LEFT_OVER


class Channel(NamedTuple):
    """A configured way to tell somebody; `send` returns when the batch was taken, else raises ArchiveError."""

    name: str
    send: Callable[[Batch], None]


def configured(home: Home, corp_id: str) -> list[Channel]:
    """Return the channels of a corp, empty when none is configured."""
    settings, (corp,) = home.config.alerts, [c for c in home.config.corp if c.id == corp_id]
    channels = []
    if settings.webhook:
        channels.append(Channel("webhook", lambda batch: _webhook(home, batch.id, alert.body(batch))))
    if settings.to and corp.app_secret and corp.app_agent_id:
        channels.append(Channel("wecom", lambda batch: _application(home, corp, alert.text(batch, home.config.alerts.language))))
    return channels


class Way(NamedTuple):
    """The same channels for what is no batch (../watch/heartbeat.py): machine tells whether a program listens; tell(id, JSON body, text for people)."""

    name: str
    machine: bool
    tell: Callable[[str, dict[str, Any], str], None]


def told_by(home: Home, corp_id: str) -> list[Way]:
    """Return the channels of a corp as ways to tell anything else."""
    (corp,) = [c for c in home.config.corp if c.id == corp_id]
    machine = Way("webhook", True, lambda id, body, _: _webhook(home, id, body))
    people = Way("wecom", False, lambda _, __, text: _application(home, corp, text))
    return [{"webhook": machine, "wecom": people}[channel.name] for channel in configured(home, corp_id)]


# --- webhook ------------------------------------------------------------------------------------------------------


def _webhook(home: Home, id: str, body: dict[str, Any]) -> None:
    settings = home.config.alerts
    address = secret_refs.resolve(settings.webhook, home.path, setting="alerts.webhook")
    _check_address(address)
    data = msgspec.json.encode(body)
    headers = {"Content-Type": "application/json", "User-Agent": "liuhen", "Idempotency-Key": id}
    if settings.webhook_secret:
        key = secret_refs.resolve(settings.webhook_secret, home.path, setting="alerts.webhook_secret")
        headers["X-Liuhen-Signature"] = signature(data, key, seconds=clock.now_ms() // 1000)
    _post(home, address, data, headers)


def signature(body: bytes, key: str, *, seconds: int) -> str:
    """Return the header's value for a body sent at `seconds` (since 1970 UTC)."""
    digest = hmac.new(key.encode(), f"{seconds}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={seconds},v1={digest}"


def _check_address(address: str) -> None:
    try:
        client.check_base_url(address)
    except (ArchiveError, ValueError):
        sentence = "the address that alerts.webhook leads to is not https (http for this machine alone)"
        raise UsageError("ALERT_WEBHOOK_ADDRESS", sentence, remedy="correct the environment variable or the file") from None


def _post(home: Home, address: str, data: bytes, headers: dict[str, str]) -> None:
    try:
        with client.http_client(msgspec.structs.replace(home.config.wecom, proxy=""), home.path) as http:
            answer = http.post(address, content=data, headers=headers)
    except (httpx.HTTPError, httpx.InvalidURL):
        raise NotTaken("ALERT_WEBHOOK", "the webhook cannot be reached", remedy="check its address, its certificate and the network") from None
    if not 200 <= answer.status_code < 300:
        raise NotTaken("ALERT_WEBHOOK", f"the webhook answers with HTTP status {answer.status_code}, expected 2xx", remedy="check the receiver")
    if errcode := _errcode(answer.content[:LARGEST_ANSWER]):
        raise NotTaken("ALERT_WEBHOOK", f"the webhook answers with errcode {errcode}, expected 0", remedy="check the receiver")


def _errcode(data: bytes) -> int:
    try:
        answer: Any = hostile_json.decode(data)[0]
    except RecordError:
        return 0
    found = answer.get("errcode", 0) if isinstance(answer, dict) else 0
    return found if isinstance(found, int) else 0


# --- WeCom --------------------------------------------------------------------------------------------------------


def _application(home: Home, corp: Corp, text: str) -> None:
    body = {
        "touser": "|".join(home.config.alerts.to), "msgtype": "text", "agentid": corp.app_agent_id, "text": {"content": text},
        "enable_duplicate_check": 1, "duplicate_check_interval": DUPLICATES_S,
    }  # fmt: skip
    with client.open_client(home, corp.id) as wecom:
        answer = wecom.post("message/send", body, secret="app")
    missed = str(answer.get("invaliduser") or "").split("|")
    if len([one for one in missed if one]) >= len(home.config.alerts.to):
        raise NotTaken("ALERT_NOBODY", "WeCom took the message for none of the members named", remedy="check alerts.to and who may see the application")
