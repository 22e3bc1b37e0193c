"""The truth about a demonstration, told before anything is sealed: what a run must find, count by count and id by id.

Before: story.py, pages.py. After: generate.py writes it first; whoever checks a run compares with it.

What it rests on: the directory is known and consent.jsonl imported before the first run; policy default = "agree", room = "sender".
`fates` are those of a first run without the late key, `fates_later` those after the late key was added and its records opened again.
Phrases are counted where they were planted, from what is typed beside each line; nothing was searched.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

import msgspec

from pipeline.clock import BEIJING
from pipeline.demo import firm as firm_module
from pipeline.demo import pages
from pipeline.demo.story import LATE_VERSION, Plan, Record
from pipeline.demo.talks import Draft

QUOTED = ("quote", "chatrecord")


class Phrase(msgspec.Struct, frozen=True, kw_only=True):
    """One phrase in one message. kind: violations, evasive, near_misses, customer_words or scenes.

    employee: who wrote it, if an employee did; conversation_id: the room, else the ids of the two in byte order, joined by `|`.
    form: literal where the phrase stands letter by letter, exactly once; quoted: it is another person's word inside the message."""

    seq: int
    msgid: str
    kind: str
    category: str
    term: str
    form: str
    carrier: str
    quoted: bool
    sender: str
    employee: str | None
    conversation_id: str
    day: str
    fate: str
    fate_later: str


class KeyTruth(msgspec.Struct, frozen=True, kw_only=True):
    """One key version: its file under the output folder, PEM form, passphrase, how many records it sealed; late: held back at first."""

    version: int
    file: str
    form: str
    passphrase: str | None
    records: int
    late: bool


class Broken(msgspec.Struct, frozen=True, kw_only=True):
    """One record that cannot be read, and why; msgid as in the envelope."""

    code: str
    seq: int
    msgid: str


class Truth(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a run over the saved pages must find.

    records: all sealed records, a repeated seq counted once; every one has one of the fates, so both counts of fates sum to it.
    What a run calls `landed` is records and page_failures together: a cut page is a failure of its own.
    failures: of records by code, in a first run; page_failures: of pages; broken: each broken record, the late key's included.
    seq_conflict: the two msgids of one seq, of which one is archived and one a failure, whichever is settled first.
    types: all records by msgtype (switch logs as `switch`); archived_types: archived ones; archived_by_day: those of them that have a time.
    terms: how often each literal phrase stands in archived messages, by kind; per_employee: archived own violations by category.
    media: files named anywhere in archived messages, by kind; media_refs all of them, with the record's seq."""

    demo: str
    firm: str
    corp_id: str
    seed: int
    days: list[str]
    records: int
    fates: dict[str, int]
    fates_later: dict[str, int]
    types: dict[str, int]
    archived_types: dict[str, int]
    archived_types_later: dict[str, int]
    archived_by_day: dict[str, int]
    archived_by_day_later: dict[str, int]
    phrases: list[Phrase]
    terms: dict[str, dict[str, int]]
    terms_later: dict[str, dict[str, int]]
    per_employee: dict[str, dict[str, int]]
    per_employee_later: dict[str, dict[str, int]]
    refusals: list[dict[str, Any]]
    control: dict[str, int]
    withheld: list[str]
    withheld_later: list[str]
    recalls: list[dict[str, Any]]
    duplicates: list[dict[str, Any]]
    repeated_seqs: list[int]
    seq_conflict: list[str]
    keys: list[KeyTruth]
    failures: dict[str, int]
    failures_later: dict[str, int]
    page_failures: dict[str, int]
    broken: list[Broken]
    media: dict[str, int]
    media_later: dict[str, int]
    media_refs: list[dict[str, Any]]
    details: list[dict[str, Any]]
    files: list[dict[str, Any]]


def tell(plan: Plan, files: Sequence[pages.PageFile], keys: Sequence[KeyTruth]) -> Truth:
    """Return the truth about a plan and the files it will be saved in."""
    records = plan.records
    first, later = _archived(records, lambda r: r.fate), _archived(records, lambda r: r.fate_later)
    phrases = [p for r in records for p in _phrases(plan, r)]
    return Truth(
        demo="DEMO: everything here is made up",
        firm=firm_module.NAME,
        corp_id=plan.corp_id,
        seed=plan.seed,
        days=[d.isoformat() for d in plan.calendar.days],
        records=len(records),
        fates=_count(r.fate for r in records),
        fates_later=_count(r.fate_later for r in records),
        types=_count(_type(r) for r in records),
        archived_types=_count(_type(r) for r in first),
        archived_types_later=_count(_type(r) for r in later),
        archived_by_day=_count(_day(r) for r in first if r.draft.stamp != "none"),
        archived_by_day_later=_count(_day(r) for r in later if r.draft.stamp != "none"),
        phrases=phrases,
        terms=_terms(phrases, lambda p: p.fate),
        terms_later=_terms(phrases, lambda p: p.fate_later),
        per_employee=_per_employee(phrases, lambda p: p.fate),
        per_employee_later=_per_employee(phrases, lambda p: p.fate_later),
        refusals=[msgspec.to_builtins(r) for r in plan.refusals],
        control=_count(_type(r) for r in records if r.fate == "control"),
        withheld=[r.msgid for r in records if r.fate == "withheld"],
        withheld_later=[r.msgid for r in records if r.fate_later == "withheld"],
        recalls=list(_recalls(plan)),
        duplicates=[{"seq": r.seq, "msgid": r.msgid} for r in records if r.fate == "duplicate"],
        repeated_seqs=pages.repeated(records) if files else [],
        seq_conflict=_seq_conflict(records),
        keys=list(keys),
        failures=_count(r.code for r in records if r.fate == "failed"),
        failures_later=_count(r.code for r in records if r.fate_later == "failed"),
        page_failures={"PAGE_CUT": sum(f.cut for f in files)},
        broken=[Broken(code=r.code, seq=r.seq, msgid=r.msgid) for r in records if r.code],
        media=_count(kind for r in first for kind, _ in files_in(r.draft.body.fields)),
        media_later=_count(kind for r in later for kind, _ in files_in(r.draft.body.fields)),
        media_refs=[_media_ref(r, kind, fileid) for r in records for kind, fileid in files_in(r.draft.body.fields)],
        details=[{"seq": r.seq, "kind": d.kind, "value": d.value, "fate_later": r.fate_later} for r in records for d in r.draft.details],
        files=[{"name": f.name, "answers": len(f.answers), "records": sum(map(len, f.answers)), "cut": f.cut} for f in files],
    )


def _archived(records: Iterable[Record], fate: Callable[[Record], str]) -> list[Record]:
    return [r for r in records if fate(r) == "archived"]


def _count(words: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(words).items()))


