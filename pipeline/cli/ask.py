"""Commands that ask: sql, audit, conversation, status.

Before: root.py. After: reader.py, audit.py, conversation.py, show.py. Nothing is asked in the modules that show.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from pipeline.cli.output import (
    Format,
    OutputFile,
    chosen,
    emit,
    emit_arrow,
    emit_named,
    emit_rows,
    extract,
    format_option,
    notes,
    output_option,
    progress,
)
from pipeline.cli.root import CALL, LANG, app, recorded, say, t
from pipeline.errors import UsageError

if TYPE_CHECKING:
    from pipeline.audit import Words
    from pipeline.reports.gather import Contents
    from pipeline.reports.period import Period

audit_app = typer.Typer(help=t("usage.audit"), no_args_is_help=True)
app.add_typer(audit_app, name="audit")


@app.command(help=t("usage.sql"))
def sql(query: Annotated[str, typer.Argument(help=t("usage.sql.query"), metavar="QUERY")], format: Format = format_option, output: OutputFile = output_option) -> None:
    """Ask one SELECT over the views."""
    from pipeline import sqlguard
    from pipeline.reader import Reader

    corp = CALL.corp
    with recorded("sql", corp=corp, query=query) as told, Reader(CALL.home, corp) as reader:
        found = reader.typed_by_user(sqlguard.guard(reader.connection, query))
        told["result"] = f"{emit_arrow(found, format=format, output=output, view='messages')} rows"


@audit_app.command("list", help=t("usage.audit.list"))
def audit_list(format: Format = format_option, output: OutputFile = output_option) -> None:
    """List the audits."""
    from pipeline import audit

    with recorded("audit list"):
        rows = [(a.name, _own(a.meta.title), _own(a.meta.question)) for a in audit.load_audits()]
        emit(["audit", "title", "question"], rows, format=format, output=output)


@audit_app.command("show", help=t("usage.audit.show"))
def audit_show(name: Annotated[str, typer.Argument(help=t("usage.audit.name"), metavar="NAME")]) -> None:
    """Show an audit's question, basis, parameters and columns."""
    from pipeline import audit

    with recorded("audit show", name=name):
        found = audit.find(name)
        print(f"{found.name}  {_own(found.meta.title)}\n\n{_own(found.meta.question)}\n{_own(found.meta.basis)}\n\n{t('audit.parameters')}")
        for parameter in found.meta.parameters:
            print(f"  -p {parameter.name}=…  {_own(parameter.help)}{f' [{parameter.span}]' if parameter.span else ''}")
        print(f"\n{t('audit.columns')}")
        for column in found.meta.columns:
            print(f"  {column.name}  {_own(column.title)}: {_own(column.meaning)}")


@audit_app.command("run", help=t("usage.audit.run"))
def audit_run(
    name: Annotated[str, typer.Argument(help=t("usage.audit.name"), metavar="NAME")],
    parameter: Annotated[list[str] | None, typer.Option("-p", "--parameter", help=t("usage.audit.parameter"), metavar="KEY=VALUE")] = None,
    lexicon: Annotated[str, typer.Option("--lexicon", help=t("usage.audit.lexicon"), metavar="VERSION")] = "",
    format: Format = format_option,
    output: OutputFile = output_option,
) -> None:
    """Ask an audit."""
    from pipeline import audit, columns
    from pipeline.reader import Reader

    corp = CALL.corp
    given = dict(_pair(p) for p in parameter or [])
    with recorded("audit run", corp=corp, name=name, parameters=given, lexicon=lexicon or None) as told:
        found = audit.find(name)
        values = audit.bind(found, given)
        titles = {c.name: _own(c.title) for c in found.meta.columns}
        with Reader(CALL.home, corp, lexicon=lexicon) as reader:
            answer = reader.answer(found, values)
            if chosen(format, output) == "table":
                # Words that the query gives in both languages: a table shows those of its reader.
                answer = answer.drop_columns([c for c in answer.column_names if c.endswith("_en" if LANG == "zh" else "_zh")])
            described, rows = columns.rows_from_arrow(answer, lang=LANG, view="messages")
            described = columns.worded(described, audit.worded(found))
            until = values.get("to_day")
            written = emit_named(
                reader, columns.titled(described, titles), rows, format=format, output=output, total=answer.num_rows, declared=audit.whose(found, values),
                until=until if isinstance(until, date) else None,
            )  # fmt: skip
            told["result"] = f"{written} rows"


@audit_app.command("pack", help=t("usage.audit.pack"))
def audit_pack(
    month: Annotated[str, typer.Option("--month", help=t("usage.audit.pack.month"), metavar="YYYY-MM")],
    output: Annotated[Path, typer.Option("--output", "-o", help=t("usage.audit.pack.output"), metavar="NAME")],
    lexicon: Annotated[str, typer.Option("--lexicon", help=t("usage.audit.lexicon"), metavar="VERSION")] = "",
) -> None:
    """Write a month's audits as a workbook and a page."""
    from pipeline.reports import book, page
    from pipeline.reports import period as periods
    from pipeline.show import replacing

    corp, asked = CALL.corp, periods.month(month)
    files = [output.with_name(output.name.removesuffix(".xlsx").removesuffix(".html") + ending) for ending in (".xlsx", ".html")]
    with recorded("audit pack", corp=corp, month=month, lexicon=lexicon or None) as told:
        contents = _contents(corp, asked, lexicon)
        with extract(files[0], contents.named, rows=contents.count):  # one approval, one record; the digests of both stand in the end's result
            with replacing(files[0]) as sink:
                rows = book.write(sink, contents)
            with replacing(files[1]) as sink:
                sink.write(page.render(contents).encode("utf-8", "replace"))
        told["result"] = _digests(files)
    say(t("pack.written", files=" ".join(str(f) for f in files), rows=rows))


