"""Which packs a lexicon version was: kept sealed in the home, and what changed between two.

Before: lexicon.py, ../home.py. After: ../ingest.py and rescan keep, `liuhen lexicon diff` compares.

A version on a finding is a digest; years later somebody asks what was looked for. So the packs of every version that matched anything are
kept under `lexicon/history/VERSION.packs`, encrypted, written once. A removed term stays in the versions that had it.
With them lies what else the version is a digest of: the tables, the engine, which approved texts there were (their words lie with the others).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from pipeline import durable
from pipeline.errors import UsageError
from pipeline.home import Home
from pipeline.match import tables
from pipeline.match.fold import fold_digest
from pipeline.match.lexicon import ENGINE, Lexicon
from pipeline.match.negation import negation_digest
from pipeline.match.rules import Pack, Rule

if TYPE_CHECKING:
    from pipeline.scripts.covering import ApprovedTexts

LEAST_PREFIX = 8


class Change(NamedTuple):
    """One difference: of which rule (or pack, `table/NAME`, `engine`, `approved/ID`), in what, whether added, removed or changed, and the value."""

    rule_id: str
    what: str
    change: str
    value: str


class Kept(msgspec.Struct, frozen=True):
    """The packs of a version and the ids of the rules that were on; None: versions kept by earlier releases did not say.

    tables: by name, what stands for what; engine: what matching does beside packs and tables, by name; approved: texts as `ID DAY`."""

    packs: tuple[Pack, ...]
    live: tuple[str, ...]
    tables: dict[str, dict[str, str]] | None = None
    engine: dict[str, str] | None = None
    approved: tuple[str, ...] | None = None


def kept(lexicon: Lexicon, approved: ApprovedTexts | None = None) -> Kept:
    """Return what is kept of a lexicon and the approved texts beside it."""
    return Kept(
        packs=lexicon.packs, live=tuple(lexicon.rules[n].id for n in sorted(lexicon.live)),
        tables={name: tables.entries(name) for name in (*tables.WORD_TABLES, "digits")},
        engine={"matching": ENGINE, "folding": fold_digest()[:16], "negation": negation_digest()[:16]},
        approved=tuple(f"{text.id} {text.valid_from}" for text in approved.texts) if approved else (),
    )  # fmt: skip


def _folder(home: Home) -> Path:
    return home.path / "lexicon" / "history"


def keep(home: Home, lexicon: Lexicon, version: str | None = None, approved: ApprovedTexts | None = None) -> None:
    """Keep the packs of a version once. version: when it is mixed with the approved texts'."""
    name = version or lexicon.version
    path = _folder(home) / f"{name}.packs"
    if path.exists():
        return
    durable.make_folder(_folder(home))
    box = home.keyring.seal("lexicon", msgspec.msgpack.encode(kept(lexicon, approved)), context=f"packs/{name}".encode())
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

LISTS = ("terms", "patterns", "pii", "allow", "any_of", "none_of", "msgtypes", "variants", "pinyin_short")
TEXTS = (
    "category", "title", "severity", "party", "negations", "questions", "reported", "direction", "valid", "near", "all_of", "context", "split", "owner",
    "basis", "source",
)  # fmt: skip
OF_PACK = ("owner", "reason", "since", "language", "folds")


def differences(before: Kept, after: Kept) -> list[Change]:
    """Return what changed from one lexicon to another: rule by rule, then packs, tables, engine, approved texts."""
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
    return [*found, *_packs(before.packs, after.packs), *_beside(before, after)]


def _rule(old: Rule, new: Rule) -> Iterator[Change]:
    for name in LISTS:
        yield from _listed(old.id, name, getattr(old, name) or (), getattr(new, name) or ())
    for name in TEXTS:
        if getattr(old, name) != getattr(new, name):
            yield Change(old.id, name, "changed", f"{_plain(getattr(old, name))} → {_plain(getattr(new, name))}")
    for name in ("must_match", "must_not_match"):
        yield from _listed(old.id, name, getattr(old.examples, name), getattr(new.examples, name))


def _listed(of: str, what: str, was: Sequence[object], now: Sequence[object]) -> Iterator[Change]:
    yield from (Change(of, what, "removed", _plain(value)) for value in was if value not in now)
    yield from (Change(of, what, "added", _plain(value)) for value in now if value not in was)


def _plain(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _packs(old: Sequence[Pack], new: Sequence[Pack]) -> Iterator[Change]:
    was, now = {p.id: p for p in old}, {p.id: p for p in new}
    for pack in sorted({*was} & {*now}):
        for name in OF_PACK:
            if getattr(was[pack], name) != getattr(now[pack], name):
                yield Change(pack, name, "changed", f"{_plain(getattr(was[pack], name))} → {_plain(getattr(now[pack], name))}")
        for name in ("disclosures", "training"):
            yield from _listed(pack, name, getattr(was[pack], name), getattr(now[pack], name))


def _beside(old: Kept, new: Kept) -> Iterator[Change]:
    """What is no pack: a version that does not say is compared with none."""
    if old.tables is not None and new.tables is not None:
        for name in sorted({*old.tables, *new.tables}):
            was, now = ([f"{key} → {meant}" for key, meant in side.get(name, {}).items()] for side in (old.tables, new.tables))
            yield from _listed(f"table/{name}", "entries", was, now)
    if old.engine is not None and new.engine is not None:
        for name in sorted({*old.engine, *new.engine}):
            if old.engine.get(name) != new.engine.get(name):
                yield Change("engine", name, "changed", f"{old.engine.get(name)} → {new.engine.get(name)}")
    if old.approved is not None and new.approved is not None:
        gone, come = ({*a} - {*b} for a, b in ((old.approved, new.approved), (new.approved, old.approved)))
        for change, texts in (("removed", gone), ("added", come)):
            yield from (Change(f"approved/{text.rpartition(' ')[0]}", "text", change, text.rpartition(" ")[2]) for text in sorted(texts))
