"""Which keys the archive needs, found by opening every file a little: what a backup of the keyring must cover.

Before: keyring.py, lake.py, home.py. After: keybackup.py. Boxes name their key in clear.
"""

from __future__ import annotations

from base64 import b64decode
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress

import msgspec
from cryptography.exceptions import InvalidTag

from pipeline import landing, schema
from pipeline.custody import Entry
from pipeline.deltalog import DataFile
from pipeline.errors import ArchiveError
from pipeline.home import Home
from pipeline.keyring import Held, key_of_box
from pipeline.lake import Lake
from pipeline.manifests import OUTLINE_PATTERN, load
from pipeline.source import media_store
from pipeline.stage import MANIFEST_SUFFIX


class Coverage(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup covers. looked_at: files and boxes; missing: key name -> how many need it and cannot be opened without;
    unreadable: files whose keys are all there and which do not open (damaged, absent, or another key under the same name)."""

    looked_at: int
    missing: dict[str, int]
    unreadable: int

    @property
    def complete(self) -> bool:
        """Whether the backup opens everything."""
        return not self.missing and not self.unreadable


def coverage(home: Home, held: Held) -> Coverage:
    """Return what of the home's committed and staged files, boxes and custody parameters `held` opens."""
    missing: Counter[str] = Counter()
    looked_at = unreadable = 0
    for corp in home.config.corp:
        lake = Lake(home.path / "lake" / corp.id, corp.id, held)
        for file in _files(home, lake):
            absent, opens = _try(lake, held, file)
            missing.update(absent)
            unreadable += not absent and not opens and ((lake.root / file.path).exists() or file in _files(home, lake))  # not: taken out since, and unlinked
            looked_at += 1
    for name in _boxes(home):
        missing.update(held.absent([name]))
        looked_at += 1
    return Coverage(looked_at=looked_at, missing=dict(sorted(missing.items())), unreadable=unreadable)


def _files(home: Home, lake: Lake) -> list[DataFile]:
    named = [load(path) for path in sorted(home.staging(lake.corp_id).glob(f"*{MANIFEST_SUFFIX}"))]
    found = {f.path: f for m in named if m is not None for f in m.files}
    return list({**found, **{f.path: f for f in lake.snapshot().files}}.values())


def _try(lake: Lake, held: Held, file: DataFile) -> tuple[list[str], bool]:
    """Return (names of absent keys, whether it opened): one row of one column under each of its keys is read, and forgotten."""
    second = schema.kind(file.kind).second_key
    first = next(c.name for c in schema.kind(file.kind).columns if c.name not in second)
    held.asked.clear()
    try:
        lake.dataset(file.kind, [file]).head(1, columns=[first, *second[:1]], use_threads=False)
        opens = True
    except (ArchiveError, InvalidTag, OSError, ValueError):
        opens = False
    return held.absent(held.asked), opens


def _boxes(home: Home) -> Iterator[str]:
    """Yield the key name of every box: enterprise keys, packs, outlines, opened imports, fetched files, custody parameters."""
    whole = [*home.path.glob("keys/enterprise/*.keys"), *home.path.glob("lexicon/*.pack"), *home.path.glob("lexicon/*.texts"),
             *home.path.glob("alerts/*/*.box"), *home.path.glob("alerts/*/*.batch"), *home.path.glob("callbacks/*/*.event"), *home.path.glob(f"staging/*/{OUTLINE_PATTERN}")]
    for path in sorted(whole):
        with suppress(FileNotFoundError):  # settled, sent or taken over since it was listed; so below
            yield key_of_box(path.read_bytes())
    for path in sorted(home.path.glob(f"staging/*/*{landing.SUFFIX}")):
        with suppress(FileNotFoundError):
            yield key_of_box(path.read_bytes().partition(b"\n")[2])
    for path in sorted([*home.path.glob("media/*/*/*.lhm"), *home.path.glob("media/*/partial/*.partial")]):
        with suppress(FileNotFoundError):
            yield media_store.key_name(path)
    for path in sorted(home.path.glob("custody/[0-9]*.jsonl")):
        for line in path.read_bytes().splitlines():
            with suppress(ValueError):  # a torn last line; whether the chain holds is verify's question
                params = msgspec.json.decode(line, type=Entry).params
                if params:
                    yield key_of_box(b64decode(params))
