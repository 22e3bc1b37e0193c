"""What a keyword rule may say: the values a pack is made of. keywords/README.md tells the same to those who write packs.

Before: ../records.py. After: packfile.py (reads them), lexicon.py (compiles them), matching.py, context.py.
"""

from __future__ import annotations

import datetime
from typing import Annotated, Literal

import msgspec

from pipeline.match.tables import Table
from pipeline.pii import Kind
from pipeline.records import Direction, PartyKind, Severity, Via

_ID = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
Id = Annotated[str, msgspec.Meta(pattern=_ID)]
Category = Annotated[str, msgspec.Meta(pattern=r"^[A-Z][A-Za-z0-9_-]{0,31}$")]
Sentence = Annotated[str, msgspec.Meta(min_length=1)]
Words = Annotated[tuple[Sentence, ...], msgspec.Meta(min_length=1)]
Count = Annotated[int, msgspec.Meta(ge=1, le=1_000)]
Minutes = Annotated[int, msgspec.Meta(ge=1, le=1_440)]
Days = Annotated[int, msgspec.Meta(ge=1, le=60)]
Party = Literal["employee", "external", "any"]

DEFAULT_VARIANTS: tuple[Table, ...] = ("lookalikes", "homophones", "codewords", "emoji", "splits")


class Title(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A rule's name for officers."""

    zh: Sentence
    en: Sentence


class Said(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One message of an example conversation. after: seconds since the one before; after_days: days on top."""

    text: str = ""
    party: PartyKind = "employee"
    recall: bool = False
    after: int = 10
    after_days: int = 0


class Example(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A sentence that proves a rule, said by `party` (when absent: by whom the rule is about), or a conversation.

    direction, msgtype: of the message; day: when it was sent; via: how it must be found."""

    text: str = ""
    party: PartyKind | None = None
    direction: Direction | None = None
    msgtype: str | None = None
    day: datetime.date | None = None
    via: Via | None = None
    messages: tuple[Said, ...] = ()


class Examples(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a rule must find, and what it must leave alone (finding and suppressing it is leaving it alone)."""

    must_match: tuple[str | Example, ...] = ()
    must_not_match: tuple[str | Example, ...] = ()


class Valid(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"from_": "from"}):
    """Beijing days of sending, both inclusive, on which a rule holds; an unknown time of sending never excludes."""

    from_: datetime.date | None = None
    to: datetime.date | None = None


class Near(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A neighbour that a hit needs: one of `any` within so many folded characters, on one side or either."""

    any: Words
    within: Annotated[int, msgspec.Meta(ge=0, le=200)] = 12
    side: Literal["either", "before", "after"] = "either"


class Within(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How far apart: messages of the conversation, and minutes; both bounds hold."""

    messages: Count = 5
    minutes: Minutes = 10


class Asked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the other side asks."""

    terms: Words
    by: Party = "external"


class Silence(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """No message in the conversation for so long."""

    days: Days = 7


class Recalls(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """So many recalls within so many minutes, with one of `near` said within near_minutes of the first."""

    count: Count = 3
    minutes: Minutes = 10
    near: Words
    near_minutes: Minutes = 30


class Missing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """None of `any` was said by an employee in the days before, nor one day after; nor an approved text sent (of `texts`, when ids are named)."""

    any: Words
    days: Days = 30
    texts: tuple[Sentence, ...] = ()


class Context(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one message cannot show; exactly one of the five kinds."""

    asked: Asked | None = None
    affirmed: tuple[Sentence, ...] = ()
    leads: tuple[Sentence, ...] = ()
    together: Annotated[tuple[Words, ...], msgspec.Meta(max_length=6)] = ()
    within: Within = Within()
    then_silence: Silence | None = None
    recalls: Recalls | None = None
    missing: Missing | None = None


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One thing nobody should say.

    party: whose words it is about. terms, patterns, pii (kinds of personal data, ../pii.py), context: what is looked for. allow: phrases that excuse a hit they cover or overlap.
    negations, questions: whether a negation word before a hit, or a question around it, takes it back. near, all_of, any_of, none_of:
    what else must stand there, or must not. direction, msgtypes, valid: only in such messages. variants: the tables it uses;
    pinyin_short: two-syllable terms that are compared by sound too. split: whether its terms are found over several messages of one sender.
    reported: whether words in quotation marks after somebody else's 说 count as quoted. active: False is shipped, but off.
    basis: the regulation. source: where the terms were taken from. owner: who answers for it.
    """

    id: Id
    category: Category
    title: Title
    severity: Severity
    party: Party
    terms: tuple[str, ...] = ()
    patterns: tuple[Sentence, ...] = ()
    pii: tuple[Kind, ...] = ()
    context: Context | None = None
    allow: tuple[str, ...] = ()
    negations: bool = False
    questions: bool = False
    reported: bool = True
    near: tuple[Near, ...] = ()
    all_of: tuple[Words, ...] = ()
    any_of: tuple[Sentence, ...] = ()
    none_of: tuple[Sentence, ...] = ()
    direction: Direction | None = None
    msgtypes: tuple[str, ...] = ()
    valid: Valid = Valid()
    variants: tuple[Table, ...] | None = None
    pinyin_short: tuple[str, ...] = ()
    split: bool | None = None
    active: bool = True
    owner: str = ""
    basis: str = ""
    source: str = ""
    examples: Examples = Examples()


class Pack(msgspec.Struct, frozen=True, kw_only=True):
    """A pack as read; its rules already carry what the pack says for all of them (variants, split, owner).

    folds: single folds switched on or off. disclosures: texts inside which nothing counts. training: words by which colleagues talk about rules,
    not to customers: in an internal message that holds one nothing counts. duplicates: lines of a plain list that repeated an earlier one."""

    id: Id
    owner: str
    reason: str
    since: datetime.date | None
    language: str
    rules: tuple[Rule, ...]
    folds: dict[str, bool] = {}
    disclosures: tuple[str, ...] = ()
    training: tuple[str, ...] = ()
    duplicates: int = 0
