"""The lines of a conversation as text for a terminal and as one page to look at and to print.

Before: transcript.py (rows to lines), cells.py, words.py. After: the command `conversation`, export.

Rules:
 (1) nothing is dropped: every line is shown, messages are never shortened; a message without readable text says what it is.
 (2) the text stays neutral: findings are numbers beside it (terminal) or a layer that a reader can switch off (page).
 (3) the page is whole in itself: no script, no address that leaves it, no request; its policy forbids what its markup does not do.
 (4) whatever came from a message, a name or a file name is text: escaped, its unseen characters shown.
 (5) the page says what was not looked at, who made it, from which stand of the archive, and DEMO or single mode when that is so.
 (6) the same lines and the same Meta give the same bytes; the time of making is one of Meta's values.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import msgspec
from markupsafe import Markup, escape
from rich.cells import cell_len

from pipeline import cells, words
from pipeline.names import Person, person_key
from pipeline.transcript import (
    Block,
    DayLine,
    GapLine,
    HeldLine,
    Line,
    Mark,
    MediaItem,
    MessageLine,
    MoreLine,
    RecallLine,
    around,
    counts,
    lines_of,
)
from pipeline.words import Lang

if TYPE_CHECKING:
    import jinja2

__all__ = ["Line", "Meta", "around", "counts", "lines_of", "render_html", "render_text"]

# Kinds of media by what a keyword rule cannot read in them.
UNREAD = {"image": "pictures", "emotion": "pictures", "voice": "voice", "meeting_voice_call": "voice", "video": "videos"}
UNINSPECTED = ("pictures", "voice", "videos", "files", "unopened", "pending", "withheld", "restricted", "gaps")
_SEVERITIES = ("high", "medium", "low")


class Meta(msgspec.Struct, frozen=True, kw_only=True):
    """What a page says about itself.

    from_day, to_day: Beijing days asked for (None: open); stand: version or checkpoint of the archive it was read from;
    uninspected: counts by the words of `uninspected.*` that the caller knows better than the lines do;
    with_findings: findings were asked for (else the page says that it carries none); notes: further sentences for the end;
    part: which part of how many the lines are, None for all of them; seen: what customers saw of an employee then, by id."""

    corp_id: str
    conversation_id: str
    corp_name: str = ""
    room_name: str = ""
    room: bool = False
    from_day: date | None = None
    to_day: date | None = None
    made_at_ms: int | None = None
    actor: str = ""
    program: str = ""
    stand: str = ""
    demo: bool = False
    single_mode: bool = False
    masked: bool = True
    with_findings: bool = True
    uninspected: Mapping[str, int] = {}
    category_titles: Mapping[str, str] = {}
    notes: tuple[str, ...] = ()
    part: tuple[int, int] | None = None
    seen: Mapping[str, str] = {}


# ---- words for parts of a line, the same on the terminal and on the page


def person_text(person: Person) -> str:
    """Return `李娜 (lina)`, or the id alone; a star where the name is one of another time."""
    if not person.name:
        return cells.one_line(person.id) or "?"
    return f"{cells.one_line(person.name)}{'*' if person.other_time else ''} ({cells.one_line(person.id)})"


def block_label(path: str, lang: Lang) -> str:
    """Return what a part of a message is called (`标题`, `3 · 文件名`), empty where the text speaks for itself."""
    leaf = re.sub(r"\[\d+\]", "", path.rsplit(".", 1)[-1])
    plain = leaf in ("content", "text", "solitaire_content") or "." not in path
    name = "" if plain else words.label("part", cells.one_line(leaf), lang)
    items = [str(int(n) + 1) for n in re.findall(r"item\[(\d{1,6})\]", path)] if not path.startswith("mixed.") else []
    return " · ".join(filter(None, (".".join(items), name)))


def media_text(item: MediaItem, lang: Lang) -> str:
    """Return `文件 合同.pdf, 70,961 字节, 已下载并核对` for one file."""
    size = words.say("size.bytes", lang, n=item.size) if item.size is not None else ""
    status = words.label("media_status", cells.one_line(item.status or "unknown"), lang)
    name = f"{words.label('msgtype', cells.one_line(item.kind), lang)} {cells.one_line(item.file_name or '')}".strip()
    return words.say("list.join", lang).join(filter(None, (name, size, status)))


_ENDING = re.compile(r"\.([0-9A-Za-z]{1,5})\Z")
_SIGNS = {"video": "▶", "voice": "♪", "meeting_voice_call": "♪"}


def icon_of(item: MediaItem, lang: Lang) -> tuple[str, str]:
    """Return what stands for a file that has no picture: its kind for the colour (`pdf`, `sheet`, `text`, `talk`, `pack`, `sound`, `film`, `other`),
    and the few letters on it: the ending of its name, else a sign or the beginning of the word of its kind."""
    found = _ENDING.search(cells.one_line(item.file_name or ""))
    ending = found[1].upper() if found else ""
    kind = next((kind for kind, endings in _ENDINGS.items() if ending in endings), "other")
    if item.kind in _SIGNS:
        kind = "film" if item.kind == "video" else "sound"
    return kind, ending or _SIGNS.get(item.kind) or words.label("msgtype", cells.one_line(item.kind), lang)[:2]


_ENDINGS = {
    "pdf": ("PDF", "OFD"), "text": ("DOC", "DOCX", "WPS", "RTF", "TXT", "MD"), "sheet": ("XLS", "XLSX", "ET", "CSV"), "talk": ("PPT", "PPTX", "DPS"),
    "pack": ("ZIP", "RAR", "7Z", "GZ", "TAR"), "sound": ("MP3", "AMR", "WAV", "M4A"), "film": ("MP4", "MOV", "AVI", "MKV"),
}  # fmt: skip


def type_text(line: MessageLine, lang: Lang) -> str:
    """Return the kind of a message where neither its text nor its files say it, and that there is nothing to read; else nothing."""
    empty = not (line.blocks or line.media)
    evident = line.msgtype in ("text", "mixed") or any(item.kind == line.msgtype for item in line.media)
    name = "" if evident and not empty else words.label("msgtype", cells.one_line(line.msgtype), lang)
    return name + (words.say("conversation.no_text", lang) + _unread(line, lang) if empty else "")


def _unread(line: MessageLine, lang: Lang) -> str:
    """Return digest and size of what cannot be shown; empty where they are not known."""
    if line.unread is None:
        return ""
    digest = f" · SHA-256 {line.unread.sha256}" if line.unread.sha256 else ""
    return f"{digest} · {words.say('size.bytes', lang, n=line.unread.size)}"


def mark_text(mark: Mark, lang: Lang, titles: Mapping[str, str] | None = None) -> str:
    """Return one finding as a line: severity, category, term, as written, who said it."""
    category = (titles or {}).get(mark.category) or words.label("category", mark.category, lang)
    said = f"{words.say('conversation.term', lang)}「{cells.one_line(mark.term)}」"
    written = "" if mark.matched_text == mark.term else f" {words.say('conversation.written', lang)}「{cells.one_line(mark.matched_text)}」"
    rest = f"{words.label('party', mark.party, lang)} · {words.label('via', mark.via, lang)}"
    return f"[{words.label('severity', mark.severity, lang)}] {cells.one_line(category)} · {said}{written} · {rest}"


def recall_text(line: RecallLine, lang: Lang) -> str:
    """Return who recalled what."""
    who = person_text(line.by)
    if not line.known:
        return words.say("conversation.recall_elsewhere", lang, who=who)
    return words.say("conversation.recall", lang, who=who, at=words.beijing(line.original_at_ms, lang))


def recalled_text(line: MessageLine, lang: Lang) -> str:
    """Return that, when and by whom a message was recalled; empty when it was not."""
    if line.recalled is None:
        return ""
    who = person_text(line.recalled.by) if line.recalled.by else words.say("value.unknown", lang)
    if line.recalled.at_ms is None:
        return words.say("conversation.recalled_no_time", lang, who=who)
    return words.say("conversation.recalled", lang, at=words.beijing(line.recalled.at_ms, lang), who=who)


def gap_text(line: GapLine, lang: Lang) -> str:
    """Return between which records, and from when to when, messages may be missing."""
    unknown = words.say("value.unknown", lang)
    after, before = (unknown if seq is None else seq for seq in (line.after_seq, line.before_seq))
    from_at, to_at = words.beijing(line.from_ms, lang), words.beijing(line.to_ms, lang)
    cause = cells.one_line(line.cause) or unknown
    return words.say("conversation.gap", lang, after=after, before=before, from_at=from_at, to_at=to_at, cause=cause)


def note_text(line: Line, lang: Lang) -> str:
    """Return the words of a line that is neither a message nor a recall."""
    match line:
        case DayLine():
            return words.day_title(line.day, lang)
        case GapLine():
            return gap_text(line, lang)
        case HeldLine():
            return words.say(f"conversation.held.{line.fate}", lang, n=line.count)
        case MoreLine():
            return words.say("conversation.more_before" if line.before else "conversation.more_after", lang, n=line.count)
    return ""


# ---- the terminal

_INDENT = " " * 10


def render_text(lines: Iterable[Line], lang: Lang, *, width: int = 100) -> str:
    """Return the conversation as text; `width` in cells, at least 40."""
    return "".join(f"{text}\n" for line in lines for text in _text_lines(line, lang, max(width, 40)))


def _text_lines(line: Line, lang: Lang, width: int) -> list[str]:
    match line:
        case MessageLine():
            return [*_message_lines(line, lang, width), ""]
        case RecallLine():
            return [*_hanging(_clock(line.at_ms), f"↩ {recall_text(line, lang)}", width, target=line.target), ""]
        case DayLine():
            head = f"──── {note_text(line, lang)} "
            return [head + "─" * max(width - cell_len(head), 4), ""]
    return [*_hanging("", f"── {note_text(line, lang)}", width), ""]


def _clock(at_ms: int | None) -> str:
    return "--:--:--" if at_ms is None else words.clock(at_ms)


def _hanging(head: str, text: str, width: int, *, target: bool = False) -> list[str]:
    first, *more = cells.wrapped(cells.visible(text), width - len(_INDENT))
    return [f"{'▶' if target else ' '}{head:<9}{first}".rstrip(), *(_INDENT + part for part in more)]


def _message_lines(line: MessageLine, lang: Lang, width: int) -> list[str]:
    kind = words.label("sender_kind", line.sender.kind, lang)
    result = _hanging(_clock(line.at_ms), f"{person_text(line.sender)} · {kind}", width, target=line.target)
    said = [_block_text(block, lang) for block in line.blocks] + [f"[{media_text(item, lang)}]" for item in line.media]
    if kind_text := type_text(line, lang):
        said.insert(0, f"[{kind_text}]")
    remarks = [f"⚑{mark.number} {mark_text(mark, lang)}" for mark in line.marks]
    remarks += [f"↩ {text}" for text in (recalled_text(line, lang),) if text]
    if line.at_ms is None:
        captured = words.say("conversation.captured", lang, at=words.beijing(line.captured_ms, lang))
        remarks.append(f"{words.say('conversation.time_unknown', lang)}{words.say('list.join', lang)}{captured}")
    for text in (*said, *remarks):
        result += [(_INDENT + part).rstrip() for part in cells.wrapped(cells.visible(text), width - len(_INDENT))]
    return result


def _block_text(block: Block, lang: Lang) -> str:
    text = "".join(segment.text for segment in block.segments)
    label = block_label(block.path, lang)
    return f"{label}: {text}" if label else text


# ---- the page


def render_html(lines: Sequence[Line], meta: Meta, lang: Lang, *, pictures: Mapping[str, str] = MappingProxyType({})) -> str:
    """Return the conversation as one self-contained page (rules 2 to 6). pictures: SHA-256 → `data:` address (thumbnails.py)."""
    anchors = {line.msgid: f"m{n}" for n, line in enumerate(lines, 1) if isinstance(line, MessageLine)}
    return _template().render(
        lines=lines,
        pictures=pictures,
        kind_of=lambda line: type(line).__name__.removesuffix("Line").lower(),
        meta=meta,
        lang=lang,
        anchors=anchors,
        counts=counts(lines),
        people=participants(lines),
        findings=_findings(lines),
        by_severity=_by_severity(lines),
        uninspected=uninspected(lines, meta.uninspected),
        other_time=any(person.other_time for person, _ in participants(lines)),
        say=lambda key, **values: words.say(key, lang, **values),
        label=lambda group, value: words.label(group, value, lang),
        beijing=lambda at: words.beijing(at, lang),
        category=lambda mark: meta.category_titles.get(mark.category) or words.label("category", mark.category, lang),
        pieces=pieces,
        block_label=lambda path: block_label(path, lang),
        type_text=lambda line: type_text(line, lang),
        icon_of=lambda item: icon_of(item, lang),
        media_text=lambda item: media_text(item, lang),
        note_text=lambda line: note_text(line, lang),
        recall_text=lambda line: recall_text(line, lang),
        recalled_text=lambda line: recalled_text(line, lang),
        person_text=person_text,
        clock=words.clock,
        utc=words.utc,
        iso=words.iso,
    )


@cache
def _template() -> jinja2.Template:
    import jinja2  # only a page needs it, and it takes as long to load as an answer takes

    folder = jinja2.FileSystemLoader(Path(__file__).parent / "templates")
    environment = jinja2.Environment(loader=folder, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["seen"] = seen
    environment.filters["line"] = lambda text: cells.one_line(str(text))
    return environment.get_template("conversation.html.j2")


def seen(text: str) -> Markup:
    """Return text as markup: escaped, each unseen character as a small sign of its own."""
    whole = (Markup('<span class="u">{}</span>').format(piece) if unseen else escape(piece) for piece, unseen in cells.pieces(text))
    return Markup("").join(whole)


def pieces(block: Block, line: MessageLine) -> Markup:
    """Return the text of a block with its layer of findings and quotes; a finding's number stands where the finding ends."""
    severity = {mark.number: mark.severity for mark in line.marks}
    result = []
    following = [*(set(segment.marks) for segment in block.segments[1:]), set[int]()]
    for segment, after in zip(block.segments, following, strict=True):
        text = seen(segment.text)
        if segment.marks:
            worst = min((severity.get(number, "") for number in segment.marks), key=lambda one: (*_SEVERITIES, one).index(one))
            numbers = Markup("").join(Markup("<sup>{}</sup>").format(number) for number in segment.marks if number not in after)
            text = Markup('<mark class="{}">{}{}</mark>').format(worst if worst in _SEVERITIES else "", text, numbers)
        result.append(Markup("<q>{}</q>").format(text) if segment.quoted else text)
    return Markup("").join(result)


