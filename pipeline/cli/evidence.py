"""Commands for evidence: checkpoint, matter open, list, show, close, and export.

Before: root.py. After: evidence/.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import msgspec
import typer

from pipeline import cells, clock, words
from pipeline.cli.output import Format, OutputFile, chosen, described, emit, emit_named, format_option, notes, output_option
from pipeline.cli.root import CALL, LANG, app, recorded, say, t
from pipeline.errors import Exit, UsageError
from pipeline.evidence import gate, report

if TYPE_CHECKING:
    from pipeline.evidence.gathered import Bundle
    from pipeline.evidence.pdf.fonts import Fonts
    from pipeline.evidence.pdf.writer import Writer
    from pipeline.evidence.proving import Prover
    from pipeline.evidence.redaction.masking import Choices
    from pipeline.reader import Reader

matter_app = typer.Typer(help=t("usage.matter"), no_args_is_help=True)
app.add_typer(matter_app, name="matter")
Name = Annotated[str, typer.Argument(help=t("usage.matter.name"), metavar="MATTER")]
Reason = Annotated[str, typer.Option("--reason", help=t("usage.matter.reason"), metavar="TEXT")]


@app.command(help=t("usage.checkpoint"))
def checkpoint(
    after: Annotated[Path | None, typer.Option("--after", help=t("usage.checkpoint.after"), metavar="FILE.note", show_default=False)] = None,
    format: Format = format_option,
    output: OutputFile = output_option,
) -> None:
    """Sign the tree over all leaves, have it stamped, and list the checkpoints."""
    from pipeline.evidence import checkpoint as points
    from pipeline.evidence import epochs, signer, stamps

    corp = CALL.corp
    with recorded("checkpoint", corp=corp, after=after.name if after else "") as told:
        with CALL.home.lock(f"{corp}.checkpoint"):
            if after is not None:
                number, begun = epochs.begin(CALL.home, corp, after)
                say(t("checkpoint.epoch" if begun else "checkpoint.no_epoch", n=number))
            made, new = points.make(CALL.home, corp)
            stamped = stamps.ask(CALL.home, corp)
        key = str(signer.public_key(CALL.home, corp))
        rows = [
            (c.size, c.root.hex(), clock.iso(c.said.at_ms), clock.iso(s.at_ms) if (s := stamps.stamp_of(c)) else None, c.epoch, key)
            for c in points.all_of(CALL.home, corp)
        ]
        emit(["leaves", "root", "made_at", "stamped_at", "epoch", "key"], rows, format=format, output=output)
        told["result"] = f"{made.size} leaves"
    say(t("checkpoint.made" if new else "checkpoint.same", n=made.size))
    say(t("checkpoint.key", line=key))
    if stamped is not None and stamped.waiting:
        say(t("checkpoint.waiting", n=stamped.waiting, why=stamped.why))
        raise typer.Exit(int(Exit.LEFT_OVER))


@matter_app.command("open", help=t("usage.matter.open"))
def matter_open(
    name: Name,
    title: Annotated[str, typer.Option("--title", help=t("usage.matter.title"), metavar="TEXT")],
    reason: Reason = "",
    customer: Annotated[str, typer.Option("--customer", help=t("usage.matter.customer"), metavar="ID")] = "",
    employee: Annotated[str, typer.Option("--employee", help=t("usage.matter.employee"), metavar="ID")] = "",
    room: Annotated[str, typer.Option("--room", help=t("usage.matter.room"), metavar="ID")] = "",
    review_on: Annotated[str, typer.Option("--review-on", help=t("usage.matter.review_on"), metavar="DAY")] = "",
) -> None:
    """Open a matter, with the hold it needs."""
    from pipeline import holds
    from pipeline.consenting import destroying
    from pipeline.evidence import matter
    from pipeline.reader import Reader
    from pipeline.search.question import day

    corp = CALL.corp
    review = matter.review_day(CALL.home, day(review_on), at_ms=clock.now_ms())
    about = {"customer": customer, "employee": employee, "room": room}
    params = {"matter": name, "title": title, "reason": reason, "customer": customer, "employee": employee, "room": room}
    with recorded("matter open", corp=corp, **params) as told:
        matter.begin(CALL.home, corp, name, title=title, reason=reason or title, review_on=review.isoformat() if review else None)
        told["result"] = name
        if customer or employee or room:
            held = holds.place(
                CALL.home, corp, matter=name, reason=reason or title, userid=employee or None, room_id=room or None, external_userid=customer or None
            )
            destroying.keep_for(CALL.home, corp, held)
            say(t("matter.held", id=held.hold_id))
            if review:
                say(t("matter.review", day=review.isoformat()))
        say(t("matter.opened", matter=name))
        with Reader(CALL.home, corp) as reader:
            for what in matter.unknown(reader, about):
                say(t(f"matter.unknown.{what}"))
            if customer:
                _propose(reader, customer)


def _propose(reader: Reader, customer: str) -> None:
    """Name the employees, rooms and period that a customer's matter probably needs."""
    from pipeline import beside

    rows = reader.rows(
        "SELECT conversation_id, room_id, min(dt) AS first_day, max(dt) AS last_day, count(*) AS n FROM messages"
        " WHERE sender_id = $id OR list_contains(recipient_ids, $id) GROUP BY ALL ORDER BY n DESC, conversation_id",
        {"id": customer},
    )
    names = beside.names_of(reader, "conversation", [(row["conversation_id"], row["last_day"]) for row in rows])
    say(t("matter.proposed", n=len(rows)))
    for row, name in zip(rows, names, strict=True):  # who it is about goes to whoever asked, not to a log
        called = f" ({cells.one_line(name)})" if name else ""
        print(f"  {row['conversation_id']}{called}  {row['first_day']} – {row['last_day']}  {t('matter.proposed.messages', n=row['n'])}")


