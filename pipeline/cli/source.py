"""Commands that ask the source: pull, media, run.

Before: root.py. After: the modules of source/.
"""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from pipeline import words
from pipeline.cli.output import Format, OutputFile, emit_arrow, format_option, output_option, progress, tell_counts
from pipeline.cli.root import CALL, LANG, app, recorded, say, t
from pipeline.errors import Exit, UsageError
from pipeline.source.actions import SENTENCES
from pipeline.source.library import KNOWN

if TYPE_CHECKING:
    from pipeline.home import Home
    from pipeline.source.interface import Source
    from pipeline.source.pull import Summary

media_app = typer.Typer(help=t("usage.media"), no_args_is_help=True)
app.add_typer(media_app, name="media")


@app.command(help=t("usage.pull"))
def pull(
    once: Annotated[bool, typer.Option("--once", help=t("usage.pull.once"))] = False,
    follow: Annotated[bool, typer.Option("--follow", help=t("usage.pull.follow"))] = False,
) -> None:
    """Pull sealed pages into the landing."""
    from pipeline.ingest import new_run_id
    from pipeline.source import follow as following
    from pipeline.source.doorbell import Doorbell
    from pipeline.source.offset import offset_ms
    from pipeline.source.pull import Pull

    if once and follow:
        raise UsageError("USAGE", "--once and --follow exclude each other", remedy="give one of them")
    corp, home = CALL.corp, CALL.home
    with recorded("pull", corp=corp, follow=follow) as told, progress() as shown, following.until_told() as stop:
        source, pause = _opened(home, corp), partial(following.pause, stop=stop)
        try:

            def one() -> Summary:
                return Pull(home, corp, source, run_id=new_run_id(), offset_ms=offset_ms(home), progress=shown, stop=stop, again=_again, sleep=pause).run()

            if follow:
                ended = following.follow(one, Doorbell(home.path, corp), poll_s=home.config.source.poll_minutes * 60, stop=stop, done=_tell)
            else:
                ended = one()
                _tell(ended)
        finally:
            source.close()
        told["run_id"], told["result"] = ended.run_id, f"{ended.code or f'exit {ended.exit_code}'}: {ended.pages} pages, cursor {ended.cursor}"
        if ended.exit_code:
            raise typer.Exit(ended.exit_code)


def _opened(home: Home, corp_id: str) -> Source:
    """Open the source of a corp; a library that nobody has tried is told."""
    from pipeline.source.opening import open_source

    source = open_source(home, corp_id)
    if source.library is not None and source.library not in KNOWN:
        say(t("pull.library_unknown", digest=source.library[:16]))
    return source


def _tell(ended: Summary) -> None:
    """Say in words what a person must know, then the summary line."""
    if ended.code:
        say(sentence(ended.code, ended.hint))
    say(t("summary.pull", pages=ended.pages, records=ended.records, bytes=ended.bytes))
    if ended.without_seq:
        say(t("pull.without_seq", n=ended.without_seq))
    if ended.gaps:
        say(t("pull.gaps", n=ended.gaps))
    if ended.exit_code == Exit.VERIFY_FAILED:
        say(t("pull.damaged"))
    if ended.hours_left is not None and not ended.complete:
        say(t("pull.hours_left", hours=ended.hours_left))
    sys.stderr.flush()
    print(msgspec.json.encode(ended).decode(), flush=True)


def _again(code: str, tried: int, tries: int, pause_s: float) -> None:
    """Say why nothing moves, before a call is made again."""
    what = t(f"source.{code}") if LANG == "zh" else SENTENCES[code][0]
    say(t("source.again", what=what, tried=tried, tries=tries, seconds=pause_s))


def _why(told: str) -> str:
    """Return why a step was left out or stopped: a code of the source or of an error by its meaning, else the sentence."""
    if told in SENTENCES:
        return sentence(told)
    if told == "WECOM_NETWORK" and CALL.home.config.at_double:
        return t("demo.double_over")
    return f"{words.label('error', told, LANG)} ({told})" if f"error.{told}" in words.catalogue() else words.sentence(told, LANG)


def sentence(code: str, hint: str = "") -> str:
    """Return what a code of the source means and what to do, in the language of the call."""
    if code == "SOURCE_UNREACHABLE" and CALL.home.config.at_double:
        return t("demo.double_over")
    what, remedy = (t(f"source.{code}"), t(f"source.{code}.do")) if LANG == "zh" else SENTENCES[code]
    seen = f" ({t('pull.address_seen', address=hint)})" if hint else ""
    return f"{what}{seen}; {remedy}" if LANG != "zh" else f"{what}{seen}；{remedy}"


@media_app.command("list", help=t("usage.media.list"))
def media_list(
    status: Annotated[str, typer.Option("--status", help=t("usage.media.status"))] = "", format: Format = format_option, output: OutputFile = output_option
) -> None:
    """List the files of archived messages."""
    from pipeline.reader import Reader

    corp = CALL.corp
    with recorded("media list", corp=corp, status=status or None) as told, Reader(CALL.home, corp) as reader:
        query = "SELECT * FROM media WHERE $status = '' OR status = $status ORDER BY origin DESC, seq"
        told["result"] = f"{emit_arrow(reader.arrow(query, {'status': status}), format=format, output=output, view='media')} rows"


@media_app.command("fetch", help=t("usage.media.fetch"))
def media_fetch(limit: Annotated[int, typer.Option("--limit", help=t("usage.media.limit"), min=1, show_default=False)] = 1 << 40) -> None:
    """Fetch the files of archived messages."""
    from pipeline.source import follow as following
    from pipeline.source.media_fetch import Fetch

    corp, home = CALL.corp, CALL.home
    with recorded("media fetch", corp=corp) as told, progress() as shown, following.until_told() as stop:
        source, pause = _opened(home, corp), partial(following.pause, stop=stop)
        try:
            ended = Fetch(home, corp, source, progress=shown, stop=stop, again=_again, sleep=pause).run(limit)
        finally:
            source.close()
        told["result"] = ended.code or f"exit {ended.exit_code}"
        if ended.code:
            say(sentence(ended.code))
        say(t("media.done", files=ended.files, verified=ended.verified, unverifiable=ended.unverifiable))
        for key, count in (("left", ended.left), ("mismatch", ended.mismatch), ("lost", ended.expired + ended.missing + ended.too_large)):
            if count:
                say(t(f"media.{key}", n=count))
        sys.stderr.flush()
        print(msgspec.json.encode(ended).decode(), flush=True)
        if ended.exit_code:
            raise typer.Exit(ended.exit_code)


@app.command(help=t("usage.run"))
def run() -> None:
    """One cycle of all steps."""
    from pipeline.source import cycle as work
    from pipeline.source import follow as following

    corp = CALL.corp
    with recorded("run", corp=corp) as told, progress() as shown, following.until_told() as stop:
        ended = work.run(work.Cycle(CALL.home, corp, open_source=_opened, progress=shown, stop=stop, again=_again))
        told["run_id"], told["result"] = ended.run_id, f"exit {ended.exit_code}"
        for step, why in {**ended.skipped, **ended.stopped}.items():
            say(t("run.step", step=words.label("cycle_step", step, LANG), result=_why(why)))
        if "pull" in ended.skipped:
            say(t("run.no_source", corp=corp))
        tell_counts(ended)
        sys.stderr.flush()
        print(msgspec.json.encode(ended).decode(), flush=True)
        if ended.exit_code:
            raise typer.Exit(ended.exit_code)