def participants(lines: Iterable[Line]) -> list[tuple[Person, int]]:
    """Return who is in the conversation and how many messages each sent, most first; receivers who said nothing at the end."""
    people: dict[str, Person] = {}
    spoke: Counter[str] = Counter()
    for line in lines:
        if isinstance(line, MessageLine):
            for person in (line.sender, *line.recipients):
                key = person_key(person.id, person.kind)
                if key not in people or (person.name and not people[key].name):
                    people[key] = person
            spoke[person_key(line.sender.id, line.sender.kind)] += 1
    return sorted(((person, spoke[key]) for key, person in people.items()), key=lambda one: (-one[1], one[0].id))


def _findings(lines: Iterable[Line]) -> list[tuple[Mark, MessageLine]]:
    first: dict[int, tuple[Mark, MessageLine]] = {}
    for line in (one for one in lines if isinstance(one, MessageLine)):
        for mark in line.marks:
            first.setdefault(mark.number, (mark, line))
    return [first[number] for number in sorted(first)]


def _by_severity(lines: Iterable[Line]) -> list[tuple[str, int]]:
    found = Counter(mark.severity for mark, _ in _findings(lines))
    return [(severity, found[severity]) for severity in _SEVERITIES if found[severity]]


def uninspected(lines: Iterable[Line], known: Mapping[str, int]) -> list[tuple[str, int]]:
    """Return what no rule has looked at, by the words of `uninspected.*`; what the caller knows counts instead of what the lines show."""
    found: Counter[str] = Counter()
    for line in lines:
        match line:
            case MessageLine():
                found.update(UNREAD.get(item.kind, "files") for item in line.media)
            case HeldLine():
                found["unopened" if line.fate == "failed" else line.fate] += line.count
            case GapLine():
                found["gaps"] += 1
    return [(name, {**found, **known}[name]) for name in UNINSPECTED if {**found, **known}.get(name)]
