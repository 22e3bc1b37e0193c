"""One page of a bundle read element by element: what it shows of each message, and the words of its head and end. What we do not write is a fault.

Before: a page of conversation.py. After: page_about.py, check_pages.py.

Rules: (1) every element stands inside one that we put it into, with the attributes that we give it (`_PARENTS`), in the order in which we write
it (`_ORDERS`), and is closed by an end tag: browsers do not close `<div/>`; (2) words stand only in elements that bear some; (3) of `<main>` what
is wrong with an element is a Fault at once; what is wrong with order, days and words between messages is told in `faults`, after what is wrong
with a message.
"""

from __future__ import annotations

import re
from collections import Counter
from datetime import date
from html.parser import HTMLParser

from pipeline import words
from pipeline.evidence.check_files import Fault
from pipeline.evidence.check_shown import About, digest

# Element with its class -> inside which it may stand; in <main> only.
_PARENTS = {
    "article": "main", "div msg": "article", "div face": "div msg", "div body": "div msg", "div who": "div body", "bdi": "div who", "b": "bdi", "bdi mono": "div who",
    "time": "div who|div event", "div bubble": "div body", "p type": "div bubble", "p t": "div bubble", "span label": "p t", "q": "p t", "span u": "p t|q",
    "p file": "div bubble", "span icon": "p file", "span sum mono": "p file", "div was": "div body", "div meta": "div body", "span mono": "div meta|span meta",
    "aside notes": "article", "div day": "main", "div row": "main", "div event": "div row", "div event gap": "div row", "div event held": "div row", "a": "div event",
    "span meta": "div event", "p hint": "main",
}  # fmt: skip
_BEARS = frozenset(_PARENTS) - {"article", "div msg", "div body", "bdi", "div bubble", "aside notes", "div row"}
_OWN = {
    "article": {"id": "m[0-9]+", "data-msgid": ".*"}, "div row": {"data-msgid": ".*"}, "time": {"datetime": ".*", "title": ".*"}, "a": {"href": "#m[0-9]+"},
    "div face": {"aria-hidden": "true"}, "span icon": {"aria-hidden": "true"},
}  # fmt: skip
# Element of <main> -> the elements and the words (=) in it, in order, each followed by `;`.
_ORDERS = {
    "article": re.compile(
        "div msg;div face;(=div face;)*div body;div who;bdi;b;(=b;)*(bdi mono;(=bdi mono;)+)?(=div who;)+time;(=time;)+div bubble;(p type;(=p type;)+)?"
        "(p t;(span label;(=span label;)*)?(q;|=q;|span u;|=span u;|=p t;)*)*(p file;span icon;(=span icon;)*(=p file;)*(span sum mono;(=span sum mono;)+)?)*"
        "(div was;(=div was;)+)*div meta;(=div meta;)+span mono;(=span mono;)*(=div meta;)+aside notes;"
    ),
    "div row": re.compile(
        "div event;time;(=time;)+(=div event;)+(a;(=a;)+)?span meta;(=span meta;)+span mono;(=span mono;)*|div event gap;(=div event gap;)+|div event held;(=div event held;)+"
    ),
    "div day": re.compile("(=div day;)+"),
    "p hint": re.compile("(=p hint;)+"),
}  # fmt: skip
_MESSAGE = re.compile("row (own|other)( robot)?( recalled)?")
_ICON = re.compile("icon k-([a-z]+)")
_SIGN = re.compile("⟨U\\+([0-9A-F]{4,6})⟩")
_SEQ = re.compile(" ([0-9]{1,20})( · [^·]*)? · $")
_VOID = frozenset(("meta",))


