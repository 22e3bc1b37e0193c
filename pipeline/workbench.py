"""What a worker needs at hand, and the straight walk of one page through the pure steps.

Before: home.py. After: flow.py (each step as a Beam transform), commit.py (the same walk for records that are judged again).
A workbench is opened once per process from plain settings, so that it crosses to any runner's workers as a path and two numbers.
"""

from __future__ import annotations

from functools import cached_property, lru_cache
from pathlib import Path

import msgspec

from pipeline import consent, envelope, importing, landing, message, multibuffer
from pipeline.consent import ConsentPolicy
from pipeline.consenting.register_file import register_of
from pipeline.deltalog import Snapshot
from pipeline.directory import Directory
from pipeline.enterprise_keys import KeySet
from pipeline.envelope import Decrypt, Rsa
from pipeline.home import Home
from pipeline.lakerows import directory_of, events_of
from pipeline.match import lexicon, matching
from pipeline.match.lexicon import Lexicon
from pipeline.match.packfile import PackSource
from pipeline.records import GatedPage, MatchedPage, OpenedPage, PageRef, ParsedPage, SealedPage, Unopened
from pipeline.register import Event, Register
from pipeline.scripts import store
from pipeline.scripts.covering import ApprovedTexts
from pipeline.source import native
from pipeline.stage import Builder


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What a workbench is opened from. key_state changes when keys or packs of the home do, so that a kept worker opens anew.

    packs: the version of the packs as the launching process proved them; a worker that compiles the same need not prove them again."""

    home: str
    corp_id: str
    version: int
    key_state: str
    packs: str = ""


Landed = tuple[SealedPage, tuple[Unopened, ...]] | OpenedPage


class Workbench:
    """Keys, register, directory, packs and policy of one corp, as of one version of its lake."""

    def __init__(self, home: Home, corp_id: str, snapshot: Snapshot) -> None:
        self.home = home
        self.corp_id = corp_id
        self.snapshot = snapshot
        self.opened_by = ""  # what did the private operations so far (multibuffer.chosen)

    @cached_property
    def keys(self) -> KeySet:
        """The enterprise's private keys."""
        return self.home.key_set(self.corp_id)

    @cached_property
    def events(self) -> list[Event]:
        """All events of the consent register as of the snapshot."""
        return events_of(self.home.lake(self.corp_id), self.snapshot)

    @cached_property
    def register(self) -> Register:
        """The consent register as of the snapshot; its version is the version of the lake it was read at."""
        return register_of(self.home, self.corp_id, self.snapshot)

    @cached_property
    def directory(self) -> Directory:
        """Who was employee or robot, as of the snapshot."""
        return directory_of(self.home.lake(self.corp_id), self.snapshot)

    @cached_property
    def packs(self) -> Lexicon:
        """The shipped packs and the firm's own."""
        return packs_of(self.home)

    @cached_property
    def approved(self) -> ApprovedTexts | None:
        """The firm's approved texts, None when there are none."""
        texts = store.load(self.home)
        return ApprovedTexts(texts) if texts else None

    @cached_property
    def lexicon_version(self) -> str:
        """What findings carry: the digest of packs and approved texts."""
        return matching.version_of(self.packs, self.approved)

    @cached_property
    def policy(self) -> ConsentPolicy:
        """The consent policy of the configuration."""
        c = self.home.config.consent
        return ConsentPolicy(default=c.default, room=c.room, withheld_days=c.withheld_days, lawful_basis=c.lawful_basis)

    @cached_property
    def _chosen(self) -> tuple[Rsa, str]:
        return multibuffer.chosen(self.home.config.ingest.rsa, self.keys)

    @property
    def rsa(self) -> Rsa:
        """What does the private operations; raises UsageError RSA_IMPOSSIBLE where what is configured cannot be."""
        return self._chosen[0]

    @cached_property
    def decrypt(self) -> Decrypt | None:
        """What opens envelopes: the vendor's library, or None for our own opener."""
        return native.decrypt_of(self.home)

    def builder(self) -> Builder:
        """Return a new, empty stage builder."""
        return Builder(
            self.home, self.corp_id, lexicon_version=self.lexicon_version, policy_version=self.policy.version, key_fingerprints=self.keys.fingerprints,
            opened_by=lambda: self.opened_by,
        )  # fmt: skip

    # -- the walk, one function a step ----------------------------------------------------------------------------

    def landing(self, ref: PageRef) -> Landed:
        """PageRef → its records as they came, taken apart by answers.py (an opened import skips `envelope`)."""
        if ref.source == "plain":
            return importing.opened_page(ref, landing.body(self.home, ref))
        return landing.read(self.home, ref)

    def envelope(self, landed: Landed) -> OpenedPage:
        """Sealed → opened."""
        if isinstance(landed, OpenedPage):
            return landed
        self.opened_by = self._chosen[1]
        return envelope.open_page(landed[0], landed[1], keys=self.keys, rsa=self.rsa, decrypt=self.decrypt)

    def message(self, page: OpenedPage) -> ParsedPage:
        """Opened → parsed."""
        return message.parse_page(page)

    def consent(self, page: ParsedPage) -> GatedPage:
        """Parsed → gated. A recall waits archived: the committer knows what became of its original (rule 7)."""
        gated = consent.gate_page(page, register=self.register, directory=self.directory, policy=self.policy)
        if not any(g.message.kind == "recall" for g in gated.items):
            return gated
        items = tuple(consent.with_decision(g, consent.recall_decision(g.decision, None)) if g.message.kind == "recall" else g for g in gated.items)
        return msgspec.structs.replace(gated, items=items)

    def matching(self, page: GatedPage) -> MatchedPage:
        """Gated → matched."""
        return matching.match_page(page, lexicon=self.packs, approved=self.approved)

    def walk(self, landed: Landed) -> MatchedPage:
        """All steps in record order."""
        return self.matching(self.consent(self.message(self.envelope(landed))))


@lru_cache(maxsize=2)
def compiled_packs(sources: tuple[PackSource, ...], on: tuple[str, ...] = (), off: tuple[str, ...] = ()) -> Lexicon:
    """Compile packs once a process: a run asks for them at every commit."""
    return lexicon.load_packs(sources, on=on, off=off)


def packs_of(home: Home, *others: PackSource) -> Lexicon:
    """Return the packs in force in `home`, and `others` beside them: shipped, its own, and the rules its settings switch on and off."""
    names = {other.name for other in others}
    own = tuple(pack for pack in home.own_packs() if pack.name not in names)
    return compiled_packs((*lexicon.shipped_packs(), *own, *others), home.config.lexicon.on, home.config.lexicon.off)


@lru_cache(maxsize=4)
def open_workbench(settings: Settings) -> Workbench:
    """Return this process' workbench for `settings`."""
    home = Home(Path(settings.home))
    lexicon.proven.add(settings.packs)
    return Workbench(home, settings.corp_id, home.lake(settings.corp_id).snapshot_at(settings.version))
