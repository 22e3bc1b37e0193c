"""The pages of a bundle: each conversation in Chinese and English HTML, in Chinese PDF; long ones in parts, one part in memory at a time.

Before: records.py, completeness.py, transcript.py, conversation.py. After: bundle.py. Neutral: no findings; recalls, files, gaps and what is
held back stand in their places. A rendition: the words are those of 02-messages.jsonl, which the proofs bind; both verifiers compare the HTML with it.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, overload

from pipeline import __version__, cells, conversation, transcript, words
from pipeline.evidence import report
from pipeline.evidence.gathered import LANGS, Bundle
from pipeline.evidence.pdf import pages
from pipeline.names import Row, seen_names
from pipeline.transcript import Line, MessageLine

if TYPE_CHECKING:
    from pipeline.evidence.pdf.writer import Writer
    from pipeline.evidence.records import Told

PART = 2_000  # records of one page


class Rows(Sequence[Row]):
    """The records of one conversation as rows of its page, read anew each time."""

    def __init__(self, told: Sequence[Told], places: Sequence[int]) -> None:
        self.told, self.places = told, places

    def __len__(self) -> int:
        return len(self.places)

    @overload
    def __getitem__(self, at: int) -> Row: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Row]: ...
    def __getitem__(self, at: int | slice) -> Row | Sequence[Row]:
        if isinstance(at, slice):
            return [self[n] for n in range(*at.indices(len(self)))]
        return self.told[self.places[at]].row


def files(bundle: Bundle, gaps: Sequence[Row], writer: Writer | None) -> Iterator[tuple[str, bytes]]:
    """Yield (path below data/, content) of every page. writer: of PDF, None without."""
    places: dict[str, array[int]] = {}
    for at, one in enumerate(bundle.told):
        places.setdefault(one.line["conversation_id"], array("L")).append(at)
    held = [{"seq": h["seq"], "origin": h["origin"], "fate": h["fate"]} for h in bundle.held]
    for number, conversation_id in enumerate(bundle.scope.conversations, 1):
        yield from _conversation(bundle, conversation_id, Rows(bundle.told, places.get(conversation_id, array("L"))), gaps, held, number, writer)


def _conversation(
    bundle: Bundle, conversation_id: str, rows: Rows, gaps: Sequence[Row], held: Sequence[Row], number: int, writer: Writer | None
) -> Iterator[tuple[str, bytes]]:  # fmt: skip
    parts = -(-max(len(rows) + len(gaps) + len(held), 1) // PART)
    made = transcript.parts_of(rows, size=PART, gaps=gaps, held=held, people=bundle.people)
    for part, lines in enumerate(made, 1):
        name = f"view/{number:04d}" if parts == 1 else f"view/{number:04d}-{part:03d}"
        meta = _meta(bundle, conversation_id, lines, room=bool(rows and rows[0]["room_id"]), part=(part, parts))
        for lang in LANGS:
            yield f"{name}.{lang}.html", conversation.render_html(lines, meta, lang).encode("utf-8", "replace")
        if writer is not None:
            yield f"view/{number:04d}-{part:03d}.pdf", _pdf(bundle, conversation_id, lines, meta.seen, (part, parts), writer)


def _meta(bundle: Bundle, conversation_id: str, lines: Sequence[Line], *, room: bool, part: tuple[int, int]) -> conversation.Meta:
    return conversation.Meta(
        corp_id=bundle.corp_id, conversation_id=conversation_id, room=room, from_day=bundle.scope.first_day, to_day=bundle.scope.last_day,
        made_at_ms=bundle.point.said.at_ms, program=f"liuhen {__version__}", stand=str(bundle.point.size), demo=bundle.demo,
        single_mode=bundle.mode == "single", masked=bundle.masks is not None, with_findings=False, part=part if part[1] > 1 else None,
        seen=seen_as(lines, bundle.people),
    )  # fmt: skip


def seen_as(lines: Iterable[Line], people: Iterable[Row]) -> Mapping[str, str]:
    """Return what customers saw of the employees in these lines at the times of the lines, by id; several names of one in their order."""
    names, found = seen_names(r for r in people if r["kind"] == "employee"), dict[str, dict[str, None]]()
    for line in lines:
        if isinstance(line, MessageLine):
            for person in (line.sender, *line.recipients):
                seen = names.person(person.id, line.at_ms, "employee")
                if person.kind == "employee" and seen.name and not seen.other_time:
                    found.setdefault(person.id, {})[seen.name] = None
    return {userid: "、".join(map(cells.one_line, several)) for userid, several in found.items()}


def _pdf(bundle: Bundle, conversation_id: str, lines: Sequence[Line], seen: Mapping[str, str], part: tuple[int, int], writer: Writer) -> bytes:
    """Return the same lines as PDF/A, Chinese."""
    about = [words.say("report.page_about", "zh", matter=bundle.matter.matter, leaves=bundle.point.size, root=bundle.point.root.hex())]
    about += [words.say("report.page_seen", "zh", who=cells.one_line(userid), name=name) for userid, name in seen.items()]
    title = f"{conversation_id} ({part[0]}/{part[1]})" if part[1] > 1 else conversation_id
    data: dict[str, Any] = {"title": title, "author": "liuhen", "about": about, "header": report.header(bundle), "footer": f"liuhen {__version__}"}
    return writer.pdf("conversation", {**data, "lines": pages.lines_of(lines, "zh")}, at_ms=bundle.point.said.at_ms)
