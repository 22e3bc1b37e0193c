"""A conversation brought into the order in which it was said, as lines: messages, recalls, gaps, and what stayed unopened.

Before: segments.py, names.py. After: conversation.py (the lines as text and as a page).
Pure: rows of the public views in, `Line` values out; nothing is asked here and nothing is worded here.

Rules:
 (1) order is (sent_at, origin, seq); a record whose time is unknown stands after its neighbour by seq in the same sequence space.
 (2) a recalled message stays where it was said, with its words; the recall stands where it happened.
 (3) withheld, pending, restricted and unopened records are counted in their place, never shown.
 (4) findings are a layer of their own: numbers on pieces of the text, told apart beside it; the text itself never changes. Where findings
     overlap, the one that starts first is marked, the longest of those, and bears the numbers of the others too (`segments.under`).
 (5) people bear the name of the time (names.py); a name of another time is marked as such, an unknown one is the id alone.
 (6) employees stand on the own side; among employees only, whoever spoke first does.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence, Set
from datetime import date
from typing import Any, Literal, NamedTuple

import msgspec
import numpy as np

from pipeline import words
from pipeline.errors import UsageError
from pipeline.names import Names, Person, Row, ms_of
from pipeline.segments import QUOTE, Segment, Span, segments, under

Held = Literal["withheld", "pending", "restricted", "failed", "removed"]


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """A finding, numbered from 1 in the order of the conversation."""

    number: int
    finding_id: str
    rule_id: str
    category: str
    severity: str
    party: str
    term: str
    matched_text: str
    via: str


class Block(msgspec.Struct, frozen=True):
    """One part of a message (its path in the JSON), cut into pieces."""

    path: str
    segments: tuple[Segment, ...]


class MediaItem(msgspec.Struct, frozen=True, kw_only=True):
    """One file of a message; size in bytes as fetched, else as declared; status None when no state is recorded; declared_md5: as WeCom declares it."""

    kind: str
    file_name: str | None = None
    status: str | None = None
    size: int | None = None
    sha256: str | None = None
    declared_md5: str | None = None


class Unread(msgspec.Struct, frozen=True):
    """What nothing can be read in, told by its bytes as received: SHA-256 (hex; empty where it must not be told) and size in bytes."""

    sha256: str
    size: int


class Recalled(msgspec.Struct, frozen=True):
    """That a message was recalled, when (None: unknown) and by whom."""

    at_ms: int | None
    by: Person | None


class DayLine(msgspec.Struct, frozen=True):
    """A new Beijing day begins."""

    day: date


class MessageLine(msgspec.Struct, frozen=True, kw_only=True):
    """One message; at_ms None: time unknown."""

    msgid: str
    origin: str
    seq: int
    at_ms: int | None
    captured_ms: int | None
    msgtype: str
    sender: Person
    recipients: tuple[Person, ...]
    own: bool
    room: bool
    consent: str
    blocks: tuple[Block, ...]
    media: tuple[MediaItem, ...] = ()
    marks: tuple[Mark, ...] = ()
    recalled: Recalled | None = None
    unread: Unread | None = None
    target: bool = False


class RecallLine(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody recalled a message; known: the original is among the lines the conversation was made from."""

    msgid: str
    origin: str
    seq: int
    at_ms: int | None
    by: Person
    original: str | None
    original_at_ms: int | None
    known: bool
    target: bool = False


class GapLine(msgspec.Struct, frozen=True):
    """Messages may be missing here."""

    after_seq: int | None
    before_seq: int | None
    from_ms: int | None
    to_ms: int | None
    cause: str


class HeldLine(msgspec.Struct, frozen=True):
    """`count` records that follow one another here and stay unopened."""

    fate: Held
    count: int


class MoreLine(msgspec.Struct, frozen=True):
    """`count` messages and recalls before (or after) the window are not among these lines."""

    count: int
    before: bool


Line = DayLine | MessageLine | RecallLine | GapLine | HeldLine | MoreLine


def lines_of(
    messages: Iterable[Row],
    *,
    findings: Iterable[Row] = (),
    media: Iterable[Row] = (),
    gaps: Iterable[Row] = (),
    held: Iterable[Row] = (),
    people: Iterable[Row] = (),
) -> list[Line]:
    """Return the lines of one conversation.

    messages, findings, media, gaps, people: rows of the views `messages`, `matches`, `media`, `gaps`, `people` (times as datetime or
    milliseconds; `quotes` of a message are used when there); suppressed findings are left out.
    held: seq, origin and `fate` of the records of this conversation that stay unopened.
    """
    (lines,) = parts_of(list(messages), findings=findings, media=media, gaps=gaps, held=held, people=people)
    return lines


