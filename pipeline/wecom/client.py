"""One call to WeCom: token, pace, the documented action for every errcode, and what remains as three kinds of error.

Before: secret_refs.py, errcodes.py, limits.py, token.py. After: calls.py, contacts.py, statistics.py, doctor.

Rules:
 (1) What an errcode leads to is said in schemas/wecom-errcodes.yaml and done here: the actions of one call are each bounded.
 (2) What remains: SourceRefused (secret, address, licence, permission, certificate: stop everything of this corp), Unresolved (this
     id only), Unreachable (network, busy: leave it to the next run).
 (3) https only, certificates checked; plain http for a host of this machine alone (the simulator). No redirects. The proxy is the
     configured one: those of the environment are not used.
 (4) An answer is at most 32 MiB, JSON, an object with an errcode; anything else is Unreachable. Nothing of it is quoted.
 (5) Secrets and tokens travel in the query, as WeCom wants it: no error, log or repr holds an address with its query.
"""

from __future__ import annotations

import ipaddress
import logging
import re
import ssl
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal
from urllib.parse import SplitResult, urlsplit

import httpx
import msgspec

from pipeline import hostile_json, secret_refs
from pipeline.config import Wecom
from pipeline.errors import ArchiveError, Exit, RecordError, SourceRefused, UsageError
from pipeline.home import Home
from pipeline.wecom import errcodes
from pipeline.wecom.errcodes import Action, Code
from pipeline.wecom.limits import UNKNOWN_A_MINUTE, Pace
from pipeline.wecom.token import Tokens

Secret = Literal["archive", "contacts", "app"]
Answer = dict[str, Any]

TRIES: Final = 3
WAIT_S: Final = 60.0
SLOW_S: Final = 1.0
PAUSES_S: Final = (0.5, 2.0)
LARGEST: Final = 32 << 20
LONGEST_S: Final = 120.0
_HOST: Final = re.compile(r"\[?[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*\]?\Z|(?!-)[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?\Z")

# httpx logs every address with its query, where the token is.
logging.getLogger("httpx").setLevel(logging.WARNING)
logging.getLogger("httpcore").setLevel(logging.WARNING)


class Unresolved(ArchiveError):
    """One id cannot be resolved: note it and go on. action: mark, left, other_call or skip."""

    exit_code = Exit.LEFT_OVER

    def __init__(self, found: Code) -> None:
        super().__init__(found.error, f"WeCom answers {found.code}: {found.en}", remedy=found.do_en)
        self.errcode = found.code
        self.action: Action = found.action


class Unreachable(ArchiveError):
    """WeCom cannot be asked now: network, busy, or an answer that is none. The next run asks again."""

    exit_code = Exit.LEFT_OVER


class _Again(Exception):
    """This try failed in a way that another one may mend."""

    def __init__(self, found: Code | None, error: ArchiveError) -> None:
        super().__init__()
        self.action: Action = found.action if found is not None else "retry"
        self.error = error


def check_base_url(base_url: str) -> None:
    """Raise UsageError BASE_URL unless this is https, or http to this very machine."""
    parts = address(base_url)
    if parts and (parts.scheme == "https" or (parts.scheme == "http" and _on_this_machine(parts.hostname or ""))):
        return
    raise UsageError("BASE_URL", "wecom.base_url: expected an https address (http for the simulator on this machine alone)", remedy="check liuhen.toml")


def address(text: str) -> SplitResult | None:
    """Return the parts of an address with a scheme, a host that can be one and a port that is one or none; None for any other text."""
    try:
        parts, host = urlsplit(text), httpx.URL(text).raw_host.decode()
        return parts if parts.scheme and _HOST.match(host) and parts.port != 0 else None
    except (ValueError, httpx.InvalidURL):
        return None


def _on_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def http_client(settings: Wecom, base: Path) -> httpx.Client:
    """Return the HTTP client that the settings describe; raises UsageError BASE_URL, PROXY, CA_FILE, SECRET_…"""
    check_base_url(settings.base_url)
    return httpx.Client(
        base_url=settings.base_url, timeout=float(settings.timeout_s), verify=trust(settings, base), proxy=_proxy(settings, base), trust_env=False,
        follow_redirects=False, headers={"User-Agent": "liuhen"},
    )  # fmt: skip


def plain_client(settings: Wecom, base: Path) -> httpx.Client:
    """Return an HTTP client for an address that is not WeCom's, by the same proxy, certificates and time limit; raises as `http_client`."""
    return httpx.Client(
        timeout=float(settings.timeout_s), verify=trust(settings, base), proxy=_proxy(settings, base), trust_env=False, follow_redirects=False
    )


