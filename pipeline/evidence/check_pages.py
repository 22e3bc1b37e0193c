"""Check 9 of a bundle: each page shows the records of its conversation, every one and no other, with their words, sender, time and files.

Before: check_files.py. After: check.py. Formats: docs/formats.md, section 13.

Rules: (1) a page has plain elements only: no script, no style of its own on an element, no comment, nothing that hides or adds; (2) inside
<main> a message is an <article>, everything else a note without an own message; (3) what stands in notes, in heads and at the end of a page,
names, kinds and labels in a message, how it is laid out, and every PDF is bound by the manifest alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from hashlib import sha256
from html.parser import HTMLParser
from typing import Any

import msgspec

from pipeline import cells
from pipeline.evidence.check_files import Fault, Files, need
from pipeline.evidence.gathered import LANGS

ELEMENTS = frozenset((
    "html", "head", "meta", "title", "style", "body", "div", "header", "section", "main", "article", "aside", "p", "h1", "h2", "dl", "dt", "dd",
    "ul", "li", "b", "i", "span", "bdi", "time", "q", "a",
))  # fmt: skip
ATTRIBUTES = frozenset(("lang", "charset", "http-equiv", "content", "name", "class", "id", "data-msgid", "aria-hidden", "datetime", "title", "href"))
_SIGN = re.compile("⟨U\\+([0-9A-F]{4,6})⟩")
_SHA256 = re.compile("[0-9a-f]{64}")
_PAGE = re.compile("view/([0-9]{4,})(-[0-9]{3,})?\\.(?:zh|en)\\.html")
_PDF = re.compile("view/([0-9]{4,})-([0-9]{3,})\\.pdf")


class Shown(msgspec.Struct, frozen=True):
    """What a page shows of a record, and of what conversation (its number); of a recall nothing but that."""

    conversation: int | None
    sender: str | None = None
    at: str | None = None
    said: tuple[str, ...] = ()
    files: tuple[str | None, ...] = ()


def views(files: Files, lines: Iterable[dict[str, Any]]) -> None:
    """Check the pages against the records."""
    said = files.object("completeness/coverage.json")
    numbers = {c["conversation_id"]: n for n, c in enumerate(said["conversations"], 1)}
    wanted = {line["msgid"]: (line["leaf"], digest(shown_of(line, numbers.get(line["conversation_id"])))) for line in lines}
    _names(files, len(numbers))
    for lang in LANGS:
        seen = set[str]()
        for name in files.below("view", f".{lang}.html"):
            for msgid, shown in page_of(files.data(name), name):
                leaf, there = wanted.get(msgid, (None, b""))
                need(leaf is not None, f"{name} shows a message that is not in the bundle")
                need(digest(shown) == there, f"record {leaf}: {name} shows something else")
                need(msgid not in seen, f"record {leaf} stands on the pages twice")
                seen.add(msgid)
        missing = [leaf for msgid, (leaf, _) in wanted.items() if msgid not in seen][:3]
        need(not missing, f"records that are not on the pages: {missing}")


def _names(files: Files, conversations: int) -> None:
    """Every page is of one of the conversations; a PDF stands beside the HTML of its part."""
    there = files.below("view", "")
    pages = {(found[1], found[2] or "-001") for name in there if (found := _PAGE.fullmatch(name))}
    for name in there:
        found = _PAGE.fullmatch(name) or _PDF.fullmatch(name)
        fits = found is not None and 1 <= int(found[1]) <= conversations
        pdf = _PDF.fullmatch(name)
        need(fits and (pdf is None or (pdf[1], f"-{pdf[2]}") in pages), f"a page of no conversation: {name}")


def shown_of(line: dict[str, Any], conversation: int | None) -> Shown:
    """Return what a page must show of a record."""
    if line["kind"] == "recall":
        return Shown(conversation)
    said = [p["text"] for p in line["parts"] or ()] or ([line["text"]] if line["text"] else [])
    return Shown(
        conversation, cells.one_line(line["sender_id"] or "?"), line["sent_at_beijing"], tuple(map(_visible, said)), tuple(m["sha256"] for m in line["media"])
    )


def digest(shown: Shown) -> bytes:
    """Return what stands for it while a bundle is checked: nobody's words are kept."""
    return sha256(msgspec.json.encode(shown)).digest()


def _visible(text: str) -> str:
    return "".join(piece for piece, _ in cells.pieces(text))


def page_of(data: bytes, name: str) -> Iterator[tuple[str, Shown]]:
    """Yield (msgid, what is shown) of every record on a page; raises Fault for a page that we do not write."""
    found = _PAGE.fullmatch(name)
    page = _Page(name, int(found[1]) if found else 0)
    try:
        page.feed(data.decode("utf-8"))
        page.close()
    except AssertionError:  # what html.parser says to a declaration that it does not know
        raise Fault(f"{name} is no page of ours") from None
    need(not page.open and page.done, f"{name} is no page of ours")
    yield from page.shown