@matter_app.command("list", help=t("usage.matter.list"))
def matter_list(format: Format = format_option, output: OutputFile = output_option) -> None:
    """List the matters."""
    from pipeline.evidence import matter

    corp = CALL.corp
    with recorded("matter list", corp=corp):
        rows = [
            (m.matter, m.title, clock.iso(m.at_ms), m.actor, m.review_on, clock.iso(m.closed_at_ms) if m.closed_at_ms is not None else None)
            for m in matter.all_of(CALL.home, corp)
        ]
        emit(["matter", "title", "opened_at", "actor", "review_on", "closed_at"], rows, format=format, output=output)


@matter_app.command("show", help=t("usage.matter.show"))
def matter_show(name: Name, format: Format = format_option, output: OutputFile = output_option) -> None:
    """Show a matter and its holds: for people the matter, then a table of its holds; for programs one object."""
    from pipeline import holds, tables
    from pipeline.cli.holds import HOLD, HOLD_KINDS
    from pipeline.cli.holds import row as hold_row
    from pipeline.evidence import matter
    from pipeline.reader import Reader

    corp = CALL.corp
    with recorded("matter show", corp=corp, matter=name):
        found = matter.find(CALL.home, corp, name)
        lake = CALL.home.lake(corp)
        held = [h for h in holds.all_of(lake, lake.snapshot()) if h.matter == name]
        told = {**msgspec.structs.asdict(found), "holds": msgspec.to_builtins(held)}
        if chosen(format, output) == "table":
            facts = [
                ("matter", found.matter), ("title", found.title), ("reason", found.reason), ("actor", found.actor), ("opened_at", words.beijing(found.at_ms, LANG)),
                ("review_on", found.review_on), ("closed_at", words.beijing(found.closed_at_ms, LANG) if found.closed_at_ms is not None else None),
            ]  # fmt: skip
            if output is None:
                print("\n".join(tables.facts([(words.title(k, LANG), v) for k, v in facts if v])), end="\n\n")
            rows = [hold_row(h, found.review_on) for h in held]
            with Reader(CALL.home, corp) as reader:
                emit_named(reader, described(HOLD, rows, HOLD_KINDS), rows, format=format, output=output, total=len(rows))
        elif chosen(format, output) == "json" and output is None:
            print(msgspec.json.encode(told).decode())  # one matter, one object
        else:
            emit(list(told), [tuple(told.values())], format=format, output=output)