def trust(settings: Wecom, base: Path) -> ssl.SSLContext:
    """Return what certificates are checked against; raises UsageError CA_FILE."""
    try:
        return ssl.create_default_context(cafile=str(base / settings.ca_file) if settings.ca_file else None)
    except (OSError, ssl.SSLError) as error:
        raise UsageError("CA_FILE", "wecom.ca_file: expected a file of PEM certificates, got another or none", remedy="check the file") from error


def check_proxy(proxy: str) -> None:
    """Raise UsageError PROXY unless this is http or socks5 without credentials, or empty."""
    parts = address(proxy)
    if proxy and (parts is None or parts.scheme not in ("http", "socks5") or parts.username or parts.password):
        raise UsageError("PROXY", "wecom.proxy: expected http://HOST:PORT or socks5://HOST:PORT without credentials", remedy="put them where wecom.proxy_credentials says")


def _proxy(settings: Wecom, base: Path) -> httpx.Proxy | None:
    check_proxy(settings.proxy)
    if not settings.proxy:
        return None
    auth = None
    if settings.proxy_credentials:
        user, _, password = secret_refs.resolve(settings.proxy_credentials, base, setting="wecom.proxy_credentials").partition(":")
        auth = (user, password)
    return httpx.Proxy(settings.proxy, auth=auth)


def open_client(home: Home, corp_id: str, *, sleep: Callable[[float], None] = time.sleep, monotonic: Callable[[], float] = time.monotonic) -> Client:
    """Return the client of one corp as liuhen.toml says; secrets are read when they are first needed."""
    (corp,) = [c for c in home.config.corp if c.id == corp_id]

    def secret(name: str) -> str:
        return secret_refs.resolve(getattr(corp, f"{name}_secret"), home.path, setting=f"corp.{corp_id}.{name}_secret")

    http = http_client(home.config.wecom, home.path)
    return Client(corp_id, secret, http, calls_per_minute=home.config.wecom.calls_per_minute, sleep=sleep, monotonic=monotonic)