class _Page(HTMLParser):
    """Reads a page of ours element by element; whatever else is on it is a fault."""

    def __init__(self, name: str, conversation: int) -> None:
        super().__init__(convert_charrefs=True)
        self.name, self.conversation = name, conversation
        self.open: list[tuple[str, str]] = []  # element, its class
        self.shown: list[tuple[str, Shown]] = []
        self.done = self.style = False
        self._message: _Message | None = None

    def _refuse(self, what: str) -> None:
        raise Fault(f"{self.name}: behind {self.shown[-1][0] if self.shown else 'its beginning'} stands what we do not write ({what})")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {k: v or "" for k, v in attrs}
        if tag not in ELEMENTS or not set(given) <= ATTRIBUTES or len(given) != len(attrs) or not given.get("href", "#").startswith("#"):
            self._refuse(f"<{tag}>")
        if tag == "meta":
            return
        if tag in ("main", "style"):
            if (tag == "main" and self.done) or (tag == "style" and self.style):
                self._refuse(f"<{tag}> twice")
            self.done |= tag == "main"
            self.style |= tag == "style"
        inside = self._inside("main")
        self.open.append((tag, given.get("class", "")))
        if "data-msgid" in given or tag == "article":
            self._begin(tag, given, inside)
        elif self._message is not None:
            self._message.begin(tag, given, self.open)

    def _begin(self, tag: str, given: dict[str, str], inside: bool) -> None:
        if not inside or self._message is not None or "data-msgid" not in given or tag not in ("article", "div"):
            self._refuse("a message in an odd place")
        if tag == "article":
            self._message = _Message(given["data-msgid"])
        else:
            self.shown.append((given["data-msgid"], Shown(self.conversation)))

    def _inside(self, tag: str) -> bool:
        return any(one == tag for one, _ in self.open)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop()[0] != tag:
            self._refuse(f"</{tag}>")
        if tag == "article" and self._message is not None:
            self.shown.append((self._message.msgid, self._message.shown(self.conversation)))
            self._message = None

    def handle_data(self, data: str) -> None:
        bare = bool(data.strip()) and self.open != [] and self.open[-1][0] in ("main", "html", "body")
        if bare if self._message is None else not self._message.data(data, self.open):
            self._refuse("words")

    def handle_comment(self, data: str) -> None:
        self._refuse("a comment")

    def handle_pi(self, data: str) -> None:
        self._refuse("an instruction")

    def unknown_decl(self, data: str) -> None:
        self._refuse("a declaration")


# The elements of a message that bear words, by class; words anywhere else are not ours.
_BEARS = frozenset({"face", "who", "type", "t", "label", "u", "file", "sum mono", "was", "meta", "mono", "icon"})


class _Message:
    """One <article>: what it shows."""

    def __init__(self, msgid: str) -> None:
        self.msgid = msgid
        self.who: list[str] = []
        self.at: str | None = None
        self.clock = ""
        self.said: list[list[str]] = []
        self.files: list[str | None] = []

    def begin(self, tag: str, given: dict[str, str], opened: list[tuple[str, str]]) -> None:
        """An element begins inside."""
        kind = given.get("class", "")
        if tag == "p" and kind == "t":
            self.said.append([])
        elif tag == "p" and kind == "file":
            self.files.append(None)
        elif tag == "bdi" and ("div", "who") in opened:
            self.who.append("")
        elif tag == "time":
            self.at = given.get("datetime")

    def data(self, text: str, opened: list[tuple[str, str]]) -> bool:
        """Words inside; return whether words may stand there."""
        if not text.strip() and opened[-1][0] not in ("p", "q"):
            return True
        tag, kind = opened[-1]
        if ("p", "t") in opened:
            if (tag, kind) == ("span", "label"):
                return len(text) <= 80
            self.said[-1].append(text)
            return (tag, kind) == ("p", "t") or tag == "q" or ((tag, kind) == ("span", "u") and bool(_SIGN.fullmatch(text)))
        if tag == "time":
            self.clock += text
        elif tag in ("b", "bdi"):
            self.who[-1] += text
        elif (tag, kind) == ("span", "sum mono") and (found := _SHA256.search(text)):
            self.files[-1] = found[0]
        return tag in ("time", "b", "bdi") or kind.split(" ")[0] in _BEARS or kind in _BEARS

    def shown(self, conversation: int) -> Shown:
        """Return what it shows; a clock that is not that of its time is none."""
        at = self.at if self.at is None or self.clock == self.at[11:19] else f"{self.at} {self.clock}"
        return Shown(conversation, self.who[-1] if self.who else None, at, tuple("".join(one) for one in self.said), tuple(self.files))