@matter_app.command("close", help=t("usage.matter.close"))
def matter_close(name: Name, reason: Annotated[str, typer.Option("--reason", help=t("usage.matter.reason"), metavar="TEXT")]) -> None:
    """Close a matter; its holds stay until they are released."""
    from pipeline.evidence import matter

    corp = CALL.corp
    with recorded("matter close", corp=corp, matter=name, reason=reason):
        matter.end(CALL.home, corp, name, reason=reason)
    say(t("matter.closed", matter=name))


@app.command(help=t("usage.export"))
def export(
    name: Annotated[str, typer.Option("--matter", help=t("usage.matter.name"), metavar="M")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help=t("usage.export.output"), metavar="CASE.zip")] = None,
    conversation: Annotated[str, typer.Option("--conversation", help=t("usage.export.conversation"), metavar="ID")] = "",
    customer: Annotated[str, typer.Option("--customer", help=t("usage.export.customer"), metavar="ID")] = "",
    employee: Annotated[str, typer.Option("--employee", help=t("usage.export.employee"), metavar="ID")] = "",
    query: Annotated[Path | None, typer.Option("--query", help=t("usage.export.query"), metavar="FILE.sql")] = None,
    first: Annotated[str, typer.Option("--from", help=t("usage.from"), metavar="DAY")] = "",
    last: Annotated[str, typer.Option("--to", help=t("usage.to"), metavar="DAY")] = "",
    as_of: Annotated[int | None, typer.Option("--as-of", help=t("usage.export.as_of"), metavar="CHECKPOINT")] = None,
    preview: Annotated[bool, typer.Option("--preview", help=t("usage.export.preview"))] = False,
    pdf: Annotated[bool | None, typer.Option("--pdf/--no-pdf", help=t("usage.export.pdf"), show_default=False)] = None,
    prove_decryption: Annotated[bool, typer.Option("--prove-decryption", help=t("usage.export.prove_decryption"))] = False,
    redacted: Annotated[Path | None, typer.Option("--redacted", help=t("usage.export.redacted"), metavar="REDACTED.zip", show_default=False)] = None,
    party: Annotated[list[str] | None, typer.Option("--party", help=t("usage.export.party"), metavar="ID", show_default=False)] = None,
    mask: Annotated[Path | None, typer.Option("--mask", help=t("usage.export.mask"), metavar="FILE", show_default=False)] = None,
    keep: Annotated[list[str] | None, typer.Option("--keep", help=t("usage.export.keep"), metavar="CLASS", show_default=False)] = None,
    reason: Annotated[str, typer.Option("--reason", help=t("usage.export.reason"), metavar="TEXT")] = "",
    destination: Annotated[str, typer.Option("--destination", help=t("usage.export.destination"), metavar="COUNTRY")] = gate.INLAND,
    reference: Annotated[str, typer.Option("--reference", help=t("usage.export.reference"), metavar="TEXT")] = "",
) -> None:
    """Write an evidence bundle that a stranger can check."""
    from pipeline.evidence import bundle, checkpoint, decryption, matter, proving, scope
    from pipeline.reader import Reader
    from pipeline.search.question import day

    if output is None and not preview:
        raise UsageError("OUTPUT_NEEDED", "expected a file to write to", remedy="name one with -o CASE.zip, or look first with --preview")
    if query is not None and not query.is_file():
        raise UsageError("INPUT_MISSING", f"there is no file {query}", remedy="give a file with one SELECT that yields origin and seq")
    corp, (since, until) = CALL.corp, (day(first), day(last))
    if since and until and since > until:
        raise UsageError("DAY_INVALID", f"--from ({since}) is later than --to ({until})", remedy="exchange the two days")
    asked = {"conversation": conversation, "customer": customer, "employee": employee, "query": _query(query) if query else ""}
    choices = _choices(redacted, output, party or [], mask, keep or [], reason)
    params: dict[str, Any] = {
        **asked, "from": first, "to": last, "destination": destination, "reference": reference, "prove_decryption": prove_decryption,
        "redacted": redacted is not None, "parties": party or [], "kept": keep or [],
    }  # fmt: skip
    with recorded("export", corp=corp, matter=name, preview=preview, **params) as told:
        gate.check(destination, reference)
        about = matter.open_of(CALL.home, corp, name)
        if as_of is None:
            with CALL.home.lock(f"{corp}.checkpoint"):
                checkpoint.make(CALL.home, corp)
        point = checkpoint.find(CALL.home, corp, as_of)
        with Reader(CALL.home, corp, as_of_ms=None if as_of is None else point.said.at_ms) as reader:
            prover = proving.prover(CALL.home, corp, reader.snapshot, point)
            gathered = bundle.gather(reader, about, scope.of(reader, asked, since, until), prover)
            gathered = msgspec.structs.replace(gathered, destination=gate.told(destination, reference))
            if prove_decryption:
                versions = (t.line["key_version"] for t in gathered.told if t.envelope is not None)
                keys = decryption.public_numbers(versions, CALL.home.key_set(corp))
                gathered = msgspec.structs.replace(gathered, keys=keys, notes=(*gathered.notes, "decryption"))
            _tell(gathered)
            if preview:
                _preview(gathered)
            elif output is not None:
                decided = {k: v for k, v in params.items() if k not in asked and v}  # what needs a second person is bound to where it goes and how
                _second_person(corp, {"matter": name, **asked, **decided, "from": first, "to": last, "as_of": as_of}, gathered)
                told["result"] = " ".join(_written(reader, gathered, prover, output, redacted, choices, pdf))