@audit_app.command("report", help=t("usage.audit.report"))
def audit_report(
    output: Annotated[Path, typer.Option("--output", "-o", help=t("usage.audit.report.output"), metavar="FILE.html")],
    first: Annotated[str, typer.Option("--from", help=t("usage.from"), metavar="DAY")] = "",
    last: Annotated[str, typer.Option("--to", help=t("usage.to"), metavar="DAY")] = "",
    lexicon: Annotated[str, typer.Option("--lexicon", help=t("usage.audit.lexicon"), metavar="VERSION")] = "",
) -> None:
    """Write a page about a period."""
    from pipeline import clock
    from pipeline.reports import page
    from pipeline.reports import period as periods
    from pipeline.search.question import day
    from pipeline.show import replacing

    corp, asked = CALL.corp, periods.days(day(first), day(last), now_ms=clock.now_ms())
    with recorded("audit report", corp=corp, days=asked.name, lexicon=lexicon or None) as told:
        contents = _contents(corp, asked, lexicon)
        with extract(output, contents.named, rows=contents.count), replacing(output) as sink:
            sink.write(page.render(contents).encode("utf-8", "replace"))
        told["result"] = _digests([output])
    say(t("conversation.file_written", file=output))


def _contents(corp: str, asked: Period, lexicon: str) -> Contents:
    from pipeline.reader import Reader
    from pipeline.reports import gather

    with progress() as shown, Reader(CALL.home, corp, lexicon=lexicon) as reader:
        return gather.gather(reader, asked, lexicon=lexicon, progress=shown)


def _digests(files: list[Path]) -> str:
    """Return the SHA-256 of each file written: what custody knows it by."""
    import hashlib

    return " ".join(hashlib.sha256(file.read_bytes()).hexdigest() for file in files)


def _own(words: Words) -> str:
    return words.zh if LANG == "zh" else words.en


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise UsageError("AUDIT_PARAM_INVALID", "a parameter is not KEY=VALUE", remedy="for example -p employee=zhangsan")
    return key, value


@app.command(help=t("usage.conversation"))
def conversation(
    conversation_id: Annotated[str, typer.Argument(help=t("usage.conversation.id"), metavar="ID")],
    around: Annotated[str, typer.Option("--around", help=t("usage.conversation.around"), metavar="MSGID")] = "",
    html: Annotated[Path | None, typer.Option("--html", help=t("usage.conversation.html"), metavar="FILE")] = None,
    text: Annotated[bool, typer.Option("--text", help=t("usage.conversation.text"))] = False,
    format: Format = format_option,
    output: OutputFile = output_option,
) -> None:
    """Show a conversation in order: on a terminal as text to read, as a page, otherwise as rows."""
    from pipeline import conversation as page
    from pipeline import conversation_rows, thumbnails
    from pipeline.ask_conversation import gather
    from pipeline.reader import Reader
    from pipeline.show import replacing

    corp = CALL.corp
    if text and (format is not None or output is not None):
        raise UsageError("USAGE", "--text excludes --format and -o", remedy="give one of them")
    with recorded("conversation", corp=corp, conversation=conversation_id, around=around or None) as told, Reader(CALL.home, corp) as reader:
        lines, meta = gather(reader, conversation_id, around=around or None, demo=CALL.home.config.demo)
        told["result"] = f"{len(lines)} lines"
        read = text or (format is None and html is None and chosen(format, output) == "table")
        if format is not None or output is not None or not (read or html):
            emit_rows(conversation_rows.columns(LANG), conversation_rows.rows_of(lines, LANG), format=format, output=output, total=len(lines))
        if read and output is None:
            with extract(None, [("text", True)], rows=len(lines)):
                print(page.render_text(lines, LANG))
        if html is None:
            return
        with extract(html, [("text", True)], rows=len(lines)), replacing(html) as sink:
            sink.write(page.render_html(lines, meta, LANG, pictures=thumbnails.of_lines(CALL.home, corp, lines)).encode("utf-8", "replace"))
        say(t("conversation.file_written", file=html))


@app.command(help=t("usage.status"))
def status(format: Format = format_option, output: OutputFile = output_option) -> None:
    """Say how the archive stands."""
    from pipeline import status as screen
    from pipeline.reader import Reader
    from pipeline.roles.acting import MACHINE

    corp = CALL.corp
    with recorded("status", corp=corp), Reader(CALL.home, corp, access=MACHINE) as reader:  # counts, whoever asks
        found = screen.gather(reader)
        if chosen(format, output) == "table" and output is None:
            for note in notes():
                print(note)
            print(screen.render(CALL.home, found, LANG))
        elif chosen(format, output) == "json" and output is None:
            print(msgspec.json.encode(screen.told(CALL.home, found)).decode())  # one archive, one object
        else:
            told = screen.told(CALL.home, found)
            emit(list(told), [tuple(told.values())], format=format, output=output)
