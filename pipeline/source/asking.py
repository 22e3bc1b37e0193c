"""One page asked for: paced, tried again as the table says, halved when a record in it cannot be handed out.

Before: actions.py, pace.py, interface.py. After: pull.py.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from pipeline import answers
from pipeline.answers import Counted
from pipeline.records import PageRef
from pipeline.source import actions
from pipeline.source.actions import Action
from pipeline.source.interface import LIMIT, Sleep, Source, VendorError
from pipeline.source.pace import PAUSE_S, Again, Pace, backoff, untold

UNREADABLE = 10002
SILENT = "SOURCE_SILENT"
FURTHEST = 1 << 20  # how far behind a record that cannot be handed out the next one is looked for
_ADDRESS = re.compile(r"from ip:\s*([0-9A-Fa-f.:]{3,45})")


class Stopped(Exception):
    """Nothing more can be asked now. refused: for as long as nobody mends it (exit 4); hint: the address the source saw, where it says so."""

    def __init__(self, code: str, *, refused: bool, hint: str = "") -> None:
        super().__init__(code)
        self.code, self.refused, self.hint = code, refused, hint


class Unreadable(Exception):
    """The request fails for something in it: ask for less."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Answer(NamedTuple):
    """An answer as received, its errcode, and the sequence numbers in it. counted: what it holds, where one look told it all;
    without_seq: how many of its entries bear no usable sequence number."""

    data: bytes
    errcode: int
    seqs: tuple[int, ...]
    errmsg: str = ""
    counted: Counted | None = None
    without_seq: int = 0


class _Record(msgspec.Struct):
    seq: int


class _Body(msgspec.Struct):
    errcode: int = 0
    errmsg: str = ""
    chatdata: list[_Record] | None = None


_decode = msgspec.json.Decoder(_Body)


def read(data: bytes) -> Answer:
    """Return what an answer says; raises VendorError 10002 when it is not whole JSON of an answer."""
    if (counted := answers.count_plain(data)) is not None:
        seqs = tuple([s for s in counted.seqs if s])
        return Answer(data, 0, seqs, counted=counted, without_seq=counted.records - len(seqs))
    try:
        body = _decode.decode(data)
        seqs = tuple(r.seq for r in body.chatdata or () if 0 < r.seq <= answers.MAX_SEQ)
        return Answer(data, body.errcode, seqs, body.errmsg, without_seq=len(body.chatdata or ()) - len(seqs))
    except msgspec.ValidationError:
        return _lenient(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise VendorError(UNREADABLE, "chat_data") from None


def _lenient(data: bytes) -> Answer:
    """A record that is not as it should be spoils no page: the landing keeps it as a failure. An answer that is none is unreadable."""
    ref = PageRef(corp_id="", page="", uri="", size=len(data), source="pull", name="", captured_at_ms=0)
    page, malformed = answers.read_page(ref, data)
    codes = {m.failure.code for m in malformed}
    if codes & {"PAGE_CUT", "PAGE_UNREADABLE", "SOURCE_ERRCODE"}:
        raise VendorError(UNREADABLE, "chat_data")
    numbered = [m.failure.seq for m in malformed if m.failure.seq is not None]
    return Answer(data, 0, (*(i.seq for i in page.items), *numbered), without_seq=len(malformed) - len(numbered))


class Asker:
    """Asks one source. calls: how many were made; again: told before a call is repeated; stop: whether to give up then."""

    def __init__(self, source: Source, pace: Pace, *, sleep: Sleep = time.sleep, again: Again = untold, stop: Callable[[], bool] = lambda: False) -> None:
        self._source, self._pace, self._sleep, self._again, self._stop = source, pace, sleep, again, stop
        self.calls = 0
        self.limit = LIMIT

    def page(self, seq: int) -> tuple[Answer, int | None]:
        """Return the next answer after `seq`, and the seq of a record in between that cannot be handed out (None: there is none).

        Raises Stopped."""
        tries: int | None = None
        while True:
            try:
                found = self._answer(seq, self.limit, tries)
            except Unreadable as error:
                if self.limit == 1:
                    return self._behind(seq, error)
                self.limit //= 2
                tries = 1 if self.limit > 1 else None  # at one record a single bad moment must not count
                continue
            self.limit = min(LIMIT, self.limit * 2)
            return found, None

    def _behind(self, seq: int, error: Unreadable) -> tuple[Answer, int]:
        """Find the one record by halving: asked from before it the source fails, from it on it answers. Return the answer behind it, and its seq.

        Every failure on the way is tried as often as the table says: a bad moment taken for the record would pass over others."""
        if error.code == SILENT:  # slow, not unreadable
            raise Stopped(error.code, refused=False)
        low, step = seq, 1
        while (found := self._try(seq + step)) is None:
            low, step = seq + step, step * 2
            if step > FURTHEST:
                raise Stopped(error.code, refused=False)
        high = seq + step
        while high - low > 1:
            middle = (low + high) // 2
            answered = self._try(middle)
            low, high, found = (middle, high, found) if answered is None else (low, middle, answered)
        return found, high

    def _try(self, seq: int) -> Answer | None:
        try:
            return self._answer(seq, 1, None)
        except Unreadable:
            return None

    def _answer(self, seq: int, limit: int, tries: int | None) -> Answer:
        """Return an answer without errcode; raises Stopped, or Unreadable when asking for less may help."""
        tried = 0
        while True:
            tried += 1
            action, found = self._once(seq, limit)
            if action.do == "ok" and found is not None:
                return found
            if action.do == "stop":
                raise Stopped(action.code, refused=True, hint=_hint(found))
            if tried >= (tries or action.tries):
                raise Unreadable(action.code) if action.after == "halve" else Stopped(action.code, refused=action.after == "stop")
            self._again(action.code, tried, tries or action.tries, PAUSE_S if action.do == "wait" else backoff(tried))
            self._before_next(action, tried)
            if self._stop():
                raise Stopped(action.code, refused=False)

    def _once(self, seq: int, limit: int) -> tuple[Action, Answer | None]:
        self._pace.wait()
        self.calls += 1
        try:
            found = read(self._source.chat_data(seq, limit))
        except VendorError as error:
            told = actions.SERVER.get(error.told) if error.told else None
            return told or actions.chat(error.code), None
        return actions.server(found.errcode), found

    def _before_next(self, action: Action, tried: int) -> None:
        if action.do == "wait":
            self._pace.slower()
            return
        if action.do == "renew":
            self._source.renew()
        self._sleep(backoff(tried))


def _hint(found: Answer | None) -> str:
    """Return the address the source names, and nothing else of its words (they decide nothing)."""
    named = _ADDRESS.search(found.errmsg) if found is not None else None
    return named[1] if named else ""
