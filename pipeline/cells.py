"""Text of strangers made fit to look at: what cannot be seen becomes visible, what could act becomes inert, what is too wide is cut.

Before: nothing. After: show.py, conversation.py.

Message text is somebody else's: it may hold terminal escapes, line breaks that tear a table, bidirectional overrides that show
one thing and mean another, and invisible characters that hide a word from a reader. Shown to a person, each of them becomes
`⟨U+202E⟩`. What makes an emoji (joiner, presentation selector, between emoji only) stays. Files for programs keep the text as it is.
Widths are terminal cells: a Chinese character or an emoji takes two.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from rich.cells import cell_len, split_graphemes

_EMOJI = "#*0-9©®\u203c\u2049\u2122\u2139\u2190-\u2bff\u3030\u303d\u3297\u3299\U0001f000-\U0001faff"
# Unicode Cc (but tab, line feed, carriage return), Cf, Cs, Zl, Zp, the variation selectors, and letters that look like nothing.
_UNSEEN = re.compile(
    rf"(?<=[{_EMOJI}\ufe0f])\u200d(?=[{_EMOJI}])|(?<=[{_EMOJI}])\ufe0f"  # (kept) what makes an emoji
    "|([\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\xad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160\u17b4\u17b5\u180b-\u180f"
    "\u200b-\u200f\u2028-\u202e\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff\ud800-\udfff"
    "\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff])"
)
_BREAKS = re.compile(r"\r\n|[\r\n]")
# No line of a folded text begins with a closing mark or ends with an opening one.
_OPENING, _CLOSING = r"(\[{（［｛【「『《〈“‘", r",.;:?!)\]}，。、；：？！）］｝】」』》〉”’…%"


def pieces(text: str) -> Iterator[tuple[str, bool]]:
    """Yield `text` piece by piece, the second value saying whether the piece stands for an unseen character (`⟨U+202E⟩`).

    Tabs and line breaks are left for the caller."""
    start = 0
    for found in _UNSEEN.finditer(text):
        if found[1] is None:
            continue
        if found.start() > start:
            yield text[start : found.start()], False
        yield f"⟨U+{ord(found[1]):04X}⟩", True
        start = found.end()
    if start < len(text):
        yield text[start:], False


def visible(text: str) -> str:
    """Return `text` with its unseen characters made visible; tabs become spaces, line breaks stay (as line feeds)."""
    return _BREAKS.sub("\n", "".join(piece for piece, _ in pieces(text))).replace("\t", " ")


def one_line(text: str) -> str:
    """Return `text` for one cell of a table: as `visible`, a line break shown as `⏎`."""
    return visible(text).replace("\n", "⏎")


def well_formed(text: str) -> str:
    """Return `text` with lone surrogates and the two non-characters that no XML may hold replaced by U+FFFD."""
    return re.sub("[\ud800-\udfff\ufffe\uffff]", "\ufffd", text)


def fit(text: str, width: int, *, right: bool = False) -> str:
    """Return one line of exactly `width` cells (at least 1): padded, or cut with `…` and never inside an emoji."""
    text = text if len(text) <= 8 * width else text[: 8 * width] + "…"  # what cannot be shown need not be measured
    need = cell_len(text)
    if need > width:
        text, need = _cut(text, width - 1)
    padding = " " * (width - need)
    return padding + text if right else text + padding


def _cut(text: str, width: int) -> tuple[str, int]:
    spans, _ = split_graphemes(text)
    used = end = 0
    for _, stop, cells in spans:
        if used + cells > width:
            break
        used, end = used + cells, stop
    return text[:end] + "…", used + 1


def wrapped(text: str, width: int, *, together: re.Pattern[str] | None = None) -> list[str]:
    """Return `text` (see `visible`) in lines of at most `width` cells, its own line breaks kept; nothing is dropped.

    A line ends behind a space where one stands in its last third: no short Latin word is cut, and Chinese runs on. together: what no line may
    end inside, unless it is longer than a line; then marks stay with what they belong to as well, and spaces for which a full line has no room go."""
    width = max(width, 2)
    return [part for line in text.split("\n") for part in (_wrap(line, width) if together is None else _wrap_around(line, width, together))]


def _wrap_around(line: str, width: int, together: re.Pattern[str]) -> Iterator[str]:
    """Yield the lines of a text that ends inside nothing of `together`, begins with no closing mark and ends with no opening one."""
    inside = {at for begin, end in _kept_together(line, width, together) for at in range(begin + 1, end)}
    start = used = since = allowed = 0  # since: cells behind the last place where a line may end (allowed)
    for begin, _, size in split_graphemes(line)[0]:
        if begin not in inside:
            allowed, since = begin, 0
        if used + size > width and begin > start and line[begin] != " ":
            at = allowed if allowed > start else begin
            yield _within(line[start:at], width)
            start, used = at, since if at == allowed else 0
        used += size
        since += size
    yield _within(line[start:], width)


def _within(line: str, width: int) -> str:
    return line if cell_len(line) <= width else line.rstrip(" ")


def _kept_together(line: str, width: int, together: re.Pattern[str]) -> Iterator[tuple[int, int]]:
    """Yield (begin, end) of what stands in one line: a character or one of `together`, with its marks and the spaces behind it; what is too wide for that without."""
    for found in re.finditer(rf"[{_OPENING}]*(?:{together.pattern}|.)[{_CLOSING}]* *", line):
        if cell_len(found[0].rstrip(" ")) <= width:
            yield found.span()
        elif (alone := together.search(line, found.start(), found.end())) and cell_len(alone[0]) <= width:
            yield alone.span()


def _wrap(line: str, width: int) -> Iterator[str]:
    spans, total = split_graphemes(line)
    if total <= width:
        yield line
        return
    start = used = since = 0
    space = -1  # where the line would end behind its last space
    for begin, end, cells in spans:
        if used + cells > width and begin > start:
            at = space if space > start else begin
            yield line[start:at]
            start, used, space = at, since if at == space else 0, -1
        used += cells
        since += cells
        if line[begin:end] == " " and used > width * 2 // 3:
            space, since = end, 0
    yield line[start:]
