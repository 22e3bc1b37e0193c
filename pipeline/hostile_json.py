"""Decodes JSON from outside so that no input can hurt: each ends as a value or as one `RecordError`, in time proportional to its size.

Before: errors.py. After: message_parts.py, message.py.

Rules, in the order in which they are asked:
1. Larger than 64 MiB: MESSAGE_TOO_LARGE. Deeper than 64 levels: MESSAGE_TOO_DEEP, found by counting brackets, before any parser recurses.
2. Strict JSON goes through msgspec, a few microseconds a message.
3. What msgspec refuses is tried again leniently: control characters inside strings (the vendor sends them), NaN and Infinity, a byte order
   mark, numerals beyond a double or beyond 4,300 digits (kept as their own digits, never as a wrong number).
4. Invalid UTF-8 is MESSAGE_NOT_UTF8, anything else MESSAGE_NOT_JSON. Of equal keys the last counts, both ways, as in the vendor's clients.
5. A lone surrogate escape (`\\ud800`) cannot be stored as UTF-8: it becomes U+FFFD in the value handed out; `exact` still tells it apart.
"""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec

from pipeline.errors import RecordError

MAX_BYTES = 64 * 1024 * 1024
MAX_DEPTH = 64
MAX_DIGITS = 4300  # msgspec's bound, and CPython's: below it turning digits into an int costs next to nothing

_decode_strict = msgspec.json.Decoder().decode
_encode_sorted = msgspec.json.Encoder(order="sorted").encode
_SURROGATE = re.compile("[\ud800-\udfff]")
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")
_SQUARE = bytes.maketrans(b"{}", b"[]")
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_BOM = b"\xef\xbb\xbf"


def decode(data: bytes) -> tuple[Any, Any]:
    """Return (value, exact): the decoded JSON with valid Unicode only, and the same with lone surrogates as received.

    The two are one object unless there are lone surrogates. Numerals that no int or double holds are `msgspec.Raw`.
    Raises RecordError MESSAGE_TOO_LARGE, MESSAGE_TOO_DEEP, MESSAGE_NOT_UTF8 or MESSAGE_NOT_JSON.
    """
    if len(data) > MAX_BYTES:
        raise RecordError("MESSAGE_TOO_LARGE", f"the message has {len(data)} bytes, at most {MAX_BYTES} are read")
    if too_deep(data):
        raise RecordError("MESSAGE_TOO_DEEP", f"the JSON nests deeper than {MAX_DEPTH} levels")
    try:
        value = _decode_strict(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        pass
    else:
        return value, value
    return _decode_lenient(data)  # outside the handler: no error may carry the refused bytes along as its context


def too_deep(data: bytes) -> bool:
    """Return whether brackets nest deeper than MAX_DEPTH. Pairs without content are taken away level by level: no recursion, no stack."""
    brackets_opened = data.count(b"[") + data.count(b"{")
    # In a list of objects each one closes before the next opens; what is in a string counts and is taken off alike.
    if brackets_opened <= MAX_DEPTH or brackets_opened - data.count(b"},{") <= MAX_DEPTH:
        return False
    # Two escapes are enough to find where strings end: what is left of a run of backslashes and quotes is the closing quote.
    unquoted = b"".join(data.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')[::2])
    brackets = unquoted.translate(_SQUARE, _NOT_BRACKETS)
    for _ in range(MAX_DEPTH):
        if b"[]" not in brackets:
            break
        brackets = brackets.replace(b"[]", b"")
    return b"[]" in brackets or brackets.count(b"[") > MAX_DEPTH


def encode_sorted(exact: Any) -> bytes:
    """Return compact JSON with sorted keys; the same value always gives the same bytes. Lone surrogates stay escapes."""
    try:
        return _encode_sorted(exact)
    except UnicodeEncodeError:
        return json.dumps(exact, sort_keys=True, separators=(",", ":"), default=_digits).encode("ascii")


def scrub(text: str) -> str:
    """Return `text` with each lone surrogate replaced by U+FFFD, same length in code points."""
    return _SURROGATE.sub("\ufffd", text)


def _decode_lenient(data: bytes) -> tuple[Any, Any]:
    text = _utf8(data)
    exact = _parse(text)
    return (_scrub_all(exact) if _SURROGATE_ESCAPE.search(text) else exact), exact


def _utf8(data: bytes) -> str:
    text = data.removeprefix(_BOM).decode("utf-8", "surrogateescape")
    if _SURROGATE.search(text):  # how surrogateescape marks invalid bytes; valid UTF-8 never decodes to one
        raise RecordError("MESSAGE_NOT_UTF8", "the opened bytes are not valid UTF-8")
    return text


def _parse(text: str) -> Any:
    try:
        return _LENIENT.decode(text)
    except ValueError:
        refused = True
    if refused:
        raise RecordError("MESSAGE_NOT_JSON", "the opened bytes are not JSON")


def _scrub_all(value: Any) -> Any:
    """Scrub every string; recursion is bounded, `too_deep` came before."""
    if isinstance(value, str):
        return scrub(value)
    if isinstance(value, list):
        return [_scrub_all(v) for v in value]
    if isinstance(value, dict):
        return {scrub(k): _scrub_all(v) for k, v in value.items()}
    return value


def _integer(digits: str) -> int | msgspec.Raw:
    return int(digits) if len(digits) <= MAX_DIGITS else msgspec.Raw(digits.encode())


def _real(numeral: str) -> float | msgspec.Raw:
    number = float(numeral)
    return number if abs(number) != float("inf") else msgspec.Raw(numeral.encode())


def _digits(numeral: object) -> str:
    """For json.dumps: a numeral kept as its own digits."""
    return bytes(numeral).decode() if isinstance(numeral, msgspec.Raw) else str(numeral)


_LENIENT = json.JSONDecoder(strict=False, parse_int=_integer, parse_float=_real, parse_constant=lambda name: msgspec.Raw(name.encode()))