def parts_of(
    messages: Sequence[Row],
    *,
    size: int | None = None,
    findings: Iterable[Row] = (),
    media: Iterable[Row] = (),
    gaps: Iterable[Row] = (),
    held: Iterable[Row] = (),
    people: Iterable[Row] = (),
) -> Iterator[list[Line]]:
    """Yield the same lines in parts, each made from `size` rows (None: all), at least one; each begins with its day.

    messages: may read its rows from elsewhere each time it is asked; no more than one part of them is in memory. A row that bears its own
    files says them as `media`; those of the others are looked for in `media`."""
    places, originals = _Places(), set[str | None]()
    between, kept_back = list(gaps), list(held)
    for at, row in enumerate(messages):
        places.add(ms_of(row.get("sent_at")), _origin(row), row["seq"], 0, at)
        if row.get("kind") == "recall":
            originals.add(row.get("recalls_msgid"))
    for at, row in enumerate(between):
        places.add(ms_of(row.get("from_at")), "sealed", row.get("after_seq") or 0, 1, at)
    for at, row in enumerate(kept_back):
        places.add(None, _origin(row), row["seq"], 2, at)
    ordered = places.in_order()
    make = _Maker(messages, array("Q", (places.row[n] for n in ordered if places.rank[n] == 0)), originals, findings, media, people)
    rows = (messages, between, kept_back)
    for start in range(0, max(len(ordered), 1), size or max(len(ordered), 1)):
        part = ordered[start : start + size if size else None]
        yield list(_with_days(_joined(make.line(_Placed(places.rank[n], rows[places.rank[n]][places.row[n]])) for n in part)))


def around(lines: Sequence[Line], msgid: str, *, before: int = 20, after: int = 20) -> list[Line]:
    """Return the lines around one message or recall, that one marked; raises UsageError MSGID_UNKNOWN."""
    said = [(at, line) for at, line in enumerate(lines) if isinstance(line, MessageLine | RecallLine)]
    found = next((n for n, (_, line) in enumerate(said) if line.msgid == msgid), None)
    if found is None:
        expected = "expected the id of a message of this conversation, got another"
        raise UsageError("MSGID_UNKNOWN", expected, remedy="look it up with liuhen search")
    first, last = max(found - before, 0), min(found + after, len(said) - 1)
    start = said[first][0] if first else 0
    stop = said[last + 1][0] if last + 1 < len(said) else len(lines)
    target = said[found][0]
    window = [msgspec.structs.replace(line, target=True) if at == target else line for at, line in enumerate(lines[start:stop], start)]
    while window and isinstance(window[-1], DayLine):  # the heading of a day that is not shown
        window.pop()
    head = [line for line in lines[:start] if isinstance(line, DayLine)][-1:] if not isinstance(window[0], DayLine) else []
    more_before: list[Line] = [MoreLine(first, True)] if first else []
    more_after: list[Line] = [MoreLine(len(said) - 1 - last, False)] if last + 1 < len(said) else []
    return [*more_before, *head, *window, *more_after]


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """What a sequence of lines holds."""

    messages: int
    recalls: int
    media: int
    findings: int
    held: int
    gaps: int


def counts(lines: Iterable[Line]) -> Counts:
    """Return how many of everything the lines show."""
    lines = list(lines)
    said = [line for line in lines if isinstance(line, MessageLine)]
    return Counts(
        messages=len(said),
        recalls=sum(isinstance(line, RecallLine) for line in lines),
        media=sum(len(line.media) for line in said),
        findings=len({mark.number for line in said for mark in line.marks}),
        held=sum(line.count for line in lines if isinstance(line, HeldLine)),
        gaps=sum(isinstance(line, GapLine) for line in lines),
    )


# ---- order (rule 1)


class _Placed(NamedTuple):
    """A row where it belongs; rank: 0 message or recall, 1 gap, 2 held."""

    rank: int
    row: Row


_UNKNOWN = -(1 << 63)


