"""How `--help` is set: headings, marks and the names of values in the language of the call, lines that end where Chinese and commands may.

Before: guard.py, which gives it to every command. After: the terminal.
The command line's library speaks English alone and wraps by characters, at hyphens too: a command that stands as an example was torn apart,
and a Chinese line ran out of the window. Names of values that the catalogue does not know (`metavar.NAME`) stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from rich.cells import cell_len
from typer._click.formatting import HelpFormatter  # typer brings the library along under this name alone

from pipeline.cells import wrapped
from pipeline.cli.root import LANG, t
from pipeline.cli.usage import named

_TYPE = re.compile(r"((?:^|\s)[^-\s]\S*) <[^|>]*>$")  # said after a value's name, which says it better
_WORD = re.compile("[!-~]+")  # no line ends inside a word, an option or a path
_NOT_FIRST = re.compile(r"(?:[；，。、：）」』？！…;,)]|\.(?![\w/]))+")  # no line begins with these; `./liuhen-home` begins with none
_MARKS = re.compile(r"\[(?P<default>default: (?P<value>.*?))?(; )?(?P<range>([\d.]+<=)?x[<>]=[\d.]+)?(; )?(?P<required>required)?\]$", re.DOTALL)
_BARE = {"<str>": "TEXT", "<int>": "N", "<int range>": "N", "<float>": "N", "<float range>": "N", "<path>": "PATH"}  # of options whose value has no name
FIRST_COLUMN = 30
HEADINGS = {"Options": "help.options", "Arguments": "help.arguments", "Commands": "help.commands"}


class Help(HelpFormatter):
    """The library's formatter with our words and our ends of lines."""

    def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:
        """Write how the command is called."""
        start = t("help.usage", prog=prog)
        lines = wrapped(named(args, LANG), max(self.width - len(start) - 1, 20))
        self.write(f"{start} {lines[0].rstrip()}\n" + "".join(f"{'':>{len(prog)}} {line.rstrip()}\n" for line in lines[1:]))

    def write_heading(self, heading: str) -> None:
        """Write a heading; one that we do not know stays as the library has it."""
        self.write(f"{'':>{self.current_indent}}{t(HEADINGS[heading]) if heading in HEADINGS else heading + ':'}\n")

    def write_text(self, text: str) -> None:
        """Write paragraphs with the line breaks they have."""
        for line in text.split("\n"):
            before = self.current_indent + len(line) - len(line.lstrip())
            self._hang(line.strip(), before)

    def write_dl(self, rows: Sequence[tuple[str, str]], col_max: int = FIRST_COLUMN, col_spacing: int = 2) -> None:
        """Write names and what they are for, in two columns; a long name has a line of its own."""
        told = [(named(_typed(_TYPE.sub(r"\1", name)), LANG), marked(text)) for name, text in rows]
        wide = min(max((cell_len(name) for name, _ in told), default=0), col_max) + col_spacing
        for name, text in told:
            own = cell_len(name) + col_spacing > wide
            self.write(f"{'':>{self.current_indent}}{name}" + ("\n" if own or not text else " " * (wide - cell_len(name))))
            if text:
                self._hang(text, self.current_indent + wide, began=not own)

    def _hang(self, text: str, indent: int, *, began: bool = False) -> None:
        """Write a text, every line `indent` cells in, the first one too unless its place is reached already."""
        for n, line in enumerate(_lines(text, max(self.width - indent, 20))):
            self.write(f"{'' if began and n == 0 else ' ' * indent}{line}".rstrip() + "\n")


def _typed(name: str) -> str:
    """Return an option with its value's type as a name of ours."""
    before, _, kind = name.partition(" <")
    kind = f"<{kind}"
    return f"{before} {_BARE[kind]}" if kind in _BARE else name


def _lines(text: str, width: int) -> list[str]:
    """Return the lines of a text; a mark that would begin one hangs over the end of the one before."""
    lines = wrapped(text, width, together=_WORD)
    for n, line in enumerate(lines[1:], 1):
        if mark := _NOT_FIRST.match(line):
            lines[n - 1], lines[n] = lines[n - 1].rstrip() + mark[0], line[mark.end() :]
    return [line for line in lines if line] or [""]


def marked(text: str) -> str:
    """Return what an option is for, with the library's marks behind it in the language of the call."""
    if text == "Show this message and exit.":
        return t("help.this")
    found = _MARKS.search(text)
    if not found or not (found["default"] or found["range"] or found["required"]):
        return text
    marks = [t("help.default", value=found["value"])] if found["default"] else []
    marks += [_between(found["range"])] if found["range"] else []
    marks += [t("help.required")] if found["required"] else []
    return text[: found.start()] + "[" + t("list.join").join(marks) + "]"


def _between(span: str) -> str:
    """Return what a number may be as people write it: `1<=x<=9` is 1–9, `x>=1` is ≥1."""
    return span.replace("<=x<=", "–").replace("x>=", "≥").replace("x<=", "≤")
