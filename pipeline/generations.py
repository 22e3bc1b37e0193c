"""New generations of the keys of hot files, and the end of old ones, so that copies of files whose rows have moved on die.

Before: filekeys.py, keyring.py, lake.py. After: purges.py, compact.py.

Rules, each with a test:
 (1) A month's hot key gets its next generation when no committed file lies under the newest one and a file that did was taken out.
 (2) The second key of a generation is made first: a file under hot key g lies under second keys of g or later, never earlier, whoever
     advances beside it: each generation is made once.
 (3) A generation ends when no file that is committed, waits in a manifest, or waits to be unlinked lies under it or an older one;
     a file whose key cannot be told holds all of them.
 (4) Whoever lost the race, a worker with an old keyring in memory, cannot do harm: a commit refuses files whose key is gone.
Callers of `retire` hold `manifests.files_held`, as a commit does while it adopts files: in between nothing becomes visible.
"""

from __future__ import annotations

from collections.abc import Iterable

from pipeline import filekeys
from pipeline.deltalog import DataFile, Snapshot
from pipeline.keyring import Keyring, generation_of
from pipeline.lake import HOT, Lake
from pipeline.layout import hot_unit, is_hot


def advance(lake: Lake, snapshot: Snapshot, gone: Iterable[str]) -> None:
    """Make the next generation for the months whose last hot file under the newest one is among `gone` (paths still on disk)."""
    unit_of = {path: hot_unit(lake.corp_id, m) for path in gone if (m := _hot_month(path)) is not None}
    used = {f.path: hot_unit(lake.corp_id, f.month) for f in snapshot.files if is_hot(f)}
    for unit in sorted(set(unit_of.values())):
        newest = lake.keyring.current(unit)
        taken_out = any(filekeys.of(lake.root / path) == newest for path, u in unit_of.items() if u == unit)
        if taken_out and not any(filekeys.of(lake.root / path) == newest for path, u in used.items() if u == unit):
            _next(lake.keyring, unit, generation_of(newest) + 1)


def _next(keyring: Keyring, unit: str, generation: int) -> None:
    keyring.reach(f"{unit}!2", generation)  # rule 2
    keyring.reach(unit, generation)


def _generations(keyring: Keyring, unit: str) -> list[int]:
    return [generation_of(n) for n in keyring.names(f"{unit}#")]


def retire(lake: Lake, referenced: Iterable[DataFile | str]) -> list[str]:
    """Destroy the hot generations that none of the referenced files needs; return their names.

    referenced: committed files, files that wait in manifests, paths that wait to be unlinked."""
    oldest = {m: max(_generations(lake.keyring, hot_unit(lake.corp_id, m))) for m in months_with_old(lake)}
    for path in {r if isinstance(r, str) else r.path for r in referenced}:
        month = _hot_month(path)
        if month in oldest:
            name = filekeys.of(lake.root / path)
            oldest[month] = min(oldest[month], generation_of(name) if name else 0)
    dead = [
        name for month, first in oldest.items() for suffix in ("", "!2")
        for name in lake.keyring.names(f"{hot_unit(lake.corp_id, month)}{suffix}#") if generation_of(name) < first
    ]  # fmt: skip
    for name in dead:
        lake.keyring.destroy(name)
    return dead


def months_with_old(lake: Lake) -> list[str]:
    """Return the months whose hot keys have more than one generation."""
    found: dict[str, set[int]] = {}
    for name in lake.keyring.names(f"{lake.corp_id}/m/"):
        unit, _, generation = name.rpartition("#")
        month, _, bucket = unit.removeprefix(f"{lake.corp_id}/m/").partition("/")
        if bucket.removesuffix("!2") == HOT:
            found.setdefault(month, set()).add(int(generation))
    return [m for m, generations in sorted(found.items()) if len(generations) > 1 and _generations(lake.keyring, hot_unit(lake.corp_id, m))]


def _hot_month(path: str) -> str | None:
    """Return the month of a path of a hot file, None for any other."""
    at = dict(part.split("=", 1) for part in path.split("/")[:-1] if "=" in part)
    return at.get("month") if at.get("bucket") == HOT else None
