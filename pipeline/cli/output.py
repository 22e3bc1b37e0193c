"""How a command's rows and its progress reach a person or a script.

Before: root.py. After: show.py.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
import stat
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import typer

from pipeline import columns, show, words
from pipeline.cli.root import CALL, LANG, err, say, t

if TYPE_CHECKING:
    from rich.progress import TaskID

    from pipeline.audit import Who
    from pipeline.ingest import Summary
    from pipeline.reader import Reader


class FormatName(StrEnum):
    """The formats of `--format`."""

    table = "table"
    json = "json"
    jsonl = "jsonl"
    csv = "csv"
    parquet = "parquet"
    xlsx = "xlsx"


Format = FormatName | None
OutputFile = Path | None
format_option: Any = typer.Option(None, "--format", help=t("usage.format"))
output_option: Any = typer.Option(None, "--output", "-o", help=t("usage.output"), metavar="FILE")


def notes() -> list[str]:
    """Return what must stand on every result: DEMO, single mode."""
    return [words.say("demo.banner", LANG)] if CALL.home.config.demo else []


def chosen(format: Format, output: OutputFile) -> show.Format:
    """Return the format to write: the one asked for, else by the file's ending, else by where stdout goes."""
    if format is not None:
        return format.value
    return _by_ending(output) or show.default_format(sys.stdout.isatty() and output is None)


def _by_ending(output: OutputFile) -> show.Format | None:
    ending = output.suffix.lstrip(".").lower() if output is not None else ""
    return FormatName(ending).value if ending in FormatName.__members__ else None


def _tell_file(output: OutputFile, format: Format, n: int) -> int:
    """Say on stderr which file holds how many rows, and where its ending says another format than was asked for; return how many."""
    if output is not None:
        say(t("output.written", n=n, file=output, format=chosen(format, output)))
        if (ending := _by_ending(output)) and ending != chosen(format, output):
            say(t("output.other_ending", ending=output.suffix, format=chosen(format, output)))
    return n


def emit(names: Sequence[str], rows: Sequence[Sequence[object]], *, format: Format, output: OutputFile, kinds: Sequence[columns.Type] = (), view: str = "") -> int:
    """Write rows of our own making under the catalogue's titles; return how many. view: whose words their values are; else the command's."""
    kinds = kinds or [_kind(i, rows) for i in range(len(names))]
    if chosen(format, output) in ("table", "xlsx"):
        kinds, rows = _times(kinds, rows)
    titled = described(names, rows, kinds, view=view or CALL.command)
    with extract(output, [(n, True) for n in names], rows=len(rows)):
        n = _piped(lambda: show.write_rows(titled, rows, format=chosen(format, output), output=output, lang=LANG, notes=notes()))
    return _tell_file(output, format, n)


def emit_rows(described: Sequence[columns.Column], rows: Iterable[Sequence[object]], *, format: Format, output: OutputFile, total: int) -> int:
    """Write rows under columns described already; return how many. total: how many there are."""
    with extract(output, [(c.name, c.type in ("text", "json")) for c in described], rows=total):
        n = _piped(lambda: show.write_rows(described, rows, format=chosen(format, output), output=output, lang=LANG, notes=notes(), total=total))
    return _tell_file(output, format, n)


def emit_named(
    reader: Reader, described: Sequence[columns.Column], rows: Iterable[Sequence[object]], *, format: Format, output: OutputFile, total: int,
    declared: Mapping[str, Who] | None = None, until: date | None = None,
) -> int:  # fmt: skip
    """Write rows with the names of the time beside their ids (beside.py); return how many."""
    from pipeline import beside

    merged = chosen(format, output) == "table"
    made, told = beside.named(reader, described, rows, lang=LANG, declared=declared, until=until, merged=merged)
    return emit_rows(made, told, format=format, output=output, total=total)


def described(names: Sequence[str], rows: Sequence[Sequence[object]], kinds: Sequence[columns.Type] = (), *, view: str = "") -> list[columns.Column]:
    """Return columns for rows of our own making, under the catalogue's titles."""
    return [columns.column(n, k, LANG, view=view) for n, k in zip(names, kinds or [_kind(i, rows) for i in range(len(names))], strict=True)]


def _times(kinds: Sequence[columns.Type], rows: Sequence[Sequence[object]]) -> tuple[list[columns.Type], list[list[object]]]:
    """Return kinds and rows with what programs get as ISO text in UTC turned into instants: people read Beijing time."""
    turned = [list(row) for row in rows]
    found = list(kinds)
    for at, kind in enumerate(kinds):
        values = [row[at] for row in turned if row[at] is not None]
        if kind == "text" and values and all(isinstance(v, str) and _INSTANT.fullmatch(v) for v in values):
            found[at] = "timestamp"
            for row in turned:
                row[at] = datetime.fromisoformat(str(row[at])) if row[at] is not None else None
    return found, turned