def _choices(redacted: Path | None, output: Path | None, parties: list[str], mask: Path | None, keep: list[str], reason: str) -> Choices:
    """Return what was decided about masks; raises UsageError REDACTED_ONLY, REDACTED_SAME, MASK_CLASS, REASON_NEEDED, INPUT_MISSING."""
    from pipeline import custody
    from pipeline.evidence.redaction.masking import Choices
    from pipeline.evidence.redaction.rules import CLASSES

    if redacted is None and (parties or mask or keep):
        raise UsageError("REDACTED_ONLY", "--party, --mask and --keep are about a redacted set", remedy="name its file with --redacted REDACTED.zip")
    if redacted is not None and output is not None and redacted.resolve() == output.resolve():
        raise UsageError("REDACTED_SAME", "the redacted set needs a file of its own", remedy="name another file with --redacted")
    if odd := [k for k in keep if k not in CLASSES]:
        raise UsageError("MASK_CLASS", f"there is no class {odd[0]!r}", remedy=f"one of {', '.join(CLASSES)}")
    if keep and not reason.strip():
        raise UsageError("REASON_NEEDED", "what stays readable needs a reason", remedy="say why with --reason")
    if mask is not None and not mask.is_file():
        raise UsageError("INPUT_MISSING", f"there is no file {mask}", remedy="give a text file with one word or phrase a line")
    words_ = _lines(mask) if mask else []
    return Choices(parties=tuple(parties), chosen=tuple(words_), keep=tuple(keep), reason=reason.strip() or t("mask.by_default"), approver=custody.actor())


def _lines(file: Path) -> list[str]:
    try:
        return [line.strip() for line in file.read_text("utf-8-sig").splitlines() if line.strip()]
    except UnicodeDecodeError:
        raise UsageError("TEXT_NOT_UTF8", "the file of words is not UTF-8 text", remedy="save it as UTF-8, one word or phrase a line") from None