class _Places:
    """Where rows belong, 26 bytes for each: a conversation may be years. row: its number among those of its rank."""

    def __init__(self) -> None:
        self.at_ms, self.seq, self.row, self.rank, self.origin = array("q"), array("Q"), array("Q"), bytearray(), bytearray()
        self._origins = list[str]()

    def add(self, at_ms: int | None, origin: str, seq: int, rank: int, row: int) -> None:
        """Add a row; at_ms None: nobody knows when."""
        if origin not in self._origins:
            self._origins.append(origin)
        self.at_ms.append(_UNKNOWN if at_ms is None else at_ms)
        self.seq.append(seq)
        self.row.append(row)
        self.rank.append(rank)
        self.origin.append(self._origins.index(origin))

    def in_order(self) -> Sequence[int]:
        """Return the numbers of the rows in the order of rule 1."""
        known = sorted(self._origins)
        origin = np.array([known.index(one) for one in self._origins], np.uint8)[np.frombuffer(self.origin, np.uint8)]
        at, seq, rank = np.array(self.at_ms), np.array(self.seq, np.uint64), np.frombuffer(self.rank, np.uint8)
        numbers = np.lexsort((rank, seq, origin, at))
        unknown = int(np.count_nonzero(at == _UNKNOWN))  # they sort first, by origin, seq, rank
        undated, dated = numbers[:unknown], numbers[unknown:]
        return array("Q", dated if not unknown else _joined_by_seq(dated, undated, origin, seq))


def _joined_by_seq(dated: Any, undated: Any, origin: Any, seq: Any) -> Any:
    """Return both, each row without a time behind its neighbour by seq in the same sequence space, or before the first of them."""
    by_seq = dated[np.lexsort((seq[dated], origin[dated]))]
    place = np.empty(len(origin), np.int64)
    place[dated] = np.arange(len(dated))
    where, behind = [], []  # beside which of the dated, and whether behind it
    for number in undated:
        low, high = np.searchsorted(origin[by_seq], origin[number], "left"), np.searchsorted(origin[by_seq], origin[number], "right")
        n = low + np.searchsorted(seq[by_seq[low:high]], seq[number], "right")
        where.append(place[by_seq[n - 1]] if n > low else place[by_seq[n]] if n < high else len(dated))
        behind.append(n > low)
    slots = np.array(where) * 2 + np.array(behind)  # a dated row stands between the slot before it and the one behind it
    keys = np.concatenate([np.arange(len(dated)) * 2 + 0.5, slots])
    return np.concatenate([dated, undated])[np.argsort(keys, kind="stable")]


def _with_days(lines: Iterable[Line]) -> Iterator[Line]:
    today: date | None = None
    for line in lines:
        at = line.at_ms if isinstance(line, MessageLine | RecallLine) else line.from_ms if isinstance(line, GapLine) else None
        if at is not None and words.moment(at).date() != today:
            today = words.moment(at).date()
            yield DayLine(today)
        yield line


def _joined(lines: Iterable[Line]) -> Iterator[Line]:
    last: HeldLine | None = None
    for line in lines:
        if last is not None and isinstance(line, HeldLine) and line.fate == last.fate:
            last = HeldLine(last.fate, last.count + line.count)
            continue
        if last is not None:
            yield last
        last = line if isinstance(line, HeldLine) else None
        if last is None:
            yield line
    if last is not None:
        yield last


# ---- from rows to lines