class Page(HTMLParser):
    """Reads one page. shown: (msgid, digest of what is shown) in order; outside: elements and words (behind =) of head and end, in order; own: ids on the own
    side; spoke: messages by sender as shown and word of kind; files: words of each file; last: what stood last, in the order of time."""

    def __init__(self, name: str, about: About, last: tuple[str, str, int] | None) -> None:
        super().__init__(convert_charrefs=True)
        self.name, self.about, self.last = name, about, last
        self.shown, self.outside, self.faults = list[tuple[str, bytes]](), list[str](), list[str]()
        self.own, self.gaps, self.held = set[str](), list[str](), Counter[str]()
        self.spoke, self.files, self.recalls = Counter[tuple[str, str]](), list[str](), 0
        self._open: list[str] = []
        self._days: list[str] = []
        self._today = ""
        self._row: _Row | None = None
        self._mains = 0

    def read(self, data: bytes) -> None:
        """Read it; raises Fault for a page that we do not write."""
        try:
            self.feed(data.decode("utf-8"))
            self.close()
        except AssertionError:  # what html.parser says to a declaration that it does not know
            raise Fault(f"{self.name} is no page of ours") from None
        if self._open or self._mains != 1:
            raise Fault(f"{self.name} is no page of ours")
        self._want(not self._days, "a day")

    @property
    def messages(self) -> int:
        """How many messages it shows."""
        return len(self.shown) - self.recalls

    # -- what stands where

    def _behind(self) -> str:
        return f"{self.name}: behind {self.shown[-1][0] if self.shown else 'its beginning'} stands what we do not write"

    def _refuse(self, what: str) -> None:
        raise Fault(f"{self._behind()} ({what})")

    def _want(self, right: object, what: str) -> None:
        if not right:
            self.faults.append(f"{self._behind()} ({what})")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {k: v or "" for k, v in attrs}
        if len(given) != len(attrs):
            self._refuse(f"<{tag}>")
        if "main" not in self._open:
            self._mains += tag == "main"
            if "data-msgid" in given:
                self._refuse("a message in an odd place")
            self.outside.append("<" + " ".join([tag, *(f"{k}={v}" for k, v in given.items())]) + ">")
            if tag not in _VOID:
                self._open.append(tag)
            return
        shape, kind = self._shape(tag, given), given.pop("class", "")
        own = {k: v for k, v in _OWN.get(shape, {}).items() if k in given}
        fits = self._open[-1] in _PARENTS.get(shape, "").split("|") and set(given) == set(own) and all(re.fullmatch(own[k], given[k], re.S) for k in own)
        if not fits:
            self._refuse(f"<{tag}>")
        self._open.append(shape)
        if self._open[-2] == "main":
            self._row = _Row(shape, kind, given.get("data-msgid"))
        assert self._row is not None
        if not self._row.begin(shape, kind, given):
            self._refuse(f"<{tag}>")

    @staticmethod
    def _shape(tag: str, given: dict[str, str]) -> str:
        kind = given.get("class", "")
        if tag == "article" and _MESSAGE.fullmatch(kind):
            return tag
        if tag == "span" and _ICON.fullmatch(kind):
            return "span icon"
        return f"{tag} {kind}" if kind else tag if tag != "article" else "article without class"

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._refuse(f"<{tag}/>")

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open[-1].split(" ")[0] != tag:
            self._refuse(f"</{tag}>")
        self._open.pop()
        if "main" not in self._open:
            self.outside.append(f"</{tag}>")
        if self._open and self._open[-1] == "main" and self._row is not None:
            row, self._row = self._row, None
            if not _ORDERS[row.shape].fullmatch("".join(f"{one};" for one in row.order)):
                self._refuse("another order of its elements")
            self._take(row)

    def handle_data(self, data: str) -> None:
        if "main" not in self._open:
            if data.strip() or self._open[-1:] in (["b"], ["bdi"]):  # a name may be blank
                self.outside.append(f"={data}")
        elif self._open[-1] in _BEARS and self._row is not None:
            if not self._row.words(self._open[-1], data):
                self._refuse("words")
        elif data.strip():
            self._refuse("words")

    def handle_comment(self, data: str) -> None:
        self._refuse("a comment")

    def handle_pi(self, data: str) -> None:
        self._refuse("an instruction")

    def handle_decl(self, decl: str) -> None:
        if decl != "DOCTYPE html" or self._open or self.outside:
            self._refuse("a declaration")

    def unknown_decl(self, data: str) -> None:
        self._refuse("a declaration")

    # -- rows of <main>

    def _take(self, row: _Row) -> None:
        match row.shape:
            case "article":
                self._timed(row)
                self.shown.append((row.msgid or "", self._message(row)))
            case "div row" if row.msgid is not None:
                self._timed(row)
                self.recalls += 1
                told = self._named(row.one("div event", "a"), "recall", "recall_elsewhere")
                self.shown.append((row.msgid, digest(self.about.number, *row.time(), told, (row.one("span meta"), row.one("span mono")))))
            case "div row":
                self._note(row)
            case "div day":
                self._days.append(row.one("div day"))
            case _:
                alone = not (self.shown or self.gaps or self.held)
                self._want(alone and row.one("p hint") == words.say("conversation.empty", self.about.lang), "words")

    def _note(self, row: _Row) -> None:
        gap, held = row.one("div event gap"), row.one("div event held")
        if gap:
            self._want(gap in self.about.gaps, "a gap that the bundle does not list")
            at, seq = self.about.gaps.get(gap, (None, 0))
            self._placed(at, "sealed", seq)
            self.gaps.append(gap)
            return
        for fate in ("withheld", "pending", "restricted", "failed", "removed"):
            n = int("".join(re.findall("[0-9]", held))[:18] or 0)
            if n and words.say(f"conversation.held.{fate}", self.about.lang, n=n) == held:
                self.held[fate] += n
                return
        self._want(False, "words")

    def _timed(self, row: _Row) -> None:
        found = _SEQ.search(row.one("div meta" if row.shape == "article" else "span meta"))
        self._placed(row.at, "imported" if found and found[2] else "sealed", int(found[1]) if found else 0)

    def _placed(self, at: str | None, origin: str, seq: int) -> None:
        """The day of what comes now stands before it, once; what has a time comes after what has an earlier one."""
        if at is None:
            self._want(not self._days, "a day")
            return
        try:
            title = words.day_title(date.fromisoformat(at[:10]), self.about.lang)
        except ValueError:
            title = ""
        self._want(self._days == ([] if at[:10] == self._today else [title]), "another day, or none")
        self._days, self._today = [], at[:10]
        self._want(self.last is None or self.last <= (at, origin, seq), "another order")
        self.last = (at, origin, seq)

    def _named(self, text: str, *keys: str) -> str:
        """Return a sentence that names somebody with the id alone, where the bundle knows the account by that name."""
        for key in keys:
            pattern = re.escape(words.say(f"conversation.{key}", self.about.lang, who="@WHO", at="@AT")).replace("@WHO", "(?P<who>.*)").replace("@AT", "(?P<at>.*)")
            if found := re.fullmatch(f"↩ {pattern}", text, re.S):
                given = found.groupdict()
                return f"↩ {words.say(f'conversation.{key}', self.about.lang, who=self.about.people.bare(given['who']), at=given.get('at'))}"
        return text

    def _message(self, row: _Row) -> bytes:
        found = _MESSAGE.fullmatch(row.kind)
        assert found is not None
        name, kind = row.one("b"), row.one("div who")
        userid = row.one("bdi mono") if "bdi mono" in row.begun else None
        who, own = name if userid is None else userid, found[1] == "own"
        if own:
            self.own.add(who.lower())
        self.spoke[who, kind.removeprefix(" · ")] += 1
        self.files += [one[2] or "" for one in row.files]
        said: str | None = row.one("p type") or None
        if self.about.redacted and said and not row.said and not row.files:
            said = re.sub(r" · [0-9,]+( \S+)$", r" · 0\1", said)
        was = [self._named(one, "recalled", "recalled_no_time") for one in row.texts.get("div was", [])]
        shown = (
            self.about.number, None if self.about.internal else own, bool(found[2]), bool(found[3]), name, userid, kind, *row.time(), said,
            [("".join(label), "".join(text)) for label, text in row.said], [tuple(one) for one in row.files], was, (row.one("div meta", at=0), row.one("span mono")),
            row.one("div meta", at=1),
        )  # fmt: skip
        return digest(*shown) if row.one("div face") == (name[:1] or "?") else digest(*shown, row.one("div face"))


