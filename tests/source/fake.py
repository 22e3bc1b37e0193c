"""A source in this process, for the logic alone: records by seq, a window, and answers to be given instead, one a call."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from pipeline import config, durable
from pipeline.home import Home
from pipeline.source.interface import Chunk, VendorError
from pipeline.source.pace import Pace
from pipeline.source.pull import Pull, Summary
from tests import firm

DAY = 86_400_000
Reply = bytes | VendorError


class Fake:
    """records: sealed items by seq. script: what the next calls answer instead (bytes, an error), before the records are asked."""

    library: str | None = None

    def __init__(self, records: Mapping[int, bytes] | None = None, *, script: Iterable[Reply] = (), poison: Iterable[int] = (), page: int = 1000) -> None:
        self.records, self.script, self.poison, self.page = dict(records or {}), list(script), set(poison), page
        self.asked: list[tuple[int, int]] = []
        self.files: dict[str, bytes] = {}
        self.renewed = 0
        self.closed = False

    def chat_data(self, seq: int, limit: int) -> bytes:
        """Answer as the source does: what comes after seq, lowest first."""
        self.asked.append((seq, limit))
        if self.script:
            reply = self.script.pop(0)
            if isinstance(reply, VendorError):
                raise reply
            return reply
        found = sorted(s for s in {*self.records, *self.poison} if s > seq)[: min(limit, self.page)]
        if self.poison & set(found):
            raise VendorError(-2, "chat_data")
        return firm.answer(self.records[s] for s in found)

    def media(self, sdkfileid: str, index: str) -> Chunk:
        """One slice of 4 bytes."""
        data, at = self.files[sdkfileid], int(index or 0)
        return Chunk(data[at : at + 4], str(at + 4), at + 4 >= len(data))

    def renew(self) -> None:
        """Count."""
        self.renewed += 1

    def close(self) -> None:
        """Remember."""
        self.closed = True


def refusal(code: int, more: str = "") -> bytes:
    """An answer with an errcode."""
    return f'{{"errcode":{code},"errmsg":"hint {more}","chatdata":[]}}'.encode()


def sealed(*seqs: int) -> dict[int, bytes]:
    """Records that can be opened, by seq."""
    return {s: firm.item(s, firm.message(s)) for s in seqs}


def bare(*seqs: int) -> dict[int, bytes]:
    """Records nobody opens: for what only pulls."""
    return {s: b'{"seq":%d,"msgid":"m%d","publickey_ver":1,"encrypt_random_key":"AA==","encrypt_chat_msg":"AA=="}' % (s, s) for s in seqs}


def pull(at: Home, source: Fake, *, now_ms: int = firm.T0, corp: str = firm.CORP, stop: Callable[[], bool] = lambda: False) -> Summary:
    """One pull in this process that never sleeps."""
    pace = Pace(4000, clock=lambda: 0.0, sleep=lambda _: None)
    return Pull(at, corp, source, run_id="r1", now_ms=lambda: now_ms, sleep=lambda _: None, pace=pace, stop=stop).run()


def landed(at: Home, corp: str = firm.CORP) -> list[tuple[int | None, int | None]]:
    """(first seq, last seq) of the pages that wait."""
    from pipeline import landing

    return [(r.first_seq, r.last_seq) for r in landing.waiting(at, corp)]


def resident(pid: int | str = "self") -> int:
    """Bytes of memory that a process holds now (its highest ever may be of something else)."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def setting(at: Home, key: str, value: str) -> Home:
    """The same home with a setting changed."""
    path: Path = at.path / "liuhen.toml"
    durable.replace(path, config.changed(path.read_text("utf-8"), key, value).encode())
    return Home(at.path)
