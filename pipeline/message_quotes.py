"""Reply texts: which words of a text repeat what somebody else said.

Before: nothing. After: message_parts.py.

A reply carries no reference to what it answers; the client writes the quoted words into the text, in one of two shapes.
A match is a heuristic: it says whose words these seem to be, and never which message was meant.
1. 企业微信: a heading, then `"USER：\\nQUOTED"\\n------\\nREPLY`.
2. 微信: `「USER：QUOTED」\\n- - - - - - - - - - - - - - -\\nREPLY`.
A quote may quote in turn: its rule belongs to the inner quote, so rules are paired with headings. Where they do not pair up the first
rule ends the quote: too few words count as quoted rather than too many, or a sender could hide own words below a rule typed by hand.
"""

from __future__ import annotations

import re

_HEADING = r"(?:这是一条引用/回复消息[：:]|This is a quote/reply:)\s{0,4}\""
_WORK_START = re.compile(r"\s{0,4}" + _HEADING)
_WORK_MARKS = re.compile(rf"(?P<opens>{_HEADING})|\"\r?\n-{{4,}}\r?(?:\n|\Z)")
_WORK_USER = re.compile(r"[^\n]{1,128}[：:]\r?\n")
_CHAT_START = re.compile(r"\s{0,4}「(?=[^「」：:\n]{1,64}[：:])")
_CHAT_MARKS = re.compile(r"(?P<opens>「[^「」：:\n]{1,64}[：:])|」\r?\n(?:- ){4,}-[ \r]{0,2}(?:\n|\Z)")
_CHAT_USER = re.compile(r"[^「」：:\n]{1,64}[：:]")
_FIRST = frozenset("这T「 \t\r\n")


def quoted_span(text: str) -> tuple[int, int] | None:
    """Return [start, end) in code points of the words that `text` quotes, without the quoted person's name; None when it quotes nothing."""
    if text[:1] not in _FIRST:
        return None
    for start, marks, user in ((_WORK_START, _WORK_MARKS, _WORK_USER), (_CHAT_START, _CHAT_MARKS, _CHAT_USER)):
        if opening := start.match(text):
            return _inside(text, opening.end(), marks, user)
    return None


def _inside(text: str, begin: int, marks: re.Pattern[str], user: re.Pattern[str]) -> tuple[int, int] | None:
    end = _closing(text, begin, marks)
    if end is None:
        return None
    if name := user.match(text, begin, end):
        begin = name.end()
    return (begin, end) if begin < end else None


def _closing(text: str, begin: int, marks: re.Pattern[str]) -> int | None:
    """Return where the rule begins that pairs with the opening before `begin`, else where the first rule begins."""
    first, nested = None, 0
    for mark in marks.finditer(text, begin):
        if mark["opens"]:
            nested += 1
            continue
        first = mark.start() if first is None else first
        if not nested:
            return mark.start()
        nested -= 1
    return first