def _query(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except UnicodeDecodeError:
        raise UsageError("SQL_SYNTAX", "the file of the query is not UTF-8 text", remedy="give a file with one SELECT that yields origin and seq") from None


def _second_person(corp: str, params: dict[str, Any], gathered: Bundle) -> None:
    """Where roles are configured nobody hands evidence out alone."""
    from pipeline.approvals import store

    c = gathered.coverage
    counts = {"conversations": len(c["conversations"]), "records": c["records"], "held": c["held"]}
    store.two_persons(CALL.home, corp, action="export", params=params, counts=counts, reason=CALL.purpose or gathered.matter.reason, approval=CALL.approval)


def _tell(gathered: Bundle) -> None:
    c = gathered.coverage
    say(t("export.scope", conversations=len(c["conversations"]), records=c["records"], held=c["held"], leaves=c["leaves"]))


def _preview(gathered: Bundle) -> None:
    """Say how large it would be, what is held, and what it covers; writes nothing."""
    from pipeline import holds

    lake = CALL.home.lake(gathered.corp_id)
    held = [h for h in holds.all_of(lake, lake.snapshot()) if h.matter == gathered.matter.matter and h.released_at_ms is None]
    # The opened bytes stand in raw/, in the proof, in the list, in the table and on three pages; a page's own markup weighs about 700 bytes a message.
    size = sum(6 * len(told.raw) + len(told.envelope or b"") + 64 * len(told.proof["path"]) + 4_000 for told in gathered.told)
    media = sum(m["size"] or 0 for told in gathered.told for m in told.line["media"] if m["sha256"])
    say(t("export.preview.size", size=size + media, media=media))
    say(t("export.preview.holds", n=len(held), ids=", ".join(h.hold_id for h in held) or t("value.none")))
    for label, number in report.counts(gathered, LANG):
        say(f"  {label}: {number}")
    for one in gathered.coverage["conversations"]:
        say(t("export.preview.around", **{k: one[k] or 0 for k in ("in_bundle", "before", "after")}, first=one["first_day"], last=one["last_day"]))


def _written(reader: Reader, full: Bundle, prover: Prover, output: Path, redacted: Path | None, choices: Choices, pdf: bool | None) -> list[str]:
    """Write the full set and, in the same run, the redacted one; return the digests of their manifests."""
    from pipeline.evidence.pdf.writer import Writer

    fonts = _fonts(pdf)
    with Writer(fonts) if fonts else nullcontext() as writer:
        return _both(reader, full, prover, output, redacted, choices, writer)


def _both(reader: Reader, full: Bundle, prover: Prover, output: Path, redacted: Path | None, choices: Choices, writer: Writer | None) -> list[str]:
    from pipeline.evidence.redaction import leaks, masking

    if writer is None:
        full = msgspec.structs.replace(full, notes=(*full.notes, "no_pdf"))
    digests = []
    if redacted is not None:  # first: when something masked is found in it, nothing is written
        made = masking.redacted(reader, full, choices)
        own = msgspec.structs.replace(made.bundle, notes=("redacted", *(() if writer else ("no_pdf",))))
        digests.append(_write(reader, own, prover, redacted, writer, look=lambda sink: leaks.refuse(sink, made.values)))
        masks = len(own.masks or ())
        say(t("export.redacted", file=redacted, masks=masks, values=len(made.values)) if masks or made.values else t("export.redacted_none", file=redacted))
    for note in notes():
        say(note)
    return [_write(reader, full, prover, output, writer), *digests]


def _fonts(pdf: bool | None) -> Fonts | None:
    """Return what PDF is written with, None without: asked so, or not there and not insisted on (which is said)."""
    from pipeline.evidence.pdf import fonts

    if pdf is False:
        return None
    try:
        return fonts.find(tuple(CALL.home.config.evidence.fonts))
    except UsageError as error:
        if pdf:
            raise
        say(t("export.no_pdf", why=words.sentence(error.message, LANG), remedy=words.sentence(error.remedy, LANG)))
        return None


def _write(
    reader: Reader, gathered: Bundle, prover: Prover, output: Path, writer: Writer | None, look: Callable[[BinaryIO], None] = lambda _: None
) -> str:  # fmt: skip
    """Write the zip beside its name, look it through, then rename; return the digest of its manifest."""
    from pipeline.evidence import bundle
    from pipeline.show import replacing

    info = {
        "Source-Organization": gathered.corp_id, "External-Identifier": gathered.matter.matter, "Bag-Software-Agent": "liuhen",
        "Liuhen-Checkpoint": f"{gathered.point.origin} {gathered.point.size}",
        **({"Liuhen-Note": "DEMO"} if gathered.demo else {}),
    }  # fmt: skip
    closing = bundle.report_pdf(gathered, writer) if writer else None
    with replacing(output) as sink:
        parts, sm3 = bundle.files(reader, gathered, prover, writer=writer), gathered.point.said.sm3 is not None
        digest = bundle.write(sink, parts, info=info, closing=closing, sm3=sm3, folder=CALL.home.path)
        look(sink)
    say(t("export.written", file=output, digest=digest))
    say(t("export.check", file=output))
    return digest
