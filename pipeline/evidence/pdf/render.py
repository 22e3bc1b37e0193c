"""One PDF/A-2u from a template of ours and data: text of strangers is data and never markup.

Before: fonts.py, pages.py. After: bundle.py.

Rules:
 (1) what was said reaches the page as JSON, read by the template as strings: no character in it can become an instruction.
 (2) unseen characters are shown (cells.py) before anything is counted or set; a character without a glyph refuses the page.
 (3) the same data, fonts and version give the same bytes: the date in it is the checkpoint's.
 (4) nothing is read but the named fonts, nothing is fetched: no packages, no pictures, no network.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import msgspec

from pipeline import cells
from pipeline.errors import UsageError
from pipeline.evidence.pdf.fonts import Fonts, missing

STANDARD: Literal["a-2u"] = "a-2u"
_SHOWN = 12
_BREAKS = re.compile(r"\r\n|\r")


def pdf(template: str, data: dict[str, Any], fonts: Fonts, *, at_ms: int) -> bytes:
    """Return a PDF/A-2u. template: the name of a file here; at_ms: the date in it, UTC.

    Raises UsageError GLYPH_MISSING naming the code points that no font can write, EXTRA_MISSING, PDF_FAILED."""
    try:
        import typst
    except ImportError as error:
        remedy = "`make extra NAME=pdf` in a checkout, else pip install 'liuhen[pdf]'"
        raise UsageError("EXTRA_MISSING", "pdf needs the optional packages typst, fonttools and pypdf", remedy=remedy) from error
    told = _seen(data)
    if absent := missing(_texts(told), fonts):
        raise _no_glyph(absent)
    when = datetime.fromtimestamp(at_ms // 1000, UTC)
    told |= {"families": list(fonts.families), "date": [when.year, when.month, when.day]}
    source = (Path(__file__).parent / f"{template}.typ").read_bytes()
    known = _known(fonts.files)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compiler = typst.Compiler(source, font_paths=known, ignore_system_fonts=True, sys_inputs={"data": msgspec.json.encode(told).decode()})
            made = compiler.compile(format="pdf", pdf_standards=[STANDARD], timestamp=when)
    except typst.TypstError as error:
        # Its message may quote the text: it is not passed on.
        if "could not be displayed" in error.message:
            raise _no_glyph([]) from None
        raise UsageError("PDF_FAILED", "the PDF could not be made", remedy="report it; --no-pdf makes the bundle without") from None
    assert isinstance(made, bytes)
    return made


@lru_cache(maxsize=2)
def _known(files: tuple[str, ...]) -> Any:
    """Return the fonts as the typesetter knows them. Looking through them takes ten times as long as setting a short conversation: once a process."""
    import typst

    return typst.Fonts(include_system_fonts=False, include_embedded_fonts=False, font_paths=sorted({str(Path(f).parent) for f in files}))


def _no_glyph(absent: list[str]) -> UsageError:
    named = ", ".join(absent[:_SHOWN]) + (", …" if len(absent) > _SHOWN else "")
    what = f"no font can write {len(absent) or 'some'} characters: {named}".rstrip(": ")
    return UsageError("GLYPH_MISSING", what, remedy="add a font that has them to evidence.fonts, or export with --no-pdf")


def _seen(value: Any) -> Any:
    if isinstance(value, str):
        # The brackets of cells.py are in few Chinese fonts; these are in all.
        return _BREAKS.sub("\n", "".join(f"〈{p[1:-1]}〉" if unseen else p for p, unseen in cells.pieces(value))).replace("\t", " ")
    if isinstance(value, dict):
        return {k: _seen(v) for k, v in value.items()}
    return [_seen(v) for v in value] if isinstance(value, list | tuple) else value


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _texts(one)