class _Maker:
    """Everything a line needs to know about its neighbours."""

    def __init__(
        self, messages: Sequence[Row], order: Sequence[int], originals: Set[str | None], findings: Iterable[Row], media: Iterable[Row], people: Iterable[Row]
    ) -> None:  # fmt: skip
        """order: numbers of the messages as they were said; originals: msgids of those that somebody recalled."""
        self.names = Names(people)
        self.messages = messages
        self.sent: dict[str | None, int | None] = {}
        self.kinds: dict[str, str] = {}
        internal = True
        for row in (messages[at] for at in order):
            if row.get("kind") != "recall" and row["msgid"] in originals:
                self.sent[row["msgid"]] = ms_of(row.get("sent_at"))
            if row.get("sender_id") and row.get("sender_kind"):
                self.kinds[row["sender_id"]] = row["sender_kind"]
            internal = internal and row.get("direction") == "internal"
        self.own = {messages[order[0]].get("sender_id") if order else None} if internal else None
        self.findings = _by_message(findings)
        self.numbers: dict[str, int] = {}
        self.media: dict[tuple[str, int], list[Row]] = {}
        for row in media:
            self.media.setdefault((_origin(row), row["seq"]), []).append(row)

    def line(self, placed: _Placed) -> Line:
        row = placed.row
        if placed.rank == 2:
            return HeldLine(row["fate"], 1)
        if placed.rank == 1:
            return GapLine(row.get("after_seq"), row.get("before_seq"), ms_of(row.get("from_at")), ms_of(row.get("to_at")), row.get("cause") or "")
        return self._recall(row) if row.get("kind") == "recall" else self._message(row)

    def _person(self, userid: str, at_ms: int | None) -> Person:
        return self.names.person(userid, at_ms, self.kinds.get(userid))

    def _recall(self, row: Row) -> RecallLine:
        original, at = row.get("recalls_msgid"), ms_of(row.get("sent_at"))
        return RecallLine(
            msgid=row["msgid"],
            origin=_origin(row),
            seq=row["seq"],
            at_ms=at,
            by=self._person(row.get("sender_id") or "", at),
            original=original,
            original_at_ms=self.sent.get(original),
            known=original in self.sent,
        )

    def _message(self, row: Row) -> MessageLine:
        at = ms_of(row.get("sent_at"))
        sender = self.names.person(row.get("sender_id") or "", at, row.get("sender_kind") or self.kinds.get(row.get("sender_id") or ""))
        blocks, marks = self._blocks(row)
        return MessageLine(
            msgid=row["msgid"],
            origin=_origin(row),
            seq=row["seq"],
            at_ms=at,
            captured_ms=ms_of(row.get("captured_at")),
            msgtype=row.get("msgtype") or "",
            sender=sender,
            recipients=tuple(self._person(one, at) for one in row.get("recipient_ids") or ()),
            own=sender.kind == "employee" if self.own is None else sender.id in self.own,
            room=bool(row.get("room_id")),
            consent=row.get("consent") or "unknown",
            blocks=blocks,
            media=tuple(_media_item(one) for one in row.get("media") or self.media.get((_origin(row), row["seq"])) or ()),
            marks=marks,
            recalled=self._recalled(row),
            unread=Unread(**row["unread"]) if row.get("unread") else None,
        )

    def _recalled(self, row: Row) -> Recalled | None:
        if row.get("recalled_at") is None and not row.get("recalled_by"):
            return None
        at, by = ms_of(row.get("recalled_at")), row.get("recalled_by")
        return Recalled(at, self._person(by, at) if by else None)

    def _blocks(self, row: Row) -> tuple[tuple[Block, ...], tuple[Mark, ...]]:
        parts = row.get("parts") or ([{"path": "text", "text": row["text"]}] if row.get("text") else [])
        places = sorted(self.findings.get(row["msgid"], ()), key=lambda place: (place.part, place.start_cp, -place.end_cp))
        marks = {place.row["finding_id"]: self._mark(place.row) for place in places}
        spans: dict[int, list[Span]] = {}
        for shown, covered in under(places):
            spans.setdefault(shown.part, []).extend(Span(shown.start_cp, shown.end_cp, marks[one.row["finding_id"]].number) for one in covered)
        for quote in row.get("quotes") or ():
            spans.setdefault(quote["part"], []).append(Span(quote["start_cp"], quote["end_cp"], QUOTE))
        blocks = tuple(Block(part["path"], segments(part["text"], spans.get(at, ()))) for at, part in enumerate(parts))
        return blocks, tuple(marks.values())

    def _mark(self, finding: Row) -> Mark:
        number = self.numbers.setdefault(finding["finding_id"], len(self.numbers) + 1)
        texts = ("finding_id", "rule_id", "category", "severity", "party", "term", "matched_text", "via")
        return Mark(number=number, **{name: str(finding.get(name) or "") for name in texts})


class _Place(NamedTuple):
    """Where a finding stands in a message."""

    part: int
    start_cp: int
    end_cp: int
    row: Row


def _by_message(findings: Iterable[Row]) -> dict[str, list[_Place]]:
    """Return the places of findings by message; one that spans several messages stands in each."""
    places: dict[str, list[_Place]] = {}
    for row in findings:
        if row.get("suppressed_by"):
            continue
        for span in row.get("spans") or [row]:
            msgid = span.get("msgid") or row["msgid"]
            places.setdefault(msgid, []).append(_Place(span["part"], span["start_cp"], span["end_cp"], row))
    return places


def _media_item(row: Row) -> MediaItem:
    size = row.get("size") if row.get("size") is not None else row.get("declared_size")
    return MediaItem(
        kind=row["kind"], file_name=row.get("file_name"), status=row.get("status"), size=size, sha256=row.get("sha256"), declared_md5=row.get("declared_md5")
    )


def _origin(row: Row) -> str:
    return row.get("origin") or "sealed"