class _Row:
    """One element of <main> with all that is in it. texts: of each element that bears words, one after the other."""

    def __init__(self, shape: str, kind: str, msgid: str | None) -> None:
        self.shape, self.kind, self.msgid = shape, kind, msgid
        self.texts: dict[str, list[str]] = {}
        self.begun, self.order = list[str](), list[str]()
        self.said: list[tuple[list[str], list[str]]] = []
        self.files: list[list[str | None]] = []
        self.at: str | None = None
        self.title: str | None = None

    def begin(self, shape: str, kind: str, given: dict[str, str]) -> bool:
        """An element begins; return whether it may, here."""
        if shape != self.shape:
            self.order.append(shape)
        if shape == "p t":
            self.said.append(([], []))
        elif shape == "p file":
            self.files.append(["", "", "", None])
        elif shape == "span label":
            return self.said[-1] == ([], [])
        elif shape == "span icon":
            first = self.files[-1] == ["", "", "", None]
            self.files[-1][0] = kind.removeprefix("icon k-")
            return first
        elif shape == "span sum mono":
            return self.files[-1][3] is None
        elif shape == "div was":
            self.texts.setdefault(shape, []).append("")
        elif shape not in ("q", "span u"):
            self.begun.append(shape)
            self.at, self.title = (given.get("datetime"), given.get("title")) if shape == "time" else (self.at, self.title)
            return self.begun.count(shape) == 1
        return True

    def words(self, shape: str, text: str) -> bool:
        """Words inside an element; return whether they may stand there."""
        if shape != "div who" or text.strip():  # between name and id
            self.order.append(f"={shape}")
        match shape:
            case "p t" | "q":
                self.said[-1][1].append(text)
            case "span u":
                self.said[-1][1].append(text)
                return bool(_SIGN.fullmatch(text))
            case "span label":
                self.said[-1][0].append(text)
            case "p file":
                self.files[-1][2] = f"{self.files[-1][2]}{text}"
            case "span icon":
                self.files[-1][1] = f"{self.files[-1][1]}{text}"
            case "span sum mono":
                self.files[-1][3] = f"{self.files[-1][3] or ''}{text}"
            case "div was":
                self.texts[shape][-1] += text
            case "div who" if not text.strip():
                pass
            case _:
                self.texts.setdefault(shape, []).append(text)
        return True

    def one(self, *shapes: str, at: int | None = None) -> str:
        """Return the words of these elements together, or those at one place among them."""
        found = [text for shape in shapes for text in self.texts.get(shape, [])]
        return "".join(found) if at is None else found[at] if at < len(found) else ""

    def time(self) -> tuple[str | None, str | None, str]:
        """Return (ISO 8601, title, clock) as they stand."""
        return self.at, self.title, self.one("time")