class Client:
    """The calls of one corp. Close it, or use it as a context manager. Not for several threads at once."""

    def __init__(
        self, corp_id: str, secret: Callable[[str], str], http: httpx.Client, *, calls_per_minute: int = UNKNOWN_A_MINUTE,
        sleep: Callable[[float], None] = time.sleep, monotonic: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        """secret: name of a secret → its value."""
        self.corp_id = corp_id
        self._secret = secret
        self._http = http
        self._sleep = sleep
        self._monotonic = monotonic
        self._pace = Pace(unknown=calls_per_minute, monotonic=monotonic, sleep=sleep)
        self._tokens = Tokens(self._fetch_token, monotonic=monotonic)

    def get(self, path: str, params: Mapping[str, str | int], *, secret: Secret = "archive") -> Answer:
        """Return the answer of `GET /cgi-bin/PATH`; raises SourceRefused, Unresolved, Unreachable (rule 2)."""
        return self._call("GET", path, params, None, secret)

    def post(self, path: str, body: Mapping[str, Any], *, secret: Secret = "archive") -> Answer:
        """Return the answer of `POST /cgi-bin/PATH` with a JSON body; raises as `get`."""
        return self._call("POST", path, {}, msgspec.json.encode(body), secret)

    def token(self, secret: Secret = "archive") -> None:
        """Make sure that there is a token: the one call that shows whether the secret is right."""
        self._tokens.get(secret)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    # -- one call -----------------------------------------------------------------------------------------------

    def _call(self, method: str, path: str, params: Mapping[str, str | int], body: bytes | None, secret: Secret) -> Answer:
        def once() -> Answer:
            token = self._tokens.get(secret)
            try:
                return self._send(method, path, {"access_token": token, **params}, body)
            except _Again as again:
                if again.action == "refresh":
                    self._tokens.drop(secret, token)
                raise

        return self._repeat(once)

    def _fetch_token(self, secret: str) -> tuple[str, int]:
        """Ask for a token (page 91039). Its own repeats are bounded here, not multiplied by those of the call that needs it."""
        query = {"corpid": self.corp_id, "corpsecret": self._secret(secret)}
        answer = self._repeat(lambda: self._send("GET", "gettoken", query, None))
        value, seconds = answer.get("access_token"), answer.get("expires_in")
        if not isinstance(value, str) or not value or not isinstance(seconds, int) or isinstance(seconds, bool) or seconds <= 0:
            raise _not_an_answer("gettoken")
        return value, seconds

    def _repeat(self, once: Callable[[], Answer]) -> Answer:
        """Do it again as the action says, each action as often as it is allowed; then raise what remains (rule 1)."""
        done = dict.fromkeys(("retry", "refresh", "wait", "slow"), 0)
        while True:
            try:
                return once()
            except _Again as again:
                pauses = self._pauses(again.action)
                if done[again.action] >= len(pauses):
                    raise again.error from None
                self._sleep(pauses[done[again.action]])
                done[again.action] += 1

    @staticmethod
    def _pauses(action: Action) -> tuple[float, ...]:
        """Return the pauses in seconds before each repeat that an action allows."""
        found: dict[str, tuple[float, ...]] = {"retry": PAUSES_S, "refresh": (0.0,), "wait": (WAIT_S,), "slow": (SLOW_S, SLOW_S)}
        return found[action]

    def _send(self, method: str, path: str, query: Mapping[str, str | int], body: bytes | None) -> Answer:
        """Send once and judge the answer: it, _Again, or the error that ends the call."""
        self._pace.take(path)
        answer = self._exchange(method, path, query, body)
        errcode = answer.get("errcode")
        if not isinstance(errcode, int) or isinstance(errcode, bool):
            raise _Again(None, _not_an_answer(path))
        if errcode:
            raise _judged(errcode, path)
        return answer

    def _exchange(self, method: str, path: str, query: Mapping[str, str | int], body: bytes | None) -> Answer:
        headers = {"Content-Type": "application/json"} if body is not None else {}
        try:
            with self._http.stream(method, f"/cgi-bin/{path}", params=dict(query), content=body, headers=headers) as response:
                if response.status_code != 200:
                    error = Unreachable("WECOM_HTTP", f"WeCom answers {path} with HTTP status {response.status_code}, expected 200", remedy="try again later; check the proxy")
                    raise _Again(None, error)
                data = self._body(response, path)
        except httpx.HTTPError as error:
            raise _network(error, path) from None  # its own text holds the address with the token
        try:
            answer = hostile_json.decode(data)[0]
        except RecordError:
            answer = None
        if not isinstance(answer, dict):
            raise _Again(None, _not_an_answer(path))
        return answer

    def _body(self, response: httpx.Response, path: str) -> bytes:
        """Return the body, bounded in size and in time: a server that sends a byte now and then never lets a read time out."""
        data, until = bytearray(), self._monotonic() + LONGEST_S
        for part in response.iter_bytes():
            data += part
            if len(data) > LARGEST:
                raise Unreachable("WECOM_ANSWER", f"WeCom's answer to {path} is larger than {LARGEST >> 20} MiB", remedy="report it")
            if self._monotonic() > until:
                raise httpx.ReadTimeout("the body takes too long")
        return bytes(data)


def _not_an_answer(path: str) -> Unreachable:
    return Unreachable("WECOM_ANSWER", f"WeCom's answer to {path} is not the documented JSON", remedy="try again later; check that no proxy answers instead")


def _judged(errcode: int, path: str) -> Exception:
    """Return what an errcode other than 0 leads to."""
    found = errcodes.server(errcode)
    sentence = f"WeCom answers {path} with {errcode}: {found.en}"
    if found.action in errcodes.OF_ONE_ID:
        return Unresolved(found)
    refused = SourceRefused(found.error, sentence, remedy=found.do_en)
    if found.action == "stop":
        return refused
    return _Again(found, refused if found.action == "refresh" else Unreachable(found.error, sentence, remedy=found.do_en))


def network_error(error: httpx.HTTPError, path: str) -> SourceRefused | Unreachable:
    """Return what a failed connection is: a certificate that does not hold is a refusal, everything else may be better later."""
    if _about_certificate(error):
        remedy = "check wecom.ca_file, and any proxy that intercepts"
        return SourceRefused("WECOM_TLS", "the certificate of WeCom's address could not be verified", remedy=remedy)
    if isinstance(error, httpx.ProxyError):
        return Unreachable("WECOM_PROXY", "the proxy refused or could not connect", remedy="check wecom.proxy and wecom.proxy_credentials")
    kind = "time-out" if isinstance(error, httpx.TimeoutException) else "no connection"
    return Unreachable("WECOM_NETWORK", f"WeCom cannot be reached for {path}: {kind}", remedy="check the network and wecom.proxy")


def _network(error: httpx.HTTPError, path: str) -> Exception:
    told = network_error(error, path)
    return told if isinstance(told, SourceRefused) else _Again(None, told)


def _about_certificate(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError) or "CERTIFICATE_VERIFY_FAILED" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False
