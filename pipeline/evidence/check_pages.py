"""Check 9 of a bundle: each page shows the records of its conversation, every one and no other, as they are, and says nothing else.

Before: check_files.py, check_shown.py (what must be shown), page_reading.py (what a page shows). After: check.py. Formats: docs/formats.md,
sections 13 and 15.

Rules: (1) a page has our elements only, each where we put it, and one of our styles; (2) what stands in it is the words of its records, their
people, times, ids, files, or one of our texts, each where it belongs; (3) every record once, in its conversation, in the order of time, under its
day; gaps and held records as the bundle lists them; (4) which words are marked as quoted, and every PDF, is bound by the manifest alone;
(5) nothing is kept of every record: the sums of keyed digests of what must be shown and of what is are compared, and only where they differ is
the record looked for.
"""

from __future__ import annotations

import re
import secrets
from collections import Counter
from collections.abc import Iterator
from hashlib import blake2b

from pipeline.evidence import page_about
from pipeline.evidence.check_files import Fault, Files, need
from pipeline.evidence.check_shown import About, Conversation, Wanted, gap_texts
from pipeline.evidence.gathered import LANGS
from pipeline.evidence.page_reading import Page
from pipeline.evidence.statement import Said
from pipeline.words import Lang

_PAGE = re.compile("view/([0-9]{4,})(?:-([0-9]{3,}))?\\.(zh|en)\\.html")
_PDF = re.compile("view/([0-9]{4,})-([0-9]{3,})\\.pdf")


class Sum:
    """Whether two collections hold the same (MSet-Add-Hash): under a key drawn here, after the bundle was made, so that nobody can aim at it."""

    def __init__(self) -> None:
        self.left, self._key = 0, secrets.token_bytes(32)

    def add(self, msgid: str, shown: bytes, times: int = 1) -> None:
        """Put something in, or (times -1) take it out."""
        self.left += times * int.from_bytes(blake2b(shown + msgid.encode("utf-8", "surrogatepass"), key=self._key).digest())


def views(files: Files, point: Said, *, redacted: bool) -> None:
    """Check the pages against the records. point: the bundle's checkpoint."""
    _Views(files, point, redacted).check()


class _Views:
    def __init__(self, files: Files, point: Said, redacted: bool) -> None:
        self.files, self.point, self.redacted = files, point, redacted
        self.coverage = files.object("completeness/coverage.json")
        self.numbers = {c["conversation_id"]: n for n, c in enumerate(self.coverage["conversations"], 1)}
        self.held = Counter(one["fate"] for one in files.objects("completeness/held.jsonl"))
        self.parts: dict[tuple[int, str], list[tuple[int, str]]] = {}
        self.wanted = Wanted(files, redacted=redacted)

    def check(self) -> None:
        self._names()
        for lang in LANGS:
            left, faults = Sum(), []
            for line in self.wanted.lines():
                left.add(line["msgid"], self.wanted.of(line, self.numbers.get(line["conversation_id"]), lang))
            for conversation_id in self.numbers:
                faults += self._conversation(conversation_id, lang, left)
            if left.left:
                self._name_record(lang)
            need(not faults, faults[0] if faults else "")

    def _names(self) -> None:
        """Every page is of one of the conversations; a PDF stands beside the HTML of its part."""
        there = self.files.below("view", "")
        pages = {(found[1], found[2] or "001") for name in there if (found := _PAGE.fullmatch(name))}
        for name in there:
            found, pdf = _PAGE.fullmatch(name), _PDF.fullmatch(name)
            number = int(found[1]) if found else int(pdf[1]) if pdf else 0
            fits = 1 <= number <= len(self.numbers) and (pdf is None or (pdf[1], pdf[2]) in pages)
            need(fits, f"a page of no conversation: {name}")
            if found:
                self.parts.setdefault((number, found[3]), []).append((int(found[2] or 0), name))

    def _pages(self, conversation_id: str, lang: Lang) -> Iterator[Page]:
        """Yield the pages of a conversation in the order of their parts; none when one is missing."""
        number = self.numbers[conversation_id]
        parts = sorted(self.parts.get((number, lang), []))
        whole = [n for n, _ in parts] in ([0], list(range(1, len(parts) + 1)))
        last = None
        for part, name in parts if whole else []:
            page = Page(name, self._about(conversation_id, lang, (part, len(parts)) if part else None), last)
            page.read(self.files.data(name))
            last = page.last
            yield page

    def _about(self, conversation_id: str, lang: Lang, part: tuple[int, int] | None) -> About:
        one = self.wanted.conversations.get(conversation_id, Conversation())
        return About(
            lang=lang, number=self.numbers[conversation_id], conversation_id=conversation_id, corp_id=self.point.log.split("/")[1], part=part, room=one.room,
            internal=one.internal, days=(self.coverage["first_day"], self.coverage["last_day"]), redacted=self.redacted, at_ms=self.point.at_ms, size=self.point.size,
            people=self.wanted.people, gaps=gap_texts(self.coverage["whole_archive"]["gaps"], lang),
        )  # fmt: skip

    def _conversation(self, conversation_id: str, lang: Lang, left: Sum) -> list[str]:
        """Take what the pages of a conversation show out of the sum; return what is wrong beside the messages."""
        faults, own, gaps, held = list[str](), set[str](), Counter[str](), Counter[str]()
        pages = 0
        for page in self._pages(conversation_id, lang):
            pages += 1
            for msgid, shown in page.shown:
                left.add(msgid, shown, -1)
            own |= page.own
            gaps.update(page.gaps)
            held.update(page.held)
            faults += page.faults or page_about.faults(page)
        where = f"conversation {self.numbers[conversation_id]}: "
        expected = Counter(dict.fromkeys(gap_texts(self.coverage["whole_archive"]["gaps"], lang), 1))
        internal = self.wanted.conversations.get(conversation_id, Conversation()).internal
        for wrong, what in (
            (not pages, "a page is missing"), (internal and len(own) > 1, "messages stand on another side of its pages"),
            (gaps != expected, "its pages show other gaps than the bundle lists"), (held != self.held, "its pages show other held records than the bundle lists"),
        ):  # fmt: skip
            faults += [where + what] if wrong else []
        return faults

    def _name_record(self, lang: Lang) -> None:
        """Raise the Fault that names the record which the pages show otherwise (rule 5)."""
        wanted = {x["msgid"]: (x["leaf"], self.wanted.of(x, self.numbers.get(x["conversation_id"]), lang)) for x in self.wanted.lines()}
        seen = set[str]()
        for page in (page for conversation_id in self.numbers for page in self._pages(conversation_id, lang)):
            for msgid, shown in page.shown:
                leaf, there = wanted.get(msgid, (None, b""))
                need(leaf is not None, f"{page.name} shows a message that is not in the bundle")
                need(shown == there, f"record {leaf}: {page.name} shows something else")
                need(msgid not in seen, f"record {leaf} stands on the pages twice")
                seen.add(msgid)
        missing = [leaf for msgid, (leaf, _) in wanted.items() if msgid not in seen][:3]
        need(not missing, f"records that are not on the pages: {missing}")
        raise Fault("the pages show other messages than there are")
