"""Fields of an answer of WeCom, read without trust: what is missing or of another type is None, never an error.

Before: client.py. After: calls.py, contacts.py, statistics.py.
Times of these calls are seconds (agree_time of messages is milliseconds: told apart by magnitude, consent_events.read_time).
"""

from __future__ import annotations

from typing import Any

from pipeline.consent_events import read_time


def text(value: object) -> str | None:
    """Return a text that says something, else None."""
    return value if isinstance(value, str) and value else None


def number(value: object) -> int | None:
    """Return a whole number, also one written as text; else None."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str) and value.isascii() and value.removeprefix("-").isdigit() and len(value) < 20:
        return int(value)
    return value if isinstance(value, int) else None


def at_ms(value: object) -> int | None:
    """Return a time in milliseconds since 1970 UTC; None when missing, 0 or impossible."""
    read = read_time(value)
    return read[0] if read is not None else None


def objects(value: object) -> list[dict[str, Any]]:
    """Return the objects of a list; None and everything else is an empty list."""
    return [v for v in value if isinstance(v, dict)] if isinstance(value, list) else []


def texts(value: object) -> list[str]:
    """Return the texts of a list."""
    return [v for v in value if isinstance(v, str) and v] if isinstance(value, list) else []


def numbers(value: object) -> list[int]:
    """Return the whole numbers of a list."""
    return [n for v in value if (n := number(v)) is not None] if isinstance(value, list) else []