def _type(record: Record) -> str:
    return "switch" if record.draft.role == "switch" else record.draft.body.msgtype


def _day(record: Record) -> str:
    return datetime.fromtimestamp(record.draft.sent_ms / 1000, BEIJING).date().isoformat()


# --- phrases ---


def _phrases(plan: Plan, record: Record) -> Iterator[Phrase]:
    draft = record.draft
    employee = draft.sender if draft.sender not in plan.firm.externals else None
    for mark in draft.marks:
        yield Phrase(
            seq=record.seq, msgid=record.msgid, kind=mark.group, category=mark.category, term=mark.term, form=mark.form,
            carrier=mark.carrier, quoted=mark.carrier in QUOTED, sender=draft.sender, employee=employee,
            conversation_id=_conversation(draft), day=_day(record), fate=record.fate, fate_later=record.fate_later,
        )  # fmt: skip


def _conversation(draft: Draft) -> str:
    return draft.room_id or "|".join(sorted({draft.written_sender, *draft.tolist}))


def _terms(phrases: Iterable[Phrase], fate: Callable[[Phrase], str]) -> dict[str, dict[str, int]]:
    counts: dict[str, Counter[str]] = {}
    for phrase in phrases:
        if phrase.form == "literal" and fate(phrase) == "archived":
            counts.setdefault(phrase.term, Counter())[phrase.kind] += 1
    return {term: dict(sorted(by_kind.items())) for term, by_kind in sorted(counts.items())}


def _per_employee(phrases: Iterable[Phrase], fate: Callable[[Phrase], str]) -> dict[str, dict[str, int]]:
    counts: dict[str, Counter[str]] = {}
    for phrase in phrases:
        if phrase.kind == "violations" and phrase.employee and not phrase.quoted and fate(phrase) == "archived":
            counts.setdefault(phrase.employee, Counter())[phrase.category] += 1
    return {userid: dict(sorted(by_category.items())) for userid, by_category in sorted(counts.items())}


# --- records that speak of others ---


def _recalls(plan: Plan) -> Iterator[dict[str, Any]]:
    known = {r.msgid for r in plan.records if r.draft.role not in ("recall", "conflict")}
    for record in plan.records:
        if record.draft.role == "recall":
            target = record.draft.target
            order = "before" if record.msgid in plan.recalls_first else "after" if target in known else "unknown"
            yield {"seq": record.seq, "msgid": record.msgid, "recalls": target, "order": order, "fate": record.fate}


def _seq_conflict(records: Iterable[Record]) -> list[str]:
    of_seq: dict[int, list[str]] = {}
    for record in records:
        of_seq.setdefault(record.seq, []).append(record.msgid)
    return [msgid for msgids in of_seq.values() if len(msgids) > 1 for msgid in msgids]


def _media_ref(record: Record, kind: str, sdkfileid: str) -> dict[str, Any]:
    return {
        "seq": record.seq,
        "msgid": record.msgid,
        "kind": kind,
        "sdkfileid": sdkfileid,
        "fate": record.fate,
        "fate_later": record.fate_later,
    }


def files_in(fields: dict[str, Any], kind: str = "") -> Iterator[tuple[str, str]]:
    """Yield (kind, file id) of every file in a body, those in strings of JSON included."""
    for name, value in fields.items():
        if name == "sdkfileid":
            yield kind, value
        elif isinstance(value, dict):
            yield from files_in(value, name)
        elif name in ("item", "items"):
            for item in value:
                if "content" in item:
                    yield from files_in(msgspec.json.decode(item["content"]), item.get("type", "").removeprefix("ChatRecord").lower())


def key_counts(records: Iterable[Record]) -> dict[int, int]:
    """Return how many records each key version seals."""
    counts = Counter(r.key_version for r in records)
    return {version: counts[version] for version in range(1, LATE_VERSION + 1)}
