"""Which packs a lexicon version was: kept sealed in the home, and what changed between two.

Before: lexicon.py, ../home.py. After: ../ingest.py and rescan keep, `liuhen lexicon diff` compares.

A version on a finding is a digest; years later somebody asks what was looked for. So the packs of every version that matched anything are
kept under `lexicon/history/VERSION.packs`, encrypted, written once. A removed term stays in the versions that had it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from pipeline import durable
from pipeline.errors import UsageError
from pipeline.home import Home
from pipeline.match.lexicon import Lexicon
from pipeline.match.rules import Pack, Rule

LEAST_PREFIX = 8


class Change(NamedTuple):
    """One difference: of which rule, in what, whether added, removed or changed, and the value."""

    rule_id: str
    what: str
    change: str
    value: str


class Kept(msgspec.Struct, frozen=True):
    """The packs of a version and the ids of the rules that were on."""

    packs: tuple[Pack, ...]
    live: tuple[str, ...]


def kept(lexicon: Lexicon) -> Kept:
    """Return what is kept of a lexicon."""
    return Kept(lexicon.packs, tuple(lexicon.rules[n].id for n in sorted(lexicon.live)))


def _folder(home: Home) -> Path:
    return home.path / "lexicon" / "history"


def keep(home: Home, lexicon: Lexicon, version: str | None = None) -> None:
    """Keep the packs of a version once."""
    name = version or lexicon.version
    path = _folder(home) / f"{name}.packs"
    if path.exists():
        return
    durable.make_folder(_folder(home))
    box = home.keyring.seal("lexicon", msgspec.msgpack.encode(kept(lexicon)), context=f"packs/{name}".encode())
    durable.write_once(path, box)


def versions(home: Home) -> list[str]:
    """Return the versions that are kept, oldest first."""
    return [p.stem for p in sorted(_folder(home).glob("*.packs"), key=lambda p: p.stat().st_mtime_ns)]


def of_version(home: Home, prefix: str) -> Kept:
    """Return the packs of the version that begins with `prefix` (8 characters or more); raises UsageError VERSION_UNKNOWN."""
    found = [name for name in versions(home) if name.startswith(prefix)] if len(prefix) >= LEAST_PREFIX else []
    if len(found) != 1:
        raise UsageError("VERSION_UNKNOWN", f"this home keeps {'no' if not found else 'more than one'} lexicon version that begins so", remedy="`liuhen lexicon list --versions`")
    box = (_folder(home) / f"{found[0]}.packs").read_bytes()
    return msgspec.msgpack.decode(home.keyring.open(box, context=f"packs/{found[0]}".encode()), type=Kept)


# -- what changed -------------------------------------------------------------------------------------------------------

LISTS = ("terms", "patterns", "allow", "any_of", "none_of", "msgtypes", "variants", "pinyin_short")
TEXTS = (
    "category", "severity", "party", "negations", "questions", "reported", "direction", "valid", "near", "all_of", "context", "split", "owner", "basis", "source",
)  # fmt: skip


def differences(before: Kept, after: Kept) -> list[Change]:
    """Return what changed from one lexicon to another, by rule."""
    old = {rule.id: rule for pack in before.packs for rule in pack.rules}
    new = {rule.id: rule for pack in after.packs for rule in pack.rules}
    found: list[Change] = []
    for rule_id in sorted({*old, *new}):
        if rule_id not in new:
            found.append(Change(rule_id, "rule", "removed", f"{len(old[rule_id].terms)}"))
        elif rule_id not in old:
            found.append(Change(rule_id, "rule", "added", f"{len(new[rule_id].terms)}"))
        else:
            found += _rule(old[rule_id], new[rule_id])
        if rule_id in old and rule_id in new and (rule_id in before.live) != (rule_id in after.live):
            found.append(Change(rule_id, "active", "changed", "on" if rule_id in after.live else "off"))
    return [*found, *_packs(before.packs, after.packs)]


def _rule(old: Rule, new: Rule) -> Iterator[Change]:
    for name in LISTS:
        was, now = getattr(old, name) or (), getattr(new, name) or ()
        yield from (Change(old.id, name, "removed", str(value)) for value in was if value not in now)
        yield from (Change(old.id, name, "added", str(value)) for value in now if value not in was)
    for name in TEXTS:
        if getattr(old, name) != getattr(new, name):
            yield Change(old.id, name, "changed", f"{_plain(getattr(old, name))} → {_plain(getattr(new, name))}")


def _plain(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _packs(old: Sequence[Pack], new: Sequence[Pack]) -> Iterator[Change]:
    was, now = {p.id: (p.folds, p.disclosures) for p in old}, {p.id: (p.folds, p.disclosures) for p in new}
    for pack in sorted({*was, *now}):
        if pack in was and pack in now and was[pack] != now[pack]:
            yield Change(pack, "folds, disclosures", "changed", "")
