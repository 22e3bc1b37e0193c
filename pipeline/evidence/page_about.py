"""What a page of a bundle says of itself: style, title, conversation, numbers, people, what was not inspected, as of which checkpoint.

Before: page_reading.py (elements and words, in order). After: check_pages.py. Formats: docs/formats.md, section 15.

Rules: (1) the style is one of `STYLES`: no other look is ours, and none hides; (2) the numbers are those of the page's rows; (3) whoever spoke
is among the people, by a name that the accounts know, and what customers saw is what the accounts say.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from hashlib import sha256

from pipeline import cells, words
from pipeline.conversation import UNINSPECTED, UNREAD
from pipeline.evidence.page_reading import Page
from pipeline.names import person_key

# SHA-256 of what stands in <style>, and the language of the DEMO line in it (docs/formats.md, section 15). Styles are added, none is taken away.
STYLES = {
    "5743edfc836dda38fc4eaa0f779e9abe8e8e15a74ab5a82f5ba1ffaefb9831de": "",
    "e31c98c93368343d546744f28607c52230ede97b698232c39938d016d05a9c3b": "zh",
    "4a0dfa1ddc4266c766cc0c0ca5f2dd4a3bf3f209186c6a58d8376d543a5794d0": "en",
}
KINDS = ("employee", "external", "robot", "unknown")


class Wrong(Exception):
    """The words say what of head or end is not ours."""


def faults(page: Page) -> list[str]:
    """Return what of the head and the end of a page is not as it must be, the first thing alone."""
    try:
        _Outside(page).check()
    except Wrong as wrong:
        return [f"{page.name}: in its head or at its end stands what we do not write ({wrong})"]
    return []


def _told(expected: Sequence[str]) -> list[str]:
    """Return elements as they are, and words as Page.outside has them (those that are somebody else's bear their = already)."""
    return [one if one.startswith(("<", "=")) else f"={one}" for one in expected]


class _Outside:
    def __init__(self, page: Page) -> None:
        self.page, self.about, self.at = page, page.about, 0

    def check(self) -> None:
        """Walk through it; raises Wrong."""
        self._head()
        self._facts()
        self._tiles()
        if self.page.messages:
            self._people()
        self._take("marks", '<p class=hint>', self.about.say("marks_none"), "</p>", "<main>", "</main>")
        self._end()
        if self.at != len(self.page.outside):
            raise Wrong("more than a page")

    def _next(self) -> str:
        return self.page.outside[self.at] if self.at < len(self.page.outside) else ""

    def _take(self, what: str, *expected: str) -> None:
        """Go past these elements and words."""
        if self.page.outside[self.at : self.at + len(expected)] != _told(expected):
            raise Wrong(what)
        self.at += len(expected)

    def _any(self) -> str:
        """Go past words, and return them."""
        found = self._next()
        self.at += found.startswith("=")
        return found.removeprefix("=") if found.startswith("=") else ""

    def _if(self, *expected: str) -> bool:
        there = self.page.outside[self.at : self.at + len(expected)] == _told(expected)
        self.at += len(expected) * there
        return there

    def _head(self) -> None:
        about, lang = self.about, self.about.lang
        self._take("language", f"<html lang={'zh-CN' if lang == 'zh' else 'en'}>", "<head>", "<meta charset=utf-8>")
        policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
        self._take("policy", f"<meta http-equiv=Content-Security-Policy content={policy}>")
        self._take("policy", "<meta name=referrer content=no-referrer>", "<meta name=robots content=noindex>")
        self._take("view", "<meta name=viewport content=width=device-width, initial-scale=1>", "<title>")
        title = f"{about.say('title')} · {cells.one_line(about.conversation_id)}"
        demo = self._next() == f"={words.say('demo.mark', lang)} · {title}"
        self._take("title", f"{words.say('demo.mark', lang)} · {title}" if demo else title, "</title>", "<style>")
        if STYLES.get(sha256(self._any().encode()).hexdigest()) != (lang if demo else ""):
            raise Wrong("a style that is not in the list")
        self._take("head", "</style>", "</head>", "<body>")
        if demo:
            self._take("demo", "<div class=demo>", words.say("demo.banner", lang), "</div>")
        self._take("sheet", "<div class=sheet quiet>", "<header class=card>")
        kind = about.say("room" if about.room else "single")
        self._take("corp", "<p class=kicker>", f"{cells.one_line(about.corp_id)} · {kind}", "</p>", "<h1>", about.say("title"), "</h1>")

    def _facts(self) -> None:
        about, (first, last) = self.about, self.about.days
        self._take("conversation", "<dl class=facts>", "<dt>", about.say("id"), "</dt>", "<dd class=mono>", f"={cells.one_line(about.conversation_id)}", "</dd>")
        if about.part:
            self._fact("part", "part", about.say("part_of", n=about.part[0], of=about.part[1]))
        if first or last:
            self._fact("days", "period", f"{first or '…'} – {last or '…'}")
        self._take("facts", "</dl>")

    def _fact(self, what: str, key: str, value: str) -> None:
        self._take(what, "<dt>", self.about.say(key), "</dt>", "<dd>", value, "</dd>")

    def _tiles(self) -> None:
        page, gaps = self.page, len(self.page.gaps)
        self._take("numbers", "<ul class=tiles>")
        counts = {"messages": page.messages, "recalls": page.recalls, "media": len(page.files), "held": page.held.total(), "gaps": gaps}
        for key, n in counts.items():
            begin = "<li class=warn>" if key == "gaps" and n else "<li>"
            self._take(f"number of {key}", begin, "<b>", f"{n:,}", "</b>", "<span>", self.about.say(key), "</span>", "</li>")
        self._take("numbers", "</ul>", "</header>")

    def _people(self) -> None:
        spoke = Counter[str]()
        for (who, word), n in self.page.spoke.items():
            spoke[person_key(who, next((k for k in KINDS if self._kind(k) == word), None))] += n
        self._take("people", "<section class=card>", "<h2>", self.about.say("participants"), "</h2>", "<ul class=people>")
        starred = False
        while self._if("<li>"):
            starred = self._person(spoke) or starred
        self._take("people", "</ul>")
        if +spoke:
            raise Wrong("somebody who spoke is not among the people")
        if starred:
            self._take("names of another time", "<p class=hint>", self.about.say("name_other_time"), "</p>")
        self._take("people", "</section>")

    def _kind(self, kind: str) -> str:
        return words.label("sender_kind", kind, self.about.lang)

    def _person(self, spoke: Counter[str]) -> bool:
        """Go past one of the people; return whether the name is one of another time."""
        people = self.about.people
        self._take("people", "<bdi>", "<b>")
        name = who = self._any()
        self._take("people", "</b>", "</bdi>")
        if self._if("<bdi class=mono>"):
            who = self._any()
            self._take("people", "</bdi>")
        self._take("people", "<i>")
        beside = self._any()
        if not people.known_as(name, who):
            raise Wrong(f"{who} is called {name}")
        kind = next((k for k in KINDS if beside.startswith(f"{self._kind(k)} · ")), None)
        n = spoke.pop(person_key(who, kind), 0)
        told = f"{self._kind(kind or '')} · {self.about.say('spoke', n=n)}"
        seen = re.fullmatch(re.escape(f"{told} · {self.about.say('seen_as', name='@')}").replace("@", "(.*)"), beside)
        if kind is None or not (beside == told or (seen and people.saw(seen[1], who))):
            raise Wrong(f"what is said of {who}")
        self._take("people", "</i>", "</li>")
        return people.of_another_time(name, who)

    def _end(self) -> None:
        about, lang = self.about, self.about.lang
        self._take("end", "<section class=card end>", "<h2>", words.say("uninspected.title", lang), "</h2>")
        if left := list(self._uninspected()):
            rows = [token for row in left for token in ("<li>", row, "</li>")]
            self._take("what was not inspected", "<ul>", *rows, "</ul>")
        else:
            self._take("what was not inspected", "<p class=hint>", words.say("uninspected.none", lang), "</p>")
        notes = [words.say("time.note", lang), about.say("invisible_note"), *([about.say("masked_note")] if about.redacted else [])]
        self._take("notes", "<p class=hint>", "".join(f"{note}。" for note in notes), "</p>")
        self._if("<p class=hint>", words.say("mode.single", lang), "</p>")
        self._take("made", "<dl class=facts>")
        self._fact("made", "made", words.beijing(about.at_ms, lang))
        self._take("program", "<dt>", about.say("program"), "</dt>", "<dd>")
        if not re.fullmatch("liuhen [0-9][0-9A-Za-z.+-]*", self._any()):
            raise Wrong("program")
        self._take("program", "</dd>")
        self._fact("checkpoint", "stand", str(about.size))
        self._take("end", "</dl>", "</section>", "</div>", "</body>", "</html>")

    def _uninspected(self) -> Iterator[str]:
        """What no rule has looked at, by the page's rows."""
        lang, join = self.about.lang, words.say("list.join", self.about.lang)
        found = Counter({"unopened" if fate == "failed" else fate: n for fate, n in self.page.held.items()})
        known = {words.label("msgtype", kind, lang): bucket for kind, bucket in UNREAD.items()}
        for text in self.page.files:
            found[next((b for word, b in known.items() if text == word or text.startswith((f"{word} ", f"{word}{join}"))), "files")] += 1
        found["gaps"] = len(self.page.gaps)
        yield from (words.say(f"uninspected.{name}", lang, n=found[name]) for name in UNINSPECTED if found[name])
