"""Counts as inline SVG: bars lying, bars standing. No script, no font and no address of its own.

Before: gather.py. After: page.py. Pure functions: numbers in, markup out; every text is escaped here.

Rules:
 (1) One scale a chart, beginning at nought; every bar bears its number, and a title for who points at it. Severities are told by place and
     number too, never by colour alone.
 (2) Lying bars: at most MOST rows; the rest become one row `others`.
 (3) Months without anything are drawn as nought, so that a hole is seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from markupsafe import Markup
from rich.cells import cell_len

from pipeline import cells

MOST: Final = 15
WIDTH: Final = 960
COLOURS: Final[Mapping[str, str]] = {"high": "#b3261e", "medium": "#d98a1f", "low": "#c9b23a", "messages": "#5b8fc7", "": "#8a97a5"}


class Bar(msgspec.Struct, frozen=True):
    """One bar: what it is called, and its parts (kind, number) from the axis on. kind: a key of COLOURS."""

    name: str
    parts: tuple[tuple[str, int], ...]

    @property
    def total(self) -> int:
        """The sum of its parts."""
        return sum(n for _, n in self.parts)


def shortened(bars: Sequence[Bar], *, others: str, most: int = MOST) -> list[Bar]:
    """Return at most `most` bars, largest first, the rest summed up as `others (n)` (rule 2)."""
    ordered = sorted(bars, key=lambda bar: -bar.total)
    if len(ordered) <= most:
        return ordered
    kept, rest = ordered[: most - 1], ordered[most - 1 :]
    kinds = [kind for kind, _ in rest[0].parts]
    return [*kept, Bar(f"{others} ({len(rest)})", tuple((kind, sum(dict(bar.parts).get(kind, 0) for bar in rest)) for kind in kinds))]


def lying(bars: Sequence[Bar], *, label: str) -> Markup:
    """Return lying bars, one a line, names on the left and totals at their ends; empty markup for none."""
    if not bars:
        return Markup("")
    left = min(max(cell_len(cells.one_line(bar.name)) for bar in bars) * 7 + 16, 320)
    room, row = WIDTH - left - 90, 26
    most = max(max(bar.total for bar in bars), 1)
    drawn = Markup("").join(_lying_bar(bar, at * row, left, room / most) for at, bar in enumerate(bars))
    return _svg(drawn, height=len(bars) * row + 6, label=label)


def _lying_bar(bar: Bar, top: int, left: int, scale: float) -> Markup:
    result, x = [_text(cells.fit(cells.one_line(bar.name), max(min(44, cell_len(cells.one_line(bar.name))), 1)), left - 10, top + 18, anchor="end")], float(left)
    for kind, n in bar.parts:
        if n:
            result.append(_rect(x, top + 5, n * scale, 17, kind, f"{bar.name} · {n:,}"))
            x += n * scale
    return Markup("").join([*result, _text(f"{bar.total:,}", x + 7, top + 18, css="n")])


def standing(bars: Sequence[Bar], *, label: str, height: int = 190) -> Markup:
    """Return standing bars side by side, names below, totals above; empty markup for none."""
    if not bars:
        return Markup("")
    step = min(WIDTH / len(bars), 96)
    most = max(max(bar.total for bar in bars), 1)
    scale, floor = (height - 44) / most, height - 24
    drawn = Markup("").join(_standing_bar(bar, at * step, step, floor, scale) for at, bar in enumerate(bars))
    axis = Markup('<line class="axis" x1="0" x2="{}" y1="{}" y2="{}"/>').format(round(step * len(bars)), floor, floor)
    return _svg(drawn + axis, height=height, label=label, width=round(max(step * len(bars), 320)))


def _standing_bar(bar: Bar, x: float, step: float, floor: int, scale: float) -> Markup:
    width = max(min(step * 0.62, 46), 2)
    left, top, result = x + (step - width) / 2, float(floor), []
    for kind, n in reversed(bar.parts):
        if n:
            top -= n * scale
            result.append(_rect(left, top, width, n * scale, kind, f"{bar.name} · {n:,}", upright=True))
    middle = x + step / 2
    if step >= 22:
        result.append(_text(f"{bar.total:,}", middle, top - 6, anchor="middle", css="n"))
    result.append(_text(bar.name, middle, floor + 17, anchor="middle"))
    return Markup("").join(result)


def _rect(x: float, y: float, width: float, height: float, kind: str, title: str, *, upright: bool = False) -> Markup:
    """A bar's part, at least one unit long, with what pointing at it says."""
    wide, high = (width, max(height, 1)) if upright else (max(width, 1), height)
    return Markup('<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" fill="{}"><title>{}</title></rect>').format(
        x, y, wide, high, COLOURS[kind], cells.one_line(title)
    )


def _text(text: str, x: float, y: float, *, anchor: str = "start", css: str = "") -> Markup:
    return Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}" class="{}">{}</text>').format(x, y, anchor, css, cells.one_line(text))


def _svg(inner: Markup, *, height: int, label: str, width: int = WIDTH) -> Markup:
    return Markup('<svg viewBox="0 0 {} {}" style="max-width:{}px" role="img" aria-label="{}">{}</svg>').format(width, height, width, cells.one_line(label), inner)