_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")  # as clock.iso writes it


def _kind(at: int, rows: Sequence[Sequence[object]]) -> columns.Type:
    values = [r[at] for r in rows if r[at] is not None]
    if values and all(isinstance(v, bool) for v in values):
        return "bool"
    if values and all(isinstance(v, int) for v in values):
        return "int"
    if values and all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
        return "float"
    return "json" if values and all(isinstance(v, list | dict) for v in values) else "text"


def emit_arrow(source: Any, *, format: Format, output: OutputFile, view: str = "", titles: dict[str, str] | None = None) -> int:
    """Write an Arrow result; return how many rows. titles: what columns are called where an audit says so."""
    found, rows = columns.rows_from_arrow(source, lang=LANG, view=view)
    return emit_rows(columns.titled(found, titles or {}), rows, format=format, output=output, total=source.num_rows)


@contextlib.contextmanager
def extract(output: OutputFile, named: Sequence[tuple[str, bool]], *, rows: int) -> Iterator[None]:
    """Around the writing of a file, also one that the shell opened (`> FILE`): where it holds words of messages, it may have to be approved first,
    and is recorded (extracts.py)."""
    from pipeline import extracts

    if not extracts.is_extract(named, own_sql=CALL.command == "sql") or (output is None and not redirected()):
        yield
        return
    extracts.allow(CALL.home, CALL.corp, command=CALL.command, params=CALL.asked, rows=rows, purpose=CALL.purpose, approval=CALL.approval)
    record = partial(extracts.record, CALL.home, CALL.corp, command=CALL.command, rows=rows, purpose=CALL.purpose, approval=CALL.approval)
    if output is None:
        with _summed() as summed:
            try:
                yield
            except BaseException:  # a full disk, an interrupt: what was written until then is in the file
                if summed.size:
                    record(file=extracts.SHELL, digest=summed.sum.hexdigest(), cut_at=summed.size)
                raise
        name, digest = extracts.SHELL, summed.sum.hexdigest()
    else:
        yield
        name, digest = output.name, extracts.digest_of(output)
    record(file=name, digest=digest)


def redirected() -> bool:
    """Whether standard output is a file (`> FILE`): neither a terminal nor a pipe nor /dev/null."""
    try:
        return stat.S_ISREG(os.fstat(sys.stdout.fileno()).st_mode)
    except (OSError, ValueError):  # no descriptor behind it: a string in memory
        return False


class _Summed(io.BufferedIOBase):
    """Hands bytes on, counts them and sums them up (SHA-256)."""

    def __init__(self, below: BinaryIO) -> None:
        super().__init__()
        self._below, self.sum, self.size = below, hashlib.sha256(), 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.sum.update(data)
        self.size += memoryview(data).nbytes
        return self._below.write(data)

    def flush(self) -> None:
        self._below.flush()


@contextlib.contextmanager
def _summed() -> Iterator[_Summed]:
    """Sum up what is written to standard output inside the block."""
    sys.stdout.flush()
    below = _Summed(sys.stdout.buffer)
    above = io.TextIOWrapper(below, encoding=sys.stdout.encoding, errors=sys.stdout.errors)  # type: ignore[type-var]  # written only: it has no name to tell
    try:
        with contextlib.redirect_stdout(above):
            yield below
    finally:
        above.detach()  # flushed, and what lies below stays open
        below.close()  # flushed too, now: Python 3.13 tells when what is forgotten cannot be flushed, and standard output may be closed by then


def _piped(write: Callable[[], int]) -> int:
    """Write; a reader that had enough (`| head`) is an ordinary end."""
    try:
        return write()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def tell_counts(told: Summary) -> None:
    """Say what a run settled, in words: the same counts as the last line of stdout."""
    from pipeline.commit import FATES

    counts = {name: getattr(told, name) for name in ("landed", *FATES)}
    say(t("summary.settled", **counts) if told.landed else t("summary.nothing"))
    if told.reopened:
        say(t("summary.reopened", n=told.reopened))


@contextlib.contextmanager
def progress() -> Iterator[Callable[[str, int, int], None]]:
    """Show bars on stderr when it is a terminal; yields what takes (step, done, total)."""
    if not err.is_terminal:
        yield lambda what, done, total: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    bars = Progress(
        SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=err, transient=False
    )
    tasks: dict[str, TaskID] = {}
    with bars:

        def shown(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(t(f"progress.{what}"), total=total or None)
            bars.update(tasks[what], completed=done, total=total or None)

        yield shown
