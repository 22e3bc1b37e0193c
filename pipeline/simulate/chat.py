"""What the vendor library asks: chat data and ranges of files (envelope-format.md 4, wecom-archive.md 1.3 and 1.5).

Before: stream.py, vault.py, faults.py. After: routes.py. Held under the double's lock.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence

import msgspec

from pipeline.simulate.exchange import Answer, Refused, Request, answered
from pipeline.simulate.faults import Fault
from pipeline.simulate.stream import Stream
from pipeline.simulate.vault import Vault, asked_range

MAX_LIMIT = 1_000
MAX_SEQ = 2**64 - 1
FAR = 10**12
_SEQ = re.compile(rb'^{"seq":(\d+)')
HEAD = b'{"errcode":0,"errmsg":"ok","chatdata":['


class Chat:
    """The two calls. seen: how many pages and ranges were asked for."""

    def __init__(self, stream: Stream, vault: Vault) -> None:
        self._stream = stream
        self._vault = vault
        self._before: bytes | None = None
        self.pages = self.ranges = 0

    def chat_data(self, request: Request, now_ms: int, fault: Fault | None) -> Answer:
        """Return a page behind the asked seq; raises Refused 40058 for a limit outside 1 to 1,000 or a seq outside 64 bits."""
        asked = request.json()
        seq, limit = asked.get("seq"), asked.get("limit")
        if not (type(seq) is int and type(limit) is int and 0 <= seq <= MAX_SEQ and 1 <= limit <= MAX_LIMIT):
            raise Refused(40058)
        self.pages += 1
        body = self._page(seq, limit, now_ms, fault)
        if fault is None:
            self._before = body
        return Answer(body=body)

    def _page(self, seq: int, limit: int, now_ms: int, fault: Fault | None) -> bytes:
        kind = fault.kind if fault else ""
        if kind == "repeat" and self._before is not None:
            return self._before
        if kind == "empty":
            return page_of(())
        items = self._stream.page(seq, limit, now_ms, skip=fault.count if fault and kind == "jump" else 0)
        if kind == "far":
            items = [far_ahead(item) for item in items]
        return page_of(items[::-1] if kind == "disorder" else items)

    def media_data(self, request: Request, now_ms: int, fault: Fault | None) -> Answer:
        """Return a range of a file; raises Refused 301048 for a file that is unknown or has left the window, 40058 for a wrong range."""
        asked = request.json()
        place = str(asked.get("fileid")), str(asked.get("authkey"))
        landed = self._vault.landed(*place)
        if landed is None or landed < now_ms - self._stream.window_ms:
            raise Refused(301048)
        self.ranges += 1
        try:
            first, last = asked_range(request.headers.get("range", ""))
            data, total = self._vault.piece(*place, first, last, spoil=fault is not None and fault.kind == "wrong_md5")
        except ValueError:
            raise Refused(40058) from None
        content = "!!!!" if fault is not None and (fault.kind == "unopenable" or fault.code == 10006) else base64.b64encode(data).decode()
        # In upper case, or the library takes the range for the last.
        headers = {"CONTENT-RANGE": f"BYTES {first}-{first + len(data) - 1}/{total}"}
        return msgspec.structs.replace(answered({"content": content}), status=206, headers=headers)


def far_ahead(item: bytes) -> bytes:
    """Return a record whose seq is FAR higher."""
    return _SEQ.sub(lambda found: b'{"seq":%d' % (int(found[1]) + FAR), item, count=1)


def page_of(items: Sequence[bytes]) -> bytes:
    """Return a GetChatData answer of these records."""
    return HEAD + b",".join(items) + b"]}"
