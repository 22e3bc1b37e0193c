"""The commands `search` and `index`.

Before: root.py. After: search/, show.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from pipeline import columns, words
from pipeline.cli.output import Format, OutputFile, chosen, emit, format_option, output_option, progress
from pipeline.cli.root import CALL, LANG, app, recorded, say, t

if TYPE_CHECKING:
    from pipeline.search.hits import Hit
    from pipeline.search.uninspected import Uninspected

COLUMNS = ("at", "sender_id", "sender_name", "conversation_id", "msgtype", "excerpt", "msgid", "origin", "seq", "places")
SHOWN = COLUMNS[:7]


@app.command(help=t("usage.search"))
def search(
    text: Annotated[str, typer.Argument(help=t("usage.search.text"), metavar="TEXT")],
    first: Annotated[str, typer.Option("--from", help=t("usage.from"), metavar="DAY")] = "",
    last: Annotated[str, typer.Option("--to", help=t("usage.to"), metavar="DAY")] = "",
    employee: Annotated[str, typer.Option("--employee", help=t("usage.search.employee"), metavar="ID")] = "",
    customer: Annotated[str, typer.Option("--customer", help=t("usage.search.customer"), metavar="ID")] = "",
    room: Annotated[str, typer.Option("--room", help=t("usage.search.room"), metavar="ID")] = "",
    msgtype: Annotated[str, typer.Option("--msgtype", help=t("usage.search.msgtype"), metavar="TYPE")] = "",
    limit: Annotated[int, typer.Option("--limit", help=t("usage.search.limit"), metavar="N")] = 50,
    variants: Annotated[bool, typer.Option("--variants", help=t("usage.search.variants"))] = False,
    pinyin: Annotated[bool, typer.Option("--pinyin", help=t("usage.search.pinyin"))] = False,
    format: Format = format_option,
    output: OutputFile = output_option,
) -> None:
    """Find a text in the archive."""
    from pipeline.reader import Reader
    from pipeline.search import hits, uninspected
    from pipeline.search.question import ask

    question = ask(text, first=first, last=last, employee=employee, customer=customer, room=room, msgtype=msgtype, limit=limit, variants=variants, by_sound=pinyin)
    corp = CALL.corp
    ways = (("variants", "yes" if variants else ""), ("pinyin", "yes" if pinyin else ""))
    asked = {k: v for k, v in (("from", first), ("to", last), ("employee", employee), ("customer", customer), ("room", room), *ways) if v}
    with recorded("search", corp=corp, text=text, **asked) as told, Reader(CALL.home, corp) as reader:
        found = hits.look(reader, question)
        left = uninspected.count(reader, question)
        names = SHOWN if chosen(format, output) == "table" else COLUMNS
        told["result"] = f"{emit(names, [_row(h, names) for h in found.hits], format=format, output=output, kinds=[_KINDS.get(n, 'text') for n in names])} hits"
    if found.more:
        say(t("search.more", n=limit))
    if found.damaged:
        say(t("search.damaged", n=found.damaged))
    for line in said(left):
        say(line)
    if len(text) > 1:
        say(t("search.not_across"))


@app.command("index", help=t("usage.index"))
def make_index(
    rebuild: Annotated[bool, typer.Option("--rebuild", help=t("usage.index.rebuild"))] = False,
    budget: Annotated[float | None, typer.Option("--budget", help=t("usage.compact.budget"), min=0, metavar="SECONDS", show_default=False)] = None,
) -> None:
    """Make the search index of what has none."""
    from pipeline.search import index

    corp = CALL.corp
    with recorded("index", corp=corp, rebuild=rebuild, budget=budget) as told:
        with progress() as shown:
            done = index.build(CALL.home, corp, budget_s=float("inf") if budget is None else budget, again=rebuild, progress=shown)
        told["result"] = f"{done.made} made, {done.removed} removed"
        say(t("index.done", made=done.made, removed=done.removed))
        if done.left:
            say(t("index.left", n=done.left))
        if done.blocked:
            say(t("index.blocked", n=done.blocked))
        print(msgspec.json.encode(done).decode(), flush=True)


_KINDS: dict[str, columns.Type] = {"at": "timestamp", "seq": "int", "places": "json"}


def _row(hit: Hit, names: Sequence[str]) -> tuple[object, ...]:
    from pipeline.search.places import excerpt

    values: dict[str, object] = {
        "at": hit.at_ms, "sender_id": hit.sender.id, "sender_name": hit.sender.name, "conversation_id": hit.conversation_id, "msgid": hit.msgid,
        "msgtype": words.label("msgtype", hit.msgtype, LANG) if names is SHOWN else hit.msgtype, "excerpt": excerpt(hit.parts, hit.places),
        "origin": hit.origin, "seq": hit.seq, "places": [msgspec.structs.asdict(p) for p in hit.places],
    }  # fmt: skip
    return tuple(values[n] for n in names)


def said(left: Uninspected) -> Iterator[str]:
    """Yield what an answer ends with: what in the range nobody looked into."""
    if left.nothing:
        yield t("search.all_inspected")
        return
    yield t("search.not_inspected")
    for name, n in left.by_word.items():
        yield f"  {t(f'uninspected.{name}', n=n)}"
