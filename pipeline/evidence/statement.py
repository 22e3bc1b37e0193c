"""What a checkpoint's text says: lines that anybody can read, in one order, none left out, none added.

Before: nothing. After: checkpoint.py (makes them), check.py. Source: C2SP tlog-checkpoint; docs/formats.md, section 13.

    liuhen/CORP_ID/KEY                  origin; KEY: first 16 hex digits of the SHA-256 of the public key; in epoch K: …/KEY/K
    SIZE                                how many leaves
    BASE64                              root of the tree over them
    custody N HEX                       the last line of the custody log and its digest in the chain
    custody-root BASE64                 root of the tree over lines 1 to N of the custody log
    at TIME                             when it was made: ms since 1970, UTC, by this machine's clock
    sm3 BASE64                          root of the second tree, where SM3 is switched on
    epoch K SIZE BASE64                 in epoch K: size and root of the checkpoint known outside that it begins with
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode

import msgspec

_NUMBER = r"(0|[1-9][0-9]{0,17})"
_ROOT = r"([A-Za-z0-9+/]{43}=)"
_TEXT = re.compile(
    rf"(?P<origin>(?P<log>liuhen/[^/\s+]+/[0-9a-f]{{16}})(?:/(?P<place>[1-9][0-9]{{0,5}}))?)\n(?P<size>{_NUMBER})\n(?P<root>{_ROOT})\n"
    rf"custody (?P<n>{_NUMBER}) (?P<hex>[0-9a-f]{{64}})\ncustody-root (?P<lines>{_ROOT})\nat (?P<at>{_NUMBER})\n"
    rf"(?:sm3 (?P<sm3>{_ROOT})\n)?(?:epoch (?P<epoch>[1-9][0-9]{{0,5}}) (?P<old>{_NUMBER}) (?P<oldroot>{_ROOT})\n)?"
)


class Epoch(msgspec.Struct, frozen=True):
    """Which epoch, and the checkpoint of the one before that was known outside: its size and root."""

    number: int
    size: int
    root: bytes


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """What a checkpoint's text says. log: the name of the key; custody: number and chained digest (hex) of the last line of the custody
    log; custody_root: of the tree over its lines; at_ms: UTC; sm3: root of the second tree, None where there is none."""

    log: str
    size: int
    root: bytes
    custody: tuple[int, str]
    custody_root: bytes
    at_ms: int
    sm3: bytes | None = None
    epoch: Epoch | None = None

    @property
    def origin(self) -> str:
        """The first line."""
        return origin(self.log, self.epoch.number if self.epoch else 0)

    @property
    def before(self) -> int:
        """How many leaves stand before that of record 0."""
        return 1 if self.epoch else 0

    @property
    def records(self) -> int:
        """How many records' leaves it covers."""
        return self.size - self.before


def origin(log: str, epoch: int) -> str:
    """Return the first line of the checkpoints of an epoch."""
    return f"{log}/{epoch}" if epoch else log


def text_of(said: Said) -> str:
    """Return the text; `parse` reads it."""
    lines = [
        said.origin, str(said.size), _encoded(said.root), f"custody {said.custody[0]} {said.custody[1]}", f"custody-root {_encoded(said.custody_root)}",
        f"at {said.at_ms}",
    ]  # fmt: skip
    if said.sm3 is not None:
        lines.append(f"sm3 {_encoded(said.sm3)}")
    if said.epoch is not None:
        lines.append(f"epoch {said.epoch.number} {said.epoch.size} {_encoded(said.epoch.root)}")
    return "".join(f"{line}\n" for line in lines)


def parse(text: str) -> Said:
    """Return what a checkpoint's text says; raises ValueError for anything else (no other lines are accepted)."""
    found = _TEXT.fullmatch(text)
    if found is None or found["place"] != found["epoch"]:
        raise ValueError("not a checkpoint")
    epoch = Epoch(int(found["epoch"]), int(found["old"]), b64decode(found["oldroot"])) if found["epoch"] else None
    return Said(
        log=found["log"], size=int(found["size"]), root=b64decode(found["root"]), custody=(int(found["n"]), found["hex"]),
        custody_root=b64decode(found["lines"]), at_ms=int(found["at"]), sm3=b64decode(found["sm3"]) if found["sm3"] else None, epoch=epoch,
    )  # fmt: skip


def _encoded(data: bytes) -> str:
    return b64encode(data).decode()
