"""A plain HTTP client of the double in the shape of the vendor library's child process: a test means, never offered against WeCom.

Before: pipeline/source/interface.py, vault.py. After: tests.

Rules: (1) it refuses every address that is not this machine's. (2) What the double says through its code header ends a call with that code.
(3) Else as the library does it (envelope-format.md 4): network, bad status and a refused token are 10001; of media 301042 is 10009, 301048
10010, another errcode 10002, no JSON or no content 10003, no base64 or no padding 10006; a wrong index is 10000, a wrong file id 10005, without asking.
"""

from __future__ import annotations

import base64
import http.client
import ipaddress
import urllib.parse
from typing import Any

import msgspec
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES128
from cryptography.hazmat.primitives.ciphers.modes import ECB

from pipeline.errors import UsageError
from pipeline.simulate.faults import CODE_HEADER
from pipeline.simulate.vault import BLOCK, RANGE, FileId, asked_range, opened
from pipeline.source.interface import Chunk, VendorError

MEDIA_CODES = {301042: 10009, 301048: 10010}
PREFIX = "Range:"


def checked_address(base: str) -> tuple[str, int]:
    """Return host and port of `http://127.0.0.1:PORT`; raises UsageError NOT_LOOPBACK for anything else (rule 1)."""
    parts = urllib.parse.urlsplit(base)
    try:
        loopback = parts.scheme == "http" and ipaddress.ip_address(parts.hostname or "").is_loopback
        port = parts.port
    except ValueError:
        loopback, port = False, None
    if not loopback or port is None:
        raise UsageError("NOT_LOOPBACK", "expected the address of a double on this machine, http://127.0.0.1:PORT", remedy="`liuhen simulate` prints it")
    return parts.hostname or "", port


class LoopbackSource:
    """Implements pipeline.source.interface.Source. Not for several threads at once."""

    def __init__(self, base: str, corp_id: str, secret: str, *, timeout_s: float = 10.0) -> None:
        host, port = checked_address(base)
        self._connection = http.client.HTTPConnection(host, port, timeout=timeout_s)
        self._credentials = {"corpid": corp_id, "corpsecret": secret}
        self._token = ""

    @property
    def library(self) -> str | None:
        """No library speaks here."""
        return None

    def chat_data(self, seq: int, limit: int) -> bytes:
        """Return the answer byte for byte; raises VendorError."""
        if not 1 <= limit <= 1_000:
            raise VendorError(10000, "chat_data")
        return self._asked("chat_data", "getchatdata", {"seq": seq, "limit": limit, "version": 3, "encrypt_sign": ""}, {})

    def media(self, sdkfileid: str, index: str) -> Chunk:
        """Return one opened range; raises VendorError."""
        try:
            known = opened(sdkfileid)
        except ValueError:
            raise VendorError(10005, "media") from None
        first, last = self._range(index)
        body = self._asked("media", "getchatmediadata", {"fileid": known.fileid, "authkey": known.authkey, "version": 3}, {"Range": f"bytes={first}-{last}"})
        return self._chunk(_content(body), known, first)

    def renew(self) -> None:
        """Forget the token."""
        self._token = ""

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    @staticmethod
    def _range(index: str) -> tuple[int, int]:
        try:
            return asked_range(index.removeprefix(PREFIX)) if index else (0, RANGE - 1)
        except ValueError:
            raise VendorError(10000, "media") from None

    def _chunk(self, sealed: bytes, known: FileId, first: int) -> Chunk:
        last = self._content_range
        if last is None or len(sealed) % BLOCK or not sealed:
            raise VendorError(10006, "media")
        decryptor = Cipher(AES128(known.aeskey), ECB()).decryptor()
        data = decryptor.update(sealed) + decryptor.finalize()
        end, total = first + len(sealed), last
        if end < total:
            return Chunk(data, f"{PREFIX}bytes={end}-{min(end + RANGE, total) - 1}", False)
        if not 1 <= data[-1] <= BLOCK:
            raise VendorError(10006, "media")
        return Chunk(data[: -data[-1]], "", True)

    def _asked(self, call: str, path: str, body: dict[str, Any], headers: dict[str, str]) -> bytes:
        """Return the body of an answer, with a token asked for first where there is none."""
        if not self._token:
            found = _fields(self._sent(call, "GET", f"/cgi-bin/gettoken?{urllib.parse.urlencode(self._credentials)}", b"", {}))
            if found.get("errcode") != 0:
                raise VendorError(10001, call, told=found.get("errcode"))
            self._token = found["access_token"]
        return self._sent(call, "POST", f"/cgi-bin/message/{path}?access_token={self._token}", msgspec.json.encode(body), headers)

    def _sent(self, call: str, method: str, path: str, body: bytes, headers: dict[str, str]) -> bytes:
        try:
            self._connection.request(method, path, body=body, headers=headers)
            answer = self._connection.getresponse()
            data = answer.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            raise VendorError(10001, call) from None
        code = answer.headers.get(CODE_HEADER)
        if code is not None:
            raise VendorError(int(code), call)
        if answer.status not in (200, 206):
            raise VendorError(10001, call)
        self._content_range = _total(answer.headers.get("CONTENT-RANGE"))
        return data


def _total(header: str | None) -> int | None:
    _, _, total = (header or "").rpartition("/")
    return int(total) if total.isdecimal() else None


def _fields(data: bytes) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(data)
    except msgspec.DecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def _content(data: bytes) -> bytes:
    """Return the sealed range that a media answer carries (rule 3)."""
    found = _fields(data)
    if not found or (found.get("errcode") == 0 and not found.get("content")):
        raise VendorError(10003, "media")
    if found.get("errcode") != 0:
        raise VendorError(MEDIA_CODES.get(found.get("errcode", -1), 10002), "media")
    try:
        return base64.b64decode(found["content"], validate=True)
    except ValueError:
        raise VendorError(10006, "media") from None
