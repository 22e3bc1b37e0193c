"""Fonts for PDF: found where the configuration says, and asked whether they can write a text at all.

Before: config.py (`evidence.fonts`). After: render.py.

Rules:
 (1) only the folders named are looked through, never whatever a machine happens to have: the same folders give the same pages.
 (2) a character that no font can write is named by its number and refuses the page: a box in its place would be an evidence defect.
 (3) what asks for no glyph of its own (line breaks, joiners and selectors of emoji) is not looked for.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec

from pipeline.errors import UsageError

ENDINGS = (".ttf", ".otf", ".ttc", ".otc")
# First the font of the text, then that of emoji, then whatever else lies in the folders.
FIRST = ("Noto Sans CJK SC", "Noto Sans SC", "Source Han Sans SC", "WenQuanYi Zen Hei", "Noto Color Emoji")
_HAN = "留痕證據中文"
_NO_GLYPH = frozenset("\n\r\t\u200d\ufe0e\ufe0f\u2028\u2029")


class Fonts(msgspec.Struct, frozen=True):
    """What is written with. files: paths, sorted; families: by preference; covered: code points that some font of them has."""

    files: tuple[str, ...]
    families: tuple[str, ...]
    covered: frozenset[int]


@lru_cache(maxsize=4)
def find(folders: tuple[str, ...]) -> Fonts:
    """Return the fonts in these folders (or files), searched below; raises UsageError FONTS_MISSING when none of them writes Chinese,
    EXTRA_MISSING without the packages of the extra `pdf`."""
    try:
        from fontTools import ttLib
    except ImportError as error:
        remedy = "`make extra NAME=pdf` in a checkout, else pip install 'liuhen[pdf]'"
        raise UsageError("EXTRA_MISSING", "pdf needs the optional packages typst, fonttools and pypdf", remedy=remedy) from error
    files = tuple(sorted(str(p) for folder in folders for p in _below(Path(folder))))
    families: dict[str, None] = {}
    covered: set[int] = set()
    for file in files:
        with closing(_collection(ttLib, file)) as opened:
            for font in _faces(opened):
                families[font["name"].getBestFamilyName()] = None
                covered |= set(font.getBestCmap() or ())
    if not all(ord(c) in covered for c in _HAN):
        remedy = "Debian: apt-get install fonts-noto-cjk fonts-noto-color-emoji; else name their folders in evidence.fonts; or --no-pdf"
        raise UsageError("FONTS_MISSING", "there is no font that writes Chinese in the folders of evidence.fonts", remedy=remedy)
    order = sorted(families, key=lambda name: (FIRST.index(name) if name in FIRST else len(FIRST), name))
    return Fonts(files, tuple(order), frozenset(covered))


def _below(at: Path) -> list[Path]:
    found = [at] if at.is_file() else sorted(at.rglob("*")) if at.is_dir() else []
    # Pages are set without serifs; the serif fonts that lie beside hold the same characters.
    return [p for p in found if p.suffix.lower() in ENDINGS and "Serif" not in p.name]


def _collection(ttlib: Any, file: str) -> Any:
    return (ttlib.TTCollection if file.lower().endswith("c") else ttlib.TTFont)(file, lazy=True)


def _faces(opened: Any) -> list[Any]:
    """Return the faces to write with: of a collection those we prefer, else its first; the others hold the same characters in other shapes."""
    faces: list[Any] = getattr(opened, "fonts", [opened])
    return [f for f in faces if f["name"].getBestFamilyName() in FIRST] or faces[:1]


def missing(texts: Iterable[str], fonts: Fonts) -> list[str]:
    """Return the characters that no font writes (rule 3), as `U+E412`, sorted, each once."""
    used = set().union(*map(set, texts)) - _NO_GLYPH
    return [f"U+{point:04X}" for point in sorted(map(ord, used)) if point not in fonts.covered]
