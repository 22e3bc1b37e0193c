"""Names, proxy, certificates, clock, secrets, address, licence: asked of WeCom itself, each question once.

Before: findings.py, wecom/client.py. After: examine.py.

Rules: (1) What an earlier failure makes pointless is skipped and says so: one cause, one bad row. (2) The clock is held against the Date header
of WeCom's answer (page 95039 and the callbacks depend on it). (3) A wrong secret is tried once: repeated ones block the address for an hour.
(4) No call that changes anything is made.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import urlsplit

import httpx

from pipeline import secret_refs
from pipeline.config import Corp
from pipeline.doctor.findings import Finding, of_error
from pipeline.errors import ArchiveError, Exit, SourceRefused, UsageError
from pipeline.home import Home
from pipeline.wecom import calls, contacts
from pipeline.wecom.callback_server import corp_keys
from pipeline.wecom.client import Client, Unreachable, Unresolved, http_client, network_error, open_client

CLOCK_WARNING_S: Final = 30
CLOCK_BAD_S: Final = 300
CONNECT_S: Final = 5.0
Open = Callable[[Home, str], Client]


def look_home(home: Home, *, now_s: Callable[[], float] = time.time) -> Iterator[Finding]:
    """Yield what is found about the way to WeCom. Ends early when there is none."""
    settings = home.config.wecom
    target = urlsplit(settings.proxy or settings.base_url)
    check = "proxy" if settings.proxy else "dns"
    try:
        port = target.port or {"https": 443, "socks5": 1080}.get(target.scheme, 80)
        socket.create_connection((target.hostname or "", port), timeout=CONNECT_S).close()
    except (OSError, UnicodeError) as error:
        outcome = "double" if home.config.at_double else "unknown" if isinstance(error, socket.gaierror) else "unreachable"
        yield Finding(check=check, state="bad", outcome=outcome, values={"host": target.hostname or ""}, exit_code=int(Exit.LEFT_OVER))
        return
    yield Finding(check=check, state="ok", outcome="ok", values={"host": target.hostname or ""})
    yield from _certificate_and_clock(home, now_s)


def _certificate_and_clock(home: Home, now_s: Callable[[], float]) -> Iterator[Finding]:
    plain = home.config.wecom.base_url.startswith("http:")
    try:
        with http_client(home.config.wecom, home.path) as http:
            date = http.get("/", headers={"Connection": "close"}).headers.get("Date", "")
    except httpx.HTTPError as error:
        yield of_error("certificate", network_error(error, "/"))
        return
    except UsageError as error:
        yield of_error("certificate", error)
        return
    yield Finding(check="certificate", state="note" if plain else "ok", outcome="loopback" if plain else "ok")
    yield _clock(date, now_s())


def _clock(date: str, now_s: float) -> Finding:
    try:
        off = round(now_s - parsedate_to_datetime(date).timestamp())
    except ValueError:
        return Finding(check="clock", state="warning", outcome="unknown")
    state, outcome = ("bad", "off") if abs(off) > CLOCK_BAD_S else ("warning", "off") if abs(off) > CLOCK_WARNING_S else ("ok", "ok")
    return Finding(check="clock", state=state, outcome=outcome, values={"seconds": off}, exit_code=int(Exit.USAGE))  # type: ignore[arg-type]  # one of three


def reached(findings: list[Finding]) -> bool:
    """Tell whether WeCom can be asked at all."""
    return not any(f.check in ("dns", "proxy", "certificate") and f.state == "bad" for f in findings)


def look_unasked(home: Home, corp: Corp, *, offline: bool) -> Finding:
    """Return whether the secret is at least where the configuration says, when WeCom is not asked about it."""
    try:
        secret_refs.resolve(corp.archive_secret, home.path, setting=f"corp.{corp.id}.archive_secret")
    except ArchiveError as error:
        return of_error("secret", error, corp=corp.id)
    return Finding(check="secret", corp=corp.id, state="skipped", outcome="offline" if offline else "unreached")


def look(home: Home, corp: Corp, *, open_client: Open = open_client) -> Iterator[Finding]:
    """Yield what WeCom says to the secrets of one corp: token, then address and licence, then the app."""
    try:
        with open_client(home, corp.id) as client:
            yield from _archive(client, corp.id)
            yield from _contacts(client, corp)
    except UsageError as error:
        yield of_error("secret", error, corp=corp.id)


def _archive(client: Client, corp_id: str) -> Iterator[Finding]:
    try:
        client.token("archive")
    except (UsageError, SourceRefused, Unreachable) as error:
        check = {"WECOM_ADDRESS": "address", "WECOM_LICENCE": "licence"}.get(error.code, "secret")
        yield of_error(check, error, corp=corp_id)
        return
    yield Finding(check="secret", corp=corp_id, state="ok", outcome="ok")
    try:
        seats = calls.permit_users(client)
    except (SourceRefused, Unreachable) as error:
        check = {"WECOM_ADDRESS": "address", "WECOM_LICENCE": "licence", "WECOM_PERMISSION": "secret"}.get(error.code, "licence")
        yield of_error(check, error, corp=corp_id)
        return
    yield Finding(check="address", corp=corp_id, state="ok", outcome="ok")
    empty = not seats
    yield Finding(check="licence", corp=corp_id, state="warning" if empty else "ok", outcome="nobody" if empty else "ok", values={"n": len(seats)})


def _contacts(client: Client, corp: Corp) -> Iterator[Finding]:
    if not corp.contacts_secret:
        yield Finding(check="contacts", corp=corp.id, state="warning", outcome="unset")
        return
    try:
        found = contacts.departments(client)
    except Unresolved:
        found = []
    except ArchiveError as error:
        yield of_error("contacts", error, corp=corp.id)
        return
    empty = not found
    yield Finding(check="contacts", corp=corp.id, state="warning" if empty else "ok", outcome="empty" if empty else "ok", values={"n": len(found)})


def look_callback(home: Home, corp: Corp) -> Finding:
    """Return whether the keys of the callbacks are usable."""
    if not corp.callback_token:
        return Finding(check="callback", corp=corp.id, state="note", outcome="unset")
    try:
        corp_keys(home, corp)
    except ArchiveError as error:
        return of_error("callback", error, corp=corp.id)
    return Finding(check="callback", corp=corp.id, state="ok", outcome="ok")
